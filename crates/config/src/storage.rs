//! The sections `storage` and `retention`: how long samples are kept. Knows sizes, shares and selectors as
//! they are written; keeps nothing and removes nothing.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use skopos_model::{ByteSize, DurationMs, Matcher, null_is_default};
use std::{collections::BTreeSet, str::FromStr};

/// The section `storage`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// What the database does with samples.
    #[serde(deserialize_with = "null_is_default")]
    pub tsdb: TsdbConfig,
    /// What holds of exemplars. Read at the start; a reload does not change it.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "ExemplarsConfig::is_default")]
    pub exemplars: ExemplarsConfig,
}

/// The section `storage.exemplars`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExemplarsConfig {
    /// The most exemplars of all series together; none are kept when it is zero.
    pub max_exemplars: u32,
}

impl Default for ExemplarsConfig {
    fn default() -> Self {
        Self { max_exemplars: 100_000 }
    }
}

impl ExemplarsConfig {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl StorageConfig {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The section `storage.tsdb`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TsdbConfig {
    /// How much older than the newest sample one may be that comes out of order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_order_time_window: Option<DurationMs>,
    /// When blocks go. What is not said here is as the flags say.
    #[serde(deserialize_with = "null_is_default")]
    pub retention: RetentionConfig,
}

/// The section `storage.tsdb.retention`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// Older blocks go. Zero is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<DurationMs>,
    /// The oldest blocks go when all take more. Zero is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<ByteSize>,
    /// The oldest blocks go when all take more than this share of the disk. Zero is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<Percentage>,
}

/// One entry of the section `retention`: how long the samples of some series are kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRuleConfig {
    /// Which series. The first rule that a series fulfils counts.
    #[serde(rename = "match")]
    pub selector: Selector,
    /// Older samples are left out when blocks are compacted.
    pub time: DurationMs,
}

/// The first rule that says of some series what an earlier one says of just those: it would never count.
pub(crate) fn second_of_one_selector(rules: &[RetentionRuleConfig]) -> Option<usize> {
    let conditions = |rule: &RetentionRuleConfig| -> BTreeSet<String> {
        rule.selector.matchers().iter().map(ToString::to_string).collect()
    };
    let mut known = BTreeSet::new();
    rules.iter().position(|rule| !known.insert(conditions(rule)))
}

/// A selector of series as it was written, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    text: String,
    matchers: Vec<Matcher>,
}

impl Selector {
    /// The conditions, all of which must hold.
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let matchers = skopos_promql::parse_selector(&text)
            .map_err(|e| D::Error::custom(format!("{text:?} selects no series: {e}")))?;
        Ok(Self { text, matchers })
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.text)
    }
}

/// A share in percent, 0 to 100, to two digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percentage(u16);

impl Percentage {
    /// In percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    fn new(percent: f64) -> Result<Self, String> {
        if (0.0..=100.0).contains(&percent) {
            return Ok(Self((percent * 100.0).round() as u16));
        }
        Err(format!("{percent} is no percentage: 0 to 100 is"))
    }
}

impl FromStr for Percentage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is no percentage: 0 to 100 is")).and_then(Self::new)
    }
}

impl<'de> Deserialize<'de> for Percentage {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(d)?).map_err(D::Error::custom)
    }
}

impl Serialize for Percentage {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(self.percent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes, written) in [
            ("0", 0, "0B"),
            ("100B", 100, "100B"),
            ("512MB", 512 << 20, "512MB"),
            ("2048KiB", 2 << 20, "2MB"),
            ("15EB", 15 << 60, "15EB"),
        ] {
            let size: ByteSize = text.parse().expect(text);
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, written));
        }
        for text in ["", "1", "MB", "-1MB", "1.5GB", "1mb", "16EB", "1 MB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_are_at_most_the_whole() {
        for (text, percent) in
            [("0", Some(0.0)), ("80", Some(80.0)), ("0.05", Some(0.05)), ("100", Some(100.0))]
        {
            assert_eq!(text.parse::<Percentage>().ok().map(Percentage::percent), percent);
        }
        for text in ["", "-1", "100.1", "NaN", "80%"] {
            assert!(text.parse::<Percentage>().is_err(), "{text}");
        }
    }
}
