//! Running collectors side by side, each with a deadline, on a few threads that stay.
//!
//! A collector that reads from a device or a daemon can hang for ever, and no thread that hangs in it can
//! be ended. So the caller only waits: what did not come back by the deadline is stuck, its worker is
//! replaced, and the collector is not asked again until it comes back. No collector runs twice at a time,
//! so there are never more threads than workers and collectors.
//!
//! It decides nothing about the page: it hands back what each collector wrote, and whether to believe it.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    host::Host,
    output::Output,
    refusals::{self, Refusals},
    source::Paths,
};
use parking_lot::{Condvar, Mutex};
use skopos_base::{clock::Clock, spawn::Spawner};
use skopos_exposition::Format;
use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

/// The threads that stay. Collectors mostly wait for the kernel to write a table, so few are enough.
const WORKERS: usize = 4;
/// A collector that waits this long for a worker gets one of its own: all others seem to hang.
const PATIENCE: Duration = Duration::from_millis(100);

/// The collectors and the threads that run them.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    spawner: Arc<dyn Spawner>,
}

/// What collectors read.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) paths: Paths,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What became of a collector's run.
#[derive(Debug)]
pub(crate) struct Done {
    /// Which collector it was, counted from the first.
    pub(crate) slot: usize,
    /// What it wrote; to be left out unless it succeeded.
    pub(crate) part: Vec<u8>,
    /// How long it took. Of one that hangs: how long it has been hanging.
    pub(crate) took: Duration,
    pub(crate) success: bool,
}

#[derive(Debug)]
struct Shared {
    world: World,
    state: Mutex<State>,
    /// A task was added, or the pool ended.
    added: Condvar,
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<Slot>,
    queue: VecDeque<Task>,
    /// The workers that are alive, those that hang included.
    alive: usize,
    ended: bool,
}

/// A collector's place.
#[derive(Debug)]
struct Slot {
    name: &'static str,
    /// The collector, unless a worker has it.
    idle: Option<Idle>,
    /// When the worker took it.
    began: Duration,
    /// Whether it missed its deadline and is still running.
    stuck: bool,
    /// A buffer to write into.
    spare: Vec<u8>,
}

#[derive(Debug)]
struct Idle {
    collector: Box<dyn Collector>,
    /// What went wrong last; the log says it once, not in every scrape.
    last_error: Option<String>,
    /// What this user may not have.
    refusals: Refusals,
}

#[derive(Clone, Debug)]
struct Task {
    round: Arc<Round>,
    /// The collector.
    slot: usize,
    /// Where its result stands in the round.
    at: usize,
}

/// What one caller waits for.
#[derive(Debug)]
struct Round {
    format: Format,
    ends_at: Duration,
    results: Mutex<Results>,
    all_there: Condvar,
}

#[derive(Debug)]
struct Results {
    done: Vec<Option<Done>>,
    missing: usize,
    /// The caller went away; nobody wants what comes now.
    closed: bool,
}

