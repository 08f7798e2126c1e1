//! The names in a simulated directory: what programs see, what is durable, and what happened to each name in
//! between. Owns which names a power loss may leave; never knows what a name stands for.

use std::collections::BTreeMap;

/// The number of a file or directory, whatever its names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ino(pub(super) u64);

/// The number of a change of a name, unique in its file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventId(pub(super) u64);

/// A name's place: a directory and the name in it.
pub(super) type Slot = (Ino, String);

/// A name got another meaning, which no directory sync has made durable yet.
#[derive(Clone, Debug)]
pub(super) struct NameEvent {
    pub(super) id: EventId,
    /// What it means since; `None` when it is gone.
    pub(super) value: Option<Ino>,
    /// Another event that arrives on the disk no later than this one.
    pub(super) needs: Option<(Slot, EventId)>,
}

/// The names of a directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    live: BTreeMap<String, Ino>,
    durable: BTreeMap<String, Ino>,
    pending: BTreeMap<String, Vec<NameEvent>>,
}

impl Names {
    /// Names all of which are durable.
    pub(super) fn durable(names: BTreeMap<String, Ino>) -> Self {
        Self { live: names.clone(), durable: names, pending: BTreeMap::new() }
    }

    pub(super) fn live(&self) -> &BTreeMap<String, Ino> {
        &self.live
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = (&String, &[NameEvent])> {
        self.pending.iter().map(|(name, events)| (name, events.as_slice()))
    }

    pub(super) fn set(&mut self, name: &str, event: NameEvent) {
        match event.value {
            Some(ino) => drop(self.live.insert(name.to_owned(), ino)),
            None => drop(self.live.remove(name)),
        }
        self.pending.entry(name.to_owned()).or_default().push(event);
    }

    /// Makes the history of `name` durable up to `id`; returns what must become durable with it.
    pub(super) fn settle(&mut self, name: &str, id: EventId) -> Vec<(Slot, EventId)> {
        let Some(events) = self.pending.get_mut(name) else { return Vec::new() };
        let Some(at) = events.iter().position(|e| e.id == id) else { return Vec::new() };
        let settled: Vec<NameEvent> = events.drain(..=at).collect();
        if events.is_empty() {
            self.pending.remove(name);
        }
        match settled[at].value {
            Some(ino) => drop(self.durable.insert(name.to_owned(), ino)),
            None => drop(self.durable.remove(name)),
        }
        settled.into_iter().filter_map(|e| e.needs).collect()
    }

    /// The last event of every name that has one.
    pub(super) fn last_events(&self) -> Vec<(String, EventId)> {
        let last = |events: &[NameEvent]| events.last().expect("invariant: no empty history").id;
        self.pending().map(|(name, events)| (name.clone(), last(events))).collect()
    }

    /// The names when of each history this many events arrived; none of those that `arrived` leaves out.
    pub(super) fn after(&self, arrived: impl Fn(&str) -> usize) -> BTreeMap<String, Ino> {
        let mut out = self.durable.clone();
        for (name, events) in &self.pending {
            let Some(last) = arrived(name).checked_sub(1) else { continue };
            match events[last].value {
                Some(ino) => drop(out.insert(name.clone(), ino)),
                None => drop(out.remove(name)),
            }
        }
        out
    }

    /// Everything that a name here means or may come to mean after a power loss.
    pub(super) fn referenced(&self) -> impl Iterator<Item = Ino> {
        let pending = self.pending.values().flatten().filter_map(|e| e.value);
        self.live.values().chain(self.durable.values()).copied().chain(pending)
    }
}
