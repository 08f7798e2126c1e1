//! `rapl`: the energy that parts of the machine used, from `/sys/class/powercap`.

use super::names::sanitized;
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, exists, names_in, path_of},
};
use skopos_model::MetricType;
use std::{collections::HashMap, io};

const FOLDER: &str = "class/powercap";
const MICROJOULES: f64 = 1e6;

/// The collector.
#[derive(Debug)]
pub(crate) struct Rapl {
    file: File,
    zone_label: bool,
    zones: Vec<Zone>,
}

/// A zone and what it used.
#[derive(Debug)]
struct Zone {
    /// The zone's name without its number.
    name: String,
    /// Its number, or its place among zones of the same name.
    index: String,
    path: String,
    joules: f64,
}

impl Rapl {
    pub(crate) fn new(zone_label: bool) -> Self {
        Self { file: File::default(), zone_label, zones: Vec::new() }
    }

    fn read_zones(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        self.zones.clear();
        let mut used: HashMap<String, u64> = HashMap::new();
        for folder in names_in(context.paths, Root::Sys, FOLDER)? {
            // The folder of a control type, such as `intel-rapl`, has no name.
            let name = self.file.value(context.paths, Root::Sys, format_args!("{FOLDER}/{folder}/name"));
            let Some(name) = name.map(|name| scan::text(name).into_owned()) else { continue };
            let (name, index) = split(&name, &used);
            used.insert(name.clone(), index + 1);
            match self.file.read(context.paths, Root::Sys, format_args!("{FOLDER}/{folder}/energy_uj")) {
                Ok(()) => {}
                Err(error) if error.is_missing() => continue,
                Err(CollectError::Read { path, error })
                    if error.kind() == io::ErrorKind::PermissionDenied =>
                {
                    return Err(CollectError::NoData(format!("{path} may be read by root only")));
                }
                Err(error) => return Err(error),
            }
            let energy = scan::number(self.file.data().trim_ascii());
            let energy = energy.ok_or_else(|| self.file.malformed("a number is expected"))?;
            let path = path_of(context.paths, Root::Sys, &format!("{FOLDER}/{folder}"));
            let joules = energy as f64 / MICROJOULES;
            self.zones.push(Zone { name, index: index.to_string(), path, joules });
        }
        self.zones.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        Ok(())
    }
}

impl Collector for Rapl {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.read_zones(context)?;
        if self.zones.is_empty() && !exists(context.paths, Root::Sys, FOLDER) {
            return Err(CollectError::NoData("the kernel tells nothing of energy".into()));
        }
        let help = "The energy that the zone used, in joules.";
        if self.zone_label {
            let mut family = context.out.family("node_rapl_joules_total", MetricType::Counter, help);
            for zone in &self.zones {
                let labels = [("index", &zone.index), ("path", &zone.path), ("rapl_zone", &zone.name)];
                family.sample(&labels.map(|(name, text)| (name, text.as_str())), zone.joules);
            }
            return Ok(());
        }
        for zones in self.zones.chunk_by(|a, b| sanitized(&a.name) == sanitized(&b.name)) {
            let name = format!("node_rapl_{}_joules_total", sanitized(&zones[0].name));
            let mut family = context.out.family(&name, MetricType::Counter, help);
            for zone in zones {
                family.sample(&[("index", &zone.index), ("path", &zone.path)], zone.joules);
            }
        }
        Ok(())
    }
}

/// A name such as `package-0` is a zone and its number; any other name is numbered by how often it was
/// `used`.
fn split(name: &str, used: &HashMap<String, u64>) -> (String, u64) {
    if let Some((zone, number)) = name.split_once('-')
        && let Some(number) = scan::number(number.as_bytes())
        && let Some(_next) = number.checked_add(1)
    {
        return (zone.to_owned(), number);
    }
    (name.to_owned(), used.get(name).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_numbered() {
        let used = HashMap::from([("dram".to_owned(), 2)]);
        for (name, zone, number) in [
            ("package-1", "package", 1),
            ("dram", "dram", 2),
            ("core", "core", 0),
            ("package-0-die-1", "package-0-die-1", 0),
            ("psys-x", "psys-x", 0),
            ("a-18446744073709551615", "a-18446744073709551615", 0),
        ] {
            assert_eq!(split(name, &used), (zone.to_owned(), number), "{name}");
        }
    }
}
