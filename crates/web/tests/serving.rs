//! Servers with a file of `--web.config.file`: who gets in, over which connections, and what happens when the
//! file changes.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

use axum::{
    Extension, Router,
    body::Bytes,
    extract::Request,
    routing::{get, post},
};
use hyper::body::Frame;
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Client, ClientBuilder, Identity, StatusCode};
use skopos_web::{
    Protection, Scope, WebConfig,
    answers::Answers,
    config::{ClientAuth, TlsVersion, TokenConfig},
    serve::{Protocol, ServeOptions, listen, serve},
};
use std::{
    collections::{BTreeSet, VecDeque},
    fs,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::oneshot,
};

/// Who signs.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn identity(&self, name: &str) -> Identity {
        let (certificate, key) = self.sign(name);
        Identity::from_pem((key + &certificate).as_bytes()).unwrap()
    }
}

/// A server whose answers need the scope that their path names.
struct Server {
    runtime: Runtime,
    port: u16,
    protection: Arc<Protection>,
    _stop: oneshot::Sender<()>,
}

fn needs(request: &Request) -> Scope {
    match request.uri().path() {
        "/write" => Scope::Write,
        "/admin" => Scope::Admin,
        _ => Scope::Read,
    }
}

impl Server {
    fn start(protection: Arc<Protection>, read_timeout: Duration) -> Self {
        let runtime = Runtime::new().unwrap();
        let listeners = runtime.block_on(listen("localhost:0")).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        let take = |body: String| async move { body.len().to_string() };
        let app = Router::new()
            .route("/read", get(|| async { "read" }).post(take))
            .route("/from", get(|Extension(peer): Extension<SocketAddr>| async move { peer.to_string() }))
            .route("/write", get(|| async { "write" }))
            .route("/admin", get(|| async { "admin" }));
        let (stop, stopped) = oneshot::channel::<()>();
        let options =
            ServeOptions { protection: Arc::clone(&protection), read_timeout, needs, ..ServeOptions::open() };
        runtime.spawn(serve(listeners, app, options, async { drop(stopped.await) }));
        Self { runtime, port, protection, _stop: stop }
    }

    fn of(config: &WebConfig) -> Self {
        let config = config.clone();
        let loaded = Protection::load(Path::new("/nowhere/web.yml"), Box::new(move |_| Ok(config.clone())));
        Self::start(loaded.unwrap(), Duration::from_secs(300))
    }

    fn get(&self, client: &Client, path: &str) -> Result<reqwest::Response, reqwest::Error> {
        let scheme = if self.protection.has_tls() { "https" } else { "http" };
        self.ask(client.get(format!("{scheme}://localhost:{}{path}", self.port)))
    }

