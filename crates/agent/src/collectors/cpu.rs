//! `cpu`: the seconds that each CPU spent in each mode, and what belongs to CPUs: throttling, which
//! are isolated, which are online, and their description when asked for.

use super::{cpu_info::CpuInfo, cpu_topology::Topology};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    options::CpuOptions,
    scan,
    source::{KeptFile, Root, exists},
};
use skopos_model::MetricType;
use std::fmt::Write as _;

/// The kernel's clock ticks to user space: it is 100 on every platform since Linux 2.6.
const TICKS_PER_SECOND: f64 = 100.0;
/// The kernel's idle counter can go back a little. When it goes back by more than this, the CPU was
/// taken out and put in again, and its counters begin anew.
const JUMP_BACK_TICKS: u64 = 300;

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE: usize = 3;
const GUEST_MODES: [&str; 2] = ["user", "nice"];
const COLUMNS: usize = MODES.len() + GUEST_MODES.len();

const FOLDER: &str = "devices/system/cpu";

/// A CPU's ticks by mode, guests last.
type Ticks = [u64; COLUMNS];

/// The collector.
#[derive(Debug)]
pub(crate) struct Cpu {
    file: KeptFile,
    guest: bool,
    info: Option<CpuInfo>,
    topology: Topology,
    /// The ticks last shown of each CPU; `None` for those that are not online.
    shown: Vec<Option<Ticks>>,
    label: String,
}

impl Cpu {
    pub(crate) fn new(options: &CpuOptions) -> Self {
        Self {
            file: KeptFile::default(),
            guest: options.guest,
            info: options.info.as_ref().map(CpuInfo::new),
            topology: Topology::default(),
            shown: Vec::new(),
            label: String::new(),
        }
    }

    fn read_ticks(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("stat"))?;
        let mut online = vec![false; self.shown.len()];
        for line in self.file.lines()? {
            let Some(rest) =
                line.strip_prefix(b"cpu").filter(|rest| rest.first().is_some_and(u8::is_ascii_digit))
            else {
                continue;
            };
            let (cpu, ticks) =
                parse(rest).ok_or_else(|| self.file.bad_line(line, "a CPU's ticks are expected"))?;
            if cpu >= self.shown.len() {
                self.shown.resize(cpu + 1, None);
                online.resize(cpu + 1, false);
            }
            online[cpu] = true;
            self.shown[cpu] = Some(self.shown[cpu].map_or(ticks, |shown| advance(shown, ticks)));
        }
        if !online.contains(&true) {
            return Err(self.file.malformed("no CPU stands in it"));
        }
        for (shown, online) in self.shown.iter_mut().zip(online) {
            if !online {
                *shown = None;
            }
        }
        Ok(())
    }

    fn write_ticks(&mut self, context: &mut Context<'_>) {
        let help = "Seconds that each CPU spent in each mode.";
        let mut family = context.out.family("node_cpu_seconds_total", MetricType::Counter, help);
        for (cpu, ticks) in self.shown.iter().enumerate() {
            let Some(ticks) = ticks else { continue };
            write_label(&mut self.label, cpu);
            for (mode, ticks) in MODES.iter().zip(ticks) {
                family.sample(&[("cpu", &self.label), ("mode", mode)], *ticks as f64 / TICKS_PER_SECOND);
            }
        }
        if !self.guest {
            return;
        }
        let help = "Seconds that each CPU spent running guests; they are part of user and nice too.";
        let mut family = context.out.family("node_cpu_guest_seconds_total", MetricType::Counter, help);
        for (cpu, ticks) in self.shown.iter().enumerate() {
            let Some(ticks) = ticks else { continue };
            write_label(&mut self.label, cpu);
            for (mode, ticks) in GUEST_MODES.iter().zip(&ticks[MODES.len()..]) {
                family.sample(&[("cpu", &self.label), ("mode", mode)], *ticks as f64 / TICKS_PER_SECOND);
            }
        }
    }

    fn write_isolated(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let path = format_args!("{FOLDER}/isolated");
        if !self.file.read_if_exists(context.paths, Root::Sys, path)? {
            return Ok(());
        }
        let cpus = scan::cpu_list(self.file.data()).ok_or_else(|| self.file.malformed("no list of CPUs"))?;
        let help = "The CPUs that the scheduler leaves alone; always 1.";
        let mut family = context.out.family("node_cpu_isolated", MetricType::Gauge, help);
        for cpu in cpus {
            write_label(&mut self.label, cpu);
            family.sample(&[("cpu", &self.label)], 1.0);
        }
        Ok(())
    }

    /// Which CPUs are online. Machines whose first CPU cannot be taken out tell nothing, as in the
    /// reference.
    fn write_online(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Sys, "devices/system/cpu/cpu0/online") {
            return Ok(());
        }
        let mut list = |name: &str| -> Result<Vec<usize>, CollectError> {
            self.file.read(context.paths, Root::Sys, format_args!("{FOLDER}/{name}"))?;
            scan::cpu_list(self.file.data()).ok_or_else(|| self.file.malformed("no list of CPUs"))
        };
        let online = list("online")?;
        let present = list("present")?;
        let help = "Whether each CPU is online.";
        let mut family = context.out.family("node_cpu_online", MetricType::Gauge, help);
        for cpu in present {
            write_label(&mut self.label, cpu);
            family.sample(&[("cpu", &self.label)], f64::from(u8::from(online.contains(&cpu))));
        }
        Ok(())
    }
}

