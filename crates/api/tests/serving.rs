//! The web server without the rest of the program: before storage is open, with few connections, with clients
//! that go away and with a storage that takes its time.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use skopos_agent::{Paths, Top};
use skopos_api::{
    App, Mount, NoAdmin, Parts, Push, PushOptions, QueryLog, QueryThreads, RemoteRead, RemoteReadLimits,
    Slots, about::About, own_metrics::OwnMetrics, router,
};
use skopos_base::{Env, clock::Clock, sim::SimClock};
use skopos_config::{Config, Live};
use skopos_intake::{Destination, Intake, Limits};
use skopos_model::{DurationMs, Labels, Matcher, TimestampMs};
use skopos_promql::{
    Engine, EngineOptions, Steps,
    queries::{Asked, CUT_OFF_BY, Counts, Queries},
};
use skopos_proto::{
    messages::{LabelMatcher, Query, ReadRequest},
    read::encode_request,
};
use skopos_scrape::{
    fetch::Fetcher,
    ingest::{MetadataLabels, StartTimes},
    manager::Manager,
    scraper::Shared,
    status::ScrapeCounters,
};
use skopos_storage::{
    Appendable, Appender, ExemplarQueryable, LabelRequest, NoExemplars, Querier, QueryBudget, QueryError,
    QueryLimits, QueryMemory, Queryable, SelectRequest, SeriesExemplars, SeriesSet, TimeRange,
};
use skopos_testkit::{http, storage::MemoryStorage, wait_until};
use skopos_web::serve::{ServeOptions, listen, serve};
use std::{
    collections::HashMap,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};

const PATIENCE: Duration = Duration::from_secs(30);

