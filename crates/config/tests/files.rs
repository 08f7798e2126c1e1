//! Configuration files, good and bad, and what is said of them.

use skopos_config::Config;
use std::path::Path;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("prometheus.yml")).map_err(|e| e.to_string())
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let message = parse(text).expect_err("the file must be refused");
    assert_eq!(message, expected);
}

#[test]
fn an_empty_file_is_a_configuration_without_jobs() {
    for text in ["", "\n", "# nothing\n", "global:\n", "scrape_configs:\n", "scrape_configs: []\n"] {
        assert_eq!(parse(text), Ok(Config::default()), "{text:?}");
    }
}

#[test]
fn everything_that_may_stand_in_a_file_is_read() {
    let config = parse(
        "global:
  scrape_interval: 30s
  scrape_timeout: 5s
  evaluation_interval: 1m
  external_labels:
    monitor: 'prometheus_one'
scrape_configs:
  - job_name: node
    scrape_interval: 15s
    scrape_timeout: 10s
    honor_labels: true
    honor_timestamps: false
    metrics_path: /m
    scheme: https
    params:
      collect[]: [cpu, meminfo]
    static_configs:
      - targets: ['a:1', b]
        labels:
          env: prod
          rack: 7
  - job_name: other
storage:
  exemplars: {max_exemplars: 500}
",
    )
    .unwrap();
    let job = &config.scrape_configs[0];
    assert_eq!(config.global.external_labels["monitor"], "prometheus_one");
    assert_eq!(config.storage.exemplars.max_exemplars, 500);
    assert_eq!(Config::default().storage.exemplars.max_exemplars, 100_000);
    assert_eq!(parse("storage: {exemplars: }").unwrap(), Config::default());
    assert!(parse("storage: {exemplars: {max_exemplars: -1}}").is_err());
    assert_eq!(job.interval(&config.global).to_string(), "15s");
    assert_eq!(config.scrape_configs[1].timeout(&config.global).to_string(), "5s");
    assert_eq!(job.params["collect[]"], ["cpu", "meminfo"]);
    assert_eq!(job.static_configs[0].labels["rack"], "7");
    assert!(job.honor_labels && !job.honor_timestamps && config.scrape_configs[1].honor_timestamps);
}

#[test]
fn what_is_written_back_reads_as_the_same() {
    let text = "global: {scrape_interval: 7s, external_labels: {a: 'true', b: '1'}}\n\
                scrape_configs: [{job_name: 'x: y', params: {m: ['[]']}, \
                static_configs: [{targets: ['[::1]:9']}]}]";
    let config = parse(text).unwrap();
    assert_eq!(parse(&config.to_yaml()), Ok(config.filled()));
    assert_eq!(config.filled().to_yaml(), config.to_yaml());
    let built_in = Config::built_in();
    assert_eq!(parse(&built_in.to_yaml()), Ok(built_in.filled()));
}

#[test]
fn defaults_are_written_out_and_a_timeout_is_no_longer_than_the_global_interval() {
    let text = "global: {scrape_interval: 2s}\nscrape_configs: [{job_name: a, scrape_interval: 1s}, \
                {job_name: b, scrape_interval: 1m, honor_labels: true}]";
    let job = |name: &str, more: &str, interval: &str, timeout: &str| {
        format!(
            "- job_name: {name}\n{more}  honor_timestamps: true\n  track_timestamps_staleness: false\n  \
             scrape_interval: {interval}\n  scrape_timeout: {timeout}\n  scrape_protocols:\n  \
             - OpenMetricsText1.0.0\n  - OpenMetricsText0.0.1\n  - PrometheusText1.0.0\n  \
             - PrometheusText0.0.4\n  scrape_native_histograms: false\n  \
             always_scrape_classic_histograms: false\n  convert_classic_histograms_to_nhcb: false\n  \
             metrics_path: /metrics\n  scheme: http\n  enable_compression: true\n  \
             metric_name_validation_scheme: utf8\n  metric_name_escaping_scheme: allow-utf-8\n  \
             extra_scrape_metrics: false\n  follow_redirects: true\n  enable_http2: true\n"
        )
    };
    let (a, b) = (job("a", "", "1s", "1s"), job("b", "  honor_labels: true\n", "1m", "2s"));
    let global = "global:\n  scrape_interval: 2s\n  scrape_timeout: 2s\n  evaluation_interval: 1m\n  \
                  metric_name_validation_scheme: utf8\n  scrape_native_histograms: false\n";
    assert_eq!(parse(text).unwrap().to_yaml(), format!("{global}scrape_configs:\n{a}{b}"));
    assert!(Config::default().to_yaml().contains("scrape_timeout: 10s\n"));
}

