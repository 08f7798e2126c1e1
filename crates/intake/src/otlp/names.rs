//! Names of metrics and labels, as Prometheus makes them of those of OpenTelemetry.

use super::{OtlpConfig, TranslationStrategy};

/// Units of UCUM and what stands for them in names.
const UNITS: [(&str, &str); 33] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("B", "bytes"),
    ("KB", "kilobytes"),
    ("MB", "megabytes"),
    ("GB", "gigabytes"),
    ("TB", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
    ("K", "kelvin"),
    ("lm", "lumens"),
];
/// The same behind "per".
const PER: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// What the name says of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A sum that never sinks.
    Counter,
    /// A gauge, whose unit 1 is a ratio.
    Gauge,
    Other,
}

fn classic(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// The name of a metric.
pub(super) fn metric(name: &str, unit: &str, kind: Kind, strategy: TranslationStrategy) -> String {
    match (strategy.escapes(), strategy.has_suffixes()) {
        (true, true) => normalized(name, unit, kind),
        (true, false) => not_beginning_with_a_digit(
            name.split(|c| !classic(c) && c != '_').filter(|t| !t.is_empty()).collect::<Vec<_>>().join("_"),
        ),
        (false, true) => with_suffixes(name, unit, kind),
        (false, false) => name.to_owned(),
    }
}

fn normalized(name: &str, unit: &str, kind: Kind) -> String {
    let mut tokens: Vec<&str> = name.split(|c| !classic(c)).filter(|t| !t.is_empty()).collect();
    let (main, per) = suffixes_of_unit(unit);
    let clean =
        |text: &str| text.split(|c| !classic(c)).filter(|t| !t.is_empty()).collect::<Vec<_>>().join("_");
    let (main, per) = (clean(&main), clean(&per));
    if !main.is_empty() && !tokens.contains(&main.as_str()) {
        tokens.push(&main);
    }
    if !per.is_empty() && !tokens.contains(&per.as_str()) {
        tokens.extend(["per", &per]);
    }
    for (suffix, wanted) in [("total", kind == Kind::Counter), ("ratio", kind == Kind::Gauge && unit == "1")]
    {
        if wanted {
            tokens.retain(|token| *token != suffix);
            tokens.push(suffix);
        }
    }
    not_beginning_with_a_digit(tokens.join("_"))
}

fn with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let mut out = name.to_owned();
    let (main, per) = suffixes_of_unit(unit);
    let mut add = |suffix: &str| {
        if !suffix.is_empty() && !out.ends_with(&format!("_{suffix}")) {
            out = format!("{}_{suffix}", out.trim_end_matches('_'));
        }
    };
    match (main.as_str(), per.as_str()) {
        (main, "") => add(main),
        ("", per) => add(&format!("per_{per}")),
        (main, per) => add(&format!("{main}_per_{per}")),
    }
    if kind == Kind::Counter {
        add("total");
    }
    if kind == Kind::Gauge && unit == "1" {
        add("ratio");
    }
    out
}

/// What stands for a unit and, where there is a slash in it, for what it is per.
fn suffixes_of_unit(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').map_or((unit, ""), |(main, per)| (main, per));
    let of = |text: &str, table: &[(&str, &str)]| {
        let text = text.trim();
        if text.contains(['{', '}']) {
            return String::new();
        }
        table.iter().find(|(ucum, _)| *ucum == text).map_or(text, |(_, word)| word).to_owned()
    };
    (of(main, &UNITS), of(per, &PER))
}

fn not_beginning_with_a_digit(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// The name of a label.
pub(super) fn label(name: &str, config: &OtlpConfig) -> String {
    if !config.translation_strategy.escapes() || name.is_empty() {
        return name.to_owned();
    }
    let kept = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut out: String = name.chars().map(kept).collect();
    if !config.label_name_preserve_multiple_underscores {
        let mut before = ' ';
        out.retain(|c| {
            let is_kept = c != '_' || before != '_';
            before = c;
            is_kept
        });
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        format!("key_{out}")
    } else if config.label_name_underscore_sanitization && out.starts_with('_') && !out.starts_with("__") {
        format!("key{out}")
    } else {
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_prometheus_makes() {
        use TranslationStrategy::{
            NoTranslation, NoUTF8EscapingWithSuffixes as Utf8, UnderscoreEscapingWithSuffixes as Suffixes,
            UnderscoreEscapingWithoutSuffixes as Escaped,
        };
        for (name, unit, kind, strategy, expected) in [
            ("http.server.duration", "ms", Kind::Other, Suffixes, "http_server_duration_milliseconds"),
            ("requests", "{request}", Kind::Counter, Suffixes, "requests_total"),
            ("requests.total", "", Kind::Counter, Suffixes, "requests_total"),
            ("cpu.utilization", "1", Kind::Gauge, Suffixes, "cpu_utilization_ratio"),
            ("net.io", "By/s", Kind::Gauge, Suffixes, "net_io_bytes_per_second"),
            ("disk.bytes", "By", Kind::Counter, Suffixes, "disk_bytes_total"),
            ("2nd", "", Kind::Gauge, Suffixes, "_2nd"),
            ("a.b", "ms", Kind::Counter, Escaped, "a_b"),
            ("a.b", "s", Kind::Counter, Utf8, "a.b_seconds_total"),
            ("a.b", "s", Kind::Counter, NoTranslation, "a.b"),
        ] {
            assert_eq!(metric(name, unit, kind, strategy), expected, "{name} {unit}");
        }
        for (name, expected) in [("a.b", "a_b"), ("1a", "key_1a"), ("_a", "key_a"), ("__a", "__a")] {
            assert_eq!(label(name, &OtlpConfig::default()), expected);
        }
        assert_eq!(label("a.b", &OtlpConfig { translation_strategy: Utf8, ..OtlpConfig::default() }), "a.b");
        let other = OtlpConfig {
            label_name_underscore_sanitization: false,
            label_name_preserve_multiple_underscores: false,
            ..OtlpConfig::default()
        };
        assert_eq!((label("_a..b__c", &other).as_str(), label("a-.b", &other).as_str()), ("_a_b_c", "a_b"));
    }
}
