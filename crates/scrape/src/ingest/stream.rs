//! Bodies that are too long to be held: read window by window, while they come. What is found in them waits
//! until the body has come whole, as all of it is stored or nothing. Fetches nothing.

use super::{Batch, BodyError, Fresh, Ingest, MetadataLabels, Tally, lines::Histogram, pending::Pending};
use crate::{body::Exposition, metadata::Families};
use skopos_exposition::{DEFAULT_MAX_LINE_BYTES, Format, ParseError, ParseErrorKind, Parser};
use skopos_model::TimestampMs;
use skopos_storage::Appender;
use std::sync::Arc;

/// What has come of such a body.
pub(super) struct Stream {
    at: TimestampMs,
    format: Format,
    /// Whether the body before was in the same format.
    same_format: bool,
    bytes: u64,
    lines: usize,
    /// Whether the end mark of OpenMetrics was read.
    at_end_mark: bool,
    histogram: Option<Histogram>,
    pending: Vec<Pending>,
    fresh: Fresh,
    tally: Tally,
    failed: Option<BodyError>,
}

/// The body has an error; nothing of it will be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StreamError(String);

impl Stream {
    /// What has come, and why nothing of it is stored, where that is why no more came.
    pub(super) fn into_failure(self) -> (Tally, Option<BodyError>) {
        let body_bytes = self.bytes as i64;
        (Tally { body_bytes, ..self.tally }, self.failed)
    }
}

impl Ingest {
    /// Whether a body of this kind may come window by window. Where types are labels of series it may have
    /// to be read twice, and since when something has been counted may stand behind what is.
    pub fn can_stream(&self, exposition: Exposition) -> bool {
        matches!(exposition, Exposition::Lines(format) if !self.has_starts(format))
            && self.labels.metadata_labels() != MetadataLabels::TypeAndUnit
    }

    /// Whether a body is coming window by window.
    pub fn is_streaming(&self) -> bool {
        self.stream.is_some()
    }

    /// Begins a scrape whose body comes window by window. It ends with `body`, which gets what is left of
    /// it, or with `failure`.
    pub fn begin_stream(&mut self, at: TimestampMs, format: Format) {
        self.abandon_stream();
        self.cache.begin();
        self.metadata.begin();
        let metadata = Arc::clone(&self.metadata);
        let same_format = metadata.with(|said| self.begin_reading(Exposition::Lines(format), said));
        self.stream = Some(Stream {
            at,
            format,
            same_format,
            bytes: 0,
            lines: 0,
            at_end_mark: false,
            histogram: self.new_histogram(),
            pending: Vec::new(),
            fresh: Fresh::within(self.series_limit.bound()),
            tally: Tally::default(),
            failed: None,
        });
    }

    /// Reads what is complete of `bytes`, which are all that has come and was not read, and says how much
    /// that is.
    ///
    /// # Errors
    /// When the body has an error: nothing more of it has to come.
    pub fn window(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        let Some(mut stream) = self.stream.take() else { return Ok(0) };
        let metadata = Arc::clone(&self.metadata);
        let read = metadata.with(|said| self.read_window(&mut stream, bytes, said));
        let read = read.map_err(|error| {
            let said = StreamError(error.to_string());
            stream.failed = Some(error);
            said
        });
        self.stream = Some(stream);
        read
    }

    /// About how many bytes what waits to be stored takes.
    pub fn waiting_bytes(&self) -> usize {
        self.stream.as_ref().map_or(0, |stream| {
            stream.pending.len() * size_of::<Pending>() + self.columns.bytes() + self.cache.grown_bytes()
        })
    }

    fn read_window(
        &mut self,
        stream: &mut Stream,
        bytes: &[u8],
        said: &mut Families,
    ) -> Result<usize, BodyError> {
        let max = DEFAULT_MAX_LINE_BYTES;
        let Some(end) = memchr::memrchr(b'\n', bytes).map(|at| at + 1) else {
            if bytes.len() > max {
                return Err(ParseError::too_long(stream.lines + 1, max, bytes).into());
            }
            return Ok(0);
        };
        let mut parser = Parser::new(stream.format, &bytes[..end]).with_more_to_come();
        let read = match self.read(stream, &mut parser, said) {
            Ok(()) => end,
            // A text in quotes may have line breaks: it may be the window that ends within it.
            Err(BodyError::Parse(e))
                if e.kind == ParseErrorKind::UnclosedQuote && bytes.len() - parser.position() <= max =>
            {
                memchr::memrchr(b'\n', &bytes[..parser.position()]).map_or(0, |at| at + 1)
            }
            Err(e) => return Err(stream.behind_lines(e)),
        };
        stream.bytes += read as u64;
        stream.lines += memchr::memchr_iter(b'\n', &bytes[..read]).count();
        Ok(read)
    }

    fn read(
        &mut self,
        stream: &mut Stream,
        parser: &mut Parser<'_>,
        said: &mut Families,
    ) -> Result<(), BodyError> {
        if stream.at_end_mark {
            return Err(ParseError::behind_end_mark(0).into());
        }
        let Stream { at, pending, fresh, tally, histogram, .. } = stream;
        let mut batch = Batch { appender: None, at: *at, pending, fresh, tally };
        self.entries(&mut batch, (parser, stream.same_format), histogram, &mut None, said)?;
        stream.at_end_mark = parser.is_at_end_mark();
        Ok(())
    }

    /// Reads what is left of a body that has come whole, and appends all of it.
    pub(super) fn end_stream(
        &mut self,
        appender: &mut dyn Appender,
        mut stream: Stream,
        rest: &[u8],
        tally: &mut Tally,
    ) -> Result<(), BodyError> {
        let metadata = Arc::clone(&self.metadata);
        let ended = metadata.with(|said| {
            let read = self.read_rest(&mut stream, rest, said);
            *tally = std::mem::take(&mut stream.tally);
            tally.body_bytes = (stream.bytes + rest.len() as u64) as i64;
            read?;
            said.settle();
            self.store(appender, stream.at, stream.pending, said, tally)
        });
        metadata.end();
        ended
    }

    fn read_rest(&mut self, stream: &mut Stream, rest: &[u8], said: &mut Families) -> Result<(), BodyError> {
        let mut parser = Parser::new(stream.format, rest);
        if !(stream.at_end_mark && rest.is_empty()) {
            let read = self.read(stream, &mut parser, said);
            read.map_err(|e| stream.behind_lines(e))?;
        }
        let Stream { at, pending, fresh, tally, histogram, .. } = stream;
        let mut batch = Batch { appender: None, at: *at, pending, fresh, tally };
        histogram.as_mut().map_or(Ok(()), |last| self.convert(&mut batch, last))
    }

    /// Forgets what has come of a body that will not come whole; all is as it was before.
    pub(super) fn abandon_stream(&mut self) {
        if self.stream.take().is_some() {
            self.give_up_stream();
            self.cache.keep_vanished();
            self.cache.end();
            // What the next body is compared with is of the one before.
            self.exposition = None;
        }
    }

    /// Forgets what has come of a body, in a scrape that goes on without it.
    pub(super) fn give_up_stream(&mut self) {
        self.metadata.end();
        self.see_nothing();
    }
}

impl Stream {
    /// The error with its place in the whole body.
    fn behind_lines(&self, error: BodyError) -> BodyError {
        match error {
            BodyError::Parse(e) => BodyError::Parse(e.behind_lines(self.lines)),
            other => other,
        }
    }
}
