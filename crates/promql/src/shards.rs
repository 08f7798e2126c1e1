//! `Shards`: the threads that help queries, all queries of a process together; and work cut into parts that
//! several of them do, whose results are taken in the order of the parts. Knows no plan and no sample.
//!
//! What is taken in order does not depend on how many threads there were, nor on how they were scheduled:
//! with parts that are worked on alone, the result is that of one thread to the last bit.

use crate::error::EvalError;
use skopos_base::{
    spawn::{Joined, Spawner, Stop, or_tell},
    sync::Mutex,
};
use skopos_storage::QueryBudget;
use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How queries are carried out by several threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardOptions {
    /// Parts of one query that are worked on at a time, its own thread's among them (`--query.max-shards`).
    /// All queries together have the helpers of one.
    pub max: usize,
    /// A query is helped once it has read so much: in samples, a series counted as `SERIES_WORK`.
    pub alone_up_to: u64,
}

/// What a series costs beside its samples, in samples read.
pub(crate) const SERIES_WORK: u64 = 256;

/// Some milliseconds of work: a thread is started within a tenth of one.
const ALONE_UP_TO: u64 = 512 << 10;

impl ShardOptions {
    /// With up to `max` parts at a time.
    pub fn new(max: usize) -> Self {
        Self { max, alone_up_to: ALONE_UP_TO }
    }
}

/// The helping threads of a process.
#[derive(Debug)]
pub struct Shards {
    spawner: Option<Arc<dyn Spawner>>,
    options: ShardOptions,
    helping: AtomicUsize,
}

impl Shards {
    /// Helpers that `spawner` starts when they are needed.
    pub fn new(spawner: Arc<dyn Spawner>, options: ShardOptions) -> Arc<Self> {
        Arc::new(Self { spawner: Some(spawner), options, helping: AtomicUsize::new(0) })
    }

    /// No help: each query has its own thread only.
    pub fn none() -> Arc<Self> {
        let options = ShardOptions { max: 1, alone_up_to: u64::MAX };
        Arc::new(Self { spawner: None, options, helping: AtomicUsize::new(0) })
    }

    /// How it was made.
    pub fn options(&self) -> ShardOptions {
        self.options
    }

    /// How many threads help now.
    pub fn helping(&self) -> usize {
        self.helping.load(Ordering::Relaxed)
    }

    /// Whether a query that has read `work` is to be helped, and somebody could.
    pub(crate) fn would_help(&self, work: u64) -> bool {
        self.spawner.is_some() && work >= self.options.alone_up_to && self.helping() + 1 < self.options.max
    }

    /// Up to as many helpers as there may be.
    fn take(self: &Arc<Self>, wanted: usize) -> Option<Help> {
        let spawner = self.spawner.clone()?;
        let free = |now: usize| self.options.max.saturating_sub(1 + now).min(wanted);
        let more = |now: usize| Some(now + free(now)).filter(|after| *after > now);
        let before = self.helping.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Help { shards: Arc::clone(self), count: free(before), spawner })
    }
}

/// Helpers that are taken; given back when it is dropped.
struct Help {
    shards: Arc<Shards>,
    count: usize,
    spawner: Arc<dyn Spawner>,
}

impl Drop for Help {
    fn drop(&mut self) {
        self.shards.helping.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// What is done to each part, by any thread.
pub(crate) trait Job: Send + Sync + 'static {
    type Part: Send + 'static;
    type Made: Send + 'static;

    /// Nobody wants it any more once `is_left` says so: whatever comes of it is thrown away.
    fn make(&self, part: Self::Part, is_left: &AtomicBool) -> Result<Self::Made, EvalError>;
}

/// What the query's own thread does.
pub(crate) trait Owner<J: Job> {
    /// Does the next part itself, and takes it in at once.
    fn do_next(&mut self, part: J::Part) -> Result<(), EvalError>;
    /// Takes in what was made of the next part.
    fn take_in(&mut self, made: J::Made) -> Result<(), EvalError>;
}

/// So many results for each thread may wait for one before them.
const AHEAD: usize = 4;
/// How long a helper that is too far ahead waits before it looks again.
const WAIT: Duration = Duration::from_millis(1);

/// The parts and what was made of them.
struct Table<J: Job> {
    job: J,
    budget: Arc<QueryBudget>,
    parts: Mutex<VecDeque<(usize, J::Part)>>,
    made: Mutex<BTreeMap<usize, Result<J::Made, EvalError>>>,
    ahead: usize,
    /// No part is begun any more: one has failed, or the query has ended.
    over: AtomicBool,
    /// The query's own thread has gone: nothing is taken in any more.
    is_left: AtomicBool,
    pause: Arc<dyn Stop>,
}

impl<J: Job> Table<J> {
    fn claim(&self) -> Option<(usize, J::Part)> {
        if self.over.load(Ordering::Acquire) { None } else { self.parts.lock().pop_front() }
    }

