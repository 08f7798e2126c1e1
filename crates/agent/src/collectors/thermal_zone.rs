//! `thermal_zone`: temperatures and what cools them, from `/sys/class/thermal`.

use super::class::text_of;
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, names_in},
};
use skopos_model::MetricType;

const FOLDER: &str = "class/thermal";
const MILLIDEGREES: f64 = 1000.0;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct ThermalZone {
    file: File,
}

/// A zone or a device that cools: its number, its type, its values.
type Found<const N: usize> = (String, String, [f64; N]);

impl Collector for ThermalZone {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let (mut zones, mut coolers) = (Vec::new(), Vec::new());
        for name in names_in(context.paths, Root::Sys, FOLDER)? {
            if let Some(number) = number_of(&name, "thermal_zone") {
                // A zone that is turned off has no temperature to speak of.
                if text_of(&mut self.file, context, format_args!("{FOLDER}/{name}/mode")) != "disabled" {
                    zones.extend(self.read(context, &name, number, ["temp"])?);
                }
            } else if let Some(number) = number_of(&name, "cooling_device") {
                coolers.extend(self.read(context, &name, number, ["cur_state", "max_state"])?);
            }
        }
        for (i, (name, help)) in [
            ("node_cooling_device_cur_state", "How strongly the device cools."),
            ("node_cooling_device_max_state", "How strongly the device can cool."),
        ]
        .into_iter()
        .enumerate()
        {
            let mut family = context.out.family(name, MetricType::Gauge, help);
            for (number, kind, values) in &coolers {
                family.sample(&[("name", number), ("type", kind)], values[i]);
            }
        }
        let help = "The temperature of the zone, in degrees Celsius.";
        let mut family = context.out.family("node_thermal_zone_temp", MetricType::Gauge, help);
        for (number, kind, [temperature]) in &zones {
            family.sample(&[("type", kind), ("zone", number)], temperature / MILLIDEGREES);
        }
        Ok(())
    }
}

impl ThermalZone {
    /// `None` when a value refuses to be read, as that of a sensor that sleeps does.
    fn read<const N: usize>(
        &mut self,
        context: &Context<'_>,
        name: &str,
        number: &str,
        files: [&str; N],
    ) -> Result<Option<Found<N>>, CollectError> {
        let kind = text_of(&mut self.file, context, format_args!("{FOLDER}/{name}/type"));
        let mut values = [0.0; N];
        for (value, file) in values.iter_mut().zip(files) {
            let path = format_args!("{FOLDER}/{name}/{file}");
            let Some(found) = self.file.value(context.paths, Root::Sys, path).map(scan::signed) else {
                return Ok(None);
            };
            *value = found.ok_or_else(|| self.file.malformed("a number is expected"))? as f64;
        }
        Ok(Some((number.to_owned(), kind, values)))
    }
}

/// The number behind `start` in `name`.
fn number_of<'a>(name: &'a str, start: &str) -> Option<&'a str> {
    name.strip_prefix(start).filter(|number| scan::number(number.as_bytes()).is_some())
}
