//! `RemoteWrite`: the queue with a sender for each server, from a page of metrics to the end of the process.
//! Decides when samples are taken from the queue, and never when they are made.

use crate::{
    backoff::Waits,
    batch::{Batcher, TargetLabels},
    endpoint::{EndpointError, EndpointOptions, HttpEndpoint},
    message::Message,
    metadata::Metadata,
    round,
    sender::{Lane, MetadataPlan, Phase, Sender},
    stats::{self, SenderStats, Shown},
};
use skopos_base::{Env, crc::crc32c};
use skopos_exposition::Families;
use skopos_model::TimestampMs;
use skopos_spool::{Pushed, ReaderId, Spool};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

/// What is sent where, and what it may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// The servers. Each gets everything.
    pub urls: Vec<String>,
    /// How they are spoken to.
    pub endpoint: EndpointOptions,
    /// The labels of every sample.
    pub labels: TargetLabels,
    /// Which message requests are.
    pub message: Message,
    /// So many samples a request has at most, or families.
    pub max_samples: usize,
    /// How often servers are told of families' types and help; never, if there is none.
    pub metadata_interval: Option<Duration>,
    /// Where the queue is.
    pub dir: PathBuf,
    /// Its bounds.
    pub spool: skopos_spool::Options,
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A server cannot be spoken to.
    #[error("{}{source}", if *of > 1 { format!("number {number} of {of}: ") } else { String::new() })]
    Endpoint {
        /// Which of the addresses, from 1. It is not shown: nobody knows what of it is secret.
        number: usize,
        /// How many there are.
        of: usize,
        /// What is wrong.
        source: EndpointError,
    },
    /// Two addresses lead to the same server.
    #[error("{0} is given twice: a server gets every sample once")]
    Twice(String),
    /// The queue cannot be opened.
    #[error("{0}")]
    Spool(#[from] skopos_spool::OpenError),
}

/// See above.
#[derive(Debug)]
pub struct RemoteWrite {
    spool: Arc<Spool>,
    servers: Vec<Server>,
    batcher: Mutex<Batcher>,
    metadata: Arc<Metadata>,
    max_families: usize,
    newest_ms: AtomicI64,
    /// How many pages came.
    pages: AtomicU64,
    /// Whether the disk refused the last samples.
    refused: AtomicBool,
    phase: watch::Sender<Phase>,
}

#[derive(Debug)]
struct Server {
    /// Of the place in the queue; the address is a part of it, its secrets are not.
    name: String,
    url: String,
    stats: Arc<SenderStats>,
    wake: Arc<Notify>,
}

