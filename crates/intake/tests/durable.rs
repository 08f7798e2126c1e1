//! G2: who pushes has no answer before the disk has said that it is done, and no good one when it failed.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use prost::Message as _;
use skopos_base::Env;
use skopos_intake::{Destination, Intake, IntakeError, Limits, Version};
use skopos_proto::messages::{Label, Sample, TimeSeries, WriteRequest};
use skopos_storage::{Appendable, CommitError};
use skopos_tsdb::{Db, Options};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

fn body(timestamp: i64) -> Vec<u8> {
    let labels = vec![Label { name: "__name__".to_owned(), value: "m".to_owned() }];
    let series =
        TimeSeries { labels, samples: vec![Sample { value: 1.0, timestamp }], histograms: Vec::new() };
    let plain = WriteRequest { timeseries: vec![series], ..WriteRequest::default() }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&plain).unwrap()
}

#[test]
fn an_answer_waits_for_the_disk_and_tells_its_failure() {
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    let db = Arc::new(Db::open(dir.path(), Options::default(), &env).unwrap());
    let (synced, fails) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, failing, to) = (Arc::clone(&synced), Arc::clone(&fails), Arc::clone(&db));
    let make_durable = Arc::new(move || {
        // Committed before, durable now.
        counted.store(to.stats().samples_appended_total as usize, Ordering::SeqCst);
        if failing.load(Ordering::SeqCst) {
            let source = std::io::Error::other("the disk is full");
            return Err(CommitError::Retry { path: "wal".into(), source });
        }
        to.sync_logs()
    });
    let storage = Arc::clone(&db) as Arc<dyn Appendable>;
    let intake = Intake::new(Destination { storage, make_durable }, &env, Limits::default(), 1 << 30);
    let now = env.clock.wall_ms();
    let written = intake.remote_write(Version::One, &body(now)).unwrap();
    assert_eq!((written.samples, synced.load(Ordering::SeqCst)), (1, 1));
    fails.store(true, Ordering::SeqCst);
    let refused = intake.remote_write(Version::One, &body(now + 1)).unwrap_err();
    assert!(matches!(refused, IntakeError::Storage(CommitError::Retry { .. })), "{refused}");
}
