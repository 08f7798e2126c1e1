//! `/api/v1/status/self_metrics`: this process's own metrics as JSON, in the form that protocol buffers
//! have there.

use crate::{
    params::Params,
    parts::{App, Ready},
    reply::{ApiError, Success},
};
use axum::extract::State;
use serde_json::{Map, Value, json};
use skopos_exposition::{Entry, Format, Parser, Sample};
use skopos_model::{LabelsBuilder, MetricType, re2::WholeText};

/// What a compiled expression may take, in bytes.
const COMPILED_MAX_BYTES: usize = 1 << 20;

/// The families whose names match `metric_name_pattern` as a whole.
pub(crate) async fn self_metrics(
    State(app): State<App>,
    _: Ready,
    params: Params,
) -> Result<Success, ApiError> {
    of_pattern(&app, params).await
}

/// What is compiled and read takes its turn with what is written.
async fn of_pattern(app: &App, params: Params) -> Result<Success, ApiError> {
    let answer = app.describing(move |write| {
        let pattern = params.get("metric_name_pattern").map(|p| WholeText::new(p, COMPILED_MAX_BYTES));
        let pattern = pattern.transpose().map_err(|e| ApiError::parameter("metric_name_pattern", e))?;
        let wanted = |family: &Family| {
            !family.metrics.is_empty() && pattern.as_ref().is_none_or(|p| p.is_match(&family.name))
        };
        let families = families(&write(Format::Text))?;
        let families: Vec<Value> = families.into_iter().filter(wanted).map(Family::into_json).collect();
        Success::of(&families)
    });
    answer.await?
}

struct Family {
    name: String,
    help: String,
    metric_type: MetricType,
    metrics: Vec<Metric>,
}

struct Metric {
    labels: Vec<(String, String)>,
    value: Value,
}

impl Family {
    fn into_json(self) -> Value {
        let kind =
            if self.metric_type == MetricType::Unknown { "untyped" } else { self.metric_type.as_str() };
        let metric = |m: Metric| {
            let mut out = Map::new();
            if !m.labels.is_empty() {
                let pair = |(name, value): (String, String)| json!({"name": name, "value": value});
                out.insert("label".to_owned(), m.labels.into_iter().map(pair).collect());
            }
            out.insert(kind.to_owned(), m.value);
            Value::Object(out)
        };
        json!({
            "name": self.name,
            "help": self.help,
            "type": kind.to_uppercase(),
            "metric": self.metrics.into_iter().map(metric).collect::<Vec<_>>(),
        })
    }

    fn add(&mut self, sample: &Sample<'_>) -> Result<(), ApiError> {
        let mut builder = LabelsBuilder::default();
        sample.series.labels_into(&mut builder).map_err(|e| ApiError::internal(e.label))?;
        let labels = builder.build();
        let part = labels.value("__name__").strip_prefix(self.name.as_str()).unwrap_or("").to_owned();
        let of_part = |name: &str| name == "le" && part == "_bucket" || name == "quantile" && part.is_empty();
        let compound = matches!(self.metric_type, MetricType::Histogram | MetricType::Summary);
        let own: Vec<(String, String)> = labels
            .iter()
            .filter(|(name, _)| *name != "__name__" && !(compound && of_part(name)))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        if !compound {
            self.metrics.push(Metric { labels: own, value: json!({"value": number(sample.value)}) });
            return Ok(());
        }
        let at = self.metrics.iter().position(|m| m.labels == own).unwrap_or_else(|| {
            self.metrics.push(Metric { labels: own, value: json!({}) });
            self.metrics.len() - 1
        });
        let value = &mut self.metrics[at].value;
        let number_of = |label: &str| number(labels.value(label).parse().unwrap_or(f64::NAN));
        match part.as_str() {
            "_sum" => value["sampleSum"] = number(sample.value),
            "_count" => value["sampleCount"] = count(sample.value),
            "_bucket" => push(
                &mut value["bucket"],
                json!({"cumulativeCount": count(sample.value), "upperBound": number_of("le")}),
            ),
            _ => push(
                &mut value["quantile"],
                json!({"quantile": number_of("quantile"), "value": number(sample.value)}),
            ),
        }
        Ok(())
    }
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = Value::Array(vec![item]),
    }
}

/// JSON has no numbers for these.
fn number(v: f64) -> Value {
    if v.is_finite() {
        json!(v)
    } else if v.is_nan() {
        json!("NaN")
    } else {
        json!(if v > 0.0 { "Infinity" } else { "-Infinity" })
    }
}

/// Whole numbers of 64 bits are texts there.
fn count(v: f64) -> Value {
    Value::String(format!("{v:.0}"))
}

fn families(text: &[u8]) -> Result<Vec<Family>, ApiError> {
    let mut families: Vec<Family> = Vec::new();
    for entry in Parser::new(Format::Text, text) {
        match entry.map_err(|e| ApiError::internal(format!("own metrics: {e}")))? {
            Entry::Help { name, text } => families.push(Family {
                name: name.into_owned(),
                help: text.into_owned(),
                metric_type: MetricType::Unknown,
                metrics: Vec::new(),
            }),
            Entry::Type { metric_type, .. } => {
                if let Some(family) = families.last_mut() {
                    family.metric_type = metric_type;
                }
            }
            Entry::Sample(sample) => {
                if let Some(family) = families.last_mut() {
                    family.add(&sample)?;
                }
            }
            Entry::Unit { .. } | Entry::Comment(_) => {}
        }
    }
    Ok(families)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_take_their_turn() {
        // One thread, which does one thing behind the other.
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let app = App::default();
            let turns = app.all_turns().await;
            let mut asked = Box::pin(of_pattern(&app, Params::parse(b"", b"metric_name_pattern=%28")));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            for _ in 0..2 {
                assert!(asked.as_mut().poll(&mut context).is_pending(), "it was compiled before its turn");
                tokio::task::spawn_blocking(|| ()).await.unwrap();
            }
            drop(turns);
            let refused = asked.await.unwrap_err();
            assert!(refused.message().contains("metric_name_pattern"), "{refused:?}");
        });
    }

    #[test]
    fn parts_of_a_histogram_are_one_metric() {
        let text = "# HELP h how long\n# TYPE h histogram\nh_bucket{a=\"x\",le=\"1\"} 2\n\
                    h_bucket{a=\"x\",le=\"+Inf\"} 3\nh_sum{a=\"x\"} 4.5\nh_count{a=\"x\"} 3\n\
                    # HELP g g\n# TYPE g gauge\ng NaN\n";
        let families: Vec<Value> =
            families(text.as_bytes()).unwrap().into_iter().map(Family::into_json).collect();
        let histogram = json!({"bucket": [
            {"cumulativeCount": "2", "upperBound": 1.0},
            {"cumulativeCount": "3", "upperBound": "Infinity"},
        ], "sampleSum": 4.5, "sampleCount": "3"});
        let label = json!([{"name": "a", "value": "x"}]);
        assert_eq!(
            families,
            [
                json!({"name": "h", "help": "how long", "type": "HISTOGRAM",
                    "metric": [{"label": label, "histogram": histogram}]}),
                json!({"name": "g", "help": "g", "type": "GAUGE", "metric": [{"gauge": {"value": "NaN"}}]}),
            ]
        );
    }
}
