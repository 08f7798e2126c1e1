//! An HTTP server that follows a script of bad manners: what a scraper has to live through. Plain threads; it
//! ends with its handle, whatever its clients do.

mod answer;

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a blocked read or write looks whether the server is to end.
const BEAT: Duration = Duration::from_millis(100);

/// How the server treats one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Misbehaviour {
    /// As it should: this status, content type and body.
    Answers {
        /// The status code.
        status: u16,
        /// The content type.
        content_type: String,
        /// The body.
        body: Vec<u8>,
    },
    /// Bytes that are no HTTP.
    SpeaksGarbage,
    /// A good answer whose body is bytes of no sense, no valid UTF-8 among them.
    GarbageBody {
        /// How many.
        bytes: usize,
    },
    /// A good answer whose body ends in the middle of its second line.
    HalfLine,
    /// A good answer whose body is one line.
    HugeLine {
        /// How long it is.
        bytes: usize,
    },
    /// Very many lines, made while they are sent.
    ManyLines {
        /// How many.
        lines: usize,
        /// How many series they are of; each has its lines in turn. A few make short lines.
        series: usize,
        /// What stands behind them.
        last: &'static str,
    },
    /// Good lines without end.
    EndlessBody,
    /// A good answer, byte by byte.
    Drips {
        /// The body.
        body: Vec<u8>,
        /// The time between two bytes.
        pause: Duration,
    },
    /// A body of another length than the head claims; the connection is closed after it.
    WrongContentLength {
        /// The body.
        body: Vec<u8>,
        /// What the head claims.
        claimed: usize,
    },
    /// This body, compressed.
    Gzip {
        /// The body.
        body: Vec<u8>,
    },
    /// A compressed body that is cut off in the middle.
    TornGzip {
        /// The body.
        body: Vec<u8>,
    },
    /// A small compressed body that becomes large.
    GzipBomb {
        /// How large.
        inflated_bytes: usize,
    },
    /// Sends the client to the same place again, and again.
    RedirectsToItself,
    /// Reads the request and says nothing.
    NeverAnswers,
    /// Sends a head and nothing more.
    NeverSendsBody,
    /// Closes the connection without a word.
    ClosesAtOnce,
}

impl Misbehaviour {
    /// A text exposition answered as it should be.
    #[must_use]
    pub fn text(body: &str) -> Misbehaviour {
        let content_type = "text/plain; version=0.0.4; charset=utf-8".to_owned();
        Misbehaviour::Answers { status: 200, content_type, body: body.as_bytes().to_vec() }
    }
}

/// A request that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method, path and version, as sent.
    pub line: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
}

/// The server. Dropping it ends it and all its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The last one stays for all requests that follow.
    script: Mutex<VecDeque<Misbehaviour>>,
    requests: Mutex<Vec<Request>>,
    ending: Mutex<bool>,
    ends: Condvar,
}

impl Server {
    /// Starts a server that treats its requests by `script`, one after the other; the last way stays.
    ///
    /// # Panics
    /// If the script is empty.
    #[must_use]
    pub fn start(script: impl IntoIterator<Item = Misbehaviour>) -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port can be bound");
        let address = listener.local_addr().expect("invariant: a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let for_acceptor = Arc::clone(&shared);
        let acceptor = thread::spawn(move || accept(&listener, &for_acceptor));
        let server = Server { address, shared, acceptor: Some(acceptor) };
        server.behave(script);
        server
    }

    /// Replaces the rest of the script.
    ///
    /// # Panics
    /// If the script is empty.
    pub fn behave(&self, script: impl IntoIterator<Item = Misbehaviour>) {
        let script: VecDeque<Misbehaviour> = script.into_iter().collect();
        assert!(!script.is_empty(), "a script needs at least one way to behave");
        *lock(&self.shared.script) = script;
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The address of `path` (which begins with `/`).
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests whose head has come in so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *lock(&self.shared.ending) = true;
        self.shared.ends.notify_all();
        // Wakes the acceptor, which then sees that it is to end.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            // A panic of its thread has been printed already, and a drop must not panic again.
            drop(acceptor.join());
        }
    }
}

impl Shared {
    fn is_ending(&self) -> bool {
        *lock(&self.ending)
    }

    /// Waits for `pause`, or until the server is to end, and tells whether it is.
    fn rest(&self, pause: Duration) -> bool {
        let waited = self.ends.wait_timeout_while(lock(&self.ending), pause, |ending| !*ending);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn next(&self) -> Misbehaviour {
        let mut script = lock(&self.script);
        let next = if script.len() > 1 { script.pop_front() } else { script.front().cloned() };
        next.expect("invariant: a script is never empty")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections: Vec<JoinHandle<()>> = Vec::new();
    for stream in listener.incoming().flatten() {
        if shared.is_ending() {
            break;
        }
        connections.retain(|connection| !connection.is_finished());
        let shared = Arc::clone(shared);
        // A client that goes away in the middle of an answer is no failure here.
        connections.push(thread::spawn(move || drop(converse(stream, &shared))));
    }
    for connection in connections {
        drop(connection.join());
    }
}

fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(BEAT))?;
    stream.set_write_timeout(Some(BEAT))?;
    let Some(request) = read_request(&stream, shared)? else { return Ok(()) };
    lock(&shared.requests).push(request);
    answer::give(shared.next(), answer::Wire { stream, shared })
}

fn read_request(stream: &TcpStream, shared: &Shared) -> io::Result<Option<Request>> {
    let mut stream = BufReader::new(stream);
    let mut lines: Vec<String> = Vec::new();
    let mut line = Vec::new();
    loop {
        match stream.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if is_beat(&error) && !shared.is_ending() => continue,
            Err(error) => return Err(error),
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if text.is_empty() {
            break;
        }
        lines.push(text);
        line.clear();
    }
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    Ok(lines.first().cloned().map(|line| Request { line, headers }))
}

/// Whether a read or write only ran into the time after which it looks around.
fn is_beat(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
