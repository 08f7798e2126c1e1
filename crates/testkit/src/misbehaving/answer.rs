//! The answers of the misbehaving server, each as its bytes on the wire. Knows nothing of scripts.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

use super::{BEAT, Misbehaviour, Shared, is_beat};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A connection whose writes end when the server is to end.
pub(super) struct Wire<'a> {
    pub(super) stream: TcpStream,
    pub(super) shared: &'a Shared,
}

impl Wire<'_> {
    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if is_beat(&error) && !self.shared.is_ending() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends a head; `length` is what it claims of the body.
    fn head(&mut self, status: u16, content_type: &str, more: &str, length: Option<usize>) -> io::Result<()> {
        let length = length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
        let head = format!("HTTP/1.1 {status} Scripted\r\nContent-Type: {content_type}\r\n{more}{length}");
        self.send(head.as_bytes())?;
        self.send(b"Connection: close\r\n\r\n")
    }

    /// Sends a whole answer with the right length.
    fn text(&mut self, more: &str, body: &[u8]) -> io::Result<()> {
        self.head(200, TEXT, more, Some(body.len()))?;
        self.send(body)
    }

    /// Keeps the connection open until the server is to end or the client goes away.
    fn hold(&mut self) {
        let mut byte = [0];
        while !self.shared.rest(BEAT) {
            match self.stream.peek(&mut byte) {
                Ok(0) => return,
                Err(error) if !is_beat(&error) => return,
                _ => {}
            }
        }
    }
}

/// Treats one request, whose head has been read, and closes the connection.
pub(super) fn give(way: Misbehaviour, mut wire: Wire<'_>) -> io::Result<()> {
    match way {
        Misbehaviour::Answers { status, content_type, body } => {
            wire.head(status, &content_type, "", Some(body.len()))?;
            wire.send(&body)?;
        }
        Misbehaviour::SpeaksGarbage => wire.send(&garbage(4096))?,
        Misbehaviour::GarbageBody { bytes } => wire.text("", &garbage(bytes))?,
        Misbehaviour::HalfLine => wire.text("", b"whole_line 1\nhalf_line{label=\"val")?,
        Misbehaviour::HugeLine { bytes } => huge_line(&mut wire, bytes)?,
        Misbehaviour::ManyLines { lines, series, last } => many_lines(&mut wire, lines, series, last)?,
        Misbehaviour::EndlessBody => endless(&mut wire)?,
        Misbehaviour::Drips { body, pause } => drip(&mut wire, &body, pause)?,
        Misbehaviour::WrongContentLength { body, claimed } => {
            wire.head(200, TEXT, "", Some(claimed))?;
            wire.send(&body)?;
        }
        Misbehaviour::Gzip { body } => wire.text("Content-Encoding: gzip\r\n", &gzip(&body)?)?,
        Misbehaviour::TornGzip { body } => {
            let whole = gzip(&body)?;
            wire.text("Content-Encoding: gzip\r\n", &whole[..whole.len() / 2])?;
        }
        Misbehaviour::GzipBomb { inflated_bytes } => {
            wire.text("Content-Encoding: gzip\r\n", &bomb(inflated_bytes)?)?;
        }
        Misbehaviour::RedirectsToItself => {
            let location = format!("Location: http://{}/again\r\n", wire.stream.local_addr()?);
            wire.head(302, TEXT, &location, Some(0))?;
        }
        Misbehaviour::NeverAnswers => wire.hold(),
        Misbehaviour::NeverSendsBody => {
            wire.head(200, TEXT, "", Some(1000))?;
            wire.hold();
        }
        Misbehaviour::ClosesAtOnce => {}
    }
    wire.stream.shutdown(Shutdown::Both)
}

fn huge_line(wire: &mut Wire<'_>, bytes: usize) -> io::Result<()> {
    wire.head(200, TEXT, "", Some(bytes))?;
    let part = [b'a'; 16 << 10];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(part.len());
        wire.send(&part[..now])?;
        left -= now;
    }
    Ok(())
}

