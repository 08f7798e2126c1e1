//! `Body`: what a target sent, and which of the formats it is in, by what its head says. Fetches nothing and
//! reads no line.

use crate::room::Room;
use skopos_exposition::{Format, MediaType};
use std::{fmt, sync::Arc};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exposition {
    /// As lines of text.
    Lines(Format),
    /// As families in protocol buffers, each behind its length.
    Families,
}

/// A body with the room that it takes. Dropping it gives both back.
pub struct Body {
    /// What the target sent, decoded.
    pub bytes: Vec<u8>,
    /// How it is to be read.
    pub exposition: Exposition,
    pub(crate) room: Room,
}

impl Body {
    /// A body that is there already and takes no room.
    pub fn of(exposition: Exposition, bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), exposition, room: Room::of(&Arc::default()) }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.room.memory.keep(std::mem::take(&mut self.bytes));
    }
}

/// What is wrong with a `Content-Type`, where the job has no `fallback_scrape_protocol`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentTypeError {
    /// There is none.
    #[error("the target sends no Content-Type, and its job has no fallback_scrape_protocol: {Advice}")]
    Blank,
    /// It is none.
    #[error("cannot parse Content-Type {0:?}, and the job has no fallback_scrape_protocol: {Advice}")]
    Malformed(String),
    /// It is of something else.
    #[error("received unsupported Content-Type {0:?}, and the job has no fallback_scrape_protocol: {Advice}")]
    Unsupported(String),
}

struct Advice;

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("let it send text/plain, application/openmetrics-text or application/vnd.google.protobuf")
    }
}

impl Exposition {
    /// The format that a head declares, or else the one to fall back to. As in Prometheus no parameter of it
    /// matters.
    pub(crate) fn of_content_type(value: &str, fallback: Option<Self>) -> Result<Self, ContentTypeError> {
        let error = match MediaType::parse(value) {
            _ if value.is_empty() => ContentTypeError::Blank,
            Some(MediaType::Text) => return Ok(Self::Lines(Format::Text)),
            Some(MediaType::OpenMetrics) => return Ok(Self::Lines(Format::OpenMetrics)),
            Some(MediaType::Families) => return Ok(Self::Families),
            Some(MediaType::Other) => ContentTypeError::Unsupported(value.to_owned()),
            None => ContentTypeError::Malformed(value.to_owned()),
        };
        fallback.ok_or(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_what_heads_say_or_by_the_job() {
        let (text, open) = (Exposition::Lines(Format::Text), Exposition::Lines(Format::OpenMetrics));
        for (value, expected) in [
            ("text/plain", text),
            ("Text/Plain; version=0.0.4; charset=utf-8; escaping=values", text),
            ("text/plain; version=7", text),
            ("application/openmetrics-text", open),
            ("application/openmetrics-text; version=2.0.0", open),
            ("application/vnd.google.protobuf; proto=x; encoding=y", Exposition::Families),
        ] {
            assert_eq!(Exposition::of_content_type(value, None), Ok(expected), "{value}");
            assert_eq!(Exposition::of_content_type(value, Some(text)), Ok(expected), "{value}");
        }
        for (value, message) in [
            ("", "sends no Content-Type"),
            ("text/html", "unsupported Content-Type \"text/html\""),
            ("application/json; charset=utf-8", "unsupported Content-Type"),
            ("text/plain; charset", "cannot parse Content-Type"),
            ("text/", "cannot parse Content-Type"),
            (";version=1", "cannot parse Content-Type"),
        ] {
            let error = Exposition::of_content_type(value, None).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains("no fallback_scrape_protocol"), "{error}");
            assert_eq!(Exposition::of_content_type(value, Some(open)), Ok(open), "{value}");
        }
    }
}