    fn ask(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, reqwest::Error> {
        self.runtime.block_on(request.send())
    }
}

/// A client, yet to be built, that believes this authority and no other.
fn believing(authority: Option<&Authority>) -> ClientBuilder {
    let _set_by_another_test = rustls::crypto::ring::default_provider().install_default();
    let roots = authority.map(|a| reqwest::Certificate::from_der(a.certificate.der()).unwrap());
    Client::builder().tls_certs_only(roots)
}

fn client(authority: Option<&Authority>, identity: Option<Identity>) -> Client {
    let builder = believing(authority).pool_max_idle_per_host(0);
    let builder = match identity {
        Some(identity) => builder.identity(identity),
        None => builder,
    };
    builder.build().unwrap()
}

fn with_tls(authority: &Authority) -> WebConfig {
    let mut config = WebConfig::default();
    let (certificate, key) = authority.sign("localhost");
    config.tls_server_config.cert = certificate;
    config.tls_server_config.key = skopos_base::secret::Secret::new(key);
    config
}

fn hash(password: &str) -> skopos_base::secret::Secret<String> {
    skopos_base::secret::Secret::new(bcrypt::hash(password, 4).unwrap())
}

#[test]
fn without_a_file_everybody_may_do_everything() {
    let server = Server::start(Protection::none(), Duration::from_secs(300));
    let client = client(None, None);
    for path in ["/read", "/write", "/admin"] {
        assert_eq!(server.get(&client, path).unwrap().status(), StatusCode::OK);
    }
}

#[test]
fn users_may_do_everything_and_tokens_what_they_are_for() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "in a file\n").unwrap();
    let token = |name: &str, scopes: &[Scope], sha256: &str, token_file: &Path| TokenConfig {
        name: name.into(),
        scopes: scopes.to_vec(),
        sha256: sha256.into(),
        token_file: token_file.into(),
    };
    // SHA-256 of "abc".
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let mut config = WebConfig::default();
    config.basic_auth_users.insert("alice".into(), hash("sesame"));
    config.tokens =
        vec![token("reader", &[Scope::Read], abc, Path::new("")), token("all", &[Scope::Admin], "", &file)];
    config.http_server_config.headers.insert("X-Frame-Options".into(), "deny".into());
    let server = Server::of(&config);
    let client = client(None, None);
    let url = |path: &str| client.get(format!("http://localhost:{}{path}", server.port));
    for (request, status) in [
        (url("/read"), 401),
        (url("/read").basic_auth("alice", Some("sesame")), 200),
        (url("/admin").basic_auth("alice", Some("sesame")), 200),
        (url("/read").basic_auth("alice", Some("open")), 401),
        (url("/read").basic_auth("bob", Some("sesame")), 401),
        (url("/read").bearer_auth("abc"), 200),
        (url("/write").bearer_auth("abc"), 403),
        (url("/admin").bearer_auth("abc"), 403),
        (url("/admin").bearer_auth("in a file"), 200),
        (url("/read").bearer_auth("abd"), 401),
        (url("/read").header("Authorization", "Basic ?"), 401),
    ] {
        let shown = format!("{request:?}");
        let response = server.ask(request).unwrap();
        assert_eq!(response.status().as_u16(), status, "{shown}");
        assert_eq!(response.headers()["x-frame-options"], "deny", "{shown}");
        assert_eq!(response.headers().contains_key("www-authenticate"), status == 401, "{shown}");
    }
}

#[test]
fn requests_beyond_the_rate_are_refused_with_a_time_to_wait() {
    let mut config = WebConfig::default();
    config.rate_limit.interval = skopos_model::DurationMs::from_secs(3600);
    config.rate_limit.burst = 2;
    let server = Server::of(&config);
    let client = client(None, None);
    let statuses: Vec<_> = (0..3).map(|_| server.get(&client, "/read").unwrap()).collect();
    let codes: Vec<_> = statuses.iter().map(|r| r.status().as_u16()).collect();
    assert_eq!(codes, [200, 200, 429]);
    let wait: u64 = statuses[2].headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3500..=3601).contains(&wait), "{wait}");
}

#[test]
fn a_server_with_a_certificate_speaks_tls_only() {
    let authority = Authority::new();
    let server = Server::of(&with_tls(&authority));
    assert_eq!(server.get(&client(Some(&authority), None), "/read").unwrap().status(), StatusCode::OK);
    assert!(server.get(&client(Some(&Authority::new()), None), "/read").is_err());
    let plain = client(None, None).get(format!("http://localhost:{}/read", server.port));
    let refused = server.ask(plain).unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "answered in the clear");
    let text = server.runtime.block_on(refused.text()).unwrap();
    assert_eq!(text, "Client sent an HTTP request to an HTTPS server.\n");
}

#[test]
fn http2_is_offered_unless_it_is_switched_off() {
    let authority = Authority::new();
    let mut config = with_tls(&authority);
    for (http2, protocol) in [(true, &b"h2"[..]), (false, b"http/1.1")] {
        config.http_server_config.http2 = http2;
        let server = Server::of(&config);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let chosen = server.runtime.block_on(async {
            let stream = TcpStream::connect(("localhost", server.port)).await.unwrap();
            let name = "localhost".try_into().unwrap();
            let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
            stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
        });
        assert_eq!(chosen.as_deref(), Some(protocol));
    }
}

