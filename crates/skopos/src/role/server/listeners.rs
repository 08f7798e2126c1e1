//! Listeners of protocols without HTTP: lines of Graphite and Influx over TCP and UDP, and StatsD. What
//! comes is gathered for a moment, and each gathering is a batch. A connection that says nothing or sends no
//! end of a line is closed; datagrams that come faster than they are stored are dropped by the system.

use crate::role::Failure;
use parking_lot::Mutex;
use skopos_api::own_metrics::MetricsSource;
use skopos_exposition::Families;
use skopos_intake::{Compression, ExtraLabels, Intake, Precision, Statsd, TextFormat};
use skopos_model::DurationMs;
use std::{
    io, net,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

/// Connections of one listener at a time; more wait.
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may say nothing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest line, and what a connection holds at most besides a gathering.
const LINE_MAX_BYTES: usize = 64 << 10;
/// A gathering ends with so many bytes, or after so long.
const GATHERED_BYTES: usize = 256 << 10;
const GATHERED_FOR: Duration = Duration::from_millis(100);
/// No datagram is longer.
const DATAGRAM_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ListenerFlags {
    /// Address to take lines of Graphite at, over TCP and UDP; none without it.
    #[arg(long = "graphite.listen-address", value_name = "HOST:PORT")]
    graphite: Option<String>,
    /// Address to take lines of Influx at, over TCP and UDP; none without it.
    #[arg(long = "influx.listen-address", value_name = "HOST:PORT")]
    influx: Option<String>,
    /// Address to take StatsD at, over UDP and TCP; none without it.
    #[arg(long = "statsd.listen-address", value_name = "HOST:PORT")]
    statsd: Option<String>,
    /// How often what came over StatsD is stored.
    #[arg(long = "statsd.flush-interval", value_name = "DURATION", default_value = "10s")]
    statsd_flush: DurationMs,
    /// Series that StatsD may have; further ones are refused.
    #[arg(long = "statsd.max-series", value_name = "N", default_value_t = 100_000)]
    statsd_max_series: u32,
}

/// What listens; it ends when this is dropped.
pub(super) struct Listeners {
    tasks: Vec<JoinHandle<()>>,
    statsd: Option<Arc<Mutex<Statsd>>>,
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Where lines go. Nobody here keeps storage from being closed.
#[derive(Clone)]
enum Into {
    Storage(Weak<Intake>, TextFormat),
    Statsd(Arc<Mutex<Statsd>>, Weak<Intake>),
}

impl ListenerFlags {
    /// Begins to listen; the runtime of the caller serves.
    pub(super) fn listen(&self, intake: &Arc<Intake>) -> Result<Listeners, Failure> {
        let statsd =
            self.statsd.as_ref().map(|_| Arc::new(Mutex::new(Statsd::new(self.statsd_max_series as usize))));
        let mut tasks = Vec::new();
        let storage = |format| Some(Into::Storage(Arc::downgrade(intake), format));
        let of_statsd =
            statsd.as_ref().map(|statsd| Into::Statsd(Arc::clone(statsd), Arc::downgrade(intake)));
        for (flag, address, into) in [
            ("graphite.listen-address", &self.graphite, storage(TextFormat::Graphite)),
            ("influx.listen-address", &self.influx, storage(TextFormat::Influx(Precision::default()))),
            ("statsd.listen-address", &self.statsd, of_statsd),
        ] {
            let (Some(address), Some(into)) = (address, into) else { continue };
            let (tcp, udp) = bound(address).map_err(Failure::system(flag))?;
            tracing::info!(flag, address, "listening over TCP and UDP");
            tasks.push(tokio::spawn(accept(tcp, into.clone())));
            tasks.push(tokio::spawn(datagrams(udp, into)));
        }
        if let Some(statsd) = &statsd {
            let every = self.statsd_flush.as_std().max(Duration::from_millis(100));
            tasks.push(tokio::spawn(flush(Arc::clone(statsd), Arc::downgrade(intake), every)));
        }
        Ok(Listeners { tasks, statsd })
    }
}

impl Listeners {
    /// What StatsD says of itself.
    pub(super) fn metrics(&self) -> MetricsSource {
        let statsd = self.statsd.clone();
        Arc::new(move |out: &mut Families<'_>| {
            let Some(stats) = statsd.as_ref().map(|statsd| statsd.lock().stats()) else { return };
            for (name, help, value) in [
                ("skopos_statsd_lines_total", "Lines of StatsD that were added.", stats.lines),
                ("skopos_statsd_bad_lines_total", "Lines of StatsD that were none.", stats.bad_lines),
                ("skopos_statsd_conflicts_total", "Values whose name is of another type.", stats.conflicts),
                (
                    "skopos_statsd_beyond_max_series_total",
                    "Values of series beyond statsd.max-series.",
                    stats.beyond_max_series,
                ),
            ] {
                out.counter(name, help, value as f64);
            }
        })
    }
}

/// Both sockets of an address; `:2003` is all interfaces.
fn bound(address: &str) -> io::Result<(TcpListener, UdpSocket)> {
    let whole = address.strip_prefix(':').map(|port| format!("[::]:{port}"));
    let fallback = address.strip_prefix(':').map(|port| format!("0.0.0.0:{port}"));
    let mut tcp = net::TcpListener::bind(whole.as_deref().unwrap_or(address));
    if let (Err(_), Some(fallback)) = (&tcp, &fallback) {
        tcp = net::TcpListener::bind(fallback);
    }
    let tcp = tcp?;
    let udp = net::UdpSocket::bind(tcp.local_addr()?)?;
    tcp.set_nonblocking(true)?;
    udp.set_nonblocking(true)?;
    Ok((TcpListener::from_std(tcp)?, UdpSocket::from_std(udp)?))
}

async fn accept(listener: TcpListener, into: Into) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let into = into.clone();
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, &into).await {
                        tracing::debug!(%peer, %error, "connection ended");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(GATHERED_FOR).await;
            }
        }
    }
}

