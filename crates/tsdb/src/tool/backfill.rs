//! `Backfill`: samples of any time and in any order into blocks of their own. Holds so many of them as it is
//! told; what is more goes to the disk as small blocks, which are merged in the end. Opens no database.

use crate::{
    block::{Block, BlockError, BlockIds, BlockMeta, BlockWriter, Compaction, Symbols, WriteOptions},
    compact::{BlockTimes, CompactError, CompactOptions, Compactor, NewBlock},
};
use skopos_base::{Env, fs::parent};
use skopos_chunk::{ChunkBuilder, ChunkValue, CutAt};
use skopos_model::{DurationMs, FloatHistogram, Labels, TimestampMs};
use skopos_storage::{Chunk, ChunkQuerier, TimeRange};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where what does not fit into memory stands until the end.
const RUNS_DIR: &str = "backfill.tmp";
/// The shortest block.
const SHORTEST: DurationMs = DurationMs::from_secs(2 * 3600);
/// A block is at most so many times three as long as the shortest.
const LEVELS: u32 = 9;

/// How blocks are made.
#[derive(Clone, Copy, Debug)]
pub struct BackfillOptions {
    /// No block is longer, but none is shorter than two hours: two hours times a power of three are taken.
    pub max_block_duration: DurationMs,
    /// So many bytes of samples are held.
    pub memory_bytes: usize,
}

impl Default for BackfillOptions {
    fn default() -> Self {
        Self { max_block_duration: SHORTEST, memory_bytes: 256 << 20 }
    }
}

impl BackfillOptions {
    fn block_ms(&self) -> i64 {
        let lengths = (0..=LEVELS).map(|level| SHORTEST.as_ms() * 3i64.pow(level));
        lengths.take_while(|ms| *ms <= self.max_block_duration.as_ms()).last().unwrap_or(SHORTEST.as_ms())
    }
}

/// Why no blocks are made.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// A block cannot be written or read.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Merging what was written failed.
    #[error(transparent)]
    Compact(#[from] CompactError),
}

/// A series of one `Backfill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackfillSeries(u32);

/// A sample that is held.
#[derive(Clone, Copy)]
struct Held {
    /// The number of its block, counted from time 0.
    window: i64,
    at_ms: i64,
    /// The bits of a float, or a histogram's index among those that are held.
    value: u64,
    series: u32,
    kind: Kind,
}

/// What a sample is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float,
    Histogram,
}

/// Gathers samples and makes blocks of them. Dropped before it is finished, it leaves none, and no directory
/// that it made.
pub struct Backfill<'a> {
    env: &'a Env,
    dir: PathBuf,
    /// The directory was made for this, and nothing is finished yet.
    is_ours: bool,
    ids: Arc<BlockIds>,
    block_ms: i64,
    memory_bytes: usize,
    numbers: HashMap<Labels, u32>,
    labels: Vec<Labels>,
    held: Vec<Held>,
    histograms: Vec<FloatHistogram>,
    /// What they take.
    histogram_bytes: usize,
    /// What went to the disk, by block, in the order in which it was added.
    runs: BTreeMap<i64, Vec<PathBuf>>,
}

