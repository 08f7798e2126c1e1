//! `QueryLog`: a line of JSON for each query, as Prometheus writes them to `global.query_log_file`, and a
//! line in the program's own log for each that took longer than `--query.log-slower-than`. Lines are written
//! by a thread of its own: no query waits for a disk. Evaluates nothing.

use crate::{
    own_metrics::MetricsSource, params::Requested, parts::Parts, query_stats::Stats, targets::rfc_3339,
};
use serde_json::json;
use skopos_base::fs::{File, OpenMode, SharedFs, append_all};
use skopos_config::Live;
use skopos_exposition::Families;
use skopos_model::{DurationMs, TimestampMs};
use skopos_promql::EvalError;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

/// So many lines may wait to be written; further ones are left out and counted.
const WAITING_MAX: usize = 1024;
/// So many bytes may wait in them: a line has all of a query's text.
const WAITING_MAX_BYTES: usize = 16 << 20;
/// So much of a slow query's text stands in the program's own log.
const SHOWN_MAX_BYTES: usize = 1024;

/// Where queries are logged.
#[derive(Debug)]
pub struct QueryLog {
    fs: SharedFs,
    slower_than: Option<Duration>,
    failures: Arc<AtomicU64>,
    /// Begun with the first line.
    writer: OnceLock<Writer>,
    waiting: Waiting,
}

/// Bytes that wait to be written.
type Waiting = Arc<AtomicUsize>;

#[derive(Debug)]
struct Writer {
    lines: Option<SyncSender<(PathBuf, String)>>,
    thread: Option<JoinHandle<()>>,
}

/// What is waiting is written before the program ends.
impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// The file that lines go to.
struct Opened {
    fs: SharedFs,
    open: Option<(PathBuf, Box<dyn File>)>,
}

/// A query that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) request: &'a Requested,
    /// Of the route.
    pub(crate) path: &'static str,
    pub(crate) query: &'a str,
    pub(crate) start: TimestampMs,
    pub(crate) end: TimestampMs,
    /// Zero of one at a single time.
    pub(crate) step: DurationMs,
}

impl QueryLog {
    /// A log in files of `fs`; queries that took longer than `slower_than` are slow.
    pub fn new(fs: SharedFs, slower_than: Option<Duration>) -> Self {
        Self {
            fs,
            slower_than,
            failures: Arc::default(),
            writer: OnceLock::new(),
            waiting: Waiting::default(),
        }
    }

    /// What it says of itself, with the configuration in force.
    pub fn metrics(&self, config: Arc<Live>) -> MetricsSource {
        let failures = Arc::clone(&self.failures);
        Arc::new(move |out: &mut Families<'_>| {
            let enabled = f64::from(u8::from(config.get().global.query_log_file.is_some()));
            let help = "Whether queries are logged to a file (query_log_file).";
            out.gauge("prometheus_engine_query_log_enabled", help, enabled);
            let help = "Lines of the query log that could not be written.";
            let failed = failures.load(Ordering::Relaxed) as f64;
            out.counter("prometheus_engine_query_log_failures_total", help, failed);
        })
    }

    /// Logs a query where the configuration in force wants it.
    pub(crate) fn ended(&self, parts: &Parts, ended: Ended<'_>, stats: &Stats, error: Option<&EvalError>) {
        let took = stats.took();
        if self.slower_than.is_some_and(|limit| took >= limit) {
            let (query, samples) = (shown(ended.query), stats.samples().queried);
            let seconds = took.as_secs_f64();
            tracing::warn!(query, seconds, samples, path = ended.path, "slow query");
        }
        let config = parts.config.get();
        let Some(path) = &config.global.query_log_file else { return };
        let mut line = line(parts.clock.wall_ms(), ended, stats, error);
        line.push('\n');
        self.send(PathBuf::from(path), line);
    }

    fn send(&self, path: PathBuf, line: String) {
        let writer = self.writer.get_or_init(|| self.begin());
        let Some(lines) = &writer.lines else { return };
        let bytes = line.len();
        let fits = |waiting: usize| Some(waiting + bytes).filter(|all| *all <= WAITING_MAX_BYTES);
        if self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            failed(&self.failures, &path, &"its disk is too slow");
        } else if let Err(error) = lines.try_send((path, line)) {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            let (reason, (path, _)) = match error {
                TrySendError::Full(line) => ("its disk is too slow", line),
                TrySendError::Disconnected(line) => ("its thread has ended", line),
            };
            failed(&self.failures, &path, &reason);
        }
    }

    fn begin(&self) -> Writer {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let opened = Opened { fs: Arc::clone(&self.fs), open: None };
        let (failures, waiting) = (Arc::clone(&self.failures), Arc::clone(&self.waiting));
        let thread = std::thread::Builder::new()
            .name("skopos-querylog".to_owned())
            .spawn(move || write_all(opened, &receiver, &waiting, &failures));
        Writer { lines: Some(sender), thread: thread.ok() }
    }
}

