//! Tests of snapshots: what Prometheus wrote, round trips, damage, crashes.

use super::*;
use skopos_base::{
    Env,
    fs::{append_all, read_all},
    sim::SimWorld,
};
use skopos_model::histogram::{Layout, Span};

const DIR: &str = "/data";
const POSITION: Position = Position { segment: 3, offset: 32_768 };

fn series(wal_ref: u64, chunk: Option<OpenChunk>) -> Entry {
    let closed = ClosedChunks { count: wal_ref as u32 % 3, crc: 0x0102_0304 };
    Entry::Series { wal_ref, labels: Labels::from_pairs([("i", wal_ref.to_string())]), closed, chunk }
}

fn chunk(last: Last) -> Option<OpenChunk> {
    Some(OpenChunk { min: TimestampMs::new(-5), max: TimestampMs::new(70), bytes: vec![0, 1, 2, 9], last })
}

fn entries() -> Vec<Entry> {
    let spans = vec![Span { offset: 1, length: 2 }];
    let layout = Layout { positive_spans: spans, ..Layout::default() };
    let whole = Histogram { layout: layout.clone(), positive_deltas: vec![1, -1], ..Histogram::default() };
    let own = Layout { schema: -53, custom_bounds: vec![0.1, 1.0], ..layout.clone() };
    let custom = Histogram { layout: own, positive_deltas: vec![3, -1], ..Histogram::default() };
    let float = FloatHistogram { layout, positive_buckets: vec![0.5, 2.0], ..FloatHistogram::default() };
    let mut all = vec![
        series(1, chunk(Last::Float(-0.0))),
        series(u64::MAX, None),
        series(7, chunk(Last::Histogram(whole))),
        series(8, chunk(Last::FloatHistogram(float))),
        series(9, chunk(Last::Histogram(custom))),
        Entry::Tombstone { wal_ref: 7, min: TimestampMs::new(i64::MIN), max: TimestampMs::new(3) },
    ];
    all.extend((0..10_003).map(|i| Entry::Exemplar {
        wal_ref: 1 + i % 2,
        timestamp: TimestampMs::new(i as i64),
        value: 0.5,
        labels: Labels::from_pairs([("trace_id", i.to_string())]),
    }));
    all
}

fn write(env: &Env, position: Position, entries: Vec<Entry>) -> Result<(), SnapshotError> {
    env.fs.create_dir_all(Path::new(DIR)).unwrap();
    write_snapshot(&*env.fs, Path::new(DIR), position, WalCompression::Zstd, entries)
}

fn read(env: &Env, position: Position) -> Result<Vec<Entry>, SnapshotError> {
    let mut all = Vec::new();
    read_snapshot(&*env.fs, Path::new(DIR), position, |entry| all.push(entry))?;
    Ok(all)
}

#[test]
fn what_is_written_is_read_and_the_newest_stays() {
    SimWorld::new(1).run(|env| {
        env.fs.create_dir_all(Path::new(DIR)).unwrap();
        assert_eq!(newest(&*env.fs, Path::new(DIR)).unwrap(), None);
        write(env, Position { segment: 2, offset: 99 }, Vec::new()).unwrap();
        assert!(read(env, Position { segment: 2, offset: 99 }).unwrap().is_empty());
        for _ in 0..2 {
            write(env, POSITION, entries()).unwrap();
            assert_eq!(newest(&*env.fs, Path::new(DIR)).unwrap(), Some(POSITION));
            assert!(read(env, POSITION).unwrap() == entries());
            let names = env.fs.read_dir(Path::new(DIR)).unwrap();
            let names: Vec<_> = names.iter().map(|e| e.name.as_str()).collect();
            assert_eq!(names, ["chunk_snapshot.000003.0000032768"]);
        }
    });
}

#[test]
fn names_of_others_are_no_snapshots() {
    for (name, position) in [
        ("chunk_snapshot.000003.0000032768", Some(POSITION)),
        ("chunk_snapshot.3.32768", Some(POSITION)),
        ("chunk_snapshot.000003.0000032768.tmp", None),
        ("chunk_snapshot.000003", None),
        ("chunk_snapshot.+3.1", None),
        ("chunk_snapshot.99999999999.1", None),
        ("wal", None),
    ] {
        assert_eq!(position_of(name), position, "{name}");
    }
}

