//! `watchdog`: the timers that restart a machine that hangs, from `/sys/class/watchdog`.

use super::class::{Class, Column, text_of};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    source::File,
};
use skopos_model::MetricType;

const FOLDER: &str = "class/watchdog";

const COLUMNS: &[Column] = &[
    Column::gauge(
        "access_cs0",
        "node_watchdog_access_cs0",
        "Whether the machine started from its second flash.",
    ),
    Column::gauge(
        "bootstatus",
        "node_watchdog_bootstatus",
        "What the watchdog knows of the last start, in bits.",
    ),
    Column::gauge("fw_version", "node_watchdog_fw_version", "The version of the watchdog's firmware."),
    Column::gauge(
        "nowayout",
        "node_watchdog_nowayout",
        "Whether the watchdog cannot be stopped once it runs.",
    ),
    Column::gauge("pretimeout", "node_watchdog_pretimeout_seconds", "How long before the timeout it warns."),
    Column::gauge("timeleft", "node_watchdog_timeleft_seconds", "How long until the machine is restarted."),
    Column::gauge(
        "timeout",
        "node_watchdog_timeout_seconds",
        "How long the watchdog waits for a sign of life.",
    ),
];

const TEXTS: [&str; 5] = ["identity", "options", "pretimeout_governor", "state", "status"];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    class: Class,
    file: File,
}

impl Collector for Watchdog {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !self.class.read(context, [FOLDER, ""], COLUMNS, |_| true)? {
            return Err(CollectError::NoData("the kernel knows no watchdogs".into()));
        }
        self.class.write(COLUMNS, "name", context);
        let mut texts = Vec::new();
        for device in self.class.devices() {
            let text = |name| text_of(&mut self.file, context, format_args!("{FOLDER}/{device}/{name}"));
            texts.push(TEXTS.map(text));
        }
        let help = "What is known of each watchdog; always 1.";
        let mut family = context.out.family("node_watchdog_info", MetricType::Gauge, help);
        for (device, [identity, options, governor, state, status]) in self.class.devices().iter().zip(&texts)
        {
            family.sample(
                &[
                    ("identity", identity),
                    ("name", device),
                    ("options", options),
                    ("pretimeout_governor", governor),
                    ("state", state),
                    ("status", status),
                ],
                1.0,
            );
        }
        Ok(())
    }
}