#[test]
fn clients_need_the_certificate_that_is_asked_for() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let cases = [
        // Whether none, a stranger's, one of ours and one of ours by another name get in.
        (ClientAuth::NoClientCert, false, [true, true, true, true]),
        (ClientAuth::RequestClientCert, false, [true, true, true, true]),
        (ClientAuth::RequireAnyClientCert, false, [false, true, true, true]),
        (ClientAuth::VerifyClientCertIfGiven, false, [true, false, true, true]),
        (ClientAuth::RequireAndVerifyClientCert, false, [false, false, true, true]),
        (ClientAuth::RequireAndVerifyClientCert, true, [false, false, true, false]),
        (ClientAuth::RequireAnyClientCert, true, [false, true, true, false]),
    ];
    for (auth, named, want) in cases {
        let mut config = with_tls(&ours);
        let tls = &mut config.tls_server_config;
        tls.client_auth_type = auth;
        let verifies =
            matches!(auth, ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert);
        if verifies {
            tls.client_ca = ours.certificate.pem();
        }
        tls.client_allowed_sans = if named { vec!["scraper".to_owned()] } else { Vec::new() };
        let server = Server::of(&config);
        let identities = [
            None,
            Some(theirs.identity("scraper")),
            Some(ours.identity("scraper")),
            Some(ours.identity("x")),
        ];
        let got = identities.map(|i| server.get(&client(Some(&ours), i), "/read").is_ok());
        assert_eq!(got, want, "{auth:?}, by name: {named}");
    }
}

/// A file on the disk, read as a list of `user hash` and the names of certificate and key.
fn load_lines(path: &Path) -> Result<WebConfig, String> {
    let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
    let mut config = WebConfig::default();
    for line in text.lines() {
        let (key, value) = line.split_once(' ').ok_or_else(|| format!("{line:?} is no pair"))?;
        match key {
            "cert" => config.tls_server_config.cert_file = value.into(),
            "key" => config.tls_server_config.key_file = value.into(),
            user => drop(config.basic_auth_users.insert(user.into(), hash(value))),
        }
    }
    Ok(config)
}

#[test]
fn certificates_and_users_change_while_the_server_runs_and_broken_files_change_nothing() {
    let folder = TempDir::new().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let put_certificate = |authority: &Authority| {
        let (certificate, key) = authority.sign("localhost");
        put("cert.pem", &certificate);
        put("key.pem", &key);
    };
    let (first, second) = (Authority::new(), Authority::new());
    put_certificate(&first);
    put("web.yml", "cert cert.pem\nkey key.pem\nalice one");
    let path = folder.path().join("web.yml");
    let protection = Protection::load(&path, Box::new(load_lines)).unwrap();
    let server = Server::start(Arc::clone(&protection), Duration::from_secs(300));
    let status = |authority: &Authority, password: &str| {
        let request = client(Some(authority), None)
            .get(format!("https://localhost:{}/read", server.port))
            .basic_auth("alice", Some(password));
        server.ask(request).map(|r| r.status().as_u16()).ok()
    };
    assert_eq!((status(&first, "one"), status(&first, "three")), (Some(200), Some(401)));

    put_certificate(&second);
    protection.look();
    assert_eq!((status(&second, "one"), status(&first, "one")), (Some(200), None));

    put("web.yml", "cert cert.pem\nkey key.pem\nalice three");
    protection.look();
    assert_eq!((status(&second, "one"), status(&second, "three")), (Some(401), Some(200)));

    for broken in ["no pair on this line at all".replace(' ', "_"), "alice one".to_owned(), String::new()] {
        put("web.yml", &broken);
        protection.look();
        assert_eq!(status(&second, "three"), Some(200), "after {broken:?}");
    }
    put("web.yml", "cert cert.pem\nkey key.pem\nalice four");
    put("key.pem", "garbage");
    protection.look();
    assert_eq!((status(&second, "three"), status(&second, "four")), (Some(200), Some(401)));
}

