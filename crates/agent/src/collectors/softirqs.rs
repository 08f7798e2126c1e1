//! `softirqs`: soft interrupts by kind and CPU, from `/proc/softirqs`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct SoftIrqs {
    file: File,
    /// The CPUs of the table's columns, without the word before the number.
    cpus: Vec<String>,
}

impl Collector for SoftIrqs {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("softirqs"))?;
        let mut lines = self.file.lines()?;
        let head = lines.next().unwrap_or_default();
        read_cpus(head, &mut self.cpus).ok_or_else(|| self.file.bad_line(head, "CPUs are expected"))?;
        let help = "Soft interrupts by kind and CPU.";
        let mut family = context.out.family("node_softirqs_functions_total", MetricType::Counter, help);
        let mut kinds: Vec<&str> = Vec::new();
        for line in lines {
            let (kind, counts) =
                parse(line).ok_or_else(|| self.file.bad_line(line, "a kind and its counts are expected"))?;
            if counts.clone().count() != self.cpus.len() {
                return Err(self.file.bad_line(line, "a count for each CPU is expected"));
            }
            if kinds.contains(&kind) {
                return Err(self.file.bad_line(line, "a kind stands twice: again"));
            }
            kinds.push(kind);
            for (cpu, count) in self.cpus.iter().zip(counts) {
                let count = scan::number(count)
                    .ok_or_else(|| self.file.bad_line(line, "a kind and its counts are expected"))?;
                family.sample(&[("cpu", cpu), ("type", kind)], count as f64);
            }
        }
        Ok(())
    }
}

/// The head of the table: `CPU0 CPU1 …`. The labels are kept while the machine keeps its CPUs.
fn read_cpus(head: &[u8], cpus: &mut Vec<String>) -> Option<()> {
    let mut found = 0;
    for field in scan::fields(head) {
        let number = field.strip_prefix(b"CPU").filter(|number| scan::number(number).is_some())?;
        if cpus.get(found).is_none_or(|cpu| cpu.as_bytes() != number) {
            cpus.truncate(found);
            cpus.push(scan::text(number).into_owned());
        }
        found += 1;
    }
    cpus.truncate(found);
    let is_new = |at: usize| !cpus[..at].contains(&cpus[at]);
    (found > 0 && (1..found).all(is_new)).then_some(())
}

/// A line such as `NET_RX: 11 12`.
fn parse(line: &[u8]) -> Option<(&str, scan::Fields<'_>)> {
    let mut fields = scan::fields(line);
    let kind = fields.next()?.strip_suffix(b":").filter(|kind| scan::is_name(kind))?;
    Some((std::str::from_utf8(kind).ok()?, fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_columns_follow_the_machine() {
        let mut cpus = Vec::new();
        for (head, expected) in [
            ("  CPU0  CPU1 CPU2", Some(&["0", "1", "2"][..])),
            ("CPU0 CPU2", Some(&["0", "2"])),
            ("CPU0 CPU2 CPU3", Some(&["0", "2", "3"])),
            ("", None),
            ("CPU", None),
            ("CPU0 CPU1 CPU0", None),
            ("a b", None),
        ] {
            let read = read_cpus(head.as_bytes(), &mut cpus);
            assert_eq!(
                read.map(|()| cpus.as_slice()),
                expected.map(|e| e.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>()).as_deref(),
                "{head:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            parse(&line);
            let _ = read_cpus(&line, &mut Vec::new());
        }
    }
}
