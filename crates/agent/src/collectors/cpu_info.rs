//! Part of `cpu`: the description of each CPU from `/proc/cpuinfo`, when `--collector.cpu.info` is set.

use crate::{
    collector::Context,
    error::CollectError,
    options::CpuInfoOptions,
    output::Family,
    scan,
    source::{File, Root},
};
use regex::bytes::Regex;
use skopos_model::MetricType;
use std::borrow::Cow;

const HERTZ_PER_MEGAHERTZ: f64 = 1e6;

/// The descriptions of the CPUs.
#[derive(Debug)]
pub(crate) struct CpuInfo {
    file: File,
    options: CpuInfoOptions,
}

/// A CPU as the file describes it; what it does not say is empty.
#[derive(Clone, Debug, Default, PartialEq)]
struct Described<'a> {
    processor: u64,
    package: &'a [u8],
    core: &'a [u8],
    vendor: &'a [u8],
    family: &'a [u8],
    model: &'a [u8],
    model_name: &'a [u8],
    microcode: &'a [u8],
    stepping: &'a [u8],
    cache_size: &'a [u8],
    megahertz: &'a [u8],
    flags: &'a [u8],
    bugs: &'a [u8],
}

impl CpuInfo {
    pub(crate) fn new(options: &CpuInfoOptions) -> Self {
        Self { file: File::default(), options: options.clone() }
    }

    /// Writes the descriptions.
    pub(crate) fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("cpuinfo"))?;
        let mut cpus = parse(self.file.lines()?)
            .ok_or_else(|| self.file.malformed("the last processor's part was cut"))?;
        if cpus.is_empty() {
            return Err(self.file.malformed("it describes no processor"));
        }
        cpus.sort_by_key(|cpu| cpu.processor);
        cpus.dedup_by_key(|cpu| cpu.processor);
        write_info(&cpus, context);
        let first = &cpus[0];
        let help = "Features of the first CPU; always 1.";
        write_words("node_cpu_flag_info", help, "flag", first.flags, self.options.flags.as_ref(), context);
        let help = "Defects of the first CPU; always 1.";
        write_words("node_cpu_bug_info", help, "bug", first.bugs, self.options.bugs.as_ref(), context);
        Ok(())
    }
}

/// How fast `/proc/cpuinfo` says that each CPU runs. The collector `cpufreq` writes it, as a family stands
/// once in a page.
#[derive(Debug, Default)]
pub(crate) struct Frequencies {
    file: File,
    /// The number of each CPU, its core and package, and its frequency in hertz.
    cpus: Vec<(u64, [String; 2], f64)>,
}

impl Frequencies {
    /// Reads them.
    pub(crate) fn read(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        self.cpus.clear();
        self.file.read(context.paths, Root::Proc, format_args!("cpuinfo"))?;
        let mut cpus = parse(self.file.lines()?)
            .ok_or_else(|| self.file.malformed("the last processor's part was cut"))?;
        cpus.sort_by_key(|cpu| cpu.processor);
        cpus.dedup_by_key(|cpu| cpu.processor);
        for cpu in cpus {
            let Some(megahertz) = scan::decimal(cpu.megahertz) else { continue };
            let place = [cpu.core, cpu.package].map(|text| scan::text(text).into_owned());
            self.cpus.push((cpu.processor, place, megahertz * HERTZ_PER_MEGAHERTZ));
        }
        Ok(())
    }

    /// Writes them. An empty label is as none: a CPU without core and package that is `told` already would
    /// stand twice.
    pub(crate) fn write(&self, family: &mut Family<'_, '_>, told: impl Fn(u64) -> bool) {
        for (number, [core, package], hertz) in &self.cpus {
            if !(core.is_empty() && package.is_empty() && told(*number)) {
                let cpu = number.to_string();
                family.sample(&[("core", core), ("cpu", &cpu), ("package", package)], *hertz);
            }
        }
    }
}

/// The processors in these lines. `None` when the last of them is not ended by an empty line.
fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Vec<Described<'a>>> {
    let mut cpus: Vec<Described<'a>> = Vec::new();
    let mut whole = true;
    for line in lines {
        whole |= line.is_empty();
        let Some((key, value)) = scan::split_at(line, b':') else { continue };
        if key == b"processor" {
            whole = false;
            if let Some(processor) = scan::number(value) {
                cpus.push(Described { processor, ..Described::default() });
            }
            continue;
        }
        let Some(cpu) = cpus.last_mut() else { continue };
        match key {
            b"physical id" => cpu.package = value,
            b"core id" => cpu.core = value,
            b"vendor_id" | b"CPU implementer" => cpu.vendor = value,
            b"cpu family" => cpu.family = value,
            b"model" => cpu.model = value,
            b"model name" => cpu.model_name = value,
            b"microcode" => cpu.microcode = value,
            b"stepping" => cpu.stepping = value,
            b"cache size" => cpu.cache_size = value,
            b"cpu MHz" => cpu.megahertz = value,
            b"flags" | b"Features" => cpu.flags = value,
            b"bugs" => cpu.bugs = value,
            _ => {}
        }
    }
    whole.then_some(cpus)
}

fn write_info(cpus: &[Described<'_>], context: &mut Context<'_>) {
    let help = "Each CPU as /proc/cpuinfo describes it; always 1.";
    let mut family = context.out.family("node_cpu_info", MetricType::Gauge, help);
    for cpu in cpus {
        let [cache_size, core, family_number, microcode, model, model_name, package, stepping, vendor] = [
            cpu.cache_size,
            cpu.core,
            cpu.family,
            cpu.microcode,
            cpu.model,
            cpu.model_name,
            cpu.package,
            cpu.stepping,
            cpu.vendor,
        ]
        .map(scan::text);
        family.sample(
            &[
                ("cachesize", &cache_size),
                ("core", &core),
                ("cpu", &cpu.processor.to_string()),
                ("family", &family_number),
                ("microcode", &microcode),
                ("model", &model),
                ("model_name", &model_name),
                ("package", &package),
                ("stepping", &stepping),
                ("vendor", &vendor),
            ],
            1.0,
        );
    }
}

/// One sample for each word that the expression admits.
fn write_words(
    name: &str,
    help: &str,
    label: &str,
    words: &[u8],
    include: Option<&Regex>,
    context: &mut Context<'_>,
) {
    let Some(include) = include else { return };
    let admitted = scan::fields(words).filter(|word| include.is_match(word));
    let mut admitted: Vec<Cow<'_, str>> = admitted.map(scan::text).collect();
    admitted.sort_unstable();
    admitted.dedup();
    let mut family = context.out.family(name, MetricType::Gauge, help);
    for word in admitted {
        family.sample(&[(label, &word)], 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_processor_line_begins_a_cpu() {
        let text =
            b"processor\t: 0\nmodel name\t: A: B\ncpu MHz\t\t: 2596.120\n\nprocessor : 1\nphysical id: 3\n\n";
        let cpus = parse(scan::lines(text)).unwrap();
        assert_eq!(cpus.len(), 2);
        assert_eq!((cpus[0].model_name, cpus[0].megahertz), (&b"A: B"[..], &b"2596.120"[..]));
        assert_eq!((cpus[1].processor, cpus[1].package, cpus[1].model_name), (1, &b"3"[..], &b""[..]));
        assert_eq!(parse(scan::lines(b"processor : 0\n\nprocessor : 1\nphysical id: 3")), None);
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(scan::lines(&data));
        }
    }
}
