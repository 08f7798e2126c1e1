//! Pipelines at work: a series' samples become a row, the row passes the maps, the sink takes it. What
//! runs here for one shard knows nothing of other shards.

use super::{
    aggregate::{Aggregation, Aggregator},
    annotations::Annotations,
    bits,
    held::Held,
    labels::has_type_or_unit,
    map::MapRun,
    matrix::{RowBuffer, RowLabels, StepMatrix},
    scalars::Scalars,
    window::{self, Column, MixedInput, Params, Samples, Scratch, Starts},
    work::Work,
};
use crate::ast::Edges;
use crate::error::EvalError;
use crate::plan::{Grid, Kernel, Pipeline, Scan, Sink, WindowFn, Windows};
use skopos_model::{CounterResetHint, HistogramView, Labels, TimestampMs};
use skopos_storage::{Querier, QueryBudget, SelectRequest, SeriesBatch, Shard};
use std::sync::Arc;

/// The parameters of a kernel, as far as it has any.
pub(crate) type KernelParams = [Option<Scalars>; 2];

/// A pipeline being carried out.
#[derive(Debug)]
pub(crate) struct PipelineRun<'p> {
    pipeline: &'p Pipeline,
    grid: Grid,
    late_names: bool,
    /// The parameters of the kernel.
    params: KernelParams,
    maps: Vec<MapRun<'p>>,
    sink: SinkRun<'p>,
    /// Rows may have equal labels, whatever the plan says.
    merge: bool,
    row: RowBuffer,
    /// Metrics that were looked at for whether they are named like counters.
    names: foldhash::HashSet<String>,
    work: Work,
    held: Held,
}

/// What the buffers of a series that has histograms take for each of its samples.
const MIXED_SAMPLE_BYTES: usize = 256;

#[derive(Debug)]
enum SinkRun<'p> {
    Collect(StepMatrix),
    Aggregate(Box<Aggregator<'p>>),
}

impl<'p> PipelineRun<'p> {
    pub(crate) fn new(
        pipeline: &'p Pipeline,
        grid: Grid,
        (params, maps): (KernelParams, Vec<MapRun<'p>>),
        late_names: bool,
        budget: &Arc<QueryBudget>,
    ) -> Result<Self, EvalError> {
        let mut held = Held::new(budget);
        held.grow(grid.steps)?;
        let sink = match &pipeline.sink {
            Sink::Collect { .. } => SinkRun::Collect(StepMatrix::new(grid.steps, budget)),
            Sink::Aggregate { op, grouping, input } => {
                let aggregation = Aggregation { op: *op, grouping, input: input.0 };
                SinkRun::Aggregate(Box::new(Aggregator::new(aggregation, grid.steps, late_names, budget)))
            }
        };
        let row = RowBuffer::new(grid.steps);
        let names = foldhash::HashSet::default();
        let work = Work::new(budget);
        Ok(Self { pipeline, grid, late_names, params, maps, sink, merge: false, row, names, work, held })
    }

    /// Takes the samples of one series through windows. Those that are histograms stand in `histograms` too.
    pub(crate) fn take_samples(
        &mut self,
        labels: &RowLabels,
        (samples, histograms): (Samples<'_>, &[HistogramView<'_>]),
        (kernel, windows): (&Kernel, &Windows),
        scratch: &mut Scratch,
        annotations: &mut Annotations,
    ) -> Result<(), EvalError> {
        self.row.present.fill(0);
        self.row.histograms = None;
        let columns = self.params.clone();
        let params = Params(columns.each_ref().map(|p| Column(p.as_deref().unwrap_or_default())));
        if histograms.is_empty() {
            let (scratch, mut row) = ((&mut *scratch, &mut self.work), self.row.row_mut());
            window::apply(kernel.function, params, samples, windows, scratch, &mut row)?;
        } else {
            let metric = labels.labels.metric_name().unwrap_or_default();
            self.work.buffers(samples.values.len().saturating_mul(MIXED_SAMPLE_BYTES))?;
            let input = MixedInput { samples, histograms, params, kernel, windows, metric };
            window::mixed::apply(&input, (scratch, &mut self.work), &mut self.row, annotations)?;
        }
        if !bits::any(&self.row.present) {
            return Ok(());
        }
        let rate = matches!(kernel.function, WindowFn::Rate | WindowFn::Increase);
        if rate && !samples.starts.is_empty() && windows.edges == Edges::Sampled {
            let overlaps = window::has_overlap(samples, windows, (scratch, &mut self.work))?;
            if overlaps {
                annotations.overlapping_starts(labels.labels.metric_name().unwrap_or_default(), kernel.span);
            }
        }
        let has_floats = histograms.is_empty() || bits::any(&self.row.row().floats());
        if has_floats && rate {
            self.check_counter(&labels.labels, kernel, annotations)?;
        }
        if kernel.function == WindowFn::Quantile {
            super::gather::warn_quantile(params.0[0], 1, kernel.span, annotations);
        }
        let drop_name = labels.drop_name || !kernel.function.keeps_name();
        self.finish_row(RowLabels { labels: labels.labels.clone(), drop_name }, annotations)
    }

