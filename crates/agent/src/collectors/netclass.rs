//! `netclass`: what each network device is and is set to, from `/sys/class/net`. Netlink, if it is asked,
//! knows some of it better; and it says in one answer of which devices nothing has changed, so that most of
//! their files need not be read again.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    netlink::{self, Link, Request},
    options::NetClassOptions,
    scan,
    source::{KeptFile, Paths, Root, exists, names_in},
    table::{self, Column, Table},
};
use foldhash::HashMap;
use std::fmt::Write as _;

const FOLDER: &str = "class/net";
/// A speed is in millions of bits a second.
const BYTES_PER_MEGABIT: f64 = 125_000.0;
/// The flag of a device that its administrator turned on.
const FLAG_UP: u64 = 1;

const LABELS: &[&str] = &["address", "adminstate", "broadcast", "device", "duplex", "ifalias", "operstate"];
const INFO: &[Column] = &[table::gauge("node_network_info", "What each device is; always 1.")];

/// The files, and their families in the same order, but the first.
const FILES: [&str; 17] = [
    "addr_assign_type",
    "carrier",
    "carrier_changes",
    "carrier_down_count",
    "carrier_up_count",
    "dev_id",
    "dormant",
    "flags",
    "ifindex",
    "iflink",
    "link_mode",
    "mtu",
    "name_assign_type",
    "netdev_group",
    "type",
    "speed",
    "tx_queue_len",
];
const CARRIER: usize = 1;
const DORMANT: usize = 6;
const FLAGS: usize = 7;
const INDEX: usize = 8;
const SPEED: usize = 15;
const COLUMNS: &[Column] = &[
    table::gauge("node_network_address_assign_type", "How each device got its address."),
    table::gauge("node_network_carrier", "Whether each device has a carrier."),
    table::counter("node_network_carrier_changes_total", "How often the carrier came or went."),
    table::counter("node_network_carrier_down_changes_total", "How often the carrier went."),
    table::counter("node_network_carrier_up_changes_total", "How often the carrier came."),
    table::gauge("node_network_device_id", "Which of several devices at one address each is."),
    table::gauge("node_network_dormant", "Whether each device waits for something else."),
    table::gauge("node_network_flags", "The flags of each device."),
    table::gauge("node_network_iface_id", "The number of each device."),
    table::gauge("node_network_iface_link", "The number of the device that each stands on."),
    table::gauge("node_network_iface_link_mode", "How the link of each device is managed."),
    table::gauge("node_network_mtu_bytes", "The largest packet that each device takes."),
    table::gauge("node_network_name_assign_type", "How each device got its name."),
    table::gauge("node_network_net_dev_group", "The group of each device."),
    table::gauge("node_network_protocol_type", "The kind of each device."),
    table::gauge("node_network_speed_bytes", "The speed of each device; below zero if it is unknown."),
    table::gauge("node_network_transmit_queue_length", "How many packets wait at most."),
    table::gauge("node_network_up", "Whether each device is up."),
];

/// The files that netlink says nothing of; all others say what its answer says, too.
const NOT_OF_NETLINK: [&str; 6] =
    ["addr_assign_type", "dev_id", "duplex", "flags", "name_assign_type", "speed"];
/// Each so many scrapes all files are read.
const ALL_READ_EVERY: u64 = 16;
/// After so many scrapes in which netlink spoke of other devices than sysfs, it is asked no more until there
/// are others.
const MOST_STRANGE: u8 = 8;

const TEXTS: [&str; 5] = ["address", "broadcast", "duplex", "ifalias", "operstate"];
const ADDRESS: usize = 0;

/// The collector.
#[derive(Debug)]
pub(crate) struct NetClass {
    options: NetClassOptions,
    file: KeptFile,
    /// The devices of the last scrape.
    known: HashMap<String, Device>,
    /// Whether netlink speaks of the devices that sysfs has, not of those of another network namespace.
    same_devices: bool,
    /// For how many scrapes it has not.
    strange: u8,
    scrapes: u64,
    info: Table,
    table: Table,
    answer: Vec<u8>,
}

