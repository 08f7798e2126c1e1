//! From points to the series of a request of remote write 1.0.

use super::{
    OtlpConfig,
    names::{self, Kind},
};
use prost::Message as _;
use skopos_base::varint::put_uvarint;
use skopos_model::{
    Histogram, Layout, Span, TimestampMs, histogram::CUSTOM_SCHEMA, name::METRIC_NAME, stale_nan,
};
use skopos_proto::{
    convert,
    messages::Sample,
    otlp::{
        self, Added, Attributes, Buckets, Data, Exemplar, Exponential, Metric, Number, Point, Resource, Scope,
    },
    write::put_labels,
};
use std::collections::BTreeMap;

/// Cumulative, which is the only way in which values are kept here.
const CUMULATIVE: u64 = 2;
/// There is no value: the series ends.
const NO_VALUE: u64 = 1;
/// What is near zero where a histogram does not say it.
const ZERO_THRESHOLD: f64 = 1e-128;
/// The finest and the coarsest resolution.
const FINEST: i64 = 8;
const COARSEST: i64 = -4;
const TARGET_INFO: &str = "target_info";
/// What `job` and `instance` are made of.
const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];

/// The request, and what has no place in it.
#[derive(Debug, Default)]
pub(super) struct Translated {
    pub(super) request: Vec<u8>,
    pub(super) refused: Vec<String>,
    /// Exemplars of gauges, which have none in Prometheus either.
    pub(super) exemplars_passed_over: u64,
}

/// Translates all of it; points that are later than `latest` tell no time of their resource.
pub(super) fn translate(resources: &[Resource], config: &OtlpConfig, latest: TimestampMs) -> Translated {
    let mut out = Translated::default();
    for resource in resources {
        Translating::of(resource, config, latest).all(resource, &mut out);
    }
    out
}

/// A series of floats of a point.
#[derive(Clone, Copy, Default)]
struct Floats<'a> {
    name: &'a str,
    /// One more label.
    more: Option<(&'a str, &'a str)>,
    /// Those that are of this series.
    exemplars: &'a [&'a Exemplar],
}

/// Labels by their names.
type Pairs = BTreeMap<String, String>;

struct Translating<'a> {
    config: &'a OtlpConfig,
    /// `job`, `instance` and promoted attributes.
    common: Pairs,
    /// What measured the metric at hand, where that is wanted.
    scope: Pairs,
    newest_ns: u64,
    latest: TimestampMs,
}

/// Whether exemplars of numbers are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HasExemplars {
    Yes,
    No,
}

/// What a scope becomes, as labels of its series.
fn labels_of(scope: &Scope, config: &OtlpConfig) -> Pairs {
    let mut pairs = Pairs::new();
    for (name, value) in &scope.attributes {
        add(&mut pairs, names::label(&format!("otel_scope_{name}"), config), value);
    }
    for (name, value) in
        [("name", &scope.name), ("version", &scope.version), ("schema_url", &scope.schema_url)]
    {
        pairs.insert(format!("otel_scope_{name}"), value.clone());
    }
    pairs
}

fn value_of<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

impl<'a> Translating<'a> {
    fn of(resource: &Resource, config: &'a OtlpConfig, latest: TimestampMs) -> Self {
        let attributes = &resource.attributes;
        let mut common = Pairs::new();
        for (name, value) in attributes.iter().filter(|(name, _)| config.promotes(name)) {
            add(&mut common, names::label(name, config), value);
        }
        let [namespace, name, instance] = IDENTIFYING.map(|name| value_of(attributes, name));
        if let Some(name) = name {
            let job = namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
            common.insert("job".to_owned(), job);
        }
        if let Some(instance) = instance {
            common.insert("instance".to_owned(), instance.to_owned());
        }
        Self { config, common, scope: Pairs::new(), newest_ns: 0, latest }
    }

