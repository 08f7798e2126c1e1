//! `perf`: events that the processor and the kernel count on each CPU. Counting begins with the first
//! scrape; what this machine cannot count is left out.

use crate::{
    collector::{Collector, Context},
    collectors::perf_columns::{CACHE, Column, HARDWARE, SOFTWARE},
    error::{CollectError, OptionsError},
    host::Host,
    perf_events::{Count, Event},
    scan::{self, MAX_CPUS},
    source::{File, Root},
};
use rustix::io::Errno;
use skopos_model::MetricType::Counter;
use std::io;

const CALL: &str = "perf_event_open";
/// Where the kernel keeps its tracepoints; the second is its former place.
const TRACING: [&str; 2] = ["kernel/tracing", "kernel/debug/tracing"];

/// Options of `perf`.
#[derive(Clone, Debug)]
pub struct PerfOptions {
    /// The CPUs to watch; nothing for all.
    pub cpus: Option<Vec<usize>>,
    /// Points in the kernel's code: subsystem and event.
    pub tracepoints: Vec<(String, String)>,
    /// The events to count, by what the flags call them.
    pub events: Vec<&'static str>,
}

impl PerfOptions {
    /// The names of the events of a group: those asked for, or all.
    pub(crate) fn group(
        flag: &'static str,
        asked: &[String],
        group: &'static [Column],
    ) -> Result<Vec<&'static str>, OptionsError> {
        if asked.is_empty() {
            return Ok(group.iter().map(|column| column.name).collect());
        }
        let find = |name: &String| group.iter().map(|column| column.name).find(|known| known == name);
        let known = |name: &String| {
            let what = "no event of this name is known; docs/agent.md lists them";
            find(name).ok_or_else(|| OptionsError::Value { flag, value: name.clone(), what })
        };
        asked.iter().map(known).collect()
    }

    /// `0,2-7:2` for the CPUs 0, 2, 4 and 6.
    pub(crate) fn parse_cpus(list: &str) -> Option<Vec<usize>> {
        let number = |text: &str| scan::number(text.as_bytes()).and_then(|n| usize::try_from(n).ok());
        let mut cpus = Vec::new();
        for part in list.split(',') {
            let (range, stride) = part.split_once(':').unwrap_or((part, "1"));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last, stride) = (number(first)?, number(last)?, number(stride)?);
            if stride == 0 || first > last || last >= MAX_CPUS || cpus.len() > MAX_CPUS {
                return None;
            }
            cpus.extend((first..=last).step_by(stride));
        }
        cpus.sort_unstable();
        cpus.dedup();
        Some(cpus)
    }
}

/// The collector.
#[derive(Debug)]
pub(crate) struct Perf {
    options: PerfOptions,
    file: File,
    families: Vec<Family>,
}

/// A metric and its counters, one a CPU.
#[derive(Debug)]
struct Family {
    name: String,
    help: String,
    counts: Vec<CpuCount>,
}

#[derive(Debug)]
struct CpuCount {
    cpu: String,
    count: Box<dyn Count>,
    /// What was shown last: an estimate never goes back.
    shown: f64,
}

impl Perf {
    pub(crate) fn new(options: &PerfOptions) -> Self {
        Self { options: options.clone(), file: File::default(), families: Vec::new() }
    }

    /// Begins to count all events on all CPUs.
    fn begin(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        let cpus = match &self.options.cpus {
            Some(cpus) => cpus.clone(),
            None => self.online(context)?,
        };
        let mut events: Vec<(String, String, Event)> = Vec::new();
        for (subsystem, event) in &self.options.tracepoints {
            let id = tracepoint_id(&mut self.file, context, subsystem, event)?;
            let help = format!("How often the kernel passed {subsystem}:{event}, by CPU.");
            events.push((format!("node_perf_{subsystem}_{event}"), help, Event::tracepoint(id)));
        }
        for column in [HARDWARE, SOFTWARE, CACHE].into_iter().flatten() {
            if self.options.events.contains(&column.name) {
                events.push((column.metric.to_owned(), column.help.to_owned(), column.event));
            }
        }
        let mut families = Vec::new();
        for (name, help, event) in events {
            let counts = count_on(context.host, &event, &cpus)?;
            if !counts.is_empty() {
                families.push(Family { name, help, counts });
            }
        }
        if families.is_empty() {
            return Err(CollectError::NoData("this machine can count none of the events".into()));
        }
        self.families = families;
        Ok(())
    }

    fn online(&mut self, context: &Context<'_>) -> Result<Vec<usize>, CollectError> {
        self.file.read(context.paths, Root::Sys, format_args!("devices/system/cpu/online"))?;
        let mut cpus = scan::cpu_list(self.file.data())
            .ok_or_else(|| self.file.malformed("a list of CPUs is expected"))?;
        cpus.sort_unstable();
        cpus.dedup();
        Ok(cpus)
    }
}

/// Counters of the event, of the CPUs that can count it.
fn count_on(host: &dyn Host, event: &Event, cpus: &[usize]) -> Result<Vec<CpuCount>, CollectError> {
    let mut counts = Vec::new();
    for cpu in cpus {
        match host.count_events(event, *cpu) {
            Ok(count) => counts.push(CpuCount { cpu: cpu.to_string(), count, shown: 0.0 }),
            Err(error) if cannot_count(&error) => {}
            Err(error) => return Err(CollectError::System { call: CALL, error }),
        }
    }
    Ok(counts)
}

/// The processor has no such event, or the CPU is not there.
fn cannot_count(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    let codes = [Errno::NOENT, Errno::NODEV, Errno::OPNOTSUPP, Errno::INVAL, Errno::NXIO];
    codes.iter().any(|errno| code == Some(errno.raw_os_error()))
}

fn tracepoint_id(
    file: &mut File,
    context: &Context<'_>,
    subsystem: &str,
    event: &str,
) -> Result<u64, CollectError> {
    let mut result = Ok(());
    for folder in TRACING {
        result = file.read(context.paths, Root::Sys, format_args!("{folder}/events/{subsystem}/{event}/id"));
        if result.is_ok() {
            let id = scan::number(file.data().trim_ascii());
            return id.ok_or_else(|| file.malformed("a number is expected"));
        }
    }
    result.map(|()| 0)
}

impl Collector for Perf {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if self.families.is_empty() {
            self.begin(context)?;
        }
        for Family { name, help, counts } in &mut self.families {
            let mut family = context.out.family(name, Counter, help);
            for count in counts {
                let counted = count.count.read();
                let counted =
                    counted.map_err(|error| CollectError::System { call: "read of a counter", error })?;
                count.shown = counted.estimate().max(count.shown);
                family.sample(&[("cpu", &count.cpu)], count.shown);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        for (list, cpus) in [
            ("0", Some(vec![0])),
            ("1-10:5", Some(vec![1, 6])),
            ("0,2-4,3", Some(vec![0, 2, 3, 4])),
            ("", None),
            ("4-2", None),
            ("0-3:0", None),
            ("0-99999", None),
            ("a", None),
        ] {
            assert_eq!(PerfOptions::parse_cpus(list), cpus, "{list:?}");
        }
    }

    #[test]
    fn events_are_asked_for_by_name() {
        let asked = ["MinorFault".to_owned()];
        assert_eq!(PerfOptions::group("flag", &asked, SOFTWARE).unwrap(), ["MinorFault"]);
        assert_eq!(PerfOptions::group("flag", &[], SOFTWARE).unwrap().len(), 5);
        assert!(PerfOptions::group("flag", &asked, CACHE).is_err());
    }
}
