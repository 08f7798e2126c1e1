//! `uname`: the system's name, as labels.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
};
use skopos_model::MetricType;

/// The collector.
#[derive(Debug)]
pub(crate) struct UnameInfo;

impl Collector for UnameInfo {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let uname = context.host.uname();
        context
            .out
            .family("node_uname_info", MetricType::Gauge, "What uname says, as labels; always 1.")
            .sample(
                &[
                    ("domainname", &uname.domainname),
                    ("machine", &uname.machine),
                    ("nodename", &uname.nodename),
                    ("release", &uname.release),
                    ("sysname", &uname.sysname),
                    ("version", &uname.version),
                ],
                1.0,
            );
        Ok(())
    }
}
