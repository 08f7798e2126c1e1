//! Flags of Prometheus, and names of its `--enable-feature`, that change nothing here, as they are needless
//! or what they enable is missing: a command line that has them still starts, and the log says which it is.
//! Changes nothing itself.

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
    #[arg(long = "web.page-title", value_name = "TITLE", hide = true)]
    page_title: Option<String>,
    #[arg(long = "web.user-assets", value_name = "DIR", hide = true)]
    user_assets: Option<PathBuf>,
    #[arg(long = "auto-gomaxprocs", alias = "no-auto-gomaxprocs", hide = true)]
    auto_gomaxprocs: bool,
    #[arg(long = "auto-gomemlimit", alias = "no-auto-gomemlimit", hide = true)]
    auto_gomemlimit: bool,
    #[arg(long = "auto-gomemlimit.ratio", value_name = "RATIO", hide = true)]
    auto_gomemlimit_ratio: Option<f64>,
    #[arg(long = "storage.tsdb.head-chunks-write-queue-size", value_name = "N", hide = true)]
    head_chunks_write_queue_size: Option<u64>,
}

const ALWAYS: &str = "it is always on";
const GO: &str = "it concerns what a Go program has";
const ONLY_WAY: &str = "there is no other way here";

/// Names of `--enable-feature` in Prometheus for what is here without them, or is not needed; each with the
/// reason.
const NEEDLESS: [(&str, &str); 16] = [
    ("exemplar-storage", ALWAYS),
    ("metadata-wal-records", ALWAYS),
    ("promql-at-modifier", ALWAYS),
    ("promql-negative-offset", ALWAYS),
    ("promql-per-step-stats", ALWAYS),
    ("search-api", ALWAYS),
    ("auto-gomaxprocs", GO),
    ("auto-gomemlimit", GO),
    ("new-service-discovery-manager", ONLY_WAY),
    ("no-default-scrape-port", ALWAYS),
    ("no-scrape-default-port", ALWAYS),
    ("old-ui", "there is one web interface"),
    ("agent", "an agent is the role of its own, `skopos agent`"),
    ("xor2-encoding", "such chunks are read, and none are written"),
    ("fast-startup", "a start is fast after a clean stop: --storage.tsdb.snapshot-on-shutdown"),
    ("ooo-native-histograms", ALWAYS),
];

const NO_DELTAS: &str = "deltas of OpenTelemetry are refused";
const NOT_YET: &str = "nothing here does it";

/// Names of `--enable-feature` in Prometheus for what is missing here; each with what is there instead.
const MISSING: [(&str, &str); 9] = [
    ("use-uncached-io", NOT_YET),
    ("otlp-deltatocumulative", NO_DELTAS),
    ("otlp-native-delta-ingestion", NO_DELTAS),
    ("delayed-compaction", NOT_YET),
    ("expand-external-labels", NOT_YET),
    ("concurrent-rule-eval", NOT_YET),
    ("st-storage", NOT_YET),
    ("st-synthesis", NOT_YET),
    ("histograms-st-encoding", NOT_YET),
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
            (self.page_title.is_some(), "web.page-title", "the pages have one title"),
            (self.user_assets.is_some(), "web.user-assets", "there is one web interface"),
            (self.auto_gomaxprocs, "auto-gomaxprocs", GO),
            (self.auto_gomemlimit, "auto-gomemlimit", GO),
            (self.auto_gomemlimit_ratio.is_some(), "auto-gomemlimit.ratio", GO),
            (
                self.head_chunks_write_queue_size.is_some(),
                "storage.tsdb.head-chunks-write-queue-size",
                "what waits is bounded by --storage.tsdb.max-unwritten-chunk-bytes",
            ),
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
        for feature in features {
            match Named::of(feature) {
                Named::Effective => {}
                Named::Needless(reason) => {
                    tracing::warn!("--enable-feature={feature} changes nothing: it is not needed, {reason}");
                }
                Named::Missing(instead) => {
                    tracing::warn!(
                        "--enable-feature={feature} changes nothing: it is not there yet, {instead}"
                    );
                }
                Named::Unknown => {
                    let known = super::FEATURES.join(", ");
                    let option = feature;
                    tracing::warn!(%option, "Unknown option for --enable-feature; there are {known}");
                }
            }
        }
    }
}

/// What a name of `--enable-feature` is to this server.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Effective,
    /// With the reason why it is not needed.
    Needless(&'static str),
    /// With what is there instead.
    Missing(&'static str),
    Unknown,
}

impl Named {
    fn of(feature: &str) -> Self {
        if feature.is_empty() || super::FEATURES.contains(&feature) {
            return Self::Effective;
        }
        let of = |all: &[(&str, &'static str)]| {
            all.iter().find(|(name, _)| *name == feature).map(|(_, reason)| *reason)
        };
        let needless = of(&NEEDLESS).map(Self::Needless);
        needless.or_else(|| of(&MISSING).map(Self::Missing)).unwrap_or(Self::Unknown)
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
        assert_eq!(
            given(&["--web.page-title=Mine", "--no-auto-gomaxprocs", "--auto-gomemlimit.ratio=0.8"]),
            ["web.page-title", "auto-gomaxprocs", "auto-gomemlimit.ratio"]
        );
        assert_eq!(
            given(&[
                "--web.user-assets=/x",
                "--auto-gomemlimit",
                "--storage.tsdb.head-chunks-write-queue-size=9"
            ]),
            ["web.user-assets", "auto-gomemlimit", "storage.tsdb.head-chunks-write-queue-size"]
        );
    }

    #[test]
    fn each_name_of_a_feature_does_something_or_is_answered() {
        let mut names = std::collections::BTreeSet::new();
        let others = NEEDLESS.iter().chain(&MISSING).map(|(name, _)| *name);
        for name in others.chain(super::super::FEATURES) {
            assert!(names.insert(name), "{name} stands twice");
        }
        for name in super::super::FEATURES {
            assert_eq!(Named::of(name), Named::Effective, "{name}");
        }
        for name in ["search-api", "xor2-encoding", "exemplar-storage"] {
            assert!(matches!(Named::of(name), Named::Needless(_)), "{name}");
        }
        for name in ["st-synthesis", "delayed-compaction", "otlp-deltatocumulative"] {
            assert!(matches!(Named::of(name), Named::Missing(_)), "{name}");
        }
        assert_eq!(Named::of("Native-Histograms"), Named::Unknown);
        assert_eq!(Named::of("no-such"), Named::Unknown);
    }
}
