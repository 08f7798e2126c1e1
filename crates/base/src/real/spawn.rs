//! `RealSpawner`: threads of the operating system, and the `Stop` that they wait for. Never keeps a list of
//! its threads: who starts one joins it.

use crate::spawn::{Joined, Spawner, Stop, ThreadPanicked};
use parking_lot::{Condvar, Mutex};
use std::{cell::Cell, io, sync::Arc, time::Duration};

/// So much nicer than the first thread of the process a thread is that has stepped back: beside one that has
/// not it gets a tenth of a processor.
const NICER: i32 = 10;

thread_local! {
    static HAS_STEPPED_BACK: Cell<bool> = const { Cell::new(false) };
}

/// Starts threads of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealSpawner;

impl Spawner for RealSpawner {
    #[expect(clippy::disallowed_methods, reason = "this is where the program starts its threads")]
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Joined>> {
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .map_err(|e| io::Error::new(e.kind(), format!("cannot start thread {name:?}: {e}")))?;
        Ok(Box::new(RealJoined { name: name.to_owned(), handle }))
    }

    fn stop_signal(&self) -> Arc<dyn Stop> {
        Arc::new(RealStop::default())
    }

    fn step_back(&self) {
        if HAS_STEPPED_BACK.replace(true) {
            return;
        }
        // The system takes a process for its first thread, and none for the calling one, which may have been
        // started by one that had stepped back. Where it refuses, all go on as equals.
        if let Ok(nice) = rustix::process::getpriority_process(Some(rustix::process::getpid())) {
            let _refused = rustix::process::setpriority_process(None, nice + NICER);
        }
    }

    fn has_stepped_back(&self) -> bool {
        HAS_STEPPED_BACK.get()
    }
}

struct RealJoined {
    name: String,
    handle: std::thread::JoinHandle<()>,
}

impl Joined for RealJoined {
    fn join(self: Box<Self>) -> Result<(), ThreadPanicked> {
        let Self { name, handle } = *self;
        handle.join().map_err(|_| ThreadPanicked(name))
    }
}

/// A flag and those who wait for it.
#[derive(Debug, Default)]
struct RealStop {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Stop for RealStop {
    fn stop(&self) {
        *self.raised.lock() = true;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        *self.raised.lock()
    }

    fn wait(&self, d: Duration) -> bool {
        let mut raised = self.raised.lock();
        // The condition keeps a spurious wake-up from ending the wait early.
        self.changed.wait_while_for(&mut raised, |raised| !*raised, d);
        *raised
    }
}
