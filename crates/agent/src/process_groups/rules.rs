//! Which processes make which group: process-exporter's file (`process_names`), read into rules. The first
//! rule that fits a process names its group. It never reads `/proc`.

use super::{
    expression::Expression,
    rules_file::{self, Entry, Located, RulesError},
    template::Template,
};
use std::{collections::BTreeMap, sync::Arc};

/// What rules see of a process.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// The name that the kernel has for it.
    pub(super) comm: String,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    pub(super) username: String,
    /// The paths of its control groups, as they stand in the kernel's list.
    pub(super) cgroups: Vec<String>,
    /// The folder in which it works; empty unless a rule wants to know it.
    pub(super) cwd: String,
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

/// A rule: all that is given must fit.
#[derive(Debug)]
struct Rule {
    name: Template,
    comm: Option<Vec<String>>,
    exe: Option<Vec<String>>,
    username: Option<Vec<String>>,
    cmdline: Vec<Expression>,
    cgroup: Vec<Expression>,
}

/// The rules, in their order.
#[derive(Clone, Debug)]
pub struct ProcessRules {
    rules: Arc<[Rule]>,
    /// Whether a name has the folder in which a process works.
    pub(super) needs_cwd: bool,
}

impl Default for ProcessRules {
    /// What process-exporter's packages come with: all programs, by their names.
    fn default() -> Self {
        let (rules, _notes) = Self::parse("process_names:\n- name: '{{.Comm}}'\n  cmdline: ['.+']\n")
            .expect("invariant: our own rules are right");
        rules
    }
}

impl ProcessRules {
    /// The rules in a file's text, and what of it is passed over.
    ///
    /// # Errors
    /// What is wrong, with the line if that is known.
    pub fn parse(text: &str) -> Result<(Self, Vec<RulesError>), RulesError> {
        let (entries, notes) = rules_file::read(text)?;
        let is_cwd = |entry: &Entry| entry.name.as_ref().is_some_and(|name| name.text.contains("Cwd"));
        let needs_cwd = entries.iter().any(is_cwd);
        let rules = (1..).zip(entries).map(|(number, entry)| rule(number, entry));
        Ok((Self { rules: rules.collect::<Result<_, _>>()?, needs_cwd }, notes))
    }

    /// The name of the group that a process belongs to.
    pub(super) fn group(&self, process: &Attributes) -> Option<String> {
        let line = process.arguments.join(" ");
        let mut fitting = self.rules.iter().filter_map(|rule| Some((rule, rule.fits(process, &line)?)));
        fitting.next().map(|(rule, found)| rule.name.fill(process, &found))
    }
}

