//! Bodies of text: Influx, Graphite, JSON lines, CSV and the text format of Prometheus, line by line into a
//! batch. A line that cannot be is refused and told, and those around it are taken.

use crate::{
    Compression, IntakeError, Written,
    batch::{Batch, Names, Place, Rest},
    cache::SeriesCache,
    csv::CsvFormat,
    intake::Intake,
    json,
    lines::{self, graphite, influx, one, part_at, place_of},
    stats::Protocol,
    unzip::{Packing, unzip},
};
use skopos_exposition::{Entry, Format, Parser};
use skopos_model::{LabelsBuilder, TimestampMs, name::METRIC_NAME};

/// Kinds of keys.
const INFLUX: u8 = 4;
const GRAPHITE: u8 = 5;
const JSON: u8 = 6;
const CSV: u8 = 7;
const EXPOSITION: u8 = 8;
/// Stands between the parts of a key, and in no text.
const PART: u8 = 0xff;
/// So much of a line is told when it is refused.
const EXCERPT_BYTES: usize = 100;

/// How a body is written.
#[derive(Clone, Debug, PartialEq)]
pub enum TextFormat {
    /// Lines of Influx, whose timestamps have this unit.
    Influx(Precision),
    /// Lines of Graphite.
    Graphite,
    /// JSON, a series on each line, as VictoriaMetrics exports them.
    JsonLines,
    /// Lines of values between commas.
    Csv(CsvFormat),
    /// The text format of Prometheus; samples without a time are of this one, or of now.
    Prometheus(Option<TimestampMs>),
    /// The same of what came over StatsD, of now.
    Statsd,
}

impl TextFormat {
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Influx(_) => Protocol::Influx,
            Self::Graphite => Protocol::Graphite,
            Self::JsonLines => Protocol::Json,
            Self::Csv(_) => Protocol::Csv,
            Self::Prometheus(_) => Protocol::Text,
            Self::Statsd => Protocol::Statsd,
        }
    }
}

/// The unit of timestamps of Influx.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// Nanoseconds.
    #[default]
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

impl Precision {
    /// That of a parameter `precision`, where it is known.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" | "n" | "ns" => Self::Nanoseconds,
            "u" | "us" | "µ" | "µs" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            _ => return None,
        })
    }

    fn ms(self, timestamp: i64) -> i64 {
        match self {
            Self::Nanoseconds => timestamp.div_euclid(1_000_000),
            Self::Microseconds => timestamp.div_euclid(1_000),
            Self::Milliseconds => timestamp,
            Self::Seconds => timestamp.saturating_mul(1_000),
            Self::Minutes => timestamp.saturating_mul(60_000),
            Self::Hours => timestamp.saturating_mul(3_600_000),
        }
    }
}

impl TextFormat {
    /// How many bytes of a text that ends with a line are whole lines.
    pub(crate) fn whole_lines(&self, text: &[u8]) -> usize {
        if matches!(self, Self::Influx(_)) { influx::whole(text) } else { text.len() }
    }
}

/// Labels that a request has for all of its series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraLabels {
    /// In the place of what a series says itself.
    pub instead: Vec<(String, String)>,
    /// For series that do not say it.
    pub missing: Vec<(String, String)>,
}

/// Whole lines of a body, with what reading their labels needs.
pub(crate) struct Body<'a> {
    pub(crate) plain: &'a [u8],
    pub(crate) format: &'a TextFormat,
    pub(crate) extra: &'a ExtraLabels,
    /// Lines of the body that stand before them.
    pub(crate) lines_before: usize,
}

impl Intake {
    /// Takes a body of text that is held as a whole, as one batch.
    ///
    /// # Errors
    /// When nothing of it was taken.
    pub fn text(
        &self,
        format: &TextFormat,
        (body, compression): (&[u8], Compression),
        extra: &ExtraLabels,
    ) -> Result<Written, IntakeError> {
        let protocol = format.protocol();
        self.counted(protocol, |intake, scratch| {
            let (mut held, max) = (intake.memory().begin(), intake.limits().decoded_bytes);
            let mut plain = std::mem::take(&mut scratch.plain);
            let written = unzip(body, Packing::Of(compression), (&mut held, max), &mut plain)
                .and_then(|()| held.take(plain.len().saturating_mul(crate::intake::BYTES_FOR_EACH)))
                .and_then(|()| {
                    let body = Body { plain: &plain, format, extra, lines_before: 0 };
                    intake.batch(protocol, &body, scratch, |batch, rest| {
                        body.read(intake, batch, rest);
                        Ok(())
                    })
                });
            scratch.plain = plain;
            written
        })
    }
}