#[test]
fn a_body_that_stands_still_ends_its_request() {
    let server = Server::start(Protection::none(), Duration::from_millis(200));
    let answer = server.runtime.block_on(async {
        let mut stream = TcpStream::connect(("localhost", server.port)).await.unwrap();
        let head = b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc";
        stream.write_all(head).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        read.expect("the connection ends").unwrap();
        String::from_utf8(answer).unwrap()
    });
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn an_idle_connection_ends_and_so_does_one_whose_request_has_no_end() {
    let short = Duration::from_millis(300);
    ends_what_does_not_go_on(ServeOptions { idle_timeout: short, ..ServeOptions::open() });
    ends_what_does_not_go_on(ServeOptions { read_timeout: short, ..ServeOptions::open() });
}

fn ends_what_does_not_go_on(options: ServeOptions) {
    let runtime = Runtime::new().unwrap();
    let listeners = runtime.block_on(listen("127.0.0.1:0")).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let app = Router::new().route("/", get(|| async { "here" }));
    runtime.spawn(serve(listeners, app, options, std::future::pending()));
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (sent, answered) in [(request, true), ("GET / HTTP/1.1\r\nHo", false), ("", false)] {
        let read = runtime.block_on(async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // A reset ends it as well.
            let reading = stream.read_to_end(&mut answer);
            let _ended = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the end");
            answer
        });
        assert_eq!(read.ends_with(b"here"), answered, "{sent:?}");
    }
}

/// A server whose page `/slow` takes its time, and its address.
fn bounded(options: ServeOptions) -> (Runtime, SocketAddr) {
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        "slow"
    };
    serving(Router::new().route("/", get(|| async { "here" })).route("/slow", get(slow)), options)
}

/// A server of `app`, and its address.
fn serving(app: Router, options: ServeOptions) -> (Runtime, SocketAddr) {
    let runtime = Runtime::new().unwrap();
    let listeners = runtime.block_on(listen("127.0.0.1:0")).unwrap();
    let address = listeners[0].local_addr().unwrap();
    runtime.spawn(serve(listeners, app, options, std::future::pending()));
    (runtime, address)
}

/// All that comes until the server ends the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut got = Vec::new();
    let reading = stream.read_to_end(&mut got);
    // A reset ends it as well.
    let _ended = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the end");
    String::from_utf8(got).unwrap()
}

#[test]
fn clients_that_hold_half_a_request_lock_nobody_out() {
    let (runtime, address) = bounded(ServeOptions { max_connections: 8, ..ServeOptions::open() });
    runtime.block_on(async {
        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut slow = Vec::new();
        for _ in 0..200 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
            slow.push(stream);
        }
        for _ in 0..20 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut got = [0; 15];
            // Far less than any time that a client is given.
            let reading = stream.read_exact(&mut got);
            tokio::time::timeout(Duration::from_secs(5), reading).await.expect("an answer").unwrap();
            assert_eq!(got.as_slice(), b"HTTP/1.1 200 OK");
        }
        assert!(rest(&mut busy).await.ends_with("slow"), "a request under way was ended");
        assert_eq!(rest(&mut slow[0]).await, "");
    });
}

/// A request with a body of a thousand bytes, of which a few are there.
const BEGUN: &[u8] = b"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc";
/// The same over HTTP/2: the preface, empty SETTINGS, HEADERS (POST http / of authority `a`) and DATA.
const BEGUN_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x0b\x01\x04\0\0\0\x01\x83\x86\x04\x05/take\x41\x01a\0\0\x03\0\0\0\0\0\x01abc";

/// Has clients send more requests of this begin than there are places, a byte now and then behind it, while
/// another asks.
fn bodies_that_drip(in_the_clear: Protocol, (begun, byte): (&'static [u8], &'static [u8])) {
    const PLACES: usize = 64;
    let take = |body: Bytes| async move { format!("{} bytes", body.len()) };
    let options = ServeOptions { max_connections: PLACES, in_the_clear, ..ServeOptions::open() };
    let app = Router::new().route("/", get(|| async { "here" })).route("/take", post(take));
    let (runtime, address) = serving(app, options);
    for _ in 0..PLACES * 3 / 2 {
        runtime.spawn(async move {
            loop {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let mut sending = stream.write_all(begun).await;
                while sending.is_ok() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    sending = stream.write_all(byte).await;
                }
            }
        });
    }
    let builder = believing(None).pool_max_idle_per_host(0);
    let builder = if in_the_clear == Protocol::Http2 { builder.http2_prior_knowledge() } else { builder };
    let client = builder.build().unwrap();
    let whole = vec![b'x'; 1 << 20];
    for _ in 0..5 {
        let (asked, sent) = runtime.block_on(async {
            let asked = client.get(format!("http://{address}/")).send().await;
            let sent = client.post(format!("http://{address}/take")).body(whole.clone()).send().await;
            (asked, sent)
        });
        assert_eq!(runtime.block_on(asked.unwrap().text()).unwrap(), "here");
        assert_eq!(runtime.block_on(sent.unwrap().text()).unwrap(), "1048576 bytes");
    }
}

