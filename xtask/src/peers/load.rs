//! The targets of the load: one server for all of them, which writes answers that were made before. It costs
//! next to nothing, so that the measured program gets the machine. Never measures.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A thread for a connection does little.
const STACK_BYTES: usize = 64 << 10;
/// The longest head of a request.
const REQUEST_BYTES: usize = 8 << 10;
const GONE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// A running load.
pub(super) struct Load {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    answers: Vec<Vec<u8>>,
    started: Instant,
    is_gone: AtomicBool,
    served: AtomicU64,
    interval: Duration,
    /// By how much the times between two scrapes of a target differed from the interval.
    jitter: Mutex<Vec<Duration>>,
}

impl Load {
    /// Serves `answers`, each for a second, on a free port, to who scrapes every `interval`.
    pub(super) fn start(answers: Vec<Vec<u8>>, interval: Duration) -> Result<Load> {
        // Targets are told from one another by their addresses in 127.0.0.0/8, which no single address
        // listens for; connections from elsewhere are dropped.
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("cannot listen")?;
        let port = listener.local_addr()?.port();
        let shared = Shared {
            answers,
            started: Instant::now(),
            is_gone: AtomicBool::new(false),
            served: AtomicU64::new(0),
            interval,
            jitter: Mutex::default(),
        };
        let shared = Arc::new(shared);
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let is_ours = stream.peer_addr().is_ok_and(|from| from.ip().is_loopback());
                let shared = Arc::clone(&own);
                let serve = move || drop(serve(stream, &shared));
                if is_ours && thread::Builder::new().stack_size(STACK_BYTES).spawn(serve).is_err() {
                    eprintln!("the load cannot start a thread for a connection");
                }
            }
        });
        Ok(Load { port, shared })
    }

    /// The configuration that scrapes `targets` targets.
    pub(super) fn config(&self, targets: usize) -> String {
        let interval_s = self.shared.interval.as_secs();
        let mut out = format!(
            "global:\n  scrape_interval: {interval_s}s\n  scrape_timeout: {interval_s}s\n\
             scrape_configs:\n  - job_name: load\n    static_configs:\n      - targets:\n"
        );
        for target in 0..targets {
            let _ = writeln!(out, "          - {}:{}", address(target), self.port);
        }
        out
    }

    /// From now on targets fail.
    pub(super) fn stop_answering(&self) {
        self.shared.is_gone.store(true, Ordering::Relaxed);
    }

    /// By how much the times between two scrapes of a target differed from the interval, since this was asked
    /// before.
    pub(super) fn take_jitter(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.shared.jitter.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many scrapes were answered.
    pub(super) fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Relaxed)
    }
}

/// The address of a target.
fn address(target: usize) -> IpAddr {
    let byte = |n: usize| u8::try_from(n % 250).expect("invariant: the rest of 250 is a byte");
    IpAddr::V4(Ipv4Addr::new(127, 1 + byte(target / 62_500), byte(target / 250), 1 + byte(target)))
}

/// Answers the requests of one connection until it ends.
fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = [0; REQUEST_BYTES];
    let (mut have, mut last) = (0, None::<Instant>);
    loop {
        let n = stream.read(&mut request[have..])?;
        if n == 0 {
            return Ok(());
        }
        have += n;
        if !request[..have].ends_with(b"\r\n\r\n") {
            continue;
        }
        have = 0;
        if shared.is_gone.load(Ordering::Relaxed) {
            stream.write_all(GONE)?;
            continue;
        }
        if let Some(last) = last.replace(Instant::now()) {
            let jitter = last.elapsed().abs_diff(shared.interval);
            shared.jitter.lock().unwrap_or_else(PoisonError::into_inner).push(jitter);
        }
        let second = shared.started.elapsed().as_secs() as usize;
        shared.served.fetch_add(1, Ordering::Relaxed);
        stream.write_all(&shared.answers[second % shared.answers.len()])?;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn targets_have_addresses_of_their_own_on_the_loopback() {
        let addresses: HashSet<IpAddr> = (0..100_000).map(address).collect();
        assert_eq!(addresses.len(), 100_000);
        assert!(addresses.iter().all(IpAddr::is_loopback));
    }

    #[test]
    fn a_target_answers_until_it_is_told_to_fail() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n".to_vec();
        let load = Load::start(vec![answer], Duration::from_secs(1)).unwrap();
        let config = load.config(3);
        let target = config.lines().last().unwrap().trim().trim_start_matches("- ");
        assert!(target.starts_with("127.1.0.3:"), "{config}");
        let mut stream = TcpStream::connect(target).unwrap();
        for _ in 0..2 {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut got = [0; 43];
            stream.read_exact(&mut got).unwrap();
            assert!(got.ends_with(b"up 1\n"), "{}", got.escape_ascii());
        }
        assert_eq!(load.served(), 2);
        let jitter = load.take_jitter();
        assert!(
            jitter.len() == 1 && jitter[0] <= Duration::from_secs(1),
            "the second came at once: {jitter:?}"
        );
        drop(stream);
        load.stop_answering();
        let mut stream = TcpStream::connect(target).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut got = [0; 12];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"HTTP/1.1 503");
    }
}
