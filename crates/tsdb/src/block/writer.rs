//! `BlockWriter`: a new block, series by series. Until it is finished the block stands under another name,
//! so that nobody takes it for one; dropped before, it is removed.

use super::{
    chunks::{CHUNKS_DIR, writer::ChunkWriter},
    error::BlockError,
    id::BlockId,
    index::{ChunkMeta, INDEX_FILE, symbol_table::Symbols, writer::IndexWriter},
    meta::{BlockMeta, BlockStats},
    tombstones::Tombstones,
};
use skopos_base::fs::{Fs, SharedFs};
use skopos_chunk::samples_in;
use skopos_model::{Labels, TimestampMs};
use skopos_storage::Chunk;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What is behind the ULID of a block being written.
pub const CREATION_SUFFIX: &str = ".tmp-for-creation";
/// What is behind the ULID of a block being removed.
pub const DELETION_SUFFIX: &str = ".tmp-for-deletion";

/// How a block is written.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions {
    /// A chunk segment gets no more bytes than this, unless one chunk has more.
    pub segment_bytes: u64,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { segment_bytes: 512 << 20 }
    }
}

/// A block being written.
#[derive(Debug)]
pub struct BlockWriter {
    unfinished: Unfinished,
    id: BlockId,
    index: IndexWriter,
    chunks: ChunkWriter,
    last: Option<Labels>,
    metas: Vec<ChunkMeta>,
    stats: BlockStats,
    /// The first and the last sample.
    times: Option<(TimestampMs, TimestampMs)>,
}

impl BlockWriter {
    /// Begins the block `id` in `data_dir`. `symbols` are the names and values of all labels to come; more
    /// than these do no harm.
    pub fn create(
        fs: &SharedFs,
        data_dir: &Path,
        id: BlockId,
        symbols: Symbols,
        options: WriteOptions,
    ) -> Result<Self, BlockError> {
        let dir = data_dir.join(format!("{id}{CREATION_SUFFIX}"));
        let unfinished =
            Unfinished { fs: Arc::clone(fs), data_dir: data_dir.to_owned(), dir, left: Left::Directory };
        let dir = &unfinished.dir;
        for (path, what) in [(dir.clone(), "is being written"), (data_dir.join(id.to_string()), "is there")] {
            if fs.exists(&path).map_err(BlockError::io("looking for", &path))? {
                return Err(BlockError::refused(&path, format!("a block of this name {what}")));
            }
        }
        let chunks = dir.join(CHUNKS_DIR);
        fs.create_dir_all(&chunks).map_err(BlockError::io("creating", &chunks))?;
        let index = IndexWriter::create(&**fs, &dir.join(INDEX_FILE), symbols)?;
        let chunks = ChunkWriter::new(chunks, options.segment_bytes);
        let (last, metas, stats, times) = (None, Vec::new(), BlockStats::default(), None);
        Ok(Self { unfinished, id, index, chunks, last, metas, stats, times })
    }

    /// Adds a series with its chunks. Series come in the order of their labels, chunks in that of their
    /// times; a series without a chunk is left out.
    pub fn add_series(&mut self, labels: &Labels, chunks: &[Chunk]) -> Result<(), BlockError> {
        if chunks.is_empty() {
            return Ok(());
        }
        let dir = &self.unfinished.dir;
        if labels.is_empty() {
            return Err(BlockError::refused(dir, "a series has no labels"));
        }
        if let Some(last) = self.last.as_ref().filter(|last| *last >= labels) {
            return Err(BlockError::refused(dir, format!("series {labels} comes behind {last}")));
        }
        self.metas.clear();
        let mut end: Option<TimestampMs> = None;
        for chunk in chunks {
            if chunk.min > chunk.max || end.is_some_and(|end| end >= chunk.min) {
                let reason =
                    format!("a chunk of {labels} from {} to {} is out of order", chunk.min, chunk.max);
                return Err(BlockError::refused(dir, reason));
            }
            end = Some(chunk.max);
            let samples = samples_in(chunk.encoding, &chunk.bytes)
                .map_err(|e| BlockError::refused(dir, format!("a chunk of {labels}: {e}")))?;
            self.stats.num_samples += u64::from(samples);
            if chunk.encoding.is_histogram() {
                self.stats.num_histogram_samples += u64::from(samples);
            } else {
                self.stats.num_float_samples += u64::from(samples);
            }
            let at = self.chunks.add(&*self.unfinished.fs, chunk.encoding, &chunk.bytes)?;
            self.metas.push(ChunkMeta { min: chunk.min, max: chunk.max, at });
        }
        self.stats.num_series += 1;
        self.stats.num_chunks += chunks.len() as u64;
        let own = (chunks[0].min, end.unwrap_or(chunks[0].max));
        self.times = Some(self.times.map_or(own, |(min, max)| (min.min(own.0), max.max(own.1))));
        self.index.add_series(labels, &self.metas)?;
        self.last = Some(labels.clone());
        Ok(())
    }

