//! `Variables`: what the environment says, where programs of cloud providers are told who they are. Sets
//! nothing.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

/// See above. Those of the process, unless others are given.
#[derive(Clone, Debug, Default)]
pub struct Variables(Option<Arc<BTreeMap<String, String>>>);

impl Variables {
    /// These alone.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self(Some(Arc::new(pairs.collect())))
    }

    /// The value of a variable, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let value = match &self.0 {
            Some(own) => own.get(name).cloned(),
            None => std::env::var(name).ok(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// A file that a variable names, or else the one at this place below the home folder.
    pub(crate) fn file(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let named = self.get(name).map(PathBuf::from);
        named.or_else(|| self.get("HOME").map(|home| PathBuf::from(home).join(below_home)))
    }
}
