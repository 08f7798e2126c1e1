//! `Out`: the result of a tool on standard output. When the reader goes away (`| head`), the tool has done
//! what was wanted of it. `Progress`: what long work is at, on standard error.

use crate::role::Failure;
use skopos_base::clock::Clock;
use std::{
    io::{self, BufWriter, StdoutLock, Write},
    sync::Arc,
    time::Duration,
};

/// So often something is said of long work; what is done sooner says nothing.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// Standard output, buffered.
pub(super) struct Out(BufWriter<StdoutLock<'static>>);

impl Out {
    pub(super) fn new() -> Self {
        Self(BufWriter::with_capacity(64 << 10, io::stdout().lock()))
    }

    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.0.write_all(bytes).map_err(failure)
    }

    /// Shows what is still in the buffer.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.0.flush().map_err(failure)
    }
}

/// What long work is at, now and then, on standard error.
pub(super) struct Progress {
    clock: Arc<dyn Clock>,
    said: Duration,
    to: Box<dyn FnMut(&str) + Send>,
}

impl Progress {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self::to(clock, |what| {
            // Where nobody reads it, the work goes on.
            let _unread = writeln!(io::stderr(), "{what}");
        })
    }

    /// The same for another listener.
    pub(super) fn to(clock: &Arc<dyn Clock>, to: impl FnMut(&str) + Send + 'static) -> Self {
        Self { clock: Arc::clone(clock), said: clock.monotonic(), to: Box::new(to) }
    }

    /// Says what is being done, if it is time to.
    pub(super) fn say(&mut self, what: impl FnOnce() -> String) {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.said) >= PROGRESS_EVERY {
            self.said = now;
            self.warn(&what());
        }
    }

    /// Says something at once.
    pub(super) fn warn(&mut self, what: &str) {
        (self.to)(what);
    }
}

fn failure(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::ReaderGone
    } else {
        Failure::system("writing to standard output")(error)
    }
}
