//! `RemoteWrites`: the servers that get what a server stores, as its configuration file has them: each with a
//! queue of its own, a follower that fills it from the log and a sender. A reload leaves alone what it does
//! not change, and is done as a whole or not at all.

use crate::{
    backoff::Waits,
    config::RemoteWriteConfig,
    endpoint::{EndpointError, EndpointOptions, HttpEndpoint},
    follow::{Follower, Queue, Source, State},
    gather::{Gatherer, Plan},
    message::Message,
    metadata::Metadata,
    push::name,
    round::{self, Place},
    sender::{Lane, MetadataPlan, Phase, Sender},
    stats::{self, SenderStats, Shown},
};
use skopos_base::Env;
use skopos_exposition::Families;
use skopos_model::{DurationMs, MetricType};
use skopos_spool::{OpenError, ReaderId, Spool};
use skopos_tsdb::tail::WalTail;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

/// The reader of a queue.
const READER: &str = "server";

/// Where queues are, and what they may take.
#[derive(Clone, Debug)]
pub struct WritesOptions {
    /// Each queue has a directory in this one.
    pub dir: PathBuf,
    /// The bounds of each.
    pub spool: skopos_spool::Options,
    /// How long the end of the process waits for what is still to be sent.
    pub flush_deadline: Duration,
}

