//! What the database's threads promise: nothing but the log's own disk delays a synchronisation, and none of
//! them ends unseen.

use crate::common::{DIR, commit, dump, open, series};
use skopos_base::{
    Env,
    fs::{DirEntry, File, Fs, Layer, OpenMode, SharedFs},
    sim::{SimFs, SimWorld, effort, fs::OpKind},
};
use skopos_storage::CommitError;
use skopos_tsdb::Options;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

/// A little more than the time between two synchronisations.
const INTERVAL: Duration = Duration::from_millis(101);

/// What happens before an append, a synchronisation or a listing.
type Hook = Arc<dyn Fn(OpKind, &Path) + Send + Sync>;

/// A file system whose calls are preceded by something.
struct Hooked {
    below: SharedFs,
    hook: Hook,
}

struct HookedFile {
    below: Box<dyn File>,
    path: PathBuf,
    hook: Hook,
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.below.fmt(f)
    }
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.below.fmt(f)
    }
}

fn hooked(env: &Env, hook: impl Fn(OpKind, &Path) + Send + Sync + 'static) -> Env {
    let fs = Arc::new(Hooked { below: Arc::clone(&env.fs), hook: Arc::new(hook) });
    Env { fs, ..env.clone() }
}

impl Layer for Hooked {
    fn below(&self) -> &dyn Fs {
        &*self.below
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let below = self.below.open(path, mode)?;
        Ok(Box::new(HookedFile { below, path: path.to_owned(), hook: Arc::clone(&self.hook) }))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        (self.hook)(OpKind::ReadDir, path);
        self.below.read_dir(path)
    }
}

impl File for HookedFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.below.pread(buf, offset)
    }

    fn append(&mut self, buf: &[u8]) -> io::Result<usize> {
        (self.hook)(OpKind::Append, &self.path);
        self.below.append(buf)
    }

    fn sync(&mut self) -> io::Result<()> {
        (self.hook)(OpKind::Sync, &self.path);
        self.below.sync()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.below.truncate(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }
}

/// What a loss of power may leave now, and what the end of the process does.
fn crashes(fs: &SimFs, seed: u64) -> impl Iterator<Item = SimFs> {
    [fs.process_crash()].into_iter().chain(fs.crash_states(effort::states(8), effort::seed(seed)))
}

/// So many samples of a series that some of its chunks are closed.
fn close_chunks(db: &skopos_tsdb::Db) {
    for i in 0..250 {
        commit(db, &[(series(0), 1000 * i, (i * i) as f64)]).expect("the log takes it");
    }
}

#[test]
fn slow_chunk_files_and_listings_do_not_delay_the_log() {
    let world = SimWorld::new(5);
    let fs = world.fs().clone();
    world.run(|env| {
        let (clock, slow_calls) = (Arc::clone(&env.clock), Arc::new(AtomicUsize::new(0)));
        let (is_slow, calls) = (Arc::new(AtomicBool::new(false)), Arc::clone(&slow_calls));
        let slow = Arc::clone(&is_slow);
        let db = open(
            &hooked(env, move |kind, path| {
                let chunks = path.starts_with(Path::new(DIR).join("chunks_head"));
                if slow.load(SeqCst) && (chunks || kind == OpKind::ReadDir) {
                    calls.fetch_add(1, SeqCst);
                    clock.sleep(Duration::from_secs(1000));
                }
            }),
            Options::default(),
        );
        is_slow.store(true, SeqCst);
        close_chunks(&db);
        env.clock.sleep(2 * INTERVAL);
        // What is asserted is asserted when nothing sleeps any more: a thread that sleeps may hold a lock.
        let (before, mut lost) = (slow_calls.load(SeqCst), Vec::new());
        for n in 0..15 {
            commit(&db, &[(series(1), 300_000 + n, 1.0)]).expect("the log takes it");
            env.clock.sleep(INTERVAL);
            let committed = dump(env, &db);
            for state in crashes(&fs, n as u64) {
                let origin = state.origin();
                let found = SimWorld::with_fs(9, state).run(|env| dump(env, &open(env, Options::default())));
                if found != committed {
                    lost.push(format!("batch {n}: {origin}"));
                }
            }
        }
        let after = slow_calls.load(SeqCst);
        is_slow.store(false, SeqCst);
        env.clock.sleep(Duration::from_secs(5000));
        assert_eq!((before, after), (1, 2), "a chunk file was being written, and maintenance under way");
        assert!(lost.is_empty(), "gone after an interval: {lost:#?}");
    });
}

