//! `cargo xtask bench`: runs the criterion benches of the workspace and shows their figures in one table,
//! with the goals of `benches.toml` beside them. Never fails for a figure: machines differ, the reader
//! judges.

mod goals;
mod results;
mod table;

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::process::{Metadata, cargo, metadata, run};
use goals::Goals;

/// Runs the benches whose package or name contains `filter`, giving them `arguments`, and prints the table.
pub(crate) fn run_all(root: &Path, filter: Option<&str>, arguments: &[&str]) -> Result<()> {
    let goals =
        Goals::parse(&fs::read_to_string(root.join(goals::FILE)).with_context(|| goals::FILE.to_owned())?)?;
    let metadata = metadata(root)?;
    let benches = benches(&metadata, filter.unwrap_or_default());
    if benches.is_empty() {
        bail!("no bench's package or name contains `{}`", filter.unwrap_or_default());
    }
    let started = SystemTime::now();
    for (package, bench) in &benches {
        let mut words = vec!["bench", "--locked", "--package", package, "--bench", bench, "--"];
        words.extend(arguments);
        run(cargo(&words, root))?;
    }
    let measured = results::read(&metadata.target_directory.join("criterion"), started)?;
    print!("\n{}", table::render(&measured, &goals));
    Ok(())
}

/// The benches to run: package and name.
fn benches<'a>(metadata: &'a Metadata, filter: &str) -> Vec<(&'a str, &'a str)> {
    let all = metadata.packages.iter().flat_map(|package| {
        let benches = package.targets.iter().filter(|target| target.kind.iter().any(|kind| kind == "bench"));
        benches.map(|target| (package.name.as_str(), target.name.as_str()))
    });
    all.filter(|(package, bench)| package.contains(filter) || bench.contains(filter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benches_are_chosen_by_package_or_name() {
        let text = r#"{"target_directory": "t", "packages": [
            {"name": "skopos-chunk", "targets": [
                {"name": "skopos_chunk", "kind": ["lib"]}, {"name": "xor", "kind": ["bench"]}
            ]},
            {"name": "skopos-tsdb", "targets": [
                {"name": "append", "kind": ["bench"]}, {"name": "wal", "kind": ["bench"]}
            ]}
        ]}"#;
        let metadata: Metadata = serde_json::from_str(text).unwrap();
        let cases: [(&str, &[&str]); 4] = [
            ("", &["xor", "append", "wal"]),
            ("tsdb", &["append", "wal"]),
            ("xor", &["xor"]),
            ("nothing", &[]),
        ];
        for (filter, expected) in cases {
            let names: Vec<&str> = benches(&metadata, filter).into_iter().map(|(_, bench)| bench).collect();
            assert_eq!(names, expected, "{filter}");
        }
    }
}
