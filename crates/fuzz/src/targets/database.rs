//! A whole database started from logs whose records are arbitrary and whose framing is sound: what replay
//! makes of records that follow one another, where each alone may be in order; and from a sound log beside
//! which the copy of its series' names is arbitrary.

use skopos_base::{
    Env,
    fs::{OpenMode, append_all},
    sim::SimWorld,
};
use skopos_model::{DurationMs, HistogramView, Labels, histogram::CounterResetHint};
use skopos_storage::{QueryBudget, QueryLimits, Queryable, SelectRequest, SeriesBatch, Shard, TimeRange};
use skopos_tsdb::{Db, Options, fuzzing as tsdb};
use std::{collections::BTreeMap, path::Path, sync::Arc};

const DIR: &str = "/data";

/// Where records go, by the first byte of each. Behind a checkpoint the log goes on with its second segment.
const LOGS: [(&str, &str); 5] = [
    ("wal", "00000000"),
    ("wbl", "00000000"),
    ("chunk_snapshot.000000.0000000000", "00000000"),
    ("wal/checkpoint.00000000", "00000000"),
    ("wal_names", "00000000"),
];
const BEHIND_CHECKPOINT: &str = "00000001";
const CHECKPOINT: usize = 3;
/// A checkpoint ends with a page.
const PAGE_BYTES: usize = 32 << 10;

/// Timestamps, the bits of values, and those of all that histograms have, by series.
type Dump = BTreeMap<Labels, Vec<(i64, u64, Vec<u64>)>>;

/// It opens whatever it finds, and what it found is there again when it opens once more. Sound is what has
/// neither damage nor samples of series without names.
pub(super) fn starts(bytes: &[u8]) -> bool {
    let logs = logs(bytes);
    SimWorld::new(1).run(|env| {
        for (log, ((dir, file), records)) in LOGS.iter().zip(&logs).enumerate() {
            let is_behind = matches!(log, 0 | 4) && !logs[CHECKPOINT].is_empty();
            let mut bytes = tsdb::wal::framed(records);
            if log == CHECKPOINT {
                bytes.resize(bytes.len().next_multiple_of(PAGE_BYTES), 0);
            }
            if !records.is_empty() {
                put(env, dir, if is_behind { BEHIND_CHECKPOINT } else { file }, &bytes);
            }
        }
        let (first, is_sound) = opened(env);
        assert_eq!(opened(env).0, first, "another start finds other samples");
        is_sound
    })
}

fn put(env: &Env, dir: &str, name: &str, bytes: &[u8]) {
    let dir = Path::new(DIR).join(dir);
    env.fs.create_dir_all(&dir).expect("the disk is sound");
    let mut file = env.fs.open(&dir.join(name), OpenMode::CreateNew).expect("it is new");
    append_all(&mut *file, bytes).expect("there is room");
}

/// A sample whose series the log names, as 1, and one whose series, 2, the copy alone may name.
fn named_and_not() -> [Vec<u8>; 3] {
    let of = |wal_ref: u64| {
        [&[2][..], &wal_ref.to_be_bytes(), &[0; 7], &[100], &[0, 0], &1.5f64.to_be_bytes()].concat()
    };
    [NAMES_ONE.to_vec(), of(1), of(2)]
}

const NAMES_ONE: &[u8] = b"\x01\0\0\0\0\0\0\0\x01\x01\x01a\x01b";
const NAMES_TWO: &[u8] = b"\x01\0\0\0\0\0\0\0\x02\x01\x01a\x01c";

/// A file of the copy of names, as it is on the disk, beside a log that lacks a name: what the log names
/// stays as it is, and what it does not is there under the copy's name or not at all, and so it stays.
pub(super) fn names(bytes: &[u8]) -> bool {
    let records = named_and_not();
    SimWorld::new(1).run(|env| {
        put(env, "wal", "00000000", &tsdb::wal::framed(&records));
        put(env, "wal_names", "00000000", bytes);
        let (first, is_sound) = opened(env);
        let named = Labels::from_pairs([("a", "b")]);
        assert_eq!(
            first.get(&named),
            Some(&vec![(100, 1.5f64.to_bits(), vec![])]),
            "a name of the log is lost"
        );
        assert!(first.len() <= 2, "there are more series than the log has: {first:?}");
        assert_eq!(opened(env).0, first, "another start finds other samples");
        is_sound && first.len() == 2
    })
}

/// The names of both series; of the other one alone; on several pages, with other records among them.
pub(super) fn names_seeds() -> Vec<Vec<u8>> {
    let (one, two) = (NAMES_ONE.to_vec(), NAMES_TWO.to_vec());
    let mut many = vec![[&one[..], &two[1..]].concat(), vec![2], vec![200, 1, 2]];
    for i in 3..20u8 {
        many.push([b"\x01\0\0\0\0\0\0\0", &[i][..], b"\x01\x01a\x80\x04", &[i; 512]].concat());
    }
    [vec![one, two.clone()], vec![two], many].iter().map(|records| tsdb::wal::framed(records)).collect()
}

/// The samples, and whether nothing was damaged and no name was missing.
fn opened(env: &Env) -> (Dump, bool) {
    let options = Options {
        out_of_order_window: DurationMs::from_secs(3600),
        segment_bytes: 64 << 10,
        replay_threads: 1,
        // Nothing but the start is to be seen.
        maintenance_interval: DurationMs::from_secs(1 << 30),
        ..Options::default()
    };
    let db = Db::open(Path::new(DIR), options, env).expect("damage is no error");
    let (dump, stats) = (dump(env, &db), db.stats());
    db.close().expect("the disk is sound");
    (dump, (stats.wal_corruptions_total, stats.replay_unknown_series) == (0, 0))
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
            let mut rows: Vec<_> = rows.map(|(t, v)| (t.as_ms(), v.to_bits(), Vec::new())).collect();
            series.histograms.iter().for_each(|h| rows[h.sample].2 = bits_of(&h));
            if !rows.is_empty() {
                assert!(dump.insert(series.labels.clone(), rows).is_none(), "a series comes twice");
            }
        }
    }
    dump
}

/// All that a histogram has, but for its hint, which depends on where chunks begin.
fn bits_of(h: &HistogramView<'_>) -> Vec<u64> {
    let layout = h.layout;
    let is_gauge = h.counter_reset_hint == CounterResetHint::Gauge;
    let mut bits = vec![layout.schema as u64, u64::from(is_gauge), h.count.to_bits()];
    bits.extend([layout.zero_threshold, h.zero_count, h.sum].map(f64::to_bits));
    for spans in [&layout.positive_spans, &layout.negative_spans] {
        bits.push(spans.len() as u64);
        bits.extend(spans.iter().flat_map(|span| [span.offset as u64, u64::from(span.length)]));
    }
    let floats = layout.custom_bounds.iter().chain(h.positive_buckets).chain(h.negative_buckets);
    bits.extend(floats.map(|v| v.to_bits()));
    bits
}

/// The records of each log: a byte that says which, the length in two bytes, the record.
fn logs(mut bytes: &[u8]) -> [Vec<Vec<u8>>; LOGS.len()] {
    let mut logs: [Vec<Vec<u8>>; LOGS.len()] = Default::default();
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
