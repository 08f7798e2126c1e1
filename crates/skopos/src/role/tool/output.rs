//! `Out`: the result of a tool on standard output. When the reader goes away (`| head`), the tool has done
//! what was wanted of it.

use crate::role::Failure;
use std::io::{self, BufWriter, StdoutLock, Write};

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

fn failure(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::ReaderGone
    } else {
        Failure::system("writing to standard output")(error)
    }
}