impl<'a> Backfill<'a> {
    /// Makes blocks in `dir`, which is made when it is absent.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(env: &'a Env, dir: &Path, options: BackfillOptions) -> Result<Self, BackfillError> {
        let is_ours = !env.fs.exists(dir).map_err(BlockError::io("looking for", dir))?;
        env.fs.create_dir_all(dir).map_err(BlockError::io("creating", dir))?;
        let above = parent(dir);
        let above = if above.as_os_str().is_empty() { PathBuf::from(".") } else { above };
        env.fs.sync_dir(&above).map_err(BlockError::io("synchronising", &above))?;
        let this = Self {
            env,
            dir: dir.to_owned(),
            is_ours,
            ids: Arc::new(BlockIds::new(env)),
            block_ms: options.block_ms(),
            memory_bytes: options.memory_bytes,
            numbers: HashMap::new(),
            labels: Vec::new(),
            held: Vec::new(),
            histograms: Vec::new(),
            histogram_bytes: 0,
            runs: BTreeMap::new(),
        };
        // What an attempt left that was killed.
        this.remove_runs()?;
        Ok(this)
    }

    /// The series of these labels, to be named with its samples.
    pub fn series(&mut self, labels: &Labels) -> BackfillSeries {
        if let Some(number) = self.numbers.get(labels) {
            return BackfillSeries(*number);
        }
        let number = u32::try_from(self.labels.len()).expect("invariant: memory has no room for 2^32 series");
        self.numbers.insert(labels.clone(), number);
        self.labels.push(labels.clone());
        BackfillSeries(number)
    }

    /// Adds a float. Of several samples at one time the one added first is kept.
    ///
    /// # Errors
    /// When memory is full and the disk too.
    pub fn add(&mut self, series: BackfillSeries, at: TimestampMs, value: f64) -> Result<(), BackfillError> {
        self.hold(series, at, Kind::Float, value.to_bits())
    }

    /// Adds a native histogram, which is valid or a staleness marker.
    ///
    /// # Errors
    /// When memory is full and the disk too.
    pub fn add_histogram(
        &mut self,
        series: BackfillSeries,
        at: TimestampMs,
        histogram: FloatHistogram,
    ) -> Result<(), BackfillError> {
        let index = self.histograms.len() as u64;
        self.histogram_bytes += size_of::<FloatHistogram>() + histogram.heap_bytes();
        self.histograms.push(histogram);
        self.hold(series, at, Kind::Histogram, index)
    }

    fn hold(
        &mut self,
        series: BackfillSeries,
        at: TimestampMs,
        kind: Kind,
        value: u64,
    ) -> Result<(), BackfillError> {
        let at_ms = at.as_ms();
        let window = at_ms.div_euclid(self.block_ms);
        self.held.push(Held { window, at_ms, value, series: series.0, kind });
        if self.held.len() * size_of::<Held>() + self.histogram_bytes >= self.memory_bytes {
            self.spill()?;
        }
        Ok(())
    }

    /// Makes the blocks; by their times. They are durable when this returns.
    ///
    /// # Errors
    /// When one cannot be written. Those before it stay.
    pub fn finish(mut self) -> Result<Vec<BlockMeta>, BackfillError> {
        let mut done = Vec::new();
        let held = self.sorted();
        for part in held.chunk_by(|a, b| a.window == b.window) {
            match self.runs.contains_key(&part[0].window) {
                true => self.run_of(part)?,
                false => done.push(self.write(&self.dir, part)?),
            }
        }
        for runs in std::mem::take(&mut self.runs).into_values() {
            done.extend(self.merge(&runs)?);
        }
        self.remove_runs()?;
        self.is_ours = false;
        done.sort_by_key(|m: &BlockMeta| m.min_time);
        Ok(done)
    }

    fn remove_runs(&self) -> Result<(), BackfillError> {
        let runs = self.dir.join(RUNS_DIR);
        if self.env.fs.exists(&runs).map_err(BlockError::io("looking for", &runs))? {
            self.env.fs.remove_dir_all(&runs).map_err(BlockError::io("removing", &runs))?;
        }
        Ok(())
    }

    /// Moves what is held to the disk.
    fn spill(&mut self) -> Result<(), BackfillError> {
        let held = self.sorted();
        for part in held.chunk_by(|a, b| a.window == b.window) {
            self.run_of(part)?;
        }
        self.held = held;
        self.held.clear();
        self.histograms.clear();
        self.histogram_bytes = 0;
        Ok(())
    }

    fn run_of(&mut self, part: &[Held]) -> Result<(), BackfillError> {
        let dir = self.dir.join(RUNS_DIR);
        self.env.fs.create_dir_all(&dir).map_err(BlockError::io("creating", &dir))?;
        let run = dir.join(self.write(&dir, part)?.ulid.to_string());
        self.runs.entry(part[0].window).or_default().push(run);
        Ok(())
    }

    /// Takes out what is held: by block, then by labels, then by time, each time once.
    fn sorted(&mut self) -> Vec<Held> {
        let mut by_labels: Vec<u32> = (0..self.labels.len() as u32).collect();
        by_labels.sort_unstable_by(|a, b| self.labels[*a as usize].cmp(&self.labels[*b as usize]));
        let mut ranks = vec![0u32; by_labels.len()];
        for (rank, series) in by_labels.iter().enumerate() {
            ranks[*series as usize] = rank as u32;
        }
        let mut held = std::mem::take(&mut self.held);
        // Stable: of equal times the first one stays in front.
        held.sort_by_key(|h| (h.window, ranks[h.series as usize], h.at_ms));
        held.dedup_by_key(|h| (h.series, h.at_ms));
        held
    }

    /// Writes the samples of one block.
    fn write(&self, dir: &Path, part: &[Held]) -> Result<BlockMeta, BackfillError> {
        let mut symbols = Symbols::default();
        let by_series = || part.chunk_by(|a, b| a.series == b.series);
        for samples in by_series() {
            symbols.add(&self.labels[samples[0].series as usize]);
        }
        let id = self.ids.next();
        let mut writer = BlockWriter::create(&self.env.fs, dir, id, symbols, WriteOptions::default())?;
        for samples in by_series() {
            let mut builder = ChunkBuilder::new(CutAt::default());
            for sample in samples {
                let value = match sample.kind {
                    Kind::Float => ChunkValue::Float(f64::from_bits(sample.value)),
                    Kind::Histogram => {
                        ChunkValue::FloatHistogram(self.histograms[sample.value as usize].clone())
                    }
                };
                builder.push(TimestampMs::new(sample.at_ms), &value);
            }
            let chunks: Vec<Chunk> = builder
                .finish()
                .into_iter()
                .map(|c| Chunk { min: c.min, max: c.max, encoding: c.encoding, bytes: c.bytes.into() })
                .collect();
            writer.add_series(&self.labels[samples[0].series as usize], &chunks)?;
        }
        let (min, max) = writer.times().unwrap_or_default();
        let end = TimestampMs::new(max.as_ms().saturating_add(1));
        let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
        Ok(writer.finish(BlockMeta::new(id, min, end, compaction))?)
    }

    /// Makes one block of several runs.
    fn merge(&self, runs: &[PathBuf]) -> Result<Option<BlockMeta>, BackfillError> {
        let mut symbols = Symbols::default();
        let mut sources: Vec<(PathBuf, Box<dyn ChunkQuerier>)> = Vec::new();
        let mut times: Option<BlockTimes> = None;
        for run in runs {
            let block = Arc::new(Block::open(&*self.env.fs, run)?);
            block.for_each_symbol(|text| symbols.add_text(text))?;
            let meta = block.meta();
            let BlockTimes { min, end } =
                times.unwrap_or(BlockTimes { min: meta.min_time, end: meta.max_time });
            times = Some(BlockTimes { min: min.min(meta.min_time), end: end.max(meta.max_time) });
            sources.push((run.clone(), Box::new(block.querier(TimeRange::ALL))));
        }
        let compactor = Compactor::new(self.env, Arc::clone(&self.ids), &self.dir, CompactOptions::default());
        let stop = self.env.spawner.stop_signal();
        let compaction = Compaction { level: 1, ..Compaction::default() };
        let times = times.unwrap_or_default();
        Ok(compactor.write(NewBlock { sources, symbols, times, compaction, stop: &*stop })?)
    }
}

