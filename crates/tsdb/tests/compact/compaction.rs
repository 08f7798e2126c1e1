//! What a compaction makes of blocks.

use crate::common::{
    DATA, compact_all, compact_in_batches, compactor, contents, ms, names, new_block, open, querier,
    write_block, write_blocks,
};
use skopos_base::{
    Env,
    fs::{Fs, OpenMode, append_all, read_all},
    sim::SimWorld,
};
use skopos_model::{DurationMs, Labels, Matcher, TimestampMs};
use skopos_storage::{Chunk, ChunkQuerier, SelectRequest, Shard, TimeRange};
use skopos_testkit::storage::{
    Kinds, MemoryStorage, budget, check_chunk_querier, check_chunks_exactly, check_querier,
};
use skopos_tsdb::{
    block::{Block, BlockIds, BlockMeta, BlockWriter, Compaction, Symbols, WriteOptions},
    compact::{CompactError, CompactOptions, Compactor, RetentionRule, SelectorRetention},
};
use std::{path::Path, sync::Arc};

/// Apart, touching, and overlapping.
const STEPS: [i64; 3] = [150_000, 100_000, 40_000];

fn check_chunks(block: &Arc<Block>, expected: &MemoryStorage) {
    let (matchers, range, shard, budget) = (&[][..], TimeRange::ALL, Shard::WHOLE, budget());
    let request = SelectRequest { matchers, range, shard, budget };
    check_chunks_exactly(expected, &mut *block.querier(TimeRange::ALL).select_chunks(&request).unwrap());
}

#[test]
fn a_new_block_has_every_sample_of_its_parents_once() {
    for seed in 0..12 {
        println!("seed {seed}");
        let world = SimWorld::new(seed);
        let env = world.env();
        let all = write_blocks(&env, seed, Kinds::FloatsAndHistograms, STEPS[seed as usize % 3], (20, 150));
        let parents = open(&*env.fs);
        let meta = compact_all(&env, &parents).unwrap().unwrap();
        assert_eq!(meta.compaction.level, 2);
        let ids: Vec<_> = parents.iter().map(|b| b.id()).collect();
        let sorted = std::collections::BTreeSet::from_iter(ids.iter().copied());
        assert_eq!(meta.compaction.sources, sorted.into_iter().collect::<Vec<_>>());
        assert_eq!(meta.compaction.parents.iter().map(|p| p.ulid).collect::<Vec<_>>(), ids);
        assert_eq!((meta.min_time, meta.max_time), (ms(0), parents[2].meta().max_time));
        assert_eq!(meta.stats.num_samples, all.iter().map(|(_, s)| s.len() as u64).sum::<u64>());
        assert_eq!(meta.stats.num_series, all.len() as u64);
        let left = open(&*env.fs);
        assert_eq!(left.iter().map(|b| b.id()).collect::<Vec<_>>(), [meta.ulid], "the parents are obsolete");
        check_chunks(&left[0], &all);
    }
}

#[test]
fn blocks_and_their_merge_keep_the_contracts_of_storage() {
    for seed in 0..3 {
        let world = SimWorld::new(seed);
        let env = world.env();
        let all = write_blocks(&env, seed, Kinds::Floats, STEPS[seed as usize], (12, 100));
        let parents = open(&*env.fs);
        check_querier(&all, &|range| querier(&parents, range));
        compact_all(&env, &parents).unwrap();
        let block = open(&*env.fs).remove(0);
        check_querier(&all, &|range| Box::new(block.querier(range)));
        check_chunk_querier(&all, &block.querier(TimeRange::ALL));
    }
}

#[test]
fn samples_outside_of_the_new_blocks_times_are_cut() {
    let world = SimWorld::new(1);
    let env = world.env();
    let all = write_blocks(&env, 1, Kinds::Floats, 40_000, (10, 100));
    let stop = env.spawner.stop_signal();
    let new = new_block(&all, 50, (30_000, 90_000), &*stop);
    let meta = compactor(&env, CompactOptions::default()).write(new).unwrap().unwrap();
    let mut expected = all;
    expected.retain(|_, t| t >= ms(30_000) && t < ms(90_000));
    let blocks = open(&*env.fs);
    let block = blocks.iter().find(|b| b.id() == meta.ulid).unwrap();
    contents(std::slice::from_ref(block)).assert_equals(&expected);
    assert_eq!(meta.compaction.sources, [meta.ulid], "a block from the head is its own source");
}

fn delete(fs: &dyn Fs, block: &Block, from: i64, to: i64) {
    let range = TimeRange { min: ms(from), max: ms(to) };
    block.delete(fs, &[], range, &budget()).unwrap();
}

