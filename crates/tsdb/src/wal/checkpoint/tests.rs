//! Tests of what a checkpoint keeps: every kind of record against a plain model of it.

use super::*;
use crate::wal::record::{
    MmapMarker, SamplesRecord, SamplesV2Record, WalExemplar, WalSample, WalTombstone, push_deletion_bound,
    push_exemplars, push_markers, push_metadata, push_series, push_tombstones, read_exemplars, read_markers,
    read_metadata, read_samples, read_samples_v2, read_series, read_tombstones,
};
use crate::wal::{
    page::{Framable, PAGE_SIZE, frame},
    segment::segment_path,
};
use skopos_base::{
    Env,
    fs::{append_all, read_all},
    rng::Rng,
    sim::SimWorld,
};
use skopos_model::{LabelsBuilder, Metadata, MetricType};

const DIR: &str = "/data/wal";
const MIN_MS: i64 = 500;

/// Something that a record says, as a replay would take it. Only what is kept is told apart.
type Entries = Vec<String>;

fn labels_of(wal_ref: u64) -> Labels {
    Labels::from_pairs([("i", wal_ref.to_string())])
}

fn is_kept(wal_ref: u64) -> bool {
    !wal_ref.is_multiple_of(3)
}

/// What tombstones say that count: series, first and last time.
type Deleted = Vec<(u64, i64, i64)>;

/// A record of random entries. What of it a checkpoint keeps is added to `entries` and `deleted`. Series come
/// with `named`, and samples are only of those.
fn random_record(rng: &Rng, named: &mut u64, entries: &mut Entries, deleted: &mut Deleted) -> Vec<u8> {
    let mut record = Vec::new();
    let count = 1 + rng.below(20);
    let old_named = *named;
    let any = || (1 + rng.below(old_named), rng.below(1000) as i64, rng.below(100));
    let kept = |wal_ref: u64, t: i64| is_kept(wal_ref) && t >= MIN_MS;
    match if old_named == 0 { 0 } else { rng.below(9) } {
        0 => {
            for _ in 0..count {
                *named += 1;
                push_series(&mut record, *named, &labels_of(*named));
                entries.extend(is_kept(*named).then(|| format!("series {named} {}", labels_of(*named))));
            }
        }
        1..=3 => {
            let mut samples = SamplesRecord::default();
            for (wal_ref, t, v) in (0..count).map(|_| any()) {
                samples.push(wal_ref, t, v as f64);
                if kept(wal_ref, t) {
                    entries.push(format!("sample {wal_ref} {t} {}", v as f64));
                }
            }
            record.extend_from_slice(samples.bytes());
        }
        4 => {
            let mut samples = SamplesV2Record::default();
            for (wal_ref, timestamp_ms, start) in (0..count).map(|_| any()) {
                samples.push(WalSample { wal_ref, timestamp_ms, value_bits: 1 }, start as i64);
                if kept(wal_ref, timestamp_ms) {
                    entries.push(format!("sample {wal_ref} {timestamp_ms} since {start}"));
                }
            }
            record.extend_from_slice(samples.bytes());
        }
        5 => {
            for (wal_ref, min_ms, len) in (0..count).map(|_| any()) {
                let max_ms = min_ms + len as i64;
                push_tombstones(&mut record, &[WalTombstone { wal_ref, min_ms, max_ms }]);
                deleted.extend(kept(wal_ref, max_ms).then_some((wal_ref, min_ms, max_ms)));
            }
        }
        6 => {
            let exemplar = |(wal_ref, timestamp_ms, v): (u64, i64, u64)| WalExemplar {
                wal_ref,
                timestamp_ms,
                value: v as f64,
                labels: labels_of(v),
            };
            let all: Vec<_> = (0..count).map(|_| exemplar(any())).collect();
            push_exemplars(&mut record, &all);
            let all = all.iter().filter(|e| kept(e.wal_ref, e.timestamp_ms));
            entries.extend(all.map(|e| format!("{e:?}")));
        }
        7 => {
            // Rarely one of late times, which leaves little.
            let first_ms = rng.below(1000).min(rng.below(1000)) as i64;
            push_deletion_bound(&mut record, first_ms, &[]);
            deleted.iter_mut().for_each(|(_, min_ms, _)| *min_ms = first_ms.max(*min_ms));
            deleted.retain(|(_, min_ms, max_ms)| min_ms <= max_ms);
        }
        _ => {
            let (wal_ref, _, v) = any();
            push_markers(&mut record, &[MmapMarker { wal_ref, chunk_ref: v }]);
            entries.extend(is_kept(wal_ref).then(|| format!("marker {wal_ref} {v}")));
        }
    }
    record
}

