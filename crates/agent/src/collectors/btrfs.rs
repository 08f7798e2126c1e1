//! `btrfs`: file systems of Btrfs, from `/sys/fs/btrfs`, and what Btrfs says of the devices of those that are
//! mounted.

use super::mounts;
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    host::{BtrfsDevice, BtrfsSystem},
    refusals, scan,
    source::{File, Root, exists, names_in},
    table::{self, Column, Table},
};
use skopos_model::MetricType::{Counter, Gauge};
use std::{collections::BTreeSet, io};

const FOLDER: &str = "fs/btrfs";
const SECTOR_BYTES: f64 = 512.0;
const MILLISECONDS: f64 = 1e3;
/// What a file system's space is for.
const GROUPS: [&str; 3] = ["data", "metadata", "system"];

const INFO: &[Column] = &[table::gauge("node_btrfs_info", "What each file system is called; always 1.")];
const SYSTEMS: &[Column] = &[
    table::gauge("node_btrfs_global_rsv_size_bytes", "Bytes kept back for emergencies."),
    table::counter("node_btrfs_commits_total", "Commits made."),
    table::gauge("node_btrfs_last_commit_seconds", "How long the last commit took."),
    table::gauge("node_btrfs_max_commit_seconds", "How long the longest commit took."),
    table::counter("node_btrfs_commit_seconds_total", "How long all commits took."),
];
const RESERVED: &[Column] = &[table::gauge("node_btrfs_reserved_bytes", "Bytes that are reserved.")];
const LAYOUTS: &[Column] = &[
    table::gauge("node_btrfs_allocation_ratio", "How often each byte is stored."),
    table::gauge("node_btrfs_size_bytes", "Bytes that are set aside."),
    table::gauge("node_btrfs_used_bytes", "Bytes that are used."),
];
/// Errors of a device, in the order of the host's.
const ERRORS: [&str; 5] = ["write", "read", "flush", "corruption", "generation"];

/// A device of a file system.
#[derive(Debug)]
struct Device {
    name: String,
    system: String,
    bytes: f64,
    /// What Btrfs itself says.
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    uuid: String,
    unused_bytes: f64,
    errors: [u64; 5],
}

/// The collector.
#[derive(Debug)]
pub(crate) struct Btrfs {
    file: File,
    info: Table,
    systems: Table,
    reserved: Table,
    layouts: Table,
    devices: Vec<Device>,
}

impl Btrfs {
    pub(crate) fn new() -> Self {
        Self {
            file: File::default(),
            info: Table::new(&["label", "uuid"], INFO),
            systems: Table::new(&["uuid"], SYSTEMS),
            reserved: Table::new(&["block_group_type", "uuid"], RESERVED),
            layouts: Table::new(&["block_group_type", "mode", "uuid"], LAYOUTS),
            devices: Vec::new(),
        }
    }

    fn tables(&mut self) -> [&mut Table; 4] {
        let Self { info, systems, reserved, layouts, .. } = self;
        [info, systems, reserved, layouts]
    }

    fn number(&mut self, context: &Context<'_>, name: &str) -> Option<f64> {
        let number = self.file.number(context.paths, Root::Sys, format_args!("{FOLDER}/{name}"));
        number.map(|number| number as f64)
    }

    fn text(&mut self, context: &Context<'_>, name: &str) -> String {
        let value = self.file.value(context.paths, Root::Sys, format_args!("{FOLDER}/{name}"));
        scan::text(value.unwrap_or_default()).into_owned()
    }