    fn all(mut self, resource: &Resource, out: &mut Translated) {
        for metric in &resource.metrics {
            self.scope = match resource.scopes.get(metric.scope) {
                Some(scope) if self.config.promote_scope_metadata && !scope.name.is_empty() => {
                    labels_of(scope, self.config)
                }
                _ => Pairs::new(),
            };
            self.metric(metric, out);
        }
        self.scope.clear();
        self.target_info(resource, out);
    }

    fn metric(&mut self, metric: &Metric, out: &mut Translated) {
        let kind = match &metric.data {
            Data::Sum(_, Added { is_monotonic: true, .. }) => Kind::Counter,
            Data::Gauge(_) => Kind::Gauge,
            _ => Kind::Other,
        };
        let name = names::metric(&metric.name, &metric.unit, kind, self.config.translation_strategy);
        if name.is_empty() {
            out.refused.push("a metric has no name".to_owned());
            return;
        }
        if let Data::Sum(_, added) | Data::Histogram(_, added) | Data::Exponential(_, added) = &metric.data
            && added.temporality != CUMULATIVE
        {
            let reason = "invalid temporality and type combination: it is not cumulative";
            out.refused.push(format!("metric {:?}: {reason}", metric.name));
            return;
        }
        let family = match &metric.data {
            Data::Unknown => {
                out.refused.push(format!("metric {:?}: it has no points of a known kind", metric.name));
                return;
            }
            Data::Gauge(points) => {
                points.iter().for_each(|point| self.number(&name, point, HasExemplars::No, out));
                2
            }
            Data::Sum(points, added) => {
                points.iter().for_each(|point| self.number(&name, point, HasExemplars::Yes, out));
                if added.is_monotonic { 1 } else { 2 }
            }
            Data::Histogram(points, _) if self.config.convert_histograms_to_nhcb => {
                points.iter().for_each(|point| self.custom(&name, point, out));
                3
            }
            Data::Histogram(points, _) => {
                points.iter().for_each(|point| self.classic(&name, point, out));
                3
            }
            Data::Exponential(points, _) => {
                points.iter().for_each(|point| self.native(&name, point, out));
                3
            }
            Data::Summary(points) => {
                points.iter().for_each(|point| self.summary(&name, point, out));
                5
            }
        };
        put_family(&mut out.request, (&name, family), metric);
    }

