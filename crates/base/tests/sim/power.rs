//! What a crash leaves: the exact states of small cases, and that every kind of damage turns up in large
//! ones.

use crate::{content, new_fs, tree, write};
use skopos_base::{
    fs::{Fs, OpenMode, append_all, read_all},
    sim::SimFs,
};
use std::{collections::BTreeSet, path::Path};

/// The contents of one file over all states, `None` for those without it.
fn contents(fs: &SimFs, path: &str, limit: usize) -> BTreeSet<Option<Vec<u8>>> {
    let states = fs.crash_states(limit, 1);
    assert!(states.is_exhaustive());
    states.map(|state| content(&state, path)).collect()
}

/// As `contents`, written as text: `-` for no file, `0` for a zero byte, `?` for any that nobody wrote.
fn shown(fs: &SimFs, path: &str, limit: usize) -> BTreeSet<String> {
    let letter = |b: u8| match b {
        0 => '0',
        b'a'..=b'z' => b as char,
        _ => '?',
    };
    let text = |bytes: Vec<u8>| bytes.into_iter().map(letter).collect::<String>();
    contents(fs, path, limit).into_iter().map(|c| c.map_or_else(|| "-".to_owned(), text)).collect()
}

fn set<const N: usize>(items: [&str; N]) -> BTreeSet<String> {
    items.map(str::to_owned).into()
}

#[test]
fn a_new_file_is_lost_kept_cut_or_torn_in_every_way() {
    let fs = new_fs(1);
    let _file = write(&fs, "/d/f", b"ab");
    assert_eq!(shown(&fs, "/d/f", 100), set(["-", "", "a", "a0", "ab", "00", "??"]));
}

#[test]
fn synchronised_bytes_are_in_every_state_and_later_ones_in_some() {
    let fs = new_fs(1);
    let mut file = write(&fs, "/d/f", b"ab");
    file.sync().unwrap();
    assert_eq!(shown(&fs, "/d/f", 100), set(["-", "ab"]), "the name is not durable by a sync of the file");
    fs.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(shown(&fs, "/d/f", 100), set(["ab"]));
    file.append(b"cd").unwrap();
    assert_eq!(shown(&fs, "/d/f", 100), set(["ab", "abc", "abc0", "abcd", "ab00", "ab??"]));
    file.append(b"e").unwrap();
    let states = shown(&fs, "/d/f", 100);
    assert_eq!(states, set(["ab", "abc", "abc0", "abcd", "ab00", "ab??", "abcde", "ab000", "ab???"]));
}

#[test]
fn a_truncation_may_be_lost_although_a_later_append_is_not() {
    let fs = new_fs(1);
    let mut file = write(&fs, "/d/f", b"abcdef");
    fs.settle();
    file.truncate(2).unwrap();
    file.append(b"x").unwrap();
    assert_eq!(
        shown(&fs, "/d/f", 100),
        set(["abcdef", "ab", "abx", "ab0", "ab?", "abxdef", "ab0def", "ab?def"])
    );
    file.sync().unwrap();
    assert_eq!(shown(&fs, "/d/f", 100), set(["abx"]));
}

#[test]
fn sectors_are_lost_one_by_one() {
    let fs = new_fs(1);
    let mut file = write(&fs, "/d/f", b"s");
    fs.settle();
    // The first sector shares its place with a synchronised byte, which stays.
    append_all(file.as_mut(), &[b'x'; 1023]).unwrap();
    let kinds: BTreeSet<String> = fs
        .crash_states(5000, 1)
        .filter_map(|state| content(&state, "/d/f").filter(|c| c.len() == 1024))
        .map(|c| {
            assert_eq!(c[0], b's');
            let half = |bytes: &[u8]| match bytes[100] {
                b'x' if bytes.iter().all(|&b| b == b'x') => 'x',
                0 if bytes.iter().all(|&b| b == 0) => '0',
                _ => '?',
            };
            String::from_iter([half(&c[1..512]), half(&c[512..])])
        })
        .collect();
    assert_eq!(kinds, set(["xx", "x0", "x?", "0x", "00", "0?", "?x", "?0", "??"]));
}

#[test]
fn names_are_lost_and_kept_independently() {
    let fs = new_fs(1);
    drop((write(&fs, "/d/a", b""), write(&fs, "/d/b", b""), write(&fs, "/d/gone", b"")));
    fs.sync_dir(Path::new("/d")).unwrap();
    fs.remove_file(Path::new("/d/gone")).unwrap();
    drop((write(&fs, "/d/x", b""), write(&fs, "/d/y", b"")));
    let states: BTreeSet<String> =
        fs.crash_states(100, 1).map(|s| tree(&s).into_keys().collect::<String>().replace("/d", "")).collect();
    let expected = ["", "/x", "/y", "/x/y"]
        .into_iter()
        .flat_map(|new| ["/a/b".to_owned() + new, "/a/b/gone".to_owned() + new]);
    assert_eq!(states, expected.collect());
}