impl Pool {
    /// A pool of these collectors. Threads come with the first run.
    pub(crate) fn new(
        collectors: Vec<(&'static str, Box<dyn Collector>)>,
        world: World,
        spawner: Arc<dyn Spawner>,
    ) -> Self {
        let slot = |(name, collector)| Slot {
            name,
            idle: Some(Idle { collector, last_error: None, refusals: Refusals::default() }),
            began: Duration::ZERO,
            stuck: false,
            spare: Vec::new(),
        };
        let slots = collectors.into_iter().map(slot).collect();
        let state = Mutex::new(State { slots, ..State::default() });
        Self { shared: Arc::new(Shared { world, state, added: Condvar::new() }), spawner }
    }

    /// Runs the collectors `slots`, and waits for them until `deadline` has passed. The results stand in
    /// the order of `slots`.
    pub(crate) fn run(&self, slots: &[usize], format: Format, deadline: Duration) -> Vec<Done> {
        let clock = &*self.shared.world.clock;
        let began = clock.monotonic();
        let round = Arc::new(Round::new(format, slots.len(), began.saturating_add(deadline)));
        self.add(&round, slots);
        let mut results = round.results.lock();
        loop {
            let left = deadline.saturating_sub(clock.monotonic().saturating_sub(began));
            if results.missing == 0 || left.is_zero() {
                break;
            }
            let late = round.all_there.wait_for(&mut results, left.min(PATIENCE)).timed_out();
            if late && results.missing > 0 {
                drop(results);
                self.hire_for_the_waiting(&round);
                results = round.results.lock();
            }
        }
        results.closed = true;
        let done = std::mem::take(&mut results.done);
        drop(results);
        if done.iter().all(Option::is_some) {
            return done.into_iter().flatten().collect();
        }
        self.give_up(&round, slots, done, began, deadline)
    }

    /// Takes back the buffers of results, for the next run.
    pub(crate) fn give_back(&self, done: Vec<Done>) {
        let mut state = self.shared.state.lock();
        for Done { slot, part, .. } in done {
            let spare = &mut state.slots[slot].spare;
            if part.capacity() > spare.capacity() {
                *spare = part;
            }
        }
    }

    fn add(&self, round: &Arc<Round>, slots: &[usize]) {
        let mut state = self.shared.state.lock();
        for (at, &slot) in slots.iter().enumerate() {
            if state.slots[slot].stuck {
                round.results.lock().missing -= 1;
            } else {
                state.queue.push_back(Task { round: Arc::clone(round), slot, at });
            }
        }
        let wanted = WORKERS.min(state.queue.len()) + state.stuck();
        self.hire(&mut state, wanted);
        let has_workers = state.alive > state.stuck();
        drop(state);
        if has_workers {
            self.shared.added.notify_all();
        } else {
            // A machine that gives no threads is still a machine to look at.
            work_off(&self.shared, &mut self.shared.state.lock());
        }
    }

    fn hire(&self, state: &mut State, wanted: usize) {
        while state.alive < wanted {
            let shared = Arc::clone(&self.shared);
            match self.spawner.spawn("agent-collect", Box::new(move || work(&shared))) {
                Ok(thread) => drop(thread),
                Err(error) => return tell_no_thread(&error),
            }
            state.alive += 1;
        }
    }

    /// A worker more, if tasks of this round wait for one.
    fn hire_for_the_waiting(&self, round: &Arc<Round>) {
        let mut state = self.shared.state.lock();
        let ready = |task: &Task| task.is_of(round) && state.slots[task.slot].idle.is_some();
        if state.queue.iter().any(ready) && state.alive < WORKERS + state.slots.len() {
            let wanted = state.alive + 1;
            self.hire(&mut state, wanted);
        }
    }

    /// The results of a round that is not complete: what was not begun, or begun late in it, was only late;
    /// what was begun in its first half is stuck.
    fn give_up(
        &self,
        round: &Arc<Round>,
        slots: &[usize],
        done: Vec<Option<Done>>,
        began: Duration,
        deadline: Duration,
    ) -> Vec<Done> {
        let now = self.shared.world.clock.monotonic();
        let mut state = self.shared.state.lock();
        state.queue.retain(|task| !task.is_of(round));
        let results = done.into_iter().zip(slots).map(|(done, &slot)| {
            if let Some(done) = done {
                return done;
            }
            let Slot { name, idle, began: slot_began, stuck, spare } = &mut state.slots[slot];
            let mut took = now.saturating_sub(began);
            if idle.is_none() {
                took = took.max(now.saturating_sub(*slot_began));
                // A worker takes it a little after the round has begun.
                if !*stuck && now.saturating_sub(*slot_began) >= deadline / 2 {
                    *stuck = true;
                    let after_ms = deadline.as_millis() as u64;
                    tracing::error!(collector = *name, after_ms, "collector hangs; it is left alone");
                }
            }
            Done { slot, part: std::mem::take(spare), took, success: false }
        });
        results.collect()
    }
}

impl Drop for Pool {
    /// Workers end when they are idle. One that hangs ends when its collector comes back.
    fn drop(&mut self) {
        self.shared.state.lock().ended = true;
        self.shared.added.notify_all();
    }
}

impl State {
    fn stuck(&self) -> usize {
        self.slots.iter().filter(|slot| slot.stuck).count()
    }