impl Collector for Cpu {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if let Some(info) = &mut self.info {
            info.collect(context)?;
        }
        self.read_ticks(context)?;
        self.write_ticks(context);
        self.write_isolated(context)?;
        self.topology.collect(context)?;
        self.write_online(context)
    }
}

fn write_label(label: &mut String, cpu: usize) {
    label.clear();
    write!(label, "{cpu}").expect("invariant: writing to a String cannot fail");
}

/// A line of `/proc/stat` behind its `cpu`: the CPU's number and its ticks. Old kernels have fewer
/// columns; what they do not count is zero.
fn parse(rest: &[u8]) -> Option<(usize, Ticks)> {
    let mut fields = scan::fields(rest);
    let cpu = usize::try_from(fields.number()?).ok().filter(|cpu| *cpu < scan::MAX_CPUS)?;
    let mut ticks = [0; COLUMNS];
    let mut given = 0;
    for (column, field) in ticks.iter_mut().zip(fields) {
        *column = scan::number(field)?;
        given += 1;
    }
    (given > IDLE).then_some((cpu, ticks))
}

/// What to show after `shown`, now that the kernel says `now`: no counter goes back, unless the CPU
/// began anew.
fn advance(shown: Ticks, now: Ticks) -> Ticks {
    if shown[IDLE].saturating_sub(now[IDLE]) >= JUMP_BACK_TICKS {
        return now;
    }
    std::array::from_fn(|i| shown[i].max(now[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counters_do_not_go_back_unless_the_cpu_began_anew() {
        let ticks = |user, idle| {
            let mut ticks = [0; COLUMNS];
            (ticks[0], ticks[IDLE]) = (user, idle);
            ticks
        };
        for (shown, now, next) in [
            (ticks(10, 1000), ticks(12, 1001), ticks(12, 1001)),
            (ticks(10, 1000), ticks(9, 1001), ticks(10, 1001)),
            (ticks(10, 1000), ticks(11, 701), ticks(11, 1000)),
            (ticks(10, 1000), ticks(1, 700), ticks(1, 700)),
        ] {
            assert_eq!(advance(shown, now), next);
        }
    }

    #[test]
    fn lines_of_old_kernels_have_fewer_columns() {
        let (cpu, ticks) = parse(b"7 1 2 3 4 5 6 7 8 9 10 11").unwrap();
        assert_eq!((cpu, ticks), (7, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
        assert_eq!(parse(b"0 1 2 3 4").unwrap().1[IDLE..], [4, 0, 0, 0, 0, 0, 0]);
        for line in ["0", "0 1 2 3", "x 1 2 3 4", "99999 1 2 3 4", "0 1 2 3 4 -5"] {
            assert_eq!(parse(line.as_bytes()), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            parse(&line);
        }
    }
}
