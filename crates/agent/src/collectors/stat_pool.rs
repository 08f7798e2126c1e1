//! Asking file systems how full they are, without ever waiting longer than a deadline.
//!
//! A file system of the network can leave a call hanging for ever, and no thread that hangs in it can
//! be ended. So workers make the calls. A mount point that did not answer in time is stuck: it is not
//! asked again until the hanging call comes back, and its worker is replaced. The number of hanging
//! workers is bounded by `MAX_STUCK`.

use crate::host::{Host, Usage};
use parking_lot::{Condvar, Mutex};
use skopos_base::{clock::Clock, spawn::Spawner};
use std::{
    collections::{HashSet, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};

/// No more than this many calls may hang; further stuck mount points are not asked.
const MAX_STUCK: usize = 64;

/// What became of a question.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The file system answered.
    Usage(Usage),
    /// The call failed.
    Failed(io::Error),
    /// There was no answer in time, now or when it was last asked.
    TimedOut,
}

/// The workers.
#[derive(Debug)]
pub(crate) struct StatPool {
    shared: Arc<Shared>,
    spawner: Arc<dyn Spawner>,
    clock: Arc<dyn Clock>,
    workers: usize,
    timeout: Duration,
}

#[derive(Debug)]
struct Shared {
    host: Arc<dyn Host>,
    state: Mutex<State>,
    /// A question was added, or the pool ended.
    asked: Condvar,
    /// An answer came.
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Counts the rounds of questions, so that an answer to an older round is recognised.
    round: u64,
    questions: VecDeque<Question>,
    answers: Vec<Option<io::Result<Usage>>>,
    missing: usize,
    /// The workers that are alive, those that hang included.
    alive: usize,
    stuck: HashSet<Arc<str>>,
    ended: bool,
}

#[derive(Clone, Debug)]
struct Question {
    round: u64,
    at: usize,
    path: Arc<str>,
}

impl StatPool {
    /// A pool of `workers` workers that waits at most `timeout`.
    pub(crate) fn new(
        host: Arc<dyn Host>,
        clock: Arc<dyn Clock>,
        spawner: Arc<dyn Spawner>,
        workers: usize,
        timeout: Duration,
    ) -> Self {
        let state = Mutex::new(State::default());
        let shared = Arc::new(Shared { host, state, asked: Condvar::new(), answered: Condvar::new() });
        Self { shared, spawner, clock, workers: workers.max(1), timeout }
    }

    /// Asks the file systems at `paths`; the answers are in the same order.
    pub(crate) fn ask(&self, paths: &[Arc<str>]) -> Vec<Answer> {
        self.ask_within(paths, self.timeout)
    }

    /// The same, in no more time than `most`.
    pub(crate) fn ask_within(&self, paths: &[Arc<str>], most: Duration) -> Vec<Answer> {
        let deadline = self.clock.monotonic() + self.timeout.min(most);
        let mut state = self.shared.state.lock();
        state.begin(paths);
        if let Err(error) = self.hire(&mut state) {
            tracing::warn!(%error, "no thread for asking file systems");
        }
        self.shared.asked.notify_all();
        while state.missing > 0 {
            let left = deadline.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                break;
            }
            self.shared.answered.wait_for(&mut state, left);
        }
        state.finish(paths)
    }

    /// Starts as many workers as the questions need, replacing those that hang.
    fn hire(&self, state: &mut State) -> io::Result<()> {
        let wanted = self.workers.min(state.questions.len()) + state.stuck.len();
        while state.alive < wanted && state.alive < self.workers + MAX_STUCK {
            let shared = Arc::clone(&self.shared);
            let keep = self.workers;
            drop(self.spawner.spawn("agent-statfs", Box::new(move || work(&shared, keep)))?);
            state.alive += 1;
        }
        Ok(())
    }
}

impl Drop for StatPool {
    /// Workers end when they are idle. One that hangs ends when its call comes back.
    fn drop(&mut self) {
        self.shared.state.lock().ended = true;
        self.shared.asked.notify_all();
    }
}

impl State {
    fn begin(&mut self, paths: &[Arc<str>]) {
        self.round += 1;
        self.answers.clear();
        self.answers.resize_with(paths.len(), || None);
        self.questions.clear();
        for (at, path) in paths.iter().enumerate() {
            if !self.stuck.contains(path) {
                self.questions.push_back(Question { round: self.round, at, path: Arc::clone(path) });
            }
        }
        self.missing = self.questions.len();
    }

