//! The contracts of `Fs` and `File`, as far as no crash is needed to see them.

use skopos_base::{
    Env,
    fs::{DirEntry, File, FileError, Fs, OpenMode, append_all, read_all},
};
use std::{io::ErrorKind, path::Path};

crate::in_both_worlds! {
    a_new_file_takes_appends_and_gives_them_back,
    create_new_refuses_what_is_there,
    opening_what_is_no_file_fails_by_kind,
    a_file_for_reading_refuses_writes_as_a_typed_error,
    handles_see_the_appends_of_one_another,
    a_truncation_cuts_and_never_lengthens,
    a_listing_is_sorted_and_gives_kinds_and_lengths,
    create_dir_all_makes_the_way_and_accepts_what_is_there,
    a_rename_replaces_a_file,
    a_rename_moves_a_directory_with_what_it_holds,
    a_rename_that_makes_no_sense_fails_by_kind,
    a_link_is_a_second_name,
    a_link_that_makes_no_sense_fails_by_kind,
    a_disk_has_room,
    removing_takes_the_name_and_fails_by_kind,
    remove_dir_takes_what_holds_nothing,
    remove_dir_all_takes_all,
    an_open_file_outlives_its_name,
    synchronising_works_on_files_and_directories,
    a_lock_is_exclusive_until_it_is_dropped,
    exists_tells_files_and_directories_from_nothing,
}

