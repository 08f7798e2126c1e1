//! `mountstats`: what each NFS mount of this machine did, from `/proc/self/mountstats`. How the families are
//! called stands in `mountstats_families`.

use super::mountstats_families::{
    BYTES, EVENTS, Family, OPERATION_FIELDS, OPERATIONS, TRANSPORT_FIELDS, TRANSPORTS,
};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
};
use skopos_model::MetricType::{Counter, Gauge};
use std::collections::{HashMap, HashSet};

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct MountStats {
    file: File,
}

/// An NFS mount.
#[derive(Debug, Default)]
struct Mount {
    export: String,
    mount_point: String,
    /// The server's address; empty when the mount table does not say it.
    address: String,
    version: String,
    age: Option<f64>,
    bytes: Vec<u64>,
    events: Vec<u64>,
    transports: Vec<Transport>,
    operations: Vec<(String, Vec<u64>)>,
}

/// A connection of a mount: its protocol, and its numbers in the order of TCP's.
#[derive(Debug)]
struct Transport {
    protocol: String,
    fields: [Option<u64>; TRANSPORT_FIELDS],
}

impl Collector for MountStats {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Proc, format_args!("self/mountstats"))?;
        let mut mounts = self.parse()?;
        if mounts.is_empty() {
            return Ok(());
        }
        self.file.read(context.paths, Root::Proc, format_args!("self/mountinfo"))?;
        let addresses: HashMap<&[u8], &[u8]> = self.file.lines()?.filter_map(address).collect();
        // A mount that is in only one of the two files came or went meanwhile.
        mounts.retain(|mount| addresses.contains_key(mount.mount_point.as_bytes()));
        for mount in &mut mounts {
            mount.address = scan::text(addresses[mount.mount_point.as_bytes()]).into_owned();
        }
        write_points(&mounts, context);
        // The same export mounted in several places is one connection with one set of counters.
        let mut seen = HashSet::new();
        mounts.retain(|mount| {
            mount.protocol().is_some_and(|_| seen.insert(mount.labels().map(|(_, text)| text.to_owned())))
        });
        write(&mounts, context);
        Ok(())
    }
}

/// The mount point and the server's address of a line of the mount table, both as the kernel writes
/// them. The address is empty when the line does not say it.
fn address(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let mount_point = scan::fields(line).nth(4)?;
    let options = scan::fields(line).last()?;
    let address = options.split(|byte| *byte == b',').find_map(|option| option.strip_prefix(b"addr="));
    Some((mount_point, address.unwrap_or_default()))
}

/// What the lines that follow belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// No NFS mount.
    Other,
    /// The head of an NFS mount.
    Mount,
    /// Its operations.
    Operations,
}

impl MountStats {
    fn parse(&self) -> Result<Vec<Mount>, CollectError> {
        let mut mounts: Vec<Mount> = Vec::new();
        let mut part = Part::Other;
        for line in self.file.lines()? {
            if line.starts_with(b"device ") {
                part = match begin(line) {
                    Some(mount) => {
                        mounts.push(mount);
                        Part::Mount
                    }
                    None => Part::Other,
                };
                continue;
            }
            let Some(mount) = mounts.last_mut().filter(|_| part != Part::Other) else { continue };
            if line.trim_ascii() == b"per-op statistics" {
                part = Part::Operations;
                continue;
            }
            let read = if part == Part::Mount { read_head(line, mount) } else { read_operation(line, mount) };
            read.ok_or_else(|| self.file.bad_line(line, "numbers of an NFS mount are expected"))?;
        }
        Ok(mounts)
    }
}

/// A line such as `device server:/export mounted on /mnt with fstype nfs4 statvers=1.1`.
fn begin(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = scan::fields(line).collect();
    let [_, export, b"mounted", b"on", mount_point, b"with", b"fstype", b"nfs" | b"nfs4", version] =
        fields[..]
    else {
        return None;
    };
    Some(Mount {
        export: scan::text(export).into_owned(),
        mount_point: scan::text(mount_point).into_owned(),
        version: scan::text(version.strip_prefix(b"statvers=")?).into_owned(),
        ..Mount::default()
    })
}

/// A line of a mount's head: a key with a colon, and numbers.
fn read_head(line: &[u8], mount: &mut Mount) -> Option<()> {
    let mut fields = scan::fields(line);
    match fields.next() {
        Some(b"age:") => mount.age = Some(scan::decimal(fields.next()?)?),
        Some(b"bytes:") => mount.bytes = numbers(fields)?,
        Some(b"events:") => mount.events = numbers(fields)?,
        Some(b"xprt:") => {
            let protocol = scan::text(fields.next()?).into_owned();
            let numbers = numbers(fields)?;
            let fields = arrange(&protocol, &mount.version, &numbers);
            mount.transports.push(Transport { protocol, fields });
        }
        _ => {}
    }
    Some(())
}

fn numbers(fields: scan::Fields<'_>) -> Option<Vec<u64>> {
    fields.map(scan::number).collect()
}