    /// What nobody began to answer was only late; what somebody began and did not end is stuck.
    fn finish(&mut self, paths: &[Arc<str>]) -> Vec<Answer> {
        let waiting: HashSet<usize> = self.questions.drain(..).map(|question| question.at).collect();
        let answers = std::mem::take(&mut self.answers);
        // An answer to this round that comes later must find no place to go.
        self.round += 1;
        let answers = answers.into_iter().enumerate().map(|(at, answer)| match answer {
            Some(Ok(usage)) => Answer::Usage(usage),
            Some(Err(error)) => Answer::Failed(error),
            None => {
                if !waiting.contains(&at) && self.stuck.insert(Arc::clone(&paths[at])) {
                    tracing::warn!(
                        mount_point = &*paths[at],
                        "mount point does not answer; it is left alone"
                    );
                }
                Answer::TimedOut
            }
        });
        answers.collect()
    }
}

fn work(shared: &Shared, keep: usize) {
    let mut state = shared.state.lock();
    while !state.ended {
        let Some(question) = state.questions.pop_front() else {
            if state.alive > keep + state.stuck.len() {
                break;
            }
            shared.asked.wait(&mut state);
            continue;
        };
        drop(state);
        let answer = shared.host.usage(&question.path);
        state = shared.state.lock();
        if state.stuck.remove(&question.path) {
            tracing::info!(mount_point = &*question.path, "mount point answers again");
        }
        if question.round == state.round {
            state.answers[question.at] = Some(answer);
            state.missing -= 1;
            if state.missing == 0 {
                shared.answered.notify_all();
            }
        }
    }
    state.alive -= 1;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{netlink, testing};
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A host whose file system at `/hangs` answers only when it is told to.
    #[derive(Debug)]
    struct Hanging {
        begun: Mutex<Sender<()>>,
        go_on: Mutex<Receiver<()>>,
    }

    impl Host for Hanging {
        fn uname(&self) -> crate::host::Uname {
            crate::host::Uname::default()
        }

        fn usage(&self, path: &str) -> io::Result<Usage> {
            match path {
                "/fails" => return Err(io::Error::from_raw_os_error(13)),
                "/hangs" => {
                    self.begun.lock().send(()).unwrap();
                    self.go_on.lock().recv().unwrap();
                }
                _ => {}
            }
            Ok(Usage { blocks: 1, ..Usage::default() })
        }

        fn netlink(&self, _: netlink::Request, _: &mut Vec<u8>) -> io::Result<()> {
            Ok(())
        }
    }

    const NEVER: Duration = Duration::from_secs(3600);

    #[test]
    fn a_mount_point_that_hangs_is_left_alone_until_it_answers() {
        let ((begun, has_begun), (tell, go_on)) = (channel(), channel());
        let host = Arc::new(Hanging { begun: Mutex::new(begun), go_on: Mutex::new(go_on) });
        let env = testing::env_of(host);
        let mut pool = StatPool::new(env.host, env.clock, env.spawner, 1, NEVER);
        let paths = |paths: &[&str]| -> Vec<Arc<str>> { paths.iter().map(|path| Arc::from(*path)).collect() };

        // The only worker is caught by the mount point that hangs.
        let all = paths(&["/hangs", "/good", "/fails"]);
        pool.shared.state.lock().begin(&all);
        pool.hire(&mut pool.shared.state.lock()).unwrap();
        has_begun.recv().unwrap();
        let answers = pool.shared.state.lock().finish(&all);
        assert!(matches!(answers[..], [Answer::TimedOut, Answer::TimedOut, Answer::TimedOut]), "{answers:?}");
        assert_eq!(pool.shared.state.lock().stuck.len(), 1);

        // It is not asked again, and others are, by a worker in its place.
        let answers = pool.ask(&all);
        assert!(
            matches!(answers[..], [Answer::TimedOut, Answer::Usage(_), Answer::Failed(_)]),
            "{answers:?}"
        );
        assert_eq!(pool.shared.state.lock().alive, 2);

        // Once the call came back, it is asked again, and one of the two workers has gone.
        tell.send(()).unwrap();
        while !pool.shared.state.lock().stuck.is_empty() {
            std::thread::yield_now();
        }
        tell.send(()).unwrap();
        let answers = pool.ask(&all);
        assert!(
            matches!(answers[..], [Answer::Usage(_), Answer::Usage(_), Answer::Failed(_)]),
            "{answers:?}"
        );

        // No time at all means that nothing is known.
        pool.timeout = Duration::ZERO;
        let answers = pool.ask(&paths(&["/hangs"]));
        assert!(matches!(answers[..], [Answer::TimedOut]), "{answers:?}");
        drop(tell);
    }
}