fn shown(deleted: &Deleted) -> impl Iterator<Item = String> {
    deleted.iter().map(|(wal_ref, min, max)| format!("tombstone {wal_ref} {min} {max}"))
}

/// What the records of a log say.
fn entries_of(records: &[Vec<u8>]) -> Entries {
    let mut out = Entries::new();
    for record in records {
        match record[0] {
            1 => read_series(record, &mut LabelsBuilder::default(), |wal_ref, labels| {
                out.push(format!("series {wal_ref} {labels}"));
            })
            .unwrap(),
            2 => {
                let mut all = Vec::new();
                read_samples(record, &mut all).unwrap();
                let shown = |s: &WalSample| {
                    format!("sample {} {} {}", s.wal_ref, s.timestamp_ms, f64::from_bits(s.value_bits))
                };
                out.extend(all.iter().map(shown));
            }
            11 => {
                let mut all = Vec::new();
                read_samples_v2(record, &mut all).unwrap();
                let shown = |(s, start): &(WalSample, i64)| {
                    format!("sample {} {} since {start}", s.wal_ref, s.timestamp_ms)
                };
                out.extend(all.iter().map(shown));
            }
            3 => {
                let mut all = Vec::new();
                read_tombstones(record, &mut all).unwrap();
                out.extend(all.iter().map(|t| format!("tombstone {} {} {}", t.wal_ref, t.min_ms, t.max_ms)));
            }
            4 => {
                let mut all = Vec::new();
                read_exemplars(record, &mut all).unwrap();
                out.extend(all.iter().map(|e| format!("{e:?}")));
            }
            5 => {
                let mut all = Vec::new();
                read_markers(record, &mut all).unwrap();
                out.extend(all.iter().map(|m| format!("marker {} {}", m.wal_ref, m.chunk_ref)));
            }
            6 => {
                read_metadata(record, |wal_ref, m| out.push(format!("metadata {wal_ref} {}", m.help)))
                    .unwrap();
            }
            kind => panic!("a record of kind {kind}"),
        }
    }
    out
}

/// A checkpoint names all series before anything else.
fn series_first(entries: Entries) -> Entries {
    let (mut series, rest): (Entries, Entries) = entries.into_iter().partition(|e| e.starts_with("series"));
    series.extend(rest);
    series
}

fn write_segment(env: &Env, index: u32, records: &[Vec<u8>]) {
    let mut bytes = Vec::new();
    for record in records {
        frame(&mut bytes, 0, Framable { bytes: record, compression: crate::wal::page::Compression::None });
    }
    let mut file = env.fs.open(&segment_path(Path::new(DIR), index), OpenMode::CreateNew).unwrap();
    append_all(&mut *file, &bytes).unwrap();
}

/// All records that a replay of the directory meets.
fn replayed(env: &Env) -> Vec<Vec<u8>> {
    let listing = list(&*env.fs, Path::new(DIR)).unwrap();
    let mut records = Vec::new();
    for segment in listing.checkpoint.iter().chain(&listing.segments) {
        let file = env.fs.open(&segment.path, OpenMode::Read).unwrap();
        let mut reader = SegmentReader::new(&*file);
        while let Some(item) = reader.next().unwrap() {
            let Item::Record(_, record) = item else { panic!("{}: {item:?}", segment.path.display()) };
            records.push(record.to_vec());
        }
    }
    records
}

/// A checkpoint of a head that has the series of `live`.
fn checkpoint(
    env: &Env,
    last: u32,
    compression: WalCompression,
    live: &[u64],
) -> Result<CheckpointStats, Box<dyn std::error::Error>> {
    let (fs, dir) = (&*env.fs, Path::new(DIR));
    let spec = Checkpoint {
        fs,
        dir,
        last,
        kept_from: KeptFrom { samples: TimestampMs::new(MIN_MS), tombstones: TimestampMs::new(MIN_MS) },
        segment_pages: 2,
        compression,
    };
    let series: &LiveSeries<'_> = &|each| live.iter().for_each(|r| each(*r, &labels_of(*r)));
    let memory = Memory { series, given_twice: &BTreeSet::new(), save: &|| Ok(()) };
    let stats = spec.write(&memory)?;
    super::super::segment::remove_up_to(fs, dir, last)?;
    Ok(stats)
}

