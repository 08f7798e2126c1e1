//! `MemoryStorage`: series in maps behind the storage's seams. Slow and plain: the answer that others are
//! compared with.

use super::budget;
use bytes::Bytes;
use skopos_chunk::{BuiltChunk, ChunkBuilder, ChunkValue, CutAt};
use skopos_model::{FloatHistogram, Labels, Matcher, TimestampMs};
use skopos_storage::{
    Chunk, ChunkQuerier, ChunkSeries, ChunkSeriesSet, LabelRequest, Parting, Querier, QueryBudget,
    QueryError, Queryable, SelectRequest, SeriesBatch, SeriesSet, TimeRange,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A sample's value.
#[derive(Clone, Debug)]
pub enum Point {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(FloatHistogram),
}

/// Bit by bit, so that markers of staleness are equal to themselves.
impl PartialEq for Point {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(a), Self::Histogram(b)) => a == b,
            _ => false,
        }
    }
}

/// The samples of one series.
pub type Samples = BTreeMap<TimestampMs, Point>;

/// Series in memory. Cloning shares nothing; a querier sees what was there when it was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryStorage {
    series: Arc<BTreeMap<Labels, Samples>>,
}

impl MemoryStorage {
    /// Adds a sample; one of the same time is replaced.
    pub fn insert(&mut self, labels: &Labels, at: TimestampMs, point: Point) {
        let series = Arc::make_mut(&mut self.series);
        series.entry(labels.clone()).or_default().insert(at, point);
    }

    /// Adds floats at times in milliseconds.
    pub fn insert_floats(&mut self, labels: &Labels, samples: impl IntoIterator<Item = (i64, f64)>) {
        for (at, value) in samples {
            self.insert(labels, TimestampMs::new(at), Point::Float(value));
        }
    }

    /// Adds what `other` has and this one has not.
    pub fn merge(&mut self, other: &Self) {
        let series = Arc::make_mut(&mut self.series);
        for (labels, samples) in other.series.iter() {
            let mine = series.entry(labels.clone()).or_default();
            for (at, point) in samples {
                mine.entry(*at).or_insert_with(|| point.clone());
            }
        }
    }

    /// Keeps the samples for which `keep` says so, and the series that have one.
    pub fn retain(&mut self, mut keep: impl FnMut(&Labels, TimestampMs) -> bool) {
        let series = Arc::make_mut(&mut self.series);
        for (labels, samples) in series.iter_mut() {
            samples.retain(|at, _| keep(labels, *at));
        }
        series.retain(|_, samples| !samples.is_empty());
    }

    /// All series, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&Labels, &Samples)> {
        self.series.iter()
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Says the first difference, where there is one: a whole storage is too much to read.
    ///
    /// # Panics
    /// When they differ.
    pub fn assert_equals(&self, expected: &Self) {
        for (labels, wanted) in expected.iter() {
            let Some(got) = self.series.get(labels) else { panic!("{labels} is missing") };
            for (at, point) in wanted {
                assert_eq!(got.get(at), Some(point), "{labels} at {at}");
            }
            let more = got.keys().find(|at| !wanted.contains_key(at));
            assert_eq!(more, None, "{labels} has a sample too much");
        }
        let more = self.series.keys().find(|labels| !expected.series.contains_key(labels));
        assert_eq!(more, None, "a series too much");
    }

    /// What a querier hands out, read to its end.
    ///
    /// # Panics
    /// When it fails, or its series are not sorted and each once.
    pub fn collect(querier: &dyn Querier, matchers: &[Matcher], range: TimeRange) -> Self {
        let request =
            SelectRequest { matchers, range, shard: skopos_storage::Shard::WHOLE, budget: budget() };
        Self::collect_set(&mut *querier.select(&request).unwrap_or_else(|e| panic!("select failed: {e}")))
    }

    /// What a set hands out, read to its end; series without samples are left out.
    ///
    /// # Panics
    /// As `collect`.
    pub fn collect_set(set: &mut dyn SeriesSet) -> Self {
        Self::collect_batches(set, usize::MAX)
    }

