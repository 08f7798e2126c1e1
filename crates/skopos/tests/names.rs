//! `dns_sd_configs` beside Prometheus 3: both ask the same server of names, which is made up and stands where
//! the system's file says, in a view of the file system of their own. Needs root, as `make test` has it.

use crate::support::BINARY;
use serde_json::Value;
use skopos_testkit::peers;
use std::{fs, net::UdpSocket, path::Path, process::Command, thread};

/// Where nobody else listens.
const ADDRESS: &str = "127.0.0.63";

/// The name in the form of the protocol.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut out: Vec<u8> = labels.flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat()).collect();
    out.push(0);
    out
}

/// The data of records: of their type, for a name.
fn records(name: &str, kind: u16) -> Option<Vec<Vec<u8>>> {
    let srv = |port: u16, host: &str| [&[0, 1, 0, 2][..], &port.to_be_bytes(), &wire(host)].concat();
    Some(match (name, kind) {
        ("_http._tcp.example.", 33) => vec![srv(9100, "h1.example."), srv(9200, "h2.example.")],
        ("v4.example.", 1) => vec![vec![10, 0, 0, 1], vec![10, 0, 0, 2]],
        ("v6.example.", 28) => vec!["fd00::1".parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec()],
        ("example.", 15) => vec![[&[0, 10][..], &wire("mail.example.")].concat()],
        ("example.", 2) => vec![wire("ns.example.")],
        ("empty.example.", _) => Vec::new(),
        _ => return None,
    })
}

/// The answer to a question.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let (mut at, mut name) = (12, String::new());
    while *question.get(at)? > 0 {
        let len = usize::from(question[at]);
        name += std::str::from_utf8(question.get(at + 1..at + 1 + len)?).ok()?;
        name.push('.');
        at += len + 1;
    }
    let end = at + 5;
    let kind = u16::from_be_bytes([*question.get(at + 1)?, *question.get(at + 2)?]);
    let found = records(&name.to_ascii_lowercase(), kind);
    let (code, found) = (if found.is_some() { 0 } else { 3 }, found.unwrap_or_default());
    let mut out = [&question[..2], &[0x81, 0x80 | code, 0, 1, 0, found.len() as u8, 0, 0, 0, 0]].concat();
    out.extend(question.get(12..end)?);
    for data in found {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

/// The labels of targets, as a program finds them where `resolv_conf` is the file of the system.
fn found(program: &Path, arguments: &[&str], resolv_conf: &Path) -> Vec<String> {
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(resolv_conf).arg(program).args(arguments);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let all: Value = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let all = all.as_array().cloned().unwrap_or_default();
    let mut all: Vec<_> = all.iter().map(|one| one["discoveredLabels"].to_string()).collect();
    all.sort();
    all
}

#[expect(clippy::print_stderr, reason = "a test that could not look says so")]
fn may_look() -> bool {
    let script = "mount --bind /etc/hosts /etc/resolv.conf";
    let tried = Command::new("unshare").args(["--mount", "sh", "-c", script]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("WARNING: targets of DNS were NOT compared with Prometheus': that needs root");
    }
    may
}

#[test]
fn records_become_the_targets_that_prometheus_finds() {
    let Some(promtool) = peers::promtool_3().filter(|_| may_look()) else { return };
    let socket = UdpSocket::bind((ADDRESS, 53)).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..length]) {
                let _may_be_gone = socket.send_to(&answer, from);
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let resolv_conf = folder.path().join("resolv.conf");
    fs::write(&resolv_conf, format!("nameserver {ADDRESS}\n")).unwrap();
    let jobs = [
        ("srv", "names: [_http._tcp.example.]", 2),
        ("a", "names: [v4.example.], type: A, port: 80", 2),
        ("aaaa", "names: [v6.example.], type: AAAA, port: 80", 1),
        ("mx", "names: [example.], type: MX, port: 25", 1),
        ("ns", "names: [example.], type: NS, port: 53", 1),
        ("several", "names: [v4.example., empty.example.], type: A, port: 80", 2),
    ];
    let job = |(name, keys, _): &(&str, &str, usize)| {
        format!("- job_name: {name}\n  dns_sd_configs: [{{{keys}}}]\n")
    };
    let config: String = jobs.iter().map(job).collect();
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, format!("scrape_configs:\n{config}")).unwrap();
    for (name, _, count) in jobs {
        let arguments = ["check", "service-discovery", "--timeout=3s", file.to_str().unwrap(), name];
        let ours = found(Path::new(BINARY), &[&["tool"], &arguments[..]].concat(), &resolv_conf);
        assert_eq!(ours.len(), count, "{name}: {ours:?}");
        assert_eq!(ours, found(&promtool, &arguments, &resolv_conf), "{name}");
    }
}
