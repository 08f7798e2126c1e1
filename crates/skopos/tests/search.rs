//! `/api/v1/search/…`: lines of JSON with the names that fit, as Prometheus 3.14 writes them.

use crate::support::{ask, encoded, json, server, server_scraping, wait_for_value};
use serde_json::{Value, json};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    service::Service,
};

const BODY: &str = "# HELP node_cpu_seconds_total Time.\n# TYPE node_cpu_seconds_total counter\n\
    node_cpu_seconds_total{mode=\"user\"} 1\nnode_cpu_seconds_total{mode=\"idle\"} 2\nnode_load1 3\n\
    go_goroutines{Zone=\"a\"} 4\nlast 1\n";

/// What is asked with which parameters, the names that come, and whether there are more.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str], bool);

/// The lines of an answer; the last one says how it ended.
fn lines(server: &Service, path: &str, params: &[(&str, &str)]) -> Vec<Value> {
    let response = ask(server, &format!("/api/v1/search/{path}"), params);
    assert_eq!(response.status, 200, "{path} {params:?}: {}", response.text());
    assert_eq!(response.header("content-type"), Some("application/x-ndjson; charset=utf-8"));
    response.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The names of all lines, and whether there are more.
fn names(server: &Service, path: &str, params: &[(&str, &str)]) -> (Vec<String>, bool) {
    let mut lines = lines(server, path, params);
    let end = lines.pop().unwrap();
    assert_eq!(end["status"], "success", "{end}");
    let results = lines.iter().flat_map(|line| line["results"].as_array().unwrap());
    let names = results.map(|found| found["name"].as_str().unwrap().to_owned()).collect();
    (names, end["has_more"].as_bool().unwrap())
}

#[test]
fn names_and_values_are_found_by_parts_of_them_in_the_order_that_is_wanted() {
    let target = Server::start([Misbehaviour::text(BODY)]);
    let server = server_scraping(&target, "1s").start();
    wait_for_value(&server, "last", 1.0);
    let (metrics, labels, values) = ("metric_names", "label_names", "label_values");
    let cases: &[Case] = &[
        (metrics, &[("search[]", "node_")], &["node_cpu_seconds_total", "node_load1"], false),
        (metrics, &[("search[]", "ncst")], &["node_cpu_seconds_total"], false),
        (metrics, &[("search[]", "ncst"), ("fuzz_threshold", "90")], &[], false),
        (metrics, &[("search[]", "load"), ("fuzz_alg", "jarowinkler")], &["node_load1"], false),
        (metrics, &[("search[]", "laod"), ("fuzz_alg", "jarowinkler")], &[], false),
        (
            metrics,
            &[("search[]", "go_gorotuines"), ("fuzz_alg", "jarowinkler"), ("fuzz_threshold", "90")],
            &["go_goroutines"],
            false,
        ),
        (
            metrics,
            &[("match[]", "{mode=\"user\"}"), ("match[]", "last"), ("sort_by", "alpha"), ("sort_dir", "dsc")],
            &["node_cpu_seconds_total", "last"],
            false,
        ),
        (
            metrics,
            &[("search[]", "o"), ("match[]", "{__name__=~\"node.*|go.*\"}"), ("limit", "1")],
            &["go_goroutines"],
            true,
        ),
        (
            metrics,
            &[("search[]", "load"), ("search[]", "go_"), ("sort_by", "score")],
            &["go_goroutines", "node_load1"],
            false,
        ),
        (labels, &[("search[]", "zone")], &[], false),
        (labels, &[("search[]", "zone"), ("case_sensitive", "false")], &["Zone"], false),
        (labels, &[("match[]", "last")], &["__name__", "instance", "job"], false),
        (values, &[("label", "mode")], &["idle", "user"], false),
        (values, &[("label", "none")], &[], false),
        (metrics, &[("end", "1000"), ("start", "0")], &[], false),
    ];
    for (path, params, expected, has_more) in cases {
        let expected = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(names(&server, path, params), (expected, *has_more), "{path} {params:?}");
    }
    let params =
        [("search[]", "node"), ("batch_size", "1"), ("include_metadata", "1"), ("include_score", "1")];
    let found = lines(&server, metrics, &params);
    let cpu = json!({"name": "node_cpu_seconds_total", "score": 1, "type": "counter", "help": "Time."});
    assert_eq!(found[0], json!({"results": [cpu]}));
    assert_eq!(found[1]["results"][0]["name"], "node_load1");
    assert_eq!(found[2..], [json!({"status": "success", "has_more": false})]);
    let text = ask(&server, "/api/v1/search/metric_names", &params).text();
    assert!(
        text.starts_with("{\"results\":[{\"name\":\"node_cpu_seconds_total\",\"score\":1,\"type\":"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_searched_is_refused_before_the_first_line() {
    let server = server().start();
    for (path, query, said) in [
        ("label_values", "", "missing required parameter \"label\""),
        ("metric_names", "fuzz_threshold=101", "invalid fuzz_threshold \"101\": must be 0-100"),
        ("metric_names", "fuzz_alg=soundex", "unsupported fuzz_alg"),
        ("metric_names", "case_sensitive=perhaps", "case_sensitive"),
        ("metric_names", "sort_dir=asc", "sort_dir is only valid when sort_by is set"),
        ("metric_names", "sort_by=score", "sort_by=score requires search[] to be set"),
        ("metric_names", "sort_by=score&sort_dir=asc&search[]=x", "not supported for sort_by=score"),
        ("label_names", "sort_by=size", "invalid sort_by"),
        ("label_names", "sort_by=alpha&sort_dir=desc", "invalid sort_dir"),
        ("label_names", "limit=-1", "limit"),
        ("label_names", &format!("match[]={}", encoded("{")), "match[]"),
    ] {
        let response = server.get(&format!("/api/v1/search/{path}?{query}"));
        assert_eq!(response.status, 400, "{query}: {}", response.text());
        let answer = json(&response);
        assert_eq!(answer["errorType"], "bad_data", "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(said), "{query}: {answer}");
    }
}
