//! `skopos agent`: this machine's metrics on a page of their own, with node_exporter's flags; and sent to
//! other servers, where `push` is told to.

mod gzip;
mod push;

use self::{gzip::Gzip, push::PushFlags};
use super::Failure;
use crate::{
    logging::{self, LogFlags},
    signals::Signals,
};
use axum::{
    Router,
    extract::{RawQuery, State},
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY},
    },
    response::{Html, IntoResponse, Response},
    routing::get,
};
use skopos_agent::{
    AgentArgs, BuildInfo, NodeAgent, Scrape, Selection, SelectionError, Top, TopRequest, WebArgs,
};
use skopos_base::Env;
use skopos_exposition::{Families, Format};
use skopos_remote::RemoteWrite;
use skopos_web::{
    Protection,
    answers::Answers,
    process,
    serve::{ServeOptions, inherited, listen, serve},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tower_http::{CompressionLevel, compression::CompressionLayer};

/// How long a scraper waits, in seconds.
const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

/// So many pages run code that no later one does, such as what is read once.
const PAGES_OF_START: u64 = 2;

/// A page has room for so much more than the last one.
const MORE_PART: usize = 8;

/// Where the processes that use most are.
const PROCESSES: &str = "/api/v1/processes";

#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    agent: AgentArgs,
    #[command(flatten)]
    push: PushFlags,
    #[command(flatten)]
    log: LogFlags,
}

pub(crate) fn run(flags: Flags) -> Result<(), Failure> {
    logging::init(&flags.log);
    let AgentArgs { collectors, web, .. } = flags.agent;
    if !web.telemetry_path.starts_with('/') {
        let path = &web.telemetry_path;
        return Err(Failure::Flags(format!("--web.telemetry-path={path}: must begin with /")));
    }
    let config_file = (!web.config_file.is_empty()).then(|| Path::new(&web.config_file));
    let protection = super::protection(config_file)?;
    let options = collectors.options().map_err(|e| Failure::Flags(e.to_string()))?;
    let env = Env::real();
    let plan = flags.push.plan()?;
    let top = Top::new(options.paths.clone(), Arc::clone(&env.clock));
    let agent = NodeAgent::new(options, BuildInfo::default(), super::agent_env(&env));
    // Reading this machine takes a millisecond or two: one thread beside the blocking ones is enough.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::system("cannot start threads"))?;
    runtime.block_on(serve_until_stopped(Parts { web, agent, top, protection, plan, env }))
}

/// What the role is made of.
struct Parts {
    web: WebArgs,
    agent: NodeAgent,
    top: Top,
    protection: Arc<Protection>,
    plan: Option<push::Plan>,
    env: Env,
}

async fn serve_until_stopped(parts: Parts) -> Result<(), Failure> {
    let Parts { web, agent, top, protection, plan, env } = parts;
    let mut signals = Signals::take().map_err(Failure::system("cannot handle signals"))?;
    let listeners = listeners(&web).await?;
    let collectors: Vec<&str> = agent.enabled().collect();
    let addresses: Vec<_> = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
    let flush_deadline = plan.as_ref().map(|plan| plan.flush_deadline);
    let pushing = plan.map(|plan| push::start(plan, &env)).transpose()?;
    // What cannot be followed has been found by now.
    tracing::info!(collectors = collectors.len(), path = %web.telemetry_path, ?addresses, "serving metrics");
    let (remote, senders) = match pushing {
        Some((remote, senders, interval)) => (Some(remote), Some((senders, interval))),
        None => (None, None),
    };
    let answers = Answers::new(web.max_waiting_bytes.bytes());
    let page = Arc::new(Page {
        agent,
        top: Arc::new(top),
        top_turn: tokio::sync::Mutex::default(),
        slots: (web.max_requests > 0).then(|| Semaphore::new(web.max_requests)),
        max_requests: web.max_requests,
        shows_process: !web.disable_exporter_metrics,
        remote,
        gzip: Gzip::default(),
        answers: Arc::clone(&answers),
        length: AtomicUsize::new(0),
        pages: AtomicU64::new(0),
    });
    let (stopping, stopped) = watch::channel(());
    // The channel's end is the signal's.
    tokio::spawn(async move {
        signals.stop().await;
        drop(stopping);
    });
    let stop = |mut stopped: watch::Receiver<()>| async move { while stopped.changed().await.is_ok() {} };
    let options = ServeOptions {
        max_connections: web.max_connections as usize,
        read_header_timeout: web.read_header_timeout.as_std(),
        protection,
        answers,
        ..ServeOptions::open()
    };
    let serving = serve(listeners, router(&web, Arc::clone(&page)), options, stop(stopped.clone()));
    let Some((senders, interval)) = senders else {
        serving.await;
        return Ok(());
    };
    tokio::join!(serving, push::collect(Arc::clone(&page), interval, env, stop(stopped)));
    if let (Some(remote), Some(deadline)) = (&page.remote, flush_deadline) {
        remote.finish(senders, deadline).await;
    }
    Ok(())
}

