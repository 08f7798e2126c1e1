//! `Limits` of one request and `Memory`, which all requests share. A request holds what has come of it, not
//! what it says that will come.

use crate::IntakeError;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How limits are called where an operator sets them.
pub const REQUEST_BYTES: &str = "push.max-request-bytes";
/// The same, unpacked.
pub const DECODED_BYTES: &str = "push.max-decoded-bytes";
/// The same of all requests together.
pub const TOTAL_MEMORY: &str = "push.total-memory";
/// The most bytes of an import, unpacked.
pub const IMPORT_BYTES: &str = "push.max-import-bytes";
/// The most bytes of a line of one.
pub const LINE_BYTES: &str = "push.max-line-bytes";
/// The most labels of a series.
pub const LABELS: &str = "push.max-labels";

/// What one request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes as they come.
    pub request_bytes: usize,
    /// Bytes once they are unpacked.
    pub decoded_bytes: usize,
    /// Bytes of a body of lines, unpacked; it is not held as a whole.
    pub import_bytes: u64,
    /// Bytes of one of its lines.
    pub line_bytes: usize,
    /// Labels of a series.
    pub labels: usize,
}

impl Limits {
    /// The most that `decoded_bytes` may be: places in a request are told in 32 bits.
    pub const MAX_DECODED_BYTES: usize = 2 << 30;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 32 << 20,
            decoded_bytes: 128 << 20,
            import_bytes: 16 << 30,
            line_bytes: 16 << 20,
            labels: 256,
        }
    }
}

/// What all requests hold together.
#[derive(Debug)]
pub struct Memory {
    max: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl Memory {
    /// An account of at most `max` bytes.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, used: AtomicUsize::new(0), peak: AtomicUsize::new(0) })
    }

    /// How many bytes are held, the most that were, and the most that may be.
    pub fn used_peak_max(&self) -> (usize, usize, usize) {
        (self.used.load(Ordering::Relaxed), self.peak.load(Ordering::Relaxed), self.max)
    }

    /// Begins what a request holds.
    pub fn begin(self: &Arc<Self>) -> Held {
        Held { memory: Arc::clone(self), bytes: 0 }
    }
}

/// What one request holds; given back when this is dropped.
#[derive(Debug)]
pub struct Held {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Held {
    /// Charges bytes about to be taken.
    ///
    /// # Errors
    /// When others hold too much: nobody waits for them while holding something.
    pub fn take(&mut self, bytes: usize) -> Result<(), IntakeError> {
        let Memory { max, used, peak } = &*self.memory;
        let before = used.fetch_add(bytes, Ordering::Relaxed);
        let now = before.saturating_add(bytes);
        if now > *max {
            used.fetch_sub(bytes, Ordering::Relaxed);
            return Err(IntakeError::Busy { limit: TOTAL_MEMORY, max: *max });
        }
        peak.fetch_max(now, Ordering::Relaxed);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let memory = Memory::new(100);
        let (mut one, mut two) = (memory.begin(), memory.begin());
        one.take(60).unwrap();
        assert!(matches!(two.take(41), Err(IntakeError::Busy { limit: TOTAL_MEMORY, max: 100 })));
        two.take(40).unwrap();
        drop(one);
        assert_eq!(memory.used_peak_max(), (40, 100, 100));
        drop(two);
        assert_eq!(memory.used_peak_max(), (0, 100, 100));
    }
}
