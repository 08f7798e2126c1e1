//! The scheduler of a simulated world: one thread holds the baton and runs, all others wait for it. Owns
//! who runs next and what time it is; never knows what the threads do.

use crate::{rng::Rng, sim::clock::Times, spawn::Joined};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::{any::Any, cell::Cell, fmt::Write, panic::resume_unwind, sync::Arc, time::Duration};

/// A thread's number in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tid(usize);

/// A stop signal's number in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StopId(usize);

/// What a thread waits for, besides a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Time,
    Stop(StopId),
    Thread(Tid),
}

#[derive(Debug)]
enum Status {
    Ready,
    Waiting { on: On, until: Option<Duration> },
    Done,
}

#[derive(Debug)]
struct Thread {
    name: String,
    status: Status,
    turn: Arc<Condvar>,
    /// The message of the panic that ended it.
    panic: Option<String>,
    joined: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Outside of `run`.
    Idle,
    Running,
    /// `main` is over: whoever waits unwinds.
    Ending,
}

struct Sched {
    times: Times,
    time_limit: Option<Duration>,
    threads: Vec<Thread>,
    /// Whether each stop signal was raised.
    stops: Vec<bool>,
    current: Tid,
    main: Tid,
    phase: Phase,
    /// Why nothing can go on, once that is so.
    stuck: Option<String>,
    os_threads: Vec<Box<dyn Joined>>,
}

/// What unwinds a thread whose world is over.
pub(super) struct WorldEnded;

thread_local! {
    /// The world (by address) and the number that the running thread has in it.
    static ME: Cell<Option<(usize, Tid)>> = const { Cell::new(None) };
}

/// What `leave` needs from `enter`.
#[derive(Clone, Copy)]
pub(super) struct Entered {
    outer: Option<(usize, Tid)>,
}

/// The scheduler, as all parts of a world share it.
pub(super) struct Shared {
    seed: u64,
    rng: Rng,
    sched: Mutex<Sched>,
}

