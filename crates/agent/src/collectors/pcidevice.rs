//! `pcidevice`: the devices on the PCI bus, from `/sys/bus/pci/devices`. What a device is, is read again
//! when one comes or goes; how its link and power are, at every scrape.

use crate::{
    collector::{Collector, Context},
    collectors::pci_ids::{PciIds, PciKind, PciNames, hex},
    error::CollectError,
    scan,
    source::{File, Paths, Root, exists, link_target, names_in},
};
use skopos_model::MetricType::Gauge;

const FOLDER: &str = "bus/pci/devices";
/// Where distributions put the list of names.
const LISTS: [&str; 2] = ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids"];
const POWER_STATES: [&str; 7] = ["D0", "D1", "D2", "D3hot", "D3cold", "unknown", "error"];
const GIGA: f64 = 1e9;

/// Options of `pcidevice`.
#[derive(Clone, Debug, Default)]
pub struct PciOptions {
    /// Whether devices are shown with their names.
    pub names: bool,
    /// The list of names, as an absolute path; nothing for where it usually stands.
    pub ids_file: Option<String>,
}

/// A value of a device: its file, its metric and help, and what stands for none.
#[derive(Debug)]
struct Column {
    file: &'static str,
    metric: &'static str,
    help: &'static str,
    unit: Unit,
    /// What is shown when the device has no such file; nothing for no sample.
    absent: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// A whole number.
    Number,
    /// `8.0 GT/s PCIe`.
    Speed,
    /// 0 or another number.
    Switch,
}

const fn column(file: &'static str, metric: &'static str, help: &'static str, unit: Unit) -> Column {
    let absent = match unit {
        Unit::Speed => Some(-1.0),
        _ => Some(0.0),
    };
    Column { file, metric, help, unit, absent }
}

const COLUMNS: [Column; 10] = [
    column(
        "max_link_speed",
        "node_pcidevice_max_link_transfers_per_second",
        "Transfers a second that the device's link can do at most; -1 if unknown.",
        Unit::Speed,
    ),
    Column {
        absent: Some(-1.0),
        ..column(
            "max_link_width",
            "node_pcidevice_max_link_width",
            "Lanes that the device's link can have at most; -1 if unknown.",
            Unit::Number,
        )
    },
    column(
        "current_link_speed",
        "node_pcidevice_current_link_transfers_per_second",
        "Transfers a second of the device's link; -1 if unknown.",
        Unit::Speed,
    ),
    Column {
        absent: Some(-1.0),
        ..column(
            "current_link_width",
            "node_pcidevice_current_link_width",
            "Lanes of the device's link; -1 if unknown.",
            Unit::Number,
        )
    },
    column(
        "d3cold_allowed",
        "node_pcidevice_d3cold_allowed",
        "Whether the device may be without power.",
        Unit::Switch,
    ),
    column(
        "sriov_drivers_autoprobe",
        "node_pcidevice_sriov_drivers_autoprobe",
        "Whether drivers are looked for when virtual functions come.",
        Unit::Switch,
    ),
    column("sriov_numvfs", "node_pcidevice_sriov_numvfs", "Virtual functions that are on.", Unit::Number),
    column(
        "sriov_totalvfs",
        "node_pcidevice_sriov_totalvfs",
        "Virtual functions that the device can have.",
        Unit::Number,
    ),
    column(
        "sriov_vf_total_msix",
        "node_pcidevice_sriov_vf_total_msix",
        "Interrupts that the virtual functions share.",
        Unit::Number,
    ),
    Column {
        absent: None,
        ..column(
            "numa_node",
            "node_pcidevice_numa_node",
            "The NUMA node that the device is at.",
            Unit::Number,
        )
    },
];

/// Where a device is: segment, bus, device and function, as labels write them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Location([String; 4]);

/// A device on the bus.
#[derive(Debug)]
struct Device {
    /// The name of its folder.
    name: String,
    location: Location,
    /// The bridge it hangs at, if it hangs at one.
    parent: Location,
    kind: PciKind,
    revision: u32,
    names: Option<PciNames>,
    values: [Option<f64>; COLUMNS.len()],
    power: Option<String>,
}

/// The collector.
#[derive(Debug)]
pub(crate) struct PciDevices {
    options: PciOptions,
    file: File,
    devices: Vec<Device>,
}

impl PciDevices {
    pub(crate) fn new(options: &PciOptions) -> Self {
        Self { options: options.clone(), file: File::default(), devices: Vec::new() }
    }