    fn read(
        &mut self,
        system: &str,
        mounted: &[BtrfsSystem],
        context: &Context<'_>,
    ) -> Result<(), CollectError> {
        let label = self.text(context, &format!("{system}/label"));
        let mut uuid = self.text(context, &format!("{system}/metadata_uuid"));
        if uuid.is_empty() {
            uuid = system.to_owned();
        }
        self.info.row(&[&label, &uuid])[0] = Some(1.0);
        let reserve = self.number(context, &format!("{system}/allocation/global_rsv_size"));
        let [commits, last, longest, all] = self.commits(system, context);
        let seconds = |milliseconds: Option<f64>| milliseconds.map(|value| value / MILLISECONDS);
        let values = [reserve, commits, seconds(last), seconds(longest), seconds(all)];
        self.systems.row(&[&uuid]).copy_from_slice(&values);
        let devices = names_in(context.paths, Root::Sys, &format!("{FOLDER}/{system}/devices"))?;
        match mounted.iter().find(|mounted| in_words(&mounted.uuid) == system) {
            Some(mounted) => self.devices.extend(mounted.devices.iter().map(|device| told(device, &uuid))),
            None => {
                for name in &devices {
                    let sectors = self.number(context, &format!("{system}/devices/{name}/size"));
                    let bytes = sectors.map(|sectors| sectors * SECTOR_BYTES);
                    let device =
                        |bytes| Device { name: name.clone(), system: uuid.clone(), bytes, told: None };
                    self.devices.extend(bytes.map(device));
                }
            }
        }
        for group in GROUPS {
            let folder = format!("{system}/allocation/{group}");
            let reserved = self.number(context, &format!("{folder}/bytes_reserved"));
            self.reserved.row(&[group, &uuid])[0] = reserved;
            for mode in names_in(context.paths, Root::Sys, &format!("{FOLDER}/{folder}"))? {
                if exists(context.paths, Root::Sys, &format!("{FOLDER}/{folder}/{mode}/total_bytes")) {
                    let size = self.number(context, &format!("{folder}/{mode}/total_bytes"));
                    let used = self.number(context, &format!("{folder}/{mode}/used_bytes"));
                    let ratio = Some(ratio(&mode, devices.len()));
                    self.layouts.row(&[group, &mode, &uuid]).copy_from_slice(&[ratio, size, used]);
                }
            }
        }
        Ok(())
    }

    /// What Btrfs says of those that are mounted where this program may look, each once.
    fn mounted(&mut self, context: &Context<'_>) -> Vec<BtrfsSystem> {
        let mut found: Vec<BtrfsSystem> = Vec::new();
        let file = &mut self.file;
        let mut mounts = ["1/mountinfo", "self/mountinfo"].into_iter();
        if !mounts.any(|name| file.content(context.paths, Root::Proc, format_args!("{name}")).is_some()) {
            return found;
        }
        let mut known = BTreeSet::new();
        for mount in scan::lines(self.file.data()).filter_map(mounts::parse) {
            let is_new = mount.fs_type == b"btrfs" && !known.contains(mount.device);
            let Some(point) = std::str::from_utf8(&mount.mount_point).ok().filter(|_| is_new) else {
                continue;
            };
            let path = context.paths.in_rootfs(point);
            match context.host.btrfs(&path) {
                Ok(system) => {
                    known.insert(mount.device);
                    if found.iter().all(|other| other.uuid != system.uuid) {
                        found.push(system);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    refusals::note(&format!("the devices of Btrfs at {path}"));
                }
                Err(_) => {}
            }
        }
        found
    }

    fn write_devices(&self, context: &mut Context<'_>) {
        if self.devices.is_empty() {
            return;
        }
        let help = "The size of each device.";
        let mut sizes = context.out.family("node_btrfs_device_size_bytes", Gauge, help);
        for Device { name, system, bytes, told } in &self.devices {
            match told {
                Some(told) => {
                    let labels = [("btrfs_dev_uuid", &*told.uuid), ("device", name), ("uuid", system)];
                    sizes.sample(&labels, *bytes);
                }
                None => sizes.sample(&[("device", name), ("uuid", system)], *bytes),
            };
        }
        let told: Vec<_> = self.devices.iter().filter_map(|d| Some((d, d.told.as_ref()?))).collect();
        if told.is_empty() {
            return;
        }
        let help = "Bytes of each device that are set aside for nothing yet.";
        let mut unused = context.out.family("node_btrfs_device_unused_bytes", Gauge, help);
        for (device, told) in &told {
            let labels =
                [("btrfs_dev_uuid", &*told.uuid), ("device", &*device.name), ("uuid", &*device.system)];
            unused.sample(&labels, told.unused_bytes);
        }
        let help = "Errors of each device, by kind.";
        let mut errors = context.out.family("node_btrfs_device_errors_total", Counter, help);
        for (device, told) in &told {
            for (kind, count) in ERRORS.iter().zip(told.errors) {
                let labels = [
                    ("btrfs_dev_uuid", &*told.uuid),
                    ("device", &*device.name),
                    ("type", kind),
                    ("uuid", &*device.system),
                ];
                errors.sample(&labels, count as f64);
            }
        }
    }

    /// The number of commits, and how long the last one, the longest one and all took, in milliseconds.
    fn commits(&mut self, system: &str, context: &Context<'_>) -> [Option<f64>; 4] {
        let name = format_args!("{FOLDER}/{system}/commit_stats");
        let text = self.file.value(context.paths, Root::Sys, name).unwrap_or_default();
        ["commits", "last_commit_ms", "max_commit_ms", "total_commit_ms"].map(|key| {
            let mut lines = scan::lines(text).map(scan::fields);
            let value = lines.find_map(|mut line| (line.next()? == key.as_bytes()).then(|| line.number())?);
            value.map(|value| value as f64)
        })
    }
}

fn told(device: &BtrfsDevice, system: &str) -> Device {
    Device {
        name: device.path.rsplit('/').next().unwrap_or_default().to_owned(),
        system: system.to_owned(),
        bytes: device.bytes as f64,
        told: Some(Told {
            uuid: in_words(&device.uuid),
            unused_bytes: device.bytes.saturating_sub(device.used_bytes) as f64,
            errors: device.errors,
        }),
    }
}

/// A UUID as it is written: 8, 4, 4, 4 and 12 digits.
fn in_words(uuid: &[u8; 16]) -> String {
    let digits: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]).join("-")
}