#[test]
fn errors_say_file_line_column_and_what_is_allowed() {
    check_error(
        "global:\n  scrape_intervall: 15s\n",
        "prometheus.yml:2:3: unknown field `scrape_intervall`, expected one of scrape_interval, \
         scrape_timeout, scrape_protocols, evaluation_interval, rule_query_offset, query_log_file, \
         scrape_failure_log_file, external_labels, body_size_limit, sample_limit, target_limit, label_limit, \
         label_name_length_limit, label_value_length_limit, keep_dropped_targets, \
         metric_name_validation_scheme, metric_name_escaping_scheme, scrape_native_histograms, \
         convert_classic_histograms_to_nhcb, always_scrape_classic_histograms, extra_scrape_metrics",
    );
    check_error(
        "rules:\n  - a\n",
        "prometheus.yml:1:1: unknown field `rules`, expected one of global, scrape_config_files, \
         scrape_configs, remote_write, remote_read, storage, otlp, retention",
    );
    check_error("global: 15s\n", "prometheus.yml:1:9: expected a mapping (lines of `key: value`)");
    check_error("scrape_configs: {a: b}\n", "prometheus.yml:1:17: expected a list (lines of `- item`)");
    check_error(
        "global:\n  scrape_interval: 15 seconds\n",
        "prometheus.yml:2:20: \"15 seconds\" is not a duration: write numbers with units from large to small \
         (y, w, d, h, m, s, ms), such as 30s, 5m or 1h30m",
    );
    check_error(
        "scrape_configs:\n  - job_name: a\n    scheme: ftp\n",
        "prometheus.yml:3:13: unknown variant `ftp`, expected one of http, https",
    );
    check_error(
        "global: {}\nglobal: {}\n",
        "prometheus.yml:2:1: the key \"global\" stands twice in one mapping",
    );
    check_error("scrape_configs:\n  - scheme: http\n", "prometheus.yml:2:5: missing field `job_name`");
    // Of how targets are spoken to, too.
    check_error(
        "scrape_configs:\n  - job_name: a\n    tls_config:\n      ca_fil: b\n",
        "prometheus.yml:4:7: unknown field `ca_fil`, expected one of ca, cert, key, ca_file, cert_file, \
         key_file, server_name, insecure_skip_verify, min_version, max_version",
    );
    check_error(
        "scrape_configs:\n  - job_name: a\n  - job_name: b\n    bearer_token: t\n    basic_auth: {}\n",
        "prometheus.yml:3:15: job \"b\": write at most one of `basic_auth`, `authorization`, `oauth2`, \
         `bearer_token` and `bearer_token_file`",
    );
}

#[test]
fn a_second_rule_of_one_selector_is_refused_and_located() {
    let rules = |second: &str| {
        let first = "{match: 'up{a=\"b\",c=~\"d\"}', time: 2d}";
        format!("retention:\n  - {first}\n  - {{match: '{second}', time: 3d}}\n")
    };
    // The order of conditions means nothing.
    for same in ["up{a=\"b\",c=~\"d\"}", "{c=~\"d\", a=\"b\", __name__=\"up\"}"] {
        check_error(
            &rules(same),
            "prometheus.yml:3:13: an earlier rule has the same selector, so that this one would never count: \
             leave one of them out",
        );
    }
    assert!(Config::parse(&rules("up{a=\"b\"}"), Path::new("prometheus.yml")).is_ok());
    // And a value that stands twice.
    check_error(
        "storage:\n  tsdb:\n    retention:\n      time: 2d\n      time: 2d\n",
        "prometheus.yml:5:7: the key \"time\" stands twice in one mapping",
    );
}

