//! Answers of the query API, and what differs between two of them. Knows nothing of who gave them.

use serde::Deserialize;
use serde_json::Value;
use skopos_testkit::http::Response;
use std::collections::{BTreeMap, BTreeSet};

/// How far numbers may be apart, relative to the greater one.
pub(super) const CLOSE: f64 = 1e-9;

/// What came back: the status, and the answer as it was sent.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self { status: response.status, body: response.body }
    }
}

impl Answer {
    /// The error's text, if it is one.
    pub(super) fn error(&self) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        format!("{} {}: {}", self.status, json["errorType"], json["error"])
    }

    fn whole(&self) -> Result<Whole, String> {
        serde_json::from_slice(&self.body).map_err(|e| format!("no result: {e}"))
    }
}

#[derive(Deserialize)]
struct Whole {
    data: Data,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
    stats: Option<Stats>,
}

#[derive(Deserialize)]
struct Stats {
    samples: Samples,
}

/// The samples that a query looked at, and those of each step.
#[derive(Deserialize, PartialEq, Debug)]
#[serde(rename_all = "camelCase")]
struct Samples {
    total_queryable_samples: u64,
    #[serde(default)]
    total_queryable_samples_per_step: Vec<(f64, u64)>,
}

/// One series of a result, as it was written.
#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    histogram: Option<(f64, Histogram)>,
    #[serde(default)]
    histograms: Vec<(f64, Histogram)>,
}

#[derive(Deserialize, Debug)]
struct Histogram {
    count: String,
    sum: String,
    #[serde(default)]
    buckets: Vec<Bucket>,
}

/// Which of its ends are within it, its bounds, and how much it counts.
type Bucket = (u8, String, String, String);

/// What remarks have to be compared by.
#[derive(Clone, Copy)]
pub(super) struct Remarks<'a> {
    /// What is compared of one, if it is.
    pub(super) compared: &'a dyn Fn(&str) -> Option<String>,
    /// Of which kind it is, of which theirs may have fewer, but one.
    pub(super) fewer: &'a dyn Fn(&str) -> Option<usize>,
}

/// What numbers have to be compared by.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    /// How far they may be apart, relative to the greater one.
    pub(super) tolerance: f64,
    /// Whether theirs may have none where ours has one.
    pub(super) theirs_may_lack: bool,
}

/// What results have to be compared by.
#[derive(Clone, Copy)]
pub(super) struct Comparison<'a> {
    pub(super) numbers: Numbers,
    /// Whether the order of the series says something.
    pub(super) in_order: bool,
    /// How warnings and infos are compared; none where the peer has none at all.
    pub(super) remarks: Option<Remarks<'a>>,
    /// Whether the samples that were looked at are counted alike.
    pub(super) samples: bool,
}

/// What differs between two results, if anything does.
pub(super) fn difference(ours: &Answer, theirs: &Answer, by: Comparison<'_>) -> Result<(), String> {
    if ours.body == theirs.body {
        return Ok(());
    }
    let (ours, theirs) = (ours.whole()?, theirs.whole()?);
    if let Some(by) = by.remarks {
        let all = |of: &Whole| [&of.warnings[..], &of.infos].concat();
        same_remarks(&all(&ours), &all(&theirs), by)?;
    }
    let (ours, theirs) = (ours.data, theirs.data);
    if let (true, Some(ours), Some(theirs)) = (by.samples, &ours.stats, &theirs.stats)
        && ours.samples != theirs.samples
    {
        return Err(format!("looked at {:?}, theirs at {:?}", ours.samples, theirs.samples));
    }
    if ours.result_type != theirs.result_type {
        return Err(format!("a {}, and theirs a {}", ours.result_type, theirs.result_type));
    }
    if matches!(ours.result_type.as_str(), "scalar" | "string") {
        let point = |v| serde_json::from_value::<(f64, String)>(v).map_err(|e| e.to_string());
        let (ours, theirs) = (point(ours.result)?, point(theirs.result)?);
        return same_points(&[ours], &[theirs], by.numbers);
    }
    let list = |v| serde_json::from_value::<Vec<Series>>(v).map_err(|e| e.to_string());
    let sorted = |mut all: Vec<Series>| {
        all.sort_by(|a, b| a.metric.cmp(&b.metric));
        all
    };
    let (ours, theirs) = (list(ours.result)?, list(theirs.result)?);
    if by.in_order {
        let values = |all: &[Series]| all.iter().flat_map(|s| s.value.clone()).collect::<Vec<_>>();
        same_points(&values(&ours), &values(&theirs), by.numbers).map_err(|e| format!("order: {e}"))?;
    }
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        if ours.metric != theirs.metric {
            return Err(format!("ours has {:?} where theirs has {:?}", ours.metric, theirs.metric));
        }
        same_series(ours, theirs, by.numbers).map_err(|e| format!("{:?}: {e}", ours.metric))?;
    }
    if ours.len() != theirs.len() {
        return Err(format!("{} series, theirs {}", ours.len(), theirs.len()));
    }
    Ok(())
}

