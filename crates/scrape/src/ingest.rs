//! From a body to a committed batch: parse, find the series, append, mark what vanished, report.

use crate::{
    cache::{EntryId, Seen, SeriesCache},
    fetch::Body,
    relabel::SeriesLabels,
    report::ReportSeries,
    status::{Health, ScrapeCounters},
    target::Target,
};
use skopos_exposition::{Entry, Format, ParseError, Parser, Sample, Series};
use skopos_model::{DurationMs, SeriesRef, TimestampMs, stale_nan};
use skopos_storage::{Append, AppendError, Appendable, Appender, Committed, SeriesId};
use std::{borrow::Cow, sync::Arc, time::Duration};

/// Samples may claim to be this much newer than the scrape; beyond it the target's clock is wrong.
const FUTURE_TOLERANCE: DurationMs = DurationMs::from_secs(600);
/// How much of a series' text an error shows.
const EXCERPT_BYTES: usize = 200;

/// How a scrape ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Whether it succeeded.
    pub health: Health,
    /// What went wrong; may be set though the target is up, when a part was refused.
    pub error: String,
}

/// What one target's scrapes leave behind for the next.
pub struct Ingest {
    labels: SeriesLabels,
    honor_timestamps: bool,
    cache: SeriesCache,
    report_series: ReportSeries,
    counters: Arc<ScrapeCounters>,
    columns: Columns,
    /// Of the last body.
    format: Option<Format>,
}

/// Samples at the scrape's own time, gathered to be appended at once.
#[derive(Default)]
struct Columns {
    ids: Vec<EntryId>,
    series: Vec<SeriesRef>,
    values: Vec<f64>,
    refused: Vec<(usize, AppendError)>,
}

/// What a body came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Samples that the body has, up to its first error.
    pub(crate) scraped: usize,
    /// Series that the last successful scrape did not have.
    pub(crate) series_added: usize,
    refused: usize,
    first_refusal: Option<String>,
}

/// Why one sample was not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    ByStorage(#[from] AppendError),
    #[error("the label {0} stands twice; each may stand once")]
    LabelTwice(String),
}

impl Tally {
    fn refuse(&mut self, counters: &ScrapeCounters, line: &[u8], reason: impl Into<Refusal>) {
        let reason = reason.into();
        let counter = match reason {
            Refusal::ByStorage(AppendError::Duplicate { .. }) => &counters.duplicates,
            Refusal::ByStorage(AppendError::OutOfOrder { .. }) => &counters.out_of_order,
            Refusal::ByStorage(AppendError::OutOfBounds { .. }) => &counters.out_of_bounds,
            _ => &counters.refused,
        };
        ScrapeCounters::add(counter, 1);
        self.refused += 1;
        if self.first_refusal.is_none() {
            self.first_refusal = Some(format!("{}: {reason}", excerpt(line)));
        }
    }

    fn remark(&self) -> String {
        match &self.first_refusal {
            Some(first) => format!("{} samples were refused; the first: {first}", self.refused),
            None => String::new(),
        }
    }
}

impl Ingest {
    /// The state of a target that was not scraped yet.
    pub fn new(target: &Target, counters: Arc<ScrapeCounters>) -> Self {
        Self {
            labels: SeriesLabels::new(target.labels.clone(), target.reading.honor_labels),
            honor_timestamps: target.reading.honor_timestamps,
            cache: SeriesCache::default(),
            report_series: ReportSeries::new(&target.labels),
            counters,
            columns: Columns::default(),
            format: None,
        }
    }

    /// Stores what the target sent. A body with an error in it is not stored at all.
    pub fn body(&mut self, storage: &dyn Appendable, at: TimestampMs, took: Duration, body: &Body) -> Report {
        self.cache.begin();
        let mut appender = storage.appender();
        let mut tally = Tally::default();
        let parsed = self.append_all(appender.as_mut(), at, body, &mut tally);
        let (health, error) = match parsed {
            Ok(()) => {
                if !body.bytes.is_empty() {
                    self.cache.succeed();
                }
                (Health::Up, tally.remark())
            }
            Err(e) => {
                // Nothing of a broken body is kept, so its batch begins anew.
                drop(appender);
                appender = storage.appender();
                self.cache.see_nothing();
                (Health::Down, e.to_string())
            }
        };
        self.finish(appender, at, took, &tally, Report { health, error })
    }

