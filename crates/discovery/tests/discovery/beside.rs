//! What a configuration finds, here and in Prometheus.

use serde_json::Value;
use skopos_base::real::RealFs;
use skopos_discovery::{Discovery, DiscoveryConfigs, Env, Stats, Variables};
use skopos_model::Labels;
use skopos_testkit::{http, peers, wait::poll};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::runtime::Runtime;

/// Long enough for a machine that has other things to do.
const LONG: Duration = Duration::from_secs(30);

/// Labels that a job gives to every target.
const OF_JOBS: [&str; 5] =
    ["__metrics_path__", "__scheme__", "__scrape_interval__", "__scrape_timeout__", "job"];

/// Sources at work.
pub(crate) struct Ours {
    /// They end before the threads that they run on.
    pub(crate) discovery: Discovery,
    pub(crate) stats: Arc<Stats>,
    _runtime: Runtime,
}

impl Ours {
    /// Starts what this text says: keys as a job has them.
    pub(crate) fn start(text: &str) -> Self {
        Self::start_with(text, Variables::of([]))
    }

    /// The same in an environment that says something.
    pub(crate) fn start_with(text: &str, variables: Variables) -> Self {
        let configs: DiscoveryConfigs =
            serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}\nin:\n{text}"));
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let env = Env { variables, ..Env::new(Arc::new(RealFs)) };
        let stats = Arc::clone(&env.stats);
        let discovery = {
            let _inside = runtime.enter();
            Discovery::start("job", &configs, &env)
        };
        Self { discovery, stats, _runtime: runtime }
    }

    /// All targets, each with all labels.
    pub(crate) fn targets(&self) -> Vec<String> {
        let groups = self.discovery.groups();
        let mut all: Vec<_> = groups
            .iter()
            .flat_map(|group| group.all_labels().map(|l| l.to_string()).collect::<Vec<_>>())
            .collect();
        all.sort_unstable();
        all
    }

    /// Waits until these are the targets.
    #[track_caller]
    pub(crate) fn wait_for(&self, expected: &[String]) {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        let found = poll(LONG, || (self.targets() == expected).then_some(()));
        assert!(found.is_some(), "found:\n{}\nexpected:\n{}", self.targets().join("\n"), expected.join("\n"));
    }

    /// Waits until there are so many targets.
    #[track_caller]
    pub(crate) fn wait_for_count(&self, count: usize) -> Vec<String> {
        let found = poll(LONG, || Some(self.targets()).filter(|targets| targets.len() == count));
        found.unwrap_or_else(|| panic!("{count} expected, found:\n{}", self.targets().join("\n")))
    }
}

/// Finds so many targets with each of `jobs`, and the same in Prometheus if there is one.
#[track_caller]
pub(crate) fn same_as_prometheus(jobs: &[(&str, &str, usize)]) {
    same_as(peers::prometheus_3(), &[], jobs);
}

/// The same in a program of Prometheus, both in an environment that says this.
#[track_caller]
pub(crate) fn same_as(program: Option<PathBuf>, environment: &[(&str, &str)], jobs: &[(&str, &str, usize)]) {
    let variables = Variables::of(environment.iter().copied());
    let ours: Vec<_> = jobs.iter().map(|(_, text, _)| Ours::start_with(text, variables.clone())).collect();
    for ((name, _, count), ours) in jobs.iter().zip(&ours) {
        let found = poll(LONG, || (ours.targets().len() == *count).then_some(()));
        assert!(found.is_some(), "{name}: {count} expected, found:\n{}", ours.targets().join("\n"));
    }
    let Some(program) = program else { return };
    let mut config = "scrape_configs:\n".to_owned();
    for (name, text, _) in jobs {
        let inside: String = text.lines().map(|line| format!("    {line}\n")).collect();
        config += &format!(
            "  - job_name: {name}\n    relabel_configs:\n      - {{action: drop, regex: '.*'}}\n{inside}"
        );
    }
    let theirs = peers::prometheus_in(program, environment, &config);
    let mut wrong = String::new();
    for ((name, _, _), ours) in jobs.iter().zip(&ours) {
        let mut last = Vec::new();
        let same = poll(LONG, || {
            last = dropped_targets(&theirs.url("/api/v1/targets?state=dropped"), name);
            (last == ours.targets()).then_some(())
        });
        if same.is_none() {
            wrong += &format!("{name}:\n{}", differences(&ours.targets(), &last));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Labels that are written over several lines, in one.
pub(crate) fn joined(lines: &str) -> String {
    lines.lines().map(str::trim_start).collect::<Vec<_>>().join(" ")
}

/// What one has and the other has not, label by label where their addresses are the same.
fn differences(ours: &[String], theirs: &[String]) -> String {
    let only = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|labels| !other.contains(labels)).cloned().collect()
    };
    let (ours, theirs) = (only(ours, theirs), only(theirs, ours));
    let labels = |of: &Option<&String>| -> Vec<String> {
        of.map_or_else(Vec::new, |text| {
            text.trim_matches(['{', '}']).split(", ").map(str::to_owned).collect()
        })
    };
    let mut out = String::new();
    for nth in 0..ours.len().max(theirs.len()).min(5) {
        let (own, other) = (labels(&ours.get(nth)), labels(&theirs.get(nth)));
        out += &format!("{:?}\n", own.first().or(other.first()));
        own.iter()
            .filter(|label| !other.contains(label))
            .for_each(|label| out += &format!("  ours {label}\n"));
        other
            .iter()
            .filter(|label| !own.contains(label))
            .for_each(|label| out += &format!("  theirs {label}\n"));
    }
    out
}

/// The targets of a job in Prometheus, without what the job gives them.
fn dropped_targets(url: &str, job: &str) -> Vec<String> {
    let answer: Value = serde_json::from_slice(&http::get(url).unwrap().body).unwrap();
    let all = answer["data"]["droppedTargets"].as_array().cloned().unwrap_or_default();
    let mut found: Vec<_> = all
        .iter()
        .map(|target| {
            let labels = target["discoveredLabels"].as_object().unwrap();
            labels.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect()
        })
        .filter(|labels: &BTreeMap<&str, &str>| labels.get("job") == Some(&job))
        .map(|labels| {
            let own = labels.into_iter().filter(|(name, _)| !OF_JOBS.contains(name));
            Labels::from_pairs(own).to_string()
        })
        .collect();
    found.sort_unstable();
    found
}
