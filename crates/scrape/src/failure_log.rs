//! `FailureLogs`: a line of JSON for each scrape that fails, in the files that jobs name
//! (`scrape_failure_log_file`), as Prometheus writes them. Files are opened anew after each change of the
//! configuration, so that they can be moved away.

use crate::target::Target;
use parking_lot::Mutex;
use serde::Serialize;
use skopos_base::fs::{File, OpenMode, SharedFs, append_all};
use skopos_model::TimestampMs;
use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// See above.
pub(crate) struct FailureLogs {
    fs: SharedFs,
    opened: Mutex<HashMap<Arc<Path>, Box<dyn File>>>,
    /// Whether it was said that a line cannot be written; a full disk has enough to bear.
    said: AtomicBool,
}

/// Where lines are made; a line of the program stands there in Prometheus.
const SOURCE: &str = "failure_log.rs:1";

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'a str,
    source: &'a str,
    msg: &'a str,
    job_name: &'a str,
    target: &'a str,
}

impl FailureLogs {
    pub(crate) fn new(fs: &SharedFs) -> Self {
        Self { fs: Arc::clone(fs), opened: Mutex::default(), said: AtomicBool::new(false) }
    }

    /// The next lines go to files that are opened anew.
    pub(crate) fn reopen(&self) {
        self.opened.lock().clear();
        self.said.store(false, Ordering::Relaxed);
    }

    /// Logs a scrape that failed, if its job wants that. Waits for the disk.
    pub(crate) fn write(&self, target: &Target, at: TimestampMs, error: &str) {
        let Some(path) = &target.failure_log else { return };
        let line = Line {
            time: jiff::Timestamp::from_millisecond(at.as_ms())
                .map_or_else(|_| String::new(), |t| t.to_string()),
            level: "ERROR",
            source: SOURCE,
            msg: error,
            job_name: &target.job,
            target: &target.url(),
        };
        let mut line = serde_json::to_vec(&line).expect("invariant: texts can be written as JSON");
        line.push(b'\n');
        let written = self.append(path, &line);
        if let Err(error) = written
            && !self.said.swap(true, Ordering::Relaxed)
        {
            let path = path.display();
            tracing::error!(%error, %path, "a line of failed scrapes cannot be written; scrapes go on");
        }
    }

    fn append(&self, path: &Arc<Path>, line: &[u8]) -> io::Result<()> {
        let mut opened = self.opened.lock();
        if !opened.contains_key(path) {
            let mode = if self.fs.exists(path)? { OpenMode::Append } else { OpenMode::CreateNew };
            opened.insert(Arc::clone(path), self.fs.open(path, mode)?);
        }
        let Some(file) = opened.get_mut(path) else { return Ok(()) };
        let written = append_all(&mut **file, line);
        if written.is_err() {
            opened.remove(path);
        }
        written
    }
}
