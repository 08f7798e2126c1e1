//! Worlds: that they repeat by seed and differ between seeds, that time jumps, and that a world which
//! cannot go on says why.

use parking_lot::Mutex;
use skopos_base::{
    Env,
    clock::Clock,
    sim::{SimClock, SimWorld, clock::WALL_START_MS},
};
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

/// What three threads that sleep and draw numbers do, in the order in which they do it.
fn trace(seed: u64) -> Vec<String> {
    let world = SimWorld::new(seed);
    let trace = Arc::new(Mutex::new(Vec::new()));
    world.run(|env| {
        let threads: Vec<_> = (0..3)
            .map(|id| {
                let (inner, trace) = (env.clone(), trace.clone());
                let body = move || {
                    for _ in 0..5 {
                        let n = inner.rng.below(3);
                        let now = inner.clock.monotonic();
                        trace.lock().push(format!("{id} draws {n} at {now:?}"));
                        inner.clock.sleep(Duration::from_millis(n));
                    }
                };
                env.spawner.spawn(&format!("thread {id}"), Box::new(body)).unwrap()
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
    let trace = trace.lock().clone();
    assert_eq!(trace.len(), 15);
    trace
}

/// The message of the panic that a run must end with.
fn failure(world: &SimWorld, main: impl FnOnce(&Env)) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| world.run(main))).unwrap_err();
    panic.downcast_ref::<String>().expect("a message").clone()
}

#[test]
fn a_seed_gives_one_order_and_seeds_give_many() {
    for seed in 0..5 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
    let traces: BTreeSet<_> = (0..20).map(trace).collect();
    assert!(traces.len() >= 19, "{} of 20", traces.len());
}

#[test]
fn time_jumps_to_the_next_wake_up_and_wall_time_goes_along() {
    let world = SimWorld::new(1);
    world.run(|env| {
        let inner = env.clone();
        let body = move || {
            inner.clock.sleep(10 * SECOND);
            assert_eq!(inner.clock.monotonic(), 10 * SECOND);
        };
        let thread = env.spawner.spawn("ten", Box::new(body)).unwrap();
        env.clock.sleep(3 * SECOND);
        assert_eq!(env.clock.monotonic(), 3 * SECOND);
        env.clock.sleep(365 * 86_400 * SECOND);
        thread.join().unwrap();
    });
    let env = world.env();
    assert_eq!(env.clock.wall_ms(), WALL_START_MS + (365 * 86_400 + 3) * 1000);
    world.jump_wall(-5000);
    assert_eq!(env.clock.wall_ms(), WALL_START_MS + (365 * 86_400 - 2) * 1000);
    env.clock.sleep(SECOND);
    assert_eq!(
        env.clock.monotonic(),
        (365 * 86_400 + 4) * SECOND,
        "outside of a run a sleep takes its time too"
    );
}

#[test]
fn a_stop_ends_a_wait_before_its_time() {
    SimWorld::new(1).run(|env| {
        let stop = env.spawner.stop_signal();
        let (inner, signal) = (env.clone(), stop.clone());
        let body = move || {
            assert!(signal.wait(100 * SECOND));
            assert_eq!(inner.clock.monotonic(), 7 * SECOND);
        };
        let thread = env.spawner.spawn("waiter", Box::new(body)).unwrap();
        env.clock.sleep(7 * SECOND);
        stop.stop();
        thread.join().unwrap();
    });
}

#[test]
fn threads_run_one_at_a_time_and_switch_at_yields() {
    let mut orders = BTreeSet::new();
    for seed in 0..10 {
        let world = Arc::new(SimWorld::new(seed));
        let order = Arc::new(Mutex::new(String::new()));
        let inner = world.clone();
        let in_run = order.clone();
        world.run(move |env| {
            let spawn = |letter| {
                let (order, world) = (in_run.clone(), inner.clone());
                let body = move || {
                    for _ in 0..3 {
                        order.lock().push(letter);
                        world.yield_now();
                    }
                };
                env.spawner.spawn("letter", Box::new(body)).unwrap()
            };
            let (a, b) = (spawn('a'), spawn('b'));
            assert!(in_run.lock().is_empty(), "a spawn is no switch");
            a.join().unwrap();
            b.join().unwrap();
        });
        assert_eq!(world.env().clock.monotonic(), Duration::ZERO);
        orders.insert(order.lock().clone());
    }
    assert!(orders.len() > 3, "{orders:?}");
}

#[test]
fn a_deadlock_names_the_threads_and_what_they_wait_for() {
    let world = SimWorld::new(42);
    let message = failure(&world, |env| {
        let stop = env.spawner.stop_signal();
        let body = move || {
            stop.wait(Duration::MAX);
        };
        env.spawner.spawn("forgotten", Box::new(body)).unwrap().join().unwrap();
    });
    let expected = "world of seed 42: main panicked: world of seed 42: every thread waits for another; \
                    \"main\" waits for the end of \"forgotten\"; \"forgotten\" waits for a stop signal";
    assert_eq!(message, expected);
}

#[test]
fn a_panic_that_nobody_joined_fails_the_run_with_its_seed() {
    let world = SimWorld::new(43);
    let message = failure(&world, |env| {
        let body = || std::panic::resume_unwind(Box::new("out of luck"));
        drop(env.spawner.spawn("detached", Box::new(body)).unwrap());
        env.clock.sleep(SECOND);
    });
    assert_eq!(message, "world of seed 43; thread \"detached\" panicked: out of luck");
    let message = failure(&world, |_| std::panic::resume_unwind(Box::new("main too".to_owned())));
    assert_eq!(message, "world of seed 43: main panicked: main too");
    world.run(|env| env.clock.sleep(SECOND));
}

#[test]
fn a_time_limit_ends_what_would_go_on_for_ever() {
    let world = SimWorld::new(44);
    world.set_time_limit(60 * SECOND);
    let message = failure(&world, |env| {
        let inner = env.clone();
        let body = move || {
            loop {
                inner.clock.sleep(SECOND);
            }
        };
        env.spawner.spawn("again and again", Box::new(body)).unwrap().join().unwrap();
    });
    assert!(message.contains("the time limit passed"), "{message}");
    assert!(message.contains("\"again and again\" waits for a time"), "{message}");
    assert_eq!(world.env().clock.monotonic(), 60 * SECOND);
}

#[test]
fn threads_that_are_left_unwind_when_main_returns() {
    struct Note(Arc<Mutex<Vec<u32>>>, u32, Env);
    impl Drop for Note {
        fn drop(&mut self) {
            // A destructor that waits must neither hang nor abort.
            self.2.clock.sleep(SECOND);
            self.0.lock().push(self.1);
        }
    }
    let dropped = Arc::new(Mutex::new(Vec::new()));
    SimWorld::new(1).run(|env| {
        for i in 0..3 {
            let note = Note(dropped.clone(), i, env.clone());
            let body = move || note.2.spawner.stop_signal().wait(Duration::MAX).then_some(()).unwrap();
            drop(env.spawner.spawn("left", Box::new(body)).unwrap());
        }
        env.clock.sleep(SECOND);
        let never = Note(dropped.clone(), 3, env.clone());
        drop(env.spawner.spawn("never ran", Box::new(move || drop(never))).unwrap());
    });
    assert_eq!(*dropped.lock(), [0, 1, 2, 3]);
}

#[test]
fn a_thread_outside_of_a_run_is_refused() {
    let world = SimWorld::new(1);
    let error = world.env().spawner.spawn("early", Box::new(|| {})).map(drop).unwrap_err();
    assert!(error.to_string().contains("outside of SimWorld::run"), "{error}");
}

#[test]
fn worlds_nest_and_share_nothing_but_what_they_are_given() {
    SimWorld::new(1).run(|outer| {
        outer.fs.create_dir_all(Path::new("/outer")).unwrap();
        outer.clock.sleep(SECOND);
        SimWorld::new(2).run(|inner| {
            assert!(!inner.fs.exists(Path::new("/outer")).unwrap());
            inner.clock.sleep(5 * SECOND);
        });
        outer.clock.sleep(SECOND);
        assert_eq!(outer.clock.monotonic(), 2 * SECOND);
    });
}

#[test]
fn a_clock_by_hand_moves_when_told() {
    let clock = SimClock::new(1000);
    assert_eq!((clock.wall_ms(), clock.monotonic()), (1000, Duration::ZERO));
    clock.advance(2 * SECOND);
    clock.sleep(SECOND);
    assert_eq!((clock.wall_ms(), clock.monotonic()), (4000, 3 * SECOND));
    clock.jump_wall(-3500);
    assert_eq!((clock.wall_ms(), clock.monotonic()), (500, 3 * SECOND));
    assert_eq!(SimClock::default().wall_ms(), WALL_START_MS);
}