impl RemoteWrite {
    /// Opens the queue, and starts a task for each server on the runtime that this is called in.
    ///
    /// # Errors
    /// When an address is none, or the queue cannot be opened.
    pub fn start(env: &Env, options: Options) -> Result<(Self, JoinSet<()>), OpenError> {
        let mut endpoints: Vec<HttpEndpoint> = Vec::new();
        let of = options.urls.len();
        for (number, url) in (1..).zip(&options.urls) {
            let endpoint = HttpEndpoint::new(&env.fs, url, &options.endpoint)
                .map_err(|source| OpenError::Endpoint { number, of, source })?;
            if endpoints.iter().any(|known| known.shown() == endpoint.shown()) {
                return Err(OpenError::Twice(endpoint.shown().to_owned()));
            }
            endpoints.push(endpoint);
        }
        let names: Vec<String> = endpoints.iter().map(|endpoint| name(endpoint.shown())).collect();
        let spool = Arc::new(Spool::open(env, &options.dir, options.spool, &names)?);
        let (phase, receiver) = watch::channel(Phase::Running);
        let metadata = Arc::new(Metadata::default());
        let (mut servers, mut tasks) = (Vec::new(), JoinSet::new());
        for (at, (endpoint, name)) in endpoints.into_iter().zip(names).enumerate() {
            let server = Server {
                name,
                url: endpoint.shown().to_owned(),
                stats: Arc::default(),
                wake: Arc::default(),
            };
            let lane = Lane {
                endpoint,
                url: server.url.clone(),
                stats: Arc::clone(&server.stats),
                rng: Arc::clone(&env.rng),
                waits: Waits::default(),
                clock: Arc::clone(&env.clock),
                max_age: None,
                told: Mutex::default(),
            };
            // The collector's thread makes one request after the other.
            for one in [&server.stats.lanes, &server.stats.lanes_bounds[0], &server.stats.lanes_bounds[1]] {
                one.store(1, Relaxed);
            }
            server.stats.max_samples.store(options.max_samples as u64, Relaxed);
            let sender = Sender {
                spool: Arc::clone(&spool),
                reader: ReaderId(at),
                lane: Arc::new(lane),
                wake: Arc::clone(&server.wake),
                metadata: MetadataPlan {
                    known: Arc::clone(&metadata),
                    // Samples of the other message have it beside them.
                    interval: options.metadata_interval.filter(|_| options.message == Message::One),
                    told: None,
                },
            };
            tasks.spawn(sender.run(receiver.clone()));
            servers.push(server);
        }
        let remote = Self {
            spool,
            servers,
            batcher: Mutex::new(Batcher::new(options.labels, options.message, options.max_samples)),
            metadata,
            max_families: options.max_samples,
            newest_ms: AtomicI64::new(0),
            pages: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            phase,
        };
        Ok((remote, tasks))
    }

    /// Puts a page into the queue, with what is known of its reading. Blocks for as long as the disk does.
    pub fn push(&self, page: &[u8], at: TimestampMs, extra: &[(&str, f64)]) {
        let mut batcher = self.batcher.lock().unwrap_or_else(PoisonError::into_inner);
        let (batches, read) = batcher.page(page, at, extra);
        if let Err(error) = read {
            tracing::error!(error, "the page of metrics cannot be read: nothing of it is sent");
        } else {
            self.metadata.set(batcher.take_families(), self.max_families);
        }
        let mut refused = None;
        for request in batches {
            let counts = request.counts;
            for server in &self.servers {
                server.stats.came.add(counts);
                server.stats.came_newest_ms.fetch_max(request.newest_ms, Relaxed);
            }
            let weight = u32::try_from(counts.total()).unwrap_or(u32::MAX);
            match self.spool.push(at.as_ms(), weight, round::encode(None, &[(0, request)])) {
                Pushed::Durable => {}
                Pushed::Unwritten(error) => refused = Some(error),
            }
        }
        let was_refused = self.refused.swap(refused.is_some(), Relaxed);
        match refused {
            Some(error) if !was_refused => {
                tracing::error!(%error, "the disk refuses samples: they wait in memory");
            }
            None if was_refused => tracing::info!("the disk takes samples again"),
            _ => {}
        }
        self.newest_ms.fetch_max(at.as_ms(), Relaxed);
        self.pages.fetch_add(1, Relaxed);
        for server in &self.servers {
            server.wake.notify_one();
        }
    }

    /// Appends the metrics of the queue and of all servers.
    pub fn write(&self, out: &mut Families<'_>) {
        let queue = self.spool.stats();
        let servers = self.servers.iter().zip(queue.readers.clone());
        let servers: Vec<_> = servers
            .map(|(s, reader)| Shown { name: &s.name, url: &s.url, stats: &s.stats, reader })
            .collect();
        stats::write_servers(out, &servers);
        stats::write_queues(out, &[queue], self.newest_ms.load(Relaxed));
        let help =
            "How often metrics were collected to be sent. In what is sent this numbers the collections.";
        out.counter("skopos_remote_write_collections_total", help, self.pages.load(Relaxed) as f64);
    }

