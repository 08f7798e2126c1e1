//! Parts in order, whatever the threads do: under real threads and in simulated worlds.

use super::*;
use skopos_base::{real::RealSpawner, sim::SimWorld};
use skopos_storage::{QueryError, QueryLimits};
use std::sync::atomic::AtomicU64;

type Act = dyn Fn(usize) -> Result<(), EvalError> + Send + Sync;

/// Hands each part on, after something was done.
struct Acting(Arc<Act>);

impl Job for Acting {
    type Part = usize;
    type Made = usize;

    fn make(&self, part: usize, _: &AtomicBool) -> Result<usize, EvalError> {
        (self.0)(part).map(|()| part)
    }
}

struct Log {
    act: Arc<Act>,
    taken: Vec<usize>,
}

impl Owner<Acting> for Log {
    fn do_next(&mut self, part: usize) -> Result<(), EvalError> {
        (self.act)(part)?;
        self.take_in(part)
    }

    fn take_in(&mut self, made: usize) -> Result<(), EvalError> {
        self.taken.push(made);
        Ok(())
    }
}

fn budget(clock: Arc<dyn skopos_base::clock::Clock>) -> Arc<QueryBudget> {
    QueryBudget::new(QueryLimits::default(), clock)
}

fn options(max: usize) -> ShardOptions {
    ShardOptions { max, alone_up_to: 0 }
}

/// What was taken in, and how it ended.
fn run(shards: &Arc<Shards>, parts: usize, act: Arc<Act>) -> (Vec<usize>, Result<(), EvalError>) {
    let mut log = Log { act: Arc::clone(&act), taken: Vec::new() };
    let job = (Acting(act), (0..parts).collect());
    let ended = in_order(shards, job, &budget(Arc::new(skopos_base::real::RealClock::new())), &mut log);
    (log.taken, ended)
}

fn failed(n: usize) -> EvalError {
    EvalError::Storage(QueryError::Invalid(n.to_string()))
}

#[test]
fn parts_are_taken_in_order_whatever_the_number_of_threads() {
    for max in [1, 2, 3, 7] {
        let shards = Shards::new(Arc::new(RealSpawner), options(max));
        for parts in [0, 1, 2, 5, 200] {
            let seen = Arc::new(AtomicU64::new(0));
            let counted = Arc::clone(&seen);
            let (taken, ended) = run(
                &shards,
                parts,
                Arc::new(move |n| {
                    counted.fetch_add(1 + n as u64, Ordering::Relaxed);
                    Ok(())
                }),
            );
            ended.unwrap();
            assert_eq!(taken, (0..parts).collect::<Vec<_>>(), "{max} shards");
            assert_eq!(seen.load(Ordering::Relaxed), (0..parts as u64).map(|n| n + 1).sum::<u64>());
            assert_eq!(shards.helping(), 0);
        }
    }
}

#[test]
fn simulated_threads_make_the_same_of_it_in_every_schedule() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let one = || {
            let world = Arc::new(SimWorld::new(seed));
            let inside = Arc::clone(&world);
            world.run(|env| {
                let shards = Shards::new(Arc::clone(&env.spawner), options(4));
                let order = Arc::new(Mutex::new(Vec::new()));
                let noted = Arc::clone(&order);
                let act: Arc<Act> = Arc::new(move |n| {
                    inside.yield_now();
                    noted.lock().push(n);
                    inside.yield_now();
                    Ok(())
                });
                let mut log = Log { act: Arc::clone(&act), taken: Vec::new() };
                let job = (Acting(act), (0..40).collect());
                in_order(&shards, job, &budget(Arc::clone(&env.clock)), &mut log).unwrap();
                assert_eq!(log.taken, (0..40).collect::<Vec<_>>(), "seed {seed}");
                order.lock().clone()
            })
        };
        let order = one();
        assert_eq!(order, one(), "seed {seed} twice");
        orders.insert(order);
    }
    assert!(orders.len() > 20, "the schedules hardly differ: {}", orders.len());
}

#[test]
fn of_several_errors_that_of_the_first_part_is_told() {
    for seed in 0..60 {
        let world = Arc::new(SimWorld::new(seed));
        let inside = Arc::clone(&world);
        world.run(|env| {
            let shards = Shards::new(Arc::clone(&env.spawner), options(3));
            let act: Arc<Act> = Arc::new(move |n| {
                (0..7 - n % 7).for_each(|_| inside.yield_now());
                if n >= 9 { Err(failed(n)) } else { Ok(()) }
            });
            let mut log = Log { act: Arc::clone(&act), taken: Vec::new() };
            let job = (Acting(act), (0..30).collect());
            let ended = in_order(&shards, job, &budget(Arc::clone(&env.clock)), &mut log);
            assert_eq!(ended.unwrap_err().to_string(), "9", "seed {seed}");
            assert_eq!(log.taken, (0..9).collect::<Vec<_>>(), "seed {seed}");
            assert_eq!(shards.helping(), 0);
        });
    }
}

