//! `Gatherer`: what the log of a server says becomes rounds of requests: labels of the whole server are
//! added, rules applied, once for each series; samples go to lanes by their series, so that its samples stay
//! in order. Reads no log, sends nothing and keeps nothing on disk.

use crate::{
    message::{Counts, Message, Request, RequestBuilder},
    stats::SenderStats,
};
use skopos_model::{Exemplar, Labels, LabelsBuilder, Metadata, TimestampMs, name::METRIC_NAME};
use skopos_proto::{
    convert,
    messages::Sample,
    pushed,
    wire::WireError,
    write::{self, Item},
};
use skopos_relabel::{Kept, Rules};
use skopos_tsdb::tail::Logged;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// A request is ended at so many bytes, before it is compressed, however few samples it has.
const MAX_REQUEST_BYTES: usize = 4 << 20;
/// A round is ended at so many bytes of requests.
const MAX_ROUND_BYTES: usize = 8 << 20;

/// What is sent to a server, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Labels that every series gets which does not have them.
    pub(crate) external_labels: BTreeMap<String, String>,
    pub(crate) rules: Rules,
    pub(crate) message: Message,
    pub(crate) exemplars: bool,
    pub(crate) histograms: bool,
    /// Samples of a request at most.
    pub(crate) max_samples: usize,
    /// Samples of a round at most, for each lane.
    pub(crate) capacity: usize,
    /// What is older is not sent.
    pub(crate) max_age_ms: Option<i64>,
}

/// A series that the log has named.
#[derive(Debug)]
struct Known {
    /// The segment that named it.
    named_in: u32,
    /// None where rules drop it.
    sent: Option<Sent>,
}

/// A series as it is sent.
#[derive(Debug)]
struct Sent {
    /// As `write::put_labels` writes them.
    labels: Box<[u8]>,
    hash: u64,
}

/// See above.
#[derive(Debug)]
pub(crate) struct Gatherer {
    plan: Plan,
    stats: Arc<SenderStats>,
    series: HashMap<u64, Known>,
    metadata: HashMap<String, Metadata>,
    builder: LabelsBuilder,
    /// Exemplars that wait for the end of their batch, by series.
    exemplars: Vec<(u64, Exemplar)>,
    lanes: Vec<RequestBuilder>,
    done: Vec<(u32, Request)>,
    /// Samples and bytes of the round.
    samples: usize,
    bytes: usize,
}

impl Gatherer {
    pub(crate) fn new(plan: Plan, lanes: usize, stats: Arc<SenderStats>) -> Self {
        let mut gatherer = Self {
            plan,
            stats,
            series: HashMap::new(),
            metadata: HashMap::new(),
            builder: LabelsBuilder::default(),
            exemplars: Vec::new(),
            lanes: Vec::new(),
            done: Vec::new(),
            samples: 0,
            bytes: 0,
        };
        gatherer.set_lanes(lanes);
        gatherer
    }

