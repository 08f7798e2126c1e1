//! What each action does, and what no rule may say.

use proptest::prelude::*;
use serde_json::{Value, json};
use skopos_model::{Labels, LabelsBuilder};
use skopos_relabel::{Action, Kept, RuleConfig, RuleError, Rules};

fn config(rule: &Value) -> RuleConfig {
    serde_json::from_value(rule.clone()).unwrap_or_else(|e| panic!("{rule}: {e}"))
}

fn rules(all: &[Value]) -> Rules {
    Rules::new(all.iter().map(config).collect()).unwrap_or_else(|e| panic!("{all:?}: {e:?}"))
}

/// What rules make of `a="foo", b="bar", c="baz", __meta_x="1"`; none where they drop it.
#[track_caller]
fn check(all: &[Value], expected: Option<&str>) {
    let labels = Labels::from_pairs([("__meta_x", "1"), ("a", "foo"), ("b", "bar"), ("c", "baz")]);
    let (rules, mut builder) = (rules(all), LabelsBuilder::from_labels(&labels));
    let kept = rules.apply(&mut builder);
    let found = (kept == Kept::Yes).then(|| builder.build().to_string());
    assert_eq!(found.as_deref(), expected, "{all:?}");
    // Step by step it is the same.
    let steps = rules.steps(&labels);
    let last = steps.last().map_or((Kept::Yes, labels.to_string()), |s| (s.kept, s.labels.to_string()));
    assert_eq!(last.0, kept);
    assert!(kept == Kept::No || Some(last.1.as_str()) == expected, "{last:?}");
}

