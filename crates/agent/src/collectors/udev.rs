//! What udev knows of a block device: the properties in its data folder.

use crate::{
    scan,
    source::{File, Paths, Root},
};

/// A device's properties, in the file's bytes.
#[derive(Debug, Default)]
pub(crate) struct Properties {
    file: File,
    known: bool,
}

impl Properties {
    /// Reads the properties of the block device `major:minor`. A device that udev does not know has
    /// none.
    pub(crate) fn read(&mut self, paths: &Paths, major: u64, minor: u64) {
        let name = format_args!("b{major}:{minor}");
        self.known = matches!(self.file.read_if_exists(paths, Root::Udev, name), Ok(true));
    }

    /// The property `name`; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &[u8] {
        if !self.known {
            return b"";
        }
        find(self.file.data(), name)
    }
}

/// Lines of properties look like `E:ID_MODEL=QEMU_HARDDISK`.
fn find<'a>(data: &'a [u8], name: &str) -> &'a [u8] {
    scan::lines(data)
        .filter_map(|line| line.strip_prefix(b"E:")?.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .last()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_is_found_by_its_whole_name() {
        let data = b"S:disk/by-id/x\nE:ID_SERIAL_SHORT=s\nE:ID_SERIAL=long=1\nE:ID_MODEL=m";
        for (name, value) in
            [("ID_SERIAL", "long=1"), ("ID_SERIAL_SHORT", "s"), ("ID_MODEL", "m"), ("ID", "")]
        {
            assert_eq!(find(data, name), value.as_bytes(), "{name}");
        }
    }
}
