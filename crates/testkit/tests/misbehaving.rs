//! The misbehaving server does what its script says, seen by a client.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use skopos_testkit::http::{self, Response};
use skopos_testkit::misbehaving::{Misbehaviour, Server};

fn answer_of(way: Misbehaviour) -> std::io::Result<Response> {
    http::get(&Server::start([way]).url("/metrics"))
}

fn inflate(response: &Response) -> std::io::Result<Vec<u8>> {
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    let mut body = Vec::new();
    GzDecoder::new(response.body.as_slice()).read_to_end(&mut body).map(|_| body)
}

#[test]
fn whole_answers_come_as_scripted() {
    let cases = [
        (Misbehaviour::text("up 1\n"), b"up 1\n".to_vec()),
        (Misbehaviour::HugeLine { bytes: 100_000 }, vec![b'a'; 100_000]),
        (Misbehaviour::HalfLine, b"whole_line 1\nhalf_line{label=\"val".to_vec()),
        (
            Misbehaviour::Drips { body: b"up 1\n".to_vec(), pause: Duration::from_millis(1) },
            b"up 1\n".to_vec(),
        ),
    ];
    for (way, body) in cases {
        let response = answer_of(way.clone()).unwrap();
        assert_eq!((response.status, response.body), (200, body), "{way:?}");
    }
    let failing =
        Misbehaviour::Answers { status: 503, content_type: "text/html".to_owned(), body: Vec::new() };
    assert_eq!(answer_of(failing).unwrap().status, 503);
}

#[test]
fn broken_answers_are_broken_in_the_way_that_was_asked_for() {
    let garbage = answer_of(Misbehaviour::GarbageBody { bytes: 1000 }).unwrap();
    assert_eq!(garbage.body.len(), 1000);
    assert!(String::from_utf8(garbage.body).is_err());
    let cases = [
        (Misbehaviour::SpeaksGarbage, ErrorKind::InvalidData),
        (
            Misbehaviour::WrongContentLength { body: b"up 1\n".to_vec(), claimed: 50 },
            ErrorKind::UnexpectedEof,
        ),
        (Misbehaviour::ClosesAtOnce, ErrorKind::UnexpectedEof),
    ];
    for (way, kind) in cases {
        assert_eq!(answer_of(way.clone()).unwrap_err().kind(), kind, "{way:?}");
    }
    let short = Misbehaviour::WrongContentLength { body: b"up 1\nup 2\n".to_vec(), claimed: 5 };
    assert_eq!(answer_of(short).unwrap().body, b"up 1\n");
}

#[test]
fn compressed_answers_are_whole_torn_or_much_larger_than_they_look() {
    let body = b"up 1\n".repeat(100);
    let whole = answer_of(Misbehaviour::Gzip { body: body.clone() }).unwrap();
    assert_eq!(inflate(&whole).unwrap(), body);
    let torn = answer_of(Misbehaviour::TornGzip { body }).unwrap();
    assert!(inflate(&torn).is_err());
    let bomb = answer_of(Misbehaviour::GzipBomb { inflated_bytes: 10 << 20 }).unwrap();
    assert!(bomb.body.len() < 100 << 10, "{} bytes", bomb.body.len());
    assert_eq!(inflate(&bomb).unwrap().len(), 10 << 20);
}

#[test]
fn a_script_is_followed_request_by_request_and_its_last_way_stays() {
    let server =
        Server::start([Misbehaviour::text("first"), Misbehaviour::ClosesAtOnce, Misbehaviour::text("last")]);
    let bodies: Vec<Option<String>> =
        (0..4).map(|_| http::get(&server.url("/m")).ok().map(|r| r.text())).collect();
    assert_eq!(bodies, [Some("first".to_owned()), None, Some("last".to_owned()), Some("last".to_owned())]);
    server.behave([Misbehaviour::text("other")]);
    let headers = [("X-Timeout", "5")];
    assert_eq!(http::request("GET", &server.url("/n?a=b"), &headers, &[]).unwrap().text(), "other");
    let requests = server.requests();
    assert_eq!(requests.len(), 5);
    assert_eq!(requests[4].line, "GET /n?a=b HTTP/1.1");
    assert!(requests[4].headers.contains(&("x-timeout".to_owned(), "5".to_owned())), "{:?}", requests[4]);
}

#[test]
fn the_server_ends_however_its_clients_hang() {
    let ways = [
        Misbehaviour::NeverAnswers,
        Misbehaviour::NeverSendsBody,
        Misbehaviour::EndlessBody,
        Misbehaviour::Drips { body: vec![b'a'; 1000], pause: Duration::from_secs(60) },
    ];
    for way in ways {
        let server = Server::start([way.clone()]);
        let mut client = std::net::TcpStream::connect(server.address()).unwrap();
        std::io::Write::write_all(&mut client, b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let seen = || (!server.requests().is_empty()).then_some(());
        skopos_testkit::wait_until("the request", Duration::from_secs(20), seen);
        let started = Instant::now();
        drop(server);
        assert!(started.elapsed() < Duration::from_secs(10), "{way:?} took {:?}", started.elapsed());
        // A client that reads on gets to an end as well.
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let end = client.read_to_end(&mut Vec::new());
        let reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        assert!(end.as_ref().map_or_else(reset, |_| true), "{way:?}: {end:?}");
    }
}
