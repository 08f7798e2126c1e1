//! `/federate`: the newest sample of each series that some selector picks, as a page to be scraped: as text,
//! or as families in protocol buffers, which alone have room for native histograms.

use crate::{
    blocking,
    params::Params,
    parts::{Parts, Ready},
    reply::ApiError,
    writing::Writing,
};
use axum::{
    http::{
        HeaderMap,
        header::{ACCEPT, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use skopos_exposition::{Format, Page, PageFormat, TextWriter, WriteError};
use skopos_model::{
    DurationMs, FloatHistogram, Labels, Matcher, MetricType, TimestampMs, histogram::CounterResetHint,
    is_stale_nan, name::METRIC_NAME,
};
use skopos_promql::{
    Steps,
    queries::{Samples, Slice},
};
use skopos_proto::families::{self, FamilyType, FamilyWriter, LabelPair};
use skopos_storage::{QueryBudget, SelectRequest, SeriesBatch, SeriesColumns, Shard, TimeRange};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// What the account takes an entry of the page for, in bytes, besides its labels and its name.
const ENTRY_BYTES: usize = 64;
/// So many selectors are shown of a page that is being made.
const SHOWN_MAX: usize = 100;

/// The newest sample of a series.
struct Newest {
    at: TimestampMs,
    value: Value,
}

enum Value {
    Float(f64),
    Histogram(Box<FloatHistogram>),
}

impl Value {
    /// The type of the family in which it stands.
    fn family_type(&self) -> FamilyType {
        match self {
            Self::Float(_) => FamilyType::Untyped,
            Self::Histogram(h) if h.layout.counter_reset_hint == CounterResetHint::Gauge => {
                FamilyType::GaugeHistogram
            }
            Self::Histogram(_) => FamilyType::Histogram,
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Float(_) => 0,
            Self::Histogram(h) => size_of::<FloatHistogram>() + h.heap_bytes(),
        }
    }
}

/// The series of a page by their names as they are stored, each with its labels.
type Found = BTreeMap<(String, Labels), Newest>;

/// The page. Errors are text, as in Prometheus.
pub(crate) async fn federate(
    Ready(parts): Ready,
    headers: HeaderMap,
    params: Result<Params, ApiError>,
) -> Response {
    let params = match params {
        Ok(params) => params,
        Err(e) => return e.into_text(),
    };
    let how = Page::negotiate(headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or(""));
    let now = TimestampMs::new(parts.clock.wall_ms());
    let steps = Steps { start: now, end: now, step: DurationMs::ZERO };
    let text: Vec<&str> = params.all("match[]").take(SHOWN_MAX).collect();
    let tracked = parts.queries.asked(params.asked(&text.join(" or "), steps));
    let page =
        blocking::answer_tracked(parts, params, tracked, move |parts, params, tracked, budget, sink| {
            let sets = params.any_selectors(budget)?;
            tracked.enters(Slice::Evaluate);
            let range = TimeRange { min: now.minus(parts.engine.options().lookback_delta), max: now };
            let mut found = Found::new();
            // As in Prometheus, no condition picks nothing, and one that all series fulfil picks all of them.
            let mut selecting = sets.iter().filter(|matchers| !matchers.is_empty());
            let collected =
                selecting.try_for_each(|set| collect(parts, set, range, (how, budget), &mut found));
            // Each sample is looked at once.
            let read = budget.samples_read();
            tracked.evaluated(Samples { queried: read, read });
            collected?;
            let mut external = parts.config.get().global.external_labels.clone();
            // Whoever scrapes this page must not call our address the instance of a series that has none.
            external.entry("instance".to_owned()).or_default();
            let writing = Writing::begin(parts, budget, sink, &[]);
            match how.format {
                PageFormat::Text => write_text(writing, how, &found, &external),
                PageFormat::Families => write_families(writing, (how, budget), &found, &external),
            }
        });
    match page.await {
        Ok(page) => ([(CONTENT_TYPE, how.content_type())], page).into_response(),
        Err(e) => e.into_text(),
    }
}

/// The newest samples of all series of one selector, by name and labels.
fn collect(
    parts: &Parts,
    matchers: &[Matcher],
    range: TimeRange,
    (how, budget): (Page, &Arc<QueryBudget>),
    found: &mut Found,
) -> Result<(), ApiError> {
    let querier = parts.storage.querier(range)?;
    let request = SelectRequest { matchers, range, shard: Shard::WHOLE, budget: Arc::clone(budget) };
    let mut series = querier.select(&request)?;
    let mut batch = SeriesBatch::default();
    while series.next_batch(&mut batch)? {
        for series in batch.iter() {
            let name = series.labels.value(METRIC_NAME);
            if let Some(newest) = newest(&series, how.format)
                && !name.is_empty()
            {
                let bytes = ENTRY_BYTES + name.len() + series.labels.byte_len() + newest.value.heap_bytes();
                budget.charge_memory(bytes as u64)?;
                found.insert((name.to_owned(), series.labels.clone()), newest);
            }
        }
        budget.release_samples(batch.sample_count() as u64);
    }
    Ok(())
}

/// None where the series has ended or its newest sample has no room on the page.
fn newest(series: &SeriesColumns<'_>, format: PageFormat) -> Option<Newest> {
    let (at, float) = (*series.timestamps.last()?, *series.values.last()?);
    if is_stale_nan(float) {
        return None;
    }
    let last = series.histograms.iter().last().filter(|h| h.sample + 1 == series.values.len());
    let value = match last {
        None => Value::Float(float),
        // Bounds of custom buckets have no room in families either: whoever reads them refuses the page.
        Some(h) if format == PageFormat::Families && !h.layout.has_custom_bounds() => {
            Value::Histogram(Box::new(h.to_histogram()))
        }
        Some(_) => return None,
    };
    Some(Newest { at, value })
}

/// Calls `each` with every label of a series but its name, and with those of `external` that it lacks.
fn each_label<'a>(
    labels: &'a Labels,
    external: &'a BTreeMap<String, String>,
    how: Page,
    mut each: impl FnMut(Cow<'a, str>, &'a str),
) {
    let own = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    let missing = external.iter().filter(|(name, _)| labels.get(name).is_none());
    let all = own.chain(missing.map(|(name, value)| (name.as_str(), value.as_str())));
    all.for_each(|(name, value)| each(how.escaping.escaped(name), value));
}

fn write_text(
    mut writing: Writing<'_>,
    how: Page,
    found: &Found,
    external: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    let failed = |e: WriteError| ApiError::internal(e.to_string());
    let float = |newest: &Newest| if let Value::Float(value) = newest.value { Some(value) } else { None };
    let samples = found.iter().filter_map(|(of, newest)| Some((of, newest.at, float(newest)?)));
    let mut samples = samples.peekable();
    while let Some(((name, _), ..)) = samples.peek().copied() {
        // Names that become one by their escaping are a family each, as in Prometheus.
        let mut page = Vec::new();
        let mut writer = TextWriter::new(Format::Text, &mut page);
        writer.family(&how.escaping.escaped(name), MetricType::Unknown, "").map_err(failed)?;
        while let Some(((_, labels), at, value)) = samples.next_if(|(of, ..)| of.0 == *name) {
            let mut all = Vec::new();
            each_label(labels, external, how, |name, value| all.push((name, value)));
            let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (&**name, *value)).collect();
            // The classic format of Prometheus has no sign before zero.
            writer.sample_at("", &all, value + 0.0, at).map_err(failed)?;
            writing.bytes(&writer.take())?;
        }
    }
    writing.end()
}

/// A family for every run of samples of one name and type: there may be several of one name, as in
/// Prometheus.
fn write_families(
    mut writing: Writing<'_>,
    (how, budget): (Page, &Arc<QueryBudget>),
    found: &Found,
    external: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    let mut series = found.iter().peekable();
    while let Some(((name, _), newest)) = series.peek() {
        let (name, family_type) = (name.as_str(), newest.value.family_type());
        let mut writer = FamilyWriter::begin(&how.escaping.escaped(name), family_type);
        let mut held = 0;
        let same =
            |one: &(&(String, Labels), &Newest)| one.0.0 == name && one.1.value.family_type() == family_type;
        while let Some(((_, labels), newest)) = series.next_if(same) {
            let mut all = Vec::new();
            each_label(labels, external, how, |name, value| all.push(LabelPair::new(&name, value)));
            writer.push(&match &newest.value {
                Value::Float(value) => families::untyped(all, newest.at, *value),
                Value::Histogram(h) => families::native(all, newest.at, h),
            });
            let more = writer.held_bytes().saturating_sub(held);
            budget.charge_memory(more)?;
            held += more;
        }
        let (length, body) = writer.finish();
        writing.bytes(&length)?;
        writing.bytes(&body)?;
        budget.release_memory(held);
    }
    writing.end()
}
