//! The YAML library, which only this and `places` know: text in, typed value or a located error out.

use serde::{Serialize, de::DeserializeOwned};

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

pub(crate) fn options() -> serde_saphyr::Options {
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
