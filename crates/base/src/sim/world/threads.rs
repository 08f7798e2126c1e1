//! The clock, the spawner and the stop signals of a simulated world: the traits, said to its scheduler. Never
//! decides who runs.

use super::sched::{On, Shared, StopId, Tid, WorldEnded};
use crate::{
    clock::Clock,
    real::RealSpawner,
    spawn::{Joined, Spawner, Stop, ThreadPanicked},
};
use std::{
    any::Any,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Duration,
};

/// What a panic said.
pub(in crate::sim) fn message(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(s), _) => (*s).to_owned(),
        (_, Some(s)) => s.clone(),
        _ => "a panic without a message".to_owned(),
    }
}

pub(super) struct WorldClock(pub(super) Arc<Shared>);

impl fmt::Debug for WorldClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldClock({:?})", self.0.times())
    }
}

impl Clock for WorldClock {
    fn wall_ms(&self) -> i64 {
        self.0.times().wall_ms()
    }

    fn monotonic(&self) -> Duration {
        self.0.times().monotonic
    }

    fn sleep(&self, d: Duration) {
        self.0.wait(On::Time, d);
    }
}

pub(super) struct WorldSpawner(pub(super) Arc<Shared>);

impl fmt::Debug for WorldSpawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldSpawner(seed {})", self.0.seed())
    }
}

impl Spawner for WorldSpawner {
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Joined>> {
        let shared = self.0.clone();
        let Some(tid) = shared.add(name) else {
            return Err(io::Error::other(format!(
                "thread {name:?} cannot start in a simulated world outside of SimWorld::run"
            )));
        };
        let inside = shared.clone();
        let run = move || {
            let goes_on = inside.begin(tid);
            let result = catch_unwind(AssertUnwindSafe(move || {
                if goes_on {
                    body();
                } else {
                    // What the body holds is dropped as if it had been unwound, so that no destructor waits.
                    let _held = body;
                    resume_unwind(Box::new(WorldEnded));
                }
            }));
            inside.end(tid, result.as_ref().err().map(AsRef::as_ref));
        };
        match RealSpawner.spawn(name, Box::new(run)) {
            Ok(thread) => shared.keep_os_thread(thread),
            Err(e) => {
                shared.not_started(tid);
                return Err(e);
            }
        }
        Ok(Box::new(WorldJoined { shared, tid, name: name.to_owned() }))
    }

    fn stop_signal(&self) -> Arc<dyn Stop> {
        Arc::new(WorldStop { id: self.0.add_stop(), shared: self.0.clone() })
    }
}

struct WorldJoined {
    shared: Arc<Shared>,
    tid: Tid,
    name: String,
}

impl Joined for WorldJoined {
    fn join(self: Box<Self>) -> Result<(), ThreadPanicked> {
        self.shared.wait(On::Thread(self.tid), Duration::MAX);
        if self.shared.take_panicked(self.tid) { Err(ThreadPanicked(self.name)) } else { Ok(()) }
    }
}

struct WorldStop {
    shared: Arc<Shared>,
    id: StopId,
}

impl fmt::Debug for WorldStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorldStop(raised: {})", self.is_stopped())
    }
}

impl Stop for WorldStop {
    fn stop(&self) {
        self.shared.stop(self.id);
    }

    fn is_stopped(&self) -> bool {
        self.shared.is_stopped(self.id)
    }

    fn wait(&self, d: Duration) -> bool {
        self.shared.wait(On::Stop(self.id), d);
        self.is_stopped()
    }
}
