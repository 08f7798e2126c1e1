//! `Sent`: the body of a request, and the pace at which it comes. Only the time counts for which somebody
//! asks for more of it and nothing is there; it never ends a body.

use crate::{activity::Activity, pace::Pace};
use axum::body::HttpBody;
use hyper::body::{Bytes, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::Instant;

/// The body.
pub(crate) struct Sent<B> {
    inner: B,
    activity: Arc<Activity>,
    request: u64,
    pace: Pace,
    /// More of it is waited for; else it no longer is since then.
    waits: bool,
    stopped: Instant,
}

impl<B> Sent<B> {
    /// The body of the request of this number.
    pub(crate) fn new(inner: B, activity: &Arc<Activity>, request: u64) -> Self {
        let (activity, now) = (Arc::clone(activity), Instant::now());
        Self { inner, activity, request, pace: Pace::begins(now), waits: false, stopped: now }
    }

    fn waits(&mut self) {
        if !self.waits {
            self.waits = true;
            self.pace.rests(self.stopped.elapsed());
            self.activity.owes(self.request, Some(self.pace));
        }
    }

    /// So many bytes came, or it is waited for no more.
    fn came(&mut self, bytes: usize) {
        if self.waits {
            (self.waits, self.stopped) = (false, Instant::now());
            self.activity.owes(self.request, None);
        }
        self.pace.moves(bytes as u64, self.stopped);
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Sent<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        match &frame {
            Poll::Pending => self.waits(),
            Poll::Ready(Some(Ok(frame))) => self.came(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(_) => self.came(0),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for Sent<B> {
    fn drop(&mut self) {
        self.came(0);
    }
}