#[test]
fn deleted_samples_are_gone_and_their_tombstones_with_them() {
    let world = SimWorld::new(2);
    let env = world.env();
    let mut all = write_blocks(&env, 2, Kinds::FloatsAndHistograms, 100_000, (10, 100));
    let parents = open(&*env.fs);
    delete(&*env.fs, &parents[1], 120_000, 170_000);
    all.retain(|_, t| t < ms(120_000) || t > ms(170_000));
    assert!(parents[1].meta().stats.num_tombstones > 0);

    let stop = env.spawner.stop_signal();
    let cleaned = compactor(&env, CompactOptions::default()).clean_tombstones(&parents[1], &*stop).unwrap();
    let cleaned = cleaned.unwrap();
    assert_eq!((cleaned.compaction.level, cleaned.stats.num_tombstones), (1, 0));
    assert_eq!(cleaned.compaction.sources, [parents[1].id()], "it holds what its source held");
    let blocks = open(&*env.fs);
    assert_eq!(blocks.len(), 3);
    assert!(blocks.iter().all(|b| b.tombstones().is_empty()));
    compact_all(&env, &blocks).unwrap();
    check_chunks(&open(&*env.fs)[0], &all);
}

#[test]
fn a_compaction_that_leaves_nothing_marks_its_sources() {
    let world = SimWorld::new(3);
    let env = world.env();
    write_blocks(&env, 3, Kinds::Floats, 100_000, (5, 20));
    let parents = open(&*env.fs);
    parents.iter().for_each(|b| delete(&*env.fs, b, i64::MIN, i64::MAX));
    assert_eq!(compact_all(&env, &parents).unwrap(), None);
    assert!(parents.iter().all(|b| b.meta().compaction.deletable));
    assert_eq!(names(&*env.fs).len(), 3, "nothing is left of the block that was begun");
    assert!(open(&*env.fs).is_empty());
    assert!(names(&*env.fs).is_empty());
}

#[test]
fn rules_drop_old_samples_of_their_series_alone() {
    let world = SimWorld::new(4);
    let env = world.env();
    let now = env.clock.wall_ms();
    let (debug, other) = (Labels::from_pairs([("job", "debug")]), Labels::from_pairs([("job", "other")]));
    let mut data = MemoryStorage::default();
    for labels in [&debug, &other] {
        data.insert_floats(labels, (0..100).map(|i| (now - 100_000 + i * 1000, i as f64)));
    }
    write_block(&env, &data, (now - 100_000, now + 1));
    let rule = |job: &str, ms| {
        let (matchers, time) = (vec![Matcher::equal("job", job)], DurationMs::from_ms(ms));
        RetentionRule { matchers, time }
    };
    let retention = SelectorRetention::new(vec![rule("debug", 30_500), rule("none", 0)]);
    let compactor = compactor(&env, CompactOptions { retention, ..CompactOptions::default() });
    let stop = env.spawner.stop_signal();
    let blocks = open(&*env.fs);
    compactor.compact(&blocks, &*stop).unwrap().unwrap();
    data.retain(|labels, t| *labels != debug || t >= TimestampMs::new(now - 30_500));
    contents(&open(&*env.fs)).assert_equals(&data);
}

#[test]
fn a_damaged_source_is_named_and_marked_and_nothing_else_happens() {
    let world = SimWorld::new(5);
    let env = world.env();
    let all = write_blocks(&env, 5, Kinds::Floats, 40_000, (8, 60));
    let parents = open(&*env.fs);
    let path = parents[1].dir().join("chunks").join("000001");
    let bytes = read_all(&*env.fs, &path).unwrap();
    let mut damaged = bytes.clone();
    let at = damaged.len() - 10;
    damaged[at] ^= 4;
    let replace = |bytes: &[u8]| {
        env.fs.remove_file(&path).unwrap();
        append_all(&mut *env.fs.open(&path, OpenMode::CreateNew).unwrap(), bytes).unwrap();
    };
    replace(&damaged);
    let blocks = open(&*env.fs);
    let before = names(&*env.fs);
    match compact_all(&env, &blocks) {
        Err(CompactError::Corrupt { block, .. }) => assert_eq!(block, blocks[1].dir()),
        other => panic!("{other:?}"),
    }
    assert_eq!(names(&*env.fs), before);
    replace(&bytes);
    let blocks = open(&*env.fs);
    let failed: Vec<bool> = blocks.iter().map(|b| b.meta().compaction.failed).collect();
    assert_eq!(failed, [false, true, false]);
    contents(&blocks).assert_equals(&all);
}

#[test]
fn a_stopped_compaction_leaves_everything_as_it_was() {
    let world = SimWorld::new(6);
    let env = world.env();
    let all = write_blocks(&env, 6, Kinds::Floats, 40_000, (8, 60));
    let blocks = open(&*env.fs);
    let (before, metas) = (names(&*env.fs), blocks.iter().map(|b| b.meta()).collect::<Vec<BlockMeta>>());
    let stop = env.spawner.stop_signal();
    stop.stop();
    let stopped = compactor(&env, CompactOptions::default()).compact(&blocks, &*stop);
    assert!(matches!(stopped, Err(CompactError::Stopped)), "{stopped:?}");
    assert_eq!(names(&*env.fs), before);
    let blocks = open(&*env.fs);
    assert_eq!(blocks.iter().map(|b| b.meta()).collect::<Vec<_>>(), metas);
    contents(&blocks).assert_equals(&all);
}

