//! A small blocking HTTP/1.1 client for tests: a connection for each request, or one that is kept. No
//! redirects, no decompression, so that a test sees just what a server sends. Never for the product.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a server may be silent.
const TIMEOUT: Duration = Duration::from_secs(30);
/// More than any answer in a test; a server without end is an error instead of all of the memory.
const BODY_LIMIT: u64 = 256 << 20;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body, as it was sent (chunks put together, compression kept).
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of this name (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, with a sign in the place of bytes that are not UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Fetches `url` (`http://host:port/path`).
///
/// # Errors
/// If no connection is made, the server is silent for too long, or what it says is no HTTP.
pub fn get(url: &str) -> io::Result<Response> {
    request("GET", url, &[], &[])
}

/// As [`get`], from a server that may be silent for so long.
///
/// # Errors
/// As [`get`].
pub fn get_within(url: &str, silence: Duration) -> io::Result<Response> {
    exchange("GET", url, (&[], &[]), silence)
}

/// Sends `body` to `url` with its content type.
///
/// # Errors
/// As [`get`].
pub fn post(url: &str, content_type: &str, body: &[u8]) -> io::Result<Response> {
    request("POST", url, &[("Content-Type", content_type)], body)
}

/// Sends any request.
///
/// # Errors
/// As [`get`].
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Response> {
    exchange(method, url, (headers, body), TIMEOUT)
}

fn exchange(
    method: &str,
    url: &str,
    (headers, body): (&[(&str, &str)], &[u8]),
    silence: Duration,
) -> io::Result<Response> {
    let rest =
        url.strip_prefix("http://").ok_or_else(|| invalid(format!("`{url}` is no http:// address")))?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(silence))?;
    stream.set_write_timeout(Some(silence))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    read_response(BufReader::new(stream))
}

/// A connection that is kept for many requests.
#[derive(Debug)]
pub struct Connection {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to `address` (`host:port`).
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(address: &str) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Connection { address: address.to_owned(), stream: BufReader::new(stream) })
    }

    /// Fetches `path`.
    ///
    /// # Errors
    /// As [`get`](get()).
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.stream.get_mut().write_all(head.as_bytes())?;
        self.answer()
    }

    /// Sends a form. What comes back is read by [`Connection::answer`], which has to follow.
    ///
    /// # Errors
    /// If the server closed the connection.
    pub fn send_form(&mut self, path: &str, form: &str) -> io::Result<()> {
        let (host, length) = (&self.address, form.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\n{form}"
        );
        self.stream.get_mut().write_all(request.as_bytes())
    }

    /// The answer to what was sent.
    ///
    /// # Errors
    /// As [`get`].
    pub fn answer(&mut self) -> io::Result<Response> {
        read_response(&mut self.stream)
    }
}

fn read_response(mut stream: impl BufRead) -> io::Result<Response> {
    let first = read_line(&mut stream)?;
    let status = first.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| invalid(format!("`{first}` is no HTTP status line")))?;
    let mut response = Response { status, headers: Vec::new(), body: Vec::new() };
    loop {
        let line = read_line(&mut stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(format!("`{line}` is no header")))?;
        response.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    response.body = read_body(&response, stream)?;
    Ok(response)
}

fn read_body(response: &Response, mut stream: impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if response.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let line = read_line(&mut stream)?;
            let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
            let size = size.map_err(|_| invalid(format!("`{line}` is no chunk size")))?;
            read_exactly(&mut stream, size, &mut body)?;
            read_line(&mut stream)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    match response.header("content-length").map(str::parse) {
        Some(Ok(length)) => read_exactly(&mut stream, length, &mut body)?,
        Some(Err(_)) => return Err(invalid("the content length is no number".to_owned())),
        None => {
            stream.take(BODY_LIMIT + 1).read_to_end(&mut body)?;
            check_limit(body.len() as u64)?;
        }
    }
    Ok(body)
}

fn read_exactly(stream: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    check_limit(length.saturating_add(body.len() as u64))?;
    let read = stream.take(length).read_to_end(body)? as u64;
    if read < length {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{read} of {length} bytes came")));
    }
    Ok(())
}

fn check_limit(length: u64) -> io::Result<()> {
    if length > BODY_LIMIT {
        return Err(invalid(format!("the body has more than {BODY_LIMIT} bytes")));
    }
    Ok(())
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    if stream.take(64 << 10).read_until(b'\n', &mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                           3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";

    #[test]
    fn answers_are_read_however_they_are_framed() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcrest", 200, "abc"),
            ("HTTP/1.1 404 Not Found\r\n\r\nall of it", 404, "all of it"),
            ("HTTP/1.0 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, ""),
            (CHUNKED, 200, "abc0123456789"),
        ];
        for (text, status, body) in cases {
            let response = read_response(text.as_bytes()).unwrap();
            assert_eq!((response.status, response.text().as_str()), (status, body), "{text}");
        }
    }

    #[test]
    fn headers_are_found_by_their_name_in_lower_case() {
        let text =
            "HTTP/1.1 200 OK\r\nContent-Type:  text/plain \r\nX: 1\r\nX: 2\r\nContent-Length: 0\r\n\r\n";
        let response = read_response(text.as_bytes()).unwrap();
        assert_eq!(response.header("content-type"), Some("text/plain"));
        assert_eq!(response.header("x"), Some("1"));
        assert_eq!(response.header("y"), None);
    }

    #[test]
    fn broken_answers_are_errors() {
        let cases = [
            "",
            "not http\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        ];
        for text in cases {
            assert!(read_response(text.as_bytes()).is_err(), "{text}");
        }
    }
}
