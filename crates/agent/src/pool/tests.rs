//! Collectors that hang, fail and panic, beside some that do not.

use super::*;
use crate::{host::ThisHost, testing};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A clock that is set by hand.
#[derive(Debug, Default)]
struct HandClock(AtomicU64);

impl Clock for HandClock {
    fn wall_ms(&self) -> i64 {
        0
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn sleep(&self, _: Duration) {}
}

const DEADLINE: Duration = Duration::from_secs(8);

/// What the collectors of a test share.
#[derive(Debug, Default)]
struct Stage {
    clock: Arc<HandClock>,
    /// How many collectors came to their end.
    ended: AtomicUsize,
    hangs: Mutex<bool>,
    let_go: Condvar,
}

#[derive(Debug)]
enum Part {
    Good,
    /// Takes a second.
    Slow,
    Fails,
    Panics,
    WritesTwice,
    /// Hangs once so many others have ended, and lets the deadline pass.
    Hangs {
        after: usize,
    },
}

#[derive(Debug)]
struct Player {
    name: &'static str,
    part: Part,
    stage: Arc<Stage>,
}

impl Collector for Player {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        context.out.gauge(self.name, "A number.", 1.0);
        let result = match self.part {
            Part::Good => Ok(()),
            Part::Slow => {
                self.stage.clock.0.fetch_max(1, Ordering::SeqCst);
                Ok(())
            }
            Part::Fails => Err(CollectError::NoData("there is none".into())),
            Part::Panics => panic!("a defect"),
            Part::WritesTwice => {
                context.out.gauge(self.name, "A number.", 2.0);
                Ok(())
            }
            Part::Hangs { after } => {
                while self.stage.ended.load(Ordering::SeqCst) < after {
                    std::thread::yield_now();
                }
                let mut hangs = self.stage.hangs.lock();
                if *hangs {
                    self.stage.clock.0.fetch_max(DEADLINE.as_secs(), Ordering::SeqCst);
                }
                while *hangs {
                    self.stage.let_go.wait(&mut hangs);
                }
                Ok(())
            }
        };
        self.stage.ended.fetch_add(1, Ordering::SeqCst);
        result
    }
}

fn pool(stage: &Arc<Stage>, parts: Vec<(&'static str, Part)>) -> Pool {
    let player = |(name, part)| -> (&'static str, Box<dyn Collector>) {
        (name, Box::new(Player { name, part, stage: Arc::clone(stage) }))
    };
    let env = testing::env_of(Arc::new(ThisHost));
    let clock = Arc::clone(&stage.clock) as Arc<dyn Clock>;
    let world = World { paths: Paths::default(), host: env.host, clock };
    Pool::new(parts.into_iter().map(player).collect(), world, env.spawner)
}

fn successes(pool: &Pool, slots: &[usize]) -> Vec<bool> {
    let done = pool.run(slots, Format::Text, DEADLINE);
    assert_eq!(done.iter().map(|done| done.slot).collect::<Vec<_>>(), slots);
    let success = done.iter().map(|done| done.success).collect();
    pool.give_back(done);
    success
}

#[test]
fn one_that_fails_or_panics_disturbs_nobody() {
    let stage = Arc::new(Stage::default());
    let pool = pool(
        &stage,
        vec![
            ("a", Part::Good),
            ("b", Part::Panics),
            ("c", Part::Fails),
            ("d", Part::WritesTwice),
            ("e", Part::Good),
        ],
    );
    for _ in 0..3 {
        assert_eq!(successes(&pool, &[0, 1, 2, 3, 4]), [true, false, false, false, true]);
    }
    assert_eq!(successes(&pool, &[4, 1]), [true, false], "only those that are asked for");
    assert!(successes(&pool, &[]).is_empty());
    let done = pool.run(&[0], Format::Text, DEADLINE);
    assert!(String::from_utf8_lossy(&done[0].part).ends_with("a 1\n"), "{done:?}");
    assert!(pool.shared.state.lock().alive <= WORKERS);
}

#[test]
fn those_that_hang_cost_one_deadline_and_nobody_else() {
    let stage = Arc::new(Stage { hangs: Mutex::new(true), ..Stage::default() });
    // There are more that hang than workers, and they stand in front.
    let hanging = WORKERS + 1;
    let mut parts: Vec<_> =
        ["h1", "h2", "h3", "h4", "h5"].map(|name| (name, Part::Hangs { after: 2 })).into_iter().collect();
    parts.extend([("good", Part::Good), ("also", Part::Good)]);
    let pool = pool(&stage, parts);
    let all: Vec<usize> = (0..hanging + 2).collect();
    let expected = [vec![false; hanging], vec![true; 2]].concat();
    assert_eq!(successes(&pool, &all), expected);

    // The clock stands still from here: whoever waited would wait for ever.
    stage.clock.0.store(20, Ordering::SeqCst);
    let done = pool.run(&all, Format::Text, DEADLINE);
    assert_eq!(done.iter().map(|done| done.success).collect::<Vec<_>>(), expected);
    assert_eq!(done[0].took, Duration::from_secs(20), "as long as it has been hanging");
    assert_eq!(pool.shared.state.lock().stuck(), hanging);
    assert!(pool.shared.state.lock().alive <= WORKERS + hanging);

    // Once they come back they are asked again, and the workers in their place have gone.
    *stage.hangs.lock() = false;
    stage.let_go.notify_all();
    while pool.shared.state.lock().stuck() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(successes(&pool, &all), vec![true; hanging + 2]);
    while pool.shared.state.lock().alive > WORKERS {
        std::thread::yield_now();
    }
}

#[test]
fn one_that_hangs_is_left_alone_also_if_its_turn_came_a_little_late() {
    let stage = Arc::new(Stage { hangs: Mutex::new(true), ..Stage::default() });
    // All workers have one before it.
    let mut parts: Vec<_> = (0..WORKERS).map(|_| ("slow", Part::Slow)).collect();
    parts.push(("hangs", Part::Hangs { after: WORKERS }));
    let pool = pool(&stage, parts);
    let all: Vec<usize> = (0..=WORKERS).collect();
    assert_eq!(successes(&pool, &all), [vec![true; WORKERS], vec![false]].concat());
    assert_eq!(pool.shared.state.lock().stuck(), 1);
    *stage.hangs.lock() = false;
    stage.let_go.notify_all();
}

#[test]
fn two_callers_share_a_collector_one_after_the_other() {
    let stage = Arc::new(Stage::default());
    let pool = pool(&stage, vec![("a", Part::Good), ("b", Part::Good), ("c", Part::Good)]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(successes(&pool, &[0, 1, 2]), [true; 3]);
                }
            });
        }
    });
    assert_eq!(stage.ended.load(Ordering::SeqCst), 3 * 50 * 3);
}

/// A machine that gives no threads.
#[derive(Debug)]
struct NoThreads(Arc<dyn Spawner>);

impl Spawner for NoThreads {
    fn spawn(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn skopos_base::spawn::Joined>> {
        Err(io::Error::from_raw_os_error(11))
    }

    fn stop_signal(&self) -> Arc<dyn skopos_base::spawn::Stop> {
        self.0.stop_signal()
    }
}

#[test]
fn without_threads_the_caller_does_the_work() {
    let stage = Arc::new(Stage::default());
    let mut pool = pool(&stage, vec![("a", Part::Good), ("b", Part::Fails)]);
    pool.spawner = Arc::new(NoThreads(Arc::clone(&pool.spawner)));
    assert_eq!(successes(&pool, &[0, 1]), [true, false]);
}
