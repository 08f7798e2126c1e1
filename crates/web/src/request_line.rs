//! `AnyTarget`: a connection of HTTP/1 whose clients may leave quotes, `<`, `>`, `#` and what is no ASCII in
//! an address as they are (`curl -g 'http://…/query?query=up{job="x"}>0'`), most of which the parser of HTTP
//! refuses: it reads them as the client should have written them. Looks at heads of requests alone, which no
//! length frames: once a request has a body, nothing is looked at any more.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Headers of requests that have a body.
const OF_BODIES: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];

/// Where the next byte that is read stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Before a request, or in its first line, of which so many bytes came.
    Line(usize),
    /// In a line behind it, of which so many bytes came, each of which the header's name has too.
    Header { length: usize, like: [bool; 2] },
    /// Anywhere: it is handed on as it is.
    Anywhere,
}

/// The connection.
#[derive(Debug)]
pub(crate) struct AnyTarget<S> {
    inner: S,
    next: Next,
    /// What was read and not yet handed on.
    waits: Vec<u8>,
}

impl Next {
    const HEADER: Self = Self::Header { length: 0, like: [true; 2] };

    /// What it is behind `byte`, and how that has to be written where it has to be written otherwise.
    fn behind(self, byte: u8) -> (Self, Option<[u8; 3]>) {
        match (self, byte) {
            (Self::Line(1..), b'\n') => (Self::HEADER, None),
            // Empty lines may stand before a request.
            (Self::Line(0), b'\r' | b'\n') | (Self::Header { length: 0, .. }, b'\r') => (self, None),
            (Self::Line(length), _) => (Self::Line(length + 1), written(byte)),
            (Self::Header { length: 0, .. }, b'\n') => (Self::Line(0), None),
            (Self::Header { .. }, b'\n') => (Self::HEADER, None),
            (Self::Header { length, like }, b':') => {
                let names = OF_BODIES.iter().zip(like);
                let has_body = names.clone().any(|(name, like)| like && name.len() == length);
                let other = Self::Header { length: length + 1, like: [false; 2] };
                (if has_body { Self::Anywhere } else { other }, None)
            }
            (Self::Header { length, like: [length_like, encoding_like] }, _) => {
                let still = |of: usize| OF_BODIES[of].get(length) == Some(&byte.to_ascii_lowercase());
                let like = [length_like && still(0), encoding_like && still(1)];
                (Self::Header { length: length + 1, like }, None)
            }
            (Self::Anywhere, _) => (self, None),
        }
    }
}

fn written(byte: u8) -> Option<[u8; 3]> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |four_bits: u8| DIGITS[usize::from(four_bits & 0xf)];
    let must = matches!(byte, b'"' | b'#' | b'<' | b'>' | b'`' | 0x80..);
    must.then(|| [b'%', digit(byte >> 4), digit(byte)])
}

impl<S> AnyTarget<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, next: Next::Line(0), waits: Vec::new() }
    }

    /// What has to be read in the place of `bytes`; none where they may stay.
    fn changed(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut instead: Option<Vec<u8>> = None;
        for (i, byte) in bytes.iter().enumerate() {
            if self.next == Next::Anywhere && instead.is_none() {
                return None;
            }
            let (next, otherwise) = self.next.behind(*byte);
            self.next = next;
            if let Some(otherwise) = otherwise {
                instead.get_or_insert_with(|| bytes[..i].to_vec()).extend(otherwise);
            } else if let Some(instead) = &mut instead {
                instead.push(*byte);
            }
        }
        instead
    }

    /// Hands on as much as there is room for.
    fn hand_on(&mut self, into: &mut ReadBuf<'_>) {
        let now = self.waits.len().min(into.remaining());
        into.put_slice(&self.waits[..now]);
        self.waits.drain(..now);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AnyTarget<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.waits.is_empty() {
            let before = into.filled().len();
            ready!(Pin::new(&mut self.inner).poll_read(cx, into))?;
            if let Some(instead) = self.changed(&into.filled()[before..]) {
                into.set_filled(before);
                self.waits = instead;
            }
        }
        self.hand_on(into);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnyTarget<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    /// What is read of `sent`, which comes in parts of `part` bytes, into room for `room` at a time.
    async fn read(sent: &str, part: usize, room: usize) -> String {
        let (theirs, mut ours) = tokio::io::duplex(part);
        let mut connection = AnyTarget::new(theirs);
        let sent = sent.to_owned();
        let sending = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut ours, sent.as_bytes()).await.unwrap();
        });
        let mut got = Vec::new();
        let mut buffer = vec![0; room];
        loop {
            match connection.read(&mut buffer).await.unwrap() {
                0 => break,
                n => got.extend_from_slice(&buffer[..n]),
            }
        }
        sending.await.unwrap();
        String::from_utf8(got).unwrap()
    }

    #[tokio::test]
    async fn addresses_are_read_as_they_should_be_written() {
        let sent = "\r\nGET /a?b>=`<\"#é HTTP/1.1\r\nX: <`>\r\nContent-Type: x>\r\n\r\nGET /> HTTP/1.1\n\n<";
        let got = "\r\nGET /a?b%3E=%60%3C%22%23%C3%A9 HTTP/1.1\r\nX: <`>\r\nContent-Type: x>\r\n\r\n\
                   GET /%3E HTTP/1.1\n\n%3C";
        for (part, room) in [(1, 1), (1, 100), (7, 2), (1000, 1000), (1000, 3)] {
            assert_eq!(read(sent, part, room).await, got, "{part} {room}");
        }
    }

    #[tokio::test]
    async fn behind_a_request_with_a_body_nothing_is_changed() {
        for header in ["Content-Length: 6", "transfer-encoding: chunked", "CONTENT-LENGTH:\t6"] {
            let sent = format!("POST /> HTTP/1.1\r\nA: b\r\n{header}\r\n\r\n\n<a>\n<GET /< HTTP/1.1\r\n\r\n");
            for (part, room) in [(1, 1), (1000, 1000), (11, 5)] {
                assert_eq!(read(&sent, part, room).await, sent.replacen('>', "%3E", 1), "{header}");
            }
        }
        for other in ["Content-Lengths: 6", "Content: 6", "X: content-length:", "Content-Lengt: 6"] {
            let sent = format!("GET /x HTTP/1.1\r\n{other}\r\n\r\nGET /< HTTP/1.1\r\n\r\n");
            assert_eq!(read(&sent, 1000, 1000).await, sent.replace('<', "%3C"), "{other}");
        }
    }
}
