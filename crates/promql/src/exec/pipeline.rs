//! Pipelines at work: a series' samples become a row, the row passes the maps, the sink takes it. Reads no
//! storage; whether a row was made on this thread or another makes no difference to the sink.

use super::{
    aggregate::{Aggregation, Aggregator},
    annotations::Annotations,
    bits,
    held::Held,
    labels::{TYPE, has_type_or_unit},
    map::MapRun,
    matrix::{Row, RowBuffer, RowLabels, StepMatrix},
    scalars::Scalars,
    window::{self, Column, MixedInput, Params, Samples, Scratch, Starts},
    work::{Counted, Work},
};
use crate::ast::Edges;
use crate::error::EvalError;
use crate::plan::{
    CounterSign, Grid, Kernel, NameRemoval, Pipeline, PipelineId, Plan, Sink, WindowFn, Windows,
};
use skopos_model::{CounterResetHint, HistogramView, Labels, TimestampMs};
use skopos_storage::QueryBudget;
use std::{borrow::Cow, ops::Range, sync::Arc};

/// The samples of a series. Those that are histograms stand in the list too.
pub(crate) type SeriesSamples<'a> = (Samples<'a>, &'a [HistogramView<'a>]);

/// The parameters of a kernel, as far as it has any.
pub(crate) type KernelParams = [Option<Scalars>; 2];

/// The first half of a pipeline at work, up to its sink: makes a row of a series, which needs no other.
#[derive(Debug)]
pub(crate) struct RowMaker<'p> {
    grid: Grid,
    name_removal: NameRemoval,
    counter_sign: CounterSign,
    /// The parameters of the kernel.
    params: KernelParams,
    maps: Vec<MapRun<'p>>,
    row: RowBuffer,
    /// Metrics that were looked at for whether they are named like counters.
    names: foldhash::HashSet<String>,
    work: Work,
    held: Held,
}

/// The other half: takes the rows in the order of their series.
#[derive(Debug)]
pub(crate) struct RowTaker<'p> {
    pipeline: &'p Pipeline,
    name_removal: NameRemoval,
    sink: SinkRun<'p>,
    /// Rows may have equal labels, whatever the plan says.
    merge: bool,
}

/// A pipeline being carried out.
#[derive(Debug)]
pub(crate) struct PipelineRun<'p> {
    pub maker: RowMaker<'p>,
    pub taker: RowTaker<'p>,
}

/// What the buffers of a series that has histograms take for each of its samples.
const MIXED_SAMPLE_BYTES: usize = window::mixed::PARTED_SAMPLE_BYTES;

#[derive(Debug)]
enum SinkRun<'p> {
    Collect(StepMatrix),
    Aggregate(Box<Aggregator<'p>>),
}

