//! What criterion measured, read from the files that it leaves below `target/criterion`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One bench's figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    /// The full name: group, function and parameter with `/` between.
    pub(super) name: String,
    /// Median time of an iteration.
    pub(super) nanoseconds: f64,
    /// What an iteration gets through.
    pub(super) work: Option<Work>,
}

/// What an iteration gets through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Work {
    Elements(f64),
    Bytes(f64),
}

/// `benchmark.json`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Benchmark {
    full_id: String,
    throughput: Option<Throughput>,
}

#[derive(Debug, Deserialize)]
enum Throughput {
    Bits(f64),
    Bytes(f64),
    BytesDecimal(f64),
    Elements(f64),
    ElementsAndBytes { elements: f64 },
}

/// `estimates.json`, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// All results below `folder` that were written after `since`, by name.
pub(super) fn read(folder: &Path, since: SystemTime) -> Result<Vec<Measured>> {
    let mut files = Vec::new();
    find(folder, &mut files)?;
    let mut all = Vec::new();
    for file in files {
        let written = fs::metadata(&file).and_then(|about| about.modified());
        if written.with_context(|| format!("cannot look at {}", file.display()))? >= since {
            all.push(read_one(&file)?);
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Collects every `new/estimates.json` below `folder`.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            find(&path, found)?;
        } else if path.ends_with("new/estimates.json") {
            found.push(path);
        }
    }
    Ok(())
}

fn read_one(estimates: &Path) -> Result<Measured> {
    let times: Estimates = parse(estimates)?;
    let about: Benchmark = parse(&estimates.with_file_name("benchmark.json"))?;
    let work = about.throughput.map(|throughput| match throughput {
        Throughput::Bits(bits) => Work::Bytes(bits / 8.0),
        Throughput::Bytes(bytes) | Throughput::BytesDecimal(bytes) => Work::Bytes(bytes),
        Throughput::Elements(elements) | Throughput::ElementsAndBytes { elements } => {
            Work::Elements(elements)
        }
    });
    Ok(Measured { name: about.full_id, nanoseconds: times.median.point_estimate, work })
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn leave(folder: &Path, name: &str, throughput: &str) {
        let new = folder.join(name).join("new");
        fs::create_dir_all(&new).unwrap();
        let about = format!(r#"{{"group_id": "g", "full_id": "{name}", "throughput": {throughput}}}"#);
        fs::write(new.join("benchmark.json"), about).unwrap();
        let times = r#"{"mean": {"point_estimate": 9.0}, "median": {"point_estimate": 500.0}}"#;
        fs::write(new.join("estimates.json"), times).unwrap();
    }

    #[test]
    fn results_are_read_with_their_work() {
        let folder = tempfile::tempdir().unwrap();
        let cases = [
            ("parse/cold", r#"{"Elements": 1000}"#, Some(Work::Elements(1000.0))),
            (
                "parse/steady",
                r#"{"ElementsAndBytes": {"elements": 10, "bytes": 90}}"#,
                Some(Work::Elements(10.0)),
            ),
            ("replay", r#"{"Bytes": 64}"#, Some(Work::Bytes(64.0))),
            ("start", "null", None),
        ];
        for (name, throughput, _) in cases {
            leave(folder.path(), name, throughput);
        }
        let read = read(folder.path(), SystemTime::UNIX_EPOCH).unwrap();
        let expected: Vec<Measured> = cases
            .iter()
            .map(|&(name, _, work)| Measured { name: name.to_owned(), nanoseconds: 500.0, work })
            .collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn results_of_earlier_runs_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        leave(folder.path(), "old", "null");
        let later = SystemTime::now() + Duration::from_secs(60);
        assert!(read(folder.path(), later).unwrap().is_empty());
    }
}
