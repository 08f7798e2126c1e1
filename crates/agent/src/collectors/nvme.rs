//! `nvme`: NVMe devices and their namespaces, from `/sys/class/nvme`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, exists, names_in},
    table::{self, Column, Table},
};

const FOLDER: &str = "class/nvme";
/// The kernel's sizes are in sectors of this size, whatever the device's own is.
const SECTOR_BYTES: f64 = 512.0;

/// The files of a device that hold a text.
const TEXTS: [&str; 5] = ["cntlid", "firmware_rev", "model", "serial", "state"];
const LABELS: &[&str] = &["cntlid", "device", "firmware_revision", "model", "serial", "state"];
const INFO: &[Column] = &[table::gauge("node_nvme_info", "What each device is; always 1.")];
const NAMESPACE_INFO: &[Column] =
    &[table::gauge("node_nvme_namespace_info", "The state of each namespace; always 1.")];
const NAMESPACES: &[Column] = &[
    table::gauge("node_nvme_namespace_capacity_bytes", "The capacity of each namespace."),
    table::gauge("node_nvme_namespace_logical_block_size_bytes", "The size of a block of each namespace."),
    table::gauge("node_nvme_namespace_size_bytes", "The size of each namespace."),
    table::gauge("node_nvme_namespace_used_bytes", "What is used of each namespace."),
];

/// The collector.
#[derive(Debug)]
pub(crate) struct Nvme {
    file: File,
    /// The texts of a device, and the names of its namespaces.
    texts: [String; TEXTS.len()],
    names: Vec<String>,
    info: Table,
    namespace_info: Table,
    namespaces: Table,
}

impl Nvme {
    pub(crate) fn new() -> Self {
        Self {
            file: File::default(),
            texts: Default::default(),
            names: Vec::new(),
            info: Table::new(LABELS, INFO),
            namespace_info: Table::new(&["ana_state", "device", "nsid"], NAMESPACE_INFO),
            namespaces: Table::new(&["device", "nsid"], NAMESPACES),
        }
    }

    /// Reads a device and its namespaces. One that goes meanwhile has none.
    fn read(&mut self, device: &str, context: &Context<'_>) {
        let Self { file, texts, names, .. } = self;
        for (text, name) in texts.iter_mut().zip(TEXTS) {
            let value = file.value(context.paths, Root::Sys, format_args!("{FOLDER}/{device}/{name}"));
            text.clear();
            text.push_str(&scan::text(value.unwrap_or_default()));
        }
        let [controller, firmware, model, serial, state] = &*texts;
        self.info.row(&[controller, device, firmware, model, serial, state])[0] = Some(1.0);
        names.clear();
        let folder = format_args!("{FOLDER}/{device}");
        file.entries(context.paths, Root::Sys, folder, |name, _| {
            let name = std::str::from_utf8(name).ok().filter(|name| namespace(name).is_some());
            names.extend(name.map(str::to_owned));
        });
        // The folder's order is none, and of two ways to a namespace the first is shown.
        names.sort_unstable();
        for entry in &self.names {
            let Some(id) = namespace(entry) else { continue };
            let mut number = |name: &str| {
                let path = format_args!("{FOLDER}/{device}/{entry}/{name}");
                self.file.number(context.paths, Root::Sys, path).map(|number| number as f64)
            };
            let (sectors, used) = (number("size"), number("nuse"));
            let block = number("queue/logical_block_size");
            let size = sectors.map(|sectors| sectors * SECTOR_BYTES);
            let used = used.zip(block).map(|(used, block)| used * block);
            self.namespaces.row(&[device, id]).copy_from_slice(&[size, block, size, used]);
            let name = format_args!("{FOLDER}/{device}/{entry}/ana_state");
            let state = self.file.value(context.paths, Root::Sys, name).map(scan::text);
            self.namespace_info.row(&[state.as_deref().unwrap_or("unknown"), device, id])[0] = Some(1.0);
        }
    }
}

/// The number of the namespace `name`: 1 for `nvme0n1`, and for `nvme0c2n1`, one of several ways to it.
fn namespace(name: &str) -> Option<&str> {
    let (controller, id) = name.strip_prefix("nvme")?.rsplit_once('n')?;
    let is_number = |text: &str| scan::number(text.as_bytes()).is_some();
    let (first, second) = controller.split_once('c').unwrap_or((controller, "0"));
    (is_number(first) && is_number(second) && is_number(id)).then_some(id)
}

impl Collector for Nvme {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Sys, FOLDER) {
            return Err(CollectError::NoData("there is no NVMe device".into()));
        }
        [&mut self.info, &mut self.namespace_info, &mut self.namespaces].into_iter().for_each(Table::clear);
        for device in names_in(context.paths, Root::Sys, FOLDER)? {
            self.read(&device, context);
        }
        self.info.write(&mut context.out);
        self.namespaces.write(&mut context.out);
        self.namespace_info.write(&mut context.out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_namespaces() {
        for (name, id) in [
            ("nvme0n1", Some("1")),
            ("nvme10c3n12", Some("12")),
            ("nvme0", None),
            ("nvme0n", None),
            ("nvmen1", None),
            ("nvme0n1p2", None),
            ("hwmon0", None),
        ] {
            assert_eq!(namespace(name), id, "{name}");
        }
    }
}