    /// The first task whose collector is free, and the collector.
    fn take(&mut self, now: Duration) -> Option<(Task, Idle, Vec<u8>)> {
        let slots = &self.slots;
        let at = self.queue.iter().position(|task| slots[task.slot].idle.is_some())?;
        let task = self.queue.remove(at)?;
        let slot = &mut self.slots[task.slot];
        slot.began = now;
        Some((task.clone(), slot.idle.take()?, std::mem::take(&mut slot.spare)))
    }
}

impl Task {
    fn is_of(&self, round: &Arc<Round>) -> bool {
        Arc::ptr_eq(&self.round, round)
    }
}

impl Round {
    fn new(format: Format, len: usize, ends_at: Duration) -> Self {
        let mut done = Vec::with_capacity(len);
        done.resize_with(len, || None);
        let results = Mutex::new(Results { done, missing: len, closed: false });
        Self { format, ends_at, results, all_there: Condvar::new() }
    }

    fn deliver(&self, at: usize, done: Done) {
        let mut results = self.results.lock();
        if results.closed {
            return;
        }
        results.done[at] = Some(done);
        results.missing -= 1;
        if results.missing == 0 {
            self.all_there.notify_all();
        }
    }
}

/// A worker's life.
fn work(shared: &Shared) {
    let mut state = shared.state.lock();
    loop {
        work_off(shared, &mut state);
        if state.ended || state.alive > WORKERS + state.stuck() {
            break;
        }
        shared.added.wait(&mut state);
    }
    state.alive -= 1;
}

/// Runs all tasks whose collectors are free. The lock is free while a collector runs.
fn work_off(shared: &Shared, state: &mut parking_lot::MutexGuard<'_, State>) {
    while !state.ended {
        let Some((task, mut idle, part)) = state.take(shared.world.clock.monotonic()) else { break };
        let name = state.slots[task.slot].name;
        let done =
            parking_lot::MutexGuard::unlocked(state, || collect(&shared.world, name, &mut idle, &task, part));
        let slot = &mut state.slots[task.slot];
        slot.idle = Some(idle);
        if std::mem::take(&mut slot.stuck) {
            tracing::info!(collector = name, "collector answers again");
        }
        parking_lot::MutexGuard::unlocked(state, || task.round.deliver(task.at, done));
    }
}

fn collect(world: &World, name: &'static str, idle: &mut Idle, task: &Task, mut part: Vec<u8>) -> Done {
    let begin = world.clock.monotonic();
    part.clear();
    let mut context = Context {
        paths: &world.paths,
        host: &*world.host,
        clock: &*world.clock,
        ends_at: task.round.ends_at,
        out: Output::new(task.round.format, &mut part),
    };
    let result = catch_unwind(AssertUnwindSafe(|| idle.collector.collect(&mut context)))
        .unwrap_or_else(|panic| Err(CollectError::Panicked(panic_text(&*panic))))
        .and_then(|()| Ok(context.out.end_part()?));
    let took = world.clock.monotonic().saturating_sub(begin);
    for refused in idle.refusals.take_new() {
        refusals::tell(name, &refused);
    }
    tell(name, result.as_ref().err(), &mut idle.last_error);
    Done { slot: task.slot, part, took, success: result.is_ok() }
}

/// Logs what changed since the last run.
fn tell(name: &'static str, error: Option<&CollectError>, last: &mut Option<String>) {
    let Some(error) = error else {
        if last.take().is_some() {
            tracing::info!(collector = name, "collector succeeds again");
        }
        return;
    };
    let text = error.to_string();
    if last.as_ref() == Some(&text) {
        return;
    }
    if error.is_no_data() {
        tracing::debug!(collector = name, %error, "collector has no data");
    } else if error.is_refused() {
        // Files that were refused have been named.
        let is_file = matches!(error, CollectError::Read { .. });
        if !is_file {
            refusals::tell(name, &text);
        }
    } else {
        tracing::error!(collector = name, %error, "collector failed");
    }
    *last = Some(text);
}

fn tell_no_thread(error: &io::Error) {
    tracing::warn!(%error, "no thread for collectors");
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests;
