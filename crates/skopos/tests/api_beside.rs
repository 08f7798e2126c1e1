//! Odd requests of every endpoint to Debian's Prometheus, to Prometheus 3 where the set-up brought it, and to
//! ours, under the same configuration: status codes, content types, kinds of errors, warnings, and which
//! members an answer has. What stands in the values is compared elsewhere.

use crate::{
    api::shape,
    support::{json, server, wait_for_value},
};
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use skopos_testkit::{
    http::{self, Response},
    misbehaving::{Misbehaviour, Request, Server},
    peers,
    service::Service,
};
use std::{collections::BTreeSet, fmt};

const BODY: &str = "# HELP m Said.\n# TYPE m counter\nm{a=\"1\"} 1\nm{a=\"2\"} 2\nspecial{l=\"x\"} +Inf\n";
const FORM: &str = "application/x-www-form-urlencoded";

/// With which peers a request is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    Both,
    /// Debian's release does not know the parameter, or answers in a form that has been given up.
    Newer,
}
use With::{Both, Newer};

/// Method, path, form, and whom it is compared with.
type Case = (&'static str, &'static str, &'static str, With);

/// What every server answers.
const ALWAYS: &[Case] = &[
    ("GET", "/api/v1/query?query=m&limit=1", "", Newer),
    ("GET", "/api/v1/query?query=m&limit=2", "", Newer),
    ("GET", "/api/v1/query?query=m&limit=0", "", Newer),
    ("GET", "/api/v1/query?query=m&limit=", "", Newer),
    ("GET", "/api/v1/query?query=m&limit=-1", "", Newer),
    ("GET", "/api/v1/query?query=m&limit=x", "", Newer),
    ("GET", "/api/v1/query?query=m[1m]&limit=1", "", Newer),
    ("GET", "/api/v1/query?query=1&limit=1", "", Newer),
    ("GET", "/api/v1/query?query=rate(special[1m])", "", Newer),
    ("GET", "/api/v1/query?query=m&time=-5.5", "", Both),
    ("GET", "/api/v1/query?query=m&time=", "", Both),
    ("GET", "/api/v1/query?query=m&time=1_0", "", Both),
    ("GET", "/api/v1/query?query=m&time=1__0", "", Both),
    ("GET", "/api/v1/query?query=m&time=0x10", "", Both),
    ("GET", "/api/v1/query?query=m&time=2026-01-01t00:00:00z", "", Both),
    ("GET", "/api/v1/query?query=m&time=2026-01-01T00:00:00.5%2B01:00", "", Both),
    ("GET", "/api/v1/query?query=m&time=2026-13-01T00:00:00Z", "", Both),
    ("GET", "/api/v1/query?query=m&timeout=x", "", Both),
    ("GET", "/api/v1/query?query=m&lookback_delta=x", "", Newer),
    ("GET", "/api/v1/query?query=m&lookback_delta=-1", "", Newer),
    ("GET", "/api/v1/query?query=%FF", "", Both),
    ("GET", "/api/v1/query?query=m{a=~%22(%22}", "", Both),
    ("GET", "/api/v1/query?query=label_replace(m,%22a%22,%22x%22,%22a%22,%22(%22)", "", Both),
    ("POST", "/api/v1/query", "query=m&time=1", Both),
    ("POST", "/api/v1/query?query=m", "time=x", Both),
    ("PUT", "/api/v1/query?query=m", "", Both),
    ("GET", "/api/v1/query_range?query=m&start=0&end=11000&step=1", "", Both),
    ("GET", "/api/v1/query_range?query=m&start=0&end=11001&step=1", "", Both),
    ("GET", "/api/v1/query_range?query=m&start=1&end=2&step=NaN", "", Both),
    ("GET", "/api/v1/query_range?query=m&start=1&end=2&step=1e40", "", Both),
    ("GET", "/api/v1/query_range?query=m&start=1&end=2&step=1&limit=x", "", Newer),
    ("GET", "/api/v1/query_range?query=%22a%22&start=1&end=2&step=1", "", Both),
    ("GET", "/api/v1/series?match[]=m&start=2&end=1", "", Both),
    ("GET", "/api/v1/series?match[]=m&start=x", "", Both),
    ("GET", "/api/v1/series?match[]=m&end=1", "", Both),
    ("GET", "/api/v1/series?match[]=m&limit=1", "", Newer),
    ("GET", "/api/v1/series?match[]=m&limit=2", "", Newer),
    ("GET", "/api/v1/series?match[]=m&limit=-1", "", Newer),
    ("GET", "/api/v1/series?match[]=m&limit=x", "", Newer),
    ("GET", "/api/v1/series?match[]=", "", Both),
    ("GET", "/api/v1/series?match[]=m[5m]", "", Both),
    ("GET", "/api/v1/series?match[]=m%20offset%205m", "", Both),
    ("GET", "/api/v1/series?match=m", "", Both),
    ("POST", "/api/v1/series", "match[]=m&match[]=special", Both),
    ("GET", "/api/v1/labels?start=2&end=1", "", Both),
    ("GET", "/api/v1/labels?end=x", "", Both),
    ("GET", "/api/v1/labels?end=1", "", Both),
    ("GET", "/api/v1/labels?limit=1", "", Newer),
    ("GET", "/api/v1/labels?limit=-1", "", Newer),
    ("GET", "/api/v1/labels?match[]=none", "", Both),
    ("GET", "/api/v1/labels?match[]={}", "", Both),
    ("POST", "/api/v1/labels", "match[]=m", Both),
    ("PUT", "/api/v1/labels", "match[]=m", Both),
    ("GET", "/api/v1/label/a/values?start=2&end=1", "", Both),
    ("GET", "/api/v1/label/a/values?limit=1", "", Newer),
    ("GET", "/api/v1/label/a/values?limit=x", "", Newer),
    ("GET", "/api/v1/label/a/values?match[]={}", "", Both),
    ("GET", "/api/v1/label/a.b/values", "", Newer),
    ("GET", "/api/v1/label/0bad/values", "", Newer),
    ("GET", "/api/v1/label/%FF/values", "", Both),
    ("GET", "/api/v2/x", "", Both),
    ("POST", "/api/v2/x", "", Both),
    ("PUT", "/nope", "", Both),
    ("GET", "/api/v1/label/U__a_2e_b/values", "", Newer),
    ("GET", "/api/v1/query_exemplars?query=m&start=x&end=1", "", Both),
    ("GET", "/api/v1/query_exemplars?query=1", "", Both),
    ("POST", "/api/v1/query_exemplars", "query=m", Both),
    ("POST", "/api/v1/format_query", "query=foo/bar", Both),
    ("GET", "/api/v1/targets?scrapePool=none", "", Newer),
    ("GET", "/api/v1/targets?state=x", "", Newer),
    ("GET", "/api/v1/targets/metadata?match_target={}", "", Both),
    ("GET", "/api/v1/targets/metadata?match_target={job=~%22.*%22}", "", Both),
    ("GET", "/api/v1/targets/metadata?match_target=x{", "", Both),
    ("GET", "/api/v1/targets/metadata?limit=-1", "", Both),
    ("GET", "/api/v1/metadata?limit_per_metric=x", "", Newer),
    ("GET", "/api/v1/metadata?limit_per_metric=1&metric=m", "", Newer),
    ("GET", "/api/v1/rules?group_limit=1", "", Newer),
    ("GET", "/api/v1/rules?group_limit=0", "", Newer),
    ("GET", "/api/v1/rules?group_limit=-1", "", Newer),
    ("GET", "/api/v1/rules?group_limit=x", "", Newer),
    ("GET", "/api/v1/rules?group_next_token=abc", "", Newer),
    ("GET", "/api/v1/rules?group_limit=1&group_next_token=abc", "", Newer),
    ("GET", "/api/v1/rules?exclude_alerts=x", "", Newer),
    ("GET", "/api/v1/rules?match[]=x{", "", Newer),
    ("GET", "/api/v1/notifications", "", Newer),
    ("GET", "/api/v1/status/tsdb?limit=0", "", Newer),
    ("GET", "/api/v1/status/tsdb?limit=-1", "", Newer),
    ("GET", "/api/v1/status/nope", "", Both),
    ("GET", "/federate", "", Both),
    ("GET", "/federate?match[]=m", "", Both),
    ("GET", "/federate?match[]=none", "", Both),
    ("GET", "/federate?match[]={}", "", Both),
    ("GET", "/federate?match[]={job=~%22.*%22}", "", Both),
    ("GET", "/federate?match[]=m{", "", Both),
    ("POST", "/federate", "match[]=m", Both),
    ("POST", "/metrics", "", Both),
    ("POST", "/-/healthy", "", Both),
    ("POST", "/-/ready", "", Both),
];

/// What depends on what clients may do.
const CHANGING: &[Case] = &[
    ("GET", "/-/reload", "", Both),
    ("GET", "/-/quit", "", Both),
    ("POST", "/-/reload", "", Both),
    ("PUT", "/-/reload", "", Both),
    ("GET", "/api/v1/admin/tsdb/snapshot", "", Both),
    ("DELETE", "/api/v1/admin/tsdb/delete_series?match[]=m", "", Both),
    ("GET", "/api/v1/admin/tsdb/clean_tombstones", "", Both),
    ("POST", "/api/v1/admin/tsdb/nope", "", Both),
];

/// What only an administrator may do.
const ADMIN: &[Case] = &[
    ("POST", "/api/v1/admin/tsdb/snapshot?skip_head=x", "", Both),
    ("POST", "/api/v1/admin/tsdb/snapshot", "skip_head=true", Both),
    ("PUT", "/api/v1/admin/tsdb/snapshot", "", Both),
    ("POST", "/api/v1/admin/tsdb/delete_series", "", Both),
    ("POST", "/api/v1/admin/tsdb/delete_series?match[]=m{", "", Both),
    ("POST", "/api/v1/admin/tsdb/delete_series?match[]=none", "", Both),
    ("POST", "/api/v1/admin/tsdb/delete_series?match[]=m&start=x", "", Both),
    ("PUT", "/api/v1/admin/tsdb/delete_series?match[]=m&start=1&end=2", "", Both),
    ("POST", "/api/v1/admin/tsdb/clean_tombstones", "", Both),
    ("POST", "/-/quit", "", Both),
];

/// Ours and the peers, under the same configuration and flags.
struct Servers {
    target: Server,
    ours: Service,
    debians: Service,
    newer: Option<Service>,
}

fn start(flags: &[&str]) -> Servers {
    let target = Server::start([Misbehaviour::text(BODY)]);
    let config = format!(
        "global: {{scrape_interval: 1s, external_labels: {{site: x}}}}\nscrape_configs:\n- job_name: j\n  \
         static_configs: [{{targets: ['{}']}}]\n",
        target.address()
    );
    let quiet: Vec<&str> = flags.iter().copied().chain(["--log.level=error"]).collect();
    let servers = Servers {
        ours: flags.iter().fold(server().config(&config), |server, flag| server.flag(flag)).start(),
        debians: peers::prometheus(&config, &quiet),
        newer: peers::prometheus_3().map(|program| peers::prometheus_at(program, &config, &quiet)),
        target,
    };
    for server in [&servers.ours, &servers.debians].into_iter().chain(&servers.newer) {
        // Twice, so that there is a rate.
        wait_for_value(server, "count(count_over_time(m[1m]) >= 2)", 2.0);
    }
    servers
}

impl Servers {
    #[track_caller]
    fn compare(&self, cases: &[Case]) {
        for (method, path, form, with) in cases {
            let case = format!("{method} {path} {form}");
            let ours = send(&self.ours, method, path, form);
            let debians = send(&self.debians, method, path, form);
            let newer = self.newer.as_ref().map(|newer| send(newer, method, path, form));
            if *with == Both {
                assert_alike(&debians, &ours, &format!("beside Debian's release: {case}"));
            }
            if let Some(newer) = newer {
                assert_alike(&newer, &ours, &format!("beside Prometheus 3: {case}"));
            }
        }
    }
}

fn send(server: &Service, method: &str, path: &str, form: &str) -> Response {
    let headers: &[(&str, &str)] = if form.is_empty() { &[] } else { &[("Content-Type", FORM)] };
    http::request(method, &server.url(path), headers, form.as_bytes()).unwrap()
}

#[track_caller]
fn assert_alike(theirs: &Response, ours: &Response, case: &str) {
    assert_eq!(ours.status, theirs.status, "{case}: {} / {}", theirs.text(), ours.text());
    // Where a peer has no such path or method it says so as text; ours does in the form of the API.
    if matches!(theirs.status, 404 | 405) {
        assert!(!ours.text().is_empty(), "{case}");
        return;
    }
    assert_eq!(media_type(ours), media_type(theirs), "{case}: {}", ours.text());
    if media_type(theirs).as_deref() != Some("application/json") {
        let begins = |response: &Response| response.text().chars().take(14).collect::<String>();
        return assert_eq!(begins(ours), begins(theirs), "{case}");
    }
    let (their_json, our_json) = (json(theirs), json(ours));
    for member in ["status", "errorType", "warnings"] {
        assert_eq!(our_json[member], their_json[member], "{case}: {}", ours.text());
    }
    assert_eq!(members(&our_json), members(&their_json), "{case}: {}", ours.text());
}

/// Without parameters: newer releases say there how they write names.
fn media_type(response: &Response) -> Option<String> {
    let whole = response.header("content-type")?;
    Some(whole.split(';').next().unwrap_or(whole).to_owned())
}

/// The members of an answer, without those that only later releases have.
fn members(value: &Value) -> BTreeSet<String> {
    let mut shape = shape(value);
    shape.retain(|path| !path.contains("droppedTargetCounts") && !path.starts_with("/application"));
    shape
}

/// What stands in the answer is the same too, but for what a Prometheus 3 says of remarks.
const TO_THE_BYTE: &[&str] = &[
    "/api/v1/query?query=1e21&time=3.5",
    "/api/v1/query?query=-1e-7&time=-0.25",
    "/api/v1/query?query=-0&time=1e9",
    "/api/v1/query?query=0/0&time=1.001",
    "/api/v1/query?query=%22x%3Cy%22&time=3.25",
    "/api/v1/query?query=vector(1e-7)&time=3.5",
    "/api/v1/query?query=vector(1e21)&time=3.25",
    "/api/v1/query_range?query=1e21&start=-1&end=1&step=0.5",
    // As people write them.
    "/api/v1/query?query=2>bool1&time=3",
    "/api/v1/query?query=1<bool1&time=3",
    "/api/v1/query?query=count(m>=0)<9&time=3",
    "/api/v1/query?query=count(m{a=\"1\",a=~'.'})or(vector(7))#x&time=3",
    "/api/v1/query?query=label_replace(vector(1),\"a\",\"é#`\",\"\",\"\")&time=3",
];

#[test]
fn numbers_and_texts_of_no_series_are_written_as_prometheus_writes_them() {
    let servers = start(&[]);
    for path in TO_THE_BYTE {
        let ours = send(&servers.ours, "GET", path, "");
        for theirs in [&servers.debians].into_iter().chain(&servers.newer) {
            let theirs = send(theirs, "GET", path, "");
            assert_eq!(ours.status, theirs.status, "{path}");
            if theirs.status == 200 {
                assert_eq!(ours.text(), theirs.text(), "{path}");
            }
        }
    }
    // Debian's release knows no such names of labels.
    assert_eq!(send(&servers.ours, "GET", "/api/v1/label/<`>/values", "").status, 200);
    for content_type in [
        "APPLICATION/X-WWW-FORM-URLENCODED",
        "application/x-www-form-urlencoded ; charset=utf-8",
        "application/x-www-form-urlencodedx",
        "text/plain",
    ] {
        let ask = |server: &Service| {
            let headers = [("Content-Type", content_type)];
            http::request("POST", &server.url("/api/v1/query"), &headers, b"query=1&time=3").unwrap().status
        };
        assert_eq!(ask(&servers.ours), ask(&servers.debians), "{content_type}");
    }
}

#[test]
fn members_stand_in_the_order_that_they_have_in_prometheus() {
    let servers = start(&[]);
    let Some(newer) = &servers.newer else { return };
    for path in [
        "/api/v1/query?query=m&stats=all",
        "/api/v1/query_range?query=m&start=1&end=2&step=1&stats=true",
        "/api/v1/targets",
        "/api/v1/targets/metadata",
        "/api/v1/metadata",
        "/api/v1/status/runtimeinfo",
        "/api/v1/status/buildinfo",
        "/api/v1/status/tsdb",
        "/api/v1/status/walreplay",
    ] {
        let in_order = |server: &Service| {
            let mut all = Vec::new();
            let text = send(server, "GET", path, "").text();
            let mut reader = serde_json::Deserializer::from_str(&text);
            Members { all: &mut all, at: String::new() }.deserialize(&mut reader).unwrap();
            all
        };
        let (mut ours, theirs) = (in_order(&servers.ours), in_order(newer));
        ours.retain(|member| theirs.contains(member));
        assert_eq!(ours, theirs, "{path}");
    }
}

/// Notes the paths of all members in their order; of a list those of its first item.
struct Members<'a> {
    all: &'a mut Vec<String>,
    at: String,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            let at = format!("{}/{name}", self.at);
            self.all.push(at.clone());
            members.next_value_seed(Members { all: &mut *self.all, at })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if items.next_element_seed(Members { all: self.all, at: self.at })?.is_some() {
            while items.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[test]
fn targets_are_asked_for_formats_and_names_as_prometheus_3_asks_for_them() {
    let servers = start(&[]);
    if servers.newer.is_none() {
        return;
    }
    let requests = servers.target.requests();
    let of = |agent: &str, name: &str| {
        let header = |request: &Request, name: &str| {
            let found = request.headers.iter().find(|(n, _)| n == name);
            found.map(|(_, value)| value.clone())
        };
        let theirs = requests.iter().find(|r| header(r, "user-agent").is_some_and(|a| a.starts_with(agent)));
        header(theirs.expect("it asked"), name)
    };
    for name in ["accept", "accept-encoding", "x-prometheus-scrape-timeout-seconds"] {
        assert_eq!(of("Skopos/", name), of("Prometheus/3.", name), "{name}");
    }
}

#[test]
fn addresses_that_are_put_together_lead_to_where_they_should() {
    let servers = start(&[]);
    for path in ["//api/v1/query?query=1&time=3", "/api/v1/./query?query=1", "/x/../metrics", "/metrics/"] {
        let (ours, theirs) = (send(&servers.ours, "GET", path, ""), send(&servers.debians, "GET", path, ""));
        assert_eq!((ours.status, theirs.status), (301, 301), "{path}");
        assert_eq!(ours.header("location"), theirs.header("location"), "{path}");
    }
    // A form must not be lost on the way.
    assert_eq!(send(&servers.ours, "POST", "//api/v1/query", "query=1").status, 308);
    assert_eq!(send(&servers.ours, "GET", "/nope", "").status, 404);
}

#[test]
fn odd_requests_are_answered_as_prometheus_answers_them() {
    let servers = start(&[]);
    servers.compare(ALWAYS);
    servers.compare(CHANGING);
}

#[test]
fn what_clients_may_change_they_change_as_with_prometheus() {
    let servers = start(&["--web.enable-lifecycle", "--web.enable-admin-api"]);
    servers.compare(CHANGING);
    servers.compare(ADMIN);
}
