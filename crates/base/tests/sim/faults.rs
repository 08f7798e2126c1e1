//! Faults: calls that fail when they are told to, a full disk, and a sync that fails for good.

use crate::{content, new_fs, write};
use skopos_base::{
    fs::{FileError, Fs, OpenMode, append_all},
    sim::fs::{Failure, OpKind, SimFs},
};
use std::{collections::BTreeSet, io, io::ErrorKind, path::Path};

#[test]
fn the_nth_call_fails_and_those_around_it_work() {
    let fs = new_fs(1);
    let mut file = write(&fs, "/d/f", b"");
    fs.fail_call(3, Failure::Io);
    fs.fail_nth(OpKind::Append, 3, Failure::NoSpace);
    file.append(b"1").unwrap();
    assert_eq!(file.len().unwrap(), 1);
    let error = file.append(b"2").unwrap_err();
    assert_eq!(error.kind(), io::Error::from_raw_os_error(5).kind());
    assert!(error.to_string().contains("Append of /d/f"), "{error}");
    // The failed append was the second one, so that the next is the third.
    assert_eq!(file.append(b"3").unwrap_err().kind(), ErrorKind::StorageFull);
    file.append(b"4").unwrap();
    assert_eq!(content(&fs, "/d/f").unwrap(), b"14");
}

#[test]
fn each_kind_of_call_can_fail_and_then_has_no_effect() {
    type Call = fn(&SimFs) -> io::Result<()>;
    let calls: [(OpKind, Call); 11] = [
        (OpKind::Create, |fs| fs.open(Path::new("/d/new"), OpenMode::CreateNew).map(drop)),
        (OpKind::Open, |fs| fs.open(Path::new("/d/f"), OpenMode::Read).map(drop)),
        (OpKind::Truncate, |fs| fs.open(Path::new("/d/f"), OpenMode::Append)?.truncate(0)),
        (OpKind::CreateDir, |fs| fs.create_dir_all(Path::new("/d/x/y"))),
        (OpKind::Rename, |fs| fs.rename(Path::new("/d/f"), Path::new("/d/g"))),
        (OpKind::RemoveFile, |fs| fs.remove_file(Path::new("/d/f"))),
        (OpKind::RemoveFile, |fs| fs.remove_dir_all(Path::new("/d"))),
        (OpKind::SyncDir, |fs| fs.sync_dir(Path::new("/d"))),
        (OpKind::ReadDir, |fs| fs.read_dir(Path::new("/d")).map(drop)),
        (OpKind::Exists, |fs| fs.exists(Path::new("/d")).map(drop)),
        (OpKind::Lock, |fs| fs.lock(Path::new("/d/lock")).map(drop)),
    ];
    for (kind, call) in calls {
        let fs = new_fs(1);
        drop(write(&fs, "/d/f", b"x"));
        let before = (crate::tree(&fs), fs.crash_states(100, 1).count());
        fs.fail_nth(kind, 1, Failure::Io);
        call(&fs).expect_err(&format!("{kind:?}"));
        assert_eq!((crate::tree(&fs), fs.crash_states(100, 1).count()), before, "{kind:?}");
        call(&fs).unwrap_or_else(|e| panic!("{kind:?} works the second time: {e}"));
    }
}

#[test]
fn a_short_append_takes_a_part_and_append_all_goes_on() {
    let fs = new_fs(1);
    let mut file = write(&fs, "/d/f", b"");
    fs.fail_nth(OpKind::Append, 1, Failure::Short(2));
    assert_eq!(file.append(b"abc").unwrap(), 2);
    fs.fail_nth(OpKind::Append, 1, Failure::Short(1));
    fs.fail_nth(OpKind::Append, 2, Failure::Short(3));
    append_all(file.as_mut(), b"defgh").unwrap();
    assert_eq!(content(&fs, "/d/f").unwrap(), b"abdefgh");
    fs.fail_nth(OpKind::Append, 1, Failure::Short(0));
    assert_eq!(append_all(file.as_mut(), b"i").unwrap_err().kind(), ErrorKind::WriteZero);
}

