//! Everything that one block says, held against everything else that it says. Holds two numbers for each
//! label pair and no sample.

use super::verify::Finding;
use crate::block::{
    BlockError, BlockMeta, META_FILE, TOMBSTONES_FILE, Tombstones,
    chunk_access::{ChunkFetcher, ChunkSegments, Wanted},
    index::{
        ChunkMeta,
        reader::{IndexReader, LabelReader},
        series::SeriesEntry,
    },
};
use skopos_base::fs::Fs;
use skopos_chunk::{Encoding, SampleIter, samples_in};
use skopos_model::{Labels, SeriesRef, TimestampMs};
use std::{
    collections::HashMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::xxh3_64;

/// So many findings are told of one block; the rest is counted.
const MAX_FINDINGS: usize = 100;

/// What a block has, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct CheckedBlock {
    pub(super) findings: Vec<Finding>,
    pub(super) series: u64,
    pub(super) samples: u64,
    histogram_samples: u64,
    chunks: u64,
    times: Option<(TimestampMs, TimestampMs)>,
}

/// The series of a label pair: how many, and their numbers mixed into one.
type Sum = (u64, u64);

fn mixed(series: u32) -> u64 {
    xxh3_64(&series.to_be_bytes())
}

/// Reads the block in `dir`.
pub(super) fn verify_block(fs: &dyn Fs, dir: &Path) -> CheckedBlock {
    let mut checked = CheckedBlock::default();
    let meta = checked.keep(BlockMeta::read(fs, dir), dir);
    let index = checked.keep(IndexReader::open(fs, dir), dir);
    let chunks = checked.keep(ChunkSegments::open(fs, dir), dir);
    let tombstones = checked.keep(Tombstones::read(fs, dir), dir);
    if let Some(index) = &index {
        let result = Check { index, chunks: chunks.as_ref(), out: &mut checked, dir: dir.to_owned() }.run();
        if let Some(all) = checked.keep(result, dir)
            && let Some(tombstones) = &tombstones
        {
            let known = |s: SeriesRef| u32::try_from(s.get()).is_ok_and(|s| all.binary_search(&s).is_ok());
            for series in tombstones.series().filter(|s| !known(*s)) {
                let reason = format!("it deletes from series {series:?}, which is not there");
                checked.add(Finding::damage(&dir.join(TOMBSTONES_FILE), None, reason));
            }
        }
    }
    let complete = index.is_some() && chunks.is_some() && checked.findings.is_empty();
    if let (Some(meta), true) = (meta, complete) {
        check_meta(&meta, tombstones.map_or(0, |t| t.len() as u64), dir, &mut checked);
    }
    checked
}

fn check_meta(meta: &BlockMeta, tombstones: u64, dir: &Path, checked: &mut CheckedBlock) {
    let stats = &meta.stats;
    let mut figures = vec![
        ("series", stats.num_series, checked.series),
        ("chunks", stats.num_chunks, checked.chunks),
        ("samples", stats.num_samples, checked.samples),
    ];
    // Older writers do not say these.
    if stats.num_histogram_samples > 0 {
        figures.push(("native histograms", stats.num_histogram_samples, checked.histogram_samples));
    }
    if stats.num_tombstones > 0 {
        figures.push(("deleted ranges", stats.num_tombstones, tombstones));
    }
    let path = dir.join(META_FILE);
    for (what, said, there) in figures.into_iter().filter(|(_, said, there)| said != there) {
        checked.add(Finding::damage(&path, None, format!("it says {said} {what}, there are {there}")));
    }
    if let Some((min, max)) = checked.times.filter(|(min, max)| *min < meta.min_time || *max >= meta.max_time)
    {
        let reason = format!(
            "samples from {min} to {max} are not in its {} to before {}",
            meta.min_time, meta.max_time
        );
        checked.add(Finding::damage(&path, None, reason));
    }
    let named = dir.file_name().is_some_and(|name| *name == *meta.ulid.to_string());
    if !named {
        checked.add(Finding::damage(&path, None, format!("it is of block {}", meta.ulid)));
    }
}

impl CheckedBlock {
    fn add(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else if self.findings.len() == MAX_FINDINGS {
            let path: PathBuf = finding.path.parent().map(Path::to_owned).unwrap_or_default();
            self.findings.push(Finding::damage(&path, None, "there is more, which is not told"));
        }
    }

    fn keep<T>(&mut self, result: Result<T, BlockError>, dir: &Path) -> Option<T> {
        result.map_err(|e| self.add(Finding::of(e, dir))).ok()
    }
}

struct Check<'a> {
    index: &'a IndexReader,
    chunks: Option<&'a ChunkSegments>,
    out: &'a mut CheckedBlock,
    dir: PathBuf,
}

