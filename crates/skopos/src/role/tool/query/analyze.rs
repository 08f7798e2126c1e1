//! `skopos tool query analyze`: how many buckets of histograms hold anything, over time. Of classic
//! histograms a bucket is what its series has beyond the one below.

use super::{
    client::Client,
    seconds,
    show::{braces, metric},
    time,
};
use crate::role::{Failure, tool::output::Out};
use serde_json::Value;
use skopos_model::{DurationMs, TimestampMs};
use std::collections::{BTreeMap, BTreeSet};

const HEADER: &str = "Bucket stats for each histogram series over time
------------------------------------------------
First the min, avg, and max number of populated buckets, followed by the total
number of buckets (only if different from the max number of populated buckets
which is typical for classic but not native histograms).
";
const FOOTER: &str = "
Aggregated bucket stats
-----------------------
Each line shows min/avg/max over the series above.";

#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    /// The server.
    #[arg(long)]
    server: String,
    /// The type of metric; `histogram` is the only one.
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// The time that is looked at.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    duration: DurationMs,
    /// When it ends; now without it.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    time: Option<String>,
    /// Which series.
    #[arg(long = "match", value_name = "SELECTOR", required = true)]
    matches: Vec<String>,
}

/// How many buckets of one histogram hold anything.
struct Stats {
    min: usize,
    avg: f64,
    max: usize,
    total: usize,
}

impl Stats {
    /// Of each sample's number of buckets.
    fn new(populated: &[usize], total: usize) -> Option<Self> {
        let (min, max) = (*populated.iter().min()?, *populated.iter().max()?);
        let avg = populated.iter().sum::<usize>() as f64 / populated.len() as f64;
        Some(Self { min, avg, max, total })
    }

    fn line(&self) -> String {
        let Self { min, avg, max, total } = self;
        let behind = if max == total { String::new() } else { format!("/{total}") };
        format!("{min}/{avg:.3}/{max}{behind}")
    }
}

pub(super) fn run(
    flags: &Flags,
    client: impl Fn(&str) -> Result<Client, Failure>,
    now: TimestampMs,
) -> Result<(), Failure> {
    if flags.kind != "histogram" {
        return Err(Failure::Flags(format!("analyze type is {}, must be 'histogram'", flags.kind)));
    }
    let at = time(flags.time.as_deref(), "time")?.unwrap_or(now);
    let client = client(&flags.server)?;
    let mut out = Out::new();
    out.line(HEADER)?;
    let (mut native, mut classic) = (Vec::new(), Vec::new());
    for selector in &flags.matches {
        let query = format!("{selector}[{}]", flags.duration);
        let data = client.post("query", &[("query", query), ("time", seconds(at))])?;
        if data["resultType"] != "matrix" {
            return Err(Failure::Data("query of buckets resulted in non-Matrix".to_owned()));
        }
        let matrix = data["result"].as_array().map_or(&[][..], Vec::as_slice);
        for series in matrix {
            if let Some(stats) = of_native(series) {
                out.line(&format!("- {} (native): {}", metric(&series["metric"]), stats.line()))?;
                native.push(stats);
            }
        }
        for (name, buckets) in classic_histograms(matrix) {
            if let Some(stats) = of_classic(buckets) {
                out.line(&format!("- {name} (classic): {}", stats.line()))?;
                classic.push(stats);
            }
        }
    }
    out.line(FOOTER)?;
    for (kind, all) in [("Native", native), ("Classic", classic)] {
        if !all.is_empty() {
            out.line(&summary(kind, &all))?;
        }
    }
    out.finish()
}

fn of_native(series: &Value) -> Option<Stats> {
    let histograms = series["histograms"].as_array().filter(|all| all.len() > 1)?;
    if series["values"].is_array() {
        return None;
    }
    let mut bounds = BTreeSet::new();
    let mut populated = Vec::new();
    for histogram in histograms {
        let buckets = histogram[1]["buckets"].as_array().map_or(&[][..], Vec::as_slice);
        bounds.extend(buckets.iter().map(|b| format!("{} {} {}", b[0], b[1], b[2])));
        populated.push(buckets.len());
    }
    Stats::new(&populated, bounds.len())
}

/// A series of a classic histogram: its bound, and its samples as times and counts.
type Bucket = (f64, Vec<(f64, f64)>);

/// The buckets of each classic histogram, by its name and labels.
fn classic_histograms(matrix: &[Value]) -> BTreeMap<String, Vec<Bucket>> {
    let mut all: BTreeMap<String, Vec<Bucket>> = BTreeMap::new();
    for series in matrix {
        let Some(labels) = series["metric"].as_object() else { continue };
        let text = |name: &str| labels.get(name).and_then(Value::as_str);
        let (Some(name), Some(bound)) = (text("__name__"), text("le")) else { continue };
        let Some(values) = series["values"].as_array() else { continue };
        if !name.ends_with("_bucket") {
            continue;
        }
        let mut rest = labels.clone();
        rest.retain(|name, _| name != "le");
        let number = |value: &Value| value.as_str().and_then(|v| v.parse().ok()).unwrap_or(f64::NAN);
        let samples = values.iter().map(|v| (v[0].as_f64().unwrap_or_default(), number(&v[1]))).collect();
        let bound = bound.parse().unwrap_or(0.0);
        all.entry(format!("{name}{}", braces(&rest, "__name__"))).or_default().push((bound, samples));
    }
    all
}

fn of_classic(mut buckets: Vec<Bucket>) -> Option<Stats> {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let samples = buckets.first()?.1.len();
    if samples < 2 {
        return None;
    }
    let populated: Vec<usize> = (0..samples).map(|i| populated(&buckets, i)).collect();
    Stats::new(&populated, buckets.len())
}

/// How many buckets hold anything in the sample `i` of each; those from one without it on count as empty.
fn populated(buckets: &[Bucket], i: usize) -> usize {
    let mut below = 0.0;
    let mut count = 0;
    for (_, samples) in buckets {
        let Some((_, value)) = samples.get(i) else { break };
        count += usize::from((value - below).trunc() != 0.0);
        below = *value;
    }
    count
}

fn summary(kind: &str, all: &[Stats]) -> String {
    let of = |number: fn(&Stats) -> usize| {
        let numbers: Vec<usize> = all.iter().map(number).collect();
        Stats::new(&numbers, 0).map_or((0, 0.0, 0), |s| (s.min, s.avg, s.max))
    };
    let line = |(min, avg, max): (usize, f64, usize)| format!("{min}/{avg:.3}/{max}");
    let (max, total) = (of(|s| s.max), of(|s| s.total));
    let mut text = format!(
        "\n{kind} histogram series ({} in total):\n- min populated: {}\n- avg populated: {}\n\
         - max populated: {}",
        all.len(),
        line(of(|s| s.min)),
        // An average is cut to a whole number here, as promtool does.
        line(of(|s| s.avg as usize)),
        line(max),
    );
    if max != total {
        text.push_str(&format!("\n- total: {}", line(total)));
    }
    text
}
