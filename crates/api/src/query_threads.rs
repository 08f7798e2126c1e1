//! `QueryThreads`: threads that queries run on, kept for a while for the next ones. One that has stepped back
//! for others ends with its query: it cannot come forward again. How many queries run is not decided here.

use parking_lot::Mutex;
use skopos_base::spawn::{Spawner, or_said};
use std::{
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
    idle: Arc<Mutex<Vec<Idle>>>,
    started: AtomicU64,
}

/// A thread that waits.
struct Idle {
    number: u64,
    next: mpsc::Sender<Work>,
}

impl QueryThreads {
    /// Threads of `spawner`, started when they are needed.
    pub fn new(spawner: Arc<dyn Spawner>) -> Self {
        Self { spawner, idle: Arc::default(), started: AtomicU64::new(0) }
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

    /// Hands work to the thread that has waited least, or to a new one.
    fn hand_over(&self, mut work: Work) -> io::Result<()> {
        while let Some(idle) = self.idle.lock().pop() {
            match idle.next.send(work) {
                Ok(()) => return Ok(()),
                Err(unsent) => work = unsent.0,
            }
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let (spawner, idle) = (Arc::clone(&self.spawner), Arc::clone(&self.idle));
        let body = move || serve(number, work, &*spawner, &idle);
        let _runs_by_itself = self.spawner.spawn(&format!("query-{number}"), Box::new(body))?;
        Ok(())
    }
}

/// Does work after work, until none has come for a while.
fn serve(number: u64, first: Work, spawner: &dyn Spawner, idle: &Mutex<Vec<Idle>>) {
    let mut work = Some(first);
    while let Some(next) = work {
        next();
        if spawner.has_stepped_back() {
            return;
        }
        work = wait_for_more(number, idle);
    }
}

fn wait_for_more(number: u64, idle: &Mutex<Vec<Idle>>) -> Option<Work> {
    let (next, works) = mpsc::channel();
    idle.lock().push(Idle { number, next });
    match works.recv_timeout(KEPT) {
        Err(RecvTimeoutError::Timeout) => {
            let was_idle = idle.lock().extract_if(.., |idle| idle.number == number).next().is_some();
            // Who was chosen at the last moment has its work on the way.
            if was_idle { None } else { works.recv().ok() }
        }
        work => work.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::Env;
    use std::thread::{self, ThreadId};

    async fn run<T: Send + 'static>(threads: &QueryThreads, work: impl FnOnce() -> T + Send + 'static) -> T {
        threads.run(work).unwrap().await.unwrap()
    }

    async fn until_one_waits(threads: &QueryThreads) {
        while threads.idle.lock().is_empty() {
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

    #[tokio::test]
    async fn queries_run_beside_one_another() {
        let threads = QueryThreads::new(Env::real().spawner);
        let (go, wait) = mpsc::channel();
        let waits = threads.run(move || wait.recv()).unwrap();
        run(&threads, move || go.send(7)).await.unwrap();
        assert_eq!(waits.await.unwrap(), Ok(7));
    }
}
