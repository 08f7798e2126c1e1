//! What is wrong with a rule of the right shape. Refuses what Prometheus refuses, and nothing else.

use crate::config::{Action, RuleConfig};

/// Why a rule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A key that the action cannot do without.
    #[error("a rule of the action {action} needs `{key}`")]
    Missing {
        /// What the rule does.
        action: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A key that means nothing beside the action.
    #[error("a rule of the action {action} has no use for `{key}`: leave it out")]
    NoUse {
        /// What the rule does.
        action: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A label without a name.
    #[error("`source_labels` has an empty name: write the names of labels")]
    EmptyName,
    /// The expression cannot be compiled.
    #[error("`regex`: {0}")]
    Regex(String),
}

impl RuleConfig {
    pub(crate) fn check(&self) -> Result<(), RuleError> {
        use Action as A;
        let action = self.action.as_str();
        let (missing, no_use) =
            (|key| Err(RuleError::Missing { action, key }), |key| Err(RuleError::NoUse { action, key }));
        if self.source_labels.iter().any(String::is_empty) {
            return Err(RuleError::EmptyName);
        }
        let sets = [A::Replace, A::HashMod, A::Lowercase, A::Uppercase, A::KeepEqual, A::DropEqual];
        if self.action == A::HashMod && self.modulus == 0 {
            return missing("modulus");
        }
        if sets.contains(&self.action) && self.target_label.is_empty() {
            return missing("target_label");
        }
        if self.action == A::LabelMap && self.replacement.is_empty() {
            return missing("replacement");
        }
        // What else is at its default goes unnoticed.
        let others = [
            ("source_labels", self.source_labels.is_empty()),
            ("separator", self.separator == Self::SEPARATOR),
            ("regex", self.regex == Self::ANY_TEXT),
            ("modulus", self.modulus == 0),
            ("target_label", self.target_label.is_empty()),
            ("replacement", self.replacement == Self::FIRST_GROUP),
        ];
        let useless: &[&str] = match self.action {
            A::KeepEqual | A::DropEqual => &["separator", "regex", "modulus", "replacement"],
            A::LabelDrop | A::LabelKeep => {
                &["source_labels", "separator", "modulus", "target_label", "replacement"]
            }
            A::Lowercase | A::Uppercase => &["replacement"],
            _ => &[],
        };
        match others.iter().find(|(key, is_default)| !is_default && useless.contains(key)) {
            Some((key, _)) => no_use(key),
            None => Ok(()),
        }
    }
}
