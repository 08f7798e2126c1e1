//! What can still be read of a damaged block, as a new block. Never touches the damaged one.

use super::{verify_block::check_chunk, watched::Watched};
use crate::block::{
    BlockError, BlockIds, BlockMeta, BlockParent, BlockWriter, Compaction, Symbols, Tombstones, WriteOptions,
    chunk_access::{ChunkFetcher, ChunkSegments, Wanted},
    index::{
        ChunkMeta,
        reader::{IndexReader, LabelReader},
        series::SeriesEntry,
    },
    kept::rewrite_kept,
};
use skopos_base::{
    Env,
    fs::{SharedFs, parent},
};
use skopos_model::{Labels, SeriesRef, TimestampMs};
use skopos_storage::Chunk;
use std::{collections::BTreeSet, ops::ControlFlow, path::Path, sync::Arc};

/// What became of a damaged block.
#[derive(Debug, Default)]
pub(super) struct Salvaged {
    /// The new block; none when nothing could be read.
    pub(super) meta: Option<BlockMeta>,
    pub(super) lost_series: u64,
    pub(super) lost_chunks: u64,
    /// What else is lost.
    pub(super) notes: Vec<String>,
}

/// Whether a block is written, or only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Salvage {
    Write,
    Count,
}

/// Reads what can be read of the block in `dir`. Where the system refuses to read, there is no new block.
pub(super) fn salvage(env: &Env, dir: &Path, how: Salvage) -> Result<Salvaged, BlockError> {
    let watched = Arc::new(Watched::new(&env.fs));
    let env = Env { fs: Arc::clone(&watched) as SharedFs, ..env.clone() };
    let salvaged = salvage_watched(&env, &watched, dir, how)?;
    answered(&watched)?;
    Ok(salvaged)
}

fn answered(watched: &Watched) -> Result<(), BlockError> {
    watched.check().map_err(|(path, source)| BlockError::io("reading", &path)(source))
}

fn salvage_watched(env: &Env, watched: &Watched, dir: &Path, how: Salvage) -> Result<Salvaged, BlockError> {
    let fs = &*env.fs;
    let mut out = Salvaged::default();
    let (index, chunks) = match (IndexReader::open(fs, dir), ChunkSegments::open_damaged(fs, dir)) {
        (Ok(index), Ok(chunks)) => (index, chunks),
        (Err(e), _) | (_, Err(e)) => {
            out.notes.push(format!("nothing of it can be read: {e}"));
            return Ok(out);
        }
    };
    let old =
        BlockMeta::read(fs, dir).map_err(|e| out.notes.push(format!("its meta is made anew: {e}"))).ok();
    let tombstones = Tombstones::read(fs, dir).unwrap_or_else(|e| {
        out.notes.push(format!("what was deleted from it is back: {e}"));
        Tombstones::default()
    });
    let ids = series_of(&index, &mut out);
    let mut block = Damaged { index, chunks, tombstones, reader: LabelReader::default(), out };
    let symbols = block.symbols(&ids);
    if how == Salvage::Count {
        let mut fetcher = ChunkFetcher::default();
        for at in 0..ids.len() {
            if let Some((_, metas, series)) = block.series(&ids[at..]) {
                block.readable(&metas, series, &mut fetcher);
            }
        }
        return Ok(block.out);
    }
    block.write(env, watched, dir, &ids, symbols, old)
}

/// The series that the index names: all of them, or those that any readable list names.
fn series_of(index: &IndexReader, out: &mut Salvaged) -> Vec<u32> {
    if let Ok(all) = index.all() {
        return all;
    }
    let mut found = BTreeSet::new();
    let names: Vec<String> = index.offsets.names().map(str::to_owned).collect();
    for name in &names {
        let read = index.offsets.for_each(&index.input, name, "", |_, offset| {
            let mut list = Vec::new();
            if index.postings_at(offset, &mut list).is_ok() {
                found.extend(list);
            }
            Ok(ControlFlow::Continue(()))
        });
        if let Err(e) = read {
            out.notes.push(e.to_string());
        }
    }
    found.into_iter().collect()
}

struct Damaged {
    index: IndexReader,
    chunks: ChunkSegments,
    tombstones: Tombstones,
    reader: LabelReader,
    out: Salvaged,
}

