//! What the series of one block are of: which labels come and go, which have most values; how full its
//! chunks are. Holds one entry for each label pair and for each chunk, no sample.

use super::{text::buckets_of, view::LIMITS};
use crate::block::{
    Block, BlockError, BlockId,
    chunk_access::{ChunkFetcher, Wanted},
    index::{reader::LabelReader, series::SeriesEntry},
    select_series,
};
use skopos_base::clock::Clock;
use skopos_chunk::{ChunkValue, SampleIter, samples_in};
use skopos_model::Matcher;
use skopos_storage::QueryBudget;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// The label that names the metric.
const METRIC_NAME: &str = "__name__";

/// Names with their figures, the greatest first; of equal ones by name.
pub type Ranked = Vec<(String, u64)>;

/// What is said of a block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// Which block.
    pub id: Option<BlockId>,
    /// The time that it spans.
    pub duration_ms: i64,
    /// All its series.
    pub total_series: u64,
    /// Those that the matchers take.
    pub matched_series: u64,
    /// Different label names of those.
    pub label_names: usize,
    /// Different label pairs of those.
    pub label_pairs: usize,
    /// Labels of all those series together.
    pub entries: u64,
    /// For each pair the time that its series do not cover, as multiples of the block's.
    pub churning_pairs: Ranked,
    /// The same for each name.
    pub churning_names: Ranked,
    /// For each pair its series.
    pub common_pairs: Ranked,
    /// For each name the bytes of all its values.
    pub value_bytes: Ranked,
    /// For each name its values.
    pub values: Ranked,
    /// For each metric its series.
    pub metrics: Ranked,
}

/// What is known of a label pair.
#[derive(Clone, Copy, Default)]
struct Pair {
    series: u64,
    uncovered_ms: u64,
}

/// Looks at the series of `block` that fulfil all matchers.
///
/// # Errors
/// When its index cannot be read.
pub fn analyze(block: &Block, matchers: &[Matcher], clock: &Arc<dyn Clock>) -> Result<Analysis, BlockError> {
    let mut reader = LabelReader::default();
    let ids = matching(block, matchers, clock, &mut reader)?;
    let meta = block.meta();
    let duration_ms = meta.max_time.as_ms().wrapping_sub(meta.min_time.as_ms());
    let mut pairs: HashMap<(u32, u32), Pair> = HashMap::new();
    let (mut entry, mut entries) = (SeriesEntry::default(), 0);
    for at in 0..ids.len() {
        reader.entry(&block.index, &ids[at..], &mut entry)?;
        let covered = match (entry.chunks.first(), entry.chunks.last()) {
            (Some(first), Some(last)) => last.max.as_ms().wrapping_sub(first.min.as_ms()),
            _ => 0,
        };
        let uncovered_ms = u64::try_from(duration_ms.saturating_sub(covered)).unwrap_or(0);
        entries += entry.labels.len() as u64;
        for pair in &entry.labels {
            let known = pairs.entry(*pair).or_default();
            known.series += 1;
            known.uncovered_ms = known.uncovered_ms.saturating_add(uncovered_ms);
        }
    }
    let named = name_all(block, pairs, &mut reader)?;
    let mut analysis = ranked(&named, duration_ms);
    analysis.id = Some(meta.ulid);
    analysis.duration_ms = duration_ms;
    analysis.total_series = meta.stats.num_series;
    analysis.matched_series = ids.len() as u64;
    analysis.entries = entries;
    Ok(analysis)
}

fn matching(
    block: &Block,
    matchers: &[Matcher],
    clock: &Arc<dyn Clock>,
    reader: &mut LabelReader,
) -> Result<Vec<u32>, BlockError> {
    let budget = QueryBudget::new(LIMITS, Arc::clone(clock));
    select_series(block, matchers, &budget, reader)
}

/// By name, then by value.
type Named = BTreeMap<String, BTreeMap<String, Pair>>;

