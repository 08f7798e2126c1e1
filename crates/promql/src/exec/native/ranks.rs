//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`: rows of classic buckets are put
//! together to histograms, native ones are taken as they are.

use super::{
    classic::{self, Cumulative},
    rank,
};
use crate::ast::Span;
use crate::error::EvalError;
use crate::exec::{
    Annotations,
    annotations::Forced,
    bits,
    held::Held,
    histograms::HistogramSteps,
    labels::without_name,
    matrix::{RowLabels, StepMatrix},
    order::sort_rows,
    window::Column,
    work::{WORK_OF_LABELS, Work},
};
use crate::plan::{Grid, NameRemoval};
use skopos_model::{FloatHistogram, Labels, LabelsBuilder, float::to_shortest_string, histogram::Bucket};

/// The label that holds the bound of a classic bucket.
const BOUND: &str = "le";

/// One thing that is asked of each histogram.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask<'a> {
    Quantile(Column<'a>),
    Fraction { lower: Column<'a>, upper: Column<'a> },
}

/// A question, and the label that its answers get.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub ask: Ask<'a>,
    pub label: Option<&'a str>,
}

/// What is asked of what.
#[derive(Debug)]
pub(crate) struct RanksInput<'a> {
    pub matrix: &'a StepMatrix,
    pub questions: &'a [Question<'a>],
    pub grid: Grid,
    /// Where the histograms stand in the query.
    pub input: Span,
    pub span: Span,
    pub name_removal: NameRemoval,
}

/// What a bucket takes in the buffers of one histogram.
const BUCKET_BYTES: usize = 128;

/// The rows of one histogram.
#[derive(Debug, Default)]
struct Group {
    /// Rows of classic buckets with their bounds.
    buckets: Vec<(f64, usize)>,
    /// The row of native ones.
    natives: Vec<usize>,
}

/// The answers to all questions, at every step.
pub(crate) fn ranks(input: &RanksInput<'_>, annotations: &mut Annotations) -> Result<StepMatrix, EvalError> {
    let mut work = Work::new(input.matrix.budget());
    let mut held = Held::new(input.matrix.budget());
    let groups = grouped(input, (&mut work, &mut held), annotations)?;
    let most = groups.iter().map(|(_, group)| group.buckets.len()).max().unwrap_or(0);
    held.grow_bytes(most.saturating_mul(input.matrix.steps() / 8 + BUCKET_BYTES))?;
    held.grow_bytes(input.matrix.steps().saturating_mul(2 * size_of::<f64>()))?;
    let mut out = StepMatrix::new(input.matrix.steps(), input.matrix.budget());
    let mut scratch = Scratch::default();
    for question in input.questions {
        let asked = Asked { input, question };
        for (key, group) in &groups {
            let mut tools = Tools { scratch: &mut scratch, work: &mut work, annotations: &mut *annotations };
            let whose = Whose { key, metric: key.metric_name().unwrap_or_default(), span: input.input };
            if !group.buckets.is_empty() {
                classic_row(asked, group, &whose, &mut tools, &mut out)?;
            }
            for row in &group.natives {
                native_row(asked, group, *row, &mut tools, &mut out)?;
            }
        }
    }
    let out = out.merged(input.span)?;
    let mut order: Vec<usize> = (0..out.len()).collect();
    sort_rows(&mut order, out.budget(), |a, b| out.labels(a).labels.cmp(&out.labels(b).labels))?;
    if order.is_sorted() { Ok(out) } else { out.reordered(&order) }
}

/// One of the questions.
#[derive(Clone, Copy)]
struct Asked<'a> {
    input: &'a RanksInput<'a>,
    question: &'a Question<'a>,
}

/// What answering works with.
struct Tools<'a> {
    scratch: &'a mut Scratch,
    work: &'a mut Work,
    annotations: &'a mut Annotations,
}

#[derive(Debug, Default)]
struct Scratch {
    buckets: Vec<Bucket>,
    cumulative: Vec<Cumulative>,
}

/// Which histogram.
struct Whose<'a> {
    key: &'a Labels,
    metric: &'a str,
    span: Span,
}

