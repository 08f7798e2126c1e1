//! What the configuration file says of scraping, as Prometheus spells it. Reads no file: the shapes
//! and their checks only.

mod histograms;
mod names;
mod protocols;

pub use histograms::BucketFactor;
pub use names::{NameEscaping, NameValidation};
pub use protocols::{ProtocolsError, ScrapeProtocol, ScrapeProtocols};

use names::blank_is_none;
use serde::{Deserialize, Serialize};
use skopos_client::{HttpConfig, HttpConfigError};
use skopos_discovery::DiscoveryConfigs;
use skopos_model::{ByteSize, DurationMs, name::METRIC_NAME, null_is_default};
use skopos_relabel::Rules;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The section `global`: what holds where a job says nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GlobalConfig {
    /// How often targets are scraped.
    pub scrape_interval: DurationMs,
    /// How long a scrape may take; unset means 10 s, or the interval here when that is shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<DurationMs>,
    /// The formats that targets are asked for; unset means as a job's `scrape_native_histograms` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_protocols: Option<ScrapeProtocols>,
    /// How often rules are evaluated.
    pub evaluation_interval: DurationMs,
    /// How far in the past rules are evaluated.
    #[serde(skip_serializing_if = "is_no_time")]
    pub rule_query_offset: DurationMs,
    /// The file to which queries are logged; none are when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_log_file: Option<String>,
    /// The file to which scrapes that fail are logged; none are when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_failure_log_file: Option<PathBuf>,
    /// Labels that tell this server's data from that of others, added when data leaves it.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub external_labels: BTreeMap<String, String>,
    /// How many bytes an answer may have, decompressed; its scrape fails beyond; zero is the limit that holds
    /// for all.
    #[serde(skip_serializing_if = "ByteSize::is_zero")]
    pub body_size_limit: ByteSize,
    /// How many samples a scrape may have behind `metric_relabel_configs`; it fails beyond; zero is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub sample_limit: usize,
    /// How many targets a job may have; all of them fail beyond; zero is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub target_limit: usize,
    /// How many labels a series may have; its scrape fails beyond; zero is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_limit: usize,
    /// How many bytes a label's name may have; its scrape fails beyond; zero is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_name_length_limit: usize,
    /// The same of its value; zero is no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_value_length_limit: usize,
    /// How many of the targets that a job's rules drop are kept to be shown; zero is all.
    #[serde(skip_serializing_if = "is_zero")]
    pub keep_dropped_targets: usize,
    /// Which names of metrics and labels are taken.
    #[serde(deserialize_with = "blank_is_none", skip_serializing_if = "Option::is_none")]
    pub metric_name_validation_scheme: Option<NameValidation>,
    /// What targets are asked to make of names that are not classic; unset means as those are taken.
    #[serde(deserialize_with = "blank_is_none", skip_serializing_if = "Option::is_none")]
    pub metric_name_escaping_scheme: Option<NameEscaping>,
    /// Whether native histograms are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrape_native_histograms: Option<bool>,
    /// Whether classic histograms become native ones with custom buckets.
    #[serde(skip_serializing_if = "is_no")]
    pub convert_classic_histograms_to_nhcb: bool,
    /// Whether what is a classic and a native histogram is taken as both.
    #[serde(skip_serializing_if = "is_no")]
    pub always_scrape_classic_histograms: bool,
    /// Whether scrapes leave more series of themselves.
    #[serde(skip_serializing_if = "is_no")]
    pub extra_scrape_metrics: bool,
}

/// What features that are enabled mean where the file says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ScrapeFeatures {
    /// Native histograms are taken.
    pub native_histograms: bool,
    /// Families in protocol buffers are asked for first, as they say when something was begun to be counted.
    pub families_first: bool,
    /// Scrapes leave more series of themselves.
    pub extra_metrics: bool,
}

