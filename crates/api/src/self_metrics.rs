//! `/api/v1/status/self_metrics`: this process's own metrics as JSON, in the form that protocol buffers
//! have there.

use crate::{
    params::Params,
    parts::{App, Ready},
    reply::{ApiError, Success},
};
use axum::extract::State;
use serde::{Serialize, Serializer, ser::SerializeMap as _};
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
        let families: Vec<Family> = families.into_iter().filter(wanted).collect();
        Success::of(&families)
    });
    answer.await?
}

/// Members stand in the order of the message's fields.
#[derive(Serialize)]
struct Family {
    name: String,
    help: String,
    #[serde(rename = "type", serialize_with = "capitals")]
    metric_type: MetricType,
    #[serde(rename = "metric")]
    metrics: Vec<Metric>,
}

struct Metric {
    labels: Vec<Pair>,
    kind: MetricType,
    value: Value,
}

#[derive(PartialEq, Serialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Single {
        value: Number,
    },
    #[serde(rename_all = "camelCase")]
    Compound {
        #[serde(skip_serializing_if = "Option::is_none")]
        sample_count: Option<Count>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sample_sum: Option<Number>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        quantile: Vec<Quantile>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        bucket: Vec<Bucket>,
    },
}

#[derive(Serialize)]
struct Quantile {
    quantile: Number,
    value: Number,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bucket {
    cumulative_count: Count,
    upper_bound: Number,
}

/// JSON has no numbers for those that are not finite.
struct Number(f64);

/// Whole numbers of 64 bits are texts there.
struct Count(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            v if v.is_finite() => to.serialize_f64(v),
            v if v.is_nan() => to.serialize_str("NaN"),
            v => to.serialize_str(if v > 0.0 { "Infinity" } else { "-Infinity" }),
        }
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:.0}", self.0))
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut members = to.serialize_map(None)?;
        if !self.labels.is_empty() {
            members.serialize_entry("label", &self.labels)?;
        }
        members.serialize_entry(name_of(self.kind), &self.value)?;
        members.end()
    }
}

fn name_of(kind: MetricType) -> &'static str {
    if kind == MetricType::Unknown { "untyped" } else { kind.as_str() }
}

fn capitals<S: Serializer>(kind: &MetricType, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&name_of(*kind).to_uppercase())
}

impl Family {
    fn add(&mut self, sample: &Sample<'_>) -> Result<(), ApiError> {
        let mut builder = LabelsBuilder::default();
        sample.series.labels_into(&mut builder).map_err(|e| ApiError::internal(e.label))?;
        let labels = builder.build();
        let part = labels.value("__name__").strip_prefix(self.name.as_str()).unwrap_or("").to_owned();
        let of_part = |name: &str| name == "le" && part == "_bucket" || name == "quantile" && part.is_empty();
        let compound = matches!(self.metric_type, MetricType::Histogram | MetricType::Summary);
        let own: Vec<Pair> = labels
            .iter()
            .filter(|(name, _)| *name != "__name__" && !(compound && of_part(name)))
            .map(|(name, value)| Pair { name: name.to_owned(), value: value.to_owned() })
            .collect();
        let kind = self.metric_type;
        if !compound {
            let value = Value::Single { value: Number(sample.value) };
            self.metrics.push(Metric { labels: own, kind, value });
            return Ok(());
        }
        let at = self.metrics.iter().position(|m| m.labels == own).unwrap_or_else(|| {
            let value = Value::Compound {
                sample_count: None,
                sample_sum: None,
                quantile: Vec::new(),
                bucket: Vec::new(),
            };
            self.metrics.push(Metric { labels: own, kind, value });
            self.metrics.len() - 1
        });
        let number_of = |label: &str| Number(labels.value(label).parse().unwrap_or(f64::NAN));
        if let Value::Compound { sample_count, sample_sum, quantile, bucket } = &mut self.metrics[at].value {
            match part.as_str() {
                "_sum" => *sample_sum = Some(Number(sample.value)),
                "_count" => *sample_count = Some(Count(sample.value)),
                "_bucket" => {
                    let (cumulative_count, upper_bound) = (Count(sample.value), number_of("le"));
                    bucket.push(Bucket { cumulative_count, upper_bound });
                }
                _ => quantile.push(Quantile { quantile: number_of("quantile"), value: Number(sample.value) }),
            }
        }
        Ok(())
    }
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
        let written = String::from_utf8(crate::json::to_vec(&families(text.as_bytes()).unwrap())).unwrap();
        let expected = concat!(
            r#"[{"name":"h","help":"how long","type":"HISTOGRAM","metric":["#,
            r#"{"label":[{"name":"a","value":"x"}],"histogram":{"sampleCount":"3","sampleSum":4.5,"#,
            r#""bucket":[{"cumulativeCount":"2","upperBound":1},"#,
            r#"{"cumulativeCount":"3","upperBound":"Infinity"}]}}]},"#,
            r#"{"name":"g","help":"g","type":"GAUGE","metric":[{"gauge":{"value":"NaN"}}]}]"#,
        );
        assert_eq!(written, expected);
    }
}