/// The files of a block whose bytes follow from its series.
fn files(fs: &dyn Fs, dir: &Path) -> Vec<Vec<u8>> {
    ["index", "chunks/000001"].iter().map(|file| read_all(fs, &dir.join(file)).unwrap()).collect()
}

#[test]
fn batches_of_any_size_on_any_thread_make_the_block_that_one_thread_makes() {
    for seed in 0..6 {
        println!("seed {seed}");
        let (kinds, step) = (Kinds::FloatsAndHistograms, STEPS[seed as usize % 3]);
        let made = |batch_bytes, threads| {
            let world = SimWorld::new(seed);
            let env = world.env();
            write_blocks(&env, seed, kinds, step, (20, 150));
            let parents = open(&*env.fs);
            let compact = |env: &Env| compact_in_batches(env, &parents, batch_bytes).unwrap().unwrap();
            // Outside of a run no thread can be started.
            let meta = if threads { world.run(compact) } else { compact(&env) };
            (files(&*env.fs, &Path::new(DATA).join(meta.ulid.to_string())), meta.stats)
        };
        let alone = made(usize::MAX, false);
        for batch_bytes in [0, 2000] {
            assert_eq!(made(batch_bytes, true), alone);
            assert_eq!(made(batch_bytes, false), alone);
        }
    }
}

#[test]
fn two_real_threads_that_meet_in_a_batch_make_the_block_that_one_thread_makes() {
    let (env, dir) = (Env::real(), tempfile::tempdir().unwrap());
    let ids = Arc::new(BlockIds::new(&env));
    let stop = env.spawner.stop_signal();
    let compactor = |batch_bytes| {
        let options = CompactOptions { batch_bytes, ..CompactOptions::default() };
        Compactor::new(&env, Arc::clone(&ids), dir.path(), options)
    };
    let mut parents = Vec::new();
    for block in 0..3 {
        let mut data = MemoryStorage::default();
        for series in 0..300 {
            let labels = Labels::from_pairs([("n", format!("{series:04}"))]);
            let sample = |i: i64| (block * 7 + i * 20, (i * series) as f64);
            data.insert_floats(&labels, (0..200).map(sample));
        }
        let new = new_block(&data, 50, (0, 10_000), &*stop);
        let meta = compactor(usize::MAX).write(new).unwrap().unwrap();
        parents.push(Arc::new(Block::open(&*env.fs, &dir.path().join(meta.ulid.to_string())).unwrap()));
    }
    let made = |batch_bytes| {
        let meta = compactor(batch_bytes).compact(&parents, &*stop).unwrap().unwrap();
        files(&*env.fs, &dir.path().join(meta.ulid.to_string()))
    };
    let alone = made(usize::MAX);
    for batch_bytes in [0, 5_000, 100_000] {
        assert!(made(batch_bytes) == alone, "batches of {batch_bytes} bytes");
    }
}

#[test]
fn a_chunk_that_cannot_be_merged_is_its_blocks_fault_whichever_thread_finds_it() {
    /// The count of samples says more than there are.
    const BROKEN: &[u8] = &[0, 200, 2, 0, 0];
    for (batch_bytes, threads) in [(usize::MAX, false), (0, false), (0, true), (1000, true)] {
        let world = SimWorld::new(9);
        let env = world.env();
        write_blocks(&env, 9, Kinds::Floats, 40_000, (8, 60));
        let labels = Labels::from_pairs([("n", "always")]);
        let mut symbols = Symbols::default();
        symbols.add(&labels);
        let id = BlockIds::new(&env).next();
        let mut writer =
            BlockWriter::create(&env.fs, Path::new(DATA), id, symbols, WriteOptions::default()).unwrap();
        let bytes = bytes::Bytes::from_static(BROKEN);
        let chunk = Chunk { min: ms(0), max: ms(90_000), encoding: skopos_chunk::Encoding::Xor, bytes };
        writer.add_series(&labels, &[chunk]).unwrap();
        writer.finish(BlockMeta::new(id, ms(0), ms(200_000), Compaction::default())).unwrap();
        let blocks = open(&*env.fs);
        let before = names(&*env.fs);
        let compact = |env: &Env| compact_in_batches(env, &blocks, batch_bytes);
        match if threads { world.run(compact) } else { compact(&env) } {
            Err(CompactError::Corrupt { block, .. }) => assert!(block.ends_with(id.to_string())),
            other => panic!("{other:?}"),
        }
        assert_eq!(names(&*env.fs), before, "nothing is left of the block that was begun");
    }
}
