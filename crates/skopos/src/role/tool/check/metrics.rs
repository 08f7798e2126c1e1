//! `skopos tool check metrics`: whether an exposition in the text format is well written, by the rules of
//! Prometheus; and how many series each of its metrics has.

use super::{super::output::Out, lint::lint};
use crate::role::Failure;
use clap::ValueEnum;
use skopos_exposition::{Entry, Format, Parser};
use skopos_model::{Labels, LabelsBuilder, MetricType, name::METRIC_NAME};
use std::{
    collections::{BTreeMap, HashSet},
    io::Read,
    path::{Path, PathBuf},
};

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    /// How many series each metric has, and which part of all that is.
    #[arg(long)]
    extended: bool,
    /// Which rules are held against the metrics.
    #[arg(long, value_name = "RULES", default_value = "all")]
    lint: Rules,
    /// Files in the text format; standard input without any.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rules {
    All,
    None,
}

/// Metrics of one name.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) metric_type: MetricType,
    pub(super) help: Option<String>,
    /// The labels of its series, without those of parts of histograms and summaries.
    pub(super) metrics: Vec<Labels>,
    /// Those of them that have parts.
    with_parts: HashSet<Labels>,
    /// How many series it has, each part of a histogram counted.
    series: usize,
}

pub(super) type Families = BTreeMap<String, Family>;

pub(super) fn run(flags: &Flags) -> Result<(), Failure> {
    let mut problems = 0;
    let mut out = Out::new();
    for (name, text) in inputs(&flags.files)? {
        let families = families_of(&text).map_err(|e| Failure::Data(format!("{name}: {e}")))?;
        let found = if flags.lint == Rules::All { lint(&families) } else { Vec::new() };
        problems += found.len();
        for (metric, problem) in found {
            out.line(&format!("{metric} {problem}"))?;
        }
        if flags.extended {
            show_counts(&families, &mut out)?;
        }
    }
    out.finish()?;
    match problems {
        0 => Ok(()),
        1 => Err(Failure::Findings("one problem was found".to_owned())),
        n => Err(Failure::Findings(format!("{n} problems were found"))),
    }
}

fn inputs(files: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    if files.is_empty() {
        let mut text = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut text);
        read.map_err(Failure::system("reading standard input"))?;
        return Ok(vec![("standard input".to_owned(), text)]);
    }
    let read = |path: &PathBuf| {
        let name = path.display().to_string();
        let text = std::fs::read(Path::new(path)).map_err(Failure::system(format!("reading {name}")))?;
        Ok((name, text))
    };
    files.iter().map(read).collect()
}

/// The families of an exposition.
fn families_of(text: &[u8]) -> Result<Families, String> {
    let (mut families, mut builder) = (Families::new(), LabelsBuilder::default());
    for entry in Parser::new(Format::Text, text) {
        match entry.map_err(|e| e.to_string())? {
            Entry::Help { name, text } => {
                families.entry(name.into_owned()).or_default().help = Some(text.into_owned());
            }
            Entry::Type { name, metric_type } => {
                families.entry(name.into_owned()).or_default().metric_type = metric_type;
            }
            Entry::Sample(sample) => {
                builder.clear();
                sample.series.labels_into(&mut builder).map_err(|e| e.to_string())?;
                let name = sample.series.metric_name();
                let (of, part) = family_of(&name, &families);
                let family = families.entry(of.to_owned()).or_default();
                family.series += 1;
                builder.remove(METRIC_NAME);
                let of_part = match family.metric_type {
                    MetricType::Histogram => "le",
                    MetricType::Summary => "quantile",
                    _ => "",
                };
                builder.remove(of_part);
                let labels = builder.build();
                if !part || family.with_parts.insert(labels.clone()) {
                    family.metrics.push(labels);
                }
            }
            Entry::Unit { .. } | Entry::Comment(_) => {}
        }
    }
    families.retain(|_, family| family.series > 0);
    Ok(families)
}

/// The family of a sample of this name, and whether that has several samples for a metric.
fn family_of<'n>(name: &'n str, families: &Families) -> (&'n str, bool) {
    for suffix in ["", "_bucket", "_sum", "_count"] {
        let Some(of) = name.strip_suffix(suffix) else { continue };
        let has_parts = match families.get(of).map(|family| family.metric_type) {
            Some(MetricType::Histogram) => !suffix.is_empty(),
            Some(MetricType::Summary) => suffix != "_bucket",
            _ => continue,
        };
        if has_parts {
            return (of, true);
        }
    }
    (name, false)
}

fn show_counts(families: &Families, out: &mut Out) -> Result<(), Failure> {
    let total: usize = families.values().map(|family| family.series).sum();
    let mut rows: Vec<_> = families.iter().map(|(name, family)| (name.as_str(), family.series)).collect();
    rows.sort_by_key(|(_, series)| std::cmp::Reverse(*series));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max("Metric".len()) + 4;
    out.line(&format!("{:width$}{:15}{:14}", "Metric", "Cardinality", "Percentage"))?;
    for (name, series) in rows {
        let part = format!("{:.2}%", series as f64 / total as f64 * 100.0);
        out.line(&format!("{name:width$}{series:<15}{part:14}"))?;
    }
    out.line(&format!("{:width$}{total:<15}{:14}", "Total", "100%"))
}
