//! `Stats`: what discovery counts of itself, under Prometheus' names. Writes no page.

use crate::kubernetes::Role;
use parking_lot::Mutex;
use std::{collections::BTreeMap, time::Duration};

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyKind {
    /// Grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Sums with counts: of durations.
    Summary,
}

/// The labels of a sample.
pub type SampleLabels = Vec<(&'static str, String)>;

/// A sum of observations.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Observed {
    /// What a counter or gauge shows; of a summary, the sum.
    pub value: f64,
    /// How many observations there were; zero but of a summary.
    pub count: u64,
}

macro_rules! families {
    ($($id:ident $kind:ident $name:literal $help:literal;)*) => {
        /// A family of metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Family { $($id),* }

        const FAMILIES: &[(Family, FamilyKind, &str, &str)] =
            &[$((Family::$id, FamilyKind::$kind, $name, $help)),*];
    };
}

families! {
    AzureFailures Counter "prometheus_sd_azure_failures_total" "Refreshes from Azure that failed.";
    ConsulFailures Counter "prometheus_sd_consul_rpc_failures_total" "Requests to Consul that failed.";
    ConsulDuration Summary "prometheus_sd_consul_rpc_duration_seconds" "How long requests to Consul took.";
    DnsFailures Counter "prometheus_sd_dns_lookup_failures_total" "Lookups in DNS that failed.";
    DnsLookups Counter "prometheus_sd_dns_lookups_total" "Lookups in DNS.";
    FailedConfigs Gauge "prometheus_sd_failed_configs" "Entries that could not be started.";
    FileMtime Gauge "prometheus_sd_file_mtime_seconds" "When a file with targets was changed last.";
    FileReadErrors Counter "prometheus_sd_file_read_errors_total" "Files that could not be read.";
    FileScan Summary "prometheus_sd_file_scan_duration_seconds" "How long reading files took.";
    FileWatcherErrors Counter "prometheus_sd_file_watcher_errors_total"
        "Files that could not be watched: none, as files are looked at.";
    HttpFailures Counter "prometheus_sd_http_failures_total" "Requests for targets over HTTP that failed.";
    KubernetesEvents Counter "prometheus_sd_kubernetes_events_total" "Changes that Kubernetes told.";
    KubernetesFailures Counter "prometheus_sd_kubernetes_failures_total" "Lists and watches that failed.";
    KumaFailures Counter "prometheus_sd_kuma_fetch_failures_total" "Requests to Kuma that failed.";
    KumaSkipped Counter "prometheus_sd_kuma_fetch_skipped_updates_total" "Answers that told no change.";
    KumaDuration Summary "prometheus_sd_kuma_fetch_duration_seconds" "How long requests to Kuma took.";
    LinodeFailures Counter "prometheus_sd_linode_failures_total" "Refreshes from Linode that failed.";
    NomadFailures Counter "prometheus_sd_nomad_failures_total" "Refreshes from Nomad that failed.";
    ReceivedUpdates Counter "prometheus_sd_received_updates_total" "Answers that sources gave.";
    RefreshDuration Summary "prometheus_sd_refresh_duration_seconds" "How long a refresh took.";
    RefreshFailures Counter "prometheus_sd_refresh_failures_total" "Refreshes that failed.";
    Updates Counter "prometheus_sd_updates_total" "Changes of targets that were handed on.";
    UpdatesDelayed Counter "prometheus_sd_updates_delayed_total"
        "Changes of targets that could not be handed on: none, as nobody has to take them at once.";
    ZooKeeperFailures Counter "prometheus_treecache_zookeeper_failures_total"
        "Connections to ZooKeeper that failed.";
}

/// Families that show a sample without labels from the start.
const WITHOUT_LABELS: [Family; 15] = [
    Family::AzureFailures,
    Family::ConsulFailures,
    Family::DnsFailures,
    Family::DnsLookups,
    Family::FileReadErrors,
    Family::FileScan,
    Family::FileWatcherErrors,
    Family::HttpFailures,
    Family::KubernetesFailures,
    Family::KumaFailures,
    Family::KumaSkipped,
    Family::KumaDuration,
    Family::LinodeFailures,
    Family::NomadFailures,
    Family::ZooKeeperFailures,
];
/// Families that show one for targets that are scraped.
const OF_SCRAPES: [Family; 4] =
    [Family::FailedConfigs, Family::ReceivedUpdates, Family::Updates, Family::UpdatesDelayed];