    /// The times of the first and the last sample so far.
    pub fn times(&self) -> Option<(TimestampMs, TimestampMs)> {
        self.times
    }

    /// How many series there are so far.
    pub fn series(&self) -> u64 {
        self.stats.num_series
    }

    /// Ends the block and makes it durable under its name. Of `meta` the name and the counts are set here;
    /// all samples must lie in its range.
    pub fn finish(self, mut meta: BlockMeta) -> Result<BlockMeta, BlockError> {
        let Self { mut unfinished, id, index, chunks, stats, times, .. } = self;
        let (fs, dir) = (Arc::clone(&unfinished.fs), unfinished.dir.clone());
        if let Some((min, max)) = times.filter(|(min, max)| *min < meta.min_time || *max >= meta.max_time) {
            let wanted = format!("{} to before {}", meta.min_time, meta.max_time);
            return Err(BlockError::refused(
                &dir,
                format!("samples from {min} to {max} are not in {wanted}"),
            ));
        }
        chunks.finish()?;
        index.finish()?;
        Tombstones::default().write(&*fs, &dir)?;
        meta.ulid = id;
        meta.stats = stats;
        let chunks = dir.join(CHUNKS_DIR);
        fs.sync_dir(&chunks).map_err(BlockError::io("synchronising", &chunks))?;
        meta.write(&*fs, &dir)?;
        let whole = unfinished.data_dir.join(id.to_string());
        fs.rename(&dir, &whole).map_err(BlockError::io("renaming", &dir))?;
        // From here on it is a block, and removed as one if the last step fails.
        unfinished.left = Left::Block(id);
        fs.sync_dir(&unfinished.data_dir).map_err(BlockError::io("synchronising", &unfinished.data_dir))?;
        unfinished.keep();
        Ok(meta)
    }
}

/// The directory of a block that is removed unless it is kept.
#[derive(Debug)]
struct Unfinished {
    fs: SharedFs,
    data_dir: PathBuf,
    dir: PathBuf,
    left: Left,
}

/// What is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// The directory that is being written.
    Directory,
    /// A block that is there under its name.
    Block(BlockId),
    Nothing,
}

impl Unfinished {
    fn keep(mut self) {
        self.left = Left::Nothing;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Where this fails, the next opening of the data directory removes it.
        match self.left {
            Left::Directory => drop(self.fs.remove_dir_all(&self.dir)),
            Left::Block(id) => drop(remove_block(&*self.fs, &self.data_dir, id)),
            Left::Nothing => {}
        }
    }
}

/// What an entry of a data directory is to blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockDir {
    /// A block.
    Whole(BlockId),
    /// What a crash left of one being written or removed: to be removed.
    Leftover,
}

impl BlockDir {
    /// What the directory of that name is; none for what is no business of blocks. Prometheus of before 2.20
    /// left `.tmp` behind.
    pub fn of(name: &str) -> Option<Self> {
        if let Ok(id) = name.parse() {
            return Some(Self::Whole(id));
        }
        let id = [CREATION_SUFFIX, DELETION_SUFFIX, ".tmp"].iter().find_map(|s| name.strip_suffix(s))?;
        id.parse::<BlockId>().ok().map(|_| Self::Leftover)
    }
}

/// Removes the block `id` of `data_dir`: under another name first, so that a crash leaves no half of it to
/// be taken for a block. Who has it open goes on reading. After a failure it may be called again.
pub fn remove_block(fs: &dyn Fs, data_dir: &Path, id: BlockId) -> Result<(), BlockError> {
    let dir = data_dir.join(id.to_string());
    let going = data_dir.join(format!("{id}{DELETION_SUFFIX}"));
    if fs.exists(&going).map_err(BlockError::io("looking for", &going))? {
        fs.remove_dir_all(&going).map_err(BlockError::io("removing", &going))?;
    }
    if !fs.exists(&dir).map_err(BlockError::io("looking for", &dir))? {
        // An attempt before got so far.
        return fs.sync_dir(data_dir).map_err(BlockError::io("synchronising", data_dir));
    }
    fs.rename(&dir, &going).map_err(BlockError::io("renaming", &dir))?;
    fs.sync_dir(data_dir).map_err(BlockError::io("synchronising", data_dir))?;
    fs.remove_dir_all(&going).map_err(BlockError::io("removing", &going))
}

#[cfg(test)]
mod overlap_tests;