#[test]
fn a_checkpoint_says_what_the_segments_said_of_what_is_needed() {
    for seed in 0..24 {
        let compression =
            [WalCompression::None, WalCompression::Snappy, WalCompression::Zstd][seed as usize % 3];
        SimWorld::new(seed).run(|env| {
            env.fs.create_dir_all(Path::new(DIR)).unwrap();
            let rng = Rng::from_seed(seed);
            let mut named = 0;
            let (mut expected, mut deleted) = (Entries::new(), Deleted::new());
            let live = |named| (1..=named).filter(|r| is_kept(*r)).collect::<Vec<u64>>();
            // Checkpoints are made from checkpoints.
            for index in 0..6 {
                let made = |_| random_record(&rng, &mut named, &mut expected, &mut deleted);
                let records: Vec<_> = (0..1 + rng.below(300)).map(made).collect();
                write_segment(env, index, &records);
                if rng.below(2) == 0 {
                    checkpoint(env, index, compression, &live(named)).unwrap();
                }
            }
            checkpoint(env, 5, compression, &live(named)).unwrap();
            // Behind all else: which of them count is known at the end.
            expected.extend(shown(&deleted));
            assert_eq!(entries_of(&replayed(env)), series_first(expected), "seed {seed}");
            let entries = env.fs.read_dir(Path::new(DIR)).unwrap();
            let names: Vec<_> = entries.iter().map(|e| e.name.as_str()).collect();
            assert_eq!(names, ["checkpoint.00000005"], "seed {seed}");
        });
    }
}

/// As Prometheus names a series that was gone, and goes on under the older number after a restart.
#[test]
fn what_is_deleted_under_any_number_of_a_series_is_kept() {
    SimWorld::new(1).run(|env| {
        env.fs.create_dir_all(Path::new(DIR)).unwrap();
        let mut record = Vec::new();
        let tombstones = [1, 8].map(|wal_ref| WalTombstone { wal_ref, min_ms: MIN_MS, max_ms: 2 * MIN_MS });
        push_tombstones(&mut record, &tombstones);
        write_segment(env, 0, &[record.clone()]);
        let series: &LiveSeries<'_> = &|each| [1, 8].into_iter().for_each(|r| each(r, &labels_of(1)));
        let time = TimestampMs::new(MIN_MS);
        let spec = Checkpoint {
            fs: &*env.fs,
            dir: Path::new(DIR),
            last: 0,
            kept_from: KeptFrom { samples: time, tombstones: time },
            segment_pages: 2,
            compression: WalCompression::None,
        };
        spec.write(&Memory { series, given_twice: &BTreeSet::new(), save: &|| Ok(()) }).unwrap();
        super::super::segment::remove_up_to(&*env.fs, Path::new(DIR), 0).unwrap();
        assert_eq!(replayed(env).pop(), Some(record));
    });
}

#[test]
fn what_is_kept_and_dropped_is_counted() {
    SimWorld::new(1).run(|env| {
        env.fs.create_dir_all(Path::new(DIR)).unwrap();
        let mut series = Vec::new();
        (1..=6).for_each(|wal_ref| push_series(&mut series, wal_ref, &labels_of(wal_ref)));
        let mut samples = SamplesRecord::default();
        for (wal_ref, t) in [(1, MIN_MS - 1), (1, MIN_MS), (2, MIN_MS + 1), (3, MIN_MS)] {
            samples.push(wal_ref, t, 1.0);
        }
        let metadata = |help: &str| {
            let mut record = Vec::new();
            let m = Metadata { metric_type: MetricType::Counter, help: help.into(), unit: String::new() };
            (1..=3).for_each(|wal_ref| push_metadata(&mut record, wal_ref, &m));
            record
        };
        let records = [series, samples.bytes().to_vec(), metadata("old"), metadata("new")];
        write_segment(env, 0, &records);
        let stats = checkpoint(env, 0, WalCompression::Snappy, &[1, 2, 4, 5]).unwrap();
        let passed = |total, dropped| Passed { total, dropped };
        let expected = CheckpointStats {
            series: passed(6, 2),
            samples: passed(4, 2),
            metadata: passed(6, 4),
            ..CheckpointStats::default()
        };
        assert_eq!(stats, expected);
        let said = entries_of(&replayed(env));
        assert_eq!(said[said.len() - 2..], ["metadata 1 new", "metadata 2 new"]);
    });
}

