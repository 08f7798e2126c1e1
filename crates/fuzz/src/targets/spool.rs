//! A queue on disk opened from arbitrary bytes: the file of records and a reader's place. What is read is
//! what another queue gives back, and the queue goes on.

use skopos_base::{
    Env,
    fs::{OpenMode, append_all, read_all},
    sim::SimWorld,
};
use skopos_spool::{Options, ReaderId, Record, Spool};
use std::path::Path;

const DIR: &str = "/spool";
const FIRST: &str = "00000000000000000001";
const PLACE: &str = "position.r";
/// So many bytes at the end of an input are the reader's place.
const PLACE_BYTES: usize = 24;
const READER: ReaderId = ReaderId(0);

fn open(env: &Env, dir: &str) -> Option<Spool> {
    Spool::open(env, Path::new(dir), Options::of_bytes(1 << 20), &["r".to_owned()]).ok()
}

fn put(env: &Env, name: &str, bytes: &[u8]) {
    let made = env.fs.create_dir_all(Path::new(DIR));
    let file = made.and_then(|()| env.fs.open(&Path::new(DIR).join(name), OpenMode::CreateNew));
    let written = file.and_then(|mut file| append_all(file.as_mut(), bytes));
    written.expect("a simulated disk takes it");
}

fn drain(spool: &Spool) -> Vec<Record> {
    let mut all = Vec::new();
    while let Some(record) = spool.peek(READER).expect("a simulated disk is read") {
        spool.advance(READER, record.number).expect("a simulated disk takes it");
        all.push(record);
    }
    all
}

/// Whether a record was read.
pub(super) fn queue(bytes: &[u8]) -> bool {
    let (records, place) = bytes.split_at(bytes.len().saturating_sub(PLACE_BYTES));
    SimWorld::new(1).run(|env| {
        put(env, FIRST, records);
        put(env, PLACE, place);
        let Some(spool) = open(env, DIR) else { return false };
        let read = drain(&spool);
        assert!(read.is_sorted_by(|a, b| a.number < b.number), "numbers grow");
        let again = open(env, "/again").expect("an empty directory is opened");
        for record in &read {
            again.push(record.time_ms, record.weight, record.body.clone());
        }
        let content = |all: Vec<Record>| -> Vec<_> {
            all.into_iter().map(|record| (record.time_ms, record.weight, record.body)).collect()
        };
        assert_eq!(content(drain(&again)), content(read.clone()));
        spool.push(1, 2, b"more".to_vec());
        assert_eq!(drain(&spool).len(), 1, "it goes on");
        !read.is_empty()
    })
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let of = |bodies: &[&[u8]], done: u64| {
        SimWorld::new(1).run(|env| {
            let spool = open(env, DIR).expect("an empty directory is opened");
            for (at, body) in bodies.iter().enumerate() {
                spool.push(1_700_000_000_000 + at as i64, 7, body.to_vec());
            }
            spool.advance(READER, done).expect("a simulated disk takes it");
            let read = |name| read_all(&*env.fs, &Path::new(DIR).join(name)).expect("it was written");
            let mut place = read(PLACE);
            place.resize(PLACE_BYTES, 0);
            [read(FIRST), place].concat()
        })
    };
    vec![of(&[b"one", b"", &[9; 300]], 1), of(&[b"alone", b"two"], 1)]
}
