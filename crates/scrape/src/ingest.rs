//! From a body to a committed batch: parse, find the series, append, mark what vanished, report.

mod created;
mod families;
mod lines;
mod pending;
mod sample;
mod stream;

use crate::{
    body::{Body, Exposition},
    cache::{EntryId, Seen, SeriesCache, Times},
    fetch::FetchError,
    metadata::{Families, TargetMetadata},
    report::ReportSeries,
    series_labels::{LabelsError, SeriesLabels},
    status::{Health, ScrapeCounters},
    target::Target,
};
use families::FamiliesError;
use pending::Pending;
use sample::Sample;
use skopos_exposition::{ParseError, Series};
use skopos_model::{DurationMs, SeriesRef, TimestampMs, stale_nan};
use skopos_storage::{AppendError, Appendable, Appender, Committed, SeriesBound, SeriesLimit, Value};
use std::{borrow::Cow, collections::HashSet, sync::Arc, time::Duration};
use stream::Stream;
pub use stream::StreamError;

/// Samples may claim to be this much newer than the scrape; beyond it the target's clock is wrong.
const FUTURE_TOLERANCE: DurationMs = DurationMs::from_secs(600);
/// Series that one target may have in storage, those that it no longer shows among them, where neither flag
/// nor job says otherwise.
pub const DEFAULT_MAX_SERIES: u32 = 1_000_000;
/// How the bound is called where an operator sets it.
const MAX_SERIES_FLAG: &str = "scrape.max-series-per-target";
const MAX_SERIES_OF_JOB: &str = "max_series (of the job)";
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

/// What of a metric's metadata the labels of its series have (`--enable-feature=type-and-unit-labels`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MetadataLabels {
    /// Nothing.
    #[default]
    None,
    /// `__type__`, unless it is unknown, and `__unit__`, if there is one.
    TypeAndUnit,
}

/// What becomes of the time since when something has been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StartTimes {
    /// Nothing.
    #[default]
    PassedOver,
    /// A sample of zero is stored for it, where its series has none since
    /// (`--enable-feature=created-timestamp-zero-ingestion`).
    AsZeros,
}

/// What one target's scrapes leave behind for the next.
pub struct Ingest {
    labels: SeriesLabels,
    start_times: StartTimes,
    cache: SeriesCache,
    /// Series of a predecessor that had other names for them; they end if the next scrape lacks them.
    inherited: Vec<SeriesRef>,
    report_series: ReportSeries,
    counters: Arc<ScrapeCounters>,
    metadata: Arc<TargetMetadata>,
    /// Charged for what the target makes.
    series_limit: Arc<SeriesLimit>,
    /// Whether it was charged for what it made before a restart.
    charged_kept: bool,
    columns: Columns,
    /// Lines of the scrape under way whose series storage did not have.
    made: Vec<EntryId>,
    /// Of the last body.
    exposition: Option<Exposition>,
    /// What has come of a body that comes window by window.
    stream: Option<Stream>,
    /// When the last body that was stored was fetched.
    stored_at: Option<TimestampMs>,
}

/// Samples at the scrape's own time, gathered to be appended at once.
#[derive(Default)]
struct Columns {
    ids: Vec<EntryId>,
    series: Vec<SeriesRef>,
    values: Vec<f64>,
    refused: Vec<(usize, AppendError)>,
}

/// How far a body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Whole,
    /// It has to be read once more: series that were known have other labels, and end.
    OtherLabels,
}

/// What a body came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Samples that the body has, up to its first error.
    pub(crate) scraped: usize,
    /// Series that the last successful scrape did not have.
    pub(crate) series_added: usize,
    /// Samples that rules drop.
    dropped: usize,
    /// How long it is, decompressed; -1 where it is longer than it may be.
    pub(crate) body_bytes: i64,
    refused: usize,
    first_refusal: Option<String>,
}

/// Why one sample was not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    ByStorage(#[from] AppendError),
    #[error(transparent)]
    ByLabels(LabelsError),
}

