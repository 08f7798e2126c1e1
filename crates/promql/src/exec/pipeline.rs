//! Pipelines at work: a series' samples become a row, the row passes the maps, the sink takes it. What
//! runs here for one shard knows nothing of other shards.

use super::{
    aggregate::Aggregator,
    annotations::Annotations,
    bits,
    labels::has_type_or_unit,
    map::MapRun,
    matrix::{Held, RowBuffer, RowLabels, StepMatrix},
    window::{self, Column, Params, Samples, Scratch},
    work::Work,
};
use crate::error::EvalError;
use crate::plan::{Grid, Kernel, Pipeline, Scan, Sink, WindowFn, Windows};
use skopos_model::{Labels, TimestampMs};
use skopos_storage::{Querier, QueryBudget, QueryError, SelectRequest, SeriesBatch, SeriesColumns, Shard};
use std::sync::Arc;

/// The parameters of a kernel, as far as it has any.
pub(crate) type KernelParams = [Option<Arc<[f64]>>; 2];

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
    _held: Held,
}

#[derive(Debug)]
enum SinkRun<'p> {
    Collect(StepMatrix),
    Aggregate(Aggregator<'p>),
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
            Sink::Aggregate { op, grouping } => {
                SinkRun::Aggregate(Aggregator::new(*op, grouping, grid.steps, late_names, budget))
            }
        };
        let row = RowBuffer::new(grid.steps);
        let names = foldhash::HashSet::default();
        let work = Work::new(budget);
        Ok(Self {
            pipeline,
            grid,
            late_names,
            params,
            maps,
            sink,
            merge: false,
            row,
            names,
            work,
            _held: held,
        })
    }

    /// Takes the samples of one series through windows.
    pub(crate) fn take_samples(
        &mut self,
        labels: &RowLabels,
        samples: Samples<'_>,
        (kernel, windows): (&Kernel, &Windows),
        scratch: &mut Scratch,
        annotations: &mut Annotations,
    ) -> Result<(), EvalError> {
        self.row.present.fill(0);
        let columns = self.params.clone();
        let params = Params(columns.each_ref().map(|p| Column(p.as_deref().unwrap_or_default())));
        let (scratch, mut row) = ((scratch, &mut self.work), self.row.row_mut());
        window::apply(kernel.function, params, samples, windows, scratch, &mut row)?;
        if !bits::any(&self.row.present) {
            return Ok(());
        }
        if matches!(kernel.function, WindowFn::Rate | WindowFn::Increase) {
            self.check_counter(&labels.labels, kernel, annotations);
        }
        if kernel.function == WindowFn::Quantile {
            super::gather::warn_quantile(params.0[0], 1, kernel.span, annotations);
        }
        let drop_name = labels.drop_name || !kernel.function.keeps_name();
        self.finish_row(RowLabels { labels: labels.labels.clone(), drop_name })
    }

    fn check_counter(&mut self, labels: &Labels, kernel: &Kernel, annotations: &mut Annotations) {
        const SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
        let Some(name) = labels.metric_name() else { return };
        if !SUFFIXES.iter().any(|s| name.ends_with(s)) && !self.names.contains(name) {
            annotations.possible_non_counter(name, kernel.span);
            self.names.insert(name.to_owned());
        }
    }

    /// Takes the row of another node.
    pub(crate) fn take_row(
        &mut self,
        labels: &RowLabels,
        row: super::matrix::Row<'_>,
    ) -> Result<(), EvalError> {
        self.row.values.copy_from_slice(row.values);
        self.row.present.copy_from_slice(row.present);
        self.finish_row(labels.clone())
    }

    fn finish_row(&mut self, mut labels: RowLabels) -> Result<(), EvalError> {
        for map in &self.maps {
            self.work.spend(self.grid.steps)?;
            map.apply(&mut labels, &mut self.row, &self.grid, self.late_names);
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
            SinkRun::Aggregate(aggregator) => aggregator.add(&labels, self.row.row()),
        }
    }

    /// The rows that have come together.
    pub(crate) fn finish(self) -> Result<StepMatrix, EvalError> {
        match self.sink {
            SinkRun::Collect(matrix) => match self.pipeline.sink {
                Sink::Collect { merge } if merge || self.merge => matrix.merged(self.pipeline.span),
                _ => Ok(matrix),
            },
            SinkRun::Aggregate(aggregator) => aggregator.finish(),
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
    while set.next_batch(&mut batch)? {
        for series in batch.iter() {
            refuse_histograms(&series)?;
            let labels = RowLabels::kept(series.labels.clone());
            let samples = Samples { timestamps: series.timestamps, values: series.values };
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

/// The engine computes with floats only: a series with native histograms is an error, never a wrong answer.
pub(crate) fn refuse_histograms(series: &SeriesColumns<'_>) -> Result<(), QueryError> {
    if series.histograms.is_empty() {
        return Ok(());
    }
    let labels = series.labels;
    Err(QueryError::Invalid(format!(
        "series {labels} has native histograms, which expressions cannot use yet"
    )))
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
    for (labels, row) in rows.iter() {
        timestamps.clear();
        values.clear();
        timestamps.extend(bits::iter(row.present).map(|k| inner.at(k)));
        values.extend(bits::iter(row.present).map(|k| row.values[k]));
        let samples = Samples { timestamps: &timestamps, values: &values };
        run.take_samples(labels, samples, (kernel, windows), &mut scratch, annotations)?;
    }
    Ok(())
}