/// What is known of a device.
#[derive(Debug, Default)]
struct Device {
    /// What tells it from another that gets its name.
    inode: Option<u64>,
    /// What netlink said of it when it was read.
    state: Vec<u8>,
    values: [Option<f64>; FILES.len()],
    texts: [String; TEXTS.len()],
}

impl Device {
    /// Whether netlink says of it what it said before.
    fn is_unchanged(&self, link: Option<&Link<'_>>) -> bool {
        let mut rest = &self.state[..];
        let has_same = |link: &Link<'_>| {
            link.state().all(|piece| rest.strip_prefix(piece).inspect(|after| rest = after).is_some())
        };
        link.is_some_and(has_same) && rest.is_empty()
    }

    /// Reads the files of the device, or those alone of which netlink says nothing.
    fn read(&mut self, name: &str, (file, paths): (&mut KeptFile, &Paths), unchanged: bool) {
        let is_read = |name: &str| !unchanged || NOT_OF_NETLINK.contains(&name);
        for (value, file_name) in self.values.iter_mut().zip(FILES).filter(|(_, name)| is_read(name)) {
            let text = file.value(paths, Root::Sys, format_args!("{FOLDER}/{name}/{file_name}"));
            *value = text.and_then(scan::integer);
        }
        // What has no number is no device: a file such as `bonding_masters`, or one that just went.
        if self.values[INDEX].is_none() {
            return;
        }
        for (text, file_name) in self.texts.iter_mut().zip(TEXTS).filter(|(_, name)| is_read(name)) {
            text.clear();
            let found = file.value(paths, Root::Sys, format_args!("{FOLDER}/{name}/{file_name}"));
            text.push_str(&scan::text(found.unwrap_or_default()));
        }
    }

    /// Puts the device into the tables; `told` is what netlink knows better.
    fn write(
        &self,
        name: &str,
        told: Option<&Link<'_>>,
        options: &NetClassOptions,
        (info, table): (&mut Table, &mut Table),
    ) {
        let mut values = [None; COLUMNS.len()];
        values[..FILES.len()].copy_from_slice(&self.values);
        if let Some(link) = told {
            // The flags of sysfs lack what a device does, and it has no carrier of one that is down.
            values[FLAGS] = Some(f64::from(link.flags));
            values[CARRIER] = link.carrier.map(f64::from);
            values[DORMANT] = link.mode.map(f64::from);
        }
        let is_valid = |speed: &f64| *speed >= 0.0 || !options.ignore_invalid_speed;
        values[SPEED] = values[SPEED].filter(is_valid).map(|speed| speed * BYTES_PER_MEGABIT);
        let admin = match values[FLAGS] {
            None => "unknown",
            Some(flags) if flags as u64 & FLAG_UP != 0 => "up",
            Some(_) => "down",
        };
        let [address, broadcast, duplex, alias, state] = &self.texts;
        values[COLUMNS.len() - 1] = Some(f64::from(u8::from(state == "up")));
        info.row(&[address, admin, broadcast, name, duplex, alias, state])[0] = Some(1.0);
        table.row(&[name]).copy_from_slice(&values);
    }

    /// Whether it is the link that netlink speaks of; devices without an address of their own are all alike.
    fn is(&self, link: &Link<'_>) -> bool {
        let mut address = String::new();
        for (i, byte) in link.address.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(address, "{colon}{byte:02x}").expect("invariant: writing to a String cannot fail");
        }
        self.values[INDEX] == Some(f64::from(link.index)) && self.texts[ADDRESS] == address
    }
}

impl NetClass {
    pub(crate) fn new(options: &NetClassOptions) -> Self {
        Self {
            options: options.clone(),
            file: KeptFile::default(),
            known: HashMap::default(),
            same_devices: false,
            strange: 0,
            scrapes: 0,
            info: Table::new(LABELS, INFO),
            table: Table::new(&["device"], COLUMNS),
            answer: Vec::new(),
        }
    }

