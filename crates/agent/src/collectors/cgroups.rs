//! `cgroups`: how many control groups each controller has, from `/proc/cgroups`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    file: File,
}

impl Collector for Cgroups {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("cgroups"))?;
        let mut rows = Vec::new();
        for line in self.file.lines()?.filter(|line| !line.starts_with(b"#")) {
            let (name, numbers) =
                parse(line).ok_or_else(|| self.file.bad_line(line, "a controller is expected"))?;
            rows.push((scan::text(name), numbers));
        }
        rows.sort_unstable();
        rows.dedup_by(|a, b| a.0 == b.0);
        for (i, (name, help)) in [
            ("node_cgroups_cgroups", "Control groups of the controller."),
            ("node_cgroups_enabled", "Whether the controller is enabled."),
        ]
        .into_iter()
        .enumerate()
        {
            let mut family = context.out.family(name, MetricType::Gauge, help);
            for (controller, numbers) in &rows {
                family.sample(&[("subsys_name", controller)], numbers[i] as f64);
            }
        }
        Ok(())
    }
}

/// A line such as `cpu 4 7 1`: the hierarchy, the number of groups, whether it is enabled.
fn parse(line: &[u8]) -> Option<(&[u8], [u64; 2])> {
    let mut fields = scan::fields(line);
    let name = fields.next()?;
    fields.number()?;
    Some((name, [fields.number()?, fields.number()?]))
}
