//! Exemplars, trees of queries, and what the server says of itself over HTTP.

use crate::support::{PATIENCE, ask, json, server, wait_for_value};
use serde_json::{Value, json};
use skopos_testkit::{
    http,
    misbehaving::{Misbehaviour, Server},
    peers,
    service::Service,
    wait_until,
};
use std::{
    fs,
    io::{BufRead, BufReader, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

/// What two scrapes of an OpenMetrics target give.
const OPEN_METRICS: &str = "# HELP t_seconds how long\n# TYPE t_seconds histogram\n# UNIT t_seconds seconds\n\
    t_seconds_bucket{le=\"1.0\"} 2 # {trace_id=\"a\"} 0.5\n\
    t_seconds_bucket{le=\"+Inf\"} 3 # {trace_id=\"b\"} 7.25\nt_seconds_count 3\nt_seconds_sum 8.5\n\
    # TYPE c counter\nc_total 5 # {trace_id=\"c\",span=\"d\"} 1.0\n# EOF\n";

fn config(target: &Server) -> String {
    format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: \
         ['{}']}}]\n",
        target.address()
    )
}

fn data(server: &Service, path: &str) -> Value {
    let response = server.get(path);
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    json(&response)["data"].take()
}

#[test]
fn exemplars_and_metadata_of_open_metrics_are_those_of_prometheus() {
    let body = Misbehaviour::Answers {
        status: 200,
        content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8".to_owned(),
        body: OPEN_METRICS.as_bytes().to_vec(),
    };
    let target = Server::start([body]);
    let theirs = peers::prometheus(&config(&target), &["--enable-feature=exemplar-storage"]);
    let ours = server().config(&config(&target)).start();
    for server in [&theirs, &ours] {
        wait_for_value(server, "min(count_over_time(c_total[5m])) > bool 1", 1.0);
    }
    let untimed = |server: &Service, query: &str| {
        let response = ask(server, "/api/v1/query_exemplars", &[("query", query)]);
        assert_eq!(response.status, 200, "{}", response.text());
        let mut data = json(&response)["data"].take();
        for series in data.as_array_mut().unwrap() {
            let exemplars = series["exemplars"].as_array_mut().unwrap();
            // Each scrape may give one; how many there were by now is each program's own.
            exemplars.truncate(1);
            for exemplar in exemplars {
                let time = exemplar["timestamp"].take();
                assert!(time.as_f64().is_some_and(|t| t > 1.6e9), "{time}");
            }
        }
        data.as_array_mut().unwrap().sort_by_key(|series| series["seriesLabels"].to_string());
        data
    };
    for query in [
        "t_seconds_bucket",
        "rate(c_total[5m]) / on() group_left sum(t_seconds_bucket{le=\"1.0\"})",
        "max_over_time(c_total[5m:1m])",
        "none",
        "{__name__=~\".+\"}",
    ] {
        assert_eq!(untimed(&ours, query), untimed(&theirs, query), "{query}");
    }
    assert_eq!(untimed(&ours, "{__name__=~\".+\"}").as_array().unwrap().len(), 3);
    for server in [&theirs, &ours] {
        assert_eq!(server.get("/api/v1/query_exemplars?query=1").status, 204);
    }
    for path in ["/api/v1/metadata", "/api/v1/targets/metadata?metric=t_seconds", "/api/v1/metadata?metric=c"]
    {
        assert_eq!(data(&ours, path), data(&theirs, path), "{path}");
    }
}

