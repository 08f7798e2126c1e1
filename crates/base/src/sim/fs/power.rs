//! The states that a power loss or a killed process leaves of a simulated file system. Owns the choice among
//! all that the contract of `Fs` allows; never changes the file system that it starts from.

use super::{
    SimFs,
    data::{FileData, Outcome},
    names::{Ino, NameEvent, Names, Slot},
    state::{InFlight, Node, ROOT, State},
};
use crate::rng::Rng;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// What reached the disk: of each file with pending writes and each name with pending events, how much.
#[derive(Clone, Debug, Default)]
struct Plan {
    files: BTreeMap<Ino, Outcome>,
    names: BTreeMap<Slot, usize>,
}

impl SimFs {
    /// The file system that a new process finds after this one was killed (`kill -9`) between two calls:
    /// everything whose call returned. What was not durable still is not.
    pub fn process_crash(&self) -> SimFs {
        Self::of(after_kill(&self.0.lock(), "process killed".into()))
    }

    /// The file systems that a new process may find when this one was killed: as `process_crash`, and,
    /// when the point set by `crash_after` came in the middle of an append, with parts of that append
    /// too. At most `limit` of them; chosen by `seed` when there are more.
    pub fn process_crash_states(&self, limit: usize, seed: u64) -> impl Iterator<Item = SimFs> + use<> {
        let now = self.0.lock().clone();
        let mut cuts = vec![0];
        if let Some(InFlight { bytes, .. }) = &now.in_flight
            && limit > 1
        {
            if bytes.len() < limit {
                cuts.extend(1..=bytes.len());
            } else {
                let rng = Rng::from_seed(seed);
                let some = (2..limit).map(|_| 1 + rng.below(bytes.len() as u64) as usize);
                cuts.extend(some.chain([bytes.len()]).collect::<BTreeSet<_>>());
            }
        }
        cuts.into_iter().map(move |cut| {
            let origin = match &now.in_flight {
                Some(f) => {
                    format!("process killed when {cut} of the {} bytes of an append were in", f.bytes.len())
                }
                None => "process killed".to_owned(),
            };
            let mut s = after_kill(&now, origin.into());
            if let Some(InFlight { ino, bytes }) = &now.in_flight
                && s.nodes.contains_key(ino)
            {
                s.data_mut(*ino).append(&bytes[..cut]);
            }
            Self::of(s)
        })
    }

    /// Of how many bytes the append is that the point set by `crash_after` came in the middle of.
    pub fn appending(&self) -> Option<usize> {
        self.0.lock().in_flight.as_ref().map(|f| f.bytes.len())
    }

    /// The file systems that a power loss now may leave, each once and at most `limit` of them: all,
    /// when there are few enough, else the plainest (nothing pending arrived, all of it, data without
    /// names, names without data) and others chosen by `seed`. The same seed gives the same states in
    /// the same order.
    pub fn crash_states(&self, limit: usize, seed: u64) -> CrashStates {
        let mut base = self.0.lock().clone();
        base.open.clear();
        base.locks.clear();
        base.sweep();
        CrashStates::new(base, limit, seed)
    }
}

fn after_kill(s: &State, origin: Arc<str>) -> State {
    let mut next = State::new(s.seed ^ (s.log.len() as u64 + 1), BTreeMap::new(), origin);
    next.adopt(s);
    next
}

/// The states after a power loss.
#[derive(Debug)]
pub struct CrashStates {
    base: State,
    limit: usize,
    seed: u64,
    rng: Rng,
    /// The plans to come first, or all there are.
    planned: VecDeque<Plan>,
    exhaustive: bool,
    seen: HashSet<u64, BuildHasherDefault<DefaultHasher>>,
    tries_left: usize,
}

impl CrashStates {
    fn new(base: State, limit: usize, seed: u64) -> Self {
        let all = all_plans(&base, limit);
        let exhaustive = all.is_some();
        let planned = all.unwrap_or_else(|| plain_plans(&base)).into();
        Self {
            base,
            limit,
            seed,
            rng: Rng::from_seed(seed),
            planned,
            exhaustive,
            seen: HashSet::default(),
            tries_left: limit.saturating_mul(8),
        }
    }

