//! A request to a runtime over its Unix socket: HTTP, one question a connection, read to its end or to a
//! deadline. It never reads more than `MAX_ANSWER_BYTES` and never waits longer than `TIMEOUT`.

use crate::local_socket::{self, Limits};
use std::{
    io::{self, Read, Write},
    time::Duration,
};

/// How long a runtime may take for an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// No machine runs as many containers as fill this.
const MAX_ANSWER_BYTES: usize = 16 << 20;
const MAX_HEADERS: usize = 64;

/// The body of the answer to `GET path`.
pub(super) fn get(socket: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = local_socket::connect(socket, Limits { silence: TIMEOUT, lifetime: TIMEOUT })?;
    // HTTP/1.0 asks for a body without chunks, which ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES as u64 + 1).read_to_end(&mut answer)?;
    if answer.len() > MAX_ANSWER_BYTES {
        return Err(io::Error::other(format!("the answer is larger than {MAX_ANSWER_BYTES} bytes")));
    }
    body(&answer)
}

/// The body of a whole answer.
pub(super) fn body(answer: &[u8]) -> io::Result<Vec<u8>> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let start = match head.parse(answer) {
        Ok(httparse::Status::Complete(start)) => start,
        Ok(httparse::Status::Partial) => return Err(odd("the answer ended in its head")),
        Err(error) => return Err(odd(&format!("not an answer of HTTP: {error}"))),
    };
    match head.code {
        Some(200) => {}
        code => return Err(odd(&format!("the answer's code is {}", code.unwrap_or(0)))),
    }
    let header = |name: &str| {
        let found = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value.trim_ascii())
    };
    let rest = &answer[start..];
    if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")) {
        return unchunk(rest).ok_or_else(|| odd("the chunks are not whole"));
    }
    match header("content-length").map(crate::scan::number) {
        Some(Some(len)) if len == rest.len() as u64 => Ok(rest.to_vec()),
        Some(_) => Err(odd("the body is not as long as its head says")),
        None => Ok(rest.to_vec()),
    }
}

/// The content of a chunked body.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let end = memchr::memchr(b'\n', rest)?;
        let line = std::str::from_utf8(rest[..end].trim_ascii()).ok()?;
        let len = usize::from_str_radix(line.split(';').next()?, 16).ok()?;
        if len == 0 {
            return Some(content);
        }
        let chunk = rest.get(end + 1..)?;
        content.extend_from_slice(chunk.get(..len)?);
        rest = chunk.get(len..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(answer: &str) -> Result<String, String> {
        let found = body(answer.as_bytes()).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(found).unwrap())
    }

    #[test]
    fn bodies_of_all_kinds() {
        for (answer, expected) in [
            ("HTTP/1.0 200 OK\r\n\r\n[]", Ok("[]")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", Ok("[]")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[]", Err("the body is not as long")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1;x\r\n]\r\n0\r\n\r\n",
                Ok("[]"),
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n[", Err("the chunks")),
            ("HTTP/1.1 404 No\r\n\r\n{}", Err("the answer's code is 404")),
            ("HTTP/1.1 200 OK\r\nConte", Err("the answer ended in its head")),
            ("SSH-2.0", Err("not an answer of HTTP")),
        ] {
            match (text(answer), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{answer:?}"),
                (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{found}"),
                (found, expected) => panic!("{answer:?}: {found:?}, not {expected:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = body(&bytes);
            unchunk(&bytes);
        }
    }
}
