//! What the system refused to this user. Whoever asks notes it, on the thread of the collector's run; the
//! registry takes the notes when the run has ended, and tells each of them once. It never decides what a
//! collector does without what it may not have.

use std::{cell::RefCell, collections::BTreeSet, mem};

/// One run notes no more than this: who may read nothing need not be told of every file.
const MAX_NOTES: usize = 64;
/// A collector remembers no more than this.
const MAX_KNOWN: usize = 4096;

thread_local! {
    static NOTES: RefCell<Notes> = const { RefCell::new(Notes::NONE) };
}

struct Notes {
    refused: Vec<String>,
    /// Room to write in: what is refused in each scrape costs no memory.
    shown: String,
}

impl Notes {
    const NONE: Self = Self { refused: Vec::new(), shown: String::new() };

    fn add(&mut self, what: &str) {
        if self.refused.len() < MAX_NOTES && !self.refused.iter().any(|known| known == what) {
            self.refused.push(what.to_owned());
        }
    }
}

/// Notes that `what`, a file or a call, was refused.
pub(crate) fn note(what: &str) {
    NOTES.with_borrow_mut(|notes| notes.add(what));
}

/// Notes that a file of the process file system was refused: of each kind once, not of each process.
pub(crate) fn note_of_process(path: &str) {
    NOTES.with_borrow_mut(|notes| {
        let mut shown = mem::take(&mut notes.shown);
        shown.clear();
        let mut of_processes = false;
        for (at, part) in path.split('/').enumerate() {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let is_task = shown.ends_with("/task");
            if at > 0 {
                shown.push('/');
            }
            shown.push_str(match is_number {
                true if is_task => "TID",
                true => "PID",
                false => part,
            });
            of_processes |= is_number;
        }
        if of_processes {
            shown.push_str(" of other processes");
        }
        notes.add(&shown);
        notes.shown = shown;
    });
}

/// Takes this thread's notes.
pub(crate) fn take() -> Vec<String> {
    NOTES.with_borrow_mut(|notes| mem::take(&mut notes.refused))
}

/// Says that a collector is refused something.
pub(crate) fn tell(collector: &str, refused: &str) {
    if rustix::process::geteuid().is_root() {
        tracing::warn!(
            collector,
            refused,
            "root may not have it here, for it lacks a capability; it is left out"
        );
    } else {
        tracing::warn!(collector, refused, "this user may not have it; it is left out");
    }
}

/// What was refused to one collector so far.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    known: BTreeSet<String>,
}

impl Refusals {
    /// Takes this thread's notes, and returns those that are new.
    pub(crate) fn take_new(&mut self) -> Vec<String> {
        let mut notes = take();
        notes.retain(|note| self.known.len() < MAX_KNOWN && self.known.insert(note.clone()));
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_new_once_to_each_collector() {
        let (mut one, mut other) = (Refusals::default(), Refusals::default());
        note("/proc/slabinfo");
        note("/proc/slabinfo");
        note("/sys/b");
        assert_eq!(one.take_new(), ["/proc/slabinfo", "/sys/b"]);
        assert_eq!(one.take_new(), [""; 0], "they were taken");
        note("/sys/b");
        assert_eq!(one.take_new(), [""; 0]);
        note("/sys/b");
        assert_eq!(other.take_new(), ["/sys/b"]);
    }

    #[test]
    fn many_refusals_are_not_all_told() {
        let mut refusals = Refusals::default();
        (0..MAX_NOTES + 5).for_each(|i| note(&i.to_string()));
        assert_eq!(refusals.take_new().len(), MAX_NOTES);
    }
}