fn rule(number: usize, entry: Entry) -> Result<Rule, RulesError> {
    let Entry { line, name, comm, exe, username, cmdline, cgroup, .. } = entry;
    let wrong = |line: u64, what: String| {
        let what = format!("process_names, entry {number}: {what}");
        RulesError { line: (line > 0).then_some(line), what }
    };
    if [&comm, &exe, &username].into_iter().all(Option::is_none) && cmdline.is_none() && cgroup.is_none() {
        return Err(wrong(line, "nothing to match; give comm, exe, cmdline, username or cgroup".into()));
    }
    let expressions = |given: Option<Vec<Located>>| {
        let compiled = given.unwrap_or_default().into_iter();
        let compiled =
            compiled.map(|Located { line, text }| Expression::new(text).map_err(|what| wrong(line, what)));
        compiled.collect::<Result<Vec<_>, _>>()
    };
    let name = name.filter(|name| !name.text.is_empty());
    let (line, text) = name.as_ref().map_or((line, "{{.ExeBase}}"), |name| (name.line, name.text.as_str()));
    let name = Template::parse(text).map_err(|what| wrong(line, format!("name {text:?}: {what}")))?;
    Ok(Rule { name, comm, exe, username, cmdline: expressions(cmdline)?, cgroup: expressions(cgroup)? })
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
fn take(expression: &Expression, text: &str, matches: &mut Matches) -> Option<()> {
    let add = |name: &str, value: &str| {
        matches.insert(name.to_owned(), value.to_owned());
    };
    expression.matches(text, add).then_some(())
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
            cwd: String::new(),
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
        let rules = ProcessRules::parse(RULES).unwrap().0;
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
        for (text, line, what) in [
            ("process_names:\n- name: x\n", Some(2), "process_names, entry 1: nothing to match; give comm"),
            ("process_names:\n- comm: [a]\n-\n", None, "process_names, entry 2: nothing to match"),
            ("process_names:\n- comm:\n", Some(2), "process_names, entry 1: nothing to match"),
            (
                "process_names:\n- cmdline:\n  - a\n  - '('\n",
                Some(4),
                "process_names, entry 1: \"(\" is not a reg",
            ),
            (
                "process_names:\n- comm: [a]\n  name: '{{.X}}'\n",
                Some(3),
                "process_names, entry 1: name \"{{.X}}\"",
            ),
            ("process_names: 1\n", Some(1), "expected a list (lines of `- item`)"),
            ("process_names:\n- comm: a\n", Some(2), "expected a list (lines of `- item`)"),
            ("process_names:\n- comm: [[a]]\n", Some(2), "expected a text, not a list or a mapping"),
            ("process_names: [1]\n", Some(1), "expected a mapping (lines of `key: value`)"),
            ("- a\n", Some(1), "expected a mapping (lines of `key: value`)"),
            ("abc\n", Some(1), "expected a mapping (lines of `key: value`)"),
            ("process_names:\n\t- comm: [a]\n", Some(2), "a tab stands before the text"),
            ("process_names:\n- comm: [a\n- b: 'c\n", None, "this is not YAML: look at the indentation"),
            ("process_names: *x\n", Some(1), "an alias (*name) names nothing"),
        ] {
            let error = ProcessRules::parse(text).unwrap_err();
            assert!(error.what.starts_with(what), "{text:?}: {error:?}");
            assert!(line.is_none() || error.line == line, "{text:?}: {error:?}");
        }
    }

    /// What process-exporter 0.7.10 takes, too.
    #[test]
    fn what_is_passed_over_is_noted_with_its_line() {
        let none = "no group is described";
        for (text, notes) in [
            ("process_names:\n- comm: [1, true, ~, 1.5]\n  name: 12\n", &[][..]),
            ("x: &a [sh]\nprocess_names:\n- comm: *a\n", &[(Some(1), "the key \"x\" is not known")]),
            ("\u{feff}process_names:\n- comm: []\n", &[]),
            ("", &[(None, none)]),
            ("# nothing\n---\n", &[(None, none)]),
            ("process_names:\n", &[(None, none)]),
            ("process_matchers:\n- comm: [a]\n", &[(Some(1), "the key \"process_matchers\""), (None, none)]),
            ("process_names:\n- comm: [a]\n  nope: {a: 1}\n", &[(Some(3), "the key \"nope\" is not known")]),
            ("process_names:\n- comm: [a]\n  comm: [b]\n", &[(Some(3), "the key \"comm\" stands twice")]),
            (
                "process_names: []\nprocess_names:\n- comm: [b]\n",
                &[(Some(2), "the key \"process_names\" stands")],
            ),
            ("process_names:\n- comm: [b]\n--- x\n: [\n", &[(Some(3), "a second document (---) begins")]),
        ] {
            let (_, found) = ProcessRules::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error:?}"));
            let found: Vec<_> = found.iter().map(|note| (note.line, note.what.as_str())).collect();
            assert_eq!(found.len(), notes.len(), "{text:?}: {found:?}");
            for ((line, what), (wanted_line, begins)) in found.iter().zip(notes) {
                assert!(line == wanted_line && what.starts_with(begins), "{text:?}: {found:?}");
            }
        }
        let (rules, _) = ProcessRules::parse("process_names:\n- comm: [a]\n  comm: [b]\n").unwrap();
        assert_eq!(rules.group(&process("b", "/bin/b")).as_deref(), Some("b"), "the last one counts");
    }

    #[test]
    fn thousands_of_rules_are_compiled_when_they_are_needed() {
        let rules: String = (0..5000).map(|n| format!("- cmdline: ['--id={n}x (?P<A>[a-z]+)']\n")).collect();
        let (rules, _) = ProcessRules::parse(&format!("process_names:\n{rules}")).unwrap();
        assert_eq!(rules.group(&process("a", "/bin/a --id=4000x abc")).as_deref(), Some("a"));
        let compiled = rules.rules.iter().filter(|rule| rule.cmdline[0].is_compiled());
        assert_eq!(compiled.count(), 1);
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
