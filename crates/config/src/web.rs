//! The file of `--web.config.file`: TLS and credentials of a web server. It is read apart from the
//! configuration, for it holds secrets and changes on its own.

use crate::{LoadError, text::read_text, yaml};
use skopos_base::fs::Fs;
use skopos_web::WebConfig;
use std::path::Path;

/// Reads and checks the file at `path`.
pub fn load_web_config(fs: &dyn Fs, path: &Path) -> Result<WebConfig, LoadError> {
    let text = read_text(fs, path)?;
    let config: WebConfig =
        yaml::from_str(&text).map_err(|e| LoadError::invalid(path, e.place, e.message))?;
    config.check().map_err(|reason| LoadError::invalid(path, None, reason))?;
    Ok(config)
}
