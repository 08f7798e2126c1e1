//! `Meta`: the labels of a target as a source names them, below a prefix of its own. Knows no source.

use crate::group::ADDRESS;
use skopos_model::{Labels, LabelsBuilder};
use std::borrow::Cow;

/// Collects the labels of a target, or of a group. A label whose value is empty is none.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    /// As `__meta_docker_`.
    prefix: &'static str,
    labels: LabelsBuilder,
}

impl Meta {
    /// No labels yet.
    pub(crate) fn new(prefix: &'static str) -> Self {
        Self { prefix, labels: LabelsBuilder::default() }
    }

    /// Sets a label below the prefix.
    pub(crate) fn set(&mut self, name: &str, value: impl AsRef<str>) -> &mut Self {
        self.labels.set(&format!("{}{name}", self.prefix), value.as_ref());
        self
    }

    /// Sets a label below the prefix whose name ends in `key`, which may be any text.
    pub(crate) fn set_named(&mut self, name: &str, key: &str, value: impl AsRef<str>) -> &mut Self {
        self.labels.set(&format!("{}{name}{}", self.prefix, sanitised(key)), value.as_ref());
        self
    }

    /// The same of several.
    pub(crate) fn set_all<'a>(
        &mut self,
        name: &str,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> &mut Self {
        for (key, value) in pairs {
            self.set_named(name, key, value);
        }
        self
    }

    /// Sets where the target is.
    pub(crate) fn address(&mut self, address: impl AsRef<str>) -> &mut Self {
        self.labels.set(ADDRESS, address.as_ref());
        self
    }

    /// Sets what the target is called in its series.
    pub(crate) fn instance(&mut self, name: impl AsRef<str>) -> &mut Self {
        self.labels.set("instance", name.as_ref());
        self
    }

    /// Sets all of `others`.
    pub(crate) fn extend(&mut self, others: &Labels) -> &mut Self {
        self.labels.extend(others);
        self
    }

    pub(crate) fn build(&mut self) -> Labels {
        self.labels.build()
    }
}

/// A text as part of a label's name: what is no ASCII letter or digit becomes `_`.
pub(crate) fn sanitised(text: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.chars().all(fits) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if fits(c) { c } else { '_' }).collect())
}

/// A host and a port as an address; one of IPv6 stands in brackets.
pub(crate) fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains([':', '%']) { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The texts with a separator between them, and around them, so that rules find one wherever it stands.
/// Nothing where there is no text.
pub(crate) fn enclosed<'a>(texts: impl IntoIterator<Item = &'a str>, separator: &str) -> String {
    let mut out = String::new();
    for text in texts {
        if out.is_empty() {
            out.push_str(separator);
        }
        out.push_str(text);
        out.push_str(separator);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_made_as_in_prometheus() {
        for (text, name) in [("a.b/c-d", "a_b_c_d"), ("ok_1", "ok_1"), ("für", "f_r"), ("", "")] {
            assert_eq!(sanitised(text), name);
        }
        for (host, address) in [("h", "h:1"), ("::1", "[::1]:1"), ("fe80::1%eth0", "[fe80::1%eth0]:1")] {
            assert_eq!(host_port(host, 1), address);
        }
    }

    #[test]
    fn lists_are_enclosed() {
        assert_eq!(enclosed(["a", "b"], ","), ",a,b,");
        assert_eq!(enclosed([], ","), "");
    }

    #[test]
    fn an_empty_value_is_no_label() {
        let mut meta = Meta::new("__meta_x_");
        meta.set("a", "1").set("b", "").set_named("tag_", "k.v", "2").address("h:1");
        let expected = r#"{__address__="h:1", __meta_x_a="1", __meta_x_tag_k_v="2"}"#;
        assert_eq!(meta.build().to_string(), expected);
    }
}
