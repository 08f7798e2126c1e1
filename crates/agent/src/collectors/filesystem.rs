//! `filesystem`: how full the mounted file systems are.

use super::{
    mounts,
    stat_pool::{Answer, StatPool},
};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    host::Usage,
    options::FileSystemOptions,
    registry::AgentEnv,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType;
use std::{collections::HashSet, sync::Arc};

/// The collector.
#[derive(Debug)]
pub(crate) struct FileSystem {
    options: FileSystemOptions,
    pool: StatPool,
    file: File,
    /// The table at which `mounts` was read. It changes rarely, so it is compared, not parsed.
    table: Vec<u8>,
    mounts: Vec<Mounted>,
    paths: Vec<Arc<str>>,
}

/// A mounted file system that is watched.
#[derive(Debug)]
struct Mounted {
    device: String,
    fs_type: String,
    mount_point: String,
    major: String,
    minor: String,
    read_only: bool,
}

/// A family of values of file systems that answered.
#[derive(Debug)]
struct Column {
    name: &'static str,
    help: &'static str,
    value: fn(&Usage) -> f64,
}

const COLUMNS: [Column; 5] = [
    Column {
        name: "node_filesystem_avail_bytes",
        help: "Bytes that ordinary users may still use.",
        value: |usage| usage.blocks_available as f64 * usage.block_bytes as f64,
    },
    Column {
        name: "node_filesystem_files",
        help: "All inodes of the file system.",
        value: |usage| usage.inodes as f64,
    },
    Column {
        name: "node_filesystem_files_free",
        help: "Free inodes of the file system.",
        value: |usage| usage.inodes_free as f64,
    },
    Column {
        name: "node_filesystem_free_bytes",
        help: "Free bytes of the file system.",
        value: |usage| usage.blocks_free as f64 * usage.block_bytes as f64,
    },
    Column {
        name: "node_filesystem_size_bytes",
        help: "The size of the file system.",
        value: |usage| usage.blocks as f64 * usage.block_bytes as f64,
    },
];

impl FileSystem {
    pub(crate) fn new(options: &FileSystemOptions, env: &AgentEnv) -> Self {
        let pool = StatPool::new(
            Arc::clone(&env.host),
            Arc::clone(&env.clock),
            Arc::clone(&env.spawner),
            options.stat_workers,
            options.mount_timeout,
        );
        Self {
            options: options.clone(),
            pool,
            file: File::default(),
            table: Vec::new(),
            mounts: Vec::new(),
            paths: Vec::new(),
        }
    }

    /// Reads the table of the first process, which sees all that the machine mounts; where that is
    /// hidden, our own.
    fn read_table(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        if !self.file.read_if_exists(context.paths, Root::Proc, format_args!("1/mountinfo"))? {
            self.file.read(context.paths, Root::Proc, format_args!("self/mountinfo"))?;
        }
        if self.file.data() == self.table && !self.table.is_empty() {
            return Ok(());
        }
        self.table.clear();
        self.mounts.clear();
        self.paths.clear();
        let mut seen = HashSet::new();
        for line in self.file.lines()? {
            let mount = mounts::parse(line).ok_or_else(|| self.file.bad_line(line, "a mount is expected"))?;
            let on_machine = scan::text(&mount.mount_point);
            let mount_point = context.paths.strip_rootfs(&on_machine);
            let (device, fs_type) = (scan::text(mount.device), scan::text(mount.fs_type));
            // The same thing mounted twice in the same place is one series.
            let labels = [&*device, mount_point, &*fs_type].map(str::to_owned);
            if !self.options.mount_points.admits(mount_point.as_bytes())
                || !self.options.fs_types.admits(mount.fs_type)
                || !seen.insert(labels)
            {
                continue;
            }
            self.paths.push(Arc::from(context.paths.in_rootfs(mount_point)));
            self.mounts.push(Mounted {
                device: device.into_owned(),
                fs_type: fs_type.into_owned(),
                mount_point: mount_point.to_owned(),
                major: mount.major.to_string(),
                minor: mount.minor.to_string(),
                read_only: mount.read_only,
            });
        }
        self.table.extend_from_slice(self.file.data());
        Ok(())
    }

    fn write(&self, answers: &[Answer], context: &mut Context<'_>) {
        let errors: Vec<String> = answers.iter().map(error_text).collect();
        let mounts = || self.mounts.iter().zip(answers).zip(&errors);
        for column in &COLUMNS {
            let mut family = context.out.family(column.name, MetricType::Gauge, column.help);
            for ((mount, answer), error) in mounts() {
                if let Answer::Usage(usage) = answer {
                    family.sample(&mount.labels(error), (column.value)(usage));
                }
            }
        }
        let help = "Whether the file system could not be asked: 1 if so, with the reason as a label.";
        let mut family = context.out.family("node_filesystem_device_error", MetricType::Gauge, help);
        for ((mount, _), error) in mounts() {
            family.sample(&mount.labels(error), flag(!error.is_empty()));
        }
        let help = "Whether the file system may only be read.";
        let mut family = context.out.family("node_filesystem_readonly", MetricType::Gauge, help);
        for ((mount, _), error) in mounts() {
            family.sample(&mount.labels(error), flag(mount.read_only));
        }
        let help = "The number of each file system's device; always 1.";
        let mut family = context.out.family("node_filesystem_mount_info", MetricType::Gauge, help);
        // Two types of file systems with one device in one place differ in a label that is not here.
        let mut seen = HashSet::new();
        for ((mount, answer), _) in mounts() {
            let labels = [
                ("device", &mount.device),
                ("major", &mount.major),
                ("minor", &mount.minor),
                ("mountpoint", &mount.mount_point),
            ];
            if matches!(answer, Answer::Usage(_)) && seen.insert(labels) {
                family.sample(&labels.map(|(name, text)| (name, text.as_str())), 1.0);
            }
        }
    }
}

impl Mounted {
    fn labels<'a>(&'a self, error: &'a str) -> [(&'static str, &'a str); 4] {
        [
            ("device", &self.device),
            ("device_error", error),
            ("fstype", &self.fs_type),
            ("mountpoint", &self.mount_point),
        ]
    }
}

impl Collector for FileSystem {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.read_table(context)?;
        // One mount that hangs is given up before this collector is, which would lose all of them.
        let answers = self.pool.ask_within(&self.paths, context.patience());
        self.write(&answers, context);
        Ok(())
    }
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

/// The label `device_error`, in the words of the reference: the system's, in lower case.
fn error_text(answer: &Answer) -> String {
    match answer {
        Answer::Usage(_) => String::new(),
        Answer::TimedOut => "mountpoint timeout".into(),
        Answer::Failed(error) => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_lowercase()
        }
    }
}
