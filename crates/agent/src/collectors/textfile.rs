//! `textfile`: metrics that other programs left in files called `*.prom`.

use super::glob;
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    source::{File, Stamp, names_at, stamp_of},
};
use skopos_exposition::{Entry, Format, Parser};
use skopos_model::{LabelsBuilder, MetricType, name::METRIC_NAME};
use std::collections::{BTreeMap, HashSet};

const EXTENSION: &str = ".prom";

/// The collector.
#[derive(Debug)]
pub(crate) struct TextFile {
    directories: Vec<String>,
    file: File,
    /// What was read, by path. A file is read again when it was changed.
    files: BTreeMap<String, Content>,
}

/// A file at one time.
#[derive(Debug)]
struct Content {
    stamp: Stamp,
    /// `None` when the file has to be left out.
    families: Option<BTreeMap<String, Family>>,
}

/// A family of a file, or of all of them.
#[derive(Clone, Debug, Default)]
struct Family {
    kind: Option<MetricType>,
    help: Option<String>,
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    /// What stands behind the family's name.
    suffix: &'static str,
    labels: Vec<(String, String)>,
    value: f64,
}

impl TextFile {
    pub(crate) fn new(directories: &[String]) -> Self {
        Self { directories: directories.to_vec(), file: File::default(), files: BTreeMap::new() }
    }

    /// The files, sorted within each directory, and whether all directories could be listed.
    fn find(&self) -> (Vec<String>, bool) {
        let (mut found, mut all_listed) = (Vec::new(), true);
        for directory in self.directories.iter().filter(|directory| !directory.is_empty()) {
            let mut folders = glob::expand(directory);
            if folders.is_empty() {
                folders.push(directory.clone());
            }
            for folder in folders {
                match names_at(&folder) {
                    Ok(names) => {
                        let names = names.iter().filter(|name| name.ends_with(EXTENSION));
                        found.extend(names.map(|name| format!("{}/{name}", folder.trim_end_matches('/'))));
                    }
                    Err(error) => {
                        tracing::warn!(path = folder, %error, "cannot list a directory of metrics");
                        all_listed = false;
                    }
                }
            }
        }
        let mut seen = HashSet::new();
        found.retain(|path| seen.insert(path.clone()));
        (found, all_listed)
    }

    /// Reads the files that were changed; whether all files can be shown.
    fn read(&mut self, paths: &[String]) -> bool {
        self.files.retain(|path, _| paths.contains(path));
        let mut all_read = true;
        for path in paths {
            let stamp = match stamp_of(path) {
                Ok(stamp) => stamp,
                Err(error) => {
                    tracing::warn!(path, %error, "cannot read a file of metrics");
                    self.files.remove(path);
                    all_read = false;
                    continue;
                }
            };
            if self.files.get(path).is_none_or(|content| content.stamp != stamp) {
                let parsed = self.file.read_path(path).map_err(|error| error.to_string());
                let parsed = parsed.and_then(|()| parse(self.file.data()));
                if let Err(error) = &parsed {
                    tracing::error!(path, error, "a file of metrics is left out");
                }
                self.files.insert(path.clone(), Content { stamp, families: parsed.ok() });
            }
            all_read &= self.files[path].families.is_some();
        }
        all_read
    }
}

impl Collector for TextFile {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let (paths, all_listed) = self.find();
        let all_read = self.read(&paths);
        let shown = || paths.iter().filter_map(|path| Some((path, self.files.get(path)?)));
        let (families, all_agree) =
            merge(shown().filter_map(|(path, content)| Some((path.as_str(), content.families.as_ref()?))));
        write(&families, context);
        let help = "When each file was changed last, in seconds since 1970.";
        let mut mtimes: Vec<_> = shown().filter(|(_, content)| content.families.is_some()).collect();
        mtimes.sort_unstable_by_key(|(path, _)| *path);
        let mut family = context.out.family("node_textfile_mtime_seconds", MetricType::Gauge, help);
        for (path, content) in mtimes {
            family.sample(&[("file", path)], content.stamp.modified_seconds as f64);
        }
        let is_whole = all_listed && all_read && all_agree;
        let help = "Whether something in the files of metrics could not be shown: 1 if so, else 0.";
        context.out.gauge("node_textfile_scrape_error", help, f64::from(u8::from(!is_whole)));
        Ok(())
    }
}

