//! `skopos server` and the machine that it runs on: the agent's collectors with the agent's flags, and the
//! processes that use most, for whoever may ask.

use crate::support::PATIENCE;
use skopos_testkit::{free_port, http, process::Process, skopos::Skopos, wait_until};
use std::{fs, process::Command};

const BINARY: &str = env!("CARGO_BIN_EXE_skopos");

fn server() -> Skopos {
    Skopos::server(BINARY)
}

#[test]
fn flags_of_collectors_say_what_the_server_reads() {
    let flags = ["--collector.disable-defaults", "--collector.loadavg", "--collector.process-groups"];
    let server = flags.into_iter().fold(server(), Skopos::flag).start();
    let names = wait_until("the first scrape", PATIENCE, || {
        let text = server.get("/api/v1/label/__name__/values").text();
        text.contains("node_load1").then_some(text)
    });
    assert!(names.contains("\"namedprocess_namegroup_num_procs\""), "{names}");
    assert!(!names.contains("node_memory_MemTotal_bytes"), "{names}");
    let flags = server.get("/api/v1/status/flags").text();
    assert!(flags.contains("\"collector.loadavg\""), "{flags}");
    assert!(!flags.contains("collector.meminfo"), "those that were not given are left out: {flags}");
}

#[test]
fn with_a_configuration_flags_of_collectors_are_said_to_change_nothing() {
    let server = server().config("global: {}\n").flag("--collector.loadavg").start();
    let log = server.log();
    assert!(log.contains("flags of collectors change nothing"), "{log}");
    let answer: serde_json::Value =
        serde_json::from_str(&server.get("/api/v1/processes?limit=1").text()).unwrap();
    assert_eq!(answer["data"]["processes"].as_array().unwrap().len(), 1, "{answer}");
}

#[test]
fn processes_are_told_to_those_who_may_ask() {
    let folder = tempfile::tempdir().unwrap();
    let hash = bcrypt::hash("open-sesame", 4).unwrap();
    fs::write(folder.path().join("web.yml"), format!("basic_auth_users: {{me: '{hash}'}}\n")).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(BINARY);
    let listen = format!("--web.listen-address={address}");
    command.current_dir(folder.path()).args(["server", "--web.config.file=web.yml", &listen]);
    let server = Process::start("skopos server", command, &folder.path().join("log")).unwrap();
    wait_until("the server to be ready", PATIENCE, || server.log().contains("ready: open").then_some(()));
    let url = format!("http://{address}/api/v1/processes");
    let status = |headers: &[(&str, &str)]| http::request("GET", &url, headers, b"").unwrap().status;
    assert_eq!(status(&[]), 401);
    assert_eq!(status(&[("Authorization", "Basic bWU6aHVzaC1odXNo")]), 401);
    assert_eq!(status(&[("Authorization", "Basic bWU6b3Blbi1zZXNhbWU=")]), 200);
}
