//! `os`: the distribution, from `os-release` in the root file system.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root},
};
use jiff::{civil::Date, tz::TimeZone};
use skopos_model::MetricType;

/// Where distributions put the file, the first one first.
const FILES: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// The label of each key, in the order of the labels.
const LABELS: [(&str, &str); 12] = [
    ("BUILD_ID", "build_id"),
    ("ID", "id"),
    ("ID_LIKE", "id_like"),
    ("IMAGE_ID", "image_id"),
    ("IMAGE_VERSION", "image_version"),
    ("NAME", "name"),
    ("PRETTY_NAME", "pretty_name"),
    ("VARIANT", "variant"),
    ("VARIANT_ID", "variant_id"),
    ("VERSION", "version"),
    ("VERSION_CODENAME", "version_codename"),
    ("VERSION_ID", "version_id"),
];
const ID: usize = 1;
const ID_LIKE: usize = 2;
const NAME: usize = 5;
const VERSION_ID: usize = 11;

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Os {
    file: File,
    release: Release,
}

/// What the file says.
#[derive(Debug, Default)]
struct Release {
    values: [String; LABELS.len()],
    support_end: String,
}

impl Collector for Os {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let mut found = false;
        for name in FILES {
            if self.file.read_if_exists(context.paths, Root::Rootfs, format_args!("{name}"))? {
                found = true;
                break;
            }
        }
        if !found {
            return Err(CollectError::NoData(format!("there is none of the files {}", FILES.join(", "))));
        }
        self.release.parse(self.file.data());
        let values = &self.release.values;
        if values.iter().all(String::is_empty) {
            return Err(self.file.malformed("it says nothing of the distribution"));
        }
        let labels: [(&str, &str); LABELS.len()] = std::array::from_fn(|i| (LABELS[i].1, values[i].as_str()));
        let help = "The distribution, as labels; always 1.";
        context.out.family("node_os_info", MetricType::Gauge, help).sample(&labels, 1.0);
        if !self.release.support_end.is_empty() {
            let end = support_end(&self.release.support_end)
                .ok_or_else(|| self.file.malformed("SUPPORT_END is no date like 2028-06-30"))?;
            let help = "When the distribution's support ends, in seconds since 1970.";
            context.out.gauge("node_os_support_end_timestamp_seconds", help, end);
        }
        if let Some(version) = major_minor(&values[VERSION_ID]).filter(|version| *version > 0.0) {
            let help = "The distribution's version, major and minor number.";
            let labels =
                [("id", ID), ("id_like", ID_LIKE), ("name", NAME)].map(|(l, i)| (l, values[i].as_str()));
            context.out.family("node_os_version", MetricType::Gauge, help).sample(&labels, version);
        }
        Ok(())
    }
}

impl Release {
    /// Takes over the known keys; other lines are left alone. Of a key that stands twice, the last
    /// counts, as in the shell that this format comes from.
    fn parse(&mut self, data: &[u8]) {
        self.support_end.clear();
        self.values.iter_mut().for_each(String::clear);
        for line in scan::lines(data) {
            let Some((key, value)) = scan::split_at(line, b'=') else { continue };
            if key == b"SUPPORT_END" {
                self.support_end = unquote(value);
            } else if let Some(at) = LABELS.iter().position(|(known, _)| known.as_bytes() == key) {
                self.values[at] = unquote(value);
            }
        }
    }
}

/// A value of the shell: in single quotes nothing is special, else a backslash takes the next byte as
/// it is.
fn unquote(value: &[u8]) -> String {
    let within = |quote| value.len() >= 2 && value.starts_with(&[quote]) && value.ends_with(&[quote]);
    if within(b'\'') {
        return scan::text(&value[1..value.len() - 1]).into_owned();
    }
    let value = if within(b'"') { &value[1..value.len() - 1] } else { value };
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        plain.push(if *byte == b'\\' { *bytes.next().unwrap_or(byte) } else { *byte });
    }
    scan::text(&plain).into_owned()
}

/// `12.4` of `12.4.1-beta`.
fn major_minor(version: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let major = digits(version);
    let minor = version[major..].strip_prefix('.').map_or(0, |rest| 1 + digits(rest));
    version[..major + minor].parse().ok().filter(|_| major > 0)
}

/// The first second of that day, in UTC.
fn support_end(date: &str) -> Option<f64> {
    let date: Date = date.parse().ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_lose_their_quotes() {
        for (raw, value) in [
            ("debian", "debian"),
            ("\"Debian GNU/Linux\"", "Debian GNU/Linux"),
            ("'a \\ b'", "a \\ b"),
            ("\"a \\\"b\\\" \\$c\"", "a \"b\" $c"),
            ("\"", "\""),
            ("", ""),
            ("a\\", "a\\"),
        ] {
            assert_eq!(unquote(raw.as_bytes()), value, "{raw:?}");
        }
    }

    #[test]
    fn versions_and_dates() {
        for (text, version) in [
            ("12", Some(12.0)),
            ("22.04", Some(22.04)),
            ("9.3.1", Some(9.3)),
            ("7.", Some(7.0)),
            ("rolling", None),
        ] {
            assert_eq!(major_minor(text), version, "{text:?}");
        }
        assert_eq!(support_end("2028-06-30"), Some(1_845_936_000.0));
        assert_eq!(support_end("soon"), None);
    }

    proptest! {
        #[test]
        fn any_file_is_read_without_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            Release::default().parse(&data);
        }

        #[test]
        fn any_text_is_a_version_or_not(text in ".{0,20}") {
            major_minor(&text);
            support_end(&text);
        }
    }
}