    fn check_counter(
        &mut self,
        labels: &Labels,
        kernel: &Kernel,
        annotations: &mut Annotations,
    ) -> Result<(), EvalError> {
        const SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
        let Some(name) = labels.metric_name() else { return Ok(()) };
        if !SUFFIXES.iter().any(|s| name.ends_with(s)) && !self.names.contains(name) {
            annotations.possible_non_counter(name, kernel.span);
            self.held.grow_entries::<String>(1)?;
            self.held.grow_bytes(name.len())?;
            self.names.insert(name.to_owned());
        }
        Ok(())
    }

    /// Takes the row of another node.
    pub(crate) fn take_row(
        &mut self,
        labels: &RowLabels,
        row: super::matrix::Row<'_>,
        annotations: &mut Annotations,
    ) -> Result<(), EvalError> {
        self.work.spend(self.grid.steps)?;
        self.row.values.copy_from_slice(row.values);
        self.row.present.copy_from_slice(row.present);
        self.row.histograms = row.histograms.map(|h| Box::new(h.clone()));
        self.finish_row(labels.clone(), annotations)
    }

    fn finish_row(&mut self, labels: RowLabels, annotations: &mut Annotations) -> Result<(), EvalError> {
        self.sink_row(labels, annotations)?;
        self.work.row_done();
        Ok(())
    }

    fn sink_row(&mut self, mut labels: RowLabels, annotations: &mut Annotations) -> Result<(), EvalError> {
        for map in &self.maps {
            let how = (&self.grid, self.late_names);
            if self.row.histograms.is_some() || map.map.is_trim() {
                map.apply_to_all(&mut labels, &mut self.row, how, &mut self.work, annotations)?;
                continue;
            }
            map.apply(&mut labels, &mut self.row, how, &mut self.work)?;
        }
        if !bits::any(&self.row.present) {
            return Ok(());
        }
        match &mut self.sink {
            SinkRun::Collect(matrix) => {
                if !self.late_names {
                    // Without more than their names, rows of one name may have come to be equal.
                    self.merge |= labels.drop_name && has_type_or_unit(&labels.labels);
                    labels = RowLabels::kept(labels.resolved());
                }
                matrix.push(labels, self.row.row())
            }
            SinkRun::Aggregate(aggregator) => {
                aggregator.add(&labels, self.row.row(), &mut self.work, annotations)
            }
        }
    }

    /// The rows that have come together.
    pub(crate) fn finish(self, annotations: &mut Annotations) -> Result<StepMatrix, EvalError> {
        match self.sink {
            SinkRun::Collect(matrix) => match self.pipeline.sink {
                Sink::Collect { merge } if merge || self.merge => matrix.merged(self.pipeline.span),
                _ => Ok(matrix),
            },
            SinkRun::Aggregate(aggregator) => aggregator.finish(annotations),
        }
    }
}

