//! Small files that sources need: secrets, keys, descriptions of accounts. Keeps none.

use crate::error::SourceError;
use skopos_base::{
    fs::{Fs, read_all},
    secret::Secret,
};
use std::path::Path;

/// The text of a file.
pub(crate) fn read_text(fs: &dyn Fs, path: &Path) -> Result<String, SourceError> {
    let bytes = read_all(fs, path).map_err(|source| SourceError::File { path: path.to_owned(), source })?;
    String::from_utf8(bytes).map_err(|_| SourceError::content(path.to_string_lossy(), &"it is no text"))
}

/// A secret that stands in a file, without white space around it.
pub(crate) fn read_secret(fs: &dyn Fs, path: &Path) -> Result<Secret<String>, SourceError> {
    read_text(fs, path).map(|text| Secret::new(text.trim().to_owned()))
}
