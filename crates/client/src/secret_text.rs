//! `SecretText`: a secret that stands in the configuration itself or in a file of its own.

use skopos_base::{
    fs::{Fs, read_all},
    secret::Secret,
};
use std::path::Path;

/// Where a secret stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SecretText<'a> {
    /// In the configuration.
    Here(&'a Secret<String>),
    /// In this file, which may change at any time. White space around it does not count.
    File(&'a Path),
}

impl<'a> SecretText<'a> {
    /// That of the file, if there is one.
    pub(crate) fn of(here: &'a Secret<String>, file: Option<&'a Path>) -> Self {
        file.map_or(Self::Here(here), Self::File)
    }

    /// The secret as it is now.
    pub(crate) fn read(self, fs: &dyn Fs) -> Result<Secret<String>, String> {
        match self {
            Self::Here(secret) => Ok(secret.clone()),
            Self::File(path) => read_text(fs, path).map(|text| Secret::new(text.trim().to_owned())),
        }
    }
}

/// A file as text. Errors name it and show nothing of it.
pub(crate) fn read_text(fs: &dyn Fs, path: &Path) -> Result<String, String> {
    let bytes = read_all(fs, path).map_err(|e| format!("{}: {e}", path.display()))?;
    String::from_utf8(bytes).map_err(|_| format!("{}: it is no text", path.display()))
}