    /// Stores that there was no body.
    pub fn failure(
        &mut self,
        storage: &dyn Appendable,
        at: TimestampMs,
        took: Duration,
        error: String,
    ) -> Report {
        self.cache.begin();
        let report = Report { health: Health::Down, error };
        self.finish(storage.appender(), at, took, &Tally::default(), report)
    }

    /// Marks all series of the target as ended.
    pub fn target_gone(&mut self, storage: &dyn Appendable, at: TimestampMs) {
        self.cache.begin();
        let mut appender = storage.appender();
        self.mark_vanished(appender.as_mut(), at);
        self.report_series.mark_stale(appender.as_mut(), at);
        if let Err(error) = appender.commit() {
            tracing::warn!(%error, "series of a removed target were not marked as ended");
        }
    }

    fn finish(
        &mut self,
        mut appender: Box<dyn Appender + '_>,
        at: TimestampMs,
        took: Duration,
        tally: &Tally,
        mut report: Report,
    ) -> Report {
        self.mark_vanished(appender.as_mut(), at);
        self.report_series.append(appender.as_mut(), at, took, tally, report.health);
        match appender.commit() {
            Ok(Committed { samples, .. }) => ScrapeCounters::add(&self.counters.samples, samples as u64),
            Err(e) => {
                ScrapeCounters::add(&self.counters.commit_failures, 1);
                self.cache.keep_vanished();
                report = Report { health: Health::Down, error: e.to_string() };
            }
        }
        self.cache.forget_old();
        report
    }

    fn append_all(
        &mut self,
        appender: &mut dyn Appender,
        at: TimestampMs,
        body: &Body,
        tally: &mut Tally,
    ) -> Result<(), ParseError> {
        self.columns.clear();
        let mut parser = Parser::new(body.format, &body.bytes);
        // Texts are compared only with those of the same format: what may follow them differs.
        let same_format = self.format.replace(body.format) == Some(body.format);
        loop {
            let expected = if same_format { self.cache.expected() } else { &[] };
            let Some(entry) = parser.next_expecting(expected) else { break };
            if let Entry::Sample(sample) = entry? {
                tally.scraped += 1;
                self.sample(appender, at, &sample, tally);
            }
        }
        self.append_columns(appender, at, tally);
        Ok(())
    }

    fn sample(
        &mut self,
        appender: &mut dyn Appender,
        at: TimestampMs,
        sample: &Sample<'_>,
        tally: &mut Tally,
    ) {
        let own_time = sample.timestamp.filter(|_| self.honor_timestamps);
        let timestamp = own_time.unwrap_or(at);
        if timestamp > at.plus(FUTURE_TOLERANCE) {
            let max = at.plus(FUTURE_TOLERANCE);
            let error = AppendError::OutOfBounds { timestamp, min: TimestampMs::MIN, max };
            tally.refuse(&self.counters, sample.series.as_bytes(), error);
            return;
        }
        let Some(id) = self.cache.find(sample.series.as_bytes()) else {
            self.new_series(appender, timestamp, sample, own_time.is_some(), tally);
            return;
        };
        let seen = self.cache.see(id);
        tally.series_added += usize::from(seen == Seen::Back);
        let entry = self.cache.entry(id);
        // One sample at the scrape's time is enough for the series to end where it vanishes.
        entry.own_timestamps = own_time.is_some() && (seen != Seen::Twice || entry.own_timestamps);
        let series = entry.series;
        if own_time.is_some() {
            let appended = appender.append(&Append::float(SeriesId::Ref(series), timestamp, sample.value));
            match appended {
                Ok(_) => {}
                Err(AppendError::UnknownRef(_)) => {
                    self.append_anew(appender, id, timestamp, sample.value, tally);
                }
                Err(e) => tally.refuse(&self.counters, sample.series.as_bytes(), e),
            }
        } else if seen == Seen::Twice {
            let error = AppendError::Duplicate { timestamp };
            tally.refuse(&self.counters, sample.series.as_bytes(), error);
        } else {
            self.columns.push(id, series, sample.value);
        }
    }

