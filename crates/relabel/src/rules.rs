//! `Rules`: checked and compiled, applied to labels one after the other.

use crate::{
    case,
    check::RuleError,
    config::{Action, RuleConfig},
};
use md5::{Digest, Md5};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use skopos_model::{Labels, LabelsBuilder, re2::WholeText};
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The most bytes a compiled expression may take. Who writes a configuration has reasons for long ones.
const REGEX_SIZE_LIMIT_BYTES: usize = 10 << 20;

/// Rules in the order in which they are applied; shared, not copied. Those are equal that a file spells
/// alike.
#[derive(Clone, Debug, Default)]
pub struct Rules(Arc<[Rule]>);

#[derive(Debug)]
struct Rule {
    config: RuleConfig,
    regex: WholeText,
}

/// What becomes of what has the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It stays, with the labels as they are now.
    Yes,
    /// It is dropped.
    No,
}

/// What a rule made of the labels.
#[derive(Debug)]
pub struct Step<'a> {
    /// The rule.
    pub rule: &'a RuleConfig,
    /// The labels behind it; empty where it has dropped them.
    pub labels: Labels,
    /// Whether it goes on.
    pub kept: Kept,
}

impl Rules {
    /// Checks and compiles rules.
    ///
    /// # Errors
    /// Which rule it is, counted from 1, and what is wrong with it.
    pub fn new(configs: Vec<RuleConfig>) -> Result<Self, (usize, RuleError)> {
        let rule = |(nth, config): (usize, RuleConfig)| {
            config.check().map_err(|e| (nth, e))?;
            let regex = WholeText::new(&config.regex, REGEX_SIZE_LIMIT_BYTES);
            let regex = regex.map_err(|e| (nth, RuleError::Regex(e)))?;
            Ok(Rule { config, regex })
        };
        Ok(Self((1..).zip(configs).map(rule).collect::<Result<_, _>>()?))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a file has them.
    pub fn configs(&self) -> impl Iterator<Item = &RuleConfig> {
        self.0.iter().map(|rule| &rule.config)
    }

    /// Applies all of them. The labels of what is dropped are those of before the rule that dropped it.
    pub fn apply(&self, labels: &mut LabelsBuilder) -> Kept {
        let dropped = self.0.iter().any(|rule| rule.apply(labels) == Kept::No);
        if dropped { Kept::No } else { Kept::Yes }
    }

    /// Applies them one by one, up to the first that drops what has the labels.
    pub fn steps(&self, labels: &Labels) -> Vec<Step<'_>> {
        let (mut builder, mut steps) = (LabelsBuilder::from_labels(labels), Vec::new());
        for rule in self.0.iter() {
            let kept = rule.apply(&mut builder);
            let labels = if kept == Kept::Yes { builder.build() } else { Labels::empty() };
            steps.push(Step { rule: &rule.config, labels, kept });
            if kept == Kept::No {
                break;
            }
        }
        steps
    }
}

impl Rule {
    fn apply(&self, labels: &mut LabelsBuilder) -> Kept {
        let Self { config, regex } = self;
        let target = config.target_label.as_str();
        let keep_if = |kept| if kept { Kept::Yes } else { Kept::No };
        match config.action {
            Action::Keep => return keep_if(regex.is_match(&self.source(labels))),
            Action::Drop => return keep_if(!regex.is_match(&self.source(labels))),
            Action::KeepEqual => return keep_if(value(labels, target) == self.source(labels)),
            Action::DropEqual => return keep_if(value(labels, target) != self.source(labels)),
            Action::Replace => self.replace(labels),
            Action::HashMod => {
                let part = hash(&self.source(labels)) % config.modulus.max(1);
                labels.set(target, &part.to_string());
            }
            Action::Lowercase => labels.set(target, &case::lower(&self.source(labels))),
            Action::Uppercase => labels.set(target, &case::upper(&self.source(labels))),
            Action::LabelMap => {
                let mapped = |(name, value): (&str, &str)| {
                    Some((regex.expand(name, &config.replacement)?, value.to_owned()))
                };
                // In the order of their names: the last one of a name counts.
                for (name, value) in labels.build().iter().filter_map(mapped).collect::<Vec<_>>() {
                    set_named(labels, &name, &value);
                }
            }
            Action::LabelDrop => remove_where(labels, |name| regex.is_match(name)),
            Action::LabelKeep => remove_where(labels, |name| !regex.is_match(name)),
        }
        Kept::Yes
    }

    /// The text that the rule looks at.
    fn source(&self, labels: &LabelsBuilder) -> String {
        let RuleConfig { source_labels, separator, .. } = &self.config;
        let mut out = String::new();
        for (i, name) in source_labels.iter().enumerate() {
            if i > 0 {
                out.push_str(separator);
            }
            out.push_str(value(labels, name));
        }
        out
    }

    fn replace(&self, labels: &mut LabelsBuilder) {
        let source = self.source(labels);
        let made = |template: &str| self.regex.expand(&source, template);
        let Some(replacement) = made(&self.config.replacement) else { return };
        if !self.config.target_label.contains('$') {
            labels.set(&self.config.target_label, &replacement);
        } else if let Some(target) = made(&self.config.target_label) {
            set_named(labels, &target, &replacement);
        }
    }
}

/// The value of a label; empty without one.
fn value<'a>(labels: &'a LabelsBuilder, name: &str) -> &'a str {
    labels.get(name).unwrap_or_default()
}

/// Sets a label of a name that a rule made, if it is one.
fn set_named(labels: &mut LabelsBuilder, name: &str, value: &str) {
    if !name.is_empty() {
        labels.set(name, value);
    }
}

fn remove_where(labels: &mut LabelsBuilder, is_to_go: impl Fn(&str) -> bool) {
    let gone: Vec<String> =
        labels.iter().map(|(name, _)| name).filter(|n| is_to_go(n)).map(str::to_owned).collect();
    gone.iter().for_each(|name| labels.remove(name));
}

/// By which Prometheus tells shards apart.
fn hash(text: &str) -> u64 {
    let sum: [u8; 16] = Md5::digest(text.as_bytes()).into();
    u64::from_be_bytes(sum[8..].try_into().expect("invariant: eight bytes are left"))
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.configs().eq(other.configs())
    }
}

impl Eq for Rules {}

impl Hash for Rules {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.configs().for_each(|config| config.hash(state));
    }
}

impl Serialize for Rules {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.configs())
    }
}

/// A key without a value is no rule.
impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let configs = Option::<Vec<RuleConfig>>::deserialize(d)?.unwrap_or_default();
        Self::new(configs).map_err(|(nth, e)| serde::de::Error::custom(format!("rule {nth}: {e}")))
    }
}
