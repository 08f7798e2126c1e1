//! A real Prometheus scrapes odd bodies: what it takes, we take, with the same series and values; what
//! it refuses, we refuse. And what we write, it takes.

#![allow(clippy::unwrap_used)]

use skopos_exposition::{Entry, Format, Parser, TextWriter};
use skopos_model::{LabelsBuilder, MetricType, TimestampMs, float::to_shortest_string};
use skopos_testkit::misbehaving::{Misbehaviour, Server};
use skopos_testkit::{peers, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

/// Series and values of one body; none when it is refused.
type Outcome = Option<BTreeSet<(BTreeMap<String, String>, String)>>;

/// Bodies of the classic format. Names in quotes are missing: the peer is older than they are.
const CLASSIC: &[&str] = &[
    "",
    "\n\n",
    "a 1",
    "a 1\n",
    "a",
    "a 1\nb\n",
    "a 1\n\nb 2\n",
    "a \t 1 \t \n",
    "a 1 123\n",
    "a 1 -123\n",
    "a 1 1.5\n",
    "a 1 1 1\n",
    "a 1 99999999999999999999\n",
    "a{} 1",
    "a{b=\"c\"}1\n",
    "a { b = \"c\" , d = \"e\" , } 2\n",
    "a{b=\"c\" d=\"e\"} 2\n",
    "a{b=\"c\",,d=\"e\"} 2\n",
    "a{,b=\"c\"} 2\n",
    "a{b=\"\"} 2\n",
    "a{b=\"x\ny\"} 2\n",
    "a{b=\"x\\ny\\\\z\\\"\\q\"} 2\n",
    "a{b=\"x\\\ny\"} 2\n",
    "a{b=\"}{#\"} 2\n",
    "a{b='c'} 2\n",
    "a{b=\"c} 2\n",
    "a{b=\"c\"\n} 2\n",
    "a{b:c=\"d\"} 2\n",
    "a{9=\"d\"} 2\n",
    "a{b=\"c\"} {d=\"e\"} 1\n",
    "a:b 1\n:c 2\n_d 3\n",
    "9a 1\n",
    "a.b 1\n",
    "{b=\"c\"} 1\n",
    "a NaN\nb +Inf\nc -Inf\nd inf\ne Infinity\nf nan\n",
    "a +NaN\n",
    "a 0x10\n",
    "a 0x1p3\n",
    "a 1_000\n",
    "a 1e400\n",
    "a 1e-400\nb 5.\nc .5\nd +1\ne 1E3\nf 00012\n",
    "a .\n",
    "a 1,5\n",
    "a 1\r\n",
    "a 0.30000000000000004\nb 123456789012345678901\nc 9007199254740993\nd 7.424100000000001e-05\n",
    "# HELP a b c\n# TYPE a counter\na 1\n",
    "# HELP a\n# TYPE a untyped\na 1\n",
    "# TYPE a\na 1\n",
    "# TYPE a unknown\na 1\n",
    "# TYPE a counter \na 1\n",
    "# TYPE a\tgauge\na 1\n",
    "#\t TYPE \ta gauge\na 1\n",
    "# HELP 9 x\na 1\n",
    "# HELP \na 1\n",
    "# HELP\na 1\n",
    "#HELP 9\n# comment\n#\na 1\n# EOF\nb 2\n",
    "# UNIT a b\na 1\n",
    "a 1 # {x=\"y\"} 1\n",
    "<html></html>\n",
];

/// Bodies of OpenMetrics. A comma behind the last label is missing: the peer is older than that, too.
const OPEN_METRICS: &[&str] = &[
    "",
    "# EOF",
    "# EOF\n",
    "# EOF\n\n",
    "# EOFa 1\n",
    "a 1\n",
    "a 1\n# EOF\n",
    "a 1\n# EOF\nb 1\n",
    "a 1\n\n# EOF\n",
    " a 1\n# EOF\n",
    "a  1\n# EOF\n",
    "a\t1\n# EOF\n",
    "a 1 \n# EOF\n",
    "a 1 123.5\n# EOF\n",
    "a 1 -1\n# EOF\n",
    "a 1 NaN\n# EOF\n",
    "a 1 1 1\n# EOF\n",
    "a{b=\"c\",d=\"e\"} 1\n# EOF\n",
    "a{b=\"c\", d=\"e\"} 1\n# EOF\n",
    "a{b=\"c\"d=\"e\"} 1\n# EOF\n",
    "a {b=\"c\"} 1\n# EOF\n",
    "a{b=\"c\"}1\n# EOF\n",
    "a{b=\"x\ny\"} 1\n# EOF\n",
    "a{b=\"x\\ny\\q\"} 1\n# EOF\n",
    "{b=\"c\"} 1\n# EOF\n",
    "# HELP a b\n# TYPE a gauge\na 1\n# EOF\n",
    "# HELP a\na 1\n# EOF\n",
    "# HELP a \na 1\n# EOF\n",
    "# comment\n# EOF\n",
    "#  TYPE a gauge\n# EOF\n",
    "# TYPE a untyped\n# EOF\n",
    "# TYPE a info\na_info{b=\"c\"} 1\n# EOF\n",
    "# TYPE a stateset\na{a=\"x\"} 1\n# EOF\n",
    "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\n# EOF\n",
    "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 # {x=\"y\"} 0.5\n# EOF\n",
    "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 1 # {x=\"y\",z=\"\"} 0.5 1.5\n# EOF\n",
    "# TYPE a counter\na_total 1 # {} 1\na_created 12.5\n# EOF\n",
    "# TYPE a counter\na_total 1 # {x=\"y\"}\n# EOF\n",
    "# TYPE a counter\na_total 1 # {x=y} 1\n# EOF\n",
    "# TYPE a counter\na_total 1 # {x=\"y\"} 1 NaN\n# EOF\n",
    "# TYPE a counter\na_total 1 # {x=\"y\"} 1 1 1\n# EOF\n",
    "# TYPE a counter\na_total 1 #\n# EOF\n",
    "# UNIT a_seconds seconds\na_seconds 1\n# EOF\n",
    "# UNIT a seconds\na 1\n# EOF\n",
    "# UNIT aseconds seconds\na 1\n# EOF\n",
    "# UNIT a \na 1\n# EOF\n",
    "a NaN\nb +Inf\n# EOF\n",
    "a 0x1p3\n# EOF\n",
    "a 1\r\n# EOF\n",
];

/// What `TextWriter` makes of every type and of texts that need escapes.
fn written(format: Format) -> String {
    let mut out = Vec::new();
    let mut w = TextWriter::new(format, &mut out);
    w.family("requests_total", MetricType::Counter, "a \"b\" \\ c\nd").unwrap();
    w.sample("", &[("path", "C:\\\"x\"\nü")], 12.5).unwrap();
    w.sample_at("", &[], 1e21, TimestampMs::new(1_700_000_000_123)).unwrap();
    for (name, metric_type) in [
        ("forks", MetricType::Counter),
        ("g", MetricType::Gauge),
        ("u", MetricType::Unknown),
        ("s", MetricType::StateSet),
        ("build_info", MetricType::Info),
        ("q", MetricType::Summary),
    ] {
        w.family(name, metric_type, "").unwrap();
        w.sample("", &[("a", "b")], f64::INFINITY).unwrap();
    }
    for (name, metric_type, sum, count) in [
        ("h", MetricType::Histogram, "_sum", "_count"),
        ("gh", MetricType::GaugeHistogram, "_gsum", "_gcount"),
    ] {
        w.family(name, metric_type, "H").unwrap();
        w.sample("_bucket", &[("le", "1")], 2.0).unwrap();
        w.sample("_bucket", &[("le", "+Inf")], 3.0).unwrap();
        w.sample(sum, &[], f64::NAN).unwrap();
        w.sample(count, &[], -0.0).unwrap();
    }
    w.finish();
    String::from_utf8(out).unwrap()
}

fn ours(format: Format, body: &str) -> Outcome {
    let mut samples = BTreeSet::new();
    let mut builder = LabelsBuilder::default();
    for entry in Parser::new(format, body.as_bytes()) {
        if let Entry::Sample(sample) = entry.ok()? {
            builder.clear();
            sample.series.labels_into(&mut builder).ok()?;
            let labels = builder.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            samples.insert((labels, to_shortest_string(sample.value)));
        }
    }
    Some(samples)
}

/// The answer to an instant query: labels and value of each series.
fn query(
    prometheus: &skopos_testkit::service::Service,
    selector: &str,
) -> Vec<(BTreeMap<String, String>, String)> {
    let answer = prometheus.get(&format!("/api/v1/query?query={selector}")).text();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let series = answer["data"]["result"].as_array().unwrap().iter();
    let read = |series: &serde_json::Value| {
        let labels = series["metric"].as_object().unwrap().iter();
        let labels = labels.map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned()));
        (labels.collect(), series["value"][1].as_str().unwrap().to_owned())
    };
    series.map(read).collect()
}

