//! `entropy`: how much chance the kernel has gathered, from `/proc/sys/kernel/random`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    source::KeptFile,
};

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Entropy {
    file: KeptFile,
}

impl Collector for Entropy {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let available = self.file.proc_number(context.paths, "sys/kernel/random/entropy_avail")?;
        let size = self.file.proc_number(context.paths, "sys/kernel/random/poolsize")?;
        context.out.gauge("node_entropy_available_bits", "Bits of entropy that are there.", available as f64);
        context.out.gauge("node_entropy_pool_size_bits", "Bits of entropy that there can be.", size as f64);
        Ok(())
    }
}
