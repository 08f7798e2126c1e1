//! The memory of bodies: what all of them may hold at once, by their sizes, and what is kept for the next.
//! Reads nothing.

use crate::{fetch::FetchError, line::BUFFER_BYTES};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// The most bytes of one decoded body.
pub(crate) const BODY_SIZE_LIMIT_BYTES: usize = 1 << 30;
/// The most bytes of one that is held as a whole, since it is not read window by window.
pub(crate) const HELD_BODY_MAX_BYTES: usize = 64 << 20;
/// A body of so many bytes that can be read window by window is.
pub(crate) const STREAM_FROM_BYTES: usize = 4 << 20;
/// So much of every body costs no room: nearly all targets send less, and nothing that others do may keep
/// them from it.
const FREE_BYTES: usize = 64 << 10;
/// Longer bodies share the room of those of their size, so that some that send too much, or too slowly,
/// cannot take the room of all the others. Nobody waits for room: whoever waits holds what he has.
const TIERS: [Tier; 4] = [
    Tier { body_bytes: 512 << 10, all_bytes: 64 << 20 },
    Tier { body_bytes: STREAM_FROM_BYTES, all_bytes: 64 << 20 },
    Tier { body_bytes: HELD_BODY_MAX_BYTES, all_bytes: 3 * HELD_BODY_MAX_BYTES },
    Tier { body_bytes: BODY_SIZE_LIMIT_BYTES, all_bytes: 1 << 30 },
];
/// The tier of bodies that are read window by window: they hold what waits to be stored of them.
const STREAMS: usize = TIERS.len() - 1;
/// In steps of so many bytes room is asked for.
const ROOM_STEP_BYTES: usize = 64 << 10;
/// Memory of bodies that is kept to be used again: so many, each of at most so many bytes.
const SPARES: usize = 16;
const SPARE_BYTES: usize = 1 << 20;
/// Bodies of about the same size.
struct Tier {
    /// The longest.
    body_bytes: usize,
    /// The most bytes of all of them that are held at once.
    all_bytes: usize,
}

/// The memory of all bodies: what may be held at once, and what is kept for the next.
pub(crate) struct Memory {
    tiers: [Arc<Semaphore>; TIERS.len()],
    spares: Mutex<Vec<Vec<u8>>>,
    /// Memory that answers are read into; its contents mean nothing.
    scratches: Mutex<Vec<Box<[u8]>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            tiers: TIERS.map(|tier| Arc::new(Semaphore::new(tier.all_bytes / ROOM_STEP_BYTES))),
            spares: Mutex::default(),
            scratches: Mutex::default(),
        }
    }
}

impl Memory {
    /// An empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.spares.lock().pop().unwrap_or_default()
    }

    /// Keeps a buffer for a later body, unless there are enough or it is too large to lie about.
    pub(crate) fn keep(&self, mut buffer: Vec<u8>) {
        let mut spares = self.spares.lock();
        if buffer.capacity() > 0 && buffer.capacity() <= SPARE_BYTES && spares.len() < SPARES {
            buffer.clear();
            spares.push(buffer);
        }
    }
}

/// The share of the memory that one body holds. Given back when dropped.
pub(crate) struct Room {
    pub(crate) memory: Arc<Memory>,
    /// Of which tier, and as many steps as the body has.
    held: Option<(usize, OwnedSemaphorePermit)>,
}

impl Room {
    pub(crate) fn of(memory: &Arc<Memory>) -> Self {
        Self { memory: Arc::clone(memory), held: None }
    }

    /// Makes room for `bytes` in all, at once or not at all.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), FetchError> {
        if bytes <= FREE_BYTES {
            return Ok(());
        }
        let tier = TIERS.iter().position(|tier| bytes <= tier.body_bytes).unwrap_or(STREAMS);
        self.hold_in(tier, bytes)
    }

    /// Makes room for `bytes` in all of a body that is read window by window.
    pub(crate) fn hold_of_stream(&mut self, bytes: usize) -> Result<(), FetchError> {
        self.hold_in(STREAMS, bytes)
    }

    fn hold_in(&mut self, tier: usize, bytes: usize) -> Result<(), FetchError> {
        let before = self.held.as_ref().filter(|(of, _)| *of == tier);
        let held_steps = before.map_or(0, |(_, permit)| permit.num_permits());
        let steps = bytes.div_ceil(ROOM_STEP_BYTES).saturating_sub(held_steps);
        if steps == 0 {
            return Ok(());
        }
        let steps = u32::try_from(steps).expect("invariant: a body within its limit has few steps");
        match Arc::clone(&self.memory.tiers[tier]).try_acquire_many_owned(steps) {
            Ok(more) => {
                match &mut self.held {
                    Some((of, permit)) if *of == tier => permit.merge(more),
                    // A body that outgrows its tier gives back what it held there.
                    held => *held = Some((tier, more)),
                }
                Ok(())
            }
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                let held = self.held.as_ref().map_or(FREE_BYTES, |(_, p)| p.num_permits() * ROOM_STEP_BYTES);
                Err(FetchError::NoRoom { held, tier: TIERS[tier].body_bytes, all: TIERS[tier].all_bytes })
            }
        }
    }
}

