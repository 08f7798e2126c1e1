//! The web server without the rest of the program: before storage is open, with few connections, with clients
//! that go away and with a storage that takes its time.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use skopos_api::{
    App, Mount, NoAdmin, Parts, QueryLog, QueryRanks, RemoteRead, RemoteReadLimits, about::About,
    own_metrics::OwnMetrics, router,
};
use skopos_base::Env;
use skopos_config::{Config, Live};
use skopos_model::{DurationMs, Labels};
use skopos_promql::{Engine, EngineOptions, queries::Queries};
use skopos_scrape::{fetch::Fetcher, manager::Manager, scraper::Shared, status::ScrapeCounters};
use skopos_storage::{
    Appendable, Appender, LabelRequest, NoExemplars, Querier, QueryError, QueryLimits, Queryable,
    SelectRequest, SeriesSet, TimeRange,
};
use skopos_testkit::{http, wait_until};
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
use tokio::{
    runtime::Runtime,
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};

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
        let runtime = Runtime::new().unwrap();
        let listeners = runtime.block_on(listen("127.0.0.1:0")).unwrap();
        let address = listeners[0].local_addr().unwrap().to_string();
        let app = App::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let options = ServeOptions { max_connections, ..ServeOptions::open() };
        let serving =
            runtime.spawn(serve(listeners, router(app.clone(), &Mount::default()), options, async {
                drop(stopped.await);
            }));
        Self { runtime, address, app, stop: Some(stop), serving }
    }

    /// Makes it ready with a storage that answers only once its query is cancelled or out of time.
    fn ready(&self, storage: &Arc<Stubborn>, slots: usize, timeout: DurationMs) {
        let clock = Env::real().clock;
        let limits = QueryLimits { timeout, ..QueryLimits::default() };
        let shared = Shared {
            storage: Arc::new(Storage(Arc::clone(storage))),
            fetcher: Fetcher::new(HashMap::new()).unwrap(),
            clock: Arc::clone(&clock),
            counters: Arc::new(ScrapeCounters::default()),
            max_series_per_target: 0,
        };
        self.app.ready(Parts {
            tsdb_status: Arc::new(|_, _| Ok(skopos_api::tsdb_status::TsdbStatus::default())),
            kept_metadata: Arc::new(Vec::new),
            tsdb_admin: Arc::new(NoAdmin),
            exemplars: Arc::new(NoExemplars),
            remote_read: RemoteRead::new(
                Arc::new(|_| Err(QueryError::Cancelled)),
                RemoteReadLimits::default(),
            ),
            about: About::default(),
            query_ranks: QueryRanks::new(Arc::clone(&clock)),
            response_max_bytes: skopos_api::DEFAULT_RESPONSE_MAX_BYTES,
            storage: Arc::new(Storage(Arc::clone(storage))),
            engine: Engine::new(EngineOptions { limits, ..EngineOptions::default() }, Arc::clone(&clock)),
            targets: Arc::new(Manager::new(shared)),
            config: Arc::new(Live::new(Config::built_in())),
            queries: Queries::new(Arc::clone(&clock), slots, None),
            query_log: QueryLog::new(Env::real().fs, None),
            clock,
            query_slots: Arc::new(Semaphore::new(slots)),
            metrics: Arc::new(OwnMetrics::new(Vec::new())),
        });
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
    fn hold(&self, budget: &skopos_storage::QueryBudget) -> QueryError {
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
        ("/metrics", 503, "unavailable"),
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
    let web = Web::start(1);
    let first = web.send("/-/healthy");
    assert_eq!(status_line(&first), "HTTP/1.1 200 OK");
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
