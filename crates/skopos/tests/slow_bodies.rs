//! Clients that send the bodies of their requests byte by byte, more of them than the server has places for
//! connections, with a password and without: whoever sends as it should is answered meanwhile.

use crate::support::{BINARY, PATIENCE, encoded};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use skopos_testkit::{free_port, http, process::Process, wait::let_live, wait_until};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// More than the 512 places of a server, also without those that it does not know.
const SLOW: usize = 800;
/// So often the one that is as it should be asks, in all ways each.
const ROUNDS: usize = 10;
/// What takes bodies, and of what kind.
const DOORS: [(&str, &str); 8] = [
    ("/api/v1/write", "application/x-protobuf"),
    ("/api/v1/otlp/v1/metrics", "application/x-protobuf"),
    ("/write", "text/plain"),
    ("/api/v1/import/prometheus", "text/plain"),
    ("/metrics/job/slow", "text/plain"),
    ("/api/v1/query", "application/x-www-form-urlencoded"),
    ("/api/v1/read", "application/x-protobuf"),
    ("/api/v1/labels", "multipart/form-data; boundary=b"),
];

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// A server whose bodies have so much time that waiting for its end is no way out.
fn serve(folder: &Path) -> (Process, String) {
    let hash = bcrypt::hash("sesame", 4).unwrap();
    fs::write(folder.join("web.yml"), format!("basic_auth_users: {{alice: '{hash}'}}\n")).unwrap();
    fs::write(folder.join("prometheus.yml"), "{}\n").unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(BINARY);
    command.current_dir(folder).args([
        "server",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--web.config.file=web.yml",
        "--web.enable-remote-write-receiver",
        "--web.enable-otlp-receiver",
        "--push.enable=influx,import,pushgateway",
        "--push.body-timeout=1h",
        &format!("--web.listen-address={address}"),
    ]);
    (Process::start("skopos server", command, &folder.join("log")).unwrap(), address)
}

/// A client that is slow: its connection, while it has one.
struct Slow {
    nth: usize,
    stream: Option<TcpStream>,
}

impl Slow {
    /// Begins a request if none is under way, else sends a byte more of its body.
    fn go_on(&mut self, address: &str, cut: &AtomicU64) {
        let gone = match &mut self.stream {
            None => self.begin(address).is_err(),
            Some(stream) => stream.write_all(b"x").is_err() || has_ended(stream),
        };
        if gone {
            self.stream = None;
            cut.fetch_add(1, Relaxed);
        }
    }

    fn begin(&mut self, address: &str) -> io::Result<()> {
        let (path, kind) = DOORS[self.nth % DOORS.len()];
        let mut stream = TcpStream::connect(address)?;
        // Every fifth has a wrong password, or none.
        let authorization = match self.nth % 10 {
            0 => "X-None: true".to_owned(),
            5 => format!("Authorization: {}", basic("alice", "open")),
            _ => format!("Authorization: {}", basic("alice", "sesame")),
        };
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: a\r\n{authorization}\r\nContent-Type: {kind}\r\n\
             Content-Length: 100000\r\n\r\nx"
        )?;
        stream.set_nonblocking(true)?;
        self.stream = Some(stream);
        Ok(())
    }
}

/// Whether the server has closed it; an answer is read away.
fn has_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 4096]) {
        Ok(read) => read == 0,
        Err(e) => e.kind() != io::ErrorKind::WouldBlock,
    }
}

/// Slow clients go on until it is over.
fn drip(address: &str, over: &AtomicBool, (begun, cut): (&AtomicU64, &AtomicU64)) {
    let mut clients: Vec<_> = (0..SLOW).map(|nth| Slow { nth, stream: None }).collect();
    while !over.load(Relaxed) {
        clients.iter_mut().for_each(|client| client.go_on(address, cut));
        begun.fetch_add(1, Relaxed);
        let_live(Duration::from_millis(200));
    }
}

/// Pushes, and asks, with a connection each; how many were taken.
fn one_round(url: &str, nth: usize) -> [u16; 4] {
    let known = basic("alice", "sesame");
    let headers = [("Authorization", known.as_str()), ("Content-Type", "text/plain")];
    let form = [headers[0], ("Content-Type", "application/x-www-form-urlencoded")];
    // Long enough that it comes in several parts.
    let lines: String = (0..5000).map(|i| format!("m,i={i} v={nth}\n")).collect();
    let query = format!("query={}", encoded("count(m_v)"));
    let all = [
        http::request("POST", &format!("{url}/write"), &headers, lines.as_bytes()),
        http::request("PUT", &format!("{url}/metrics/job/good"), &headers, b"pushed 1\n"),
        http::request("POST", &format!("{url}/api/v1/query"), &form, query.as_bytes()),
        http::request("GET", &format!("{url}/metrics"), &headers, b""),
    ];
    all.map(|answer| answer.map_or(0, |answer| answer.status))
}

#[test]
fn clients_whose_bodies_drip_keep_nobody_from_pushing_and_asking() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, address) = serve(folder.path());
    let url = format!("http://{address}");
    wait_until("an answer", PATIENCE, || http::get(&format!("{url}/-/ready")).ok());
    wait_until("it takes pushes", PATIENCE, || (one_round(&url, 0) == [204, 200, 200, 200]).then_some(()));
    let (over, begun, cut) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let rounds = thread::scope(|scope| {
        scope.spawn(|| drip(&address, &over, (&begun, &cut)));
        let dripping = skopos_testkit::wait::poll(PATIENCE, || (begun.load(Relaxed) > 1).then_some(()));
        let round = |nth| {
            let since = Instant::now();
            (one_round(&url, nth), since.elapsed())
        };
        let rounds: Vec<_> = (1..=ROUNDS).map(round).collect();
        // Before anything is asserted: slow clients go on until this.
        over.store(true, Relaxed);
        dripping.map(|()| rounds)
    });
    let rounds = rounds.expect("all have begun");
    let longest = rounds.iter().map(|(_, took)| *took).max();
    println!("longest round {longest:?}, {} slow clients were cut", cut.into_inner());
    assert!(rounds.iter().all(|(statuses, _)| *statuses == [204, 200, 200, 200]), "{rounds:?}");
    assert!(process.ended().is_none(), "the server has ended");
}
