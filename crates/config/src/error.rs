//! `LoadError`: why a configuration file cannot be used, in the form `file:line:column: what`.

use crate::yaml::Place;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Why a configuration file cannot be used. Nothing of it took effect.
#[derive(Debug)]
pub enum LoadError {
    /// The file could not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could be read but says something that is not allowed.
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line and column, both from 1.
        at: Option<(u64, u64)>,
        /// What is wrong and what is allowed.
        message: String,
    },
}

impl LoadError {
    pub(crate) fn invalid(path: &Path, place: Option<Place>, message: String) -> Self {
        Self::Invalid { path: path.to_path_buf(), at: place.map(|p| (p.line, p.column)), message }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The source names the file.
            Self::Read { source, .. } => write!(f, "configuration: {source}"),
            Self::Invalid { path, at: Some((line, column)), message } => {
                write!(f, "{}:{line}:{column}: {message}", path.display())
            }
            Self::Invalid { path, at: None, message } => write!(f, "{}: {message}", path.display()),
        }
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            Self::Invalid { .. } => None,
        }
    }
}
