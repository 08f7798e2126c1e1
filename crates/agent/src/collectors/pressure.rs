//! `pressure`: how long work waited for CPU, I/O, memory and interrupts, from `/proc/pressure`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root},
};

/// A file of `/proc/pressure` and the metrics of its lines.
#[derive(Debug)]
struct Resource {
    name: &'static str,
    some: Option<(&'static str, &'static str)>,
    full: Option<(&'static str, &'static str)>,
}

/// The whole machine can never be out of CPU, and interrupts stall all or nobody: these two have one
/// line of meaning.
const RESOURCES: &[Resource] = &[
    Resource {
        name: "cpu",
        some: Some((
            "node_pressure_cpu_waiting_seconds_total",
            "Seconds in which some process waited for a CPU.",
        )),
        full: None,
    },
    Resource {
        name: "io",
        some: Some((
            "node_pressure_io_waiting_seconds_total",
            "Seconds in which some process waited for I/O.",
        )),
        full: Some((
            "node_pressure_io_stalled_seconds_total",
            "Seconds in which all busy processes waited for I/O.",
        )),
    },
    Resource {
        name: "memory",
        some: Some((
            "node_pressure_memory_waiting_seconds_total",
            "Seconds in which some process waited for memory.",
        )),
        full: Some((
            "node_pressure_memory_stalled_seconds_total",
            "Seconds in which all busy processes waited for memory.",
        )),
    },
    Resource {
        name: "irq",
        some: None,
        full: Some((
            "node_pressure_irq_stalled_seconds_total",
            "Seconds in which interrupts kept all processes from running.",
        )),
    },
];

const MICROSECONDS: f64 = 1e6;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    file: KeptFile,
}

impl Collector for Pressure {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let mut found = false;
        for resource in RESOURCES {
            found |= self.collect_one(resource, context)?;
        }
        if found {
            Ok(())
        } else {
            Err(unavailable("the kernel has no pressure information (it came with 4.20)"))
        }
    }
}

impl Pressure {
    /// Returns whether the kernel has the resource's file.
    fn collect_one(&mut self, resource: &Resource, context: &mut Context<'_>) -> Result<bool, CollectError> {
        let name = resource.name;
        match self.file.read(context.paths, Root::Proc, format_args!("pressure/{name}")) {
            Ok(()) => {}
            Err(error) if error.is_missing() => return Ok(false),
            Err(CollectError::Read { error, .. }) if is_unsupported(&error) => {
                return Err(unavailable("pressure information is off; boot with psi=1 to turn it on"));
            }
            Err(error) => return Err(error),
        }
        let (mut some, mut full) = (None, None);
        for line in self.file.lines()? {
            let (kind, total) = parse(line).ok_or_else(|| self.file.bad_line(line, "a total is expected"))?;
            match kind {
                b"some" => some = Some(total),
                b"full" => full = Some(total),
                _ => {}
            }
        }
        for (family, total) in [(resource.some, some), (resource.full, full)] {
            let Some((family, help)) = family else { continue };
            let total = total.ok_or_else(|| unavailable("a line of the pressure information is missing"))?;
            context.out.counter(family, help, total as f64 / MICROSECONDS);
        }
        Ok(true)
    }
}

/// A kernel that was booted without pressure information has its files but does not let them be read.
fn is_unsupported(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::OPNOTSUPP.raw_os_error())
}

fn unavailable(why: &str) -> CollectError {
    CollectError::NoData(why.into())
}

/// A line such as `some avg10=0.24 avg60=0.28 avg300=0.29 total=7533576`.
fn parse(line: &[u8]) -> Option<(&[u8], u64)> {
    let mut fields = scan::fields(line);
    let kind = fields.next()?;
    let total = fields.find_map(|field| field.strip_prefix(b"total="))?;
    Some((kind, scan::number(total)?))
}