    /// Whether these are all the states there are.
    pub fn is_exhaustive(&self) -> bool {
        self.exhaustive
    }
}

impl Iterator for CrashStates {
    type Item = SimFs;

    fn next(&mut self) -> Option<SimFs> {
        while self.seen.len() < self.limit {
            let plan = match self.planned.pop_front() {
                Some(plan) => plan,
                None if self.exhaustive || self.tries_left == 0 => return None,
                None => {
                    self.tries_left -= 1;
                    random_plan(&self.base, &self.rng)
                }
            };
            let remains = remains(&self.base, &plan);
            let print = fingerprint(&self.base, &plan, &remains);
            if self.seen.insert(print) {
                let nodes = carry_out(&self.base, &plan, remains);
                let origin = describe(&self.base, &plan);
                let mut next = State::new(self.seed ^ print, nodes, origin.into());
                next.capacity = self.base.capacity;
                return Some(SimFs::of(next));
            }
        }
        None
    }
}

fn pending_files(s: &State) -> impl Iterator<Item = (Ino, &FileData)> {
    s.files().filter(|(_, data)| data.has_pending())
}

fn pending_names(s: &State) -> impl Iterator<Item = (Slot, &[NameEvent])> {
    s.dirs().flat_map(|(dir, names)| names.pending().map(move |(name, events)| ((dir, name.clone()), events)))
}

/// Every plan that the contract allows; `None` when they are more than `limit`.
fn all_plans(s: &State, limit: usize) -> Option<Vec<Plan>> {
    let mut plans = vec![Plan::default()];
    for (slot, events) in pending_names(s) {
        if plans.len().checked_mul(events.len() + 1)? > limit {
            return None;
        }
        let with = |plan: &Plan, n: usize| {
            let mut plan = plan.clone();
            plan.names.insert(slot.clone(), n);
            plan
        };
        plans = plans.iter().flat_map(|plan| (0..=events.len()).map(|n| with(plan, n))).collect();
    }
    plans.retain(|plan| unmet(s, plan).is_none());
    for (ino, data) in pending_files(s) {
        let outcomes = data.outcomes((limit / plans.len()) as u64)?;
        let with = |plan: &Plan, outcome: &Outcome| {
            let mut plan = plan.clone();
            plan.files.insert(ino, outcome.clone());
            plan
        };
        plans = plans.iter().flat_map(|plan| outcomes.iter().map(|o| with(plan, o))).collect();
    }
    Some(plans)
}

/// The plans that every sample starts with.
fn plain_plans(s: &State) -> Vec<Plan> {
    let lost = Plan::default();
    let data: BTreeMap<_, _> = pending_files(s).map(|(ino, data)| (ino, data.kept())).collect();
    let names: BTreeMap<_, _> = pending_names(s).map(|(slot, events)| (slot, events.len())).collect();
    let (files_only, names_only) =
        (Plan { files: data.clone(), ..lost.clone() }, Plan { names: names.clone(), ..lost.clone() });
    vec![lost, Plan { files: data, names }, files_only, names_only]
}

fn random_plan(s: &State, rng: &Rng) -> Plan {
    // One power loss often leaves the names as they were asked for and spoils data only.
    let all_names = rng.below(3) == 0;
    let names = pending_names(s).map(|(slot, events)| {
        let n = if all_names { events.len() } else { rng.below(events.len() as u64 + 1) as usize };
        (slot, n)
    });
    let mut plan = Plan { names: names.collect(), files: BTreeMap::new() };
    // Meeting a need only ever adds arrivals, of which there are finitely many.
    while let Some((slot, n)) = unmet(s, &plan) {
        plan.names.insert(slot, n);
    }
    plan.files = pending_files(s).map(|(ino, data)| (ino, data.random(rng))).collect();
    plan
}

