//! Files as texts. Knows nothing of what stands in them.

use crate::LoadError;
use skopos_base::fs::{Fs, read_all};
use std::path::Path;

/// The text of the file at `path`.
pub(crate) fn read_text(fs: &dyn Fs, path: &Path) -> Result<String, LoadError> {
    let bytes = read_all(fs, path).map_err(|source| LoadError::Read { path: path.to_path_buf(), source })?;
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..valid].iter().filter(|b| **b == b'\n').count() + 1;
        LoadError::invalid(path, None, format!("line {line}: not UTF-8 from byte {valid} on"))
    })
}
