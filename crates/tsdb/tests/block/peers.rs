//! promtool as the judge: it reads what we wrote, and we read what it wrote, and for the same series both
//! write the same bytes.

use crate::common::*;
use skopos_base::{Env, fs::read_all};
use skopos_model::Labels;
use skopos_storage::{ChunkQuerier, TimeRange};
use skopos_testkit::peers;
use skopos_tsdb::block::{BlockMeta, BlockWriter, Symbols, WriteOptions};
use std::path::{Path, PathBuf};

pub(crate) fn promtool(arguments: &[&Path]) -> String {
    peers::promtool_tsdb(&peers::promtool(), arguments)
}

/// What `promtool tsdb dump` says of a data directory. It wants a WAL to be there.
fn promtool_dump(env: &Env, dir: &Path) -> Dump {
    env.fs.create_dir_all(&dir.join("wal")).unwrap();
    let mut dump = Dump::new();
    for line in promtool(&[Path::new("dump"), dir]).lines() {
        // {__name__="a", x="1"} 3 1700000000000
        let (series, rest) = line[1..].split_once("} ").unwrap();
        let (value, time) = rest.split_once(' ').unwrap();
        let pairs = series.split(", ").map(|pair| pair.split_once('=').unwrap());
        let labels = Labels::from_pairs(pairs.map(|(n, v)| (n, v.trim_matches('"').to_owned())));
        let value: f64 = value.parse().unwrap();
        dump.entry(labels).or_default().push((time.parse().unwrap(), value.to_bits()));
    }
    dump
}

/// OpenMetrics of series with several chunks each, within one block.
fn open_metrics() -> String {
    let mut text = String::new();
    for metric in ["first", "second", "third"] {
        text += &format!("# TYPE {metric} gauge\n");
        for i in 0..40 {
            for s in 0..200 {
                let value = (s * i) as f64 / 7.0;
                let zone = ["", ",zone=\"a\"", ",zone=\"b\""][i % 3];
                let time = 1_700_000_000 + s * 15;
                text += &format!("{metric}{{i=\"{i}\"{zone}}} {value} {time}\n");
            }
        }
    }
    text + "# EOF\n"
}

/// The only block of a data directory.
fn only_block(env: &Env, dir: &Path) -> PathBuf {
    let names: Vec<String> = env.fs.read_dir(dir).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    dir.join(&names[0])
}

#[test]
fn blocks_of_promtool_are_read_and_written_again_byte_for_byte() {
    let env = Env::real();
    let temp = tempfile::tempdir().unwrap();
    let (input, theirs, ours) =
        (temp.path().join("in"), temp.path().join("theirs"), temp.path().join("ours"));
    put(&env, &input, open_metrics().as_bytes());
    promtool(&[Path::new("create-blocks-from"), Path::new("openmetrics"), &input, &theirs]);
    let dir = only_block(&env, &theirs);
    let block = open(&env, &dir);
    let samples = dump(&env, &block).unwrap();
    assert_eq!((samples.len(), block.meta().stats.num_chunks), (120, 240));
    assert_eq!(samples, promtool_dump(&env, &theirs));

    env.fs.create_dir_all(&ours).unwrap();
    let mut symbols = Symbols::default();
    block.for_each_symbol(|s| symbols.add_text(s)).unwrap();
    let options = WriteOptions::default();
    let mut writer = BlockWriter::create(&env.fs, &ours, block.id(), symbols, options).unwrap();
    let querier = block.querier(TimeRange::ALL);
    let mut set = querier.select_chunks(&request(&env, &[], TimeRange::ALL)).unwrap();
    while let Some(series) = set.next_series().unwrap() {
        writer.add_series(&series.labels, &series.chunks).unwrap();
    }
    let meta = writer.finish(block.meta()).unwrap();
    let again = ours.join(block.id().to_string());
    for file in ["index", "chunks/000001", "tombstones"] {
        let read = |dir: &Path| read_all(&*env.fs, &dir.join(file)).unwrap();
        assert!(read(&again) == read(&dir), "{file} differs");
    }
    let mut expected = block.meta();
    // Promtool of 2.42 does not count by kind.
    expected.stats.num_float_samples = expected.stats.num_samples;
    assert_eq!((&meta, &BlockMeta::read(&*env.fs, &again).unwrap()), (&expected, &expected));
}

#[test]
fn promtool_reads_our_blocks() {
    let env = Env::real();
    let temp = tempfile::tempdir().unwrap();
    let mut series = some_series(150, 300);
    series
        .insert(labels(&[("__name__", "größe"), ("zone", "München")]), vec![(1_000_500, f64::MAX.to_bits())]);
    let dir = write(&env, temp.path(), &series, 120);
    let mut block = open(&env, &dir);
    assert_eq!(promtool_dump(&env, temp.path()), series);
    let list = promtool(&[Path::new("list"), temp.path()]);
    assert!(list.contains(&ID.to_string()) && list.contains("45001"), "{list}");
    let analysis = promtool(&[Path::new("analyze"), temp.path()]);
    for said in ["Series: 151", "Label names: 3", "Postings (unique label pairs): 158"] {
        assert!(analysis.contains(said), "{said}: {analysis}");
    }
    // And what is deleted is deleted for it too.
    let some = [matcher("zone", "=~", "z1|z2")];
    let gone = range(1_005_000, 2_000_000);
    assert_eq!(block.delete(&*env.fs, &some, gone, &budget(&env)).unwrap(), 75);
    let left = promtool_dump(&env, temp.path());
    assert_eq!(left, dump(&env, &block).unwrap());
    block = open(&env, &dir);
    assert_eq!(left, dump(&env, &block).unwrap());
    assert_ne!(left, series);
}
