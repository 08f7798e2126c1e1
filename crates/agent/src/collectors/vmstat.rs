//! `vmstat`: the chosen fields of `/proc/vmstat`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root},
};
use regex::bytes::Regex;
use skopos_model::MetricType;

/// The collector.
#[derive(Debug)]
pub(crate) struct VmStat {
    file: KeptFile,
    name: String,
    fields: Regex,
}

impl VmStat {
    pub(crate) fn new(fields: &Regex) -> Self {
        Self { file: KeptFile::default(), name: String::new(), fields: fields.clone() }
    }
}

impl Collector for VmStat {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("vmstat"))?;
        for line in self.file.lines()? {
            let (field, value) =
                parse(line).ok_or_else(|| self.file.bad_line(line, "a name and a number are expected"))?;
            if !self.fields.is_match(field) {
                continue;
            }
            self.name.clear();
            self.name.push_str("node_vmstat_");
            self.name.push_str(&scan::text(field));
            // The kernel does not say which of these count and which do not.
            context
                .out
                .family(&self.name, MetricType::Unknown, "A field of /proc/vmstat.")
                .sample(&[], value as f64);
        }
        Ok(())
    }
}

fn parse(line: &[u8]) -> Option<(&[u8], u64)> {
    let mut fields = scan::fields(line);
    let name = fields.next().filter(|name| scan::is_name(name))?;
    // A few fields are differences of per-CPU counters and can be below zero for a moment.
    let value = fields.next()?;
    let value =
        if value.starts_with(b"-") { scan::number(&value[1..]).map(|_| 0)? } else { scan::number(value)? };
    Some((name, value))
}
