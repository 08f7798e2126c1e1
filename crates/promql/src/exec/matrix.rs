//! `StepMatrix`: what an instant vector is over all steps of a query: one row per series, all values in
//! one buffer, and a bitmap that says where there is one. Native histograms stand beside, for rows that have
//! any. All that it holds is on the query's account.

use super::{
    bits,
    held::Held,
    histograms::HistogramSteps,
    labels::without_name,
    work::{WORK_OF_LABELS, Work},
};
use crate::error::EvalError;
use skopos_model::{FloatHistogram, Labels};
use skopos_storage::QueryBudget;
use std::{borrow::Cow, ops::Range, sync::Arc};

/// What an allocation takes beside its bytes, about.
const ALLOCATION: usize = 32;

/// What identifies a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowLabels {
    /// The labels; with `drop_name` they may still hold the metric's name.
    pub labels: Labels,
    /// The name is to go: at the next operator that keeps rows, or at the very end when names are
    /// removed late.
    pub drop_name: bool,
}

impl RowLabels {
    /// Labels that stay as they are.
    pub(crate) fn kept(labels: Labels) -> Self {
        Self { labels, drop_name: false }
    }

    /// What a row takes beside its values, in bytes: its labels, which may be its own, in a list that has as
    /// much room again to grow, and an allocation.
    pub(crate) fn cost(&self) -> usize {
        self.labels.byte_len() + 2 * size_of::<Self>() + ALLOCATION
    }

    /// The labels with the name gone where it has to go.
    pub(crate) fn resolved(self) -> Labels {
        if self.drop_name { without_name(&self.labels) } else { self.labels }
    }
}

/// The values of one row and where there are any. A value without its bit means nothing, nor does that of a
/// step which is a histogram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub values: &'a [f64],
    /// Floats and histograms.
    pub present: &'a [u64],
    /// Those of the steps that are histograms.
    pub histograms: Option<&'a HistogramSteps>,
}

impl<'a> Row<'a> {
    /// The bits of the steps that are floats.
    pub(crate) fn floats(&self) -> Cow<'a, [u64]> {
        let Some(histograms) = self.histograms else { return Cow::Borrowed(self.present) };
        let mut floats = self.present.to_vec();
        bits::and_not(&mut floats, histograms.present());
        Cow::Owned(floats)
    }

    /// The histogram of step `k`, if it is one.
    pub(crate) fn histogram(&self, k: usize) -> Option<&'a Arc<FloatHistogram>> {
        self.histograms.and_then(|h| h.get(k))
    }
}

/// A row being written.
#[derive(Debug)]
pub(crate) struct RowMut<'a> {
    pub values: &'a mut [f64],
    pub present: &'a mut [u64],
}

impl RowMut<'_> {
    /// Some of the steps, from a whole word of bits on.
    pub(crate) fn part(&mut self, steps: &Range<usize>) -> RowMut<'_> {
        let words = steps.start / bits::WORD..bits::words(steps.end);
        RowMut { values: &mut self.values[steps.clone()], present: &mut self.present[words] }
    }

    /// Sets the value of step `k`.
    #[inline]
    pub(crate) fn set(&mut self, k: usize, v: f64) {
        self.values[k] = v;
        bits::set(self.present, k);
    }
}

/// A row's memory, used again for every series.
#[derive(Debug, Default)]
pub(crate) struct RowBuffer {
    pub values: Vec<f64>,
    pub present: Vec<u64>,
    pub histograms: Option<Box<HistogramSteps>>,
}

impl RowBuffer {
    pub(crate) fn new(steps: usize) -> Self {
        Self { values: vec![0.0; steps], present: vec![0; bits::words(steps)], histograms: None }
    }

    pub(crate) fn row(&self) -> Row<'_> {
        Row { values: &self.values, present: &self.present, histograms: self.histograms.as_deref() }
    }

    /// Puts `histograms` in place of those that are there.
    pub(crate) fn set_histograms(&mut self, histograms: HistogramSteps) {
        if let Some(before) = self.histograms.take() {
            bits::and_not(&mut self.present, before.present());
        }
        if !histograms.is_empty() {
            bits::or(&mut self.present, histograms.present());
            self.histograms = Some(Box::new(histograms));
        }
    }

    pub(crate) fn row_mut(&mut self) -> RowMut<'_> {
        RowMut { values: &mut self.values, present: &mut self.present }
    }
}

/// Rows of one value per step.
#[derive(Debug)]
pub(crate) struct StepMatrix {
    steps: usize,
    words: usize,
    rows: Vec<RowLabels>,
    values: Vec<f64>,
    present: Vec<u64>,
    /// As long as the last row that has histograms.
    histograms: Vec<Option<Box<HistogramSteps>>>,
    held: Held,
}