#[test]
fn clients_whose_bodies_drip_lock_nobody_out() {
    bodies_that_drip(Protocol::Http1, (BEGUN, b"x"));
}

#[test]
fn clients_whose_bodies_drip_over_http2_lock_nobody_out() {
    bodies_that_drip(Protocol::Http2, (BEGUN_2, b"\0\0\x01\0\0\0\0\0\x01x"));
}

/// Far more than the system holds of an answer that nobody takes.
const PAGE_BYTES: usize = 32 << 20;

/// Asks for a page, and takes nothing of it.
async fn asks_and_waits(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    stream
}

#[test]
fn clients_that_do_not_take_their_answers_hold_so_much_together_and_lock_nobody_out() {
    const MOST: u64 = 5 * PAGE_BYTES as u64 / 2;
    let answers = Answers::new(MOST);
    let options = ServeOptions { answers: Arc::clone(&answers), ..ServeOptions::open() };
    let page = || get(|| async { vec![b'x'; PAGE_BYTES] });
    let (runtime, address) = serving(Router::new().route("/page", page()), options);
    runtime.block_on(async {
        let mut slow = Vec::new();
        for n in 1..=8_u64 {
            slow.push(asks_and_waits(address).await);
            // Two have room: the others push out one each.
            while answers.given_up() < n.saturating_sub(2) || answers.waiting_bytes() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(answers.waiting_bytes() <= MOST, "{n}: {}", answers.waiting_bytes());
        }
        for _ in 0..3 {
            let answer = client(None, None).get(format!("http://{address}/page")).send().await.unwrap();
            assert_eq!(answer.bytes().await.unwrap().len(), PAGE_BYTES);
        }
        let mut cut = 0;
        for stream in &mut slow {
            cut += usize::from(rest(stream).await.len() < PAGE_BYTES);
        }
        assert!(cut >= 6, "{cut} of eight were given up");
        while answers.waiting_bytes() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

/// Parts without end.
struct Endless;

impl axum::body::HttpBody for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 64 << 10])))))
    }
}

/// Has clients send this request, and take nothing of what comes, on more connections than there are places,
/// while another asks.
fn answers_that_nobody_takes(in_the_clear: Protocol, request: &'static [u8]) {
    const PLACES: usize = 8;
    let options = ServeOptions { max_connections: PLACES, in_the_clear, ..ServeOptions::open() };
    let page = get(|| async { axum::body::Body::new(Endless) });
    let small = get(|| async { "here" });
    let refused = get(|| async { (StatusCode::UNAUTHORIZED, "no") });
    let app = Router::new().route("/", small).route("/page", page).route("/no", refused);
    let (runtime, address) = serving(app, options);
    let builder = believing(None).pool_max_idle_per_host(0).timeout(Duration::from_secs(30));
    let builder = if in_the_clear == Protocol::Http2 { builder.http2_prior_knowledge() } else { builder };
    let client = builder.build().unwrap();
    runtime.block_on(async {
        let mut held = Vec::new();
        for _ in 0..PLACES * 3 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request).await.unwrap();
            held.push(stream);
        }
        for _ in 0..3 {
            let asked = client.get(format!("http://{address}/")).send().await;
            assert_eq!(asked.unwrap().text().await.unwrap(), "here");
        }
    });
}

