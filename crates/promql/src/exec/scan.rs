//! Series on their way from storage, and rows of subqueries, into pipelines: by the query's own thread, and
//! from some size on in parts by several. What is done to a series alone is done anywhere, what needs others
//! is done by the query's own thread in the order of series.

use super::{
    annotations::Annotations,
    held::Held,
    map::MapRun,
    matrix::{RowLabels, StepMatrix},
    pipeline::{KernelParams, PipelineRun, RowMaker, SeriesSamples, each_row_as_samples},
    scalars::Scalars,
    window::{Samples, Scratch, Starts},
    work::Counted,
};
use crate::ast::Edges;
use crate::error::EvalError;
use crate::plan::{Grid, Kernel, PipelineId, Plan, Scan, Source, StartTimestamps, Windows};
use crate::shards::{Job, Owner, SERIES_WORK, Shards, in_order};
use skopos_model::HistogramView;
use skopos_storage::{
    EvenWindows, Querier, QueryBudget, QueryError, SelectRequest, SeriesBatch, SeriesSet, Shard, parted,
};
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What carries out all of a query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means<'a> {
    pub plan: &'a Arc<Plan>,
    pub shards: &'a Arc<Shards>,
    pub budget: &'a Arc<QueryBudget>,
}

/// A pipeline at work, with what it has in its plan.
#[derive(Debug)]
pub(crate) struct Run<'p> {
    pub id: PipelineId,
    pub run: PipelineRun<'p>,
}

/// The windows of a pipeline and what is made of them.
fn windows_of(plan: &Plan, id: PipelineId) -> (&Kernel, &Windows) {
    match &plan.pipelines[id.0].source {
        Source::Scan { kernel, windows, .. } | Source::Subquery { kernel, windows, .. } => (kernel, windows),
        Source::Node(_) => unreachable!("invariant: rows of a node have no windows"),
    }
}

/// A part has at most so many series …
const PART_SERIES: usize = 1024;
/// … whose rows have about so many values …
const PART_VALUES: usize = 256 << 10;
/// … and there are so many parts for each shard, where there are as many series …
const PARTS_PER_SHARD: usize = 8;
/// … and where each is so much work: in every block it has to be found where a part begins.
const PART_WORK: u64 = 128 << 10;

/// What a scan came upon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// How many series the storage said to have before any was read, about.
    pub series_expected: u64,
    /// How many samples it handed out.
    pub samples: u64,
}

/// In how many parts `series` rows of `steps` are cut, which are so much work, if that is known.
fn parts_of(series: usize, steps: usize, work: Option<u64>, shards: &Shards) -> usize {
    let most = (PART_VALUES / steps.max(1)).clamp(1, PART_SERIES);
    let (least, usual) = (shards.options().max, PARTS_PER_SHARD * shards.options().max);
    let worth = work.map_or(usual, |work| usize::try_from(work / PART_WORK).unwrap_or(usual));
    series.div_ceil(most).max(worth.clamp(least, usual)).min(series).max(1)
}

