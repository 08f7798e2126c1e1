//! `info`: rows enriched with the labels of the info metrics that tell about the same target. Which info
//! series is the newest is decided step by step; rows of equal labels are written once.

use super::{
    bits,
    held::Held,
    histograms::HistogramSteps,
    matrix::{Row, RowLabels, StepMatrix},
    work::{WORK_OF_LABELS, Work},
};
use crate::ast::Span;
use crate::error::EvalError;
use crate::plan::InfoLabels;
use skopos_model::{Labels, LabelsBuilder, name::METRIC_NAME};
use std::{collections::BTreeMap, sync::Arc};

/// The labels by which a series and an info series tell about the same target.
const IDENTIFYING: [&str; 2] = ["instance", "job"];
/// What an entry of the table of targets takes beside its labels.
const TARGET_BYTES: usize = 256;
/// No info series of a name.
const NONE: usize = usize::MAX;

/// The info series, and which of their labels are taken.
#[derive(Clone, Copy)]
struct Source<'a> {
    info: &'a StepMatrix,
    select: &'a InfoLabels,
    span: Span,
}

/// Where rows are put, and what that costs.
struct Output<'a> {
    rows: &'a mut StepMatrix,
    work: &'a mut Work,
}

/// The rows of each info metric, by the target that they tell about.
type Targets<'a> = foldhash::HashMap<Labels, BTreeMap<&'a str, Vec<usize>>>;

/// The rows of `base` with the labels of those of `info`, whose values are the times of their samples.
pub(crate) fn enriched(
    base: &StepMatrix,
    info: &StepMatrix,
    select: &InfoLabels,
    span: Span,
) -> Result<StepMatrix, EvalError> {
    let mut targets: Targets<'_> = foldhash::HashMap::default();
    let (mut work, mut held) = (Work::new(base.budget()), Held::new(base.budget()));
    for (i, (labels, row)) in info.iter().enumerate() {
        work.spend(WORK_OF_LABELS)?;
        held.grow_bytes(labels.cost() + TARGET_BYTES)?;
        if row.histograms.is_some() {
            let message = format!("this should be an info metric with float samples: {}", labels.labels);
            return Err(EvalError::Invalid { message, span });
        }
        let of_target = targets.entry(target(&labels.labels)).or_default();
        of_target.entry(labels.labels.value(METRIC_NAME)).or_default().push(i);
    }
    let mut out = StepMatrix::new(base.steps(), base.budget());
    let none = BTreeMap::new();
    let source = Source { info, select, span };
    for (labels, row) in base.iter() {
        work.spend(WORK_OF_LABELS)?;
        if select.is_info(labels.labels.value(METRIC_NAME)) {
            out.push(labels.clone(), row)?;
            continue;
        }
        let target = target(&labels.labels);
        let metrics = if target.is_empty() { &none } else { targets.get(&target).unwrap_or(&none) };
        source.enrich(labels, row, metrics, &mut Output { rows: &mut out, work: &mut work })?;
    }
    out.merged(span)
}

fn target(labels: &Labels) -> Labels {
    labels.filtered(|name| IDENTIFYING.contains(&name))
}

impl Source<'_> {
    /// Adds one row, or several where its info series change over time.
    fn enrich(
        self,
        labels: &RowLabels,
        row: Row<'_>,
        metrics: &BTreeMap<&str, Vec<usize>>,
        out: &mut Output<'_>,
    ) -> Result<(), EvalError> {
        let candidates: usize = metrics.values().map(Vec::len).sum();
        let mut held = Held::new(self.info.budget());
        let mut written: foldhash::HashMap<Vec<usize>, Option<usize>> = foldhash::HashMap::default();
        let mut chosen = vec![NONE; metrics.len()];
        let mut histograms: BTreeMap<usize, HistogramSteps> = BTreeMap::new();
        for step in bits::iter(row.present) {
            out.work.spend(1 + candidates)?;
            for (slot, rows) in chosen.iter_mut().zip(metrics.values()) {
                *slot = self.newest(rows, step)?;
            }
            let at = match written.get(&chosen) {
                Some(at) => *at,
                None => {
                    held.grow_entries::<(Vec<usize>, Option<usize>)>(1)?;
                    held.grow_bytes(size_of_val(chosen.as_slice()) + 32)?;
                    out.work.spend(WORK_OF_LABELS)?;
                    let at = match self.with_labels(labels, &chosen)? {
                        Some(labels) => {
                            out.rows.push_empty(labels)?;
                            Some(out.rows.len() - 1)
                        }
                        None => None,
                    };
                    written.insert(chosen.clone(), at);
                    at
                }
            };
            match (at, row.histogram(step)) {
                (None, _) => {}
                (Some(at), None) => out.rows.row_mut(at).set(step, row.values[step]),
                (Some(at), Some(h)) => {
                    let all = histograms.entry(at).or_insert_with(|| HistogramSteps::new(row.values.len()));
                    all.push(step, Arc::clone(h));
                }
            }
        }
        histograms.iter().try_for_each(|(at, all)| out.rows.add_histograms(*at, all))
    }

    /// The row among `rows` whose sample is the newest at `step`.
    fn newest(self, rows: &[usize], step: usize) -> Result<usize, EvalError> {
        let Self { info, span, .. } = self;
        let mut best = NONE;
        for &i in rows.iter().filter(|i| bits::get(info.row(**i).present, step)) {
            let time = |i: usize| info.row(i).values[step];
            if best != NONE && time(i) == time(best) {
                let ms = (time(i) * 1000.0).round() as i64;
                let message = format!(
                    "found duplicate series for info metric: existing {} @ {ms}, new {} @ {ms}",
                    info.labels(best).labels,
                    info.labels(i).labels
                );
                return Err(EvalError::Invalid { message, span });
            }
            if best == NONE || time(i) > time(best) {
                best = i;
            }
        }
        Ok(best)
    }

    /// The labels together with those of the chosen info series; none when labels are asked for that nobody
    /// has.
    fn with_labels(self, labels: &RowLabels, chosen: &[usize]) -> Result<Option<RowLabels>, EvalError> {
        let Self { info, select, span } = self;
        let mut more = LabelsBuilder::default();
        for &i in chosen.iter().filter(|i| **i != NONE) {
            for (name, value) in info.labels(i).labels.iter().filter(|(name, _)| select.takes(name)) {
                if more.get(name).is_some_and(|other| other != value) {
                    return Err(EvalError::Invalid { message: format!("conflicting label: {name}"), span });
                }
                if labels.labels.get(name).is_none() {
                    more.set(name, value);
                }
            }
        }
        if chosen.iter().all(|i| *i == NONE) && !select.may_be_missing() {
            return Ok(None);
        }
        let mut all = LabelsBuilder::from_labels(&labels.labels);
        more.iter().for_each(|(name, value)| all.set(name, value));
        Ok(Some(RowLabels { labels: all.build(), drop_name: labels.drop_name }))
    }
}
