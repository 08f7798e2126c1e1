//! What a metric is: its type, help text and unit.

use std::fmt;

/// The type that a metric's source declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum MetricType {
    /// Not declared, or declared as untyped.
    #[default]
    Unknown,
    /// A number that only grows, until its process starts again.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// Observations counted in buckets.
    Histogram,
    /// A histogram whose buckets go up and down (OpenMetrics).
    GaugeHistogram,
    /// Observations with precomputed quantiles.
    Summary,
    /// A text as labels of a constant 1 (OpenMetrics).
    Info,
    /// States as labels, each 0 or 1 (OpenMetrics).
    StateSet,
}

impl MetricType {
    /// The type's name in the exposition formats and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    /// What the names of a family's series may have behind the name of the family.
    pub const fn series_suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["_total"],
            Self::Histogram => &["_bucket", "_count", "_sum"],
            Self::GaugeHistogram => &["_bucket", "_gcount", "_gsum"],
            Self::Summary => &["_count", "_sum"],
            Self::Info => &["_info"],
            Self::Unknown | Self::Gauge | Self::StateSet => &[],
        }
    }

    /// The names that the family of a metric may have by its suffix, with the types that this goes with.
    pub fn families_of(metric: &str) -> impl Iterator<Item = (&str, Self)> {
        let families = |of: Self| {
            let before = of.series_suffixes().iter().filter_map(|suffix| metric.strip_suffix(suffix));
            before.filter(|name| !name.is_empty()).map(move |name| (name, of))
        };
        [Self::Counter, Self::Histogram, Self::GaugeHistogram, Self::Summary, Self::Info]
            .into_iter()
            .flat_map(families)
    }

    /// The name of the family of this type that a stored series' metric is of. A counter of `OpenMetrics` had
    /// a family without the suffix; that cannot be told from one of the text format, where family and series
    /// are called the same.
    pub fn family_of(self, metric: &str) -> &str {
        let mut families = Self::families_of(metric).filter(|(_, fits)| *fits == self);
        match self {
            Self::Counter => metric,
            _ => families.next().map_or(metric, |(family, _)| family),
        }
    }

    /// The type of that name; `untyped` is the classic format's name for unknown.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "unknown" | "untyped" => Self::Unknown,
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "gaugehistogram" => Self::GaugeHistogram,
            "summary" => Self::Summary,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            _ => return None,
        })
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a metric's source says of it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The declared type.
    pub metric_type: MetricType,
    /// What the metric means, in words; empty when unsaid.
    pub help: String,
    /// The unit, such as `seconds`; empty when unsaid.
    pub unit: String,
}
