//! `every_call`: a part of a program's life in which the n-th call of the disk fails, for every n until the
//! part makes fewer calls than that. Owns the loop and the ways in which calls fail; never knows what the
//! part does, nor what must hold after it.

use super::{
    effort,
    fs::{Failure, OpKind, SimFs},
    world::{SimWorld, message},
};
use crate::env::Env;
use std::{
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// The calls that a disk without room refuses.
const NEED_ROOM: [OpKind; 10] = [
    OpKind::Create,
    OpKind::Append,
    OpKind::Sync,
    OpKind::Truncate,
    OpKind::CreateDir,
    OpKind::Rename,
    OpKind::HardLink,
    OpKind::RemoveFile,
    OpKind::RemoveDir,
    OpKind::SyncDir,
];
/// How much of an append is taken where it is cut short; more lengths where `effort` says so.
const SHORT: [usize; 3] = [0, 1, 50];
/// The seeds of cases go on from here, far from those by which `start` may have been made: a world of the
/// same seed gives the same names again.
const SEEDS: u64 = 0x5EED_0000;
/// A part that makes more calls never ends.
const MOST_CALLS: u64 = 100_000;

/// One failing call of a case.
#[derive(Debug)]
pub struct Fault {
    fs: SimFs,
    /// Of which calls it is the n-th; `None` of all.
    kind: Option<OpKind>,
    failure: Failure,
    n: u64,
    /// Whether it came, once it is known.
    came: Cell<Option<bool>>,
}

impl Fault {
    /// From here on calls are counted, and the n-th fails.
    pub fn arm(&self) {
        match self.kind {
            Some(kind) => self.fs.fail_nth(kind, self.n, self.failure),
            None => self.fs.fail_call(self.n, self.failure),
        }
    }

    /// From here on no call fails. Says whether one did.
    pub fn disarm(&self) -> bool {
        let came = self.fs.disarm() == 0;
        self.came.set(Some(came));
        came
    }

    /// The case's disk.
    pub fn fs(&self) -> &SimFs {
        &self.fs
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{:?} of {kind:?} {}", self.failure, self.n),
            None => write!(f, "{:?} of call {}", self.failure, self.n),
        }
    }
}

/// Runs `case` once for each way in which a call may fail and each n, on a copy of `start`: every call fails
/// with `EIO`, every one that changes the disk for want of room, and every append is cut short. `case` calls
/// `Fault::arm` where the calls begin to count, `Fault::disarm` behind the last, and then checks what must
/// hold; the first n whose call does not come is the last of its way. Returns how many calls failed.
///
/// # Panics
/// When a case panics, with the failure in the message, or does not arm and disarm its failure.
pub fn every_call(start: &SimFs, mut case: impl FnMut(&Env, &Fault)) -> usize {
    let mut ways = vec![(None, Failure::Io)];
    ways.extend(NEED_ROOM.map(|kind| (Some(kind), Failure::NoSpace)));
    ways.extend(SHORT.map(|bytes| (Some(OpKind::Append), Failure::Short(bytes))));
    let more = effort::states(1) - 1;
    let lengths = (1..=more).map(|k| 1 + (effort::seed(k as u64) as usize).wrapping_mul(97) % 4096);
    ways.extend(lengths.map(|bytes| (Some(OpKind::Append), Failure::Short(bytes))));
    let failed = ways.into_iter().map(|(kind, failure)| every_n(start, kind, failure, &mut case)).sum();
    effort::report(failed);
    failed
}

fn every_n(
    start: &SimFs,
    kind: Option<OpKind>,
    failure: Failure,
    case: &mut impl FnMut(&Env, &Fault),
) -> usize {
    for n in 1..MOST_CALLS {
        let fs = start.process_crash();
        let world = SimWorld::with_fs(effort::seed(SEEDS + n), fs.clone());
        let fault = Fault { fs, kind, failure, n, came: Cell::new(None) };
        let run = || world.run(|env| case(env, &fault));
        if let Err(e) = catch_unwind(AssertUnwindSafe(run)) {
            panic!("a failing call was not survived: {fault}\n{}", message(e.as_ref()));
        }
        match fault.came.get() {
            Some(true) => {}
            Some(false) => return n as usize - 1,
            None => panic!("a case says when its calls begin and end: {fault}"),
        }
    }
    panic!("more than {MOST_CALLS} calls: {kind:?} {failure:?}");
}
