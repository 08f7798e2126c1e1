//! Crash enumeration over a small log with checksums: written rightly it survives, and each error planted in
//! it is found.

use parking_lot::Mutex;
use skopos_base::{
    Env, crc,
    fs::{File, Fs, OpenMode, append_all, parent, read_all},
    sim::{
        SimFs,
        crash::{CrashMode, CrashTest, Enumerated, enumerate},
        fs::OpKind,
    },
};
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// What the log does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Planted {
    Nothing,
    NoSync,
    NoDirSync,
    CommitBeforeSync,
    NoChecksum,
    CommitInMemory,
}

fn path() -> &'static Path {
    Path::new("/data/log")
}

/// A record is its length, its checksum and its bytes.
fn record(i: u8) -> Vec<u8> {
    let body = vec![i; 3 + usize::from(i)];
    let mut out = vec![body.len() as u8];
    out.extend(crc::crc32c(&body).to_le_bytes());
    out.extend(body);
    out
}

/// The records of a log up to the first that is not whole.
fn records(bytes: &[u8], check: bool) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some((&len, after)) = rest.split_first() {
        let Some((sum, after)) = after.split_at_checked(4) else { break };
        let Some((body, after)) = after.split_at_checked(usize::from(len)) else { break };
        if len == 0 || (check && sum != crc::crc32c(body).to_le_bytes()) {
            break;
        }
        out.push(body.to_vec());
        rest = after;
    }
    out
}

fn scenario(env: &Env, committed: &mut u8, planted: Planted) -> io::Result<()> {
    let mut file = env.fs.open(path(), OpenMode::CreateNew)?;
    if planted != Planted::NoDirSync {
        env.fs.sync_dir(&parent(path()))?;
    }
    let mut buffered = Vec::new();
    for i in 1..=4 {
        if planted == Planted::CommitBeforeSync {
            *committed = i;
        }
        if planted == Planted::CommitInMemory && i > 2 {
            buffered.extend(record(i));
            *committed = i;
            continue;
        }
        append_all(file.as_mut(), &record(i))?;
        if planted != Planted::NoSync {
            file.sync()?;
        }
        *committed = i;
    }
    append_all(file.as_mut(), &buffered)
}

fn check(env: &Env, committed: u8, planted: Planted) {
    let bytes = match read_all(&*env.fs, path()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other.unwrap(),
    };
    let found = records(&bytes, planted != Planted::NoChecksum);
    for (body, i) in found.iter().zip(1..) {
        assert_eq!(*body, vec![i; 3 + usize::from(i)], "record {i} was never written so");
    }
    assert!(found.len() >= usize::from(committed), "{} records of {committed} committed ones", found.len());
}

fn run(mode: CrashMode, planted: Planted) -> Result<Enumerated, String> {
    let test = || {
        enumerate(
            mode,
            |env, committed| scenario(env, committed, planted),
            |env, &committed| check(env, committed, planted),
        )
    };
    // The expected panics of the check would fill the output of the tests.
    catch_unwind(AssertUnwindSafe(test)).map_err(|e| e.downcast_ref::<String>().expect("a message").clone())
}

#[test]
fn a_right_log_survives_and_each_planted_error_is_found() {
    use CrashMode::{PowerLoss, ProcessKill};
    for (mode, planted, survives) in [
        (PowerLoss, Planted::Nothing, true),
        (PowerLoss, Planted::NoSync, false),
        (PowerLoss, Planted::NoDirSync, false),
        (PowerLoss, Planted::CommitBeforeSync, false),
        (PowerLoss, Planted::NoChecksum, false),
        (PowerLoss, Planted::CommitInMemory, false),
        (ProcessKill, Planted::Nothing, true),
        (ProcessKill, Planted::NoSync, true),
        (ProcessKill, Planted::NoDirSync, true),
        (ProcessKill, Planted::CommitBeforeSync, false),
        (ProcessKill, Planted::NoChecksum, true),
        (ProcessKill, Planted::CommitInMemory, false),
    ] {
        let result = run(mode, planted);
        assert_eq!(result.is_ok(), survives, "{mode:?} {planted:?}: {result:?}");
        if let Ok(done) = result {
            assert_eq!(done.exhaustive_points, done.points, "{mode:?} {planted:?}: {done:?}");
        }
    }
}