async fn listeners(web: &WebArgs) -> Result<Vec<TcpListener>, Failure> {
    if web.systemd_socket {
        return inherited().map_err(Failure::system("web.systemd-socket"));
    }
    let mut listeners = Vec::new();
    for address in &web.listen_address {
        listeners.extend(listen(address).await.map_err(Failure::system("web.listen-address"))?);
    }
    Ok(listeners)
}

/// What the page of metrics is made of.
struct Page {
    agent: NodeAgent,
    top: Arc<Top>,
    /// Whoever asks it has this.
    top_turn: tokio::sync::Mutex<()>,
    /// Requests that are answered at the same time; none for any number.
    slots: Option<Semaphore>,
    max_requests: usize,
    shows_process: bool,
    remote: Option<RemoteWrite>,
    gzip: Gzip,
    answers: Arc<Answers>,
    /// How long the last one was: the next needs as much room.
    length: AtomicUsize,
    pages: AtomicU64,
}

impl Page {
    /// A page, in as much memory as it needs.
    fn make(&self, scrape: &Scrape) -> Vec<u8> {
        let last = self.length.load(Relaxed);
        let mut body = Vec::with_capacity(last + last / MORE_PART);
        self.write(scrape, &mut body);
        self.length.store(body.len(), Relaxed);
        if body.capacity() - body.len() > body.len() / MORE_PART {
            body.shrink_to_fit();
        }
        body
    }

    /// Appends the page of one scrape: what the process says of itself, then the machine.
    fn write(&self, scrape: &Scrape, body: &mut Vec<u8>) {
        if self.shows_process {
            let mut own = Families::new(scrape.format, body);
            process::write(&mut own);
            self.answers.write(&mut own);
            if let Some(remote) = &self.remote {
                remote.write(&mut own);
            }
            if self.pages.load(Relaxed) == 0 {
                for error in own.faults() {
                    tracing::error!(%error, "a part of the agent's own metrics is left out");
                }
            }
        }
        self.agent.scrape(scrape, body);
        if self.pages.fetch_add(1, Relaxed) + 1 == PAGES_OF_START {
            match skopos_agent::release_code() {
                Ok(bytes) => tracing::debug!(bytes, "code of the start is let go of"),
                Err(error) => tracing::debug!(%error, "code of the start stays in memory"),
            }
        }
    }
}

fn router(web: &WebArgs, page: Arc<Page>) -> Router {
    let link = web.telemetry_path.clone();
    let landing = move || async move {
        let version = env!("CARGO_PKG_VERSION");
        Html(format!(
            "<!doctype html><title>Skopos agent</title><h1>Skopos agent {version}</h1>\
             <p><a href=\"{link}\">Metrics of this machine</a></p>\n"
        ))
    };
    let router = if web.telemetry_path == PROCESSES {
        Router::new()
    } else {
        Router::new().route(PROCESSES, get(processes))
    };
    // With the metrics at / there is no place for a landing page.
    let router = if web.telemetry_path == "/" { router } else { router.route("/", get(landing)) };
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
    // The page of metrics is compressed by gzip already, and by nothing else: one that waits to be compressed
    // would be on nobody's account.
    let router = router.layer(compression).route(&web.telemetry_path, get(metrics));
    router.with_state(page)
}

