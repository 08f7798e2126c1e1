//! Files as texts. Knows nothing of what stands in them.

use crate::LoadError;
use skopos_base::fs::{Fs, read_at_most};
use std::{io, path::Path};

/// No file of a configuration is larger; one that is, is not what it should be.
const MAX_FILE_BYTES: usize = 64 << 20;

/// The bytes of the file at `path`.
pub(crate) fn read_bytes(fs: &dyn Fs, path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(fs, path, MAX_FILE_BYTES)
}

/// The text of the file at `path`.
pub(crate) fn read_text(fs: &dyn Fs, path: &Path) -> Result<String, LoadError> {
    let bytes =
        read_bytes(fs, path).map_err(|source| LoadError::Read { path: path.to_path_buf(), source })?;
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..valid].iter().filter(|b| **b == b'\n').count() + 1;
        LoadError::invalid(path, None, format!("line {line}: not UTF-8 from byte {valid} on"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::Env;

    #[test]
    fn what_never_ends_is_refused() {
        let error = read_text(&*Env::real().fs, Path::new("/dev/zero")).unwrap_err().to_string();
        assert_eq!(error, "configuration: /dev/zero: the file is larger than 67108864 bytes");
    }
}
