//! Listening and serving: bounded in connections, in the time that a request's head may take, and
//! ended gracefully.

use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};

/// How long a client may take to send a request's head.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may go on once the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept (no more descriptors, for instance).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Connections that are served at the same time; more wait (`--web.max-connections`).
pub const DEFAULT_MAX_CONNECTIONS: usize = 512;

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
    max_connections: usize,
    stop: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(max_connections));
    let graceful = Arc::new(GracefulShutdown::new());
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|l| tokio::spawn(accept_loop(l, app.clone(), Arc::clone(&slots), Arc::clone(&graceful))))
        .collect();
    stop.await;
    for task in accepting {
        task.abort();
        let _aborted = task.await;
    }
    if let Some(graceful) = Arc::into_inner(graceful) {
        tokio::select! {
            () = graceful.shutdown() => {}
            () = tokio::time::sleep(DRAIN_TIMEOUT) => {
                tracing::warn!("requests still under way after {DRAIN_TIMEOUT:?} were cut off");
            }
        }
    }
}

async fn accept_loop(
    listener: TcpListener,
    app: Router,
    slots: Arc<Semaphore>,
    graceful: Arc<GracefulShutdown>,
) {
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        let slot = slot.expect("invariant: the semaphore is never closed");
        let (stream, peer): (_, SocketAddr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        // Answers are small and written at once: waiting to fill a packet only adds latency.
        let _best_effort = stream.set_nodelay(true);
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_TIMEOUT);
        let connection =
            builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app.clone()));
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%peer, %error, "connection ended");
            }
            drop(slot);
        });
    }
}
