//! `file_sd_configs`: targets in files, which are looked at every second and read when one has changed. A
//! file that is broken keeps the targets that it had; one that is gone has none.

use crate::{
    config::{Kind, Task},
    error::SourceError,
    group::TargetGroup,
    limits::ANSWER_BYTES_MAX,
    source::Sink,
    stats::{Family, Stats},
    target_file::{named, parse_json, parse_yaml},
};
use serde::{Deserialize, Serialize};
use skopos_model::DurationMs;
use std::{
    collections::BTreeMap,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// Paths; the last part of one may have `*` for any text.
    #[serde(default)]
    pub files: Vec<String>,
    /// How often they are read though nothing seems to have changed.
    #[serde(default = "five_minutes")]
    pub refresh_interval: DurationMs,
}

fn five_minutes() -> DurationMs {
    DurationMs::from_secs(300)
}

impl Kind for FileConfig {
    const NAME: &'static str = "file";

    fn check(&mut self) -> Result<(), String> {
        if self.files.is_empty() {
            return Err("file_sd_configs: `files` is missing: name at least one file".to_owned());
        }
        match self.files.iter().find(|path| !is_path(path)) {
            Some(path) => Err(format!(
                "file_sd_configs: {path:?} cannot be used: its name has to end in .json, .yml or .yaml, and \
                 `*` stands in the last part of a path alone, and once"
            )),
            None if self.refresh_interval <= DurationMs::ZERO => {
                Err("file_sd_configs: refresh_interval must be longer than zero".to_owned())
            }
            None => Ok(()),
        }
    }

    fn start(&self, sink: Sink) -> Result<Task, SourceError> {
        let files = Files { patterns: self.files.clone(), seen: Seen::new(), read: BTreeMap::new() };
        Ok(Box::pin(watch(files, self.refresh_interval.as_std(), sink)))
    }

    fn set_folder(&mut self, folder: &Path) {
        for path in &mut self.files {
            *path = folder.join(&*path).to_string_lossy().into_owned();
        }
    }
}

impl FileConfig {
    /// Reads the files as they are now: their groups, and those patterns that no file has.
    ///
    /// # Errors
    /// When a file is not what it should be.
    pub fn read_files(&self) -> Result<(Vec<TargetGroup>, Vec<String>), SourceError> {
        let (mut groups, mut missing) = (Vec::new(), Vec::new());
        for pattern in &self.files {
            let found = matching(pattern);
            if found.is_empty() {
                missing.push(pattern.clone());
            }
            for (path, _) in &found {
                groups.extend(read_file(path)?);
            }
        }
        Ok((groups, missing))
    }
}

/// Whether a path is one that Prometheus takes.
fn is_path(path: &str) -> bool {
    let Some((stem, ending)) = path.rsplit_once('.') else { return false };
    let star = stem.find('*');
    let behind = star.map_or("", |at| &stem[at + 1..]);
    matches!(ending, "json" | "yml" | "yaml" | "JSON" | "YML" | "YAML") && !behind.contains('/')
}

/// What tells whether a file has changed: device, number, length, and when it was written.
type Mark = (u64, u64, u64, i64, i64);
type Seen = BTreeMap<PathBuf, Mark>;

struct Files {
    patterns: Vec<String>,
    seen: Seen,
    /// The groups of each file as it was sound last.
    read: BTreeMap<PathBuf, Vec<TargetGroup>>,
}

/// What reading all files came to.
struct Outcome {
    groups: Vec<TargetGroup>,
    trouble: Option<SourceError>,
}

async fn watch(mut files: Files, refresh_interval: Duration, sink: Sink) {
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut due = tokio::time::Instant::now();
    loop {
        ticks.tick().await;
        let is_due = tokio::time::Instant::now() >= due;
        if is_due {
            due += refresh_interval;
        }
        let stats = sink.shared_stats();
        let looked = tokio::task::spawn_blocking(move || {
            let outcome = files.look(is_due, &stats);
            (files, outcome)
        });
        let Ok((back, outcome)) = looked.await else { return };
        files = back;
        if let Some(Outcome { groups, trouble }) = outcome {
            sink.replace(groups, trouble.as_ref());
        }
    }
}