    fn read_devices(&mut self, names: Vec<String>, paths: &Paths) -> Result<(), CollectError> {
        self.devices.clear();
        let mut devices = Vec::new();
        for name in names {
            devices.push(self.read_device(name, paths)?);
        }
        if self.options.names {
            let kinds: Vec<PciKind> = devices.iter().map(|device| device.kind).collect();
            let ids = read_ids(self.options.ids_file.as_deref(), paths, &kinds);
            for device in &mut devices {
                device.names = Some(ids.names(device.kind));
            }
        }
        self.devices = devices;
        Ok(())
    }

    fn read_device(&mut self, name: String, paths: &Paths) -> Result<Device, CollectError> {
        let mut number = |what: &str| {
            self.file.read(paths, Root::Sys, format_args!("{FOLDER}/{name}/{what}"))?;
            let number = hex(self.file.data().trim_ascii());
            number.ok_or_else(|| self.file.malformed("a hexadecimal number is expected"))
        };
        let kind = PciKind {
            class: number("class")?,
            vendor: number("vendor")?,
            device: number("device")?,
            subsystem_vendor: number("subsystem_vendor")?,
            subsystem_device: number("subsystem_device")?,
        };
        let revision = number("revision")?;
        let target = link_target(paths, Root::Sys, &format!("{FOLDER}/{name}")).unwrap_or_default();
        let parent = target.rsplit('/').nth(1).and_then(Location::parse);
        let location = Location::parse(&name)
            .ok_or_else(|| self.file.malformed(format_args!("{name:?} is no place on the bus")))?;
        let (parent, values) = (parent.unwrap_or_else(Location::none), [None; COLUMNS.len()]);
        Ok(Device { name, location, parent, kind, revision, names: None, values, power: None })
    }

    fn read_values(&mut self, paths: &Paths) {
        let Self { file, devices, .. } = self;
        for device in devices {
            let name = &device.name;
            for (value, column) in device.values.iter_mut().zip(&COLUMNS) {
                let path = format_args!("{FOLDER}/{name}/{}", column.file);
                let read = file.value(paths, Root::Sys, path).and_then(|text| column.unit.parse(text));
                *value = read.or(column.absent);
            }
            let power = file.value(paths, Root::Sys, format_args!("{FOLDER}/{name}/power_state"));
            device.power =
                power.filter(|power| !power.is_empty()).map(|power| scan::text(power).into_owned());
        }
    }
}

impl Unit {
    fn parse(self, text: &[u8]) -> Option<f64> {
        match self {
            Self::Number => scan::number(text).map(|number| number as f64),
            Self::Switch => scan::number(text).map(|number| f64::from(u8::from(number != 0))),
            Self::Speed => Some(scan::decimal(text.strip_suffix(b" GT/s PCIe")?)? * GIGA),
        }
    }
}

impl Location {
    /// `0000:00:1f.2`.
    fn parse(name: &str) -> Option<Self> {
        let (rest, function) = name.split_once('.')?;
        let mut parts = rest.split(':');
        let (segment, bus, device) = (parts.next()?, parts.next()?, parts.next()?);
        let part = |text: &str| hex(text.as_bytes()).filter(|_| !text.starts_with("0x"));
        let (segment, bus, device, function) = (part(segment)?, part(bus)?, part(device)?, part(function)?);
        let location = [
            format!("{segment:04x}"),
            format!("{bus:02x}"),
            format!("{device:02x}"),
            format!("{function:x}"),
        ];
        parts.next().is_none().then_some(Self(location))
    }

    /// What stands for no place.
    fn none() -> Self {
        Self(["*"; 4].map(str::to_owned))
    }

    /// The labels of a place, sorted.
    fn labels(&self) -> [(&str, &str); 4] {
        let [segment, bus, device, function] = &self.0;
        [("bus", bus), ("device", device), ("function", function), ("segment", segment)]
    }
}

/// The list, which is held no longer than it is read. Without a list, numbers are shown as names.
fn read_ids(given: Option<&str>, paths: &Paths, kinds: &[PciKind]) -> PciIds {
    let mut file = File::default();
    let found = match given {
        Some(path) => file.read(paths, Root::Given, format_args!("{}", path.trim_start_matches('/'))).is_ok(),
        None => LISTS.iter().any(|path| file.read(paths, Root::Rootfs, format_args!("{path}")).is_ok()),
    };
    if !found {
        tracing::warn!(file = given.unwrap_or(LISTS[0]), "no list of PCI names: numbers are shown instead");
    }
    if found { PciIds::read(file.data(), kinds) } else { PciIds::default() }
}

