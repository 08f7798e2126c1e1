//! A server whose answers a test makes up. Plain threads, which end with it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::net::UnixListener,
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
    pub(crate) method: String,
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
    /// Its certificate, in PEM, which vouches for itself; empty of one at a socket.
    pub(crate) certificate: String,
    ended: Arc<AtomicBool>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// How a server speaks.
#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Plain,
    /// TLS, with a certificate that nobody vouches for.
    Tls,
    /// Plain until it is asked to connect somebody; then it is who was asked for.
    Proxy,
}

impl Server {
    pub(crate) fn new(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::speaking(Speaks::Plain, handler)
    }

    /// With TLS.
    pub(crate) fn secure(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::speaking(Speaks::Tls, handler)
    }

    /// A proxy that is everybody who is asked for through it, with TLS.
    pub(crate) fn everybody(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::speaking(Speaks::Proxy, handler)
    }

    fn speaking(speaks: Speaks, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (ended, handler): (Arc<AtomicBool>, Handler) = (Arc::default(), Arc::new(handler));
        let (tls, certificate) = tls();
        let end = Arc::clone(&ended);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (handler, ended, tls) = (Arc::clone(&handler), Arc::clone(&end), Arc::clone(&tls));
                thread::spawn(move || {
                    let mut plain = BufReader::new(stream);
                    if speaks == Speaks::Proxy && accept_connect(&mut plain).is_none() {
                        return;
                    }
                    if speaks == Speaks::Plain {
                        return serve(plain, &handler, &ended);
                    }
                    let connection = rustls::ServerConnection::new(tls).unwrap();
                    let stream = rustls::StreamOwned::new(connection, plain.into_inner());
                    serve(BufReader::new(stream), &handler, &ended);
                });
            }
        });
        Self { address, certificate, ended }
    }

    /// At a socket of this machine.
    pub(crate) fn at(socket: &Path, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let (ended, handler): (Arc<AtomicBool>, Handler) = (Arc::default(), Arc::new(handler));
        let end = Arc::clone(&ended);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (handler, ended) = (Arc::clone(&handler), Arc::clone(&end));
                thread::spawn(move || serve(BufReader::new(stream), &handler, &ended));
            }
        });
        Self { address: String::new(), certificate: String::new(), ended }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port alone.
    pub(crate) fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }
}

/// Names that a certificate must have where it is looked at.
const NAMES: [&str; 4] =
    ["localhost", "compute.googleapis.com", "oauth2.googleapis.com", "login.microsoftonline.com"];

fn tls() -> (Arc<rustls::ServerConfig>, String) {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let own = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned)).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    (Arc::new(config.with_single_cert(vec![own.cert.der().clone()], key).unwrap()), own.cert.pem())
}

fn accept_connect(stream: &mut BufReader<TcpStream>) -> Option<()> {
    read_request(stream)?;
    stream.get_mut().write_all(b"HTTP/1.1 200 x\r\n\r\n").ok()
}

fn serve<S: Read + Write>(mut stream: BufReader<S>, handler: &Handler, ended: &AtomicBool) {
    while let Some(request) = read_request(&mut stream) {
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
            if stream.get_mut().write_all(whole.as_bytes()).is_err() {
                return;
            }
            while !ended.load(Ordering::SeqCst) {
                thread::park_timeout(Duration::from_millis(50));
            }
            return;
        }
        // Whoever asks for the head alone would take a body for the next answer.
        let sent = if request.method == "HEAD" { "" } else { body.as_str() };
        let whole = format!("{head}Content-Length: {}\r\n\r\n{sent}", body.len());
        let out = stream.get_mut();
        if out.write_all(whole.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

fn read_request(input: &mut impl BufRead) -> Option<Request> {
    let mut line = || {
        let mut text = String::new();
        let read = input.read_line(&mut text).ok()?;
        (read > 0).then(|| text.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request =
        Request { method, path: path.to_owned(), query: query.to_owned(), ..Request::default() };
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
