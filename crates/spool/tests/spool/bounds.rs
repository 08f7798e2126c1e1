//! Bytes, ages, and a disk without room.

use super::{ONE, TWO, drain, open, push, small, world};
use skopos_spool::{Options, Stats};
use std::time::Duration;

/// What a reader got, has still to get and lost, together.
fn sum(stats: &Stats, reader: usize, got: &[u64]) -> u64 {
    let of = &stats.readers[reader];
    let lost = of.lost.by_size + of.lost.by_age + of.lost.by_memory + of.lost.by_damage;
    got.iter().sum::<u64>() + of.pending + lost
}

#[test]
fn at_the_bound_the_oldest_go_and_are_counted_for_who_had_not_got_them() {
    world().run(|env| {
        let options = Options { max_bytes: 2000, ..small() };
        let spool = open(env, options, &["fast", "slow"]);
        let mut got = Vec::new();
        for n in 1..=40 {
            assert!(push(&spool, env, n));
            got.extend(drain(&spool, ONE));
            let stats = spool.stats();
            assert!(stats.bytes <= options.max_bytes, "{stats:?}");
            assert_eq!(sum(&stats, 1, &[]), (1..=n).sum(), "{stats:?}");
        }
        assert_eq!(got, (1..=40).collect::<Vec<_>>(), "who keeps up loses nothing");
        assert_eq!(spool.stats().readers[0].lost, Default::default());
        let rest = drain(&spool, TWO);
        assert!(rest.len() >= 10 && rest.ends_with(&[39, 40]), "{rest:?}");
        assert!(rest.is_sorted() && rest.windows(2).all(|w| w[0] + 1 == w[1]), "no gap: {rest:?}");
        let stats = spool.stats();
        assert_eq!(stats.readers[1].lost.by_size, (1..rest[0]).sum(), "{stats:?}");
    });
}

#[test]
fn a_bound_counts_only_what_a_reader_had_not_got() {
    world().run(|env| {
        let spool = open(env, Options { max_bytes: 1000, ..small() }, &["a"]);
        assert!((1..=6).all(|n| push(&spool, env, n)));
        // In the middle of the first file.
        let record = spool.peek(ONE).unwrap().unwrap();
        spool.advance(ONE, record.number).unwrap();
        let mut pushed = 6;
        while spool.stats().readers[0].lost.by_size == 0 {
            pushed += 1;
            assert!(push(&spool, env, pushed));
        }
        assert_eq!(sum(&spool.stats(), 0, &[1]), (1..=pushed).sum());
        let rest = drain(&spool, ONE);
        assert_eq!(spool.stats().readers[0].lost.by_size, (2..rest[0]).sum());
    });
}

#[test]
fn records_that_are_too_old_go_and_others_stay_for_their_time() {
    world().run(|env| {
        let hour = Duration::from_secs(3600);
        let options = Options { min_age: hour, max_age: 3 * hour, ..small() };
        let spool = open(env, options, &["a", "b"]);
        assert!((1..=6).all(|n| push(&spool, env, n)));
        drain(&spool, ONE);
        drain(&spool, TWO);
        assert!(spool.stats().segments > 1, "they are younger than an hour");
        env.clock.sleep(hour);
        assert!(push(&spool, env, 7));
        assert_eq!(spool.stats().segments, 1);
        drain(&spool, TWO);
        for n in 8..=12 {
            assert!(push(&spool, env, n));
        }
        env.clock.sleep(3 * hour + Duration::from_secs(1));
        assert!(push(&spool, env, 13));
        assert_eq!(drain(&spool, ONE), [13]);
        let lost = [0, 1].map(|at| spool.stats().readers[at].lost.by_age);
        assert_eq!(lost, [(7..=12).sum(), (8..=12).sum()]);
    });
}

#[test]
fn a_disk_without_room_costs_nothing_while_memory_has_some() {
    let world = world();
    world.run(|env| {
        let spool = open(env, small(), &["a", "b"]);
        assert!((1..=3).all(|n| push(&spool, env, n)));
        world.fs().set_capacity(Some(500));
        let durable = (4..=9).filter(|n| push(&spool, env, *n)).count();
        assert!(durable < 3, "the disk is full");
        assert!(spool.stats().unwritten_bytes > 300 && spool.stats().refusals > 0);
        assert_eq!(drain(&spool, ONE), (1..=9).collect::<Vec<_>>(), "records in memory are there to be got");
        assert!(spool.retry().is_err());
        world.fs().set_capacity(None);
        spool.retry().unwrap();
        assert_eq!(spool.stats().unwritten_bytes, 0);
        drop(spool);
        let spool = open(env, small(), &["a", "b"]);
        assert_eq!(drain(&spool, TWO), (1..=9).collect::<Vec<_>>());
        assert_eq!(spool.stats().readers[1].lost, Default::default());
    });
}

#[test]
fn memory_is_bounded_too_and_says_what_it_cost() {
    let world = world();
    world.run(|env| {
        let spool = open(env, Options { max_unwritten_bytes: 350, ..small() }, &["a"]);
        assert!((1..=2).all(|n| push(&spool, env, n)));
        world.fs().set_capacity(Some(0));
        assert!((3..=9).all(|n| !push(&spool, env, n)));
        let stats = spool.stats();
        assert!(stats.unwritten_bytes <= 350, "{stats:?}");
        assert_eq!(sum(&stats, 0, &[]), (1..=9).sum());
        world.fs().set_capacity(None);
        assert!(push(&spool, env, 10), "it goes on without a restart");
        assert_eq!(drain(&spool, ONE), [1, 2, 7, 8, 9, 10]);
        assert_eq!(spool.stats().readers[0].lost.by_memory, (3..=6).sum());
    });
}
