//! Work for a thread that ends when its client goes, within a bounded number at a time. Its result comes at
//! once (`run`, for what is small) or piece by piece as it is made (`answer`, `stream`).

use crate::{
    params::Params,
    parts::Parts,
    query_threads::QueryThreadError,
    reply::{ApiError, ErrorType},
};
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use skopos_promql::queries::Tracked;
use skopos_storage::QueryBudget;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{self, error::TrySendError},
    },
    time::{Instant, timeout_at},
};

/// So much longer than its time a query may take to end.
const LATE: Duration = Duration::from_secs(10);

/// So many pieces may wait for a client that is slower than the thread.
const PIECES_WAITING: usize = 2;

/// Cancels its query when it is dropped: when the client has gone, so has the handler's future.
struct CancelOnDrop(Arc<QueryBudget>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// So many may wait for a slot of one kind. Connections alone do not bound them: one of HTTP/2 has many
/// requests.
const WAITING_MAX: usize = 1000;

/// So many answers of one kind at a time may be on their way to clients that are slower than their threads.
/// Each keeps a thread and what it holds, and no slot bounds how many there are.
const SLOW_MAX: usize = 500;

/// Slots for work of one kind. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Slots {
    free: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// The flag that says how many there are.
    limit: &'static str,
}

/// One that waits for a slot.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    /// So many for queries.
    pub fn of_queries(max: usize) -> Self {
        Self::new(max, "query.max-concurrency")
    }

    /// So many as the flag `limit` says.
    pub(crate) fn new(max: usize, limit: &'static str) -> Self {
        let (free, slow) = (Arc::new(Semaphore::new(max)), Arc::new(Semaphore::new(SLOW_MAX)));
        Self { free, slow, waiting: Arc::default(), limit }
    }

    /// A slot, as soon as one is free, for work that may take no longer than `patience`, waiting included.
    pub(crate) async fn take_within(&self, patience: Duration) -> Result<Slot, ApiError> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(&self.waiting);
        if before >= WAITING_MAX {
            let reason = format!("{WAITING_MAX} requests wait already ({}): try again later", self.limit);
            return Err(ApiError::new(ErrorType::Unavailable, reason).by(self.limit));
        }
        let waiting = Arc::clone(&self.free).acquire_owned();
        let reason = format!("no free slot ({}) in time", self.limit);
        let none = || ApiError::new(ErrorType::Timeout, reason).by("query.timeout");
        let permit = tokio::time::timeout(patience, waiting)
            .await
            .map_err(|_| none())?
            .map_err(|_| ApiError::new(ErrorType::Unavailable, "the server is stopping"))?;
        Ok(Slot { permit, slow: Some(Arc::clone(&self.slow)) })
    }
}

/// A slot, or the place of an answer that gave its own to others. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    permit: OwnedSemaphorePermit,
    /// Where the places are that it can be given for.
    slow: Option<Arc<Semaphore>>,
}

impl Slot {
    /// Gives the slot to others, as the client is slower than the work. Fails where as many have done so as
    /// may.
    fn give_way(&mut self) -> Result<(), ApiError> {
        let Some(slow) = self.slow.take() else { return Ok(()) };
        let permit = Arc::clone(&slow).try_acquire_owned().map_err(|_| {
            let reason = format!("{SLOW_MAX} answers wait already for clients that do not take them");
            ApiError::new(ErrorType::Unavailable, reason)
        })?;
        drop(std::mem::replace(&mut self.permit, permit));
        Ok(())
    }
}

/// Runs `work` on a thread once there is a slot for what looks something up: nobody waits for queries.
pub(crate) async fn run<T: Send + 'static>(
    parts: Arc<Parts>,
    budget: Arc<QueryBudget>,
    work: impl FnOnce(&Parts, &Arc<QueryBudget>) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let cancel = CancelOnDrop(Arc::clone(&budget));
    let slot = parts.lookup_slots.take_within(budget.time_left()).await?;
    let deadline = Instant::now() + budget.time_left() + LATE;
    let threads = Arc::clone(&parts);
    let done = threads.query_threads.run(move || {
        let running = budget.run();
        let result = work(&parts, &budget);
        drop((running, slot));
        result
    });
    let result = in_time(deadline, done?).await??;
    drop(cancel);
    result
}