/// Behind damage, a batch of which a series was lost is left out whole, as a replay leaves it out.
#[test]
fn a_batch_behind_damage_is_never_half_there() {
    let series = |wal_ref| {
        let mut record = Vec::new();
        push_series(&mut record, wal_ref, &labels_of(wal_ref));
        record
    };
    let samples = |refs: &[u64]| {
        let mut record = SamplesRecord::default();
        refs.iter().for_each(|wal_ref| record.push(*wal_ref, MIN_MS, 1.0));
        record.bytes().to_vec()
    };
    // An unknown kind is damage too.
    let records = [series(1), samples(&[1, 2]), vec![99], samples(&[1, 2]), samples(&[1])];
    SimWorld::new(1).run(|env| {
        env.fs.create_dir_all(Path::new(DIR)).unwrap();
        write_segment(env, 0, &records);
        let stats = checkpoint(env, 0, WalCompression::None, &[1]).unwrap();
        assert_eq!((stats.faults, stats.samples), (1, Passed { total: 5, dropped: 3 }));
        assert_eq!(replayed(env), [series(1), samples(&[1]), samples(&[1])]);
    });
}

mod crash {
    use super::*;
    use skopos_base::sim::{SimFs, failing::every_call};

    /// Every call that a checkpoint makes fails once, those too by which the old segments go; the old state
    /// says what it said.
    #[test]
    fn a_failure_leaves_the_old_state() {
        let start = SimFs::new(1);
        let (mut named, mut expected, mut deleted) = (0, Entries::new(), Deleted::new());
        let live = |named| (1..=named).filter(|r| is_kept(*r)).collect::<Vec<u64>>();
        SimWorld::with_fs(1, start.clone()).run(|env| {
            env.fs.create_dir_all(Path::new(DIR)).unwrap();
            let rng = Rng::from_seed(1);
            for index in 0..2 {
                let made = |_| random_record(&rng, &mut named, &mut expected, &mut deleted);
                write_segment(env, index, &(0..200).map(made).collect::<Vec<_>>());
                if index == 0 {
                    checkpoint(env, 0, WalCompression::None, &live(named)).unwrap();
                }
            }
        });
        start.settle();
        expected.extend(shown(&deleted));
        let (live, expected) = (live(named), series_first(expected));
        let mut refused = 0;
        let failed = every_call(&start, |env, fault| {
            let before = replayed(env);
            fault.arm();
            let result = checkpoint(env, 1, WalCompression::None, &live);
            let came = fault.disarm();
            refused += usize::from(result.is_err());
            assert!(came || result.is_ok());
            let now = replayed(env);
            assert!(now == before || entries_of(&now) == expected);
            checkpoint(env, 1, WalCompression::None, &live).unwrap();
            assert_eq!(entries_of(&replayed(env)), expected);
            assert_eq!(env.fs.read_dir(Path::new(DIR)).unwrap().len(), 1);
        });
        assert!(failed > 25, "{failed} calls failed");
        assert!(refused > 20, "{refused} checkpoints were refused");
    }
}

#[test]
fn a_record_that_fits_no_segment_is_written_whole() {
    SimWorld::new(1).run(|env| {
        env.fs.create_dir_all(Path::new(DIR)).unwrap();
        let mut series = Vec::new();
        (1..=20_000).for_each(|wal_ref| push_series(&mut series, wal_ref, &labels_of(wal_ref)));
        let mut samples = SamplesRecord::default();
        (1..=20_000).for_each(|wal_ref| samples.push(wal_ref, MIN_MS, 0.5));
        assert!(samples.bytes().len() > 4 * PAGE_SIZE);
        write_segment(env, 0, &[series, samples.bytes().to_vec()]);
        let kept: Vec<u64> = (1..=20_000).filter(|r| is_kept(*r)).collect();
        checkpoint(env, 0, WalCompression::None, &kept).unwrap();
        let dir = checkpoint_path(Path::new(DIR), 0);
        assert_eq!(read_all(&*env.fs, &segment_path(&dir, 0)).unwrap().len() % PAGE_SIZE, 0);
        let said = entries_of(&replayed(env));
        assert_eq!(said.iter().filter(|e| e.starts_with("sample")).count(), kept.len());
    });
}
