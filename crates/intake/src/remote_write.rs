//! Requests of remote write 1.0 and 2.0: from an unpacked body to a batch. Labels that were seen before are
//! known by their bytes, or by those of their symbols, and are not taken apart again.

use crate::{
    WireError,
    batch::{Batch, Names, Place, Rest, Series},
    cache::{Key, SeriesCache},
    metrics::Metrics,
};
use skopos_model::{Exemplar, LabelsBuilder, Metadata, TimestampMs};
use skopos_proto::pushed::{self, Item, Part, Parts, Version};

/// Kinds of keys.
const LABELS: u8 = 1;
const SYMBOL: u8 = 2;
const SYMBOLS: u8 = 3;

/// The texts that the series of version 2 refer to: where each stands in the message, and its key.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    at: Vec<(u32, u32)>,
    keys: Vec<Key>,
}

impl Symbols {
    /// Those of a request.
    pub(crate) fn read(message: &[u8], cache: &SeriesCache) -> Result<Self, WireError> {
        let (mut parts, mut symbols) = (Parts::of(message, Version::Two), Self::default());
        while let Some(part) = parts.next_part()? {
            if let Part::Symbol(text) = part {
                symbols.at.push(place_of(message, text));
                symbols.keys.push(cache.key(SYMBOL, text));
            }
        }
        Ok(symbols)
    }

    fn text<'m>(&self, message: &'m [u8], symbol: u64) -> Result<&'m str, &'static str> {
        let at = usize::try_from(symbol).ok().and_then(|i| self.at.get(i));
        let (from, len) = at.ok_or("a reference to a symbol is beyond the symbols")?;
        let (from, len) = (*from as usize, *len as usize);
        std::str::from_utf8(&message[from..from + len]).map_err(|_| "a symbol is not UTF-8")
    }
}

/// The message with all that its labels need.
#[derive(Debug)]
pub(crate) struct Message<'m> {
    pub(crate) bytes: &'m [u8],
    pub(crate) version: Version,
    pub(crate) symbols: Symbols,
}

impl<'m> Message<'m> {
    pub(crate) fn of(bytes: &'m [u8], version: Version, cache: &SeriesCache) -> Result<Self, WireError> {
        let symbols = match version {
            Version::One => Symbols::default(),
            Version::Two => Symbols::read(bytes, cache)?,
        };
        Ok(Self { bytes, version, symbols })
    }

    /// The key of a series' labels; none when they refer to symbols that are not there.
    #[inline]
    fn key(&self, labels: &[u8], cache: &SeriesCache, scratch: &mut Vec<u8>) -> Option<Key> {
        if self.version == Version::One {
            return Some(cache.key(LABELS, labels));
        }
        scratch.clear();
        pushed::references::<WireError>(labels, |symbol| {
            let key = usize::try_from(symbol).ok().and_then(|i| self.symbols.keys.get(i));
            scratch.extend_from_slice(&key.ok_or(NO_SYMBOL)?.bytes());
            Ok(())
        })
        .ok()?;
        Some(cache.key(SYMBOLS, scratch))
    }

    fn each_label(&self, fields: &[u8], mut each: impl FnMut(&str, &str)) -> Result<(), &'static str> {
        if self.version == Version::One {
            let read = pushed::labels::<WireError>(fields, |name, value| {
                each(name, value);
                Ok(())
            });
            return read.map_err(|_| "they are cut off or not UTF-8");
        }
        let mut name = None;
        pushed::references::<Broken>(fields, |symbol| {
            let text = self.symbols.text(self.bytes, symbol).map_err(Broken)?;
            match name.take() {
                None => name = Some(text),
                Some(name) => each(name, text),
            }
            Ok(())
        })
        .map_err(|Broken(reason)| reason)?;
        if name.is_some() { Err("the last name has no value") } else { Ok(()) }
    }
}

const NO_SYMBOL: WireError = WireError::new("a reference to a symbol is beyond the symbols");

/// Why labels cannot be read.
struct Broken(&'static str);

impl From<WireError> for Broken {
    fn from(_: WireError) -> Self {
        Self("they are cut off")
    }
}

impl Names for Message<'_> {
    fn read(&self, place: Place, into: &mut LabelsBuilder) -> Result<(), &'static str> {
        let (from, len) = (place[0].0 as usize, place[0].1 as usize);
        let mut reason = None;
        self.each_label(&self.bytes[from..from + len], |name, value| {
            if name.is_empty() {
                reason = Some("a label has no name");
            } else if !into.insert(name, value) {
                reason = Some("a label stands twice");
            }
        })?;
        reason.map_or(Ok(()), Err)
    }
}

fn place_of(message: &[u8], part: &[u8]) -> (u32, u32) {
    let from = part.as_ptr() as usize - message.as_ptr() as usize;
    (from as u32, part.len() as u32)
}