/// What comes of `work`, which ends by itself when its time is up, unless it has no thread until then.
async fn in_time<T>(deadline: Instant, work: impl Future<Output = T>) -> Result<T, ApiError> {
    timeout_at(deadline, work).await.map_err(|_| {
        let reason = "the query has no result in time: there was no thread for it, or it did not end";
        ApiError::new(ErrorType::Timeout, reason).by("query.timeout")
    })
}

impl From<QueryThreadError> for ApiError {
    fn from(e: QueryThreadError) -> Self {
        match e {
            QueryThreadError::None(_) => Self::new(ErrorType::Unavailable, e.to_string()),
            QueryThreadError::Panicked(_) => Self::internal(e.to_string()),
        }
    }
}

/// Runs `work` in a slot for what looks something up and answers with what it sends. What the client sent is
/// charged, also while it waits.
pub(crate) async fn answer(
    parts: Arc<Parts>,
    params: Params,
    work: impl FnOnce(&Parts, &Params, &Arc<QueryBudget>, &mut Sink) -> Result<(), ApiError> + Send + 'static,
) -> Result<Body, ApiError> {
    let budget = parts.engine.budget();
    params.charge(&budget)?;
    let slot = parts.lookup_slots.take_within(budget.time_left()).await?;
    stream(parts, slot, budget, move |parts, budget, sink| work(parts, &params, budget, sink)).await
}

/// The same for a query that is tracked: it runs once it has its slot, and it is said how it ended.
pub(crate) async fn answer_tracked(
    parts: Arc<Parts>,
    params: Params,
    mut tracked: Tracked,
    work: impl FnOnce(&Parts, &Params, &mut Tracked, &Arc<QueryBudget>, &mut Sink) -> Result<(), ApiError>
    + Send
    + 'static,
) -> Result<Body, ApiError> {
    let budget = parts.engine.budget();
    params.charge(&budget).inspect_err(|e| tracked.ends(e.cut_off_by()))?;
    let work = move |parts: &Parts, tracked: &mut Tracked, budget: &Arc<QueryBudget>, sink: &mut Sink| {
        work(parts, &params, tracked, budget, sink)
    };
    answer_within(parts, budget, tracked, work).await
}

/// The same within `budget`, to which what the client sent is charged.
pub(crate) async fn answer_within<W>(
    parts: Arc<Parts>,
    budget: Arc<QueryBudget>,
    mut tracked: Tracked,
    work: W,
) -> Result<Body, ApiError>
where
    W: FnOnce(&Parts, &mut Tracked, &Arc<QueryBudget>, &mut Sink) -> Result<(), ApiError> + Send + 'static,
{
    let slot = parts.query_slots.take_within(budget.time_left()).await;
    let slot = slot.inspect_err(|e| tracked.ends(e.cut_off_by()))?;
    stream(parts, slot, budget, move |parts, budget, sink| {
        tracked.runs();
        let done = work(parts, &mut tracked, budget, sink);
        tracked.ends(done.as_ref().err().and_then(ApiError::cut_off_by));
        done
    })
    .await
}

/// Runs `work` on a thread and answers with what it sends. The slot is given back when the last piece is on
/// its way to the client, or as soon as a client is slower than the thread: what it still does then it does
/// behind others, and what it holds is on the account of all. An error before the first piece is an answer of
/// its own; one behind it cuts the answer off, so that no client takes it for the whole.
pub(crate) async fn stream(
    parts: Arc<Parts>,
    slot: Slot,
    budget: Arc<QueryBudget>,
    work: impl FnOnce(&Parts, &Arc<QueryBudget>, &mut Sink) -> Result<(), ApiError> + Send + 'static,
) -> Result<Body, ApiError> {
    let cancel = CancelOnDrop(Arc::clone(&budget));
    let (sender, mut receiver) = mpsc::channel(PIECES_WAITING);
    let mut sink = Sink { sender, slot: Some(slot), runtime: Handle::current(), deadline: None };
    let deadline = Instant::now() + budget.time_left() + LATE;
    let threads = Arc::clone(&parts);
    let done = threads.query_threads.run(move || {
        let running = budget.run();
        let result = work(&parts, &budget, &mut sink);
        drop(running);
        sink.slot = None;
        match result {
            Err(e) if sink.deadline.is_some() => {
                // The client learns it by the missing end, whenever it takes what is there.
                tracing::warn!(reason = e.message(), "an answer was cut off");
                Ok(())
            }
            result => result,
        }
    })?;
    match in_time(deadline, receiver.recv()).await? {
        None => done.await?.map(|()| Body::empty()),
        Some(Piece::Last(all)) => Ok(Body::from(all)),
        Some(first) => {
            Ok(Body::new(Pieces { first: Some(first), receiver, has_ended: false, _cancel: cancel }))
        }
    }
}

