//! `layers.toml` read into types: which crate stands on which layer, and which files are excused from which
//! rule. Never looks at the crates themselves.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The file that holds the table, at the root of the repository.
pub(crate) const LAYERS_FILE: &str = "layers.toml";

/// The whole of `layers.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Layers {
    layers: BTreeMap<String, u8>,
    /// For a crate, those of its own layer that it may use all the same.
    #[serde(default)]
    pub(crate) same_layer: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    unlayered: BTreeMap<String, Unlayered>,
    pub(crate) pure: Pure,
    pub(crate) allow: Allow,
}

/// A crate beside the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unlayered {
    /// The highest layer that it may use.
    pub(crate) uses_up_to: u8,
    /// Whether others may name it under `[dev-dependencies]` alone.
    pub(crate) dev_only: bool,
}

/// The layers that are synchronous and deterministic.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pure {
    up_to: u8,
    /// Packages that no crate of these layers may depend on.
    pub(crate) banned_packages: Vec<String>,
}

/// Files (or folders, ending in `/`) that are excused from a rule.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allow {
    /// May touch the operating system though their crate is on a pure layer.
    pub(crate) real_world: Vec<String>,
    /// May hold `unsafe`.
    pub(crate) unsafe_code: Vec<String>,
}

/// Where a crate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a numbered layer.
    Layer(u8),
    /// Beside the layers.
    Beside(Unlayered),
}

impl Layers {
    /// Reads the table from the text of `layers.toml`.
    pub(crate) fn parse(text: &str) -> Result<Layers> {
        toml::from_str(text).with_context(|| format!("{LAYERS_FILE} cannot be read"))
    }

    /// Where the crate in folder `crates/<name>` stands, if the table knows it.
    pub(crate) fn place(&self, name: &str) -> Option<Place> {
        let layer = self.layers.get(name).copied().map(Place::Layer);
        layer.or_else(|| self.unlayered.get(name).copied().map(Place::Beside))
    }

    /// Whether the file at `path` belongs to a crate of the synchronous, deterministic layers.
    pub(crate) fn is_pure(&self, path: &str) -> bool {
        let layer = crate_of(path).and_then(|name| self.layers.get(name));
        layer.is_some_and(|&layer| layer <= self.pure.up_to)
    }

    /// Whether `own` may use `other` though they stand on one layer.
    pub(crate) fn allows_same_layer(&self, own: &str, other: &str) -> bool {
        self.same_layer.get(own).is_some_and(|others| others.iter().any(|one| one == other))
    }

    /// The highest of the pure layers.
    pub(crate) fn pure_up_to(&self) -> u8 {
        self.pure.up_to
    }
}

/// The name of the crate that holds the file at `path`, or `None` outside of `crates/`.
pub(crate) fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.split_once('/').map(|(name, _)| name)
}

/// Whether one of `entries` (files, or folders ending in `/`) covers `path`.
pub(crate) fn covers(entries: &[String], path: &str) -> bool {
    entries.iter().any(|entry| covers_one(entry, path))
}

/// Whether `entry`, a file or a folder ending in `/`, covers `path`.
pub(crate) fn covers_one(entry: &str, path: &str) -> bool {
    entry == path || (entry.ends_with('/') && path.starts_with(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"
        [layers]
        base = 0
        tsdb = 4
        api = 6
        [unlayered]
        testkit = { uses_up_to = 3, dev_only = true }
        [pure]
        up_to = 4
        banned_packages = ["tokio"]
        [allow]
        real_world = ["crates/base/src/real/", "crates/base/src/os.rs"]
        unsafe_code = []
    "#;

    #[test]
    fn a_crate_is_found_on_its_layer_or_beside_them() {
        let layers = Layers::parse(TABLE).unwrap();
        assert_eq!(layers.place("tsdb"), Some(Place::Layer(4)));
        assert_eq!(layers.place("testkit"), Some(Place::Beside(Unlayered { uses_up_to: 3, dev_only: true })));
        assert_eq!(layers.place("nowhere"), None);
    }

    #[test]
    fn only_files_of_the_lower_layers_are_pure() {
        let layers = Layers::parse(TABLE).unwrap();
        let cases = [
            ("crates/base/src/lib.rs", true),
            ("crates/tsdb/tests/crash.rs", true),
            ("crates/api/src/lib.rs", false),
            ("crates/testkit/src/lib.rs", false),
            ("xtask/src/main.rs", false),
        ];
        for (path, expected) in cases {
            assert_eq!(layers.is_pure(path), expected, "{path}");
        }
    }

    #[test]
    fn an_entry_covers_its_file_or_all_of_its_folder() {
        let allow = Layers::parse(TABLE).unwrap().allow.real_world;
        let cases = [
            ("crates/base/src/os.rs", true),
            ("crates/base/src/real/fs/file.rs", true),
            ("crates/base/src/realistic.rs", false),
            ("crates/base/src/os.rs.bak", false),
        ];
        for (path, expected) in cases {
            assert_eq!(covers(&allow, path), expected, "{path}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let text = format!("{TABLE}\nsurprise = 1\n");
        assert!(Layers::parse(&text).is_err());
    }
}
