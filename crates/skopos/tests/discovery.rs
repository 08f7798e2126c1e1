//! Targets that sources find, in the whole server: they are scraped as they come, a reload keeps those that
//! go on, and what cannot be found is said.

use crate::support::{PATIENCE, json, server};
use serde_json::Value;
use skopos_testkit::{
    http,
    misbehaving::{Misbehaviour, Server},
    service::Service,
    wait_until,
};
use std::fs;

/// The labels of the targets that are up.
fn targets_up(server: &Service) -> Vec<Value> {
    let all = json(&server.get("/api/v1/targets"));
    let active = all["data"]["activeTargets"].as_array().unwrap().clone();
    active.into_iter().filter(|target| target["health"] == "up").collect()
}

#[test]
fn what_sources_find_is_scraped_and_goes_when_it_goes() {
    let page = || Server::start([Misbehaviour::text("up_since 1\n")]);
    let (one, two) = (page(), page());
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.json");
    let write = |targets: &[&Server]| {
        let targets: Vec<_> = targets.iter().map(|target| target.address()).collect();
        let text = serde_json::json!([{"targets": targets, "labels": {"rack": "r1"}}]).to_string();
        fs::write(folder.path().join("new"), text).unwrap();
        fs::rename(folder.path().join("new"), &list).unwrap();
    };
    write(&[&one]);
    let config = format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- job_name: found\n  file_sd_configs:\n  - \
         files: ['{}']\n",
        list.display()
    );
    let server = server().config(&config).flag("--web.enable-lifecycle").start();
    let found = wait_until("the first target", PATIENCE, || targets_up(&server).pop());
    assert_eq!(found["discoveredLabels"]["__meta_filepath"], list.display().to_string());
    assert_eq!((&found["labels"]["rack"], &found["labels"]["job"]), (&"r1".into(), &"found".into()));
    write(&[&one, &two]);
    wait_until("the second target", PATIENCE, || (targets_up(&server).len() == 2).then_some(()));
    let count = |name: &str| {
        let page = server.get("/metrics").text();
        let line = page.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next().map(str::to_owned))
    };
    let label = r#"prometheus_sd_discovered_targets{config="found",name="scrape"}"#;
    assert_eq!(count(label).as_deref(), Some("2"));
    let path = server.folder().join("prometheus.yml");
    let broken = "file_sd_configs:\n  - files: ['a.txt']\n";
    let before = fs::read_to_string(&path).unwrap();
    fs::write(&path, before.replace("file_sd_configs:\n", broken)).unwrap();
    let reload = || http::request("POST", &server.url("/-/reload"), &[], &[]).unwrap();
    let refused = reload();
    assert_ne!(refused.status, 200);
    assert!(refused.text().contains("\"a.txt\" cannot be used"), "{}", refused.text());
    assert_eq!(targets_up(&server).len(), 2);
    fs::write(&path, before).unwrap();
    assert_eq!(reload().status, 200);
    assert_eq!(targets_up(&server).len(), 2);
    write(&[&two]);
    wait_until("the first to go", PATIENCE, || (targets_up(&server).len() == 1).then_some(()));
    fs::write(&list, "[{").unwrap();
    wait_until("the broken file to be read", PATIENCE, || {
        count("prometheus_sd_file_read_errors_total").filter(|n| n != "0")
    });
    assert_eq!(targets_up(&server).len(), 1);
}

/// Servers that answer with what they were told, as debugging aids do.
#[test]
fn what_a_source_is_told_is_in_no_log() {
    let echo = |status, body: &str| {
        let body = body.as_bytes().to_vec();
        Server::start([Misbehaviour::Answers { status, content_type: "application/json".to_owned(), body }])
    };
    let refuses = echo(401, "authorization: Basic SECRET");
    let nonsense = echo(200, "[\"authorization: Basic SECRET\"]");
    let consul = echo(403, "x-consul-token: SECRET");
    let config = format!(
        "scrape_configs:\n- job_name: found\n  http_sd_configs:\n  - url: 'http://u:SECRET@{}/a?k=SECRET'\n  \
         - url: '{}'\n    basic_auth: {{username: u, password: SECRET}}\n  consul_sd_configs:\n  - \
         {{server: '{}', token: SECRET, datacenter: dc}}\n",
        refuses.address(),
        nonsense.url("/b"),
        consul.address()
    );
    let server = server().config(&config).start();
    let said = [
        format!("http://{}/a: answered with status 401", refuses.address()),
        format!("{}: line 1, column 30: ", nonsense.url("/b")),
        "answered with status 403".to_owned(),
    ];
    for text in &said {
        wait_until(text, PATIENCE, || server.log().contains(text).then_some(()));
    }
    assert!(!server.log().contains("SECRET"), "{}", server.log());
}
