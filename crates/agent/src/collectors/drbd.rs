//! `drbd`: block devices that are mirrored over the network, from `/proc/drbd`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType::{self, Counter, Gauge};

const KILOBYTE: f64 = 1024.0;

/// A key of the file, its family, its type, what its number is multiplied by, its help text.
type Column = (&'static [u8], &'static str, MetricType, f64, &'static str);

/// The reference takes the kilobytes that were received for bytes, and so does who reads its metric.
const COLUMNS: [Column; 12] = [
    (b"al", "node_drbd_activitylog_writes_total", Counter, 1.0, "Updates of the log of activity."),
    (b"ap", "node_drbd_application_pending", Gauge, 1.0, "Requests that DRBD has not answered yet."),
    (b"bm", "node_drbd_bitmap_writes_total", Counter, 1.0, "Updates of the bitmap of blocks."),
    (b"dr", "node_drbd_disk_read_bytes_total", Counter, KILOBYTE, "Bytes read from the disk here."),
    (b"dw", "node_drbd_disk_written_bytes_total", Counter, KILOBYTE, "Bytes written to the disk here."),
    (b"ep", "node_drbd_epochs", Gauge, 1.0, "Epochs that are under way."),
    (b"lo", "node_drbd_local_pending", Gauge, 1.0, "Requests that the disk here has not answered yet."),
    (b"nr", "node_drbd_network_received_bytes_total", Counter, 1.0, "What was received over the network."),
    (b"ns", "node_drbd_network_sent_bytes_total", Counter, KILOBYTE, "Bytes sent over the network."),
    (b"oos", "node_drbd_out_of_sync_bytes", Gauge, KILOBYTE, "Bytes that differ between the two sides."),
    (b"pe", "node_drbd_remote_pending", Gauge, 1.0, "Requests that the other side has not answered yet."),
    (
        b"ua",
        "node_drbd_remote_unacknowledged",
        Gauge,
        1.0,
        "Requests of the other side that were not answered yet.",
    ),
];

/// A key with a state of each side, its family, the state that is good, its help text.
const PAIRS: [(&[u8], &str, &[u8], &str); 2] = [
    (b"ds", "node_drbd_disk_state_is_up_to_date", b"UpToDate", "Whether the disk of the side is up to date."),
    (b"ro", "node_drbd_node_role_is_primary", b"Primary", "Whether the side is the primary one."),
];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Drbd {
    file: File,
    devices: Vec<Device>,
}

#[derive(Debug, Default)]
struct Device {
    name: String,
    connected: Option<bool>,
    numbers: [Option<u64>; COLUMNS.len()],
    pairs: [Option<[bool; 2]>; PAIRS.len()],
}

impl Collector for Drbd {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !self.file.read_if_exists(context.paths, Root::Proc, format_args!("drbd"))? {
            return Err(CollectError::NoData("the kernel has no DRBD".into()));
        }
        self.devices.clear();
        for line in self.file.lines()? {
            for field in scan::fields(line) {
                read(field, &mut self.devices)
                    .ok_or_else(|| self.file.bad_line(line, "pairs of a key and a value are expected"))?;
            }
        }
        self.write(context);
        Ok(())
    }
}

/// A field such as `ns:0`, or `1:`, which begins a device. `None` when its value is not of its kind.
fn read(field: &[u8], devices: &mut Vec<Device>) -> Option<()> {
    let Some((key, value)) = scan::split_at(field, b':') else { return Some(()) };
    if let Some(number) = scan::number(key).filter(|_| value.is_empty()) {
        let name = format!("drbd{number}");
        let is_new = !devices.iter().any(|device| device.name == name);
        devices.push(Device { name, ..Device::default() });
        return is_new.then_some(());
    }
    // What stands before the first device is the version.
    let Some(device) = devices.last_mut() else { return Some(()) };
    if key == b"cs" {
        device.connected = Some(value == b"Connected");
    } else if let Some(at) = COLUMNS.iter().position(|column| column.0 == key) {
        device.numbers[at] = Some(scan::number(value)?);
    } else if let Some(at) = PAIRS.iter().position(|pair| pair.0 == key) {
        let (here, there) = scan::split_at(value, b'/')?;
        device.pairs[at] = Some([here == PAIRS[at].2, there == PAIRS[at].2]);
    }
    Some(())
}

impl Drbd {
    fn write(&self, context: &mut Context<'_>) {
        for (i, (_, name, kind, factor, help)) in COLUMNS.into_iter().enumerate() {
            let mut family = context.out.family(name, kind, help);
            for device in &self.devices {
                if let Some(number) = device.numbers[i] {
                    family.sample(&[("device", &device.name)], number as f64 * factor);
                }
            }
        }
        let help = "Whether the two sides are connected.";
        let mut family = context.out.family("node_drbd_connected", Gauge, help);
        for device in &self.devices {
            if let Some(connected) = device.connected {
                family.sample(&[("device", &device.name)], f64::from(u8::from(connected)));
            }
        }
        for (i, (_, name, _, help)) in PAIRS.into_iter().enumerate() {
            let mut family = context.out.family(name, Gauge, help);
            for device in &self.devices {
                let Some(pair) = device.pairs[i] else { continue };
                for (side, is_good) in ["local", "remote"].into_iter().zip(pair) {
                    let labels = [("device", device.name.as_str()), ("node", side)];
                    family.sample(&labels, f64::from(u8::from(is_good)));
                }
            }
        }
    }
}
