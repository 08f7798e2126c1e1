//! Which metric and label names are allowed: any UTF-8 since Prometheus 3, the classic character
//! set where a text must be written without quotes.

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";
/// The label that holds the metric's type, where types are labels.
pub const METRIC_TYPE: &str = "__type__";
/// The label that holds the metric's unit, where units are labels.
pub const METRIC_UNIT: &str = "__unit__";
/// The label that names the bucket's upper bound of a classic histogram.
pub const BUCKET_LABEL: &str = "le";

/// Whether `name` can stand unquoted before `{`: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_classic_metric_name(name: &str) -> bool {
    is_classic(name, |b| b == b':')
}

/// Whether `name` can stand unquoted as a label: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_classic_label_name(name: &str) -> bool {
    is_classic(name, |_| false)
}

fn is_classic(name: &str, extra: impl Fn(u8) -> bool) -> bool {
    let mut bytes = name.bytes();
    let Some(first) = bytes.next() else { return false };
    (first.is_ascii_alphabetic() || first == b'_' || extra(first))
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || extra(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_names_are_told_from_others() {
        for (name, metric, label) in [
            ("up", true, true),
            ("_x9", true, true),
            ("job:rate:5m", true, false),
            ("9x", false, false),
            ("", false, false),
            ("http.requests", false, false),
            ("größe", false, false),
        ] {
            assert_eq!(is_classic_metric_name(name), metric, "{name}");
            assert_eq!(is_classic_label_name(name), label, "{name}");
        }
    }
}
