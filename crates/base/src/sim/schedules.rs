//! `check`: a test under many orders of its threads, by shuttle. Owns the schedules and the world they run
//! in; only with the feature `shuttle`, under which nothing else of the program works.
//!
//! Threads switch where they touch a lock or an atomic of `sync`, which the code under test uses throughout.
//! Half of the schedules are random; half go by priorities that change at a few points (probabilistic
//! concurrency testing: Burckhardt et al., 2010), which surely finds orders that need few of them. All
//! atomics are taken as sequentially consistent: what a weaker ordering lets happen is not seen.

use super::{SimClock, SimFs, clock::WALL_START_MS, effort};
use crate::{
    env::Env,
    rng::Rng,
    spawn::{Joined, Spawner, Stop, ThreadPanicked},
    sync::atomic::{AtomicUsize, Ordering},
};
use shuttle::{
    Config, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};
use std::{io, sync::Arc, time::Duration};

/// What a line of the report begins with.
const REPORT: &str = "schedules: ";
/// Threads of the program have this much; shuttle's own default is too little for a database.
const STACK_BYTES: usize = 512 << 10;
/// A schedule with more steps than this hangs.
const MAX_STEPS: usize = 2_000_000;
/// How many changes of priority a schedule has at most.
const PRIORITY_CHANGES: usize = 4;
/// How often a wait for a `Stop` ends by its time. Later ones last until the signal is raised, so that
/// threads that work from time to time end.
const TIMED_WAITS: usize = 3;

/// Runs `test` under `schedules` orders of its threads, and more at length (`effort`). Each run has a world
/// of its own, with an empty disk.
///
/// # Panics
/// When the test does under some schedule, or when its threads block one another for good. The seed is
/// printed: with the same one the same schedules come again.
pub fn check(schedules: usize, test: impl Fn(&Env, &SimFs) + Send + Sync + 'static) {
    let (schedules, seed) = (effort::states(schedules), effort::seed(1));
    let half = schedules.div_ceil(2);
    let test = Arc::new(test);
    say(format_args!("SKOPOS_SIM_SEED is added to the seed, which makes it {seed}"));
    run(RandomScheduler::new_from_seed(seed, half), &test);
    run(PctScheduler::new_from_seed(seed, PRIORITY_CHANGES, half), &test);
    say(format_args!("{REPORT}{}", 2 * half));
}

fn run(scheduler: impl Scheduler + 'static, test: &Arc<impl Fn(&Env, &SimFs) + Send + Sync + 'static>) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = shuttle::MaxSteps::FailAfter(MAX_STEPS);
    config.silence_warnings = true;
    let test = Arc::clone(test);
    let world = || {
        let fs = SimFs::new(7);
        let env = Env {
            clock: Arc::new(SimClock::new(WALL_START_MS)),
            fs: Arc::new(fs.clone()),
            rng: Arc::new(Rng::from_seed(7)),
            spawner: Arc::new(ScheduledSpawner),
        };
        (env, fs)
    };
    Runner::new(scheduler, config).run(move || {
        let (env, fs) = world();
        test(&env, &fs);
    });
}

#[expect(clippy::print_stdout, reason = "a test's output is where its seed and its figures go")]
fn say(what: std::fmt::Arguments<'_>) {
    println!("{what}");
}

/// Starts threads that shuttle schedules.
#[derive(Clone, Copy, Debug)]
struct ScheduledSpawner;

impl Spawner for ScheduledSpawner {
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Joined>> {
        let handle = shuttle::thread::Builder::new().name(name.to_owned()).spawn(body)?;
        Ok(Box::new(ScheduledJoined { name: name.to_owned(), handle }))
    }

    fn stop_signal(&self) -> Arc<dyn Stop> {
        Arc::new(ScheduledStop::default())
    }
}

struct ScheduledJoined {
    name: String,
    handle: shuttle::thread::JoinHandle<()>,
}

impl Joined for ScheduledJoined {
    fn join(self: Box<Self>) -> Result<(), ThreadPanicked> {
        let Self { name, handle } = *self;
        handle.join().map_err(|_| ThreadPanicked(name))
    }
}

#[derive(Debug, Default)]
struct ScheduledStop {
    raised: shuttle::sync::Mutex<bool>,
    changed: shuttle::sync::Condvar,
    timed: AtomicUsize,
}

impl Stop for ScheduledStop {
    fn stop(&self) {
        *self.raised.lock().expect("invariant: nobody panics while holding it") = true;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        *self.raised.lock().expect("invariant: nobody panics while holding it")
    }

    fn wait(&self, _: Duration) -> bool {
        let raised = self.raised.lock().expect("invariant: nobody panics while holding it");
        if self.timed.fetch_add(1, Ordering::SeqCst) < TIMED_WAITS {
            return *raised;
        }
        let raised = self.changed.wait_while(raised, |raised| !*raised);
        *raised.expect("invariant: nobody panics while holding it")
    }
}
