//! The keys of scraping: all that Prometheus 3.14 has are known, what they mean together, and the files that
//! have further jobs.

#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use skopos_base::{Env, fs::OpenMode, fs::append_all, sim::SimWorld};
use skopos_config::Config;
use skopos_scrape::config::{Scheme, ScrapeFeatures};
use std::path::Path;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("prometheus.yml")).map_err(|e| e.to_string())
}

/// The keys of the section `global` of Prometheus 3.14, each with a value.
const GLOBAL: &str = "
scrape_interval: 1m
scrape_timeout: 10s
scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText0.0.4]
evaluation_interval: 1m
rule_query_offset: 5s
query_log_file: q.log
scrape_failure_log_file: f.log
external_labels: {a: b}
body_size_limit: 1MB
sample_limit: 1
target_limit: 2
label_limit: 3
label_name_length_limit: 4
label_value_length_limit: 5
keep_dropped_targets: 6
metric_name_validation_scheme: utf8
metric_name_escaping_scheme: allow-utf-8
scrape_native_histograms: true
convert_classic_histograms_to_nhcb: true
always_scrape_classic_histograms: true
extra_scrape_metrics: true";

/// The keys of a job of Prometheus 3.14 beside those of sources of targets.
const JOB: &str = "
job_name: j
honor_labels: true
honor_timestamps: false
track_timestamps_staleness: true
params: {a: [b]}
scrape_interval: 1m
scrape_timeout: 10s
scrape_protocols: [PrometheusProto]
fallback_scrape_protocol: PrometheusText0.0.4
scrape_native_histograms: false
always_scrape_classic_histograms: false
convert_classic_histograms_to_nhcb: false
scrape_failure_log_file: j.log
metrics_path: /m
scheme: https
enable_compression: false
body_size_limit: 1MB
sample_limit: 1
target_limit: 2
label_limit: 3
label_name_length_limit: 4
label_value_length_limit: 5
native_histogram_bucket_limit: 6
native_histogram_min_bucket_factor: 1.5
keep_dropped_targets: 7
metric_name_validation_scheme: legacy
metric_name_escaping_scheme: dots
extra_scrape_metrics: false
basic_auth: {username: u, password: p}
tls_config: {insecure_skip_verify: true}
proxy_url: http://h:1
no_proxy: a
proxy_connect_header: {A: [b]}
follow_redirects: false
enable_http2: false
http_headers: {A: {values: [b]}}
static_configs: [{targets: ['h:1'], labels: {a: b}}]
relabel_configs: [{action: labeldrop, regex: x}]
metric_relabel_configs: [{action: labeldrop, regex: x}]";

/// The same of those of which a job may have one, or none beside others.
const ALONE: [&str; 5] = [
    "authorization: {type: T, credentials: c}",
    "oauth2: {client_id: i, client_secret: s, token_url: http://h/t}",
    "bearer_token: t",
    "bearer_token_file: t",
    "proxy_from_environment: true",
];

/// `key: value` lines as those of a mapping that stands so deep.
fn indented(lines: &str, by: &str) -> String {
    lines.lines().filter(|line| !line.is_empty()).map(|line| format!("{by}{line}\n")).collect()
}

#[test]
fn every_key_of_prometheus_is_known_and_written_back() {
    let job = indented(JOB, "    ").replacen("    ", "  - ", 1);
    let text = format!("global:\n{}scrape_configs:\n{job}", indented(GLOBAL, "  "));
    let config = parse(&text).unwrap();
    let written = config.to_yaml();
    assert_eq!(parse(&written).unwrap().to_yaml(), written);
    let keys = GLOBAL.lines().chain(JOB.lines()).filter_map(|line| line.split_once(':'));
    for (key, _) in keys {
        assert!(written.contains(key), "{key} is lost:\n{written}");
    }
    for key in ALONE {
        parse(&format!("scrape_configs:\n  - job_name: j\n    {key}\n")).unwrap();
    }
}

