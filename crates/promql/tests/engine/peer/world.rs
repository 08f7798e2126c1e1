//! The samples that both programs have: whole as a storage in memory, and as a block that Debian's
//! Prometheus was given by `promtool`. Times are never on a full second, so that no sample stands on
//! the edge of a window, which belonged to it in version 2 and does not in version 3.

use crate::support::memory::MemoryStorage;
use skopos_base::rng::Rng;
use skopos_model::Labels;
use skopos_testkit::{http, peers, service::Service};
use std::{fmt::Write, process::Command};

/// The first second of data.
pub(crate) const BEGIN_S: i64 = 1_700_000_000;
const INTERVAL_MS: i64 = 15_000;
const SAMPLES: i64 = 800;

/// Makes the samples.
pub(crate) fn storage(rng: &Rng) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    for i in ["1", "2", "3"] {
        for j in ["x", "y"] {
            for metric in ["a", "b", "c_total", "u", "gappy", "odd"] {
                series(rng, &mut storage, &[("__name__", metric), ("i", i), ("j", j)], metric);
            }
        }
    }
    node(rng, &mut storage);
    storage
}

fn node(rng: &Rng, storage: &mut MemoryStorage) {
    let own = [("instance", "localhost:9100"), ("job", "node")];
    let mut add = |name: &str, more: &[(&str, &str)], kind: &str| {
        let labels: Vec<_> = [("__name__", name)].iter().chain(&own).chain(more).copied().collect();
        series(rng, storage, &labels, kind);
    };
    for name in ["node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes", "node_load1", "node_load5"] {
        add(name, &[], "u");
    }
    add("node_time_seconds", &[], "c_total");
    add("node_boot_time_seconds", &[], "a");
    for cpu in ["0", "1", "2"] {
        for mode in ["idle", "user", "system", "iowait"] {
            add("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], "c_total");
        }
    }
    for (mountpoint, fstype) in [("/", "ext4"), ("/", "rootfs"), ("/boot", "ext4")] {
        let labels = [("device", fstype), ("fstype", fstype), ("mountpoint", mountpoint)];
        add("node_filesystem_avail_bytes", &labels, "u");
        add("node_filesystem_size_bytes", &labels, "u");
    }
    for device in ["eth0", "lo"] {
        for way in ["receive", "transmit"] {
            let name = format!("node_network_{way}_packets_total");
            add(&name, &[("device", device)], "c_total");
            for value_type in ["anomaly", "yhat"] {
                let exported = [
                    ("device", device),
                    ("value_type", value_type),
                    ("exported_instance", "localhost:9100"),
                    ("exported_job", "node"),
                    ("job", "PAD"),
                ];
                add(&format!("{name}_prophet"), &exported, "a");
            }
        }
    }
}

/// Samples of one series: `a` and `b` of small whole numbers, `c_total` counting up with resets (never
/// near zero, where the versions differ), `u` of unique numbers, `gappy` with gaps, `odd` with NaN.
fn series(rng: &Rng, storage: &mut MemoryStorage, labels: &[(&str, &str)], kind: &str) {
    let labels = Labels::from_pairs(labels.iter().copied());
    let phase = 137 + rng.below(10) as i64 * 1000 + rng.below(800) as i64;
    let mut value = 1e9;
    let mut k = 0;
    while k < SAMPLES {
        value = match kind {
            "c_total" if rng.below(200) == 0 => 5e8 + rng.below(1000) as f64,
            "c_total" => value + rng.below(1000) as f64 / 8.0,
            "u" => rng.next_u64() as f64 / 1e17 + 1.0,
            "odd" if rng.below(5) == 0 => f64::NAN,
            _ => rng.below(20) as f64 - 5.0,
        };
        storage.push_all(&labels, [(BEGIN_S * 1000 + k * INTERVAL_MS + phase, value)]);
        k += 1;
        if kind == "gappy" && rng.below(30) == 0 {
            k += rng.below(40) as i64;
        }
    }
}

/// Prometheus with the same samples.
pub(crate) struct Peer(Service);

impl Peer {
    /// Starts one.
    #[expect(clippy::disallowed_methods, reason = "the peer reads the samples from a real file")]
    pub(crate) fn start(storage: &MemoryStorage) -> Self {
        let flags = ["--storage.tsdb.retention.time=100y", "--log.level=warn"];
        let mut service = peers::prometheus("global: {}\n", &flags);
        service.terminate();
        let file = service.folder().join("samples.om");
        std::fs::write(&file, open_metrics(storage)).expect("a file in the test's folder");
        let data = service.folder().join("data");
        let made = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&file, &data])
            .output()
            .expect("promtool stands beside prometheus");
        assert!(made.status.success(), "promtool: {}", String::from_utf8_lossy(&made.stderr));
        service.restart();
        Self(service)
    }

    /// What it answers to `path` with these parameters: status and body.
    pub(crate) fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> (u16, serde_json::Value) {
        let mut body = String::new();
        for (name, value) in parameters {
            let value: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
            write!(body, "&{name}={value}").expect("a string takes all");
        }
        let form = "application/x-www-form-urlencoded";
        let answer = http::post(&self.0.url(path), form, &body.as_bytes()[1..]).expect("an answer");
        let json = serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{}: {e}", answer.text()));
        (answer.status, json)
    }
}

fn open_metrics(storage: &MemoryStorage) -> String {
    let mut out = String::new();
    for (labels, columns) in storage.iter() {
        let (timestamps, values) = (&columns.timestamps, &columns.values);
        let name = labels.metric_name().expect("every series has a name");
        let inside: Vec<_> =
            labels.iter().filter(|l| l.0 != "__name__").map(|(n, v)| format!("{n}={v:?}")).collect();
        for (t, v) in timestamps.iter().zip(values) {
            let t = t.as_ms();
            writeln!(out, "{name}{{{}}} {v} {}.{:03}", inside.join(","), t / 1000, t % 1000)
                .expect("a string takes all");
        }
    }
    out.push_str("# EOF\n");
    out
}
