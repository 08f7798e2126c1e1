//! `Pool`: what a job's configuration comes to: the targets that are scraped, and those that are not, with
//! the reason. Finds none by itself and scrapes none.

use crate::{
    config::{GlobalConfig, ScrapeConfig, ScrapeProtocol, StaticConfig},
    target::{Access, HistogramReading, Reading, ScrapeLimits, Source, Target},
    target_url::TargetUrl,
};
use skopos_client::DeniedAddresses;
use skopos_discovery::TargetGroup;
use skopos_model::{DurationMs, Labels, LabelsBuilder};
use skopos_relabel::Kept;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

/// See above.
#[derive(Debug)]
pub struct Pool {
    /// The job's name.
    pub job: Arc<str>,
    /// What is scraped, in the order in which it was found, nothing twice.
    pub targets: Vec<Target>,
    /// What a rule drops.
    pub dropped: Dropped,
    /// What cannot be scraped.
    pub refused: Vec<Refused>,
}

/// Where targets may not be.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeniedTargets {
    /// Those that sources find.
    pub found: DeniedAddresses,
    /// Those that stand in the file.
    pub written: DeniedAddresses,
}

/// The targets that a job's rules drop.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Dropped {
    /// As discovered; not more than `keep_dropped_targets`.
    pub kept: Vec<Labels>,
    /// How many there are.
    pub count: usize,
}

/// A target that cannot be scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// As discovered.
    pub discovered: Labels,
    /// What is wrong with it.
    pub reason: RefusedTarget,
}

/// Why a target cannot be scraped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedTarget {
    /// Nobody says where it is.
    #[error("it has no label __address__")]
    NoAddress,
    /// Its address is more than host and port.
    #[error("its __address__ {0:?} is no host with a port: the path belongs into __metrics_path__")]
    Address(String),
    /// A rule made a time that is none.
    #[error("its label {label} is {value:?}, which is no duration above zero, as 30s")]
    Duration {
        /// Which label.
        label: &'static str,
        /// What it says.
        value: String,
    },
    /// A rule made a timeout that is too long.
    #[error("its __scrape_timeout__ {timeout} is longer than its __scrape_interval__ {interval}")]
    TimeoutBeyondInterval {
        /// As labelled.
        timeout: DurationMs,
        /// As labelled.
        interval: DurationMs,
    },
}

const ADDRESS: &str = "__address__";
const PATH: &str = "__metrics_path__";
const SCHEME: &str = "__scheme__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM: &str = "__param_";

impl Pool {
    /// The targets that stand in a job itself.
    pub fn of(job: &ScrapeConfig, global: &GlobalConfig) -> Self {
        Self::with(job, global, &[])
    }

    /// The same, and those that its sources have found.
    pub fn with(job: &ScrapeConfig, global: &GlobalConfig, found: &[Arc<TargetGroup>]) -> Self {
        Self::denying(job, global, found, &DeniedTargets::default())
    }

    /// The same, where some addresses are denied.
    pub fn denying(
        job: &ScrapeConfig,
        global: &GlobalConfig,
        found: &[Arc<TargetGroup>],
        denied: &DeniedTargets,
    ) -> Self {
        let name: Arc<str> = Arc::from(job.job_name.as_str());
        let (targets, dropped, refused) = Default::default();
        let mut pool = Self { job: name, targets, dropped, refused };
        let job = &job.filled(global);
        let access = |denied: &DeniedAddresses| Arc::new(Access { denied: denied.clone(), ..access(job) });
        let (of_written, of_found) = (access(&denied.written), access(&denied.found));
        let most_kept = job.keep_dropped_targets;
        // The same target twice in one job would store every sample twice.
        let mut seen = HashMap::new();
        for (own, is_found) in all_labels(job, found) {
            let access = if is_found { &of_found } else { &of_written };
            let discovered = discovered(job, global, &own);
            match target(&pool.job, job, access, &discovered) {
                Ok(Some((described, target))) => match seen.entry((described, target.url())) {
                    Entry::Vacant(free) => {
                        free.insert(pool.targets.len());
                        pool.targets.push(target);
                    }
                    // As in Prometheus, it is shown as it was found last.
                    Entry::Occupied(known) => pool.targets[*known.get()] = target,
                },
                Ok(None) => {
                    pool.dropped.count += 1;
                    if most_kept == 0 || pool.dropped.kept.len() < most_kept {
                        pool.dropped.kept.push(discovered);
                    }
                }
                Err(reason) => pool.refused.push(Refused { discovered, reason }),
            }
        }
        let (found, max) = (pool.targets.len(), job.target_limit);
        if max > 0 && found > max {
            let error = format!("target_limit exceeded: the job has {found} targets, the limit is {max}");
            let error: Arc<str> = Arc::from(error);
            pool.targets.iter_mut().for_each(|target| target.forced_error = Some(Arc::clone(&error)));
        }
        pool
    }
}

