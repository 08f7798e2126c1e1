//! process-exporter's file as it is written: entries with their lines, and what is wrong or left out, in
//! words for who writes it. As in the reference, unknown keys and further documents are passed over; they are
//! noted. Knows nothing of what entries mean.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};
use std::{fmt, mem};

/// What is wrong, and in which line if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesError {
    /// The line, from 1.
    pub line: Option<u64>,
    /// What is wrong there.
    pub what: String,
}

/// A text and its line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Located {
    pub(super) line: u64,
    pub(super) text: String,
}

/// An entry.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Its first line; 0 of one that has nothing.
    pub(super) line: u64,
    pub(super) name: Option<Located>,
    pub(super) comm: Option<Vec<String>>,
    pub(super) exe: Option<Vec<String>>,
    pub(super) username: Option<Vec<String>>,
    pub(super) cmdline: Option<Vec<Located>>,
    pub(super) cgroup: Option<Vec<Located>>,
    notes: Vec<RulesError>,
}

#[derive(Debug, Default)]
struct File {
    entries: Vec<Entry>,
    notes: Vec<RulesError>,
}

type Text = Spanned<Option<String>>;

fn texts(items: Option<Vec<Text>>) -> Option<Vec<String>> {
    items.map(|items| items.into_iter().map(|item| item.value.unwrap_or_default()).collect())
}

fn located(item: Text) -> Located {
    Located { line: item.referenced.line(), text: item.value.unwrap_or_default() }
}

/// The entries of a file, and what of it is passed over.
pub(super) fn read(text: &str) -> Result<(Vec<Entry>, Vec<RulesError>), RulesError> {
    let (text, second) = first_document(text);
    let options = serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
    };
    let file: Option<File> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| RulesError {
            line: error.location().map(|at| at.line()),
            what: words(error.without_snippet(), text, error.location().map(|at| at.line())),
        })?;
    let mut file = file.unwrap_or_default();
    let mut notes = mem::take(&mut file.notes);
    for entry in &mut file.entries {
        notes.append(&mut entry.notes);
    }
    if let Some(line) = second {
        notes.push(RulesError {
            line: Some(line),
            what: "a second document (---) begins: it is not read".into(),
        });
    }
    if file.entries.is_empty() {
        let what = "no group is described (process_names is missing or empty): no process is shown".into();
        notes.push(RulesError { line: None, what });
    }
    Ok((file.entries, notes))
}

/// The text of the first document, and the line where a second begins.
fn first_document(text: &str) -> (&str, Option<u64>) {
    let (mut len, mut is_begun) = (0, false);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let rest = ["---", "..."].iter().find_map(|mark| line.strip_prefix(mark));
        let is_mark = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if is_mark && is_begun {
            return (&text[..len], line.starts_with("---").then_some(number));
        }
        let shown = line.trim();
        is_begun |= is_mark || !(shown.is_empty() || shown.starts_with(['#', '%']));
        len += line.len();
    }
    (text, None)
}

/// The library's error, for who writes the file.
fn words(error: &serde_saphyr::Error, text: &str, line: Option<u64>) -> String {
    use serde_saphyr::Error as E;
    match error {
        E::Unexpected { expected: "mapping start", .. } => {
            "expected a mapping (lines of `key: value`)".into()
        }
        E::Unexpected { expected: "sequence start", .. } => "expected a list (lines of `- item`)".into(),
        E::Unexpected { .. } => "expected a text, not a list or a mapping".into(),
        E::UnknownAnchor { .. } => "an alias (*name) names nothing that stands before it".into(),
        E::Budget { .. } | E::AliasError { .. } | E::AliasReplayLimitExceeded { .. } => {
            "the file is too large, or its aliases stand for too much".into()
        }
        E::SerdeInvalidType { expected, .. } => format!("expected {expected}"),
        _ => {
            let line = line.and_then(|line| text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?));
            let indent = line.map_or("", |line| &line[..line.len() - line.trim_start().len()]);
            if indent.contains('\t') {
                "a tab stands before the text: YAML is indented by blanks".into()
            } else {
                "this is not YAML: look at the indentation, the quotes and the brackets here and above".into()
            }
        }
    }
}

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FileVisitor)
    }
}

struct FileVisitor;

impl<'de> Visitor<'de> for FileVisitor {
    type Value = File;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping with the key process_names")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<File, M::Error> {
        let mut file = File::default();
        let mut is_known = false;
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            if key.value == "process_names" {
                let entries: Option<Vec<Option<Entry>>> = map.next_value()?;
                file.entries =
                    entries.unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect();
                if mem::replace(&mut is_known, true) {
                    file.notes.push(twice(&key));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
                file.notes.push(unknown(&key));
            }
        }
        Ok(file)
    }
}

fn unknown(key: &Spanned<String>) -> RulesError {
    let what = format!("the key {:?} is not known: it is passed over", key.value);
    RulesError { line: Some(key.referenced.line()), what }
}

fn twice(key: &Spanned<String>) -> RulesError {
    let what = format!("the key {:?} stands twice: what it had before is forgotten", key.value);
    RulesError { line: Some(key.referenced.line()), what }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping with keys such as comm and name")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entry, M::Error> {
        let mut entry = Entry::default();
        let mut seen: Vec<String> = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            if entry.line == 0 {
                entry.line = key.referenced.line();
            }
            match key.value.as_str() {
                "name" => entry.name = Some(located(map.next_value()?)),
                "comm" => entry.comm = texts(map.next_value()?),
                "exe" => entry.exe = texts(map.next_value()?),
                "username" => entry.username = texts(map.next_value()?),
                "cmdline" => entry.cmdline = expressions(map.next_value()?),
                "cgroup" => entry.cgroup = expressions(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    entry.notes.push(unknown(&key));
                    continue;
                }
            }
            if seen.contains(&key.value) {
                entry.notes.push(twice(&key));
            }
            seen.push(key.value);
        }
        Ok(entry)
    }
}

fn expressions(items: Option<Vec<Text>>) -> Option<Vec<Located>> {
    items.map(|items| items.into_iter().map(located).collect())
}
