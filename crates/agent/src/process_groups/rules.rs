//! Which processes make which group: process-exporter's file (`process_names`), read into rules. The first
//! rule that fits a process names its group. It never reads `/proc`.

use super::template::Template;
use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What rules see of a process.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// The name that the kernel has for it.
    pub(super) comm: String,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    pub(super) username: String,
    /// The paths of its control groups, each once.
    pub(super) cgroups: Vec<String>,
    pub(super) pid: u32,
    /// When it began, in seconds since the Unix epoch.
    pub(super) start_s: f64,
}

impl Attributes {
    /// Its first argument; of a process without arguments, its name.
    pub(super) fn exe_full(&self) -> &str {
        self.arguments.first().map_or(&self.comm, |first| first)
    }

    /// What stands behind the last slash of the first argument.
    pub(super) fn exe_base(&self) -> &str {
        base(self.exe_full())
    }
}

fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// What the expressions of a rule matched, by their names.
pub(super) type Matches = BTreeMap<String, String>;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    process_names: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    comm: Option<Vec<String>>,
    exe: Option<Vec<String>>,
    cmdline: Option<Vec<String>>,
    username: Option<Vec<String>>,
    cgroup: Option<Vec<String>>,
}

/// A rule: all that is given must fit.
#[derive(Clone, Debug)]
struct Rule {
    name: Template,
    comm: Option<Vec<String>>,
    exe: Option<Vec<String>>,
    username: Option<Vec<String>>,
    cmdline: Vec<Regex>,
    cgroup: Vec<Regex>,
}

/// The rules, in their order.
#[derive(Clone, Debug)]
pub struct ProcessRules(Vec<Rule>);

impl Default for ProcessRules {
    /// What process-exporter's packages come with: all programs, by their names.
    fn default() -> Self {
        Self::parse("process_names:\n- name: '{{.Comm}}'\n  cmdline: ['.+']\n")
            .expect("invariant: our own rules are right")
    }
}

impl ProcessRules {
    /// The rules in a file's text.
    ///
    /// # Errors
    /// What is wrong, with the line if that is known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! { with_snippet: false };
        let file: File = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let text = error.without_snippet().to_string();
            text.lines().next().unwrap_or_default().to_owned()
        })?;
        let numbered = (1..).zip(file.process_names);
        let rules = numbered.map(|(number, entry)| {
            rule(entry).map_err(|what| format!("process_names, entry {number}: {what}"))
        });
        rules.collect::<Result<_, _>>().map(Self)
    }

    /// The name of the group that a process belongs to.
    pub(super) fn group(&self, process: &Attributes) -> Option<String> {
        let line = process.arguments.join(" ");
        self.0.iter().find_map(|rule| rule.fits(process, &line).map(|found| rule.name.fill(process, &found)))
    }
}

fn rule(entry: Entry) -> Result<Rule, String> {
    let given = [&entry.comm, &entry.exe, &entry.cmdline, &entry.username, &entry.cgroup];
    if given.into_iter().all(Option::is_none) {
        return Err("nothing to match; give comm, exe, cmdline, username or cgroup".into());
    }
    let expressions = |given: Option<Vec<String>>| {
        let compiled = given.unwrap_or_default().into_iter().map(|text| {
            Regex::new(&text).map_err(|error| format!("{text:?} is not a regular expression: {error}"))
        });
        compiled.collect::<Result<Vec<_>, _>>()
    };
    let name = entry.name.filter(|name| !name.is_empty());
    Ok(Rule {
        name: Template::parse(name.as_deref().unwrap_or("{{.ExeBase}}"))?,
        comm: entry.comm,
        exe: entry.exe,
        username: entry.username,
        cmdline: expressions(entry.cmdline)?,
        cgroup: expressions(entry.cgroup)?,
    })
}

