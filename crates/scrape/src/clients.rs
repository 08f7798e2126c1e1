//! `Clients`: the clients of all configurations of how targets are spoken to, one for each.

use crate::fetch::IDLE_CONNECTION;
use parking_lot::Mutex;
use skopos_base::fs::SharedFs;
use skopos_client::{ClientError, ClientOptions, DeniedAddresses, HttpClient, HttpConfig};
use std::collections::HashMap;

/// See above.
pub(crate) struct Clients {
    fs: SharedFs,
    made: Mutex<HashMap<(HttpConfig, DeniedAddresses), HttpClient>>,
}

impl Clients {
    pub(crate) fn new(fs: &SharedFs) -> Self {
        Self { fs: SharedFs::clone(fs), made: Mutex::default() }
    }

    /// Makes all of these that are not there. Of the first that cannot be made: its place, and why.
    pub(crate) fn prepare(&self, wanted: &[&HttpConfig]) -> Result<(), (usize, ClientError)> {
        for (nth, config) in wanted.iter().enumerate() {
            self.get(config, &DeniedAddresses::default()).map_err(|error| (nth, error))?;
        }
        Ok(())
    }

    /// Forgets all others.
    pub(crate) fn keep(&self, wanted: &[&HttpConfig]) {
        self.made.lock().retain(|(config, _), _| wanted.contains(&config));
    }

    /// The client of a configuration that leads nowhere that is denied.
    pub(crate) fn get(
        &self,
        config: &HttpConfig,
        denied: &DeniedAddresses,
    ) -> Result<HttpClient, ClientError> {
        let mut made = self.made.lock();
        let key = (config.clone(), denied.clone());
        if let Some(client) = made.get(&key) {
            return Ok(client.clone());
        }
        // A target's own timeout bounds its fetches.
        let options = ClientOptions {
            timeout: None,
            idle: IDLE_CONNECTION,
            denied: denied.clone(),
            ..ClientOptions::default()
        };
        let client = HttpClient::new(config, &options, &self.fs)?;
        made.insert(key, client.clone());
        Ok(client)
    }
}
