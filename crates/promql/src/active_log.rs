//! `ActiveLog`: the file that says which queries run, so that after a crash those can be named that ran when
//! it happened. Its form is in `docs/formats/queries-active.md`. Not synchronised to disk: it outlives the
//! process and not the machine.

use skopos_base::fs::{File, OpenMode, SharedFs, append_all, read_all};
use skopos_base::sync::Mutex;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// The file's name in the data directory.
pub const FILE_NAME: &str = "queries.active";
/// The first line.
const HEAD: &str = "skopos active queries 1\n";
/// How many bytes of a query are kept.
const QUERY_MAX_BYTES: usize = 1000;
/// The file is written anew when it has grown by so much.
const REWRITE_BYTES: u64 = 256 << 10;

/// The number of a query in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogId(u64);

/// A query that ran when the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its text, cut to 1,000 bytes.
    pub query: String,
    /// When it began, in milliseconds since 1970.
    pub began_ms: i64,
}

/// The log of a running process.
#[derive(Debug)]
pub struct ActiveLog {
    fs: SharedFs,
    path: PathBuf,
    state: Mutex<State>,
    failures: AtomicU64,
}

#[derive(Debug)]
struct State {
    file: Option<Box<dyn File>>,
    written: u64,
    next: u64,
    /// The lines of those that run.
    running: BTreeMap<LogId, String>,
}

/// A log with what the one before it said.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: ActiveLog,
    /// The queries that the process before did not finish.
    pub unfinished: Vec<Unfinished>,
    /// Why the file could not be read or written. It is tried again with every query.
    pub failed: Option<io::Error>,
}

impl ActiveLog {
    /// Begins the log in `dir`, and says which queries the process before did not finish. Queries are
    /// answered without the file too, as on a full disk.
    pub fn open(fs: SharedFs, dir: &Path) -> Opened {
        let path = dir.join(FILE_NAME);
        let (unfinished, unread) = match read_all(&*fs, &path) {
            Ok(bytes) => (unfinished(&bytes), None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
            Err(e) => (Vec::new(), Some(e)),
        };
        let state = State { file: None, written: 0, next: 0, running: BTreeMap::new() };
        let log = Self { fs, path, state: Mutex::new(state), failures: AtomicU64::new(0) };
        let failed = {
            let mut state = log.state.lock();
            let begun = log.rewrite(&mut state);
            if begun.is_err() {
                log.failed(&mut state);
            }
            begun.err()
        };
        Opened { log, unfinished, failed: unread.or(failed) }
    }

    /// A query begins.
    pub(crate) fn begin(&self, query: &str, now_ms: i64) -> LogId {
        let mut state = self.state.lock();
        let id = LogId(state.next);
        state.next += 1;
        let line = format!("begin {} {now_ms} {}\n", id.0, escaped(query));
        self.append(&mut state, &line);
        state.running.insert(id, line);
        id
    }

    /// It has ended.
    pub(crate) fn end(&self, id: LogId) {
        let mut state = self.state.lock();
        state.running.remove(&id);
        self.append(&mut state, &format!("end {}\n", id.0));
        if state.written > REWRITE_BYTES && self.rewrite(&mut state).is_err() {
            self.failed(&mut state);
        }
    }

    /// How often it could not be written.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Queries go on when the log cannot be written; once it can be again it is written anew.
    fn append(&self, state: &mut State, line: &str) {
        if state.file.is_none() && self.rewrite(state).is_err() {
            return self.failed(state);
        }
        let Some(file) = &mut state.file else { return };
        if append_all(&mut **file, line.as_bytes()).is_err() {
            return self.failed(state);
        }
        state.written += line.len() as u64;
    }

    fn failed(&self, state: &mut State) {
        state.file = None;
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes the file anew with those that run.
    fn rewrite(&self, state: &mut State) -> io::Result<()> {
        let temporary = self.path.with_extension("active.tmp");
        state.file = None;
        if self.fs.exists(&temporary)? {
            self.fs.remove_file(&temporary)?;
        }
        let mut text = HEAD.to_owned();
        state.running.values().for_each(|line| text.push_str(line));
        let mut file = self.fs.open(&temporary, OpenMode::CreateNew)?;
        append_all(&mut *file, text.as_bytes())?;
        self.fs.rename(&temporary, &self.path)?;
        (state.file, state.written) = (Some(file), 0);
        Ok(())
    }
}

/// The query on one line, cut to `QUERY_MAX_BYTES`.
fn escaped(query: &str) -> String {
    let mut out = String::new();
    for c in query.chars() {
        if out.len() + c.len_utf8() + 1 > QUERY_MAX_BYTES {
            break;
        }
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => out.push(if chars.next() == Some('n') { '\n' } else { '\\' }),
            (c, false) => out.push(c),
        }
    }
    out
}

/// The queries of a log that began and did not end. A line that is no line of a log, as of one that was cut
/// or belongs to another program, is passed over.
pub fn unfinished(bytes: &[u8]) -> Vec<Unfinished> {
    let text = String::from_utf8_lossy(bytes);
    let Some(lines) = text.strip_prefix(HEAD) else { return Vec::new() };
    let mut running = BTreeMap::new();
    for line in lines.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        if let Some(id) = line.strip_prefix("end ").and_then(|id| id.parse::<u64>().ok()) {
            running.remove(&id);
        }
        let Some(rest) = line.strip_prefix("begin ") else { continue };
        let mut parts = rest.splitn(3, ' ');
        let mut part = || parts.next();
        if let (Some(id), Some(began), Some(query)) = (part(), part(), part())
            && let (Ok(id), Ok(began_ms)) = (id.parse::<u64>(), began.parse())
        {
            running.insert(id, Unfinished { query: unescaped(query), began_ms });
        }
    }
    running.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skopos_base::{fs::Fs, real::RealFs, sim::SimFs};
    use std::sync::Arc;

