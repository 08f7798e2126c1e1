//! How many bytes a sample takes: our blocks beside those that Prometheus writes of the same samples, which a
//! node_exporter gave out while it was recorded.

#![allow(clippy::disallowed_methods, reason = "the tests run promtool on real files")]

use crate::{common::*, peers::promtool};
use skopos_base::{Env, fs::read_all};
use skopos_model::{Labels, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId};
use skopos_tsdb::{
    Db, Options, SnapshotOf,
    block::{Block, BlockDir},
    tool::{
        backfill::{Backfill, BackfillOptions},
        open_metrics::import_open_metrics,
    },
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The recording, as OpenMetrics.
const RECORDING: &str = "tests/fixtures/node-exporter-1.5/recording.txt.zst";

/// What blocks take.
#[derive(Debug)]
struct Taken {
    bytes: u64,
    samples: u64,
    dump: Dump,
}

impl Taken {
    /// Of all blocks of a data directory.
    fn of(env: &Env, dir: &Path) -> Self {
        let mut taken = Self { bytes: 0, samples: 0, dump: Dump::new() };
        for entry in env.fs.read_dir(dir).unwrap() {
            if matches!(BlockDir::of(&entry.name), Some(BlockDir::Whole(_))) {
                let block: std::sync::Arc<Block> = open(env, &dir.join(&entry.name));
                taken.bytes += block.size_bytes();
                taken.samples += block.meta().stats.num_samples;
                for (labels, samples) in dump(env, &block).unwrap() {
                    taken.dump.entry(labels).or_default().extend(samples);
                }
            }
        }
        taken
    }

    fn bytes_per_sample(&self) -> f64 {
        self.bytes as f64 / self.samples as f64
    }
}

/// Appends scrape after scrape to a database and makes a block of its head.
fn cut_from_head(env: &Env, dir: &Path, samples: &Dump) -> PathBuf {
    let mut scrapes: BTreeMap<i64, Vec<(&Labels, f64)>> = BTreeMap::new();
    for (labels, samples) in samples {
        for (t, bits) in samples {
            scrapes.entry(*t).or_default().push((labels, f64::from_bits(*bits)));
        }
    }
    let db = Db::open(dir, Options::default(), env).unwrap();
    for (t, samples) in scrapes {
        let mut appender = db.appender();
        for (labels, value) in samples {
            let append = Append::float(SeriesId::Labels(labels), TimestampMs::new(t), value);
            appender.append(&append).unwrap();
        }
        appender.commit().unwrap();
    }
    let snapshot = db.snapshot(SnapshotOf::BlocksAndHead).unwrap();
    dir.join("snapshots").join(snapshot)
}

#[test]
fn recorded_samples_take_no_more_bytes_than_in_blocks_of_prometheus() {
    let env = Env::real();
    let temp = tempfile::tempdir().unwrap();
    let [input, theirs, imported, head] =
        ["in", "theirs", "imported", "head"].map(|name| temp.path().join(name));
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECORDING);
    let text = zstd::decode_all(&read_all(&*env.fs, &recording).unwrap()[..]).unwrap();
    put(&env, &input, &text);

    promtool(&[Path::new("create-blocks-from"), Path::new("openmetrics"), &input, &theirs]);
    let theirs = Taken::of(&env, &theirs);
    let mut backfill = Backfill::new(&env, &imported, BackfillOptions::default()).unwrap();
    import_open_metrics(&*env.fs, &input, &[], &mut backfill).unwrap();
    backfill.finish().unwrap();
    let imported = Taken::of(&env, &imported);
    let head = Taken::of(&env, &cut_from_head(&env, &head, &theirs.dump));

    for (name, ours) in [("imported", &imported), ("cut from the head", &head)] {
        let figures = format!(
            "{name}: {:.3} bytes a sample, Prometheus {:.3}",
            ours.bytes_per_sample(),
            theirs.bytes_per_sample()
        );
        println!("{figures}, of {} samples", ours.samples);
        assert_eq!(ours.samples, theirs.samples, "{name}");
        assert!(ours.dump == theirs.dump, "{name}: other samples than Prometheus has");
        assert!(ours.bytes <= theirs.bytes, "{figures}");
    }
    assert!(theirs.samples > 50_000, "the recording is not there");
}
