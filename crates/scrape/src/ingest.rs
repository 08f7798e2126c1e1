//! From a body to a committed batch: parse, find the series, append, mark what vanished, report.

use crate::{
    cache::{EntryId, Seen, SeriesCache, Times},
    fetch::Body,
    metadata::{Families, TargetMetadata},
    report::ReportSeries,
    series_labels::{LabelsError, SeriesLabels},
    status::{Health, ScrapeCounters},
    target::Target,
};
use skopos_exposition::{Entry, Format, ParseError, Parser, RawExemplar, Sample, Series};
use skopos_model::{DurationMs, Labels, Metadata, SeriesRef, TimestampMs, stale_nan};
use skopos_storage::{
    Append, AppendError, Appendable, Appender, Committed, SeriesBound, SeriesId, SeriesLimit,
};
use std::{borrow::Cow, collections::HashSet, sync::Arc, time::Duration};

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

/// What one target's scrapes leave behind for the next.
pub struct Ingest {
    labels: SeriesLabels,
    metadata_labels: MetadataLabels,
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

/// A sample whose series storage does not have. It is made only when the whole body has been read without
/// an error: a target that sends ever new series and a broken line must not fill the storage with them.
struct Pending<'a> {
    id: EntryId,
    series: Series<'a>,
    timestamp: TimestampMs,
    value: f64,
    exemplar: Option<RawExemplar<'a>>,
    /// Storage had it and has forgotten it.
    forgotten: bool,
    /// The body has one of it already; nobody knows yet whether rules drop both.
    twice: bool,
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
    Labels(LabelsError),
    #[error(
        "sample_limit exceeded: there are {samples} samples behind metric_relabel_configs, the limit is {max}"
    )]
    Samples { samples: usize, max: u64 },
}

