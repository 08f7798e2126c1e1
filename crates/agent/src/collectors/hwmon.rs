//! `hwmon`: temperatures, fans, voltages and what else the machine's sensors tell, from `/sys/class/hwmon`.
//! What a chip has is found out by listing its folder: files are called `TYPE NUMBER _ PROPERTY`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    options::HwMonOptions,
    scan,
    source::{File, Root, exists, names_in, real_names},
    table::{self, Column, Table},
};
use skopos_model::MetricType;

const FOLDER: &str = "class/hwmon";
/// The kinds of sensors; other files of a chip say other things.
const TYPES: [&str; 14] = [
    "beep_enable",
    "cpu",
    "curr",
    "energy",
    "fan",
    "freq",
    "humidity",
    "in",
    "intrusion",
    "power",
    "pwm",
    "temp",
    "update_interval",
    "vrm",
];

const CHIPS: &[Column] = &[table::gauge("node_hwmon_chip_names", "The name of each chip; always 1.")];
const SENSORS: &[Column] = &[table::gauge("node_hwmon_sensor_label", "The name of each sensor; always 1.")];

/// The collector.
#[derive(Debug)]
pub(crate) struct HwMon {
    options: HwMonOptions,
    file: File,
    chips: Table,
    sensors: Table,
    /// The properties of the sensors of one chip, sorted.
    properties: Vec<Property>,
    samples: Vec<Sample>,
}

/// A file of a chip and its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Property {
    kind: &'static str,
    number: u64,
    /// What is behind the number; empty for the value itself.
    name: String,
    value: String,
}

/// A sample; all samples of all chips are written family by family.
#[derive(Debug)]
struct Sample {
    family: String,
    kind: MetricType,
    chip: String,
    sensor: String,
    value: f64,
}

/// What a property becomes: what is put behind the family's name, and by what its value is divided.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Unit {
    suffix: &'static str,
    divisor: f64,
    kind: MetricType,
}

const fn unit(suffix: &'static str, divisor: f64) -> Unit {
    Unit { suffix, divisor, kind: MetricType::Gauge }
}

impl Unit {
    /// The unit of the property `name` of a sensor of this kind.
    fn of(kind: &str, name: &str) -> Self {
        match (kind, name) {
            (_, "alarm" | "fault") => unit("", 1.0),
            (_, "beep") => unit("_enabled", 1.0),
            ("in" | "cpu", _) => unit("_volts", 1e3),
            ("temp", "type") => unit("", 1.0),
            ("temp", _) => unit("_celsius", 1e3),
            ("curr", _) => unit("_amps", 1e3),
            ("energy", _) => Self { suffix: "_joule_total", divisor: 1e6, kind: MetricType::Counter },
            ("power", "accuracy") | ("humidity", _) => unit("", 1e6),
            ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
                unit("_seconds", 1e3)
            }
            ("power", _) => unit("_watt", 1e6),
            ("fan", "input" | "max" | "min" | "target") => unit("_rpm", 1.0),
            ("freq", "input") => unit("_freq_mhz", 1e6),
            _ => unit("", 1.0),
        }
    }
}

impl HwMon {
    pub(crate) fn new(options: &HwMonOptions) -> Self {
        Self {
            options: options.clone(),
            file: File::default(),
            chips: Table::new(&["chip", "chip_name"], CHIPS),
            sensors: Table::new(&["chip", "label", "sensor"], SENSORS),
            properties: Vec::new(),
            samples: Vec::new(),
        }
    }

    fn chip(&mut self, entry: &str, context: &Context<'_>) -> Result<(), CollectError> {
        let folder = format!("{FOLDER}/{entry}");
        let name = self.file.value(context.paths, Root::Sys, format_args!("{folder}/name"));
        let name = name.map(|name| clean(&scan::text(name))).filter(|name| !name.is_empty());
        let chip = match (real_names(context.paths, Root::Sys, &format!("{folder}/device")), &name) {
            (Some(device), _) if !clean(&device[0]).is_empty() => {
                let [device, parent] = device.map(|part| clean(&part));
                if parent.is_empty() { device } else { format!("{parent}_{device}") }
            }
            (_, Some(name)) => name.clone(),
            (_, None) => clean(entry),
        };
        if !self.options.chips.admits(chip.as_bytes()) {
            return Ok(());
        }
        self.properties.clear();
        self.read_properties(&folder, context)?;
        self.read_properties(&format!("{folder}/device"), context)?;
        self.properties.sort_unstable();
        if let Some(name) = name {
            self.chips.row(&[&chip, &name])[0] = Some(1.0);
        }
        self.add_sensors(&chip);
        Ok(())
    }

    fn read_properties(&mut self, folder: &str, context: &Context<'_>) -> Result<(), CollectError> {
        for entry in names_in(context.paths, Root::Sys, folder)? {
            let Some((kind, number, name)) = parse(&entry) else { continue };
            let value = self.file.value(context.paths, Root::Sys, format_args!("{folder}/{entry}"));
            let Some(value) = value.map(|value| scan::text(value).into_owned()) else { continue };
            self.properties.push(Property { kind, number, name: name.to_owned(), value });
        }
        Ok(())
    }