/// Why nothing of a body is stored.
#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(transparent)]
    Families(#[from] FamiliesError),
    #[error(transparent)]
    Labels(LabelsError),
    #[error(
        "native_histogram_bucket_limit exceeded: {series} has {buckets} buckets at the coarsest resolution, \
         the limit is {max}"
    )]
    Buckets { series: String, buckets: usize, max: u64 },
    #[error(
        "sample_limit exceeded: there are {samples} samples behind metric_relabel_configs, the limit is {max}"
    )]
    Samples { samples: usize, max: u64 },
}

impl BodyError {
    /// Counts it, if it is of a limit.
    fn count(&self, counters: &ScrapeCounters) {
        let counter = match self {
            Self::Samples { .. } => &counters.beyond_samples,
            Self::Buckets { .. } => &counters.beyond_buckets,
            Self::Labels(LabelsError::Limit { .. }) => &counters.beyond_labels,
            Self::Parse(_) | Self::Families(_) | Self::Labels(_) => return,
        };
        ScrapeCounters::add(counter, 1);
    }
}

impl Tally {
    /// Samples that no rule drops.
    pub(crate) fn kept(&self) -> usize {
        self.scraped - self.dropped
    }

    fn refuse(&mut self, counters: &ScrapeCounters, line: &[u8], reason: impl Into<Refusal>) {
        let reason = reason.into();
        let counter = match reason {
            Refusal::ByStorage(AppendError::Duplicate { .. }) => &counters.duplicates,
            Refusal::ByStorage(AppendError::OutOfOrder { .. } | AppendError::TooOld { .. }) => {
                &counters.out_of_order
            }
            Refusal::ByStorage(AppendError::OutOfBounds { .. }) => &counters.out_of_bounds,
            Refusal::ByStorage(AppendError::Limit { limit: MAX_SERIES_FLAG | MAX_SERIES_OF_JOB, .. }) => {
                &counters.beyond_max_series
            }
            _ => &counters.refused,
        };
        ScrapeCounters::add(counter, 1);
        self.refused += 1;
        if self.first_refusal.is_none() {
            let line = excerpt(line);
            self.first_refusal = Some(match reason {
                // Labels may be long, and what to mend is the limit.
                Refusal::ByStorage(AppendError::Limit { .. }) => format!("{reason}: {line}"),
                reason => format!("{line}: {reason}"),
            });
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
            labels: SeriesLabels::new(target.labels.clone(), target.reading.clone()),
            start_times: StartTimes::PassedOver,
            cache: SeriesCache::default(),
            inherited: Vec::new(),
            report_series: ReportSeries::new(target),
            counters,
            metadata: Arc::default(),
            series_limit: SeriesLimit::new(MAX_SERIES_FLAG, DEFAULT_MAX_SERIES),
            charged_kept: false,
            columns: Columns::default(),
            made: Vec::new(),
            exposition: None,
            stream: None,
            stored_at: None,
        }
    }

    /// The state of a target that takes the place of another one with the same labels: what that one had
    /// goes on, or ends with the first scrape that does not have it.
    pub fn replacing(target: &Target, mut before: Self) -> Self {
        before.abandon_stream();
        if !before.labels.reading().makes_the_same_series_as(&target.reading) {
            // The same text may be of another series now.
            before.inherited.extend(before.cache.present());
            before.cache = SeriesCache::default();
        }
        before.labels.set_reading(target.reading.clone());
        before.report_series.replaced_by(target);
        before
    }

    /// What the target says of its metrics goes there.
    pub fn with_metadata(self, metadata: Arc<TargetMetadata>) -> Self {
        Self { metadata, ..self }
    }

    /// What of the metadata is in the labels.
    pub fn with_metadata_labels(mut self, metadata_labels: MetadataLabels) -> Self {
        self.labels.set_metadata_labels(metadata_labels);
        self
    }

    /// What becomes of the time since when something has been counted.
    pub fn with_start_times(self, start_times: StartTimes) -> Self {
        Self { start_times, ..self }
    }

    /// Bounds the series that the target may have: as its job says, or else so many; zero is no bound.
    pub fn with_max_series(self, target: &Target, otherwise: u32) -> Self {
        let (name, max) = match target.max_series {
            Some(max) => (MAX_SERIES_OF_JOB, max),
            None => (MAX_SERIES_FLAG, otherwise),
        };
        let max = if max == 0 { u32::MAX } else { max };
        self.series_limit.set_bound(SeriesBound { name, max });
        self
    }