/// The rows of each histogram: those whose labels differ in the bound alone.
fn grouped(
    input: &RanksInput<'_>,
    (work, held): (&mut Work, &mut Held),
    annotations: &mut Annotations,
) -> Result<Vec<(Labels, Group)>, EvalError> {
    let mut ids = foldhash::HashMap::default();
    let mut groups: Vec<(Labels, Group)> = Vec::new();
    let mut group_of = |key: Labels, groups: &mut Vec<(Labels, Group)>| {
        let id = *ids.entry(key.clone()).or_insert(groups.len());
        if id == groups.len() {
            groups.push((key, Group::default()));
        }
        id
    };
    for (i, (labels, row)) in input.matrix.iter().enumerate() {
        work.spend(WORK_OF_LABELS + row.present.len())?;
        held.grow_entries::<(Labels, usize, Labels, Group, f64, usize)>(1)?;
        held.grow_bytes(labels.cost())?;
        if row.histograms.is_some() {
            let id = group_of(labels.labels.clone(), &mut groups);
            groups[id].1.natives.push(i);
        }
        if !bits::any(&row.floats()) {
            continue;
        }
        let text = labels.labels.value(BOUND);
        match bound(text) {
            Some(upper) => {
                let id = group_of(labels.labels.filtered(|n| n != BOUND), &mut groups);
                groups[id].1.buckets.push((upper, i));
            }
            None => {
                let metric = labels.labels.metric_name().unwrap_or_default();
                annotations.bad_bucket_label(metric, text, input.input);
            }
        }
    }
    Ok(groups)
}

/// A bound as Go reads floats.
fn bound(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || ["inf", "infinity", "nan"].iter().any(|w| digits.eq_ignore_ascii_case(w));
    if is_number { text.parse().ok() } else { None }
}

/// The steps at which a classic and a native histogram of the same labels meet.
fn conflict(input: &RanksInput<'_>, group: &Group) -> Vec<u64> {
    let words = bits::words(input.matrix.steps());
    let (mut classic, mut native) = (vec![0; words], vec![0; words]);
    for (_, row) in &group.buckets {
        bits::or(&mut classic, &input.matrix.row(*row).floats());
    }
    for row in &group.natives {
        if let Some(histograms) = input.matrix.row(*row).histograms {
            bits::or(&mut native, histograms.present());
        }
    }
    bits::and(&mut classic, &native);
    classic
}

fn classic_row(
    asked: Asked<'_>,
    group: &Group,
    whose: &Whose<'_>,
    tools: &mut Tools<'_>,
    out: &mut StepMatrix,
) -> Result<(), EvalError> {
    let Asked { input, question } = asked;
    let Tools { scratch, work, annotations } = tools;
    let rows: Vec<_> = group.buckets.iter().map(|(upper, row)| (*upper, input.matrix.row(*row))).collect();
    let mut present = vec![0; bits::words(input.matrix.steps())];
    rows.iter().for_each(|(_, row)| bits::or(&mut present, &row.floats()));
    let both = conflict(input, group);
    if bits::any(&both) {
        annotations.mixed_classic_native(whose.metric, whose.span);
        bits::and_not(&mut present, &both);
    }
    let floats: Vec<_> = rows.iter().map(|(_, row)| row.floats()).collect();
    let mut values = vec![0.0; input.matrix.steps()];
    for k in bits::iter(&present) {
        work.spend(4 * rows.len())?;
        let here = rows.iter().zip(&floats).filter(|(_, floats)| bits::get(floats, k));
        scratch.cumulative.clear();
        scratch
            .cumulative
            .extend(here.map(|((upper, row), _)| Cumulative { upper: *upper, count: row.values[k] }));
        values[k] = match question.ask {
            Ask::Quantile(phi) => {
                let (value, forced) = classic::quantile(phi.at(k), &mut scratch.cumulative);
                if let Some(forced) = forced {
                    let at = input.grid.at(k);
                    let classic::Raised { from, to, difference } = forced;
                    let forced = Forced { histograms: 1, first: at, last: at, from, to, difference };
                    // As in Prometheus, the name is gone unless names go late.
                    let metric = if input.name_removal.is_late() { whose.metric } else { "" };
                    annotations.forced_monotonicity(forced, metric, whose.span);
                }
                value
            }
            Ask::Fraction { lower, upper } => {
                classic::fraction(lower.at(k), upper.at(k), &mut scratch.cumulative)
            }
        };
    }
    push(asked, whose.key, (&values, &present), out)
}