#[test]
fn what_metrics_are_is_still_said_when_the_server_was_killed_and_the_target_is_gone() {
    let text = "# HELP h took\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 2\n\
        # HELP n_total so many\n# TYPE n_total counter\nn_total 3\n";
    let target = Server::start([Misbehaviour::text(text)]);
    let mut ours = server().config(&config(&target)).start();
    wait_for_value(&ours, "min(count_over_time(n_total[5m])) > bool 1", 1.0);
    let before = data(&ours, "/api/v1/metadata");
    let said = |kind: &str, help: &str| json!([{"type": kind, "unit": "", "help": help}]);
    assert_eq!(before, json!({"h": said("histogram", "took"), "n_total": said("counter", "so many")}));
    ours.kill9();
    fs::write(ours.folder().join("prometheus.yml"), "global: {}\n").unwrap();
    ours.restart();
    assert_eq!(data(&ours, "/api/v1/targets")["activeTargets"], json!([]));
    assert_eq!(data(&ours, "/api/v1/metadata"), before);
    assert_eq!(data(&ours, "/api/v1/metadata?metric=h"), json!({"h": said("histogram", "took")}));
    assert_eq!(data(&ours, "/api/v1/metadata?metric=none"), json!({}));
}

/// The tree of a selector by name.
fn selector(name: &str) -> Value {
    json!({
        "type": "vectorSelector", "name": name, "offset": 0, "startOrEnd": null, "timestamp": null,
        "anchored": false, "smoothed": false,
        "matchers": [{"name": "__name__", "type": "=", "value": name}],
    })
}

#[test]
fn trees_are_written_as_prometheus_3_writes_them() {
    let server = server().start();
    let tree = |query: &str| json(&ask(&server, "/api/v1/parse_query", &[("query", query)]))["data"].take();
    let rate = json!({
        "type": "call",
        "func": {"name": "rate", "argTypes": ["matrix"], "returnType": "vector", "variadic": 0},
        "args": [{
            "type": "matrixSelector", "name": "x", "range": 300_000, "offset": 60_000, "timestamp": null,
            "startOrEnd": "start", "anchored": false, "smoothed": false,
            "matchers": [
                {"name": "a", "type": "=~", "value": "1"}, {"name": "__name__", "type": "=", "value": "x"},
            ],
        }],
    });
    let fill = json!({"lhs": null, "rhs": null});
    for (query, expected) in [
        ("-1.5", json!({"type": "numberLiteral", "val": "-1.5"})),
        ("Inf", json!({"type": "numberLiteral", "val": "+Inf"})),
        ("\"t\"", json!({"type": "stringLiteral", "val": "t"})),
        (
            "-(a)",
            json!({"type": "unaryExpr", "op": "-", "expr": {"type": "parenExpr", "expr": selector("a")}}),
        ),
        (
            "sum by(a)(rate(x{a=~\"1\"}[5m] @ start() offset 1m)) > bool 1",
            json!({
                "type": "binaryExpr", "op": ">", "bool": true, "matching": null,
                "rhs": {"type": "numberLiteral", "val": "1"},
                "lhs": {
                    "type": "aggregation", "op": "sum", "param": null, "grouping": ["a"], "without": false,
                    "expr": rate,
                },
            }),
        ),
        (
            "a / on(x) group_left(y) b",
            json!({
                "type": "binaryExpr", "op": "/", "bool": false, "lhs": selector("a"), "rhs": selector("b"),
                "matching": {
                    "card": "many-to-one", "labels": ["x"], "on": true, "include": ["y"], "fillValues": fill,
                },
            }),
        ),
        (
            "a and b",
            json!({
                "type": "binaryExpr", "op": "and", "bool": false, "lhs": selector("a"), "rhs": selector("b"),
                "matching": {
                    "card": "many-to-many", "labels": [], "on": false, "include": [], "fillValues": fill,
                },
            }),
        ),
        (
            "a[1h:5m] @ 5",
            json!({
                "type": "subquery", "expr": selector("a"), "range": 3_600_000, "step": 300_000, "offset": 0,
                "timestamp": 5000, "startOrEnd": null,
            }),
        ),
    ] {
        assert_eq!(tree(query), expected, "{query}");
    }
    let refused = ask(&server, "/api/v1/parse_query", &[("query", "sum(")]);
    assert_eq!((refused.status, &json(&refused)["errorType"]), (400, &Value::from("bad_data")));
}

