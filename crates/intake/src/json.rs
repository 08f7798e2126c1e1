//! A line of JSON as VictoriaMetrics exports and imports it:
//! `{"metric":{"__name__":"up"},"values":[1],"timestamps":[1700000000000]}`.

use serde::{
    Deserialize,
    de::{self, Deserializer, Visitor},
};
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// A series with its samples.
#[derive(Debug, Deserialize)]
pub(crate) struct Line<'a> {
    #[serde(borrow)]
    pub(crate) metric: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(default)]
    pub(crate) values: Vec<Value>,
    /// In milliseconds.
    #[serde(default)]
    pub(crate) timestamps: Vec<i64>,
}

impl<'a> Line<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, &'static str> {
        let line: Self = serde_json::from_slice(line).map_err(|_| "it is no JSON of a series")?;
        if line.values.len() != line.timestamps.len() {
            return Err("there are not as many values as timestamps");
        }
        Ok(line)
    }
}

/// A float, which JSON cannot always write: `null` and `"NaN"`, `"Infinity"` and `"-Infinity"` stand for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Value(pub(crate) f64);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfValue).map(Self)
    }
}

struct OfValue;

impl Visitor<'_> for OfValue {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
        text.parse().map_err(|_| E::custom("it is no number"))
    }

    fn visit_unit<E: de::Error>(self) -> Result<f64, E> {
        Ok(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_exported() {
        let line = r#"{"metric":{"__name__":"up","a":"\u00fc"},"values":[1,-2.5,null,"Infinity"],
            "timestamps":[1,2,3,4]}"#;
        let read = Line::parse(line.as_bytes()).unwrap();
        let pairs: Vec<_> = read.metric.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(pairs, [("__name__", "up"), ("a", "ü")]);
        let values: Vec<f64> = read.values.iter().map(|v| v.0).collect();
        assert_eq!((values[0], values[1], values[2].is_nan(), values[3]), (1.0, -2.5, true, f64::INFINITY));
        for (line, reason) in [
            (
                r#"{"metric":{"a":"b"},"values":[1],"timestamps":[]}"#,
                "there are not as many values as timestamps",
            ),
            (r#"{"metric":{"a":1},"values":[],"timestamps":[]}"#, "it is no JSON of a series"),
            (r#"{"metric":{"a":"b"},"values":["x"],"timestamps":[1]}"#, "it is no JSON of a series"),
            ("[]", "it is no JSON of a series"),
        ] {
            assert_eq!(Line::parse(line.as_bytes()).unwrap_err(), reason, "{line}");
        }
    }
}