    fn done(&self, n: usize, made: Result<J::Made, EvalError>) {
        if made.is_err() {
            self.over.store(true, Ordering::Release);
        }
        self.made.lock().insert(n, made);
    }

    fn take_made(&self, n: usize) -> Option<Result<J::Made, EvalError>> {
        self.made.lock().remove(&n)
    }

    /// Whether so much is made that what comes next has to be taken in before more is begun.
    fn is_ahead(&self) -> bool {
        self.made.lock().len() >= self.ahead
            && !self.parts.lock().is_empty()
            && !self.over.load(Ordering::Acquire)
    }

    /// What a helper does until no part is left.
    fn help(&self) {
        loop {
            while self.is_ahead() && self.budget.check().is_ok() {
                self.pause.wait(WAIT);
            }
            let Some((n, part)) = self.claim() else { return };
            let claimed = Claimed { table: self, n, is_done: Cell::new(false) };
            or_tell(
                || claimed.done(self.job.make(part, &self.is_left)),
                |said| claimed.done(Err(EvalError::Panicked(said.to_owned()))),
            );
        }
    }
}

/// A part in the hands of a helper. Something comes of it in any case.
struct Claimed<'a, J: Job> {
    table: &'a Table<J>,
    n: usize,
    is_done: Cell<bool>,
}

impl<J: Job> Claimed<'_, J> {
    fn done(&self, made: Result<J::Made, EvalError>) {
        self.is_done.set(true);
        self.table.done(self.n, made);
    }
}

impl<J: Job> Drop for Claimed<'_, J> {
    fn drop(&mut self) {
        if !self.is_done.get() {
            self.done(Err(EvalError::Panicked("it said nothing".to_owned())));
        }
    }
}

/// The helpers at work. None of them is left behind: that they end is waited for, whatever happens.
struct Helpers<J: Job> {
    table: Arc<Table<J>>,
    threads: Vec<Box<dyn Joined>>,
    _help: Help,
}

impl<J: Job> Helpers<J> {
    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // What it panicked with is among what was made.
            let _panicked = thread.join();
        }
    }
}

impl<J: Job> Drop for Helpers<J> {
    fn drop(&mut self) {
        self.table.over.store(true, Ordering::Release);
        self.table.is_left.store(true, Ordering::Release);
        self.join();
    }
}

/// Does `job` to all `parts`, with the help that there is. The results are taken in in order; of several
/// errors the one of the first part is the result's.
pub(crate) fn in_order<J: Job>(
    shards: &Arc<Shards>,
    (job, parts): (J, Vec<J::Part>),
    budget: &Arc<QueryBudget>,
    owner: &mut impl Owner<J>,
) -> Result<(), EvalError> {
    let count = parts.len();
    let Some(help) = shards.take(count.saturating_sub(1)) else {
        return parts.into_iter().try_for_each(|part| owner.do_next(part));
    };
    let table = Arc::new(Table {
        job,
        budget: Arc::clone(budget),
        parts: Mutex::new(parts.into_iter().enumerate().collect()),
        made: Mutex::new(BTreeMap::new()),
        ahead: AHEAD * (1 + help.count),
        over: AtomicBool::new(false),
        is_left: AtomicBool::new(false),
        pause: help.spawner.stop_signal(),
    });
    let mut threads = Vec::with_capacity(help.count);
    for i in 0..help.count {
        let table = Arc::clone(&table);
        // With fewer helpers than there might be it takes longer, and that is all.
        let Ok(thread) = help.spawner.spawn(&format!("query-shard-{i}"), Box::new(move || table.help()))
        else {
            break;
        };
        threads.push(thread);
    }
    let mut helpers = Helpers { table, threads, _help: help };
    let taken = take_turns(&helpers.table, owner)?;
    helpers.join();
    take_rest(&helpers.table, taken..count, owner)
}

/// Takes in what is made, and does parts oneself while there is nothing to be taken in. How many were taken
/// in when no part was left to be begun.
fn take_turns<J: Job>(table: &Table<J>, owner: &mut impl Owner<J>) -> Result<usize, EvalError> {
    let mut next = 0;
    loop {
        if let Some(made) = table.take_made(next) {
            owner.take_in(made?)?;
            next += 1;
            continue;
        }
        if table.is_ahead() {
            table.budget.check()?;
            table.pause.wait(WAIT);
            continue;
        }
        match table.claim() {
            Some((n, part)) if n == next => {
                owner.do_next(part)?;
                next += 1;
            }
            Some((n, part)) => table.done(n, table.job.make(part, &table.is_left)),
            None => return Ok(next),
        }
    }
}

/// Takes in what the helpers have made last.
fn take_rest<J: Job>(
    table: &Table<J>,
    rest: Range<usize>,
    owner: &mut impl Owner<J>,
) -> Result<(), EvalError> {
    for n in rest {
        // Parts are begun in order: where one was not, one before it has failed.
        let made = table.take_made(n).expect("invariant: what is begun comes to something");
        owner.take_in(made?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