/// The families of a file.
fn parse(data: &[u8]) -> Result<BTreeMap<String, Family>, String> {
    if data.last().is_some_and(|last| *last != b'\n') {
        return Err("the last line has no end, so the file may have been cut".into());
    }
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut labels = LabelsBuilder::default();
    for entry in Parser::new(Format::Text, data) {
        match entry.map_err(|error| error.to_string())? {
            Entry::Help { name, text } => {
                let help = families.entry(name.to_string()).or_default().help.replace(text.into_owned());
                if help.is_some() {
                    return Err(format!("{name} has two help texts"));
                }
            }
            Entry::Type { name, metric_type } => {
                let family = families.entry(name.to_string()).or_default();
                if family.kind.replace(metric_type).is_some() || !family.samples.is_empty() {
                    return Err(format!("the type of {name} stands behind its samples, or twice"));
                }
            }
            Entry::Sample(sample) => {
                let name = sample.series.metric_name();
                if sample.timestamp.is_some() {
                    return Err(format!("a sample of {name} has a time; leave it out, the scrape has one"));
                }
                labels.clear();
                sample.series.labels_into(&mut labels).map_err(|error| error.to_string())?;
                let labels = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
                let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                let (family, suffix) = family_of(&name, &families);
                let sample = Sample { suffix, labels, value: sample.value };
                families.entry(family.to_owned()).or_default().samples.push(sample);
            }
            _ => {}
        }
    }
    families.retain(|_, family| !family.samples.is_empty());
    Ok(families)
}

/// The family that a sample belongs to, and what its name has behind the family's.
fn family_of<'a>(name: &'a str, families: &BTreeMap<String, Family>) -> (&'a str, &'static str) {
    for suffix in ["_bucket", "_sum", "_count"] {
        let Some(base) = name.strip_suffix(suffix) else { continue };
        match families.get(base).and_then(|family| family.kind) {
            Some(MetricType::Histogram) => return (base, suffix),
            Some(MetricType::Summary) if suffix != "_bucket" => return (base, suffix),
            _ => {}
        }
    }
    (name, "")
}

/// The families of all files, and whether the files agree on them. Where not, the first file is right.
fn merge<'a>(
    files: impl Iterator<Item = (&'a str, &'a BTreeMap<String, Family>)>,
) -> (BTreeMap<&'a str, Family>, bool) {
    let mut merged: BTreeMap<&str, Family> = BTreeMap::new();
    let mut sources: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut all_agree = true;
    for (path, families) in files {
        for (name, family) in families {
            let Some(known) = merged.get_mut(name.as_str()) else {
                let mut first = Family { samples: Vec::new(), ..family.clone() };
                all_agree &= add(&mut first.samples, &family.samples);
                merged.insert(name, first);
                sources.entry(name).or_default().push(path);
                continue;
            };
            let helps_agree = known.help.is_none() || family.help.is_none() || known.help == family.help;
            if !helps_agree || known.kind.unwrap_or_default() != family.kind.unwrap_or_default() {
                tracing::debug!(path, family = name, "another help text or type than in a file before");
                all_agree = false;
                continue;
            }
            known.help = known.help.take().or_else(|| family.help.clone());
            all_agree &= add(&mut known.samples, &family.samples);
            sources.entry(name).or_default().push(path);
        }
    }
    for (name, family) in &mut merged {
        family.help.get_or_insert_with(|| format!("Read from {}", sources[name].join(", ")));
    }
    (merged, all_agree)
}

/// Adds samples; `false` when one of them was there already, and was left out.
fn add(samples: &mut Vec<Sample>, more: &[Sample]) -> bool {
    let key = |sample: &Sample| (sample.suffix, sample.labels.clone());
    let mut seen: HashSet<_> = samples.iter().map(key).collect();
    let before = samples.len();
    samples.extend(more.iter().filter(|sample| seen.insert(key(sample))).cloned());
    samples.len() == before + more.len()
}

fn write(families: &BTreeMap<&str, Family>, context: &mut Context<'_>) {
    for (name, family) in families {
        let help = family.help.as_deref().unwrap_or_default();
        let mut out = context.out.family(name, family.kind.unwrap_or_default(), help);
        for sample in &family.samples {
            let labels: Vec<(&str, &str)> =
                sample.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            out.sample_with(sample.suffix, &labels, sample.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_file_may_not_be() {
        for (text, error) in [
            ("a 1", "the last line has no end, so the file may have been cut"),
            ("a 1 1395066363000\n", "a sample of a has a time; leave it out, the scrape has one"),
            ("# HELP a x\n# HELP a y\na 1\n", "a has two help texts"),
            ("a 1\n# TYPE a gauge\n", "the type of a stands behind its samples, or twice"),
            ("# TYPE a gauge\n# TYPE a gauge\na 1\n", "the type of a stands behind its samples, or twice"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err(), error, "{text:?}");
        }
        for text in ["a\n", "a{b 1\n", "a{b=\"1\",b=\"2\"} 1\n", "{ 1\n"] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(parse(b"").unwrap().is_empty());
    }

    #[test]
    fn samples_of_histograms_and_summaries_belong_to_their_family() {
        let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 1\nx_sum 3\n\
            # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_bucket 1\n";
        let families = parse(text.as_bytes()).unwrap();
        let counts: Vec<(&str, usize)> =
            families.iter().map(|(name, family)| (name.as_str(), family.samples.len())).collect();
        assert_eq!(counts, [("h", 3), ("s", 1), ("s_bucket", 1), ("x_sum", 1)]);
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_panic(text in "(# (HELP|TYPE) )?[a-z_{}=\", 0-9\n#]{0,80}\n") {
            let _ = parse(text.as_bytes());
        }
    }
}