/// A web server on a free port.
struct Web {
    runtime: Runtime,
    address: String,
    app: App,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Web {
    fn start(max_connections: usize) -> Self {
        Self::start_mounted(max_connections, &Mount::default())
    }

    fn start_mounted(max_connections: usize, mount: &Mount) -> Self {
        let runtime = Runtime::new().unwrap();
        let listeners = runtime.block_on(listen("127.0.0.1:0")).unwrap();
        let address = listeners[0].local_addr().unwrap().to_string();
        let app = App::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = ServeOptions { max_connections, ..ServeOptions::open() };
        let serving = runtime.spawn(serve(listeners, router(app.clone(), mount), options, async {
            drop(stopped.await);
        }));
        Self { runtime, address, app, stop: Some(stop), serving }
    }

    /// Makes it ready with a storage that answers only once its query is cancelled or out of time.
    fn ready(&self, storage: &Arc<Stubborn>, slots: usize, timeout: DurationMs) {
        let limits = QueryLimits { timeout, ..QueryLimits::default() };
        self.app.ready(self.parts(Arc::new(Storage(Arc::clone(storage))), slots, limits));
    }

    /// What it can be made ready with.
    fn parts(&self, storage: Arc<dyn Queryable>, slots: usize, limits: QueryLimits) -> Parts {
        let clock = Env::real().clock;
        let shared = Shared {
            storage: Arc::new(Storage(Arc::default())),
            fetcher: Fetcher::new(HashMap::new(), &Env::real().fs),
            clock: Arc::clone(&clock),
            counters: Arc::new(ScrapeCounters::default()),
            max_series_per_target: 0,
            metadata_labels: MetadataLabels::None,
            start_times: StartTimes::PassedOver,
        };
        let options = EngineOptions { limits, ..EngineOptions::default() };
        Parts {
            tsdb_status: Arc::new(|_, _| Ok(skopos_api::tsdb_status::TsdbStatus::default())),
            kept_metadata: Arc::new(Vec::new),
            tsdb_admin: Arc::new(NoAdmin),
            exemplars: Arc::new(NoExemplars),
            remote_read: RemoteRead::new(
                Arc::new(|_| Err(QueryError::Cancelled)),
                RemoteReadLimits::default(),
            ),
            push: {
                let storage = Arc::new(Storage(Arc::default()));
                let into = Destination { storage, make_durable: Arc::new(|| Ok(())) };
                let intake = Intake::new(into, &Env::real(), Limits::default(), 1 << 30);
                Push::new(Arc::new(intake), PushOptions::default())
            },
            about: About::default(),
            response_max_bytes: skopos_api::DEFAULT_RESPONSE_MAX_BYTES,
            storage,
            engine: Engine::new(options, Arc::clone(&clock)).with_memory(QueryMemory::new(u64::MAX)),
            processes: Top::new(Paths::default(), Arc::clone(&clock)),
            targets: Arc::new(Manager::new(shared)),
            config: Arc::new(Live::new(Config::built_in())),
            queries: Queries::new(Arc::clone(&clock), slots, None),
            query_log: QueryLog::new(Env::real().fs, None),
            clock,
            query_slots: Slots::of_queries(slots),
            lookup_slots: Slots::of_queries(slots),
            query_threads: QueryThreads::new(Env::real().spawner),
            metrics: Arc::new(OwnMetrics::new(&self.app, Vec::new())),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a request and waits for no answer.
    fn send(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        stream
    }
}

fn status_line(stream: &TcpStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// Holds every question until its time is over or nobody waits for the answer, and notes which it was.
#[derive(Default)]
struct Stubborn {
    asked: AtomicUsize,
    ended: Mutex<Vec<String>>,
}

impl Stubborn {
    fn hold(&self, budget: &QueryBudget) -> QueryError {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let error = wait_until("the query to be over", PATIENCE, || budget.check().err());
        self.ended.lock().unwrap().push(error.to_string());
        error
    }

    fn wait_for_question(&self, count: usize) {
        wait_until("a question to storage", PATIENCE, || {
            (self.asked.load(Ordering::SeqCst) >= count).then_some(())
        });
    }
}

/// A view of the storage above.
struct View(Arc<Stubborn>);

impl Querier for View {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, QueryError> {
        Err(self.0.hold(&request.budget))
    }

    fn series(&self, request: &LabelRequest<'_>) -> Result<Vec<Labels>, QueryError> {
        Err(self.0.hold(&request.budget))
    }

    fn label_names(&self, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        Err(self.0.hold(&request.budget))
    }

    fn label_values(&self, _: &str, request: &LabelRequest<'_>) -> Result<Vec<String>, QueryError> {
        Err(self.0.hold(&request.budget))
    }
}

/// What the server asks: the same storage behind every view.
struct Storage(Arc<Stubborn>);

impl Queryable for Storage {
    fn querier(&self, _: TimeRange) -> Result<Box<dyn Querier>, QueryError> {
        Ok(Box::new(View(Arc::clone(&self.0))))
    }
}

impl Appendable for Storage {
    fn appender(&self) -> Box<dyn Appender + '_> {
        unreachable!("there is no target")
    }
}

#[test]
fn until_storage_is_open_the_server_says_so() {
    let web = Web::start(10);
    for (path, status, said) in [
        ("/-/healthy", 200, "Skopos is healthy.\n"),
        ("/-/ready", 503, "Skopos is starting: stored data is being read.\n"),
        ("/api/v1/query?query=1", 503, "\"errorType\":\"unavailable\""),
        ("/api/v1/labels", 503, "the server is starting: stored data is being read"),
        ("/api/v1/status/config", 503, "\"status\":\"error\""),
        ("/metrics", 200, "process_cpu_seconds_total"),
        ("/metrics", 200, "prometheus_http_requests_total{handler=\"/api/v1/labels\",code=\"503\"} 1"),
        ("/api/v1/status/buildinfo", 200, "\"application\":\"Skopos\""),
    ] {
        let response = http::get(&web.url(path)).unwrap();
        assert_eq!(response.status, status, "{path}");
        assert!(response.text().contains(said), "{path}: {}", response.text());
    }
    web.ready(&Arc::default(), 1, DurationMs::from_secs(1));
    assert_eq!(http::get(&web.url("/-/ready")).unwrap().status, 200);
    assert_eq!(http::get(&web.url("/api/v1/query?query=1")).unwrap().status, 200);
}

#[test]
fn a_connection_too_many_waits_for_its_turn() {
    let (web, storage) = (Web::start(1), Arc::<Stubborn>::default());
    web.ready(&storage, 4, DurationMs::from_secs(600));
    let first = web.send("/api/v1/query?query=m");
    storage.wait_for_question(1);
    let mut second = web.send("/-/healthy");
    second.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let waits = second.read(&mut [0]).unwrap_err();
    assert!(matches!(waits.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{waits}");
    drop(first);
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(status_line(&second), "HTTP/1.1 200 OK");
}

#[test]
fn a_client_that_goes_away_takes_its_query_with_it() {
    let (web, storage) = (Web::start(10), Arc::<Stubborn>::default());
    web.ready(&storage, 4, DurationMs::from_secs(600));
    for (count, path) in ["/api/v1/query?query=m", "/api/v1/series?match[]=m", "/api/v1/label/a/values"]
        .into_iter()
        .enumerate()
    {
        let asking = web.send(path);
        storage.wait_for_question(count + 1);
        drop(asking);
        let ended = || storage.ended.lock().unwrap().get(count).cloned();
        assert_eq!(wait_until("the end of the query", PATIENCE, ended), "query was cancelled", "{path}");
    }
}

#[test]
fn a_query_out_of_time_and_one_without_a_slot_are_timeouts() {
    let (web, storage) = (Web::start(10), Arc::<Stubborn>::default());
    web.ready(&storage, 1, DurationMs::from_ms(300));
    let first = web.send("/api/v1/query?query=m");
    storage.wait_for_question(1);
    // It waits for the only slot and then has no time left either, or gets none at all.
    let second = http::get(&web.url("/api/v1/query?query=m")).unwrap();
    assert_eq!(status_line(&first), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(second.status, 503, "{}", second.text());
    assert!(second.text().contains("\"errorType\":\"timeout\""), "{}", second.text());
    let given = http::get(&web.url("/api/v1/query?query=m&timeout=10ms")).unwrap();
    assert_eq!((given.status, given.text().contains("query timed out after 10ms")), (503, true));
}

#[test]
fn the_end_waits_for_answers_and_not_for_silent_clients() {
    let (mut web, storage) = (Web::start(10), Arc::<Stubborn>::default());
    web.ready(&storage, 1, DurationMs::from_ms(500));
    let silent = TcpStream::connect(&web.address).unwrap();
    let kept = web.send("/-/healthy");
    assert_eq!(status_line(&kept), "HTTP/1.1 200 OK");
    let asking = web.send("/api/v1/query?query=m");
    storage.wait_for_question(1);
    web.stop.take().unwrap().send(()).unwrap();
    assert_eq!(status_line(&asking), "HTTP/1.1 503 Service Unavailable");
    let serving = &mut web.serving;
    let ended = web.runtime.block_on(async { tokio::time::timeout(PATIENCE, serving).await });
    assert!(ended.is_ok(), "the server ends");
    assert!(TcpStream::connect(&web.address).is_err(), "nobody listens any more");
    drop((silent, kept));
}

/// What compiles, formats or searches what a client wrote waits for no query, but for a slot of its own kind;
/// what says how the process fares does not.
#[test]
fn what_a_client_wrote_is_read_in_a_slot() {
    let (web, storage) = (Web::start(40), Arc::<Stubborn>::default());
    web.ready(&storage, 1, DurationMs::from_secs(600));
    let paths = [
        "/api/v1/format_query?query=up",
        "/api/v1/parse_query?query=up",
        "/api/v1/rules?match[]=up",
        "/api/v1/status/top_queries",
        "/api/v1/metadata",
        "/api/v1/targets/metadata?match_target=%7Ba=~%22b.*c%22%7D",
    ];
    let _querying = web.send("/api/v1/query?query=m");
    storage.wait_for_question(1);
    for path in paths {
        assert_eq!(http::get(&web.url(path)).unwrap().status, 200, "{path} beside a query");
    }
    let asking = web.send("/api/v1/series?match[]=m");
    storage.wait_for_question(2);
    let mut waiting: Vec<_> = paths.map(|path| (path, web.send(path))).into();
    for path in ["/metrics", "/api/v1/status/self_metrics", "/-/healthy"] {
        assert_eq!(http::get(&web.url(path)).unwrap().status, 200, "{path}");
    }
    for (path, stream) in &mut waiting {
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(stream.read(&mut [0]).is_err(), "{path} was answered without a slot");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    drop(asking);
    for (path, stream) in &waiting {
        assert_eq!(status_line(stream), "HTTP/1.1 200 OK", "{path}");
    }
}

fn post(web: &Web, path: &str, body: &str) -> http::Response {
    http::post(&web.url(path), "application/x-www-form-urlencoded", body.as_bytes()).unwrap()
}

#[test]
fn a_text_that_is_too_long_for_a_query_waits_for_no_slot() {
    let (web, storage) = (Web::start(10), Arc::<Stubborn>::default());
    web.ready(&storage, 1, DurationMs::from_secs(600));
    let _asking = web.send("/api/v1/query?query=m");
    storage.wait_for_question(1);
    let body = format!("query={}", "a".repeat(600 << 10));
    let refused = post(&web, "/api/v1/query", &body);
    assert_eq!((refused.status, refused.text().contains("limit of 524288 bytes")), (400, true));
}

#[test]
fn what_waits_for_a_slot_is_charged() {
    let (web, storage) = (Web::start(10), Arc::<Stubborn>::default());
    let timeout = DurationMs::from_secs(600);
    let limits = QueryLimits { timeout, max_memory: 1 << 20, ..QueryLimits::default() };
    let parts = web.parts(Arc::new(Storage(Arc::clone(&storage))), 1, limits);
    let memory = Arc::clone(parts.engine.memory());
    web.app.ready(parts);
    let _asking = web.send("/api/v1/query?query=m");
    storage.wait_for_question(1);
    let before = memory.used();
    let text = "a".repeat(7000);
    let _waiting: Vec<_> = ["/api/v1/query?query=", "/api/v1/series?match[]=", "/api/v1/labels?x="]
        .iter()
        .map(|path| web.send(&format!("{path}{text}")))
        .collect();
    wait_until("three to wait", PATIENCE, || (memory.used() >= before + 21_000).then_some(()));
    // More than one request may hold is refused at once.
    let body = format!("match[]=a&x={}", "a".repeat(2 << 20));
    for path in ["/api/v1/series", "/api/v1/search/metric_names"] {
        let refused = post(&web, path, &body);
        assert_eq!((refused.status, refused.text().contains("query.max-memory")), (422, true), "{path}");
    }
}

#[test]
fn expressions_are_bounded_over_all_selectors_of_a_request() {
    let web = Web::start(10);
    web.app.ready(web.parts(Arc::new(MemoryStorage::default()), 2, QueryLimits::default()));
    let selectors: Vec<_> = (0..30)
        .map(|i| {
            let all: Vec<_> = (0..60).map(|k| format!("a=~\"%5C%5Cw%7B20%7Dx{i}x{k}\"")).collect();
            format!("match[]=%7B{}%7D", all.join(","))
        })
        .collect();
    let body = selectors.join("&").replace('"', "%22");
    for path in ["/api/v1/series", "/api/v1/labels", "/api/v1/search/metric_names"] {
        let refused = post(&web, path, &body);
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.text().contains("regular expressions"), "{path}: {}", refused.text());
    }
    let query = &selectors[..2].join("&").replace('"', "%22");
    for path in ["/federate", "/api/v1/rules"] {
        let refused = http::get(&web.url(&format!("{path}?{query}"))).unwrap();
        assert_eq!((refused.status, refused.text().contains("regular expressions")), (400, true), "{path}");
    }
}

/// One series with so many samples.
fn one_long_series(samples: i64) -> MemoryStorage {
    let mut storage = MemoryStorage::default();
    let labels = Labels::from_pairs([("__name__", "m")]);
    storage.insert_floats(&labels, (0..samples).map(|i| (i * 1000, i as f64)));
    storage
}

#[test]
fn one_series_goes_out_in_pieces_and_ends_where_an_answer_has_to() {
    const SAMPLES: i64 = 200_000;
    let web = Web::start(10);
    let parts = web.parts(Arc::new(one_long_series(SAMPLES)), 2, QueryLimits::default());
    web.app.ready(Parts { response_max_bytes: 5 << 20, ..parts });
    let chunks = chunks(&web, &format!("/api/v1/query?query=m%5B{SAMPLES}s%5D&time={SAMPLES}"));
    assert!(chunks.len() > 10 && chunks.iter().all(|n| *n < 512 << 10), "{chunks:?}");
}

/// How long the pieces of an answer are.
fn chunks(web: &Web, path: &str) -> Vec<usize> {
    let mut stream = web.send(path);
    let mut answer = Vec::new();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut part = vec![0; 1 << 20];
    while !answer.ends_with(b"0\r\n\r\n") {
        let n = stream.read(&mut part).unwrap();
        assert!(n > 0, "it was cut off after {} bytes", answer.len());
        answer.extend_from_slice(&part[..n]);
    }
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let (mut at, mut chunks) = (body, Vec::new());
    loop {
        let end = at + answer[at..].windows(2).position(|w| w == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&answer[at..end]).unwrap(), 16).unwrap();
        if length == 0 {
            break;
        }
        chunks.push(length);
        at = end + 2 + length + 2;
    }
    chunks
}

/// Sums of so many selectors that find nothing, in groups, so that the tree is not deep.
fn many_selectors(count: usize) -> String {
    let groups = (0..count).collect::<Vec<_>>();
    let group = |g: &[usize]| {
        let all: Vec<_> = g.iter().map(|i| format!("a{i}")).collect();
        format!("({})", all.join("%2B"))
    };
    groups.chunks(100).map(group).collect::<Vec<_>>().join("%2B")
}

#[test]
fn what_operators_did_goes_out_in_pieces() {
    let web = Web::start(10);
    web.app.ready(web.parts(Arc::new(MemoryStorage::default()), 2, QueryLimits::default()));
    let query = many_selectors(100);
    let range = "start=0&end=10000&step=1";
    for wanted in ["stats=all", "explain=1", "stats=all&explain=true"] {
        let chunks = chunks(&web, &format!("/api/v1/query_range?query={query}&{range}&{wanted}"));
        assert!(chunks.len() > 5 && chunks.iter().all(|n| *n < 512 << 10), "{wanted}: {chunks:?}");
    }
}

#[test]
fn a_tree_has_the_limit_of_every_answer() {
    let web = Web::start(10);
    let parts = web.parts(Arc::new(MemoryStorage::default()), 2, QueryLimits::default());
    web.app.ready(Parts { response_max_bytes: 1 << 20, ..parts });
    let selectors = |n: usize, one: &str| vec![one; n].join("%2B");
    let wide = format!("({})", selectors(60, &format!("({})", selectors(60, "(a%2Ba)"))));
    // Pieces of it are out already when it comes to its end, so nobody can take them for the whole.
    let form = "application/x-www-form-urlencoded";
    let cut = http::post(&web.url("/api/v1/parse_query"), form, format!("query={wide}").as_bytes());
    assert!(cut.is_err(), "an answer that is too long was sent");
    // As deep as any may be.
    let deep = post(&web, "/api/v1/parse_query", &format!("query={}", selectors(990, "a")));
    assert_eq!(deep.status, 200, "{}", deep.text());
    let tree: serde_json::Value = serde_json::from_str(
        &post(
            &web,
            "/api/v1/parse_query",
            "query=topk(2,sum(rate(a%5B5m%5D)) by (b)) / on (c) -(d offset 1m)",
        )
        .text(),
    )
    .unwrap();
    let tree = &tree["data"];
    assert_eq!((&tree["type"], &tree["op"]), (&"binaryExpr".into(), &"/".into()));
    assert_eq!((&tree["lhs"]["param"]["val"], &tree["lhs"]["without"]), (&"2".into(), &false.into()));
    let sum = &tree["lhs"]["expr"];
    assert_eq!((&sum["grouping"][0], &sum["param"]), (&"b".into(), &serde_json::Value::Null));
    assert_eq!(sum["expr"]["args"][0]["range"], 300_000);
    assert_eq!(tree["rhs"]["expr"]["expr"]["offset"], 60_000);
}

/// A clock on which every look takes ten seconds.
#[derive(Debug, Default)]
struct Hasty(AtomicUsize);

impl Clock for Hasty {
    fn monotonic(&self) -> Duration {
        Duration::from_secs(10 * self.0.fetch_add(1, Ordering::SeqCst) as u64)
    }

    fn wall_ms(&self) -> i64 {
        0
    }

    fn sleep(&self, _: Duration) {}
}

#[test]
fn reading_a_query_ends_with_its_time() {
    let web = Web::start(10);
    let parts = web.parts(Arc::new(MemoryStorage::default()), 2, QueryLimits::default());
    let options = *parts.engine.options();
    web.app.ready(Parts { engine: Engine::new(options, Arc::new(Hasty::default())), ..parts });
    let conditions: Vec<_> = (0..60).map(|i| format!("l=~%22a%5B0-9%5D*{i}%22")).collect();
    for path in ["format_query", "parse_query"] {
        let ended =
            http::get(&web.url(&format!("/api/v1/{path}?query=m%7B{}%7D", conditions.join(",")))).unwrap();
        assert_eq!(
            (ended.status, ended.text().contains("timed out")),
            (503, true),
            "{path}: {}",
            ended.text()
        );
        assert_eq!(http::get(&web.url(&format!("/api/v1/{path}?query=m"))).unwrap().status, 200, "{path}");
    }
}

#[test]
fn rankings_have_a_bound_and_go_out_in_pieces() {
    let web = Web::start(10);
    let parts = web.parts(Arc::new(MemoryStorage::default()), 2, QueryLimits::default());
    let clock = Arc::new(SimClock::new(0));
    let queries = Queries::new(Arc::clone(&clock) as _, 2, None);
    for i in 0..2000 {
        let steps = Steps { start: TimestampMs::new(0), end: TimestampMs::new(0), step: DurationMs::ZERO };
        let tracked = queries.asked(Asked { query: &format!("{i:0>1000}"), steps, from: None });
        clock.advance(Duration::from_millis(1));
        drop(tracked);
    }
    web.app.ready(Parts { queries, ..parts });
    let path = "/api/v1/status/top_queries?topN=20000";
    let top: serde_json::Value = serde_json::from_str(&http::get(&web.url(path)).unwrap().text()).unwrap();
    for list in ["topByCount", "topByAvgDuration", "topBySumDuration"] {
        assert_eq!(top[list].as_array().unwrap().len(), 1000, "{list}");
    }
    let chunks = chunks(&web, path);
    assert!(chunks.len() > 5 && chunks.iter().all(|n| *n < 512 << 10), "{chunks:?}");
}

/// How many queries were cut off by it.
fn cut_off(queries: &Queries, by: &str) -> u64 {
    let at = CUT_OFF_BY.iter().position(|name| *name == by).unwrap();
    queries.cut_off()[at]
}

#[test]
fn every_way_in_which_a_query_is_cut_off_is_counted() {
    let (web, storage) = (Web::start(10), Arc::<Stubborn>::default());
    let limits = QueryLimits { timeout: DurationMs::from_secs(600), ..QueryLimits::default() };
    let parts = web.parts(Arc::new(Storage(Arc::clone(&storage))), 1, limits);
    let queries = Arc::clone(&parts.queries);
    web.app.ready(Parts { response_max_bytes: 100, ..parts });
    let counts = |by: &'static str, count: u64| {
        wait_until(by, PATIENCE, || (cut_off(&queries, by) == count).then_some(()));
    };
    // One in the storage and one that waits, whose clients go; and one that has no time to wait.
    let (asking, waiting) = (web.send("/federate?match[]=m"), web.send("/api/v1/query?query=m"));
    storage.wait_for_question(1);
    wait_until("it to wait", PATIENCE, || (queries.counts().waiting == 1).then_some(()));
    assert_eq!(http::get(&web.url("/api/v1/query?query=m&timeout=1ms")).unwrap().status, 503);
    counts("query.timeout", 1);
    drop(waiting);
    counts("client", 1);
    drop(asking);
    counts("client", 2);
    let long = format!("query=%22{}%22", "a".repeat(200));
    assert_eq!(post(&web, "/api/v1/query", &long).status, 422);
    counts("query.max-response-bytes", 1);
    for (by, query) in [
        ("query.max-nesting", "(".repeat(200)),
        ("query.max-depth", format!("1{}", "%2B1".repeat(2000))),
        ("query.max-length", "1".repeat(600_000)),
        ("query.max-matchers", format!("m{{{}}}", "a=\"b\",".repeat(1001))),
        ("query.max-list", format!("sum by ({}) (m)", "a,".repeat(1001))),
        (
            "query.max-regexes",
            format!("m{{{}}}", (0..65).map(|i| format!("a=~\".x{i}.\",")).collect::<String>()),
        ),
    ] {
        let refused = post(&web, "/api/v1/query", &format!("query={query}"));
        assert_eq!((refused.status, refused.text().contains(by)), (400, true), "{}", refused.text());
        counts(by, 1);
    }
    let all: u64 = queries.cut_off().into_iter().sum();
    assert_eq!(all, 10, "{:?}", queries.cut_off());
}

/// Exemplars that nobody gets before their time.
struct StubbornExemplars(Arc<Stubborn>);

impl ExemplarQueryable for StubbornExemplars {
    fn exemplars(
        &self,
        _: TimeRange,
        _: &[Vec<Matcher>],
        budget: &QueryBudget,
    ) -> Result<Vec<SeriesExemplars>, QueryError> {
        Err(self.0.hold(budget))
    }
}

#[test]
fn no_more_queries_run_than_have_slots() {
    let (web, storage) = (Web::start(10), Arc::<Stubborn>::default());
    let limits = QueryLimits { timeout: DurationMs::from_secs(600), ..QueryLimits::default() };
    let parts = web.parts(Arc::new(Storage(Arc::clone(&storage))), 1, limits);
    let queries = Arc::clone(&parts.queries);
    web.app.ready(Parts { exemplars: Arc::new(StubbornExemplars(Arc::clone(&storage))), ..parts });
    let asking = web.send("/api/v1/query?query=m");
    storage.wait_for_question(1);
    let _waiting = [(); 2].map(|()| web.send("/api/v1/query_exemplars?query=m"));
    wait_until("two to wait", PATIENCE, || (queries.counts().waiting == 2).then_some(()));
    drop(asking);
    storage.wait_for_question(2);
    wait_until("the first to be gone", PATIENCE, || (queries.active().0.len() == 2).then_some(()));
    assert_eq!(queries.counts(), Counts { running: 1, waiting: 1 });
}

#[test]
fn lists_of_labels_have_the_limit_of_every_answer() {
    let mut storage = MemoryStorage::default();
    for i in 0..3000 {
        let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("l", format!("{i:0>100}"))]);
        storage.insert_floats(&labels, [(0, 1.0)]);
    }
    let web = Web::start(10);
    let parts = web.parts(Arc::new(storage), 2, QueryLimits::default());
    web.app.ready(Parts { response_max_bytes: 100 << 10, ..parts });
    for path in [
        "/api/v1/series?match[]=m",
        "/api/v1/label/l/values",
        "/api/v1/search/label_values?label=l&limit=3000&start=0&batch_size=3000",
    ] {
        let refused = http::get(&web.url(path)).unwrap();
        assert_eq!(
            (refused.status, refused.text().contains("query.max-response-bytes")),
            (422, true),
            "{path}"
        );
    }
    let few = http::get(&web.url("/api/v1/label/l/values?limit=2")).unwrap();
    let values = ["0".repeat(100), format!("{:0>100}", 1)];
    let expected = serde_json::json!({
        "status": "success", "data": values, "warnings": ["results truncated due to limit"]
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&few.text()).unwrap(), expected);
}

#[test]
fn what_a_client_does_not_take_is_charged_until_it_has_gone() {
    let mut storage = MemoryStorage::default();
    for i in 0..2000 {
        let labels = Labels::from_pairs([("__name__", "m".to_owned()), ("l", format!("{i:0>4000}"))]);
        storage.insert_floats(&labels, [(0, 1.0)]);
    }
    let web = Web::start(10);
    let parts = web.parts(Arc::new(storage), 2, QueryLimits::default());
    let memory = Arc::clone(parts.engine.memory());
    web.app.ready(parts);
    let asking = web.send("/api/v1/series?match[]=m");
    wait_until("what is found to be charged", PATIENCE, || (memory.used() >= 8_000_000).then_some(()));
    drop(asking);
    wait_until("it to be given back", PATIENCE, || (memory.used() == 0).then_some(()));
}

fn query_of(matchers: Vec<LabelMatcher>) -> Query {
    Query { start_timestamp_ms: 0, end_timestamp_ms: i64::MAX, matchers, hints: None }
}

fn name_is_m() -> LabelMatcher {
    LabelMatcher { r#type: 0, name: "__name__".to_owned(), value: "m".to_owned() }
}

fn read(web: &Web, queries: Vec<Query>) -> http::Response {
    let request = ReadRequest { queries, accepted_response_types: Vec::new() };
    let body = encode_request(&request).unwrap();
    http::post(&web.url("/api/v1/read"), "application/x-protobuf", &body).unwrap()
}

#[test]
fn remote_read_is_bounded_over_all_its_queries() {
    const SAMPLES: i64 = 20_000;
    let start = |samples: u64, response_max_bytes: u64| {
        let web = Web::start(10);
        let limits = QueryLimits { max_memory: 100 << 20, ..QueryLimits::default() };
        let parts = web.parts(Arc::new(MemoryStorage::default()), 2, limits);
        let chunks = Arc::new(one_long_series(SAMPLES));
        let source = Arc::new(move |_| Ok(chunks.chunk_view(120)));
        let remote_read =
            RemoteRead::new(source, RemoteReadLimits { samples, ..RemoteReadLimits::default() });
        web.app.ready(Parts { remote_read, response_max_bytes, ..parts });
        web
    };
    let few_samples = start(3 * SAMPLES as u64 - 1, 1 << 30);
    assert_eq!(read(&few_samples, vec![query_of(vec![name_is_m()]); 2]).status, 200);
    let refused = read(&few_samples, vec![query_of(vec![name_is_m()]); 3]);
    assert_eq!((refused.status, refused.text().contains("read-sample-limit")), (400, true));
    let web = start(0, 700_000);
    let expression = |i: usize| LabelMatcher { r#type: 2, name: "l".to_owned(), value: format!("[ab]{i}") };
    let cases: [(&str, Vec<Query>, u16, &str); 4] = [
        ("two", vec![query_of(vec![name_is_m()]); 2], 200, ""),
        ("too long", vec![query_of(vec![name_is_m()]); 3], 422, "query.max-response-bytes"),
        ("too many queries", vec![query_of(Vec::new()); 1001], 400, "may have 1000"),
        (
            "too many expressions",
            (0..65).map(|i| query_of(vec![name_is_m(), expression(i)])).collect(),
            400,
            "limit of 64 regular expressions",
        ),
    ];
    for (what, queries, status, said) in cases {
        let answer = read(&web, queries);
        assert_eq!(answer.status, status, "{what}");
        assert!(said.is_empty() || answer.text().contains(said), "{what}: {}", answer.text());
    }
}

#[test]
fn the_answer_of_remote_read_is_charged() {
    let web = Web::start(10);
    let limits = QueryLimits { max_memory: 2 << 20, ..QueryLimits::default() };
    let parts = web.parts(Arc::new(MemoryStorage::default()), 2, limits);
    let memory = Arc::clone(parts.engine.memory());
    let chunks = Arc::new(one_long_series(20_000));
    let remote_read =
        RemoteRead::new(Arc::new(move |_| Ok(chunks.chunk_view(120))), RemoteReadLimits::default());
    web.app.ready(Parts { remote_read, ..parts });
    assert_eq!(read(&web, vec![query_of(vec![name_is_m()])]).status, 200);
    assert!(memory.peak() > 700_000, "{}", memory.peak());
    let refused = read(&web, vec![query_of(vec![name_is_m()]); 6]);
    assert_eq!((refused.status, refused.text().contains("query.max-memory")), (422, true));
    wait_until("it to be given back", PATIENCE, || (memory.used() == 0).then_some(()));
}

#[test]
fn what_is_told_of_blocks_keeps_its_order() {
    let web = Web::start(10);
    let parts = web.parts(Arc::new(MemoryStorage::default()), 1, QueryLimits::default());
    let blocks = ["{\"ulid\":\"B\",\"minTime\":1}", "{\"ulid\":\"A\",\"maxTime\":2}"];
    let about = About { blocks: Arc::new(move || blocks.map(str::to_owned).to_vec()), ..About::default() };
    web.app.ready(Parts { about, ..parts });
    let told = http::get(&web.url("/api/v1/status/tsdb/blocks")).unwrap().text();
    let [first, second] = blocks;
    assert_eq!(told, format!("{{\"status\":\"success\",\"data\":{{\"blocks\":[{first},{second}]}}}}"));
}

#[test]
fn unknown_states_are_those_of_no_target() {
    let web = Web::start(10);
    web.app.ready(web.parts(Arc::new(MemoryStorage::default()), 2, QueryLimits::default()));
    for (query, counts) in [
        ("", "{}"),
        ("?state=any", "{}"),
        ("?state=dropped", "{}"),
        ("?state=active", "null"),
        ("?state=x", "null"),
    ] {
        let answer = http::get(&web.url(&format!("/api/v1/targets{query}"))).unwrap();
        let expected = format!("\"droppedTargetCounts\":{counts}");
        assert!(answer.text().contains(&expected), "{query}: {}", answer.text());
    }
}

#[test]
fn the_forms_of_put_are_read() {
    let web = Web::start_mounted(10, &Mount { admin_api: true, ..Mount::default() });
    web.app.ready(web.parts(Arc::new(MemoryStorage::default()), 2, QueryLimits::default()));
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let url = web.url("/api/v1/admin/tsdb/delete_series");
    let answer = http::request("PUT", &url, &headers, b"match[]=up").unwrap();
    // It found its selector, and a storage that deletes nothing.
    assert!(answer.text().contains("this role stores nothing"), "{}", answer.text());
}