#[test]
fn every_action_does_what_it_does_in_prometheus() {
    let all = r#"{__meta_x="1", a="foo", b="bar", c="baz""#;
    let with = |more: &str| format!("{all}{more}}}");
    for (rule, expected) in [
        (json!({"source_labels": ["a"], "target_label": "d"}), Some(with(r#", d="foo""#))),
        (json!({"source_labels": ["a", "b"], "target_label": "d"}), Some(with(r#", d="foo;bar""#))),
        (
            json!({"source_labels": ["a", "none", "b"], "separator": null, "target_label": "d"}),
            Some(with(r#", d="foobar""#)),
        ),
        (
            json!({"source_labels": ["a", "b"], "regex": "f(.*);(?P<rest>.*)r", "target_label": "d",
                   "replacement": "${rest}${1}_$$-$0x"}),
            Some(with(r#", d="baoo_$-""#)),
        ),
        (json!({"source_labels": ["a"], "regex": "o+", "target_label": "d"}), Some(with(""))),
        // A name that is made of the text.
        (
            json!({"source_labels": ["a"], "regex": "f(.*)", "target_label": "x_$1", "replacement": "v"}),
            Some(with(r#", x_oo="v""#)),
        ),
        (json!({"source_labels": ["none"], "target_label": "$1", "replacement": "v"}), Some(with(""))),
        // An empty value removes.
        (
            json!({"source_labels": ["none"], "target_label": "c"}),
            Some(r#"{__meta_x="1", a="foo", b="bar"}"#.to_owned()),
        ),
        (json!({"target_label": "d", "replacement": "set"}), Some(with(r#", d="set""#))),
        (json!({"source_labels": ["a"], "regex": null, "target_label": "d"}), Some(with(""))),
        (json!({"source_labels": ["a"], "regex": "foo|x", "action": "keep"}), Some(with(""))),
        (json!({"source_labels": ["a"], "regex": "fo", "action": "Keep"}), None),
        (json!({"source_labels": ["a"], "regex": "fo.", "action": "drop"}), None),
        (json!({"source_labels": ["none"], "regex": ".+", "action": "DROP"}), Some(with(""))),
        (json!({"source_labels": ["a"], "target_label": "b", "action": "keepequal"}), None),
        (json!({"source_labels": ["a"], "target_label": "a", "action": "keepequal"}), Some(with(""))),
        (json!({"source_labels": ["none"], "target_label": "nor", "action": "dropequal"}), None),
        (json!({"source_labels": ["a"], "target_label": "b", "action": "dropequal"}), Some(with(""))),
        (
            json!({"source_labels": ["c"], "target_label": "d", "action": "hashmod", "modulus": 1000}),
            Some(with(r#", d="976""#)),
        ),
        (
            json!({"regex": "(b|c)", "replacement": "bar_${1}_foo", "action": "labelmap"}),
            Some(r#"{__meta_x="1", a="foo", b="bar", bar_b_foo="bar", bar_c_foo="baz", c="baz"}"#.to_owned()),
        ),
        (json!({"regex": "__meta_(.+)", "action": "labelmap"}), Some(with(r#", x="1""#))),
        (json!({"regex": "(a|b|__.*)", "action": "labeldrop"}), Some(r#"{c="baz"}"#.to_owned())),
        (json!({"regex": "(a|b)", "action": "labelkeep"}), Some(r#"{a="foo", b="bar"}"#.to_owned())),
        (
            json!({"source_labels": ["a", "b"], "target_label": "d", "action": "uppercase"}),
            Some(with(r#", d="FOO;BAR""#)),
        ),
        (
            json!({"source_labels": ["a"], "target_label": "ü-x", "action": "lowercase"}),
            Some(with(r#", "ü-x"="foo""#)),
        ),
    ] {
        check(&[rule], expected.as_deref());
    }
}

#[test]
fn rules_follow_one_another_up_to_the_one_that_drops() {
    let copy = json!({"source_labels": ["a"], "target_label": "b"});
    let drop = json!({"source_labels": ["b"], "regex": "foo", "action": "drop"});
    check(&[copy.clone(), drop.clone()], None);
    check(&[], Some(r#"{__meta_x="1", a="foo", b="bar", c="baz"}"#));
    let rules = rules(&[copy, drop.clone(), drop]);
    let steps = rules.steps(&Labels::from_pairs([("a", "foo")]));
    let shown: Vec<_> = steps.iter().map(|s| (s.rule.action, s.labels.to_string(), s.kept)).collect();
    let expected = [
        (Action::Replace, r#"{a="foo", b="foo"}"#.to_owned(), Kept::Yes),
        (Action::Drop, "{}".to_owned(), Kept::No),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn what_prometheus_refuses_is_refused() {
    let (missing, no_use) =
        (|action, key| RuleError::Missing { action, key }, |action, key| RuleError::NoUse { action, key });
    for (rule, error) in [
        (json!({}), missing("replace", "target_label")),
        (json!({"action": "hashmod", "target_label": "x"}), missing("hashmod", "modulus")),
        (json!({"action": "hashmod", "modulus": 3}), missing("hashmod", "target_label")),
        (json!({"action": "lowercase"}), missing("lowercase", "target_label")),
        (json!({"action": "keepequal"}), missing("keepequal", "target_label")),
        (json!({"action": "labelmap", "replacement": null}), missing("labelmap", "replacement")),
        (
            json!({"action": "uppercase", "target_label": "x", "replacement": "y"}),
            no_use("uppercase", "replacement"),
        ),
        (json!({"action": "dropequal", "target_label": "x", "regex": "y"}), no_use("dropequal", "regex")),
        (json!({"action": "labeldrop", "source_labels": ["x"]}), no_use("labeldrop", "source_labels")),
        (json!({"action": "labelkeep", "regex": "x", "modulus": 1}), no_use("labelkeep", "modulus")),
        (json!({"action": "drop", "source_labels": [""]}), RuleError::EmptyName),
    ] {
        assert_eq!(
            Rules::new(vec![RuleConfig { target_label: "t".into(), ..RuleConfig::default() }, config(&rule)]),
            Err((2, error)),
            "{rule}"
        );
    }
    for regex in ["(", "a**", "[z-a]"] {
        let rule = config(&json!({"action": "drop", "regex": regex}));
        assert!(matches!(Rules::new(vec![rule]), Err((1, RuleError::Regex(_)))), "{regex}");
    }
    for rule in [json!({"action": "nothing"}), json!({"regexp": "x"}), json!({"modulus": -1})] {
        assert!(serde_json::from_value::<RuleConfig>(rule.clone()).is_err(), "{rule}");
    }
}

#[test]
fn rules_are_read_and_written_alike() {
    let text = json!([
        {"source_labels": ["a"], "separator": ";", "target_label": "b", "replacement": "$1",
         "action": "replace"},
        {"separator": ";", "regex": "x.*", "replacement": "$1", "action": "labeldrop"},
        {"source_labels": ["a"], "separator": ";", "modulus": 7, "target_label": "s", "replacement": "$1",
         "action": "hashmod"},
    ]);
    let read: Rules = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), text);
    assert_eq!(read, serde_json::from_value(text).unwrap());
    assert!(serde_json::from_value::<Rules>(Value::Null).unwrap().is_empty());
    let error = serde_json::from_value::<Rules>(json!([{"action": "hashmod"}])).unwrap_err().to_string();
    assert!(error.contains("rule 1: a rule of the action hashmod needs `modulus`"), "{error}");
}

proptest! {
    /// Whatever a rule says and whatever the labels are: it is refused, or it can be applied.
    #[test]
    fn no_rule_and_no_label_breaks_anything(
        action in 0usize..11,
        texts in prop::collection::vec("[a-c$\\{\\}1(.*)|_ü;]{0,8}", 4),
        modulus in 0u64..4,
        sources in prop::collection::vec("[a-c_]{0,2}", 0..3),
        pairs in prop::collection::btree_map("[a-c_]{1,3}", "[a-cüßA-C;$]{1,6}", 0..6),
    ) {
        let [separator, regex, target_label, replacement] = <[String; 4]>::try_from(texts).unwrap();
        let rule = RuleConfig {
            source_labels: sources, separator, regex, modulus, target_label, replacement,
            action: Action::ALL[action].0,
        };
        if let Ok(rules) = Rules::new(vec![rule.clone(), rule]) {
            let labels = Labels::from_pairs(&pairs);
            let mut builder = LabelsBuilder::from_labels(&labels);
            let kept = rules.apply(&mut builder);
            let last = rules.steps(&labels).pop().unwrap();
            prop_assert_eq!(last.kept, kept);
            prop_assert!(kept == Kept::No || last.labels == builder.build());
        }
    }
}
