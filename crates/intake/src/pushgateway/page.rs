//! What is shown of all groups: the page that is scraped, and `/api/v1/metrics`.

use super::{
    FAILURE_TIME, Group, Groups, OWN_TYPE, PUSH_TIME,
    family::{Family, Sample, written},
};
use serde_json::{Map, Value, json};
use skopos_exposition::{Format, TextWriter};
use skopos_model::{Labels, MetricType};
use std::collections::BTreeMap;

const HELP_OF_PUSHES: &str = "Last Unix time when changing this group in the Pushgateway succeeded.";
const HELP_OF_FAILURES: &str = "Last Unix time when changing this group in the Pushgateway failed.";
/// The label that a scrape would add: empty, so that it does not.
const INSTANCE: &str = "instance";

/// What the gateway says of a group itself.
fn own(labels: &Labels, group: &Group) -> [(&'static str, Family); 2] {
    let of = |help: &str, ms: i64| Family {
        metric_type: OWN_TYPE,
        help: help.to_owned(),
        samples: vec![Sample { suffix: "", labels: labels.clone(), value: ms as f64 / 1e3 }],
        has_times: false,
    };
    [(FAILURE_TIME, of(HELP_OF_FAILURES, group.failed_ms)), (PUSH_TIME, of(HELP_OF_PUSHES, group.pushed_ms))]
}

/// The labels as they are shown.
fn shown(labels: &Labels) -> Vec<(&str, &str)> {
    let mut pairs: Vec<(&str, &str)> = labels.iter().collect();
    if labels.get(INSTANCE).is_none() {
        pairs.push((INSTANCE, ""));
        pairs.sort_unstable();
    }
    pairs
}

/// Appends the page.
pub(super) fn write(groups: &Groups, out: &mut Vec<u8>) {
    let of_groups: Vec<_> = groups.iter().map(|(labels, group)| own(labels, group)).collect();
    let mut all: BTreeMap<&str, Vec<&Family>> = BTreeMap::new();
    for (group, own) in groups.values().zip(&of_groups) {
        for (name, family) in &group.families {
            all.entry(name).or_default().push(family);
        }
        for (name, family) in own {
            all.entry(name).or_default().push(family);
        }
    }
    let mut writer = TextWriter::new(Format::Text, out);
    for (name, families) in all {
        // The help that came first stands for all.
        let help = families.iter().map(|f| f.help.as_str()).find(|help| !help.is_empty()).unwrap_or_default();
        let first = families.first().map_or(MetricType::Unknown, |f| f.metric_type);
        if writer.family(name, first, help).is_err() {
            continue;
        }
        for sample in families.iter().filter(|f| f.metric_type == first).flat_map(|f| &f.samples) {
            // What its type does not have was refused when it was read.
            let _ = writer.sample(sample.suffix, &shown(&sample.labels), sample.value);
        }
    }
    writer.finish();
}

/// All groups as JSON.
pub(super) fn status(groups: &Groups) -> Value {
    let all = groups.iter().map(|(labels, group)| {
        let mut out = Map::new();
        let pairs: Map<String, Value> = labels.iter().map(|(n, v)| (n.to_owned(), json!(v))).collect();
        out.insert("labels".to_owned(), Value::Object(pairs));
        let succeeded = group.pushed_ms >= group.failed_ms && group.pushed_ms > 0;
        out.insert("last_push_successful".to_owned(), json!(succeeded));
        let own = own(labels, group);
        let own = own.iter().map(|(name, family)| (*name, family));
        for (name, family) in group.families.iter().map(|(n, f)| (n.as_str(), f)).chain(own) {
            out.insert(name.to_owned(), of_family(family, group.pushed_ms.max(group.failed_ms)));
        }
        Value::Object(out)
    });
    Value::Array(all.collect())
}

fn of_family(family: &Family, at_ms: i64) -> Value {
    let mut metrics: Vec<(Labels, Map<String, Value>)> = Vec::new();
    let bound = match family.metric_type {
        MetricType::Histogram => "le",
        MetricType::Summary => "quantile",
        _ => "",
    };
    for Sample { suffix, labels, value } in &family.samples {
        let own = labels.filtered(|name| bound.is_empty() || name != bound);
        let at = metrics.iter().position(|(of, _)| *of == own).unwrap_or(metrics.len());
        if at == metrics.len() {
            let pairs: Map<String, Value> =
                shown(&own).into_iter().map(|(n, v)| (n.to_owned(), json!(v))).collect();
            metrics.push((own, Map::from_iter([("labels".to_owned(), Value::Object(pairs))])));
        }
        let metric = &mut metrics[at].1;
        let value = json!(written(*value));
        match (*suffix, labels.get(bound)) {
            ("_sum", _) => drop(metric.insert("sum".to_owned(), value)),
            ("_count", _) => drop(metric.insert("count".to_owned(), value)),
            (_, Some(of)) => {
                let name = if bound == "le" { "buckets" } else { "quantiles" };
                let all = metric.entry(name).or_insert_with(|| json!({}));
                all[of] = value;
            }
            _ => drop(metric.insert("value".to_owned(), value)),
        }
    }
    let metric_type = match family.metric_type {
        MetricType::Unknown => "UNTYPED".to_owned(),
        known => known.as_str().to_ascii_uppercase(),
    };
    let at = jiff::Timestamp::from_millisecond(at_ms).map(|at| at.to_string()).unwrap_or_default();
    let metrics: Vec<Value> = metrics.into_iter().map(|(_, metric)| Value::Object(metric)).collect();
    let mut out = json!({"time_stamp": at, "type": metric_type, "metrics": metrics});
    if !family.help.is_empty() {
        out["help"] = json!(family.help);
    }
    out
}
