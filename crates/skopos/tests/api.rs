//! Every endpoint over HTTP: status codes, errors and the shape of the JSON, beside Debian's Prometheus
//! where it has the same endpoint. Differences that are meant stand in the tables.

use crate::support::{self, PATIENCE, ask, encoded, fetch, json, server, wait_for_value};
use serde_json::Value;
use skopos_exposition::{Entry, Format, Parser};
use skopos_testkit::{
    http::{self, Response},
    misbehaving::{Misbehaviour, Server},
    peers,
    service::Service,
    wait_until,
};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
    sync::LazyLock,
};

const BODY: &str = "# TYPE m counter\nm{a=\"1\"} 1\nm{a=\"2\"} 2\nspecial NaN\nspecial{l=\"<&\\\"\"} +Inf\n";

/// A target, and both programs that have scraped it.
struct Peers {
    _target: Server,
    prometheus: Service,
    ours: Service,
}

fn start(target: &Server, flags: &[&str]) -> Service {
    let config = config(target);
    flags.iter().fold(server().config(&config), |server, flag| server.flag(flag)).start()
}

fn config(target: &Server) -> String {
    format!(
        "global: {{scrape_interval: 1s, external_labels: {{site: x}}}}\nscrape_configs:\n- job_name: j\n  \
         static_configs: [{{targets: ['{}']}}]\n",
        target.address()
    )
}

fn peers() -> Peers {
    let target = Server::start([Misbehaviour::text(BODY)]);
    let prometheus =
        peers::prometheus(&config(&target), &["--log.level=error", "--enable-feature=promql-per-step-stats"]);
    let ours = start(&target, &[]);
    for server in [&prometheus, &ours] {
        wait_for_value(server, "count(m)", 2.0);
    }
    Peers { _target: target, prometheus, ours }
}

/// All paths of an answer at which something stands, with its kind: `/data/result/[]/metric/a: string`.
pub(crate) fn shape(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                out.insert(format!("{path}: object"));
                for (key, value) in map {
                    walk(value, &format!("{path}/{key}"), out);
                }
            }
            Value::Array(list) => {
                out.insert(format!("{path}: list"));
                for value in list {
                    walk(value, &format!("{path}/[]"), out);
                }
            }
            Value::Null => drop(out.insert(format!("{path}: null"))),
            Value::Bool(_) => drop(out.insert(format!("{path}: bool"))),
            Value::Number(_) => drop(out.insert(format!("{path}: number"))),
            Value::String(_) => drop(out.insert(format!("{path}: string"))),
        }
    }
    let mut out = BTreeSet::new();
    walk(value, "", &mut out);
    out
}