    /// From the next round on there are so many lanes.
    pub(crate) fn set_lanes(&mut self, lanes: usize) {
        assert!(self.samples == 0, "a round is under way");
        self.lanes.resize_with(lanes, || RequestBuilder::new(self.plan.message));
        self.stats.lanes.store(lanes as u64, Relaxed);
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// What is known of metrics; requests of version 2 say it beside samples.
    pub(crate) fn set_metadata(&mut self, all: impl Iterator<Item = (String, Metadata)>) {
        self.metadata = all.collect();
    }

    pub(crate) fn message(&self) -> Message {
        self.plan.message
    }

    /// A number means this series, by a record of this segment.
    pub(crate) fn name(&mut self, number: u64, labels: &Labels, segment: u32) {
        let builder = &mut self.builder;
        builder.clear();
        builder.extend(labels);
        for (name, value) in &self.plan.external_labels {
            if builder.get(name).is_none() {
                builder.set(name, value);
            }
        }
        let is_kept = self.plan.rules.apply(builder) == Kept::Yes;
        let labels = builder.build();
        let sent = (is_kept && !labels.is_empty()).then(|| {
            let mut bytes = Vec::new();
            write::put_labels(&mut bytes, &labels);
            Sent { labels: bytes.into(), hash: labels.hash64() }
        });
        self.series.insert(number, Known { named_in: segment, sent });
    }

    /// Forgets what was named up to a segment and is not needed any more.
    pub(crate) fn forget(&mut self, up_to: u32, needed: &BTreeSet<u64>) {
        self.series.retain(|number, known| known.named_in > up_to || needed.contains(number));
        self.series.shrink_to_fit();
    }

    /// Takes what the log says next, while this segment of it is read.
    pub(crate) fn take(&mut self, logged: Logged<'_>, segment: u32, now_ms: i64) {
        match logged {
            Logged::Series { number, labels } => self.name(number, &labels, segment),
            Logged::Missing => {
                self.stats.missing.fetch_add(1, Relaxed);
            }
            Logged::Float { at, value } => {
                let sample = Sample { value, timestamp: at.timestamp.as_ms() };
                self.put(at.number, (Item::Sample(sample), at.timestamp, true), now_ms);
            }
            Logged::Histogram { at, value } => {
                let message = convert::histogram(at.timestamp, value.clone());
                let wanted = self.plan.histograms;
                self.put(at.number, (Item::Histogram(&message), at.timestamp, wanted), now_ms);
            }
            Logged::FloatHistogram { at, value } => {
                let message = convert::float_histogram(at.timestamp, value.clone());
                let wanted = self.plan.histograms;
                self.put(at.number, (Item::Histogram(&message), at.timestamp, wanted), now_ms);
            }
            Logged::Metadata { number, metadata } => self.note(number, metadata),
            // The log has them before the samples of their batch; a server wants the series to be there.
            Logged::Exemplar { number, exemplar } => self.exemplars.push((number, exemplar)),
        }
    }

    /// What the metric of a series is.
    fn note(&mut self, number: u64, metadata: Metadata) {
        let sent = self.series.get(&number).and_then(|known| known.sent.as_ref());
        if self.plan.message == Message::Two
            && let Some(metric) = sent.and_then(|sent| metric_of(&sent.labels))
        {
            self.metadata.insert(metric.to_owned(), metadata);
        }
    }

    /// What was taken so far are whole batches.
    pub(crate) fn settle(&mut self, now_ms: i64) {
        for (number, exemplar) in std::mem::take(&mut self.exemplars) {
            let at = exemplar.timestamp.unwrap_or(TimestampMs::new(now_ms));
            self.put(number, (Item::Exemplar(&exemplar), at, self.plan.exemplars), now_ms);
        }
    }

    fn put(&mut self, number: u64, (item, at, is_wanted): (Item<'_>, TimestampMs, bool), now_ms: i64) {
        let (stats, at_ms) = (&self.stats, at.as_ms());
        let one = match item {
            Item::Sample(_) => Counts { samples: 1, ..Counts::default() },
            Item::Histogram(_) => Counts { histograms: 1, ..Counts::default() },
            Item::Exemplar(_) => Counts { exemplars: 1, ..Counts::default() },
        };
        stats.came.add(one);
        stats.came_newest_ms.fetch_max(at_ms, Relaxed);
        if !is_wanted {
            return stats.unwanted.add(one);
        }
        let Some(known) = self.series.get(&number) else { return stats.unnamed.add(one) };
        let Some(sent) = &known.sent else { return stats.by_rules.add(one) };
        if self.plan.max_age_ms.is_some_and(|max| now_ms.saturating_sub(at_ms) > max) {
            return stats.too_old.add(one);
        }
        let metadata = match self.plan.message {
            Message::One => None,
            Message::Two => metric_of(&sent.labels).and_then(|metric| self.metadata.get(metric)),
        };
        let lane = (sent.hash % self.lanes.len() as u64) as usize;
        let request = &mut self.lanes[lane];
        let before = request.byte_len();
        request.put(&sent.labels, (item, at_ms), metadata).expect("invariant: we have written these labels");
        self.samples += 1;
        self.bytes += request.byte_len() - before;
        if request.len() >= self.plan.max_samples || request.byte_len() >= MAX_REQUEST_BYTES {
            self.bytes -= request.byte_len();
            let done = request.take();
            self.bytes += done.as_ref().map_or(0, |done| done.body.len());
            self.done.extend(done.map(|done| (lane as u32, done)));
        }
    }

    /// Whether the round is as long as it may be.
    pub(crate) fn is_full(&self) -> bool {
        self.samples >= self.plan.capacity.saturating_mul(self.lanes.len()) || self.bytes >= MAX_ROUND_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// The requests of the round; another one begins.
    pub(crate) fn finish(&mut self) -> Vec<(u32, Request)> {
        for (lane, request) in (0..).zip(&mut self.lanes) {
            self.done.extend(request.take().map(|done| (lane, done)));
        }
        (self.samples, self.bytes) = (0, 0);
        std::mem::take(&mut self.done)
    }
}

/// The name of a series' metric.
fn metric_of(labels: &[u8]) -> Option<&str> {
    let mut found = None;
    let read = pushed::labels(labels, |name, value| {
        if name == METRIC_NAME {
            found = Some(value);
        }
        Ok::<_, WireError>(())
    });
    read.ok().and(found)
}
