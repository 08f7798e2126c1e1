//! `loadavg`: the load averages of `/proc/loadavg`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root},
};

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct LoadAvg {
    file: KeptFile,
}

impl Collector for LoadAvg {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("loadavg"))?;
        let line = self.file.lines()?.next().unwrap_or_default();
        let [one, five, fifteen] =
            parse(line).ok_or_else(|| self.file.bad_line(line, "three load averages are expected"))?;
        context.out.gauge("node_load1", "Load average over 1 minute.", one);
        context.out.gauge("node_load15", "Load average over 15 minutes.", fifteen);
        context.out.gauge("node_load5", "Load average over 5 minutes.", five);
        Ok(())
    }
}

fn parse(line: &[u8]) -> Option<[f64; 3]> {
    let mut fields = scan::fields(line);
    let mut next = || fields.next().and_then(scan::decimal);
    Some([next()?, next()?, next()?])
}