impl<'p> PipelineRun<'p> {
    pub(crate) fn new(
        (plan, id): (&'p Plan, PipelineId),
        numbers: (KernelParams, Vec<MapRun<'p>>),
        budget: &Arc<QueryBudget>,
    ) -> Result<Self, EvalError> {
        let (pipeline, grid, name_removal) = (&plan.pipelines[id.0], plan.grid_of(id), plan.name_removal);
        let maker = RowMaker::new((plan, id), numbers, budget)?;
        let sink = match &pipeline.sink {
            Sink::Collect { .. } => SinkRun::Collect(StepMatrix::new(grid.steps, budget)),
            Sink::Aggregate { op, grouping, input } => {
                let aggregation = Aggregation { op: *op, grouping, input: input.0 };
                SinkRun::Aggregate(Box::new(Aggregator::new(aggregation, grid.steps, name_removal, budget)))
            }
        };
        Ok(Self { maker, taker: RowTaker { pipeline, name_removal, sink, merge: false } })
    }

    /// Takes the samples of one series through windows, maps and into the sink.
    pub(crate) fn take_samples(
        &mut self,
        labels: &RowLabels,
        samples: SeriesSamples<'_>,
        how: (&Kernel, &Windows),
        scratch: &mut Scratch,
        annotations: &mut Annotations,
    ) -> Result<(), EvalError> {
        let made = self.maker.make(labels, samples, how, scratch, annotations)?;
        self.take_made(made, annotations)
    }

    fn take_made(&mut self, made: Option<RowLabels>, annotations: &mut Annotations) -> Result<(), EvalError> {
        if let Some(labels) = made {
            self.taker.take(labels, self.maker.row.row(), &mut self.maker.work, annotations)?;
        }
        self.maker.work.row_done();
        Ok(())
    }

    /// Takes the row of another node.
    pub(crate) fn take_row(
        &mut self,
        labels: &RowLabels,
        row: Row<'_>,
        annotations: &mut Annotations,
    ) -> Result<(), EvalError> {
        let made = self.maker.make_of_row(labels, row, annotations)?;
        self.take_made(made, annotations)
    }

    /// Takes the rows that were made elsewhere.
    pub(crate) fn take_all(
        &mut self,
        rows: &StepMatrix,
        counted: &Counted,
        annotations: &mut Annotations,
    ) -> Result<(), EvalError> {
        self.maker.work.counted.absorb(counted);
        for (labels, row) in rows.iter() {
            self.taker.take(labels.clone(), row, &mut self.maker.work, annotations)?;
        }
        Ok(())
    }

    /// The rows that have come together.
    pub(crate) fn finish(self, annotations: &mut Annotations) -> Result<StepMatrix, EvalError> {
        let taker = self.taker;
        match taker.sink {
            SinkRun::Collect(matrix) => match taker.pipeline.sink {
                Sink::Collect { merge } if merge || taker.merge => {
                    if taker.pipeline.takes_no_twins() && !taker.name_removal.is_late() {
                        matrix.distinct(taker.pipeline.span)
                    } else {
                        matrix.merged(taker.pipeline.span)
                    }
                }
                _ => Ok(matrix),
            },
            SinkRun::Aggregate(aggregator) => aggregator.finish(annotations),
        }
    }
}

impl RowTaker<'_> {
    fn take(
        &mut self,
        mut labels: RowLabels,
        row: Row<'_>,
        work: &mut Work,
        annotations: &mut Annotations,
    ) -> Result<(), EvalError> {
        match &mut self.sink {
            SinkRun::Collect(matrix) => {
                if !self.name_removal.is_late() {
                    // Without more than their names, rows of one name may have come to be equal.
                    self.merge |= labels.drop_name && has_type_or_unit(&labels.labels);
                    labels = RowLabels::kept(labels.resolved());
                }
                matrix.push(labels, row)
            }
            SinkRun::Aggregate(aggregator) => aggregator.add(&labels, row, work, annotations),
        }
    }
}

impl<'p> RowMaker<'p> {
    pub(crate) fn new(
        (plan, id): (&Plan, PipelineId),
        (params, maps): (KernelParams, Vec<MapRun<'p>>),
        budget: &Arc<QueryBudget>,
    ) -> Result<Self, EvalError> {
        let (grid, name_removal) = (plan.grid_of(id), plan.name_removal);
        let mut held = Held::new(budget);
        held.grow(grid.steps)?;
        let (row, names) = (RowBuffer::new(grid.steps), foldhash::HashSet::default());
        let mut work = Work::new(budget);
        if plan.counts_steps {
            work.counted = Counted::of_steps(grid.steps, budget)?;
        }
        let counter_sign = plan.counter_sign;
        Ok(Self { grid, name_removal, counter_sign, params, maps, row, names, work, held })
    }

    /// What was counted so far, which is nothing from there on.
    pub(crate) fn take_counted(&mut self) -> Counted {
        std::mem::take(&mut self.work.counted)
    }

    /// The numbers that it needs, for another that does the same.
    pub(crate) fn parameters(&self) -> (KernelParams, Vec<Vec<Scalars>>) {
        (self.params.clone(), self.maps.iter().map(|map| map.scalars.clone()).collect())
    }

    /// Makes a row and keeps it in `rows`, if it has a value.
    pub(crate) fn make_into(
        &mut self,
        labels: &RowLabels,
        samples: SeriesSamples<'_>,
        how: (&Kernel, &Windows),
        (scratch, annotations): (&mut Scratch, &mut Annotations),
        rows: &mut StepMatrix,
    ) -> Result<(), EvalError> {
        if let Some(labels) = self.make(labels, samples, how, scratch, annotations)? {
            rows.push(labels, self.row.row())?;
        }
        self.work.row_done();
        Ok(())
    }

    /// Takes the samples of one series through windows and maps; the labels of its row, if it has a value.
    fn make(
        &mut self,
        labels: &RowLabels,
        (samples, histograms): SeriesSamples<'_>,
        (kernel, windows): (&Kernel, &Windows),
        scratch: &mut Scratch,
        annotations: &mut Annotations,
    ) -> Result<Option<RowLabels>, EvalError> {
        self.row.present.fill(0);
        self.row.histograms = None;
        // Where the ends of windows are looked at, since when samples were counted is not.
        let sampled = windows.edges == Edges::Sampled;
        let samples = if sampled { samples } else { Samples { starts: Starts::default(), ..samples } };
        let columns = self.params.clone();
        let params = Params(columns.each_ref().map(|p| Column(p.as_deref().unwrap_or_default())));
        if histograms.is_empty() {
            let (scratch, mut row) = ((&mut *scratch, &mut self.work), self.row.row_mut());
            window::apply(kernel, params, samples, windows, scratch, &mut row)?;
            if kernel.function.is_instant() && windows.edges == Edges::Sampled {
                self.work.count_present(&self.row.present);
            }
        } else {
            let metric = labels.labels.metric_name().unwrap_or_default();
            self.work.buffers(samples.values.len().saturating_mul(MIXED_SAMPLE_BYTES))?;
            let input = MixedInput { samples, histograms, params, kernel, windows, metric };
            window::mixed::apply(&input, (scratch, &mut self.work), &mut self.row, annotations)?;
        }
        if !bits::any(&self.row.present) {
            return Ok(None);
        }
        let rate = matches!(kernel.function, WindowFn::Rate | WindowFn::Increase);
        if rate && !samples.starts.is_empty() {
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
            self.work.spend(self.grid.steps)?;
            // Of windows without a number none is taken.
            for phi in bits::iter(&self.row.present).map(|k| params.0[0].at(k)) {
                if !(0.0..=1.0).contains(&phi) {
                    annotations.quantile_out_of_range(phi, kernel.span);
                }
            }
        }
        let drop_name = labels.drop_name || !kernel.function.keeps_name();
        self.mapped(RowLabels { labels: labels.labels.clone(), drop_name }, annotations)
    }

    fn check_counter(
        &mut self,
        labels: &Labels,
        kernel: &Kernel,
        annotations: &mut Annotations,
    ) -> Result<(), EvalError> {
        const SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
        let Some(name) = labels.metric_name() else { return Ok(()) };
        let metric_type = labels.value(TYPE);
        let said_of = match self.counter_sign {
            CounterSign::Name if SUFFIXES.iter().any(|s| name.ends_with(s)) => return Ok(()),
            CounterSign::Type if matches!(metric_type, "counter" | "histogram") => return Ok(()),
            CounterSign::Name => Cow::Borrowed(name),
            CounterSign::Type => Cow::Owned(format!("{metric_type} {name}")),
        };
        if self.names.contains(&*said_of) {
            return Ok(());
        }
        match self.counter_sign {
            CounterSign::Name => annotations.possible_non_counter(name, kernel.span),
            CounterSign::Type => annotations.possible_non_counter_by_type(name, metric_type, kernel.span),
        }
        self.held.grow_entries::<String>(1)?;
        self.held.grow_bytes(said_of.len())?;
        self.names.insert(said_of.into_owned());
        Ok(())
    }

    /// Takes the row of another node through the maps.
    fn make_of_row(
        &mut self,
        labels: &RowLabels,
        row: Row<'_>,
        annotations: &mut Annotations,
    ) -> Result<Option<RowLabels>, EvalError> {
        self.work.spend(self.grid.steps)?;
        self.row.values.copy_from_slice(row.values);
        self.row.present.copy_from_slice(row.present);
        self.row.histograms = row.histograms.map(|h| Box::new(h.clone()));
        self.mapped(labels.clone(), annotations)
    }

    fn mapped(
        &mut self,
        mut labels: RowLabels,
        annotations: &mut Annotations,
    ) -> Result<Option<RowLabels>, EvalError> {
        for map in &self.maps {
            let how = (&self.grid, self.name_removal);
            if self.row.histograms.is_some() || map.map.is_trim() {
                map.apply_to_all(&mut labels, &mut self.row, how, &mut self.work, annotations)?;
                continue;
            }
            map.apply(&mut labels, &mut self.row, how, &mut self.work)?;
        }
        Ok(bits::any(&self.row.present).then_some(labels))
    }
}

/// Makes samples of the rows of a subquery and hands those of each of `range` to `take`.
pub(crate) fn each_row_as_samples(
    rows: &StepMatrix,
    range: Range<usize>,
    inner: Grid,
    mut take: impl FnMut(&RowLabels, SeriesSamples<'_>) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let (mut timestamps, mut values): (Vec<TimestampMs>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut held = Held::new(rows.budget());
    held.grow(inner.steps)?;
    let mut views_held = Held::new(rows.budget());
    let mut work = Work::new(rows.budget());
    for i in range {
        let (labels, row) = (rows.labels(i), rows.row(i));
        if let Some(histograms) = row.histograms {
            let views = bits::count(histograms.present());
            views_held.at_least_bytes(views.saturating_mul(2 * size_of::<HistogramView<'_>>()))?;
        }
        work.spend(row.values.len())?;
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
        take(labels, (samples, histograms.as_slice()))?;
    }
    Ok(())
}