/// Reads one shard of a scan, batch by batch, and hands each series to all pipelines.
pub(crate) fn scan_shard(
    scan: &Scan,
    querier: &dyn Querier,
    shard: Shard,
    budget: &Arc<QueryBudget>,
    runs: &mut [(PipelineRun<'_>, &Kernel, &Windows)],
    annotations: &mut Annotations,
) -> Result<(), EvalError> {
    let budget_for_select = Arc::clone(budget);
    let request =
        SelectRequest { matchers: &scan.matchers, range: scan.range, shard, budget: budget_for_select };
    let mut set = querier.select(&request)?;
    let mut batch = SeriesBatch::default();
    let mut scratch = Scratch::default();
    let mut starts = Vec::new();
    let (mut batch_held, mut views_held) = (Held::new(budget), Held::new(budget));
    while set.next_batch(&mut batch)? {
        batch_held.at_least_bytes(batch.histogram_bytes())?;
        for series in batch.iter() {
            let views = size_of::<HistogramView<'_>>().saturating_mul(series.histograms.len());
            let starts_bytes = if series.starts.is_empty() { 0 } else { size_of_val(series.timestamps) };
            views_held.at_least_bytes(views.saturating_add(starts_bytes))?;
            let labels = RowLabels::kept(series.labels.clone());
            let starts = Starts::of(series.starts, series.timestamps.len(), &mut starts);
            let samples = Samples { timestamps: series.timestamps, values: series.values, starts };
            let histograms: Vec<_> = series.histograms.iter().collect();
            let samples = (samples, histograms.as_slice());
            for (run, kernel, windows) in runs.iter_mut() {
                run.take_samples(&labels, samples, (kernel, windows), &mut scratch, annotations)?;
            }
        }
        budget.check()?;
        // The next batch takes the place of this one.
        budget.release_samples(batch.sample_count() as u64);
    }
    Ok(())
}

/// Slides windows over the rows of a subquery.
pub(crate) fn window_rows(
    rows: &StepMatrix,
    inner: Grid,
    (kernel, windows): (&Kernel, &Windows),
    run: &mut PipelineRun<'_>,
    annotations: &mut Annotations,
) -> Result<(), EvalError> {
    let mut scratch = Scratch::default();
    let (mut timestamps, mut values): (Vec<TimestampMs>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut held = Held::new(rows.budget());
    held.grow(inner.steps)?;
    let mut views_held = Held::new(rows.budget());
    for (labels, row) in rows.iter() {
        if let Some(histograms) = row.histograms {
            let views = bits::count(histograms.present());
            views_held.at_least_bytes(views.saturating_mul(2 * size_of::<HistogramView<'_>>()))?;
        }
        run.work.spend(row.values.len())?;
        timestamps.clear();
        values.clear();
        timestamps.extend(bits::iter(row.present).map(|k| inner.at(k)));
        values.extend(bits::iter(row.present).map(|k| row.values[k]));
        let mut histograms = Vec::new();
        if row.histograms.is_some() {
            for (sample, k) in bits::iter(row.present).enumerate() {
                let Some(histogram) = row.histogram(k) else { continue };
                // What stands there for a histogram might be taken for a staleness marker.
                values[sample] = histogram.sum;
                let mut view = HistogramView { sample, ..histogram.view() };
                // The hint speaks of the sample before in storage, which need not be the one before here.
                if view.counter_reset_hint != CounterResetHint::Gauge {
                    view.counter_reset_hint = CounterResetHint::Unknown;
                }
                histograms.push(view);
            }
        }
        let samples = Samples { timestamps: &timestamps, values: &values, starts: Starts::default() };
        let samples = (samples, histograms.as_slice());
        run.take_samples(labels, samples, (kernel, windows), &mut scratch, annotations)?;
    }
    Ok(())
}
