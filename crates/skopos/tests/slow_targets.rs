//! Ten thousand targets that give a byte a second: they time out, others lose no scrape, and memory stays
//! bounded.

use crate::support::{PATIENCE, instant, server, value, wait_for_target};
use skopos_testkit::{
    drip::Drip,
    misbehaving::{Misbehaviour, Server},
    wait_until,
};
use std::{fmt::Write as _, fs};

const SLOW: usize = 10_000;
/// So many of them are held open at a time at least, before it counts.
const OPEN_AT_A_TIME: usize = 8000;
const GOOD_INTERVAL_MS: i64 = 1000;
const RESIDENT_MAX_BYTES: u64 = 400 << 20;

fn config(port: u16, good: &Server) -> String {
    let mut slow = String::new();
    for i in 0..SLOW {
        write!(slow, "'127.1.{}.{}:{port}',", i / 250, i % 250 + 1).unwrap();
    }
    format!(
        "scrape_configs:\n\
         - {{job_name: slow, scrape_interval: 15s, scrape_timeout: 15s, \
         static_configs: [{{targets: [{slow}]}}]}}\n\
         - {{job_name: good, scrape_interval: {GOOD_INTERVAL_MS}ms, \
         static_configs: [{{targets: ['{}']}}]}}\n",
        good.address()
    )
}

#[test]
fn ten_thousand_slow_targets_take_no_scrape_from_others() {
    let (drip, good) = (Drip::start(), Server::start([Misbehaviour::text("m 1\n")]));
    let mut server = server().config(&config(drip.port(), &good)).start();
    wait_until("most slow ones at a time", PATIENCE * 4, || (drip.most() >= OPEN_AT_A_TIME).then_some(()));
    wait_until("most slow ones down", PATIENCE, || {
        let down = value(&server, "count(up{job=\"slow\"} == 0)");
        (down >= Some(OPEN_AT_A_TIME as f64)).then_some(())
    });
    wait_for_target(&server, "slow", "down", "no complete answer within 15s");
    let all = instant(&server, "up{job=\"good\"}[5m]");
    let (_, samples) = all.iter().next().unwrap();
    let behind: Vec<i64> = (0..).zip(samples).map(|(i, (t, _))| t - i * GOOD_INTERVAL_MS).collect();
    let (first, last) = (behind.iter().min().unwrap(), behind.iter().max().unwrap());
    assert!(samples.len() > 15 && last - first < GOOD_INTERVAL_MS, "a scrape is missing: {samples:?}");
    assert!(samples.iter().all(|(_, up)| *up == 1.0_f64.to_bits()), "{samples:?}");
    let status = fs::read_to_string(format!("/proc/{}/status", server.process().id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024;
    println!("{} open at a time, peak of resident memory: {} MiB", drip.most(), peak >> 20);
    assert!(peak < RESIDENT_MAX_BYTES, "{peak} bytes were resident");
}
