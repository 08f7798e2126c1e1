//! `diskstats`: what each block device did, from `/proc/diskstats`, and what udev knows of it.

use super::udev::Properties;
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    filter::Filter,
    options::NodeOptions,
    scan,
    source::{File, KeptFile, Root},
};
use skopos_model::MetricType;
use std::time::Duration;

/// Sectors of the kernel's counters have this size, whatever the device's own is.
const SECTOR_BYTES: f64 = 512.0;
const MILLISECONDS: f64 = 1000.0;
/// Devices whose lines have fewer counters are partitions of very old kernels.
const MIN_COUNTERS: usize = 11;
/// What a device is changes rarely and costs two files a device to read: it is read again after this
/// time, and when a device comes or goes.
const DESCRIBED_FOR: Duration = Duration::from_secs(60);

/// How a counter becomes a value.
#[derive(Clone, Copy, Debug)]
enum Unit {
    Count,
    Sectors,
    Milliseconds,
}

impl Unit {
    fn value(self, counter: u64) -> f64 {
        match self {
            Self::Count => counter as f64,
            Self::Sectors => counter as f64 * SECTOR_BYTES,
            Self::Milliseconds => counter as f64 / MILLISECONDS,
        }
    }
}

/// A counter of the kernel's line, in the line's order.
#[derive(Debug)]
struct Column {
    name: &'static str,
    kind: MetricType,
    unit: Unit,
    help: &'static str,
}

const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Column {
    Column { name, kind: MetricType::Counter, unit, help }
}

const COLUMNS: [Column; 17] = [
    counter("node_disk_reads_completed_total", Unit::Count, "Reads completed."),
    counter("node_disk_reads_merged_total", Unit::Count, "Reads merged into others."),
    counter("node_disk_read_bytes_total", Unit::Sectors, "Bytes read."),
    counter("node_disk_read_time_seconds_total", Unit::Milliseconds, "Seconds spent by all reads."),
    counter("node_disk_writes_completed_total", Unit::Count, "Writes completed."),
    counter("node_disk_writes_merged_total", Unit::Count, "Writes merged into others."),
    counter("node_disk_written_bytes_total", Unit::Sectors, "Bytes written."),
    counter("node_disk_write_time_seconds_total", Unit::Milliseconds, "Seconds spent by all writes."),
    Column {
        name: "node_disk_io_now",
        kind: MetricType::Gauge,
        unit: Unit::Count,
        help: "Requests in progress.",
    },
    counter("node_disk_io_time_seconds_total", Unit::Milliseconds, "Seconds in which the device was busy."),
    counter(
        "node_disk_io_time_weighted_seconds_total",
        Unit::Milliseconds,
        "Seconds in which the device was busy, times the requests in progress.",
    ),
    counter("node_disk_discards_completed_total", Unit::Count, "Discards completed."),
    counter("node_disk_discards_merged_total", Unit::Count, "Discards merged into others."),
    counter("node_disk_discarded_sectors_total", Unit::Count, "Sectors discarded, of 512 bytes each."),
    counter("node_disk_discard_time_seconds_total", Unit::Milliseconds, "Seconds spent by all discards."),
    counter("node_disk_flush_requests_total", Unit::Count, "Flushes completed."),
    counter(
        "node_disk_flush_requests_time_seconds_total",
        Unit::Milliseconds,
        "Seconds spent by all flushes.",
    ),
];

/// Metrics of ATA disks: the name, udev's property, the help text.
const ATA: [(&str, &str, &str); 3] = [
    ("node_disk_ata_rotation_rate_rpm", "ID_ATA_ROTATION_RATE_RPM", "Rotations a minute; 0 for solid state."),
    ("node_disk_ata_write_cache", "ID_ATA_WRITE_CACHE", "Whether the disk has a write cache."),
    ("node_disk_ata_write_cache_enabled", "ID_ATA_WRITE_CACHE_ENABLED", "Whether the write cache is in use."),
];

/// A device's line.
#[derive(Clone, Copy, Debug)]
struct Row {
    major: u64,
    minor: u64,
    /// Where its name stands in the file.
    name: (usize, usize),
    counters: [u64; COLUMNS.len()],
    given: usize,
}

