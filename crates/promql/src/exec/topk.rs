//! The k greatest or least values per step, in one heap per step. Equal values are chosen as Go's
//! `container/heap` would, for that is what decides among them in Prometheus.

use super::{bits, matrix::Row};
use crate::plan::Extreme;

/// A value and the row that it stands in.
type Entry = (f64, usize);

/// One bounded heap per step, the entry to be thrown out next at its root.
#[derive(Debug)]
pub(crate) struct Heaps {
    /// Which values are kept.
    kept: Extreme,
    /// Where the heap of each step begins; one more for the end of the last.
    starts: Vec<usize>,
    lens: Vec<usize>,
    entries: Vec<Entry>,
}

impl Heaps {
    /// Heaps of `sizes[step]` entries, of which no more than `rows` are ever used.
    pub(crate) fn new(kept: Extreme, sizes: &[usize], rows: usize) -> Self {
        let mut starts = Vec::with_capacity(sizes.len() + 1);
        let mut total = 0;
        for size in sizes {
            starts.push(total);
            total += size.min(&rows);
        }
        starts.push(total);
        Self { kept, starts, lens: vec![0; sizes.len()], entries: vec![(0.0, 0); total] }
    }

    /// What `new` takes, in bytes.
    pub(crate) fn size(sizes: &[usize], rows: usize) -> usize {
        let entries = sizes.iter().fold(0usize, |all, size| all.saturating_add(*size.min(&rows)));
        let lists = sizes.len().saturating_mul(2 * size_of::<usize>());
        entries.saturating_mul(size_of::<Entry>()).saturating_add(lists)
    }

    /// Offers all values of a row.
    pub(crate) fn add(&mut self, row: usize, values: Row<'_>) {
        for step in bits::iter(values.present) {
            let (start, end) = (self.starts[step], self.starts[step + 1]);
            let heap = &mut self.entries[start..end];
            let len = &mut self.lens[step];
            let v = values.values[step];
            if *len < heap.len() {
                heap[*len] = (v, row);
                *len += 1;
                up(self.kept, heap, *len - 1);
            } else if let Some(root) = heap.first_mut() {
                let better = if self.kept == Extreme::Max { root.0 < v } else { root.0 > v };
                if better || (root.0.is_nan() && !v.is_nan()) {
                    *root = (v, row);
                    down(self.kept, heap);
                }
            }
        }
    }

    /// Calls `f` with each step and row that was chosen.
    pub(crate) fn each_chosen(&self, mut f: impl FnMut(usize, usize)) {
        for (step, len) in self.lens.iter().enumerate() {
            let heap = &self.entries[self.starts[step]..][..*len];
            heap.iter().for_each(|(_, row)| f(step, *row));
        }
    }

    /// The chosen rows of the first step, the best first and not a number last.
    pub(crate) fn best_first(&self) -> Vec<usize> {
        let mut chosen = self.entries[..self.lens.first().copied().unwrap_or(0)].to_vec();
        chosen.sort_by(|a, b| {
            let by_value =
                a.0.partial_cmp(&b.0).map(|o| if self.kept == Extreme::Max { o.reverse() } else { o });
            by_value.unwrap_or_else(|| a.0.is_nan().cmp(&b.0.is_nan()))
        });
        chosen.into_iter().map(|(_, row)| row).collect()
    }
}

/// Whether `a` is thrown out before `b`.
fn worse(kept: Extreme, a: Entry, b: Entry) -> bool {
    a.0.is_nan() || if kept == Extreme::Max { a.0 < b.0 } else { a.0 > b.0 }
}

fn up(kept: Extreme, heap: &mut [Entry], mut i: usize) {
    while i > 0 {
        let parent = (i - 1) / 2;
        if !worse(kept, heap[i], heap[parent]) {
            return;
        }
        heap.swap(i, parent);
        i = parent;
    }
}

fn down(kept: Extreme, heap: &mut [Entry]) {
    let mut i = 0;
    loop {
        let left = 2 * i + 1;
        if left >= heap.len() {
            return;
        }
        let right = left + 1;
        let use_right = right < heap.len() && worse(kept, heap[right], heap[left]);
        let child = if use_right { right } else { left };
        if !worse(kept, heap[child], heap[i]) {
            return;
        }
        heap.swap(i, child);
        i = child;
    }
}
