//! `interrupts`: interrupts by CPU and line, from `/proc/interrupts`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    options::InterruptOptions,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;

/// The collector.
#[derive(Debug)]
pub(crate) struct Interrupts {
    file: File,
    options: InterruptOptions,
    /// The numbers of the CPUs, as labels.
    cpus: Vec<String>,
}

/// A line: its name, its CPUs' fields and what follows them, the type of controller, the devices.
#[derive(Debug)]
struct Row<'a> {
    name: &'a str,
    counts: scan::Fields<'a>,
    info: String,
    devices: String,
}

impl Interrupts {
    pub(crate) fn new(options: &InterruptOptions) -> Self {
        Self { file: File::default(), options: options.clone(), cpus: Vec::new() }
    }
}

impl Collector for Interrupts {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let Self { file, options, cpus } = self;
        file.read(context.paths, Root::Proc, format_args!("interrupts"))?;
        let mut lines = file.lines()?;
        read_cpus(lines.next().unwrap_or_default(), cpus)
            .ok_or_else(|| file.malformed("a line with the names of the CPUs is expected"))?;
        let help = "Interrupts by CPU and kind.";
        let mut family = context.out.family("node_interrupts_total", MetricType::Counter, help);
        let mut seen: Vec<&str> = Vec::new();
        for line in lines {
            // Lines with one number for all CPUs, as that of errors, are passed over.
            let Some(row) = parse(line, cpus.len()) else { continue };
            if seen.contains(&row.name) {
                return Err(file.bad_line(line, "an interrupt that did not stand before is expected"));
            }
            seen.push(row.name);
            let Row { name, info, devices, .. } = &row;
            if !options.names.admits(format!("{name};{info};{devices}").as_bytes()) {
                continue;
            }
            for (cpu, count) in cpus.iter().zip(row.counts.clone()) {
                let count = scan::number(count).ok_or_else(|| file.bad_line(line, "numbers are expected"))?;
                if count > 0 || options.zeros {
                    family.sample(
                        &[("cpu", cpu), ("devices", devices), ("info", info), ("type", name)],
                        count as f64,
                    );
                }
            }
        }
        Ok(())
    }
}

/// `           CPU0       CPU1`: CPUs that are offline have no column.
fn read_cpus(line: &[u8], cpus: &mut Vec<String>) -> Option<()> {
    cpus.clear();
    let mut last = None;
    for field in scan::fields(line) {
        let cpu = scan::number(field.strip_prefix(b"CPU")?)?;
        if last.is_some_and(|last| last >= cpu) || cpu >= scan::MAX_CPUS as u64 {
            return None;
        }
        last = Some(cpu);
        cpus.push(cpu.to_string());
    }
    last.map(drop)
}

/// A line such as ` 28:   0   12   PCI-MSI-0000:00:01.0   0-edge   virtio0-config`. On some machines
/// nothing stands between the colon and the first number. Only numbered lines have devices.
fn parse(line: &[u8], cpus: usize) -> Option<Row<'_>> {
    let (name, rest) = scan::split_at(line, b':')?;
    let counts = scan::fields(rest);
    let mut words = counts.clone().skip(cpus).map(scan::text).peekable();
    words.peek()?;
    let is_numbered = scan::number(name).is_some();
    let info = if is_numbered { words.next()?.into_owned() } else { join(&mut words) };
    Some(Row { name: std::str::from_utf8(name).ok()?, counts, info, devices: join(&mut words) })
}

fn join<'a>(words: &mut dyn Iterator<Item = std::borrow::Cow<'a, str>>) -> String {
    let words: Vec<_> = words.collect();
    words.join(" ")
}
