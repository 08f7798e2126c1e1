//! `skopos agent` as a process: its page, its parameters, its limits.

use skopos_testkit::{free_port, http, service::Service, skopos::Skopos};

fn agent() -> Skopos {
    Skopos::agent(env!("CARGO_BIN_EXE_skopos"))
}

/// The names of the collectors that a page tells of.
fn collectors(page: &str) -> Vec<&str> {
    let start = "node_scrape_collector_success{collector=\"";
    page.lines().filter_map(|line| line.strip_prefix(start)?.split('"').next()).collect()
}

fn page(agent: &Service, path: &str) -> String {
    let response = agent.get(path);
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    response.text()
}

#[test]
fn a_request_names_the_collectors_that_run_or_that_do_not() {
    let agent = agent().flag("--no-collector.stat").start();
    let all = page(&agent, "/metrics");
    assert!(collectors(&all).len() > 10, "{all}");
    let two = page(&agent, "/metrics?collect[]=loadavg&collect%5B%5D=cpu&other=1");
    assert_eq!(collectors(&two), ["cpu", "loadavg"]);
    assert!(two.contains("process_start_time_seconds"), "the agent's own metrics stay");
    let rest = page(&agent, "/metrics?exclude[]=cpu&exclude[]=stat");
    assert_eq!(collectors(&rest).len(), collectors(&all).len() - 1);
    for (query, said) in [
        ("collect[]=cpu&exclude[]=loadavg", "Combined collect and exclude queries are not allowed."),
        ("collect[]=stat", "disabled collector: stat"),
        ("collect[]=weather", "missing collector: weather"),
    ] {
        let response = agent.get(&format!("/metrics?{query}"));
        assert_eq!(response.status, 400, "{query}");
        assert!(response.text().contains(said), "{query}: {}", response.text());
    }
}

#[test]
fn the_page_stands_where_it_was_asked_for_on_every_address() {
    let other = format!("127.0.0.1:{}", free_port());
    let agent = agent()
        .flag("--web.telemetry-path=/node")
        .flag(&format!("--web.listen-address={other}"))
        .flag("--web.disable-exporter-metrics")
        .flag("--web.max-requests=0")
        .ready_path("/node")
        .start();
    let here = page(&agent, "/node");
    assert!(here.contains("\nnode_exporter_build_info{") && here.contains("\nskopos_agent_build_info{"));
    assert!(!here.contains("\nprocess_"), "{here}");
    assert_eq!(agent.get("/metrics").status, 404);
    assert!(page(&agent, "/").contains("href=\"/node\""));
    assert_eq!(http::get(&format!("http://{other}/node")).unwrap().status, 200);
}

#[test]
fn the_processes_that_use_most_are_told() {
    let agent = agent().start();
    let response = agent.get("/api/v1/processes?by=memory&limit=3");
    assert_eq!(response.status, 200, "{}", response.text());
    let answer: serde_json::Value = serde_json::from_str(&response.text()).unwrap();
    assert_eq!((&answer["status"], &answer["data"]["by"]), (&"success".into(), &"memory".into()));
    let processes = answer["data"]["processes"].as_array().unwrap();
    assert!((1..=3).contains(&processes.len()), "{answer}");
    let memory: Vec<u64> = processes.iter().map(|p| p["resident_bytes"].as_u64().unwrap()).collect();
    assert!(memory.is_sorted_by(|a, b| a >= b), "{memory:?}");
    for field in ["pid", "name", "command", "user", "cpu", "threads", "start_time_seconds", "cgroup"] {
        assert!(!processes[0][field].is_null(), "{field} is missing: {answer}");
    }
    let all = agent.get("/api/v1/processes?limit=1000").text();
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    let own = std::process::id();
    let is_own = |process: &serde_json::Value| process["pid"] == own;
    assert!(all["data"]["processes"].as_array().unwrap().iter().any(is_own), "this test is a process too");
    let response = agent.get("/api/v1/processes?by=size");
    assert_eq!(response.status, 400);
    assert!(response.text().contains("\"errorType\":\"bad_data\""), "{}", response.text());
}
