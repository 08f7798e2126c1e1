//! `Batches`: series merged and written, some at a time, with the help of another thread. That one goes
//! through a batch from its front and writes what it has merged; this one merges from the back until they
//! meet, and then reads the next batch while the first is written. Series are written in their order, so that
//! the block is the one that a single thread writes. Memory is that of two batches. Reads no source.

use crate::block::{BlockError, BlockWriter};
use skopos_base::{
    spawn::{Joined, Spawner},
    sync::Mutex,
};
use skopos_storage::{
    ChunkSeries, TimeRange,
    merge::{ChunkMerger, UnmergedSeries, cut_chunk},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A batch of more series than this is written, however small they are.
const BATCH_SERIES: usize = 4096;

/// A series on its way into the block.
#[derive(Default)]
enum Slot {
    /// Only samples of this time are wanted.
    Unmerged(UnmergedSeries, TimeRange),
    Merged(Result<ChunkSeries, BlockError>),
    #[default]
    Written,
}

/// Some series, in their order.
#[derive(Default)]
struct Batch {
    slots: Vec<Mutex<Slot>>,
    chunk_bytes: usize,
}

/// Merges series, one after the other.
struct Merge {
    merger: ChunkMerger,
    /// What errors call the new block by.
    block: PathBuf,
}

impl Merge {
    /// Merges the series of the slot. False when somebody else has done so.
    fn settle(&mut self, slot: &mut Slot) -> bool {
        match std::mem::take(slot) {
            Slot::Unmerged(series, kept) => {
                *slot = Slot::Merged(self.merge(series, kept));
                true
            }
            other => {
                *slot = other;
                false
            }
        }
    }

    fn merge(&mut self, series: UnmergedSeries, kept: TimeRange) -> Result<ChunkSeries, BlockError> {
        let ChunkSeries { labels, chunks: all } = self.merger.merge(series)?;
        if all.iter().all(|c| kept.min <= c.min && c.max <= kept.max) {
            return Ok(ChunkSeries { labels, chunks: all });
        }
        let mut chunks = Vec::with_capacity(all.len());
        for chunk in all {
            cut_chunk(chunk, kept, &mut chunks)
                .map_err(|e| BlockError::refused(&self.block, format!("a chunk of {labels}: {e}")))?;
        }
        Ok(ChunkSeries { labels, chunks })
    }
}

/// Where batches go.
struct Sink {
    merge: Merge,
    writer: BlockWriter,
    /// How the last batch ended.
    outcome: Result<(), BlockError>,
}

impl Sink {
    fn write(&mut self, batch: &Batch) -> Result<(), BlockError> {
        for slot in &batch.slots {
            let taken = {
                let mut slot = slot.lock();
                self.merge.settle(&mut slot);
                std::mem::take(&mut *slot)
            };
            if let Slot::Merged(series) = taken {
                let ChunkSeries { labels, chunks } = series?;
                self.writer.add_series(&labels, &chunks)?;
            }
        }
        Ok(())
    }
}

/// The batch that is filled, and where the one before it is written.
pub(super) struct Batches {
    spawner: Arc<dyn Spawner>,
    /// A batch is written when its chunks have so many bytes.
    full_at: usize,
    merge: Merge,
    filling: Batch,
    sink: Arc<Mutex<Sink>>,
    /// Holds the sink until it ends.
    thread: Option<Box<dyn Joined>>,
}

/// How batches are written.
#[derive(Clone, Copy)]
pub(super) struct BatchOptions<'a> {
    pub(super) spawner: &'a Arc<dyn Spawner>,
    /// A batch is written when its chunks have so many bytes.
    pub(super) full_at: usize,
    /// What errors of chunks call the new block by.
    pub(super) block: &'a Path,
}

impl Batches {
    /// Writes with `writer` what `mergers`, one for each thread, have merged.
    pub(super) fn new(options: BatchOptions<'_>, writer: BlockWriter, mergers: [ChunkMerger; 2]) -> Self {
        let [own, other] = mergers.map(|merger| Merge { merger, block: options.block.to_owned() });
        let sink = Sink { merge: other, writer, outcome: Ok(()) };
        Self {
            spawner: Arc::clone(options.spawner),
            full_at: options.full_at,
            merge: own,
            filling: Batch::default(),
            sink: Arc::new(Mutex::new(sink)),
            thread: None,
        }
    }

    /// Adds the next series, of which only samples of the time `kept` are wanted.
    ///
    /// # Errors
    /// When it or one before it cannot be merged or written; nothing may be added then.
    pub(super) fn push(&mut self, series: UnmergedSeries, kept: TimeRange) -> Result<(), BlockError> {
        self.filling.chunk_bytes += series.chunk_bytes();
        self.filling.slots.push(Mutex::new(Slot::Unmerged(series, kept)));
        if self.filling.chunk_bytes >= self.full_at || self.filling.slots.len() >= BATCH_SERIES {
            self.begin()?;
        }
        Ok(())
    }

    /// Has the batch written, when the one before is.
    fn begin(&mut self) -> Result<(), BlockError> {
        self.end()?;
        let batch = Arc::new(std::mem::take(&mut self.filling));
        let (theirs, sink) = (Arc::clone(&batch), Arc::clone(&self.sink));
        let body = move || {
            let sink = &mut *sink.lock();
            sink.outcome = sink.write(&theirs);
        };
        match self.spawner.spawn("block-write", Box::new(body)) {
            Ok(thread) => self.thread = Some(thread),
            // This thread does it then.
            Err(_) => return self.sink.lock().write(&batch),
        }
        for slot in batch.slots.iter().rev() {
            if !self.merge.settle(&mut slot.lock()) {
                break;
            }
        }
        Ok(())
    }

    /// Waits until the batch under way is written.
    fn end(&mut self) -> Result<(), BlockError> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread
            .join()
            .expect("invariant: what a block is damaged by is an error, and no thread panics for it");
        std::mem::replace(&mut self.sink.lock().outcome, Ok(()))
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// As `push`.
    pub(super) fn finish(mut self) -> Result<BlockWriter, BlockError> {
        self.end()?;
        let rest = std::mem::take(&mut self.filling);
        let sink = Arc::clone(&self.sink);
        drop(self);
        let mut sink = Arc::into_inner(sink).expect("invariant: no thread is left").into_inner();
        sink.write(&rest)?;
        Ok(sink.writer)
    }
}

/// Whatever ends the work before leaves no thread behind.
impl Drop for Batches {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // What it failed with is not asked for any more.
            let _panicked = thread.join();
        }
    }
}