/// Requests that both answer with the same status and an answer of the same shape; of an error, with the same
/// type.
const SAME: &[&str] = &[
    "/api/v1/query?query=m",
    "/api/v1/query?query=special",
    "/api/v1/query?query=m[1m]",
    "/api/v1/query?query=none",
    "/api/v1/query?query=1%2B1",
    "/api/v1/query?query=%22text%22",
    "/api/v1/query?query=m&time=1.5",
    "/api/v1/query?query=m&time=2026-01-01T00:00:00Z",
    "/api/v1/query?query=m&timeout=10s",
    "/api/v1/query",
    "/api/v1/query?query=",
    "/api/v1/query?query=sum(",
    "/api/v1/query?query=m&time=yesterday",
    "/api/v1/query?query=m&timeout=soon",
    "/api/v1/query?query=m%2Bon(j)m",
    "/api/v1/query?query=m&stats=all",
    "/api/v1/query?query=m&stats=1&dedup=true&partial_response=false",
    "/api/v1/query?query=m&lookback_delta=1m",
    "/api/v1/query_range?query=m&start=1&end=2&step=1&stats=true",
    "/api/v1/query_range?query=m&start=1&end=2&step=1",
    "/api/v1/query_range?query=1&start=1&end=2&step=1",
    "/api/v1/query_range?query=m&start=2026-01-01T00:00:00Z&end=2026-01-01T00:01:00Z&step=15s",
    "/api/v1/query_range?query=m&end=2&step=1",
    "/api/v1/query_range?query=m&start=1&step=1",
    "/api/v1/query_range?query=m&start=1&end=2",
    "/api/v1/query_range?start=1&end=2&step=1",
    "/api/v1/query_range?query=m&start=2&end=1&step=1",
    "/api/v1/query_range?query=m&start=1&end=2&step=0",
    "/api/v1/query_range?query=m&start=1&end=2&step=-1",
    "/api/v1/query_range?query=m&start=1&end=2&step=x",
    "/api/v1/query_range?query=m&start=1&end=20000&step=1",
    "/api/v1/query_range?query=m[1m]&start=1&end=2&step=1",
    "/api/v1/series?match[]=m",
    "/api/v1/series?match[]=m&match[]=up",
    "/api/v1/series?match[]=none",
    "/api/v1/series?match[]={a=~%22.%2B%22}",
    "/api/v1/series",
    "/api/v1/series?match[]={}",
    "/api/v1/series?match[]={a=~%22.*%22}",
    "/api/v1/series?match[]=sum(m)",
    "/api/v1/labels",
    "/api/v1/labels?match[]=m",
    "/api/v1/labels?match[]=m{",
    "/api/v1/labels?start=x",
    "/api/v1/label/a/values",
    "/api/v1/label/a/values?match[]=m{a=%221%22}",
    "/api/v1/label/none/values",
    "/api/v1/label/a/values?match[]=1",
    "/api/v1/targets",
    "/api/v1/targets?state=active",
    "/api/v1/targets?state=dropped",
    "/api/v1/targets/metadata",
    "/api/v1/targets/metadata?metric=m",
    "/api/v1/targets/metadata?metric=none",
    "/api/v1/targets/metadata?limit=0",
    "/api/v1/targets/metadata?limit=x",
    "/api/v1/targets/metadata?match_target={job=%22j%22}",
    "/api/v1/targets/metadata?match_target={job=%22other%22}",
    "/api/v1/targets/metadata?match_target={",
    "/api/v1/metadata",
    "/api/v1/metadata?limit=0",
    "/api/v1/metadata?limit=-1",
    "/api/v1/metadata?limit=x",
    "/api/v1/metadata?metric=m",
    "/api/v1/metadata?metric=none",
    "/api/v1/format_query?query=sum(m)by(a)",
    "/api/v1/format_query?query=sum(",
    "/api/v1/format_query",
    "/api/v1/query_exemplars?query=m",
    "/api/v1/query_exemplars?query=m&start=2&end=1",
    "/api/v1/query_exemplars?query=m&start=x",
    "/api/v1/query_exemplars?query=m%2B",
    "/api/v1/query_exemplars",
    "/api/v1/rules",
    "/api/v1/rules?type=alert",
    "/api/v1/rules?type=x",
    "/api/v1/alerts",
    "/api/v1/alertmanagers",
    "/api/v1/scrape_pools",
    "/api/v1/status/config",
    "/api/v1/status/runtimeinfo",
    "/api/v1/status/tsdb",
    "/api/v1/status/walreplay",
];

#[test]
fn answers_have_the_status_and_shape_of_prometheus() {
    let peers = peers();
    for path in SAME {
        let (theirs, ours) = (peers.prometheus.get(path), peers.ours.get(path));
        assert_eq!(ours.status, theirs.status, "{path}: {} / {}", theirs.text(), ours.text());
        assert_eq!(ours.header("content-type"), Some("application/json"), "{path}");
        let (their_json, our_json) = (json(&theirs), json(&ours));
        assert_eq!(our_json["errorType"], their_json["errorType"], "{path}: {}", ours.text());
        let (their_shape, our_shape) = (shape(&their_json), shape(&our_json));
        let missing: Vec<_> = their_shape.difference(&our_shape).collect();
        assert!(missing.is_empty(), "{path} lacks {missing:?}: {}", ours.text());
        let extra: Vec<_> =
            our_shape.difference(&their_shape).filter(|p| !is_newer(p) && !is_ours(p)).collect();
        assert!(extra.is_empty(), "{path} has {extra:?} and should not: {}", ours.text());
    }
}

/// What later versions than the peer say too; ours is as they are.
fn is_newer(path: &str) -> bool {
    ["droppedTargetCounts", "hostname", "serverTime", "GOMEMLIMIT"].iter().any(|newer| path.contains(newer))
}

/// What no other server says: the statistics of each operator, for who asks for all of them.
fn is_ours(path: &str) -> bool {
    // Those of 3.13 and later among them.
    path.starts_with("/data/stats/samples/samplesRead") || path.starts_with("/data/stats/operators")
}

