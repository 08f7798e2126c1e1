//! `Activity`: which requests of a connection are under way, and whether it waits for nothing but its client:
//! to send their bodies, to take their answers. One of HTTP/2, whose pings alone would keep it for ever, ends
//! when it has had none for a time, and when a client takes nothing of an answer of its own.

use crate::{
    answers::{Client, Held},
    pace::Pace,
    places::{Place, Waits},
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
    /// What the place was told last, while requests are under way.
    told: Waits,
    /// When the last request ended.
    idle_since: Instant,
}

/// What a request under way waits for.
#[derive(Clone, Copy)]
enum Stage {
    /// The client sends more of its body.
    Sent(Pace),
    /// Its answer, or the next part of it, is made.
    Made,
    /// The client takes what there is since then, when it had taken so many bytes of anything.
    Taken(Instant, u64),
}

impl Activity {
    pub(crate) fn new(idle_timeout: Duration, place: Arc<Place>, client: Arc<Client>) -> Arc<Self> {
        let (under_way, idle_since) = (HashMap::new(), Instant::now());
        let state = State { next: 0, under_way, told: Waits::Nothing, idle_since };
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
                under_way.is_taken();
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
            Stage::Taken(at, _) => Some(*at),
        };
        let oldest = state.under_way.values().filter_map(taken).min()?;
        Some(oldest + self.idle_timeout * STALLED_TIMES)
    }

    /// The body of this request is waited for, and came at this pace; or, with none, it is not.
    pub(crate) fn owes(&self, request: u64, pace: Option<Pace>) {
        let mut state = self.state.lock();
        if let Some(stage @ (Stage::Sent(_) | Stage::Made)) = state.under_way.get_mut(&request) {
            *stage = pace.map_or(Stage::Made, Stage::Sent);
            state.tell(&self.place);
        }
    }
}

impl State {
    /// Tells the place of a connection with requests under way what it waits for, if that has changed: for
    /// its client once it does so for each, and then for what it has waited for longest.
    fn tell(&mut self, place: &Place) {
        let all: Option<Vec<_>> = self.under_way.values().map(|stage| stage.waits()).collect();
        let longest = all.and_then(|all| all.into_iter().min_by_key(|(since, _)| *since));
        let told = longest.map_or(Waits::Nothing, |(_, waits)| waits);
        if self.told != told {
            self.told = told;
            place.waits(told);
        }
    }
}

impl Stage {
    /// What it waits for of its client, and since when.
    fn waits(self) -> Option<(Instant, Waits)> {
        match self {
            Self::Sent(pace) => Some((pace.since(), Waits::Body(pace))),
            Self::Made => None,
            Self::Taken(since, before) => Some((since, Waits::Answer(since, before))),
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

    /// What there is waits for the client from now on.
    fn is_taken(&self) {
        self.is_at(Stage::Taken(Instant::now(), self.activity.client.taken_bytes()));
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
            state.told = Waits::Nothing;
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
        if frame.is_pending() {
            self.under_way.is_at(Stage::Made);
        } else {
            self.under_way.is_taken();
        }
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
    use crate::{pace::LATE, places::Places};
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
        under_way.is_taken();
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
    async fn a_connection_gives_way_while_all_its_requests_wait_for_its_client() {
        let places = Places::new(1);
        let activity = activity_at(&places).await;
        let [late, other] = [(); 2].map(|()| UnderWay::new(&activity));
        let is_full = async || tokio::time::timeout(LATE * 10, places.take(PEER)).await.is_err();
        let owes = |of: &UnderWay| activity.owes(of.id, Some(Pace::begins(Instant::now())));
        owes(&late);
        assert!(is_full().await, "the answer of the other one is made");
        drop(other);
        let third = UnderWay::new(&activity);
        activity.owes(late.id, None);
        owes(&third);
        assert!(is_full().await, "the body of the first one is stored");
        owes(&late);
        assert!(!is_full().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_gives_way_once_nothing_is_taken_of_an_answer() {
        let places = Places::new(1);
        let activity = activity_at(&places).await;
        let [late, other] = [(); 2].map(|()| UnderWay::new(&activity));
        late.is_taken();
        let is_full = async || tokio::time::timeout(LATE * 10, places.take(PEER)).await.is_err();
        assert!(is_full().await, "the answer of the other one is made");
        other.is_taken();
        assert!(!is_full().await);
    }
}