    /// How many series are remembered from one scrape to the next.
    pub fn remembered_series(&self) -> usize {
        self.cache.len()
    }

    /// Stores what the target sent; what is left of it, where it came window by window. A body with an error
    /// in it is not stored at all.
    pub fn body(&mut self, storage: &dyn Appendable, at: TimestampMs, took: Duration, body: &Body) -> Report {
        let stream = self.stream.take();
        if stream.is_none() {
            self.cache.begin();
        }
        if !std::mem::replace(&mut self.charged_kept, true) {
            storage.charge_kept(&self.series_limit, self.report_series.all_but());
        }
        let mut appender = storage.appender_within(&self.series_limit);
        let counted = || Tally { body_bytes: body.bytes.len() as i64, ..Tally::default() };
        let mut tally = counted();
        let metadata = Arc::clone(&self.metadata);
        let of_stream = stream.map(|s| self.end_stream(appender.as_mut(), s, &body.bytes, &mut tally));
        let parsed = of_stream.unwrap_or_else(|| {
            metadata.update(|said| {
                let read = self.append_all(appender.as_mut(), at, body, (said, &mut tally))?;
                if read == Read::OtherLabels {
                    // Nothing of the batch stays: its samples were appended to the series that end.
                    appender = storage.appender_within(&self.series_limit);
                    tally = counted();
                    self.cache.begin();
                    said.begin_again();
                    self.append_all(appender.as_mut(), at, body, (said, &mut tally))?;
                }
                Ok(())
            })
        });
        let (health, error) = match parsed {
            Ok(()) => {
                if tally.body_bytes > 0 {
                    self.cache.succeed();
                }
                (Health::Up, tally.remark())
            }
            Err(e) => {
                e.count(&self.counters);
                // Nothing of a broken body is kept, so its batch begins anew.
                drop(appender);
                appender = storage.appender();
                self.see_nothing();
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
        error: &FetchError,
    ) -> Report {
        let report = Report { health: Health::Down, error: error.to_string() };
        if let Some(stream) = self.stream.take() {
            self.give_up_stream();
            if let (tally, Some(e)) = stream.into_failure() {
                e.count(&self.counters);
                return self.finish(storage.appender(), at, took, &tally, report);
            }
        } else {
            self.cache.begin();
        }
        let is_too_long = matches!(error, FetchError::TooLong { .. });
        ScrapeCounters::add(&self.counters.beyond_body_size, u64::from(is_too_long));
        let body_bytes = if is_too_long { -1 } else { 0 };
        let tally = Tally { body_bytes, ..Tally::default() };
        self.finish(storage.appender(), at, took, &tally, report)
    }

    /// Marks all series of the target as ended.
    pub fn target_gone(&mut self, storage: &dyn Appendable, at: TimestampMs) {
        self.abandon_stream();
        self.cache.begin();
        let mut appender = storage.appender();
        self.mark_vanished(appender.as_mut(), at);
        self.report_series.mark_stale(appender.as_mut(), at);
        if let Err(error) = appender.commit() {
            tracing::warn!(%error, "series of a removed target were not marked as ended");
        }
    }

    /// Undoes what has been found in a body of which nothing is stored.
    fn see_nothing(&mut self) {
        self.columns = Columns::default();
        // They name entries that are forgotten now.
        self.made = Vec::new();
        self.cache.see_nothing();
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
        appender.charge_nobody();
        self.report_series.append(appender.as_mut(), at, took, tally, report.health);
        match appender.commit() {
            Ok(Committed { samples, .. }) => {
                ScrapeCounters::add(&self.counters.samples, samples as u64);
                self.inherited.clear();
            }
            Err(e) => {
                ScrapeCounters::add(&self.counters.commit_failures, 1);
                self.metadata.tell_again();
                self.cache.keep_vanished();
                report = Report { health: Health::Down, error: e.to_string() };
            }
        }
        self.cache.end();
        report
    }

    fn append_all(
        &mut self,
        appender: &mut dyn Appender,
        at: TimestampMs,
        body: &Body,
        (said, tally): (&mut Families, &mut Tally),
    ) -> Result<Read, BodyError> {
        let same_format = self.begin_reading(body.exposition, said);
        let (mut pending, mut fresh) = (Vec::new(), Fresh::default());
        let mut batch =
            Batch { appender: Some(&mut *appender), at, pending: &mut pending, fresh: &mut fresh, tally };
        match body.exposition {
            // As in Prometheus, nothing is a page of any format.
            _ if body.bytes.is_empty() => {}
            Exposition::Lines(format) => self.lines(&mut batch, (format, same_format), body, said)?,
            Exposition::Families => self.families(&mut batch, body, said)?,
        }
        if self.has_other_labels(said) {
            self.inherited.extend(self.cache.before());
            self.cache = SeriesCache::default();
            said.settle();
            return Ok(Read::OtherLabels);
        }
        said.settle();
        self.store(appender, at, pending, said, tally).map(|()| Read::Whole)
    }

    /// Begins to read a body; whether it is in the same format as the one before.
    fn begin_reading(&mut self, exposition: Exposition, said: &mut Families) -> bool {
        self.columns = Columns::of(self.cache.expected_lines());
        said.begin(exposition);
        // Texts are compared only with those of the same format: what may follow them differs.
        self.exposition.replace(exposition) == Some(exposition)
    }

    /// Appends what was found in a body without an error.
    fn store(
        &mut self,
        appender: &mut dyn Appender,
        at: TimestampMs,
        pending: Vec<Pending>,
        said: &mut Families,
        tally: &mut Tally,
    ) -> Result<(), BodyError> {
        self.append_all_pending(appender, pending, said, tally)?;
        self.append_columns(appender, at, said, tally)?;
        self.say_metadata(appender, said);
        Ok(())
    }

    /// Whether series that are known have other labels now, as their type or unit is another one.
    fn has_other_labels(&self, said: &Families) -> bool {
        let metrics = self.cache.stored().filter_map(|text| std::str::from_utf8(metric_of(text)).ok());
        self.labels.metadata_labels() == MetadataLabels::TypeAndUnit && said.has_retyped(metrics)
    }

    /// Tells storage what the metrics are: of all series when something of it is new, else of new series.
    fn say_metadata(&mut self, appender: &mut dyn Appender, said: &mut Families) {
        // Their memory is given back.
        let made = std::mem::take(&mut self.made);
        let lines = if said.take_news() { self.cache.lines() } else { &made };
        let mut before: &[u8] = &[];
        for id in lines {
            let metric = metric_of(self.cache.text(*id));
            // The lines of a metric stand together.
            if metric != before
                && let Some(series) = self.cache.series(*id)
            {
                before = metric;
                let metadata = std::str::from_utf8(metric).ok().and_then(|metric| said.of_metric(metric));
                if let Some(metadata) = metadata {
                    appender.metadata(series, metadata);
                }
            }
        }
    }

    fn sample(&mut self, batch: &mut Batch<'_>, sample: &Sample<'_>) {
        let Batch { at, fresh, tally, .. } = batch;
        let (at, reading) = (*at, self.labels.reading());
        let (tracked, drops) = (reading.track_staleness, !reading.rules.is_empty());
        let own_time = sample.timestamp.filter(|_| reading.honor_timestamps);
        let timestamp = own_time.unwrap_or(at);
        let text = sample.text.as_bytes();
        if timestamp > at.plus(FUTURE_TOLERANCE) {
            let max = at.plus(FUTURE_TOLERANCE);
            let error = AppendError::OutOfBounds { timestamp, min: TimestampMs::MIN, max };
            tally.refuse(&self.counters, text, error);
            return;
        }
        let found = self.cache.find(text);
        let Some(id) = found.or_else(|| self.new_series(sample.text, fresh, tally)) else { return };
        let seen = self.cache.see(id);
        let entry = self.cache.entry(id);
        if entry.is_dropped() {
            tally.dropped += 1;
            return;
        }
        // One sample at the scrape's time is enough for the series to end where it vanishes.
        let own = own_time.is_some() && !tracked && (seen != Seen::Twice || entry.own_timestamps());
        entry.set_times(if own { Times::Own } else { Times::OfScrape });
        let series = entry.series;
        tally.series_added += usize::from(seen == Seen::Back && series.is_some());
        let twice = own_time.is_none() && seen == Seen::Twice;
        let refused = if twice && (series.is_some() || !drops) {
            Some(AppendError::Duplicate { timestamp })
        } else if seen == Seen::Twice {
            fresh.take_repeated().err()
        } else {
            None
        };
        if let Some(error) = refused {
            tally.refuse(&self.counters, text, error);
            return;
        }
        let start = sample.start.filter(|s| self.start_times == StartTimes::AsZeros && *s < timestamp);
        // A known series had samples in the scrape before.
        let may_begin = |start: &TimestampMs| series.is_none() || self.stored_at.is_none_or(|at| *start > at);
        let start = start.filter(may_begin);
        if let (Some(series), Value::Float(value)) = (series, sample.value)
            && own_time.is_none()
            && start.is_none()
            && sample.has_no_exemplars()
        {
            self.columns.push(id, series, value);
        } else {
            self.apart(batch, sample, &Place { id, series, timestamp, start, twice });
        }
    }

    /// A sample that is not gathered with others: storage does not have its series, or it says more than a
    /// value.
    #[inline(never)]
    fn apart(&self, batch: &mut Batch<'_>, sample: &Sample<'_>, place: &Place) {
        let Place { id, series, timestamp, start, twice } = *place;
        let waiting = |forgotten| {
            let mut waiting = Pending::of(id, timestamp, start, sample);
            (waiting.forgotten, waiting.twice) = (forgotten, twice);
            waiting
        };
        let (Some(series), Some(appender)) = (series, &mut batch.appender) else {
            batch.pending.push(waiting(false));
            return;
        };
        let with = (start, &*sample.exemplars());
        match sample::append_known(*appender, series, (timestamp, sample.value), with) {
            Ok(_) => {}
            Err(AppendError::UnknownRef(_)) => batch.pending.push(waiting(true)),
            Err(e) => batch.tally.refuse(&self.counters, sample.text.as_bytes(), e),
        }
    }

    /// A place for a series that nobody knew; none where there may be no more of them.
    #[cold]
    fn new_series(&mut self, text: &str, fresh: &mut Fresh, tally: &mut Tally) -> Option<EntryId> {
        // What waits has no place for what rules drop: there may be very many such series.
        if fresh.bound.is_some() && self.is_dropped(text) {
            if fresh.take_dropped().is_err() {
                tally.dropped += 1;
                return None;
            }
            let id = self.cache.insert(text.as_bytes());
            self.cache.entry(id).set_dropped();
            return Some(id);
        }
        match fresh.take() {
            Ok(()) => Some(self.cache.insert(text.as_bytes())),
            Err(beyond) => {
                tally.refuse(&self.counters, text.as_bytes(), beyond);
                None
            }
        }
    }

    /// Whether rules drop a series.
    fn is_dropped(&mut self, text: &str) -> bool {
        let may_be = !self.labels.reading().rules.is_empty();
        may_be && self.labels.of(Series::again(text), || None).is_ok_and(|labels| labels.is_none())
    }

    fn append_columns(
        &mut self,
        appender: &mut dyn Appender,
        at: TimestampMs,
        said: &Families,
        tally: &mut Tally,
    ) -> Result<(), BodyError> {
        // Their memory is given back: all targets' columns together would be a part of what a series takes.
        let mut columns = std::mem::take(&mut self.columns);
        appender.append_floats(at, &columns.series, &columns.values, &mut columns.refused);
        for (i, error) in columns.refused.drain(..) {
            if matches!(error, AppendError::UnknownRef(_)) {
                // Storage has forgotten the series meanwhile: it is made again from its text.
                let pending = Pending::forgotten(columns.ids[i], at, columns.values[i]);
                self.append_pending(appender, &pending, said, tally)?;
            } else {
                tally.refuse(&self.counters, self.cache.text(columns.ids[i]), error);
            }
        }
        Ok(())
    }

    /// Series that the scrape before had and this one has not end here.
    fn mark_vanished(&mut self, appender: &mut dyn Appender, at: TimestampMs) {
        let mut vanished: Vec<SeriesRef> = self.cache.vanished().collect();
        if !self.inherited.is_empty() {
            let present: HashSet<SeriesRef> = self.cache.present().collect();
            vanished.extend(self.inherited.iter().filter(|series| !present.contains(series)));
        }
        let markers = vec![stale_nan(); vanished.len()];
        // A marker that is refused concerns a series that has a later sample: nothing ends there.
        appender.append_floats(at, &vanished, &markers, &mut Vec::new());
    }
}

/// Where a sample belongs, and when.
struct Place {
    id: EntryId,
    /// None where storage does not have it.
    series: Option<SeriesRef>,
    timestamp: TimestampMs,
    /// Since when it has been counted, where that is not known yet.
    start: Option<TimestampMs>,
    /// The body has one of it already.
    twice: bool,
}

/// What the samples of a body go into.
struct Batch<'b> {
    /// None where all has to wait until the body has come whole.
    appender: Option<&'b mut dyn Appender>,
    at: TimestampMs,
    pending: &'b mut Vec<Pending>,
    fresh: &'b mut Fresh,
    tally: &'b mut Tally,
}

/// Series that nobody knew, and samples of series that were there already, in a body.
#[derive(Default)]
struct Fresh {
    kept: usize,
    /// Those that rules drop, as far as they are remembered.
    dropped: usize,
    /// Samples of series that have one in the body already.
    repeated: usize,
    /// Where more of them than the target may have in storage are refused at once, as those that wait take
    /// memory.
    bound: Option<SeriesBound>,
}

impl Fresh {
    fn within(bound: SeriesBound) -> Self {
        Self { bound: Some(bound), ..Self::default() }
    }