    /// What the next `batches` batches of a set hand out.
    ///
    /// # Panics
    /// As `collect_set`.
    pub fn collect_batches(set: &mut dyn SeriesSet, batches: usize) -> Self {
        let mut out = BTreeMap::new();
        let mut batch = SeriesBatch::default();
        let mut last: Option<Labels> = None;
        for _ in 0..batches {
            if !set.next_batch(&mut batch).unwrap_or_else(|e| panic!("next_batch failed: {e}")) {
                assert!(batch.is_empty(), "the last batch is not empty");
                break;
            }
            assert!(!batch.is_empty(), "a batch without series does not end the set");
            for series in batch.iter() {
                assert!(
                    last.as_ref().is_none_or(|l| l < series.labels),
                    "{:?} before {}",
                    last,
                    series.labels
                );
                last = Some(series.labels.clone());
                let points = points(&series);
                assert_eq!(points.len(), series.timestamps.len(), "{}: a time stands twice", series.labels);
                assert!(series.timestamps.is_sorted(), "{}: times do not grow", series.labels);
                if !points.is_empty() {
                    out.insert(series.labels.clone(), points);
                }
            }
        }
        Self { series: Arc::new(out) }
    }

    pub(super) fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
        range: TimeRange,
    ) -> impl Iterator<Item = (&'a Labels, &'a Samples)> {
        let matches = move |l: &Labels| matchers.iter().all(|m| m.matches(l.value(m.name())));
        let within =
            move |s: &Samples| range.min <= range.max && s.range(range.min..=range.max).next().is_some();
        self.series.iter().filter(move |(l, s)| matches(l) && within(s))
    }

    /// Everything that fulfils the matchers, cut to the range.
    pub(super) fn part(&self, matchers: &[Matcher], range: TimeRange) -> Self {
        let cut = |(l, s): (&Labels, &Samples)| {
            let within = s.range(range.min..=range.max).map(|(t, p)| (*t, p.clone()));
            (l.clone(), within.collect())
        };
        Self { series: Arc::new(self.matching(matchers, range).map(cut).collect()) }
    }

    /// A querier over everything.
    pub fn view(&self, range: TimeRange) -> Box<dyn Querier> {
        Box::new(View { storage: self.clone(), range })
    }

    /// A querier of chunks of up to `per_chunk` samples each.
    pub fn chunk_view(&self, per_chunk: usize) -> Box<dyn ChunkQuerier> {
        Box::new(ChunkView { storage: self.clone(), per_chunk })
    }
}

fn points(series: &skopos_storage::SeriesColumns<'_>) -> Samples {
    let mut out: Samples = BTreeMap::new();
    for (at, value) in series.timestamps.iter().zip(series.values) {
        out.insert(*at, Point::Float(*value));
    }
    for view in series.histograms.iter() {
        assert_eq!(
            view.sum.to_bits(),
            series.values[view.sample].to_bits(),
            "a histogram's sum is its value"
        );
        out.insert(series.timestamps[view.sample], Point::Histogram(view.to_histogram()));
    }
    out
}

impl Queryable for MemoryStorage {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, QueryError> {
        Ok(self.view(range))
    }
}

struct View {
    storage: MemoryStorage,
    range: TimeRange,
}

impl View {
    fn labels<'a>(&'a self, request: &'a LabelRequest<'_>) -> impl Iterator<Item = &'a Labels> {
        self.storage.matching(request.matchers, self.range).map(|(l, _)| l)
    }
}

fn limited<T>(found: impl IntoIterator<Item = T>, request: &LabelRequest<'_>) -> Result<Vec<T>, QueryError> {
    let limit = if request.limit == 0 { usize::MAX } else { request.limit };
    let out: Vec<T> = found.into_iter().take(limit).collect();
    request.budget.charge_series(out.len() as u64)?;
    Ok(out)
}

impl Querier for View {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError> {
        let range = TimeRange {
            min: self.range.min.max(request.range.min),
            max: self.range.max.min(request.range.max),
        };
        let part = if range.min <= range.max {
            self.storage.part(request.matchers, range)
        } else {
            MemoryStorage::default()
        };
        let series: Vec<_> = part
            .iter()
            .filter(|(l, _)| request.shard.contains(l))
            .map(|(l, s)| (l.clone(), s.clone()))
            .collect();
        request.budget.charge_series(series.len() as u64)?;
        Ok(Box::new(Set { series: series.into_iter(), budget: Arc::clone(&request.budget), batches: 0 }))
    }

    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError> {
        limited(self.labels(request).cloned(), request)
    }

    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        let names: BTreeSet<&str> = self.labels(request).flat_map(|l| l.iter().map(|(n, _)| n)).collect();
        limited(names.into_iter().map(str::to_owned), request)
    }

    fn label_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        let values: BTreeSet<&str> = self.labels(request).filter_map(|l| l.get(name)).collect();
        limited(values.into_iter().map(str::to_owned), request)
    }
}

