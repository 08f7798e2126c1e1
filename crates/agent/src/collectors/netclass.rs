//! `netclass`: what each network device is and is set to, from `/sys/class/net`. Netlink, if it is asked,
//! knows some of it better.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    netlink::{self, Request},
    options::NetClassOptions,
    scan,
    source::{KeptFile, Paths, Root, exists, names_in},
    table::{self, Column, Table},
};
use std::collections::HashMap;

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

/// The collector.
#[derive(Debug)]
pub(crate) struct NetClass {
    options: NetClassOptions,
    file: KeptFile,
    /// The devices of the last scrape, with what tells each from another that gets its name.
    known: HashMap<String, Option<u64>>,
    info: Table,
    table: Table,
    answer: Vec<u8>,
}

impl NetClass {
    pub(crate) fn new(options: &NetClassOptions) -> Self {
        Self {
            options: options.clone(),
            file: KeptFile::default(),
            known: HashMap::new(),
            info: Table::new(LABELS, INFO),
            table: Table::new(&["device"], COLUMNS),
            answer: Vec::new(),
        }
    }

    /// Devices get other names, and names other devices: files that are open follow the device. So those
    /// of a name are forgotten when it is another's, or nobody's.
    fn follow_names(&mut self, devices: &[String], paths: &Paths) {
        let Self { file, known, .. } = self;
        for (device, number) in known.iter_mut() {
            let now =
                file.status(paths, Root::Sys, format_args!("{FOLDER}/{device}")).map(|status| status.inode);
            if now.is_none() || now != *number {
                file.forget_below(paths, Root::Sys, format_args!("{FOLDER}/{device}"));
            }
            *number = now;
        }
        known.retain(|_, number| number.is_some());
        for device in devices {
            if !known.contains_key(device) {
                let status = file.status(paths, Root::Sys, format_args!("{FOLDER}/{device}"));
                known.insert(device.clone(), status.map(|status| status.inode));
            }
        }
    }

    fn read(&mut self, device: &str, context: &Context<'_>) {
        let file = &mut self.file;
        let mut values = [None; COLUMNS.len()];
        for (value, name) in values.iter_mut().zip(FILES) {
            let text = file.value(context.paths, Root::Sys, format_args!("{FOLDER}/{device}/{name}"));
            *value = text.and_then(scan::integer);
        }
        let told = netlink::links(&self.answer).find(|link| link.name == device.as_bytes());
        if let Some(link) = told {
            // The flags of sysfs lack what a device does, and it has no carrier of one that is down.
            values[FLAGS] = Some(f64::from(link.flags));
            values[CARRIER] = link.carrier.map(f64::from);
            values[DORMANT] = link.mode.map(f64::from);
        }
        // What has no number is no device: a file such as `bonding_masters`, or one that just went.
        if values[INDEX].is_none() {
            return;
        }
        let is_valid = |speed: &f64| *speed >= 0.0 || !self.options.ignore_invalid_speed;
        values[SPEED] = values[SPEED].filter(is_valid).map(|speed| speed * BYTES_PER_MEGABIT);
        let mut text = |name: &str| {
            let value = file.value(context.paths, Root::Sys, format_args!("{FOLDER}/{device}/{name}"));
            scan::text(value.unwrap_or_default()).into_owned()
        };
        let texts = ["address", "broadcast", "duplex", "ifalias", "operstate"].map(&mut text);
        let [address, broadcast, duplex, alias, state] = &texts;
        let admin = match values[FLAGS] {
            None => "unknown",
            Some(flags) if flags as u64 & FLAG_UP != 0 => "up",
            Some(_) => "down",
        };
        values[COLUMNS.len() - 1] = Some(f64::from(u8::from(state == "up")));
        self.info.row(&[address, admin, broadcast, device, duplex, alias, state])[0] = Some(1.0);
        self.table.row(&[device]).copy_from_slice(&values);
    }
}

impl Collector for NetClass {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Sys, FOLDER) {
            return Err(CollectError::NoData("there are no network devices".into()));
        }
        self.info.clear();
        self.table.clear();
        if self.options.netlink {
            let asked = context.host.netlink(Request::Links, &mut self.answer);
            asked.map_err(|error| CollectError::System { call: "netlink: list of links", error })?;
        }
        let devices = names_in(context.paths, Root::Sys, FOLDER)?;
        self.follow_names(&devices, context.paths);
        for device in devices {
            if !self.options.ignored.as_ref().is_some_and(|ignored| ignored.is_match(device.as_bytes())) {
                self.read(&device, context);
            }
        }
        self.info.write(&mut context.out);
        self.table.write(&mut context.out);
        Ok(())
    }
}