/// How often each byte is stored, on so many devices.
fn ratio(mode: &str, devices: usize) -> f64 {
    let with_parity = |parity: usize| {
        if devices > parity { devices as f64 / (devices - parity) as f64 } else { 0.0 }
    };
    match mode {
        "single" | "raid0" => 1.0,
        "dup" | "raid1" | "raid10" => 2.0,
        "raid1c3" => 3.0,
        "raid1c4" => 4.0,
        "raid5" => with_parity(1),
        "raid6" => with_parity(2),
        _ => 0.0,
    }
}

impl Collector for Btrfs {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.tables().into_iter().for_each(Table::clear);
        self.devices.clear();
        let mut mounted = None;
        for system in names_in(context.paths, Root::Sys, FOLDER)? {
            // Beside the file systems, which are called as their UUIDs, stands what the kernel can do.
            if system.contains('-') {
                let mounted = &*mounted.get_or_insert_with(|| self.mounted(context));
                self.read(&system, mounted, context)?;
            }
        }
        for table in self.tables() {
            table.write(&mut context.out);
        }
        self.write_devices(context);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::{
        host::{Host, Uname, Usage},
        netlink,
        output::Output,
        source::Paths,
        testing::env_of,
    };
    use skopos_exposition::Format;
    use std::{fs, sync::Arc, time::Duration};

    /// A machine on which nobody may ask Btrfs.
    #[derive(Debug)]
    struct Refusing;

    impl Host for Refusing {
        fn uname(&self) -> Uname {
            Uname::default()
        }

        fn usage(&self, _: &str) -> io::Result<Usage> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn netlink(&self, _: netlink::Request, _: &mut Vec<u8>) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn btrfs(&self, _: &str) -> io::Result<BtrfsSystem> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    #[test]
    fn what_btrfs_refuses_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let mount = "30 28 0:31 / /data rw shared:9 - btrfs /dev/sda1 rw\n";
        fs::create_dir_all(folder.path().join("proc/self")).unwrap();
        fs::write(folder.path().join("proc/self/mountinfo"), mount).unwrap();
        let root = folder.path().to_str().unwrap();
        let (paths, env, mut page) = (Paths::below(root), env_of(Arc::new(Refusing)), Vec::new());
        let out = Output::new(Format::Text, &mut page);
        let (host, clock) = (&*env.host, &*env.clock);
        let context = Context { paths: &paths, host, clock, ends_at: Duration::MAX, out };
        assert_eq!(Btrfs::new().mounted(&context), []);
        assert_eq!(refusals::take(), [format!("the devices of Btrfs at {root}/data")]);
    }

    #[test]
    fn copies_and_parity_cost_space() {
        for (mode, devices, expected) in [
            ("single", 1, 1.0),
            ("dup", 1, 2.0),
            ("raid1c4", 4, 4.0),
            ("raid5", 3, 1.5),
            ("raid6", 4, 2.0),
            ("raid5", 1, 0.0),
            ("raid6", 0, 0.0),
            ("unheard-of", 3, 0.0),
        ] {
            assert_eq!(ratio(mode, devices), expected, "{mode} {devices}");
        }
    }
}
