//! `textfile`: metrics that other programs left in files called `*.prom`. A file that cannot be shown costs
//! its own metrics only, and files of any size and number cost bounded memory. It never decides about names
//! that the agent's own metrics have, too: `foreign` does.

use super::textfile_directory::{Content, Directory, Limits, State};
use crate::{
    collector::{Collector, Context},
    error::CollectError,
    refusals,
    registry::AgentEnv,
};
use parking_lot::MutexGuard;
use skopos_base::spawn::Spawner;
use skopos_exposition::{Entry, Format, Parser};
use skopos_model::{
    LabelsBuilder, MetricType,
    name::{METRIC_NAME, is_classic_metric_name},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    sync::Arc,
};

/// No more files than this are read.
const MAX_FILES: usize = 4096;
/// The files together are not larger.
const MAX_BYTES: usize = 16 << 20;
/// The files together have no more samples.
const MAX_SAMPLES: usize = 100_000;
/// No more failures than this are told.
const MAX_TOLD: usize = 64;

const MTIME: &str = "node_textfile_mtime_seconds";
/// Says that something could not be shown.
pub(crate) const SCRAPE_ERROR: &str = "node_textfile_scrape_error";

/// The collector.
#[derive(Debug)]
pub(crate) struct TextFile {
    directories: Vec<Directory>,
    spawner: Arc<dyn Spawner>,
    /// What was wrong in the last scrape; the log says it once.
    told: Wrong,
}

pub(super) type Families = BTreeMap<String, Family>;

/// A family of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Family {
    kind: Option<MetricType>,
    help: Option<String>,
    pub(super) samples: Vec<Sample>,
}

type Labels = Vec<(String, String)>;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// What stands behind the family's name.
    suffix: &'static str,
    labels: Labels,
    pub(super) value: f64,
}

/// A family of all files.
#[derive(Debug)]
struct Merged<'a> {
    kind: MetricType,
    help: Option<&'a str>,
    files: Vec<&'a str>,
    samples: Vec<&'a Sample>,
}

/// What cannot be shown, by file or family, and why.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    found: BTreeMap<String, String>,
    /// A file or directory could not be read.
    is_error: bool,
}

impl Wrong {
    /// A file or directory could not be read, or is none of metrics.
    pub(super) fn note(&mut self, what: &str, why: impl Into<String>) {
        self.is_error = true;
        self.remark(what, why);
    }

    /// A file or directory could not be read. What this user may not have is told as of all collectors.
    pub(super) fn unreadable(&mut self, what: &str, error: &io::Error, why: String) {
        match error.kind() {
            io::ErrorKind::PermissionDenied => self.is_error = true,
            _ => self.note(what, why),
        }
    }

    /// Files do not fit each other: as in the reference, that is no error of reading.
    fn remark(&mut self, what: &str, why: impl Into<String>) {
        if self.found.len() < MAX_TOLD {
            self.found.entry(what.to_owned()).or_insert_with(|| why.into());
        }
    }
}

impl TextFile {
    pub(crate) fn new(directories: &[String], env: &AgentEnv) -> Self {
        let mut known: HashSet<&str> = HashSet::new();
        let directories = directories.iter().filter(|name| !name.is_empty() && known.insert(name));
        Self {
            directories: directories.map(|name| Directory::new(name)).collect(),
            spawner: Arc::clone(&env.spawner),
            told: Wrong::default(),
        }
    }