fn name_all(
    block: &Block,
    pairs: HashMap<(u32, u32), Pair>,
    reader: &mut LabelReader,
) -> Result<Named, BlockError> {
    let mut sorted: Vec<_> = pairs.into_iter().collect();
    // Neighbours among symbols stand on one page.
    sorted.sort_unstable_by_key(|(symbols, _)| *symbols);
    let mut named = Named::new();
    for (symbols, pair) in sorted {
        let (name, value) = reader.pair(&block.index, symbols)?;
        if !named.contains_key(name) {
            named.insert(name.to_owned(), BTreeMap::new());
        }
        named.entry(name.to_owned()).or_default().insert(value.to_owned(), pair);
    }
    Ok(named)
}

fn ranked(named: &Named, duration_ms: i64) -> Analysis {
    let times = |ms: u64| (ms as f64 / duration_ms.max(1) as f64) as u64;
    let all = || named.iter().flat_map(|(n, values)| values.iter().map(move |(v, p)| (n, v, p)));
    let by_name = |of: &dyn Fn(&BTreeMap<String, Pair>) -> u64| {
        rank(named.iter().map(|(name, values)| (name.clone(), of(values))).collect())
    };
    let metrics = named.get(METRIC_NAME);
    Analysis {
        label_names: named.len(),
        label_pairs: named.values().map(BTreeMap::len).sum(),
        churning_pairs: rank(all().map(|(n, v, p)| (format!("{n}={v}"), times(p.uncovered_ms))).collect()),
        churning_names: by_name(&|values| {
            times(values.values().fold(0, |sum, p| p.uncovered_ms.saturating_add(sum)))
        }),
        common_pairs: rank(all().map(|(n, v, p)| (format!("{n}={v}"), p.series)).collect()),
        value_bytes: by_name(&|values| values.keys().map(|v| v.len() as u64).sum()),
        values: by_name(&|values| values.len() as u64),
        metrics: rank(metrics.into_iter().flatten().map(|(v, p)| (v.clone(), p.series)).collect()),
        ..Analysis::default()
    }
}

fn rank(mut list: Ranked) -> Ranked {
    list.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list
}

/// How full the chunks of a block are: one figure for each chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fullness {
    /// Samples of a chunk of floats.
    pub float_samples: Vec<u64>,
    /// Its bytes.
    pub float_bytes: Vec<u64>,
    /// Samples of a chunk of native histograms.
    pub histogram_samples: Vec<u64>,
    /// Its bytes.
    pub histogram_bytes: Vec<u64>,
    /// Buckets of each of its histograms.
    pub histogram_buckets: Vec<u64>,
}

/// Looks at the chunks of the series of `block` that fulfil all matchers.
///
/// # Errors
/// When something cannot be read.
pub fn fullness(block: &Block, matchers: &[Matcher], clock: &Arc<dyn Clock>) -> Result<Fullness, BlockError> {
    let mut reader = LabelReader::default();
    let ids = matching(block, matchers, clock, &mut reader)?;
    let (mut entry, mut fetcher) = (SeriesEntry::default(), ChunkFetcher::default());
    let mut out = Fullness::default();
    for at in 0..ids.len() {
        reader.entry(&block.index, &ids[at..], &mut entry)?;
        let wanted: Vec<Wanted> = entry.chunks.iter().map(|c| Wanted { at: c.at, end: None }).collect();
        for i in 0..wanted.len() {
            let (encoding, bytes) = fetcher.fetch(&block.chunks, &wanted[i..])?;
            let damaged = |e| block.chunks.corrupt(wanted[i].at, format!("a chunk: {e}"));
            let samples = u64::from(samples_in(encoding, &bytes).map_err(damaged)?);
            if !encoding.is_histogram() {
                out.float_samples.push(samples);
                out.float_bytes.push(bytes.len() as u64);
                continue;
            }
            out.histogram_samples.push(samples);
            out.histogram_bytes.push(bytes.len() as u64);
            let first = SampleIter::new(encoding, &bytes).next().transpose().map_err(damaged)?;
            out.histogram_buckets.push(match first {
                Some((_, ChunkValue::Histogram(h))) => buckets_of(&h.layout),
                Some((_, ChunkValue::FloatHistogram(h))) => buckets_of(&h.layout),
                _ => 0,
            });
        }
    }
    Ok(out)
}
