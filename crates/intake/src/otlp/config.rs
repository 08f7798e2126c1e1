//! The section `otlp` of the configuration, with Prometheus' keys.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// What names become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum TranslationStrategy {
    /// Underscores for what is not classic; unit and type behind the name.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Underscores for what is not classic.
    UnderscoreEscapingWithoutSuffixes,
    /// Names as they are; unit and type behind them.
    NoUTF8EscapingWithSuffixes,
    /// Names as they are.
    NoTranslation,
}

impl TranslationStrategy {
    pub(super) fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    pub(super) fn has_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUTF8EscapingWithSuffixes)
    }
}

/// How metrics of OpenTelemetry become series.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// Attributes of resources that become labels of all their series.
    #[serde(deserialize_with = "attributes")]
    pub promote_resource_attributes: Vec<String>,
    /// All of them do.
    pub promote_all_resource_attributes: bool,
    /// But for these.
    #[serde(deserialize_with = "attributes")]
    pub ignore_resource_attributes: Vec<String>,
    /// What names become.
    pub translation_strategy: TranslationStrategy,
    /// Whether `target_info` has the attributes that `job` and `instance` are made of too.
    pub keep_identifying_resource_attributes: bool,
    /// Whether histograms of explicit bounds become native ones with custom buckets.
    pub convert_histograms_to_nhcb: bool,
    /// Whether what measured a metric becomes labels of its series (`otel_scope_…`).
    pub promote_scope_metadata: bool,
    /// Whether a label whose name begins with an underscore, and not with two, begins with `key` instead.
    pub label_name_underscore_sanitization: bool,
    /// Whether several underscores in a row stay so many, or become one.
    pub label_name_preserve_multiple_underscores: bool,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            promote_resource_attributes: Vec::new(),
            promote_all_resource_attributes: false,
            ignore_resource_attributes: Vec::new(),
            translation_strategy: TranslationStrategy::default(),
            keep_identifying_resource_attributes: false,
            convert_histograms_to_nhcb: false,
            promote_scope_metadata: false,
            label_name_underscore_sanitization: true,
            label_name_preserve_multiple_underscores: true,
        }
    }
}

/// A list of names, each once, without blanks around them.
fn attributes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let mut names: Vec<String> = Vec::new();
    for name in Option::<Vec<String>>::deserialize(from)?.unwrap_or_default() {
        let name = name.trim();
        if name.is_empty() {
            return Err(D::Error::custom("an attribute has no name: leave it out"));
        }
        if names.iter().any(|other| other == name) {
            return Err(D::Error::custom(format!("the attribute {name:?} stands twice: leave one out")));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

impl OtlpConfig {
    /// Whether its keys fit together; the text says which do not.
    ///
    /// # Errors
    /// When two of them do not.
    pub fn check(&self) -> Result<(), &'static str> {
        match self.promote_all_resource_attributes {
            true if !self.promote_resource_attributes.is_empty() => {
                Err("promote_resource_attributes has no place beside promote_all_resource_attributes")
            }
            false if !self.ignore_resource_attributes.is_empty() => {
                Err("ignore_resource_attributes needs promote_all_resource_attributes: true")
            }
            _ => Ok(()),
        }
    }

    /// Whether the file says nothing of it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn promotes(&self, attribute: &str) -> bool {
        let is_in = |list: &[String]| list.iter().any(|name| name == attribute);
        if self.promote_all_resource_attributes {
            return !is_in(&self.ignore_resource_attributes);
        }
        is_in(&self.promote_resource_attributes)
    }
}
