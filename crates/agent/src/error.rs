//! What can go wrong: a collector that cannot read its part of the machine, options that contradict
//! each other. It owns no decision about logging; `registry` makes those.

use jiff::Timestamp;
use std::{io, time::Duration};

/// Why a collector gave nothing in this scrape. It shows as 0 in its success metric.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The machine has nothing of this kind. It is not worth more than a debug line.
    #[error("no data: {0}")]
    NoData(String),
    /// A file could not be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file, with its root.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// A file is not what the kernel writes.
    #[error("{path}: {what}")]
    Malformed {
        /// The file, with its root.
        path: String,
        /// What is wrong, and where in the file.
        what: String,
    },
    /// A call to the system failed.
    #[error("{call}: {error}")]
    System {
        /// The call.
        call: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// A service takes connections and does not answer. It is left alone in between.
    #[error(
        "{socket} takes connections and has not answered in time since {since}; \
         it is asked again every {every:?}"
    )]
    Silent {
        /// Where it listens.
        socket: String,
        /// When it was asked first without an answer.
        since: Timestamp,
        /// How often it is asked meanwhile.
        every: Duration,
    },
    /// What the collector wrote is no page, such as a family that stands twice.
    #[error("cannot be written: {0}")]
    Write(#[from] skopos_exposition::WriteError),
    /// The collector panicked. That is a defect of ours; the other collectors go on.
    #[error("the collector panicked: {0}")]
    Panicked(String),
}

impl CollectError {
    /// Whether the reason is that a file does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the reason is that this user may not have it.
    pub fn is_refused(&self) -> bool {
        let refused = io::ErrorKind::PermissionDenied;
        matches!(self, Self::Read { error, .. } | Self::System { error, .. } if error.kind() == refused)
    }

    /// Whether the error says only that there is nothing to tell.
    pub const fn is_no_data(&self) -> bool {
        matches!(self, Self::NoData(_))
    }
}

/// Options that cannot be followed. The program ends with code 1 and says this.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Two flags exclude each other.
    #[error("--{0} and --{1} are mutually exclusive; give one of them")]
    Exclusive(&'static str, &'static str),
    /// A flag's value is no regular expression.
    #[error("--{flag}={value}: not a regular expression: {error}")]
    Regex {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        error: Box<regex::Error>,
    },
    /// A flag's value is no duration, or none at all.
    #[error("--{flag}={value}: not a duration longer than 0; write it like 5s, 1m30s or 500ms")]
    Duration {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
    },
    /// A flag's value cannot be followed.
    #[error("--{flag}={value}: {what}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it, and what would be right.
        what: &'static str,
    },
    /// The file of rules for process groups cannot be followed.
    #[error("--collector.process-groups.config-file: {place}: {what}")]
    Rules {
        /// The file, and the line if it is known.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// A collector was asked for that this program does not have.
    #[error("--collector.{0}: this collector is not part of this version; leave the flag out")]
    NotBuilt(String),
}

/// A request names collectors that cannot be run so. Its answer is status 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// `collect[]` and `exclude[]` together.
    #[error("Combined collect and exclude queries are not allowed.")]
    Both,
    /// A name that is no collector's.
    #[error("Couldn't create filtered metrics handler: couldn't create collector: missing collector: {0}")]
    Unknown(String),
    /// A collector that this agent does not run.
    #[error("Couldn't create filtered metrics handler: couldn't create collector: disabled collector: {0}")]
    Disabled(String),
}
