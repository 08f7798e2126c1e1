//! `Stream`: a body of lines that may have any length, taken as it comes: what is complete of it is stored
//! window by window, so that it is never held as a whole. Knows no sockets: its caller hands parts in.

use crate::{
    Compression, ExtraLabels, Held, IntakeError, TextFormat, Written,
    intake::{BYTES_FOR_EACH, Intake},
    limits,
    tally::Tally,
    text::Body,
    unzip::Unpacker,
};
use std::sync::Arc;

/// Lines are stored once there are so many bytes of them.
const WINDOW_BYTES: usize = 64 << 10;

/// See above. Dropping it leaves what is stored, and passes over the rest.
pub struct Stream {
    unpacker: Unpacker,
    lines: Lines,
}

/// What came out of the body, and became of it.
struct Lines {
    intake: Arc<Intake>,
    format: TextFormat,
    extra: ExtraLabels,
    held: Held,
    charged: usize,
    /// What is not stored yet; in front complete lines.
    window: Vec<u8>,
    /// How much of `window` was searched for the end of a line that may be stored.
    searched: usize,
    bytes: u64,
    lines_before: usize,
    tally: Tally,
}

impl Stream {
    /// A body that is about to come.
    ///
    /// # Errors
    /// When there is no memory to unpack it.
    pub fn begin(
        intake: &Arc<Intake>,
        (format, compression): (TextFormat, Compression),
        extra: ExtraLabels,
    ) -> Result<Self, IntakeError> {
        let lines = Lines {
            intake: Arc::clone(intake),
            format,
            extra,
            held: intake.memory().begin(),
            charged: 0,
            window: Vec::new(),
            searched: 0,
            bytes: 0,
            lines_before: 0,
            tally: Tally::default(),
        };
        Ok(Self { unpacker: Unpacker::new(compression)?, lines })
    }

    /// Takes the next part of the body.
    ///
    /// # Errors
    /// When nothing more can be taken of it; what was stored before stays.
    pub fn push(&mut self, part: &[u8]) -> Result<(), IntakeError> {
        let Self { unpacker, lines } = self;
        unpacker.push(part, |plain| lines.push(plain)).map_err(|e| lines.failed(e))
    }

    /// Takes what is left, and makes all durable.
    ///
    /// # Errors
    /// As with `push`; also when the body is not complete.
    pub fn end(mut self) -> Result<Written, IntakeError> {
        let lines = &mut self.lines;
        let done = self.unpacker.finish().and_then(|()| lines.store(lines.window.len()));
        let done = done.and_then(|()| lines.intake.make_durable());
        done.map_err(|e| lines.failed(e))?;
        let protocol = lines.format.protocol();
        Ok(lines.intake.request_taken(protocol, std::mem::take(&mut lines.tally)))
    }
}

impl Lines {
    fn push(&mut self, plain: &[u8]) -> Result<(), IntakeError> {
        self.bytes += plain.len() as u64;
        let max = self.intake.limits().import_bytes;
        if self.bytes > max {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            return Err(IntakeError::TooLong { what: "body, unpacked,", limit: limits::IMPORT_BYTES, max });
        }
        self.charge(self.window.len() + plain.len())?;
        self.window.extend_from_slice(plain);
        if self.window.len() < WINDOW_BYTES {
            return Ok(());
        }
        match self.window[self.searched..].iter().rposition(|b| *b == b'\n') {
            Some(at) => self.store(self.format.whole_lines(&self.window[..self.searched + at + 1])),
            None => {
                self.searched = self.window.len();
                let max = self.intake.limits().line_bytes;
                match self.searched > max {
                    true => Err(IntakeError::TooLong { what: "line", limit: limits::LINE_BYTES, max }),
                    false => Ok(()),
                }
            }
        }
    }

    /// Charges the memory that so many bytes take while they are stored.
    fn charge(&mut self, bytes: usize) -> Result<(), IntakeError> {
        let wanted = bytes.max(WINDOW_BYTES).saturating_mul(BYTES_FOR_EACH);
        if wanted > self.charged {
            self.held.take(wanted - self.charged)?;
            self.charged = wanted;
        }
        Ok(())
    }

    /// Stores the first `bytes` of the window, which are whole lines.
    fn store(&mut self, bytes: usize) -> Result<(), IntakeError> {
        if bytes > 0 {
            let body = Body {
                plain: &self.window[..bytes],
                format: &self.format,
                extra: &self.extra,
                lines_before: self.lines_before,
            };
            self.tally.join(self.intake.window(&body)?);
            self.lines_before += self.window[..bytes].iter().filter(|b| **b == b'\n').count();
        }
        self.window.drain(..bytes);
        self.searched = self.window.len();
        Ok(())
    }

    fn failed(&mut self, e: IntakeError) -> IntakeError {
        let stored = self.tally.samples;
        self.intake.request_failed(self.format.protocol(), std::mem::take(&mut self.tally));
        match stored {
            0 => e,
            stored => IntakeError::Partly { lines: self.lines_before, stored, why: Box::new(e) },
        }
    }
}