impl StepMatrix {
    pub(crate) fn new(steps: usize, budget: &Arc<QueryBudget>) -> Self {
        let (rows, values, present, histograms) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { steps, words: bits::words(steps), rows, values, present, histograms, held: Held::new(budget) }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    pub(crate) fn budget(&self) -> &Arc<QueryBudget> {
        self.held.budget()
    }

    pub(crate) fn labels(&self, i: usize) -> &RowLabels {
        &self.rows[i]
    }

    pub(crate) fn labels_mut(&mut self, i: usize) -> &mut RowLabels {
        &mut self.rows[i]
    }

    pub(crate) fn row(&self, i: usize) -> Row<'_> {
        Row {
            values: &self.values[i * self.steps..(i + 1) * self.steps],
            present: &self.present[i * self.words..(i + 1) * self.words],
            histograms: self.histograms.get(i).and_then(Option::as_deref),
        }
    }

    /// Whether any row has a histogram.
    pub(crate) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// Puts `histograms` into row `i`, at steps of which it has no value yet.
    pub(crate) fn add_histograms(&mut self, i: usize, histograms: &HistogramSteps) -> Result<(), EvalError> {
        if histograms.is_empty() {
            return Ok(());
        }
        self.held.grow_bytes(histograms.size())?;
        self.held.grow(histograms.cost())?;
        bits::or(&mut self.present[i * self.words..(i + 1) * self.words], histograms.present());
        if self.histograms.len() <= i {
            self.histograms.resize(i + 1, None);
        }
        let all = match self.histograms[i].take() {
            Some(before) => before.united(histograms),
            None => histograms.clone(),
        };
        self.histograms[i] = Some(Box::new(all));
        Ok(())
    }

    pub(crate) fn row_mut(&mut self, i: usize) -> RowMut<'_> {
        RowMut {
            values: &mut self.values[i * self.steps..(i + 1) * self.steps],
            present: &mut self.present[i * self.words..(i + 1) * self.words],
        }
    }

    /// All rows in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RowLabels, Row<'_>)> {
        (0..self.len()).map(|i| (self.labels(i), self.row(i)))
    }

    fn charge_row(&mut self, labels: &RowLabels) -> Result<(), EvalError> {
        self.held.grow_bytes(labels.cost() + 2 * size_of::<u64>() * self.words)?;
        Ok(self.held.grow(self.steps)?)
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, labels: RowLabels, row: Row<'_>) -> Result<(), EvalError> {
        self.charge_row(&labels)?;
        self.rows.push(labels);
        self.values.extend_from_slice(row.values);
        self.present.extend_from_slice(row.present);
        match row.histograms.and_then(|h| h.restricted(row.present)) {
            Some(histograms) => self.add_histograms(self.len() - 1, &histograms),
            None => Ok(()),
        }
    }

    /// Adds the floats of a row.
    pub(crate) fn push_floats(&mut self, labels: RowLabels, row: Row<'_>) -> Result<(), EvalError> {
        self.push(labels, Row { present: &row.floats(), histograms: None, ..row })
    }

    /// Adds a row without any value and returns it to be filled.
    pub(crate) fn push_empty(&mut self, labels: RowLabels) -> Result<RowMut<'_>, EvalError> {
        self.charge_row(&labels)?;
        self.rows.push(labels);
        self.values.resize(self.values.len() + self.steps, 0.0);
        self.present.resize(self.present.len() + self.words, 0);
        Ok(self.row_mut(self.len() - 1))
    }

    /// The rows with a value, in the order `order` of their numbers.
    pub(crate) fn reordered(&self, order: &[usize]) -> Result<Self, EvalError> {
        let mut out = Self::new(self.steps, self.budget());
        for &i in order {
            out.push(self.rows[i].clone(), self.row(i))?;
        }
        Ok(out)
    }

    /// The same rows, of which no two may have equal labels.
    pub(crate) fn distinct(self, span: crate::ast::Span) -> Result<Self, EvalError> {
        if self.has_twins()? { Err(EvalError::SameLabelset { span }) } else { Ok(self) }
    }

    /// Whether two rows have equal labels.
    fn has_twins(&self) -> Result<bool, EvalError> {
        let mut held = Held::new(self.budget());
        held.grow_entries::<&RowLabels>(self.len())?;
        let mut work = Work::new(self.budget());
        let mut seen = foldhash::HashSet::default();
        for labels in &self.rows {
            work.spend(WORK_OF_LABELS)?;
            if !seen.insert(labels) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Rows of equal labels put together. They may not both have a value at one step.
    pub(crate) fn merged(self, span: crate::ast::Span) -> Result<Self, EvalError> {
        if !self.has_twins()? {
            return Ok(self);
        }
        let mut held = Held::new(self.budget());
        held.grow_entries::<(&RowLabels, usize)>(self.len())?;
        let mut work = Work::new(self.budget());
        let mut first_of = foldhash::HashMap::default();
        let mut out = Self::new(self.steps, self.budget());
        for (labels, row) in self.iter() {
            work.spend(WORK_OF_LABELS + self.steps)?;
            let at = *first_of.entry(labels).or_insert(out.len());
            if at == out.len() {
                out.push(labels.clone(), row)?;
                continue;
            }
            let into = out.row_mut(at);
            if bits::intersects(into.present, row.present) {
                return Err(EvalError::SameLabelset { span });
            }
            bits::iter(row.present).for_each(|k| into.values[k] = row.values[k]);
            bits::or(into.present, row.present);
            if let Some(histograms) = row.histograms {
                out.add_histograms(at, histograms)?;
            }
        }
        Ok(out)
    }
}
