//! A load of scrapes on a new database: many series, each with one sample a scrape.

use crate::{Db, OpenError, Options};
use skopos_base::{
    Env,
    fs::{Fs, read_all},
};
use skopos_model::{Labels, SeriesRef, TimestampMs};
use skopos_storage::{Append, AppendError, Appendable, CommitError, SeriesId};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Between two scrapes.
const INTERVAL_MS: i64 = 15_000;
/// Series of one batch.
const BATCH: usize = 1000;

/// Why a load was not brought in.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is there already would be mixed with made-up series.
    #[error("{} is not empty: name a directory that is, or one that does not exist yet", .0.display())]
    NotEmpty(PathBuf),
    /// A sample was refused.
    #[error("a sample was refused: {0}")]
    Refused(#[from] AppendError),
    /// The disk does not take a batch.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The labels cannot be read.
    #[error("reading {} failed: {source}", path.display())]
    Io {
        /// The file, or the WAL.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is no JSON object of texts.
    #[error("{}: line {line}: {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Reads the labels of at most `limit` series: a JSON object on each line.
///
/// # Errors
/// When the file cannot be read or a line is no such object.
pub fn read_series(fs: &dyn Fs, path: &Path, limit: usize) -> Result<Vec<Labels>, BenchError> {
    let bytes = read_all(fs, path).map_err(|source| BenchError::Io { path: path.to_owned(), source })?;
    let lines = bytes.split(|b| *b == b'\n').enumerate().filter(|(_, l)| !l.trim_ascii().is_empty());
    lines
        .take(limit)
        .map(|(nth, line)| {
            let pairs: BTreeMap<String, String> = serde_json::from_slice(line)
                .map_err(|source| BenchError::Line { path: path.to_owned(), line: nth + 1, source })?;
            Ok(Labels::from_pairs(pairs))
        })
        .collect()
}

/// Series as those of many instances with a hundred metrics each.
pub fn made_series(count: usize) -> Vec<Labels> {
    let one = |i: usize| {
        let (metric, instance) =
            (format!("bench_metric_{}_total", i % 100), format!("host-{}:9100", i / 100));
        Labels::from_pairs([("__name__", metric.as_str()), ("instance", &instance), ("job", "bench")])
    };
    (0..count).map(one).collect()
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct WriteBench<'a> {
    /// The series.
    pub series: &'a [Labels],
    /// How many samples each gets.
    pub scrapes: usize,
}

/// How a load was brought in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteFigures {
    /// All samples.
    pub samples: u64,
    /// From the first to the last commit.
    pub ingest: Duration,
    /// Until the database was closed.
    pub stop: Duration,
    /// The WAL at the end.
    pub wal_bytes: u64,
}

impl WriteBench<'_> {
    /// Brings the load into a new database in `dir`, the last scrape now.
    ///
    /// # Errors
    /// When there is something in `dir`, or the database refuses something.
    pub fn run(&self, dir: &Path, options: Options, env: &Env) -> Result<WriteFigures, BenchError> {
        let io = |source| BenchError::Io { path: dir.to_owned(), source };
        if env.fs.exists(dir).map_err(io)? && !env.fs.read_dir(dir).map_err(io)?.is_empty() {
            return Err(BenchError::NotEmpty(dir.to_owned()));
        }
        let db = Db::open(dir, options, env)?;
        let started = env.clock.monotonic();
        let first = env.clock.wall_ms() - INTERVAL_MS * i64::try_from(self.scrapes).unwrap_or(i64::MAX);
        let mut refs: Vec<SeriesRef> = Vec::with_capacity(self.series.len());
        let (mut values, mut refused, mut samples) = (Vec::new(), Vec::new(), 0);
        for scrape in 0..self.scrapes {
            let at = TimestampMs::new(first + INTERVAL_MS * scrape as i64);
            for (nth, part) in self.series.chunks(BATCH).enumerate() {
                let mut batch = db.appender();
                if scrape == 0 {
                    for labels in part {
                        refs.push(batch.append(&Append::float(SeriesId::Labels(labels), at, 0.0))?);
                    }
                } else {
                    let from = nth * BATCH;
                    values.clear();
                    values.extend((0..part.len()).map(|i| (scrape * (i % 7 + 1)) as f64));
                    batch.append_floats(at, &refs[from..from + part.len()], &values, &mut refused);
                    if let Some((_, e)) = refused.pop() {
                        return Err(e.into());
                    }
                }
                samples += batch.commit()?.samples as u64;
            }
        }
        let ingested = env.clock.monotonic();
        let wal_bytes = db.wal_bytes().map_err(|source| BenchError::Io { path: dir.join("wal"), source })?;
        db.close()?;
        let (ingest, stop) =
            (ingested.saturating_sub(started), env.clock.monotonic().saturating_sub(ingested));
        Ok(WriteFigures { samples, ingest, stop, wal_bytes })
    }
}
