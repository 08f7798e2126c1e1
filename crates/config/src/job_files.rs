//! The jobs of the files that `scrape_config_files` names.

use crate::{Config, LoadError, patterns::files, places, text::read_text, yaml};
use serde::Deserialize;
use skopos_base::fs::{Fs, parent};
use skopos_scrape::config::{ScrapeConfig, check_jobs};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// What may stand in such a file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct JobFile {
    #[serde(deserialize_with = "skopos_model::null_is_default")]
    scrape_configs: Vec<ScrapeConfig>,
}

/// The jobs of all files that `config`, which stands in the file `main`, names.
pub(crate) fn load(
    fs: &dyn Fs,
    config: &Config,
    (text, main): (&str, &Path),
) -> Result<Vec<ScrapeConfig>, LoadError> {
    let (mut jobs, folder) = (Vec::new(), parent(main));
    let mut known: HashMap<String, PathBuf> =
        config.scrape_configs.iter().map(|job| (job.job_name.clone(), main.to_owned())).collect();
    for (nth, pattern) in config.scrape_config_files.iter().enumerate() {
        let found = files(fs, &folder.join(pattern)).map_err(|reason| {
            let message = format!("scrape_config_files: {pattern:?} {reason}");
            LoadError::invalid(main, places::place_of_job_files(text, nth), message)
        })?;
        for path in found {
            for job in of_file(fs, config, &path, &known)? {
                known.insert(job.job_name.clone(), path.clone());
                jobs.push(job);
            }
        }
    }
    Ok(jobs)
}

fn of_file(
    fs: &dyn Fs,
    config: &Config,
    path: &Path,
    known: &HashMap<String, PathBuf>,
) -> Result<Vec<ScrapeConfig>, LoadError> {
    let text = read_text(fs, path)?;
    let read: JobFile = yaml::from_str(&text).map_err(|e| LoadError::invalid(path, e.place, e.message))?;
    let mut jobs = read.scrape_configs;
    if let Err(e) = check_jobs(&jobs, &config.global) {
        return Err(LoadError::invalid(
            path,
            places::place_of_wrong_job(&text, &jobs, &config.global, &e),
            e.to_string(),
        ));
    }
    for job in &mut jobs {
        if let Some(other) = known.get(&job.job_name) {
            let (name, other) = (&job.job_name, other.display());
            let message = format!(
                "scrape_configs: job_name {name:?} stands in {other} too: every job needs a name of its own"
            );
            return Err(LoadError::invalid(path, places::place_of_job(&text, name, 0), message));
        }
        job.set_folder(&parent(path));
    }
    Ok(jobs)
}
