//! `time`: the clock, its zone, and the kernel's clock sources.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{KeptFile, Root, names_in},
};
use jiff::{Timestamp, tz::TimeZone};
use skopos_model::MetricType;

const FOLDER: &str = "devices/system/clocksource";

/// The collector.
#[derive(Debug)]
pub(crate) struct Time {
    file: KeptFile,
    zone: TimeZone,
    available: Vec<Vec<String>>,
    current: Vec<Option<String>>,
}

impl Time {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self { file: KeptFile::default(), zone, available: Vec::new(), current: Vec::new() }
    }

    fn read_sources(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        self.available.clear();
        self.current.clear();
        for name in names_in(context.paths, Root::Sys, FOLDER)? {
            if !name.starts_with("clocksource") {
                continue;
            }
            let path = format_args!("{FOLDER}/{name}/available_clocksource");
            let Some(names) = self.file.value(context.paths, Root::Sys, path) else { continue };
            self.available.push(scan::fields(names).map(|name| scan::text(name).into_owned()).collect());
            let path = format_args!("{FOLDER}/{name}/current_clocksource");
            let current = self.file.value(context.paths, Root::Sys, path).filter(|name| !name.is_empty());
            self.current.push(current.map(|name| scan::text(name).into_owned()));
        }
        Ok(())
    }
}

impl Collector for Time {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.read_sources(context)?;
        let help = "The clock sources that the kernel can use; always 1.";
        let mut family = context.out.family("node_time_clocksource_available_info", MetricType::Gauge, help);
        for (device, sources) in self.available.iter().enumerate() {
            for (i, source) in
                sources.iter().enumerate().filter(|(i, source)| !sources[..*i].contains(source))
            {
                debug_assert!(i < sources.len());
                family.sample(&[("clocksource", source), ("device", &device.to_string())], 1.0);
            }
        }
        let help = "The clock source that the kernel uses; always 1.";
        let mut family = context.out.family("node_time_clocksource_current_info", MetricType::Gauge, help);
        for (device, source) in self.current.iter().enumerate() {
            if let Some(source) = source {
                family.sample(&[("clocksource", source), ("device", &device.to_string())], 1.0);
            }
        }
        let now_ms = context.clock.wall_ms();
        let help = "The machine's clock, in seconds since 1970.";
        context.out.gauge("node_time_seconds", help, now_ms as f64 / 1000.0);
        let now = Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let offset = self.zone.to_offset_info(now);
        context
            .out
            .family(
                "node_time_zone_offset_seconds",
                MetricType::Gauge,
                "How far the machine's zone is ahead of UTC.",
            )
            .sample(&[("time_zone", offset.abbreviation())], f64::from(offset.offset().seconds()));
        Ok(())
    }
}