#[test]
fn duplicate_jobs_and_bad_targets_are_located() {
    check_error(
        "scrape_configs:\n  - job_name: a\n  - job_name: b\n  - job_name: a\n",
        "prometheus.yml:4:15: scrape_configs: job_name \"a\" stands twice: every job needs a name of its own",
    );
    check_error(
        "scrape_configs:\n  - job_name: a\n  - job_name: b\n    \
         static_configs: [{targets: ['http://x:1']}]\n",
        "prometheus.yml:3:15: job \"b\": target \"http://x:1\" is not valid: \
         write host:port without a scheme; the scheme is the job's `scheme`",
    );
    // With rules, it is yet to become an address.
    let probed = "scrape_configs: [{job_name: b, static_configs: [{targets: ['http://x:1/y']}], \
                  relabel_configs: [{source_labels: [__address__], target_label: __param_target}, \
                  {target_label: __address__, replacement: 'probe:1'}]}]";
    let config = Config::parse(probed, Path::new("prometheus.yml")).unwrap();
    assert_eq!(config.scrape_configs[0].static_configs[0].targets, ["http://x:1/y"]);
    check_error(
        "scrape_configs:\n  - job_name: a\n    scrape_interval: 5s\n    scrape_timeout: 6s\n",
        "prometheus.yml:2:15: job \"a\": scrape_timeout 6s is longer than scrape_interval 5s: \
         make it as long at most",
    );
}

#[test]
fn what_is_wrong_in_global_is_located() {
    check_error(
        "global:\n  scrape_interval: 0s\n",
        "prometheus.yml:2:20: global.scrape_interval: must be longer than zero",
    );
    check_error(
        "global:\n  scrape_interval: 5s\n  scrape_timeout: 10s\n",
        "prometheus.yml:3:19: global: scrape_timeout 10s is longer than scrape_interval 5s: \
         make it as long at most",
    );
    for name in ["''", "__name__"] {
        let message = parse(&format!("global:\n  external_labels:\n    {name}: x\n")).unwrap_err();
        assert!(message.starts_with("prometheus.yml:"), "{message}");
    }
}

#[test]
fn labels_may_have_names_of_any_characters() {
    let text = "global: {external_labels: {a-b.c: x}}\nscrape_configs:\n- {job_name: j, static_configs: \
        [{targets: [a], labels: {ünder/9: y}}]}\n";
    let config = parse(text).unwrap();
    assert_eq!(config.global.external_labels["a-b.c"], "x");
}

#[test]
fn hostile_files_end_in_an_error() {
    for text in ["a: &a [*a]", "[[[[[[[[", "\u{0}", "- - - -", "!!binary x", "? : ?", "%YAML 9.9\n--- a"] {
        assert!(parse(text).is_err(), "{text:?}");
    }
    let deep = "[".repeat(100_000);
    assert!(parse(&deep).is_err());
    let bomb =
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c]\n";
    assert!(parse(bomb).is_err());
}

#[test]
fn storage_and_retention_are_read_and_written_as_in_the_file() {
    let text = "storage:
  tsdb:
    out_of_order_time_window: 30m
    retention:
      time: 30d
      size: 512GB
      percentage: 80.5
retention:
  - match: '{job=\"debug\"}'
    time: 2d
";
    let config = parse(text).expect("the file is sound");
    let retention = config.storage.tsdb.retention;
    assert_eq!(retention.size.map(skopos_model::ByteSize::bytes), Some(512 << 30));
    assert_eq!(retention.percentage.map(skopos_config::Percentage::percent), Some(80.5));
    assert_eq!(config.retention[0].selector.matchers().len(), 1);
    assert_eq!(parse(&config.to_yaml()), Ok(config.filled()));
    for text in ["storage:\n", "storage:\n  tsdb:\n", "storage:\n  tsdb:\n    retention:\n", "retention:\n"] {
        assert_eq!(parse(text), Ok(Config::default()), "{text:?}");
    }
    for (text, reason) in [
        ("storage:\n  tsdb:\n    retention:\n      size: 5\n", "no size"),
        ("storage:\n  tsdb:\n    retention:\n      percentage: 101\n", "no percentage"),
        ("storage:\n  tsdb:\n    retentions: 3\n", "retentions"),
        ("retention:\n  - match: '{'\n    time: 1d\n", "selects no series"),
        ("retention:\n  - match: up\n", "time"),
    ] {
        let message = parse(text).expect_err(text);
        assert!(message.contains(reason), "{text:?}: {message}");
    }
}