    /// Reads all directories, and returns those that could be read in time.
    fn read(&mut self, context: &Context<'_>, wrong: &mut Wrong) -> Vec<MutexGuard<'_, State>> {
        let mut limits = Limits { files: MAX_FILES, bytes: MAX_BYTES, samples: MAX_SAMPLES };
        let mut read = Vec::new();
        let mut left = self.directories.len() as u32;
        for directory in &mut self.directories {
            let most = context.patience() / left;
            left -= 1;
            if !directory.read_beside(limits, (&*self.spawner, context.clock), most) {
                let why = "it does not answer in time; it is left alone until it does";
                wrong.note(&directory.pattern, why);
                continue;
            }
            let state = directory.state();
            limits = state.reader.rest_of(limits);
            state.reader.refused.iter().for_each(|refused| refusals::note(refused));
            wrong.is_error |= state.reader.wrong.is_error;
            for (what, why) in &state.reader.wrong.found {
                wrong.remark(what, why);
            }
            read.push(state);
        }
        read
    }
}

impl TextFile {
    /// Logs what was not wrong before.
    fn tell(&mut self, wrong: Wrong) {
        let is_new = |(what, why): &(&String, &String)| self.told.found.get(*what) != Some(*why);
        for (what, why) in wrong.found.iter().filter(is_new) {
            tracing::warn!(what, why, "not all metrics of files can be shown");
        }
        self.told = wrong;
    }
}

impl Collector for TextFile {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let mut wrong = Wrong::default();
        let read = self.read(context, &mut wrong);
        let mut shown: Vec<(&str, &Content, &Families)> = Vec::new();
        let mut seen = HashSet::new();
        for state in &read {
            // Two patterns can name the same directory.
            shown.extend(state.reader.shown().filter(|(path, ..)| seen.insert(*path)));
        }
        write(&merge(shown.iter().map(|(path, _, families)| (*path, *families)), &mut wrong), context);
        let help = "When each file was changed last, in seconds since 1970.";
        shown.sort_unstable_by_key(|(path, ..)| *path);
        let mut family = context.out.family(MTIME, MetricType::Gauge, help);
        for (path, content, _) in shown {
            family.sample(&[("file", path)], content.stamp.modified_seconds as f64);
        }
        let help = "Whether something in the files of metrics could not be shown: 1 if so, else 0.";
        context.out.gauge(SCRAPE_ERROR, help, f64::from(u8::from(wrong.is_error)));
        drop(read);
        self.tell(wrong);
        Ok(())
    }
}

/// The families of a file, if it has no more samples than this.
pub(super) fn parse(data: &[u8], most_samples: usize) -> Result<Families, String> {
    if data.last().is_some_and(|last| *last != b'\n') {
        return Err("the last line has no end, so the file may have been cut".into());
    }
    let mut families = Families::new();
    let (mut labels, mut samples) = (LabelsBuilder::default(), 0);
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
                samples += 1;
                if samples > most_samples {
                    return Err(format!("the files have more than {MAX_SAMPLES} samples"));
                }
                labels.clear();
                sample.series.labels_into(&mut labels).map_err(|error| error.to_string())?;
                // A label without a value is none, so that it makes no other series.
                let labels = labels.iter().filter(|(name, value)| *name != METRIC_NAME && !value.is_empty());
                let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                let (family, suffix) = family_of(&name, &families)?;
                let sample = Sample { suffix, labels, value: sample.value };
                families.entry(family.to_owned()).or_default().samples.push(sample);
            }
            _ => {}
        }
    }
    families.retain(|_, family| !family.samples.is_empty());
    families.values_mut().for_each(Family::complete);
    Ok(families)
}

