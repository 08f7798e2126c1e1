//! The Pushgateway's API: each request to Debian's and to ours, what both show then, and what becomes of a
//! group in the server: it is scraped, it goes when its time is over, and it survives a kill.

use crate::support::{PATIENCE, json, server, value, wait_for_value};
use serde_json::Value;
use skopos_testkit::{
    http::{self, Response},
    peers,
    service::Service,
    skopos::Skopos,
    wait_until,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
};

const CONFIG: &str = "global: {scrape_interval: 200ms}\n";

fn gateway() -> Skopos {
    server().config(CONFIG).flag("--push.enable=pushgateway").flag("--web.enable-admin-api")
}

fn ask(server: &Service, method: &str, path: &str, body: &[u8]) -> Response {
    http::request(method, &server.url(path), &[], body).unwrap()
}

/// Requests in their order: method, path, body.
const REQUESTS: [(&str, &str, &str); 30] = [
    ("PUT", "/metrics/job/a", "# TYPE m counter\n# HELP m What it is.\nm{l=\"x\"} 1\nn 2.5\n"),
    ("POST", "/metrics/job/a", "n 3\n"),
    ("PUT", "/metrics/job/a/instance/i", "m{l=\"x\"} 1\n"),
    ("PUT", "/metrics/job/a/instance/i", "# TYPE m counter\nm{l=\"x\",job=\"other\",instance=\"k\"} 7\n"),
    ("PUT", "/metrics/job/b/x/y/z/1", "o 1\n"),
    ("PUT", "/metrics/job@base64/Yi9j/x@base64/4pyT", "o 2\n"),
    ("PUT", "/metrics/job@base64/ZA==/other@base64/eA", "o 3\n"),
    ("PUT", "/metrics/job/with%20blank", "o 4\n"),
    (
        "PUT",
        "/metrics/job/h",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",
    ),
    ("PUT", "/metrics/job/s", "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\n"),
    ("PUT", "/metrics/job/e", ""),
    ("POST", "/metrics/job/e2", ""),
    ("PUT", "/metrics/job@base64/=", "o 1\n"),
    ("PUT", "/metrics/job@base64/!", "o 1\n"),
    ("PUT", "/metrics/job/a/x", "o 1\n"),
    ("PUT", "/metrics/job/a/x-y/z", "o 1\n"),
    ("PUT", "/metrics/job/a/__x/z", "o 1\n"),
    ("PUT", "/metrics/job/a/x@base64/!", "o 1\n"),
    ("PUT", "/metrics/job/t", "o 1 1700000000000\n"),
    ("PUT", "/metrics/job/t2", "o{ 1\n"),
    ("PUT", "/metrics/job/t3", "o 1"),
    ("PUT", "/metrics/job/c", "# TYPE m gauge\nm 1\n"),
    ("PUT", "/metrics/job/d", "dup 1\ndup 1\n"),
    ("PUT", "/metrics/job/u", "push_time_seconds 7\no 9\n"),
    ("DELETE", "/metrics/job/a", ""),
    ("DELETE", "/metrics/job/not-there", ""),
    ("DELETE", "/metrics/job/b/x/y/z/1", ""),
    ("GET", "/metrics/job/a", ""),
    ("PUT", "/api/v1/metrics", ""),
    ("POST", "/metrics/job/a/instance/i", "# TYPE q gauge\nq NaN\nr +Inf\n"),
];

/// Later Pushgateways than Debian's take snappy.
#[test]
fn a_body_may_be_compressed_by_snappy() {
    let server = gateway().start();
    let block = snap::raw::Encoder::new().compress_vec(b"m 7\n").unwrap();
    let bomb = snap::raw::Encoder::new().compress_vec(&vec![0; 129 << 20]).unwrap();
    for (encoding, body, status) in [("snappy", &block, 200), ("Snappy", &bomb, 413), ("br", &block, 415)] {
        let headers = [("Content-Encoding", encoding)];
        let answer = http::request("PUT", &server.url("/metrics/job/snappy"), &headers, body).unwrap();
        assert_eq!(answer.status, status, "{encoding}: {}", answer.text());
        let known = "br encoding is not accepted: send gzip, deflate, zstd, snappy or none";
        assert!(status != 415 || answer.text().contains(known), "{}", answer.text());
    }
    wait_for_value(&server, "m{job=\"snappy\"}", 7.0);
}