impl Default for GlobalConfig {
    fn default() -> Self {
        Self {
            scrape_interval: DEFAULT_SCRAPE_INTERVAL,
            scrape_timeout: None,
            scrape_protocols: None,
            evaluation_interval: DEFAULT_SCRAPE_INTERVAL,
            rule_query_offset: DurationMs::ZERO,
            query_log_file: None,
            scrape_failure_log_file: None,
            external_labels: BTreeMap::new(),
            body_size_limit: ByteSize::default(),
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            keep_dropped_targets: 0,
            metric_name_validation_scheme: None,
            metric_name_escaping_scheme: None,
            scrape_native_histograms: None,
            convert_classic_histograms_to_nhcb: false,
            always_scrape_classic_histograms: false,
            extra_scrape_metrics: false,
        }
    }
}

/// How often targets are scraped when nothing is said.
pub const DEFAULT_SCRAPE_INTERVAL: DurationMs = DurationMs::from_secs(60);
/// How long a scrape may take when nothing is said.
pub const DEFAULT_SCRAPE_TIMEOUT: DurationMs = DurationMs::from_secs(10);

/// One entry of `scrape_configs`: a job. Its keys stand in the order in which Prometheus writes them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct ScrapeConfig {
    /// The value of the label `job`; no two jobs have the same.
    pub job_name: String,
    /// Whether the target's own labels win over those of its job.
    #[serde(default, skip_serializing_if = "is_no")]
    pub honor_labels: bool,
    /// Whether the target's own timestamps are kept.
    #[serde(default = "yes")]
    pub honor_timestamps: bool,
    /// Whether series whose samples come with timestamps of their own end too where they vanish.
    #[serde(default)]
    pub track_timestamps_staleness: bool,
    /// The query of the URL.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Vec<String>>,
    /// How often; unset means as in `global`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_interval: Option<DurationMs>,
    /// How long at most; unset means as in `global`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_timeout: Option<DurationMs>,
    /// The formats that targets are asked for; unset means as in `global`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_protocols: Option<ScrapeProtocols>,
    /// What a body is whose head says nothing of it, or nothing that is understood; unset, its scrape fails.
    #[serde(default, deserialize_with = "blank_is_none", skip_serializing_if = "Option::is_none")]
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// Whether native histograms are taken; unset means as in `global`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_native_histograms: Option<bool>,
    /// Whether what is a classic and a native histogram is taken as both; unset means as in `global`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always_scrape_classic_histograms: Option<bool>,
    /// Whether classic histograms become native ones with custom buckets; unset means as in `global`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convert_classic_histograms_to_nhcb: Option<bool>,
    /// The file to which scrapes that fail are logged; unset means as in `global`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scrape_failure_log_file: Option<PathBuf>,
    /// Where on the target the metrics are.
    #[serde(default = "default_metrics_path")]
    pub metrics_path: String,
    /// How the target is reached.
    #[serde(default, deserialize_with = "null_is_default")]
    pub scheme: Scheme,
    /// Whether targets may compress their answers.
    #[serde(default = "yes")]
    pub enable_compression: bool,
    /// How many series each target may have in storage, those that it no longer shows among them; zero is no
    /// bound, unset means as the flag says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_series: Option<u32>,
    /// How many bytes an answer may have, decompressed; its scrape fails beyond; zero, or unset, means as in
    /// `global`.
    #[serde(default, skip_serializing_if = "ByteSize::is_zero")]
    pub body_size_limit: ByteSize,
    /// How many samples a scrape may have behind `metric_relabel_configs`; it fails beyond; zero, or unset,
    /// means as in `global`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sample_limit: usize,
    /// How many targets a job may have; all of them fail beyond; zero, or unset, means as in `global`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub target_limit: usize,
    /// How many labels a series may have; its scrape fails beyond; zero, or unset, means as in `global`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_limit: usize,
    /// How many bytes a label's name may have; its scrape fails beyond; zero, or unset, means as in `global`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_name_length_limit: usize,
    /// The same of its value; zero, or unset, means as in `global`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub label_value_length_limit: usize,
    /// How many buckets a native histogram may have: with more it is made coarser, and where it cannot be its
    /// scrape fails; zero is no limit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub native_histogram_bucket_limit: usize,
    /// How much wider each bucket of a native histogram is than the one before, at least: where it is less
    /// the histogram is made coarser; zero is no bound.
    #[serde(default, skip_serializing_if = "BucketFactor::is_unset")]
    pub native_histogram_min_bucket_factor: BucketFactor,
    /// How many of the targets that rules drop are kept to be shown; zero, or unset, means as in `global`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub keep_dropped_targets: usize,
    /// Which names of metrics and labels are taken; unset means as in `global`.
    #[serde(default, deserialize_with = "blank_is_none", skip_serializing_if = "Option::is_none")]
    pub metric_name_validation_scheme: Option<NameValidation>,
    /// What targets are asked to make of names that are not classic; unset means as those are taken, or else
    /// as in `global`.
    #[serde(default, deserialize_with = "blank_is_none", skip_serializing_if = "Option::is_none")]
    pub metric_name_escaping_scheme: Option<NameEscaping>,
    /// Whether scrapes leave more series of themselves; unset means as in `global`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_scrape_metrics: Option<bool>,
    /// How its targets are spoken to: who we are, and how the connection is secured.
    #[serde(flatten, skip_deserializing)]
    pub http: HttpConfig,
    /// What becomes of the labels of its targets, and which of them are dropped.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub relabel_configs: Rules,
    /// The same of the series that they send.
    #[serde(default, skip_serializing_if = "Rules::is_empty")]
    pub metric_relabel_configs: Rules,
    /// Targets written in the file.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub static_configs: Vec<StaticConfig>,
    /// Where else targets are found.
    #[serde(flatten, skip_deserializing)]
    pub discovery: DiscoveryConfigs,
}