    fn add_sensors(&mut self, chip: &str) {
        let Self { properties, options, sensors, samples, .. } = self;
        for group in properties.chunk_by(|a, b| (a.kind, a.number) == (b.kind, b.number)) {
            let sensor = format!("{}{}", group[0].kind, group[0].number);
            if !options.sensors.admits(format!("{chip};{sensor}").as_bytes()) {
                continue;
            }
            let find = |name: &str| group.iter().find(|p| p.name == name).map(|p| p.value.as_str());
            let label = find("label");
            if let Some(label) = label {
                sensors.row(&[chip, label, &sensor])[0] = Some(1.0);
            }
            for property in group.iter().filter(|property| property.name != "label") {
                let is_both = property.name == "input" && find("").is_some();
                let Some((family, unit, value)) = property.value(is_both) else { continue };
                // The frequencies of a graphics card are told apart by what they are called.
                let sensor = match (unit.suffix, label) {
                    ("_freq_mhz", Some(label)) => clean(label),
                    ("_freq_mhz", None) => continue,
                    _ => sensor.clone(),
                };
                samples.push(Sample { family, kind: unit.kind, chip: chip.into(), sensor, value });
            }
        }
    }

    fn write(&mut self, context: &mut Context<'_>) {
        self.chips.write(&mut context.out);
        self.sensors.write(&mut context.out);
        let key = |sample: &Sample| (sample.family.clone(), sample.chip.clone(), sample.sensor.clone());
        self.samples.sort_by_cached_key(key);
        self.samples.dedup_by(|a, b| (&a.family, &a.chip, &a.sensor) == (&b.family, &b.chip, &b.sensor));
        for group in self.samples.chunk_by(|a, b| a.family == b.family) {
            let Sample { family, kind, .. } = &group[0];
            let help = "What a sensor tells, or is set to.";
            let mut family = context.out.family(family, *kind, help);
            for Sample { chip, sensor, value, .. } in group {
                family.sample(&[("chip", chip), ("sensor", sensor)], *value);
            }
        }
    }
}

impl Property {
    /// The family, unit and value. `is_both` if the sensor has a value and an input, which differ.
    fn value(&self, is_both: bool) -> Option<(String, Unit, f64)> {
        let number = scan::signed_decimal(self.value.as_bytes());
        match self.kind {
            "beep_enable" => {
                let value = f64::from(u8::from(self.value == "1"));
                return Some(("node_hwmon_beep_enabled".into(), unit("", 1.0), value));
            }
            "vrm" => return Some(("node_hwmon_voltage_regulator_version".into(), unit("", 1.0), number?)),
            "update_interval" => {
                return Some(("node_hwmon_update_interval_seconds".into(), unit("", 1e3), number? / 1e3));
            }
            _ => {}
        }
        let unit = Unit::of(self.kind, &self.name);
        let mut family = format!("node_hwmon_{}", self.kind);
        let property = clean(&self.name);
        if !property.is_empty() && (property != "input" || is_both) {
            family.push('_');
            family.push_str(&property);
        }
        family.push_str(unit.suffix);
        Some((family, unit, number? / unit.divisor))
    }
}

/// `temp`, 1 and `input` of `temp1_input`.
fn parse(file: &str) -> Option<(&'static str, u64, &str)> {
    let end = file.find(|c: char| c.is_ascii_digit()).unwrap_or(file.len());
    let kind = TYPES.into_iter().find(|kind| *kind == &file[..end])?;
    let rest = &file[end..];
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let number = if digits == 0 { 0 } else { scan::number(&rest.as_bytes()[..digits])? };
    match &rest[digits..] {
        "" => Some((kind, number, "")),
        rest => Some((kind, number, rest.strip_prefix('_').filter(|name| !name.is_empty())?)),
    }
}

/// `name` as a part of a metric's name.
fn clean(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let is_right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, ':' | '_');
    let replaced: String = lower.chars().map(|c| if is_right(c) { c } else { '_' }).collect();
    replaced.trim_matches('_').to_owned()
}

impl Collector for HwMon {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Sys, FOLDER) {
            return Err(CollectError::NoData("there are no sensors".into()));
        }
        self.chips.clear();
        self.sensors.clear();
        self.samples.clear();
        for entry in names_in(context.paths, Root::Sys, FOLDER)? {
            self.chip(&entry, context)?;
        }
        self.write(context);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (file, parsed) in [
            ("temp1_input", Some(("temp", 1, "input"))),
            ("temp12_crit_alarm", Some(("temp", 12, "crit_alarm"))),
            ("pwm1", Some(("pwm", 1, ""))),
            ("update_interval", Some(("update_interval", 0, ""))),
            ("beep_enable", Some(("beep_enable", 0, ""))),
            ("in0_input", Some(("in", 0, "input"))),
            ("name", None),
            ("temp1_", None),
            ("temp1input", None),
            ("temp99999999999999999999_input", None),
            ("", None),
        ] {
            assert_eq!(parse(file), parsed, "{file}");
        }
    }

    #[test]
    fn names_become_parts_of_metrics_names() {
        for (name, part) in [
            ("coretemp.0", "coretemp_0"),
            ("0000:00:18.3", "0000:00:18_3"),
            (" Ä ", ""),
            ("__a  b__", "a__b"),
        ] {
            assert_eq!(clean(name), part, "{name}");
        }
    }
}
