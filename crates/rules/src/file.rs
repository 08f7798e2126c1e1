//! `RuleFile`: a file of rules as it is written, and the `Group`s that it means. Reads no file and evaluates
//! nothing.

use serde::{Deserialize, Serialize};
use skopos_model::{DurationMs, name::METRIC_NAME, null_is_default};
use skopos_promql::{
    ParseError,
    ast::{Expr, ValueType},
    parse,
};
use std::collections::{BTreeMap, BTreeSet};

/// A file as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleFile {
    /// The groups; each has a name of its own.
    #[serde(deserialize_with = "null_is_default")]
    pub groups: Vec<GroupConfig>,
}

/// A group as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// What it is called.
    pub name: String,
    /// How often its rules are evaluated; as the server says where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<DurationMs>,
    /// How far before the time of evaluation its rules look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_offset: Option<DurationMs>,
    /// The most series or alerts of one rule; zero is no limit.
    #[serde(default)]
    pub limit: u32,
    /// Labels of all its rules, unless a rule says otherwise.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// Its rules, evaluated one after the other.
    #[serde(default, deserialize_with = "null_is_default")]
    pub rules: Vec<RuleConfig>,
}

/// A rule as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleConfig {
    /// The metric that a recording rule records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// What an alerting rule is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// The expression.
    pub expr: String,
    /// How long an alert waits before it fires.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<DurationMs>,
    /// How long an alert fires on when its condition has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<DurationMs>,
    /// Labels to set.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// Texts beside an alert.
    #[serde(deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
}

/// A group whose rules are valid.
#[derive(Clone, Debug)]
pub struct Group {
    /// What it is called.
    pub name: String,
    /// How often its rules are evaluated, if it says so.
    pub interval: Option<DurationMs>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// A valid rule.
#[derive(Clone, Debug)]
pub enum Rule {
    /// It records a metric.
    Recording(RecordingRule),
    /// It alerts.
    Alerting {
        /// What it is called.
        name: String,
    },
}

/// A rule that records a metric.
#[derive(Clone, Debug)]
pub struct RecordingRule {
    /// The metric.
    pub name: String,
    /// What is recorded.
    pub expr: Expr,
    /// Labels to set on every series, those of the group among them. An empty value removes a label.
    pub labels: BTreeMap<String, String>,
}

/// What a file says and must not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A group without a name.
    #[error("a group needs a name")]
    NoName,
    /// Two groups of one name.
    #[error("there are two groups {0:?} in this file")]
    DuplicateGroup(String),
    /// A group that would never be due.
    #[error("the interval of group {0:?} must be longer than zero")]
    Interval(String),
    /// A rule that is neither.
    #[error("a rule needs one of `record` and `alert`")]
    NoKind,
    /// A rule that is both.
    #[error("a rule has one of `record` and `alert`, not both")]
    BothKinds,
    /// What only an alerting rule has.
    #[error("a recording rule has no `{0}`")]
    OnlyOfAlerts(&'static str),
    /// A metric that cannot be called so.
    #[error("{0:?} is no name of a metric")]
    MetricName(String),
    /// A label that cannot be called so, or may not be set.
    #[error("{0:?} cannot be set as a label by a rule")]
    LabelName(String),
    /// An expression that says nothing.
    #[error("rule {0:?} has no expression (`expr`)")]
    NoExpression(String),
    /// An expression that is none.
    #[error("the expression of {name:?} is not valid: {source}")]
    Expression {
        /// The rule.
        name: String,
        /// Why; its place counts from the beginning of the expression.
        source: ParseError,
    },
    /// An expression whose value no rule can use.
    #[error("the expression of {name:?} gives a {gives}; a rule needs an instant vector or a scalar")]
    ValueType {
        /// The rule.
        name: String,
        /// What it gives.
        gives: ValueType,
    },
}

/// What is wrong with a file, and in which of its parts.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct FileError {
    /// The group, counted from 0.
    pub group: usize,
    /// The rule in it, counted from 0; none when it is about the group.
    pub rule: Option<usize>,
    /// The key that it is about; where it is absent, the rule as a whole.
    pub key: &'static str,
    /// What is wrong.
    pub fault: Fault,
}

impl RuleFile {
    /// The groups, checked.
    ///
    /// # Errors
    /// The first thing that is wrong, in the order of the file.
    pub fn groups(&self) -> Result<Vec<Group>, FileError> {
        let mut names = BTreeSet::new();
        let check = |(nth, group): (usize, &GroupConfig)| {
            let failed = |key, fault| FileError { group: nth, rule: None, key, fault };
            if group.name.is_empty() {
                return Err(failed("name", Fault::NoName));
            }
            if !names.insert(group.name.clone()) {
                return Err(failed("name", Fault::DuplicateGroup(group.name.clone())));
            }
            if group.interval.is_some_and(|i| i <= DurationMs::ZERO) {
                return Err(failed("interval", Fault::Interval(group.name.clone())));
            }
            check_labels(&group.labels).map_err(|fault| failed("labels", fault))?;
            let rules = group.rules.iter().enumerate().map(|(of, rule)| {
                let failed = |(key, fault)| FileError { group: nth, rule: Some(of), key, fault };
                rule.check(&group.labels).map_err(failed)
            });
            let rules = rules.collect::<Result<_, _>>()?;
            Ok(Group { name: group.name.clone(), interval: group.interval, rules })
        };
        self.groups.iter().enumerate().map(check).collect()
    }
}

