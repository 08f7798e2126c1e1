//! Answers of all kinds, by a server that writes what it is told.

use super::*;
use std::collections::VecDeque;
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinHandle};

/// What came of an answer.
#[derive(Debug, Default, PartialEq)]
struct Got {
    status: u16,
    content_type: String,
    encoding: String,
    body: String,
}

impl Taker for Got {
    fn head(&mut self, head: &Head<'_>) -> Result<bool, FetchError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        *self = Self {
            status: head.status,
            content_type: text(head.content_type),
            encoding: text(head.encoding),
            body: String::new(),
        };
        Ok(head.status != 302)
    }

    fn part(&mut self, part: Part<'_>) -> Result<(), FetchError> {
        assert!(!part.is_all || self.body.is_empty(), "the whole comes at once");
        self.body.push_str(&String::from_utf8_lossy(part.bytes));
        Ok(())
    }
}

/// The answers of one connection, each in the parts in which it is sent; the connection ends behind the last.
type Connection = Vec<Vec<&'static str>>;

/// Answers so; gives all requests in the end.
async fn server(connections: Vec<Connection>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics?a=b%20c", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answers in connections {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            for answer in answers {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.unwrap() == 0 {
                        break;
                    }
                }
                requests.push(String::from_utf8(request).unwrap());
                for part in answer {
                    stream.write_all(part.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        }
        requests
    });
    (url, served)
}

async fn get(line: &mut Line) -> Result<Option<Got>, String> {
    let mut got = Got::default();
    let taken = line.get(|| vec![0; 200], &mut got).await.map_err(|e| e.to_string())?;
    Ok(taken.then_some(got))
}

async fn one(answer: Vec<&'static str>) -> Result<Option<Got>, String> {
    let (url, served) = server(vec![vec![answer]]).await;
    let got = get(&mut Line::to(&url, &[], true).unwrap()).await;
    served.await.unwrap();
    got
}

#[tokio::test]
async fn a_request_says_what_it_is_told_to_say() {
    let answer = vec!["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nup\n"];
    let (url, served) = server(vec![vec![answer]]).await;
    let mut line = Line::to(&url, &[("Accept", "text/plain"), ("X-Y", "1.5")], true).unwrap();
    assert_eq!(get(&mut line).await.unwrap().unwrap().body, "up\n");
    let host = url.split('/').nth(2).unwrap();
    let request =
        format!("GET /metrics?a=b%20c HTTP/1.1\r\nHost: {host}\r\nAccept: text/plain\r\nX-Y: 1.5\r\n\r\n");
    assert_eq!(served.await.unwrap(), [request]);
}

#[test]
fn what_is_not_plain_http_is_not_for_a_line() {
    for url in ["https://a/metrics", "http://user:word@a/", "http://user@a/", "unix:/a", "no url"] {
        assert!(Line::to(url, &[], true).is_none(), "{url}");
    }
    for (url, host, port) in
        [("http://a/m", "a", 80), ("http://[::1]:9100/m", "::1", 9100), ("http://A.b:81", "a.b", 81)]
    {
        let line = Line::to(url, &[], true).unwrap();
        assert_eq!((&*line.host, line.port), (host, port), "{url}");
    }
}

#[tokio::test]
async fn bodies_come_whole_however_long_they_say_they_are() {
    let long = "x".repeat(1000);
    let known: &'static str = format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{long}").leak();
    let chunked: &'static str =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3e8\r\n{long}\r\n0\r\n\r\n").leak();
    let closed: &'static str = format!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{long}").leak();
    for answer in [known, chunked, closed] {
        assert_eq!(one(vec![answer]).await.unwrap().unwrap().body, long);
        let (head, rest) = answer.split_at(20);
        assert_eq!(one(vec![head, rest]).await.unwrap().unwrap().body, long, "in two parts");
    }
}

#[tokio::test]
async fn a_head_says_what_the_body_is() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\n\
                  content-type: a/b; c=d\r\nCONTENT-ENCODING:  gzip \r\nContent-Length: 0\r\n\r\n";
    let got = one(vec![answer]).await.unwrap().unwrap();
    let expected = Got {
        status: 404,
        content_type: "a/b; c=d".to_owned(),
        encoding: "gzip".to_owned(),
        body: String::new(),
    };
    assert_eq!(got, expected);
    assert_eq!(one(vec!["HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"]).await, Ok(None));
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    let long: &'static str = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(300)).leak();
    for (answer, error) in [
        ("", "the connection was closed before the answer was complete"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "the connection was closed before the answer was complete"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nup", "the connection was closed before"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nup\r\n", "the connection was closed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nup", "the chunks of the body are none"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\nup", "the transfer coding is unknown"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nup", "the length of the answer is no number"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nup", "the length of the answer"),
        ("SSH-2.0-x\r\n\r\n", "the answer is no HTTP: "),
        (long, "the head of the answer is longer than 200 bytes"),
    ] {
        let got = one(vec![answer]).await.unwrap_err();
        assert!(got.starts_with(error), "{answer:?}: {got}");
    }
}

/// Fetches so often as there are answers; how many connections were made is the server's to see.
#[tokio::test]
async fn a_connection_is_kept_where_both_sides_let_it() {
    const KEPT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup";
    const CLOSED: &str = "HTTP/1.1 200 OK\r\nConnection: a, Close\r\nContent-Length: 2\r\n\r\nup";
    const TOO_MUCH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup and more";
    const OLD: &str = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nup";
    const OLD_KEPT: &str = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nup";
    for connections in [
        vec![vec![KEPT, OLD_KEPT, KEPT]],
        vec![vec![KEPT, CLOSED], vec![KEPT]],
        vec![vec![TOO_MUCH], vec![OLD], vec![KEPT]],
        // It is closed behind an answer that does not say so.
        vec![vec![KEPT], vec![KEPT], vec![KEPT]],
    ] {
        let answers: Vec<Connection> =
            connections.iter().map(|c| c.iter().map(|answer| vec![*answer]).collect()).collect();
        let (url, served) = server(answers).await;
        let mut line = Line::to(&url, &[], true).unwrap();
        for _ in 0..3 {
            assert_eq!(get(&mut line).await.unwrap().unwrap().body, "up", "{connections:?}");
        }
        assert_eq!(served.await.unwrap().len(), 3, "{connections:?}");
    }
    let (url, served) = server(vec![vec![vec![KEPT]], vec![vec![KEPT]]]).await;
    let mut line = Line::to(&url, &[], false).unwrap();
    for _ in 0..2 {
        assert_eq!(get(&mut line).await.unwrap().unwrap().body, "up");
    }
    served.await.unwrap();
}

#[test]
fn heads_of_any_bytes_never_panic() {
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\nConnection: x\r\n\r\n0\r\n";
    for len in 0..head.len() {
        let _any = begin(&head[..len], &mut Got::default());
    }
    let mut changed = VecDeque::new();
    for bit in 0..head.len() * 8 {
        let mut odd = *head;
        odd[bit / 8] ^= 1 << (bit % 8);
        if let Ok(Some((mut begun, from))) = begin(&odd, &mut Got::default()) {
            let _any = take(&mut begun.length, &odd[from..], true, &mut Got::default());
        } else {
            changed.push_back(bit);
        }
    }
    assert!(!changed.is_empty(), "no change of the head shows");
}
