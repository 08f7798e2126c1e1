//! What becomes of bodies of every format, beside Prometheus 3 with the same configuration and the same
//! targets: native and classic histograms, conversions, bounds as labels, types of bodies that are missing or
//! wrong.

use crate::support::{PATIENCE, ask, json, server};
use serde_json::Value;
use skopos_model::TimestampMs;
use skopos_proto::families::{
    Counter, FamilyBucket, FamilyExemplar, FamilyHistogram, FamilySpan, FamilyType, LabelPair, Metric,
    MetricFamily, MetricValue, Quantile, Summary, Time, Untyped, read_delimited, write_delimited,
};
use skopos_testkit::{
    http,
    misbehaving::{Misbehaviour, Server},
    peers,
    service::Service,
    wait_until,
};
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

const DELIMITED: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
const FEATURES: &str = "--enable-feature=native-histograms,exemplar-storage,extra-scrape-metrics";

/// What jobs may say of histograms.
const READINGS: [(&str, &str); 6] = [
    ("usual", ""),
    ("both", "always_scrape_classic_histograms: true, "),
    ("custom", "convert_classic_histograms_to_nhcb: true, "),
    ("custom_both", "convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true, "),
    ("coarse", "native_histogram_min_bucket_factor: 3, "),
    ("few", "native_histogram_bucket_limit: 4, sample_limit: 100000, "),
];

fn answers(content_type: &str, body: impl Into<Vec<u8>>) -> Server {
    let content_type = content_type.to_owned();
    Server::start([Misbehaviour::Answers { status: 200, content_type, body: body.into() }])
}

fn span(offset: i32, length: u32) -> FamilySpan {
    FamilySpan { offset: Some(offset), length: Some(length) }
}

fn exemplar(value: f64, at_ms: Option<i64>) -> Option<FamilyExemplar> {
    let timestamp = at_ms.map(|at| Time::of(TimestampMs::new(at)));
    Some(FamilyExemplar { labels: vec![LabelPair::new("trace", "t1")], value: Some(value), timestamp })
}

fn family(name: &str, family_type: FamilyType, values: Vec<MetricValue>) -> MetricFamily {
    let metrics = values.into_iter().enumerate().map(|(nth, value)| Metric {
        labels: vec![LabelPair::new("nth", &nth.to_string()), LabelPair::new("with.dot", "a\"b\\c\nd")],
        timestamp_ms: None,
        value: Some(value),
    });
    MetricFamily {
        name: Some(name.to_owned()),
        help: Some(format!("what {name} is")),
        r#type: Some(family_type.into()),
        metrics: metrics.collect(),
        unit: None,
    }
}

/// Histograms of every kind, each a family of its own: Prometheus tells the kind by a family's first.
fn histograms(name: &str, family_type: FamilyType) -> Vec<MetricFamily> {
    let bucket = |count, upper| FamilyBucket {
        cumulative_count: Some(count),
        upper_bound: Some(upper),
        exemplar: exemplar(upper, Some(1_700_000_000_000)),
        cumulative_count_float: None,
    };
    let classic = FamilyHistogram {
        sample_count: Some(12),
        sample_sum: Some(60.25),
        buckets: vec![bucket(1, 0.5), bucket(5, 1.0), bucket(9, 10.0)],
        created: Some(Time::of(TimestampMs::new(1_700_000_000_000))),
        ..FamilyHistogram::default()
    };
    let native = FamilyHistogram {
        schema: Some(3),
        zero_threshold: Some(0.01),
        zero_count: Some(2),
        negative_spans: vec![span(-1, 1)],
        negative_deltas: vec![3],
        positive_spans: vec![span(0, 2), span(3, 2)],
        positive_deltas: vec![1, 1, 0, 0],
        exemplars: vec![exemplar(3.0, Some(1_700_000_000_500)).unwrap()],
        ..classic.clone()
    };
    let native_alone = FamilyHistogram { buckets: vec![], ..native.clone() };
    let floats = FamilyHistogram {
        sample_count_float: Some(4.5),
        sample_sum: Some(9.0),
        zero_count_float: Some(0.5),
        schema: Some(-2),
        zero_threshold: Some(1e-128),
        positive_spans: vec![span(2, 2)],
        positive_counts: vec![1.5, 2.5],
        ..FamilyHistogram::default()
    };
    let empty = FamilyHistogram { positive_spans: vec![span(0, 0)], ..FamilyHistogram::default() };
    let all = [
        ("classic", classic),
        ("native", native),
        ("empty", empty),
        ("native_alone", native_alone),
        ("floats", floats),
    ];
    let of_kind = |(kind, histogram): (&str, FamilyHistogram)| {
        let twice = [histogram.clone(), histogram].map(|one| MetricValue::Histogram(Box::new(one))).into();
        family(&format!("{name}_{kind}"), family_type, twice)
    };
    all.map(of_kind).into()
}

