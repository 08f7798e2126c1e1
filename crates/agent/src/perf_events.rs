//! Events that the processor or the kernel counts, by `perf_event_open`. The calls themselves, which need
//! `unsafe`, stand in the crate `perf-event2`; this module says what is counted and reads the counts.

use perf_event::{Builder, Counter, events::Software};
use rustix::io::Errno;
use skopos_base::real::raise_file_limit;
use std::{fmt, io, time::Duration};

/// What is counted, in the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// `PERF_TYPE_…`.
    pub kind: u32,
    /// Which event of that type.
    pub config: u64,
}

impl Event {
    /// An event of the processor, `PERF_COUNT_HW_…`.
    pub const fn hardware(config: u64) -> Self {
        Self { kind: 0, config }
    }

    /// An event of the kernel, `PERF_COUNT_SW_…`.
    pub const fn software(config: u64) -> Self {
        Self { kind: 1, config }
    }

    /// A point in the kernel's code, by its number.
    pub const fn tracepoint(id: u64) -> Self {
        Self { kind: 2, config: id }
    }

    /// An event of a cache.
    pub const fn cache(cache: Cache, access: Access) -> Self {
        Self { kind: 3, config: cache as u64 | access as u64 }
    }
}

/// A cache of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Of data, nearest to the core.
    L1Data = 0,
    /// Of instructions, nearest to the core.
    L1Instructions = 1,
    /// The last before the memory.
    LastLevel = 2,
    /// Of addresses of data.
    DataTlb = 3,
    /// Of addresses of instructions.
    InstructionTlb = 4,
    /// Of the predictions of branches.
    Branches = 5,
}

/// What was done with a cache, and how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A read.
    Read = 0,
    /// A write.
    Write = 0x0_0100,
    /// A read of what was not there.
    ReadMiss = 0x1_0000,
    /// A write of what was not there.
    WriteMiss = 0x1_0100,
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// How often the event was seen.
    pub seen: u64,
    /// How long it was to be counted.
    pub enabled: Duration,
    /// How long it was counted: processors have fewer counters than events.
    pub running: Duration,
}

impl Counted {
    /// How often the event happened: what was seen, and as much for the time in which nobody looked.
    pub fn estimate(&self) -> f64 {
        let seen = self.seen as f64;
        if self.running.is_zero() || self.running >= self.enabled {
            return seen;
        }
        (seen * (self.enabled.as_secs_f64() / self.running.as_secs_f64())).round()
    }
}

/// An event that is being counted. Dropping it ends that.
pub trait Count: Send + fmt::Debug {
    /// What was counted so far.
    fn read(&mut self) -> io::Result<Counted>;
}

#[derive(Debug)]
struct KernelCount(Counter);

impl Count for KernelCount {
    fn read(&mut self) -> io::Result<Counted> {
        let data = self.0.read_full()?;
        Ok(Counted {
            seen: data.count(),
            enabled: data.time_enabled().unwrap_or_default(),
            running: data.time_running().unwrap_or_default(),
        })
    }
}

/// Begins to count `event` on `cpu`, whoever runs there. Each count is an open file, and a large machine has
/// more of them than a program may usually have: then the program takes what it may have at most.
pub(crate) fn count(event: &Event, cpu: usize) -> io::Result<Box<dyn Count>> {
    match begin(event, cpu) {
        Err(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
            raise_file_limit()?;
            begin(event, cpu)
        }
        other => other,
    }
}

fn begin(event: &Event, cpu: usize) -> io::Result<Box<dyn Count>> {
    let mut builder = Builder::new(Software::DUMMY);
    builder.any_pid().one_cpu(cpu).include_kernel();
    let attributes = builder.attrs_mut();
    attributes.type_ = event.kind;
    attributes.config = event.config;
    let mut counter = builder.build()?;
    counter.enable()?;
    Ok(Box::new(KernelCount(counter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_looked_at_is_estimated() {
        let counted = |seen, enabled, running| Counted {
            seen,
            enabled: Duration::from_secs(enabled),
            running: Duration::from_secs(running),
        };
        for (counted, estimate) in [
            (counted(10, 8, 8), 10.0),
            (counted(10, 8, 4), 20.0),
            (counted(0, 8, 0), 0.0),
            (counted(10, 4, 8), 10.0),
        ] {
            assert_eq!(counted.estimate(), estimate, "{counted:?}");
        }
    }

    #[test]
    fn the_kernels_numbers() {
        assert_eq!(Event::cache(Cache::InstructionTlb, Access::ReadMiss).config, 0x1_0004);
        assert_eq!(Event::cache(Cache::LastLevel, Access::WriteMiss).config, 0x1_0102);
    }
}