/// A target as it is found, and what its job's rules make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// As discovered.
    pub discovered: Labels,
    /// Its labels, with those that say how it is reached; none where a rule drops it.
    pub outcome: Result<Option<Labels>, RefusedTarget>,
}

/// All targets of a job, in the order in which they are found.
pub fn describe(job: &ScrapeConfig, global: &GlobalConfig, found: &[Arc<TargetGroup>]) -> Vec<Described> {
    let (job, name) = (&job.filled(global), Arc::from(job.job_name.as_str()));
    let access = Arc::new(access(job));
    let all = all_labels(job, found).map(|(own, _)| {
        let discovered = discovered(job, global, &own);
        let outcome = target(&name, job, &access, &discovered);
        Described { discovered, outcome: outcome.map(|kept| kept.map(|(described, _)| described)) }
    });
    all.collect()
}

/// The labels of targets that are written and of those that are found, and whether it is one of the latter.
fn all_labels<'a>(
    job: &'a ScrapeConfig,
    found: &'a [Arc<TargetGroup>],
) -> impl Iterator<Item = (Labels, bool)> + 'a {
    let written = job
        .static_configs
        .iter()
        .flat_map(|group| group.targets.iter().map(|address| of_file(group, address)));
    let found = found.iter().flat_map(|group| group.all_labels());
    written.map(|own| (own, false)).chain(found.map(|own| (own, true)))
}

/// The labels of a target that is written in the file.
fn of_file(group: &StaticConfig, address: &str) -> Labels {
    let mut builder = LabelsBuilder::default();
    builder.set(ADDRESS, address);
    for (label, value) in &group.labels {
        builder.set(label, value);
    }
    builder.build()
}

/// A target's labels before the rules: its own, and what its job says where they say nothing.
fn discovered(job: &ScrapeConfig, global: &GlobalConfig, own: &Labels) -> Labels {
    let mut builder = LabelsBuilder::default();
    builder.set("job", &job.job_name);
    builder.set(PATH, &job.metrics_path);
    builder.set(SCHEME, job.scheme.as_str());
    builder.set(INTERVAL, &job.interval(global).to_string());
    builder.set(TIMEOUT, &job.timeout(global).to_string());
    for (param, values) in &job.params {
        builder.set(&format!("{PARAM}{param}"), values.first().map_or("", String::as_str));
    }
    builder.extend(own);
    builder.build()
}

/// What the rules make of a target of a job that is `filled`, with the labels that tell it from others; none
/// where they drop it.
fn target(
    name: &Arc<str>,
    job: &ScrapeConfig,
    access: &Arc<Access>,
    discovered: &Labels,
) -> Result<Option<(Labels, Target)>, RefusedTarget> {
    let mut builder = LabelsBuilder::from_labels(discovered);
    if job.relabel_configs.apply(&mut builder) == Kept::No {
        return Ok(None);
    }
    let described = builder.build();
    let address = described.get(ADDRESS).ok_or(RefusedTarget::NoAddress)?;
    if address.contains('/') {
        return Err(RefusedTarget::Address(address.to_owned()));
    }
    let (interval, timeout) = (duration(&described, INTERVAL)?, duration(&described, TIMEOUT)?);
    if timeout > interval {
        return Err(RefusedTarget::TimeoutBeyondInterval { timeout, interval });
    }
    if builder.get("instance").is_none() {
        builder.set("instance", address);
    }
    let all = builder.build().filtered(|label| !label.starts_with("__meta_"));
    let target = Target {
        job: Arc::clone(name),
        source: Source::Http(url(job, &described)),
        labels: all.filtered(|label| !label.starts_with("__")),
        discovered: discovered.clone(),
        interval,
        timeout,
        max_series: job.max_series,
        forced_error: None,
        access: Arc::clone(access),
        reading: Reading {
            honor_labels: job.honor_labels,
            honor_timestamps: job.honor_timestamps,
            track_staleness: job.track_timestamps_staleness,
            names: job.metric_name_validation_scheme.unwrap_or_default(),
            histograms: histograms(job),
            rules: job.metric_relabel_configs.clone(),
            limits: limits(job),
        },
        extra_metrics: job.extra_scrape_metrics == Some(true),
        failure_log: job.scrape_failure_log_file.as_deref().map(Arc::from),
    };
    Ok(Some((all, target)))
}

