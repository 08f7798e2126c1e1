//! Part of `pcidevice`: names of vendors, devices and classes, from the list `pci.ids`. It keeps only the
//! names that were asked for, for the list is long.

use crate::scan;
use std::collections::{BTreeMap, BTreeSet};

/// What a device is, in the numbers that the list is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PciKind {
    pub(crate) class: u32,
    pub(crate) vendor: u32,
    pub(crate) device: u32,
    pub(crate) subsystem_vendor: u32,
    pub(crate) subsystem_device: u32,
}

/// A device's names. What the list does not know is named by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PciNames {
    pub(crate) class: String,
    pub(crate) vendor: String,
    pub(crate) device: String,
    pub(crate) subsystem_vendor: String,
    pub(crate) subsystem_device: String,
}

/// The names of some devices.
#[derive(Debug, Default)]
pub(crate) struct PciIds {
    vendors: BTreeMap<u32, String>,
    devices: BTreeMap<(u32, u32), String>,
    subsystems: BTreeMap<(u32, u32, u32, u32), String>,
    /// By the class's first byte, its first two, and all three.
    classes: BTreeMap<(u32, usize), String>,
}

/// Where in the list a line stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    Nowhere,
    Vendor(u32),
    Device(u32, u32),
    Class(u32),
    Subclass(u32),
}

impl PciIds {
    /// Reads the names of `kinds` in the list.
    pub(crate) fn read(list: &[u8], kinds: &[PciKind]) -> Self {
        let mut ids = Self::default();
        let vendors: BTreeSet<u32> =
            kinds.iter().flat_map(|kind| [kind.vendor, kind.subsystem_vendor]).collect();
        let mut place = Place::Nowhere;
        for line in scan::lines(list).filter(|line| !line.is_empty() && line[0] != b'#') {
            place = ids.read_line(line, place, &vendors);
        }
        ids
    }

    /// Takes the line's name if its vendor is among `vendors`; returns where the next line stands. A line
    /// that is none of the list's is passed over.
    fn read_line(&mut self, line: &[u8], place: Place, vendors: &BTreeSet<u32>) -> Place {
        let depth = line.iter().take_while(|byte| **byte == b'\t').count();
        let text = &line[depth..];
        match (depth, place) {
            (0, _) => {
                if let Some((class, name)) = text.strip_prefix(b"C ").and_then(|rest| entry(rest, 2)) {
                    self.classes.insert((class, 1), name);
                    return Place::Class(class);
                }
                match entry(text, 4) {
                    Some((vendor, name)) if vendors.contains(&vendor) => {
                        self.vendors.insert(vendor, name);
                        Place::Vendor(vendor)
                    }
                    _ => Place::Nowhere,
                }
            }
            (1, Place::Vendor(vendor) | Place::Device(vendor, _)) => {
                let Some((device, name)) = entry(text, 4) else { return place };
                self.devices.insert((vendor, device), name);
                Place::Device(vendor, device)
            }
            (1, Place::Class(class) | Place::Subclass(class)) => {
                let class = if matches!(place, Place::Subclass(_)) { class >> 8 } else { class };
                let Some((subclass, name)) = entry(text, 2) else { return place };
                let subclass = class << 8 | subclass;
                self.classes.insert((subclass, 2), name);
                Place::Subclass(subclass)
            }
            (2, Place::Device(vendor, device)) => {
                // `ssss dddd  Name`: the entry begins behind the first number.
                let number = text.get(..4).and_then(hex);
                let rest = text.get(5..).and_then(|rest| entry(rest, 4));
                if let (Some(subsystem_vendor), Some((subsystem, name))) = (number, rest) {
                    self.subsystems.insert((vendor, device, subsystem_vendor, subsystem), name);
                }
                place
            }
            (2, Place::Subclass(subclass)) => {
                if let Some((interface, name)) = entry(text, 2) {
                    self.classes.insert((subclass << 8 | interface, 3), name);
                }
                place
            }
            _ => place,
        }
    }

    /// The names of `kind`.
    pub(crate) fn names(&self, kind: PciKind) -> PciNames {
        let PciKind { class, vendor, device, subsystem_vendor, subsystem_device } = kind;
        let or_number =
            |name: Option<&String>, number: u32| name.cloned().unwrap_or_else(|| format!("{number:04x}"));
        let classes = [(class, 3), (class >> 8, 2), (class >> 16, 1)];
        let found = classes.iter().find_map(|key| self.classes.get(key));
        let key = (vendor, device, subsystem_vendor, subsystem_device);
        PciNames {
            class: found.cloned().unwrap_or_else(|| format!("Unknown class ({class:06x})")),
            vendor: or_number(self.vendors.get(&vendor), vendor),
            device: or_number(self.devices.get(&(vendor, device)), device),
            subsystem_vendor: or_number(self.vendors.get(&subsystem_vendor), subsystem_vendor),
            subsystem_device: or_number(self.subsystems.get(&key), subsystem_device),
        }
    }
}

/// A number of so many digits, two blanks and a name.
fn entry(text: &[u8], digits: usize) -> Option<(u32, String)> {
    let number = hex(text.get(..digits)?)?;
    let name = text.get(digits..)?.strip_prefix(b"  ")?;
    Some((number, scan::text(name.trim_ascii()).into_owned()))
}

/// A hexadecimal number, with or without `0x` before it.
pub(crate) fn hex(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: &[u8] =
        b"# a comment\n\n1022  One, Inc.\n\t1480  Root\n\t\t1462 7c37  Board\n\t1481  Other\n\
        1462  Boards\nffff  Nobody\n\t0001  Nothing\nC 01  Storage\n\
        \t08  Non-Volatile\n\t\t02  NVMe\n\t00  SCSI\n\
        C 06  Bridge\n";

    #[test]
    fn names_are_found_by_numbers() {
        let root = PciKind {
            class: 0x0001_0802,
            vendor: 0x1022,
            device: 0x1480,
            subsystem_vendor: 0x1462,
            subsystem_device: 0x7c37,
        };
        let strange = PciKind { class: 0x0001_0855, subsystem_device: 9, device: 0x1481, ..root };
        let unknown = PciKind { class: 0x000c_0330, vendor: 0xdead, ..root };
        let ids = PciIds::read(LIST, &[root, strange, unknown]);
        let names = |class: &str, vendor: &str, device: &str, subsystem_device: &str| PciNames {
            class: class.into(),
            vendor: vendor.into(),
            device: device.into(),
            subsystem_vendor: "Boards".into(),
            subsystem_device: subsystem_device.into(),
        };
        assert_eq!(ids.names(root), names("NVMe", "One, Inc.", "Root", "Board"));
        assert_eq!(ids.names(strange), names("Non-Volatile", "One, Inc.", "Other", "0009"));
        assert_eq!(ids.names(unknown), names("Unknown class (0c0330)", "dead", "1480", "7c37"));
        assert_eq!(ids.vendors.len(), 2, "only the names of those that are there are kept");
    }

    proptest! {
        #[test]
        fn any_list_is_read_without_panic(
            list in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'\t'), Just(b'\n'), Just(b' '), b'0'..=b'9'], 0..200),
        ) {
            let kind = PciKind::default();
            PciIds::read(&list, &[kind]).names(kind);
        }
    }
}
