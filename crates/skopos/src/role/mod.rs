//! The roles: each wires crates together and holds nothing else.

use skopos_agent::{AgentEnv, ThisHost};
use skopos_base::Env;
use skopos_web::Protection;
use std::{path::Path, sync::Arc};

#[cfg(feature = "agent")]
pub(crate) mod agent;
#[cfg(feature = "server")]
pub(crate) mod server;
#[cfg(feature = "server")]
pub(crate) mod tool;

/// What the collectors need of the world.
pub(crate) fn agent_env(env: &Env) -> AgentEnv {
    AgentEnv { clock: Arc::clone(&env.clock), spawner: Arc::clone(&env.spawner), host: Arc::new(ThisHost) }
}

/// What `--web.config.file` says, or that everybody may do everything.
pub(crate) fn protection(file: Option<&Path>) -> Result<Arc<Protection>, Failure> {
    let Some(file) = file else { return Ok(Protection::none()) };
    let fs = Env::real().fs;
    let loader = move |path: &Path| skopos_config::load_web_config(&*fs, path).map_err(|e| e.to_string());
    Protection::load(file, Box::new(loader)).map_err(|e| Failure::Flags(format!("--web.config.file: {e}")))
}

/// Why a role ended: one line for whoever started it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration file is not usable.
    #[cfg(feature = "server")]
    #[error("{0}")]
    Config(#[from] skopos_config::LoadError),
    /// Flags contradict one another or name something that is not there.
    #[error("{0}")]
    Flags(String),
    /// Storage cannot be opened.
    #[cfg(feature = "server")]
    #[error("{0}")]
    Storage(String),
    #[cfg(feature = "server")]
    /// Data that a tool was to read is damaged or not there.
    #[error("{0}")]
    Data(String),
    #[cfg(feature = "server")]
    /// What was checked is sound, and not as it should be.
    #[error("{0}")]
    Findings(String),
    #[cfg(feature = "server")]
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