/// Of a job that is `filled`, as all of these.
fn access(job: &ScrapeConfig) -> Access {
    let all = Access::default();
    let own = usize::try_from(job.body_size_limit.bytes()).unwrap_or(usize::MAX);
    // The limit of all bodies is one of memory: no job is excused from it.
    let body_bytes_max = if own == 0 { all.body_bytes_max } else { own.min(all.body_bytes_max) };
    Access {
        http: job.http.clone(),
        compression: job.enable_compression,
        body_bytes_max,
        accept: match (&job.scrape_protocols, job.metric_name_escaping_scheme) {
            (Some(protocols), Some(escaping)) => protocols.accept(escaping.into()),
            _ => all.accept,
        },
        fallback: job.fallback_scrape_protocol.map(ScrapeProtocol::exposition),
        denied: all.denied,
    }
}

fn histograms(job: &ScrapeConfig) -> HistogramReading {
    HistogramReading {
        native: job.scrape_native_histograms == Some(true),
        classic_too: job.always_scrape_classic_histograms == Some(true),
        to_custom: job.convert_classic_histograms_to_nhcb == Some(true),
        buckets_max: job.native_histogram_bucket_limit as u64,
        finest_schema: job.native_histogram_min_bucket_factor.finest_schema(),
    }
}

fn limits(job: &ScrapeConfig) -> ScrapeLimits {
    ScrapeLimits {
        samples: job.sample_limit as u64,
        labels: job.label_limit as u64,
        label_name_bytes: job.label_name_length_limit as u64,
        label_value_bytes: job.label_value_length_limit as u64,
    }
}

fn duration(labels: &Labels, label: &'static str) -> Result<DurationMs, RefusedTarget> {
    let value = labels.value(label);
    let parsed = DurationMs::parse(value).ok().filter(|d| *d > DurationMs::ZERO);
    parsed.ok_or_else(|| RefusedTarget::Duration { label, value: value.to_owned() })
}