/// The collector.
#[derive(Debug)]
pub(crate) struct DiskStats {
    file: KeptFile,
    devices: Filter,
    rows: Vec<Row>,
    details: Details,
}

impl DiskStats {
    pub(crate) fn new(options: &NodeOptions) -> Self {
        Self {
            file: KeptFile::default(),
            devices: options.disk_devices.clone(),
            rows: Vec::new(),
            details: Details::default(),
        }
    }

    fn read_rows(&mut self) -> Result<(), CollectError> {
        self.rows.clear();
        let data = self.file.data();
        for line in self.file.lines()? {
            let (row, name) =
                parse(data, line).ok_or_else(|| self.file.bad_line(line, "a device is expected"))?;
            if row.given >= MIN_COUNTERS && self.devices.admits(name) {
                self.rows.push(row);
            }
        }
        let name = |row: &Row| scan::text(&data[row.name.0..row.name.1]);
        self.rows.sort_by(|a, b| name(a).cmp(&name(b)));
        self.rows.dedup_by(|a, b| name(a) == name(b));
        Ok(())
    }
}

impl Collector for DiskStats {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("diskstats"))?;
        self.read_rows()?;
        let Self { file, rows, details, .. } = self;
        details.refresh(file.data(), rows, context);
        for (i, column) in COLUMNS.iter().enumerate() {
            let mut family = context.out.family(column.name, column.kind, column.help);
            for (row, disk) in rows.iter().zip(&details.described).filter(|(row, _)| i < row.given) {
                family.sample(&[("device", &disk.device)], column.unit.value(row.counters[i]));
            }
        }
        details.write(context);
        Ok(())
    }
}

/// The row of `line`, which is a part of `data`, and its name.
fn parse<'a>(data: &[u8], line: &'a [u8]) -> Option<(Row, &'a [u8])> {
    let mut fields = scan::fields(line);
    let (major, minor) = (fields.number()?, fields.number()?);
    let name = fields.next()?;
    let start = (name.as_ptr() as usize).checked_sub(data.as_ptr() as usize)?;
    let mut row =
        Row { major, minor, name: (start, start + name.len()), counters: [0; COLUMNS.len()], given: 0 };
    for (counter, field) in row.counters.iter_mut().zip(fields) {
        *counter = scan::number(field)?;
        row.given += 1;
    }
    Some((row, name))
}

/// What is known of the devices beside their counters.
#[derive(Debug, Default)]
struct Details {
    udev: Properties,
    value: File,
    /// One for each row, in the same order.
    described: Vec<Described>,
    /// When they were read.
    read_at: Duration,
}

/// What is known of a device beside its counters.
#[derive(Clone, Debug, Default)]
struct Described {
    /// Major and minor number.
    number: (u64, u64),
    /// The name as the kernel writes it, and as a label.
    name: Vec<u8>,
    device: String,
    major: String,
    minor: String,
    model: String,
    path: String,
    revision: String,
    rotational: String,
    serial: String,
    wwn: String,
    /// Type, usage, UUID and version of the file system that is right on the device.
    file_system: Option<[String; 4]>,
    /// Name, UUID, volume group, logical volume and layer of a mapped device.
    mapper: Option<[String; 5]>,
    /// The values of `ATA`.
    ata: [Option<f64>; ATA.len()],
}

impl Details {
    fn refresh(&mut self, data: &[u8], rows: &[Row], context: &Context<'_>) {
        let now = context.clock.monotonic();
        let name = |row: &Row| &data[row.name.0..row.name.1];
        let same =
            |(row, disk): (&Row, &Described)| disk.number == (row.major, row.minor) && disk.name == name(row);
        let is_known = rows.len() == self.described.len() && rows.iter().zip(&self.described).all(same);
        if is_known && now.saturating_sub(self.read_at) < DESCRIBED_FOR {
            return;
        }
        self.read_at = now;
        self.described.clear();
        for row in rows {
            let described = self.describe(name(row), row, context);
            self.described.push(described);
        }
    }