fn write(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Box<dyn File> {
    let mut file = fs.open(path, OpenMode::CreateNew).unwrap();
    append_all(file.as_mut(), bytes).unwrap();
    file
}

/// The kind of the error that a call gave; a success is the test's failure.
fn kind<T>(result: std::io::Result<T>) -> ErrorKind {
    result.map(drop).unwrap_err().kind()
}

fn names(fs: &dyn Fs, dir: &Path) -> Vec<String> {
    fs.read_dir(dir).unwrap().into_iter().map(|e| e.name).collect()
}

fn a_new_file_takes_appends_and_gives_them_back(env: &Env, dir: &Path) {
    let path = dir.join("f");
    let mut file = env.fs.open(&path, OpenMode::CreateNew).unwrap();
    assert!(file.is_empty().unwrap());
    assert_eq!(file.append(b"").unwrap(), 0);
    append_all(file.as_mut(), b"hello").unwrap();
    append_all(file.as_mut(), b" world").unwrap();
    assert_eq!(file.len().unwrap(), 11);
    for (offset, len, expected) in [
        (0, 11, &b"hello world"[..]),
        (0, 5, b"hello"),
        (6, 100, b"world"),
        (10, 1, b"d"),
        (11, 1, b""),
        (1 << 40, 1, b""),
        (3, 0, b""),
    ] {
        let mut buf = vec![0; len];
        let n = file.pread(&mut buf, offset).unwrap();
        assert_eq!(&buf[..n], expected, "{len} bytes at {offset}");
    }
    drop(file);
    let mut file = env.fs.open(&path, OpenMode::Append).unwrap();
    append_all(file.as_mut(), b"!").unwrap();
    assert_eq!(read_all(&*env.fs, &path).unwrap(), b"hello world!");
}

fn create_new_refuses_what_is_there(env: &Env, dir: &Path) {
    drop(write(&*env.fs, &dir.join("f"), b"kept"));
    env.fs.create_dir_all(&dir.join("d")).unwrap();
    for name in ["f", "d"] {
        assert_eq!(
            kind(env.fs.open(&dir.join(name), OpenMode::CreateNew)),
            ErrorKind::AlreadyExists,
            "{name}"
        );
    }
    assert_eq!(read_all(&*env.fs, &dir.join("f")).unwrap(), b"kept");
}

fn opening_what_is_no_file_fails_by_kind(env: &Env, dir: &Path) {
    drop(write(&*env.fs, &dir.join("f"), b""));
    for (path, mode, expected) in [
        ("none", OpenMode::Read, ErrorKind::NotFound),
        ("none", OpenMode::Append, ErrorKind::NotFound),
        ("none/f", OpenMode::CreateNew, ErrorKind::NotFound),
        ("f/f", OpenMode::Read, ErrorKind::NotADirectory),
        ("f/f", OpenMode::CreateNew, ErrorKind::NotADirectory),
        ("", OpenMode::Read, ErrorKind::IsADirectory),
        ("", OpenMode::Append, ErrorKind::IsADirectory),
    ] {
        let path = dir.join(path);
        let error = env.fs.open(&path, mode).unwrap_err();
        assert_eq!(error.kind(), expected, "{mode:?} of {}", path.display());
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{error} does not say which file");
    }
    assert_eq!(kind(env.fs.read_dir(&dir.join("none"))), ErrorKind::NotFound);
    assert_eq!(kind(env.fs.read_dir(&dir.join("f"))), ErrorKind::NotADirectory);
}

fn a_file_for_reading_refuses_writes_as_a_typed_error(env: &Env, dir: &Path) {
    let path = dir.join("f");
    drop(write(&*env.fs, &path, b"abc"));
    let mut file = env.fs.open(&path, OpenMode::Read).unwrap();
    for error in [file.append(b"d").unwrap_err(), file.truncate(0).unwrap_err()] {
        assert!(
            matches!(FileError::of(&error), Some(FileError::ReadOnly { path: p }) if *p == path),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }
    file.sync().expect("what is there can be made durable through any handle");
    assert_eq!(read_all(&*env.fs, &path).unwrap(), b"abc");
}

fn handles_see_the_appends_of_one_another(env: &Env, dir: &Path) {
    let path = dir.join("f");
    let mut one = write(&*env.fs, &path, b"1");
    let mut two = env.fs.open(&path, OpenMode::Append).unwrap();
    append_all(two.as_mut(), b"2").unwrap();
    append_all(one.as_mut(), b"1").unwrap();
    append_all(two.as_mut(), b"2").unwrap();
    one.truncate(3).unwrap();
    append_all(two.as_mut(), b"3").unwrap();
    assert_eq!(one.len().unwrap(), 4);
    assert_eq!(read_all(&*env.fs, &path).unwrap(), b"1213");
}

fn a_truncation_cuts_and_never_lengthens(env: &Env, dir: &Path) {
    let path = dir.join("f");
    let mut file = write(&*env.fs, &path, b"abcdef");
    for (len, expected) in [(6, &b"abcdef"[..]), (4, b"abcd"), (0, b"")] {
        file.truncate(len).unwrap();
        assert_eq!(read_all(&*env.fs, &path).unwrap(), expected);
    }
    append_all(file.as_mut(), b"xy").unwrap();
    let error = file.truncate(3).unwrap_err();
    let found = FileError::of(&error);
    assert!(matches!(found, Some(FileError::CutBeyondEnd { len: 2, wanted: 3, .. })), "{error}");
    assert_eq!(read_all(&*env.fs, &path).unwrap(), b"xy");
}

fn a_listing_is_sorted_and_gives_kinds_and_lengths(env: &Env, dir: &Path) {
    assert_eq!(env.fs.read_dir(dir).unwrap(), []);
    for (name, len) in [("b", 2), ("a", 1), ("00000010", 0), ("00000002", 7)] {
        drop(write(&*env.fs, &dir.join(name), &vec![1; len]));
    }
    env.fs.create_dir_all(&dir.join("ab/inside")).unwrap();
    let entry = |name: &str, is_dir, len| DirEntry { name: name.to_owned(), is_dir, len };
    assert_eq!(
        env.fs.read_dir(dir).unwrap(),
        [
            entry("00000002", false, 7),
            entry("00000010", false, 0),
            entry("a", false, 1),
            entry("ab", true, 0),
            entry("b", false, 2),
        ]
    );
}

fn create_dir_all_makes_the_way_and_accepts_what_is_there(env: &Env, dir: &Path) {
    env.fs.create_dir_all(&dir.join("a/b/c")).unwrap();
    env.fs.create_dir_all(&dir.join("a/b/c")).unwrap();
    env.fs.create_dir_all(&dir.join("a/b")).unwrap();
    assert_eq!(names(&*env.fs, &dir.join("a/b")), ["c"]);
    drop(write(&*env.fs, &dir.join("f"), b""));
    assert_eq!(kind(env.fs.create_dir_all(&dir.join("f"))), ErrorKind::AlreadyExists);
    assert_eq!(kind(env.fs.create_dir_all(&dir.join("f/d"))), ErrorKind::NotADirectory);
}

fn a_rename_replaces_a_file(env: &Env, dir: &Path) {
    let (old, new) = (dir.join("f.tmp"), dir.join("f"));
    let mut file = write(&*env.fs, &old, b"new");
    drop(write(&*env.fs, &new, b"old"));
    let replaced = env.fs.open(&new, OpenMode::Read).unwrap();
    env.fs.rename(&old, &new).unwrap();
    assert_eq!(names(&*env.fs, dir), ["f"]);
    append_all(file.as_mut(), b"er").unwrap();
    assert_eq!(read_all(&*env.fs, &new).unwrap(), b"newer", "a handle follows its file");
    let mut buf = [0; 3];
    replaced.pread(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"old", "a handle keeps the file that was replaced");
    env.fs.rename(&new, &new).unwrap();
    assert_eq!(read_all(&*env.fs, &new).unwrap(), b"newer", "a rename to itself does nothing");
}

fn a_rename_moves_a_directory_with_what_it_holds(env: &Env, dir: &Path) {
    env.fs.create_dir_all(&dir.join("a/b")).unwrap();
    env.fs.create_dir_all(&dir.join("empty")).unwrap();
    drop(write(&*env.fs, &dir.join("a/b/f"), b"x"));
    env.fs.rename(&dir.join("a/b"), &dir.join("c")).unwrap();
    assert_eq!(names(&*env.fs, dir), ["a", "c", "empty"]);
    env.fs.rename(&dir.join("c"), &dir.join("empty")).unwrap();
    assert_eq!(names(&*env.fs, dir), ["a", "empty"]);
    assert_eq!(read_all(&*env.fs, &dir.join("empty/f")).unwrap(), b"x");
}

fn a_rename_that_makes_no_sense_fails_by_kind(env: &Env, dir: &Path) {
    drop(write(&*env.fs, &dir.join("f"), b""));
    env.fs.create_dir_all(&dir.join("empty")).unwrap();
    env.fs.create_dir_all(&dir.join("full/d")).unwrap();
    for (from, to, expected) in [
        ("none", "x", ErrorKind::NotFound),
        ("f", "none/f", ErrorKind::NotFound),
        ("f", "empty", ErrorKind::IsADirectory),
        ("empty", "f", ErrorKind::NotADirectory),
        ("empty", "full", ErrorKind::DirectoryNotEmpty),
        ("full", "full/d/x", ErrorKind::InvalidInput),
    ] {
        assert_eq!(kind(env.fs.rename(&dir.join(from), &dir.join(to))), expected, "{from} to {to}");
    }
    assert_eq!(names(&*env.fs, dir), ["empty", "f", "full"]);
}

fn a_link_is_a_second_name(env: &Env, dir: &Path) {
    let (one, two) = (dir.join("one"), dir.join("two"));
    let mut file = write(&*env.fs, &one, b"ab");
    env.fs.hard_link(&one, &two).unwrap();
    append_all(file.as_mut(), b"c").unwrap();
    assert_eq!(read_all(&*env.fs, &two).unwrap(), b"abc", "both names lead to the same bytes");
    env.fs.remove_file(&one).unwrap();
    assert_eq!(names(&*env.fs, dir), ["two"]);
    assert_eq!(read_all(&*env.fs, &two).unwrap(), b"abc");
}

fn a_link_that_makes_no_sense_fails_by_kind(env: &Env, dir: &Path) {
    drop(write(&*env.fs, &dir.join("f"), b"f"));
    drop(write(&*env.fs, &dir.join("g"), b"g"));
    env.fs.create_dir_all(&dir.join("d")).unwrap();
    for (from, to, expected) in [
        ("f", "g", ErrorKind::AlreadyExists),
        ("f", "f", ErrorKind::AlreadyExists),
        ("f", "d", ErrorKind::AlreadyExists),
        ("none", "new", ErrorKind::NotFound),
        ("f", "none/new", ErrorKind::NotFound),
        ("f", "g/new", ErrorKind::NotADirectory),
        ("d", "new", ErrorKind::PermissionDenied),
    ] {
        assert_eq!(kind(env.fs.hard_link(&dir.join(from), &dir.join(to))), expected, "{from} {to}");
    }
    assert_eq!(read_all(&*env.fs, &dir.join("g")).unwrap(), b"g");
}

fn a_disk_has_room(env: &Env, dir: &Path) {
    let space = env.fs.space(dir).unwrap();
    assert!(space.available > 0 && space.available <= space.total, "{space:?}");
    assert_eq!(kind(env.fs.space(&dir.join("none"))), ErrorKind::NotFound);
}

fn removing_takes_the_name_and_fails_by_kind(env: &Env, dir: &Path) {
    drop(write(&*env.fs, &dir.join("f"), b"x"));
    env.fs.create_dir_all(&dir.join("d")).unwrap();
    env.fs.remove_file(&dir.join("f")).unwrap();
    assert_eq!(names(&*env.fs, dir), ["d"]);
    assert_eq!(kind(env.fs.remove_file(&dir.join("f"))), ErrorKind::NotFound);
    assert_eq!(kind(env.fs.remove_file(&dir.join("d"))), ErrorKind::IsADirectory);
    drop(write(&*env.fs, &dir.join("f"), b""));
    assert!(read_all(&*env.fs, &dir.join("f")).unwrap().is_empty(), "the name is free for another file");
}

fn remove_dir_takes_what_holds_nothing(env: &Env, dir: &Path) {
    env.fs.create_dir_all(&dir.join("a/b")).unwrap();
    drop(write(&*env.fs, &dir.join("f"), b"x"));
    assert_eq!(kind(env.fs.remove_dir(&dir.join("a"))), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind(env.fs.remove_dir(&dir.join("f"))), ErrorKind::NotADirectory);
    env.fs.remove_dir(&dir.join("a/b")).unwrap();
    assert_eq!(kind(env.fs.remove_dir(&dir.join("a/b"))), ErrorKind::NotFound);
    env.fs.remove_dir(&dir.join("a")).unwrap();
    assert_eq!(names(&*env.fs, dir), ["f"]);
}

fn remove_dir_all_takes_all(env: &Env, dir: &Path) {
    env.fs.create_dir_all(&dir.join("a/b/c")).unwrap();
    drop(write(&*env.fs, &dir.join("a/f"), b"x"));
    drop(write(&*env.fs, &dir.join("a/b/f"), b"x"));
    assert_eq!(kind(env.fs.remove_dir_all(&dir.join("a/f"))), ErrorKind::NotADirectory);
    env.fs.remove_dir_all(&dir.join("a")).unwrap();
    assert_eq!(names(&*env.fs, dir), [""; 0]);
    assert_eq!(kind(env.fs.remove_dir_all(&dir.join("a"))), ErrorKind::NotFound);
}

fn an_open_file_outlives_its_name(env: &Env, dir: &Path) {
    let path = dir.join("f");
    let mut file = write(&*env.fs, &path, b"ab");
    env.fs.remove_file(&path).unwrap();
    env.fs.sync_dir(dir).unwrap();
    append_all(file.as_mut(), b"c").unwrap();
    file.sync().unwrap();
    let mut buf = [0; 3];
    assert_eq!(file.pread(&mut buf, 0).unwrap(), 3);
    assert_eq!(&buf, b"abc");
    assert!(!env.fs.exists(&path).unwrap());
}

fn synchronising_works_on_files_and_directories(env: &Env, dir: &Path) {
    let path = dir.join("f");
    let mut file = write(&*env.fs, &path, b"ab");
    file.sync().unwrap();
    file.sync().unwrap();
    env.fs.sync_dir(dir).unwrap();
    file.truncate(1).unwrap();
    file.sync().unwrap();
    assert_eq!(read_all(&*env.fs, &path).unwrap(), b"a");
    assert_eq!(kind(env.fs.sync_dir(&path)), ErrorKind::NotADirectory);
    assert_eq!(kind(env.fs.sync_dir(&dir.join("none"))), ErrorKind::NotFound);
}

fn a_lock_is_exclusive_until_it_is_dropped(env: &Env, dir: &Path) {
    let path = dir.join("lock");
    let held = env.fs.lock(&path).unwrap();
    assert!(env.fs.exists(&path).unwrap());
    let error = env.fs.lock(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(error.to_string().contains("lock"), "{error} does not say which file");
    let other = env.fs.lock(&dir.join("other")).unwrap();
    drop(held);
    let again = env.fs.lock(&path).unwrap();
    drop((again, other));
    assert_eq!(kind(env.fs.lock(&dir.join("none/lock"))), ErrorKind::NotFound);
    assert_eq!(kind(env.fs.lock(dir)), ErrorKind::IsADirectory);
}

fn exists_tells_files_and_directories_from_nothing(env: &Env, dir: &Path) {
    drop(write(&*env.fs, &dir.join("f"), b""));
    for (path, expected) in [("", true), ("f", true), ("none", false), ("none/f", false)] {
        assert_eq!(env.fs.exists(&dir.join(path)).unwrap(), expected, "{path:?}");
    }
    assert_eq!(kind(env.fs.exists(&dir.join("f/x"))), ErrorKind::NotADirectory);
}