/// The URL that the labels of a target describe.
fn url(job: &ScrapeConfig, described: &Labels) -> String {
    // A label stands for the first value of its parameter, or for one that the job has not.
    let mut params = job.params.clone();
    for (label, value) in described.iter() {
        let Some(param) = label.strip_prefix(PARAM) else { continue };
        let values = params.entry(param.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => value.clone_into(first),
            None => values.push(value.to_owned()),
        }
    }
    let (scheme, address, path) = (described.value(SCHEME), described.value(ADDRESS), described.value(PATH));
    TargetUrl { scheme, address, path, params: &params }.written()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Scheme;
    use skopos_relabel::{Action, RuleConfig, Rules};

    fn rules(all: impl IntoIterator<Item = RuleConfig>) -> Rules {
        Rules::new(all.into_iter().collect()).expect("they are sound")
    }

    /// Sets a label to a text.
    fn set(label: &str, text: &str) -> RuleConfig {
        RuleConfig { target_label: label.into(), replacement: text.into(), ..RuleConfig::default() }
    }

    fn targets_of(job: &ScrapeConfig) -> Vec<Target> {
        Pool::of(job, &GlobalConfig::default()).targets
    }

    fn job_with(targets: &[&str]) -> ScrapeConfig {
        let targets = targets.iter().map(|t| (*t).to_owned()).collect();
        ScrapeConfig {
            static_configs: vec![StaticConfig { targets, labels: [].into() }],
            ..ScrapeConfig::named("web")
        }
    }

    #[test]
    fn labels_and_url_come_from_the_job() {
        let job = ScrapeConfig {
            metrics_path: "/probe".into(),
            scheme: Scheme::Https,
            params: [
                ("module".into(), vec!["http 2xx".into()]),
                ("t".into(), vec!["a&b".into(), "ü".into()]),
            ]
            .into(),
            static_configs: vec![StaticConfig {
                targets: vec!["h:1".into(), "h:2".into(), "h:1".into()],
                labels: [("env".into(), "prod".into()), ("__hidden".into(), "x".into())].into(),
            }],
            ..ScrapeConfig::named("web")
        };
        let targets = targets_of(&job);
        assert_eq!(targets.len(), 2);
        assert_eq!(targets[0].url(), "https://h:1/probe?module=http+2xx&t=a%26b&t=%C3%BC");
        assert_eq!(targets[0].labels.to_string(), r#"{env="prod", instance="h:1", job="web"}"#);
        assert_eq!(targets[1].discovered.get("__param_t"), Some("a&b"));
        assert_ne!(targets[0].hash64(), targets[1].hash64());
    }

    #[test]
    fn a_targets_hash_is_the_same_in_every_process() {
        assert_eq!(targets_of(&job_with(&["h:1"]))[0].hash64(), 12_570_095_704_303_023_713);
    }

    #[test]
    fn configured_labels_win_over_the_usual_ones() {
        let labels =
            [("instance".to_owned(), "db".to_owned()), ("job".to_owned(), "other".to_owned())].into();
        let job = ScrapeConfig {
            static_configs: vec![StaticConfig { targets: vec!["h:1".into()], labels }],
            ..ScrapeConfig::named("web")
        };
        let targets = targets_of(&job);
        assert_eq!(targets[0].labels.to_string(), r#"{instance="db", job="other"}"#);
        assert_eq!(&*targets[0].job, "web");
    }

    #[test]
    fn rules_say_where_a_target_is_and_what_its_series_have() {
        let address = |label: &str| RuleConfig {
            source_labels: vec!["__address__".into()],
            target_label: label.into(),
            ..RuleConfig::default()
        };
        let all = [
            address("__param_target"),
            address("instance"),
            set("__address__", "prober:9115"),
            set("__metrics_path__", "probe"),
            set("__scheme__", "https"),
            set("__scrape_interval__", "7s"),
            set("__scrape_timeout__", "3s"),
            set("__tmp", "x"),
        ];
        let job = ScrapeConfig {
            params: [("module".into(), vec!["a".into()])].into(),
            relabel_configs: rules(all),
            ..job_with(&["h:1"])
        };
        let [target] = <[Target; 1]>::try_from(targets_of(&job)).expect("there is one");
        assert_eq!(target.url(), "https://prober:9115/probe?module=a&target=h%3A1");
        assert_eq!(target.labels.to_string(), r#"{instance="h:1", job="web"}"#);
        assert_eq!(target.discovered.get("__address__"), Some("h:1"));
        let seconds = (target.interval.as_ms(), target.timeout.as_ms());
        assert_eq!(seconds, (7000, 3000));
    }

    #[test]
    fn what_rules_drop_is_counted_and_kept_as_far_as_asked() {
        let drop = RuleConfig {
            source_labels: vec!["__address__".into()],
            regex: "h:[1-3]".into(),
            action: Action::Drop,
            ..RuleConfig::default()
        };
        let job = ScrapeConfig {
            relabel_configs: rules([drop]),
            keep_dropped_targets: 2,
            ..job_with(&["h:1", "h:2", "h:3", "h:4"])
        };
        let pool = Pool::of(&job, &GlobalConfig::default());
        assert_eq!((pool.targets.len(), pool.dropped.count, pool.dropped.kept.len()), (1, 3, 2));
        assert_eq!(pool.dropped.kept[0].get("__address__"), Some("h:1"));
    }

    #[test]
    fn a_job_with_too_many_targets_scrapes_none() {
        let job = ScrapeConfig { target_limit: 2, ..job_with(&["h:1", "h:2"]) };
        assert!(targets_of(&job).iter().all(|target| target.forced_error.is_none()));
        let job = ScrapeConfig { target_limit: 2, ..job_with(&["h:1", "h:2", "h:3"]) };
        let errors: Vec<_> = targets_of(&job).into_iter().filter_map(|target| target.forced_error).collect();
        assert_eq!(errors.len(), 3);
        assert_eq!(&*errors[0], "target_limit exceeded: the job has 3 targets, the limit is 2");
    }

    #[test]
    fn limits_come_from_the_job_or_else_from_all() {
        let global = GlobalConfig { sample_limit: 7, label_limit: 8, ..GlobalConfig::default() };
        let job = ScrapeConfig { label_limit: 3, label_value_length_limit: 9, ..job_with(&["h:1"]) };
        let limits = Pool::of(&job, &global).targets[0].reading.limits;
        let expected = ScrapeLimits { samples: 7, labels: 3, label_name_bytes: 0, label_value_bytes: 9 };
        assert_eq!(limits, expected);
    }

    #[test]
    fn a_target_that_cannot_be_scraped_says_why() {
        for (rule, reason) in [
            (set("__address__", ""), "no label __address__"),
            (
                RuleConfig { regex: ".*".into(), action: Action::LabelDrop, ..RuleConfig::default() },
                "no label __address__",
            ),
            (set("__address__", "h:1/metrics"), "is no host with a port"),
            (set("__scrape_interval__", "soon"), r#"__scrape_interval__ is "soon""#),
            (set("__scrape_timeout__", "0s"), r#"__scrape_timeout__ is "0s""#),
            (set("__scrape_timeout__", "2m"), "2m is longer than its __scrape_interval__ 1m"),
        ] {
            let job = ScrapeConfig { relabel_configs: rules([rule]), ..job_with(&["h:1"]) };
            let pool = Pool::of(&job, &GlobalConfig::default());
            let said: Vec<_> = pool.refused.iter().map(|r| r.reason.to_string()).collect();
            assert!(pool.targets.is_empty() && said.len() == 1 && said[0].contains(reason), "{said:?}");
        }
    }
}
