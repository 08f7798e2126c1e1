//! `network_route`: the routes to other machines, from netlink.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    netlink::{self, Hop, Request},
    scan,
};
use skopos_model::MetricType;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// Routes to a machine or a network; the others are to this machine, to all, to none.
const UNICAST: u8 = 1;

/// Who made a route, by the kernel's numbers.
const PROTOCOLS: &[(u8, &str)] = &[
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (8, "gated"),
    (9, "ra"),
    (10, "mrt"),
    (11, "zebra"),
    (12, "bird"),
    (13, "dnrouted"),
    (14, "xorp"),
    (15, "ntk"),
    (16, "dhcp"),
    (17, "mrouted"),
    (42, "babel"),
    (186, "bgp"),
    (187, "isis"),
    (188, "ospf"),
    (189, "rip"),
    (192, "eigrp"),
];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct NetworkRoute {
    answer: Vec<u8>,
}

/// The values of a route's labels, in the order of their names.
type Labels = [String; 7];
const LABELS: [&str; 7] = ["dest", "device", "gw", "priority", "proto", "src", "weight"];

impl Collector for NetworkRoute {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let asked = context.host.netlink(Request::Links, &mut self.answer);
        asked.map_err(|error| CollectError::System { call: "netlink: list of links", error })?;
        // The buffer is used for the second answer, so the names are kept.
        let links = names(&self.answer);
        let asked = context.host.netlink(Request::Routes, &mut self.answer);
        asked.map_err(|error| CollectError::System { call: "netlink: list of routes", error })?;
        let (mut routes, mut counts) = (BTreeSet::<Labels>::new(), BTreeMap::<String, u64>::new());
        for route in netlink::routes(&self.answer).filter(|route| route.kind == UNICAST) {
            let is_one = route.hops.is_empty();
            let only = Hop { link: route.link, gateway: route.gateway, weight: 0 };
            for hop in if is_one { std::slice::from_ref(&only) } else { &route.hops } {
                let device = links.get(&hop.link).cloned().unwrap_or_default();
                *counts.entry(device.clone()).or_default() += 1;
                let text =
                    |address: Option<IpAddr>| address.map(|address| address.to_string()).unwrap_or_default();
                let protocol = PROTOCOLS.iter().find(|(number, _)| *number == route.protocol);
                routes.insert([
                    destination(route.destination, route.prefix_bits),
                    device,
                    text(hop.gateway),
                    route.priority.to_string(),
                    protocol.map_or("unknown", |(_, name)| name).to_owned(),
                    text(route.source),
                    if is_one { String::new() } else { hop.weight.to_string() },
                ]);
            }
        }
        let help = "The routes to other machines; always 1.";
        let mut family = context.out.family("node_network_route_info", MetricType::Gauge, help);
        for route in &routes {
            let labels: Vec<(&str, &str)> =
                LABELS.into_iter().zip(route.iter().map(String::as_str)).collect();
            family.sample(&labels, 1.0);
        }
        let help = "Routes by device.";
        let mut family = context.out.family("node_network_routes", MetricType::Gauge, help);
        for (device, count) in &counts {
            family.sample(&[("device", device)], *count as f64);
        }
        Ok(())
    }
}

fn names(answer: &[u8]) -> BTreeMap<u32, String> {
    netlink::links(answer).map(|link| (link.index, scan::text(link.name).into_owned())).collect()
}

fn destination(address: Option<IpAddr>, prefix_bits: u8) -> String {
    match address {
        Some(address) if prefix_bits > 0 => format!("{address}/{prefix_bits}"),
        _ => "default".into(),
    }
}
