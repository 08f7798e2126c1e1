//! Names of groups with fields in them, as process-exporter writes them: `{{.ExeBase}}:{{.Matches.Port}}`. Of
//! Go's templates it knows fields, and `index` into the two that have parts.

use super::rules::{Attributes, Matches};

/// A field of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Comm,
    ExeBase,
    ExeFull,
    Username,
    Pid,
    StartTime,
    Cgroups,
    Cgroup(usize),
    AllMatches,
    Match(String),
}

/// A name with fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

impl Template {
    /// The template in `text`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, behind) =
                after.split_once("}}").ok_or_else(|| format!("{text:?}: a {{{{ has no }}}} behind it"))?;
            // A dash inside of the braces takes the white space outside of them.
            let trims_before = inside.strip_prefix("- ");
            let before = if trims_before.is_some() { before.trim_end() } else { before };
            let inside = trims_before.unwrap_or(inside);
            let trims_behind = inside.strip_suffix(" -");
            rest = if trims_behind.is_some() { behind.trim_start() } else { behind };
            parts.push(Part::Text(before.to_owned()));
            parts.push(field(trims_behind.unwrap_or(inside).trim())?);
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self(parts))
    }

    /// The name of a process's group.
    pub(super) fn fill(&self, process: &Attributes, matches: &Matches) -> String {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Comm => name.push_str(&process.comm),
                Part::ExeBase => name.push_str(process.exe_base()),
                Part::ExeFull => name.push_str(process.exe_full()),
                Part::Username => name.push_str(&process.username),
                Part::Pid => name.push_str(&process.pid.to_string()),
                Part::StartTime => name.push_str(&start_time(process.start_s)),
                Part::Cgroups => name.push_str(&format!("[{}]", process.cgroups.join(" "))),
                Part::Cgroup(at) => name.push_str(process.cgroups.get(*at).map_or("", |path| path)),
                Part::AllMatches => {
                    let all: Vec<String> =
                        matches.iter().map(|(key, value)| format!("{key}:{value}")).collect();
                    name.push_str(&format!("map[{}]", all.join(" ")));
                }
                // So Go writes what a map does not have.
                Part::Match(key) => name.push_str(matches.get(key).map_or("<no value>", |value| value)),
            }
        }
        name
    }
}

fn field(inside: &str) -> Result<Part, String> {
    let unknown = || {
        format!(
            "{{{{{inside}}}}} is not a field; there are .Comm, .ExeBase, .ExeFull, .Username, .PID, \
             .StartTime, .Cgroups, .Matches, .Matches.NAME, index .Cgroups N and index .Matches \"NAME\""
        )
    };
    Ok(match inside {
        ".Comm" => Part::Comm,
        ".ExeBase" => Part::ExeBase,
        ".ExeFull" => Part::ExeFull,
        ".Username" => Part::Username,
        ".PID" => Part::Pid,
        ".StartTime" => Part::StartTime,
        ".Cgroups" => Part::Cgroups,
        ".Matches" => Part::AllMatches,
        _ => {
            let is_name =
                |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
            if let Some(name) = inside.strip_prefix(".Matches.").filter(is_name) {
                return Ok(Part::Match(name.to_owned()));
            }
            let mut words = inside.split_whitespace();
            let parsed = match (words.next(), words.next(), words.next(), words.next()) {
                (Some("index"), Some(".Cgroups"), Some(at), None) => at.parse().ok().map(Part::Cgroup),
                (Some("index"), Some(".Matches"), Some(name), None) => {
                    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
                    name.map(|name| Part::Match(name.to_owned()))
                }
                _ => None,
            };
            parsed.ok_or_else(unknown)?
        }
    })
}

/// As Go prints a time of UTC.
fn start_time(seconds: f64) -> String {
    let at = jiff::Timestamp::from_second(seconds as i64).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_filled_in() {
        let process = Attributes {
            comm: "python3".into(),
            arguments: vec!["/usr/bin/python3".into(), "app.py".into()],
            username: "web".into(),
            cgroups: vec!["/".into(), "/user.slice".into()],
            pid: 12,
            start_s: 1_700_000_000.5,
        };
        let matches = Matches::from([("port".to_owned(), "80".to_owned())]);
        for (text, name) in [
            ("plain", "plain"),
            ("{{.Comm}}", "python3"),
            ("{{ .ExeBase }}-{{.ExeFull}}", "python3-/usr/bin/python3"),
            ("{{.Username}}:{{.PID}}", "web:12"),
            ("{{.Matches.port}}/{{index .Matches \"port\"}}/{{.Matches.none}}", "80/80/<no value>"),
            ("{{.Matches}} {{.Cgroups}} {{index .Cgroups 1}}", "map[port:80] [/ /user.slice] /user.slice"),
            ("{{.StartTime}}", "2023-11-14 22:13:20 +0000 UTC"),
            ("a {{- .Comm -}} b", "apython3b"),
        ] {
            assert_eq!(Template::parse(text).unwrap().fill(&process, &matches), name, "{text}");
        }
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for text in ["{{.Comm", "{{.Nope}}", "{{}}", "{{range .X}}", "{{index .Cgroups x}}", "{{.Matches.}}"]
        {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(\\{\\{|\\}\\}|- | -|\\.Comm|index|\"|.){0,12}") {
            if let Ok(template) = Template::parse(&text) {
                template.fill(&Attributes::default(), &Matches::new());
            }
        }
    }
}
