//! `vmstat`: the chosen fields of `/proc/vmstat`. Which are chosen is decided once for each line, as lines
//! stay the same.

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
    fields: Regex,
    lines: Vec<Line>,
}

/// A line of the file.
#[derive(Debug, Default)]
struct Line {
    name: Vec<u8>,
    /// Its family, if it is chosen.
    family: Option<String>,
}

impl VmStat {
    pub(crate) fn new(fields: &Regex) -> Self {
        Self { file: KeptFile::default(), fields: fields.clone(), lines: Vec::new() }
    }
}

impl Collector for VmStat {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("vmstat"))?;
        for (at, line) in self.file.lines()?.enumerate() {
            let (name, value) =
                parse(line).ok_or_else(|| self.file.bad_line(line, "a name and a number are expected"))?;
            if self.lines.len() == at {
                self.lines.push(Line::default());
            }
            let known = &mut self.lines[at];
            if known.name != name {
                known.name.clear();
                known.name.extend_from_slice(name);
                let is_chosen = self.fields.is_match(name);
                known.family = is_chosen.then(|| format!("node_vmstat_{}", scan::text(name)));
            }
            if let Some(family) = &known.family {
                // The kernel does not say which of these count and which do not.
                let mut family = context.out.family(family, MetricType::Unknown, "A field of /proc/vmstat.");
                family.sample(&[], value as f64);
            }
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
