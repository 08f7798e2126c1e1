//! Names of families and labels that are made of the names that drivers chose.

use regex::Regex;
use std::sync::LazyLock;

static ODD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("_*[^0-9A-Za-z_]+_*").expect("invariant: the expression is right"));

/// `name` with one underscore for each run of bytes that cannot stand in a family's name.
pub(crate) fn sanitized(name: &str) -> String {
    ODD.replace_all(name, "_").into_owned()
}

/// `name` in lower case, with underscores for all but letters, digits, colons and underscores, and none
/// of them at its ends. This is how devices are named in labels.
pub(crate) fn cleaned(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, ':' | '_') { c.to_ascii_lowercase() } else { '_' }
    };
    let cleaned: String = name.chars().map(plain).collect();
    cleaned.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_bytes_become_underscores() {
        for (name, sane) in [
            ("rx_bytes", "rx_bytes"),
            ("rx [0]: bytes", "rx_0_bytes"),
            ("a__b", "a__b"),
            ("port.rx-x", "port_rx_x"),
        ] {
            assert_eq!(sanitized(name), sane, "{name}");
        }
        for (name, clean) in [("0000:09:00.0", "0000:09:00_0"), ("PCI-x.", "pci_x"), ("__", "")] {
            assert_eq!(cleaned(name), clean, "{name}");
        }
    }
}