/// Memory that an answer is read into.
pub(crate) struct Scratch {
    memory: Arc<Memory>,
    bytes: Box<[u8]>,
}

impl Scratch {
    pub(crate) fn of(memory: &Arc<Memory>) -> Self {
        let spare = memory.scratches.lock().pop();
        let bytes = spare.unwrap_or_else(|| vec![0; BUFFER_BYTES].into());
        Self { memory: Arc::clone(memory), bytes }
    }
}

impl AsMut<[u8]> for Scratch {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut scratches = self.memory.scratches.lock();
        if scratches.len() < SPARES {
            scratches.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies of so many bytes until there is no room for another one.
    fn fill(memory: &Arc<Memory>, bytes: usize) -> (Vec<Room>, FetchError) {
        let mut held = Vec::new();
        loop {
            let mut room = Room::of(memory);
            match room.hold(bytes) {
                Ok(()) => held.push(room),
                Err(error) => return (held, error),
            }
        }
    }

    #[test]
    fn bodies_that_stall_keep_no_room_from_those_of_other_sizes() {
        for (stalled, tier) in
            [(FREE_BYTES + 1, 0), (3_500_000, 1), (HELD_BODY_MAX_BYTES, 2), (BODY_SIZE_LIMIT_BYTES, 3)]
        {
            let memory: Arc<Memory> = Arc::default();
            let (mut held, error) = fill(&memory, stalled);
            assert_eq!(held.len(), TIERS[tier].all_bytes / stalled.next_multiple_of(ROOM_STEP_BYTES));
            let limit = format!("have {} bytes together", TIERS[tier].all_bytes);
            assert!(error.to_string().contains(&limit), "{error}");
            let free: Vec<bool> =
                TIERS.iter().map(|t| Room::of(&memory).hold(t.body_bytes).is_ok()).collect();
            let others: Vec<bool> = (0..TIERS.len()).map(|t| t != tier).collect();
            assert_eq!(free, others, "bodies of {stalled} bytes hold up those of their size only");
            for bytes in [0, 7, FREE_BYTES] {
                assert!(Room::of(&memory).hold(bytes).is_ok(), "small bodies need no room");
            }
            held.pop();
            assert!(Room::of(&memory).hold(stalled).is_ok(), "room is given back");
        }
    }

    #[test]
    fn bodies_hold_what_they_need_as_they_grow() {
        let memory: Arc<Memory> = Arc::default();
        let mut room = Room::of(&memory);
        let held =
            |tier: usize| TIERS[tier].all_bytes / ROOM_STEP_BYTES - memory.tiers[tier].available_permits();
        for (bytes, steps) in [
            (FREE_BYTES, [0, 0, 0]),
            (FREE_BYTES + 1, [2, 0, 0]),
            (512 << 10, [8, 0, 0]),
            ((512 << 10) + 1, [0, 9, 0]),
            (4 << 20, [0, 64, 0]),
            ((4 << 20) + 1, [0, 0, 65]),
            (HELD_BODY_MAX_BYTES, [0, 0, 1024]),
        ] {
            room.hold(bytes).unwrap();
            assert_eq!([held(0), held(1), held(2)], steps, "{bytes} bytes");
        }
        room.hold_of_stream(1).unwrap();
        assert_eq!([0, 1, 2, 3].map(held), [0, 0, 0, 1], "what is read while it comes holds what waits");
        drop(room);
        assert_eq!([0, 1, 2, 3].map(held), [0; 4]);
    }

    #[test]
    fn only_some_memory_is_kept() {
        let memory: Arc<Memory> = Arc::default();
        memory.keep(vec![1; SPARE_BYTES + 1]);
        memory.keep(Vec::new());
        assert!(memory.spares.lock().is_empty());
        (0..2 * SPARES).for_each(|_| memory.keep(vec![1; 10]));
        assert_eq!(memory.spares.lock().len(), SPARES);
        assert!(memory.take().is_empty());
    }
}
