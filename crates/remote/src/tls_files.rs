//! The files that secure a connection: who vouches for the server, our certificate and its key. Reads them;
//! whoever has a client says when.

use crate::http_client::TlsClient;
use skopos_base::{
    fs::{Fs, read_all},
    secret::Secret,
};
use std::path::{Path, PathBuf};

/// The paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates (PEM) that vouch for the server. Without them, those of the system do.
    pub authorities: Option<PathBuf>,
    /// Our certificate and its key (PEM).
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What stands in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsContents {
    authorities: Option<Vec<u8>>,
    identity: Option<Secret<Vec<u8>>>,
}

impl TlsFiles {
    /// What stands in them now.
    pub(crate) fn read(&self, fs: &dyn Fs) -> Result<TlsContents, String> {
        let read = |path: &Path| read_all(fs, path).map_err(|e| format!("{}: {e}", path.display()));
        let authorities = self.authorities.as_deref().map(read).transpose()?;
        let identity = match &self.identity {
            None => None,
            Some((certificate, key)) => {
                let mut pem = read(certificate)?;
                pem.push(b'\n');
                pem.extend(read(key)?);
                Some(Secret::new(pem))
            }
        };
        Ok(TlsContents { authorities, identity })
    }
}

impl TlsContents {
    /// `tls` with them.
    pub(crate) fn client(&self, tls: &TlsClient) -> TlsClient {
        TlsClient { authorities: self.authorities.clone(), identity: self.identity.clone(), ..tls.clone() }
    }
}