impl Damaged {
    fn symbols(&mut self, ids: &[u32]) -> Symbols {
        let (mut symbols, mut entry) = (Symbols::default(), SeriesEntry::default());
        for at in 0..ids.len() {
            let read = self.reader.entry(&self.index, &ids[at..], &mut entry);
            match read.and_then(|()| self.reader.labels(&self.index, &entry)) {
                Ok(labels) => symbols.add(&labels),
                Err(_) => self.out.lost_series += 1,
            }
        }
        symbols
    }

    /// The first of `ids`, if it can be read.
    fn series(&mut self, ids: &[u32]) -> Option<(Labels, Vec<ChunkMeta>, Option<SeriesRef>)> {
        let mut entry = SeriesEntry::default();
        self.reader.entry(&self.index, ids, &mut entry).ok()?;
        let labels = self.reader.labels(&self.index, &entry).ok()?;
        Some((labels, entry.chunks, SeriesRef::new(u64::from(ids[0]))))
    }

    /// The chunks that are sound, without what is deleted from them.
    fn readable(
        &mut self,
        metas: &[ChunkMeta],
        series: Option<SeriesRef>,
        fetcher: &mut ChunkFetcher,
    ) -> Vec<Chunk> {
        let (mut kept, mut end, mut lost) = (Vec::new(), None::<TimestampMs>, 0);
        for meta in metas {
            let fetched = fetcher.fetch(&self.chunks, &[Wanted { at: meta.at, end: None }]);
            let sound = fetched.ok().filter(|(encoding, bytes)| check_chunk(meta, *encoding, bytes).is_ok());
            let Some((encoding, bytes)) = sound.filter(|_| end.is_none_or(|end| end < meta.min)) else {
                lost += 1;
                continue;
            };
            end = Some(meta.max);
            let chunk = Chunk { min: meta.min, max: meta.max, encoding, bytes };
            let whole = match series.and_then(|s| self.tombstones.get(s)) {
                Some(deleted) => rewrite_kept(chunk, deleted, &mut kept),
                None => {
                    kept.push(chunk);
                    Ok(())
                }
            };
            lost += u64::from(whole.is_err());
        }
        match kept.is_empty() && lost > 0 {
            // Nothing of it is left: the series is lost, and not chunks of it.
            true => self.out.lost_series += 1,
            false => self.out.lost_chunks += lost,
        }
        kept
    }

    fn write(
        mut self,
        env: &Env,
        watched: &Watched,
        dir: &Path,
        ids: &[u32],
        symbols: Symbols,
        old: Option<BlockMeta>,
    ) -> Result<Salvaged, BlockError> {
        let id = BlockIds::new(env).next();
        let mut writer = BlockWriter::create(&env.fs, &parent(dir), id, symbols, WriteOptions::default())?;
        let (mut last, mut fetcher) = (None::<Labels>, ChunkFetcher::default());
        for at in 0..ids.len() {
            let Some((labels, metas, series)) = self.series(&ids[at..]) else { continue };
            if last.as_ref().is_some_and(|last| *last >= labels) || labels.is_empty() {
                self.out.lost_series += 1;
                continue;
            }
            let chunks = self.readable(&metas, series, &mut fetcher);
            writer.add_series(&labels, &chunks)?;
            last = Some(labels);
        }
        let Some((first, end)) = writer.times() else { return Ok(self.out) };
        let end = TimestampMs::new(end.as_ms().saturating_add(1));
        let meta = match old {
            Some(old) => {
                let parent = BlockParent {
                    ulid: old.ulid,
                    min_time: old.min_time,
                    max_time: old.max_time,
                    other: Default::default(),
                };
                // The damaged block is its parent: where both stand after a crash, this one counts.
                let compaction = Compaction { parents: vec![parent], failed: false, ..old.compaction };
                BlockMeta::new(id, old.min_time.min(first), old.max_time.max(end), compaction)
            }
            None => {
                let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
                BlockMeta::new(id, first, end, compaction)
            }
        };
        answered(watched)?;
        self.out.meta = Some(writer.finish(meta)?);
        Ok(self.out)
    }
}