/// The segment that Prometheus 3.5.3 wrote (tests/fixtures/wal/README.md).
#[test]
fn a_snapshot_of_prometheus_is_read_and_made_again() {
    let real = Env::real();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wal/snapshot-3.5");
    let bytes = read_all(&*real.fs, &fixture).unwrap();
    SimWorld::new(1).run(|env| {
        let dir = Path::new(DIR).join("chunk_snapshot.000000.0000032768");
        env.fs.create_dir_all(&dir).unwrap();
        let mut file = env.fs.open(&dir.join("00000000"), OpenMode::CreateNew).unwrap();
        append_all(&mut *file, &bytes).unwrap();
        let position = Position { segment: 0, offset: 32_768 };
        let all = read(env, position).unwrap();
        let is = |name: &str, kind: &str, e: &Entry| {
            matches!(e, Entry::Series { labels, .. } if labels.metric_name() == Some(name)
                && (labels.get("kind") == Some(kind) || labels.get("code") == Some(kind)))
        };
        let last = |name: &str, kind: &str| {
            let entry = all.iter().find(|e| is(name, kind, e));
            let Some(Entry::Series { chunk: Some(chunk), .. }) = entry else {
                panic!("{name} {kind}: {all:?}")
            };
            assert_eq!(chunk.max.as_ms() - chunk.min.as_ms(), 45_000);
            chunk.last.clone()
        };
        assert_eq!(last("requests_total", "200"), Last::Float(4.0));
        assert_eq!(last("requests_total", "500"), Last::Float(3.0));
        let Last::Histogram(h) = last("latency", "int") else { panic!("whole counts") };
        assert_eq!((h.count, h.sum, h.positive_deltas), (14, 15.5, vec![3, -1, 1]));
        let Last::FloatHistogram(h) = last("sizes", "float") else { panic!("float counts") };
        assert_eq!((h.layout.schema, h.layout.custom_bounds), (-53, vec![1.0]));
        assert_eq!(all.iter().filter(|e| matches!(e, Entry::Tombstone { .. })).count(), 1);
        assert_eq!(all.iter().filter(|e| matches!(e, Entry::Exemplar { .. })).count(), 8);
        // Its records, made again of the entries.
        let records = |path: &Path| {
            let file = env.fs.open(path, OpenMode::Read).unwrap();
            let mut reader = SegmentReader::new(&*file);
            let mut records = Vec::new();
            while let Some(Item::Record(_, record)) = reader.next().unwrap() {
                records.push(record.to_vec());
            }
            records
        };
        write(env, POSITION, all.clone()).unwrap();
        let again = Path::new(DIR).join("chunk_snapshot.000003.0000032768/00000000");
        let theirs = {
            env.fs.create_dir_all(Path::new("/theirs")).unwrap();
            let mut file = env.fs.open(Path::new("/theirs/0"), OpenMode::CreateNew).unwrap();
            append_all(&mut *file, &bytes).unwrap();
            records(Path::new("/theirs/0"))
        };
        assert_eq!(records(&again), theirs);
    });
}

#[test]
fn records_cut_short_and_flipped_never_panic() {
    let mut records = Vec::new();
    for entry in entries().into_iter().take(5) {
        let Entry::Series { wal_ref, labels, closed, chunk } = entry else {
            unreachable!("series come first")
        };
        let mut record = Vec::new();
        push_series(&mut record, wal_ref, &labels, closed, chunk);
        records.push(record);
    }
    records.push(vec![TOMBSTONES, 4, TOMBSTONES_VERSION, 7, 1, 6]);
    for record in records {
        assert_eq!(read_record(&record, &mut |_| {}), Ok(()));
        for len in 1..record.len() {
            assert!(read_record(&record[..len], &mut |_| {}).is_err(), "{len} of {record:?}");
        }
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = read_record(&flipped, &mut |_| {});
        }
    }
}

mod crash {
    use super::*;
    use skopos_base::sim::crash::{CrashMode, CrashTest};

    #[test]
    fn after_a_crash_there_is_an_old_snapshot_a_new_one_or_none() {
        let old = Position { segment: 1, offset: 5 };
        let few = || entries().into_iter().take(7).collect::<Vec<_>>();
        for mode in [CrashMode::PowerLoss, CrashMode::ProcessKill] {
            let done = CrashTest::new(mode).states_per_point(50).run(
                |env, promised: &mut Option<Position>| {
                    write_snapshot(&*env.fs, Path::new("/"), old, WalCompression::None, few())?;
                    *promised = Some(old);
                    write_snapshot(&*env.fs, Path::new("/"), POSITION, WalCompression::None, few())?;
                    *promised = Some(POSITION);
                    Ok::<(), SnapshotError>(())
                },
                |env, promised| {
                    let newest = newest(&*env.fs, Path::new("/")).unwrap();
                    assert!(newest >= *promised, "{newest:?}");
                    if let Some(position) = newest {
                        let mut all = Vec::new();
                        read_snapshot(&*env.fs, Path::new("/"), position, |entry| all.push(entry)).unwrap();
                        assert_eq!(all, few());
                    }
                },
            );
            assert!(done.states > 15, "{done:?}");
        }
    }
}
