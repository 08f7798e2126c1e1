//! The roles: each wires crates together and holds nothing else.

pub(crate) mod agent;
pub(crate) mod server;
pub(crate) mod tool;

/// Why a role ended: one line for whoever started it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration file is not usable.
    #[error("{0}")]
    Config(#[from] skopos_config::LoadError),
    /// Flags contradict one another or name something that is not there.
    #[error("{0}")]
    Flags(String),
    /// Storage cannot be opened.
    #[error("{0}")]
    Storage(String),
    /// Data that a tool was to read is damaged or not there.
    #[error("{0}")]
    Data(String),
    /// Nobody reads what a tool has to say any more.
    #[error("the reader of the output has gone")]
    ReaderGone,
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Failure {
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}
