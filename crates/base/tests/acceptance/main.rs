//! The contracts of `Clock`, `Fs`, `File`, `Spawner` and `Stop`, asked of the real and of the simulated
//! implementation alike. What only one of them can do is tested elsewhere.

#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

mod clock;
mod files;
mod threads;

use skopos_base::{Env, sim::SimWorld};
use std::path::Path;

/// Runs a test in the real world, in a directory of its own.
fn really(test: fn(&Env, &Path)) {
    let dir = tempfile::tempdir().expect("a directory for the test");
    test(&Env::real(), dir.path());
}

/// Runs a test in simulated worlds of several seeds, in a directory of its own.
fn simulated(test: fn(&Env, &Path)) {
    for seed in 0..8 {
        SimWorld::new(seed).run(|env| {
            let dir = Path::new("/tmp/test");
            env.fs.create_dir_all(dir).expect("a directory for the test");
            test(env, dir);
        });
    }
}

/// Makes of each function a test of both worlds.
macro_rules! in_both_worlds {
    ($($name:ident,)*) => {
        mod real { $(#[test] fn $name() { crate::really(super::$name); })* }
        mod sim { $(#[test] fn $name() { crate::simulated(super::$name); })* }
    };
}
use in_both_worlds;