skopos_model::has_inlined!(ScrapeConfig, http: HttpConfig, discovery: DiscoveryConfigs);

/// How a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Scheme {
    /// Plain HTTP.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
}

impl TryFrom<String> for Scheme {
    type Error = String;

    /// In letters of any size, as in a URL.
    fn try_from(text: String) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "http" => Ok(Self::Http),
            "https" => Ok(Self::Https),
            _ => Err(format!("unknown variant `{text}`, expected one of http, https")),
        }
    }
}

impl Scheme {
    /// As written in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Targets written in the file, with labels that they share.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StaticConfig {
    /// Each a host, with a port unless the scheme's own is meant.
    #[serde(default, deserialize_with = "null_is_default")]
    pub targets: Vec<String>,
    /// Added to every series of these targets.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// What is wrong with a configuration that has the right shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A label's name cannot be used here.
    #[error(
        "{place}: {name:?} cannot be the name of a label here: write one that is not empty and not __name__"
    )]
    LabelName {
        /// Where it stands.
        place: String,
        /// The name.
        name: String,
    },
    /// An interval of zero.
    #[error("{place}: must be longer than zero")]
    ZeroDuration {
        /// Where it stands.
        place: String,
    },
    /// A timeout beyond its interval.
    #[error(
        "{place}: scrape_timeout {timeout} is longer than scrape_interval {interval}: make it as long at most"
    )]
    TimeoutBeyondInterval {
        /// Where it stands.
        place: String,
        /// As configured.
        timeout: DurationMs,
        /// As configured.
        interval: DurationMs,
    },
    /// A job without a name.
    #[error("scrape_configs: job_name is empty: every job needs a name of its own")]
    EmptyJobName,
    /// Names that are not classic are asked for and not taken.
    #[error(
        "{place}: metric_name_escaping_scheme is allow-utf-8, and metric_name_validation_scheme, which is \
         legacy, takes no such names: set one of them"
    )]
    UntakenNames {
        /// Where it stands.
        place: String,
    },
    /// Two jobs of one name.
    #[error("scrape_configs: job_name {0:?} stands twice: every job needs a name of its own")]
    DuplicateJob(String),
    /// Something that is no host and port.
    #[error("job {job:?}: target {target:?} is not valid: {reason}")]
    Target {
        /// The job.
        job: String,
        /// As written.
        target: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Who we are, or how the connection is secured, does not go together.
    #[error("job {job:?}: {error}")]
    Http {
        /// The job.
        job: String,
        /// What is wrong.
        error: HttpConfigError,
    },
}