#[test]
fn a_rename_has_the_old_name_the_new_one_or_both_and_may_come_before_the_data() {
    let fs = new_fs(1);
    drop(write(&fs, "/d/f", b"old"));
    let mut file = write(&fs, "/d/t", b"n");
    fs.settle();
    file.append(b"e").unwrap();
    fs.rename(Path::new("/d/t"), Path::new("/d/f")).unwrap();
    let show = |s: &SimFs| {
        let text =
            |path| content(s, path).map_or("-".to_owned(), |c| String::from_utf8_lossy(&c).into_owned());
        format!("{} {}", text("/d/t"), text("/d/f")).replace('\0', "0")
    };
    let states: BTreeSet<String> = fs.crash_states(100, 1).map(|s| show(&s)).collect();
    for expected in ["n old", "ne old", "n n", "ne ne", "- n", "- ne", "- n0"] {
        assert!(states.contains(expected), "{expected:?} is missing in {states:?}");
    }
    assert!(!states.contains("- old"), "a rename never loses the file");
    fs.sync_dir(Path::new("/d")).unwrap();
    let states: BTreeSet<String> = fs.crash_states(100, 1).map(|s| show(&s)).collect();
    assert!(states.iter().all(|s| s.starts_with("- n")), "{states:?}");
}

#[test]
fn a_rename_across_directories_is_never_durable_by_half() {
    let fs = new_fs(1);
    fs.create_dir_all(Path::new("/e")).unwrap();
    drop(write(&fs, "/d/f", b"x"));
    fs.settle();
    fs.rename(Path::new("/d/f"), Path::new("/e/f")).unwrap();
    let there = |s: &SimFs| (content(s, "/d/f").is_some(), content(s, "/e/f").is_some());
    let states: BTreeSet<_> = fs.crash_states(100, 1).map(|s| there(&s)).collect();
    assert_eq!(states, [(true, false), (false, true), (true, true)].into());
    fs.sync_dir(Path::new("/d")).unwrap();
    let states: BTreeSet<_> = fs.crash_states(100, 1).map(|s| there(&s)).collect();
    assert_eq!(states, [(false, true)].into(), "that the old name is gone is durable, hence the new one is");
}

#[test]
fn a_renamed_directory_has_one_name_only() {
    let fs = new_fs(1);
    fs.create_dir_all(Path::new("/d/t/inside")).unwrap();
    fs.settle();
    fs.rename(Path::new("/d/t"), Path::new("/d/block")).unwrap();
    let states: BTreeSet<Vec<String>> =
        fs.crash_states(100, 1).map(|s| tree(&s).into_keys().collect()).collect();
    let of = |name: &str| vec!["/d".to_owned(), format!("/d/{name}"), format!("/d/{name}/inside")];
    assert_eq!(states, [of("t"), of("block")].into());
}

#[test]
fn a_new_directory_is_durable_by_the_sync_of_the_one_above() {
    let fs = new_fs(1);
    fs.create_dir_all(Path::new("/d/wal")).unwrap();
    let mut file = write(&fs, "/d/wal/f", b"x");
    file.sync().unwrap();
    fs.sync_dir(Path::new("/d/wal")).unwrap();
    assert!(contents(&fs, "/d/wal/f", 100).contains(&None));
    fs.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(contents(&fs, "/d/wal/f", 100), [Some(b"x".to_vec())].into());
}

#[test]
fn a_name_used_again_means_one_of_its_files() {
    let fs = new_fs(1);
    drop(write(&fs, "/d/f", b"first"));
    fs.settle();
    fs.remove_file(Path::new("/d/f")).unwrap();
    write(&fs, "/d/f", b"2").sync().unwrap();
    let states = shown(&fs, "/d/f", 100);
    assert_eq!(states, set(["first", "-", "?"]));
}

