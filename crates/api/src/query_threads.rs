//! `QueryThreads`: threads that queries run on, kept for a while for the next ones. One that has stepped back
//! for others ends with its query: it cannot come forward again. How many queries run is not decided here.

use parking_lot::Mutex;
use skopos_base::spawn::{Spawner, or_said};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// How long a thread waits for its next query.
const KEPT: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce() + Send>;

/// Why nothing came of a query's thread.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryThreadError {
    /// None can be started.
    #[error("no thread for the query: {0}; raise the limit of threads of the process, or ask less at a time")]
    None(#[from] io::Error),
    /// The query panicked.
    #[error("the query's thread failed: {0}")]
    Panicked(String),
}

/// See above.
pub struct QueryThreads {
    spawner: Arc<dyn Spawner>,
    shared: Arc<Mutex<Shared>>,
    started: AtomicU64,
}

#[derive(Default)]
struct Shared {
    idle: Vec<Idle>,
    /// Threads that have not ended.
    alive: usize,
    /// Work for the next that is free, where the system gives no more threads.
    waiting: VecDeque<Work>,
}

/// A thread that waits.
struct Idle {
    number: u64,
    next: mpsc::Sender<Work>,
}

impl QueryThreads {
    /// Threads of `spawner`, started when they are needed.
    pub fn new(spawner: Arc<dyn Spawner>) -> Self {
        Self { spawner, shared: Arc::default(), started: AtomicU64::new(0) }
    }

    /// Runs `work` on a thread, and gives what comes of it.
    pub(crate) fn run<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> Result<impl Future<Output = Result<T, QueryThreadError>> + use<T, W>, QueryThreadError> {
        let (done, result) = oneshot::channel();
        self.hand_over(Box::new(move || {
            // Nobody waits for it any more where the client has gone.
            let _unwanted = done.send(or_said(work));
        }))?;
        Ok(async {
            let made = result.await.map_err(|_| "it ended".to_owned());
            made.flatten().map_err(QueryThreadError::Panicked)
        })
    }

    /// Hands work to the thread that has waited least, to a new one, or to the next that is free.
    fn hand_over(&self, mut work: Work) -> io::Result<()> {
        let mut shared = self.shared.lock();
        while let Some(idle) = shared.idle.pop() {
            match idle.next.send(work) {
                Ok(()) => return Ok(()),
                Err(unsent) => work = unsent.0,
            }
        }
        // Taken back where no thread begins with it.
        let first = Arc::new(Mutex::new(Some(work)));
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let (spawner, of_thread) = (Arc::clone(&self.spawner), Arc::clone(&self.shared));
        let of_first = Arc::clone(&first);
        let body = move || serve(number, of_first.lock().take(), &*spawner, &of_thread);
        match self.spawner.spawn(&format!("query-{number}"), Box::new(body)) {
            Ok(_runs_by_itself) => {
                shared.alive += 1;
                Ok(())
            }
            Err(_) if shared.alive > 0 => {
                shared.waiting.extend(first.lock().take());
                Ok(())
            }
            Err(error) => {
                let advice = "raise the limit of threads of the process";
                tracing::error!(%error, advice, "no query can be answered");
                Err(error)
            }
        }
    }
}

/// Does work after work, until none has come for a while.
fn serve(number: u64, mut work: Option<Work>, spawner: &dyn Spawner, shared: &Mutex<Shared>) {
    while let Some(next) = work {
        next();
        work = next_work(number, spawner, shared);
    }
}

/// The next work; none where the thread has to end, and is counted no longer.
fn next_work(number: u64, spawner: &dyn Spawner, shared: &Mutex<Shared>) -> Option<Work> {
    let works = {
        let mut shared = shared.lock();
        if let Some(work) = shared.waiting.pop_front() {
            return Some(work);
        }
        if spawner.has_stepped_back() {
            shared.alive -= 1;
            return None;
        }
        let (next, works) = mpsc::channel();
        shared.idle.push(Idle { number, next });
        works
    };
    match works.recv_timeout(KEPT) {
        Err(RecvTimeoutError::Timeout) => {
            let mut shared = shared.lock();
            if shared.idle.extract_if(.., |idle| idle.number == number).next().is_some() {
                shared.alive -= 1;
                return None;
            }
            drop(shared);
            // Who was chosen at the last moment has its work on the way.
            works.recv().ok()
        }
        work => work.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::{
        Env,
        spawn::{Joined, Stop},
    };
    use std::thread::{self, ThreadId};

    async fn run<T: Send + 'static>(threads: &QueryThreads, work: impl FnOnce() -> T + Send + 'static) -> T {
        threads.run(work).unwrap().await.unwrap()
    }

    async fn until_one_waits(threads: &QueryThreads) {
        while threads.shared.lock().idle.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// The thread that comes next, once it waits.
    async fn next_thread(threads: &QueryThreads) -> ThreadId {
        until_one_waits(threads).await;
        run(threads, || thread::current().id()).await
    }

    #[tokio::test]
    async fn a_thread_serves_again_unless_it_has_stepped_back() {
        let spawner = Env::real().spawner;
        let threads = QueryThreads::new(Arc::clone(&spawner));
        let first = run(&threads, || thread::current().id()).await;
        assert_eq!(next_thread(&threads).await, first);
        until_one_waits(&threads).await;
        let failed = threads.run(|| panic!("as the test wants it")).unwrap().await;
        assert!(matches!(failed, Err(QueryThreadError::Panicked(said)) if said == "as the test wants it"));
        assert_eq!(next_thread(&threads).await, first, "also behind one that panicked");
        until_one_waits(&threads).await;
        run(&threads, move || spawner.step_back()).await;
        assert_ne!(run(&threads, || thread::current().id()).await, first);
        assert_eq!(threads.started.load(Ordering::Relaxed), 2);
    }

    /// Starts one thread, and no more.
    #[derive(Debug)]
    struct OneThread(Arc<dyn Spawner>, AtomicU64);

    impl Spawner for OneThread {
        fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Joined>> {
            match self.1.fetch_add(1, Ordering::Relaxed) {
                1 => self.0.spawn(name, body),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            }
        }

        fn stop_signal(&self) -> Arc<dyn Stop> {
            self.0.stop_signal()
        }
    }

    #[tokio::test]
    async fn without_more_threads_work_waits_for_those_that_are_there() {
        let spawner = OneThread(Env::real().spawner, AtomicU64::new(0));
        let threads = QueryThreads::new(Arc::new(spawner));
        assert!(matches!(threads.run(|| 1), Err(QueryThreadError::None(_))), "there is none at all");
        let (go, wait) = mpsc::channel();
        let first = threads.run(move || wait.recv()).unwrap();
        let others: Vec<_> = (0..5).map(|n| threads.run(move || n).unwrap()).collect();
        go.send(7).unwrap();
        assert_eq!(first.await.unwrap(), Ok(7));
        for (n, other) in others.into_iter().enumerate() {
            assert_eq!(other.await.unwrap(), n);
        }
    }

    #[tokio::test]
    async fn queries_run_beside_one_another() {
        let threads = QueryThreads::new(Env::real().spawner);
        let (go, wait) = mpsc::channel();
        let waits = threads.run(move || wait.recv()).unwrap();
        run(&threads, move || go.send(7)).await.unwrap();
        assert_eq!(waits.await.unwrap(), Ok(7));
    }
}
