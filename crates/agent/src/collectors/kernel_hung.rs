//! `kernel_hung`: tasks that the kernel found hanging, from `/proc/sys/kernel/hung_task_detect_count`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    source::KeptFile,
};

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct KernelHung {
    file: KeptFile,
}

impl Collector for KernelHung {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let read = self.file.proc_number(context.paths, "sys/kernel/hung_task_detect_count");
        let count = read.map_err(|error| match error.is_missing() {
            true => CollectError::NoData("the kernel does not count tasks that hang".into()),
            false => error,
        })?;
        context.out.counter("node_kernel_hung_tasks_total", "Tasks that were found hanging.", count as f64);
        Ok(())
    }
}
