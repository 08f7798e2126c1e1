//! Made-up rules for labels in Prometheus and in ours: the same targets are scraped and dropped, and the same
//! series are stored.

use crate::support::{ask, json, server, wait_for_value};
use serde_json::{Value, json};
use skopos_base::rng::Rng;
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    peers,
    service::Service,
    wait_until,
};
use std::{collections::BTreeMap, fmt::Write, path::PathBuf, time::Duration};

const JOBS: usize = 150;
const SEED: u64 = 11;
/// Of targets before their rules.
const LABELS: [&str; 9] = [
    "__address__",
    "__metrics_path__",
    "__meta_dc",
    "__meta_rack",
    "__param_module",
    "job",
    "env",
    "Team",
    "none",
];
const REGEXES: [&str; 12] = [
    "(.*)",
    ".+",
    "",
    "(.*):(\\d+)",
    "__meta_(.+)",
    "h[12]:.*|x",
    "(?P<first>[a-z]+)(.*)",
    "prod;?.*",
    "(?i)TEAM-.*",
    "a|b|eu.*",
    "([^;]*);(.*)",
    "env|Team",
];
const REPLACEMENTS: [&str; 10] =
    ["$1", "", "fixed", "${1}-$2", "x_$first", "$0", "${first}y", "$$1", "$3", "h3:9100"];
const TARGETS: [&str; 8] =
    ["env", "new", "__address__", "__param_module", "__param_target", "x_$1", "instance", "${1}_of"];
/// Of series.
const PAGE_LABELS: [&str; 6] = ["__name__", "path", "code", "job", "instance", "none"];
const PAGE_REGEXES: [&str; 10] = [
    "(.*)",
    "go_.*",
    "a.*;200",
    "/(.*)/(.*)",
    "5..",
    "path|code",
    "([a-z]+)_(.*)",
    "c.*",
    ".*_total",
    "code",
];
const PAGE_TARGETS: [&str; 6] = ["code", "path", "new", "__name__", "part_$1", "instance"];

struct Vocabulary {
    labels: &'static [&'static str],
    regexes: &'static [&'static str],
    targets: &'static [&'static str],
}

const OF_TARGETS: Vocabulary = Vocabulary { labels: &LABELS, regexes: &REGEXES, targets: &TARGETS };
const OF_SERIES: Vocabulary =
    Vocabulary { labels: &PAGE_LABELS, regexes: &PAGE_REGEXES, targets: &PAGE_TARGETS };

fn pick<'a>(rng: &Rng, of: &[&'a str]) -> &'a str {
    of[rng.below(of.len() as u64) as usize]
}