/// Names of features by their categories, as Prometheus has them.
const FEATURES: [(&str, &str); 9] = [
    (
        "api",
        "admin exclude_alerts label_values_match lifecycle openapi_3.1 openapi_3.2 otlp_write_receiver \
         query_stats query_warnings remote_write_receiver search time_range_labels time_range_series",
    ),
    ("otlp_receiver", "delta_conversion native_delta_ingestion"),
    ("prometheus", "agent_mode auto_reload_config server_mode"),
    (
        "promql",
        "anchored at_modifier bool by delayed_name_removal duration_expr fill fill_left fill_right \
         group_left group_right ignoring negative_offset offset on per_query_lookback_delta \
         per_step_stats smoothed subqueries type_and_unit_labels without",
    ),
    (
        "promql_functions",
        "abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp \
         clamp_max clamp_min cos cosh count_over_time day_of_month day_of_week day_of_year \
         days_in_month deg delta deriv double_exponential_smoothing exp first_over_time floor \
         histogram_avg histogram_count histogram_fraction histogram_quantile histogram_quantiles \
         histogram_stddev histogram_stdvar histogram_sum hour idelta increase info irate label_join \
         label_replace last_over_time ln log10 log2 mad_over_time max_over_time min_over_time minute \
         month pi predict_linear present_over_time quantile_over_time rad rate resets round scalar sgn \
         sin sinh sort sort_by_label sort_by_label_desc sort_desc sqrt stddev_over_time \
         stdvar_over_time sum_over_time tan tanh time timestamp ts_of_first_over_time \
         ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time vector year",
    ),
    (
        "promql_operators",
        "!= !~ % * + - / < <= == =~ > >= @ ^ and atan2 avg bottomk count count_values group limit_ratio \
         limitk max min or quantile stddev stdvar sum topk unless",
    ),
    ("rules", "concurrent_rule_eval keep_firing_for query_offset"),
    ("scrape", "extra_scrape_metrics start_timestamp_zero_ingestion type_and_unit_labels"),
    ("tsdb", "delayed_compaction exemplar_storage isolation native_histograms use_uncached_io"),
];

#[test]
fn flags_features_blocks_and_own_metrics_are_told() {
    let server = server().flag("--query.max-samples=12345").flag("--web.enable-lifecycle").start();
    let flags = data(&server, "/api/v1/status/flags");
    for (flag, value) in [
        ("query.max-samples", "12345"),
        ("query.timeout", "2m"),
        ("web.enable-lifecycle", "true"),
        ("web.enable-admin-api", "false"),
        ("config.file", ""),
    ] {
        assert_eq!(flags[flag], value, "{flag}: {flags}");
    }
    let features = data(&server, "/api/v1/features");
    assert_eq!(features["promql_functions"]["rate"], true);
    for (category, name) in
        [("promql", "anchored"), ("promql_functions", "info"), ("promql_operators", "limitk")]
    {
        assert_eq!(features[category][name], false, "{name}: {features}");
    }
    let flag = "--enable-feature=promql-experimental-functions,promql-extended-range-selectors";
    let enabled = data(&crate::support::server().flag(flag).start(), "/api/v1/features");
    for (category, name) in
        [("promql", "anchored"), ("promql_functions", "info"), ("promql_operators", "limitk")]
    {
        assert_eq!(enabled[category][name], true, "{name}: {enabled}");
    }
    assert_eq!((&features["api"]["lifecycle"], &features["api"]["admin"]), (&json!(true), &json!(false)));
    let is_switch = |(_, value): (&String, &Value)| value.is_boolean();
    let categories = features.as_object().unwrap();
    assert!(categories.values().all(|c| c.as_object().unwrap().iter().all(is_switch)), "{features}");
    // Those that Prometheus has of what there is here: it tells of all of them, whether they are enabled or
    // not.
    for (category, names) in FEATURES {
        let told = features[category].as_object().unwrap();
        let missing: Vec<_> = names.split_whitespace().filter(|name| !told.contains_key(*name)).collect();
        assert_eq!(missing, [""; 0], "{category}");
    }
    let typed = data(
        &crate::support::server().flag("--enable-feature=type-and-unit-labels").start(),
        "/api/v1/features",
    );
    for (server, is_on) in [(&features, false), (&typed, true)] {
        for category in ["promql", "scrape"] {
            assert_eq!(server[category]["type_and_unit_labels"], is_on, "{category}");
        }
    }
    assert_eq!(data(&server, "/api/v1/status/tsdb/blocks"), json!({"blocks": []}));
    let info = data(&server, "/api/v1/status/runtimeinfo");
    assert_eq!((&info["storageRetention"], &info["corruptionCount"]), (&json!("15d"), &json!(0)));
    assert!(info["goroutineCount"].as_u64() > info["GOMAXPROCS"].as_u64(), "{info}");
    assert!(info["startTime"].as_str().unwrap() <= info["serverTime"].as_str().unwrap(), "{info}");

    let pattern = "/api/v1/status/self_metrics?metric_name_pattern=prometheus_tsdb_head_series";
    let families = data(&server, pattern);
    assert_eq!(families.as_array().unwrap().len(), 1, "{families}");
    assert_eq!(
        (&families[0]["type"], &families[0]["name"]),
        (&json!("GAUGE"), &json!("prometheus_tsdb_head_series"))
    );
    assert!(families[0]["metric"][0]["gauge"]["value"].is_number(), "{families}");
    let all = data(&server, "/api/v1/status/self_metrics");
    assert!(all.as_array().unwrap().len() > 20, "{all}");
    assert_eq!(server.get("/api/v1/status/self_metrics?metric_name_pattern=(").status, 400);
}