/// A part of an answer on its way to the client.
enum Piece {
    More(Bytes),
    /// Nothing follows. Without it an answer was cut off.
    Last(Bytes),
}

/// Where work sends its answer to.
pub(crate) struct Sink {
    sender: mpsc::Sender<Piece>,
    slot: Option<Slot>,
    runtime: Handle,
    /// By when the client has to have taken all; set with the first piece.
    deadline: Option<Instant>,
}

impl Sink {
    /// Sends a piece, waiting for the client where it is slower.
    pub(crate) fn send(&mut self, parts: &Parts, bytes: impl Into<Bytes>) -> Result<(), ApiError> {
        self.send_piece(parts, Piece::More(bytes.into()))
    }

    /// Sends the last piece. An answer of one piece has its length in its head.
    pub(crate) fn send_last(&mut self, parts: &Parts, bytes: impl Into<Bytes>) -> Result<(), ApiError> {
        self.send_piece(parts, Piece::Last(bytes.into()))
    }

    fn send_piece(&mut self, parts: &Parts, piece: Piece) -> Result<(), ApiError> {
        let timeout = parts.engine.options().limits.timeout.as_std();
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + timeout);
        let piece = match self.sender.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(piece) | TrySendError::Closed(piece)) => piece,
        };
        self.slot.as_mut().map_or(Ok(()), Slot::give_way)?;
        let sent = async { timeout_at(deadline, self.sender.send(piece)).await };
        match self.runtime.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ApiError::new(ErrorType::Canceled, "the client has gone").by("client")),
            Err(_) => {
                let reason = format!("the client did not take the answer within {timeout:?} (query.timeout)");
                Err(ApiError::new(ErrorType::Timeout, reason).by("query.timeout"))
            }
        }
    }
}

/// Pieces as the body of an answer.
struct Pieces {
    first: Option<Piece>,
    receiver: mpsc::Receiver<Piece>,
    has_ended: bool,
    _cancel: CancelOnDrop,
}

/// The rest of an answer will not come; the connection ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off")]
struct CutOff;

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let piece = match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.receiver.poll_recv(context),
        };
        piece.map(|piece| match piece {
            Some(Piece::More(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::Last(bytes)) => {
                self.has_ended = true;
                Some(Ok(Frame::data(bytes)))
            }
            None if self.has_ended => None,
            None => {
                self.has_ended = true;
                Some(Err(CutOff))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn slots_are_given_to_others_by_so_many_slow_answers_and_no_more() {
        let slots = Slots { slow: Arc::new(Semaphore::new(1)), ..Slots::of_queries(1) };
        let take = || slots.take_within(Duration::from_secs(600));
        let mut first = take().await.unwrap();
        assert_eq!(slots.free.available_permits(), 0);
        for _ in 0..2 {
            first.give_way().unwrap();
            assert_eq!((slots.free.available_permits(), slots.slow.available_permits()), (1, 0));
        }
        let mut second = take().await.unwrap();
        assert!(second.give_way().unwrap_err().message().contains("answers wait already"));
        drop((first, second));
        assert_eq!((slots.free.available_permits(), slots.slow.available_permits()), (1, 1));
    }

    #[tokio::test]
    async fn who_waits_for_a_thread_hears_that_the_time_is_over() {
        let late = in_time(Instant::now(), std::future::pending::<()>()).await;
        assert!(late.unwrap_err().message().contains("no thread"));
        assert_eq!(in_time(Instant::now(), async { 7 }).await.unwrap(), 7);
    }
}