impl Files {
    /// Reads all files if one has changed, or `anyhow`.
    fn look(&mut self, anyhow: bool, stats: &Arc<Stats>) -> Option<Outcome> {
        let seen = self.patterns.iter().flat_map(|pattern| matching(pattern)).collect::<Seen>();
        if seen == self.seen && !anyhow {
            return None;
        }
        for gone in self.seen.keys().filter(|path| !seen.contains_key(*path)) {
            stats.forget(Family::FileMtime, &[("filename", &gone.to_string_lossy())]);
        }
        self.seen = seen;
        let (begun, mut trouble, mut read) = (Instant::now(), None, BTreeMap::new());
        for (path, mark) in &self.seen {
            stats.set(Family::FileMtime, &[("filename", &path.to_string_lossy())], mark.3 as f64);
            match read_file(path) {
                Ok(groups) => drop(read.insert(path.clone(), groups)),
                Err(error) => {
                    stats.count(Family::FileReadErrors, &[]);
                    trouble.get_or_insert(error);
                    if let Some(before) = self.read.remove(path) {
                        read.insert(path.clone(), before);
                    }
                }
            }
        }
        self.read = read;
        stats.observe(Family::FileScan, &[], begun.elapsed());
        Some(Outcome { groups: self.read.values().flatten().cloned().collect(), trouble })
    }
}

/// The files of a pattern that are there.
fn matching(pattern: &str) -> Vec<(PathBuf, Mark)> {
    let paths = glob::glob(pattern).into_iter().flatten().filter_map(Result::ok);
    let marked = |path: PathBuf| {
        let meta = std::fs::metadata(&path).ok().filter(|meta| !meta.is_dir())?;
        let written = meta.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanos) = (written.as_secs() as i64, i64::from(written.subsec_nanos()));
        Some((path, (meta.dev(), meta.ino(), meta.len(), seconds, nanos)))
    };
    paths.filter_map(marked).collect()
}

fn read_file(path: &Path) -> Result<Vec<TargetGroup>, SourceError> {
    let (what, mut bytes) = (path.to_string_lossy(), Vec::new());
    let limit = ANSWER_BYTES_MAX as u64;
    let file = std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    file.map_err(|source| SourceError::File { path: path.to_owned(), source })?;
    if bytes.len() > ANSWER_BYTES_MAX {
        return Err(SourceError::TooLong { what: what.into_owned(), limit: ANSWER_BYTES_MAX });
    }
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let groups =
        if is_json { parse_json(&bytes, &what, ToString::to_string) } else { parse_yaml(&bytes, &what) }?;
    Ok(named(groups, &what, "__meta_filepath"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(outcome: &Outcome) -> Vec<String> {
        let all = outcome.groups.iter().flat_map(TargetGroup::all_labels);
        all.map(|labels| labels.value("__address__").to_owned()).collect()
    }

    #[test]
    fn paths_end_in_a_format_and_have_one_star_in_their_last_part() {
        for path in ["a.json", "/x/y.yml", "x/*.yaml", "x/a*b.JSON", "*.yml", "a?[b]/c.YAML", "x/**.yml"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["", "a", "a.txt", "a.Json", "*/a.yml", "a.json/b"] {
            assert!(!is_path(path), "{path}");
        }
    }

    #[test]
    fn files_that_come_change_break_and_go_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            std::fs::write(path(".new"), text).unwrap();
            std::fs::rename(path(".new"), path(name)).unwrap();
        };
        let stats = Arc::new(Stats::default());
        let patterns =
            vec![path("*.json").to_string_lossy().into_owned(), path("b.yml").display().to_string()];
        let mut files = Files { patterns, seen: Seen::new(), read: BTreeMap::new() };
        assert!(files.look(false, &stats).is_none());
        write("a.json", r#"[{"targets": ["a:1"], "labels": {"x": "y"}}]"#);
        write("c.txt", "no");
        let outcome = files.look(false, &stats).unwrap();
        let group = &outcome.groups[0];
        assert_eq!(group.source, format!("{}:0", path("a.json").display()));
        assert_eq!(group.labels.value("__meta_filepath"), path("a.json").to_string_lossy());
        write("b.yml", "- targets: [b]");
        assert_eq!(addresses(&files.look(false, &stats).unwrap()), ["a:1", "b"]);
        assert!(files.look(false, &stats).is_none());
        assert!(files.look(true, &stats).unwrap().trouble.is_none());
        write("a.json", "[{");
        write("b.yml", "- targets: [c]");
        let outcome = files.look(false, &stats).unwrap();
        assert_eq!(addresses(&outcome), ["a:1", "c"]);
        let said = outcome.trouble.unwrap().to_string();
        assert!(said.starts_with(&*path("a.json").to_string_lossy()), "{said}");
        std::fs::remove_file(path("a.json")).unwrap();
        assert_eq!(addresses(&files.look(false, &stats).unwrap()), ["c"]);
        assert_eq!(stats.value("prometheus_sd_file_read_errors_total", &[]), Some(1.0));
        let name = path("a.json").display().to_string();
        assert_eq!(stats.value("prometheus_sd_file_mtime_seconds", &[("filename", &name)]), None);
    }
}