/// Of more than ten remarks theirs names any, and says how many there are beside them; of several that differ
/// in their places alone it names one.
fn same_remarks(ours: &[String], theirs: &[String], by: Remarks<'_>) -> Result<(), String> {
    let too_many = |all: &[String]| all.iter().any(|text| text.contains("omitted"));
    let set = |all: &[String]| all.iter().filter_map(|text| (by.compared)(text)).collect::<BTreeSet<_>>();
    let words = |all: &[String]| -> Vec<String> {
        let placeless = |text: String| text[..text.rfind(" (").unwrap_or(text.len())].to_owned();
        set(all).into_iter().map(placeless).collect()
    };
    let (of_ours, of_theirs) = (words(ours), words(theirs));
    let merged = of_ours.len() > of_theirs.len()
        && set(theirs).is_subset(&set(ours))
        && BTreeSet::from_iter(of_ours) == BTreeSet::from_iter(of_theirs);
    if set(ours) == set(theirs) || merged || too_many(ours) && too_many(theirs) {
        return Ok(());
    }
    let (all, told) = (set(ours), set(theirs));
    let left_out = |text: &String| {
        (by.fewer)(text).is_some_and(|kind| told.iter().any(|other| (by.fewer)(other) == Some(kind)))
    };
    if told.is_subset(&all) && all.difference(&told).all(left_out) {
        return Ok(());
    }
    Err(format!("remarks {ours:?}, theirs {theirs:?}"))
}

fn same_series(ours: &Series, theirs: &Series, by: Numbers) -> Result<(), String> {
    let all = |s: &Series| s.values.iter().chain(&s.value).cloned().collect::<Vec<_>>();
    same_points(&all(ours), &all(theirs), by)?;
    let counts = |s: &Series| s.histograms.len() + usize::from(s.histogram.is_some());
    if counts(ours) != counts(theirs) {
        return Err(format!("{} histograms, theirs {}", counts(ours), counts(theirs)));
    }
    let ours = ours.histograms.iter().chain(&ours.histogram);
    for ((ta, a), (tb, b)) in ours.zip(theirs.histograms.iter().chain(&theirs.histogram)) {
        same_histogram(a, b, by).map_err(|e| format!("at {ta}, theirs at {tb}: {e}\n{a:?}\n{b:?}"))?;
        if ta != tb {
            return Err(format!("histogram at {ta}, theirs at {tb}"));
        }
    }
    Ok(())
}

fn same_histogram(a: &Histogram, b: &Histogram, by: Numbers) -> Result<(), String> {
    same_number(&a.count, &b.count, by)?;
    same_number(&a.sum, &b.sum, by)?;
    // What is nearly nothing in one is nothing in the other, which has no bucket for it.
    let is_nothing = |b: &&Bucket| b.3.parse::<f64>().is_ok_and(|v| v.abs() <= by.tolerance);
    let buckets = |h: &'_ Histogram| h.buckets.iter().filter(|b| !is_nothing(b)).cloned().collect::<Vec<_>>();
    let (a, b) = (buckets(a), buckets(b));
    if a.len() != b.len() {
        return Err("other buckets".to_owned());
    }
    for (a, b) in a.iter().zip(&b) {
        if (a.0, &a.1, &a.2) != (b.0, &b.1, &b.2) {
            return Err(format!("bounds {a:?}, theirs {b:?}"));
        }
        same_number(&a.3, &b.3, by)?;
    }
    Ok(())
}

fn same_points(ours: &[(f64, String)], theirs: &[(f64, String)], by: Numbers) -> Result<(), String> {
    for ((ta, a), (tb, b)) in ours.iter().zip(theirs) {
        if ta != tb {
            return Err(format!("a sample at {ta}, theirs at {tb}"));
        }
        same_number(a, b, by).map_err(|e| format!("at {ta}: {e}"))?;
    }
    if ours.len() != theirs.len() {
        return Err(format!("{} samples, theirs {}", ours.len(), theirs.len()));
    }
    Ok(())
}

fn same_number(ours: &str, theirs: &str, by: Numbers) -> Result<(), String> {
    if ours == theirs {
        return Ok(());
    }
    match (ours.parse::<f64>(), theirs.parse::<f64>()) {
        (Ok(a), Ok(b)) if b.is_nan() && (a.is_nan() || by.theirs_may_lack) => Ok(()),
        // What is nearly nothing came from a difference of numbers of the size of one or more.
        (Ok(a), Ok(b)) if (a - b).abs() <= by.tolerance * a.abs().max(b.abs()).max(1.0) => Ok(()),
        _ => Err(format!("{ours}, theirs {theirs}")),
    }
}
