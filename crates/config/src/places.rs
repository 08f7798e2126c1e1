//! Where in a text a part of the configuration stands, for errors that are found once it has been read. Finds
//! no error itself.

use crate::yaml::{Place, options};
use serde::{Deserialize, de::IgnoredAny};
use serde_saphyr::Spanned;
use skopos_scrape::config::{ConfigError, GlobalConfig, ScrapeConfig};
use std::collections::BTreeMap;

/// Where the job called `name` has its name, at its `occurrence`-th time from 0.
pub(crate) fn place_of_job(text: &str, name: &str, occurrence: usize) -> Option<Place> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct File {
        scrape_configs: Vec<Job>,
    }
    #[derive(Deserialize)]
    struct Job {
        job_name: Spanned<String>,
    }
    let file: File = serde_saphyr::from_str_with_options(text, options()).ok()?;
    let job = file.scrape_configs.into_iter().filter(|job| job.job_name.value == name).nth(occurrence)?;
    let at = job.job_name.referenced;
    Some(Place { line: at.line(), column: at.column() })
}

/// Where the job stands that an error of `check_jobs` is about.
pub(crate) fn place_of_wrong_job(
    text: &str,
    jobs: &[ScrapeConfig],
    global: &GlobalConfig,
    error: &ConfigError,
) -> Option<Place> {
    if let ConfigError::DuplicateJob(name) = error {
        return place_of_job(text, name, 1);
    }
    let job = jobs.iter().find(|job| job.check(global).is_err())?;
    place_of_job(text, &job.job_name, 0)
}

/// Where the item `nth` of `scrape_config_files` stands.
pub(crate) fn place_of_job_files(text: &str, nth: usize) -> Option<Place> {
    #[derive(Deserialize)]
    struct File {
        scrape_config_files: Vec<Spanned<String>>,
    }
    let file: File = serde_saphyr::from_str_with_options(text, options()).ok()?;
    let at = file.scrape_config_files.get(nth)?.referenced;
    Some(Place { line: at.line(), column: at.column() })
}

/// Where what a section says begins.
pub(crate) fn place_of_section(text: &str, section: &str) -> Option<Place> {
    let file: BTreeMap<String, Spanned<IgnoredAny>> =
        serde_saphyr::from_str_with_options(text, options()).ok()?;
    let at = file.get(section)?.referenced;
    Some(Place { line: at.line(), column: at.column() })
}

/// Where the value of `key` in the section `global` stands.
pub(crate) fn place_in_global(text: &str, key: &str) -> Option<Place> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct File {
        global: BTreeMap<String, Spanned<IgnoredAny>>,
    }
    let file: File = serde_saphyr::from_str_with_options(text, options()).ok()?;
    let at = file.global.get(key)?.referenced;
    Some(Place { line: at.line(), column: at.column() })
}

/// Where the selector of a rule of the section `retention` stands.
pub(crate) fn place_of_retention(text: &str, rule: usize) -> Option<Place> {
    #[derive(Deserialize)]
    struct File {
        retention: Vec<BTreeMap<String, Spanned<IgnoredAny>>>,
    }
    let file: File = serde_saphyr::from_str_with_options(text, options()).ok()?;
    let at = file.retention.get(rule)?.get("match")?.referenced;
    Some(Place { line: at.line(), column: at.column() })
}

/// Where the address of an entry of the section `remote_write` or `remote_read` stands.
pub(crate) fn place_of_remote(text: &str, section: &str, entry: usize) -> Option<Place> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct File {
        remote_write: Vec<Entry>,
        remote_read: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        url: Spanned<IgnoredAny>,
    }
    let file: File = serde_saphyr::from_str_with_options(text, options()).ok()?;
    let entries = if section == "remote_read" { file.remote_read } else { file.remote_write };
    let at = entries.get(entry)?.url.referenced;
    Some(Place { line: at.line(), column: at.column() })
}

/// Where `key` stands in a rule of a file of rules, or in a group when no rule is named: its value, or the
/// beginning of the rule when it is absent.
pub(crate) fn place_in_rules(text: &str, group: usize, rule: Option<usize>, key: &str) -> Option<Place> {
    type Keys = BTreeMap<String, Spanned<IgnoredAny>>;
    #[derive(Deserialize)]
    struct Groups {
        groups: Vec<Keys>,
    }
    #[derive(Deserialize)]
    struct Rules {
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        #[serde(default)]
        rules: Option<Vec<Spanned<Keys>>>,
    }
    let at = match rule {
        None => {
            let file: Groups = serde_saphyr::from_str_with_options(text, options()).ok()?;
            file.groups.get(group)?.get(key)?.referenced
        }
        Some(rule) => {
            let file: Rules = serde_saphyr::from_str_with_options(text, options()).ok()?;
            let rule = file.groups.into_iter().nth(group)?.rules?.into_iter().nth(rule)?;
            rule.value.get(key).map_or(rule.referenced, |value| value.referenced)
        }
    };
    Some(Place { line: at.line(), column: at.column() })
}
