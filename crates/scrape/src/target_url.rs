//! The URL at which a target is scraped, written letter by letter as Prometheus writes it: that is what is
//! shown, and what a request says. Knows no rules for labels and sends nothing.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write};

/// What a URL is made of, none of it escaped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetUrl<'a> {
    pub(crate) scheme: &'a str,
    /// A host, and mostly a port.
    pub(crate) address: &'a str,
    /// All of it is path: a `?` or `%` is one of its letters.
    pub(crate) path: &'a str,
    pub(crate) params: &'a BTreeMap<String, Vec<String>>,
}

impl TargetUrl<'_> {
    /// The URL. Without a path it ends with the address.
    pub(crate) fn written(&self) -> String {
        let mut out = format!("{}://", self.scheme);
        Part::Address.escape(self.address, &mut out);
        if !self.path.is_empty() && !self.path.starts_with('/') {
            out.push('/');
        }
        // The path of a question about the server itself is no text with a star.
        if self.path == "*" {
            out.push('*');
        } else {
            Part::Path.escape(self.path, &mut out);
        }
        let mut before = '?';
        for (name, values) in self.params {
            for value in values {
                out.push(before);
                Part::Form.escape(name, &mut out);
                out.push('=');
                Part::Form.escape(value, &mut out);
                before = '&';
            }
        }
        out
    }
}

/// What a request to a `url` that begins with `http://` says: what stands behind the address. None where that
/// has letters that have to be escaped.
pub(crate) fn request_target(url: &str) -> Option<Cow<'_, str>> {
    let rest = url.strip_prefix("http://")?;
    let target = &rest[rest.find(['/', '?', '#']).unwrap_or(rest.len())..];
    if !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return None;
    }
    Some(if target.starts_with('/') { target.into() } else { format!("/{target}").into() })
}

/// The parts of a URL, which have letters of their own that stand for themselves.
#[derive(Clone, Copy)]
enum Part {
    Address,
    Path,
    Form,
}

impl Part {
    fn escape(self, text: &str, out: &mut String) {
        for b in text.bytes() {
            if b.is_ascii_alphanumeric() || self.others().contains(&b) {
                out.push(char::from(b));
            } else if let (b' ', Self::Form) = (b, self) {
                out.push('+');
            } else {
                write!(out, "%{b:02X}").expect("invariant: a String takes what is written");
            }
        }
    }

    /// Beside letters and digits.
    fn others(self) -> &'static [u8] {
        match self {
            Self::Address => b"-_.~!$&'()*+,;=:[]<>\"",
            Self::Path => b"-_.~$&+,/:;=@",
            Self::Form => b"-_.~",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, path: &str, params: &[(&str, &[&str])], expected: &str) {
        let owned = |(name, values): &(&str, &[&str])| {
            ((*name).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
        };
        let params = params.iter().map(owned).collect();
        assert_eq!(TargetUrl { scheme: "http", address, path, params: &params }.written(), expected);
    }

    /// As Prometheus 3.5.3 shows it and asks.
    #[test]
    fn letters_are_escaped_as_prometheus_escapes_them() {
        for (path, expected) in [
            ("/m?q", "/m%3Fq"),
            ("/m#f", "/m%23f"),
            ("/m%41", "/m%2541"),
            ("/m%zz", "/m%25zz"),
            ("/m é%20", "/m%20%C3%A9%2520"),
            ("/m?a=b&c=d#e", "/m%3Fa=b&c=d%23e"),
            ("/m*!$,:=@~x", "/m%2A%21$,:=@~x"),
            ("/m'(x)", "/m%27%28x%29"),
            ("/m\"<[{|\\^`}]>", "/m%22%3C%5B%7B%7C%5C%5E%60%7D%5D%3E"),
            ("/m+b;\u{7f}\t", "/m+b;%7F%09"),
            ("/a/../b//./c", "/a/../b//./c"),
            ("m", "/m"),
            ("//m", "//m"),
            ("", ""),
            ("*", "/*"),
            ("/*", "/%2A"),
        ] {
            check("h:1", path, &[], &format!("http://h:1{expected}"));
        }
        for (name, value, expected) in [
            ("a b", "c d", "a+b=c+d"),
            ("ü", "#%?&=+", "%C3%BC=%23%25%3F%26%3D%2B"),
            ("", "-_.~*", "=-_.~%2A"),
            ("a", "", "a="),
            ("'(", "!$,:@/;\n", "%27%28=%21%24%2C%3A%40%2F%3B%0A"),
        ] {
            check("h:1", "/m", &[(name, &[value])], &format!("http://h:1/m?{expected}"));
        }
        check("h:1", "", &[("b", &["1"]), ("a", &["2", "3"]), ("c", &[])], "http://h:1?a=2&a=3&b=1");
        check("u@h#1?x", "/m", &[], "http://u%40h%231%3Fx/m");
        check("[::1]:1", "/m", &[], "http://[::1]:1/m");
    }

    #[test]
    fn a_request_says_what_is_written() {
        for (url, expected) in [
            ("http://h:1", Some("/")),
            ("http://h:1?a=b", Some("/?a=b")),
            ("http://h:1/a/../b?c=d", Some("/a/../b?c=d")),
            ("http://h:1/m%3Fq", Some("/m%3Fq")),
            ("http://h:1/m#f", None),
            ("http://h:1/m q", None),
            ("http://h:1/m\r\nx", None),
            ("https://h:1/m", None),
        ] {
            assert_eq!(request_target(url).as_deref(), expected, "{url:?}");
        }
    }
}