    fn new_series(
        &mut self,
        appender: &mut dyn Appender,
        timestamp: TimestampMs,
        sample: &Sample<'_>,
        own_time: bool,
        tally: &mut Tally,
    ) {
        match append_by_text(&mut self.labels, appender, sample.series, timestamp, sample.value) {
            Ok(series) => {
                let id = self.cache.insert(sample.series.as_bytes(), series);
                self.cache.see(id);
                self.cache.entry(id).own_timestamps = own_time;
                tally.series_added += 1;
            }
            Err(e) => tally.refuse(&self.counters, sample.series.as_bytes(), e),
        }
    }

    fn append_columns(&mut self, appender: &mut dyn Appender, at: TimestampMs, tally: &mut Tally) {
        let mut columns = std::mem::take(&mut self.columns);
        appender.append_floats(at, &columns.series, &columns.values, &mut columns.refused);
        for (i, error) in columns.refused.drain(..) {
            if matches!(error, AppendError::UnknownRef(_)) {
                self.append_anew(appender, columns.ids[i], at, columns.values[i], tally);
            } else {
                tally.refuse(&self.counters, self.cache.text(columns.ids[i]), error);
            }
        }
        self.columns = columns;
    }

    /// Storage has forgotten the series meanwhile: it is made again from its text.
    fn append_anew(
        &mut self,
        appender: &mut dyn Appender,
        id: EntryId,
        timestamp: TimestampMs,
        value: f64,
        tally: &mut Tally,
    ) {
        // Only a sample can be parsed, so the text gets a value.
        let line = [self.cache.text(id), b" 0\n"].concat();
        let format = self.format.unwrap_or(Format::Text);
        let Some(Ok(Entry::Sample(sample))) = Parser::new(format, &line).next() else {
            unreachable!("a cached text was parsed before: {}", String::from_utf8_lossy(&line));
        };
        match append_by_text(&mut self.labels, appender, sample.series, timestamp, value) {
            Ok(series) => self.cache.entry(id).series = series,
            Err(e) => tally.refuse(&self.counters, self.cache.text(id), e),
        }
    }

    /// Series that the scrape before had and this one has not end here.
    fn mark_vanished(&mut self, appender: &mut dyn Appender, at: TimestampMs) {
        let vanished: Vec<SeriesRef> = self.cache.vanished().collect();
        let markers = vec![stale_nan(); vanished.len()];
        // A marker that is refused concerns a series that has a later sample: nothing ends there.
        self.columns.refused.clear();
        appender.append_floats(at, &vanished, &markers, &mut self.columns.refused);
        self.columns.refused.clear();
    }
}

/// Appends a sample to the series that a target calls by this text.
fn append_by_text(
    labels: &mut SeriesLabels,
    appender: &mut dyn Appender,
    series: Series<'_>,
    timestamp: TimestampMs,
    value: f64,
) -> Result<SeriesRef, Refusal> {
    let labels = labels.of(series).map_err(|twice| Refusal::LabelTwice(twice.label))?;
    Ok(appender.append(&Append::float(SeriesId::Labels(&labels), timestamp, value))?)
}

/// The beginning of a series' text: enough to find it, however long it is.
fn excerpt(text: &[u8]) -> Cow<'_, str> {
    match text.get(..EXCERPT_BYTES) {
        Some(beginning) => String::from_utf8_lossy(beginning) + "…",
        None => String::from_utf8_lossy(text),
    }
}

impl Columns {
    fn clear(&mut self) {
        self.ids.clear();
        self.series.clear();
        self.values.clear();
        self.refused.clear();
    }

    fn push(&mut self, id: EntryId, series: SeriesRef, value: f64) {
        self.ids.push(id);
        self.series.push(series);
        self.values.push(value);
    }
}