    fn write(&self, context: &mut Context<'_>) {
        self.write_info(context);
        let help = "The file system right on each device; always 1.";
        let mut family = context.out.family("node_disk_filesystem_info", MetricType::Gauge, help);
        for disk in &self.described {
            if let Some([kind, usage, uuid, version]) = &disk.file_system {
                let labels = [
                    ("device", &disk.device),
                    ("type", kind),
                    ("usage", usage),
                    ("uuid", uuid),
                    ("version", version),
                ];
                family.sample(&labels.map(|(name, text)| (name, text.as_str())), 1.0);
            }
        }
        let help = "What each mapped device is; always 1.";
        let mut family = context.out.family("node_disk_device_mapper_info", MetricType::Gauge, help);
        for disk in &self.described {
            if let Some([name, uuid, vg_name, lv_name, lv_layer]) = &disk.mapper {
                let labels = [
                    ("device", &disk.device),
                    ("lv_layer", lv_layer),
                    ("lv_name", lv_name),
                    ("name", name),
                    ("uuid", uuid),
                    ("vg_name", vg_name),
                ];
                family.sample(&labels.map(|(name, text)| (name, text.as_str())), 1.0);
            }
        }
        for (i, (name, _, help)) in ATA.iter().enumerate() {
            let mut family = context.out.family(name, MetricType::Gauge, help);
            for disk in &self.described {
                if let Some(value) = disk.ata[i] {
                    family.sample(&[("device", &disk.device)], value);
                }
            }
        }
    }

    fn describe(&mut self, name: &[u8], row: &Row, context: &Context<'_>) -> Described {
        self.udev.read(context.paths, row.major, row.minor);
        let udev = &self.udev;
        let property = |key: &str| scan::text(udev.get(key)).into_owned();
        let device = scan::text(name).into_owned();
        let serial = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"].into_iter().map(property);
        let file_system = (!udev.get("ID_FS_TYPE").is_empty())
            .then(|| ["ID_FS_TYPE", "ID_FS_USAGE", "ID_FS_UUID", "ID_FS_VERSION"].map(property));
        let mapper = (!udev.get("DM_NAME").is_empty())
            .then(|| ["DM_NAME", "DM_UUID", "DM_VG_NAME", "DM_LV_NAME", "DM_LV_LAYER"].map(property));
        let ata = ATA.map(
            |(_, key, _)| {
                if udev.get("ID_ATA").is_empty() { None } else { scan::decimal(udev.get(key)) }
            },
        );
        let rotational =
            self.value.number(context.paths, Root::Sys, format_args!("block/{device}/queue/rotational"));
        Described {
            number: (row.major, row.minor),
            name: name.to_vec(),
            major: row.major.to_string(),
            minor: row.minor.to_string(),
            model: property("ID_MODEL"),
            path: property("ID_PATH"),
            revision: property("ID_REVISION"),
            rotational: rotational.unwrap_or(0).to_string(),
            serial: serial.into_iter().find(|serial| !serial.is_empty()).unwrap_or_default(),
            wwn: property("ID_WWN"),
            file_system,
            mapper,
            ata,
            device,
        }
    }

    fn write_info(&self, context: &mut Context<'_>) {
        let help = "What each device is; always 1.";
        let mut family = context.out.family("node_disk_info", MetricType::Gauge, help);
        for disk in &self.described {
            let labels = [
                ("device", &disk.device),
                ("major", &disk.major),
                ("minor", &disk.minor),
                ("model", &disk.model),
                ("path", &disk.path),
                ("revision", &disk.revision),
                ("rotational", &disk.rotational),
                ("serial", &disk.serial),
                ("wwn", &disk.wwn),
            ];
            family.sample(&labels.map(|(name, text)| (name, text.as_str())), 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_of_old_and_new_kernels() {
        for (line, given) in [
            ("   8 0 sda 1 2 3 4 5 6 7 8 9 10 11", 11),
            ("   8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", 15),
            (" 254 0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19", 17),
            ("   8 1 sda1 1 2 3 4", 4),
        ] {
            let (row, name) = parse(line.as_bytes(), line.as_bytes()).unwrap();
            assert_eq!((row.given, row.counters[3]), (given, 4), "{line}");
            assert_eq!(&line.as_bytes()[row.name.0..row.name.1], name);
        }
        for line in ["", "8 0", "8 x sda 1", "8 0 sda 1 -2"] {
            assert!(parse(line.as_bytes(), line.as_bytes()).is_none(), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..120)) {
            parse(&line, &line);
        }
    }
}
