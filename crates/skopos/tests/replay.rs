//! What a server answers while it reads a large log, and how far it says to be.

use crate::support::{PATIENCE, json, server};
use skopos_base::Env;
use skopos_model::{Labels, SeriesRef, TimestampMs};
use skopos_storage::{Append, Appendable as _, SeriesId};
use skopos_testkit::{service::Service, wait_until};
use skopos_tsdb::{Db, Options};
use std::path::Path;

const SERIES: usize = 1000;
const BATCHES: i64 = 700;
const INTERVAL_MS: i64 = 1000;
const SEGMENT_BYTES: u64 = 256 << 10;

/// A log of many segments.
fn fill(folder: &Path) {
    let env = Env::real();
    let options = Options { segment_bytes: SEGMENT_BYTES, snapshot_on_shutdown: false, ..Options::default() };
    let db = Db::open(folder, options, &env).unwrap();
    let begin = env.clock.wall_ms() - BATCHES * INTERVAL_MS;
    let mut refs: Vec<SeriesRef> = Vec::with_capacity(SERIES);
    let (mut refused, mut random) = (Vec::new(), 0x9E37_79B9_7F4A_7C15_u64);
    for batch in 0..BATCHES {
        let at = TimestampMs::new(begin + batch * INTERVAL_MS);
        let mut appender = db.appender();
        let values: Vec<f64> = (0..SERIES)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 11) as f64
            })
            .collect();
        if refs.is_empty() {
            for (i, value) in values.iter().enumerate() {
                let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("i", i.to_string())]);
                refs.push(appender.append(&Append::float(SeriesId::Labels(&labels), at, *value)).unwrap());
            }
        } else {
            appender.append_floats(at, &refs, &values, &mut refused);
        }
        appender.commit().unwrap();
    }
    assert!(refused.is_empty());
    db.close().unwrap();
}

/// How far the log has been read: the first segment, the last and the one at hand.
fn progress(server: &Service) -> (u64, u64, u64) {
    let answer = server.get("/api/v1/status/walreplay");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let data = json(&answer)["data"].take();
    assert_eq!(data.as_object().unwrap().len(), 3, "{data}");
    let number = |key: &str| data[key].as_u64().unwrap();
    (number("min"), number("max"), number("current"))
}

#[test]
fn while_the_log_is_read_a_server_is_healthy_not_ready_and_says_how_far_it_is() {
    let mut server = server().start();
    server.terminate();
    fill(&server.folder().join("data"));
    "/-/healthy".clone_into(&mut server.spec().ready_path);
    server.restart();
    let (mut seen, mut waited) = (Vec::new(), 0);
    wait_until("the server to be ready", PATIENCE, || {
        let (min, max, current) = progress(&server);
        let all = ["/-/healthy", "/metrics", "/api/v1/notifications", "/api/v1/query?query=1", "/federate"];
        let [healthy, metrics, notifications, query, federate] = all.map(|path| server.get(path));
        // Asked last: whoever was ready by now may have become so in between.
        if server.get("/-/ready").status == 200 {
            return Some(());
        }
        waited += 1;
        assert_eq!((healthy.status, metrics.status, notifications.status), (200, 200, 200));
        assert!(notifications.text().contains("starting"), "{}", notifications.text());
        for answer in [query, federate] {
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(answer.text().contains("the server is starting"), "{}", answer.text());
        }
        assert!(min <= current && current <= max, "{min} {current} {max}");
        seen.push(current);
        None
    });
    assert!(waited > 1, "it was ready at once: the log is too short");
    assert!(seen.is_sorted(), "{seen:?}");
    seen.dedup();
    assert!(seen.len() > 1, "the log was read within one segment: {seen:?}");
    let (min, max, current) = progress(&server);
    assert!(min < max && current == max, "{min} {max} {current}");
    let answer = json(&server.get("/api/v1/query?query=count(last_over_time(m[1h]))"));
    assert_eq!(answer["data"]["result"][0]["value"][1], SERIES.to_string());
}
