//! The two messages of remote write, and `RequestBuilder`, which gathers samples into one of either kind.
//! Sends nothing; of what it is given it checks nothing.

use skopos_model::Metadata;
use skopos_proto::{
    wire::WireError,
    write::{self, Interned, Item},
};
use snap::raw::Encoder;
use std::ops::AddAssign;

/// Which message a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "server", derive(serde::Deserialize, serde::Serialize))]
pub enum Message {
    /// Remote write 1.0.
    #[default]
    #[cfg_attr(feature = "server", serde(rename = "prometheus.WriteRequest"))]
    One,
    /// Remote write 2.0.
    #[cfg_attr(feature = "server", serde(rename = "io.prometheus.write.v2.Request"))]
    Two,
}

impl Message {
    /// Its name, as Prometheus has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One => "prometheus.WriteRequest",
            Self::Two => "io.prometheus.write.v2.Request",
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::One => "application/x-protobuf",
            Self::Two => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::One => "0.1.0",
            Self::Two => "2.0.0",
        }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    pub(crate) const fn of_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            _ => None,
        }
    }
}

/// How much of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Floats.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
}

impl Counts {
    /// All together.
    pub fn total(&self) -> u64 {
        self.samples.saturating_add(self.histograms).saturating_add(self.exemplars)
    }

    /// What is left without `others`.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self {
            samples: self.samples.saturating_sub(others.samples),
            histograms: self.histograms.saturating_sub(others.histograms),
            exemplars: self.exemplars.saturating_sub(others.exemplars),
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.histograms += other.histograms;
        self.exemplars += other.exemplars;
    }
}

/// A request that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Which message it is.
    pub message: Message,
    /// What it holds.
    pub counts: Counts,
    /// The newest time in it, in milliseconds since the Unix epoch.
    pub newest_ms: i64,
    /// The message, compressed by snappy.
    pub body: Vec<u8>,
}

/// A request under construction.
#[derive(Debug)]
pub(crate) struct RequestBuilder {
    message: Message,
    plain: Vec<u8>,
    interned: Interned,
    counts: Counts,
    newest_ms: i64,
}

impl RequestBuilder {
    pub(crate) fn new(message: Message) -> Self {
        let (plain, interned) = (Vec::new(), Interned::default());
        Self { message, plain, interned, counts: Counts::default(), newest_ms: i64::MIN }
    }

    /// Adds a series with one item of a time; `labels` are what `write::put_labels` wrote.
    ///
    /// # Errors
    /// When the labels are none.
    pub(crate) fn put(
        &mut self,
        labels: &[u8],
        (item, at_ms): (Item<'_>, i64),
        metadata: Option<&Metadata>,
    ) -> Result<(), WireError> {
        match self.message {
            Message::One => write::put_item(&mut self.plain, labels, item),
            Message::Two => self.interned.put_item(labels, item, metadata)?,
        }
        match item {
            Item::Sample(_) => self.counts.samples += 1,
            Item::Histogram(_) => self.counts.histograms += 1,
            Item::Exemplar(_) => self.counts.exemplars += 1,
        }
        self.newest_ms = self.newest_ms.max(at_ms);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.counts.total()).unwrap_or(usize::MAX)
    }

    /// How long the request is so far, before it is compressed.
    #[cfg(feature = "server")]
    pub(crate) fn byte_len(&self) -> usize {
        self.plain.len() + self.interned.byte_len()
    }

    /// The request, if it has anything; another one begins.
    pub(crate) fn take(&mut self) -> Option<Request> {
        if self.counts == Counts::default() {
            return None;
        }
        self.interned.take(&mut self.plain);
        let body = compressed(&self.plain);
        self.plain.clear();
        let (counts, newest_ms) = (std::mem::take(&mut self.counts), self.newest_ms);
        self.newest_ms = i64::MIN;
        Some(Request { message: self.message, counts, newest_ms, body })
    }
}

/// A message as it is sent.
pub(crate) fn compressed(message: &[u8]) -> Vec<u8> {
    let body = Encoder::new().compress_vec(message);
    body.expect("invariant: a request is shorter than the 4 GiB that snappy takes")
}