/// Why servers cannot be sent to.
#[derive(Debug, thiserror::Error)]
pub enum WritesError {
    /// One cannot be spoken to.
    #[error("remote_write: {0}")]
    Endpoint(#[from] EndpointError),
    /// Its queue cannot be opened.
    #[error("remote_write: {0}")]
    Queue(#[from] OpenError),
    /// The log cannot be read.
    #[error("remote_write: the write-ahead log cannot be read: {0}")]
    Log(#[source] io::Error),
    /// What is in its queue cannot be read.
    #[error("remote_write: the queue in {} cannot be read: {source}", path.display())]
    Read {
        /// The queue.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// See above.
#[derive(Debug)]
pub struct RemoteWrites {
    env: Env,
    source: Source,
    options: WritesOptions,
    running: Mutex<BTreeMap<String, Running>>,
}

/// One server.
#[derive(Debug)]
struct Running {
    config: RemoteWriteConfig,
    external_labels: BTreeMap<String, String>,
    shown: About,
    queue: Arc<Queue>,
    task: Task,
}

/// What its metrics say of it.
#[derive(Clone, Debug)]
struct About {
    name: String,
    url: String,
    stats: Arc<SenderStats>,
}

/// What fills its queue and empties it.
#[derive(Debug)]
struct Task {
    stop: watch::Sender<bool>,
    phase: watch::Sender<Phase>,
    follower: JoinHandle<()>,
    sender: JoinHandle<()>,
}

/// A configuration that is ready to be put in force.
#[derive(Debug)]
pub struct Prepared {
    external_labels: BTreeMap<String, String>,
    /// By their names on disk; an endpoint and a queue where they are not those that run.
    servers: Vec<(String, RemoteWriteConfig, Option<New>)>,
}

#[derive(Debug)]
struct New {
    endpoint: HttpEndpoint,
    /// None where there is one already.
    queue: Option<(Queue, WalTail)>,
}

impl RemoteWrites {
    /// Sends nothing yet.
    pub fn new(env: &Env, source: Source, options: WritesOptions) -> Self {
        Self { env: env.clone(), source, options, running: Mutex::default() }
    }

    /// Looks whether this configuration can be put in force; nothing changes before `apply`.
    ///
    /// # Errors
    /// When a server cannot be spoken to or its queue not be opened.
    pub fn prepare(
        &self,
        external_labels: &BTreeMap<String, String>,
        configs: &[RemoteWriteConfig],
    ) -> Result<Prepared, WritesError> {
        let running = self.running();
        let mut servers = Vec::new();
        for (dir, config) in named(configs) {
            let known = running.get(&dir);
            let is_same =
                known.is_some_and(|it| it.config == *config && it.external_labels == *external_labels);
            let new = if is_same { None } else { Some(self.new_server(&dir, config, known.is_some())?) };
            servers.push((dir, config.clone(), new));
        }
        Ok(Prepared { external_labels: external_labels.clone(), servers })
    }

    fn new_server(&self, dir: &str, config: &RemoteWriteConfig, has_queue: bool) -> Result<New, WritesError> {
        let options = EndpointOptions {
            timeout: config.remote_timeout.as_std(),
            http: config.client(),
            retries_too_many: config.queue_config.retry_on_http_429,
            round_robin_dns: config.round_robin_dns,
        };
        let endpoint = HttpEndpoint::new(&self.env.fs, config.url.expose(), &options)?;
        let queue = if has_queue { None } else { Some(self.open_queue(dir)?) };
        Ok(New { endpoint, queue })
    }

    /// A queue, and the log from its place on.
    fn open_queue(&self, dir: &str) -> Result<(Queue, WalTail), WritesError> {
        let path = self.options.dir.join(dir);
        let spool = Spool::open(&self.env, &path, self.options.spool, &[READER.to_owned()])?;
        let newest = spool.newest().map_err(|source| WritesError::Read { path, source })?;
        let place = newest.and_then(|newest| {
            let round = round::decode(newest.body, newest.weight, newest.time_ms).ok()?;
            round.place
        });
        let tail = (self.source.tail)(place.map(Place::position)).map_err(WritesError::Log)?;
        Ok((Queue { spool: Arc::new(spool), place: Mutex::new(place) }, tail))
    }

    /// Puts a configuration in force, on the runtime that this is called in.
    pub fn apply(&self, prepared: Prepared) {
        let mut running = self.running();
        let names: BTreeSet<_> = prepared.servers.iter().map(|(dir, _, _)| dir.clone()).collect();
        for (dir, config, new) in prepared.servers {
            let Some(New { endpoint, queue }) = new else { continue };
            let before = running.remove(&dir);
            let (queue, tail) = queue.map_or((None, None), |(queue, tail)| (Some(queue), Some(tail)));
            let (queue, stats, before) = match before {
                Some(Running { queue, shown, task, .. }) => (queue, shown.stats, Some(task)),
                None => {
                    let queue = queue.expect("invariant: who has none has a new one");
                    (Arc::new(queue), Arc::default(), None)
                }
            };
            let name = if config.name.is_empty() { dir.clone() } else { config.name.clone() };
            let shown = About { name, url: endpoint.shown().to_owned(), stats };
            let external_labels = prepared.external_labels.clone();
            let task = self.start((endpoint, &shown), &config, &external_labels, (&queue, tail, before));
            tracing::info!(url = shown.url, name = shown.name, "what is stored is sent on");
            running.insert(dir, Running { config, external_labels, shown, queue, task });
        }
        let gone: Vec<_> = running.keys().filter(|dir| !names.contains(*dir)).cloned().collect();
        for dir in gone {
            let Some(Running { shown, task, queue, .. }) = running.remove(&dir) else { continue };
            tracing::info!(url = shown.url, name = shown.name, "nothing is sent on any more: its queue goes");
            task.sender.abort();
            task.stop.send_replace(true);
            let (fs, path) = (Arc::clone(&self.env.fs), self.options.dir.join(dir));
            tokio::spawn(async move {
                let _ended = (task.follower.await, task.sender.await);
                drop(queue);
                let _removed_later = tokio::task::spawn_blocking(move || fs.remove_dir_all(&path)).await;
            });
        }
        drop(running);
        self.remove_strangers(&names);
    }

    /// Removes queues of servers that a configuration before the start had.
    fn remove_strangers(&self, names: &BTreeSet<String>) {
        let (fs, dir) = (&self.env.fs, &self.options.dir);
        let entries = fs.read_dir(dir).unwrap_or_default();
        for stranger in entries.iter().filter(|e| e.is_dir && !names.contains(&e.name)) {
            let is_running = self.running().contains_key(&stranger.name);
            if !is_running && fs.remove_dir_all(&dir.join(&stranger.name)).is_ok() {
                tracing::info!(
                    queue = stranger.name,
                    "the queue of a server that is not named any more is gone"
                );
            }
        }
    }

    fn start(
        &self,
        (endpoint, about): (HttpEndpoint, &About),
        config: &RemoteWriteConfig,
        external_labels: &BTreeMap<String, String>,
        (queue, tail, before): (&Arc<Queue>, Option<WalTail>, Option<Task>),
    ) -> Task {
        let (stop, stopped) = watch::channel(false);
        let (phase, of_phase) = watch::channel(Phase::Running);
        let (wake, metadata) = (Arc::new(Notify::new()), Arc::new(Metadata::default()));
        let sender = self.sender((endpoint, about), config, (queue, &wake, &metadata));
        let mut follower = self.follower(about, (config, external_labels), (queue, &wake, &metadata));
        follower.state = State::with(tail);
        let (stop_before, ended) = match before {
            Some(Task { stop, phase, follower, sender }) => (Some((stop, phase)), Some((follower, sender))),
            None => (None, None),
        };
        // Who was there before has the queue: its last round stands in it, and a request under way is over.
        let (ready, is_ready) = watch::channel(false);
        let follower = tokio::spawn(async move {
            if let Some((follower, sender)) = ended {
                if let Some((stop, _)) = &stop_before {
                    stop.send_replace(true);
                }
                let _ended = follower.await;
                sender.abort();
                let _ended = sender.await;
            }
            ready.send_replace(true);
            follower.run(stopped).await;
        });
        let sender = tokio::spawn(async move {
            let mut is_ready = is_ready;
            if is_ready.wait_for(|is_ready| *is_ready).await.is_ok() {
                sender.run(of_phase).await;
            }
        });
        Task { stop, phase, follower, sender }
    }

    fn sender(
        &self,
        (endpoint, about): (HttpEndpoint, &About),
        config: &RemoteWriteConfig,
        (queue, wake, metadata): (&Arc<Queue>, &Arc<Notify>, &Arc<Metadata>),
    ) -> Sender<HttpEndpoint> {
        let given = &config.queue_config;
        let lane = Lane {
            endpoint,
            url: about.url.clone(),
            stats: Arc::clone(&about.stats),
            rng: Arc::clone(&self.env.rng),
            waits: Waits { first: given.min_backoff.as_std(), longest: given.max_backoff.as_std() },
            clock: Arc::clone(&self.env.clock),
            max_age: (given.sample_age_limit > DurationMs::ZERO).then(|| given.sample_age_limit.as_std()),
            told: Mutex::default(),
        };
        let told = &config.metadata_config;
        let tells = told.send && config.protobuf_message == Message::One;
        Sender {
            spool: Arc::clone(&queue.spool),
            reader: ReaderId(0),
            lane: Arc::new(lane),
            wake: Arc::clone(wake),
            metadata: MetadataPlan {
                known: Arc::clone(metadata),
                interval: tells.then(|| told.send_interval.as_std()),
                told: None,
            },
        }
    }

    fn follower(
        &self,
        about: &About,
        (config, external_labels): (&RemoteWriteConfig, &BTreeMap<String, String>),
        (queue, wake, metadata): (&Arc<Queue>, &Arc<Notify>, &Arc<Metadata>),
    ) -> Follower {
        let given = &config.queue_config;
        let plan = Plan {
            external_labels: external_labels.clone(),
            rules: config.write_relabel_configs.clone(),
            message: config.protobuf_message,
            exemplars: config.send_exemplars,
            histograms: config.send_native_histograms,
            max_samples: given.max_samples_per_send as usize,
            capacity: given.capacity as usize,
            max_age_ms: (given.sample_age_limit > DurationMs::ZERO).then(|| given.sample_age_limit.as_ms()),
        };
        let stats = &about.stats;
        let lanes = given.min_shards as usize..=given.max_shards as usize;
        for (stat, value) in [
            (&stats.lanes_bounds[0], given.min_shards),
            (&stats.lanes_bounds[1], given.max_shards),
            (&stats.capacity, given.capacity),
            (&stats.max_samples, given.max_samples_per_send),
        ] {
            stat.store(value.into(), Relaxed);
        }
        Follower {
            source: self.source.clone(),
            queue: Arc::clone(queue),
            gatherer: Gatherer::new(plan, *lanes.start(), Arc::clone(stats)),
            clock: Arc::clone(&self.env.clock),
            stats: Arc::clone(stats),
            wake: Arc::clone(wake),
            metadata: Arc::clone(metadata),
            sends_metadata: config.metadata_config.send,
            max_families: config.metadata_config.max_samples_per_send as usize,
            deadline: given.batch_send_deadline.as_std(),
            lanes,
            url: about.url.clone(),
            state: State::default(),
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the metrics of all servers and queues; nothing where there is no server.
    pub fn write(&self, out: &mut Families<'_>) {
        let running = self.running();
        if running.is_empty() {
            return;
        }
        let queues: Vec<_> = running.values().map(|server| server.queue.spool.stats()).collect();
        let shown = running.values().zip(&queues).map(|(Running { shown, .. }, queue)| Shown {
            name: &shown.name,
            url: &shown.url,
            stats: &shown.stats,
            reader: queue.readers.first().cloned().unwrap_or_default(),
        });
        let shown: Vec<_> = shown.collect();
        let newest = shown.iter().map(|server| server.stats.came_newest_ms.load(Relaxed)).max();
        stats::write_servers(out, &shown);
        stats::write_queues(out, &queues, newest.unwrap_or_default());
        let help = "The segment of the write-ahead log that is read for a server.";
        out.family("prometheus_wal_watcher_current_segment", MetricType::Gauge, help);
        for server in &shown {
            let segment = server.stats.segment.load(Relaxed) as f64;
            out.sample("", &[("consumer", server.name)], segment);
        }
    }

    /// Queues what was stored, sends what there is for at most the deadline, and ends. The rest stays in the
    /// queues for the next start.
    pub async fn stop(&self) {
        let all = std::mem::take(&mut *self.running());
        for server in all.values() {
            server.task.stop.send_replace(true);
        }
        let deadline = tokio::time::Instant::now() + self.options.flush_deadline;
        for Running { shown, mut task, queue, .. } in all.into_values() {
            // What is stored is in the log: it is queued with the next start, if it cannot be now.
            let _queued = tokio::time::timeout_at(deadline, &mut task.follower).await;
            task.phase.send_replace(Phase::Finishing);
            if tokio::time::timeout_at(deadline, &mut task.sender).await.is_err() {
                task.sender.abort();
                let pending: u64 = queue.spool.stats().readers.iter().map(|reader| reader.pending).sum();
                tracing::warn!(
                    url = shown.url,
                    pending,
                    "not everything was sent: it waits for the next start"
                );
            }
        }
    }
}

/// Each server with its name on disk: its own, or what its address comes to. Of several with one address the
/// second has another name.
fn named(configs: &[RemoteWriteConfig]) -> impl Iterator<Item = (String, &RemoteWriteConfig)> {
    let mut known = BTreeMap::<String, u32>::new();
    configs.iter().map(move |config| {
        let place = config.url.place();
        let base = name(if config.name.is_empty() { &place } else { &config.name });
        let earlier = known.entry(base.clone()).or_default();
        *earlier += 1;
        (if *earlier == 1 { base } else { format!("{base}-{earlier}") }, config)
    })
}
