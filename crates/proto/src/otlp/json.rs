//! The same from JSON, as the OTLP specification maps it: names in camel case, 64-bit numbers as texts or
//! numbers.

use super::{
    Added, Attributes, Buckets, Data, Exemplar, Exponential, Histogram, Metric, NESTED_MAX, Number, Point,
    Resource, Scope, Summary, text_of,
};
use crate::wire::WireError;
use serde_json::Value;

/// Reads a request of JSON. Members that nobody knows are passed over.
///
/// # Errors
/// When it is none.
pub fn read_json(request: &[u8]) -> Result<Vec<Resource>, WireError> {
    let request: Value = serde_json::from_slice(request).map_err(|_| WireError::new("it is no JSON"))?;
    if !request.is_object() {
        return Err(WireError::new("it is no JSON object"));
    }
    Ok(list(&request, "resourceMetrics").map(resource).collect())
}

fn list<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    of[name].as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn text(of: &Value, name: &str) -> String {
    of[name].as_str().unwrap_or_default().to_owned()
}

fn uint(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

fn int(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

fn float(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn resource(of: &Value) -> Resource {
    let mut out = Resource { attributes: attributes(&of["resource"], "attributes"), ..Resource::default() };
    for of_scope in list(of, "scopeMetrics") {
        let scope = out.scopes.len();
        out.metrics.extend(list(of_scope, "metrics").map(|of| Metric { scope, ..metric(of) }));
        let of = &of_scope["scope"];
        out.scopes.push(Scope {
            name: text(of, "name"),
            version: text(of, "version"),
            attributes: attributes(of, "attributes"),
            schema_url: text(of_scope, "schemaUrl"),
        });
    }
    out
}

fn attributes(of: &Value, name: &str) -> Attributes {
    list(of, name).map(|pair| (text(pair, "key"), text_of(&any(&pair["value"], NESTED_MAX)))).collect()
}

/// A value without its type.
fn any(value: &Value, deeper: usize) -> Value {
    let (Some(deeper), Some((kind, of))) =
        (deeper.checked_sub(1), value.as_object().and_then(|v| v.iter().next()))
    else {
        return Value::Null;
    };
    match kind.as_str() {
        "intValue" => Value::from(int(of)),
        "arrayValue" => Value::from(list(of, "values").map(|v| any(v, deeper)).collect::<Vec<_>>()),
        "kvlistValue" => {
            let pairs = list(of, "values").map(|pair| (text(pair, "key"), any(&pair["value"], deeper)));
            Value::Object(pairs.collect())
        }
        _ => of.clone(),
    }
}

fn metric(of: &Value) -> Metric {
    let data = if of["gauge"].is_object() {
        Data::Gauge(list(&of["gauge"], "dataPoints").map(number).collect())
    } else if of["sum"].is_object() {
        Data::Sum(list(&of["sum"], "dataPoints").map(number).collect(), added(&of["sum"]))
    } else if of["histogram"].is_object() {
        Data::Histogram(
            list(&of["histogram"], "dataPoints").map(histogram).collect(),
            added(&of["histogram"]),
        )
    } else if of["exponentialHistogram"].is_object() {
        let of = &of["exponentialHistogram"];
        Data::Exponential(list(of, "dataPoints").map(exponential).collect(), added(of))
    } else if of["summary"].is_object() {
        Data::Summary(list(&of["summary"], "dataPoints").map(summary).collect())
    } else {
        Data::Unknown
    };
    Metric {
        name: text(of, "name"),
        description: text(of, "description"),
        unit: text(of, "unit"),
        data,
        scope: 0,
    }
}

fn added(of: &Value) -> Added {
    let temporality = match of["aggregationTemporality"].as_str() {
        Some("AGGREGATION_TEMPORALITY_DELTA") => 1,
        Some("AGGREGATION_TEMPORALITY_CUMULATIVE") => 2,
        _ => uint(&of["aggregationTemporality"]),
    };
    Added { temporality, is_monotonic: of["isMonotonic"].as_bool().unwrap_or_default() }
}

fn point(of: &Value) -> Point {
    Point {
        attributes: attributes(of, "attributes"),
        time_ns: uint(&of["timeUnixNano"]),
        flags: uint(&of["flags"]),
        exemplars: list(of, "exemplars").map(exemplar).collect(),
    }
}

fn value(of: &Value) -> f64 {
    float(&of["asDouble"]).unwrap_or_else(|| int(&of["asInt"]) as f64)
}

fn number(of: &Value) -> Number {
    Number { point: point(of), value: value(of) }
}

fn histogram(of: &Value) -> Histogram {
    Histogram {
        point: point(of),
        count: uint(&of["count"]),
        sum: float(&of["sum"]),
        bounds: list(of, "explicitBounds").filter_map(float).collect(),
        counts: list(of, "bucketCounts").map(uint).collect(),
    }
}

fn exponential(of: &Value) -> Exponential {
    let buckets = |of: &Value| Buckets {
        offset: int(&of["offset"]),
        counts: list(of, "bucketCounts").map(uint).collect(),
    };
    Exponential {
        point: point(of),
        count: uint(&of["count"]),
        sum: float(&of["sum"]),
        scale: int(&of["scale"]),
        zero_count: uint(&of["zeroCount"]),
        zero_threshold: float(&of["zeroThreshold"]).unwrap_or_default(),
        positive: buckets(&of["positive"]),
        negative: buckets(&of["negative"]),
    }
}

fn summary(of: &Value) -> Summary {
    let quantile =
        |of: &Value| (float(&of["quantile"]).unwrap_or_default(), float(&of["value"]).unwrap_or_default());
    Summary {
        point: point(of),
        count: uint(&of["count"]),
        sum: float(&of["sum"]).unwrap_or_default(),
        quantiles: list(of, "quantileValues").map(quantile).collect(),
    }
}

fn exemplar(of: &Value) -> Exemplar {
    let mut all = attributes(of, "filteredAttributes");
    for (name, member) in [("span_id", "spanId"), ("trace_id", "traceId")] {
        all.extend(of[member].as_str().filter(|t| !t.is_empty()).map(|t| (name.to_owned(), t.to_owned())));
    }
    Exemplar { attributes: all, time_ns: uint(&of["timeUnixNano"]), value: value(of) }
}
