//! `Sent`: the body of a request, and how far it is behind the rate at which a body has to come. Only the
//! time counts for which somebody asks for more of it and nothing is there; it never ends a body.

use crate::activity::Activity;
use axum::body::HttpBody;
use hyper::body::{Bytes, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// So much of a body makes good for a second of waiting.
const RATE_BYTES: u32 = 16 << 10;

/// The body.
pub(crate) struct Sent<B> {
    inner: B,
    activity: Arc<Activity>,
    request: u64,
    /// Since when more of it is waited for.
    waits_since: Option<Instant>,
    /// What it was behind before.
    behind: Duration,
}

impl<B> Sent<B> {
    /// The body of the request of this number.
    pub(crate) fn new(inner: B, activity: &Arc<Activity>, request: u64) -> Self {
        let activity = Arc::clone(activity);
        Self { inner, activity, request, waits_since: None, behind: Duration::ZERO }
    }

    fn waits(&mut self) {
        if self.waits_since.is_none() {
            let now = Instant::now();
            self.waits_since = Some(now);
            self.activity.owes(self.request, Some(now.checked_sub(self.behind).unwrap_or(now)));
        }
    }

    /// So many bytes came, or it is waited for no more.
    fn came(&mut self, bytes: usize) {
        if let Some(since) = self.waits_since.take() {
            self.behind += since.elapsed();
            self.activity.owes(self.request, None);
        }
        let worth = Duration::from_secs_f64(bytes as f64 / f64::from(RATE_BYTES));
        self.behind = self.behind.saturating_sub(worth);
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
