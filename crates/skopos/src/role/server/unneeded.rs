//! Flags of Prometheus that change nothing here: a command line that has them still starts, and the log says
//! why each is of no use.

use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct UnneededFlags {
    #[arg(long = "storage.tsdb.no-lockfile", hide = true)]
    no_lockfile: bool,
    #[arg(long = "storage.tsdb.allow-overlapping-blocks", hide = true)]
    allow_overlapping_blocks: bool,
    #[arg(long = "storage.tsdb.wal-compression", hide = true)]
    plain_wal_compression: bool,
    #[arg(long = "web.console.templates", value_name = "DIR", hide = true)]
    console_templates: Option<PathBuf>,
    #[arg(long = "web.console.libraries", value_name = "DIR", hide = true)]
    console_libraries: Option<PathBuf>,
}

const ALWAYS: &str = "it is always on";
const GO: &str = "it concerns what a Go program has";

/// Names of `--enable-feature` in Prometheus that change nothing here, each with the reason.
pub(super) const FEATURES: [(&str, &str); 7] = [
    ("native-histograms", ALWAYS),
    ("exemplar-storage", ALWAYS),
    ("metadata-wal-records", ALWAYS),
    ("promql-at-modifier", ALWAYS),
    ("promql-negative-offset", ALWAYS),
    ("auto-gomaxprocs", GO),
    ("auto-gomemlimit", GO),
];

impl UnneededFlags {
    /// Those that were given, each with the reason why it changes nothing.
    fn given(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let console = "there are no console templates";
        [
            (self.no_lockfile, "storage.tsdb.no-lockfile", "the data directory is always locked"),
            (self.allow_overlapping_blocks, "storage.tsdb.allow-overlapping-blocks", "they are allowed"),
            (
                self.plain_wal_compression,
                "storage.tsdb.wal-compression",
                "the log is compressed unless --storage.tsdb.wal-compression-type=none",
            ),
            (self.console_templates.is_some(), "web.console.templates", console),
            (self.console_libraries.is_some(), "web.console.libraries", console),
        ]
        .into_iter()
        .filter(|(given, ..)| *given)
        .map(|(_, flag, reason)| (flag, reason))
    }

    /// Says which flags, and which of the enabled features, are of no use.
    pub(super) fn warn(&self, features: &[String]) {
        for (flag, reason) in self.given() {
            tracing::warn!("--{flag} changes nothing: {reason}");
        }
        for (name, reason) in FEATURES.iter().filter(|(name, _)| features.iter().any(|f| f == name)) {
            tracing::warn!("--enable-feature={name} changes nothing: {reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: UnneededFlags,
    }

    #[test]
    fn each_flag_that_was_given_is_named() {
        let given = |arguments: &[&str]| {
            let line = Line::parse_from([&["x"], arguments].concat());
            line.flags.given().map(|(flag, _)| flag).collect::<Vec<_>>()
        };
        assert!(given(&[]).is_empty());
        assert_eq!(
            given(&["--web.console.libraries=/etc/x", "--storage.tsdb.no-lockfile"]),
            ["storage.tsdb.no-lockfile", "web.console.libraries"]
        );
    }
}
