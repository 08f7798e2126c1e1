//! `/api/v1/read`: Prometheus' remote read, as plain samples or as a stream of chunks. Errors are text, as in
//! Prometheus. Reads chunks as storage has them; knows no way to evaluate anything.

use crate::{
    blocking::{self, Sink, Slots},
    own_metrics::MetricsSource,
    params::read_body,
    parts::{Parts, Ready},
    reply::{ApiError, ErrorType},
    writing::Writing,
};
use axum::{
    extract::Request,
    http::{
        HeaderName, HeaderValue,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use prost::Message;
use skopos_chunk::{ChunkValue, Encoding, SampleIter, samples_in};
use skopos_exposition::Families;
use skopos_model::{MatchOp, Matcher, TimestampMs, matcher::Regexes};
use skopos_proto::{
    ProtoError, convert, frame,
    messages::{
        Chunk as WrittenChunk, ChunkedReadResponse, ChunkedSeries, Query, ReadRequest, ResponseType, Sample,
        TimeSeries,
    },
    read::{SampledAnswer, decode_request},
};
use skopos_storage::{
    Chunk, ChunkQuerier, ChunkSeries, ChunkSeriesSet, QueryBudget, QueryError, SelectRequest, Shard,
    TimeRange,
    merge::{compact_chunks, cut_chunk},
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub(crate) use skopos_proto::read::REQUEST_MAX_BYTES;

/// The content type of a streamed answer.
pub(crate) const STREAM_TYPE: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// So many bytes of frames go out as one piece: a series alone is often a few hundred.
const PIECE_BYTES: usize = 64 << 10;

/// How many queries a request may have.
const QUERIES_MAX: usize = 1000;

/// Gives a view of a range of time as encoded chunks.
pub type ChunkSource = Arc<dyn Fn(TimeRange) -> Result<Box<dyn ChunkQuerier>, QueryError> + Send + Sync>;

/// What one request of remote read may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteReadLimits {
    /// Samples of an answer that is not streamed, of all queries of the request
    /// (`--storage.remote.read-sample-limit`); zero means as many as any query may have.
    pub samples: u64,
    /// Requests at a time (`--storage.remote.read-concurrent-limit`).
    pub concurrent: usize,
    /// So many bytes end a frame (`--storage.remote.read-max-bytes-in-frame`).
    pub frame_bytes: usize,
}

impl Default for RemoteReadLimits {
    /// As Prometheus does.
    fn default() -> Self {
        Self { samples: 50_000_000, concurrent: 10, frame_bytes: 1 << 20 }
    }
}

/// What remote read works with.
pub struct RemoteRead {
    chunks: ChunkSource,
    limits: RemoteReadLimits,
    slots: Slots,
    /// Requests that wait or are carried out.
    asking: Arc<AtomicU64>,
}

impl RemoteRead {
    /// Reads from `chunks` within `limits`.
    pub fn new(chunks: ChunkSource, limits: RemoteReadLimits) -> Self {
        let slots = Slots::new(limits.concurrent, "storage.remote.read-concurrent-limit");
        Self { chunks, limits, slots, asking: Arc::default() }
    }

    /// What it says of itself.
    pub fn metrics(&self) -> MetricsSource {
        let asking = Arc::clone(&self.asking);
        Arc::new(move |out: &mut Families<'_>| {
            let help = "Requests of remote read that are waiting or being answered.";
            out.gauge("prometheus_remote_read_handler_queries", help, asking.load(Ordering::Relaxed) as f64);
        })
    }
}

/// Counts a request as long as it lives.
struct Asking(Arc<AtomicU64>);

impl Asking {
    fn new(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers a request.
pub(crate) async fn read(Ready(parts): Ready, request: Request) -> Response {
    let answer = match read_body(request, &()).await {
        Ok(Ok(body)) => answer(parts, &body).await,
        Ok(Err(refused)) => return refused.into_response(),
        Err(late) => Err(late),
    };
    answer.unwrap_or_else(ApiError::into_text)
}

async fn answer(parts: Arc<Parts>, body: &[u8]) -> Result<Response, ApiError> {
    let asking = Asking::new(&parts.remote_read.asking);
    let budget = parts.engine.budget();
    budget.charge_memory(body.len() as u64)?;
    // What a request unpacks to is bounded by the slots too.
    let slot = parts.remote_read.slots.take_within(budget.time_left()).await?;
    let request = decode_request(body)?;
    if request.queries.len() > QUERIES_MAX {
        let reason = format!("the request has {} queries, and may have {QUERIES_MAX}", request.queries.len());
        return Err(ApiError::new(ErrorType::BadData, reason));
    }
    let kind = negotiated(&request)?;
    let head: &[(HeaderName, &'static str)] = match kind {
        ResponseType::Samples => &[(CONTENT_TYPE, "application/x-protobuf"), (CONTENT_ENCODING, "snappy")],
        ResponseType::StreamedXorChunks => &[(CONTENT_TYPE, STREAM_TYPE)],
    };
    let body = blocking::stream(parts, slot, budget, move |parts, budget, sink| {
        let _asking = asking;
        let external = &parts.config.get().global.external_labels;
        let reading = Reading { parts, budget, external, regexes: Regexes::default() };
        match kind {
            ResponseType::Samples => reading.samples(&request, sink),
            ResponseType::StreamedXorChunks => reading.stream(&request, sink),
        }
    })
    .await?;
    let mut response = body.into_response();
    for (name, value) in head {
        response.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The first kind of answer among those accepted that there is.
fn negotiated(request: &ReadRequest) -> Result<ResponseType, ApiError> {
    let accepted = &request.accepted_response_types;
    let known = accepted.iter().find_map(|kind| ResponseType::try_from(*kind).ok());
    let unknown = || {
        let reason = format!(
            "none of the response types {accepted:?} is known: ask for 0 (SAMPLES) or 1 (STREAMED_XOR_CHUNKS)"
        );
        ApiError::new(ErrorType::BadData, reason)
    };
    if accepted.is_empty() { Ok(ResponseType::Samples) } else { known.ok_or_else(unknown) }
}

impl From<ProtoError> for ApiError {
    fn from(e: ProtoError) -> Self {
        Self::new(ErrorType::BadData, e.to_string())
    }
}

/// One request while it is read.
struct Reading<'a> {
    parts: &'a Parts,
    budget: &'a Arc<QueryBudget>,
    external: &'a BTreeMap<String, String>,
    /// Those of all its queries.
    regexes: Regexes,
}

/// The series of one query, their chunks cut to its range.
struct Selected<'a> {
    /// Without any condition there is none.
    set: Option<Box<dyn ChunkSeriesSet>>,
    range: TimeRange,
    budget: &'a QueryBudget,
}

/// The times of a query: those that its hints say are needed, within its own.
fn range_of(query: &Query) -> TimeRange {
    let (mut min, mut max) = (query.start_timestamp_ms, query.end_timestamp_ms);
    if let Some(hints) = query.hints {
        (min, max) = (min.max(hints.start_ms), max.min(hints.end_ms));
    }
    TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) }
}

impl<'a> Reading<'a> {
    fn select(&mut self, query: &Query) -> Result<Selected<'a>, ApiError> {
        let range = range_of(query);
        self.budget.check()?;
        if query.matchers.is_empty() {
            return Ok(Selected { set: None, range, budget: self.budget });
        }
        let before = self.regexes.max_bytes();
        let matchers = convert::matchers(&query.matchers, &mut self.regexes)?;
        self.budget.charge_memory(self.regexes.max_bytes() - before)?;
        let matchers: Vec<Matcher> = matchers.into_iter().map(|m| self.inner(m)).collect();
        let querier = (self.parts.remote_read.chunks)(range)?;
        let budget = Arc::clone(self.budget);
        let request = SelectRequest { matchers: &matchers, range, shard: Shard::WHOLE, budget };
        Ok(Selected { set: Some(querier.select_chunks(&request)?), range, budget: self.budget })
    }

    /// What a matcher means to storage, whose series lack the external labels: who asks for the label's own
    /// value asks for series without the label.
    fn inner(&self, matcher: Matcher) -> Matcher {
        let is_external = matcher.op() == MatchOp::Equal
            && self.external.get(matcher.name()).is_some_and(|value| value == matcher.value());
        if is_external { Matcher::equal(matcher.name(), "") } else { matcher }
    }

    fn samples(mut self, request: &ReadRequest, sink: &mut Sink) -> Result<(), ApiError> {
        let writing = Writing::begin(self.parts, self.budget, sink, &[]);
        let mut answer = SampledAnswer::default();
        let (mut samples, mut held) = (0, 0);
        for query in &request.queries {
            let mut selected = self.select(query)?;
            while let Some(ChunkSeries { labels, chunks }) = selected.next()? {
                let mut series =
                    TimeSeries { labels: convert::labels(&labels, self.external), ..TimeSeries::default() };
                let mut of_series = 0;
                for chunk in &chunks {
                    let more = u64::from(samples_in(chunk.encoding, &chunk.bytes).unwrap_or(0));
                    samples += more;
                    self.check_samples(samples)?;
                    of_series += more * size_of::<Sample>() as u64;
                    self.budget.charge_memory(more * size_of::<Sample>() as u64)?;
                    push_samples(chunk, &mut series)?;
                }
                answer.push(&series);
                self.budget.release_memory(of_series);
                self.hold(&answer, &mut held)?;
                writing.check_size(answer.bytes())?;
            }
            answer.end_query();
            self.hold(&answer, &mut held)?;
        }
        self.budget.charge_memory(answer.finish_bytes())?;
        let body = answer.finish()?;
        self.budget.release_memory(held);
        writing.send(body)
    }

    /// Charges what the answer holds more than the `held` that was charged.
    fn hold(&self, answer: &SampledAnswer, held: &mut u64) -> Result<(), ApiError> {
        let more = answer.held_bytes().saturating_sub(*held);
        self.budget.charge_memory(more)?;
        *held += more;
        Ok(())
    }

    fn check_samples(&self, samples: u64) -> Result<(), ApiError> {
        let (limit, flag) = match self.parts.remote_read.limits.samples {
            0 => (self.parts.engine.options().limits.max_samples, "query.max-samples"),
            limit => (limit, "storage.remote.read-sample-limit"),
        };
        if samples <= limit {
            return Ok(());
        }
        let reason = format!("exceeded sample limit ({limit}): ask for less, or raise --{flag}");
        Err(ApiError::new(ErrorType::BadData, reason))
    }

    /// Frames go out by pieces while further series are read: what is held is a piece, however long the
    /// answer is, and the client says by taking them how fast it is made.
    fn stream(mut self, request: &ReadRequest, sink: &mut Sink) -> Result<(), ApiError> {
        let mut out = Vec::new();
        for (index, query) in request.queries.iter().enumerate() {
            let mut selected = self.select(query)?;
            while let Some(ChunkSeries { labels, chunks }) = selected.next()? {
                let labels = convert::labels(&labels, self.external);
                let limit = self.parts.remote_read.limits.frame_bytes;
                for chunks in frames(limit, labels.iter().map(Message::encoded_len).sum(), chunks) {
                    let labels = labels.clone();
                    let response = ChunkedReadResponse {
                        chunked_series: vec![ChunkedSeries { labels, chunks }],
                        query_index: index as i64,
                    };
                    frame::write(&response.encode_to_vec(), &mut out);
                    if out.len() >= PIECE_BYTES {
                        sink.send(self.parts, std::mem::take(&mut out))?;
                    }
                }
            }
        }
        sink.send_last(self.parts, out)
    }
}

/// Chunks by the frames that they go into: a frame ends with the chunk that fills it.
fn frames(limit: usize, labels_bytes: usize, chunks: Vec<Chunk>) -> Vec<Vec<WrittenChunk>> {
    let mut all = vec![Vec::new()];
    let mut bytes = labels_bytes;
    for chunk in chunks {
        if bytes >= limit && all.last().is_some_and(|last| !last.is_empty()) {
            all.push(Vec::new());
            bytes = labels_bytes;
        }
        let written = WrittenChunk {
            min_time_ms: chunk.min.as_ms(),
            max_time_ms: chunk.max.as_ms(),
            r#type: chunk.encoding.as_byte().into(),
            data: chunk.bytes,
        };
        bytes += written.encoded_len();
        all.last_mut().expect("invariant: it begins with one").push(written);
    }
    all.retain(|frame| !frame.is_empty());
    all
}

impl Selected<'_> {
    /// The next series that has samples in the range. Its chunks do not overlap, and are written as every
    /// client reads them.
    fn next(&mut self) -> Result<Option<ChunkSeries>, ApiError> {
        let Some(set) = &mut self.set else { return Ok(None) };
        while let Some(ChunkSeries { labels, chunks }) = set.next_series()? {
            // Storage charges what it hands out; nothing of it is held.
            let count = |c: &Chunk| u64::from(samples_in(c.encoding, &c.bytes).unwrap_or(0));
            self.budget.release_samples(chunks.iter().map(count).sum());
            let corrupt = |e: skopos_chunk::ChunkError| QueryError::Corrupt {
                path: PathBuf::from("chunks"),
                offset: 0,
                reason: format!("a chunk of series {labels}: {e}"),
            };
            let mut cut = Vec::with_capacity(chunks.len());
            for chunk in apart(chunks).map_err(corrupt)? {
                cut_chunk(chunk, self.range, &mut cut).map_err(corrupt)?;
            }
            if !cut.is_empty() {
                return Ok(Some(ChunkSeries { labels, chunks: cut }));
            }
        }
        Ok(None)
    }
}

/// The same samples in chunks that do not overlap and have no start timestamps, which remote read does not
/// know.
fn apart(chunks: Vec<Chunk>) -> Result<Vec<Chunk>, skopos_chunk::ChunkError> {
    let known =
        |c: &Chunk| matches!(c.encoding, Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram);
    if chunks.iter().all(known) && chunks.windows(2).all(|pair| pair[0].max < pair[1].min) {
        return Ok(chunks);
    }
    let mut out = Vec::with_capacity(chunks.len());
    compact_chunks(chunks, &mut out)?;
    Ok(out)
}

fn push_samples(chunk: &Chunk, series: &mut TimeSeries) -> Result<(), ApiError> {
    for sample in SampleIter::new(chunk.encoding, &chunk.bytes) {
        let (at, value) = sample.map_err(|e| ApiError::internal(format!("a chunk is damaged: {e}")))?;
        match value {
            ChunkValue::Float(value) => series.samples.push(Sample { value, timestamp: at.as_ms() }),
            ChunkValue::Histogram(h) => series.histograms.push(convert::histogram(at, h)),
            ChunkValue::FloatHistogram(h) => series.histograms.push(convert::float_histogram(at, h)),
        }
    }
    Ok(())
}