struct Set {
    series: std::vec::IntoIter<(Labels, Samples)>,
    budget: Arc<QueryBudget>,
    batches: usize,
}

/// Batches are of these sizes in turn, so that whoever reads them meets short and long ones.
const BATCH_SIZES: [usize; 4] = [3, 1, 70, 33];

impl SeriesSet for Set {
    fn next_batch(&mut self, batch: &mut SeriesBatch) -> Result<bool, QueryError> {
        batch.clear();
        self.budget.check()?;
        let size = BATCH_SIZES[self.batches % BATCH_SIZES.len()];
        self.batches += 1;
        for (labels, samples) in self.series.by_ref().take(size) {
            let paid = self.budget.charge_samples(samples.len() as u64);
            if let Err(e) = paid {
                batch.clear();
                return Err(e);
            }
            batch.push_series(labels, |columns| {
                for (at, point) in samples {
                    match point {
                        Point::Float(v) => columns.push_float(at, v),
                        Point::Histogram(h) => columns.push_histogram(at, &h),
                    }
                }
                Ok::<(), QueryError>(())
            })?;
        }
        Ok(!batch.is_empty())
    }

    fn parting(&mut self) -> Option<&mut dyn Parting> {
        Some(self)
    }
}

impl Parting for Set {
    fn remaining(&self) -> usize {
        self.series.len()
    }

    fn labels_at(&mut self, n: usize) -> Result<Labels, QueryError> {
        Ok(self.series.as_slice()[n].0.clone())
    }

    fn read_up_to(&self) -> Option<Labels> {
        None
    }

    fn split_off(&mut self, labels: &Labels) -> Result<Box<dyn SeriesSet>, QueryError> {
        let all = std::mem::take(&mut self.series);
        let (here, there): (Vec<_>, Vec<_>) = all.partition(|(l, _)| l < labels);
        self.series = here.into_iter();
        Ok(Box::new(Self { series: there.into_iter(), budget: Arc::clone(&self.budget), batches: 0 }))
    }
}

struct ChunkView {
    storage: MemoryStorage,
    per_chunk: usize,
}

impl ChunkQuerier for ChunkView {
    fn select_chunks(&self, request: &SelectRequest<'_>) -> Result<Box<dyn ChunkSeriesSet>, QueryError> {
        let mut out = Vec::new();
        for (labels, samples) in self.storage.matching(request.matchers, request.range) {
            if !request.shard.contains(labels) {
                continue;
            }
            let samples: Vec<_> = samples.iter().collect();
            let mut chunks: Vec<Chunk> = samples.chunks(self.per_chunk).flat_map(encode).collect();
            chunks.retain(|c| c.min <= request.range.max && c.max >= request.range.min);
            if !chunks.is_empty() {
                out.push(ChunkSeries { labels: labels.clone(), chunks });
            }
        }
        request.budget.charge_series(out.len() as u64)?;
        Ok(Box::new(ChunkSet { series: out.into_iter(), budget: Arc::clone(&request.budget) }))
    }
}

/// Where a series has floats and histograms, one run of samples makes several chunks.
fn encode(samples: &[(&TimestampMs, &Point)]) -> Vec<Chunk> {
    let samples_max = samples.len().try_into().unwrap_or(u16::MAX);
    let mut builder = ChunkBuilder::new(CutAt { samples: samples_max, ..CutAt::default() });
    for (at, point) in samples {
        let value = match point {
            Point::Float(value) => ChunkValue::Float(*value),
            Point::Histogram(histogram) => ChunkValue::FloatHistogram(histogram.clone()),
        };
        builder.push(**at, &value);
    }
    let chunk = |b: BuiltChunk| {
        let BuiltChunk { encoding, min, max, bytes, .. } = b;
        Chunk { min, max, encoding, bytes: Bytes::from(bytes) }
    };
    builder.finish().into_iter().map(chunk).collect()
}

struct ChunkSet {
    series: std::vec::IntoIter<ChunkSeries>,
    budget: Arc<QueryBudget>,
}

impl ChunkSeriesSet for ChunkSet {
    fn next_series(&mut self) -> Result<Option<ChunkSeries>, QueryError> {
        self.budget.check()?;
        Ok(self.series.next())
    }
}
