//! Every bit of every file of a small block flipped, and every length cut to: what is read is the same, or
//! nothing with a word about where the damage is.

use crate::common::*;
use skopos_base::{Env, fs::read_all, sim::SimWorld};
use skopos_storage::{Querier, TimeRange};
use skopos_tsdb::block::{Block, BlockError, BlockMeta, BlockStats};
use std::{path::Path, sync::Arc};

/// All that can be asked of a block.
#[derive(Debug, PartialEq)]
struct Answers {
    samples: Dump,
    some: Dump,
    names: Vec<String>,
    values: Vec<String>,
    range: TimeRange,
    stats: BlockStats,
}

fn answers(env: &Env, dir: &Path) -> Result<Answers, BlockError> {
    let block = Arc::new(Block::open(&*env.fs, dir)?);
    let querier = block.querier(TimeRange::ALL);
    let some = [matcher("zone", "=~", "z.*"), matcher("__name__", "!=", "m1")];
    Ok(Answers {
        samples: dump(env, &block)?,
        some: select(&querier, &request(env, &some, range(1_010_000, 1_030_000)))?,
        names: querier.label_names(&label_request(env, &[], 0))?,
        values: querier.label_values("i", &label_request(env, &some, 0))?,
        range: block.range(),
        stats: block.meta().stats,
    })
}

fn small_block(env: &Env) -> std::path::PathBuf {
    let series = some_series(7, 6);
    let dir = write(env, Path::new(DIR), &series, 3);
    let block = open(env, &dir);
    let gone =
        block.delete(&*env.fs, &[matcher("i", "=~", "2|3")], range(1_015_000, 1_045_000), &budget(env));
    assert_eq!(gone.unwrap(), 2);
    dir
}

/// Damages one file; how many ways were found, and how many were harmless.
fn damage(file: &str, ways: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> (usize, usize) {
    let env = SimWorld::new(1).env();
    let dir = small_block(&env);
    damage_file(&env, &dir, file, ways, || answers(&env, &dir))
}

#[test]
fn no_bit_of_a_chunk_segment_makes_a_wrong_sample() {
    // Three bytes of padding in the header mean nothing.
    assert_eq!(damage("chunks/000001", every_bit).1, 24);
    assert_eq!(damage("chunks/000001", every_length).1, 0);
}

#[test]
fn no_bit_of_an_index_makes_a_wrong_answer() {
    let (found, harmless) = damage("index", every_bit);
    // The padding between series, the label indices that nobody reads, and postings that were not asked for.
    assert!(found > harmless, "{found} found, {harmless} harmless");
    assert_eq!(damage("index", every_length).1, 0);
}

#[test]
fn no_bit_of_a_tombstone_file_brings_samples_back() {
    assert_eq!(damage("tombstones", every_bit).1, 0);
    assert_eq!(damage("tombstones", every_length).1, 0);
}

#[test]
fn no_bit_of_the_meta_makes_a_wrong_answer() {
    let (found, harmless) = damage("meta.json", every_bit);
    // White space, and the name under which our checksum stands.
    assert!(found > 8 * harmless, "{found} found, {harmless} harmless");
    assert_eq!(damage("meta.json", every_length).1, 0);
}

#[test]
fn a_missing_segment_is_damage() {
    let env = SimWorld::new(1).env();
    let dir = write(&env, Path::new(DIR), &some_series(300, 60), 120);
    assert!(env.fs.read_dir(&dir.join("chunks")).unwrap().len() > 2, "there are several segments");
    env.fs.remove_file(&dir.join("chunks/000001")).unwrap();
    let error = Block::open(&*env.fs, &dir).unwrap_err();
    assert!(error.to_string().contains("segment 000001 is missing"), "{error}");
}

#[test]
fn what_others_wrote_into_the_meta_stays_there() {
    let env = SimWorld::new(1).env();
    let dir = small_block(&env);
    let text = r#"{
        "ulid": "01HF7YAT00299YG4TAQGFF0W1M", "minTime": 5, "maxTime": 9, "version": 1,
        "stats": {"numSamples": 3, "numSeries": 7, "numFancy": {"a": [1, null]}},
        "compaction": {"level": 2, "sources": ["01HF7YAT00299YG4TAQGFF0W1M"], "failed": true,
            "hints": ["from-out-of-order"],
            "parents": [{"ulid": "01HF7YAT00299YG4TAQGFF0W1M", "minTime": 1, "maxTime": 2, "by": "hand"}],
            "later": 7},
        "thanos": {"labels": {"replica": "a"}, "downsample": {"resolution": 300000},
            "source": "compactor",
            "files": [{"rel_path": "index", "size_bytes": 18446744073709551615}],
            "index_stats": {"ratio": 1.5}},
        "unheard": "of"
    }"#;
    put(&env, &dir.join("meta.json"), text.as_bytes());
    let meta = BlockMeta::read(&*env.fs, &dir).unwrap();
    assert_eq!((meta.stats.num_series, meta.compaction.level, meta.compaction.failed), (7, 2, true));
    assert_eq!(meta.compaction.hints, ["from-out-of-order"]);
    meta.write(&*env.fs, &dir).unwrap();
    let parse = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    let mut written = parse(&read_all(&*env.fs, &dir.join("meta.json")).unwrap());
    assert!(written.as_object_mut().unwrap().remove("skopos").is_some());
    assert_eq!(written, parse(text.as_bytes()));
}
