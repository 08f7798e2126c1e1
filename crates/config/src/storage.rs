//! `StorageConfig`: what the file says of storage. Values that hold when it says nothing are Prometheus'.

use serde::{Deserialize, Serialize};

/// The section `storage`. Read at the start; a reload does not change it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// What holds of exemplars.
    #[serde(deserialize_with = "skopos_scrape::config::null_is_default")]
    pub exemplars: ExemplarsConfig,
}

/// The section `storage.exemplars`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExemplarsConfig {
    /// The most exemplars of all series together; none are kept when it is zero.
    pub max_exemplars: u32,
}

impl Default for ExemplarsConfig {
    fn default() -> Self {
        Self { max_exemplars: 100_000 }
    }
}
