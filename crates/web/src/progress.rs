//! `Progress`: a connection whose peer has to take so much of what is written within a time, else it is given
//! up. Never hastens reading: a client may wait for its answer.

use crate::answers::Client;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// What a peer has to take of a long answer within each timeout: less is a peer that only holds it.
const TAKEN_MIN_BYTES: usize = 64 << 10;

/// The connection.
pub(crate) struct Progress<S> {
    inner: S,
    timeout: Duration,
    stalled: Pin<Box<Sleep>>,
    /// Something was not taken at once, and since then only so many bytes were.
    waits: Option<usize>,
    /// Who takes it.
    client: Option<Arc<Client>>,
}

impl<S> Progress<S> {
    pub(crate) fn new(inner: S, timeout: Duration) -> Self {
        Self { inner, timeout, stalled: Box::pin(sleep(timeout)), waits: None, client: None }
    }

    /// The same of a client that is told what it took.
    pub(crate) fn of(client: Arc<Client>, inner: S, timeout: Duration) -> Self {
        Self { client: Some(client), ..Self::new(inner, timeout) }
    }

    /// Passes on what came of a write; a peer that takes too little is an error.
    fn wrote(&mut self, cx: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(bytes)), Some(client)) = (&wrote, &self.client) {
            client.took(*bytes);
        }
        match (&wrote, &mut self.waits) {
            (Poll::Ready(Ok(bytes)), Some(taken)) => {
                *taken += bytes;
                if *taken >= TAKEN_MIN_BYTES {
                    self.waits = None;
                }
                wrote
            }
            (Poll::Ready(_), _) => wrote,
            (Poll::Pending, _) => self.waiting(cx),
        }
    }

    /// The same of what writes nothing itself. Once it is done, nothing waits to be taken.
    fn flushed(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if done.is_ready() {
            self.waits = None;
            return done;
        }
        self.waiting(cx)
    }

    fn waiting<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.waits.is_none() {
            self.waits = Some(0);
            self.stalled.as_mut().reset(Instant::now() + self.timeout);
        }
        ready!(self.stalled.as_mut().poll(cx));
        let message = format!("the client took less than {TAKEN_MIN_BYTES} bytes in {:?}", self.timeout);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Progress<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Progress<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(cx, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.wrote(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_flush(cx);
        self.flushed(cx, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.flushed(cx, done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = duplex(16);
        let mut ours = Progress::new(ours, TIMEOUT);
        let began = Instant::now();
        let error = ours.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_served_and_a_silent_one_waited_for() {
        const PART: usize = TAKEN_MIN_BYTES;
        let (ours, mut theirs) = duplex(PART);
        let mut ours = Progress::new(ours, TIMEOUT);
        let reader = tokio::spawn(async move {
            let mut got = vec![0; PART];
            for _ in 0..4 {
                sleep(TIMEOUT / 2).await;
                theirs.read_exact(&mut got).await.unwrap();
            }
            sleep(TIMEOUT * 10).await;
            theirs.write_all(b"x").await.unwrap();
            // A short answer behind a long one has its own time.
            let mut got = vec![0; 2 * PART];
            sleep(TIMEOUT / 2).await;
            theirs.read_exact(&mut got).await.unwrap();
        });
        ours.write_all(&[0; 4 * PART]).await.unwrap();
        ours.flush().await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), b'x');
        ours.write_all(&[0; 2 * PART]).await.unwrap();
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_byte_now_and_then_is_given_up() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = Progress::new(ours, TIMEOUT);
        let began = Instant::now();
        let reader = tokio::spawn(async move {
            while theirs.read_u8().await.is_ok() {
                sleep(TIMEOUT / 10).await;
            }
        });
        let error = ours.write_all(&[0; 1 << 20]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, TIMEOUT));
        drop(ours);
        reader.await.unwrap();
    }
}