#[test]
fn clients_that_take_nothing_of_their_answers_lock_nobody_out() {
    answers_that_nobody_takes(Protocol::Http1, b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
}

/// The preface, SETTINGS with a window of nothing, and HEADERS (GET http of authority `a`).
#[test]
fn clients_without_a_window_over_http2_lock_nobody_out() {
    const SETTINGS: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
    for path in ["\x01/", "\x03/no"] {
        let length = char::from(u8::try_from(path.len() + 6).unwrap());
        let headers = format!("\0\0{length}\x01\x05\0\0\0\x01");
        let block: Vec<u8> = [&[0x82, 0x86, 0x04], path.as_bytes(), &[0x41, 0x01, b'a']].concat();
        let request = [SETTINGS.as_bytes(), headers.as_bytes(), &block].concat();
        answers_that_nobody_takes(Protocol::Http2, request.leak());
    }
}

#[test]
fn who_sends_slowly_keeps_its_place_while_others_rest() {
    const PLACES: usize = 8;
    let take = |body: Bytes| async move { format!("{} bytes", body.len()) };
    let options = ServeOptions { max_connections: PLACES, ..ServeOptions::open() };
    let app = Router::new().route("/", get(|| async { "here" })).route("/take", post(take));
    let (runtime, address) = serving(app, options);
    let asks = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut got = [0; 15];
        stream.read_exact(&mut got).await.unwrap();
        stream
    };
    runtime.block_on(async {
        let mut resting = VecDeque::new();
        for _ in 1..PLACES {
            resting.push_back(asks().await);
        }
        // One at least has rested long enough when the first newcomer needs a place.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        let head = b"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\nConnection: close\r\n\r\n";
        slow.write_all(head).await.unwrap();
        // Pauses longer than a second, between which newcomers come.
        for _ in 0..4 {
            slow.write_all(&[b'x'; 10_000]).await.unwrap();
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(400)).await;
                resting.push_back(asks().await);
            }
        }
        let answer = rest(&mut slow).await;
        assert!(answer.ends_with("40000 bytes"), "{answer:?}");
    });
}

#[test]
fn the_head_of_a_request_has_less_time_than_an_idle_connection() {
    let short = Duration::from_millis(300);
    let (runtime, address) = bounded(ServeOptions { read_header_timeout: short, ..ServeOptions::open() });
    runtime.block_on(async {
        let mut kept = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut got = [0; 4096];
        kept.write_all(request).await.unwrap();
        assert!(kept.read(&mut got).await.unwrap() > 0);
        for sent in ["", "GET / HTTP/1.1\r\nHo"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            assert_eq!(rest(&mut stream).await, "", "{sent:?}");
        }
        // A byte now and then is no progress.
        let mut stream = TcpStream::connect(address).await.unwrap();
        while stream.write_all(b"G").await.is_ok() {
            let reading = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut got)).await;
            if matches!(reading, Ok(Ok(0) | Err(_))) {
                break;
            }
        }
        kept.write_all(request).await.unwrap();
        assert!(kept.read(&mut got).await.unwrap() > 0, "an idle connection was ended");
        // Its next head has no more time than the first of another.
        kept.write_all(&request[..20]).await.unwrap();
        assert_eq!(rest(&mut kept).await, "");
    });
}

#[test]
fn a_listener_to_which_nobody_comes_keeps_no_other_waiting() {
    let runtime = Runtime::new().unwrap();
    let bind = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    for busy in [0, 1] {
        let listeners = vec![bind(), bind()];
        let address = listeners[busy].local_addr().unwrap();
        let options = ServeOptions { max_connections: 1, ..ServeOptions::open() };
        let app = Router::new().route("/", get(|| async { "here" }));
        runtime.spawn(serve(listeners, app, options, std::future::pending()));
        let answer = client(None, None).get(format!("http://{address}/")).timeout(Duration::from_secs(20));
        let answer = runtime.block_on(async { answer.send().await?.text().await });
        assert_eq!(answer.unwrap(), "here", "listener {busy}");
    }
}

/// What changes between reading a file and noting what it was like is read the next time.
#[test]
fn a_change_while_the_file_is_read_is_not_missed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("web.yml");
    fs::write(&path, "alice one").unwrap();
    let loader = |path: &Path| {
        let config = load_lines(path);
        // Somebody writes it again just then.
        fs::write(path, "alice another").unwrap();
        config
    };
    let protection = Protection::load(&path, Box::new(loader)).unwrap();
    let server = Server::start(Arc::clone(&protection), Duration::from_secs(300));
    protection.look();
    let with = |password: &str| {
        let request = client(None, None).get(format!("http://localhost:{}/read", server.port));
        server.ask(request.basic_auth("alice", Some(password))).unwrap().status().as_u16()
    };
    assert_eq!((with("one"), with("another")), (401, 200));
}

