//! The files of profiles that AWS' programs share: `~/.aws/credentials` and `~/.aws/config`. Asks nobody.

use crate::error::SourceError;
use skopos_base::fs::{Fs, read_all};
use std::{collections::BTreeMap, io::ErrorKind, path::Path};

/// The keys of a profile.
pub(crate) type Profile = BTreeMap<String, String>;

/// The profiles of a file by their names; none where there is no file.
pub(crate) fn profiles(fs: &dyn Fs, path: &Path) -> Result<BTreeMap<String, Profile>, SourceError> {
    match read_all(fs, path) {
        Ok(bytes) => Ok(read(&String::from_utf8_lossy(&bytes))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(source) => Err(SourceError::File { path: path.to_owned(), source }),
    }
}

/// What the lines say: sections of names, and keys with values. Lines of other kinds are passed over, as are
/// those that stand below a key.
pub(crate) fn read(text: &str) -> BTreeMap<String, Profile> {
    let mut all = BTreeMap::<String, Profile>::new();
    let mut current = None;
    for line in text.lines().filter(|line| !line.starts_with([' ', '\t', '#', ';'])) {
        if let Some(section) = line.trim().strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let words: Vec<_> = section.split_whitespace().collect();
            current = match words[..] {
                ["profile", name] | [name] => Some(name.to_owned()),
                _ => None,
            };
        } else if let (Some(name), Some((key, value))) = (&current, line.split_once('=')) {
            let profile = all.entry(name.clone()).or_default();
            profile.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read_as_both_files_write_them() {
        let text = "; note\n[default]\nregion = a\n[profile dev]\nAWS_ACCESS_KEY_ID=K\ns3 =\n  x = y\n\
            aws_secret_access_key = a=b \n[sso-session one two]\nregion = lost\n";
        let all = read(text);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["default", "dev"]);
        assert_eq!(all["dev"]["aws_access_key_id"], "K");
        assert_eq!(all["dev"]["aws_secret_access_key"], "a=b");
        assert_eq!(all["default"]["region"], "a");
        assert!(!all["dev"].contains_key("x"));
    }
}
