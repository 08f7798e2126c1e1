//! `Batcher`: a page of metrics becomes requests of remote write, compressed and ready to be sent. Series
//! that were on the page before and are gone get a marker of staleness, as when a server scrapes the page.
//! Sends and keeps nothing.

use crate::{
    message::{Message, Request, RequestBuilder},
    metadata::PageFamilies,
};
use skopos_exposition::{DuplicateLabel, Entry, Format, ParseError, Parser, Series};
use skopos_model::{LabelsBuilder, Metadata, TimestampMs, name::METRIC_NAME, stale_nan};
use skopos_proto::{
    messages::Sample,
    write::{self, Item},
};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hasher as _},
    ops::Range,
};

/// Before a label's name that the page and the target both use.
const EXPORTED: &str = "exported_";

/// Labels that every sample gets, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetLabels(BTreeMap<String, String>);

impl TargetLabels {
    /// Sets a label, `NAME=VALUE` in words.
    ///
    /// # Errors
    /// When it is no label that a series may have.
    pub fn set(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?}: write NAME=VALUE"))?;
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let is_name = name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit());
        if !is_name || name == METRIC_NAME {
            return Err(format!("{name:?} is no name of a label: letters, digits and _ are"));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Why a page could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error("{0}")]
    Parse(#[from] ParseError),
    #[error("{0}")]
    Labels(#[from] DuplicateLabel),
}

/// The series of a page: their labels as requests have them.
#[derive(Debug, Default)]
struct Known {
    labels: Vec<u8>,
    /// The hash of each, and where it stands.
    series: Vec<(u64, Range<usize>)>,
}

impl Known {
    fn clear(&mut self) {
        self.labels.clear();
        self.series.clear();
    }
}

/// See above.
#[derive(Debug)]
pub struct Batcher {
    labels: TargetLabels,
    message: Message,
    max_samples: usize,
    builder: LabelsBuilder,
    before: Known,
    now: Known,
    families: PageFamilies,
}

/// Requests under construction.
struct Requests {
    max_samples: usize,
    done: Vec<Request>,
    next: RequestBuilder,
}

impl Batcher {
    /// One that gives every sample `labels`, and every request at most so many samples.
    pub fn new(labels: TargetLabels, message: Message, max_samples: usize) -> Self {
        assert!(max_samples > 0, "a request without samples");
        let (before, now, families) = (Known::default(), Known::default(), PageFamilies::default());
        Self { labels, message, max_samples, builder: LabelsBuilder::default(), before, now, families }
    }

    /// The requests of a page that was read at `at`, with what is known of the reading itself as `extra`. A
    /// page that cannot be read gives these alone, and an error.
    pub fn page(
        &mut self,
        page: &[u8],
        at: TimestampMs,
        extra: &[(&str, f64)],
    ) -> (Vec<Request>, Result<(), String>) {
        let none_yet = |message, max_samples| Requests {
            max_samples,
            done: Vec::new(),
            next: RequestBuilder::new(message),
        };
        let mut requests = none_yet(self.message, self.max_samples);
        self.now.clear();
        let read = self.read(page, at, &mut requests);
        if read.is_err() {
            requests = none_yet(self.message, self.max_samples);
            self.now.clear();
        }
        for (name, value) in extra {
            self.builder.clear();
            self.builder.set(METRIC_NAME, name);
            for (name, label) in &self.labels.0 {
                self.builder.set(name, label);
            }
            self.put(Sample { value: *value, timestamp: at.as_ms() }, &mut requests);
        }
        self.mark_stale(at, &mut requests);
        std::mem::swap(&mut self.before, &mut self.now);
        (requests.finish(), read.map_err(|e| e.to_string()))
    }

    /// What the page that was read last says of its families.
    pub(crate) fn take_families(&mut self) -> PageFamilies {
        std::mem::take(&mut self.families)
    }

    fn read(&mut self, page: &[u8], at: TimestampMs, out: &mut Requests) -> Result<(), PageError> {
        self.families = PageFamilies::default();
        for entry in Parser::new(Format::Text, page) {
            let sample = match entry? {
                Entry::Sample(sample) => sample,
                other => {
                    self.families.note(&other);
                    continue;
                }
            };
            self.set_labels(sample.series)?;
            let timestamp = sample.timestamp.unwrap_or(at).as_ms();
            self.put(Sample { value: sample.value, timestamp }, out);
        }
        Ok(())
    }

    /// Puts the labels of a series and of the target into the builder. The target's win; what the page has
    /// under such a name becomes another label, as it does when a server scrapes the page.
    fn set_labels(&mut self, series: Series<'_>) -> Result<(), DuplicateLabel> {
        let builder = &mut self.builder;
        builder.clear();
        series.labels_into(builder)?;
        for (name, value) in &self.labels.0 {
            if let Some(theirs) = builder.get(name).map(str::to_owned) {
                let mut exported = format!("{EXPORTED}{name}");
                while builder.get(&exported).is_some() || self.labels.0.contains_key(&exported) {
                    exported.insert_str(0, EXPORTED);
                }
                builder.set(&exported, &theirs);
            }
            builder.set(name, value);
        }
        Ok(())
    }

    /// Puts a sample of the series whose labels are in the builder.
    fn put(&mut self, sample: Sample, out: &mut Requests) {
        let start = self.now.labels.len();
        write::put_labels(&mut self.now.labels, &self.builder.build());
        let labels = &self.now.labels[start..];
        let metadata = match self.message {
            Message::One => None,
            Message::Two => self.builder.get(METRIC_NAME).and_then(|metric| self.families.of_metric(metric)),
        };
        out.put(labels, sample, metadata.as_ref());
        let mut hasher = DefaultHasher::new();
        hasher.write(labels);
        self.now.series.push((hasher.finish(), start..self.now.labels.len()));
    }

    /// Marks the series of the page before that are not on this one.
    fn mark_stale(&mut self, at: TimestampMs, out: &mut Requests) {
        self.now.series.sort_unstable_by_key(|(hash, _)| *hash);
        for (hash, range) in &self.before.series {
            if self.now.series.binary_search_by_key(hash, |(hash, _)| *hash).is_err() {
                let sample = Sample { value: stale_nan(), timestamp: at.as_ms() };
                out.put(&self.before.labels[range.clone()], sample, None);
            }
        }
    }
}

impl Requests {
    fn put(&mut self, labels: &[u8], sample: Sample, metadata: Option<&Metadata>) {
        if self.next.len() == self.max_samples {
            self.done.extend(self.next.take());
        }
        let item = (Item::Sample(sample), sample.timestamp);
        self.next.put(labels, item, metadata).expect("invariant: we have just written these labels");
    }

    fn finish(mut self) -> Vec<Request> {
        self.done.extend(self.next.take());
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message as _;
    use skopos_model::is_stale_nan;
    use skopos_proto::messages::WriteRequest;

    fn labels(texts: &[&str]) -> TargetLabels {
        let mut labels = TargetLabels::default();
        texts.iter().for_each(|text| labels.set(text).unwrap());
        labels
    }

    /// Each sample as `name{label="value"} value @time`, request by request.
    fn shown(batches: &[Request]) -> Vec<Vec<String>> {
        let of = |batch: &Request| {
            let bytes = snap::raw::Decoder::new().decompress_vec(&batch.body).unwrap();
            let request = WriteRequest::decode(&bytes[..]).unwrap();
            assert_eq!(request.timeseries.len() as u64, batch.counts.samples);
            let series = request.timeseries.into_iter();
            let lines = series.map(|series| {
                assert!(series.labels.is_sorted_by(|a, b| a.name < b.name), "{:?}", series.labels);
                let all: Vec<_> = series.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
                let [sample] = series.samples[..] else { panic!("one sample each") };
                let value =
                    if is_stale_nan(sample.value) { "stale".into() } else { sample.value.to_string() };
                format!("{} {value} @{}", all.join(","), sample.timestamp)
            });
            lines.collect()
        };
        batches.iter().map(of).collect()
    }

    fn at(ms: i64) -> TimestampMs {
        TimestampMs::new(ms)
    }

    #[test]
    fn a_page_becomes_samples_of_the_target() {
        let mut batcher = Batcher::new(labels(&["job=node", "instance=vm-1"]), Message::One, 100);
        let page = b"# TYPE a gauge\na 1\nb{x=\"y\",job=\"mine\"} 2.5\n";
        let (batches, read) = batcher.page(page, at(7), &[("up", 1.0)]);
        read.unwrap();
        let expected = [
            "__name__=a,instance=vm-1,job=node 1 @7",
            "__name__=b,exported_job=mine,instance=vm-1,job=node,x=y 2.5 @7",
            "__name__=up,instance=vm-1,job=node 1 @7",
        ];
        assert_eq!(shown(&batches), [expected]);
    }

    #[test]
    fn requests_have_no_more_samples_than_they_may() {
        let mut batcher = Batcher::new(TargetLabels::default(), Message::One, 2);
        let (batches, _) = batcher.page(b"a 1\nb 2\nc 3\nd 4\n", at(7), &[("up", 1.0)]);
        assert_eq!(shown(&batches).iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
        let (batches, _) = batcher.page(b"a 1\nb 2\nc 3\n", at(8), &[]);
        assert_eq!(batches.iter().map(|b| b.counts.samples).sum::<u64>(), 5, "with two markers");
    }

    #[test]
    fn series_that_go_are_marked_once() {
        let mut batcher = Batcher::new(labels(&["job=j"]), Message::One, 100);
        let mut page = |page: &[u8], ms| shown(&batcher.page(page, at(ms), &[]).0).concat();
        page(b"a 1\nb{x=\"1\"} 2\n", 1);
        assert_eq!(page(b"a 1\n", 2), ["__name__=a,job=j 1 @2", "__name__=b,job=j,x=1 stale @2"]);
        assert_eq!(page(b"a 1\n", 3), ["__name__=a,job=j 1 @3"]);
        assert_eq!(page(b"", 4), ["__name__=a,job=j stale @4"]);
        assert_eq!(page(b"", 5), Vec::<String>::new());
    }

    #[test]
    fn a_page_that_cannot_be_read_leaves_what_is_known_of_the_reading() {
        let mut batcher = Batcher::new(TargetLabels::default(), Message::One, 1);
        batcher.page(b"a 1\n", at(1), &[("up", 1.0)]).1.unwrap();
        let (batches, read) = batcher.page(b"a 1\nb 2\nc{ 3\n", at(2), &[("up", 0.0)]);
        assert!(read.is_err());
        assert_eq!(shown(&batches).concat(), ["__name__=up 0 @2", "__name__=a stale @2"]);
    }

    #[test]
    fn labels_are_checked() {
        let mut labels = TargetLabels::default();
        for wrong in ["", "x", "=v", "1a=v", "a-b=v", "__name__=v"] {
            assert!(labels.set(wrong).is_err(), "{wrong}");
        }
        labels.set("a_1=v=w").unwrap();
        assert_eq!((labels.get("a_1"), labels.get("b")), (Some("v=w"), None));
    }
}
