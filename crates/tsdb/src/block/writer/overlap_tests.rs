//! Blocks with chunks that overlap, as other programs may write them; ours does not.

use super::*;
use crate::block::{Block, Compaction};
use skopos_base::sim::SimWorld;
use skopos_chunk::{Encoding, XorEncoder, XorIter};
use skopos_storage::{
    ChunkQuerier, Querier, QueryBudget, QueryLimits, SelectRequest, SeriesBatch, Shard, TimeRange,
};

fn chunk(from: i64, to: i64, value: f64) -> Chunk {
    let (mut encoder, time) = (XorEncoder::new(), TimestampMs::new);
    (from..to).step_by(10).for_each(|t| encoder.append(time(t), value));
    let bytes = encoder.into_bytes().into();
    Chunk { min: time(from), max: time(to - 10), encoding: Encoding::Xor, bytes }
}

/// Writes the chunks of one series without asking whether they overlap.
fn write(writer: &mut BlockWriter, labels: &Labels, chunks: &[Chunk]) {
    let mut metas = Vec::new();
    for c in chunks {
        let at = writer.chunks.add(&*writer.unfinished.fs, c.encoding, &c.bytes).unwrap();
        metas.push(ChunkMeta { min: c.min, max: c.max, at });
    }
    writer.index.add_series(labels, &metas).unwrap();
    writer.stats.num_series += 1;
}

#[test]
fn overlapping_chunks_of_a_series_are_merged() {
    SimWorld::new(1).run(|env| {
        let (dir, id) = (Path::new("/data"), BlockId::new(7));
        env.fs.create_dir_all(dir).unwrap();
        let labels = |i: &str| Labels::from_pairs([("__name__", "m"), ("i", i)]);
        let mut symbols = Symbols::default();
        ["1", "2"].iter().for_each(|i| symbols.add(&labels(i)));
        let mut writer = BlockWriter::create(&env.fs, dir, id, symbols, WriteOptions::default()).unwrap();
        // One within another, one that reaches over the end, and one by itself.
        let chunks =
            [chunk(0, 1000, 1.0), chunk(205, 405, 2.0), chunk(900, 1200, 3.0), chunk(2000, 2100, 4.0)];
        write(&mut writer, &labels("1"), &chunks);
        write(&mut writer, &labels("2"), &chunks[3..]);
        let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
        let meta = BlockMeta::new(id, TimestampMs::new(0), TimestampMs::new(3000), compaction);
        writer.finish(meta).unwrap();

        let block = Arc::new(Block::open(&*env.fs, &dir.join(id.to_string())).unwrap());
        let all = |range: TimeRange| {
            let of = |from: i64, to: i64, v: f64| (from..to).step_by(10).map(move |t| (t, v));
            let mut all: Vec<_> = of(0, 1000, 1.0).chain(of(205, 405, 2.0)).collect();
            all.extend(of(1000, 1200, 3.0).chain(of(2000, 2100, 4.0)));
            all.sort_by_key(|(t, _)| *t);
            all.retain(|(t, _)| (range.min.as_ms()..=range.max.as_ms()).contains(t));
            all
        };
        let budget = || QueryBudget::new(QueryLimits::default(), Arc::clone(&env.clock));
        for (min, max) in [(0, 3000), (300, 950), (410, 890), (1100, 2050)] {
            let range = TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) };
            let request = SelectRequest { matchers: &[], range, shard: Shard::WHOLE, budget: budget() };
            let mut set = block.querier(range).select(&request).unwrap();
            let (mut batch, mut found) = (SeriesBatch::default(), Vec::new());
            while set.next_batch(&mut batch).unwrap() {
                let first = batch.iter().next().unwrap();
                found.extend(first.timestamps.iter().zip(first.values).map(|(t, v)| (t.as_ms(), *v)));
            }
            assert_eq!(found, all(range), "{min} to {max}");
        }
        let request =
            SelectRequest { matchers: &[], range: TimeRange::ALL, shard: Shard::WHOLE, budget: budget() };
        let mut set = block.querier(TimeRange::ALL).select_chunks(&request).unwrap();
        let series = set.next_series().unwrap().unwrap();
        assert!(series.chunks.is_sorted_by(|a, b| a.max < b.min));
        let samples = series.chunks.iter().flat_map(|c| XorIter::new(&c.bytes)).map(|s| s.unwrap());
        let samples: Vec<_> = samples.map(|s| (s.timestamp.as_ms(), s.value)).collect();
        assert_eq!(samples, all(TimeRange::ALL));
        assert!(set.next_series().unwrap().is_some() && set.next_series().unwrap().is_none());
    });
}
