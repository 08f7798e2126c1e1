//! What unit tests of this crate share: a world of real time and threads around a host of their own.

use crate::{host::Host, registry::AgentEnv};
use skopos_base::env::Env;
use std::sync::Arc;

/// The real world around `host`.
pub(crate) fn env_of(host: Arc<dyn Host>) -> AgentEnv {
    let env = Env::real();
    AgentEnv { clock: env.clock, spawner: env.spawner, host }
}