/// The numbers at their places in a line of TCP: UDP has no connections, RDMA has other queues, and the
/// oldest version has no slots and queues of its own.
fn arrange(protocol: &str, version: &str, numbers: &[u64]) -> [Option<u64>; TRANSPORT_FIELDS] {
    const CONNECT: usize = 2;
    const SENDS: usize = 5;
    const SLOTS: usize = 10;
    let mut fields = [None; TRANSPORT_FIELDS];
    for (i, number) in numbers.iter().enumerate() {
        let at = if protocol == "udp" && i >= CONNECT { i + SENDS - CONNECT } else { i };
        let is_known = at < SLOTS || (version != "1.0" && protocol != "rdma");
        if let Some(field) = fields.get_mut(at).filter(|_| is_known) {
            *field = Some(*number);
        }
    }
    fields
}

/// A line such as `READ: 1298 1298 0 207680 1210292152 6 79386 79407 0`.
fn read_operation(line: &[u8], mount: &mut Mount) -> Option<()> {
    /// Older kernels do not count errors.
    const MIN_NUMBERS: usize = OPERATION_FIELDS - 1;
    let mut fields = scan::fields(line);
    let Some(name) = fields.next() else { return Some(()) };
    let name = scan::text(name.strip_suffix(b":")?).into_owned();
    let numbers = numbers(fields)?;
    let is_new = mount.operations.iter().all(|(known, _)| *known != name);
    (numbers.len() >= MIN_NUMBERS && is_new).then(|| mount.operations.push((name, numbers)))
}

impl Mount {
    fn protocol(&self) -> Option<&str> {
        self.transports.first().map(|transport| transport.protocol.as_str())
    }

    fn labels(&self) -> [(&'static str, &str); 3] {
        [
            ("export", &self.export),
            ("mountaddr", &self.address),
            ("protocol", self.protocol().unwrap_or_default()),
        ]
    }
}

fn write_points(mounts: &[Mount], context: &mut Context<'_>) {
    let help = "Where each export is mounted; always 1.";
    let mut family = context.out.family("node_mountstats_nfs_mountpoint_info", Gauge, help);
    let mut seen = HashSet::new();
    for mount in mounts {
        for transport in &mount.transports {
            let labels = [
                ("export", mount.export.as_str()),
                ("mountaddr", &mount.address),
                ("mountpoint", &mount.mount_point),
                ("protocol", &transport.protocol),
            ];
            if seen.insert(labels) {
                family.sample(&labels, 1.0);
            }
        }
    }
}

fn write(mounts: &[Mount], context: &mut Context<'_>) {
    let help = "How long ago the export was mounted.";
    let mut family = context.out.family("node_mountstats_nfs_age_seconds_total", Counter, help);
    for mount in mounts {
        if let Some(age) = mount.age {
            family.sample(&mount.labels(), age);
        }
    }
    for (families, numbers) in
        [(BYTES, (|mount| &mount.bytes) as fn(&Mount) -> &Vec<u64>), (EVENTS, |mount| &mount.events)]
    {
        for Family { field, name, kind, divisor, help } in families {
            let mut family = context.out.family(name, *kind, help);
            for mount in mounts {
                if let Some(number) = numbers(mount).get(*field) {
                    family.sample(&mount.labels(), *number as f64 / divisor);
                }
            }
        }
    }
    for Family { field, name, kind, divisor, help } in OPERATIONS {
        let mut family = context.out.family(name, *kind, help);
        for mount in mounts {
            let [export, address, protocol] = mount.labels();
            for (operation, numbers) in &mount.operations {
                if let Some(number) = numbers.get(*field) {
                    let labels = [export, address, ("operation", operation.as_str()), protocol];
                    family.sample(&labels, *number as f64 / divisor);
                }
            }
        }
    }
    for Family { field, name, kind, divisor, help } in TRANSPORTS {
        let mut family = context.out.family(name, *kind, help);
        for mount in mounts {
            let [export, address, protocol] = mount.labels();
            for (i, transport) in mount.transports.iter().enumerate() {
                if let Some(number) = transport.fields[*field] {
                    let labels = [export, address, protocol, ("transport", &i.to_string())];
                    family.sample(&labels, number as f64 / divisor);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_transports_stand_where_those_of_tcp_do() {
        let udp: Vec<u64> = vec![0, 1, 5, 6, 7, 8, 9, 10, 11, 12];
        let fields = arrange("udp", "1.1", &udp);
        assert_eq!(fields.map(|field| field.unwrap_or(99)), [0, 1, 99, 99, 99, 5, 6, 7, 8, 9, 10, 11, 12]);
        let tcp: Vec<u64> = (0..13).collect();
        assert_eq!(
            arrange("tcp", "1.1", &tcp).map(Option::unwrap),
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        );
        assert_eq!(arrange("tcp", "1.0", &tcp[..10])[10..], [None; 3]);
        assert_eq!(arrange("rdma", "1.1", &(0..20).collect::<Vec<u64>>())[9..], [Some(9), None, None, None]);
    }
}