/// What became of a sample whose series storage did not have.
enum Appended {
    Series(SeriesRef),
    /// Rules drop it.
    Dropped,
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
            metadata_labels: MetadataLabels::None,
            cache: SeriesCache::default(),
            inherited: Vec::new(),
            report_series: ReportSeries::new(&target.labels),
            counters,
            metadata: Arc::default(),
            series_limit: SeriesLimit::new(MAX_SERIES_FLAG, DEFAULT_MAX_SERIES),
            charged_kept: false,
            columns: Columns::default(),
            made: Vec::new(),
            format: None,
        }
    }

    /// The state of a target that takes the place of another one with the same labels: what that one had
    /// goes on, or ends with the first scrape that does not have it.
    pub fn replacing(target: &Target, mut before: Self) -> Self {
        if !before.labels.reading().makes_the_same_series_as(&target.reading) {
            // The same text may be of another series now.
            before.inherited.extend(before.cache.present());
            before.cache = SeriesCache::default();
        }
        before.labels.set_reading(target.reading.clone());
        before
    }

    /// What the target says of its metrics goes there.
    pub fn with_metadata(self, metadata: Arc<TargetMetadata>) -> Self {
        Self { metadata, ..self }
    }

    /// What of the metadata is in the labels.
    pub fn with_metadata_labels(self, metadata_labels: MetadataLabels) -> Self {
        Self { metadata_labels, ..self }
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

    /// Stores what the target sent. A body with an error in it is not stored at all.
    pub fn body(&mut self, storage: &dyn Appendable, at: TimestampMs, took: Duration, body: &Body) -> Report {
        self.cache.begin();
        if !std::mem::replace(&mut self.charged_kept, true) {
            storage.charge_kept(&self.series_limit, self.report_series.all_but());
        }
        let mut appender = storage.appender_within(&self.series_limit);
        let mut tally = Tally::default();
        let metadata = Arc::clone(&self.metadata);
        let parsed = metadata.update(|said| {
            let read = self.append_all(appender.as_mut(), at, body, (said, &mut tally))?;
            if read == Read::OtherLabels {
                // Nothing of the batch stays: its samples were appended to the series that end.
                appender = storage.appender_within(&self.series_limit);
                tally = Tally::default();
                self.cache.begin();
                said.begin_again();
                self.append_all(appender.as_mut(), at, body, (said, &mut tally))?;
            }
            Ok::<_, BodyError>(())
        });
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
        self.columns = Columns::of(self.cache.expected_lines());
        let mut pending = Vec::new();
        let mut parser = Parser::new(body.format, &body.bytes);
        // Texts are compared only with those of the same format: what may follow them differs.
        let same_format = self.format.replace(body.format) == Some(body.format);
        said.begin(body.format);
        loop {
            while parser.is_at_comment() && said.skip_known(&mut parser) {}
            let expected = if same_format { self.cache.expected() } else { &[] };
            let Some(entry) = parser.next_expecting(expected) else { break };
            match entry? {
                Entry::Sample(sample) => {
                    tally.scraped += 1;
                    self.sample(appender, at, &sample, &mut pending, tally);
                }
                other => said.entry(&other),
            }
        }
        if self.has_other_labels(said) {
            self.inherited.extend(self.cache.before());
            self.cache = SeriesCache::default();
            said.settle();
            return Ok(Read::OtherLabels);
        }
        said.settle();
        self.append_all_pending(appender, &pending, said, tally)?;
        self.append_columns(appender, at, said, tally)?;
        self.say_metadata(appender, said);
        Ok(Read::Whole)
    }

    /// Whether series that are known have other labels now, as their type or unit is another one.
    fn has_other_labels(&self, said: &Families) -> bool {
        let metrics = self.cache.stored().filter_map(|text| std::str::from_utf8(metric_of(text)).ok());
        self.metadata_labels == MetadataLabels::TypeAndUnit && said.has_retyped(metrics)
    }

    /// What of its metadata is in the labels of the series that the target calls by this text.
    fn metadata_of<'a>(&self, said: &'a Families, text: &[u8]) -> Option<&'a Metadata> {
        match self.metadata_labels {
            MetadataLabels::None => None,
            MetadataLabels::TypeAndUnit => said.of_metric(std::str::from_utf8(metric_of(text)).ok()?),
        }
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

    fn sample<'a>(
        &mut self,
        appender: &mut dyn Appender,
        at: TimestampMs,
        sample: &Sample<'a>,
        pending: &mut Vec<Pending<'a>>,
        tally: &mut Tally,
    ) {
        let own_time = sample.timestamp.filter(|_| self.labels.reading().honor_timestamps);
        let timestamp = own_time.unwrap_or(at);
        if timestamp > at.plus(FUTURE_TOLERANCE) {
            let max = at.plus(FUTURE_TOLERANCE);
            let error = AppendError::OutOfBounds { timestamp, min: TimestampMs::MIN, max };
            tally.refuse(&self.counters, sample.series.as_bytes(), error);
            return;
        }
        let text = sample.series.as_bytes();
        let id = self.cache.find(text).unwrap_or_else(|| self.cache.insert(text));
        let seen = self.cache.see(id);
        let entry = self.cache.entry(id);
        if entry.is_dropped() {
            tally.dropped += 1;
            return;
        }
        // One sample at the scrape's time is enough for the series to end where it vanishes.
        let own = own_time.is_some() && (seen != Seen::Twice || entry.own_timestamps());
        entry.set_times(if own { Times::Own } else { Times::OfScrape });
        let series = entry.series;
        tally.series_added += usize::from(seen == Seen::Back && series.is_some());
        let twice = own_time.is_none() && seen == Seen::Twice;
        if twice && (series.is_some() || self.labels.reading().rules.is_empty()) {
            tally.refuse(&self.counters, text, AppendError::Duplicate { timestamp });
            return;
        }
        let Sample { value, exemplar, .. } = *sample;
        let mut wait = |forgotten| {
            pending.push(Pending { id, series: sample.series, timestamp, value, exemplar, forgotten, twice });
        };
        match series {
            None => wait(false),
            Some(series) if own_time.is_none() && exemplar.is_none() => {
                self.columns.push(id, series, value);
            }
            Some(series) => match append_one(appender, SeriesId::Ref(series), (timestamp, value), exemplar) {
                Ok(_) => {}
                Err(AppendError::UnknownRef(_)) => wait(true),
                Err(e) => tally.refuse(&self.counters, text, e),
            },
        }
    }

    /// Makes the series of samples that storage does not have; not more than the target may have samples.
    fn append_all_pending(
        &mut self,
        appender: &mut dyn Appender,
        pending: &[Pending<'_>],
        said: &Families,
        tally: &mut Tally,
    ) -> Result<(), BodyError> {
        let max = match self.labels.reading().limits.samples {
            0 => u64::MAX,
            max => max,
        };
        let kept = |left: usize, tally: &Tally| (tally.kept() - left) as u64;
        for (sample, left) in pending.iter().zip((0..pending.len()).rev()) {
            // What is beyond the limit is counted, and makes no series.
            if kept(left + 1, tally) < max {
                self.append_pending(appender, sample, said, tally)?;
            } else if self.labels_of(sample.series, said).is_ok_and(|labels| labels.is_none()) {
                tally.dropped += 1;
            }
        }
        match tally.kept() {
            samples if samples as u64 > max => Err(BodyError::Samples { samples, max }),
            _ => Ok(()),
        }
    }

    /// The labels of a series; none where rules drop it.
    fn labels_of(&mut self, series: Series<'_>, said: &Families) -> Result<Option<Labels>, LabelsError> {
        let metadata = self.metadata_of(said, series.as_bytes());
        self.labels.of(series, metadata)
    }

    fn append_pending(
        &mut self,
        appender: &mut dyn Appender,
        sample: &Pending<'_>,
        said: &Families,
        tally: &mut Tally,
    ) -> Result<(), BodyError> {
        let Pending { id, series, timestamp, value, exemplar, forgotten, twice } = *sample;
        if self.cache.entry(id).is_dropped() {
            tally.dropped += 1;
            return Ok(());
        } else if twice {
            tally.refuse(&self.counters, series.as_bytes(), AppendError::Duplicate { timestamp });
            return Ok(());
        }
        match self.append_by_text(appender, (series, said), (timestamp, value), exemplar) {
            Ok(Appended::Series(made)) => {
                self.made.push(id);
                let before = self.cache.entry(id).series.replace(made);
                tally.series_added += usize::from(before.is_none() && !forgotten);
            }
            Ok(Appended::Dropped) => {
                self.cache.entry(id).set_dropped();
                tally.dropped += 1;
            }
            Err(Refusal::ByLabels(e @ (LabelsError::NoName { .. } | LabelsError::Limit { .. }))) => {
                return Err(BodyError::Labels(e));
            }
            Err(e) => tally.refuse(&self.counters, series.as_bytes(), e),
        }
        Ok(())
    }

    /// Appends a sample to the series that the target calls by this text.
    fn append_by_text(
        &mut self,
        appender: &mut dyn Appender,
        (series, said): (Series<'_>, &Families),
        point: (TimestampMs, f64),
        exemplar: Option<RawExemplar<'_>>,
    ) -> Result<Appended, Refusal> {
        let Some(labels) = self.labels_of(series, said).map_err(Refusal::ByLabels)? else {
            return Ok(Appended::Dropped);
        };
        Ok(Appended::Series(append_one(appender, SeriesId::Labels(&labels), point, exemplar)?))
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
                self.append_anew(appender, columns.ids[i], (at, columns.values[i]), said, tally)?;
            } else {
                tally.refuse(&self.counters, self.cache.text(columns.ids[i]), error);
            }
        }
        Ok(())
    }

    /// Storage has forgotten the series meanwhile: it is made again from its text.
    fn append_anew(
        &mut self,
        appender: &mut dyn Appender,
        id: EntryId,
        point: (TimestampMs, f64),
        said: &Families,
        tally: &mut Tally,
    ) -> Result<(), BodyError> {
        // Only a sample can be parsed, so the text gets a value.
        let line = [self.cache.text(id), b" 0\n"].concat();
        let format = self.format.unwrap_or(Format::Text);
        let Some(Ok(Entry::Sample(sample))) = Parser::new(format, &line).next() else {
            unreachable!("a cached text was parsed before: {}", String::from_utf8_lossy(&line));
        };
        let (series, (timestamp, value)) = (sample.series, point);
        let (exemplar, forgotten, twice) = (None, true, false);
        let pending = Pending { id, series, timestamp, value, exemplar, forgotten, twice };
        self.append_pending(appender, &pending, said, tally)
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

fn append_one(
    appender: &mut dyn Appender,
    series: SeriesId<'_>,
    (timestamp, value): (TimestampMs, f64),
    exemplar: Option<RawExemplar<'_>>,
) -> Result<SeriesRef, AppendError> {
    let exemplar = exemplar.map(RawExemplar::decode);
    appender.append(&Append { exemplars: exemplar.as_slice(), ..Append::float(series, timestamp, value) })
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

    fn push(&mut self, id: EntryId, series: SeriesRef, value: f64) {
        self.ids.push(id);
        self.series.push(series);
        self.values.push(value);
    }
}
