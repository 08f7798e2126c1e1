//! A server whose answers a test makes up. Plain threads, which end with it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// What a client asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// Without its query.
    pub(crate) path: String,
    pub(crate) query: String,
    /// In lower case, with their values.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }
}

/// What it gets.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Whether the connection stays open behind the body, as a watch does.
    pub(crate) stays_open: bool,
}

impl Reply {
    pub(crate) fn json(body: impl ToString) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self { status: 200, headers, body: body.to_string(), stays_open: false }
    }

    pub(crate) fn text(content_type: &str, body: impl ToString) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self { status: 200, headers, body: body.to_string(), stays_open: false }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), stays_open: false }
    }

    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn open(mut self) -> Self {
        self.stays_open = true;
        self
    }
}

type Handler = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// Answers until it is dropped.
pub(crate) struct Server {
    /// Host and port; empty of one at a socket.
    pub(crate) address: String,
    ended: Arc<AtomicBool>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

impl Server {
    pub(crate) fn new(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (ended, handler): (Arc<AtomicBool>, Handler) = (Arc::default(), Arc::new(handler));
        let end = Arc::clone(&ended);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (handler, ended) = (Arc::clone(&handler), Arc::clone(&end));
                thread::spawn(move || serve(stream, &handler, &ended));
            }
        });
        Self { address, ended }
    }

    /// At a socket of this machine.
    pub(crate) fn at(socket: &Path, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let (ended, handler): (Arc<AtomicBool>, Handler) = (Arc::default(), Arc::new(handler));
        let end = Arc::clone(&ended);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (handler, ended) = (Arc::clone(&handler), Arc::clone(&end));
                thread::spawn(move || serve(stream, &handler, &ended));
            }
        });
        Self { address: String::new(), ended }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

trait Stream: std::io::Read + std::io::Write {
    fn twin(&self) -> Box<dyn std::io::Read + Send>;
}

impl Stream for TcpStream {
    fn twin(&self) -> Box<dyn std::io::Read + Send> {
        Box::new(self.try_clone().unwrap())
    }
}

impl Stream for UnixStream {
    fn twin(&self) -> Box<dyn std::io::Read + Send> {
        Box::new(self.try_clone().unwrap())
    }
}

fn serve(mut stream: impl Stream, handler: &Handler, ended: &AtomicBool) {
    let mut input = BufReader::new(stream.twin());
    while let Some(request) = read_request(&mut input) {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let reply = handler(&request);
        let mut head = format!("HTTP/1.1 {} x\r\n", reply.status);
        reply.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        let body = &reply.body;
        if reply.stays_open {
            let chunk =
                if body.is_empty() { String::new() } else { format!("{:x}\r\n{body}\r\n", body.len()) };
            let whole = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunk}");
            if stream.write_all(whole.as_bytes()).is_err() {
                return;
            }
            while !ended.load(Ordering::SeqCst) {
                thread::park_timeout(Duration::from_millis(50));
            }
            return;
        }
        let whole = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(whole.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(input: &mut BufReader<Box<dyn std::io::Read + Send>>) -> Option<Request> {
    let mut line = || {
        let mut text = String::new();
        let read = input.read_line(&mut text).ok()?;
        (read > 0).then(|| text.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let target = words.nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request { path: path.to_owned(), query: query.to_owned(), ..Request::default() };
    loop {
        let text = line()?;
        let Some((name, value)) = text.split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Some(request)
}
