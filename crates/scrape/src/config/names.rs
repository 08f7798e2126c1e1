//! Which names of metrics and labels are taken, and what becomes of others before they are sent.

use serde::{Deserialize, Deserializer, Serialize, de::IntoDeserializer};
use skopos_exposition::Escaping;
use skopos_model::{
    Labels,
    name::{METRIC_NAME, is_classic_label_name, is_classic_metric_name},
};

/// Which names are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NameValidation {
    /// Of any letters.
    #[default]
    Utf8,
    /// Of ASCII letters, digits, `_` and, in names of metrics, `:`.
    Legacy,
}

impl NameValidation {
    /// Whether all names are taken.
    pub fn takes(self, labels: &Labels) -> bool {
        self == Self::Utf8
            || labels.iter().all(|(name, value)| {
                is_classic_label_name(name) && (name != METRIC_NAME || is_classic_metric_name(value))
            })
    }

    /// What is asked for where nothing is said of it.
    pub const fn escaping(self) -> NameEscaping {
        match self {
            Self::Utf8 => NameEscaping::AllowUtf8,
            Self::Legacy => NameEscaping::Underscores,
        }
    }
}

/// What targets are asked to make of names that are not classic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NameEscaping {
    /// They stay as they are.
    #[serde(rename = "allow-utf-8")]
    AllowUtf8,
    /// `_` for each letter.
    Underscores,
    /// The same, with `_dot_` for points.
    Dots,
    /// The number of each letter.
    Values,
}

impl From<NameEscaping> for Escaping {
    fn from(escaping: NameEscaping) -> Self {
        match escaping {
            NameEscaping::AllowUtf8 => Self::AllowUtf8,
            NameEscaping::Underscores => Self::Underscores,
            NameEscaping::Dots => Self::Dots,
            NameEscaping::Values => Self::Values,
        }
    }
}

/// A key whose empty value means the same as no key.
pub(super) fn blank_is_none<'de, D, T>(d: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    match Option::<String>::deserialize(d)? {
        Some(said) if !said.is_empty() => T::deserialize(said.into_deserializer()).map(Some),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_names_are_those_of_ascii() {
        for (labels, legacy) in [
            ([("__name__", "a:b_1"), ("x", "ü")], true),
            ([("__name__", "a.b"), ("x", "1")], false),
            ([("__name__", "a"), ("x.y", "1")], false),
            ([("__name__", "a"), ("x:y", "1")], false),
        ] {
            let labels = Labels::from_pairs(labels);
            assert_eq!(NameValidation::Legacy.takes(&labels), legacy, "{labels}");
            assert!(NameValidation::Utf8.takes(&labels));
        }
    }
}