impl GlobalConfig {
    /// How long a scrape may take where the job says nothing of it.
    pub fn timeout(&self) -> DurationMs {
        self.scrape_timeout.unwrap_or(DEFAULT_SCRAPE_TIMEOUT.min(self.scrape_interval))
    }

    /// The same with its defaults written out.
    #[must_use]
    pub fn filled(&self) -> Self {
        Self {
            scrape_timeout: Some(self.timeout()),
            metric_name_validation_scheme: Some(self.names()),
            scrape_native_histograms: Some(self.scrape_native_histograms.unwrap_or(false)),
            ..self.clone()
        }
    }

    /// Files that are named by it alone are beside `folder`.
    pub fn set_folder(&mut self, folder: &Path) {
        self.scrape_failure_log_file = self.scrape_failure_log_file.take().map(|file| folder.join(file));
    }

    /// The same where features are enabled.
    #[must_use]
    pub fn with_features(&self, features: ScrapeFeatures) -> Self {
        let native = features.native_histograms.then_some(true);
        let first = features.families_first.then(ScrapeProtocols::families_first);
        Self {
            scrape_native_histograms: self.scrape_native_histograms.or(native),
            scrape_protocols: self.scrape_protocols.clone().or(first),
            extra_scrape_metrics: self.extra_scrape_metrics || features.extra_metrics,
            ..self.clone()
        }
    }

    fn names(&self) -> NameValidation {
        self.metric_name_validation_scheme.unwrap_or_default()
    }

    fn escaping(&self) -> NameEscaping {
        self.metric_name_escaping_scheme.unwrap_or(self.names().escaping())
    }

    /// Checks what the shape alone does not say.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (place, d) in [
            ("global.scrape_interval", Some(self.scrape_interval)),
            ("global.scrape_timeout", self.scrape_timeout),
            ("global.evaluation_interval", Some(self.evaluation_interval)),
        ] {
            check_positive(place, d)?;
        }
        check_labels("global.external_labels", self.external_labels.keys())?;
        check_timeout("global", self.scrape_timeout, self.scrape_interval)
    }
}

impl ScrapeConfig {
    /// A job of that name with everything else as if the file said nothing.
    pub fn named(job_name: &str) -> Self {
        Self {
            job_name: job_name.to_owned(),
            scrape_interval: None,
            scrape_timeout: None,
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            scrape_protocols: None,
            fallback_scrape_protocol: None,
            scrape_native_histograms: None,
            always_scrape_classic_histograms: None,
            convert_classic_histograms_to_nhcb: None,
            scrape_failure_log_file: None,
            native_histogram_bucket_limit: 0,
            native_histogram_min_bucket_factor: BucketFactor::default(),
            metric_name_validation_scheme: None,
            metric_name_escaping_scheme: None,
            extra_scrape_metrics: None,
            metrics_path: default_metrics_path(),
            scheme: Scheme::Http,
            enable_compression: true,
            max_series: None,
            body_size_limit: ByteSize::default(),
            params: BTreeMap::new(),
            sample_limit: 0,
            target_limit: 0,
            label_limit: 0,
            label_name_length_limit: 0,
            label_value_length_limit: 0,
            keep_dropped_targets: 0,
            http: HttpConfig::default(),
            relabel_configs: Rules::default(),
            metric_relabel_configs: Rules::default(),
            static_configs: Vec::new(),
            discovery: DiscoveryConfigs::default(),
        }
    }

    /// How often this job's targets are scraped.
    pub fn interval(&self, global: &GlobalConfig) -> DurationMs {
        self.scrape_interval.unwrap_or(global.scrape_interval)
    }

    /// How long a scrape of this job's targets may take.
    pub fn timeout(&self, global: &GlobalConfig) -> DurationMs {
        self.scrape_timeout.unwrap_or(global.timeout().min(self.interval(global)))
    }