/// The same page without native histograms.
fn classic_alone(page: &[u8]) -> Vec<u8> {
    let mut families = read_delimited(page).unwrap();
    for metric in families.iter_mut().flat_map(|family| &mut family.metrics) {
        if let Some(MetricValue::Histogram(histogram)) = &mut metric.value {
            let FamilyHistogram { sample_count, sample_sum, buckets, created, .. } = *histogram.clone();
            **histogram =
                FamilyHistogram { sample_count, sample_sum, buckets, created, ..FamilyHistogram::default() };
        }
    }
    write_delimited(&families)
}

/// A page of every type, and behind it what a Prometheus says of itself.
fn page(of_prometheus: &[u8]) -> Vec<u8> {
    let quantile = |quantile, value| Quantile { quantile: Some(quantile), value: Some(value) };
    let summary = Summary {
        sample_count: Some(3),
        sample_sum: Some(6.0),
        quantiles: vec![quantile(0.5, 1.0), quantile(1.0, f64::NAN)],
        created: None,
    };
    let counter = Counter { value: Some(5.5), exemplar: exemplar(2.0, None), created: None };
    let float = |value| Untyped { value: Some(value) };
    let all = [
        family("skopos_a_total", FamilyType::Counter, vec![MetricValue::Counter(counter)]),
        family(
            "skopos_b",
            FamilyType::Gauge,
            vec![MetricValue::Gauge(float(-0.0)), MetricValue::Gauge(float(1e300))],
        ),
        family("skopos.c", FamilyType::Untyped, vec![MetricValue::Untyped(float(f64::INFINITY))]),
        family("skopos_d", FamilyType::Summary, vec![MetricValue::Summary(summary)]),
        family("skopos_g", FamilyType::Histogram, vec![]),
    ];
    [
        write_delimited(&all),
        write_delimited(&histograms("skopos_e", FamilyType::Histogram)),
        write_delimited(&histograms("skopos_f", FamilyType::GaugeHistogram)),
        of_prometheus.to_vec(),
    ]
    .concat()
}