    /// Devices get other names, and names other devices: files that are open follow the device. So those
    /// of a name are forgotten when it is another's, or nobody's.
    fn follow_names(&mut self, devices: &[String], paths: &Paths) {
        let Self { file, known, strange, .. } = self;
        for (name, device) in known.iter_mut() {
            let now = inode_of(file, paths, name);
            if now.is_none() || now != device.inode {
                file.forget_below(paths, Root::Sys, format_args!("{FOLDER}/{name}"));
                *device = Device { inode: now, ..Device::default() };
            }
        }
        known.retain(|_, device| device.inode.is_some());
        for name in devices {
            if !known.contains_key(name) {
                let inode = inode_of(file, paths, name);
                known.insert(name.clone(), Device { inode, ..Device::default() });
                *strange = 0;
            }
        }
    }

    /// Asks netlink for all links. Where that is but to save work, it may fail.
    fn ask(&mut self, context: &Context<'_>) -> Result<(), CollectError> {
        self.answer.clear();
        if !self.options.netlink && self.strange >= MOST_STRANGE {
            return Ok(());
        }
        match context.host.netlink(Request::Links, &mut self.answer) {
            Err(error) if self.options.netlink => {
                Err(CollectError::System { call: "netlink: list of links", error })
            }
            Err(_) => {
                self.answer.clear();
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Reads the devices, and notes whether netlink speaks of the same ones.
    fn read(&mut self, devices: &[String], paths: &Paths) {
        let Self { options, file, known, answer, info, table, .. } = self;
        let links: HashMap<&[u8], Link<'_>> = netlink::links(answer).map(|link| (link.name, link)).collect();
        self.scrapes += 1;
        let is_short = self.same_devices && !self.scrapes.is_multiple_of(ALL_READ_EVERY);
        let (mut are_same, mut is_one_told_apart) = (true, false);
        for name in devices {
            let Some(device) = known.get_mut(name) else { continue };
            let link = links.get(name.as_bytes());
            let unchanged = is_short && device.is_unchanged(link);
            device.read(name, (&mut *file, paths), unchanged);
            if device.values[INDEX].is_none() {
                continue;
            }
            are_same &= link.is_some_and(|link| device.is(link));
            is_one_told_apart |= link.is_some_and(|link| link.address.iter().any(|byte| *byte != 0));
            if !unchanged {
                device.state.clear();
                let pieces = link.into_iter().flat_map(Link::state);
                pieces.for_each(|piece| device.state.extend_from_slice(piece));
            }
            device.write(name, link.filter(|_| options.netlink), options, (&mut *info, &mut *table));
        }
        self.same_devices = are_same && is_one_told_apart;
        self.strange = if self.same_devices { 0 } else { self.strange.saturating_add(1) };
    }
}

/// What tells the device from another one of its name; `None` of one that is not there.
fn inode_of(file: &mut KeptFile, paths: &Paths, name: &str) -> Option<u64> {
    file.status(paths, Root::Sys, format_args!("{FOLDER}/{name}")).map(|status| status.inode)
}

impl Collector for NetClass {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Sys, FOLDER) {
            return Err(CollectError::NoData("there are no network devices".into()));
        }
        self.info.clear();
        self.table.clear();
        // First: what changes between is then seen in the next scrape.
        self.ask(context)?;
        let mut devices = names_in(context.paths, Root::Sys, FOLDER)?;
        self.follow_names(&devices, context.paths);
        let is_ignored = |name: &String| {
            self.options.ignored.as_ref().is_some_and(|ignored| ignored.is_match(name.as_bytes()))
        };
        devices.retain(|name| !is_ignored(name));
        self.read(&devices, context.paths);
        self.info.write(&mut context.out);
        self.table.write(&mut context.out);
        Ok(())
    }
}
