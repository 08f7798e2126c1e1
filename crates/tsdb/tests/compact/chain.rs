//! Chains of blocks some of which overlap: the contracts of storage, and the first of the blocks counts.

use crate::common::{DATA, contents, querier, write_block};
use skopos_base::{Env, rng::Rng, sim::SimWorld};
use skopos_model::{Labels, TimestampMs, histogram::CounterResetHint};
use skopos_storage::{Querier, TimeRange};
use skopos_testkit::storage::{Kinds, MemoryStorage, Point, Size, check_querier, made_data};
use skopos_tsdb::block::{Block, BlockChain};
use std::{path::Path, sync::Arc};

/// Blocks of made data over these times, in thousands; what they hold together, where the first counts.
fn blocks_over(env: &Env, rng: &Rng, kinds: Kinds, spans: &[(i64, i64)]) -> (Vec<Arc<Block>>, MemoryStorage) {
    let mut all = MemoryStorage::default();
    let one = |(from, to): &(i64, i64)| {
        let (from, to) = (from * 1000, to * 1000);
        let mut data = made_data(rng, kinds, Size { series: 12, samples: 60, from, to });
        data.insert_floats(&Labels::from_pairs([("n", "always")]), [(from, from as f64)]);
        let meta = write_block(env, &data, (from, to));
        all.merge(&data);
        Arc::new(Block::open(&*env.fs, &Path::new(DATA).join(meta.ulid.to_string())).unwrap())
    };
    (spans.iter().map(one).collect(), all)
}

/// All samples. A merge says less of counter resets where it goes from one block to another.
fn without_hints(all: &MemoryStorage) -> Vec<(Labels, Vec<(TimestampMs, Point)>)> {
    let bare = |(t, point): (&TimestampMs, &Point)| {
        let mut point = point.clone();
        if let Point::Histogram(h) = &mut point {
            h.layout.counter_reset_hint = CounterResetHint::Unknown;
        }
        (*t, point)
    };
    all.iter().map(|(labels, samples)| (labels.clone(), samples.iter().map(bare).collect())).collect()
}

#[test]
fn a_chain_of_which_some_blocks_overlap_keeps_the_contracts_of_storage() {
    let cases: [(&str, &[(i64, i64)]); 5] = [
        ("none", &[(0, 100), (200, 300), (100, 200)]),
        ("two", &[(300, 400), (0, 100), (250, 290), (50, 150)]),
        ("each the next, and one alone", &[(180, 280), (0, 100), (90, 190), (400, 500)]),
        ("some within another", &[(100, 200), (0, 400), (150, 180), (500, 600)]),
        ("two pairs", &[(0, 100), (200, 300), (50, 150), (150, 200), (250, 350)]),
    ];
    for (seed, (what, spans)) in (0..).zip(cases) {
        println!("{what} overlap");
        let env = SimWorld::new(seed).env();
        let (blocks, all) = blocks_over(&env, &Rng::from_seed(seed), Kinds::Floats, spans);
        assert!(BlockChain::of(&blocks, TimeRange::ALL).is_some());
        check_querier(&all, &|range| match BlockChain::of(&blocks, range) {
            Some(chain) => Box::new(chain) as Box<dyn Querier>,
            None => querier(&blocks, range),
        });
        let env = SimWorld::new(100 + seed).env();
        let (blocks, _) = blocks_over(&env, &Rng::from_seed(seed), Kinds::FloatsAndHistograms, spans);
        let chain = BlockChain::of(&blocks, TimeRange::ALL).expect("not all overlap");
        assert_eq!(
            without_hints(&MemoryStorage::collect(&chain, &[], TimeRange::ALL)),
            without_hints(&contents(&blocks))
        );
    }
}

#[test]
fn blocks_each_of_which_overlaps_the_next_are_no_chain_but_where_a_query_asks_for_less() {
    let env = SimWorld::new(1).env();
    let (blocks, _) =
        blocks_over(&env, &Rng::from_seed(1), Kinds::Floats, &[(0, 100), (50, 300), (200, 400)]);
    assert!(BlockChain::of(&blocks, TimeRange::ALL).is_none());
    assert!(BlockChain::of(&blocks[..1], TimeRange::ALL).is_none());
    assert!(BlockChain::of(&[], TimeRange::ALL).is_none());
    let apart = [Arc::clone(&blocks[0]), Arc::clone(&blocks[2])];
    assert!(BlockChain::of(&apart, TimeRange::ALL).is_some());
}