impl RuleConfig {
    fn check(&self, of_group: &BTreeMap<String, String>) -> Result<Rule, (&'static str, Fault)> {
        let name = match (&self.record, &self.alert) {
            (Some(_), Some(_)) => return Err(("alert", Fault::BothKinds)),
            (None, None) => return Err(("record", Fault::NoKind)),
            (Some(name), None) | (None, Some(name)) => name.clone(),
        };
        if self.record.is_some() {
            if name.is_empty() || name.contains(['{', '}']) {
                return Err(("record", Fault::MetricName(name)));
            }
            for (key, is_there) in [
                ("for", self.hold.is_some()),
                ("keep_firing_for", self.keep_firing_for.is_some()),
                ("annotations", !self.annotations.is_empty()),
            ] {
                if is_there {
                    return Err((key, Fault::OnlyOfAlerts(key)));
                }
            }
        }
        check_labels(&self.labels).map_err(|fault| ("labels", fault))?;
        check_labels(&self.annotations).map_err(|fault| ("annotations", fault))?;
        let expr = self.expression(&name).map_err(|fault| ("expr", fault))?;
        if self.alert.is_some() {
            return Ok(Rule::Alerting { name });
        }
        let mut labels = of_group.clone();
        labels.extend(self.labels.clone());
        Ok(Rule::Recording(RecordingRule { name, expr, labels }))
    }

    fn expression(&self, name: &str) -> Result<Expr, Fault> {
        if self.expr.trim().is_empty() {
            return Err(Fault::NoExpression(name.to_owned()));
        }
        let expr = parse(&self.expr).map_err(|source| Fault::Expression { name: name.to_owned(), source })?;
        match expr.value_type() {
            ValueType::InstantVector | ValueType::Scalar => Ok(expr),
            gives => Err(Fault::ValueType { name: name.to_owned(), gives }),
        }
    }
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Fault> {
    match labels.keys().find(|name| name.is_empty() || *name == METRIC_NAME) {
        Some(name) => Err(Fault::LabelName(name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, expr: &str) -> RuleConfig {
        RuleConfig { record: Some(name.into()), expr: expr.into(), ..RuleConfig::default() }
    }

    fn group(name: &str, rules: Vec<RuleConfig>) -> GroupConfig {
        GroupConfig {
            name: name.into(),
            interval: None,
            query_offset: None,
            limit: 0,
            labels: BTreeMap::new(),
            rules,
        }
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn what_is_wrong_is_named_with_its_part() {
        let (minute, zero) = (Some(DurationMs::from_secs(60)), Some(DurationMs::ZERO));
        let (good, label) = (record("a", "b"), texts(&[("__name__", "x")]));
        let both = RuleConfig { alert: Some("a".into()), ..good.clone() };
        let neither = RuleConfig { record: None, ..good.clone() };
        let held = RuleConfig { hold: minute, ..good.clone() };
        let annotated = RuleConfig { annotations: texts(&[("a", "b")]), ..good.clone() };
        let renamed = RuleConfig { labels: label.clone(), ..good.clone() };
        for (rule, key, words) in [
            (both, "alert", "not both"),
            (neither, "record", "needs one of"),
            (held, "for", "has no `for`"),
            (annotated, "annotations", "has no `annotations`"),
            (renamed, "labels", "\"__name__\" cannot be set"),
            (record("", "b"), "record", "no name of a metric"),
            (record("a{b}", "b"), "record", "no name of a metric"),
            (record("a", " "), "expr", "no expression"),
            (record("a", "b +"), "expr", "not valid: 1:4"),
            (record("a", "b[5m]"), "expr", "gives a range vector"),
        ] {
            let file =
                RuleFile { groups: vec![group("x", Vec::new()), group("g", vec![good.clone(), rule])] };
            let error = file.groups().unwrap_err();
            assert_eq!((error.group, error.rule, error.key), (1, Some(1), key), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
        for (groups, key, words) in [
            (vec![group("a", vec![]), group("a", vec![])], "name", "two groups \"a\""),
            (vec![group("a", vec![]), group("", vec![])], "name", "needs a name"),
            (
                vec![group("b", vec![]), GroupConfig { interval: zero, ..group("a", vec![]) }],
                "interval",
                "longer than zero",
            ),
            (
                vec![group("b", vec![]), GroupConfig { labels: label, ..group("a", vec![]) }],
                "labels",
                "cannot be set",
            ),
        ] {
            let error = RuleFile { groups }.groups().unwrap_err();
            assert_eq!((error.group, error.rule, error.key), (1, None, key), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn a_rule_has_the_labels_of_its_group_and_its_own_before_them() {
        let rule = RuleConfig { labels: texts(&[("a", "own"), ("b", "own")]), ..record("x", "1") };
        let labels = texts(&[("b", "group"), ("c", "group")]);
        let file = RuleFile { groups: vec![GroupConfig { labels, ..group("g", vec![rule]) }] };
        let groups = file.groups().unwrap();
        let [Rule::Recording(rule)] = &groups[0].rules[..] else { panic!("{groups:?}") };
        assert_eq!(rule.labels, texts(&[("a", "own"), ("b", "own"), ("c", "group")]));
    }
}
