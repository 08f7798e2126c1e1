//! `Config`: the whole file, its loading, and what holds when there is none.

use crate::{
    LoadError, job_files, places,
    storage::{RetentionRuleConfig, StorageConfig, second_of_one_selector},
    text::read_text,
    yaml::{self, Place},
};
use serde::{Deserialize, Serialize};
use skopos_base::fs::Fs;
use skopos_intake::OtlpConfig;
use skopos_model::DurationMs;
use skopos_remote::config::{RemoteConfigError, RemoteReadConfig, RemoteWriteConfig, check_names};
use skopos_scrape::config::{ConfigError, GlobalConfig, ScrapeConfig, ScrapeFeatures, check_jobs};
use std::path::Path;

/// How often the machine is looked at when there is no file: a page opened right after the start
/// should have something to show.
const BUILT_IN_INTERVAL: DurationMs = DurationMs::from_secs(5);

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What holds where a job says nothing else.
    #[serde(deserialize_with = "skopos_model::null_is_default")]
    pub global: GlobalConfig,
    /// Files that have further jobs; the last part of a path may have `*`.
    #[serde(deserialize_with = "skopos_model::null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub scrape_config_files: Vec<String>,
    /// What is scraped, as far as it stands here.
    #[serde(deserialize_with = "skopos_model::null_is_default")]
    pub scrape_configs: Vec<ScrapeConfig>,
    /// What is scraped as the files of `scrape_config_files` say.
    #[serde(skip)]
    pub jobs_of_files: Vec<ScrapeConfig>,
    /// Who gets what is stored.
    #[serde(deserialize_with = "skopos_model::null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub remote_write: Vec<RemoteWriteConfig>,
    /// Who is asked when this server is.
    #[serde(deserialize_with = "skopos_model::null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub remote_read: Vec<RemoteReadConfig>,
    /// How samples are stored.
    #[serde(
        deserialize_with = "skopos_model::null_is_default",
        skip_serializing_if = "StorageConfig::is_default"
    )]
    pub storage: StorageConfig,
    /// How metrics of OpenTelemetry become series.
    #[serde(
        deserialize_with = "skopos_model::null_is_default",
        skip_serializing_if = "OtlpConfig::is_default"
    )]
    pub otlp: OtlpConfig,
    /// How long the samples of some series are kept; others are kept as `storage` says.
    #[serde(deserialize_with = "skopos_model::null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub retention: Vec<RetentionRuleConfig>,
}

impl Config {
    /// What holds when there is no file: no targets but those in this process.
    pub fn built_in() -> Self {
        let global = GlobalConfig {
            scrape_interval: BUILT_IN_INTERVAL,
            evaluation_interval: BUILT_IN_INTERVAL,
            ..GlobalConfig::default()
        };
        Self { global, ..Self::default() }
    }

    /// Reads and checks the file at `path`.
    pub fn load(fs: &dyn Fs, path: &Path) -> Result<Self, LoadError> {
        let text = read_text(fs, path)?;
        let mut config = Self::parse(&text, path)?;
        config.jobs_of_files = job_files::load(fs, &config, (&text, path))?;
        Ok(config)
    }

    /// The same where features are enabled.
    #[must_use]
    pub fn with_features(self, features: ScrapeFeatures) -> Self {
        Self { global: self.global.with_features(features), ..self }
    }

    /// All that is scraped, as a list of its own.
    pub fn all_jobs(&self) -> Vec<ScrapeConfig> {
        self.jobs().cloned().collect()
    }

    /// All that is scraped.
    pub fn jobs(&self) -> impl Iterator<Item = &ScrapeConfig> {
        self.scrape_configs.iter().chain(&self.jobs_of_files)
    }

    /// Reads and checks `text`; `path` is how errors call it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, LoadError> {
        let mut config: Self =
            yaml::from_str(text).map_err(|e| LoadError::invalid(path, e.place, e.message))?;
        let checked = config.global.check().and_then(|()| check_jobs(&config.scrape_configs, &config.global));
        checked.map_err(|e| LoadError::invalid(path, place_of(text, &config, &e), e.to_string()))?;
        if let Some(second) = second_of_one_selector(&config.retention) {
            let message = "an earlier rule has the same selector, so that this one would never count: \
                           leave one of them out";
            return Err(LoadError::invalid(
                path,
                places::place_of_retention(text, second),
                message.to_owned(),
            ));
        }
        let place = || places::place_of_section(text, "otlp");
        config.otlp.check().map_err(|e| LoadError::invalid(path, place(), format!("otlp: {e}")))?;
        check_remotes(text, path, &config)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.global.set_folder(folder);
        for job in &mut config.scrape_configs {
            job.set_folder(folder);
        }
        for remote in &mut config.remote_write {
            *remote = remote.clone().beside(folder);
        }
        for remote in &mut config.remote_read {
            *remote = remote.clone().beside(folder);
        }
        Ok(config)
    }

    /// The configuration as a file, with every default written out.
    pub fn to_yaml(&self) -> String {
        yaml::to_string(&self.filled())
    }

    /// The same with its defaults written out.
    #[must_use]
    pub fn filled(&self) -> Self {
        let jobs = self.scrape_configs.iter().map(|job| job.filled(&self.global)).collect();
        Self { global: self.global.filled(), scrape_configs: jobs, ..self.clone() }
    }
}

/// Checks the servers that data goes to: each alone, and their names.
fn check_remotes(text: &str, path: &Path, config: &Config) -> Result<(), LoadError> {
    const WRITE: &str = "remote_write";
    const READ: &str = "remote_read";
    let wrong = |section: &str, at: usize, error: &RemoteConfigError| {
        let place = places::place_of_remote(text, section, at);
        LoadError::invalid(path, place, format!("{section}: {error}"))
    };
    for (at, remote) in config.remote_write.iter().enumerate() {
        remote.check().map_err(|e| wrong(WRITE, at, &e))?;
        let names = config.remote_write[..=at].iter().map(|remote| remote.name.as_str());
        check_names(names).map_err(|e| wrong(WRITE, at, &e))?;
    }
    for (at, remote) in config.remote_read.iter().enumerate() {
        remote.check().map_err(|e| wrong(READ, at, &e))?;
        let names = config.remote_read[..=at].iter().map(|remote| remote.name.as_str());
        check_names(names).map_err(|e| wrong(READ, at, &e))?;
    }
    Ok(())
}

/// Where in the file the check failed: at the job that it is about.
fn place_of(text: &str, config: &Config, error: &ConfigError) -> Option<Place> {
    if config.global.check().is_err() {
        return places::place_in_global(text, global_key(error)?);
    }
    places::place_of_wrong_job(text, &config.scrape_configs, &config.global, error)
}

/// The key of the section `global` that the error is about.
fn global_key(error: &ConfigError) -> Option<&str> {
    match error {
        ConfigError::ZeroDuration { place } | ConfigError::LabelName { place, .. } => {
            place.strip_prefix("global.")
        }
        ConfigError::TimeoutBeyondInterval { .. } => Some("scrape_timeout"),
        _ => None,
    }
}
