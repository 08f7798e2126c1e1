//! Answers as promtool writes them: a line for each sample, or JSON. Asks nothing.

use super::Format;
use crate::role::{Failure, tool::output::Out};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// The result of a query.
pub(super) fn result(data: &Value, format: Format) -> Result<(), Failure> {
    let result = &data["result"];
    if format == Format::Json {
        return print(&json(result));
    }
    let empty = Vec::new();
    let each = result.as_array().unwrap_or(&empty);
    let text = match data["resultType"].as_str() {
        Some("vector") => each.iter().map(of_vector).collect::<Vec<_>>().join("\n"),
        Some("matrix") => each.iter().map(of_matrix).collect::<Vec<_>>().join("\n"),
        Some("scalar") => format!("scalar: {}", point(result)),
        _ => result[1].as_str().unwrap_or_default().to_owned(),
    };
    print(&text)
}

/// Series, a line each.
pub(super) fn series(data: &Value, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return print(&json(data));
    }
    let mut lines: Vec<String> =
        list(data).iter().filter_map(Value::as_object).map(|m| braces(m, "")).collect();
    lines.sort_unstable();
    lines.iter().try_for_each(|line| print(line))
}

/// Values, a line each.
pub(super) fn values(data: &Value, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return print(&json(data));
    }
    list(data).iter().filter_map(Value::as_str).try_for_each(print)
}

fn list(data: &Value) -> &[Value] {
    data.as_array().map_or(&[], Vec::as_slice)
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = Out::new();
    out.line(text)?;
    out.finish()
}

/// JSON in which what HTML knows is escaped, as Go's encoder does.
fn json(value: &Value) -> String {
    let mut out = String::new();
    // These stand in texts alone.
    for c in value.to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("invariant: writing to a String cannot fail");
            }
            c => out.push(c),
        }
    }
    out
}

fn of_vector(sample: &Value) -> String {
    let at = if sample["histogram"].is_array() {
        histogram(&sample["histogram"])
    } else {
        point(&sample["value"])
    };
    format!("{} => {at}", metric(&sample["metric"]))
}

fn of_matrix(series: &Value) -> String {
    let values = list(&series["values"]).iter().map(point);
    let histograms = list(&series["histograms"]).iter().map(histogram);
    let lines: Vec<String> = values.chain(histograms).collect();
    format!("{} =>\n{}", metric(&series["metric"]), lines.join("\n"))
}

/// `name{label="value", …}`; nothing in braces where there are no labels beside the name.
pub(super) fn metric(metric: &Value) -> String {
    let empty = Map::new();
    let metric = metric.as_object().unwrap_or(&empty);
    let name = metric.get("__name__").and_then(Value::as_str).unwrap_or_default();
    if metric.len() == 1 && !name.is_empty() {
        return name.to_owned();
    }
    format!("{name}{}", braces(metric, "__name__"))
}

/// `{label="value", …}` but for the label `without`.
pub(super) fn braces(metric: &Map<String, Value>, without: &str) -> String {
    let labels = metric.iter().filter(|(name, _)| *name != without);
    let label =
        |(name, value): (&String, &Value)| format!("{name}={}", quoted(value.as_str().unwrap_or_default()));
    format!("{{{}}}", labels.map(label).collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                write!(out, "\\x{:02x}", u32::from(c)).expect("invariant: writing to a String cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `1.5 @[1700000000.5]`
fn point(point: &Value) -> String {
    let value = point[1].as_str().unwrap_or_default();
    let number = value.parse::<f64>().map_or_else(|_| value.to_owned(), number);
    format!("{number} @[{}]", point[0])
}

/// A float without exponent.
fn number(v: f64) -> String {
    if v.is_infinite() { if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned() } else { v.to_string() }
}

fn histogram(point: &Value) -> String {
    let histogram = &point[1];
    let float = |value: &Value| value.as_str().and_then(|v| v.parse::<f64>().ok()).unwrap_or(f64::NAN);
    let bucket = |bucket: &Value| {
        let bounds = bucket[0].as_i64().unwrap_or_default();
        let open = if matches!(bounds, 1 | 3) { '[' } else { '(' };
        let close = if matches!(bounds, 0 | 3) { ']' } else { ')' };
        let [lower, upper, count] = [1, 2, 3].map(|i| number(float(&bucket[i])));
        format!("{open}{lower},{upper}{close}:{count}")
    };
    let buckets: Vec<String> = list(&histogram["buckets"]).iter().map(bucket).collect();
    let (count, sum) = (float(&histogram["count"]), float(&histogram["sum"]));
    format!("Count: {count:.6}, Sum: {sum:.6}, Buckets: [{}] @[{}]", buckets.join(" "), point[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn samples_are_lines_of_their_metric_value_and_time() {
        let sample =
            |labels: Value, value: &str| of_vector(&json!({"metric": labels, "value": [1.5, value]}));
        assert_eq!(sample(json!({"__name__": "up"}), "1"), "up => 1 @[1.5]");
        assert_eq!(sample(json!({}), "1e+20"), "{} => 100000000000000000000 @[1.5]");
        assert_eq!(
            sample(json!({"__name__": "a", "x": "\"\n", "b": "\\"}), "-Inf"),
            "a{b=\"\\\\\", x=\"\\\"\\n\"} => -Inf @[1.5]"
        );
        let buckets = json!([[3, "-0.5", "0.5", "1"], [0, "1", "2", "2"]]);
        let h = json!({"metric": {}, "histogram": [2, {"count": "3", "sum": "4.5", "buckets": buckets}]});
        let text = "{} => Count: 3.000000, Sum: 4.500000, Buckets: [[-0.5,0.5]:1 (1,2]:2] @[2]";
        assert_eq!(of_vector(&h), text);
    }
}