/// The windows of all pipelines where these are the same and leave gaps, the longest of them.
fn gapped(plan: &Plan, runs: &[Run<'_>]) -> Option<EvenWindows> {
    let all = || runs.iter().map(|run| windows_of(plan, run.id).1);
    let first = all().next()?;
    let same = |w: &Windows| (w.first_end, w.step, w.steps) == (first.first_end, first.step, first.steps);
    // Since when samples were counted, and what stands beyond a window's ends, may be asked of any sample.
    let sampled = all().all(|w| w.edges == Edges::Sampled && w.reach == 0);
    let len = all().map(|w| w.range).max().filter(|len| *len > 0 && *len < first.step)?;
    let is_gapped = sampled && plan.starts == StartTimestamps::Ignored && all().all(same);
    let Windows { first_end, step, steps, .. } = *first;
    is_gapped.then_some(EvenWindows { first_end, step, count: steps as u64, len })
}

/// Reads a scan and hands each series to all pipelines; what it came upon.
pub(crate) fn scan(
    scan: &Scan,
    querier: &dyn Querier,
    means: Means<'_>,
    runs: &mut [Run<'_>],
    annotations: &mut Annotations,
) -> Result<Seen, EvalError> {
    let (range, budget) = (scan.range, Arc::clone(means.budget));
    let request = SelectRequest { matchers: &scan.matchers, range, shard: Shard::WHOLE, budget };
    let mut set = querier.select(&request)?;
    if let Some(windows) = gapped(means.plan, runs) {
        set.only_within(windows);
    }
    let expected = set.parting().map(|p| (p.remaining() as u64, p.samples_expected()));
    let (series_expected, samples) = expected.unwrap_or_default();
    // What is to come, where the storage knows it.
    let to_come = Some(samples).filter(|n| *n > 0).map(|n| n + SERIES_WORK * series_expected);
    let mut reader = Reader::new(means.plan, means.budget);
    let mut work = 0;
    loop {
        if means.shards.would_help(to_come.unwrap_or(0).max(work))
            && let Some(remaining) = set.parting().map(|p| p.remaining()).filter(|n| *n > 1)
        {
            let steps = runs.iter().map(|r| means.plan.grid_of(r.id).steps).sum();
            let parts = parted(set, parts_of(remaining, steps, to_come, means.shards))?;
            let job = ScanJob { rows: RowsOf::new(means, runs) };
            let mut owner = ScanOwner { means, runs, annotations, reader, helped: 0 };
            in_order(means.shards, (job, parts), means.budget, &mut owner)?;
            return Ok(Seen { series_expected, samples: owner.helped + owner.reader.samples });
        }
        let read = reader.next(&mut *set, |labels, samples, scratch| {
            take(means.plan, runs, labels, samples, (scratch, annotations))
        })?;
        match read {
            Some(more) => work += more,
            None => return Ok(Seen { series_expected, samples: reader.samples }),
        }
    }
}

fn take(
    plan: &Plan,
    runs: &mut [Run<'_>],
    labels: &RowLabels,
    samples: SeriesSamples<'_>,
    (scratch, annotations): (&mut Scratch, &mut Annotations),
) -> Result<(), EvalError> {
    runs.iter_mut().try_for_each(|Run { id, run }| {
        run.take_samples(labels, samples, windows_of(plan, *id), scratch, annotations)
    })
}

/// Reads sets of series; keeps its memory from batch to batch.
struct Reader {
    used: StartTimestamps,
    budget: Arc<QueryBudget>,
    batch: SeriesBatch,
    scratch: Scratch,
    starts: Vec<skopos_model::TimestampMs>,
    batch_held: Held,
    views_held: Held,
    /// How many samples were read.
    samples: u64,
}

impl Reader {
    fn new(plan: &Plan, budget: &Arc<QueryBudget>) -> Self {
        Self {
            used: plan.starts,
            budget: Arc::clone(budget),
            batch: SeriesBatch::default(),
            scratch: Scratch::default(),
            starts: Vec::new(),
            batch_held: Held::new(budget),
            views_held: Held::new(budget),
            samples: 0,
        }
    }

    /// Hands the series of the next batch to `take`; how much work that was, or none where there is no more.
    fn next(
        &mut self,
        set: &mut dyn SeriesSet,
        mut take: impl FnMut(&RowLabels, SeriesSamples<'_>, &mut Scratch) -> Result<(), EvalError>,
    ) -> Result<Option<u64>, EvalError> {
        let Self { used, budget, batch, scratch, starts, batch_held, views_held, samples: read } = self;
        if !set.next_batch(batch)? {
            return Ok(None);
        }
        batch_held.at_least_bytes(batch.histogram_bytes())?;
        let handed = batch.iter().try_for_each(|series| {
            let views = size_of::<HistogramView<'_>>().saturating_mul(series.histograms.len());
            let ignored = *used == StartTimestamps::Ignored || series.starts.is_empty();
            let starts_bytes = if ignored { 0 } else { size_of_val(series.timestamps) };
            views_held.at_least_bytes(views.saturating_add(starts_bytes))?;
            let labels = RowLabels::kept(series.labels.clone());
            let starts = match ignored {
                true => Starts::default(),
                false => Starts::of(series.starts, series.timestamps.len(), starts),
            };
            let samples = Samples { timestamps: series.timestamps, values: series.values, starts };
            let histograms: Vec<_> = series.histograms.iter().collect();
            take(&labels, (samples, histograms.as_slice()), scratch)
        });
        *read += batch.sample_count() as u64;
        // The next batch takes the place of this one, or there is none.
        budget.release_samples(batch.sample_count() as u64);
        handed?;
        budget.go_on()?;
        Ok(Some(batch.sample_count() as u64 + SERIES_WORK * batch.len() as u64))
    }
}

/// What any thread needs to make rows for some pipelines.
struct RowsOf {
    plan: Arc<Plan>,
    budget: Arc<QueryBudget>,
    pipelines: Vec<(PipelineId, KernelParams, Vec<Vec<Scalars>>)>,
}

/// The rows of a part, for each pipeline, how many samples were looked at, and what came up.
struct Rows {
    of: Vec<StepMatrix>,
    counted: Vec<Counted>,
    /// Samples that were read for them.
    read: u64,
    annotations: Annotations,
}

impl RowsOf {
    fn new(means: Means<'_>, runs: &[Run<'_>]) -> Self {
        let parameters = |r: &Run<'_>| {
            let (params, maps) = r.run.maker.parameters();
            (r.id, params, maps)
        };
        let pipelines = runs.iter().map(parameters).collect();
        Self { plan: Arc::clone(means.plan), budget: Arc::clone(means.budget), pipelines }
    }

    /// The rows that are made of all series that `each` hands out.
    fn made(
        &self,
        each: impl FnOnce(
            &mut dyn FnMut(&RowLabels, SeriesSamples<'_>, &mut Scratch) -> Result<(), EvalError>,
        ) -> Result<(), EvalError>,
    ) -> Result<Rows, EvalError> {
        let mut makers = Vec::with_capacity(self.pipelines.len());
        let (of, counted) = (Vec::with_capacity(self.pipelines.len()), Vec::new());
        let mut rows = Rows { of, counted, read: 0, annotations: Annotations::default() };
        for (id, params, scalars) in &self.pipelines {
            let (pipeline, grid) = (&self.plan.pipelines[id.0], self.plan.grid_of(*id));
            let maps = pipeline.maps.iter().zip(scalars);
            let maps = maps.map(|(map, scalars)| MapRun { map, scalars: scalars.clone() }).collect();
            let numbers = (params.clone(), maps);
            makers.push((RowMaker::new((&self.plan, *id), numbers, &self.budget)?, *id));
            rows.of.push(StepMatrix::new(grid.steps, &self.budget));
        }
        let Rows { of, annotations, .. } = &mut rows;
        each(&mut |labels, samples, scratch| {
            for ((maker, id), rows) in makers.iter_mut().zip(of.iter_mut()) {
                let how = windows_of(&self.plan, *id);
                maker.make_into(labels, samples, how, (&mut *scratch, annotations), rows)?;
            }
            Ok(())
        })?;
        rows.counted.extend(makers.iter_mut().map(|(maker, _)| maker.take_counted()));
        Ok(rows)
    }
}

fn take_all(runs: &mut [Run<'_>], rows: Rows, annotations: &mut Annotations) -> Result<(), EvalError> {
    annotations.absorb(rows.annotations);
    let all = runs.iter_mut().zip(rows.of.iter().zip(&rows.counted));
    all.into_iter().try_for_each(|(r, (rows, counted))| r.run.take_all(rows, counted, annotations))
}

struct ScanJob {
    rows: RowsOf,
}

impl Job for ScanJob {
    type Part = Box<dyn SeriesSet>;
    type Made = Rows;

    fn make(&self, mut set: Self::Part, is_left: &AtomicBool) -> Result<Rows, EvalError> {
        let mut reader = Reader::new(&self.rows.plan, &self.rows.budget);
        let mut rows = self.rows.made(|take| {
            while reader.next(&mut *set, &mut *take)?.is_some() {
                go_on(is_left)?;
            }
            Ok(())
        })?;
        rows.read = reader.samples;
        Ok(rows)
    }
}

/// Whether anybody still wants what is made.
fn go_on(is_left: &AtomicBool) -> Result<(), QueryError> {
    if is_left.load(Ordering::Acquire) { Err(QueryError::Cancelled) } else { Ok(()) }
}

struct ScanOwner<'a, 'p> {
    means: Means<'a>,
    runs: &'a mut [Run<'p>],
    annotations: &'a mut Annotations,
    reader: Reader,
    /// Samples that others have read.
    helped: u64,
}

impl Owner<ScanJob> for ScanOwner<'_, '_> {
    fn do_next(&mut self, mut set: Box<dyn SeriesSet>) -> Result<(), EvalError> {
        let Self { means, runs, annotations, reader, .. } = self;
        let mut take = |labels: &RowLabels, samples: SeriesSamples<'_>, scratch: &mut Scratch| {
            take(means.plan, runs, labels, samples, (scratch, annotations))
        };
        while reader.next(&mut *set, &mut take)?.is_some() {}
        Ok(())
    }

    fn take_in(&mut self, rows: Rows) -> Result<(), EvalError> {
        self.helped += rows.read;
        take_all(self.runs, rows, self.annotations)
    }
}

/// Slides windows over the rows of a subquery, whose times are those of `inner`.
pub(crate) fn windows_over(
    rows: &Arc<StepMatrix>,
    inner: Grid,
    means: Means<'_>,
    run: Run<'_>,
    annotations: &mut Annotations,
) -> Result<(StepMatrix, Counted), EvalError> {
    let mut runs = [run];
    let work = (rows.len() as u64).saturating_mul(inner.steps as u64 + SERIES_WORK);
    let job = WindowsJob { rows: RowsOf::new(means, &runs), of: Arc::clone(rows), inner };
    let mut owner =
        WindowsOwner { means, runs: &mut runs, annotations, of: rows, inner, scratch: Scratch::default() };
    if means.shards.would_help(work) && rows.len() > 1 {
        let steps = means.plan.grid_of(owner.runs[0].id).steps;
        let count = parts_of(rows.len(), steps, None, means.shards);
        let cut = |i: usize| i * rows.len() / count;
        let parts = (0..count).map(|i| cut(i)..cut(i + 1)).collect();
        in_order(means.shards, (job, parts), means.budget, &mut owner)?;
    } else {
        owner.do_next(0..rows.len())?;
    }
    let [mut run] = runs;
    let counted = run.run.maker.take_counted();
    Ok((run.run.finish(annotations)?, counted))
}

struct WindowsJob {
    rows: RowsOf,
    of: Arc<StepMatrix>,
    inner: Grid,
}

impl Job for WindowsJob {
    type Part = Range<usize>;
    type Made = Rows;

    fn make(&self, part: Range<usize>, is_left: &AtomicBool) -> Result<Rows, EvalError> {
        let mut scratch = Scratch::default();
        self.rows.made(|take| {
            each_row_as_samples(&self.of, part, self.inner, |labels, samples| {
                go_on(is_left)?;
                take(labels, samples, &mut scratch)
            })
        })
    }
}

struct WindowsOwner<'a, 'p> {
    means: Means<'a>,
    runs: &'a mut [Run<'p>],
    annotations: &'a mut Annotations,
    of: &'a StepMatrix,
    inner: Grid,
    scratch: Scratch,
}

impl Owner<WindowsJob> for WindowsOwner<'_, '_> {
    fn do_next(&mut self, part: Range<usize>) -> Result<(), EvalError> {
        let Self { means, runs, annotations, of, inner, scratch } = self;
        each_row_as_samples(of, part, *inner, |labels, samples| {
            take(means.plan, runs, labels, samples, (&mut *scratch, annotations))
        })
    }

    fn take_in(&mut self, rows: Rows) -> Result<(), EvalError> {
        take_all(self.runs, rows, self.annotations)
    }
}
