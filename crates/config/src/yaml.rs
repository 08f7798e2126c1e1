//! The only place that knows the YAML library: text in, typed value or a located error out.

use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;

/// A place in the file; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The line.
    pub(crate) line: u64,
    /// The column, in characters.
    pub(crate) column: u64,
}

/// What is wrong with a text, and where if that is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// Where it stands.
    pub(crate) place: Option<Place>,
    /// What is wrong, in one line.
    pub(crate) message: String,
}

/// The most nodes of a file: enough for a hundred thousand targets, too few to fill the memory.
const NODES_MAX: usize = 2_000_000;

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_total_scalar_bytes: 64 << 20,
        },
        with_snippet: false,
    }
}

/// Reads a document. An empty one reads as an empty mapping.
pub(crate) fn from_str<T: DeserializeOwned + Default>(text: &str) -> Result<T, YamlError> {
    match serde_saphyr::from_str_with_options::<Option<T>>(text, options()) {
        Ok(value) => Ok(value.unwrap_or_default()),
        Err(error) => Err(located(&error)),
    }
}

/// Writes a part of a configuration as a document.
pub fn to_string<T: Serialize>(value: &T) -> String {
    serde_saphyr::to_string(value).expect("invariant: configuration structs have string keys only")
}

fn located(error: &serde_saphyr::Error) -> YamlError {
    let place = error.location().map(|at| Place { line: at.line(), column: at.column() });
    YamlError { place, message: message(error.without_snippet()) }
}

/// The library's message, in words for who writes the file where its own are for programmers.
fn message(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error as E;
    match error {
        E::NullIntoString { .. } => "a text is missing here".to_owned(),
        E::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key {key:?} stands twice in one mapping")
        }
        E::DuplicateMappingKey { key: None, .. } => "a key stands twice in one mapping".to_owned(),
        E::MultipleDocuments { .. } => "a second document (---) begins here: a file holds one".to_owned(),
        E::Unexpected { expected: "mapping start", .. } => {
            "expected a mapping (lines of `key: value`)".to_owned()
        }
        E::Unexpected { expected: "sequence start", .. } => "expected a list (lines of `- item`)".to_owned(),
        E::Unexpected { expected, .. } => format!("expected {expected}"),
        other => {
            // The library appends the place to its text; we say it in front.
            let text = other.to_string();
            text.split(" at line ").next().unwrap_or(&text).lines().next().unwrap_or_default().to_owned()
        }
    }
}

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
