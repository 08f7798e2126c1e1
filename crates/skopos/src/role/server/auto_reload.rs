//! `AutoReload`: sees from time to time whether the files of the configuration say something else. Loads
//! nothing itself.

use skopos_base::{Env, fs::SharedFs};
use skopos_config::Contents;
use std::{path::PathBuf, time::Duration};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// See above.
pub(super) struct AutoReload {
    /// None when nobody asked for it, or there is no file.
    ticks: Option<Interval>,
    path: PathBuf,
    fs: SharedFs,
    /// What was loaded last.
    loaded: Contents,
    /// The last reload failed. Files that say again what was loaded are loaded as well, so that nobody goes
    /// on being told of the failure.
    has_failed: bool,
}

impl AutoReload {
    /// Looks at the file at `path` this often, if at all; `loaded` is what it said before it was loaded.
    pub(super) fn new(every: Option<Duration>, path: Option<PathBuf>, loaded: Contents, env: &Env) -> Self {
        let ticks = every.filter(|_| path.is_some()).map(|every| {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self {
            ticks,
            path: path.unwrap_or_default(),
            fs: SharedFs::clone(&env.fs),
            loaded,
            has_failed: false,
        }
    }

    /// Returns once the files say something else than what was loaded, or could not be loaded.
    pub(super) async fn changed(&mut self) {
        let Some(ticks) = &mut self.ticks else { return std::future::pending().await };
        loop {
            ticks.tick().await;
            let (fs, path) = (SharedFs::clone(&self.fs), self.path.clone());
            let now = tokio::task::spawn_blocking(move || Contents::of(&*fs, &path)).await;
            if now.is_ok_and(|now| self.has_failed || now != self.loaded) {
                return;
            }
        }
    }

    /// Reloads, and remembers what was loaded. What could not be is tried again.
    pub(super) fn around(&mut self, reload: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        if self.ticks.is_none() {
            return reload();
        }
        let before = Contents::of(&*self.fs, &self.path);
        let reloaded = reload();
        self.has_failed = reloaded.is_err();
        if reloaded.is_ok() {
            self.loaded = before;
        }
        reloaded
    }
}