    fn take(&mut self) -> Result<(), AppendError> {
        take_one(&mut self.kept, self.bound)
    }

    fn take_repeated(&mut self) -> Result<(), AppendError> {
        take_one(&mut self.repeated, self.bound.map(|_| MAX_REPEATED))
    }

    /// A place for one that rules drop: it takes none of those that they keep.
    fn take_dropped(&mut self) -> Result<(), AppendError> {
        take_one(&mut self.dropped, self.bound)
    }
}

/// How many samples a body that waits to be stored may have of series that it has already, whatever their
/// times. Others wait one a series, and are little beside what the series take.
const MAX_REPEATED: SeriesBound =
    SeriesBound { name: "samples of series that a long body has already", max: 500_000 };

fn take_one(count: &mut usize, bound: Option<SeriesBound>) -> Result<(), AppendError> {
    match bound {
        Some(SeriesBound { name, max }) if *count >= max as usize => {
            Err(AppendError::Limit { limit: name, max: u64::from(max) })
        }
        _ => {
            *count += 1;
            Ok(())
        }
    }
}

/// The name of the metric that a series' text begins with; as `{"name"` where it is no classic one.
fn metric_of(text: &[u8]) -> &[u8] {
    if let Some(quoted) = text.strip_prefix(b"{\"") {
        return quoted.split(|b| *b == b'"').next().unwrap_or_default();
    }
    let end = text.iter().position(|b| matches!(b, b'{' | b' ' | b'\t'));
    &text[..end.unwrap_or(text.len())]
}

/// The beginning of a series' text: enough to find it, however long it is.
fn excerpt(text: &[u8]) -> Cow<'_, str> {
    match text.get(..EXCERPT_BYTES) {
        Some(beginning) => String::from_utf8_lossy(beginning) + "…",
        None => String::from_utf8_lossy(text),
    }
}

impl Columns {
    /// With room for so many.
    fn of(samples: usize) -> Self {
        Self {
            ids: Vec::with_capacity(samples),
            series: Vec::with_capacity(samples),
            values: Vec::with_capacity(samples),
            refused: Vec::new(),
        }
    }

    /// What the samples take.
    fn bytes(&self) -> usize {
        let each = size_of::<EntryId>() + size_of::<SeriesRef>() + size_of::<f64>();
        self.ids.len() * each
    }

    fn push(&mut self, id: EntryId, series: SeriesRef, value: f64) {
        self.ids.push(id);
        self.series.push(series);
        self.values.push(value);
    }
}
