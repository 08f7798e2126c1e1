//! One server of remote read: which queries it is asked, with which conditions, and its answer, which a query
//! fetches once for each selector. Keeps nothing from query to query.

use super::answer::{Answer, AnswerError};
use crate::{
    config::RemoteReadConfig,
    endpoint::{EndpointError, connect},
};
use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::{
    Method, Url,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE},
};
use skopos_base::fs::SharedFs;
use skopos_client::{ClientOptions, HttpClient, answer::chain};
use skopos_model::{Labels, MatchOp, Matcher};
use skopos_proto::{
    messages::{LabelMatcher, MatcherType, Query, ReadRequest, ResponseType},
    pushed, read,
};
use skopos_storage::{
    LabelRequest, Querier, QueryBudget, QueryError, SelectRequest, SeriesBatch, SeriesSet, Shard, TimeRange,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::runtime::Handle;

/// The version of the protocol that we speak.
const VERSION: (&str, &str) = ("x-prometheus-remote-read-version", "0.1.0");
/// So much of an answer that is an error is shown.
const SHOWN_BYTES: usize = 256;
/// How often it is looked whether the query has ended meanwhile.
const LOOKS_AGAIN: Duration = Duration::from_millis(25);
/// A batch has about so many series or samples.
const BATCH_SERIES: usize = 64;
const BATCH_SAMPLES: usize = 32 << 10;

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    config: RemoteReadConfig,
    external_labels: BTreeMap<String, String>,
    client: HttpClient,
    url: Url,
    shown: String,
    pub(super) answered: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) asking: AtomicU64,
}

/// Why there is no answer.
enum Failed {
    /// The query may not go on.
    Query(QueryError),
    /// The server is to blame: the query goes on without it.
    Server(String),
}

impl From<QueryError> for Failed {
    fn from(e: QueryError) -> Self {
        Self::Query(e)
    }
}

impl From<AnswerError> for Failed {
    fn from(e: AnswerError) -> Self {
        Self::Server(e.to_string())
    }
}

impl Server {
    pub(super) fn new(
        config: &RemoteReadConfig,
        external_labels: &BTreeMap<String, String>,
        fs: &SharedFs,
    ) -> Result<Self, EndpointError> {
        let timed = ClientOptions { timeout: None, ..ClientOptions::default() };
        let (client, url, shown) = connect(fs, config.url.expose(), config.client(), &timed)?;
        let [answered, failed, asking] = [const { AtomicU64::new(0) }; 3];
        let (config, external_labels) = (config.clone(), external_labels.clone());
        Ok(Self { config, external_labels, client, url, shown, answered, failed, asking })
    }

    pub(super) fn is_of(
        &self,
        config: &RemoteReadConfig,
        external_labels: &BTreeMap<String, String>,
    ) -> bool {
        self.config == *config && self.external_labels == *external_labels
    }

    pub(super) fn reads_recent(&self) -> bool {
        self.config.read_recent
    }

