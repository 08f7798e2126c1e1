//! A server that answers by a function and keeps what it was asked.

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// A request: its first line, its headers in small letters, its body.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    /// The values of a header, one behind the other.
    pub(crate) fn header(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        values.collect::<Vec<_>>().join(",")
    }
}

/// What is answered: a status, further headers, a text.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, String);

/// The server. It ends with the process.
pub(crate) struct Server {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// A server of HTTP.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::accept(answer, |stream, answer| converse(stream, answer))
    }

    /// A server of HTTP over TLS.
    pub(crate) fn start_tls(
        config: impl Fn() -> Arc<ServerConfig> + Send + Sync + 'static,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::accept(answer, move |stream, answer| {
            let connection = ServerConnection::new(config()).unwrap();
            converse(StreamOwned::new(connection, stream), answer);
        })
    }

    fn accept(
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
        speak: impl Fn(TcpStream, &dyn Fn(Asked) -> Answer) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (kept, shared) = (Arc::clone(&asked), Arc::new((answer, speak)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, shared) = (Arc::clone(&kept), Arc::clone(&shared));
                thread::spawn(move || {
                    let stream = stream.unwrap();
                    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                    let (answer, speak) = &*shared;
                    speak(stream, &|request| {
                        let given = answer(&request);
                        kept.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                        given
                    });
                });
            }
        });
        Self { port, asked }
    }

    /// What was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

/// Answers one request, and closes. A connection that fails, as some are to, is left.
fn converse(stream: impl Read + Write, answer: &dyn Fn(Asked) -> Answer) {
    let mut stream = BufReader::new(stream);
    let Some(asked) = read(&mut stream) else { return };
    let (status, headers, text) = answer(asked);
    let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head =
        format!("HTTP/1.1 {status} x\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    let stream = stream.get_mut();
    let _gone = stream.write_all((head + &text).as_bytes()).and_then(|()| stream.flush());
}

fn read(stream: &mut impl BufRead) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let headers: Vec<_> = headers.map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
    let length = headers.iter().find(|(n, _)| n == "content-length").and_then(|(_, v)| v.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(Asked { line: lines.swap_remove(0), headers, body: String::from_utf8(body).unwrap() })
}

/// An answer that is a text.
pub(crate) fn text(text: &str) -> Answer {
    (200, Vec::new(), text.to_owned())
}
