//! Listening and serving: bounded in connections and in the time that a client may take for each part of a
//! request, ended gracefully.

use crate::{
    activity::{Activity, EndsIdle},
    answers::{Answers, Client, DEFAULT_MAX_WAITING_BYTES},
    config::Scope,
    guard::{Guard, guard},
    heads::Heads,
    places::{Place, Places},
    progress::Progress,
    protection::Protection,
    request_line::AnyTarget,
};
use axum::{Router, extract::Request, middleware};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use listenfd::ListenFd;
use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tower_http::timeout::RequestBodyTimeoutLayer;

/// How long requests under way may go on once the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept (no more descriptors, for instance).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take next to nothing of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// The answer to who speaks HTTP to a server of HTTPS, in Go's words.
const NOT_IN_THE_CLEAR: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// Requests at the same time on one connection of HTTP/2.
const STREAMS_MAX: u32 = 128;
/// Connections that are served at the same time; for more, those that rest, or whose clients are slow, end
/// (`--web.max-connections`).
pub const DEFAULT_MAX_CONNECTIONS: usize = 512;
/// How long a connection may be idle: long enough for those who scrape every minute to keep theirs.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// How long a request's body may stand still (`--web.read-timeout`).
pub const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(300);

/// What a server takes and from whom.
pub struct ServeOptions {
    /// Connections at the same time.
    pub max_connections: usize,
    /// How long a request's body may stand still; a head and an idle connection have no more than that
    /// either.
    pub read_timeout: Duration,
    /// How long the head of a request may take, from its first byte on; the first one from the start.
    pub read_header_timeout: Duration,
    /// How long a connection may be idle.
    pub idle_timeout: Duration,
    /// Who may do what.
    pub protection: Arc<Protection>,
    /// What a request needs.
    pub needs: fn(&Request) -> Scope,
    /// How much of answers may wait for clients; servers of one process share it.
    pub answers: Arc<Answers>,
    /// What is spoken where no handshake of TLS says it.
    pub in_the_clear: Protocol,
}

impl ServeOptions {
    /// Everybody may do everything.
    pub fn open() -> Self {
        Self {
            max_connections: DEFAULT_MAX_CONNECTIONS,
            read_timeout: DEFAULT_READ_TIMEOUT,
            read_header_timeout: Duration::from_secs(10),
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            protection: Protection::none(),
            needs: |_| Scope::Read,
            answers: Answers::new(DEFAULT_MAX_WAITING_BYTES),
            in_the_clear: Protocol::Http1,
        }
    }
}

/// Listens on every address that `address` (`host:port`, or `:port` for all interfaces) stands for.
pub async fn listen(address: &str) -> io::Result<Vec<TcpListener>> {
    let fail = |e: io::Error| io::Error::new(e.kind(), format!("cannot listen on {address}: {e}"));
    if let Some(port) = address.strip_prefix(':') {
        // One socket of the unspecified IPv6 address takes IPv4 too; without IPv6 fall back.
        let any = match TcpListener::bind(format!("[::]:{port}")).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await.map_err(fail)?,
        };
        return Ok(vec![any]);
    }
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut first_error = None;
    for mut resolved in tokio::net::lookup_host(address).await.map_err(fail)? {
        // With port 0 the second address takes the port that the first was given.
        if resolved.port() == 0
            && let Some(first) = listeners.first()
        {
            resolved.set_port(first.local_addr()?.port());
        }
        match TcpListener::bind(resolved).await {
            Ok(listener) => listeners.push(listener),
            Err(e) if is_absent_family(&e) => {}
            Err(e) => first_error = first_error.or(Some(e)),
        }
    }
    match first_error {
        Some(e) => Err(fail(e)),
        None if listeners.is_empty() => Err(fail(io::Error::other("no usable address"))),
        None => Ok(listeners),
    }
}

/// The sockets that systemd, or whoever else started the process, listens on for it (`LISTEN_FDS`).
pub fn inherited() -> io::Result<Vec<TcpListener>> {
    let mut all = ListenFd::from_env();
    let mut listeners = Vec::new();
    for at in 0..all.len() {
        if let Some(listener) = all.take_tcp_listener(at)? {
            listener.set_nonblocking(true)?;
            listeners.push(TcpListener::from_std(listener)?);
        }
    }
    if listeners.is_empty() {
        return Err(io::Error::other("no socket was handed on: start it by a socket unit of systemd"));
    }
    Ok(listeners)
}

/// `localhost` resolves to an IPv6 address on machines that have no IPv6.
fn is_absent_family(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || e.raw_os_error() == Some(EAFNOSUPPORT)
}

const EAFNOSUPPORT: i32 = 97;