    pub(super) fn name(&self) -> &str {
        if self.config.name.is_empty() { &self.shown } else { &self.config.name }
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether a query has all conditions without which the server is not asked.
    fn is_asked(&self, matchers: &[Matcher]) -> bool {
        self.config.required_matchers.iter().all(|(name, value)| {
            matchers.iter().any(|m| m.op() == MatchOp::Equal && m.name() == name && m.value() == value)
        })
    }

    /// The conditions, and those of the labels of this whole server, which are taken away again from what
    /// comes: where they are sent, they were added.
    fn query(&self, matchers: &[Matcher], range: TimeRange) -> (Query, BTreeSet<String>) {
        let mut all: Vec<LabelMatcher> = matchers.iter().map(written).collect();
        let mut added = BTreeSet::new();
        if self.config.filter_external_labels {
            for (name, value) in &self.external_labels {
                if matchers.iter().all(|m| m.name() != name) {
                    let (name, value) = (name.clone(), value.clone());
                    added.insert(name.clone());
                    all.push(LabelMatcher { r#type: MatcherType::Eq.into(), name, value });
                }
            }
        }
        let (start_timestamp_ms, end_timestamp_ms) = (range.min.as_ms(), range.max.as_ms());
        (Query { start_timestamp_ms, end_timestamp_ms, matchers: all, hints: None }, added)
    }

    async fn ask(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &QueryBudget,
    ) -> Result<Answer, Failed> {
        let (query, added) = self.query(matchers, range);
        let kinds = [ResponseType::StreamedXorChunks, ResponseType::Samples];
        let accepted_response_types = kinds.map(i32::from).to_vec();
        let request = ReadRequest { queries: vec![query], accepted_response_types };
        let body = read::encode_request(&request).map_err(|e| Failed::Server(e.to_string()))?;
        let request = self.client.request(Method::POST, &self.url).await;
        let request = request.map_err(|e| Failed::Server(e.to_string()))?;
        let request = request
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(CONTENT_ENCODING, "snappy")
            .header(ACCEPT_ENCODING, "snappy")
            .header(VERSION.0, VERSION.1)
            .body(body);
        let lost = |e: reqwest::Error| Failed::Server(chain(&e.without_url()));
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        if !status.is_success() {
            let mut said = Vec::new();
            while said.len() < SHOWN_BYTES
                && let Ok(Some(part)) = response.chunk().await
            {
                said.extend_from_slice(&part);
            }
            said.truncate(SHOWN_BYTES);
            let said = String::from_utf8_lossy(&said);
            let first = said.trim().lines().next().unwrap_or_default();
            return Err(Failed::Server(format!("it answers with status {}: {first}", status.as_u16())));
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_streamed = kind.is_some_and(|kind| kind.starts_with("application/x-streamed-protobuf"));
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(lost)? {
            make_room(&mut body, part.len(), budget)?;
            budget.check()?;
            body.extend_from_slice(&part);
        }
        let (held, body) = (body.capacity() as u64, Bytes::from(body));
        if is_streamed {
            let max = usize::try_from(self.config.chunked_read_limit).unwrap_or(usize::MAX);
            return Ok(Answer::chunked(&body, max, &added)?);
        }
        let max = usize::try_from(budget.limits().max_memory).unwrap_or(usize::MAX);
        let wrong = |e: skopos_proto::ProtoError| Failed::Server(format!("its answer cannot be read: {e}"));
        let bytes = pushed::unpacked_bytes(&body, max).map_err(wrong)?;
        budget.charge_memory(bytes as u64)?;
        let mut plain = Vec::new();
        pushed::unpack(&body, bytes, &mut plain).map_err(wrong)?;
        budget.release_memory(held);
        Ok(Answer::sampled(&Bytes::from(plain), &added)?)
    }

    /// The same within its time; none where the server is to blame, which the query is told.
    fn fetch(
        &self,
        runtime: &Handle,
        (matchers, range): (&[Matcher], TimeRange),
        budget: &QueryBudget,
    ) -> Result<Option<Arc<Answer>>, QueryError> {
        budget.check()?;
        let own = self.config.remote_timeout.as_std();
        let time = own.min(budget.time_left()).max(Duration::from_millis(1));
        self.asking.fetch_add(1, Relaxed);
        let asked = runtime.block_on(async {
            tokio::select! {
                asked = tokio::time::timeout(time, self.ask(matchers, range, budget)) => asked,
                ended = until_over(budget) => Ok(Err(Failed::Query(ended))),
            }
        });
        self.asking.fetch_sub(1, Relaxed);
        let reason = match asked {
            Ok(Ok(answer)) => {
                self.answered.fetch_add(1, Relaxed);
                return Ok(Some(Arc::new(answer)));
            }
            Ok(Err(Failed::Query(e))) => return Err(e),
            Ok(Err(Failed::Server(reason))) => reason,
            Err(_elapsed) => {
                budget.check()?;
                format!("no answer within {time:?}")
            }
        };
        self.failed.fetch_add(1, Relaxed);
        self.warn(&reason, budget);
        Ok(None)
    }

    fn warn(&self, reason: &str, budget: &QueryBudget) {
        tracing::debug!(url = self.shown, reason, "a query goes on without what this server has");
        budget.warn(format!("remote_read: {}: {reason}", self.shown));
    }
}

/// Makes room for `more` bytes. What others send is charged like all that a query holds: the room for it.
fn make_room(body: &mut Vec<u8>, more: usize, budget: &QueryBudget) -> Result<(), QueryError> {
    let needed = body.len() + more;
    if needed > body.capacity() {
        let room = needed.max(body.capacity() + body.capacity() / 2);
        budget.charge_memory((room - body.capacity()) as u64)?;
        body.reserve_exact(room - body.len());
    }
    Ok(())
}

/// Waits until the query has to end: its client has gone, or its time is over.
async fn until_over(budget: &QueryBudget) -> QueryError {
    loop {
        if let Err(e) = budget.check() {
            return e;
        }
        tokio::time::sleep(LOOKS_AGAIN).await;
    }
}

fn written(matcher: &Matcher) -> LabelMatcher {
    let kind = match matcher.op() {
        MatchOp::Equal => MatcherType::Eq,
        MatchOp::NotEqual => MatcherType::Neq,
        MatchOp::Regex => MatcherType::Re,
        MatchOp::NotRegex => MatcherType::Nre,
    };
    LabelMatcher { r#type: kind.into(), name: matcher.name().to_owned(), value: matcher.value().to_owned() }
}

/// What a server has of a range, for one query.
pub(super) struct View {
    server: Arc<Server>,
    range: TimeRange,
    runtime: Handle,
    /// By conditions and range: threads of one query share an answer.
    fetched: Mutex<HashMap<String, Fetched>>,
}

/// None as long as nobody has fetched it; then none where there is no answer.
type Fetched = Arc<Mutex<Option<Option<Arc<Answer>>>>>;

impl View {
    pub(super) fn new(server: Arc<Server>, range: TimeRange, runtime: Handle) -> Self {
        Self { server, range, runtime, fetched: Mutex::default() }
    }

    fn answer(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &QueryBudget,
    ) -> Result<Option<Arc<Answer>>, QueryError> {
        let range = TimeRange { min: range.min.max(self.range.min), max: range.max.min(self.range.max) };
        if range.min > range.max || !self.server.is_asked(matchers) {
            return Ok(None);
        }
        let conditions: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        let key = format!("{} {} {}", range.min.as_ms(), range.max.as_ms(), conditions.join(","));
        let fetched = Arc::clone(self.fetched.lock().entry(key).or_default());
        let mut fetched = fetched.lock();
        if let Some(known) = &*fetched {
            return Ok(known.clone());
        }
        let answer = self.server.fetch(&self.runtime, (matchers, range), budget)?;
        *fetched = Some(answer.clone());
        Ok(answer)
    }

    /// The labels of what fulfils conditions; without conditions nothing is asked: it would be all that there
    /// is.
    fn labels_of(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError> {
        if request.matchers.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.answer(request.matchers, self.range, &request.budget)?;
        let series = answer.iter().flat_map(|answer| answer.series());
        Ok(series.map(|series| series.labels.clone()).collect())
    }
}

fn first_of<T: Ord>(mut found: Vec<T>, limit: usize) -> Vec<T> {
    found.sort_unstable();
    found.dedup();
    if limit > 0 {
        found.truncate(limit);
    }
    found
}

impl Querier for View {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError> {
        let answer = self.answer(request.matchers, request.range, &request.budget)?;
        Ok(Box::new(RemoteSet {
            server: Arc::clone(&self.server),
            answer,
            next: 0,
            shard: request.shard,
            range: TimeRange {
                min: request.range.min.max(self.range.min),
                max: request.range.max.min(self.range.max),
            },
            budget: Arc::clone(&request.budget),
        }))
    }

    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError> {
        Ok(first_of(self.labels_of(request)?, request.limit))
    }

    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        let labels = self.labels_of(request)?;
        let names = labels.iter().flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned()));
        Ok(first_of(names.collect(), request.limit))
    }

    fn label_values(&self, name: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        let labels = self.labels_of(request)?;
        let values = labels.iter().filter_map(|labels| labels.get(name).map(str::to_owned));
        Ok(first_of(values.collect(), request.limit))
    }
}

/// The series of an answer.
struct RemoteSet {
    server: Arc<Server>,
    answer: Option<Arc<Answer>>,
    next: usize,
    shard: Shard,
    range: TimeRange,
    budget: Arc<QueryBudget>,
}

impl SeriesSet for RemoteSet {
    fn next_batch(&mut self, batch: &mut SeriesBatch) -> Result<bool, QueryError> {
        batch.clear();
        let Some(answer) = &self.answer else { return Ok(false) };
        while batch.len() < BATCH_SERIES && batch.sample_count() < BATCH_SAMPLES {
            let Some(series) = answer.series().get(self.next) else { break };
            self.next += 1;
            if !self.shard.contains(&series.labels) {
                continue;
            }
            self.budget.charge_series(1)?;
            let before = batch.sample_count();
            match batch.push_series(series.labels.clone(), |columns| series.decode(self.range, columns)) {
                Ok(()) => self.budget.charge_samples((batch.sample_count() - before) as u64)?,
                Err(error) => self.server.warn(&error.to_string(), &self.budget),
            }
        }
        Ok(!batch.is_empty())
    }
}
