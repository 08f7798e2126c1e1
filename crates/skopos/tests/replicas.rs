//! Two servers of one configuration: both scrape a target at the same slot, so that their samples can be
//! merged.

use crate::support::{Metric, PATIENCE, instant, server};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    service::Service,
    wait_until,
};
use std::collections::BTreeMap;

const TARGETS: usize = 6;
const INTERVAL_MS: i64 = 1000;

/// Of every target where within the interval most of its samples lie.
fn slots(server: &Service) -> BTreeMap<Metric, i64> {
    let scraped = wait_until("some scrapes of each target", PATIENCE, || {
        let all = instant(server, "up[1h]");
        (all.len() == TARGETS && all.values().all(|samples| samples.len() >= 6)).then_some(all)
    });
    let slot = |samples: Vec<(i64, u64)>| {
        let mut times: BTreeMap<i64, usize> = BTreeMap::new();
        // A scrape that begins late on a busy machine has the time at which it began.
        samples.iter().for_each(|(at, _)| *times.entry(at % INTERVAL_MS).or_default() += 1);
        times.into_iter().max_by_key(|(_, count)| *count).map_or(-1, |(at, _)| at)
    };
    scraped.into_iter().map(|(target, samples)| (target, slot(samples))).collect()
}

#[test]
fn two_servers_scrape_a_target_at_the_same_slot() {
    let targets: Vec<Server> = (0..TARGETS).map(|_| Server::start([Misbehaviour::text("m 1\n")])).collect();
    let list: Vec<String> = targets.iter().map(|target| format!("'{}'", target.address())).collect();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- {{job_name: j, static_configs: [{{targets: \
         [{}]}}]}}\n",
        list.join(", ")
    );
    // They start at other times, and are told from each other by what they add to data that leaves them.
    let other = config.replace("scrape_interval: 1s", "scrape_interval: 1s, external_labels: {replica: b}");
    let first = server().config(&config).start();
    skopos_testkit::let_live(std::time::Duration::from_millis(370));
    let second = server().config(&other).start();
    let (first, second) = (slots(&first), slots(&second));
    assert_eq!(first, second);
    let different: std::collections::BTreeSet<_> = first.values().collect();
    assert!(different.len() > 1, "targets have slots of their own: {first:?}");
}
