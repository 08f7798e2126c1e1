//! What only the real implementations can show: a lock that dies with its process, a disk that refuses,
//! numbers that differ from start to start.

use skopos_base::{
    Env,
    fs::{FileError, OpenMode},
    rng::Rng,
};
use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

/// The variable by which a test tells its own program, started again, which lock to take.
const LOCK_TO_HOLD: &str = "SKOPOS_TEST_LOCK_TO_HOLD";

#[test]
fn a_lock_names_its_holder_and_dies_with_it() {
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let held = env.fs.lock(&path).unwrap();
    let message = env.fs.lock(&path).unwrap_err().to_string();
    assert!(message.contains(&format!("this process ({})", std::process::id())), "{message}");
    drop(held);

    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_lock_when_told_to", "--nocapture"])
        .env(LOCK_TO_HOLD, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("held")), "the child has the lock");
    let error = env.fs.lock(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(error.to_string().contains(&format!("process {}", child.id())), "{error}");
    // This is SIGKILL: the child has no chance to release anything.
    child.kill().unwrap();
    child.wait().unwrap();
    drop(env.fs.lock(&path).expect("the lock died with its process"));
}

/// The child of the test above; by itself it has nothing to do.
#[test]
fn holds_a_lock_when_told_to() {
    let Some(path) = std::env::var_os(LOCK_TO_HOLD) else { return };
    let _held = Env::real().fs.lock(Path::new(&path)).unwrap();
    println!("held");
    std::io::stdout().flush().unwrap();
    // Ends when the parent does, even if that fails before it can kill this process.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_thread_steps_back_by_itself_alone_and_once() {
    let env = Env::real();
    // The system takes the calling thread.
    let nice = || rustix::process::getpriority_process(None).unwrap();
    let before = nice();
    let spawner = Arc::clone(&env.spawner);
    let of_helper = Arc::clone(&env.spawner);
    let helper = move || {
        of_helper.step_back();
        assert_eq!(nice(), (before + 10).min(19), "also where who started it had stepped back");
    };
    let body = move || {
        assert!(!spawner.has_stepped_back() && nice() == before);
        for _ in 0..3 {
            spawner.step_back();
            assert!(spawner.has_stepped_back());
            assert_eq!(nice(), (before + 10).min(19));
        }
        spawner.spawn("helper", Box::new(helper)).unwrap().join().unwrap();
    };
    env.spawner.spawn("nicer", Box::new(body)).unwrap().join().unwrap();
    assert!(!env.spawner.has_stepped_back() && nice() == before, "this thread is as it was");
}

#[test]
fn a_full_disk_and_a_failed_sync_are_told_apart() {
    let env = Env::real();
    // This device takes no byte and cannot be synchronised.
    let mut file = env.fs.open(Path::new("/dev/full"), OpenMode::Append).unwrap();
    for _ in 0..2 {
        let error = file.append(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        assert!(error.to_string().contains("/dev/full"), "{error}");
    }
    assert!(FileError::of(&file.sync().unwrap_err()).is_none(), "the first failure is the system's own");
    for error in [file.append(b"x").unwrap_err(), file.sync().unwrap_err(), file.truncate(0).unwrap_err()] {
        assert!(matches!(FileError::of(&error), Some(FileError::Poisoned { .. })), "{error}");
    }
}

#[test]
fn a_name_that_is_no_text_is_left_out_of_a_listing() {
    use std::os::unix::ffi::OsStrExt;
    let env = Env::real();
    let dir = tempfile::tempdir().unwrap();
    for name in [&b"caf\xe9"[..], b"\xff\xfe", b"ours"] {
        drop(env.fs.open(&dir.path().join(std::ffi::OsStr::from_bytes(name)), OpenMode::CreateNew).unwrap());
    }
    let names: Vec<String> = env.fs.read_dir(dir.path()).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["ours"]);
}

#[test]
fn generators_seeded_by_the_system_differ() {
    let draw = |rng: &Rng| [rng.next_u64(), rng.next_u64()];
    assert_ne!(draw(&Rng::from_os()), draw(&Rng::from_os()));
    assert_eq!(draw(&Rng::from_seed(7)), draw(&Rng::from_seed(7)));
    assert_ne!(draw(&Rng::from_seed(7)), draw(&Rng::from_seed(8)));
}

#[test]
fn a_seeded_generator_gives_the_reference_numbers() {
    // From the reference C code of splitmix64 and xoshiro256++ with seed 0.
    let rng = Rng::from_seed(0);
    assert_eq!(rng.next_u64(), 0x53175D61490B23DF);
    let mut counts = [0_u32; 10];
    for _ in 0..10_000 {
        counts[rng.below(10) as usize] += 1;
    }
    assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
}
