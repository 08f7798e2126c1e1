//! `/api/v1/notifications` and `/api/v1/notifications/live`: what an operator should know at once, as a list
//! and as server-sent events. Holds what is said until it no longer holds.

use crate::{
    json,
    parts::App,
    reply::{ApiError, Success},
};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::State,
    http::{
        HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use hyper::body::Frame;
use parking_lot::Mutex;
use serde::Serialize;
use skopos_model::TimestampMs;
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep},
};

/// The last reload failed.
pub const RELOAD_FAILED: &str = "Configuration reload has failed.";
/// Stored data is being read.
pub const STARTING: &str = "Skopos is starting and replaying the write-ahead log (WAL).";
/// The program ends.
pub const STOPPING: &str = "Skopos is shutting down and gracefully stopping all operations.";

/// Clients that may listen at a time (`--web.max-notifications-subscribers`); as many as in Prometheus.
pub const DEFAULT_LISTENERS_MAX: usize = 16;
/// How long a listener may hear nothing: one that has gone without a word is noticed by what it does not
/// take.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What is sent then: a comment, which clients pass over.
const STILL_HERE: Bytes = Bytes::from_static(b":\n\n");
/// Events that wait for a slow client; one that lets more wait is let go.
const WAITING_MAX: usize = 64;

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notification {
    text: &'static str,
    date: String,
    active: bool,
}

impl Notification {
    fn event(&self) -> Bytes {
        let mut event = b"data: ".to_vec();
        json::to_writer(&mut event, self).expect("invariant: texts serialise");
        event.extend_from_slice(b"\n\n");
        Bytes::from(event)
    }
}

/// What holds now, and who listens for changes.
#[derive(Debug, Default)]
pub struct Notifications(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    active: Vec<Notification>,
    listeners: Vec<mpsc::Sender<Bytes>>,
    listeners_max: usize,
    ended: bool,
}

impl Default for Inner {
    fn default() -> Self {
        let (active, listeners) = (Vec::new(), Vec::new());
        Self { active, listeners, listeners_max: DEFAULT_LISTENERS_MAX, ended: false }
    }
}

impl Notifications {
    /// Lets so many clients listen at the same time from now on.
    pub fn let_listen(&self, at_most: usize) {
        self.0.lock().listeners_max = at_most;
    }

    /// Says `text`, unless it is said already.
    pub fn say(&self, text: &'static str, now: TimestampMs) {
        let inner = &mut *self.0.lock();
        if inner.active.iter().all(|n| n.text != text) {
            let said = Notification { text, date: crate::targets::rfc_3339(now), active: true };
            inner.tell(&said);
            inner.active.push(said);
        }
    }

    /// `text` no longer holds.
    pub fn take_back(&self, text: &'static str) {
        let inner = &mut *self.0.lock();
        if let Some(at) = inner.active.iter().position(|n| n.text == text) {
            let gone = Notification { active: false, ..inner.active.remove(at) };
            inner.tell(&gone);
        }
    }

    /// Lets all who listen go: the server waits for open connections.
    pub fn end(&self) {
        let inner = &mut *self.0.lock();
        inner.listeners.clear();
        inner.ended = true;
    }

    /// What holds now and what will; none when too many listen.
    fn listen(&self) -> Option<mpsc::Receiver<Bytes>> {
        let inner = &mut *self.0.lock();
        inner.listeners.retain(|listener| !listener.is_closed());
        if inner.listeners.len() >= inner.listeners_max || inner.ended {
            return None;
        }
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        for said in &inner.active {
            // There is room for the few that can hold at a time.
            let _sent = sender.try_send(said.event());
        }
        inner.listeners.push(sender);
        Some(receiver)
    }
}

impl Inner {
    fn tell(&mut self, said: &Notification) {
        self.listeners.retain(|listener| listener.try_send(said.event()).is_ok());
    }
}

/// What holds now.
pub(crate) async fn list(State(app): State<App>) -> Result<Success, ApiError> {
    let active = app.notifications().0.lock().active.clone();
    Success::of(&active)
}

/// What holds now, and every change, until the client goes.
pub(crate) async fn live(State(app): State<App>) -> Response {
    let Some(events) = app.notifications().listen() else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let mut response = Response::new(Body::new(Events::new(events)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Events as the body of an answer.
struct Events {
    events: mpsc::Receiver<Bytes>,
    silence: Pin<Box<Sleep>>,
}

impl Events {
    fn new(events: mpsc::Receiver<Bytes>) -> Self {
        Self { events, silence: Box::pin(sleep(HEARTBEAT)) }
    }
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut event = self.events.poll_recv(context);
        if event.is_pending() {
            ready!(self.silence.as_mut().poll(context));
            event = Poll::Ready(Some(STILL_HERE));
        }
        self.silence.as_mut().reset(Instant::now() + HEARTBEAT);
        event.map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_hears_what_holds_and_what_changes() {
        let notifications = Notifications::default();
        notifications.say(STARTING, TimestampMs::new(0));
        notifications.say(STARTING, TimestampMs::new(1));
        let mut heard = notifications.listen().unwrap();
        notifications.take_back(STARTING);
        notifications.take_back(RELOAD_FAILED);
        notifications.end();
        let events: Vec<String> = std::iter::from_fn(|| heard.try_recv().ok())
            .map(|b| String::from_utf8(b.to_vec()).unwrap())
            .collect();
        let event = |active: bool| {
            format!(
                "data: {{\"text\":\"{STARTING}\",\"date\":\"1970-01-01T00:00:00Z\",\"active\":{active}}}\n\n"
            )
        };
        assert_eq!(events, [event(true), event(false)]);
        assert!(notifications.listen().is_none(), "nobody listens to a server that stops");
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_hears_every_now_and_then_that_the_server_is_there() {
        let notifications = Notifications::default();
        let mut events = Events::new(notifications.listen().unwrap());
        let mut next = async || {
            let frame = std::future::poll_fn(|context| Pin::new(&mut events).poll_frame(context)).await;
            String::from_utf8(frame.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap()
        };
        let began = Instant::now();
        assert_eq!((next().await, next().await), (":\n\n".to_owned(), ":\n\n".to_owned()));
        assert_eq!(began.elapsed(), 2 * HEARTBEAT);
        notifications.say(STOPPING, TimestampMs::new(0));
        assert!(next().await.starts_with("data: "));
        assert_eq!(began.elapsed(), 2 * HEARTBEAT);
    }

    #[test]
    fn too_many_and_too_slow_listeners_are_let_go() {
        let notifications = Notifications::default();
        let all: Vec<_> = (0..DEFAULT_LISTENERS_MAX).map(|_| notifications.listen().unwrap()).collect();
        assert!(notifications.listen().is_none());
        for t in 0..WAITING_MAX as i64 {
            notifications.say(STOPPING, TimestampMs::new(t));
            notifications.take_back(STOPPING);
        }
        assert!(notifications.0.lock().listeners.is_empty());
        drop(all);
        notifications.let_listen(1);
        let one = notifications.listen();
        assert!(one.is_some() && notifications.listen().is_none());
    }
}
