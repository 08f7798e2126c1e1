//! `Target`: one thing to scrape, and the labels that it gives to its series.

use crate::config::{GlobalConfig, ScrapeConfig, StaticConfig};
use foldhash::quality::FixedState;
use skopos_model::{DurationMs, Labels, LabelsBuilder};
use std::{fmt::Write, hash::BuildHasher, sync::Arc};

/// One thing to scrape. Two targets that are equal give the same series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The job's name.
    pub job: Arc<str>,
    /// Where its metrics are fetched.
    pub source: Source,
    /// Added to every series: `job`, `instance` and the configured ones.
    pub labels: Labels,
    /// As discovered, with the `__…__` labels that describe how the target is reached.
    pub discovered: Labels,
    /// How often it is scraped.
    pub interval: DurationMs,
    /// How long a scrape may take.
    pub timeout: DurationMs,
    /// How many series it may have, where its job says so; zero is no bound.
    pub max_series: Option<u32>,
    /// How its lines are read.
    pub reading: Reading,
}

/// Where a target's metrics are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// At a URL.
    Http(String),
    /// In this process, under this name.
    InProcess(&'static str),
}

/// How a target's lines become samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// The target's own labels win over those of its job.
    pub honor_labels: bool,
    /// The target's own timestamps are kept.
    pub honor_timestamps: bool,
}

impl Target {
    /// A number that is the same for the same target in every process; its place within the interval.
    pub fn hash64(&self) -> u64 {
        self.labels.hash64() ^ FixedState::default().hash_one(self.url())
    }

    /// How the target is shown and, over HTTP, fetched.
    pub fn url(&self) -> String {
        match &self.source {
            Source::Http(url) => url.clone(),
            Source::InProcess(name) => format!("in-process://{name}"),
        }
    }
}

/// The targets of a job, in the order of the file.
pub fn targets_of(job: &ScrapeConfig, global: &GlobalConfig) -> Vec<Target> {
    let name: Arc<str> = Arc::from(job.job_name.as_str());
    let in_group = |group: &StaticConfig| {
        group.targets.iter().map(|address| target(&name, job, global, group, address)).collect::<Vec<_>>()
    };
    job.static_configs.iter().flat_map(in_group).collect()
}

fn target(
    name: &Arc<str>,
    job: &ScrapeConfig,
    global: &GlobalConfig,
    group: &StaticConfig,
    address: &str,
) -> Target {
    let (interval, timeout) = (job.interval(global), job.timeout(global));
    let mut builder = LabelsBuilder::default();
    builder.set("job", &job.job_name);
    builder.set("__address__", address);
    builder.set("__metrics_path__", &job.metrics_path);
    builder.set("__scheme__", job.scheme.as_str());
    builder.set("__scrape_interval__", &interval.to_string());
    builder.set("__scrape_timeout__", &timeout.to_string());
    for (param, values) in &job.params {
        builder.set(&format!("__param_{param}"), values.first().map_or("", String::as_str));
    }
    for (label, value) in &group.labels {
        builder.set(label, value);
    }
    let discovered = builder.build();
    if builder.get("instance").is_none() {
        builder.set("instance", address);
    }
    let labels = builder.build().filtered(|label| !label.starts_with("__"));
    Target {
        job: Arc::clone(name),
        source: Source::Http(url(job, &discovered)),
        labels,
        discovered,
        interval,
        timeout,
        max_series: job.max_series,
        reading: Reading { honor_labels: job.honor_labels, honor_timestamps: job.honor_timestamps },
    }
}

/// The URL that the labels of a target describe.
fn url(job: &ScrapeConfig, discovered: &Labels) -> String {
    let (scheme, path) = (discovered.value("__scheme__"), discovered.value("__metrics_path__"));
    let mut out = format!("{scheme}://{}{path}", discovered.value("__address__"));
    let mut separator = '?';
    for (param, values) in &job.params {
        for (i, value) in values.iter().enumerate() {
            let label = discovered.get(&format!("__param_{param}"));
            let value = if i == 0 { label.unwrap_or(value) } else { value };
            out.push(separator);
            percent_encode(&mut out, param);
            out.push('=');
            percent_encode(&mut out, value);
            separator = '&';
        }
    }
    out
}

fn percent_encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("invariant: writing to a String cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Scheme;

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
                targets: vec!["h:1".into(), "h:2".into()],
                labels: [("env".into(), "prod".into()), ("__hidden".into(), "x".into())].into(),
            }],
            ..ScrapeConfig::named("web")
        };
        let targets = targets_of(&job, &GlobalConfig::default());
        assert_eq!(targets.len(), 2);
        assert_eq!(targets[0].url(), "https://h:1/probe?module=http%202xx&t=a%26b&t=%C3%BC");
        assert_eq!(targets[0].labels.to_string(), r#"{env="prod", instance="h:1", job="web"}"#);
        assert_eq!(targets[1].discovered.get("__param_t"), Some("a&b"));
        assert_ne!(targets[0].hash64(), targets[1].hash64());
    }

    #[test]
    fn a_targets_hash_is_the_same_in_every_process() {
        let job = ScrapeConfig {
            static_configs: vec![StaticConfig { targets: vec!["h:1".into()], labels: [].into() }],
            ..ScrapeConfig::named("web")
        };
        assert_eq!(targets_of(&job, &GlobalConfig::default())[0].hash64(), 12_570_095_704_303_023_713);
    }

    #[test]
    fn configured_labels_win_over_the_usual_ones() {
        let labels =
            [("instance".to_owned(), "db".to_owned()), ("job".to_owned(), "other".to_owned())].into();
        let job = ScrapeConfig {
            static_configs: vec![StaticConfig { targets: vec!["h:1".into()], labels }],
            ..ScrapeConfig::named("web")
        };
        let targets = targets_of(&job, &GlobalConfig::default());
        assert_eq!(targets[0].labels.to_string(), r#"{instance="db", job="other"}"#);
        assert_eq!(&*targets[0].job, "web");
    }
}
