//! `Format`: which formats there are, and which one both sides of an HTTP exchange understand. Reads
//! headers' values, knows no HTTP.

/// A text format in which metrics are exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// The classic text format, version 0.0.4.
    #[default]
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The value of `Content-Type` for a body in this format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The value of `Accept` that asks for what `crate::Parser` reads, the richest format first, and for
    /// names as they are.
    pub const ACCEPT: &'static str = concat!(
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,",
        "application/openmetrics-text;version=0.0.1;q=0.5,",
        "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    );

    /// The format of a body with that `Content-Type`; none for a type that is neither. Without a
    /// version the newest one is meant; the classic format has one way to be read, whatever version it says.
    pub fn from_content_type(value: &str) -> Option<Self> {
        let range = MediaRange::parse(value);
        let is_classic = range.media_type.eq_ignore_ascii_case("text/plain");
        range.format().or(is_classic.then_some(Self::Text))
    }

    /// The format to answer with, by the request's `Accept`: of those that it names the one with the
    /// highest weight, the first of equals, the classic format when it names none.
    pub fn negotiate(accept: &str) -> Self {
        let mut best = (Self::Text, 0.0);
        for range in accept.split(',').map(MediaRange::parse) {
            let format = if range.media_type == "*/*" { Some(Self::Text) } else { range.format() };
            if let Some(format) = format
                && range.weight > best.1
            {
                best = (format, range.weight);
            }
        }
        best.0
    }
}

/// One media type of a header, such as `text/plain;version=0.0.4;q=0.5`.
#[derive(Default)]
pub(crate) struct MediaRange<'a> {
    media_type: &'a str,
    version: &'a str,
    proto: &'a str,
    encoding: &'a str,
    /// What is to become of names that are not classic.
    pub(crate) escaping: &'a str,
    pub(crate) weight: f32,
}

impl<'a> MediaRange<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or("");
        let mut range = Self { media_type, weight: 1.0, ..Self::default() };
        for (key, value) in parts.filter_map(|p| p.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match key.trim().to_ascii_lowercase().as_str() {
                "version" => range.version = value,
                "proto" => range.proto = value,
                "encoding" => range.encoding = value,
                "escaping" => range.escaping = value,
                // A weight that is no number is taken as a refusal of this one type.
                "q" => range.weight = value.parse().unwrap_or(0.0),
                _ => {}
            }
        }
        range
    }

    /// Whether it is the classic text format.
    pub(crate) fn is_text(&self) -> bool {
        self.media_type.eq_ignore_ascii_case("text/plain") && matches!(self.version, "" | "0.0.4")
    }

    /// Whether it is families in protocol buffers, each behind its length.
    pub(crate) fn is_families(&self) -> bool {
        self.media_type.eq_ignore_ascii_case("application/vnd.google.protobuf")
            && self.proto == "io.prometheus.client.MetricFamily"
            && self.encoding == "delimited"
    }

    fn format(&self) -> Option<Format> {
        let is = |name: &str| self.media_type.eq_ignore_ascii_case(name);
        if is("application/openmetrics-text") && matches!(self.version, "" | "0.0.1" | "1.0.0") {
            Some(Format::OpenMetrics)
        } else if self.is_text() || is("text/*") {
            Some(Format::Text)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_known_type_is_answered() {
        use Format::{OpenMetrics, Text};
        let of_prometheus = "application/openmetrics-text;version=1.0.0,\
                             application/openmetrics-text;version=0.0.1;q=0.75,\
                             text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let of_a_browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, format) in [
            ("", Text),
            ("*/*", Text),
            (of_prometheus, OpenMetrics),
            (of_a_browser, Text),
            (Format::ACCEPT, OpenMetrics),
            ("application/openmetrics-text", OpenMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", OpenMetrics),
            ("application/openmetrics-text;version=2.0.0", Text),
            ("application/openmetrics-text;q=0.1, text/plain;q=0.2", Text),
            ("text/plain;q=0.2;version=0.0.4,application/openmetrics-text;q=0.2", Text),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;q=x", Text),
            (";;=,,;q", Text),
        ] {
            assert_eq!(Format::negotiate(accept), format, "{accept}");
        }
    }

    #[test]
    fn content_types_are_known_again() {
        for format in [Format::Text, Format::OpenMetrics] {
            assert_eq!(Format::from_content_type(format.content_type()), Some(format));
        }
        for (content_type, format) in [
            ("text/plain", Some(Format::Text)),
            ("TEXT/PLAIN; charset=utf-8; version=0.0.4; escaping=values", Some(Format::Text)),
            ("text/plain; version=1.0.0; escaping=allow-utf-8", Some(Format::Text)),
            ("text/html", None),
            ("application/openmetrics-text;version=9", None),
            ("", None),
        ] {
            assert_eq!(Format::from_content_type(content_type), format, "{content_type}");
        }
    }
}