async fn metrics(State(page): State<Arc<Page>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let selection = match selection(&page.agent, query.as_deref().unwrap_or("")) {
        Ok(selection) => selection,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let format = Format::negotiate(header(ACCEPT.as_str()).unwrap_or(""));
    let timeout = header(TIMEOUT_HEADER).and_then(timeout);
    let scrape = Scrape { format, selection, timeout, reserved: &[] };
    let takes_gzip = gzip::is_accepted(header(ACCEPT_ENCODING.as_str()).unwrap_or(""));
    let gathered = tokio::task::spawn_blocking(move || {
        let _slot = match &page.slots {
            Some(slots) => Some(slots.try_acquire().map_err(|_full| page.max_requests)?),
            None => None,
        };
        let body = page.make(&scrape);
        let compressed = takes_gzip.then(|| page.gzip.page(&body)).flatten();
        Ok::<_, usize>(compressed.map_or((body, None), |page| (page, Some("gzip"))))
    });
    match gathered.await {
        Ok(Ok((body, encoding))) => {
            let headers = [(CONTENT_TYPE, format.content_type()), (VARY, ACCEPT_ENCODING.as_str())];
            let encoding = encoding.map(|encoding| [(CONTENT_ENCODING, encoding)]);
            (headers, encoding, body).into_response()
        }
        Ok(Err(max)) => {
            let text = format!("Limit of concurrent requests reached ({max}), try again later.\n");
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        Err(_panicked) => (StatusCode::INTERNAL_SERVER_ERROR, "The collectors failed.\n").into_response(),
    }
}

/// The processes that use most, in the envelope that all answers of the API have.
async fn processes(State(page): State<Arc<Page>>, RawQuery(query): RawQuery) -> Response {
    let json = |status: StatusCode, body: &serde_json::Value| {
        (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    };
    let parameters: Vec<_> = form_urlencoded::parse(query.as_deref().unwrap_or("").as_bytes()).collect();
    let request = match TopRequest::of(parameters.iter().map(|(name, value)| (&**name, &**value))) {
        Ok(request) => request,
        Err(error) => {
            let error = error.to_string();
            let body = serde_json::json!({ "status": "error", "errorType": "bad_data", "error": error });
            return json(StatusCode::BAD_REQUEST, &body);
        }
    };
    // One at a time needs no more than a thread, and what one has read is there for those behind it.
    let _turn = page.top_turn.lock().await;
    let top = Arc::clone(&page.top);
    match tokio::task::spawn_blocking(move || top.snapshot(request)).await {
        Ok(snapshot) => json(StatusCode::OK, &serde_json::json!({ "status": "success", "data": snapshot })),
        Err(_panicked) => {
            let error = "the processes could not be read";
            let body = serde_json::json!({ "status": "error", "errorType": "internal", "error": error });
            json(StatusCode::INTERNAL_SERVER_ERROR, &body)
        }
    }
}

/// The collectors that the request's parameters name.
fn selection(agent: &NodeAgent, query: &str) -> Result<Selection, SelectionError> {
    let values = |wanted: &str| -> Vec<String> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        pairs.filter(|(name, _)| name == wanted).map(|(_, value)| value.into_owned()).collect()
    };
    let (collect, exclude) = (values("collect[]"), values("exclude[]"));
    agent.select(&collect, &exclude)
}

/// How long collectors may take when the scraper waits for `seconds`: the page has to be on its way before.
fn timeout(seconds: &str) -> Option<Duration> {
    /// The part of the scraper's time that the way of the page is left.
    const WAY: f64 = 0.1;
    let seconds: f64 = seconds.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds * (1.0 - WAY)).ok().filter(|timeout| !timeout.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scrapers_patience_less_a_part_bounds_the_collectors() {
        for (header, bound) in [
            ("10", Some(Duration::from_secs(9))),
            (" 0.5 ", Some(Duration::from_millis(450))),
            ("0", None),
            ("-3", None),
            ("inf", None),
            ("nan", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(timeout(header), bound, "{header:?}");
        }
    }
}