/// Writes lines until nobody sends any more.
fn write_all(
    mut opened: Opened,
    lines: &Receiver<(PathBuf, String)>,
    waiting: &AtomicUsize,
    failures: &AtomicU64,
) {
    for (path, line) in lines {
        waiting.fetch_sub(line.len(), Ordering::Relaxed);
        if let Err(error) = opened.write(&path, &line) {
            opened.open = None;
            failed(failures, &path, &error);
        }
    }
}

/// Counts a line that was not written. The first is said too; a full disk has enough to bear.
fn failed(failures: &AtomicU64, path: &Path, error: &dyn std::fmt::Display) {
    if failures.fetch_add(1, Ordering::Relaxed) == 0 {
        let path = path.display();
        tracing::error!(%error, %path, "a line of the query log cannot be written; queries go on");
    }
}

/// As much of a query as is shown.
fn shown(query: &str) -> &str {
    let end = query.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= SHOWN_MAX_BYTES);
    &query[..end.last().unwrap_or(0)]
}

impl Opened {
    fn write(&mut self, path: &Path, line: &str) -> io::Result<()> {
        let exists = self.fs.exists(path)?;
        // A file that was moved away or is called otherwise now is begun anew.
        if !matches!(&self.open, Some((of, _)) if of == path && exists) {
            let mode = if exists { OpenMode::Append } else { OpenMode::CreateNew };
            self.open = Some((path.to_owned(), self.fs.open(path, mode)?));
        }
        match &mut self.open {
            Some((_, file)) => append_all(&mut **file, line.as_bytes()),
            None => Ok(()),
        }
    }
}

/// A time with three decimals, whatever they are.
fn with_ms(t: TimestampMs) -> String {
    jiff::Timestamp::from_millisecond(t.as_ms()).map_or_else(|_| rfc_3339(t), |t| format!("{t:.3}"))
}

/// Where lines are made; a line of the program stands there in Prometheus.
const SOURCE: &str = "query_log.rs:1";

