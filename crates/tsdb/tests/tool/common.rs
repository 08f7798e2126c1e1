//! What the tests of tools share: data directories, sound and damaged, and what is in them. Owns no test.

use skopos_base::{
    Env,
    fs::{Fs, OpenMode, append_all, read_all},
    sim::{SimFs, SimWorld},
};
use skopos_chunk::SampleIter;
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId, TimeRange};
use skopos_tsdb::{
    Db, Options,
    tool::{
        text::{dump_labels, write_dump_line},
        view::DirView,
    },
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Where simulated databases stand.
pub(crate) const DIR: &str = "/data/tsdb";
/// Every so often a sample.
const STEP_MS: i64 = 250;

/// The lines of `dump`.
pub(crate) type Lines = BTreeSet<String>;

pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        min_block_duration: DurationMs::from_ms(1000),
        max_block_duration: DurationMs::from_ms(3000),
        maintenance_interval: DurationMs::from_secs(36_000),
        snapshot_on_shutdown: false,
        ..Options::default()
    }
}

/// `m{i="…"}`
pub(crate) fn series(i: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())])
}

/// Commits so many batches from the given one on, one a quarter of a second, two series each.
pub(crate) fn append(db: &Db, batches: std::ops::Range<i64>) -> Result<(), Box<dyn std::error::Error>> {
    for b in batches {
        let mut batch = db.appender();
        for i in 0..2 {
            let (labels, value) = (series(i), (b * 10 + i as i64) as f64);
            batch.append(&Append::float(SeriesId::Labels(&labels), TimestampMs::new(b * STEP_MS), value))?;
        }
        batch.commit()?;
    }
    Ok(())
}

/// All samples of a directory, read without a change.
pub(crate) fn lines(env: &Env, dir: &Path) -> Lines {
    let view = DirView::open(dir, env).unwrap();
    let mut set = view.samples(&[Vec::new()], TimeRange::ALL).unwrap();
    let (mut all, mut out) = (Lines::new(), Vec::new());
    while let Some(series) = set.next_series().unwrap() {
        let labels = dump_labels(&series.labels);
        for sample in series.chunks.iter().flat_map(|c| SampleIter::new(c.encoding, &c.bytes)) {
            let (at, value) = sample.unwrap();
            out.clear();
            write_dump_line(&mut out, &labels, at.as_ms(), &value);
            assert!(all.insert(String::from_utf8(out.clone()).unwrap()), "a sample comes twice");
        }
    }
    all
}

/// The directories of blocks, in the order of their making.
pub(crate) fn blocks(fs: &dyn Fs, dir: &Path) -> Vec<PathBuf> {
    let entries = fs.read_dir(dir).unwrap();
    entries.iter().filter(|e| e.is_dir && e.name.len() == 26).map(|e| dir.join(&e.name)).collect()
}

/// Changes one bit of a file.
pub(crate) fn damage(fs: &dyn Fs, path: &Path, at: usize) {
    let mut bytes = read_all(fs, path).unwrap();
    bytes[at] ^= 1;
    put(fs, path, &bytes);
}

fn put(fs: &dyn Fs, path: &Path, bytes: &[u8]) {
    let mut file = fs.open(path, OpenMode::Append).unwrap();
    file.truncate(0).unwrap();
    append_all(&mut *file, bytes).unwrap();
    file.sync().unwrap();
}

/// A durable disk with blocks, a log and chunks of the head; the database is not open.
pub(crate) fn sound() -> SimFs {
    let fs = SimFs::new(1);
    SimWorld::with_fs(1, fs.clone()).run(|env| {
        let db = Db::open(Path::new(DIR), options(), env).unwrap();
        append(&db, 0..13).unwrap();
        db.maintain().unwrap();
        append(&db, 13..16).unwrap();
        db.close().unwrap();
    });
    fs.settle();
    fs
}

/// The same with two damaged blocks, something unfinished, and a log that ends amid a record.
pub(crate) fn damaged() -> SimFs {
    let fs = sound();
    let dir = Path::new(DIR);
    let blocks = blocks(&fs, dir);
    assert!(blocks.len() > 1, "{blocks:?}");
    damage(&fs, &blocks[0].join("chunks/000001"), 20);
    damage(&fs, &blocks[1].join("meta.json"), 10);
    fs.create_dir_all(&dir.join("01ARZ3NDEKTSV4RRFFQ69G5FAV.tmp-for-creation/chunks")).unwrap();
    let wal = dir.join("wal");
    let last = fs.read_dir(&wal).unwrap().into_iter().filter(|e| !e.is_dir).map(|e| e.name).max().unwrap();
    let mut log = fs.open(&wal.join(last), OpenMode::Append).unwrap();
    append_all(&mut *log, &[1, 0, 200, 1, 2, 3, 4, 5, 6]).unwrap();
    fs.settle();
    fs
}
