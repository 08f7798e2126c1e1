//! Blocks come back as they were written, and only sound ones are written.

use crate::common::*;
use skopos_base::sim::SimWorld;
use skopos_model::TimestampMs;
use skopos_tsdb::block::{Block, BlockDir, BlockError, WriteOptions, remove_block};
use std::path::Path;

#[test]
fn what_was_written_is_read() {
    let env = SimWorld::new(1).env();
    for (count, samples, per_chunk) in [(0, 0, 1), (1, 1, 1), (3, 250, 120), (500, 40, 7), (70, 900, 120)] {
        let series = some_series(count, samples);
        let dir = write(&env, &Path::new(DIR).join(format!("{count}")), &series, per_chunk);
        let block = open(&env, &dir);
        assert_eq!(dump(&env, &block).unwrap(), series);
        let meta = block.meta();
        assert_eq!(meta.stats.num_series, count as u64);
        assert_eq!(meta.stats.num_samples, (count * samples) as u64);
        assert_eq!(meta.stats.num_chunks, (count * samples.div_ceil(per_chunk)) as u64);
        assert_eq!(meta.stats.num_float_samples, meta.stats.num_samples);
    }
}

#[test]
fn a_block_is_there_whole_or_not_at_all() {
    let env = SimWorld::new(2).env();
    let series = some_series(3, 4);
    let dir = Path::new(DIR);
    let writer = begin(&env, dir, &series, WriteOptions::default());
    let names = || env.fs.read_dir(dir).unwrap().into_iter().map(|e| e.name).collect::<Vec<_>>();
    assert_eq!(names(), [format!("{ID}.tmp-for-creation")]);
    assert_eq!(BlockDir::of(&names()[0]), Some(BlockDir::Leftover));
    drop(writer);
    assert!(names().is_empty());
    write(&env, dir, &series, 2);
    assert_eq!(names(), [ID.to_string()]);
    assert_eq!(BlockDir::of(&names()[0]), Some(BlockDir::Whole(ID)));
    for other in ["wal", "lock", "chunks_head", "wal.tmp", &format!("{ID}.bak")] {
        assert_eq!(BlockDir::of(other), None);
    }
}

#[test]
fn an_open_block_outlives_its_directory() {
    let env = SimWorld::new(3).env();
    let series = some_series(300, 50);
    let dir = write(&env, Path::new(DIR), &series, 10);
    let block = open(&env, &dir);
    remove_block(&*env.fs, Path::new(DIR), ID).unwrap();
    assert!(env.fs.read_dir(Path::new(DIR)).unwrap().is_empty());
    assert_eq!(dump(&env, &block).unwrap(), series);
}

#[test]
fn what_makes_no_sound_block_is_refused() {
    let env = SimWorld::new(4).env();
    let dir = Path::new(DIR);
    let series = some_series(2, 4);
    let (first, samples) = series.first_key_value().unwrap();
    let (second, _) = series.last_key_value().unwrap();
    let (early, late) = (chunk(&samples[..2]), chunk(&samples[2..]));
    let refused = |result: Result<(), BlockError>, what: &str| match result {
        Err(BlockError::Refused { reason, .. }) => assert!(reason.contains(what), "{reason}"),
        other => panic!("{what}: {other:?}"),
    };
    let mut writer = begin(&env, dir, &series, WriteOptions::default());
    let known = labels(&[("i", "unknown")]);
    refused(writer.add_series(&known, std::slice::from_ref(&early)), "is no symbol");
    drop(writer);
    let mut writer = begin(&env, dir, &series, WriteOptions::default());
    refused(writer.add_series(first, &[late.clone(), early.clone()]), "out of order");
    refused(writer.add_series(&labels(&[]), std::slice::from_ref(&early)), "no labels");
    writer.add_series(second, &[]).unwrap();
    writer.add_series(second, &[early.clone(), late]).unwrap();
    refused(writer.add_series(first, std::slice::from_ref(&early)), "comes behind");
    refused(writer.add_series(second, std::slice::from_ref(&early)), "comes behind");
    let mut meta = meta_of(&series);
    meta.max_time = TimestampMs::new(meta.max_time.as_ms() - 1);
    refused(writer.finish(meta).map(|_| ()), "are not in");
    assert!(env.fs.read_dir(dir).unwrap().is_empty());
    write(&env, dir, &series, 2);
    assert!(Block::open(&*env.fs, &dir.join(ID.to_string())).is_ok());
}