impl Collector for PciDevices {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Sys, FOLDER) {
            return Err(CollectError::NoData("the machine has no PCI bus".into()));
        }
        let names = names_in(context.paths, Root::Sys, FOLDER)?;
        if !names.iter().eq(self.devices.iter().map(|device| &device.name)) {
            self.read_devices(names, context.paths)?;
        }
        self.read_values(context.paths);
        let out = &mut context.out;
        let mut family = out.family("node_pcidevice_info", Gauge, "What each PCI device is; always 1.");
        for device in &self.devices {
            let numbers = device.numbers();
            family.sample(&device.info_labels(&numbers), 1.0);
        }
        for (at, column) in COLUMNS.iter().enumerate() {
            let mut family = out.family(column.metric, Gauge, column.help);
            for device in &self.devices {
                if let Some(value) = device.values[at] {
                    family.sample(&device.location.labels(), value);
                }
            }
        }
        let help = "The power state of each PCI device: 1 for the one it is in, else 0.";
        let mut family = out.family("node_pcidevice_power_state", Gauge, help);
        for device in &self.devices {
            let Some(power) = &device.power else { continue };
            let [bus, slot, function, segment] = device.location.labels();
            for state in POWER_STATES {
                let labels = [bus, slot, function, segment, ("state", state)];
                family.sample(&labels, f64::from(u8::from(power == state)));
            }
        }
        Ok(())
    }
}

impl Device {
    /// Class, device, revision, subsystem's device and vendor, vendor.
    fn numbers(&self) -> [String; 6] {
        let kind = &self.kind;
        [
            format!("0x{:06x}", kind.class),
            format!("0x{:04x}", kind.device),
            format!("0x{:02x}", self.revision),
            format!("0x{:04x}", kind.subsystem_device),
            format!("0x{:04x}", kind.subsystem_vendor),
            format!("0x{:04x}", kind.vendor),
        ]
    }

    fn info_labels<'a>(&'a self, numbers: &'a [String; 6]) -> Vec<(&'static str, &'a str)> {
        let [class, device, revision, subsystem_device, subsystem_vendor, vendor] = numbers;
        let [parent_segment, parent_bus, parent_device, parent_function] = &self.parent.0;
        let mut labels: Vec<(&'static str, &str)> = vec![
            ("class_id", class),
            ("device_id", device),
            ("parent_bus", parent_bus),
            ("parent_device", parent_device),
            ("parent_function", parent_function),
            ("parent_segment", parent_segment),
            ("revision", revision),
            ("subsystem_device_id", subsystem_device),
            ("subsystem_vendor_id", subsystem_vendor),
            ("vendor_id", vendor),
        ];
        let [segment, bus, slot, function] = &self.location.0;
        labels.extend([("bus", &**bus), ("device", slot), ("function", function), ("segment", segment)]);
        if let Some(names) = &self.names {
            labels.extend([
                ("class_name", &*names.class),
                ("device_name", &names.device),
                ("subsystem_device_name", &names.subsystem_device),
                ("subsystem_vendor_name", &names.subsystem_vendor),
                ("vendor_name", &names.vendor),
            ]);
        }
        labels.sort_unstable();
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn places_on_the_bus() {
        let location = Location::parse("10000:e1:1f.7").unwrap();
        assert_eq!(location.0, ["10000", "e1", "1f", "7"]);
        for name in ["", "0000:00:00", "0000:00.0", "0:0:0:0.0", "x:00:00.0", "pci0000:00", "0x0:0:0.0"] {
            assert_eq!(Location::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn values_of_files() {
        for (unit, text, value) in [
            (Unit::Speed, "8.0 GT/s PCIe", Some(8e9)),
            (Unit::Speed, "Unknown", None),
            (Unit::Speed, "8.0 GT/s", None),
            (Unit::Number, "16", Some(16.0)),
            (Unit::Number, "-1", None),
            (Unit::Switch, "3", Some(1.0)),
            (Unit::Switch, "", None),
        ] {
            assert_eq!(unit.parse(text.as_bytes()), value, "{unit:?} {text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read_without_panic(name in ".{0,20}") {
            Location::parse(&name);
        }
    }
}