    /// The same with its defaults, and what it takes from `global`, written out.
    #[must_use]
    pub fn filled(&self, global: &GlobalConfig) -> Self {
        let (interval, timeout) = (self.interval(global), self.timeout(global));
        let or = |own: usize, otherwise| if own == 0 { otherwise } else { own };
        let native = self.scrape_native_histograms.or(global.scrape_native_histograms).unwrap_or(false);
        let protocols = self.scrape_protocols.as_ref().or(global.scrape_protocols.as_ref()).cloned();
        let usual = || if native { ScrapeProtocols::families_first() } else { ScrapeProtocols::default() };
        let too = self.always_scrape_classic_histograms.unwrap_or(global.always_scrape_classic_histograms);
        let custom =
            self.convert_classic_histograms_to_nhcb.unwrap_or(global.convert_classic_histograms_to_nhcb);
        let log = self.scrape_failure_log_file.as_ref().or(global.scrape_failure_log_file.as_ref());
        Self {
            scrape_interval: Some(interval),
            scrape_timeout: Some(timeout),
            scrape_protocols: Some(protocols.unwrap_or_else(usual)),
            scrape_native_histograms: Some(native),
            always_scrape_classic_histograms: Some(too),
            convert_classic_histograms_to_nhcb: Some(custom),
            scrape_failure_log_file: log.cloned(),
            metric_name_validation_scheme: Some(self.names(global)),
            metric_name_escaping_scheme: Some(self.escaping(global)),
            extra_scrape_metrics: Some(self.extra_scrape_metrics.unwrap_or(global.extra_scrape_metrics)),
            body_size_limit: if self.body_size_limit.is_zero() {
                global.body_size_limit
            } else {
                self.body_size_limit
            },
            sample_limit: or(self.sample_limit, global.sample_limit),
            target_limit: or(self.target_limit, global.target_limit),
            label_limit: or(self.label_limit, global.label_limit),
            label_name_length_limit: or(self.label_name_length_limit, global.label_name_length_limit),
            label_value_length_limit: or(self.label_value_length_limit, global.label_value_length_limit),
            keep_dropped_targets: or(self.keep_dropped_targets, global.keep_dropped_targets),
            ..self.clone()
        }
    }

    /// Which names this job takes.
    pub fn names(&self, global: &GlobalConfig) -> NameValidation {
        self.metric_name_validation_scheme.unwrap_or(global.names())
    }

    /// What this job's targets are asked to make of names that are not classic.
    pub fn escaping(&self, global: &GlobalConfig) -> NameEscaping {
        let own = self.metric_name_validation_scheme.map(NameValidation::escaping);
        self.metric_name_escaping_scheme.or(own).unwrap_or(global.escaping())
    }

    /// Files that are named by it alone are beside `folder`.
    pub fn set_folder(&mut self, folder: &Path) {
        self.http = std::mem::take(&mut self.http).beside(folder);
        self.discovery.set_folder(folder);
        self.scrape_failure_log_file = self.scrape_failure_log_file.take().map(|file| folder.join(file));
    }

    /// Checks what the shape alone does not say.
    pub fn check(&self, global: &GlobalConfig) -> Result<(), ConfigError> {
        if self.job_name.is_empty() {
            return Err(ConfigError::EmptyJobName);
        }
        let wrong = |error| ConfigError::Http { job: self.job_name.clone(), error };
        self.http.check().map_err(wrong)?;
        let place = format!("job {:?}", self.job_name);
        check_positive(&format!("{place}: scrape_interval"), self.scrape_interval)?;
        check_positive(&format!("{place}: scrape_timeout"), self.scrape_timeout)?;
        check_timeout(&place, self.scrape_timeout, self.interval(global))?;
        if (self.names(global), self.escaping(global)) == (NameValidation::Legacy, NameEscaping::AllowUtf8) {
            return Err(ConfigError::UntakenNames { place });
        }
        for group in &self.static_configs {
            check_labels(&format!("{place}: labels"), group.labels.keys())?;
            // Rules may make an address of anything: exporters that probe others are told them in this way.
            for target in group.targets.iter().filter(|_| self.relabel_configs.is_empty()) {
                check_address(target).map_err(|reason| ConfigError::Target {
                    job: self.job_name.clone(),
                    target: target.clone(),
                    reason,
                })?;
            }
        }
        Ok(())
    }
}

