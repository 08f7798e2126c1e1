//! What a change of the configuration does to the series of its targets: a storage that says what it is
//! given, and sources in this process. No network.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use skopos_base::Env;
use skopos_model::{DurationMs, Labels, SeriesRef, TimestampMs, is_stale_nan};
use skopos_scrape::{
    config::GlobalConfig,
    fetch::{Fetcher, InProcessSource},
    ingest::{MetadataLabels, StartTimes},
    manager::{Applied, Manager},
    scraper::Shared,
    status::ScrapeCounters,
    target::{Reading, Source, Target},
};
use skopos_storage::{Append, AppendError, Appendable, Appender, CommitError, Committed, SeriesId, Value};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Name and value of each sample of a batch.
type Batch = BTreeMap<String, f64>;

/// Gives every batch to the test when it is committed.
struct Storage {
    series: Mutex<Vec<Labels>>,
    batches: Sender<Batch>,
}

struct Batching<'a> {
    storage: &'a Storage,
    batch: Batch,
}

impl Appendable for Storage {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batching { storage: self, batch: Batch::new() })
    }
}

impl Batching<'_> {
    fn take(&mut self, series: SeriesRef, value: f64) {
        let labels = &self.storage.series.lock().unwrap()[usize::try_from(series.get()).unwrap() - 1];
        self.batch.insert(labels.value("__name__").to_owned(), value);
    }
}

impl Appender for Batching<'_> {
    fn append(&mut self, sample: &Append<'_>) -> Result<SeriesRef, AppendError> {
        let series = match sample.series {
            SeriesId::Ref(series) => series,
            SeriesId::Labels(labels) => {
                let mut all = self.storage.series.lock().unwrap();
                let at = all.iter().position(|l| l == labels).unwrap_or_else(|| {
                    all.push(labels.clone());
                    all.len() - 1
                });
                SeriesRef::new(at as u64 + 1).unwrap()
            }
        };
        let Value::Float(value) = sample.value else { panic!("scrapes have floats only") };
        self.take(series, value);
        Ok(series)
    }

    fn append_floats(
        &mut self,
        _: TimestampMs,
        series: &[SeriesRef],
        values: &[f64],
        _: &mut Vec<(usize, AppendError)>,
    ) {
        series.iter().zip(values).for_each(|(series, value)| self.take(*series, *value));
    }

    fn commit(self: Box<Self>) -> Result<Committed, CommitError> {
        let samples = self.batch.len();
        // The test may be over.
        let _heard = self.storage.batches.send(self.batch);
        Ok(Committed { samples, ..Committed::default() })
    }
}

/// A manager whose sources `a` and `b` give these bodies.
fn manager(a: &'static str, b: &'static str) -> (Manager, Receiver<Batch>) {
    let source = |body: &'static str| -> InProcessSource {
        Arc::new(move |out: &mut Vec<u8>| out.extend_from_slice(body.as_bytes()))
    };
    manager_of(source(a), source(b))
}

fn manager_of(a: InProcessSource, b: InProcessSource) -> (Manager, Receiver<Batch>) {
    let (batches, received) = channel();
    let shared = Shared {
        storage: Arc::new(Storage { series: Mutex::default(), batches }),
        fetcher: Fetcher::new(HashMap::from([("a", a), ("b", b)]), &Env::real().fs),
        clock: Env::real().clock,
        counters: Arc::new(ScrapeCounters::default()),
        max_series_per_target: 0,
        metadata_labels: MetadataLabels::None,
        start_times: StartTimes::PassedOver,
    };
    (Manager::new(shared), received)
}

/// A target that is scraped at once, and then not for as long as a test takes.
fn target(source: &'static str, honor_labels: bool) -> Target {
    Target {
        job: Arc::from("j"),
        source: Source::InProcess(source),
        labels: Labels::from_pairs([("instance", "h"), ("job", "j")]),
        discovered: Labels::empty(),
        interval: DurationMs::from_secs(86_400),
        timeout: DurationMs::from_secs(10),
        max_series: None,
        forced_error: None,
        access: Arc::default(),
        reading: Reading { honor_labels, ..Reading::default() },
        extra_metrics: false,
        failure_log: None,
    }
}

fn apply(manager: &Manager, targets: &[Target]) -> Applied {
    manager.apply(&GlobalConfig::default(), &[], targets).unwrap()
}

/// The series that a batch ends.
fn ended(batch: &Batch) -> Vec<&str> {
    batch.iter().filter(|(_, value)| is_stale_nan(**value)).map(|(name, _)| name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_replaces_another_ends_only_what_it_lacks() {
    // Where the target's labels begin to win, the same texts may be of other series.
    for honor_labels in [false, true] {
        let (manager, batches) = manager("m 1\nonly_a 1\n", "only_b 2\nm 2\n");
        apply(&manager, &[target("a", false)]);
        let first = batches.recv_timeout(PATIENCE).unwrap();
        assert_eq!((first["m"], first["only_a"], first["up"]), (1.0, 1.0, 1.0));
        let applied = apply(&manager, &[target("b", honor_labels)]);
        assert_eq!(applied, Applied { kept: 0, started: 1, stopped: 1 });
        let second = batches.recv_timeout(PATIENCE).unwrap();
        assert_eq!((second["m"], second["only_b"], second["up"]), (2.0, 2.0, 1.0));
        assert_eq!(ended(&second), ["only_a"]);
        manager.shutdown().await;
        assert!(batches.try_recv().is_err(), "a shutdown ends no series");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_that_panics_is_a_failed_one_and_the_target_is_scraped_on() {
    let asked = AtomicUsize::new(0);
    let source = Arc::new(move |out: &mut Vec<u8>| {
        assert_ne!(asked.fetch_add(1, Ordering::Relaxed), 1, "a defect");
        out.extend_from_slice(b"m 1\n");
    });
    let (manager, batches) = manager_of(source.clone(), source);
    apply(&manager, &[Target { interval: DurationMs::from_secs(1), ..target("a", false) }]);
    let ups = [(); 4].map(|()| batches.recv_timeout(PATIENCE).unwrap()["up"]);
    assert_eq!(ups, [1.0, 0.0, 1.0, 1.0]);
    manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_waits_for_the_ends_of_removed_targets() {
    for round in 0..20 {
        let (manager, batches) = manager("m 1\n", "");
        apply(&manager, &[target("a", false)]);
        batches.recv_timeout(PATIENCE).unwrap();
        let applied = apply(&manager, &[]);
        assert_eq!(applied, Applied { kept: 0, started: 0, stopped: 1 });
        manager.shutdown().await;
        let last = batches.try_recv().unwrap_or_else(|e| panic!("round {round}: nothing was ended: {e}"));
        let all = [
            "m",
            "scrape_duration_seconds",
            "scrape_samples_post_metric_relabeling",
            "scrape_samples_scraped",
            "scrape_series_added",
            "up",
        ];
        assert_eq!(ended(&last), all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_replaced_and_then_removed_ends_what_its_predecessor_had() {
    let (manager, batches) = manager("m 1\nonly_a 1\n", "m 2\n");
    apply(&manager, &[target("a", false)]);
    batches.recv_timeout(PATIENCE).unwrap();
    apply(&manager, &[target("b", false)]);
    apply(&manager, &[]);
    manager.shutdown().await;
    let ended: Vec<String> = batches
        .try_iter()
        .flat_map(|b| ended(&b).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for series in ["m", "only_a", "up"] {
        assert_eq!(ended.iter().filter(|name| *name == series).count(), 1, "{series}: {ended:?}");
    }
}
