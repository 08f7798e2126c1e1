//! `Heads`: a connection of HTTP/1 whose client has a time for each head of a request, from its first byte
//! on, and for the first one from the start. Never hastens anything else: answers, bodies, idle connections.

use crate::places::Place;
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// The connection.
pub(crate) struct Heads<S> {
    inner: S,
    place: Arc<Place>,
    timeout: Duration,
    /// The head that has begun, by the number of the wait for it, and when it has to be there.
    begun: Option<(u64, Pin<Box<Sleep>>)>,
}

impl<S> Heads<S> {
    pub(crate) fn new(inner: S, timeout: Duration, place: Arc<Place>) -> Self {
        let begun = Some((0, Box::pin(sleep(timeout))));
        Self { inner, place, timeout, begun }
    }

    /// The deadline of the head that is waited for, if it has begun.
    fn deadline(&mut self, wait: u64) -> Option<Pin<&mut Sleep>> {
        self.begun.as_mut().filter(|(of, _)| *of == wait).map(|(_, sleep)| sleep.as_mut())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(wait) = self.place.wait() else {
            return Pin::new(&mut self.inner).poll_read(cx, into);
        };
        // First of all, for a client that sends byte after byte is late as well.
        if let Some(deadline) = self.deadline(wait)
            && deadline.poll(cx).is_ready()
        {
            let message = format!("the head of a request was not there in {:?}", self.timeout);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)));
        }
        let before = into.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, into))?;
        if into.filled().len() > before && self.deadline(wait).is_none() {
            self.begun = Some((wait, Box::pin(sleep(self.timeout))));
            self.place.begins();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> Heads<S> {
    fn wrote(&self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(wrote, Poll::Ready(Ok(1..))) {
            self.place.took();
        }
        wrote
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.wrote(wrote)
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
