//! `Contents`: what the file of the configuration and those that it names say, so that a change of any of
//! them is seen. Reads no meaning into them.

use crate::text::read_bytes;
use crate::{patterns::files, yaml};
use serde::Deserialize;
use skopos_base::fs::{Fs, parent};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

/// See above. Equal as long as no file comes, goes or says something else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents(BTreeMap<PathBuf, Option<u64>>);

/// The keys that name further files.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    #[serde(deserialize_with = "skopos_model::null_is_default")]
    rule_files: Vec<String>,
    #[serde(deserialize_with = "skopos_model::null_is_default")]
    scrape_config_files: Vec<String>,
}

impl Contents {
    /// What they say now. A file that cannot be read, or whose text is none of a configuration, is one
    /// content as well.
    pub fn of(fs: &dyn Fs, path: &Path) -> Self {
        let text = read_bytes(fs, path).ok();
        let named = text.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let named = named.and_then(|text| yaml::from_str::<Named>(text).ok()).unwrap_or_default();
        let mut all = BTreeMap::from([(path.to_owned(), text.as_deref().map(hash))]);
        for pattern in named.rule_files.iter().chain(&named.scrape_config_files) {
            for file in files(fs, &parent(path).join(pattern)).unwrap_or_default() {
                let text = read_bytes(fs, &file).ok();
                all.insert(file, text.as_deref().map(hash));
            }
        }
        Self(all)
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::real::RealFs;
    use std::fs;

    #[test]
    fn a_change_of_any_file_is_one_of_all() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("prometheus.yml");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let contents = || Contents::of(&RealFs, &main);
        let missing = contents();
        write("prometheus.yml", "rule_files: ['rules/*.yml']\nscrape_config_files: [jobs.yml]\nodd: 1\n");
        let mut before = contents();
        assert_ne!(missing, before);
        assert_eq!(contents(), before);
        fs::create_dir(folder.path().join("rules")).unwrap();
        let mut changed = |said: &str| {
            let now = contents();
            assert_ne!(now, before, "{said}");
            before = now;
        };
        write("rules/a.yml", "groups: []");
        changed("a file of rules comes");
        write("rules/a.yml", "groups: [ ]");
        changed("it says something else");
        write("jobs.yml", "scrape_configs: []");
        changed("a file of jobs comes");
        fs::remove_file(folder.path().join("rules/a.yml")).unwrap();
        changed("a file goes");
        write("prometheus.yml", "{");
        changed("the file is broken");
        write("rules/other.txt", "");
        assert_eq!(contents(), before);
    }
}