    /// The labels of a point, with its name and one more.
    fn labels(&mut self, name: &str, point: &Point, more: Option<(&str, &str)>) -> Vec<u8> {
        if TimestampMs::new(ms(point.time_ns)) <= self.latest {
            self.newest_ns = self.newest_ns.max(point.time_ns);
        }
        let mut pairs = Pairs::new();
        let mut sorted: Vec<_> = point.attributes.iter().collect();
        sorted.sort_unstable();
        for (name, value) in sorted {
            add(&mut pairs, names::label(name, self.config), value);
        }
        for (name, value) in self.common.iter().chain(&self.scope) {
            pairs.insert(name.clone(), value.clone());
        }
        pairs.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
        pairs.insert(METRIC_NAME.to_owned(), name.to_owned());
        pairs.retain(|_, value| !value.is_empty());
        let mut out = Vec::new();
        put_labels(&mut out, pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        out
    }

    fn float(&mut self, of: Floats<'_>, point: &Point, value: f64, out: &mut Translated) {
        let mut series = self.labels(of.name, point, of.more);
        let value = if point.flags & NO_VALUE == 0 { value } else { stale_nan() };
        put_sample(&mut series, value, point.time_ns);
        put_exemplars(&mut series, of.exemplars.iter().copied());
        put(&mut out.request, 1, &series);
    }

    fn number(&mut self, name: &str, number: &Number, has: HasExemplars, out: &mut Translated) {
        let all: Vec<&Exemplar> = number.point.exemplars.iter().collect();
        let exemplars = match has {
            HasExemplars::Yes => &all[..],
            HasExemplars::No => {
                out.exemplars_passed_over += all.len() as u64;
                &[]
            }
        };
        self.float(Floats { name, exemplars, ..Floats::default() }, &number.point, number.value, out);
    }

    /// Each exemplar goes to the bucket that it fell into.
    fn classic(&mut self, name: &str, of: &otlp::Histogram, out: &mut Translated) {
        let (point, bucket) = (&of.point, format!("{name}_bucket"));
        if let Some(value) = of.sum {
            self.float(Floats { name: &format!("{name}_sum"), ..Floats::default() }, point, value, out);
        }
        let count = Floats { name: &format!("{name}_count"), ..Floats::default() };
        self.float(count, point, of.count as f64, out);
        let mut left: Vec<&Exemplar> = point.exemplars.iter().collect();
        let mut below = 0_u64;
        for (bound, count) in of.bounds.iter().zip(&of.counts) {
            below = below.saturating_add(*count);
            let (inside, above): (Vec<_>, Vec<_>) = left.into_iter().partition(|e| e.value <= *bound);
            left = above;
            let le = bound.to_string();
            let floats = Floats { name: &bucket, more: Some(("le", &le)), exemplars: &inside };
            self.float(floats, point, below as f64, out);
        }
        let all = Floats { name: &bucket, more: Some(("le", "+Inf")), exemplars: &left };
        self.float(all, point, of.count as f64, out);
    }

    fn custom(&mut self, name: &str, of: &otlp::Histogram, out: &mut Translated) {
        let length = u32::try_from(of.counts.len()).unwrap_or(u32::MAX);
        let layout = Layout {
            schema: CUSTOM_SCHEMA,
            positive_spans: Vec::from_iter((length > 0).then_some(Span { offset: 0, length })),
            custom_bounds: of.bounds.clone(),
            ..Layout::default()
        };
        let histogram = Histogram {
            layout,
            count: of.count,
            sum: of.sum.unwrap_or_default(),
            positive_deltas: deltas(&of.counts),
            ..Histogram::default()
        };
        self.histogram(name, &of.point, histogram, out);
    }

    fn native(&mut self, name: &str, of: &Exponential, out: &mut Translated) {
        if of.scale < COARSEST {
            out.refused.push(format!("metric {name:?}: scale {} is too coarse: -4 is the least", of.scale));
            return;
        }
        let coarser = (of.scale - FINEST).max(0);
        let (positive_spans, positive_deltas) = native_buckets(&of.positive, coarser);
        let (negative_spans, negative_deltas) = native_buckets(&of.negative, coarser);
        let layout = Layout {
            schema: of.scale.min(FINEST) as i32,
            zero_threshold: if of.zero_threshold > 0.0 { of.zero_threshold } else { ZERO_THRESHOLD },
            positive_spans,
            negative_spans,
            ..Layout::default()
        };
        let (count, zero_count, sum) = (of.count, of.zero_count, of.sum.unwrap_or_default());
        let histogram = Histogram { layout, count, sum, zero_count, positive_deltas, negative_deltas };
        self.histogram(name, &of.point, histogram, out);
    }

    fn histogram(&mut self, name: &str, point: &Point, histogram: Histogram, out: &mut Translated) {
        let mut series = self.labels(name, point, None);
        let histogram = if point.flags & NO_VALUE == 0 { histogram } else { Histogram::stale() };
        let written = convert::histogram(TimestampMs::new(ms(point.time_ns)), histogram);
        put(&mut series, 4, &written.encode_to_vec());
        // Behind the sample: an exemplar needs a series that is known.
        put_exemplars(&mut series, &point.exemplars);
        put(&mut out.request, 1, &series);
    }

    fn summary(&mut self, name: &str, of: &otlp::Summary, out: &mut Translated) {
        for (suffix, value) in [("_sum", of.sum), ("_count", of.count as f64)] {
            let name = &format!("{name}{suffix}");
            self.float(Floats { name, ..Floats::default() }, &of.point, value, out);
        }
        for (quantile, value) in &of.quantiles {
            let more = Some(("quantile", &*quantile.to_string()));
            self.float(Floats { name, more, ..Floats::default() }, &of.point, *value, out);
        }
    }

    /// What the resource says of itself beyond who it is.
    fn target_info(&mut self, resource: &Resource, out: &mut Translated) {
        let who = ["job", "instance"].map(|name| self.common.get(name).cloned());
        let is_kept =
            |name: &str| self.config.keep_identifying_resource_attributes || !IDENTIFYING.contains(&name);
        let mut sorted: Vec<_> =
            resource.attributes.iter().filter(|(name, _)| is_kept(name)).cloned().collect();
        sorted.sort_unstable();
        if sorted.is_empty() || who.iter().all(Option::is_none) || self.newest_ns == 0 {
            return;
        }
        let point = Point { attributes: sorted, time_ns: self.newest_ns, ..Point::default() };
        // Promoted attributes stand there already.
        self.common.retain(|name, _| name == "job" || name == "instance");
        self.float(Floats { name: TARGET_INFO, ..Floats::default() }, &point, 1.0, out);
    }
}

/// Sets a label; two attributes that become one label are put together.
fn add(pairs: &mut Pairs, name: String, value: &str) {
    match pairs.get_mut(&name) {
        Some(before) => {
            before.push(';');
            before.push_str(value);
        }
        None => drop(pairs.insert(name, value.to_owned())),
    }
}

fn ms(ns: u64) -> i64 {
    (ns / 1_000_000) as i64
}

fn deltas(counts: &[u64]) -> Vec<i64> {
    let mut before = 0_i64;
    let delta = |count: &u64| {
        let delta = (*count as i64).wrapping_sub(before);
        before = *count as i64;
        delta
    };
    counts.iter().map(delta).collect()
}

/// Buckets of a resolution that is so much coarser; OpenTelemetry counts them from one less.
fn native_buckets(buckets: &Buckets, coarser: i64) -> (Vec<Span>, Vec<i64>) {
    let mut counts: Vec<u64> = Vec::with_capacity(buckets.counts.len());
    let index = |i: usize| buckets.offset.saturating_add(i as i64) >> coarser.min(62);
    let mut last = None;
    for (i, count) in buckets.counts.iter().enumerate() {
        match counts.last_mut().filter(|_| last == Some(index(i))) {
            Some(same) => *same = same.saturating_add(*count),
            None => counts.push(*count),
        }
        last = Some(index(i));
    }
    let first = i32::try_from(index(0).saturating_add(1));
    let (Ok(offset), Ok(length)) = (first, u32::try_from(counts.len())) else { return Default::default() };
    if length == 0 { Default::default() } else { (vec![Span { offset, length }], deltas(&counts)) }
}

/// A field that has bytes.
fn put(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_sample(series: &mut Vec<u8>, value: f64, time_ns: u64) {
    put(series, 2, &Sample { value, timestamp: ms(time_ns) }.encode_to_vec());
}

fn put_exemplars<'e>(series: &mut Vec<u8>, exemplars: impl IntoIterator<Item = &'e Exemplar>) {
    for exemplar in exemplars {
        let mut out = Vec::new();
        put_labels(&mut out, exemplar.attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        out.push(0x11);
        out.extend_from_slice(&exemplar.value.to_le_bytes());
        out.push(0x18);
        put_uvarint(&mut out, ms(exemplar.time_ns) as u64);
        put(series, 3, &out);
    }
}

fn put_family(request: &mut Vec<u8>, (name, family): (&str, u8), metric: &Metric) {
    let mut out = vec![0x08, family];
    put(&mut out, 2, name.as_bytes());
    put(&mut out, 4, metric.description.as_bytes());
    put(&mut out, 5, metric.unit.as_bytes());
    put(request, 3, &out);
}