#[test]
fn a_failure_says_where_what_and_how_to_see_it_again() {
    let message = run(CrashMode::PowerLoss, Planted::NoSync).unwrap_err();
    for part in [
        "not survived (seed 1): PowerLoss after 3 of 6 changes, when the record was 1",
        "state: power lost; /data/log: 0 of 1 pending writes arrived (0 bytes, 0 of them by the last sync)",
        "  Append /data/log (9 bytes)",
        "0 records of 1 committed ones",
    ] {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
}

#[test]
fn points_and_states_are_counted() {
    let done = run(CrashMode::ProcessKill, Planted::Nothing).unwrap();
    // A file, its directory, and four times an append and a sync; the start of it all is a point too.
    assert_eq!(done.points, 11);
    // One state a point, and one for each byte of the four appends.
    assert_eq!(done.states, 11 + (9 + 10 + 11 + 12));
    let bounded = CrashTest::new(CrashMode::PowerLoss).states_per_point(3).seed(5);
    let bounded =
        bounded.run(|env, n| scenario(env, n, Planted::Nothing), |env, &n| check(env, n, Planted::Nothing));
    assert!(bounded.states <= 33 && bounded.exhaustive_points < bounded.points, "{bounded:?}");
}

#[test]
fn a_scenario_may_start_threads_and_start_from_files() {
    let fs = SimFs::new(1);
    fs.create_dir_all(Path::new("/data")).unwrap();
    drop(fs.open(path(), OpenMode::CreateNew).unwrap());
    fs.settle();
    let scenario = |env: &Env, committed: &mut Arc<Mutex<u8>>| {
        let (inner, committed) = (env.clone(), committed.clone());
        let body = move || {
            let mut file: Box<dyn File> = inner.fs.open(path(), OpenMode::Append).expect("still on");
            for i in 1..=3 {
                inner.clock.sleep(Duration::from_millis(100));
                append_all(file.as_mut(), &record(i)).and_then(|()| file.sync()).expect("still on");
                *committed.lock() = i;
            }
        };
        env.spawner.spawn("writer", Box::new(body))?.join().map_err(io::Error::other)
    };
    let check = |env: &Env, committed: &Arc<Mutex<u8>>| check(env, *committed.lock(), Planted::Nothing);
    let done = CrashTest::new(CrashMode::PowerLoss).start(&fs).run(scenario, check);
    assert_eq!(done.points, 7);
}

#[test]
fn recovery_can_be_crashed_in_turn() {
    let mut inner_states = 0;
    let outer = CrashTest::new(CrashMode::PowerLoss).states_per_point(20).run(
        |env, n| scenario(env, n, Planted::Nothing),
        |env, &committed| {
            let before = SimFs::new(0);
            before.create_dir_all(Path::new("/data")).unwrap();
            if let Ok(bytes) = read_all(&*env.fs, path()) {
                append_all(before.open(path(), OpenMode::CreateNew).unwrap().as_mut(), &bytes).unwrap();
            }
            before.settle();
            // Recovery cuts off what is not whole.
            let recover = |env: &Env, _: &mut ()| {
                let Ok(mut file) = env.fs.open(path(), OpenMode::Append) else { return io::Result::Ok(()) };
                let whole: usize =
                    records(&read_all(&*env.fs, path())?, true).iter().map(|r| r.len() + 5).sum();
                file.truncate(whole as u64)?;
                file.sync()
            };
            let done = CrashTest::new(CrashMode::PowerLoss)
                .start(&before)
                .run(recover, |env, ()| check(env, committed, Planted::Nothing));
            inner_states += done.states;
        },
    );
    assert!(inner_states > outer.states, "{inner_states} and {}", outer.states);
}

#[test]
fn a_scenario_that_fails_by_itself_or_differs_is_said() {
    let fails = || enumerate(CrashMode::PowerLoss, |_, _: &mut ()| Err("no reason"), |_, ()| ());
    let message = catch_unwind(fails).unwrap_err();
    assert!(
        message.downcast_ref::<String>().unwrap().contains("fails without a crash (seed 1): \"no reason\"")
    );
    let mut runs = 0;
    let differs = || {
        enumerate(
            CrashMode::PowerLoss,
            |env, _: &mut ()| {
                runs += 1;
                env.fs.create_dir_all(Path::new(&format!("/data/{runs}")))
            },
            |_, ()| (),
        )
    };
    let message = catch_unwind(AssertUnwindSafe(differs)).unwrap_err();
    assert!(message.downcast_ref::<String>().unwrap().contains("does not do the same each time"));
}

#[test]
fn changes_are_the_calls_that_a_crash_can_tell_apart() {
    assert!(OpKind::Append.changes() && OpKind::Sync.changes() && OpKind::SyncDir.changes());
    assert!(!OpKind::Read.changes() && !OpKind::Exists.changes());
}