    /// Sends what there is, for at most so long; the rest stays in the queue for the next start.
    pub async fn finish(&self, mut tasks: JoinSet<()>, deadline: Duration) {
        let spool = Arc::clone(&self.spool);
        let written = tokio::task::spawn_blocking(move || spool.retry());
        self.phase.send_replace(Phase::Finishing);
        let all = async { while tasks.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(deadline, all).await.is_ok();
        tasks.abort_all();
        if let Ok(Err(error)) = written.await {
            tracing::error!(%error, "samples that the disk refused are lost, if no server took them");
        }
        if !in_time {
            let pending: Vec<_> = self.spool.stats().readers.iter().map(|r| r.pending).collect();
            tracing::warn!(?pending, "not everything was sent: it waits for the next start");
        }
    }
}

/// What a server's place in the queue is called: an address may have characters that no file name has.
pub(crate) fn name(url: &str) -> String {
    let backwards: Vec<u8> = url.bytes().rev().collect();
    format!("{:08x}{:08x}", crc32c(url.as_bytes()), crc32c(&backwards))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::sim::SimWorld;
    use skopos_exposition::{Entry, Format, Parser};

    fn options(urls: &[&str]) -> Options {
        Options {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            endpoint: EndpointOptions { timeout: Duration::from_secs(1), ..EndpointOptions::default() },
            labels: TargetLabels::default(),
            message: Message::One,
            max_samples: 100,
            metadata_interval: None,
            dir: "/spool".into(),
            spool: skopos_spool::Options::of_bytes(1 << 20),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pages_wait_for_servers_and_the_metrics_say_so() {
        let env = SimWorld::new(1).env();
        let urls = ["http://me:hush@127.0.0.1:1/a?k=hush", "http://127.0.0.1:1/b"];
        let (remote, tasks) = RemoteWrite::start(&env, options(&urls)).unwrap();
        remote.push(b"a 1\nb 2\n", TimestampMs::new(1_700_000_000_500), &[("up", 1.0)]);
        remote.finish(tasks, Duration::from_secs(30)).await;
        let mut page = Vec::new();
        let mut families = Families::new(Format::Text, &mut page);
        remote.write(&mut families);
        families.finish();
        let text = String::from_utf8(page).unwrap();
        assert!(!text.contains("hush"), "{text}");
        let of = |path: &str| {
            let url = format!("http://127.0.0.1:1/{path}");
            format!("remote_name=\"{}\",url=\"{url}\"", name(&url))
        };
        let (a, b) = (of("a"), of("b"));
        for line in [
            format!("prometheus_remote_storage_samples_pending{{{a}}} 3"),
            format!("prometheus_remote_storage_samples_total{{{b}}} 0"),
            format!("prometheus_remote_storage_samples_dropped_total{{reason=\"size\",{b}}} 0"),
            "prometheus_remote_storage_highest_timestamp_in_seconds 1.7000000005e+09".to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
        let retried = format!("prometheus_remote_storage_samples_retried_total{{{a}}} 0");
        assert!(!text.contains(&retried), "nobody listens there: {text}");
        assert!(Parser::new(Format::Text, text.as_bytes()).all(|entry| entry.is_ok()));
        let samples = Parser::new(Format::Text, text.as_bytes());
        assert!(samples.filter(|e| matches!(e, Ok(Entry::Sample(_)))).count() > 20);
    }

    #[tokio::test]
    async fn one_server_is_not_given_twice() {
        let env = SimWorld::new(1).env();
        let wrong = RemoteWrite::start(&env, options(&["http://host/", "//secret"])).unwrap_err();
        let said = "number 2 of 2: an address is expected, such as http://host:9090/api/v1/write";
        assert_eq!(wrong.to_string(), said);
        let twice = RemoteWrite::start(&env, options(&["http://a:b@host/", "http://host/?x"]));
        assert!(matches!(twice, Err(OpenError::Twice(url)) if url == "http://host/"));
        assert_ne!(name("http://host/a"), name("http://host/b"));
    }
}
