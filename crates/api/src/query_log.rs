//! `QueryLog`: a line of JSON for each query, as Prometheus writes them to `global.query_log_file`, and a
//! line in the program's own log for each that took longer than `--query.log-slower-than`. Evaluates
//! nothing.

use crate::{parts::Parts, query_stats::Stats, targets::rfc_3339};
use parking_lot::Mutex;
use serde_json::json;
use skopos_base::fs::{File, OpenMode, SharedFs, append_all};
use skopos_model::TimestampMs;
use skopos_promql::EvalError;
use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Where queries are logged.
#[derive(Debug)]
pub struct QueryLog {
    fs: SharedFs,
    slower_than: Option<Duration>,
    open: Mutex<Option<(PathBuf, Box<dyn File>)>>,
    failures: AtomicU64,
}

/// A query that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) path: &'static str,
    pub(crate) query: &'a str,
    pub(crate) start: TimestampMs,
    pub(crate) end: TimestampMs,
    /// In seconds; zero of one at a single time.
    pub(crate) step: f64,
}

impl QueryLog {
    /// A log in files of `fs`; queries that took longer than `slower_than` are slow.
    pub fn new(fs: SharedFs, slower_than: Option<Duration>) -> Self {
        Self { fs, slower_than, open: Mutex::new(None), failures: AtomicU64::new(0) }
    }

    /// Logs a query where the configuration in force wants it.
    pub(crate) fn ended(&self, parts: &Parts, ended: Ended<'_>, stats: &Stats, error: Option<&EvalError>) {
        let took = stats.took();
        if self.slower_than.is_some_and(|limit| took >= limit) {
            let (query, samples) = (ended.query, stats.samples());
            let seconds = took.as_secs_f64();
            tracing::warn!(query, seconds, samples, path = ended.path, "slow query");
        }
        let config = parts.config.get();
        let Some(path) = &config.global.query_log_file else { return };
        let mut line = line(parts.clock.wall_ms(), ended, stats, error);
        line.push('\n');
        if let Err(error) = self.write(Path::new(path), &line) {
            *self.open.lock() = None;
            // Once: a full disk has enough to bear.
            if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::error!(%error, path, "the query log cannot be written; queries go on");
            }
        }
    }

    fn write(&self, path: &Path, line: &str) -> io::Result<()> {
        let mut open = self.open.lock();
        let exists = self.fs.exists(path)?;
        // A file that was moved away or is called otherwise now is begun anew.
        if !matches!(&*open, Some((of, _)) if of == path && exists) {
            let mode = if exists { OpenMode::Append } else { OpenMode::CreateNew };
            *open = Some((path.to_owned(), self.fs.open(path, mode)?));
        }
        match &mut *open {
            Some((_, file)) => append_all(&mut **file, line.as_bytes()),
            None => Ok(()),
        }
    }
}

/// The line of a query.
fn line(now_ms: i64, ended: Ended<'_>, stats: &Stats, error: Option<&EvalError>) -> String {
    let mut line = json!({
        "time": rfc_3339(TimestampMs::new(now_ms)),
        "level": "INFO",
        "msg": "promql query logged",
        "params": {
            "end": rfc_3339(ended.end),
            "query": ended.query,
            "start": rfc_3339(ended.start),
            "step": ended.step,
        },
        "stats": stats.json(),
        "httpRequest": {"path": ended.path},
    });
    if let Some(error) = error {
        line["error"] = json!(error.to_string());
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::{fs::read_all, real::RealFs};
    use std::sync::Arc;

    #[test]
    fn lines_are_appended_and_a_file_that_was_moved_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("queries.log"), dir.path().join("queries.log.1"));
        let log = QueryLog::new(Arc::new(RealFs), None);
        log.write(&path, "one\n").unwrap();
        log.write(&path, "two\n").unwrap();
        log.fs.rename(&path, &moved).unwrap();
        log.write(&path, "three\n").unwrap();
        // Another process of the same file goes on behind what is there.
        QueryLog::new(Arc::new(RealFs), None).write(&path, "four\n").unwrap();
        assert_eq!(read_all(&RealFs, &moved).unwrap(), b"one\ntwo\n");
        assert_eq!(read_all(&RealFs, &path).unwrap(), b"three\nfour\n");
    }

    #[test]
    fn a_line_has_what_prometheus_writes() {
        let ended = Ended {
            path: "/api/v1/query_range",
            query: "up{a=\"b\"}",
            start: TimestampMs::new(1000),
            end: TimestampMs::new(100_000),
            step: 15.0,
        };
        let line: serde_json::Value =
            serde_json::from_str(&line(1_700_000_000_123, ended, &Stats::default(), None)).unwrap();
        let params = &line["params"];
        assert_eq!((&params["query"], &params["step"]), (&json!("up{a=\"b\"}"), &json!(15.0)));
        assert!(params["start"].as_str().unwrap().starts_with("1970-01-01T00:00:01"), "{line}");
        assert!(params["end"].as_str().unwrap().starts_with("1970-01-01T00:01:40"), "{line}");
        assert_eq!(line["msg"], "promql query logged");
        assert!(line["stats"]["timings"]["evalTotalTime"].is_number(), "{line}");
        assert!(line["stats"]["samples"]["peakSamples"].is_number(), "{line}");
        assert_eq!(line.get("error"), None);
    }
}
