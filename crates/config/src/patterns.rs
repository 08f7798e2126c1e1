//! The files that a pattern of the configuration names. Finds files by the last part of their path alone, as
//! Prometheus does.

use skopos_base::fs::{Fs, parent};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The files that a pattern names, in order.
pub(crate) fn files(fs: &dyn Fs, pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let (folder, last) = (parent(pattern), pattern.file_name().and_then(|last| last.to_str()));
    if folder.to_str().is_none_or(|folder| folder.contains('*')) {
        return Err("has a * before the last part of its path: write it there alone".to_owned());
    }
    let last = last.ok_or_else(|| "names no file".to_owned())?;
    let names = glob::Pattern::new(last).map_err(|e| format!("is no pattern: {e}"))?;
    let entries = match fs.read_dir(&folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("cannot be looked for: {e}")),
        Ok(entries) => entries,
    };
    let mut found: Vec<PathBuf> = entries
        .iter()
        .filter(|entry| names.matches(&entry.name))
        .map(|entry| folder.join(&entry.name))
        .collect();
    found.sort();
    Ok(found)
}
