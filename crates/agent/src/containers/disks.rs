//! The machine's disks: the names behind device numbers, and the file systems on them, which the root
//! control group shows. Network file systems are not asked: only devices below `/dev`.

use crate::{
    collectors::{
        mounts,
        stat_pool::{Answer, StatPool},
    },
    host::Usage,
    options::FileSystemOptions,
    registry::AgentEnv,
    scan,
    source::{File, Paths, Root},
};
use std::{collections::HashMap, sync::Arc};

/// The counters in a line of `/proc/diskstats` that all kernels have.
pub(super) const DISK_COUNTERS: usize = 11;

/// A disk or a partition.
#[derive(Debug)]
pub(super) struct Disk {
    device: (u32, u32),
    /// Its path, `/dev/sda`.
    pub(super) name: String,
    pub(super) major: String,
    pub(super) minor: String,
    pub(super) counters: [u64; DISK_COUNTERS],
}

/// A file system on a disk.
#[derive(Debug)]
pub(super) struct Mounted {
    device: String,
    number: (u32, u32),
    usage: Option<Usage>,
}

/// All disks.
#[derive(Debug)]
pub(super) struct Disks {
    disks: Vec<Disk>,
    by_number: HashMap<(u32, u32), usize>,
    mounted: Vec<Mounted>,
    mount_points: Vec<Arc<str>>,
    table: Vec<u8>,
    pool: StatPool,
}

/// A file system on a disk, and the disk's counters if it has any.
#[derive(Debug)]
pub(super) struct FileSystem<'a> {
    pub(super) device: &'a str,
    pub(super) usage: Option<Usage>,
    pub(super) counters: Option<&'a [u64; DISK_COUNTERS]>,
}

impl Disks {
    pub(super) fn new(options: &FileSystemOptions, env: &AgentEnv) -> Self {
        let (host, clock, spawner) = (&env.host, &env.clock, &env.spawner);
        let pool = StatPool::new(
            Arc::clone(host),
            Arc::clone(clock),
            Arc::clone(spawner),
            options.stat_workers,
            options.mount_timeout,
        );
        let (disks, mounted, mount_points, table) = Default::default();
        Self { disks, by_number: HashMap::new(), mounted, mount_points, table, pool }
    }

    /// Reads the disks' counters. Names are made anew only for disks that were not there.
    pub(super) fn refresh(&mut self, paths: &Paths, file: &mut File) {
        let content = file.content(paths, Root::Proc, format_args!("diskstats")).unwrap_or_default();
        let end = memchr::memrchr(b'\n', content).unwrap_or(0);
        let mut count = 0;
        for (device, name, counters) in scan::lines(&content[..end]).filter_map(disk) {
            let is_known = self.disks.get(count).is_some_and(|known| {
                known.device == device && known.name.strip_prefix("/dev/") == Some(name)
            });
            if is_known {
                self.disks[count].counters = counters;
            } else {
                let (major, minor) = (device.0.to_string(), device.1.to_string());
                let new = Disk { device, name: format!("/dev/{name}"), major, minor, counters };
                self.disks.truncate(count);
                self.disks.push(new);
                self.by_number.retain(|_, at| *at < count);
                self.by_number.insert(device, count);
            }
            count += 1;
        }
        self.disks.truncate(count);
        self.by_number.retain(|_, at| *at < count);
    }

    /// The disk of this number.
    pub(super) fn get(&self, device: (u32, u32)) -> Option<&Disk> {
        self.by_number.get(&device).map(|at| &self.disks[*at])
    }

    /// Asks the file systems on disks how full they are.
    pub(super) fn ask_file_systems(&mut self, paths: &Paths, file: &mut File) {
        let content = file.content(paths, Root::Proc, format_args!("1/mountinfo")).unwrap_or_default();
        if content != self.table {
            self.table.clear();
            self.table.extend_from_slice(content);
            self.read_table(paths);
        }
        for (mounted, answer) in self.mounted.iter_mut().zip(self.pool.ask(&self.mount_points)) {
            mounted.usage = match answer {
                Answer::Usage(usage) => Some(usage),
                Answer::Failed(_) | Answer::TimedOut => None,
            };
        }
    }

    fn read_table(&mut self, paths: &Paths) {
        self.mounted.clear();
        self.mount_points.clear();
        for mount in scan::lines(&self.table).filter_map(mounts::parse) {
            let device = scan::text(mount.device);
            let (Ok(major), Ok(minor)) = (u32::try_from(mount.major), u32::try_from(mount.minor)) else {
                continue;
            };
            let number = (major, minor);
            let is_new = !self.mounted.iter().any(|m| m.device == *device || m.number == number);
            if device.starts_with("/dev/") && is_new {
                let on_machine = scan::text(&mount.mount_point);
                self.mount_points.push(Arc::from(paths.in_rootfs(paths.strip_rootfs(&on_machine))));
                self.mounted.push(Mounted { device: device.into_owned(), number, usage: None });
            }
        }
    }

    /// The file systems on disks.
    pub(super) fn file_systems(&self) -> impl Iterator<Item = FileSystem<'_>> {
        self.mounted.iter().map(|mounted| self.file_system(mounted))
    }

    /// The file system on a disk that a folder is on, by its path.
    pub(super) fn file_system_of(&self, folder: &str) -> Option<FileSystem<'_>> {
        let is_below = |point: &str| {
            let rest = folder.strip_prefix(point.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let above = self.mount_points.iter().zip(&self.mounted).filter(|(point, _)| is_below(point));
        above.max_by_key(|(point, _)| point.len()).map(|(_, mounted)| self.file_system(mounted))
    }

    fn file_system<'a>(&'a self, mounted: &'a Mounted) -> FileSystem<'a> {
        let counters = self.get(mounted.number).map(|disk| &disk.counters);
        FileSystem { device: &mounted.device, usage: mounted.usage, counters }
    }
}

/// `   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 …`.
fn disk(line: &[u8]) -> Option<((u32, u32), &str, [u64; DISK_COUNTERS])> {
    let mut fields = scan::fields(line);
    let (major, minor) = (fields.number()?, fields.number()?);
    let name = std::str::from_utf8(fields.next()?).ok()?;
    let mut counters = [0; DISK_COUNTERS];
    for counter in &mut counters {
        *counter = fields.number()?;
    }
    Some(((u32::try_from(major).ok()?, u32::try_from(minor).ok()?), name, counters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_disks() {
        let (device, name, counters) = disk(b"   8       1 sda1 1 2 3 4 5 6 7 8 9 10 11 12 13").unwrap();
        assert_eq!((device, name, counters[0], counters[10]), ((8, 1), "sda1", 1, 11));
        assert!(disk(b"8 1 sda1 1 2 3").is_none());
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            disk(&line);
        }
    }
}
