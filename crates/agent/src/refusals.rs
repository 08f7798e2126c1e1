//! What the system refused to this user. Whoever asks notes it, on the thread of the collector's run; the
//! registry takes the notes when the run has ended, and tells each of them once. It never decides what a
//! collector does without what it may not have.

use std::{cell::RefCell, collections::BTreeSet};

/// One run notes no more than this: who may read nothing need not be told of every file.
const MAX_NOTES: usize = 64;
/// A collector remembers no more than this.
const MAX_KNOWN: usize = 4096;

thread_local! {
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Notes that `what`, a file or a call, was refused.
pub(crate) fn note(what: &str) {
    NOTES.with_borrow_mut(|notes| {
        if notes.len() < MAX_NOTES && !notes.iter().any(|known| known == what) {
            notes.push(what.to_owned());
        }
    });
}

/// What was refused to one collector so far.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    known: BTreeSet<String>,
}

impl Refusals {
    /// Takes this thread's notes, and returns those that are new.
    pub(crate) fn take_new(&mut self) -> Vec<String> {
        let mut notes = NOTES.take();
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