impl Shared {
    pub(super) fn new(seed: u64, wall_start_ms: i64) -> Self {
        let sched = Sched {
            times: Times { monotonic: Duration::ZERO, wall_start_ms },
            time_limit: None,
            threads: Vec::new(),
            stops: Vec::new(),
            current: Tid(0),
            main: Tid(0),
            phase: Phase::Idle,
            stuck: None,
            os_threads: Vec::new(),
        };
        Self { seed, rng: Rng::from_seed(seed ^ 0x5EED), sched: Mutex::new(sched) }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn times(&self) -> Times {
        self.sched.lock().times
    }

    pub(super) fn jump_wall(&self, ms: i64) {
        let times = &mut self.sched.lock().times;
        times.wall_start_ms = times.wall_start_ms.saturating_add(ms);
    }

    pub(super) fn set_time_limit(&self, d: Duration) {
        let mut s = self.sched.lock();
        s.time_limit = s.times.monotonic.checked_add(d);
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Makes the calling thread the world's main thread.
    pub(super) fn enter(&self) -> Entered {
        let mut s = self.sched.lock();
        assert!(s.phase == Phase::Idle, "SimWorld::run inside of a run of the same world");
        let main = s.add("main");
        (s.main, s.current, s.phase, s.stuck) = (main, main, Phase::Running, None);
        Entered { outer: ME.replace(Some((self.address(), main))) }
    }

    /// Ends all other threads and the run; returns what those that nobody joined panicked with.
    pub(super) fn leave(&self, entered: Entered) -> String {
        let mut s = self.sched.lock();
        s.phase = Phase::Ending;
        let main = s.main;
        s.threads[main.0].status = Status::Done;
        // One at a time, in the order of their start, so that their destructors run in the same order always.
        while let Some(next) = s.threads.iter().position(|t| !matches!(t.status, Status::Done)) {
            s.current = Tid(next);
            s.threads[next].turn.notify_one();
            self.await_turn(&mut s, main);
        }
        let os_threads = std::mem::take(&mut s.os_threads);
        s.phase = Phase::Idle;
        let mut lost = String::new();
        for t in s.threads.iter_mut().filter(|t| !t.joined) {
            if let Some(message) = t.panic.take() {
                write!(lost, "; thread {:?} panicked: {message}", t.name)
                    .expect("invariant: a string takes all");
            }
        }
        drop(s);
        for thread in os_threads {
            thread.join().expect("invariant: panics are caught inside of the thread");
        }
        ME.set(entered.outer);
        lost
    }

    /// Adds a thread that is ready; `None` outside of `run`.
    pub(super) fn add(&self, name: &str) -> Option<Tid> {
        let mut s = self.sched.lock();
        (s.phase == Phase::Running).then(|| s.add(name))
    }

    pub(super) fn keep_os_thread(&self, thread: Box<dyn Joined>) {
        self.sched.lock().os_threads.push(thread);
    }

    /// Forgets a thread that could not be started.
    pub(super) fn not_started(&self, tid: Tid) {
        self.sched.lock().threads[tid.0].status = Status::Done;
    }

    pub(super) fn add_stop(&self) -> StopId {
        let mut s = self.sched.lock();
        s.stops.push(false);
        StopId(s.stops.len() - 1)
    }

    pub(super) fn is_stopped(&self, id: StopId) -> bool {
        self.sched.lock().stops[id.0]
    }

    pub(super) fn stop(&self, id: StopId) {
        let mut s = self.sched.lock();
        s.stops[id.0] = true;
        s.wake(On::Stop(id));
    }

    /// A new thread's first wait; `false` when the world ended before its turn came.
    pub(super) fn begin(&self, tid: Tid) -> bool {
        ME.set(Some((self.address(), tid)));
        let mut s = self.sched.lock();
        self.await_turn(&mut s, tid);
        s.phase == Phase::Running
    }

    /// A thread's end: wakes who joins it and passes the baton on.
    pub(super) fn end(&self, tid: Tid, panic: Option<&(dyn Any + Send)>) {
        let mut s = self.sched.lock();
        let thread = &mut s.threads[tid.0];
        thread.status = Status::Done;
        thread.panic = panic.filter(|p| !p.is::<WorldEnded>()).map(super::threads::message);
        s.wake(On::Thread(tid));
        self.pass_on(&mut s);
    }

    /// Whether the thread panicked; who asks has joined it.
    pub(super) fn take_panicked(&self, tid: Tid) -> bool {
        let thread = &mut self.sched.lock().threads[tid.0];
        thread.joined = true;
        // A thread that was not over when it had to be joined while unwinding counts as lost.
        thread.panic.is_some() || !matches!(thread.status, Status::Done)
    }

    pub(super) fn yield_now(&self) {
        self.wait(On::Time, Duration::ZERO);
    }

    /// Waits for `on`, at most `d`. Returns early when the world is over and the thread unwinds already.
    pub(super) fn wait(&self, on: On, d: Duration) {
        let mut s = self.sched.lock();
        if s.phase == Phase::Idle {
            // Nobody else is there to wait for.
            s.times.monotonic =
                s.times.monotonic.saturating_add(if s.is_met(on) { Duration::ZERO } else { d });
            return;
        }
        let me = match ME.get() {
            Some((world, tid)) if world == self.address() => tid,
            _ => panic!("a thread that is not of this world waits in it: start threads by its spawner"),
        };
        assert!(s.current == me, "invariant: only the thread with the baton runs");
        if s.is_met(on) {
            return;
        }
        let until = if d == Duration::MAX { None } else { s.times.monotonic.checked_add(d) };
        let due = until.is_some_and(|t| t <= s.times.monotonic);
        s.threads[me.0].status = if due { Status::Ready } else { Status::Waiting { on, until } };
        if s.phase == Phase::Running {
            self.pass_on(&mut s);
            self.await_turn(&mut s, me);
        }
        if std::thread::panicking() {
            // A second panic would abort the process and hide the first.
            return;
        }
        if s.phase == Phase::Ending {
            drop(s);
            resume_unwind(Box::new(WorldEnded));
        }
        if me == s.main
            && let Some(why) = s.stuck.take()
        {
            drop(s);
            panic!("world of seed {}: {why}", self.seed);
        }
    }

    fn await_turn(&self, s: &mut MutexGuard<'_, Sched>, me: Tid) {
        let turn = s.threads[me.0].turn.clone();
        while s.current != me {
            turn.wait(s);
        }
    }

    /// Gives the baton to a thread that is ready, chosen by the seed; when none is, time jumps to where
    /// one is.
    fn pass_on(&self, s: &mut MutexGuard<'_, Sched>) {
        let next = if s.phase == Phase::Running { s.next(&self.rng) } else { s.main };
        s.current = next;
        s.threads[next.0].turn.notify_one();
    }
}

impl Sched {
    fn add(&mut self, name: &str) -> Tid {
        self.threads.push(Thread {
            name: name.to_owned(),
            status: Status::Ready,
            turn: Arc::new(Condvar::new()),
            panic: None,
            joined: false,
        });
        Tid(self.threads.len() - 1)
    }

    fn is_met(&self, on: On) -> bool {
        match on {
            On::Time => false,
            On::Stop(id) => self.stops[id.0],
            On::Thread(tid) => matches!(self.threads[tid.0].status, Status::Done),
        }
    }

    fn wake(&mut self, what: On) {
        for t in &mut self.threads {
            if matches!(t.status, Status::Waiting { on, .. } if on == what) {
                t.status = Status::Ready;
            }
        }
    }

    fn next(&mut self, rng: &Rng) -> Tid {
        loop {
            let all = self.threads.iter().enumerate();
            let ready: Vec<usize> =
                all.filter(|(_, t)| matches!(t.status, Status::Ready)).map(|(i, _)| i).collect();
            if !ready.is_empty() {
                return Tid(ready[rng.below(ready.len() as u64) as usize]);
            }
            let wakes = self.threads.iter().filter_map(|t| match t.status {
                Status::Waiting { until, .. } => until,
                _ => None,
            });
            let Some(wake) = wakes.min() else { return self.stuck("every thread waits for another") };
            if self.time_limit.is_some_and(|limit| wake > limit) {
                return self.stuck("the time limit passed");
            }
            self.times.monotonic = wake;
            for t in &mut self.threads {
                if matches!(t.status, Status::Waiting { until: Some(until), .. } if until <= wake) {
                    t.status = Status::Ready;
                }
            }
        }
    }

    /// Nothing can go on: the main thread gets the baton to say so.
    fn stuck(&mut self, why: &str) -> Tid {
        let mut out = why.to_owned();
        for t in &self.threads {
            let line = match (&t.status, &t.panic) {
                (Status::Waiting { on, .. }, _) => format!("; {:?} waits for {}", t.name, self.name_of(*on)),
                (_, Some(panic)) => format!("; {:?} panicked: {panic}", t.name),
                _ => continue,
            };
            out.push_str(&line);
        }
        self.stuck = Some(out);
        self.threads[self.main.0].status = Status::Ready;
        self.main
    }

    fn name_of(&self, on: On) -> String {
        match on {
            On::Time => "a time".to_owned(),
            On::Stop(_) => "a stop signal".to_owned(),
            On::Thread(tid) => format!("the end of {:?}", self.threads[tid.0].name),
        }
    }
}