/// A name of which the plan must let this many events arrive, since another event that arrives needs them.
fn unmet(s: &State, plan: &Plan) -> Option<(Slot, usize)> {
    let histories: BTreeMap<Slot, &[NameEvent]> = pending_names(s).collect();
    for (slot, &arrived) in &plan.names {
        let needs = histories[slot][..arrived].iter().filter_map(|e| e.needs.as_ref());
        for (slot, id) in needs {
            // An event that is no longer pending is on the disk.
            let Some(at) = histories.get(slot).and_then(|events| events.iter().position(|e| e.id == *id))
            else {
                continue;
            };
            if plan.names.get(slot).is_none_or(|&n| n <= at) {
                return Some((slot.clone(), at + 1));
            }
        }
    }
    None
}

/// The files and directories that a power loss leaves; of each directory the names in it.
type Remains = BTreeMap<Ino, Option<BTreeMap<String, Ino>>>;

/// What `plan` leaves.
fn remains(s: &State, plan: &Plan) -> Remains {
    let mut out = BTreeMap::new();
    let mut todo = vec![ROOT];
    while let Some(ino) = todo.pop() {
        if out.contains_key(&ino) {
            continue;
        }
        let left = s.names(ino).map(|names| {
            let arrived = |name: &str| plan.names.get(&(ino, name.to_owned())).copied().unwrap_or(0);
            names.after(arrived)
        });
        todo.extend(left.iter().flat_map(BTreeMap::values));
        out.insert(ino, left);
    }
    out
}

/// A number that two plans share when they leave the same: of the files, only what the plan decides counts.
fn fingerprint(s: &State, plan: &Plan, remains: &Remains) -> u64 {
    let nothing = Outcome::default();
    let mut h = BuildHasherDefault::<DefaultHasher>::default().build_hasher();
    for (ino, names) in remains {
        (ino, names).hash(&mut h);
        if names.is_none() && s.data(*ino).has_pending() {
            s.data(*ino).tail(plan.files.get(ino).unwrap_or(&nothing)).hash(&mut h);
        }
    }
    h.finish()
}

/// The tree that `plan` leaves, all of it durable.
fn carry_out(s: &State, plan: &Plan, remains: Remains) -> BTreeMap<Ino, Node> {
    let nothing = Outcome::default();
    let node = |ino: &Ino, names: Option<BTreeMap<String, Ino>>| match names {
        Some(names) => Node::Dir(Names::durable(names)),
        None => Node::File(FileData::durable(s.data(*ino).content(plan.files.get(ino).unwrap_or(&nothing)))),
    };
    remains.into_iter().map(|(ino, names)| (ino, node(&ino, names))).collect()
}

/// Says `plan` to the reader of a failed test.
fn describe(s: &State, plan: &Plan) -> String {
    let mut paths = BTreeMap::from([(ROOT, String::new())]);
    let mut todo = vec![ROOT];
    while let Some(dir) = todo.pop() {
        let Some(names) = s.names(dir) else { continue };
        let path = paths[&dir].clone();
        let pending = names.pending().flat_map(|(name, events)| events.iter().map(move |e| (name, e.value)));
        let live = names.live().iter().map(|(name, &ino)| (name, Some(ino)));
        for (name, ino) in live.chain(pending) {
            if let Some(ino) = ino
                && !paths.contains_key(&ino)
            {
                paths.insert(ino, format!("{path}/{name}"));
                todo.push(ino);
            }
        }
    }
    let path = |ino: &Ino| paths.get(ino).map_or("a removed file", String::as_str);
    let mut out = vec!["power lost".to_owned()];
    for (slot, n) in &plan.names {
        let all = s.names(slot.0).and_then(|names| names.pending().find(|(name, _)| **name == slot.1));
        let all = all.map_or(0, |(_, events)| events.len());
        out.push(format!("{}/{}: {n} of {all} changes of the name arrived", path(&slot.0), slot.1));
    }
    for (ino, data) in pending_files(s) {
        let nothing = Outcome::default();
        out.push(format!("{}: {}", path(&ino), data.describe(plan.files.get(&ino).unwrap_or(&nothing))));
    }
    out.join("; ")
}
