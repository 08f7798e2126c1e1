//! `lnstat`: the kernel's caches of the network by CPU, from `/proc/net/stat`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, names_in},
};
use skopos_model::MetricType;
use std::collections::BTreeMap;

const FOLDER: &str = "net/stat";

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct LnStat {
    file: File,
}

/// By column: the number of the file, the number of the CPU's line, the value.
type Columns = BTreeMap<String, Vec<(usize, usize, u64)>>;

impl Collector for LnStat {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let files = names_in(context.paths, Root::Proc, FOLDER)?;
        let mut columns = Columns::new();
        for (i, name) in files.iter().enumerate() {
            self.file.read(context.paths, Root::Proc, format_args!("{FOLDER}/{name}"))?;
            self.read(i, &mut columns)?;
        }
        for (column, values) in &columns {
            let name = format!("node_lnstat_{column}_total");
            let help = "A counter of one of the kernel's caches of the network.";
            let mut family = context.out.family(&name, MetricType::Counter, help);
            for (file, cpu, value) in values {
                family.sample(&[("cpu", &cpu.to_string()), ("subsystem", &files[*file])], *value as f64);
            }
        }
        Ok(())
    }
}

impl LnStat {
    /// A line of titles, then a line for each CPU, all numbers hexadecimal.
    fn read(&self, file: usize, columns: &mut Columns) -> Result<(), CollectError> {
        let mut lines = self.file.lines()?;
        let titles: Vec<_> = scan::fields(lines.next().unwrap_or_default()).collect();
        let is_repeated = |(i, title): (usize, &&[u8])| titles[..i].contains(title);
        if !titles.iter().all(|title| scan::is_name(title)) || titles.iter().enumerate().any(is_repeated) {
            return Err(self.file.malformed("a line of titles is expected"));
        }
        for (cpu, line) in lines.enumerate() {
            let mut fields = scan::fields(line);
            for title in &titles {
                let value = fields.next().and_then(scan::hexadecimal);
                let value =
                    value.ok_or_else(|| self.file.bad_line(line, "a number for each title is expected"))?;
                columns.entry(scan::text(title).into_owned()).or_default().push((file, cpu, value));
            }
        }
        Ok(())
    }
}
