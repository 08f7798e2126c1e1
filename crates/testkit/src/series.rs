//! Series with all that Prometheus keeps of them, and the text in which a fixture tells what a data directory
//! holds. Every float is exact to the bit. Knows no storage: each test brings its own answer into this form.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value as Json, json};

/// Names and values of labels.
pub type LabelPairs = BTreeMap<String, String>;

/// What a storage holds, by the labels of its series.
pub type Content = BTreeMap<LabelPairs, Series>;

/// What is known about one series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// Times in milliseconds, growing, and what was sampled.
    pub samples: Vec<(i64, Value)>,
    /// Observations picked out.
    pub exemplars: Vec<Exemplar>,
    /// What the metric is.
    pub metadata: Option<Metadata>,
}

/// A sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The bits of a float, or of the staleness marker.
    Float(u64),
    /// A native histogram.
    Histogram(Histogram),
}

impl Value {
    /// A float as a sample.
    #[must_use]
    pub fn float(value: f64) -> Value {
        Value::Float(value.to_bits())
    }
}

/// A native histogram; counts stand by the index of their bucket, and buckets that count nothing are left
/// out, so that two histograms are equal when they mean the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// How it counts.
    pub counts: Counts,
    /// The resolution; -53 for custom bounds.
    pub schema: i32,
    /// The width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in it.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// The bits of their sum.
    pub sum_bits: u64,
    /// Whether the counts started anew.
    pub reset: Reset,
    /// Positive observations.
    pub positive: BTreeMap<i32, f64>,
    /// Negative observations.
    pub negative: BTreeMap<i32, f64>,
    /// Upper bounds for schema -53.
    pub custom_bounds: Vec<f64>,
}

/// How a histogram counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// In whole numbers.
    Whole,
    /// In floats.
    Floats,
}

/// Whether the counts of a histogram started anew at a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Not told.
    Unknown,
    /// They did.
    Yes,
    /// They did not.
    No,
    /// They may sink at any time.
    Gauge,
}

impl Reset {
    /// All, by the numbers that remote write and read give them.
    pub const ALL: [Reset; 4] = [Reset::Unknown, Reset::Yes, Reset::No, Reset::Gauge];

    fn word(self) -> &'static str {
        match self {
            Reset::Unknown => "unknown",
            Reset::Yes => "reset",
            Reset::No => "no-reset",
            Reset::Gauge => "gauge",
        }
    }
}

/// An observation picked out.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Its own labels.
    pub labels: LabelPairs,
    /// When, in milliseconds.
    pub timestamp_ms: i64,
    /// The observation.
    pub value: f64,
}

/// What a metric is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// As the text format calls it: `counter`, `gauge` and so on.
    pub metric_type: String,
    /// Its description.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

/// The text of `content`: for each series a line `series LABELS`, then a line for each sample: the time
/// since the sample before (since 1970 for the first) and the value.
#[must_use]
pub fn to_text(content: &Content) -> String {
    let mut out = String::new();
    for (labels, series) in content {
        let _ = writeln!(out, "series {}", json!(labels));
        if let Some(m) = &series.metadata {
            let _ = writeln!(out, "metadata {}", json!([m.metric_type, m.help, m.unit]));
        }
        for e in &series.exemplars {
            let _ = writeln!(out, "exemplar {} {} {}", e.timestamp_ms, float_text(e.value), json!(e.labels));
        }
        let mut last_ms = 0;
        for (t, value) in &series.samples {
            let _ = write!(out, "{} ", t - last_ms);
            last_ms = *t;
            match value {
                Value::Float(bits) => out.push_str(&float_text(f64::from_bits(*bits))),
                Value::Histogram(h) => write_histogram(&mut out, h),
            }
            out.push('\n');
        }
    }
    out
}

/// Reads what `to_text` wrote.
///
/// # Errors
/// The first line that is none of its lines.
pub fn from_text(text: &str) -> Result<Content, String> {
    let mut content = Content::new();
    let mut current: Option<(LabelPairs, Series)> = None;
    let mut last_ms = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let wrong = || format!("line {number} is not understood: {line}");
        let (word, rest) = line.split_once(' ').ok_or_else(wrong)?;
        if word == "series" {
            content.extend(current.take());
            current = Some((pairs(rest).ok_or_else(wrong)?, Series::default()));
            last_ms = 0;
            continue;
        }
        let (_, series) = current.as_mut().ok_or_else(wrong)?;
        match word {
            "metadata" => series.metadata = Some(metadata(rest).ok_or_else(wrong)?),
            "exemplar" => series.exemplars.push(exemplar(rest).ok_or_else(wrong)?),
            delta => {
                last_ms += delta.parse::<i64>().map_err(|_| wrong())?;
                series.samples.push((last_ms, value(rest).ok_or_else(wrong)?));
            }
        }
    }
    content.extend(current);
    Ok(content)
}

fn float_text(v: f64) -> String {
    if v.is_nan() { format!("nan:{:016x}", v.to_bits()) } else { format!("{v:?}") }
}

fn float(text: &str) -> Option<f64> {
    match text.strip_prefix("nan:") {
        Some(bits) => u64::from_str_radix(bits, 16).ok().map(f64::from_bits),
        None => text.parse().ok(),
    }
}

