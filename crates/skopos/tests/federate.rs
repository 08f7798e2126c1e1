//! `/federate` beside Prometheus 3, on the same data: what either writes to whoever accepts what, and what a
//! real Prometheus stores that scrapes our page.

use crate::support::{ask, copy, fetch, json, server, wait_for_value};
use skopos_proto::families::{self, MetricFamily};
use skopos_testkit::{
    http::Response,
    peers, remote,
    series::{Content, Counts, Histogram, Reset, Series, Value},
    service::Service,
};
use std::{
    fs,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

const CONFIG: &str = "global: {external_labels: {site: s, zone: z}}\n";
const FLAGS: [&str; 2] = ["--web.enable-remote-write-receiver", "--enable-feature=native-histograms"];
const DELIMITED: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
const EVERYTHING: &str = "/federate?match[]={__name__=~%22.%2B%22}";

/// The same newest samples behind Prometheus and behind ours.
struct Both {
    theirs: Service,
    ours: Service,
    at_ms: i64,
}

impl Both {
    fn start(program: PathBuf) -> Self {
        let mut theirs = peers::prometheus_at(program, CONFIG, &FLAGS);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let at_ms = now - now % 1000;
        remote::write(&theirs, remote::Protocol::V1, &content(at_ms));
        theirs.terminate();
        let mut ours = server().config(CONFIG).start();
        ours.terminate();
        let data = ours.folder().join("data");
        fs::remove_dir_all(&data).unwrap();
        copy(&theirs.folder().join("data"), &data);
        ours.restart();
        theirs.restart();
        Self { theirs, ours, at_ms }
    }
}

fn content(at_ms: i64) -> Content {
    let mut all = Content::new();
    let mut put = |pairs: &[(&str, &str)], before: Value, last: Value| {
        let mut labels = pairs.to_vec();
        labels.extend([("job", "j"), ("instance", "i")]);
        let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        all.insert(
            labels,
            Series { samples: vec![(at_ms - 10_000, before), (at_ms, last)], ..Series::default() },
        );
    };
    let float = Value::float;
    put(&[("__name__", "m"), ("x", "1")], float(1.0), float(2.5));
    put(&[("__name__", "m"), ("x", "2"), ("zone", "own")], float(1.0), float(f64::INFINITY));
    put(&[("__name__", "m"), ("x", "3")], float(1.0), Value::Float(0x7ff0_0000_0000_0002));
    put(&[("__name__", "http.requests"), ("a.b", "c"), ("ü", "ü")], float(1.0), float(7.0));
    put(&[("__name__", "http_requests")], float(1.0), float(8.0));
    for (i, name) in ["a_b", "a.b", "a__b", "a-b", "azb", "a😀b"].into_iter().enumerate() {
        put(&[("__name__", name)], float(1.0), float(if i % 2 == 0 { -0.0 } else { i as f64 }));
    }
    for (name, counts, reset) in [
        ("whole", Counts::Whole, Reset::Unknown),
        ("floats", Counts::Floats, Reset::Unknown),
        ("gauge", Counts::Whole, Reset::Gauge),
        ("float.gauge", Counts::Floats, Reset::Gauge),
    ] {
        let h = |at| Value::Histogram(histogram(counts, reset, at));
        // Of two float histograms of a gauge Prometheus says that they are of a counter.
        let before = if name == "float.gauge" { float(1.0) } else { h(2.0) };
        put(&[("__name__", name), ("x", "1")], before, h(5.0));
        put(&[("__name__", name), ("x", "2")], h(2.0), float(5.0));
        put(&[("__name__", name), ("x", "3")], float(1.0), h(7.0));
    }
    all
}

fn histogram(counts: Counts, reset: Reset, at: f64) -> Histogram {
    Histogram {
        counts,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: at,
        count: 6.0 * at + 3.0,
        sum_bits: (at * 2.5).to_bits(),
        reset,
        positive: [(0, at), (1, at * 2.0), (4, 1.0)].into(),
        negative: [(-2, at * 2.0), (7, 2.0)].into(),
        custom_bounds: Vec::new(),
    }
}

/// The samples of a page, each with its name and the type of its family, in one order.
fn samples(page: &Response) -> Vec<String> {
    assert_eq!(page.status, 200, "{}", page.text());
    let is_text = page.header("content-type").unwrap().starts_with("text/plain");
    let mut all: Vec<String> = if is_text {
        page.text().lines().map(sorted_labels).collect()
    } else {
        families::read_delimited(&page.body).unwrap().iter().flat_map(of_family).collect()
    };
    all.sort();
    all
}

/// The families of a page in their order, as often as they stand there.
fn families_in_order(page: &Response) -> Vec<String> {
    if page.header("content-type").unwrap().starts_with("text/plain") {
        return page.text().lines().filter(|l| l.starts_with("# TYPE")).map(str::to_owned).collect();
    }
    families::read_delimited(&page.body).unwrap().iter().map(|f| format!("{:?}", f.name)).collect()
}

fn of_family(family: &MetricFamily) -> impl Iterator<Item = String> {
    let of = format!("{:?} {:?} {:?}", family.name, family.help, family.r#type);
    family.metrics.iter().map(move |metric| {
        let mut metric = metric.clone();
        metric.labels.sort_by(|a, b| a.name.cmp(&b.name));
        format!("{of} {metric:?}")
    })
}

/// A line of text whose labels have one order.
fn sorted_labels(line: &str) -> String {
    let Some((name, rest)) = line.split_once('{') else { return line.to_owned() };
    let (labels, value) = rest.rsplit_once('}').unwrap();
    let mut labels: Vec<&str> = labels.split(',').collect();
    labels.sort_unstable();
    format!("{name}{labels:?}{value}")
}

/// Numbers to so many digits: there bounds of buckets come from a table whose last digits are not all right.
fn rounded(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => items.iter_mut().for_each(rounded),
        serde_json::Value::Object(members) => members.values_mut().for_each(rounded),
        serde_json::Value::String(text) => {
            if let Ok(number) = text.parse::<f64>() {
                *text = format!("{number:.12e}");
            }
        }
        _ => {}
    }
}

#[test]
fn whoever_asks_gets_the_page_that_prometheus_3_gives() {
    let Some(program) = peers::prometheus_3() else { return };
    let both = Both::start(program);
    let om = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8";
    let mut accepts: Vec<String> =
        ["", "*/*", "text/plain", "text/plain;version=0.0.4", om, "text/html,*/*;q=0.1"]
            .map(str::to_owned)
            .to_vec();
    for escaping in ["allow-utf-8", "underscores", "dots", "values", "nonsense"] {
        accepts.push(format!("text/plain;version=0.0.4;escaping={escaping}"));
        accepts.push(format!("text/plain;version=1.0.0;escaping={escaping}"));
        accepts.push(format!("{DELIMITED};escaping={escaping}"));
        accepts.push(format!("{om};q=0.5,{DELIMITED};escaping={escaping};q=0.6,*/*;q=0.1"));
        accepts.push(format!("{DELIMITED};escaping={escaping};q=0.2,text/plain;version=0.0.4;q=0.4"));
    }
    let mut seen = 0;
    for accept in &accepts {
        for path in
            [EVERYTHING, "/federate?match[]=whole&match[]=gauge", "/federate?match[]={%22http.requests%22}"]
        {
            let ask = |server: &Service| fetch(&server.url(path), &[("Accept", accept.as_str())]);
            let (theirs, ours) = (ask(&both.theirs), ask(&both.ours));
            assert_eq!(ours.header("content-type"), theirs.header("content-type"), "{accept}");
            assert_eq!(families_in_order(&ours), families_in_order(&theirs), "{path} for {accept}");
            let (their_samples, our_samples) = (samples(&theirs), samples(&ours));
            assert_eq!(our_samples, their_samples, "{path} for {accept}");
            seen += our_samples.len();
        }
    }
    assert!(seen > 300, "{seen}");
}

#[test]
fn a_prometheus_3_that_scrapes_the_page_answers_as_we_do() {
    let Some(program) = peers::prometheus_3() else { return };
    let both = Both::start(program.clone());
    let address = both.ours.address();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: federate\n  honor_labels: true\n  \
         metrics_path: /federate\n  params: {{'match[]': ['{{__name__=~\".+\"}}']}}\n  static_configs: \
         [{{targets: ['{address}']}}]\n"
    );
    let reader = peers::prometheus_at(program, &config, &[FLAGS[1], "--log.level=error"]);
    wait_for_value(&reader, "up{job=\"federate\"}", 1.0);
    let mut seen = 0;
    // Prometheus asks for no escaping in protocol buffers, and so it gets classic names.
    for query in [
        "m",
        "whole",
        "floats",
        "gauge",
        "http_requests{a_b=\"\"}",
        "histogram_count(whole)",
        "histogram_quantile(0.7, floats)",
        "sum by (x) (whole)",
    ] {
        let at = (both.at_ms / 1000).to_string();
        let result = |server: &Service| {
            let response = ask(server, "/api/v1/query", &[("query", query), ("time", &at)]);
            assert_eq!(response.status, 200, "{}", response.text());
            let mut series = json(&response)["data"]["result"].as_array().unwrap().clone();
            for one in &mut series {
                let metric = one["metric"].as_object_mut().unwrap();
                metric.remove("site");
                metric.retain(|name, value| name != "zone" || value != "z");
            }
            series.sort_by_key(|one| one["metric"].to_string());
            series.iter_mut().for_each(rounded);
            series
        };
        let (read, own) = (result(&reader), result(&both.ours));
        assert_eq!(read, own, "{query}");
        seen += read.iter().filter(|one| one.get("histogram").is_some()).count();
    }
    assert!(seen >= 8, "{seen}");
}
