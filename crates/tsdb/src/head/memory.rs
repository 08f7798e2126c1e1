//! `MemoryBudget`: about how many bytes the head holds, and how many it may. The count is measured by walking
//! the series a part at a time (`Head::measure_memory`); between two walks new series are added as estimated.
//! Never frees anything.

use super::{Head, series::SeriesIndex};
use skopos_base::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

/// Series measured in one call: about two milliseconds.
const PART: u32 = 16 << 10;
/// Series measured before the table is let go.
const STRIDE: u32 = 256;

/// An exemplar with labels of common length, and its place in the ring.
const BYTES_AN_EXEMPLAR: usize = 160;

/// What the head may hold, and what it does.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    max_bytes: u64,
    /// As of the last walk, and what was added since.
    held: AtomicU64,
    walk: Mutex<Walk>,
}

/// How far a walk through all series has come.
#[derive(Debug, Default)]
struct Walk {
    next: u32,
    bytes: u64,
}

impl MemoryBudget {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, held: AtomicU64::new(0), walk: Mutex::default() }
    }

    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.held_bytes() >= self.max_bytes
    }

    /// Notes a new series of about so many bytes.
    pub(super) fn grow(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that series of about so many bytes have gone.
    pub(super) fn shrink(&self, bytes: u64) {
        let less = |held: u64| Some(held.saturating_sub(bytes));
        // The last walk may have counted less than was estimated.
        let _ = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl Head {
    /// Measures all that the head holds: a start ends with it.
    pub(crate) fn measure_all_memory(&self) {
        for _ in 0..=self.registry.next_index() / PART {
            self.measure_memory();
        }
    }

    /// Measures a part of what the head holds; after the last part of the series the sum counts. To be
    /// called again and again.
    pub(crate) fn measure_memory(&self) {
        let budget = &self.registry.limits.memory;
        let mut walk = budget.walk.lock();
        let end = self.registry.next_index();
        let part_end = walk.next.saturating_add(PART).min(end);
        while walk.next < part_end {
            let stride_end = part_end.min(walk.next + STRIDE);
            let table = self.registry.table();
            let series = (walk.next..stride_end).filter_map(|i| table.get(SeriesIndex(i)));
            let bytes: usize = series.map(|s| s.heap_bytes()).sum();
            walk.bytes += bytes as u64;
            walk.next = stride_end;
        }
        if walk.next < end {
            return;
        }
        // Series that came meanwhile have the highest numbers, so that they were walked too.
        let exemplars = self.exemplars.len() * BYTES_AN_EXEMPLAR;
        // Closed chunks leave memory when a file has them: while none takes them, they add up.
        let waiting = self.chunks.buffered_bytes();
        let beside = self.registry.index_bytes() + exemplars + waiting;
        let held = std::mem::take(&mut *walk).bytes + beside as u64;
        let before = budget.held.swap(held, Ordering::Relaxed) >= budget.max_bytes;
        self.stats.memory_bytes.store(held, Ordering::Relaxed);
        let exceeded = held >= budget.max_bytes;
        if exceeded != before {
            let max = budget.max_bytes;
            if exceeded {
                tracing::warn!(held, max, "the memory budget is used up: new series are refused");
            } else {
                tracing::info!(held, max, "the memory budget has room again: new series are taken");
            }
        }
    }
}