#[test]
fn a_sample_of_many_states_has_every_kind_of_damage() {
    let fs = new_fs(1);
    let mut file = write(&fs, "/d/f", &[b's'; 700]);
    fs.settle();
    for i in 0..40_u8 {
        append_all(file.as_mut(), &[b'a' + i % 26; 177]).unwrap();
    }
    let whole = read_all(&fs, Path::new("/d/f")).unwrap();
    let _new = write(&fs, "/d/new", b"data");
    let states = fs.crash_states(400, 3);
    assert!(!states.is_exhaustive());
    let mut kinds = BTreeSet::new();
    let mut count = 0;
    for state in states {
        count += 1;
        let c = content(&state, "/d/f").expect("its name is durable");
        assert_eq!(c[..700], whole[..700], "synchronised bytes");
        let intact = whole.starts_with(&c);
        let kind = match c.len() {
            700 => "lost",
            7780 if intact => "kept",
            n if intact && n % 512 == 0 => "cut at a sector",
            n if intact && (n - 700) % 177 == 0 => "cut at an append",
            _ if intact => "cut anywhere",
            n => {
                let last = &c[n - n % 512..];
                let wrong = (700..n).find(|&i| c[i] != whole[i]).unwrap();
                let zeros = c[wrong..(wrong + 9).min(n)].iter().all(|&b| b == 0);
                let later_kept = last.len() > 9 && whole[n - last.len()..].starts_with(last);
                match (zeros, later_kept) {
                    (true, true) => "zeros before what is kept",
                    (true, false) => "zeros",
                    (false, true) => "garbage before what is kept",
                    (false, false) => "garbage",
                }
            }
        };
        kinds.insert(kind);
        kinds.insert(match content(&state, "/d/new").as_deref() {
            None => "name lost",
            Some(b"") => "name kept, data lost",
            Some(b"data") => "name and data kept",
            Some(_) => "name kept, data damaged",
        });
    }
    assert_eq!(count, 400);
    assert_eq!(kinds.len(), 13, "{kinds:?}");
}

#[test]
fn a_seed_gives_the_same_states_in_the_same_order() {
    let fs = new_fs(1);
    let _file = write(&fs, "/d/f", &[b'x'; 5000]);
    let states = |seed| fs.crash_states(50, seed).map(|s| (tree(&s), s.origin())).collect::<Vec<_>>();
    assert_eq!(states(7), states(7));
    assert_ne!(states(7), states(8));
    let distinct: BTreeSet<_> = states(7).into_iter().map(|(tree, _)| tree).collect();
    assert_eq!(distinct.len(), 50, "no state comes twice");
}

#[test]
fn a_crash_state_is_durable_and_says_where_it_comes_from() {
    let fs = new_fs(1);
    let _file = write(&fs, "/d/f", b"abc");
    let cut = fs.crash_states(100, 1).find(|s| content(s, "/d/f").as_deref() == Some(b"ab")).unwrap();
    let origin = "power lost; /d/f: 1 of 1 changes of the name arrived; /d/f: 0 of 1 pending writes arrived \
                  and 2 bytes of the next (2 bytes, 0 of them by the last sync)";
    assert_eq!(&*cut.origin(), origin);
    let again: Vec<_> = cut.crash_states(100, 1).map(|s| tree(&s)).collect();
    assert_eq!(again, [tree(&cut)]);
    assert_eq!(cut.ops(), []);
}

#[test]
fn a_killed_process_leaves_what_returned_and_a_power_loss_may_take_it_still() {
    let fs = new_fs(1);
    let _lock = fs.lock(Path::new("/d/lock")).unwrap();
    let _file = write(&fs, "/d/f", b"abc");
    let next = fs.process_crash();
    assert_eq!(content(&next, "/d/f").unwrap(), b"abc");
    drop(next.lock(Path::new("/d/lock")).expect("a lock dies with its process"));
    assert!(contents(&next, "/d/f", 100).contains(&Some(Vec::new())));
    let mut file = next.open(Path::new("/d/f"), OpenMode::Append).unwrap();
    file.sync().unwrap();
    next.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(contents(&next, "/d/f", 100), [Some(b"abc".to_vec())].into());
    assert!(contents(&fs, "/d/f", 100).contains(&None), "the first file system is another one");
}

#[test]
fn a_process_killed_in_an_append_leaves_a_part_of_it() {
    let fs = new_fs(1);
    fs.crash_after(fs.ops().len() + 2);
    let mut file = write(&fs, "/d/f", b"ab");
    file.append(b"cde").unwrap_err();
    file.append(b"xyz").unwrap_err();
    let states: Vec<_> = fs.process_crash_states(100, 1).map(|s| content(&s, "/d/f").unwrap()).collect();
    assert_eq!(states, [&b"ab"[..], b"abc", b"abcd", b"abcde"]);
    assert!(content(&fs, "/d/f").is_none(), "the file system that crashed answers nothing");
    assert!(fs.is_crashed());
}

#[test]
fn a_link_is_lost_or_there_and_takes_nothing_from_the_first_name() {
    let fs = new_fs(1);
    write(&fs, "/d/f", b"ab").sync().unwrap();
    fs.settle();
    fs.hard_link(Path::new("/d/f"), Path::new("/d/g")).unwrap();
    assert_eq!(shown(&fs, "/d/f", 100), set(["ab"]));
    assert_eq!(shown(&fs, "/d/g", 100), set(["-", "ab"]));
    fs.sync_dir(Path::new("/d")).unwrap();
    fs.remove_file(Path::new("/d/f")).unwrap();
    fs.sync_dir(Path::new("/d")).unwrap();
    assert_eq!(shown(&fs, "/d/f", 100), set(["-"]));
    assert_eq!(shown(&fs, "/d/g", 100), set(["ab"]), "the second name keeps the bytes");
}
