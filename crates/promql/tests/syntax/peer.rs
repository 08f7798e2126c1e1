//! Debian's Prometheus as a peer: started on loopback over an empty directory, asked over HTTP,
//! killed when dropped. Knows nothing of this parser.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PROGRAM: &str = "prometheus";
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What Prometheus says of an expression.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is one, whatever its evaluation gives.
    Accepted,
    /// It is none, for this reason.
    Refused(String),
}

/// A running Prometheus.
pub(crate) struct Peer {
    child: Child,
    port: u16,
    version: String,
    _dir: tempfile::TempDir,
}

impl Peer {
    /// Starts one; none, with a loud word, where it is not installed.
    #[expect(
        clippy::print_stderr,
        reason = "a test that compares nothing must not look like one that passed"
    )]
    pub(crate) fn start() -> Option<Self> {
        let Ok(version) = Command::new(PROGRAM).arg("--version").output() else {
            // Past the harness, which shows what a test prints only when it fails.
            let said = writeln!(std::io::stderr(), "\n*** SKIPPED: {PROGRAM} is not installed ***");
            said.expect("a standard error stream");
            return None;
        };
        let version = String::from_utf8_lossy(&version.stdout);
        let version = version.split_whitespace().nth(2).unwrap_or("?").to_owned();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, "global: {}\n").expect("a configuration");
        let port = free_port();
        let child = Command::new(PROGRAM)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        let peer = Self { child, port, version, _dir: dir };
        let started = Instant::now();
        while peer.get("/-/ready").is_none_or(|(status, _)| status != 200) {
            assert!(started.elapsed() < START_TIMEOUT, "{PROGRAM} was not ready in {START_TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(peer)
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Whether `text` is an expression.
    pub(crate) fn verdict(&self, text: &str) -> Verdict {
        let path = format!("/api/v1/query?time=0&query={}", escaped(text));
        let (status, body) = self.get(&path).expect("an answer");
        // Status 422 means that the evaluation failed, so it was an expression.
        if status == 400 { Verdict::Refused(body) } else { Verdict::Accepted }
    }

    /// `text` in canonical form.
    pub(crate) fn format(&self, text: &str) -> String {
        let path = format!("/api/v1/format_query?query={}", escaped(text));
        let (_, body) = self.get(&path).expect("an answer");
        let quoted =
            body.split_once("\"data\":").map_or("", |(_, rest)| rest.trim_end().trim_end_matches('}'));
        unquoted(quoted)
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Nothing can be done about a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn escaped(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// The text of a JSON string.
fn unquoted(json: &str) -> String {
    let mut out = String::new();
    let inner = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
    let mut chars = inner.expect("a JSON string").chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (c, false) => out.push(c),
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('u') => {
                    let code: String = chars.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&code, 16).expect("four digits");
                    out.push(char::from_u32(code).expect("no surrogate in the corpus"));
                }
                other => out.extend(other),
            },
        }
    }
    out
}
