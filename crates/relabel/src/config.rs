//! `RuleConfig`: a rule as a file has it, with the defaults of Prometheus. Knows the shape alone.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use skopos_model::null_is_default;

/// A rule as a file has it. Its keys stand in the order in which Prometheus writes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleConfig {
    /// The labels whose values, with the separator between them, are what the rule looks at.
    #[serde(serialize_with = "on_one_line", skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    /// What stands between the values.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub separator: String,
    /// What the text, or a label's name, has to match as a whole.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "is_any_text")]
    pub regex: String,
    /// Of `hashmod`: into so many parts.
    #[serde(skip_serializing_if = "is_zero")]
    pub modulus: u64,
    /// The label that is set, or compared with.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub target_label: String,
    /// What it is set to, with the groups of the expression in the place of `$1` and `${name}`.
    #[serde(deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub replacement: String,
    /// What is done.
    pub action: Action,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Sets `target_label` to `replacement` where the expression matches; removes it where that is empty.
    #[default]
    Replace,
    /// Drops what the expression does not match.
    Keep,
    /// Drops what the expression matches.
    Drop,
    /// Drops that whose `target_label` is another.
    KeepEqual,
    /// Drops that whose `target_label` is the same.
    DropEqual,
    /// Sets `target_label` to the part of `modulus` that a hash falls into.
    HashMod,
    /// Copies labels whose name the expression matches to the name that `replacement` makes of it.
    LabelMap,
    /// Removes labels whose name the expression matches.
    LabelDrop,
    /// Removes labels whose name the expression does not match.
    LabelKeep,
    /// Sets `target_label` to the text in lower case.
    Lowercase,
    /// The same in upper case.
    Uppercase,
}

impl Action {
    /// All of them, as files name them.
    pub const ALL: [(Self, &str); 11] = [
        (Self::Replace, "replace"),
        (Self::Keep, "keep"),
        (Self::Drop, "drop"),
        (Self::KeepEqual, "keepequal"),
        (Self::DropEqual, "dropequal"),
        (Self::HashMod, "hashmod"),
        (Self::LabelMap, "labelmap"),
        (Self::LabelDrop, "labeldrop"),
        (Self::LabelKeep, "labelkeep"),
        (Self::Lowercase, "lowercase"),
        (Self::Uppercase, "uppercase"),
    ];

    /// As files name it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(action, _)| *action == self).map_or("", |(_, name)| name)
    }
}

/// In any case, as Prometheus reads it.
impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let named = Self::ALL.iter().find(|(_, name)| text.eq_ignore_ascii_case(name));
        named.map(|(action, _)| *action).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(_, name)| *name).collect();
            serde::de::Error::custom(format!(
                "unknown relabel action {text:?}: write one of {}",
                names.join(", ")
            ))
        })
    }
}

impl RuleConfig {
    pub(crate) const SEPARATOR: &str = ";";
    pub(crate) const ANY_TEXT: &str = "(.*)";
    pub(crate) const FIRST_GROUP: &str = "$1";
}

impl Default for RuleConfig {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: Self::SEPARATOR.to_owned(),
            regex: Self::ANY_TEXT.to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: Self::FIRST_GROUP.to_owned(),
            action: Action::default(),
        }
    }
}

/// As `[a, b]` in YAML, which is how Prometheus writes these: the name tells the writer. Formats that have
/// one kind of list pass over it.
fn on_one_line<S: Serializer>(labels: &[String], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_newtype_struct("__yaml_flow_seq", labels)
}

fn is_any_text(regex: &String) -> bool {
    regex == RuleConfig::ANY_TEXT
}

fn is_zero(modulus: &u64) -> bool {
    *modulus == 0
}