/// The line of a query.
fn line(now_ms: i64, ended: Ended<'_>, stats: &Stats, error: Option<&EvalError>) -> String {
    let mut line = json!({
        "time": rfc_3339(TimestampMs::new(now_ms)),
        "level": "INFO",
        "source": SOURCE,
        "msg": "promql query logged",
        "params": {
            "end": with_ms(ended.end),
            "query": ended.query,
            "start": with_ms(ended.start),
            // Whole seconds, as there.
            "step": ended.step.as_ms() / 1000,
        },
        "stats": stats.numbers(),
        // Nothing here is traced: no span has this number.
        "spanID": "0000000000000000",
        "httpRequest": {
            "clientIP": ended.request.from.map_or_else(String::new, |from| from.ip().to_string()),
            "method": ended.request.method.as_str(),
            "path": format!("{}{}", ended.request.prefix.0, ended.path),
        },
    });
    if let Some(error) = error {
        line["error"] = json!(error.to_string());
    }
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::Prefix;
    use axum::http::Method;
    use skopos_base::{fs::read_all, real::RealFs};

    fn send(log: &QueryLog, path: &Path, line: &str) {
        log.send(path.to_owned(), line.to_owned());
    }

    #[test]
    fn lines_are_appended_and_a_file_that_was_moved_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("queries.log"), dir.path().join("queries.log.1"));
        let mut opened = Opened { fs: Arc::new(RealFs), open: None };
        opened.write(&path, "one\n").unwrap();
        opened.write(&path, "two\n").unwrap();
        opened.fs.rename(&path, &moved).unwrap();
        opened.write(&path, "three\n").unwrap();
        // Another process of the same file goes on behind what is there; what waits is written at the end.
        let log = QueryLog::new(Arc::new(RealFs), None);
        send(&log, &path, "four\n");
        send(&log, &path, "five\n");
        drop(log);
        assert_eq!(read_all(&RealFs, &moved).unwrap(), b"one\ntwo\n");
        assert_eq!(read_all(&RealFs, &path).unwrap(), b"three\nfour\nfive\n");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_hold_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let log = QueryLog::new(Arc::new(RealFs), None);
        let failures = Arc::clone(&log.failures);
        // A folder is no file.
        send(&log, dir.path(), "one\n");
        send(&log, dir.path(), "two\n");
        drop(log);
        assert_eq!(failures.load(Ordering::Relaxed), 2);
        // Nobody takes these.
        let log = QueryLog::new(Arc::new(RealFs), None);
        let (lines, _taken_by_nobody) = sync_channel(1);
        log.writer.set(Writer { lines: Some(lines), thread: None }).unwrap();
        (0..3).for_each(|_| send(&log, dir.path(), "line\n"));
        assert_eq!(log.failures.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn lines_that_wait_have_a_bound_in_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let log = QueryLog::new(Arc::new(RealFs), None);
        let (lines, waits) = sync_channel(WAITING_MAX);
        log.writer.set(Writer { lines: Some(lines), thread: None }).unwrap();
        let line = "x".repeat(512 << 10);
        (0..100).for_each(|_| send(&log, dir.path(), &line));
        let fit = (WAITING_MAX_BYTES / line.len()) as u64;
        assert_eq!(log.failures.load(Ordering::Relaxed), 100 - fit);
        // What is written makes room.
        let opened = Opened { fs: Arc::new(RealFs), open: None };
        let written = waits.try_iter().map(|(_, line)| line.len()).sum::<usize>();
        assert_eq!(written, WAITING_MAX_BYTES);
        let (again, receiver) = sync_channel(1);
        again.send((dir.path().join("log"), line.clone())).unwrap();
        drop(again);
        write_all(opened, &receiver, &log.waiting, &log.failures);
        send(&log, dir.path(), &line);
        send(&log, dir.path(), &line);
        assert_eq!(log.failures.load(Ordering::Relaxed), 100 - fit + 1);
    }

    #[test]
    fn of_a_long_query_the_beginning_is_shown() {
        let long = "ü".repeat(SHOWN_MAX_BYTES);
        assert_eq!(shown(&long), "ü".repeat(SHOWN_MAX_BYTES / 2));
        assert_eq!(shown("up"), "up");
    }

    #[test]
    fn a_line_has_what_prometheus_writes() {
        let from = Some("192.0.2.7:4711".parse().unwrap());
        let request = Requested { method: Method::POST, prefix: Prefix("/p".into()), from };
        let ended = Ended {
            request: &request,
            path: "/api/v1/query_range",
            query: "up{a=\"b\"}",
            start: TimestampMs::new(1000),
            end: TimestampMs::new(100_930),
            step: DurationMs::from_ms(15_500),
        };
        let line: serde_json::Value =
            serde_json::from_str(&line(1_700_000_000_123, ended, &Stats::default(), None)).unwrap();
        let params = &line["params"];
        assert_eq!((&params["query"], &params["step"]), (&json!("up{a=\"b\"}"), &json!(15)));
        assert_eq!(params["start"], "1970-01-01T00:00:01.000Z", "{line}");
        assert_eq!(params["end"], "1970-01-01T00:01:40.930Z", "{line}");
        assert_eq!(line["msg"], "promql query logged");
        assert!(line["stats"]["timings"]["evalTotalTime"].is_number(), "{line}");
        assert!(line["stats"]["samples"]["peakSamples"].is_number(), "{line}");
        assert_eq!(line.get("error"), None);
        let request = json!({"clientIP": "192.0.2.7", "method": "POST", "path": "/p/api/v1/query_range"});
        assert_eq!((&line["httpRequest"], &line["spanID"]), (&request, &json!("0000000000000000")));
    }
}