#[test]
fn answers_have_the_content_of_prometheus() {
    let peers = peers();
    for path in [
        "/api/v1/query?query=sort(m)*2",
        "/api/v1/query?query=special",
        "/api/v1/series?match[]={__name__=~%22m|special%22}",
        "/api/v1/labels",
        "/api/v1/labels?match[]=m",
        "/api/v1/label/__name__/values",
        "/api/v1/label/l/values",
        "/api/v1/label/a/values?match[]=m{a=%222%22}",
        "/api/v1/metadata",
        "/api/v1/targets/metadata",
        "/api/v1/targets/metadata?metric=m",
        "/api/v1/scrape_pools",
        "/api/v1/format_query?query=sum(rate(m[5m]))by(a)/ignoring(a)group_left%20count(m%20offset%201h)",
    ] {
        // Values of samples are `[time, text]`; the time of "now" is each program's own.
        let data = |server: &Service| {
            let mut data = json(&server.get(path))["data"].clone();
            let result = data.get_mut("result").and_then(Value::as_array_mut);
            for series in result.into_iter().flatten() {
                series["value"][0] = Value::Null;
            }
            data
        };
        assert_eq!(data(&peers.ours), data(&peers.prometheus), "{path}");
    }
    let active = |server: &Service| {
        let mut target = json(&server.get("/api/v1/targets"))["data"]["activeTargets"][0].clone();
        for own in ["lastScrape", "lastScrapeDuration", "globalUrl"] {
            target[own] = Value::Null;
        }
        target
    };
    assert_eq!(active(&peers.ours), active(&peers.prometheus), "the target");
    assert_eq!(head_of(&peers.ours), head_of(&peers.prometheus), "what the head consists of");
}

/// What `status/tsdb` says, without what each program has of its own: times, and which of equal entries it
/// lists.
fn head_of(server: &Service) -> Value {
    let mut data = json(&server.get("/api/v1/status/tsdb"))["data"].clone();
    // The peer counts the bytes of each different value once, ours as Prometheus 3.5 does: for each series
    // those of name and value with two more.
    let bytes = data["memoryInBytesByLabelName"].take();
    assert_eq!(bytes.as_array().map(Vec::len), Some(5), "{bytes}");
    for own in ["minTime", "maxTime"] {
        let time = data["headStats"][own].take();
        assert!(time.as_i64().is_some_and(|ms| ms > 1_600_000_000_000), "{own}: {time}");
    }
    for list in data.as_object_mut().unwrap().values_mut().filter_map(Value::as_array_mut) {
        let count = |entry: &Value| entry["value"].as_u64().unwrap();
        assert!(list.is_sorted_by_key(|entry| std::cmp::Reverse(count(entry))), "{list:?}");
        let least = list.last().map(count);
        let is_full = list.len() == 10;
        for entry in list.iter_mut().filter(|entry| is_full && Some(count(entry)) == least) {
            entry["name"] = Value::Null;
        }
        list.sort_by_key(|entry| (std::cmp::Reverse(count(entry)), entry["name"].to_string()));
    }
    data
}

