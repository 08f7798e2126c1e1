//! `Activity`: which requests of a connection are under way, and whether it waits for nothing but their
//! bodies. One of HTTP/2, whose pings alone would keep it for ever, ends when it has had none for a time, and
//! when a client takes nothing of an answer of its own.

use crate::{
    answers::{Client, Held},
    places::Place,
    sent::Sent,
};
use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::Request,
};
use foldhash::{HashMap, HashMapExt as _};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    service::{Service, service_fn},
};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// So many times the time of an idle connection a client may take nothing of an answer.
const STALLED_TIMES: u32 = 3;

/// What the requests of a connection do.
pub(crate) struct Activity {
    idle_timeout: Duration,
    place: Arc<Place>,
    client: Arc<Client>,
    state: Mutex<State>,
}

struct State {
    next: u64,
    under_way: HashMap<u64, Stage>,
    /// What the place was told last: since when a body is behind, while nothing else is under way.
    owed_since: Option<Instant>,
    /// When the last request ended.
    idle_since: Instant,
}

/// What a request under way waits for.
#[derive(Clone, Copy)]
enum Stage {
    /// The client sends more of its body, which is behind by the time since then.
    Sent(Instant),
    /// Its answer, or the next part of it, is made.
    Made,
    /// The client takes what there is; it last did then.
    Taken(Instant),
}

impl Activity {
    pub(crate) fn new(idle_timeout: Duration, place: Arc<Place>, client: Arc<Client>) -> Arc<Self> {
        let (under_way, idle_since) = (HashMap::new(), Instant::now());
        let state = State { next: 0, under_way, owed_since: None, idle_since };
        Arc::new(Self { idle_timeout, place, client, state: Mutex::new(state) })
    }

    /// `app`, whose requests are seen here, and say that `peer` sends them.
    pub(crate) fn watched(
        self: Arc<Self>,
        app: Router,
        peer: SocketAddr,
    ) -> impl Service<
        hyper::Request<Incoming>,
        Response = hyper::Response<Body>,
        Error = Infallible,
        Future: Send + 'static,
    > {
        let inner = TowerToHyperService::new(app);
        service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            let under_way = UnderWay::new(&self);
            let answer = inner.call(request.map(|body| Body::new(Sent::new(body, &self, under_way.id))));
            async move {
                let answer = answer.await?;
                under_way.is_at(Stage::Taken(Instant::now()));
                // Who knows how long it is has all of it.
                let waits = answer.body().size_hint().exact().unwrap_or(0);
                let held = under_way.activity.client.hold(waits);
                Ok(answer.map(|inner| Body::new(Watched { inner, held, under_way })))
            }
        })
    }

    /// When the connection ends if nothing happens before; none while an answer is computed.
    fn ends_at(&self) -> Option<Instant> {
        let state = self.state.lock();
        if state.under_way.is_empty() {
            return Some(state.idle_since + self.idle_timeout);
        }
        let taken = |stage: &Stage| match stage {
            Stage::Sent(_) | Stage::Made => None,
            Stage::Taken(at) => Some(*at),
        };
        let oldest = state.under_way.values().filter_map(taken).min()?;
        Some(oldest + self.idle_timeout * STALLED_TIMES)
    }

    /// The body of this request is waited for, and behind by the time since then; or, with none, it is not.
    pub(crate) fn owes(&self, request: u64, since: Option<Instant>) {
        let mut state = self.state.lock();
        if let Some(stage @ (Stage::Sent(_) | Stage::Made)) = state.under_way.get_mut(&request) {
            *stage = since.map_or(Stage::Made, Stage::Sent);
            state.tell(&self.place);
        }
    }
}

impl State {
    /// Tells the place of a connection with requests under way what it waits for, if that has changed.
    fn tell(&mut self, place: &Place) {
        let owed = |stage: &Stage| if let Stage::Sent(since) = stage { Some(*since) } else { None };
        let all: Option<Vec<Instant>> = self.under_way.values().map(owed).collect();
        let since = all.and_then(|all| all.into_iter().min());
        if self.owed_since != since {
            self.owed_since = since;
            place.owes(since);
        }
    }
}

/// A request until its answer is gone.
struct UnderWay {
    activity: Arc<Activity>,
    id: u64,
}

impl UnderWay {
    fn new(activity: &Arc<Activity>) -> Self {
        let mut state = activity.state.lock();
        state.next += 1;
        let id = state.next;
        if state.under_way.is_empty() {
            activity.place.is_answering();
        }
        state.under_way.insert(id, Stage::Made);
        state.tell(&activity.place);
        Self { activity: Arc::clone(activity), id }
    }

