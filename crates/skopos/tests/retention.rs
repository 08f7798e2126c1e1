//! How long a running server keeps samples: by time, size, share of the disk and selector; from flags and
//! from the file, where a reload counts at once. Blocks are made of text by our own tool.

use crate::support::{BINARY, PATIENCE, instant_at, server, wait_for_log};
use rustix::process::Signal;
use skopos_testkit::{http, service::Service, wait_until};
use std::{
    fmt::Write as _,
    fs::{self, File},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

const HOUR_S: i64 = 3600;
/// How old the blocks are; each has the samples of a quarter of an hour.
const AGES_H: [i64; 4] = [10, 50, 130, 200];
/// More than half of any disk.
const FILLER_BYTES: u64 = 1 << 43;
/// Each block stays the one that it is.
const NO_COMPACTION: &str = "--storage.tsdb.max-block-duration=2h";
const REMOVED: &str = "removing a block that is beyond a limit of retention";

/// The middle of the two hours that were so long ago.
fn middle_s(age_h: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    (now - age_h * HOUR_S) / (2 * HOUR_S) * (2 * HOUR_S) + HOUR_S
}

/// Puts a block of each age into the server's data directory; when the middles of them are, in milliseconds.
fn make_blocks(server: &Service) -> [i64; 4] {
    let middles = AGES_H.map(middle_s);
    let mut text = "# TYPE m gauge\n".to_owned();
    for job in ["debug", "kept"] {
        for at in middles.iter().rev().flat_map(|middle| *middle..*middle + 900) {
            writeln!(text, "m{{job=\"{job}\"}} {} {at}", (at as f64).sin()).unwrap();
        }
    }
    let input = server.folder().join("in.om");
    fs::write(&input, text + "# EOF\n").unwrap();
    let made = Command::new(BINARY)
        .args(["tool", "tsdb", "create-blocks-from", "openmetrics", "-q"])
        .args([input, server.folder().join("data")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    middles.map(|s| s * 1000)
}

fn own(server: &Service, name: &str) -> f64 {
    let text = server.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Waits until the server has so many blocks.
#[track_caller]
fn wait_for_blocks(server: &Service, blocks: f64) {
    wait_until(&format!("{blocks} blocks"), PATIENCE, || {
        (own(server, "prometheus_tsdb_blocks_loaded") == blocks).then_some(())
    });
}

/// Of which jobs there are samples at these times.
#[track_caller]
fn jobs_at(server: &Service, times_ms: &[i64]) -> Vec<String> {
    let jobs = |at: &i64| {
        let found = instant_at(server, "m", at + 60_000).unwrap();
        found.keys().map(|metric| metric["job"].clone()).collect::<Vec<_>>().join(" ")
    };
    times_ms.iter().map(jobs).collect()
}

fn removed(server: &Service, limit: &str) -> usize {
    let log = server.log();
    log.lines().filter(|line| line.contains(REMOVED) && line.contains(&format!("limit={limit}"))).count()
}

#[test]
fn blocks_that_are_older_than_the_flag_says_go_when_the_server_starts() {
    let mut server = server()
        .config("global: {}\n")
        .flag("--storage.tsdb.retention.time=100h")
        .flag(NO_COMPACTION)
        .start();
    server.terminate();
    let times = make_blocks(&server);
    server.restart();
    wait_for_blocks(&server, 2.0);
    assert_eq!(jobs_at(&server, &times), ["debug kept", "debug kept", "", ""]);
    assert_eq!(own(&server, "prometheus_tsdb_time_retentions_total"), 2.0);
    assert_eq!(own(&server, "prometheus_tsdb_size_retentions_total"), 0.0);
    assert_eq!((removed(&server, "Time"), removed(&server, "Size")), (2, 0));
    // A block goes from queries before it goes from the disk, which takes its time to make that durable.
    wait_until("they go from the disk too", PATIENCE, || {
        let on_disk = fs::read_dir(server.folder().join("data")).unwrap();
        let names = on_disk.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        (names.filter(|name| name.len() == 26).count() == 2).then_some(())
    });
}

#[test]
fn a_reload_of_the_retention_holds_at_once() {
    let keep = |limits: &str| format!("storage: {{tsdb: {{retention: {{{limits}}}}}}}\n");
    let forever = keep("time: 0s");
    let mut server = server().config(&forever).flag("--web.enable-lifecycle").flag(NO_COMPACTION).start();
    let times = make_blocks(&server);
    wait_for_blocks(&server, 4.0);
    let write = |server: &Service, text: &str| {
        fs::write(server.folder().join("prometheus.yml"), text).unwrap();
    };

    // By selector: the samples of others stay.
    write(&server, &format!("{forever}retention: [{{match: '{{job=\"debug\"}}', time: 100h}}]\n"));
    let reloaded = http::request("POST", &server.url("/-/reload"), &[], &[]).unwrap();
    assert_eq!(reloaded.status, 200);
    wait_until("what a rule drops goes", PATIENCE, || {
        (jobs_at(&server, &times) == ["debug kept", "debug kept", "debug kept", "kept"]).then_some(())
    });
    wait_for_log(&server, &["writing a block anew without samples that a rule drops"]);
    assert_eq!(own(&server, "prometheus_tsdb_blocks_loaded"), 4.0);
    assert!(own(&server, "prometheus_tsdb_compactions_total") >= 1.0);

    // By size: the oldest go.
    let bytes = own(&server, "prometheus_tsdb_storage_blocks_bytes");
    write(&server, &keep(&format!("size: {}B", (bytes - 4000.0) as u64)));
    server.process().signal(Signal::HUP);
    wait_for_blocks(&server, 3.0);
    assert_eq!(jobs_at(&server, &times), ["debug kept", "debug kept", "debug kept", ""]);
    assert_eq!((removed(&server, "Time"), removed(&server, "Size")), (0, 1));

    // By time.
    write(&server, &keep("time: 100h"));
    server.process().signal(Signal::HUP);
    wait_for_blocks(&server, 2.0);
    assert_eq!((removed(&server, "Time"), removed(&server, "Size")), (1, 1));

    // By share of the disk, of which the log takes more than that.
    write(&server, &keep("time: 0s, percentage: 50"));
    let other = server.folder().join("data/wal/other");
    fs::create_dir(&other).unwrap();
    File::create(other.join("filler")).unwrap().set_len(FILLER_BYTES).unwrap();
    server.process().signal(Signal::HUP);
    wait_for_blocks(&server, 0.0);
    assert_eq!((removed(&server, "Time"), removed(&server, "Size")), (1, 3));
    assert_eq!(own(&server, "prometheus_tsdb_size_retentions_total"), 3.0);
    assert_eq!(own(&server, "prometheus_tsdb_time_retentions_total"), 1.0);
}