/// Puts all of a request into a batch.
pub(crate) fn read(
    message: &Message<'_>,
    (cache, metrics): (&SeriesCache, &Metrics),
    batch: &mut Batch<'_>,
    rest: Rest<'_>,
) -> Result<(), WireError> {
    let mut reading = Reading { message, cache, metrics, rest };
    let mut parts = Parts::of(message.bytes, message.version);
    while let Some(part) = parts.next_part()? {
        match part {
            Part::Series(series) => reading.series(series, batch)?,
            Part::Family(family) => reading.family(family, batch)?,
            Part::Symbol(_) => {}
        }
    }
    Ok(())
}

struct Reading<'a> {
    message: &'a Message<'a>,
    cache: &'a SeriesCache,
    metrics: &'a Metrics,
    rest: Rest<'a>,
}

impl Reading<'_> {
    #[inline]
    fn series(&mut self, bytes: &[u8], batch: &mut Batch<'_>) -> Result<(), WireError> {
        let mut items = pushed::Series::of(bytes, self.message.version)?;
        let place = [place_of(self.message.bytes, items.labels()), (0, 0)];
        let key = self.message.key(items.labels(), self.cache, self.rest.bytes);
        let samples = || count(items.clone());
        let Some(key) = key else {
            let (samples, reason) = (samples(), "a reference to a symbol is beyond the symbols");
            batch.tally.refuse_labels(samples, reason, &LabelsBuilder::default());
            return walk(items);
        };
        let Some(mut series) = batch.series(key, place, samples) else { return walk(items) };
        let mut metadata = None;
        while let Some(item) = items.next_item()? {
            match item {
                Item::Sample(sample) => {
                    batch.float(&mut series, TimestampMs::new(sample.timestamp_ms), sample.value);
                }
                Item::Histogram(message) => {
                    self.rest.histogram.read(message)?;
                    batch.histogram(&mut series, self.rest.histogram);
                }
                Item::Exemplar(message) => self.exemplar(message, &series, batch)?,
                Item::Metadata(message) => metadata = Some(pushed::metadata(message)?),
                // Storage keeps no start timestamps of what comes in.
                Item::Created(_) => {}
            }
        }
        if let Some(metadata) = metadata {
            self.metadata(metadata, &mut series, batch);
        }
        Ok(())
    }

    fn exemplar(&mut self, message: &[u8], series: &Series, batch: &mut Batch<'_>) -> Result<(), WireError> {
        let sample = pushed::exemplar(message)?;
        let mut labels = LabelsBuilder::default();
        if let Err(reason) = self.message.each_label(message, |name, value| labels.set(name, value)) {
            batch.tally.refuse_other(format_args!("the labels of an exemplar are not valid: {reason}"));
            return Ok(());
        }
        let timestamp = Some(TimestampMs::new(sample.timestamp_ms));
        batch.exemplar(series, &Exemplar { labels: labels.build(), value: sample.value, timestamp });
        Ok(())
    }

    fn metadata(&mut self, metadata: pushed::Metadata, series: &mut Series, batch: &mut Batch<'_>) {
        let Message { bytes, symbols, .. } = self.message;
        let text = |symbol| symbols.text(bytes, symbol);
        let (Ok(help), Ok(unit)) = (text(metadata.help), text(metadata.unit)) else {
            batch.tally.refuse_other(format_args!("metadata refer to symbols that are not there"));
            return;
        };
        let key = |symbol: u64| symbols.keys[symbol as usize].bytes();
        self.rest.bytes.clear();
        self.rest.bytes.extend_from_slice(&key(metadata.help));
        self.rest.bytes.extend_from_slice(&key(metadata.unit));
        let said = self.cache.key(metadata.metric_type as u8, self.rest.bytes).bytes();
        let said = u32::from_le_bytes([said[0], said[1], said[2], said[3]]) | 1;
        let metric_type = metadata.metric_type;
        batch.metadata(series, said, || Metadata {
            metric_type,
            help: help.to_owned(),
            unit: unit.to_owned(),
        });
    }

    fn family(&mut self, message: &[u8], batch: &mut Batch<'_>) -> Result<(), WireError> {
        let family = pushed::family(message)?;
        let metadata = Metadata {
            metric_type: family.metric_type,
            help: family.help.to_owned(),
            unit: family.unit.to_owned(),
        };
        // Series that this request has made are known too.
        batch.flush();
        self.metrics.remember(batch.tally.take_metrics());
        self.metrics.each_of_family(family.name, |series| batch.metadata_of(series, &metadata));
        Ok(())
    }
}

/// How many samples a series has.
fn count(mut items: pushed::Series<'_>) -> u64 {
    let mut samples = 0;
    while let Ok(Some(item)) = items.next_item() {
        samples += u64::from(matches!(item, Item::Sample(_) | Item::Histogram(_)));
    }
    samples
}

/// Looks whether the rest of a series that was refused is one at all.
fn walk(mut items: pushed::Series<'_>) -> Result<(), WireError> {
    while items.next_item()?.is_some() {}
    Ok(())
}