    fn is_at(&self, stage: Stage) {
        let mut state = self.activity.state.lock();
        state.under_way.insert(self.id, stage);
        state.tell(&self.activity.place);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.activity.state.lock();
        state.under_way.remove(&self.id);
        state.idle_since = Instant::now();
        if state.under_way.is_empty() {
            state.owed_since = None;
            self.activity.place.is_waiting();
        } else {
            state.tell(&self.activity.place);
        }
    }
}

/// An answer whose parts are seen to be taken, and counted until they are.
struct Watched {
    inner: Body,
    held: Held,
    under_way: UnderWay,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        // Whoever asks for the next part has taken those before.
        self.under_way.is_at(if frame.is_pending() { Stage::Made } else { Stage::Taken(Instant::now()) });
        frame.map_ok(|frame| frame.map_data(|part| self.held.part(part)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A connection that ends as if its peer had ended it.
pub(crate) struct EndsIdle<S> {
    inner: S,
    activity: Arc<Activity>,
    look: Pin<Box<Sleep>>,
}

impl<S> EndsIdle<S> {
    pub(crate) fn new(inner: S, activity: Arc<Activity>) -> Self {
        let look = Box::pin(sleep_until(Instant::now() + activity.idle_timeout));
        Self { inner, activity, look }
    }

    /// Whether it is over; else it is looked at again in time.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        while self.look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let ends = self.activity.ends_at();
            if ends.is_some_and(|at| at <= now) {
                return true;
            }
            self.look.as_mut().reset(ends.unwrap_or(now + self.activity.idle_timeout));
        }
        false
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for EndsIdle<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for EndsIdle<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::{LATE, Places};
    use tokio::io::{AsyncReadExt, duplex};

    const IDLE: Duration = Duration::from_secs(90);

    async fn end_of(activity: &Arc<Activity>) -> Duration {
        let (ours, _theirs) = duplex(16);
        let began = Instant::now();
        let mut ours = EndsIdle::new(ours, Arc::clone(activity));
        assert_eq!(ours.read(&mut [0]).await.unwrap(), 0);
        began.elapsed()
    }

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    async fn activity() -> Arc<Activity> {
        activity_at(&Places::new(1)).await
    }

    async fn activity_at(places: &Arc<Places>) -> Arc<Activity> {
        let (peer, place) = (PEER, places.take(PEER).await);
        let client = crate::answers::Answers::new(u64::MAX).client(peer);
        Activity::new(IDLE, Arc::new(place), client)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_ends() {
        assert_eq!(end_of(&activity().await).await, IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_answer_is_computed_goes_on_and_one_whose_answer_nobody_takes_ends() {
        let activity = activity().await;
        let under_way = UnderWay::new(&activity);
        let still = tokio::time::timeout(IDLE * 100, end_of(&activity)).await;
        assert!(still.is_err(), "it ended while its answer was computed");
        under_way.is_at(Stage::Taken(Instant::now()));
        assert_eq!(end_of(&activity).await, IDLE * STALLED_TIMES);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_an_idle_connection_begins_with_the_end_of_its_last_request() {
        let activity = activity().await;
        let under_way = UnderWay::new(&activity);
        let ending = tokio::spawn(async move {
            tokio::time::sleep(IDLE / 2).await;
            drop(under_way);
        });
        let took = end_of(&activity).await;
        assert_eq!(took, IDLE / 2 + IDLE);
        ending.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_gives_way_while_all_its_requests_owe_their_bodies_and_one_is_late() {
        let places = Places::new(1);
        let activity = activity_at(&places).await;
        let [late, other] = [(); 2].map(|()| UnderWay::new(&activity));
        let is_full = async || tokio::time::timeout(LATE * 10, places.take(PEER)).await.is_err();
        activity.owes(late.id, Some(Instant::now()));
        assert!(is_full().await, "the answer of the other one is made");
        other.is_at(Stage::Taken(Instant::now()));
        assert!(is_full().await, "the answer of the other one is taken");
        drop(other);
        let third = UnderWay::new(&activity);
        activity.owes(late.id, None);
        activity.owes(third.id, Some(Instant::now()));
        assert!(is_full().await, "the body of the first one is stored");
        activity.owes(late.id, Some(Instant::now()));
        assert!(!is_full().await);
    }
}