/// Serves until `stop` is ready, then lets requests under way end.
pub async fn serve(
    listeners: Vec<TcpListener>,
    app: Router,
    options: ServeOptions,
    stop: impl Future<Output = ()>,
) {
    let ServeOptions { max_connections, read_timeout, read_header_timeout, idle_timeout, .. } = options;
    let ServeOptions { protection, needs, answers, in_the_clear, .. } = options;
    let guarded = Guard { protection: Arc::clone(&protection), needs };
    let app = app
        .layer(RequestBodyTimeoutLayer::new(read_timeout))
        .layer(middleware::from_fn_with_state(guarded, guard));
    let server = Arc::new(Server {
        app,
        places: Places::new(max_connections),
        answers,
        graceful: GracefulShutdown::new(),
        protection: Arc::clone(&protection),
        in_the_clear,
        // As in Prometheus, who gives bodies less time gives it to heads and idle connections too.
        times: Times { head: read_header_timeout.min(read_timeout), idle: idle_timeout.min(read_timeout) },
    });
    let watching = tokio::spawn(protection.watch());
    let accepting: Vec<_> =
        listeners.into_iter().map(|l| tokio::spawn(accept_loop(l, Arc::clone(&server)))).collect();
    stop.await;
    watching.abort();
    for task in accepting {
        task.abort();
        let _aborted = task.await;
    }
    if let Some(server) = Arc::into_inner(server) {
        tokio::select! {
            () = server.graceful.shutdown() => {}
            () = tokio::time::sleep(DRAIN_TIMEOUT) => {
                tracing::warn!("requests still under way after {DRAIN_TIMEOUT:?} were cut off");
            }
        }
    }
}

/// What all connections share.
struct Server {
    app: Router,
    places: Arc<Places>,
    answers: Arc<Answers>,
    graceful: GracefulShutdown,
    protection: Arc<Protection>,
    in_the_clear: Protocol,
    times: Times,
}

/// How long a client may take.
#[derive(Clone, Copy)]
struct Times {
    head: Duration,
    idle: Duration,
}

async fn accept_loop(listener: TcpListener, server: Arc<Server>) {
    loop {
        let (stream, peer): (_, SocketAddr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        // Only now: a listener to which nobody comes must not keep those of another waiting.
        let place = Arc::new(server.places.take(peer).await);
        let client = server.answers.client(peer);
        place.is_of(&client);
        let connection = Connection {
            app: server.app.clone(),
            peer,
            place: Arc::clone(&place),
            client: Arc::clone(&client),
            in_the_clear: server.in_the_clear,
            times: server.times,
            watcher: server.graceful.watcher(),
        };
        let protection = Arc::clone(&server.protection);
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = connection.serve(stream, &protection) => ended,
                () = client.given_up() => Err("it took its answer slowest, and others need room".to_owned()),
                () = place.given_up() => Err("its client rested or was slow, and another came".to_owned()),
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, error, "connection ended");
            }
        });
    }
}

/// One connection.
struct Connection {
    app: Router,
    peer: SocketAddr,
    place: Arc<Place>,
    client: Arc<Client>,
    in_the_clear: Protocol,
    times: Times,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: TcpStream, protection: &Protection) -> Result<(), String> {
        let Self { app, peer, place, client, in_the_clear, times, watcher } = self;
        let secured = secured((stream, &client), protection, in_the_clear).await;
        let (io, protocol) = secured.map_err(|error| format!("TLS: {error}"))?;
        let builder = builder(protocol, times.idle);
        let activity = Activity::new(times.idle, Arc::clone(&place), client);
        let ended = match protocol {
            Protocol::Http1 => {
                let io = AnyTarget::new(Heads::new(io, times.head, place));
                watcher.watch(builder.serve_connection(TokioIo::new(io), activity.watched(app, peer))).await
            }
            Protocol::Http2 => {
                let io = EndsIdle::new(io, Arc::clone(&activity));
                watcher.watch(builder.serve_connection(TokioIo::new(io), activity.watched(app, peer))).await
            }
        };
        ended.map_err(|e| e.to_string())
    }
}

/// What a connection speaks: HTTP/2 only where the TLS handshake said so, or a listener takes nothing else in
/// the clear. It is never guessed from what comes first, for that may not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

fn builder(protocol: Protocol, idle_timeout: Duration) -> auto::Builder<TokioExecutor> {
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(idle_timeout);
    builder
}

/// Bytes both ways, in the clear or not.
trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

async fn secured(
    (mut stream, client): (TcpStream, &Arc<Client>),
    protection: &Protection,
    in_the_clear: Protocol,
) -> io::Result<(Pin<Box<dyn Stream>>, Protocol)> {
    // Answers are small and written at once: waiting to fill a packet only adds latency.
    let _best_effort = stream.set_nodelay(true);
    let progress = |stream| Progress::of(Arc::clone(client), stream, WRITE_TIMEOUT);
    let Some(tls) = protection.now().tls.clone() else {
        return Ok((Box::pin(progress(stream)), in_the_clear));
    };
    let handshake = async move {
        if begins_as_http(&stream).await? {
            // What nobody has read when a connection ends takes the answer with it.
            let _read = stream.read(&mut [0; 4096]).await?;
            stream.write_all(NOT_IN_THE_CLEAR).await?;
            stream.shutdown().await?;
            return Err(io::Error::other("the client speaks HTTP in the clear"));
        }
        TlsAcceptor::from(tls).accept(progress(stream)).await
    };
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .map_err(|_elapsed| io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"))??;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Box::pin(stream), if is_http2 { Protocol::Http2 } else { Protocol::Http1 }))
}

/// Whether the first byte is a letter, as methods of HTTP have: a handshake begins with none.
async fn begins_as_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic())
}