#[test]
fn a_panic_of_a_helper_is_an_error_of_the_query() {
    let own = std::thread::current().id();
    for _ in 0..20 {
        let shards = Shards::new(Arc::new(RealSpawner), options(3));
        // The query's own thread waits until a helper has come.
        let came = Arc::new(AtomicBool::new(false));
        let act = move |_| {
            if std::thread::current().id() == own {
                while !came.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
                return Ok(());
            }
            came.store(true, Ordering::Release);
            panic!("a shard fell");
        };
        let (_, ended) = run(&shards, 100, Arc::new(act));
        let said = ended.unwrap_err().to_string();
        assert!(said.contains("a shard fell"), "{said}");
        assert_eq!(shards.helping(), 0, "its helpers are given back");
    }
}

#[test]
fn a_query_that_is_cancelled_ends_in_all_threads_at_their_next_look() {
    const SHARDS: u64 = 4;
    for cancel_at in [1, 10, 1000] {
        let shards = Shards::new(Arc::new(RealSpawner), options(SHARDS as usize));
        let budget = budget(Arc::new(skopos_base::real::RealClock::new()));
        let looks = Arc::new(AtomicU64::new(0));
        let (of_query, counted) = (Arc::clone(&budget), Arc::clone(&looks));
        // No part ever ends by itself.
        let act: Arc<Act> = Arc::new(move |_| {
            loop {
                if counted.fetch_add(1, Ordering::SeqCst) + 1 == cancel_at {
                    of_query.cancel();
                }
                of_query.check()?;
            }
        });
        let mut log = Log { act: Arc::clone(&act), taken: Vec::new() };
        let ended = in_order(&shards, (Acting(act), (0..50).collect()), &budget, &mut log);
        assert!(matches!(ended, Err(EvalError::Storage(QueryError::Cancelled))), "{ended:?}");
        // Each thread may be between its count and its look, and begin no further part than the one it has.
        let beyond = looks.load(Ordering::SeqCst) - cancel_at;
        assert!(beyond <= 2 * SHARDS, "{beyond} looks beyond the one at which it was cancelled");
    }
}

#[test]
fn queries_at_the_same_time_share_the_helpers() {
    let shards = Shards::new(Arc::new(RealSpawner), options(3));
    let most = Arc::new(AtomicUsize::new(0));
    let queries: Vec<_> = (0..6)
        .map(|_| {
            let (shards, most) = (Arc::clone(&shards), Arc::clone(&most));
            let body = move || {
                for _ in 0..20 {
                    let (of, seen) = (Arc::clone(&shards), Arc::clone(&most));
                    let act = move |_| {
                        seen.fetch_max(of.helping(), Ordering::Relaxed);
                        Ok(())
                    };
                    let (taken, ended) = run(&shards, 30, Arc::new(act));
                    ended.unwrap();
                    assert_eq!(taken.len(), 30);
                }
            };
            RealSpawner.spawn("query", Box::new(body)).unwrap()
        })
        .collect();
    queries.into_iter().for_each(|q| q.join().unwrap());
    assert_eq!(shards.helping(), 0);
    assert!((1..=2).contains(&most.load(Ordering::Relaxed)), "{most:?}");
}

/// Makes something only once nobody wants it any more.
struct Endless;

impl Job for Endless {
    type Part = usize;
    type Made = usize;

    fn make(&self, part: usize, is_left: &AtomicBool) -> Result<usize, EvalError> {
        while !is_left.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        Ok(part)
    }
}

#[test]
fn a_part_that_nobody_wants_any_more_is_not_waited_for() {
    let shards = Shards::new(Arc::new(RealSpawner), options(2));
    let help = shards.take(1).unwrap();
    let table = Arc::new(Table {
        job: Endless,
        budget: budget(Arc::new(skopos_base::real::RealClock::new())),
        parts: Mutex::new((0..2).enumerate().collect()),
        made: Mutex::new(BTreeMap::new()),
        ahead: AHEAD,
        over: AtomicBool::new(false),
        is_left: AtomicBool::new(false),
        pause: help.spawner.stop_signal(),
    });
    let helped = Arc::clone(&table);
    let thread = help.spawner.spawn("helper", Box::new(move || helped.help())).unwrap();
    while table.parts.lock().len() == 2 {
        std::hint::spin_loop();
    }
    // The helper has the first. The query's own thread goes, as it does with an error.
    drop(Helpers { table: Arc::clone(&table), threads: vec![thread], _help: help });
    assert_eq!(table.parts.lock().len(), 1, "no other was begun");
    assert_eq!(shards.helping(), 0);
}