/// What whoever finds targets to be scraped is called.
pub(crate) const OF_SCRAPE: [(&str, &str); 1] = [("name", "scrape")];
/// What Kubernetes tells of objects.
const EVENTS: [&str; 3] = ["add", "delete", "update"];

/// The samples that there are from the start.
fn first_samples() -> impl Iterator<Item = (Family, SampleLabels)> {
    let plain = WITHOUT_LABELS.into_iter().map(|family| (family, Vec::new()));
    let of_scrapes = OF_SCRAPES.into_iter().map(|family| (family, owned(&OF_SCRAPE)));
    let events = EVENTS.into_iter().flat_map(|event| {
        let labels = move |role: Role| owned(&[("event", event), ("role", role.as_str())]);
        Role::ALL.into_iter().map(move |role| (Family::KubernetesEvents, labels(role)))
    });
    plain.chain(of_scrapes).chain(events)
}

/// A family with its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct FamilySamples {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// What it is.
    pub kind: FamilyKind,
    /// Its samples.
    pub samples: Vec<(SampleLabels, Observed)>,
}

/// See above; one for all sources of the process.
#[derive(Debug)]
pub struct Stats {
    samples: Mutex<BTreeMap<(Family, SampleLabels), Observed>>,
}

impl Default for Stats {
    fn default() -> Self {
        let samples = first_samples().map(|key| (key, Observed::default()));
        Self { samples: Mutex::new(samples.collect()) }
    }
}

impl Stats {
    /// All families that have samples, in the order of their names.
    pub fn families(&self) -> Vec<FamilySamples> {
        let all = self.samples.lock();
        let of = |family: Family| {
            let own = all.iter().filter(|((own, _), _)| *own == family);
            own.map(|((_, labels), value)| (labels.clone(), *value)).collect::<Vec<_>>()
        };
        let families = FAMILIES.iter().map(|(family, kind, name, help)| FamilySamples {
            name,
            help,
            kind: *kind,
            samples: of(*family),
        });
        families.filter(|family| !family.samples.is_empty()).collect()
    }

    /// The value of a family's sample, for tests.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let family = self.families().into_iter().find(|family| family.name == name)?;
        let own = |of: &SampleLabels| of.iter().map(|(n, v)| (*n, v.as_str())).eq(labels.iter().copied());
        family.samples.iter().find(|(of, _)| own(of)).map(|(_, observed)| observed.value)
    }

    pub(crate) fn count(&self, family: Family, labels: &[(&'static str, &str)]) {
        self.change(family, labels, |observed| observed.value += 1.0);
    }

    pub(crate) fn set(&self, family: Family, labels: &[(&'static str, &str)], value: f64) {
        self.change(family, labels, |observed| observed.value = value);
    }

    /// Adds to a sample; zero makes that there is one.
    pub(crate) fn add(&self, family: Family, labels: &[(&'static str, &str)], value: f64) {
        self.change(family, labels, |observed| observed.value += value);
    }

    pub(crate) fn observe(&self, family: Family, labels: &[(&'static str, &str)], took: Duration) {
        self.change(family, labels, |observed| {
            observed.value += took.as_secs_f64();
            observed.count += 1;
        });
    }

    /// Shows a sample no longer.
    pub(crate) fn forget(&self, family: Family, labels: &[(&'static str, &str)]) {
        self.samples.lock().remove(&(family, owned(labels)));
    }

    fn change(&self, family: Family, labels: &[(&'static str, &str)], change: impl FnOnce(&mut Observed)) {
        change(self.samples.lock().entry((family, owned(labels))).or_default());
    }
}

fn owned(labels: &[(&'static str, &str)]) -> SampleLabels {
    labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}
