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

/// What a body is, by its `Content-Type`; no parameter of it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// The classic text format.
    Text,
    /// OpenMetrics.
    OpenMetrics,
    /// Families in protocol buffers.
    Families,
    /// Something else.
    Other,
}

impl MediaType {
    /// What that value says; none where it is none (RFC 2045, as Go's `mime` reads it).
    pub fn parse(value: &str) -> Option<Self> {
        let (media_type, parameters) = value.split_once(';').unwrap_or((value, ""));
        let media_type = media_type.trim().to_ascii_lowercase();
        let mut parts = media_type.split('/');
        let is_sound =
            parts.next().is_some_and(is_token) && parts.next().is_none_or(is_token) && parts.next().is_none();
        if !is_sound || !are_parameters(parameters) {
            return None;
        }
        Some(match &*media_type {
            "text/plain" => Self::Text,
            "application/openmetrics-text" => Self::OpenMetrics,
            "application/vnd.google.protobuf" => Self::Families,
            _ => Self::Other,
        })
    }
}

fn is_token(text: &str) -> bool {
    let is_special = |b: u8| b"()<>@,;:\\\"/[]?=".contains(&b);
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !is_special(b))
}

/// Whether these are `key=value` behind one another, no key twice.
fn are_parameters(mut rest: &str) -> bool {
    let mut keys: Vec<String> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return true;
        }
        let Some((key, value)) = rest.split_once('=') else { return false };
        let key = key.trim_end().to_ascii_lowercase();
        if !is_token(&key) || keys.contains(&key) {
            return false;
        }
        keys.push(key);
        let value = value.trim_start();
        let end = match value.strip_prefix('"') {
            Some(quoted) => match closing_quote(quoted) {
                Some(end) => end + 2,
                None => return false,
            },
            None => value.find([';', ' ', '\t']).unwrap_or(value.len()),
        };
        if !value.starts_with('"') && !is_token(&value[..end]) {
            return false;
        }
        rest = value[end..].trim_start();
        match rest.strip_prefix(';') {
            Some(more) => rest = more,
            None => return rest.is_empty(),
        }
    }
}

/// Where the quote stands that ends a text.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    })
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
    fn content_types_are_known_again_whatever_their_parameters() {
        use MediaType::{Families, OpenMetrics, Other, Text};
        for (value, expected) in [
            (Format::Text.content_type(), Some(Text)),
            (Format::OpenMetrics.content_type(), Some(OpenMetrics)),
            ("TEXT/PLAIN; charset=utf-8; version=0.0.4; escaping=values", Some(Text)),
            ("text/plain;", Some(Text)),
            ("application/openmetrics-text;version=9", Some(OpenMetrics)),
            ("application/vnd.google.protobuf; proto=a.b.C; encoding=\"de\\\"limited\" ;x=y", Some(Families)),
            ("text/html", Some(Other)),
            ("text", Some(Other)),
            ("", None),
            ("text/", None),
            ("text/plain/x", None),
            ("text/plain; a", None),
            ("text/plain; a=", None),
            ("text/plain; a=b c", None),
            ("text/plain; a=b; A=c", None),
            ("text/plain; a=\"b", None),
            ("te xt/plain", None),
        ] {
            assert_eq!(MediaType::parse(value), expected, "{value}");
        }
    }
}
