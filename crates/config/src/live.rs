//! `Live`: the configuration in force, which a reload exchanges as a whole.

use crate::Config;
use parking_lot::RwLock;
use std::sync::Arc;

/// The configuration in force. Whoever got it keeps it; a reload does not change it under them.
#[derive(Debug)]
pub struct Live(RwLock<Arc<Config>>);

impl Live {
    /// Begins with `config`.
    pub fn new(config: Config) -> Self {
        Self(RwLock::new(Arc::new(config)))
    }

    /// The configuration in force.
    pub fn get(&self) -> Arc<Config> {
        Arc::clone(&self.0.read())
    }

    /// Puts `config` in force.
    pub fn set(&self, config: Config) {
        *self.0.write() = Arc::new(config);
    }
}