/// Checks jobs each alone and all together.
pub fn check_jobs(jobs: &[ScrapeConfig], global: &GlobalConfig) -> Result<(), ConfigError> {
    let mut names = std::collections::HashSet::new();
    for job in jobs {
        job.check(global)?;
        if !names.insert(&job.job_name) {
            return Err(ConfigError::DuplicateJob(job.job_name.clone()));
        }
    }
    Ok(())
}

fn check_positive(place: &str, d: Option<DurationMs>) -> Result<(), ConfigError> {
    match d {
        Some(d) if d <= DurationMs::ZERO => Err(ConfigError::ZeroDuration { place: place.to_owned() }),
        _ => Ok(()),
    }
}

fn check_timeout(place: &str, timeout: Option<DurationMs>, interval: DurationMs) -> Result<(), ConfigError> {
    match timeout {
        Some(timeout) if timeout > interval => {
            Err(ConfigError::TimeoutBeyondInterval { place: place.to_owned(), timeout, interval })
        }
        _ => Ok(()),
    }
}

fn check_labels<'a>(place: &str, names: impl Iterator<Item = &'a String>) -> Result<(), ConfigError> {
    for name in names {
        if name == METRIC_NAME || name.is_empty() {
            return Err(ConfigError::LabelName { place: place.to_owned(), name: name.clone() });
        }
    }
    Ok(())
}

/// A target is a host with an optional port and nothing else.
fn check_address(target: &str) -> Result<(), &'static str> {
    if target.is_empty() {
        return Err("it is empty: write host:port");
    }
    if target.contains("://") {
        return Err("write host:port without a scheme; the scheme is the job's `scheme`");
    }
    if target.contains('/') {
        return Err("write host:port without a path; the path is the job's `metrics_path`");
    }
    if target.chars().any(|c| c.is_whitespace() || matches!(c, '?' | '#' | '@')) {
        return Err("write host:port and nothing else");
    }
    let has_port = target.rfind(':').is_some_and(|colon| !target[colon..].contains(']'));
    if has_port && !(target.starts_with('[') || target.matches(':').count() == 1) {
        return Err("write an IPv6 address in brackets: [::1]:9100");
    }
    if has_port {
        let port = &target[target.rfind(':').map_or(0, |c| c + 1)..];
        if port.parse::<u16>().is_err() {
            return Err("the port must be a number up to 65535");
        }
    }
    Ok(())
}

fn yes() -> bool {
    true
}

fn is_no(value: &bool) -> bool {
    !*value
}

fn is_no_time(value: &DurationMs) -> bool {
    *value == DurationMs::ZERO
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

fn default_metrics_path() -> String {
    "/metrics".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_a_port() {
        for ok in ["localhost:9090", "10.0.0.1:80", "[::1]:9100", "example.org", "[::1]"] {
            assert_eq!(check_address(ok), Ok(()), "{ok}");
        }
        for bad in ["", "http://a:1", "a:1/metrics", "a b:1", "a:b", "a:70000", "::1:9100", "a:"] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_timeout_is_inherited_but_never_beyond_the_interval() {
        let global = GlobalConfig { scrape_interval: DurationMs::from_secs(5), ..Default::default() };
        let mut job = ScrapeConfig::named("a");
        assert_eq!(job.timeout(&global), DurationMs::from_secs(5));
        job.scrape_interval = Some(DurationMs::from_secs(60));
        assert_eq!(job.timeout(&global), DurationMs::from_secs(5));
        assert_eq!(job.timeout(&GlobalConfig::default()), DEFAULT_SCRAPE_TIMEOUT);
        job.scrape_timeout = Some(DurationMs::from_secs(61));
        assert!(matches!(job.check(&global), Err(ConfigError::TimeoutBeyondInterval { .. })));
    }

    #[test]
    fn jobs_have_names_of_their_own() {
        let jobs = [ScrapeConfig::named("a"), ScrapeConfig::named("b"), ScrapeConfig::named("a")];
        assert_eq!(check_jobs(&jobs, &GlobalConfig::default()), Err(ConfigError::DuplicateJob("a".into())));
        assert_eq!(check_jobs(&jobs[..2], &GlobalConfig::default()), Ok(()));
    }
}
