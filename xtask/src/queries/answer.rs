//! Two systems' answers to one question, held against one another. Never asks.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Values that differ by no more than this part of them are equal.
const TOLERANCE: f64 = 1e-9;

#[derive(Debug, Deserialize)]
struct Answer {
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Data {
    result: Vec<Series>,
}

/// A series of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Series {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

/// Reads the answer to a range query: its series in the order of their labels.
pub(super) fn read(body: &[u8]) -> Result<Vec<Series>> {
    let answer: Answer = serde_json::from_slice(body).context("the answer is no JSON of a range query")?;
    match (answer.data, answer.error) {
        (_, Some(error)) => bail!("it says: {error}"),
        (Some(data), None) => {
            let mut result = data.result;
            result.sort_by(|a, b| a.metric.cmp(&b.metric));
            Ok(result)
        }
        (None, None) => bail!("the answer has neither data nor an error"),
    }
}

/// How many points the answer has.
pub(super) fn points(answer: &[Series]) -> usize {
    answer.iter().map(|series| series.values.len()).sum()
}

/// In what two answers differ, if they do.
pub(super) fn difference(a: &[Series], b: &[Series]) -> Option<String> {
    if a.len() != b.len() {
        return Some(format!("{} series and {}", a.len(), b.len()));
    }
    for (a, b) in a.iter().zip(b) {
        if a.metric != b.metric {
            return Some(format!("series {:?} and {:?}", a.metric, b.metric));
        }
        if a.values.len() != b.values.len() {
            return Some(format!("{:?}: {} points and {}", a.metric, a.values.len(), b.values.len()));
        }
        for (a_point, b_point) in a.values.iter().zip(&b.values) {
            if a_point.0 != b_point.0 || !is_equal(&a_point.1, &b_point.1) {
                return Some(format!("{:?}: {a_point:?} and {b_point:?}", a.metric));
            }
        }
    }
    None
}

fn is_equal(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (Ok(a), Ok(b)) = (a.parse::<f64>(), b.parse::<f64>()) else { return false };
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(result: &str) -> Vec<Series> {
        read(
            format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{result}]}}}}"#)
                .as_bytes(),
        )
        .unwrap()
    }

    #[test]
    fn answers_differ_by_series_times_and_values() {
        let one = r#"{"metric":{"a":"1"},"values":[[1.5,"2"],[2.5,"NaN"]]}"#;
        let two = r#"{"metric":{"a":"2"},"values":[[1.5,"100"]]}"#;
        let a = answer(&format!("{one},{two}"));
        assert_eq!(points(&a), 3);
        assert_eq!(difference(&a, &answer(&format!("{two},{one}"))), None, "the order does not count");
        for (other, says) in [
            (one.to_owned(), "2 series and 1"),
            (format!("{one},{}", two.replace("100", "100.00000001")), ""),
            (format!("{one},{}", two.replace("100", "100.0000002")), "100.0000002"),
            (format!("{one},{}", two.replace("1.5", "1.501")), "1.501"),
            (format!("{one},{}", two.replace("\"2\"", "\"3\"")), "series"),
            (format!("{},{two}", one.replace("NaN", "1")), "NaN"),
        ] {
            let found = difference(&a, &answer(&other)).unwrap_or_default();
            assert!(found.contains(says) && found.is_empty() == says.is_empty(), "{other}: {found}");
        }
    }

    #[test]
    fn an_error_is_told() {
        let error = read(br#"{"status":"error","errorType":"timeout","error":"too long"}"#).unwrap_err();
        assert_eq!(error.to_string(), "it says: too long");
        assert!(read(b"oops").is_err());
    }
}