/// Lines of so many series stand in one part, which is made once.
const FEW_SERIES: usize = 1000;
/// So many bytes go out at a time.
const PART_BYTES: usize = 64 << 10;

fn many_lines(wire: &mut Wire<'_>, lines: usize, series: usize, last: &str) -> io::Result<()> {
    wire.head(200, TEXT, "", None)?;
    if series <= FEW_SERIES {
        // One part is all there is, again and again.
        let rounds = (PART_BYTES / 16 / series).max(1);
        let one: Vec<String> =
            (0..rounds * series).map(|line| format!("m{{number=\"{}\"}} 1\n", line % series)).collect();
        let part = one.concat();
        for _ in 0..lines / one.len() {
            wire.send(part.as_bytes())?;
        }
        wire.send(one[..lines % one.len()].concat().as_bytes())?;
        return wire.send(last.as_bytes());
    }
    let mut part = Vec::with_capacity(PART_BYTES + 1024);
    for line in 0..lines {
        writeln!(part, "one_of_very_many_lines{{number=\"{:012}\"}} 1", line % series)?;
        if part.len() >= PART_BYTES {
            wire.send(&part)?;
            part.clear();
        }
    }
    wire.send(&part)?;
    wire.send(last.as_bytes())
}

fn endless(wire: &mut Wire<'_>) -> io::Result<()> {
    wire.head(200, TEXT, "", None)?;
    for number in 0_u64.. {
        if wire.shared.is_ending() {
            break;
        }
        let lines: String =
            (0..64).map(|at| format!("endless{{number=\"{number}\",at=\"{at}\"}} 1\n")).collect();
        wire.send(lines.as_bytes())?;
    }
    Ok(())
}

fn drip(wire: &mut Wire<'_>, body: &[u8], pause: Duration) -> io::Result<()> {
    wire.head(200, TEXT, "", Some(body.len()))?;
    for byte in body {
        wire.send(&[*byte])?;
        if wire.shared.rest(pause) {
            break;
        }
    }
    Ok(())
}

/// Bytes without sense, the same ones each time. The first is never valid in UTF-8.
fn garbage(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut bytes: Vec<u8> = (0..count)
        .map(|_| {
            // Xorshift; the top byte is the most mixed.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_be_bytes()[0]
        })
        .collect();
    if let Some(first) = bytes.first_mut() {
        *first = 0xff;
    }
    bytes
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

/// A gzip header: deflate, no name, no time.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The deflate block that ends a stream and holds nothing.
const DEFLATE_END: [u8; 2] = [3, 0];
/// What is compressed once and then repeated.
const BOMB_PART_BYTES: usize = 1 << 20;

/// `inflated_bytes` of one line, compressed without ever standing in memory. Parts that were flushed
/// stand for themselves, so one is compressed and then repeated: a gigabyte costs as little as a
/// megabyte.
fn bomb(inflated_bytes: usize) -> io::Result<Vec<u8>> {
    let mut out = GZIP_HEADER.to_vec();
    let mut sum = Crc::new();
    let (whole, rest) = (inflated_bytes / BOMB_PART_BYTES, inflated_bytes % BOMB_PART_BYTES);
    for (bytes, times) in [(BOMB_PART_BYTES, whole), (rest, 1)] {
        let plain = vec![b'a'; bytes];
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&plain)?;
        encoder.flush()?;
        let part = encoder.get_ref().clone();
        let mut part_sum = Crc::new();
        part_sum.update(&plain);
        for _ in 0..times {
            out.extend_from_slice(&part);
            sum.combine(&part_sum);
        }
    }
    out.extend_from_slice(&DEFLATE_END);
    out.extend_from_slice(&sum.sum().to_le_bytes());
    out.extend_from_slice(&sum.amount().to_le_bytes());
    Ok(out)
}