fn native_row(
    asked: Asked<'_>,
    group: &Group,
    row: usize,
    tools: &mut Tools<'_>,
    out: &mut StepMatrix,
) -> Result<(), EvalError> {
    let input = asked.input;
    let labels = input.matrix.labels(row);
    let Some(histograms) = input.matrix.row(row).histograms else { return Ok(()) };
    let mut present = histograms.present().to_vec();
    if !group.buckets.is_empty() {
        bits::and_not(&mut present, &conflict(input, group));
    }
    let metric = labels.labels.metric_name().unwrap_or_default();
    let values = answers(asked, (histograms, metric), &present, tools)?;
    push(asked, &labels.labels, (&values, &present), out)
}

/// What is answered of the native histograms of the steps in `present`.
fn answers(
    asked: Asked<'_>,
    (histograms, metric): (&HistogramSteps, &str),
    present: &[u64],
    tools: &mut Tools<'_>,
) -> Result<Vec<f64>, EvalError> {
    let (question, span) = (asked.question, asked.input.input);
    let Tools { scratch, work, annotations } = tools;
    let mut values = vec![0.0; present.len() * bits::WORD];
    for (k, h) in histograms.iter().filter(|(k, _)| bits::get(present, *k)) {
        work.spend(16 * (1 + h.view().bucket_count()))?;
        values[k] = answer(question.ask, k, h, (&mut scratch.buckets, metric, span), annotations);
    }
    Ok(values)
}

fn answer(
    ask: Ask<'_>,
    k: usize,
    h: &FloatHistogram,
    (buckets, metric, span): (&mut Vec<Bucket>, &str, Span),
    annotations: &mut Annotations,
) -> f64 {
    match ask {
        Ask::Quantile(phi) => {
            let found = rank::quantile(phi.at(k), h, buckets);
            if let Some(effect) = found.nan {
                annotations.quantile_of_nan(effect, metric, span);
            }
            found.value
        }
        Ask::Fraction { lower, upper } => {
            let found = rank::fraction(lower.at(k), upper.at(k), h, buckets);
            if found.leaves_out {
                annotations.fraction_of_nan(metric, span);
            }
            found.value
        }
    }
}

/// Adds the row of the answers. The label of several quantiles is that of each step.
fn push(
    asked: Asked<'_>,
    labels: &Labels,
    (values, present): (&[f64], &[u64]),
    out: &mut StepMatrix,
) -> Result<(), EvalError> {
    let Asked { input, question } = asked;
    if !bits::any(present) {
        return Ok(());
    }
    let named = |labels: Labels| {
        if input.name_removal.is_late() {
            RowLabels { drop_name: true, labels }
        } else {
            RowLabels::kept(without_name(&labels))
        }
    };
    let (Some(name), Ask::Quantile(phi)) = (question.label, question.ask) else {
        let mut row = out.push_empty(named(labels.clone()))?;
        bits::iter(present).for_each(|k| row.set(k, values[k]));
        return Ok(());
    };
    let mut rows: Vec<(u64, usize)> = Vec::new();
    for k in bits::iter(present) {
        let bits_of_phi = phi.at(k).to_bits();
        let at = match rows.iter().find(|(bits, _)| *bits == bits_of_phi) {
            Some((_, at)) => *at,
            None => {
                let mut builder = LabelsBuilder::from_labels(labels);
                builder.set(name, &quantile_text(phi.at(k)));
                out.push_empty(named(builder.build()))?;
                rows.push((bits_of_phi, out.len() - 1));
                out.len() - 1
            }
        };
        out.row_mut(at).set(k, values[k]);
    }
    Ok(())
}

/// A quantile as a label's value: as OpenMetrics writes floats, never without a point or an exponent.
fn quantile_text(phi: f64) -> String {
    let text = to_shortest_string(phi);
    let whole = phi.is_finite() && !text.contains(['.', 'e']);
    if whole { text + ".0" } else { text }
}
