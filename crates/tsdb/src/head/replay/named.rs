//! From a name in the log to its series. Never gives two series what stands under one number.

use super::RefMap;
use crate::head::{
    Head,
    registry::{HeldSeries, Origin},
    series::MemSeries,
};
use skopos_model::Labels;
use std::sync::Arc;

/// Keeps the number of a series from being given to another one, also when it was never named.
pub(in crate::head) fn reserve(head: &Head, found: u64) {
    // One that is none can be given to nobody.
    let _ = head.registry.wal_refs.reserve(found);
}

/// Makes a series of the WAL known, with the closed chunks of its number; whether it could be. One that no
/// appender could have made is passed over, and its samples count as samples of an unnamed series.
///
/// A series that has gone and come again has several numbers, of which the newest one counts: closed chunks
/// of a later number come behind those of an earlier one. `before_chunks` is called where it has another
/// already.
pub(in crate::head) fn add_series(
    head: &Head,
    refs: &mut RefMap,
    found: u64,
    labels: &Labels,
    before_chunks: impl FnOnce(),
) -> Option<Arc<MemSeries>> {
    if labels.is_empty() {
        return None;
    }
    if refs.is_given_twice(found) {
        return add_renumbered(head, refs, found, labels);
    }
    let wal_ref = head.registry.wal_refs.reserve(found)?;
    if let Some(known) = refs.get(found).and_then(|index| head.registry.table().get(index).cloned()) {
        if known.labels.is(labels) {
            // Named once more, as by a checkpoint that takes the names of all series from memory.
            return Some(known);
        }
        // No sound log has that. What is in chunks already may be under the wrong name: all is read anew.
        refs.contradict(found);
        return None;
    }
    let HeldSeries { series, created, .. } = find_or_make(head, labels, Origin::Wal(wal_ref))?;
    if !created {
        before_chunks();
        head.rename(&series, wal_ref);
    }
    head.attach_chunks(&series, wal_ref);
    refs.insert(found, series.index);
    Some(series)
}

/// The same under a number that the log gives to several series: behind this place of the log it is this
/// one's. A series without another number gets one of its own, under which chunk files and the log have it
/// from now on.
#[cold]
fn add_renumbered(head: &Head, refs: &mut RefMap, found: u64, labels: &Labels) -> Option<Arc<MemSeries>> {
    let shared = head.registry.wal_refs.reserve(found)?;
    let own = head.registry.wal_refs.give();
    let HeldSeries { series, created, .. } = find_or_make(head, labels, Origin::Wal(own))?;
    refs.insert_given_twice(found, series.index);
    if created {
        refs.renumbered.push(series.index);
    }
    // Until the log is written anew.
    head.add_older_ref(&series, shared);
    Some(series)
}

fn find_or_make(head: &Head, labels: &Labels, origin: Origin<'_>) -> Option<HeldSeries> {
    let found = head.registry.get_or_create(labels, origin);
    if found.is_err() {
        tracing::warn!(%labels, "series of the WAL is left out: there are as many as allowed");
    }
    found.ok()
}