/// The lines of a page that are not of the gateway itself, times left out.
fn shown(page: &str) -> BTreeSet<String> {
    let own = ["go_", "process_", "pushgateway_", "promhttp_"];
    let of = |line: &&str| {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        !own.iter().any(|own| name.starts_with(own)) && !line.is_empty()
    };
    let lines = page.lines().filter(of).map(|line| match line.rsplit_once(' ') {
        Some((series, at)) if series.starts_with("push_") => format!("{series} {}", at != "0"),
        _ => line.to_owned(),
    });
    // What nobody said is said by the other: that is no difference.
    lines.filter(|line| !line.starts_with("# TYPE") || !line.ends_with("untyped")).collect()
}

#[test]
fn requests_have_the_answers_of_the_pushgateway() {
    let (peer, ours) = (peers::pushgateway(&["--web.enable-admin-api"]), gateway().start());
    let mut different = Vec::new();
    for (method, path, body) in REQUESTS {
        let (theirs, own) =
            (ask(&peer, method, path, body.as_bytes()), ask(&ours, method, path, body.as_bytes()));
        if theirs.status != own.status {
            different.push(format!(
                "{method} {path} {body:?}: {} {:?}, ours {} {:?}",
                theirs.status,
                theirs.text(),
                own.status,
                own.text()
            ));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    let theirs = shown(&peer.get("/metrics").text());
    let page = wait_until("the page is there", PATIENCE, || {
        let metrics = json(&ours.get("/api/v1/metrics"));
        metrics["data"].as_array().is_some_and(|groups| !groups.is_empty()).then_some(metrics)
    });
    let (their_groups, own_groups) = (groups(&json(&peer.get("/api/v1/metrics"))), groups(&page));
    assert_eq!(their_groups.keys().collect::<Vec<_>>(), own_groups.keys().collect::<Vec<_>>());
    for (labels, group) in &their_groups {
        assert_eq!(group, &own_groups[labels], "{labels}");
    }
    assert!(theirs.iter().any(|line| line.starts_with("push_failure_time_seconds")), "{theirs:?}");
    for server in [&peer, &ours] {
        assert_eq!(ask(server, "PUT", "/api/v1/admin/wipe", b"").status, 202);
        assert_eq!(groups(&json(&server.get("/api/v1/metrics"))).len(), 0);
    }
}

/// Paths that are no group's, or another's than one may think. Not those that are nothing with or without a
/// slash at their end: ours leads to the one without, as everywhere.
const ODD_PATHS: [&str; 53] = [
    "/metrics",
    "/metrics/job",
    "/metrics/job/",
    "/metrics/job/a/",
    "/metrics/job/a/x",
    "/metrics/job/a/x/",
    "/metrics/job/a/x/y/",
    "/metrics/job/a/x/y/z/",
    "/metrics/job//",
    "/metrics/job//x/y",
    "/metrics/job/a//x",
    "/metrics/job/a//",
    "/metrics/job/a/x//z/1",
    "/metrics/job/a//y/z/1",
    "/metrics/jobx/j",
    "/metrics/foo/j",
    "/metrics/Job/j",
    "/metrics/JOB/j/x/y",
    "/metrics/jobfoo@base64/Zm9v",
    "/metrics/job@base64",
    "/metrics/job@BASE64/Zm9v",
    "/metrics/job@base64/Zm9v/",
    "/metrics/job;/j",
    "/metrics/nojob/vict",
    "/metrics/x/y/job/j",
    "/metrics/instance/i/job/j",
    "/metrics//job/j30",
    "//metrics/job/j",
    "/metrics/./job/j",
    "/metrics/../metrics/job/j",
    "/metrics/job/./x",
    "/metrics/job/../x",
    "/metrics/job/a/../b",
    "/metrics/job/a/x/../y/z",
    "/metrics/%6aob/j",
    "/metrics/job%2Fj",
    "/metrics/job/a%2Fb",
    "/metrics/job/a/x%2Fb",
    "/metrics/job%40base64/Zm9v",
    "/metrics/job/a%",
    "/metrics/job/a%4",
    "/metrics/job/a?x=y",
    "/metrics/job/a/%78/y",
    "/metrics/job/a/x@base64/=",
    "/metrics/job/a/job/b",
    "/metrics/job/a/job@base64/Yg",
    "/metrics/job/a/x@base64",
    "/metrics/job/a/@base64/Yg",
    "/metrics/job/a/x@base64@base64/Yg",
    "/metrics/job/a/instance/",
    "/metrics/job@base64/Zm9v/x/y/z",
    "/metrics/job/%C3%BC",
    "/metrics/job/a/%C3%A9/y",
];

/// The status of an answer to a request without a body; one redirect is as good as another.
fn status(server: &Service, method: &str, path: &str) -> u16 {
    // What a client would make of the path is not asked. In one piece: who refuses the path reads no more.
    let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n");
    let head = head + "Connection: close\r\n\r\n";
    let mut client = TcpStream::connect(server.address()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).unwrap_or_else(|| panic!("{method} {path}: {answer}"));
    if status.starts_with('3') { 300 } else { status.parse().unwrap() }
}

#[test]
fn odd_paths_have_the_answers_of_the_pushgateway() {
    let (peer, ours) = (peers::pushgateway(&[]), gateway().start());
    for server in [&peer, &ours] {
        assert_eq!(ask(server, "PUT", "/metrics/job/vict", b"vict 1\n").status, 200);
    }
    let mut different = Vec::new();
    for (path, method) in ODD_PATHS.iter().flat_map(|p| ["PUT", "POST", "DELETE"].map(|m| (p, m))) {
        let (theirs, own) = (status(&peer, method, path), status(&ours, method, path));
        if theirs != own {
            different.push(format!("{method} {path}: {theirs}, ours {own}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    let [theirs, own] = [&peer, &ours].map(|server| groups(&json(&server.get("/api/v1/metrics"))));
    assert_eq!(theirs, own);
    assert!(own.keys().any(|labels| labels.contains("vict")), "{own:?}");
}

/// Groups by their labels, without times; labels and buckets in no order.
fn groups(metrics: &Value) -> BTreeMap<String, Value> {
    let all = metrics["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |group: &Value| {
        let mut group = group.clone();
        for (name, family) in group.as_object_mut().unwrap() {
            if let Some(family) = family.as_object_mut().filter(|_| name != "labels") {
                family.remove("time_stamp");
                if name.starts_with("push_") {
                    family.remove("metrics");
                }
            }
        }
        (group["labels"].to_string(), group)
    };
    all.iter().map(of).collect()
}

#[test]
fn groups_are_scraped_survive_a_kill_and_go_in_time() {
    let mut server = gateway().start();
    assert_eq!(ask(&server, "PUT", "/metrics/job/backup/host/h1", b"done 1\n").status, 200);
    assert_eq!(ask(&server, "PUT", "/metrics/job/short?ttl=3s", b"done 2\n").status, 200);
    assert_eq!(ask(&server, "PUT", "/metrics/job/short?ttl=x", b"done 2\n").status, 400);
    wait_for_value(&server, "done{job=\"backup\",host=\"h1\",instance=\"\"}", 1.0);
    wait_for_value(&server, "done{job=\"short\"}", 2.0);
    wait_until("it is gone", PATIENCE, || value(&server, "done{job=\"short\"}").is_none().then_some(()));
    server.kill9();
    server.restart();
    wait_for_value(&server, "time() - timestamp(done{job=\"backup\"}) < bool 5", 1.0);
    assert!(value(&server, "push_time_seconds{job=\"backup\"}").is_some_and(|at| at > 1e9));
    assert_eq!(ask(&server, "DELETE", "/metrics/job/backup/host/h1", b"").status, 202);
    wait_until("it is gone", PATIENCE, || value(&server, "done").is_none().then_some(()));
}

#[test]
fn what_is_not_enabled_says_how_to() {
    let server = server().config(CONFIG).start();
    for (method, path, name) in [
        ("PUT", "/metrics/job/a", "pushgateway"),
        ("GET", "/api/v1/metrics", "pushgateway"),
        ("POST", "/write", "influx"),
        ("POST", "/api/v1/import", "import"),
    ] {
        let answer = ask(&server, method, path, b"m 1\n");
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains(&format!("--push.enable={name}")), "{}", answer.text());
    }
}