#[test]
fn the_configuration_is_told_with_its_defaults_as_prometheus_writes_them() {
    let Some(program) = peers::prometheus_3() else { return };
    let config = "global: {scrape_interval: 2s, external_labels: {a: b}}\nscrape_configs:\n- {job_name: x, \
        metrics_path: /m, params: {p: [q]}, static_configs: [{targets: ['127.0.0.1:1'], labels: {l: m}}]}\n\
        - {job_name: y, scheme: https, honor_labels: true, scrape_interval: 30s, static_configs: [{targets: \
        ['127.0.0.1:1', 'localhost:2']}]}\n";
    let theirs = peers::prometheus_at(program, config, &["--log.level=error"]);
    let ours = server().config(config).start();
    let yaml = |server: &Service| {
        data(server, "/api/v1/status/config")["yaml"].as_str().unwrap().trim_end().to_owned()
    };
    // It has more keys, those of what is not here; all others are the same, in the same order.
    let (ours, theirs) = (yaml(&ours), yaml(&theirs));
    let mut rest = theirs.lines();
    // Those of later releases than the one at hand.
    let newer = [
        "scrape_native_histograms: false",
        "extra_scrape_metrics: false",
        "metric_name_validation_scheme: utf8",
    ];
    for line in ours.lines().filter(|line| !newer.contains(&line.trim())) {
        assert!(rest.any(|other| other == line), "{line}:\n{ours}\n{theirs}");
    }
    assert_eq!(ours.matches("scrape_timeout: 2s").count(), 3, "{ours}");
}

#[test]
fn a_jobs_configuration_is_told_with_its_defaults() {
    let target = Server::start([Misbehaviour::text("m 1\n")]);
    let server = server().config(&config(&target)).start();
    let yaml = data(&server, "/api/v1/scrape_pools/config?scrapePool=j")["yaml"].take();
    let yaml = yaml.as_str().unwrap();
    assert!(yaml.contains("job_name: j") && yaml.contains("metrics_path: /metrics"), "{yaml}");
    assert!(yaml.contains("scrape_interval: 1s\nscrape_timeout: 1s\n"), "{yaml}");
    assert_eq!(server.get("/api/v1/scrape_pools/config?scrapePool=other").status, 400);
    assert_eq!(server.get("/api/v1/scrape_pools/config").status, 400);
}

