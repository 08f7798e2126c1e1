//! `filefd`: how many files the machine has open, and may have, from `/proc/sys/fs/file-nr`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root},
};

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct FileFd {
    file: KeptFile,
}

impl Collector for FileFd {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("sys/fs/file-nr"))?;
        let line = self.file.lines()?.next().unwrap_or_default();
        let (allocated, maximum) =
            parse(line).ok_or_else(|| self.file.bad_line(line, "three numbers are expected"))?;
        context.out.gauge("node_filefd_allocated", "File handles that are allocated.", allocated as f64);
        context.out.gauge("node_filefd_maximum", "File handles that may be allocated.", maximum as f64);
        Ok(())
    }
}

/// The first and the third number; the second is zero since Linux 2.6.
fn parse(line: &[u8]) -> Option<(u64, u64)> {
    let mut fields = scan::fields(line);
    let allocated = fields.number()?;
    fields.number()?;
    Some((allocated, fields.number()?))
}