impl Drop for Backfill<'_> {
    fn drop(&mut self) {
        // Where this fails, the next attempt removes it.
        let _ = self.remove_runs();
        let fs = &*self.env.fs;
        if self.is_ours && fs.read_dir(&self.dir).is_ok_and(|entries| entries.is_empty()) {
            let _ = fs.remove_dir_all(&self.dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{text::dump_labels, text::write_dump_line, view::DirView};
    use super::*;
    use skopos_base::sim::SimWorld;
    use skopos_chunk::SampleIter;
    use skopos_model::histogram::{Layout, Span};

    /// What blocks made with so much memory hold, and how many they are.
    fn made(memory_bytes: usize) -> (usize, String) {
        let env = SimWorld::new(3).env();
        let dir = Path::new("/blocks");
        let options = BackfillOptions { memory_bytes, ..BackfillOptions::default() };
        let mut backfill = Backfill::new(&env, dir, options).unwrap();
        for i in 0..600i64 {
            let series = backfill.series(&Labels::from_pairs([("n", (i % 7).to_string())]));
            // Out of order, and some times twice: the value of the first one counts.
            let at = TimestampMs::new((i * 7919 % 500) * 60_000 - 3_600_000);
            let histogram = || {
                let spans = vec![Span { offset: (i % 3) as i32, length: 2 }];
                let layout = Layout { schema: 1, positive_spans: spans, ..Layout::default() };
                let positive_buckets = vec![1.5, i as f64];
                FloatHistogram { layout, count: i as f64 + 1.5, positive_buckets, ..Default::default() }
            };
            match i % 7 {
                5 => backfill.add_histogram(series, at, histogram()).unwrap(),
                _ => backfill.add(series, at, i as f64).unwrap(),
            }
        }
        let blocks = backfill.finish().unwrap();
        assert!(blocks.is_sorted_by(|a, b| a.max_time <= b.min_time), "blocks do not overlap");
        let names: Vec<String> = env.fs.read_dir(dir).unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names.len(), blocks.len(), "nothing else stays: {names:?}");
        let view = DirView::open(dir, &env).unwrap();
        let mut set = view.samples(&[Vec::new()], TimeRange::ALL).unwrap();
        let mut out = Vec::new();
        while let Some(series) = set.next_series().unwrap() {
            let labels = dump_labels(&series.labels);
            for sample in series.chunks.iter().flat_map(|c| SampleIter::new(c.encoding, &c.bytes)) {
                let (at, value) = sample.unwrap();
                write_dump_line(&mut out, &labels, at.as_ms(), &value);
            }
        }
        (blocks.len(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_and_takes_nothing() {
        let env = SimWorld::new(3).env();
        let (new, old) = (Path::new("/new"), Path::new("/old"));
        env.fs.create_dir_all(old).unwrap();
        for dir in [new, old] {
            let options = BackfillOptions { memory_bytes: 1000, ..BackfillOptions::default() };
            let mut backfill = Backfill::new(&env, dir, options).unwrap();
            let series = backfill.series(&Labels::from_pairs([("n", "1")]));
            for i in 0..100 {
                backfill.add(series, TimestampMs::new(i), 0.0).unwrap();
            }
            assert!(env.fs.exists(&dir.join(RUNS_DIR)).unwrap(), "some went to the disk");
        }
        assert_eq!((env.fs.exists(new).unwrap(), env.fs.exists(old).unwrap()), (false, true));
        assert!(env.fs.read_dir(old).unwrap().is_empty());
    }

    #[test]
    fn what_does_not_fit_into_memory_makes_the_same_blocks() {
        let (blocks, expected) = made(1 << 20);
        assert!(blocks > 3 && expected.lines().count() > 500);
        assert!(expected.lines().filter(|line| line.contains("{count:")).count() > 50);
        for memory_bytes in [1000, 10_000] {
            assert_eq!(made(memory_bytes), (blocks, expected.clone()), "{memory_bytes} bytes");
        }
    }
}