impl Body<'_> {
    pub(crate) fn read(&self, intake: &Intake, batch: &mut Batch<'_>, mut rest: Rest<'_>) {
        let (cache, now) = (intake.cache(), intake.now());
        let mut extra = vec![PART];
        for (name, value) in self.extra.instead.iter().chain(&self.extra.missing) {
            extra.extend([name.as_bytes(), &[PART], value.as_bytes(), &[PART]].concat());
        }
        let is_page = match self.format {
            TextFormat::Prometheus(at) => Some(at.unwrap_or(now)),
            TextFormat::Statsd => Some(now),
            _ => None,
        };
        if let Some(at) = is_page {
            return self.exposition(at, (cache, &extra), batch, &mut rest);
        }
        if let TextFormat::Influx(precision) = self.format {
            for (i, line) in influx::lines(self.plain).filter(|(_, line)| !influx::is_comment(line)) {
                let done = self.influx(line, (*precision, now), (cache, &extra), (batch, &mut rest));
                self.tell(batch, (i, line), done);
            }
            return;
        }
        for (i, line) in lines::lines(self.plain) {
            let done = match self.format {
                TextFormat::Graphite => self.graphite(line, now, (cache, &extra), (batch, &mut rest)),
                TextFormat::JsonLines => self.json(line, (cache, &extra), (batch, &mut rest)),
                TextFormat::Csv(format) => self.csv(line, (format, now), (cache, &extra), (batch, &mut rest)),
                TextFormat::Influx(_) | TextFormat::Prometheus(_) | TextFormat::Statsd => Ok(()),
            };
            self.tell(batch, (i, line), done);
        }
    }

    /// Notes that a line cannot be.
    fn tell(&self, batch: &mut Batch<'_>, (i, line): (usize, &[u8]), done: Result<(), &'static str>) {
        if let Err(reason) = done {
            let line = String::from_utf8_lossy(&line[..line.len().min(EXCERPT_BYTES)]);
            let number = self.lines_before + i + 1;
            batch.tally.refuse_other(format_args!("line {number}: {reason}: {line}"));
        }
    }

    /// The key of a series of these parts.
    fn key(
        (cache, extra): (&SeriesCache, &[u8]),
        kind: u8,
        parts: &[&[u8]],
        scratch: &mut Vec<u8>,
    ) -> crate::cache::Key {
        scratch.clear();
        for part in parts {
            scratch.extend_from_slice(part);
            scratch.push(PART);
        }
        scratch.extend_from_slice(extra);
        cache.key(kind, scratch)
    }

    fn influx(
        &self,
        line: &[u8],
        (precision, now): (Precision, TimestampMs),
        known: (&SeriesCache, &[u8]),
        (batch, rest): (&mut Batch<'_>, &mut Rest<'_>),
    ) -> Result<(), &'static str> {
        let line = influx::Line::parse(line)?;
        let at = line.timestamp.map_or(now, |at| TimestampMs::new(precision.ms(at)));
        line.each_field(|field| {
            let place = [place_of(self.plain, line.series), place_of(self.plain, field.name)];
            let key = Self::key(known, INFLUX, &[line.series, field.name], rest.bytes);
            if let Some(mut series) = batch.series(key, place, || 1) {
                batch.float(&mut series, at, field.value);
            }
        })
    }

    fn graphite(
        &self,
        line: &[u8],
        now: TimestampMs,
        known: (&SeriesCache, &[u8]),
        (batch, rest): (&mut Batch<'_>, &mut Rest<'_>),
    ) -> Result<(), &'static str> {
        let line = graphite::parse(line)?;
        let key = Self::key(known, GRAPHITE, &[line.series], rest.bytes);
        if let Some(mut series) = batch.series(key, one(place_of(self.plain, line.series)), || 1) {
            batch.float(&mut series, line.timestamp_ms.map_or(now, TimestampMs::new), line.value);
        }
        Ok(())
    }

    fn json(
        &self,
        line: &[u8],
        (cache, extra): (&SeriesCache, &[u8]),
        (batch, rest): (&mut Batch<'_>, &mut Rest<'_>),
    ) -> Result<(), &'static str> {
        let read = json::Line::parse(line)?;
        rest.bytes.clear();
        for (name, value) in &read.metric {
            rest.bytes.extend([name.as_bytes(), &[PART], value.as_bytes(), &[PART]].concat());
        }
        rest.bytes.extend_from_slice(extra);
        let key = cache.key(JSON, rest.bytes);
        let samples = || read.timestamps.len() as u64;
        if let Some(mut series) = batch.series(key, one(place_of(self.plain, line)), samples) {
            for (at, value) in read.timestamps.iter().zip(&read.values) {
                batch.float(&mut series, TimestampMs::new(*at), value.0);
            }
        }
        Ok(())
    }

    fn csv(
        &self,
        line: &[u8],
        (format, now): (&CsvFormat, TimestampMs),
        known: (&SeriesCache, &[u8]),
        (batch, rest): (&mut Batch<'_>, &mut Rest<'_>),
    ) -> Result<(), &'static str> {
        let row = format.row(line)?;
        let at = row.timestamp.unwrap_or(now);
        for (column, value) in &row.values {
            let number = column.to_le_bytes();
            let mut parts: Vec<&[u8]> = row.labels.iter().map(|(_, value)| value.as_bytes()).collect();
            parts.extend([&number[..], format.text().as_bytes()]);
            let key = Self::key(known, CSV, &parts, rest.bytes);
            let place = [place_of(self.plain, line), (*column, 0)];
            if let Some(mut series) = batch.series(key, place, || 1) {
                batch.float(&mut series, at, *value);
            }
        }
        Ok(())
    }

    fn exposition(
        &self,
        at: TimestampMs,
        known: (&SeriesCache, &[u8]),
        batch: &mut Batch<'_>,
        rest: &mut Rest<'_>,
    ) {
        let mut parser = Parser::new(Format::Text, self.plain);
        while let Some(entry) = parser.next() {
            match entry {
                Ok(Entry::Sample(sample)) => {
                    let bytes = sample.series.as_bytes();
                    let key = Self::key(known, EXPOSITION, &[bytes], rest.bytes);
                    if let Some(mut series) = batch.series(key, one(place_of(self.plain, bytes)), || 1) {
                        batch.float(&mut series, sample.timestamp.unwrap_or(at), sample.value);
                    }
                }
                Ok(_) => {}
                Err(mut e) => {
                    e.line += self.lines_before;
                    batch.tally.refuse_other(format_args!("{e}"));
                    parser.pass_over_line();
                }
            }
        }
    }

    fn read_labels(&self, place: Place, into: &mut LabelsBuilder) -> Result<(), &'static str> {
        let bytes = part_at(self.plain, place[0]);
        match self.format {
            TextFormat::Influx(_) => {
                let field = influx::unescaped(part_at(self.plain, place[1]))?;
                let measurement = influx::tags(bytes, |name, value| into.set(&name, &value))?;
                let between = if measurement.is_empty() { "" } else { "_" };
                into.set(METRIC_NAME, &format!("{measurement}{between}{field}"));
            }
            TextFormat::Graphite => {
                let path = graphite::tags(bytes, |name, value| into.set(name, value))?;
                into.set(METRIC_NAME, path);
            }
            TextFormat::JsonLines => {
                json::Line::parse(bytes)?.metric.iter().for_each(|(name, value)| into.set(name, value));
            }
            TextFormat::Csv(format) => {
                let row = format.row(bytes)?;
                row.labels.iter().for_each(|(name, value)| into.set(name, value));
                into.set(METRIC_NAME, format.metric(place[1].0).unwrap_or_default());
            }
            TextFormat::Prometheus(_) | TextFormat::Statsd => {
                // A series is read as a part of a line alone.
                let line = [bytes, b" 1\n"].concat();
                let entry = Parser::new(Format::Text, &line).next();
                let Some(Ok(Entry::Sample(sample))) = entry else { return Err("it is no series") };
                sample.series.labels_into(into).map_err(|_| "a label stands twice")?;
            }
        }
        Ok(())
    }
}

impl Names for Body<'_> {
    fn read(&self, place: Place, into: &mut LabelsBuilder) -> Result<(), &'static str> {
        self.read_labels(place, into)?;
        self.extra.instead.iter().for_each(|(name, value)| into.set(name, value));
        for (name, value) in &self.extra.missing {
            into.insert(name, value);
        }
        let has_empty = into.iter().any(|(name, _)| name.is_empty());
        if has_empty { Err("a label has no name") } else { Ok(()) }
    }

    fn line_of(&self, place: Place) -> Option<usize> {
        // What came over StatsD is a page of our own.
        let before = self.plain.get(..place[0].0 as usize).filter(|_| *self.format != TextFormat::Statsd)?;
        Some(self.lines_before + memchr::memchr_iter(b'\n', before).count() + 1)
    }
}
