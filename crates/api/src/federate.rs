//! `/federate`: the newest sample of each series that some selector picks, as a page to be scraped. Native
//! histograms are left out: the text formats have no room for them.

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
use skopos_exposition::{Format, TextWriter, WriteError};
use skopos_model::{DurationMs, Labels, Matcher, MetricType, TimestampMs, is_stale_nan, name::METRIC_NAME};
use skopos_promql::{
    Steps,
    queries::{Samples, Slice},
};
use skopos_storage::{QueryBudget, SelectRequest, SeriesBatch, SeriesColumns, Shard, TimeRange};
use std::{collections::BTreeMap, sync::Arc};

/// What the account takes an entry of the page for, in bytes, besides its labels and its name.
const ENTRY_BYTES: usize = 64;
/// So many selectors are shown of a page that is being made.
const SHOWN_MAX: usize = 100;

/// The newest sample of a series.
type Newest = (TimestampMs, f64);

/// The page. Errors are text, as in Prometheus.
pub(crate) async fn federate(Ready(parts): Ready, headers: HeaderMap, params: Params) -> Response {
    let format = Format::negotiate(headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or(""));
    let now = TimestampMs::new(parts.clock.wall_ms());
    let steps = Steps { start: now, end: now, step: DurationMs::ZERO };
    let text: Vec<&str> = params.all("match[]").take(SHOWN_MAX).collect();
    let tracked = parts.queries.asked(params.asked(&text.join(" or "), steps));
    let page =
        blocking::answer_tracked(parts, params, tracked, move |parts, params, tracked, budget, sink| {
            let sets = params.any_selectors(budget)?;
            tracked.enters(Slice::Evaluate);
            let range = TimeRange { min: now.minus(parts.engine.options().lookback_delta), max: now };
            let mut found = BTreeMap::new();
            // As in Prometheus, no condition picks nothing, and one that all series fulfil picks all of them.
            let mut selecting = sets.iter().filter(|matchers| !matchers.is_empty());
            let collected = selecting.try_for_each(|set| collect(parts, set, range, budget, &mut found));
            // Each sample is looked at once.
            let read = budget.samples_read();
            tracked.evaluated(Samples { queried: read, read });
            collected?;
            let mut external = parts.config.get().global.external_labels.clone();
            // Whoever scrapes this page must not call our address the instance of a series that has none.
            external.entry("instance".to_owned()).or_default();
            write(Writing::begin(parts, budget, sink, &[]), format, &found, &external)
        });
    match page.await {
        Ok(page) => ([(CONTENT_TYPE, format.content_type())], page).into_response(),
        Err(e) => e.into_text(),
    }
}

/// The newest samples of all series of one selector, by name and labels.
fn collect(
    parts: &Parts,
    matchers: &[Matcher],
    range: TimeRange,
    budget: &Arc<QueryBudget>,
    found: &mut BTreeMap<(String, Labels), Newest>,
) -> Result<(), ApiError> {
    let querier = parts.storage.querier(range)?;
    let request = SelectRequest { matchers, range, shard: Shard::WHOLE, budget: Arc::clone(budget) };
    let mut series = querier.select(&request)?;
    let mut batch = SeriesBatch::default();
    while series.next_batch(&mut batch)? {
        for series in batch.iter() {
            let name = series.labels.value(METRIC_NAME);
            if let Some(newest) = newest(&series)
                && !name.is_empty()
            {
                let bytes = ENTRY_BYTES + name.len() + series.labels.byte_len();
                budget.charge_memory(bytes as u64)?;
                found.insert((name.to_owned(), series.labels.clone()), newest);
            }
        }
        budget.release_samples(batch.sample_count() as u64);
    }
    Ok(())
}

/// None where the series has ended or its newest sample is a histogram.
fn newest(series: &SeriesColumns<'_>) -> Option<Newest> {
    let (at, value) = (*series.timestamps.last()?, *series.values.last()?);
    let is_histogram = series.histograms.iter().last().is_some_and(|h| h.sample + 1 == series.values.len());
    (!is_stale_nan(value) && !is_histogram).then_some((at, value))
}

fn write(
    mut writing: Writing<'_>,
    format: Format,
    found: &BTreeMap<(String, Labels), Newest>,
    external: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    let failed = |e: WriteError| ApiError::internal(e.to_string());
    let mut page = Vec::new();
    let mut writer = TextWriter::new(format, &mut page);
    let mut family = "";
    for ((name, labels), (at, value)) in found {
        if name != family {
            writer.family(name, MetricType::Unknown, "").map_err(failed)?;
            family = name;
        }
        let own = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
        let missing = external.iter().filter(|(name, _)| labels.get(name).is_none());
        let all: Vec<(&str, &str)> = own.chain(missing.map(|(n, v)| (n.as_str(), v.as_str()))).collect();
        writer.sample_at("", &all, *value, *at).map_err(failed)?;
        writing.bytes(&writer.take())?;
    }
    writer.finish();
    writing.bytes(&page)?;
    writing.end()
}
