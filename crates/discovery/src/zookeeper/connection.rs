//! A connection to one server of ZooKeeper. Begins a session and lets it end with itself.

use super::wire::{Asked, Sent, hello, read_children, read_data, read_sent, read_welcome, request};
use crate::{
    error::SourceError,
    limits::{CONNECT_TIMEOUT, FRAME_BYTES_MAX},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

/// The port of servers that name none.
const PORT: u16 = 2181;

/// See above.
#[derive(Debug)]
pub(crate) struct Connection {
    server: String,
    stream: TcpStream,
    /// How long either side may be silent.
    silence: Duration,
    /// When we last said something.
    said: Instant,
    number: i32,
    /// Whether a change was told that nobody has looked at.
    is_changed: bool,
    /// What came of a frame that has not come whole.
    partial: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(server: &str, silence: Duration) -> Result<Self, SourceError> {
        let address = if server.contains(':') { server.to_owned() } else { format!("{server}:{PORT}") };
        let failed = |reason: String| SourceError::Request { url: format!("zookeeper://{address}"), reason };
        let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(&address)).await {
            Ok(stream) => stream.map_err(|e| failed(e.to_string()))?,
            Err(_) => return Err(failed("no connection came in time".to_owned())),
        };
        let said = Instant::now();
        let server = format!("zookeeper://{address}");
        let partial = Vec::new();
        let mut own = Self { server, stream, silence, said, number: 0, is_changed: false, partial };
        own.write_frame(&hello(i32::try_from(silence.as_millis()).unwrap_or(i32::MAX))).await?;
        let welcome = own.frame(Instant::now() + silence).await?;
        let welcome = welcome.ok_or_else(|| own.failed("no answer came in time"))?;
        let agreed = read_welcome(&welcome).ok_or_else(|| own.failed("it begins no session"))?;
        own.silence = Duration::from_millis(u64::from(agreed.unsigned_abs()));
        Ok(own)
    }

    /// What is kept at a path, if there is anything.
    pub(crate) async fn data(&mut self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        match self.ask(Asked::Data(path)).await? {
            Some(body) => read_data(&body).map(Some).ok_or_else(|| self.failed("data is none")),
            None => {
                // When it comes into being, that is told.
                self.ask(Asked::Exists(path)).await?;
                Ok(None)
            }
        }
    }

    /// The names below a path; none where it has gone.
    pub(crate) async fn children(&mut self, path: &str) -> Result<Vec<String>, SourceError> {
        match self.ask(Asked::Children(path)).await? {
            Some(body) => read_children(&body).ok_or_else(|| self.failed("a list of names is none")),
            None => Ok(Vec::new()),
        }
    }

    /// Waits until something changes of what was asked about since the last time.
    pub(crate) async fn changed(&mut self) -> Result<(), SourceError> {
        let mut heard = Instant::now();
        while !std::mem::take(&mut self.is_changed) {
            let ping_at = self.said + self.silence / 3;
            match self.sent(ping_at).await? {
                Some(sent) => {
                    heard = Instant::now();
                    self.is_changed = sent == Sent::Change;
                }
                None if heard.elapsed() > self.silence => return Err(self.failed("it is silent")),
                None => self.write_frame(&request(0, Asked::Ping)).await?,
            }
        }
        Ok(())
    }

    async fn ask(&mut self, asked: Asked<'_>) -> Result<Option<Vec<u8>>, SourceError> {
        self.number = self.number.wrapping_add(1).max(1);
        self.write_frame(&request(self.number, asked)).await?;
        let until = Instant::now() + self.silence;
        loop {
            match self.sent(until).await?.ok_or_else(|| self.failed("no answer came in time"))? {
                Sent::Answer { number, body } if number == self.number => return Ok(body),
                Sent::Answer { .. } => return Err(self.failed("an answer is to nothing that was asked")),
                Sent::Refused(error) => return Err(self.failed(&format!("it refuses with error {error}"))),
                Sent::Change => self.is_changed = true,
                Sent::Pong => {}
            }
        }
    }

    /// What is sent next, if it comes until then.
    async fn sent(&mut self, until: Instant) -> Result<Option<Sent>, SourceError> {
        let Some(frame) = self.frame(until).await? else { return Ok(None) };
        read_sent(&frame).ok_or_else(|| self.failed("an answer is too short")).map(Some)
    }

    async fn write_frame(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        let len = u32::try_from(bytes.len()).map_err(|_| self.failed("a path is too long"))?;
        let whole = [&len.to_be_bytes(), bytes].concat();
        self.said = Instant::now();
        match timeout(self.silence, self.stream.write_all(&whole)).await {
            Ok(written) => written.map_err(|e| self.failed(&e.to_string())),
            Err(_) => Err(self.failed("it takes no request in time")),
        }
    }

    /// The next frame, if it comes until then. What came of it is kept.
    async fn frame(&mut self, until: Instant) -> Result<Option<Vec<u8>>, SourceError> {
        loop {
            if let Some((head, rest)) = self.partial.split_at_checked(4) {
                let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
                if len > FRAME_BYTES_MAX {
                    let what = format!("an answer of {}", self.server);
                    return Err(SourceError::TooLong { what, limit: FRAME_BYTES_MAX });
                }
                if let Some((frame, more)) = rest.split_at_checked(len) {
                    let (frame, more) = (frame.to_vec(), more.to_vec());
                    self.partial = more;
                    return Ok(Some(frame));
                }
            }
            match timeout_at(until, self.stream.read_buf(&mut self.partial)).await {
                Err(_) => return Ok(None),
                Ok(Ok(0)) => return Err(self.failed("the connection ended")),
                Ok(Ok(_)) => {}
                Ok(Err(e)) => return Err(self.failed(&e.to_string())),
            }
        }
    }

    fn failed(&self, reason: &str) -> SourceError {
        SourceError::Request { url: self.server.clone(), reason: reason.to_owned() }
    }
}
