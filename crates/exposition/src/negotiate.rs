//! `Page`: how a page for another server is written, by what that server accepts: as text or as families in
//! protocol buffers, and what becomes of names that older readers do not know. Reads headers' values, knows
//! no HTTP.

use crate::format::MediaRange;
use skopos_model::name::is_classic_metric_name;
use std::borrow::Cow;

/// What becomes of names that are not classic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Escaping {
    /// They are written as they are.
    AllowUtf8,
    /// What is not classic becomes `_`.
    #[default]
    Underscores,
    /// As before, but points become `_dot_` and `_` becomes `__`.
    Dots,
    /// What is not classic is written as its number, so that names can be had back.
    Values,
}

impl Escaping {
    const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    /// As headers name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The name as this reader gets it. A classic one stays as it is.
    pub fn escaped(self, name: &str) -> Cow<'_, str> {
        if self == Self::AllowUtf8 || name.is_empty() || is_classic_metric_name(name) {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            out.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            let is_classic =
                c.is_ascii_alphabetic() || matches!(c, '_' | ':') || (at > 0 && c.is_ascii_digit());
            match (self, c) {
                (Self::Dots | Self::Values, '_') => out.push_str("__"),
                (Self::Dots, '.') => out.push_str("_dot_"),
                _ if is_classic => out.push(c),
                (Self::Dots, _) => out.push_str("__"),
                (Self::Values, _) => out.push_str(&format!("_{:x}_", u32::from(c))),
                (Self::Underscores | Self::AllowUtf8, _) => out.push('_'),
            }
        }
        Cow::Owned(out)
    }
}

/// The ways in which a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum PageFormat {
    /// The classic text format; it has no room for native histograms.
    #[default]
    Text,
    /// Families in protocol buffers, each behind its length.
    Families,
}

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Page {
    /// In which format.
    pub format: PageFormat,
    /// With which names.
    pub escaping: Escaping,
}

impl Page {
    /// What whoever sent this `Accept` gets: the first format that is known, by weight, with the escaping
    /// that was named last until then; as text where none is known.
    pub fn negotiate(accept: &str) -> Self {
        let mut ranges: Vec<MediaRange<'_>> = accept.split(',').map(MediaRange::parse).collect();
        ranges.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let mut page = Self::default();
        for range in &ranges {
            if let Some(known) = Escaping::ALL.into_iter().find(|e| e.as_str() == range.escaping) {
                page.escaping = known;
            }
            if range.is_families() {
                return Self { format: PageFormat::Families, ..page };
            }
            if range.is_text() {
                return page;
            }
        }
        page
    }

    /// The value of `Content-Type`.
    pub fn content_type(&self) -> String {
        let format = match self.format {
            PageFormat::Text => "text/plain; version=0.0.4; charset=utf-8",
            PageFormat::Families => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        };
        format!("{format}; escaping={}", self.escaping.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: &str =
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

    #[test]
    fn the_heaviest_known_format_is_answered_with_its_escaping() {
        use Escaping::{AllowUtf8, Dots, Underscores, Values};
        use PageFormat::{Families, Text};
        let of_prometheus = format!(
            "{FAMILIES};q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
        );
        for (accept, format, escaping) in [
            ("", Text, Underscores),
            ("*/*", Text, Underscores),
            ("application/openmetrics-text;version=1.0.0", Text, Underscores),
            (&of_prometheus, Families, Underscores),
            (&of_prometheus.replace("delimited", "delimited;escaping=allow-utf-8"), Families, AllowUtf8),
            (&of_prometheus.replace("delimited", "text"), Text, AllowUtf8),
            (&of_prometheus.replace("io.prometheus", "io.other"), Text, AllowUtf8),
            ("text/plain;version=0.0.4;escaping=dots", Text, Dots),
            ("text/plain;escaping=values", Text, Values),
            ("text/plain;escaping=nonsense", Text, Underscores),
            (&format!("text/plain;escaping=dots;q=0.2,{FAMILIES};escaping=values;q=0.1"), Text, Dots),
            (&format!("text/plain;escaping=dots;q=0.1,{FAMILIES};escaping=values;q=0.2"), Families, Values),
        ] {
            assert_eq!(Page::negotiate(accept), Page { format, escaping }, "{accept}");
        }
        let page = Page { format: Families, escaping: Values };
        assert_eq!(Page::negotiate(&page.content_type()), page);
        assert_eq!(
            Page::default().content_type(),
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        );
    }

    #[test]
    fn names_are_escaped_as_prometheus_escapes_them() {
        for (name, underscores, dots, values) in [
            ("no:change_1", "no:change_1", "no:change_1", "no:change_1"),
            ("a.b_c", "a_b_c", "a_dot_b__c", "U__a_2e_b__c"),
            ("0bad", "_bad", "__bad", "U___30_bad"),
            ("a b-é", "a_b__", "a__b____", "U__a_20_b_2d__e9_"),
            ("花", "_", "__", "U___82b1_"),
            ("", "", "", ""),
        ] {
            let all = [Escaping::Underscores, Escaping::Dots, Escaping::Values];
            assert_eq!(all.map(|e| e.escaped(name).into_owned()), [underscores, dots, values], "{name}");
            assert_eq!(Escaping::AllowUtf8.escaped(name), name);
        }
    }
}