#[test]
fn a_job_says_more_than_global_does_and_features_say_less_than_both() {
    let filled = |text: &str, features| {
        let config = parse(text).unwrap().with_features(features).filled();
        (config.to_yaml(), config.scrape_configs[0].clone())
    };
    let (native, none) =
        (ScrapeFeatures { native_histograms: true, ..Default::default() }, ScrapeFeatures::default());
    let jobs = "scrape_configs: [{job_name: j}]\n";
    let protocols = |job: &skopos_scrape::config::ScrapeConfig| {
        job.scrape_protocols
            .as_ref()
            .map(|p| p.accept(job.metric_name_escaping_scheme.unwrap().into()))
            .unwrap()
    };
    let is_first = |job: &skopos_scrape::config::ScrapeConfig| {
        protocols(job).starts_with("application/vnd.google.protobuf;")
    };
    let (_, job) = filled(jobs, none);
    assert!(!is_first(&job) && job.scrape_native_histograms == Some(false));
    let (_, job) = filled(jobs, native);
    assert!(is_first(&job) && job.scrape_native_histograms == Some(true));
    let (_, job) = filled(&format!("global: {{scrape_native_histograms: false}}\n{jobs}"), native);
    assert!(!is_first(&job) && job.scrape_native_histograms == Some(false));
    let (_, job) = filled("scrape_configs: [{job_name: j, scrape_native_histograms: true}]", none);
    assert!(is_first(&job));
    // Global protocols go before what native histograms would have.
    let global = "global: {scrape_protocols: [PrometheusText0.0.4]}\n";
    let (_, job) =
        filled(&format!("{global}scrape_configs: [{{job_name: j, scrape_native_histograms: true}}]"), none);
    assert_eq!(protocols(&job), "text/plain;version=0.0.4;q=0.6,*/*;q=0.5");
    let first = ScrapeFeatures { families_first: true, ..Default::default() };
    assert!(is_first(&filled(jobs, first).1) && !is_first(&filled(&format!("{global}{jobs}"), first).1));
    let extra = ScrapeFeatures { extra_metrics: true, ..Default::default() };
    assert_eq!(filled(jobs, extra).1.extra_scrape_metrics, Some(true));
    // A job that takes classic names alone does not ask for others.
    let (_, job) = filled("scrape_configs: [{job_name: j, metric_name_validation_scheme: legacy}]", none);
    assert!(protocols(&job).contains("escaping=underscores"));
    let blank = "global: {metric_name_validation_scheme: '', metric_name_escaping_scheme: ''}\n";
    assert_eq!(filled(&format!("{blank}{jobs}"), none), filled(jobs, none));
}

#[test]
fn a_scheme_is_written_in_letters_of_any_size_and_jobs_may_differ_from_what_all_have() {
    let of = |scheme: &str| parse(&format!("scrape_configs: [{{job_name: j, scheme: {scheme}}}]"));
    let schemes = ["HTTPS", "Http", "~", "https"].map(|scheme| of(scheme).unwrap().scrape_configs[0].scheme);
    assert_eq!(schemes, [Scheme::Https, Scheme::Http, Scheme::Http, Scheme::Https]);
    let wrong = "prometheus.yml:1:40: unknown variant `ftp`, expected one of http, https";
    assert_eq!(of("ftp").unwrap_err(), wrong);
    let global =
        "global: {metric_name_validation_scheme: legacy, metric_name_escaping_scheme: allow-utf-8}\n";
    for key in ["metric_name_validation_scheme: utf8", "metric_name_escaping_scheme: dots"] {
        parse(&format!("{global}scrape_configs: [{{job_name: j, {key}}}]")).unwrap();
    }
}

#[test]
fn what_does_not_go_together_is_refused_where_it_stands() {
    for (text, expected) in [
        (
            "global: {scrape_protocols: []}",
            "prometheus.yml:1:28: scrape_protocols is empty: name at least one, or leave it out",
        ),
        (
            "scrape_configs:\n  - job_name: j\n    scrape_protocols: [PrometheusProto, PrometheusProto]\n",
            "prometheus.yml:3:23: scrape_protocols has PrometheusProto twice: each may stand once",
        ),
        (
            "global:\n  scrape_protocols: [PrometheusText2]\n",
            "prometheus.yml:2:22: unknown variant `PrometheusText2`, expected one of PrometheusProto, \
             OpenMetricsText0.0.1, OpenMetricsText1.0.0, PrometheusText0.0.4, PrometheusText1.0.0",
        ),
        (
            "scrape_configs:\n  - job_name: j\n    fallback_scrape_protocol: text\n",
            "prometheus.yml:3:5: unknown variant `text`, expected one of PrometheusProto, \
             OpenMetricsText0.0.1, OpenMetricsText1.0.0, PrometheusText0.0.4, PrometheusText1.0.0",
        ),
        (
            "global:\n  metric_name_validation_scheme: legacy\n  metric_name_escaping_scheme: allow-utf-8\n\
             scrape_configs: [{job_name: j}]",
            "prometheus.yml:4:29: job \"j\": metric_name_escaping_scheme is allow-utf-8, and \
             metric_name_validation_scheme, which is legacy, takes no such names: set one of them",
        ),
        (
            "scrape_configs:\n  - job_name: j\n    metric_name_validation_scheme: legacy\n    \
             metric_name_escaping_scheme: allow-utf-8\n",
            "prometheus.yml:2:15: job \"j\": metric_name_escaping_scheme is allow-utf-8, and \
             metric_name_validation_scheme, which is legacy, takes no such names: set one of them",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err(), expected);
    }
}