fn write_histogram(out: &mut String, h: &Histogram) {
    let kind = if h.counts == Counts::Whole { "histogram" } else { "float-histogram" };
    let buckets = |all: &BTreeMap<i32, f64>| {
        all.iter().map(|(i, n)| format!("{i}:{}", float_text(*n))).collect::<Vec<_>>().join(",")
    };
    let bounds = h.custom_bounds.iter().map(|b| float_text(*b)).collect::<Vec<_>>().join(",");
    let _ = write!(
        out,
        "{kind} {} count={} sum={} schema={} zero={}:{} pos={} neg={} bounds={bounds}",
        h.reset.word(),
        float_text(h.count),
        float_text(f64::from_bits(h.sum_bits)),
        h.schema,
        float_text(h.zero_threshold),
        float_text(h.zero_count),
        buckets(&h.positive),
        buckets(&h.negative),
    );
}

fn value(text: &str) -> Option<Value> {
    let mut words = text.split(' ');
    let counts = match words.next()? {
        "histogram" => Counts::Whole,
        "float-histogram" => Counts::Floats,
        number => return words.next().is_none().then_some(Value::float(float(number)?)),
    };
    let reset = words.next()?;
    let reset = Reset::ALL.into_iter().find(|one| one.word() == reset)?;
    let mut field = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
    let count = float(field("count")?)?;
    let sum_bits = float(field("sum")?)?.to_bits();
    let schema = field("schema")?.parse().ok()?;
    let (zero_threshold, zero_count) = field("zero")?.split_once(':')?;
    let (positive, negative) = (buckets(field("pos")?)?, buckets(field("neg")?)?);
    let custom_bounds = parts(field("bounds")?).map(float).collect::<Option<_>>()?;
    let (zero_threshold, zero_count) = (float(zero_threshold)?, float(zero_count)?);
    let histogram = Histogram {
        counts,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum_bits,
        reset,
        positive,
        negative,
        custom_bounds,
    };
    words.next().is_none().then_some(Value::Histogram(histogram))
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|part| !part.is_empty())
}

fn buckets(text: &str) -> Option<BTreeMap<i32, f64>> {
    parts(text)
        .map(|part| {
            let (index, count) = part.split_once(':')?;
            Some((index.parse().ok()?, float(count)?))
        })
        .collect()
}

fn pairs(text: &str) -> Option<LabelPairs> {
    serde_json::from_str(text).ok()
}

fn metadata(text: &str) -> Option<Metadata> {
    let all: Json = serde_json::from_str(text).ok()?;
    let part = |at: usize| Some(all.get(at)?.as_str()?.to_owned());
    Some(Metadata { metric_type: part(0)?, help: part(1)?, unit: part(2)? })
}

fn exemplar(text: &str) -> Option<Exemplar> {
    let mut parts = text.splitn(3, ' ');
    let timestamp_ms = parts.next()?.parse().ok()?;
    let value = float(parts.next()?)?;
    Some(Exemplar { labels: pairs(parts.next()?)?, timestamp_ms, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str) -> LabelPairs {
        [("__name__", name), ("größe", "a \"b\"\n\\ ☃")].map(|(n, v)| (n.to_owned(), v.to_owned())).into()
    }

    fn histogram(counts: Counts, reset: Reset) -> Value {
        Value::Histogram(Histogram {
            counts,
            schema: -4,
            zero_threshold: 1e-128,
            zero_count: 2.0,
            count: 12.5,
            sum_bits: f64::NEG_INFINITY.to_bits(),
            reset,
            positive: [(-7, 1.5), (0, 3.0)].into(),
            negative: [(i32::MAX, 6.0)].into(),
            custom_bounds: vec![0.1, f64::INFINITY],
        })
    }

    fn all_sorts() -> Content {
        let floats = [0.0, -0.0, 0.1 + 0.2, 5e-324, f64::MAX, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let mut samples: Vec<(i64, Value)> =
            (0..).zip(floats).map(|(i, v)| (1_700_000_000_000 + i * i * 1000, Value::float(v))).collect();
        samples.push((1_800_000_000_000, Value::Float(0x7ff0_0000_0000_0002)));
        let exemplars = vec![Exemplar { labels: labels("e"), timestamp_ms: -5, value: 0.25 }];
        let text = |text: &str| text.to_owned();
        let metadata =
            Some(Metadata { metric_type: text("counter"), help: text("All, \"so far\""), unit: text("") });
        let kinds =
            [Counts::Whole, Counts::Floats].into_iter().flat_map(|c| Reset::ALL.map(|r| histogram(c, r)));
        let histograms = Series { samples: (-3..).zip(kinds).collect(), ..Series::default() };
        [
            (labels("floats"), Series { samples, exemplars, metadata }),
            (labels("histograms"), histograms),
            (labels("nothing"), Series::default()),
        ]
        .into()
    }

    #[test]
    fn the_text_is_read_as_it_was_written() {
        let all = all_sorts();
        assert_eq!(from_text(&to_text(&all)), Ok(all));
        assert_eq!(from_text(""), Ok(Content::new()));
    }

    #[test]
    fn broken_lines_are_named() {
        let good = "series {\"a\":\"b\"}\n";
        for line in [
            "1 2",
            "series x",
            &format!("{good}1 x"),
            &format!("{good}1 2 3"),
            &format!("{good}x 2"),
            &format!("{good}metadata [1]"),
            &format!("{good}exemplar 1 2"),
            &format!("{good}1 histogram unknown count=1"),
        ] {
            let last = line.lines().last().unwrap();
            let wrong = from_text(line).unwrap_err();
            assert!(wrong.ends_with(&format!("is not understood: {last}")), "{wrong}");
        }
    }
}
