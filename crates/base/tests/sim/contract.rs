//! Random programs against the contract, which is stated here a second time and more simply: what was
//! synchronised is in every state, and nothing is in any state that no program wrote.

use crate::{content, new_fs};
use skopos_base::{
    fs::{File, Fs, OpenMode},
    rng::Rng,
    sim::SimFs,
};
use std::{collections::BTreeMap, path::Path};

/// What must hold of one file. Every file writes one byte value only, its mark.
#[derive(Clone, Default)]
struct Promise {
    /// As many bytes are in every state.
    synced: usize,
    /// No state has more.
    longest: usize,
}

/// The names `a` to `d` of one directory, seen by what a program may rely on.
#[derive(Default)]
struct Model {
    files: BTreeMap<u8, (Promise, Box<dyn File>)>,
    /// What each name means to the program.
    live: BTreeMap<&'static str, u8>,
    /// What each name may mean after a crash; `None` for nothing.
    may: BTreeMap<&'static str, Vec<Option<u8>>>,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn path(name: &str) -> String {
    format!("/d/{name}")
}

impl Model {
    fn rename_to(&mut self, name: &'static str, means: Option<u8>) {
        match means {
            Some(mark) => drop(self.live.insert(name, mark)),
            None => drop(self.live.remove(name)),
        }
        self.may.entry(name).or_insert_with(|| vec![None]).push(means);
    }

    /// One random step of the program.
    fn step(&mut self, fs: &SimFs, rng: &Rng, next_mark: u8) {
        let name = NAMES[rng.below(4) as usize];
        let other = NAMES[rng.below(4) as usize];
        let (p, mark) = (path(name), self.live.get(name).copied());
        let Some(mark) = mark else {
            let file = fs.open(Path::new(&p), OpenMode::CreateNew).unwrap();
            self.files.insert(next_mark, (Promise::default(), file));
            self.rename_to(name, Some(next_mark));
            return;
        };
        let (promise, file) = self.files.get_mut(&mark).unwrap();
        match rng.below(12) {
            0..=3 => {
                let n = 1 + rng.below(700) as usize;
                file.append(&vec![mark; n]).unwrap();
                promise.longest = promise.longest.max(file.len().unwrap() as usize);
            }
            4..=5 => {
                file.sync().unwrap();
                promise.synced = file.len().unwrap() as usize;
                promise.longest = promise.synced;
            }
            6 => {
                let len = rng.below(file.len().unwrap() + 1);
                file.truncate(len).unwrap();
                promise.synced = promise.synced.min(len as usize);
            }
            7 => {
                fs.remove_file(Path::new(&p)).unwrap();
                self.rename_to(name, None);
            }
            8..=9 if name != other => {
                fs.rename(Path::new(&p), Path::new(&path(other))).unwrap();
                self.rename_to(other, Some(mark));
                self.rename_to(name, None);
            }
            _ => {
                fs.sync_dir(Path::new("/d")).unwrap();
                self.may = NAMES.iter().map(|&n| (n, vec![self.live.get(n).copied()])).collect();
            }
        }
    }

    fn check(&self, state: &SimFs, what: &str) {
        for name in NAMES {
            let may = self.may.get(name).cloned().unwrap_or_else(|| vec![None]);
            let Some(bytes) = content(state, &path(name)) else {
                assert!(may.contains(&None), "{what}: {name} is gone");
                continue;
            };
            let fits = may.iter().flatten().any(|mark| {
                let promise = &self.files[mark].0;
                bytes.len() >= promise.synced
                    && bytes.len() <= promise.longest
                    && bytes[..promise.synced].iter().all(|b| b == mark)
            });
            assert!(fits, "{what}: {name} has {} bytes and may mean {may:?}", bytes.len());
        }
        // A file that had a durable name and was only renamed since is there under some name.
        let before: Vec<u8> = self.may.values().filter_map(|may| may[0]).collect();
        for mark in before.into_iter().filter(|mark| self.live.values().any(|m| m == mark)) {
            let needs = self.files[&mark].0.synced;
            if needs > 0 {
                let found = NAMES.iter().filter_map(|name| content(state, &path(name)));
                let mut found = found.filter(|c| c.len() >= needs && c[..needs].iter().all(|&b| b == mark));
                assert!(found.next().is_some(), "{what}: the file {mark} was renamed and is lost");
            }
        }
    }
}

#[test]
fn no_crash_of_a_random_program_breaks_a_promise() {
    for seed in 0..30 {
        let rng = Rng::from_seed(seed);
        let fs = new_fs(seed);
        let mut model = Model::default();
        for step in 0..30_u8 {
            model.step(&fs, &rng, step + 1);
            for state in fs.crash_states(8, rng.next_u64()) {
                model.check(&state, &format!("seed {seed}, step {step}, {}", state.origin()));
            }
        }
        for name in NAMES {
            let now = content(&fs.process_crash(), &path(name)).map(|c| c.first().copied());
            let expected = model.live.get(name);
            assert!(
                now.flatten().is_none_or(|mark| Some(&mark) == expected),
                "seed {seed}: {name} after a kill"
            );
        }
    }
}
