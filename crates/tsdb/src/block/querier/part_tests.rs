//! Parts of a block whose index is out of order, as other programs may write it; ours does not.

use super::*;
use crate::block::{BlockId, BlockMeta, BlockWriter, Compaction, Symbols, WriteOptions};
use skopos_base::sim::SimWorld;
use skopos_chunk::{Encoding, XorEncoder};
use skopos_model::TimestampMs;
use skopos_storage::QueryLimits;
use std::path::Path;

/// Writes a block of four series with a sample each, the second one's at a time of its own, and selects of it
/// the others' time, in the given order of series.
fn out_of_order(env: &skopos_base::Env, order: [usize; 4]) -> BlockSeriesSet {
    let (dir, id, time) = (Path::new("/data"), BlockId::new(7), TimestampMs::new);
    env.fs.create_dir_all(dir).unwrap();
    let labels = ["a", "d", "e", "z"].map(|i| Labels::from_pairs([("i", i)]));
    let mut symbols = Symbols::default();
    labels.iter().for_each(|l| symbols.add(l));
    let mut writer = BlockWriter::create(&env.fs, dir, id, symbols, WriteOptions::default()).unwrap();
    for (labels, at) in labels.iter().zip([10, 500, 10, 10].map(time)) {
        let mut encoder = XorEncoder::new();
        encoder.append(at, 1.0);
        let bytes = encoder.into_bytes().into();
        writer.add_series(labels, &[Chunk { min: at, max: at, encoding: Encoding::Xor, bytes }]).unwrap();
    }
    let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
    writer.finish(BlockMeta::new(id, time(0), time(1000), compaction)).unwrap();
    let block = Arc::new(Block::open(&*env.fs, &dir.join(id.to_string())).unwrap());
    let budget = QueryBudget::new(QueryLimits::default(), Arc::clone(&env.clock));
    let range = TimeRange { min: time(0), max: time(100) };
    let request = SelectRequest { matchers: &[], range, shard: Shard::WHOLE, budget };
    let mut selected = block.querier(range).selected(&request, Charge::Series).unwrap();
    selected.ids = order.map(|i| selected.ids[i]).to_vec();
    BlockSeriesSet(selected)
}

fn read(mut set: BlockSeriesSet) -> Result<usize, QueryError> {
    let (mut batch, mut series) = (SeriesBatch::default(), 0);
    while set.next_batch(&mut batch)? {
        series += batch.len();
    }
    Ok(series)
}

#[test]
fn a_series_among_those_of_another_part_is_an_error_as_it_is_read_whole() {
    // A series that has no sample in the time is not read, and tells the search where to cut.
    let cases = [([0, 1, 2, 3], "e", true), ([0, 3, 1, 2], "e", false), ([0, 3, 1, 2], "z", false)];
    for (nth, (order, cut, is_sound)) in (0..).zip(cases) {
        let set = || out_of_order(&SimWorld::new(nth).env(), order);
        assert_eq!(read(set()).is_ok(), is_sound);
        let mut lower = set();
        let upper = lower.split_behind(&Labels::from_pairs([("i", cut)]), 0).unwrap();
        let parts = [read(lower), read(upper)];
        assert_eq!(parts.iter().all(Result::is_ok), is_sound, "{order:?} at {cut}: {parts:?}");
    }
}