impl Family {
    /// Adds what each histogram and summary has in a page, as the reference does: the bucket without an end,
    /// which is the count, and a sum and a count of 0.
    fn complete(&mut self) {
        let bound = match self.kind {
            Some(MetricType::Histogram) => "le",
            Some(MetricType::Summary) => "quantile",
            _ => return,
        };
        let of = |sample: &Sample| {
            let labels = sample.labels.iter().filter(|(name, _)| !sample.is_bounded() || name != bound);
            labels.cloned().collect::<Vec<_>>()
        };
        let mut all: Vec<(Labels, Vec<Sample>)> = Vec::new();
        let mut known: HashMap<Labels, usize> = HashMap::new();
        for sample in std::mem::take(&mut self.samples) {
            let labels = of(&sample);
            let at = *known.entry(labels.clone()).or_insert(all.len());
            if at == all.len() {
                all.push((labels, Vec::new()));
            }
            all[at].1.push(sample);
        }
        for (labels, mut samples) in all {
            let value = |suffix: &str| samples.iter().find(|s| s.suffix == suffix).map(|s| s.value);
            let (sum, count) = (value("_sum"), value("_count"));
            let is_endless = |s: &Sample| s.labels.iter().any(|(name, at)| name == bound && is_infinite(at));
            let lacks_end = bound == "le" && !samples.iter().any(is_endless);
            if lacks_end {
                let end = [(bound.to_owned(), "+Inf".to_owned())];
                let labels = labels.iter().cloned().chain(end).collect();
                let behind = samples.iter().rposition(|s| s.suffix == "_bucket").map_or(0, |last| last + 1);
                samples.insert(behind, Sample { suffix: "_bucket", labels, value: count.unwrap_or(0.0) });
            }
            for (suffix, value) in [("_sum", sum), ("_count", count)] {
                if value.is_none() {
                    samples.push(Sample { suffix, labels: labels.clone(), value: 0.0 });
                }
            }
            self.samples.append(&mut samples);
        }
    }
}

impl Sample {
    /// Whether a label of it is a bound, of a bucket or a quantile.
    fn is_bounded(&self) -> bool {
        matches!(self.suffix, "" | "_bucket")
    }
}

fn is_infinite(bound: &str) -> bool {
    bound.parse().is_ok_and(|bound: f64| bound == f64::INFINITY)
}

/// The family that a sample belongs to, and what its name has behind the family's.
fn family_of<'a>(name: &'a str, families: &Families) -> Result<(&'a str, &'static str), String> {
    if !is_classic_metric_name(name) {
        return Err(format!("not every scraper can read the name {name:?}; use letters, digits and _"));
    }
    for suffix in ["_bucket", "_sum", "_count"] {
        let Some(base) = name.strip_suffix(suffix) else { continue };
        match families.get(base).and_then(|family| family.kind) {
            Some(MetricType::Histogram) => return Ok((base, suffix)),
            Some(MetricType::Summary) if suffix != "_bucket" => return Ok((base, suffix)),
            _ => {}
        }
    }
    match families.get(name).and_then(|family| family.kind) {
        Some(MetricType::Histogram) => Err(format!("{name} is a histogram: it has no sample of this name")),
        _ => Ok((name, "")),
    }
}

/// The families of all files. Where the files do not agree, the first one is right.
fn merge<'a>(
    files: impl Iterator<Item = (&'a str, &'a Families)>,
    wrong: &mut Wrong,
) -> BTreeMap<&'a str, Merged<'a>> {
    let mut merged: BTreeMap<&str, Merged<'_>> = BTreeMap::new();
    for (path, families) in files {
        for (name, family) in families {
            let (kind, help) = (family.kind.unwrap_or_default(), family.help.as_deref());
            let known = merged.entry(name).or_insert_with(|| Merged {
                kind,
                help,
                files: Vec::new(),
                samples: Vec::new(),
            });
            if known.kind != kind || known.help.is_some() && help.is_some() && known.help != help {
                wrong.remark(path, format!("{name} has another type or help text than in a file before"));
                continue;
            }
            known.help = known.help.or(help);
            known.files.push(path);
            known.samples.extend(&family.samples);
        }
    }
    let mut names: HashSet<String> = HashSet::from([MTIME.to_owned(), SCRAPE_ERROR.to_owned()]);
    merged.retain(|name, family| {
        let is_free = sample_names(name, family.kind).all(|name| names.insert(name));
        if !is_free {
            wrong.remark(name, "another family has samples of this name");
        }
        is_free
    });
    for (name, family) in &mut merged {
        let (mut seen, all) = (HashSet::new(), family.samples.len());
        family.samples.retain(|sample| seen.insert((sample.suffix, &sample.labels)));
        if family.samples.len() < all {
            wrong.remark(name, "a series stands twice in the files; the first of them is shown");
        }
    }
    merged
}

