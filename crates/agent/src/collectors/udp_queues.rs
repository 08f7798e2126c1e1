//! `udp_queues`: bytes that wait in the queues of UDP sockets, from `/proc/net/udp` and `/proc/net/udp6`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root},
};
use skopos_model::MetricType;

/// Where a socket's line has both queues, such as `00000000:00000B00`: to send, and received.
const QUEUES_FIELD: usize = 4;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct UdpQueues {
    file: KeptFile,
}

impl Collector for UdpQueues {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let mut sums = [("v4", None), ("v6", None)];
        for (file, (_, sum)) in ["net/udp", "net/udp6"].into_iter().zip(&mut sums) {
            if self.file.read_if_exists(context.paths, Root::Proc, format_args!("{file}"))? {
                *sum = Some(self.sum()?);
            }
        }
        if sums.iter().all(|(_, sum)| sum.is_none()) {
            return Err(CollectError::NoData("the kernel has no UDP".into()));
        }
        let help = "Bytes that wait in the queues of UDP sockets.";
        let mut family = context.out.family("node_udp_queues", MetricType::Gauge, help);
        for (version, sum) in sums {
            let Some([sending, received]) = sum else { continue };
            family.sample(&[("ip", version), ("queue", "rx")], received as f64);
            family.sample(&[("ip", version), ("queue", "tx")], sending as f64);
        }
        Ok(())
    }
}

impl UdpQueues {
    fn sum(&self) -> Result<[u64; 2], CollectError> {
        let mut sums = [0_u64; 2];
        for line in self.file.lines()?.skip(1) {
            let queues = scan::fields(line).nth(QUEUES_FIELD).and_then(|both| scan::split_at(both, b':'));
            let numbers = queues.and_then(|(to_send, received)| {
                Some([scan::hexadecimal(to_send)?, scan::hexadecimal(received)?])
            });
            let numbers = numbers.ok_or_else(|| self.file.bad_line(line, "a socket is expected"))?;
            for (sum, number) in sums.iter_mut().zip(numbers) {
                *sum = sum.saturating_add(number);
            }
        }
        Ok(sums)
    }
}