#[test]
fn a_failed_reload_is_notified_until_one_succeeds() {
    let server = server().config("global: {scrape_interval: 1s}\n").flag("--web.enable-lifecycle").start();
    let reload = || http::request("POST", &server.url("/-/reload"), &[], &[]).unwrap().status;
    assert_eq!(data(&server, "/api/v1/notifications"), json!([]));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /api/v1/notifications/live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut line_with =
        |part: &str| lines.find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}"));
    line_with("text/event-stream");

    let file = server.folder().join("prometheus.yml");
    fs::write(&file, "global: {no_such_key: 1}\n").unwrap();
    assert_eq!(reload(), 500);
    let event = line_with("data: ");
    let said: Value = serde_json::from_str(event.trim_start_matches("data: ")).unwrap();
    assert_eq!((&said["text"], &said["active"]), (&json!("Configuration reload has failed."), &json!(true)));
    assert_eq!(data(&server, "/api/v1/notifications"), json!([said]));
    assert_eq!(data(&server, "/api/v1/status/runtimeinfo")["reloadConfigSuccess"], false);
    fs::write(&file, "global: {scrape_interval: 1s}\n").unwrap();
    assert_eq!(reload(), 200);
    assert!(line_with("data: ").contains("\"active\":false"));
    assert_eq!(data(&server, "/api/v1/notifications"), json!([]));
}

#[test]
fn who_listens_for_notifications_does_not_hold_up_the_end() {
    let mut server = server().flag("--web.enable-lifecycle").start();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /api/v1/notifications/live HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("text/event-stream")));
    let listener = thread::spawn(move || lines.any(|line| line.contains("shutting down")));
    http::request("POST", &server.url("/-/quit"), &[], &[]).unwrap();
    let ended = wait_until("the end", Duration::from_secs(20), || server.process().ended());
    assert!(ended.success(), "{ended}");
    assert!(listener.join().unwrap(), "the end was not told");
}

/// The samples of a page without their times, sorted.
fn federated(server: &Service, path: &str) -> Vec<String> {
    let page = server.get(path);
    assert_eq!(page.status, 200, "{path}: {}", page.text());
    assert!(page.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"), "{path}");
    let untimed = |line: &str| match line.rsplit_once(' ') {
        Some((sample, time)) if !line.starts_with('#') => {
            assert!(time.parse::<i64>().is_ok_and(|ms| ms > 1_600_000_000_000), "{line}");
            sample.to_owned()
        }
        _ => line.to_owned(),
    };
    page.text().lines().map(untimed).collect()
}

#[test]
fn a_page_for_another_server_is_that_of_prometheus() {
    let text = |body: &str| Misbehaviour::text(body);
    let target =
        Server::start([text("# TYPE a counter\na{site=\"own\"} 1\na 2\nb{x=\"\\\"\"} NaN\ngone 1\n")]);
    let config = config(&target).replace("1s}", "1s, external_labels: {site: all, zone: z}}");
    let theirs = peers::prometheus(&config, &["--log.level=error"]);
    let ours = server().config(&config).start();
    for server in [&theirs, &ours] {
        wait_for_value(server, "gone", 1.0);
    }
    target.behave([text("a{site=\"own\"} 1\na 2\nb{x=\"\\\"\"} NaN\n")]);
    for server in [&theirs, &ours] {
        wait_for_value(server, "count(absent(gone))", 1.0);
    }
    for query in [
        "",
        "?match[]=a",
        "?match[]=a&match[]=b&match[]=up",
        "?match[]={__name__=~%22a|b|gone%22}",
        "?match[]=none",
    ] {
        let path = format!("/federate{query}");
        assert_eq!(federated(&ours, &path), federated(&theirs, &path), "{path}");
    }
    assert_eq!(federated(&ours, "/federate?match[]=a").len(), 3);
    for server in [&theirs, &ours] {
        assert_eq!(server.get("/federate?match[]=a{").status, 400);
    }
}