/// The log is on a sound disk; that of closed chunks neither takes nor refuses anything.
#[test]
fn while_chunk_files_hang_batches_are_refused_beyond_a_limit() {
    const MAX: usize = 16 << 10;
    SimWorld::new(8).run(|env| {
        let (clock, is_hung) = (Arc::clone(&env.clock), Arc::new(AtomicBool::new(false)));
        let hung = Arc::clone(&is_hung);
        let hook = move |kind: OpKind, path: &Path| {
            while kind == OpKind::Append
                && path.starts_with(Path::new(DIR).join("chunks_head"))
                && hung.load(SeqCst)
            {
                clock.sleep(Duration::from_secs(10));
            }
        };
        let options = Options { max_unwritten_chunk_bytes: MAX, ..Options::default() };
        let db = open(&hooked(env, hook), options);
        is_hung.store(true, SeqCst);
        let batch = |t: i64| (0..20).map(|i| (series(i), t * 997, (t as f64).sin())).collect::<Vec<_>>();
        let mut taken = 0;
        let refused = loop {
            match commit(&db, &batch(taken)) {
                Ok(_) if taken < 6000 => taken += 1,
                other => break other,
            }
            env.clock.sleep(INTERVAL);
        };
        let (stats, held) = (db.stats(), dump(env, &db));
        is_hung.store(false, SeqCst);
        env.clock.sleep(Duration::from_secs(20));
        let said = refused.expect_err("one was refused").to_string();
        assert!(said.contains("max-unwritten-chunk-bytes"), "{said}");
        assert!(said.contains(" of 16384 bytes reached 4 times"), "{said}");
        assert!(said.contains("too slowly, or hangs; look after it"), "{said}");
        assert_eq!(stats.commits_refused_unwritten_total, 1);
        // What a batch closes at once comes on top.
        let unwritten = stats.head_chunks_unwritten_bytes as usize;
        assert!((4 * MAX..6 * MAX).contains(&unwritten), "{unwritten}");
        assert_eq!(held.values().map(Vec::len).collect::<Vec<_>>(), vec![taken as usize; 20]);
        commit(&db, &batch(taken)).expect("it hangs no more");
        assert_eq!(db.stats().head_chunks_unwritten_bytes, 0);
    });
}

#[test]
fn a_panic_of_a_thread_that_keeps_a_promise_halts_the_log() {
    for (thread, kind, place) in [
        ("wal-sync", OpKind::Sync, "wal"),
        ("tsdb-spill", OpKind::Append, "chunks_head"),
        ("tsdb-maintenance", OpKind::ReadDir, ""),
    ] {
        let world = SimWorld::new(6);
        let fs = world.fs().clone();
        world.run(|env| {
            let (armed, place) = (Arc::new(AtomicBool::new(false)), Path::new(DIR).join(place));
            let once = Arc::clone(&armed);
            let hook = move |of: OpKind, path: &Path| {
                if of == kind && path.starts_with(&place) && once.swap(false, SeqCst) {
                    panic!("a bit has flipped");
                }
            };
            let db = open(&hooked(env, hook), Options::default());
            armed.store(true, SeqCst);
            close_chunks(&db);
            let committed = dump(env, &db);
            assert_eq!(db.stats().wal_halted, 0);
            env.clock.sleep(Duration::from_secs(2));
            assert!(!armed.load(SeqCst), "{thread} has panicked");
            for refused in [commit(&db, &[(series(1), 300_000, 1.0)]).map(drop), db.sync()] {
                let error = refused.expect_err("the log has halted");
                assert!(matches!(error, CommitError::Halt { .. }), "{thread}: {error}");
                let said = error.to_string();
                for part in [&format!("thread {thread:?} panicked: a bit has flipped"), "restart"] {
                    assert!(said.contains(part), "{thread}: {said}");
                }
            }
            assert_eq!(db.stats().wal_halted, 1, "{thread}");
            assert_eq!(dump(env, &db), committed, "{thread}: queries go on, and what was refused is absent");
            for state in crashes(&fs, 7) {
                SimWorld::with_fs(9, state).run(|env| {
                    let db = open(env, Options::default());
                    assert_eq!(dump(env, &db), committed, "{thread}: what was committed before is there");
                    assert_eq!(db.stats().wal_halted, 0, "{thread}");
                    commit(&db, &[(series(1), 300_000, 1.0)]).expect("a restart goes on");
                });
            }
            assert!(matches!(db.close(), Err(CommitError::Halt { .. })), "{thread}: closing says it too");
        });
    }
}
