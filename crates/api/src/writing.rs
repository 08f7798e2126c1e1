//! `Writing`: an answer of any length, sent while it is written: what is held of it is a piece. Knows no form
//! of answers; whoever writes says where something more may follow.

use crate::{
    blocking::Sink,
    parts::Parts,
    reply::{ApiError, ErrorType},
};
use axum::body::Bytes;
use skopos_storage::{QueryBudget, QueryError};

/// The most bytes of an answer where no flag says it.
pub const DEFAULT_RESPONSE_MAX_BYTES: u64 = 1 << 30;
/// So many bytes are sent as one piece.
const PIECE_BYTES: usize = 256 << 10;

/// An answer while it is written.
pub(crate) struct Writing<'a> {
    parts: &'a Parts,
    budget: &'a QueryBudget,
    sink: &'a mut Sink,
    /// What is written and was not sent.
    pub(crate) out: Vec<u8>,
    sent: u64,
}

impl<'a> Writing<'a> {
    /// What the answer may use.
    pub(crate) fn budget(&self) -> &QueryBudget {
        self.budget
    }

    /// An answer that begins with `begin`.
    pub(crate) fn begin(parts: &'a Parts, budget: &'a QueryBudget, sink: &'a mut Sink, begin: &[u8]) -> Self {
        Self { parts, budget, sink, out: begin.to_vec(), sent: 0 }
    }

    /// Something more follows. Sends what is written if it is a piece, lets others go first that have just
    /// begun, and looks whether the answer may go on: to be asked every few kilobytes.
    pub(crate) fn more(&mut self) -> Result<(), ApiError> {
        // The time of the query is over when it was evaluated; the client has its own for taking the answer.
        if let Err(gone @ QueryError::Cancelled) = self.budget.go_on() {
            return Err(gone.into());
        }
        self.check_size(0)?;
        if self.out.len() < PIECE_BYTES { Ok(()) } else { self.flush() }
    }

    /// Sends what is written.
    pub(crate) fn flush(&mut self) -> Result<(), ApiError> {
        self.sent += self.out.len() as u64;
        let piece = std::mem::replace(&mut self.out, Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4));
        self.sink.send(self.parts, piece)
    }

    /// Whether an answer that is so long, and will have at least so many bytes more, may be.
    pub(crate) fn check_size(&self, more: u64) -> Result<(), ApiError> {
        let max = self.parts.response_max_bytes;
        if self.sent.saturating_add(self.out.len() as u64).saturating_add(more) <= max {
            return Ok(());
        }
        let reason = format!(
            "the answer is longer than {max} bytes (query.max-response-bytes): ask for fewer series, a \
             shorter range or a longer step"
        );
        Err(ApiError::new(ErrorType::Execution, reason).by("query.max-response-bytes"))
    }

    /// Writes a list of JSON, each of whose items `write` writes.
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Vec<u8>, T),
    ) -> Result<(), ApiError> {
        self.out.push(b'[');
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            write(&mut self.out, item);
            self.more()?;
        }
        self.out.push(b']');
        Ok(())
    }

    /// Writes bytes that are there already.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        for part in bytes.chunks(PIECE_BYTES) {
            self.out.extend_from_slice(part);
            self.more()?;
        }
        Ok(())
    }

    /// Sends `body`, which is there as a whole and charged, behind what is written; nothing follows.
    pub(crate) fn send(mut self, body: Vec<u8>) -> Result<(), ApiError> {
        self.check_size(body.len() as u64)?;
        let mut body = Bytes::from(body);
        if !self.out.is_empty() {
            self.flush()?;
        }
        while body.len() > PIECE_BYTES {
            let piece = body.split_to(PIECE_BYTES);
            self.sink.send(self.parts, piece)?;
        }
        self.sink.send_last(self.parts, body)
    }

    /// Sends the rest: nothing follows.
    pub(crate) fn end(self) -> Result<(), ApiError> {
        self.check_size(0)?;
        self.sink.send_last(self.parts, self.out)
    }
}
