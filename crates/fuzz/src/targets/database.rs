//! A whole database started from logs whose records are arbitrary and whose framing is sound: what replay
//! makes of records that follow one another, where each alone may be in order.

use skopos_base::{
    Env,
    fs::{OpenMode, append_all},
    sim::SimWorld,
};
use skopos_model::{DurationMs, Labels};
use skopos_storage::{QueryBudget, QueryLimits, Queryable, SelectRequest, SeriesBatch, Shard, TimeRange};
use skopos_tsdb::{Db, Options, fuzzing as tsdb};
use std::{collections::BTreeMap, path::Path, sync::Arc};

const DIR: &str = "/data";

/// Where records go, by the first byte of each.
const LOGS: [&str; 3] = ["wal", "wbl", "chunk_snapshot.000000.0000000000"];

/// Timestamps and the bits of values, by series.
type Dump = BTreeMap<Labels, Vec<(i64, u64)>>;

/// It opens whatever it finds, and what it found is there again when it opens once more.
pub(super) fn starts(bytes: &[u8]) {
    let logs = logs(bytes);
    SimWorld::new(1).run(|env| {
        for (log, records) in LOGS.iter().zip(&logs) {
            if !records.is_empty() {
                let dir = Path::new(DIR).join(log);
                env.fs.create_dir_all(&dir).expect("the disk is sound");
                let file = env.fs.open(&dir.join("00000000"), OpenMode::CreateNew);
                let mut file = file.expect("it is new");
                append_all(&mut *file, &tsdb::wal::framed(records)).expect("there is room");
            }
        }
        let first = opened(env);
        assert_eq!(opened(env), first, "another start finds other samples");
    });
}

fn opened(env: &Env) -> Dump {
    let options = Options {
        out_of_order_window: DurationMs::from_secs(3600),
        segment_bytes: 64 << 10,
        replay_threads: 1,
        // Nothing but the start is to be seen.
        maintenance_interval: DurationMs::from_secs(1 << 30),
        ..Options::default()
    };
    let db = Db::open(Path::new(DIR), options, env).expect("damage is no error");
    let dump = dump(env, &db);
    db.close().expect("the disk is sound");
    dump
}

fn dump(env: &Env, db: &Db) -> Dump {
    let budget = QueryBudget::new(QueryLimits::default(), Arc::clone(&env.clock));
    let querier = db.querier(TimeRange::ALL).expect("a head is always there");
    let request = SelectRequest { matchers: &[], range: TimeRange::ALL, shard: Shard::WHOLE, budget };
    let mut set = querier.select(&request).expect("the selection is within its budget");
    let (mut batch, mut dump) = (SeriesBatch::default(), Dump::new());
    while set.next_batch(&mut batch).expect("what was taken is sound") {
        for series in batch.iter() {
            assert!(series.timestamps.is_sorted_by(|a, b| a < b), "samples are out of order");
            let rows = series.timestamps.iter().zip(series.values);
            let rows: Vec<_> = rows.map(|(t, v)| (t.as_ms(), v.to_bits())).collect();
            if !rows.is_empty() {
                assert!(dump.insert(series.labels.clone(), rows).is_none(), "a series comes twice");
            }
        }
    }
    dump
}

/// The records of each log: a byte that says which, the length in two bytes, the record.
fn logs(mut bytes: &[u8]) -> [Vec<Vec<u8>>; 3] {
    let mut logs: [Vec<Vec<u8>>; 3] = Default::default();
    while let [log, high, low, rest @ ..] = bytes {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (record, tail) = rest.split_at(len);
        logs[usize::from(*log) % LOGS.len()].push(record.to_vec());
        bytes = tail;
    }
    logs
}

fn push(out: &mut Vec<u8>, log: u8, record: &[u8]) {
    out.push(log);
    out.extend_from_slice(&(record.len() as u16).to_be_bytes());
    out.extend_from_slice(record);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    tsdb::wal::record_seeds().iter().for_each(|record| push(&mut all, 0, record));
    let mut with_late = all.clone();
    tsdb::wal::record_seeds().iter().for_each(|record| push(&mut with_late, 1, record));
    let mut snapshot = Vec::new();
    tsdb::wal::snapshot_record_seeds().iter().for_each(|record| push(&mut snapshot, 2, record));
    let mut both = snapshot.clone();
    tsdb::wal::record_seeds().iter().for_each(|record| push(&mut both, 0, record));
    // Samples of one series, in order and not, of which some come twice.
    let mut series = Vec::new();
    push(&mut series, 0, b"\x01\0\0\0\0\0\0\0\x01\x01\x01a\x01b");
    for t in [100u8, 110, 105, 110, 120, 90] {
        let record = [&[2][..], &1u64.to_be_bytes(), &[0; 7], &[t], &[0, 0], &f64::from(t).to_be_bytes()];
        push(&mut series, 0, &record.concat());
    }
    vec![all, with_late, snapshot, both, series]
}
