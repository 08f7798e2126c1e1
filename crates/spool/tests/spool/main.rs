//! The queue in a simulated world: what readers get, what bounds take, and what crashes and damage leave.
//!
//! - `readers`: places and paces; `bounds`: bytes, ages and a disk without room
//! - `crash`: every crash of a short life, and every failing call
//! - `damage`: flipped bits, cut files, arbitrary bytes, and files of earlier versions
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

mod bounds;
mod crash;
mod damage;
mod readers;

use skopos_base::{Env, sim::SimWorld};
use skopos_spool::{Options, Pushed, ReaderId, Record, Spool};
use std::path::Path;

const DIR: &str = "/data/spool";
const ONE: ReaderId = ReaderId(0);
const TWO: ReaderId = ReaderId(1);

/// Two or three of the tests' records fill a file.
fn small() -> Options {
    Options { segment_bytes: 400, ..Options::of_bytes(1 << 20) }
}

fn open(env: &Env, options: Options, readers: &[&str]) -> Spool {
    let readers: Vec<String> = readers.iter().map(|name| (*name).to_owned()).collect();
    Spool::open(env, Path::new(DIR), options, &readers).unwrap()
}

/// A world in which the directory can be made.
fn world() -> SimWorld {
    let world = SimWorld::new(1);
    world.fs().create_dir_all(Path::new("/data")).unwrap();
    world.fs().settle();
    world
}

/// What the record `n` of a test holds; it counts for `n`.
fn body(n: u64) -> Vec<u8> {
    vec![n as u8; 100 + n as usize % 7]
}

fn push(spool: &Spool, env: &Env, n: u64) -> bool {
    matches!(spool.push(env.clock.wall_ms(), n as u32, body(n)), Pushed::Durable)
}

/// What a record was, by its weight; its body has to be the one of that.
fn which(record: &Record) -> u64 {
    let n = u64::from(record.weight);
    assert_eq!(record.body, body(n), "record {n}");
    n
}

/// Takes all that a reader has still to get.
fn drain(spool: &Spool, reader: ReaderId) -> Vec<u64> {
    let mut all = Vec::new();
    while let Some(record) = spool.peek(reader).unwrap() {
        all.push(which(&record));
        // A disk without room takes no place.
        let _not_saved = spool.advance(reader, record.number);
    }
    all
}

use skopos_base::fs::Fs as _;