/// A file that is named for the first time may come later than the one that names it.
#[test]
fn a_file_that_was_missing_is_read_once_it_is_there() {
    let folder = TempDir::new().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.sign("localhost");
    put("cert.pem", &certificate);
    put("key.pem", &key);
    put("web.yml", "cert cert.pem\nkey key.pem\nalice one");
    let path = folder.path().join("web.yml");
    let protection = Protection::load(&path, Box::new(load_lines)).unwrap();
    let server = Server::start(Arc::clone(&protection), Duration::from_secs(300));
    put("web.yml", "cert cert.pem\nkey other.pem\nalice two");
    protection.look();
    let status = |password: &str| {
        let url = format!("https://localhost:{}/read", server.port);
        let request = client(Some(&authority), None).get(url).basic_auth("alice", Some(password));
        server.ask(request).unwrap().status().as_u16()
    };
    assert_eq!((status("one"), status("two")), (200, 401));
    put("other.pem", &key);
    protection.look();
    assert_eq!((status("one"), status("two")), (401, 200));
}

#[test]
fn over_http2_too_nothing_is_no_token() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "in a file\n").unwrap();
    let authority = Authority::new();
    let mut config = with_tls(&authority);
    let token_file = file.as_path().into();
    config.tokens =
        vec![TokenConfig { name: "t".into(), scopes: vec![Scope::Admin], sha256: String::new(), token_file }];
    let server = Server::of(&config);
    let client = client(Some(&authority), None);
    let status = |header: &str| {
        let url = format!("https://localhost:{}/admin", server.port);
        let answer = server.ask(client.get(url).header("Authorization", header)).unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        answer.status().as_u16()
    };
    assert_eq!((status("Bearer "), status("Bearer in a file")), (401, 200));
    // Its file is being written anew.
    fs::write(&file, "").unwrap();
    server.protection.look();
    assert_eq!((status("Bearer "), status("Bearer in a file")), (401, 200));
}

#[test]
fn over_http2_each_request_says_where_it_comes_from_and_counts_for_the_rate() {
    let authority = Authority::new();
    let mut config = with_tls(&authority);
    config.rate_limit.interval = skopos_model::DurationMs::from_secs(3600);
    config.rate_limit.burst = 6;
    let server = Server::of(&config);
    // One connection for all requests of a client.
    let clients = [(); 2].map(|()| believing(Some(&authority)).build().unwrap());
    let mut peers = BTreeSet::new();
    for client in &clients {
        let answers: Vec<_> = (0..3).map(|_| server.get(client, "/from").unwrap()).collect();
        assert!(
            answers.iter().all(|a| a.version() == reqwest::Version::HTTP_2 && a.status() == StatusCode::OK)
        );
        let texts = answers.into_iter().map(|answer| server.runtime.block_on(answer.text()).unwrap());
        let of_client: BTreeSet<SocketAddr> = texts.map(|text| text.parse().unwrap()).collect();
        assert_eq!(of_client.len(), 1, "{of_client:?}");
        assert!(of_client.iter().all(|peer| peer.ip().is_loopback() && peer.port() != server.port));
        peers.extend(of_client);
    }
    assert_eq!(peers.len(), 2, "{peers:?}");
    let beyond = server.get(&clients[0], "/from").unwrap();
    assert_eq!((beyond.version(), beyond.status().as_u16()), (reqwest::Version::HTTP_2, 429));
}

#[test]
fn only_the_versions_of_the_file_are_spoken() {
    use reqwest::tls::Version;
    let authority = Authority::new();
    let mut config = with_tls(&authority);
    for (min, max, speaks) in [
        (TlsVersion::Tls10, TlsVersion::Tls13, [true, true]),
        (TlsVersion::Tls12, TlsVersion::Tls12, [true, false]),
        (TlsVersion::Tls13, TlsVersion::Tls13, [false, true]),
    ] {
        (config.tls_server_config.min_version, config.tls_server_config.max_version) = (min, max);
        let server = Server::of(&config);
        let answered = [Version::TLS_1_2, Version::TLS_1_3].map(|only| {
            let client = believing(Some(&authority));
            let client = client.tls_version_min(only).tls_version_max(only).build().unwrap();
            server.get(&client, "/read").is_ok()
        });
        assert_eq!(answered, speaks, "{min:?} to {max:?}");
    }
}