/// Files of a simulated disk, and what the first of them says as a configuration.
fn load(files: &[(&str, &str)]) -> Result<Config, String> {
    SimWorld::new(7).run(|env: &Env| {
        for (path, text) in files {
            env.fs.create_dir_all(Path::new(path).parent().unwrap()).unwrap();
            let mut file = env.fs.open(Path::new(path), OpenMode::CreateNew).unwrap();
            append_all(&mut *file, text.as_bytes()).unwrap();
        }
        Config::load(env.fs.as_ref(), Path::new(files[0].0)).map_err(|e| e.to_string())
    })
}

const MAIN: &str =
    "scrape_config_files: ['jobs/*.yml', /etc/one.yml, none/*.yml]\nscrape_configs: [{job_name: main}]\n";

#[test]
fn jobs_come_from_files_too_each_beside_its_own() {
    let config = load(&[
        ("/etc/p/prometheus.yml", MAIN),
        ("/etc/p/jobs/b.yml", "scrape_configs: [{job_name: b}, {job_name: c, scrape_failure_log_file: f}]"),
        ("/etc/p/jobs/a.yml", "scrape_configs:\n- job_name: a\n"),
        ("/etc/p/jobs/a.yaml", "nonsense"),
        ("/etc/one.yml", ""),
    ])
    .unwrap();
    let names: Vec<&str> = config.jobs().map(|job| job.job_name.as_str()).collect();
    assert_eq!(names, ["main", "a", "b", "c"]);
    let log = config.jobs().last().unwrap().scrape_failure_log_file.clone();
    assert_eq!(log.as_deref(), Some(Path::new("/etc/p/jobs/f")));
    assert!(!config.to_yaml().contains("job_name: a"), "files stay files");
}

#[test]
fn errors_of_files_of_jobs_name_them_and_the_place() {
    let error = |name: &str, text: &str| {
        load(&[
            ("/etc/prometheus.yml", MAIN),
            ("/etc/jobs/x.yml", "scrape_configs: [{job_name: x}]"),
            (name, text),
        ])
        .unwrap_err()
    };
    assert_eq!(
        error("/etc/jobs/y.yml", "scrape_configs:\n  - job_name: x\n"),
        "/etc/jobs/y.yml:2:15: scrape_configs: job_name \"x\" stands in /etc/jobs/x.yml too: every job \
         needs a name of its own"
    );
    assert_eq!(
        error("/etc/jobs/y.yml", "scrape_configs:\n  - job_name: main\n"),
        "/etc/jobs/y.yml:2:15: scrape_configs: job_name \"main\" stands in /etc/prometheus.yml too: every \
         job needs a name of its own"
    );
    assert_eq!(
        error("/etc/jobs/y.yml", "scrape_configs: [{job_name: y}, {job_name: y}]"),
        "/etc/jobs/y.yml:1:44: scrape_configs: job_name \"y\" stands twice: every job needs a name of its own"
    );
    assert_eq!(
        error("/etc/jobs/y.yml", "scrape_configs:\n  - job_name: y\n    scrape_timeout: 2m\n"),
        "/etc/jobs/y.yml:2:15: job \"y\": scrape_timeout 2m is longer than scrape_interval 1m: make it as \
         long at most"
    );
    assert_eq!(
        error("/etc/jobs/y.yml", "global: {}\n"),
        "/etc/jobs/y.yml:1:1: unknown field `global`, expected one of scrape_configs"
    );
    let pattern = "scrape_config_files:\n  - a.yml\n  - '*/b.yml'\n";
    assert_eq!(
        load(&[("/etc/prometheus.yml", pattern)]).unwrap_err(),
        "/etc/prometheus.yml:3:5: scrape_config_files: \"*/b.yml\" has a * before the last part of its \
         path: write it there alone"
    );
}
