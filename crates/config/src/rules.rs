//! Files of rules, and the file that says how a tool speaks to a server: read strictly, with the place of
//! what is wrong. The shapes of rules stand in `rules`; this finds them in a text.

use crate::{LoadError, places, text::read_text, yaml};
use skopos_base::fs::Fs;
use skopos_client::{HttpConfig, config::HttpConfigFile};
use skopos_rules::file::{Group, RuleFile};
use std::path::Path;

/// Reads and checks the file of rules at `path`.
///
/// # Errors
/// When it cannot be read, or something in it is wrong.
pub fn load_rules(fs: &dyn Fs, path: &Path) -> Result<Vec<Group>, LoadError> {
    parse_rules(&read_text(fs, path)?, path)
}

/// Reads and checks `text`; `path` is how errors call it.
///
/// # Errors
/// When something in it is wrong.
pub fn parse_rules(text: &str, path: &Path) -> Result<Vec<Group>, LoadError> {
    let file: RuleFile = yaml::from_str(text).map_err(|e| LoadError::invalid(path, e.place, e.message))?;
    file.groups().map_err(|e| {
        let place = places::place_in_rules(text, e.group, e.rule, e.key);
        LoadError::invalid(path, place, e.to_string())
    })
}

/// Reads the file that says how to speak to a server (`--http.config.file`). Files that it names stand beside
/// it, unless their paths begin at the root.
///
/// # Errors
/// When a file cannot be read, or something in it is wrong.
pub fn load_http_client(fs: &dyn Fs, path: &Path) -> Result<HttpConfig, LoadError> {
    let file: HttpConfigFile =
        yaml::from_str(&read_text(fs, path)?).map_err(|e| LoadError::invalid(path, e.place, e.message))?;
    file.http.check().map_err(|e| LoadError::invalid(path, None, e.to_string()))?;
    Ok(file.http.beside(path.parent().unwrap_or(Path::new(""))))
}