#[test]
fn prometheus_takes_and_refuses_the_same_bodies() {
    let mut bodies: Vec<(Format, String)> = Vec::new();
    bodies.extend(CLASSIC.iter().map(|body| (Format::Text, (*body).to_owned())));
    bodies.extend(OPEN_METRICS.iter().map(|body| (Format::OpenMetrics, (*body).to_owned())));
    bodies.extend([Format::Text, Format::OpenMetrics].map(|format| (format, written(format))));
    let serve = |(format, body): &(Format, String)| {
        let content_type = format.content_type().to_owned();
        Server::start([Misbehaviour::Answers { status: 200, content_type, body: body.clone().into_bytes() }])
    };
    let servers: Vec<Server> = bodies.iter().map(serve).collect();
    let mut config =
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n- job_name: odd\n  \
                      honor_timestamps: false\n  static_configs:\n"
            .to_owned();
    for (number, server) in servers.iter().enumerate() {
        let address = server.address();
        writeln!(config, "  - targets: ['{address}']\n    labels: {{case: '{number}'}}").unwrap();
    }
    let prometheus = peers::prometheus(&config, &[]);
    let up = wait_until("a scrape of every body", Duration::from_secs(60), || {
        let up = query(&prometheus, "up");
        (up.len() == bodies.len()).then_some(up)
    });
    let mut theirs: BTreeMap<usize, Outcome> = BTreeMap::new();
    for (labels, value) in up {
        theirs.insert(labels["case"].parse().unwrap(), (value == "1").then(BTreeSet::new));
    }
    for (mut labels, value) in query(&prometheus, "{job=\"odd\",__name__!~\"up|scrape_.*\"}") {
        let number: usize = labels.remove("case").unwrap().parse().unwrap();
        labels.remove("job");
        labels.remove("instance");
        let value = to_shortest_string(value.parse().unwrap());
        theirs.get_mut(&number).unwrap().as_mut().unwrap().insert((labels, value));
    }
    let mut differences = String::new();
    for (number, (format, body)) in bodies.iter().enumerate() {
        let (ours, theirs) = (ours(*format, body), &theirs[&number]);
        if ours != *theirs {
            writeln!(differences, "{format:?} {body:?}\n  ours:   {ours:?}\n  theirs: {theirs:?}").unwrap();
        }
    }
    assert_eq!(differences, "");
    let accepted = theirs.values().filter(|outcome| outcome.is_some()).count();
    assert!(accepted > 40 && theirs.len() - accepted > 40, "both happen: {accepted} of {}", theirs.len());
    assert!(theirs[&(bodies.len() - 1)].is_some() && theirs[&(bodies.len() - 2)].is_some(), "what we write");
}
