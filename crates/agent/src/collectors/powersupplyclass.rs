//! `powersupplyclass`: batteries and mains, from `/sys/class/power_supply`.

use super::class::{Class, Column, text_of};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    filter::Filter,
    source::File,
};
use skopos_model::MetricType;

const FOLDER: &str = "class/power_supply";

macro_rules! columns {
    ($($file:literal => $name:literal / $divisor:literal, $help:literal;)+) => {
        &[$(Column {
            file: $file,
            name: concat!("node_power_supply_", $name),
            kind: MetricType::Gauge,
            divisor: $divisor,
            help: concat!($help, ", from the file ", $file, "."),
        }),+]
    };
}

/// The kernel counts in millionths of a volt, an ampere, an ampere hour, a watt and a watt hour, and in
/// tenths of a degree.
const COLUMNS: &[Column] = columns! {
    "authentic" => "authentic" / 1.0, "Whether the battery is a genuine one";
    "calibrate" => "calibrate" / 1.0, "Whether the battery is being calibrated";
    "capacity" => "capacity" / 1.0, "How full the battery is, in percent";
    "capacity_alert_max" => "capacity_alert_max" / 1.0, "The charge in percent above which the supply warns";
    "capacity_alert_min" => "capacity_alert_min" / 1.0, "The charge in percent below which the supply warns";
    "charge_now" => "charge_ampere" / 1e6, "The charge, in ampere hours";
    "charge_control_limit" => "charge_control_limit" / 1e6, "The limit of the charging current";
    "charge_control_limit_max" => "charge_control_limit_max" / 1e6, "The highest such limit";
    "charge_counter" => "charge_counter" / 1e6, "The charge that went through, in ampere hours";
    "charge_empty" => "charge_empty" / 1e6, "The charge of an empty battery, in ampere hours";
    "charge_empty_design" => "charge_empty_design" / 1e6, "The charge of an empty battery as designed";
    "charge_full" => "charge_full" / 1e6, "The charge of a full battery, in ampere hours";
    "charge_full_design" => "charge_full_design" / 1e6, "The charge of a full battery as designed";
    "charge_term_current" => "charge_term_current" / 1e6, "The current at which charging ends, in amperes";
    "constant_charge_current" => "constant_charge_current" / 1e6, "The set charging current, in amperes";
    "constant_charge_current_max" => "constant_charge_current_max" / 1e6, "The highest charging current";
    "constant_charge_voltage" => "constant_charge_voltage" / 1e6, "The programmed charging voltage, in volts";
    "constant_charge_voltage_max" => "constant_charge_voltage_max" / 1e6, "The highest charging voltage";
    "current_now" => "current_ampere" / 1e6, "The current, in amperes";
    "current_boot" => "current_boot" / 1e6, "The current when the machine was booted, in amperes";
    "current_max" => "current_max" / 1e6, "The highest current, in amperes";
    "cycle_count" => "cyclecount" / 1.0, "How often the battery was charged";
    "energy_empty" => "energy_empty" / 1e6, "The energy of an empty battery, in watt hours";
    "energy_empty_design" => "energy_empty_design" / 1e6, "The energy of an empty battery as designed";
    "energy_full" => "energy_full" / 1e6, "The energy of a full battery, in watt hours";
    "energy_full_design" => "energy_full_design" / 1e6, "The energy of a full battery as designed";
    "energy_now" => "energy_watthour" / 1e6, "The energy, in watt hours";
    "input_current_limit" => "input_current_limit" / 1e6, "The limit of the current drawn";
    "online" => "online" / 1.0, "Whether the supply is plugged in";
    "power_now" => "power_watt" / 1e6, "The power, in watts";
    "precharge_current" => "precharge_current" / 1e6, "The current before charging begins, in amperes";
    "present" => "present" / 1.0, "Whether the battery is there";
    "temp_alert_max" => "temp_alert_max_celsius" / 10.0, "The temperature above which the supply warns";
    "temp_alert_min" => "temp_alert_min_celsius" / 10.0, "The temperature below which the supply warns";
    "temp_ambient" => "temp_ambient_celsius" / 10.0, "The temperature around the supply";
    "temp_ambient_max" => "temp_ambient_max_celsius" / 10.0, "The highest temperature around the supply";
    "temp_ambient_min" => "temp_ambient_min_celsius" / 10.0, "The lowest temperature around the supply";
    "temp" => "temp_celsius" / 10.0, "The temperature";
    "temp_max" => "temp_max_celsius" / 10.0, "The highest temperature";
    "temp_min" => "temp_min_celsius" / 10.0, "The lowest temperature";
    "time_to_empty_now" => "time_to_empty_seconds" / 1.0, "How long the battery lasts, in seconds";
    "time_to_full_now" => "time_to_full_seconds" / 1.0, "How long charging takes, in seconds";
    "voltage_boot" => "voltage_boot" / 1e6, "The voltage when the machine was booted, in volts";
    "voltage_max" => "voltage_max" / 1e6, "The highest voltage, in volts";
    "voltage_max_design" => "voltage_max_design" / 1e6, "The highest voltage as designed, in volts";
    "voltage_min" => "voltage_min" / 1e6, "The lowest voltage, in volts";
    "voltage_min_design" => "voltage_min_design" / 1e6, "The lowest voltage as designed, in volts";
    "voltage_ocv" => "voltage_ocv" / 1e6, "The voltage without a load, in volts";
    "voltage_now" => "voltage_volt" / 1e6, "The voltage, in volts";
};

/// Files whose texts are labels of the supply's info. One that is empty is no label.
const TEXTS: [&str; 11] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
];

/// The collector.
#[derive(Debug)]
pub(crate) struct PowerSupplyClass {
    supplies: Filter,
    class: Class,
    file: File,
}

impl PowerSupplyClass {
    pub(crate) fn new(supplies: &Filter) -> Self {
        Self { supplies: supplies.clone(), class: Class::default(), file: File::default() }
    }
}

impl Collector for PowerSupplyClass {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let admits = |name: &str| self.supplies.admits(name.as_bytes());
        if !self.class.read(context, [FOLDER, ""], COLUMNS, admits)? {
            return Err(CollectError::NoData("the kernel knows no power supplies".into()));
        }
        self.class.write(COLUMNS, "power_supply", context);
        let mut texts = Vec::new();
        for supply in self.class.devices() {
            let text = |name| text_of(&mut self.file, context, format_args!("{FOLDER}/{supply}/{name}"));
            texts.push(TEXTS.map(text));
        }
        let help = "What is known of each power supply; always 1.";
        let mut family = context.out.family("node_power_supply_info", MetricType::Gauge, help);
        for (supply, texts) in self.class.devices().iter().zip(&texts) {
            let given = TEXTS.iter().zip(texts).filter(|(_, text)| !text.is_empty());
            let mut labels: Vec<(&str, &str)> = given.map(|(name, text)| (*name, text.as_str())).collect();
            labels.push(("power_supply", supply));
            labels.sort_unstable();
            family.sample(&labels, 1.0);
        }
        Ok(())
    }
}