/// What the samples of a family are called, in any format of a page.
fn sample_names(name: &str, kind: MetricType) -> impl Iterator<Item = String> {
    let suffixes: &[&str] = match kind {
        MetricType::Histogram => &["_bucket", "_sum", "_count"],
        MetricType::Summary => &["", "_sum", "_count"],
        MetricType::Counter if !name.ends_with("_total") => &["", "_total"],
        _ => &[""],
    };
    suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
}

fn write(families: &BTreeMap<&str, Merged<'_>>, context: &mut Context<'_>) {
    for (name, family) in families {
        let from_files = || format!("Read from {}", family.files.join(", "));
        let help = family.help.map_or_else(from_files, str::to_owned);
        let mut out = context.out.family(name, family.kind, &help);
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
            ("# TYPE a histogram\na 1\n", "a is a histogram: it has no sample of this name"),
            ("{\"a b\"} 1\n", "not every scraper can read the name \"a b\"; use letters, digits and _"),
            (&"a 1\n".repeat(10), "the files have more than 100000 samples"),
        ] {
            assert_eq!(parse(text.as_bytes(), 9).unwrap_err(), error, "{text:?}");
        }
        for text in ["a\n", "a{b 1\n", "a{b=\"1\",b=\"2\"} 1\n", "{ 1\n"] {
            assert!(parse(text.as_bytes(), 9).is_err(), "{text:?}");
        }
        assert!(parse(b"", 9).unwrap().is_empty());
    }

    /// What node_exporter 1.5 makes of the same file.
    #[test]
    fn histograms_and_summaries_are_made_whole() {
        let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 4\nh_count 5\n\
            # TYPE g histogram\ng_bucket{a=\"1\",le=\"1\"} 1\n\
            # TYPE k histogram\nk_bucket{le=\"+Inf\"} 3\n# TYPE s summary\ns{quantile=\"0.5\"} 1\n";
        let families = parse(text.as_bytes(), 9).unwrap();
        let shown: Vec<String> = families
            .iter()
            .flat_map(|(name, family)| family.samples.iter().map(move |sample| (name, sample)))
            .map(|(name, Sample { suffix, labels, value })| {
                let labels: Vec<String> =
                    labels.iter().map(|(name, text)| format!("{name}={text}")).collect();
                format!("{name}{suffix}{{{}}} {value}", labels.join(","))
            })
            .collect();
        let expected = [
            "g_bucket{a=1,le=1} 1",
            "g_bucket{a=1,le=+Inf} 0",
            "g_sum{a=1} 0",
            "g_count{a=1} 0",
            "h_bucket{le=1} 1",
            "h_bucket{le=+Inf} 5",
            "h_sum{} 4",
            "h_count{} 5",
            "k_bucket{le=+Inf} 3",
            "k_sum{} 0",
            "k_count{} 0",
            "s{quantile=0.5} 1",
            "s_sum{} 0",
            "s_count{} 0",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn samples_of_histograms_and_summaries_belong_to_their_family() {
        let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 1\nx_sum 3\n\
            # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_bucket 1\n";
        let families = parse(text.as_bytes(), 9).unwrap();
        let counts: Vec<(&str, usize)> =
            families.iter().map(|(name, family)| (name.as_str(), family.samples.len())).collect();
        assert_eq!(counts, [("h", 4), ("s", 3), ("s_bucket", 1), ("x_sum", 1)]);
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_panic(text in "(# (HELP|TYPE) )?[a-z_{}=\", 0-9\n#]{0,80}\n") {
            let _ = parse(text.as_bytes(), 9);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes, 9);
        }
    }
}
