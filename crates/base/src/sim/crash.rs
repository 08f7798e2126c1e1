//! Crash enumeration: a scenario is stopped after each of its changes of the disk, and every state that
//! the crash may leave is recovered and checked. Owns the loop over points and states; never knows what
//! is stored.

use super::{
    effort,
    fs::SimFs,
    world::{SimWorld, message},
};
use crate::{env::Env, fs::Fs};
use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::Duration,
};

/// What ends the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashMode {
    /// The machine goes off: only what was synchronised is sure to be there.
    PowerLoss,
    /// The process goes (`kill -9`): whatever call returned has its effect, an append may have got half way.
    ProcessKill,
}

/// What an enumeration went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enumerated {
    /// Between how many changes of the disk the scenario was stopped, its end included.
    pub points: usize,
    /// How many states were checked.
    pub states: usize,
    /// How many points had all of their states checked, and not a choice of them.
    pub exhaustive_points: usize,
}

/// A crash enumeration and its bounds.
///
/// The scenario tells what it was promised by writing into the record that it is handed: after a crash
/// the check gets that record as it was then. The check opens the files anew and asserts that all of it
/// is there.
///
/// ```
/// use skopos_base::{fs::{OpenMode, append_all, parent, read_all}, sim::crash::{CrashMode, CrashTest}};
/// use std::{io, path::Path};
///
/// let log = Path::new("/data/log");
/// let done = CrashTest::new(CrashMode::PowerLoss).run(
///     |env, committed: &mut u8| {
///         let mut file = env.fs.open(log, OpenMode::CreateNew)?;
///         env.fs.sync_dir(&parent(log))?;
///         for record in 1..=3 {
///             append_all(file.as_mut(), &[record; 10])?;
///             file.sync()?;
///             *committed = record;
///         }
///         io::Result::Ok(())
///     },
///     |env, &committed| {
///         let bytes = read_all(&*env.fs, log).unwrap_or_default();
///         assert!(bytes.len() >= usize::from(committed) * 10, "a committed record is gone");
///     },
/// );
/// assert_eq!(done.points, 9); // eight changes of the disk, hence nine points around them
/// assert_eq!(done.exhaustive_points, 9);
/// ```
#[derive(Clone, Debug)]
pub struct CrashTest {
    mode: CrashMode,
    seed: u64,
    states_per_point: usize,
    start: SimFs,
    time_limit: Duration,
}

/// Runs a crash enumeration with the usual bounds.
///
/// # Panics
/// As `CrashTest::run`.
pub fn enumerate<C: Default + Debug, E: Debug>(
    mode: CrashMode,
    scenario: impl FnMut(&Env, &mut C) -> Result<(), E>,
    check: impl FnMut(&Env, &C),
) -> Enumerated {
    CrashTest::new(mode).run(scenario, check)
}

impl CrashTest {
    /// Starts from an empty, durable directory `/data` and checks up to 500 states a point; more where
    /// `effort` says so.
    pub fn new(mode: CrashMode) -> Self {
        let start = SimFs::new(1);
        start.create_dir_all(Path::new("/data")).expect("invariant: a new file system has no faults");
        start.settle();
        let (seed, states_per_point) = (effort::seed(1), effort::states(500));
        Self { mode, seed, states_per_point, start, time_limit: Duration::from_secs(3600) }
    }

    /// Decides by `seed` all that is left to chance: the order of threads and the choice of states.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = effort::seed(seed);
        self
    }

    /// Bounds the states that are checked at each point.
    pub fn states_per_point(mut self, n: usize) -> Self {
        self.states_per_point = effort::states(n);
        self
    }

    /// Starts the scenario each time from a copy of `fs` as it is now.
    pub fn start(mut self, fs: &SimFs) -> Self {
        self.start = fs.process_crash();
        self
    }

    /// Takes it as a failure when the scenario or a check goes on for longer in simulated time (an hour
    /// unless said), as a loop does that tries again for ever on a machine that is off.
    pub fn time_limit(mut self, d: Duration) -> Self {
        self.time_limit = d;
        self
    }

    /// Runs `scenario` once undisturbed and then once for each point, and `check` on each state that a
    /// crash at that point may leave. Both run inside of a simulated world of their own and may start
    /// threads. What the scenario returns after the crash does not matter, and it may panic then.
    ///
    /// # Panics
    /// When a check panics, with the point, the state, the record and the seed in the message; when the
    /// scenario fails undisturbed; when it does not do the same each time.
    pub fn run<C: Default + Debug, E: Debug>(
        &self,
        mut scenario: impl FnMut(&Env, &mut C) -> Result<(), E>,
        mut check: impl FnMut(&Env, &C),
    ) -> Enumerated {
        let whole = self.play(None, &mut scenario).0.ops();
        let mut out = Enumerated { points: whole.len() + 1, states: 0, exhaustive_points: 0 };
        for point in 0..=whole.len() {
            let (fs, committed) = self.play(Some(point), &mut scenario);
            let ops = fs.ops();
            assert!(
                ops == whole[..point],
                "the scenario does not do the same each time (seed {}): now {ops:?}, at first {whole:?}",
                self.seed
            );
            let seed = self.seed ^ (point as u64) << 32;
            let (states, exhaustive): (Box<dyn Iterator<Item = SimFs>>, bool) = match self.mode {
                CrashMode::PowerLoss => {
                    let states = fs.crash_states(self.states_per_point, seed);
                    let exhaustive = states.is_exhaustive();
                    (Box::new(states), exhaustive)
                }
                CrashMode::ProcessKill => {
                    let states = fs.process_crash_states(self.states_per_point, seed);
                    let exhaustive = fs.appending().is_none_or(|n| n < self.states_per_point);
                    (Box::new(states), exhaustive)
                }
            };
            out.exhaustive_points += usize::from(exhaustive);
            for state in states {
                out.states += 1;
                let origin = state.origin();
                let world = SimWorld::with_fs(seed, state);
                world.set_time_limit(self.time_limit);
                let run = || world.run(|env| check(env, &committed));
                if let Err(e) = catch_unwind(AssertUnwindSafe(run)) {
                    let done = whole[..point].iter().map(|op| format!("\n  {op}")).collect::<String>();
                    panic!(
                        "a crash was not survived (seed {}): {:?} after {point} of {} changes, \
                         when the record was {committed:?}\nstate: {origin}\nchanges: {done}\n{}",
                        self.seed,
                        self.mode,
                        whole.len(),
                        message(e.as_ref())
                    );
                }
            }
        }
        effort::report(out.states);
        out
    }

    /// One run of the scenario, stopped after `point` changes.
    fn play<C: Default, E: Debug>(
        &self,
        point: Option<usize>,
        scenario: &mut impl FnMut(&Env, &mut C) -> Result<(), E>,
    ) -> (SimFs, C) {
        let fs = self.start.process_crash();
        if let Some(point) = point {
            fs.crash_after(point);
        }
        let world = SimWorld::with_fs(self.seed, fs.clone());
        world.set_time_limit(self.time_limit);
        let mut committed = C::default();
        let result = catch_unwind(AssertUnwindSafe(|| world.run(|env| scenario(env, &mut committed))));
        if !fs.is_crashed() {
            let seed = self.seed;
            match result {
                Ok(Ok(())) => {}
                Ok(Err(e)) => panic!("the scenario fails without a crash (seed {seed}): {e:?}"),
                Err(e) => panic!("the scenario fails without a crash (seed {seed}): {}", message(e.as_ref())),
            }
        }
        (fs, committed)
    }
}