    fn queries(unfinished: Vec<Unfinished>) -> Vec<String> {
        unfinished.into_iter().map(|u| u.query).collect()
    }

    fn open(dir: &Path) -> (ActiveLog, Vec<String>) {
        let fs: SharedFs = Arc::new(RealFs);
        let opened = ActiveLog::open(fs, dir);
        assert!(opened.failed.is_none(), "{opened:?}");
        (opened.log, queries(opened.unfinished))
    }

    #[test]
    fn a_full_disk_delays_the_file_until_there_is_room() {
        let fs = SimFs::new(1);
        let dir = Path::new("/data");
        fs.create_dir_all(dir).unwrap();
        let shared: SharedFs = Arc::new(fs.clone());
        ActiveLog::open(Arc::clone(&shared), dir).log.begin("before", 1);
        for spare in [0, 1, 10] {
            let used = read_all(&fs, &dir.join(FILE_NAME)).unwrap().len() as u64;
            fs.set_capacity(Some(used + spare));
            let Opened { log, unfinished, failed } = ActiveLog::open(Arc::clone(&shared), dir);
            assert_eq!(failed.unwrap().kind(), io::ErrorKind::StorageFull);
            assert_eq!(queries(unfinished), ["before"]);
            log.begin("refused", 2);
            assert_eq!(log.failures(), 2);
            fs.set_capacity(None);
            log.begin("before", 3);
            let now = read_all(&fs, &dir.join(FILE_NAME)).unwrap();
            assert_eq!(queries(self::unfinished(&now)), ["refused", "before"], "all that run are in it");
            // As it was for the next round.
            fs.remove_file(&dir.join(FILE_NAME)).unwrap();
            ActiveLog::open(Arc::clone(&shared), dir).log.begin("before", 1);
        }
    }

    #[test]
    fn those_that_ran_at_a_crash_are_named_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let (log, before) = open(dir.path());
        assert!(before.is_empty());
        let first = log.begin("up", 1000);
        log.begin("a\\n{x=\"\n\"}", 2000);
        log.begin(&"ä".repeat(2000), 3000);
        log.end(first);
        // The process is gone without a word.
        drop(log);
        let (_, before) = open(dir.path());
        assert_eq!(before, ["a\\n{x=\"\n\"}".to_owned(), "ä".repeat(499)]);
        let (_, before) = open(dir.path());
        assert!(before.is_empty(), "what was said once is not said again: {before:?}");
    }

    #[test]
    fn the_file_stays_small_and_keeps_those_that_run() {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = open(dir.path());
        log.begin("stays", 0);
        for i in 0..3000 {
            let id = log.begin(&"x".repeat(200), i);
            log.end(id);
        }
        let bytes = read_all(&RealFs, &dir.path().join(FILE_NAME)).unwrap();
        assert!(bytes.len() < 2 * REWRITE_BYTES as usize, "{} bytes", bytes.len());
        assert_eq!(queries(unfinished(&bytes)), ["stays"]);
        assert_eq!(log.failures(), 0);
    }

    #[test]
    fn a_file_of_another_program_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let fs = RealFs;
        let mut file = fs.open(&dir.path().join(FILE_NAME), OpenMode::CreateNew).unwrap();
        append_all(&mut *file, b"[{\"query\":\"up\",\"timestamp_sec\":1}").unwrap();
        assert!(open(dir.path()).1.is_empty());
    }

    #[test]
    fn every_cut_of_a_log_names_whole_queries_only() {
        let whole = format!("{HEAD}begin 0 5 up\nbegin 1 6 down\nend 0\n");
        for len in 0..=whole.len() {
            for query in queries(unfinished(&whole.as_bytes()[..len])) {
                assert!(["up", "down"].contains(&query.as_str()), "{query} of {len} bytes");
            }
        }
        assert_eq!(queries(unfinished(whole.as_bytes())), ["down"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut all = HEAD.as_bytes().to_vec();
            all.extend(bytes);
            unfinished(&all);
        }

        #[test]
        fn any_query_comes_back(query in ".{0,80}") {
            let text = format!("{HEAD}begin 0 0 {}\n", escaped(&query));
            prop_assert_eq!(queries(unfinished(text.as_bytes())), [query]);
        }
    }
}