/// Requests that ours answers in its own way: the path, the status, and a part of the answer.
const OURS: &[(&str, u16, &str)] = &[
    ("/api/v1/query?query=sum(", 400, r#"invalid parameter \"query\": 1:5: parse error"#),
    ("/api/v1/query", 400, r#"invalid parameter \"query\": 1:1: parse error: no expression found in input"#),
    ("/federate?dedup=x", 400, "invalid parameter \"dedup\": write true or false\n"),
    (
        "/api/v1/query?query=m&time=x",
        400,
        r#"invalid parameter \"time\": cannot parse \"x\" to a valid timestamp"#,
    ),
    ("/api/v1/query?query=m&limit=1", 200, r#""warnings":["results truncated due to limit"]"#),
    ("/api/v1/query?query=m&lookback_delta=x", 400, r#"invalid parameter \"lookback_delta\": "#),
    ("/api/v1/query?query=m&lookback_delta=1ms&time=1", 200, r#""result":[]"#),
    ("/api/v1/targets/relabel_steps?scrapePool=j&labels={}", 200, r#"{"steps":[]}"#),
    ("/api/v1/targets/relabel_steps?scrapePool=j", 400, "no labels parameter provided"),
    ("/api/v1/targets/relabel_steps?scrapePool=x&labels={}", 400, "unknown scrape pool"),
    ("/api/v1/query?query=m&limit=x", 400, r#"invalid parameter \"limit\": "#),
    ("/api/v1/query?query=m&timeout=0.0001", 503, r#""errorType":"timeout""#),
    (
        "/api/v1/query_range?query=m&start=1&end=20000&step=1",
        400,
        "exceeded maximum resolution of 11,000 points",
    ),
    ("/api/v1/query_range?query=m&start=1&end=9e18&step=1", 400, r#"invalid parameter \"end\": "#),
    (
        "/api/v1/series?match[]={__name__=~%22m%22}&limit=1",
        200,
        r#""warnings":["results truncated due to limit"]"#,
    ),
    (
        "/api/v1/label/%FF/values",
        400,
        r#""errorType":"bad_data","error":"invalid label name: it is not UTF-8""#,
    ),
    ("/version", 200, r#"{"version":"3.14.0",""#),
    ("/api/v1/label/U__with_2e_dot/values", 200, r#"{"status":"success","data":[]}"#),
    ("/api/v1/targets?state=gone", 200, r#""activeTargets":[]"#),
    ("/api/v1/targets?scrapePool=other", 200, r#""activeTargets":[]"#),
    ("/api/v1/status/buildinfo", 200, r#""application":"Skopos""#),
    ("/api/v1/status/config", 200, r"scrape_interval: 1s"),
    (
        "/api/v1/status/tsdb?limit=1",
        200,
        r#""seriesCountByMetricName":[{"name":"m","value":2}],"labelValueCountByLabelName":[{"#,
    ),
    (
        "/api/v1/status/tsdb?limit=x",
        400,
        r#"invalid parameter \"limit\": cannot parse \"x\": write a whole number"#,
    ),
    ("/api/v1/status/tsdb?limit=10001", 400, r#"invalid parameter \"limit\": it is more than 10000"#),
    (
        "/api/v1/nothing",
        404,
        r#"{"status":"error","errorType":"not_found","error":"there is no endpoint /api/v1/nothing"}"#,
    ),
    ("/api/v1/a/b", 404, r#""errorType":"not_found""#),
    ("/api/v1/", 404, ""),
    ("/api/v1", 404, ""),
    ("/-/healthy", 200, "Skopos is healthy."),
    ("/-/ready", 200, "Skopos is ready."),
    ("/nothing/here.js", 404, "There is nothing at /nothing/here.js"),
    ("/../../etc/passwd", 301, ""),
    ("/etc/passwd", 404, "There is nothing at /etc/passwd"),
];

#[test]
fn our_own_answers_say_what_is_wrong() {
    let target = Server::start([Misbehaviour::text(BODY)]);
    let server = start(&target, &[]);
    wait_for_value(&server, "count(m)", 2.0);
    for (path, status, part) in OURS {
        let response = server.get(path);
        assert_eq!(response.status, *status, "{path}: {}", response.text());
        assert!(response.text().contains(part), "{path}: {}", response.text());
    }
    let deleted = http::request("DELETE", &server.url("/api/v1/query"), &[], &[]).unwrap();
    assert_eq!((deleted.status, &json(&deleted)["errorType"]), (405, &Value::from("method_not_allowed")));
    let graph = server.get("/graph?g0.expr=up&g0.tab=1");
    assert_eq!((graph.status, graph.header("location")), (302, Some("query?g0.expr=up&g0.tab=1")));
    assert_eq!(server.get("/query?g0.expr=up").body, server.get("/").body);
    let zipped = fetch(&server.url("/api/v1/query?query=m"), &[("Accept-Encoding", "gzip")]);
    assert_eq!(zipped.header("content-encoding"), Some("gzip"));
}

#[test]
fn a_form_says_the_same_as_the_address() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let target = Server::start([Misbehaviour::text(BODY)]);
    let server = start(&target, &[]);
    wait_for_value(&server, "count(m)", 2.0);
    let post = |path: &str, form: &str| http::post(&server.url(path), FORM, form.as_bytes()).unwrap();
    for (path, form) in [
        ("/api/v1/query", "query=m&time=1".to_owned()),
        ("/api/v1/query_range", format!("query={}&start=1&end=9&step=4", encoded("sum by (a) (m)"))),
        ("/api/v1/series", "match%5B%5D=m&match%5B%5D=up".to_owned()),
        ("/api/v1/labels", "match[]=m".to_owned()),
        ("/api/v1/query", "query=sum(".to_owned()),
    ] {
        let (posted, got) = (post(path, &form), server.get(&format!("{path}?{form}")));
        assert_eq!((posted.status, posted.text()), (got.status, got.text()), "{path} {form}");
    }
    let both = json(&post("/api/v1/query?time=77", "query=vector(1)"));
    assert_eq!(both["data"]["result"][0]["value"][0], 77);
    assert_eq!(too_long_a_form(&server), 400);
    let long = post("/api/v1/query", &format!("query={}1", "1%2B".repeat(20_000)));
    assert!([200, 400].contains(&long.status), "{}", long.status);
    assert_eq!(server.get("/-/healthy").status, 200, "a query of great depth ends nothing");
}

/// The status for a form that says it is longer than allowed. The answer comes before its body.
fn too_long_a_form(server: &Service) -> u16 {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n\r\nquery=1";
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = String::new();
    BufReader::new(&stream).read_line(&mut first).unwrap();
    first.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn limits_are_errors_with_their_name() {
    let body: String = (0..3000).map(|i| format!("m{{i=\"{i}\"}} 1\n")).collect();
    let target = Server::start([Misbehaviour::text(&body)]);
    let [samples, series] =
        ["--query.max-samples=10000", "--query.max-series=20"].map(|flag| start(&target, &[flag]));
    wait_for_value(&series, "m{i=\"1\"}", 1.0);
    let limited = |server: &Service, query: &str, name: &str| {
        let response = ask(server, "/api/v1/query", &[("query", query)]);
        assert_eq!(response.status, 422, "{query}: {}", response.text());
        let answer = json(&response);
        assert_eq!(answer["errorType"], "execution");
        assert!(answer["error"].as_str().unwrap().contains(name), "{answer}");
    };
    limited(&series, "count(m)", "query.max-series = 20");
    let too_many = || ask(&samples, "/api/v1/query", &[("query", "m[5m]")]).status == 422;
    wait_until("more than ten thousand samples", PATIENCE, || too_many().then_some(()));
    limited(&samples, "m[5m]", "query.max-samples = 10000");
    assert_eq!(support::value(&samples, "m{i=\"1\"}"), Some(1.0), "smaller queries go on");
}

#[test]
fn own_metrics_name_what_has_the_most_series() {
    let of = |name: &str, n: usize| (0..n).map(|i| format!("{name}{{i=\"{i}\"}} 1\n")).collect::<String>();
    let target = Server::start([Misbehaviour::text(&(of("many", 700) + &of("some", 300)))]);
    let server = start(&target, &[]);
    wait_for_value(&server, "some{i=\"1\"}", 1.0);
    let text = server.get("/metrics").text();
    for line in [
        "skopos_tsdb_head_metric_series{metric=\"many\"} 700",
        "skopos_tsdb_head_metric_series{metric=\"some\"} 300",
        "skopos_tsdb_head_label_values{label=\"i\"} 700",
        "skopos_tsdb_head_pair_series{pair=\"__name__=many\"} 700",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is missing: {text}");
    }
    let largest: Vec<&str> =
        text.lines().filter(|line| line.starts_with("skopos_tsdb_head_metric_series{")).take(2).collect();
    assert!(largest[0].contains("many") && largest[1].contains("some"), "{largest:?}");
}

#[test]
fn own_metrics_are_read_by_our_parser_and_pass_promtools_checks() {
    static EMPTY: LazyLock<Server> = LazyLock::new(|| Server::start([Misbehaviour::text("")]));
    let server = start(&EMPTY, &[]);
    // Something for the metrics of requests to count, errors too.
    for path in ["/api/v1/query?query=1", "/api/v1/query", "/nothing"] {
        let _counted: Response = server.get(path);
    }
    let text = server.get("/metrics");
    assert_eq!(text.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let open = fetch(&server.url("/metrics"), &[("Accept", "application/openmetrics-text;version=1.0.0")]);
    let kind = open.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let names = [(Format::Text, &text), (Format::OpenMetrics, &open)].map(|(format, response)| {
        let mut names = BTreeSet::new();
        for entry in Parser::new(format, &response.body) {
            if let Entry::Sample(sample) = entry.unwrap_or_else(|e| panic!("{e}:\n{}", response.text())) {
                let series = String::from_utf8_lossy(sample.series.as_bytes()).into_owned();
                assert!(names.insert(series.clone()), "{series} stands twice");
            }
        }
        names
    });
    for name in [
        "prometheus_tsdb_head_series",
        "process_resident_memory_bytes",
        "prometheus_http_requests_total{handler=\"/api/v1/query\",code=\"400\"}",
        "skopos_scrapes_total",
        "skopos_tsdb_head_label_pairs",
        "skopos_tsdb_memory_budget_bytes",
        "prometheus_tsdb_exemplar_max_exemplars",
    ] {
        assert!(names.iter().all(|all| all.contains(name)), "{name} is missing: {names:?}");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed; run `cargo xtask setup`");
    // A name of Prometheus' own that its tool does not like.
    let its_own = "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total";
    let lines: Vec<String> =
        text.text().lines().filter(|line| !line.contains(its_own)).map(|line| format!("{line}\n")).collect();
    promtool.stdin.take().unwrap().write_all(lines.concat().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "");
}