/// Reads a connection to its end, gathering by gathering.
async fn connection(mut stream: TcpStream, into: &Into) -> io::Result<()> {
    let mut gathered = Vec::new();
    loop {
        // The first bytes of a gathering may take their time, the others may not.
        let read = timeout(IDLE_TIMEOUT, stream.read_buf(&mut gathered)).await;
        let mut ended = read.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?? == 0;
        let until = Instant::now() + GATHERED_FOR;
        while !ended && gathered.len() < GATHERED_BYTES {
            match timeout_at(until, stream.read_buf(&mut gathered)).await {
                Ok(read) => ended = read? == 0,
                Err(_elapsed) => break,
            }
        }
        let lines = if ended {
            gathered.len()
        } else {
            gathered.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1)
        };
        let rest = gathered.split_off(lines);
        if !gathered.is_empty() {
            store(into, gathered).await;
        }
        if ended {
            return Ok(());
        }
        if rest.len() > LINE_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line has no end"));
        }
        gathered = rest;
    }
}

async fn datagrams(socket: UdpSocket, into: Into) {
    let mut datagram = vec![0; DATAGRAM_BYTES];
    loop {
        let mut gathered = Vec::new();
        let mut until = None;
        while gathered.len() < GATHERED_BYTES {
            let received = match until {
                None => socket.recv_from(&mut datagram).await,
                Some(until) => match timeout_at(until, socket.recv_from(&mut datagram)).await {
                    Ok(received) => received,
                    Err(_elapsed) => break,
                },
            };
            // An error of a datagram that was sent concerns nobody here.
            let Ok((length, _)) = received else { continue };
            gathered.extend_from_slice(&datagram[..length]);
            gathered.push(b'\n');
            until.get_or_insert_with(|| Instant::now() + GATHERED_FOR);
        }
        store(&into, gathered).await;
    }
}

/// Hands lines on. What of them is refused is counted, and said where somebody looks for it.
async fn store(into: &Into, lines: Vec<u8>) {
    let into = into.clone();
    let done = tokio::task::spawn_blocking(move || match into {
        Into::Statsd(statsd, intake) => {
            if let Some(intake) = intake.upgrade() {
                statsd.lock().add(&lines, intake.now_ms());
            }
            Ok(None)
        }
        Into::Storage(intake, format) => {
            let Some(intake) = intake.upgrade() else { return Ok(None) };
            let taken = intake.text(&format, (&lines, Compression::None), &ExtraLabels::default());
            taken.map(|written| written.refused)
        }
    });
    match done.await {
        Ok(Ok(None)) => {}
        Ok(Ok(Some(refused))) => tracing::debug!(refused, "lines were refused"),
        Ok(Err(error)) => tracing::warn!(%error, "lines were lost"),
        Err(error) => tracing::error!(%error, "a thread failed"),
    }
}

async fn flush(statsd: Arc<Mutex<Statsd>>, intake: Weak<Intake>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let Some(intake) = intake.upgrade() else { return };
        let statsd = Arc::clone(&statsd);
        let done = tokio::task::spawn_blocking(move || {
            let mut page = Vec::new();
            statsd.lock().flush(intake.now_ms(), &mut page);
            if page.is_empty() {
                return Ok(());
            }
            let body = (&page[..], Compression::None);
            intake.text(&TextFormat::Statsd, body, &ExtraLabels::default()).map(|_written| ())
        });
        match done.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what came over StatsD was not stored this time"),
            Err(error) => tracing::error!(%error, "a thread failed"),
        }
    }
}
