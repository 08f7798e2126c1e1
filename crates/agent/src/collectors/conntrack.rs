//! `conntrack`: connections that the kernel follows, from `/proc/sys/net/netfilter` and
//! `/proc/net/stat/nf_conntrack`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root},
};

/// The families of the table's columns: each CPU has a line, and a value is the sum of all.
const COLUMNS: &[(usize, &str, &str)] = &[
    (2, "node_nf_conntrack_stat_found", "Entries that were looked up and found."),
    (4, "node_nf_conntrack_stat_invalid", "Packets that cannot be followed."),
    (5, "node_nf_conntrack_stat_ignore", "Packets that belong to an entry already."),
    (8, "node_nf_conntrack_stat_insert", "Entries that were put in."),
    (9, "node_nf_conntrack_stat_insert_failed", "Entries that could not be put in."),
    (10, "node_nf_conntrack_stat_drop", "Packets dropped because their connection could not be followed."),
    (11, "node_nf_conntrack_stat_early_drop", "Entries dropped to make room for others."),
    (16, "node_nf_conntrack_stat_search_restart", "Look-ups that began again as the table was resized."),
];
const WIDTH: usize = 17;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct ConnTrack {
    file: KeptFile,
}

impl ConnTrack {
    fn sums(&mut self, context: &Context<'_>) -> Result<[u64; WIDTH], CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("net/stat/nf_conntrack"))?;
        let mut sums = [0_u64; WIDTH];
        for line in self.file.lines()?.skip(1) {
            let values =
                parse(line).ok_or_else(|| self.file.bad_line(line, "17 hexadecimal numbers are expected"))?;
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = sum.wrapping_add(value);
            }
        }
        Ok(sums)
    }

    fn read(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let entries = self.file.proc_number(context.paths, "sys/net/netfilter/nf_conntrack_count")?;
        let limit = self.file.proc_number(context.paths, "sys/net/netfilter/nf_conntrack_max")?;
        let sums = self.sums(context)?;
        let out = &mut context.out;
        out.gauge("node_nf_conntrack_entries", "Connections that are followed.", entries as f64);
        out.gauge("node_nf_conntrack_entries_limit", "Connections that may be followed.", limit as f64);
        for (at, name, help) in COLUMNS {
            out.gauge(name, help, sums[*at] as f64);
        }
        Ok(())
    }
}

impl Collector for ConnTrack {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.read(context).map_err(|error| match error.is_missing() {
            true => CollectError::NoData("the kernel follows no connections".into()),
            false => error,
        })
    }
}

fn parse(line: &[u8]) -> Option<[u64; WIDTH]> {
    let mut fields = scan::fields(line);
    let mut values = [0; WIDTH];
    for value in &mut values {
        *value = scan::hexadecimal(fields.next()?)?;
    }
    Some(values)
}
