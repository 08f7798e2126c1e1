//! `every_call`: each call fails once in each way, and a case that does not survive one says which it was.

use crate::{content, new_fs};
use skopos_base::{
    fs::{Fs, OpenMode, append_all},
    sim::{SimFs, effort, failing::every_call},
};
use std::{
    collections::BTreeSet,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// Five calls: creating, two appends, a synchronisation, one of the directory.
fn write_log(fs: &dyn Fs) -> io::Result<()> {
    let mut file = fs.open(Path::new("/d/log"), OpenMode::CreateNew)?;
    append_all(file.as_mut(), b"first")?;
    append_all(file.as_mut(), b"second")?;
    file.sync()?;
    fs.sync_dir(Path::new("/d"))
}

#[test]
fn each_call_fails_once_in_each_way_and_none_behind_the_last() {
    let start = new_fs(1);
    let (mut undisturbed, mut contents) = (0, BTreeSet::new());
    let failed = every_call(&start, |env, fault| {
        fault.arm();
        let result = write_log(&*env.fs);
        let came = fault.disarm();
        undisturbed += usize::from(!came);
        contents.insert(content(fault.fs(), "/d/log"));
        if !came {
            assert!(result.is_ok(), "{fault}: {result:?}");
        } else if !fault.to_string().starts_with("Short") {
            assert!(result.is_err(), "{fault}");
        }
    });
    // EIO of five calls, no room for creating, twice appending, and two synchronisations, and each of two
    // appends cut short at every length.
    let lengths = 3 + effort::states(1) - 1;
    assert_eq!(failed, 5 + 5 + 2 * lengths);
    // One case without a failure for each way.
    assert_eq!(undisturbed, 1 + 10 + lengths);
    let left = |text: &str| contents.contains(&Some(text.as_bytes().to_vec()));
    assert!(left("") && left("first") && left("firstsecond") && contents.contains(&None), "{contents:?}");
}

#[test]
fn a_case_that_does_not_survive_says_which_call_failed() {
    let message = |case: fn(&SimFs) -> io::Result<()>| {
        let run = || {
            every_call(&new_fs(2), |_, fault| {
                fault.arm();
                let result = case(fault.fs());
                fault.disarm();
                result.expect("nothing fails");
            })
        };
        let e = catch_unwind(AssertUnwindSafe(run)).expect_err("it panics");
        e.downcast_ref::<String>().cloned().expect("a message")
    };
    assert!(message(|fs| write_log(fs)).contains("Io of call 1"));
    let ignores_reads = |fs: &SimFs| {
        let _ = fs.exists(Path::new("/d"));
        fs.create_dir_all(Path::new("/d/new"))
    };
    assert!(message(ignores_reads).contains("Io of call 2"));
}
