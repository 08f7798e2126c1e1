//! What changes or ends the server over HTTP, and where its routes stand: deletion, snapshots, reload, quit,
//! prefixes, pages of other hosts.

use crate::support::{PATIENCE, json, server, server_scraping, value};
use skopos_testkit::{
    http::{self, Response},
    misbehaving::{Misbehaviour, Server},
    service::Service,
    skopos::Skopos,
    wait_until,
};
use std::fs;

fn send(method: &str, server: &Service, path: &str) -> Response {
    http::request(method, &server.url(path), &[], &[]).unwrap()
}

fn scraping(body: &str) -> (Server, Skopos) {
    let target = Server::start([Misbehaviour::text(body)]);
    let server = server_scraping(&target, "200ms");
    (target, server)
}

#[test]
fn without_the_flags_nothing_can_be_changed_over_http() {
    let server = server().start();
    for path in ["snapshot", "delete_series?match[]=up", "clean_tombstones"] {
        let refused = send("POST", &server, &format!("/api/v1/admin/tsdb/{path}"));
        assert_eq!(refused.status, 503, "{path}");
        let answer = json(&refused);
        assert_eq!(answer["errorType"], "unavailable");
        assert!(answer["error"].as_str().unwrap().starts_with("admin APIs disabled"), "{answer}");
    }
    for path in ["/-/reload", "/-/quit"] {
        let refused = send("POST", &server, path);
        assert_eq!((refused.status, refused.text().as_str()), (403, "Lifecycle API is not enabled."));
    }
}

#[test]
fn samples_are_deleted_cleaned_and_copied_as_asked() {
    let (_target, server) = scraping("gone 1\nkept 2\n");
    let server = server.flag("--web.enable-admin-api").start();
    let stored = |name: &str| value(&server, &format!("count_over_time({name}[1h])")).unwrap_or(0.0);
    wait_until("some samples", PATIENCE, || (stored("gone") >= 8.0).then_some(()));
    let admin = |path: &str| send("POST", &server, &format!("/api/v1/admin/tsdb/{path}"));

    let snapshot = admin("snapshot");
    assert_eq!(snapshot.status, 200, "{}", snapshot.text());
    let name = json(&snapshot)["data"]["name"].as_str().unwrap().to_owned();
    let copied = server.folder().join("data/snapshots").join(&name);
    assert!(fs::read_dir(&copied).unwrap().count() > 0, "{} is empty", copied.display());

    let end = "&end=2000000000000"; // far beyond any sample
    let deleted = admin(&format!("delete_series?match[]=gone{end}"));
    assert_eq!((deleted.status, deleted.text().as_str()), (204, ""));
    // Scraping goes on meanwhile.
    let (gone, kept) = (stored("gone"), stored("kept"));
    assert!(gone < 8.0 && kept >= 8.0, "{gone} and {kept} samples are left");
    assert_eq!(admin("clean_tombstones").status, 204);

    let missing = admin("delete_series");
    assert_eq!((missing.status, &json(&missing)["errorType"]), (400, &"bad_data".into()));
    assert_eq!(admin("delete_series?match[]={a=").status, 400);
    assert_eq!(admin("snapshot?skip_head=perhaps").status, 400);
    assert_eq!(send("GET", &server, "/api/v1/admin/tsdb/snapshot").status, 405);
}

#[test]
fn reload_says_what_is_wrong_and_quit_ends_the_server() {
    let (_target, server) = scraping("m 1\n");
    let mut server = server.flag("--web.enable-lifecycle").start();
    let reload = |server: &Service| send("POST", server, "/-/reload");
    assert_eq!(reload(&server).status, 200);
    fs::write(server.folder().join("prometheus.yml"), "global: {no_such_key: 1}\n").unwrap();
    let failed = reload(&server);
    assert_eq!(failed.status, 500);
    let text = failed.text();
    assert!(text.contains("failed to reload config") && text.contains("no_such_key"), "{text}");
    assert_eq!(send("GET", &server, "/-/reload").status, 405);
    assert_eq!(send("GET", &server, "/-/quit").status, 405);
    assert_eq!(send("PUT", &server, "/-/quit").text(), "Requesting termination... Goodbye!");
    let ended = wait_until("the end", PATIENCE, || server.process().ended());
    assert!(ended.success(), "{ended}");
}

#[test]
fn all_routes_stand_below_the_prefix() {
    for (flag, prefix) in
        [("--web.route-prefix=/watch", "/watch"), ("--web.external-url=https://example.org/a/b/", "/a/b")]
    {
        let mut skopos = server().flag(flag);
        skopos = skopos.ready_path(&format!("{prefix}/-/ready"));
        let server = skopos.start();
        let status = |path: &str| server.get(path).status;
        assert_eq!(status(&format!("{prefix}/api/v1/query?query=1")), 200);
        assert_eq!(status(&format!("{prefix}/metrics")), 200);
        assert_eq!(status(&format!("{prefix}/")), 200);
        assert_eq!(status("/api/v1/query?query=1"), 404);
        let home = server.get("/");
        assert_eq!((home.status, home.header("location")), (303, Some(format!("{prefix}/").as_str())));
    }
}

#[test]
fn pages_of_allowed_origins_may_call_the_api() {
    let server = server().flag("--web.cors.origin=https?://(a|b)\\.example").start();
    let from = |method: &str, origin: &str| {
        let url = server.url("/api/v1/query?query=1");
        let answer = http::request(method, &url, &[("Origin", origin)], &[]).unwrap();
        (answer.status, answer.header("access-control-allow-origin").map(str::to_owned))
    };
    assert_eq!(from("GET", "https://a.example"), (200, Some("https://a.example".to_owned())));
    assert_eq!(from("OPTIONS", "http://b.example"), (204, Some("http://b.example".to_owned())));
    assert_eq!(from("GET", "https://a.example.org"), (200, None));
}