const TEXT: &str = "# TYPE t_h histogram
t_h_bucket{le=\"1\"} 1
t_h_bucket{le=\"2.50\"} 2
t_h_bucket{le=\"1e1\"} 3
t_h_bucket{le=\"+Inf\"} 4
t_h_sum 7.5
t_h_count 4
t_h_bucket{a=\"b\",le=\"0.1\"} 1.5
t_h_bucket{a=\"b\",le=\"+Inf\"} 2.5
t_h_sum{a=\"b\"} 1
t_h_count{a=\"b\"} 2.5
t_h_bucket{bad=\"1\",le=\"x\"} 2
t_h_bucket{bad=\"2\",le=\"1\"} 3
t_h_bucket{bad=\"2\",le=\"2\"} 2
t_h_sum{bad=\"2\"} 2
t_h_count{bad=\"2\"} 3
# TYPE t_s summary
t_s{quantile=\"0.5\"} 1
t_s{quantile=\"1\"} 2
t_s_sum 3
t_s_count 4
# TYPE t_g gauge
t_g{le=\"1\",quantile=\"1\"} 5
# TYPE t_g_bucket gauge
t_g_bucket{le=\"1\"} 6
t_untyped_bucket{le=\"1\"} 7
";

/// All that a server has now but for what tells the two systems apart: by labels, the value or the histogram.
fn everything(server: &Service) -> BTreeMap<String, String> {
    let query = "{__name__=~\".+\",__name__!~\"scrape_duration_seconds|scrape_series_added\"}";
    let answer = json(&ask(server, "/api/v1/query", &[("query", query)]));
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let value = |series: &Value| match &series["histogram"] {
        Value::Null => series["value"][1].to_string(),
        histogram => histogram[1].to_string(),
    };
    // Names come in any order.
    let labels = |series: &Value| {
        let labels: BTreeMap<_, _> = series["metric"].as_object().expect("labels").iter().collect();
        format!("{labels:?}")
    };
    series.iter().map(|series| (labels(series), value(series))).collect()
}

fn differences(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for name in names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name)).take(20) {
        let (ours, theirs) = (ours.get(name), theirs.get(name));
        writeln!(out, "{name}\n  ours   {ours:?}\n  theirs {theirs:?}").unwrap();
    }
    out
}

/// Both systems with the same configuration.
fn both(config: &str, flag: &str) -> Option<(Service, Service)> {
    let program = peers::prometheus_3()?;
    let theirs = peers::prometheus_at(program, config, &["--log.level=error", flag]);
    Some((server().config(config).flag(flag).start(), theirs))
}

#[test]
fn histograms_of_every_kind_are_what_they_are_in_prometheus() {
    let Some(program) = peers::prometheus_3() else { return };
    let of_itself = peers::prometheus_at(program, "", &["--log.level=error"]);
    let url = format!("http://{}/metrics", of_itself.address());
    // So that there is something to count.
    (0..3).for_each(|_| drop(of_itself.get("/api/v1/query?query=up")));
    let recorded = http::request("GET", &url, &[("Accept", DELIMITED)], &[]).unwrap();
    assert!(recorded.header("content-type").unwrap().starts_with("application/vnd.google.protobuf"));
    let page = page(&recorded.body);
    let (families, classic) = (answers(DELIMITED, page.clone()), answers(DELIMITED, classic_alone(&page)));
    let text = answers("text/plain; version=0.0.4", TEXT);
    let open = answers("application/openmetrics-text; version=1.0.0", format!("{TEXT}# EOF\n"));
    let mut config = "global: {scrape_interval: 1s}\nscrape_configs:\n".to_owned();
    for (name, keys) in READINGS {
        // Prometheus 3.5 passes over the first classic histogram behind a native one where it converts them.
        let families = if name.starts_with("custom") { &classic } else { &families };
        for (format, target) in [("families", families), ("text", &text), ("open", &open)] {
            let address = target.address();
            writeln!(
                config,
                "- {{job_name: {name}_{format}, {keys}static_configs: [{{targets: ['{address}']}}]}}"
            )
            .unwrap();
        }
    }
    let Some((ours, theirs)) = both(&config, FEATURES) else { return };
    let jobs = 3 * READINGS.len();
    let all = |server: &Service| {
        wait_until("a scrape of each job", PATIENCE, || {
            let all = everything(server);
            let is_of_scrape = |name: &&String| name.contains("scrape_body_size_bytes");
            (all.keys().filter(is_of_scrape).count() == jobs).then_some(all)
        })
    };
    let (mine, other) = (all(&ours), all(&theirs));
    assert!(other.values().filter(|value| value.contains("buckets")).count() > 20, "there are native ones");
    assert!(mine == other, "{}", differences(&mine, &other));
    let functions = [
        "histogram_count(M)",
        "histogram_sum(M)",
        "histogram_avg(M)",
        "histogram_quantile(0.9, M)",
        "histogram_fraction(0, 1, M)",
        "histogram_quantile(0.5, sum by (le, job) (M_bucket))",
    ];
    let metrics = ["skopos_e_classic", "skopos_e_native", "skopos_e_floats", "t_h"];
    let all =
        functions.iter().flat_map(|function| metrics.iter().map(|metric| function.replace('M', metric)));
    // Not all are there both ways.
    for query in all.filter(|query| !query.contains("floats_bucket")) {
        let sorted = |server: &Service| {
            let answer = json(&ask(server, "/api/v1/query", &[("query", &query)]));
            let all = answer["data"]["result"].as_array().cloned().unwrap_or_default();
            // Logarithms may differ in the last digit.
            let rounded = |value: &Value| {
                value.as_str().and_then(|text| text.parse().ok()).map(|value: f64| format!("{value:.12e}"))
            };
            let line = |series: &Value| format!("{} {:?}", series["metric"], rounded(&series["value"][1]));
            let mut all: Vec<String> = all.iter().map(line).collect();
            all.sort();
            all
        };
        let (ours, theirs) = (sorted(&ours), sorted(&theirs));
        assert!(!theirs.is_empty() && ours == theirs, "{query}\nours   {ours:?}\ntheirs {theirs:?}");
    }
}

/// A page of OpenMetrics whose values are counted since this second.
fn counted_since(secs: u64) -> String {
    "# TYPE a counter\na_total{x=\"1\",le=\"z\"} 5\na_created{x=\"1\",le=\"z\"} @.25\na_total{x=\"2\"} 6\n\
     # TYPE b counter\nb_total 7\nb_created @\n\
     # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\nh_created @\n\
     # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 2\ns_sum 3\ns_created @\n\
     # TYPE g gauge\ng 1\n# TYPE u unknown\nu_created @\n# TYPE c counter\nc_total 1\n# EOF\n"
        .replace('@', &secs.to_string())
}

#[test]
fn lines_created_are_zeros_and_no_series_as_in_prometheus() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let since = now.as_secs() - 60;
    let open = answers("application/openmetrics-text; version=1.0.0", counted_since(since));
    let address = open.address();
    // Prometheus 3.5 does not convert histograms where it does this.
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
         - {{job_name: usual, static_configs: [{{targets: ['{address}']}}]}}\n"
    );
    let flag = "--enable-feature=native-histograms,created-timestamp-zero-ingestion";
    let Some((ours, theirs)) = both(&config, flag) else { return };
    let [mine, other] = [&ours, &theirs].map(|server| {
        wait_until("a scrape", PATIENCE, || {
            let all = everything(server);
            all.keys().any(|name| name.contains("scrape_samples_scraped")).then_some(all)
        })
    });
    assert!(mine == other, "{}", differences(&mine, &other));
    assert!(
        !mine.keys().any(|name| name.contains("\"a_created") || name.contains("\"h_created")),
        "{mine:?}"
    );
    let [mine, other] = [&ours, &theirs].map(|server| {
        let (query, time) = ("{job=~\".+\"}[2s]", (since + 1).to_string());
        let answer = json(&ask(server, "/api/v1/query", &[("query", query), ("time", &time)]));
        let all = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        all.iter().map(|s| (s["metric"].to_string(), s.to_string())).collect::<BTreeMap<_, _>>()
    });
    assert_eq!(other.len(), 9, "there are zeros: {other:?}");
    assert!(mine == other, "{}", differences(&mine, &other));
}

#[test]
fn a_body_is_what_its_head_says_or_else_what_the_job_says() {
    let families = write_delimited(&[family(
        "m",
        FamilyType::Gauge,
        vec![MetricValue::Gauge(Untyped { value: Some(1.0) })],
    )]);
    let (text, open) = ("m 1\n".as_bytes(), "m 1\n# EOF\n".as_bytes());
    let cases: Vec<(&str, &[u8])> = vec![
        ("", text),
        ("text/plain", text),
        ("Text/Plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8", text),
        ("text/plain; version=0.0.5", text),
        ("text/html; charset=utf-8", text),
        ("text/plain; charset", text),
        ("application/openmetrics-text; version=2.0.0", open),
        ("application/openmetrics-text", text),
        ("application/vnd.google.protobuf", &families),
        ("application/vnd.google.protobuf; proto=x; encoding=text", &families),
        ("application/octet-stream", &families),
        ("application/json", b""),
        ("", b""),
    ];
    let fallbacks = ["", "PrometheusText0.0.4", "OpenMetricsText1.0.0", "PrometheusProto"];
    let servers: Vec<Server> =
        cases.iter().map(|(content_type, body)| answers(content_type, *body)).collect();
    let mut config = "global: {scrape_interval: 1s}\nscrape_configs:\n".to_owned();
    for (nth, server) in servers.iter().enumerate() {
        for fallback in fallbacks {
            let key = if fallback.is_empty() {
                String::new()
            } else {
                format!("fallback_scrape_protocol: {fallback}, ")
            };
            let (job, address) = (format!("{nth}_{fallback}"), server.address());
            writeln!(config, "- {{job_name: '{job}', {key}static_configs: [{{targets: ['{address}']}}]}}")
                .unwrap();
        }
    }
    let Some((ours, theirs)) = both(&config, FEATURES) else { return };
    let jobs = cases.len() * fallbacks.len();
    let up = |server: &Service| {
        wait_until("a scrape of each job", PATIENCE, || {
            let all = everything(server);
            let up: BTreeMap<_, _> =
                all.into_iter().filter(|(name, _)| name.contains(": String(\"up\")")).collect();
            (up.len() == jobs).then_some(up)
        })
    };
    let (ours, theirs) = (up(&ours), up(&theirs));
    assert!(theirs.values().any(|up| up.contains('0')) && theirs.values().any(|up| up.contains('1')));
    assert!(ours == theirs, "{}", differences(&ours, &theirs));
}

/// The lines of a file of scrapes that failed, by job: their keys, and what they say.
fn failures(log: &Path) -> BTreeMap<String, (Vec<String>, String)> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_job = |line: Value| {
        let keys = line.as_object().expect("an object").keys().cloned().collect();
        // Ours knows what a status means, and passes over what the target says that it does.
        let text =
            |key: &str| line[key].as_str().unwrap_or_default().replace("Scripted", "Service Unavailable");
        (text("job_name"), (keys, format!("{} {} {}", text("level"), text("target"), text("msg"))))
    };
    lines.map(of_job).collect()
}

#[test]
fn scrapes_that_fail_are_logged_as_prometheus_logs_them_and_files_that_are_moved_away_are_begun_anew() {
    let failing = Server::start([Misbehaviour::Answers {
        status: 503,
        content_type: "text/plain".to_owned(),
        body: Vec::new(),
    }]);
    let broken = answers("text/plain", "m{ 1\n");
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_failure_log_file: failed.log}}\nscrape_configs:\n\
         - {{job_name: a, static_configs: [{{targets: ['{}']}}]}}\n\
         - {{job_name: b, scrape_failure_log_file: own.log, static_configs: [{{targets: ['{}']}}]}}\n\
         - {{job_name: broken, static_configs: [{{targets: ['{}']}}]}}\n",
        failing.address(),
        failing.address(),
        broken.address(),
    );
    let Some((mut ours, theirs)) = both(&config, FEATURES) else { return };
    for (name, job) in [("failed.log", "a"), ("own.log", "b")] {
        let logged = |server: &Service| {
            let file = server.folder().join(name);
            wait_until("a line", PATIENCE, || Some(failures(&file)).filter(|lines| !lines.is_empty()))
        };
        let (ours, theirs) = (logged(&ours), logged(&theirs));
        assert_eq!(ours.keys().collect::<Vec<_>>(), [job]);
        assert_eq!(ours, theirs);
    }
    let (file, away) = (ours.folder().join("failed.log"), ours.folder().join("away.log"));
    std::fs::rename(&file, &away).unwrap();
    ours.process().signal(rustix::process::Signal::HUP);
    wait_until("a line in a new file", PATIENCE, || (!failures(&file).is_empty()).then_some(()));
}