/// A rule that both take, in one line of YAML.
fn rule(rng: &Rng, words: &Vocabulary) -> String {
    let mut fields: Vec<(&str, Value)> = Vec::new();
    let labels: Vec<&str> = (0..rng.below(3)).map(|_| pick(rng, words.labels)).collect();
    let name = ["env", "new", "code", "path"];
    match rng.below(12) {
        0 => {
            let action = ["keepequal", "dropequal"][rng.below(2) as usize];
            fields.extend([("action", json!(action)), ("source_labels", json!(labels))]);
            fields.push(("target_label", json!(pick(rng, words.labels))));
        }
        1 => {
            let action = ["labeldrop", "labelkeep"][rng.below(2) as usize];
            let regex =
                if action == "labelkeep" { "__.*|job|instance|code" } else { pick(rng, words.regexes) };
            fields.extend([("action", json!(action)), ("regex", json!(regex))]);
        }
        2 => {
            // Without a group the name would be empty: there ours leaves the label out, and theirs fails the
            // scrape.
            let regex =
                Some(pick(rng, words.regexes)).filter(|regex| regex.contains('(') && !regex.contains("(?i"));
            fields.extend([("action", json!("labelmap")), ("regex", json!(regex.unwrap_or("(c.*)")))]);
            fields.push(("replacement", json!(["$1", "m_$1"][rng.below(2) as usize])));
        }
        3 => {
            let action = ["lowercase", "uppercase"][rng.below(2) as usize];
            fields.extend([("action", json!(action)), ("source_labels", json!(labels))]);
            fields.push(("target_label", json!(pick(rng, &name))));
        }
        4 => {
            fields.extend([("action", json!("hashmod")), ("source_labels", json!(labels))]);
            fields.extend([("modulus", json!(1 + rng.below(9))), ("target_label", json!("part"))]);
        }
        5 | 6 => {
            let action = ["keep", "drop"][rng.below(2) as usize];
            fields.extend([("action", json!(action)), ("source_labels", json!(labels))]);
            fields.push(("regex", json!(pick(rng, words.regexes))));
        }
        _ => {
            fields.extend([("source_labels", json!(labels)), ("regex", json!(pick(rng, words.regexes)))]);
            fields.push(("target_label", json!(pick(rng, words.targets))));
            fields.push(("replacement", json!(pick(rng, &REPLACEMENTS))));
            if rng.below(3) == 0 {
                fields.push(("separator", json!([":", "", "-"][rng.below(3) as usize])));
            }
        }
    }
    // JSON is YAML.
    let fields: serde_json::Map<_, _> =
        fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    serde_json::to_string(&fields).unwrap()
}

fn rules(rng: &Rng, words: &Vocabulary) -> String {
    (0..1 + rng.below(4)).map(|_| format!("  - {}\n", rule(rng, words))).collect()
}

/// What is known of targets, in one order.
fn targets(server: &Service) -> Value {
    let mut data = json(&ask(server, "/api/v1/targets", &[]))["data"].take();
    for list in ["activeTargets", "droppedTargets"] {
        for target in data[list].as_array_mut().unwrap() {
            for key in ["lastScrape", "lastScrapeDuration", "lastError", "health", "globalUrl"] {
                target.as_object_mut().unwrap().remove(key);
            }
        }
        data[list].as_array_mut().unwrap().sort_by_key(ToString::to_string);
    }
    data
}

/// Those of the jobs of the file: ours has two of its own.
fn of_jobs(all: &Value) -> Vec<Value> {
    let is_job = |t: &&Value| t["scrapePool"].as_str().is_some_and(|pool| pool.starts_with('j'));
    all["activeTargets"].as_array().unwrap().iter().filter(is_job).cloned().collect()
}

fn prometheus_3(config: &str) -> Option<Service> {
    let program: PathBuf = peers::prometheus_3()?;
    Some(peers::prometheus_at(program, config, &["--log.level=warn"]))
}

#[test]
fn rules_make_of_targets_what_they_do_in_prometheus_3() {
    println!("seed {SEED}");
    let rng = Rng::from_seed(SEED);
    let mut config = "global: {scrape_interval: 1h}\nscrape_configs:\n".to_owned();
    for job in 0..JOBS {
        write!(
            config,
            "- job_name: j{job}\n  params: {{module: [http_2xx, more], depth: ['1']}}\n  relabel_configs:\n\
             {}  static_configs:\n  - targets: ['h1:9100', 'h2:80', 'h2']\n    labels: {{__meta_dc: eu-1, \
             env: Prod, Team: 'Team-A'}}\n  - targets: ['x:1']\n    labels: {{__meta_rack: r7, \
             env: 'a;b'}}\n",
            rules(&rng, &OF_TARGETS)
        )
        .unwrap();
    }
    let Some(theirs) = prometheus_3(&config) else { return };
    let ours = server().config(&config).start();
    // Of ours all are there at once; theirs come job by job.
    let ours = wait_until("our targets", Duration::from_secs(60), || {
        Some(targets(&ours)).filter(|all| !of_jobs(all).is_empty())
    });
    let dropped = |all: &Value| all["droppedTargets"].as_array().unwrap().len();
    let theirs = wait_until("all targets of Prometheus", Duration::from_secs(60), || {
        let theirs = targets(&theirs);
        let same = of_jobs(&theirs).len() >= of_jobs(&ours).len() && dropped(&theirs) >= dropped(&ours);
        same.then_some(theirs)
    });
    let (active, expected) = (of_jobs(&ours), of_jobs(&theirs));
    for (ours, theirs) in active.iter().zip(&expected) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(active.len(), expected.len());
    assert_eq!(ours["droppedTargets"], theirs["droppedTargets"]);
    assert_eq!(ours["droppedTargetCounts"], theirs["droppedTargetCounts"]);
    let dropped = dropped(&ours);
    assert!(active.len() > JOBS && dropped > JOBS / 4, "{} scraped, {dropped} dropped", active.len());
}

