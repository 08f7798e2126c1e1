//! Lists of groups of targets as files and servers write them, in JSON or YAML. Reads no file.

use crate::{
    error::SourceError,
    group::{ADDRESS, TargetGroup},
    yaml,
};
use serde::Deserialize;
use skopos_model::{Labels, LabelsBuilder, null_is_default};
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default, deserialize_with = "null_is_default")]
    targets: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    labels: BTreeMap<String, String>,
}

/// The groups of a list in JSON, called `what` in errors; `said` is how much of one may be said.
pub(crate) fn parse_json(
    bytes: &[u8],
    what: &str,
    said: fn(&serde_json::Error) -> String,
) -> Result<Vec<TargetGroup>, SourceError> {
    let listed: Option<Vec<Option<Listed>>> =
        serde_json::from_slice(bytes).map_err(|e| SourceError::content(what, &said(&e)))?;
    groups(listed.unwrap_or_default(), what)
}

/// The groups of a list in YAML. An empty text is an empty list.
pub(crate) fn parse_yaml(bytes: &[u8], what: &str) -> Result<Vec<TargetGroup>, SourceError> {
    let text = std::str::from_utf8(bytes).map_err(|e| SourceError::content(what, &e))?;
    let listed: Option<Vec<Option<Listed>>> = yaml::read(text).map_err(|e| SourceError::content(what, &e))?;
    groups(listed.unwrap_or_default(), what)
}

/// The groups, yet without names of their own.
fn groups(listed: Vec<Option<Listed>>, what: &str) -> Result<Vec<TargetGroup>, SourceError> {
    let group = |(nth, group): (usize, Option<Listed>)| {
        let group = group.ok_or_else(|| SourceError::content(what, &format!("group {nth} is null")))?;
        if group.labels.keys().any(String::is_empty) {
            return Err(SourceError::content(what, &format!("group {nth} has a label without a name")));
        }
        let address = |address: String| Labels::from_pairs([(ADDRESS, address)]);
        let mut labels = LabelsBuilder::default();
        group.labels.iter().for_each(|(name, value)| labels.set(name, value));
        Ok(TargetGroup {
            source: String::new(),
            targets: group.targets.into_iter().map(address).collect(),
            labels: labels.build(),
        })
    };
    (1..).zip(listed).map(group).collect()
}

/// The groups, numbered behind the name of their source, and each with a label that tells it.
pub(crate) fn named(mut groups: Vec<TargetGroup>, source: &str, label: &str) -> Vec<TargetGroup> {
    for (nth, group) in groups.iter_mut().enumerate() {
        group.source = format!("{source}:{nth}");
        let mut labels = LabelsBuilder::from_labels(&group.labels);
        labels.set(label, source);
        group.labels = labels.build();
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_strictly() {
        let json = br#"[{"targets": ["a:1", "b"], "labels": {"x": "1", "e": ""}}, {"targets": null}]"#;
        let yaml = b"- targets: ['a:1', b]\n  labels: {x: '1', e: ''}\n- targets:\n";
        let read = parse_json(json, "f", ToString::to_string).unwrap();
        assert_eq!(read, parse_yaml(yaml, "f").unwrap());
        let all: Vec<_> = read[0].all_labels().map(|labels| labels.to_string()).collect();
        assert_eq!(all, [r#"{__address__="a:1", x="1"}"#, r#"{__address__="b", x="1"}"#]);
        assert_eq!(read[1].targets.len(), 0);
        for empty in ["", "null", "# nothing\n", "[]"] {
            assert_eq!(parse_yaml(empty.as_bytes(), "f").unwrap(), [], "{empty}");
        }
        for wrong in [
            "{}",
            "[1]",
            "[null]",
            r#"[{"target": ["a"]}]"#,
            r#"[{"targets": [["a"]]}]"#,
            r#"[{"targets": ["a"], "labels": {"": "x"}}]"#,
            r#"[{"targets": ["a"], "labels": {"a": ["x"]}}]"#,
            "[{",
        ] {
            for read in
                [parse_json(wrong.as_bytes(), "f", ToString::to_string), parse_yaml(wrong.as_bytes(), "f")]
            {
                assert!(read.unwrap_err().to_string().starts_with("f: "), "{wrong}");
            }
        }
    }
}