#[test]
fn a_failed_sync_poisons_its_handle() {
    let fs = new_fs(1);
    let mut file = write(&fs, "/d/f", b"abc");
    fs.fail_nth(OpKind::Sync, 1, Failure::Io);
    assert!(FileError::of(&file.sync().unwrap_err()).is_none(), "the first failure is the disk's own");
    for error in [file.append(b"x").unwrap_err(), file.sync().unwrap_err(), file.truncate(0).unwrap_err()] {
        assert!(matches!(FileError::of(&error), Some(FileError::Poisoned { .. })), "{error}");
    }
    assert_eq!(file.len().unwrap(), 3, "reading goes on");
    assert_eq!(content(&fs, "/d/f").unwrap(), b"abc", "programs see what the disk may not have");
}

#[test]
fn what_a_failed_sync_lost_no_later_sync_brings_back() {
    let mut left = BTreeSet::new();
    for seed in 0..64 {
        let fs = new_fs(seed);
        let mut file = write(&fs, "/d/f", b"s");
        fs.settle();
        append_all(file.as_mut(), b"abc").unwrap();
        fs.fail_nth(OpKind::Sync, 1, Failure::Io);
        file.sync().unwrap_err();
        let mut other = fs.open(Path::new("/d/f"), OpenMode::Append).unwrap();
        other.sync().expect("the system reports a failure once only");
        let states: Vec<_> = fs.crash_states(100, 1).map(|s| content(&s, "/d/f").unwrap()).collect();
        assert_eq!(states.len(), 1, "seed {seed}: a choice was made when the sync failed");
        assert_eq!(states[0][0], b's', "seed {seed}: what was synchronised before is there");
        left.insert(states[0].clone());
    }
    assert!(left.contains(&b"s"[..]) && left.contains(&b"sabc"[..]) && left.len() > 2, "{left:?}");
}

#[test]
fn a_full_disk_takes_what_fits_and_works_again_when_there_is_room() {
    let fs = new_fs(1);
    fs.set_capacity(Some(10));
    let mut file = write(&fs, "/d/f", b"12345");
    let other = write(&fs, "/d/g", b"123");
    assert_eq!(file.append(b"6789").unwrap(), 2);
    assert_eq!(file.append(b"8").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.append(b"").unwrap(), 0);
    assert_eq!(fs.open(Path::new("/d/h"), OpenMode::CreateNew).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(content(&fs, "/d/f").unwrap(), b"1234567", "reading goes on");
    file.sync().unwrap();
    fs.remove_file(Path::new("/d/g")).unwrap();
    assert_eq!(file.append(b"8").unwrap_err().kind(), ErrorKind::StorageFull, "a handle holds the space");
    drop(other);
    append_all(file.as_mut(), b"89a").unwrap();
    fs.set_capacity(None);
    append_all(file.as_mut(), b"and more").unwrap();
}

#[test]
fn the_log_has_the_changes_and_after_the_crash_point_nothing_works() {
    let fs = new_fs(1);
    let start = fs.ops().len();
    let mut file = write(&fs, "/d/f", b"abc");
    file.sync().unwrap();
    file.truncate(1).unwrap();
    fs.sync_dir(Path::new("/d")).unwrap();
    assert!(fs.exists(Path::new("/d/f")).unwrap());
    fs.rename(Path::new("/d/f"), Path::new("/d/g")).unwrap();
    fs.create_dir_all(Path::new("/d/x/y")).unwrap();
    fs.remove_dir_all(Path::new("/d")).unwrap();
    let ops: Vec<String> = fs.ops()[start..].iter().map(ToString::to_string).collect();
    let expected = [
        "Create /d/f",
        "Append /d/f (3 bytes)",
        "Sync /d/f",
        "Truncate /d/f (1 bytes)",
        "SyncDir /d",
        "Rename /d/f to /d/g",
        "CreateDir /d/x",
        "CreateDir /d/x/y",
        "RemoveFile /d/g",
        "RemoveDir /d/x/y",
        "RemoveDir /d/x",
        "RemoveDir /d",
    ];
    assert_eq!(ops, expected);
    fs.create_dir_all(Path::new("/d")).unwrap();
    fs.crash_after(fs.ops().len());
    assert!(fs.exists(Path::new("/d")).unwrap(), "reading works up to the next change");
    let error = fs.create_dir_all(Path::new("/d/z")).unwrap_err();
    assert!(error.to_string().contains("the machine is off"), "{error}");
    assert!(fs.exists(Path::new("/d")).is_err());
    assert!(fs.create_dir_all(Path::new("/d")).is_err());
    assert!(file.len().is_err() && file.sync().is_err() && file.append(b"x").is_err());
}
