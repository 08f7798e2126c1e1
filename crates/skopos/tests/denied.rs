//! Addresses that are denied to targets which sources find: no name and no redirect leads there.

use crate::support::{PATIENCE, json, server};
use serde_json::{Value, json};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    service::Service,
    wait_until,
};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
};

/// Answers at another address of this machine; `reply` is the whole answer.
fn elsewhere(reply: String) -> String {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).find(String::is_empty);
            let _may_be_gone = stream.write_all(reply.as_bytes());
        }
    });
    address
}

fn redirect(to: &str) -> String {
    let head =
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    elsewhere(head)
}

fn target(server: &Service, job: &str, address: &str) -> Option<Value> {
    let all = json(&server.get("/api/v1/targets"));
    let is_it = |one: &&Value| one["scrapePool"] == job && one["discoveredLabels"]["__address__"] == address;
    all["data"]["activeTargets"]
        .as_array()?
        .iter()
        .find(is_it)
        .filter(|one| one["health"] != "unknown")
        .cloned()
}

#[test]
fn what_is_denied_to_targets_that_are_found_is_reached_by_no_name_and_no_redirect() {
    let page = Server::start([Misbehaviour::text("up_since 1\n")]);
    let port = page.address().rsplit(':').next().unwrap().to_owned();
    let body = "up_since 1\n";
    let ok = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n{body}",
        body.len()
    );
    let (allowed, literal) = (elsewhere(ok), page.address().to_string());
    let denied = [
        literal.clone(),
        format!("localhost:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("2130706433:{port}"),
        redirect(&format!("http://localhost:{port}/metrics")),
        redirect(&format!("http://{literal}/metrics")),
        redirect(&format!("http://0x7f.1:{port}/metrics")),
        redirect("http://metadata.google.internal/computeMetadata/v1/"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.json");
    let all: Vec<_> = denied.iter().chain([&allowed]).collect();
    fs::write(&list, json!([{"targets": all}]).to_string()).unwrap();
    let config = format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- job_name: found\n  file_sd_configs:\n  - \
         files: ['{}']\n- job_name: written\n  static_configs: [{{targets: ['{literal}']}}]\n",
        list.display()
    );
    let flag = "--scrape.deny-addresses=metadata,127.0.0.1,::1";
    let server = server().config(&config).flag(flag).start();
    let of = |job: &str, address: &str| {
        wait_until(&format!("{job} {address}"), PATIENCE, || target(&server, job, address))
    };
    for address in &denied {
        let target = of("found", address);
        let error = target["lastError"].as_str().unwrap();
        assert_eq!(target["health"], "down", "{address}");
        assert!(error.contains("denied are metadata,127.0.0.1,::1"), "{address}: {error}");
    }
    assert_eq!(of("found", &allowed)["health"], "up");
    assert_eq!(of("written", &literal)["health"], "up");
}

#[test]
fn targets_of_the_file_are_denied_where_that_is_asked_for() {
    let page = Server::start([Misbehaviour::text("up_since 1\n")]);
    let address = page.address().to_string();
    let config = format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: \
         ['{address}']}}]\n"
    );
    let server = server().config(&config).flag("--scrape.deny-addresses-of-static=loopback").start();
    let found = wait_until("its scrape", PATIENCE, || target(&server, "j", &address));
    assert_eq!(found["health"], "down");
    assert!(found["lastError"].as_str().unwrap().contains("127.0.0.1 is denied to this target"));
}