#[test]
fn rules_make_of_series_what_they_do_in_prometheus_3() {
    println!("seed {SEED}");
    let rng = Rng::from_seed(SEED);
    let mut page = String::new();
    for name in ["a", "ab_total", "c", "go_threads", "http_requests_total"] {
        for (path, code) in [("/", "200"), ("/api/v1", "500"), ("", "404"), ("/x/ü", "")] {
            writeln!(page, "{name}{{path=\"{path}\",code=\"{code}\"}} 1").unwrap();
        }
    }
    let target = Server::start([Misbehaviour::Answers {
        status: 200,
        content_type: "text/plain; version=0.0.4".to_owned(),
        body: page.into_bytes(),
    }]);
    let mut config = "global: {scrape_interval: 1s}\nscrape_configs:\n".to_owned();
    let jobs = 40;
    for job in 0..jobs {
        write!(
            config,
            "- job_name: j{job}\n  metric_relabel_configs:\n{}  static_configs: [{{targets: ['{}']}}]\n",
            rules(&rng, &OF_SERIES),
            target.address()
        )
        .unwrap();
    }
    let Some(theirs) = prometheus_3(&config) else { return };
    let ours = server().config(&config).start();
    let names = "up|scrape_samples_.*";
    for server in [&ours, &theirs] {
        wait_for_value(server, "count(count_over_time(up{job=~'j.*'}[1m]) >= 3)", f64::from(jobs));
    }
    // Rules may take all labels that tell whose a series is.
    let series = |server: &Service| {
        let matcher = format!(r#"{{__name__=~"(a|ab_|c|go_|http_|x_|part_|fixed|h3|{names}).*"}}"#);
        let mut data = json(&ask(server, "/api/v1/series", &[("match[]", &matcher)]))["data"].take();
        data.as_array_mut().unwrap().retain(|s| !matches!(s["job"].as_str(), Some("node" | "skopos")));
        data.as_array_mut().unwrap().sort_by_key(ToString::to_string);
        data
    };
    let (found, expected) = (series(&ours), series(&theirs));
    for (ours, theirs) in found.as_array().unwrap().iter().zip(expected.as_array().unwrap()) {
        assert_eq!(ours, theirs);
    }
    let len = found.as_array().unwrap().len();
    assert!(len == expected.as_array().unwrap().len() && len > 300, "{len}");
    let counts = |server: &Service, name: &str| {
        let query = format!("last_over_time({name}{{job=~'j.*'}}[1m]) and on (job) up == 1");
        let data = json(&ask(server, "/api/v1/query", &[("query", &query)]))["data"].take();
        let results = data["result"].as_array().unwrap().clone();
        let of_job = |r: Value| (r["metric"]["job"].to_string(), r["value"][1].to_string());
        results.into_iter().map(of_job).collect::<BTreeMap<_, _>>()
    };
    // Where rules leave no name a scrape fails; theirs ends there and counts what it has read so far.
    for name in ["up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling"] {
        assert_eq!(counts(&ours, name), counts(&theirs, name), "{name}");
    }
}