impl Check<'_> {
    /// Returns all series.
    fn run(mut self) -> Result<Vec<u32>, BlockError> {
        let all = self.index.all()?;
        let mut sums: HashMap<u64, Sum> = HashMap::new();
        let (mut reader, mut entry, mut fetcher) =
            (LabelReader::default(), SeriesEntry::default(), ChunkFetcher::default());
        let mut last: Option<Labels> = None;
        for at in 0..all.len() {
            let read = reader
                .entry(self.index, &all[at..], &mut entry)
                .and_then(|()| reader.labels(self.index, &entry));
            let Some(labels) = self.out.keep(read, &self.dir) else { continue };
            self.out.series += 1;
            for (name, value) in &labels {
                let sum = sums.entry(pair_key(name, value)).or_default();
                *sum = (sum.0 + 1, sum.1 ^ mixed(all[at]));
            }
            if last.as_ref().is_some_and(|last| *last >= labels) {
                self.out.add(self.finding(format!("series {labels} stands behind a later one")));
            }
            self.series(&labels, &entry.chunks, &mut fetcher);
            last = Some(labels);
        }
        self.postings(&sums)?;
        Ok(all)
    }

    fn finding(&self, reason: String) -> Finding {
        Finding::damage(self.index.input.path(), None, reason)
    }

    fn series(&mut self, labels: &Labels, metas: &[ChunkMeta], fetcher: &mut ChunkFetcher) {
        // Other programs write chunks that overlap; they are merged when they are read.
        if !metas.is_sorted_by_key(|c| c.min) {
            self.out
                .add(self.finding(format!("chunks of series {labels} are not in the order of their times")));
        }
        self.out.chunks += metas.len() as u64;
        let Some(chunks) = self.chunks else { return };
        let wanted: Vec<Wanted> = metas
            .iter()
            .enumerate()
            .map(|(i, c)| Wanted { at: c.at, end: metas.get(i + 1).map(|next| next.at) })
            .collect();
        for (i, meta) in metas.iter().enumerate() {
            let fetched = fetcher.fetch(chunks, &wanted[i..]);
            let Some((encoding, bytes)) = self.out.keep(fetched, &self.dir) else { continue };
            match check_chunk(meta, encoding, &bytes) {
                Ok(samples) => {
                    self.out.samples += samples;
                    self.out.histogram_samples += if encoding.is_histogram() { samples } else { 0 };
                    let (min, max) = self.out.times.unwrap_or((meta.min, meta.max));
                    self.out.times = Some((min.min(meta.min), max.max(meta.max)));
                }
                Err(reason) => {
                    let error = chunks.corrupt(meta.at, format!("a chunk of series {labels}: {reason}"));
                    self.out.add(Finding::of(error, &self.dir));
                }
            }
        }
    }

    /// That each label pair names the series that have it, and no other.
    fn postings(&mut self, sums: &HashMap<u64, Sum>) -> Result<(), BlockError> {
        let names: Vec<String> = self.index.offsets.names().map(str::to_owned).collect();
        let (mut pairs, mut list) = (0, Vec::new());
        let mut findings = Vec::new();
        for name in &names {
            self.index.offsets.for_each(&self.index.input, name, "", |value, offset| {
                pairs += 1;
                list.clear();
                let there = self.index.postings_at(offset, &mut list);
                let sum = list.iter().fold((0, 0), |sum, s| (sum.0 + 1, sum.1 ^ mixed(*s)));
                match there {
                    Err(e) => findings.push(Finding::of(e, &self.dir)),
                    Ok(()) if sums.get(&pair_key(name, value)).copied().unwrap_or_default() != sum => {
                        let reason = format!("postings of {name}={value:?} are not the series that have it");
                        findings.push(Finding::damage(self.index.input.path(), offset, reason));
                    }
                    Ok(()) => {}
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        if findings.is_empty() && pairs != sums.len() {
            let reason = format!("it has postings of {pairs} label pairs, its series have {}", sums.len());
            findings.push(self.finding(reason));
        }
        findings.into_iter().for_each(|f| self.out.add(f));
        Ok(())
    }
}

fn pair_key(name: &str, value: &str) -> u64 {
    let mut text = Vec::with_capacity(name.len() + value.len() + 1);
    text.extend_from_slice(name.as_bytes());
    text.push(0xff);
    text.extend_from_slice(value.as_bytes());
    xxh3_64(&text)
}

/// Decodes a chunk and holds it against what the index says of it; how many samples it has.
pub(super) fn check_chunk(meta: &ChunkMeta, encoding: Encoding, bytes: &[u8]) -> Result<u64, String> {
    let said = samples_in(encoding, bytes).map_err(|e| e.to_string())?;
    let (mut first, mut last, mut samples) = (None, None::<TimestampMs>, 0u64);
    for sample in SampleIter::new(encoding, bytes) {
        let (at, _) = sample.map_err(|e| e.to_string())?;
        if last.is_some_and(|last| last >= at) {
            return Err(format!("time {at} comes behind a later one"));
        }
        first.get_or_insert(at);
        (last, samples) = (Some(at), samples + 1);
    }
    if samples != u64::from(said) || samples == 0 {
        return Err(format!("it says {said} samples and has {samples}"));
    }
    if (first, last) != (Some(meta.min), Some(meta.max)) {
        return Err(format!("its times are not the {} to {} of the index", meta.min, meta.max));
    }
    Ok(samples)
}