impl Rule {
    /// What the expressions matched, if the rule fits. `line` is the arguments with blanks between them.
    fn fits(&self, process: &Attributes, line: &str) -> Option<Matches> {
        let admits = |names: &Option<Vec<String>>, name: &str| {
            names.as_ref().is_none_or(|names| names.iter().any(|known| known == name))
        };
        if !admits(&self.comm, &process.comm) || !admits(&self.username, &process.username) {
            return None;
        }
        let is_exe = |exe: &String| {
            let Some(first) = process.arguments.first() else { return false };
            if exe.contains('/') { exe == first } else { exe == base(first) }
        };
        if self.exe.as_ref().is_some_and(|exes| !exes.iter().any(is_exe)) {
            return None;
        }
        let mut matches = Matches::new();
        for expression in &self.cmdline {
            take(expression, line, &mut matches)?;
        }
        for expression in &self.cgroup {
            process.cgroups.iter().find_map(|path| take(expression, path, &mut matches))?;
        }
        Some(matches)
    }
}

/// Adds what the expression's names matched.
fn take(expression: &Regex, text: &str, matches: &mut Matches) -> Option<()> {
    let found = expression.captures(text)?;
    for name in expression.capture_names().flatten() {
        let value = found.name(name).map_or("", |found| found.as_str());
        matches.insert(name.to_owned(), value.to_owned());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process(comm: &str, line: &str) -> Attributes {
        Attributes {
            comm: comm.into(),
            arguments: line.split(' ').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            username: "www".into(),
            cgroups: vec!["/".into(), "/system.slice/web.service".into()],
            pid: 7,
            start_s: 1_700_000_000.0,
        }
    }

    /// The example of process-exporter's documentation, and what we have beside.
    const RULES: &str = r#"
process_names:
  - comm:
    - bash
  - exe:
    - postgres
    - /usr/local/bin/prometheus
  - name: "{{.ExeFull}}:{{.Matches.Cfgfile}}"
    exe:
    - /usr/local/bin/process-exporter
    cmdline:
    - -config.path\s+(?P<Cfgfile>\S+)
  - name: "{{.Matches.Unit}} of {{.Username}}"
    username: [www, web]
    cgroup: ['^/system\.slice/(?P<Unit>[^/]+)\.service$']
    comm: [nginx, php]
"#;

    #[test]
    fn the_first_rule_that_fits_names_the_group() {
        let rules = ProcessRules::parse(RULES).unwrap();
        for (comm, line, group) in [
            ("bash", "-bash", Some("-bash")),
            ("bash", "/bin/bash -c x", Some("bash")),
            ("postgres", "/usr/lib/postgres -D x", Some("postgres")),
            ("prometheus", "/usr/local/bin/prometheus", Some("prometheus")),
            ("prometheus", "/opt/prometheus", None),
            (
                "process-exporte",
                "/usr/local/bin/process-exporter -config.path /etc/pe.yml",
                Some("/usr/local/bin/process-exporter:/etc/pe.yml"),
            ),
            ("process-exporte", "/usr/local/bin/process-exporter", None),
            ("nginx", "nginx: worker", Some("web of www")),
            ("kworker/0:1", "", None),
        ] {
            assert_eq!(rules.group(&process(comm, line)).as_deref(), group, "{comm}: {line}");
        }
        let all = ProcessRules::default();
        assert_eq!(all.group(&process("sh", "/bin/sh")).as_deref(), Some("sh"));
        assert_eq!(all.group(&process("kworker", "")), None, "threads of the kernel have no arguments");
    }

    #[test]
    fn files_that_make_no_sense_are_refused() {
        for (text, what) in [
            ("process_names:\n- name: x\n", "process_names, entry 1: nothing to match"),
            ("process_names:\n- cmdline: ['(']\n", "process_names, entry 1: \"(\" is not a regular"),
            ("process_names:\n- comm: [a]\n  name: '{{.Nope}}'\n", "process_names, entry 1: {{.Nope}}"),
        ] {
            let error = ProcessRules::parse(text).unwrap_err();
            assert!(error.starts_with(what), "{error}");
        }
        for (text, what) in [
            ("process_names:\n- comm: [a]\n  nope: 1\n", "nope"),
            ("nope: 1\n", "nope"),
            ("", "line 1"),
            ("process_names: 1\n", "line 1"),
        ] {
            let error = ProcessRules::parse(text).unwrap_err();
            assert!(error.contains(what), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_panic(
            text in "(process_names:|- |comm|cmdline|\\[|\\]|\\(|\n|  |.){0,12}"
        ) {
            let _ = ProcessRules::parse(&text);
        }
    }
}
