//! `Protection`: TLS, credentials and headers as in force now. Looks at its files every second and exchanges
//! everything at once; a file that cannot be used changes nothing.

use crate::{
    config::{Scope, WebConfig},
    password::{Passwords, Users, Verdict},
    rate::Rate,
    tls::{self, Offered, Pem},
    token::Tokens,
};
use axum::http::{HeaderName, HeaderValue};
use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use skopos_base::secret::Secret;
use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// No certificate, key or token is larger.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Reads and checks the file at a path; the error says file and line.
pub type Loader = Box<dyn Fn(&Path) -> Result<WebConfig, String> + Send + Sync>;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WebError(String);

/// Who may do what, and how connections are secured.
pub struct Protection {
    source: Option<Source>,
    in_force: RwLock<Arc<InForce>>,
    passwords: Passwords,
    started: Instant,
}

struct Source {
    path: PathBuf,
    loader: Loader,
    /// The files as they were when they were last read, or just before.
    seen: Mutex<Vec<Stamp>>,
}

/// What tells that a file is another than before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    modified: Option<(SystemTime, u64)>,
}

#[derive(Default)]
pub(crate) struct InForce {
    users: Users,
    tokens: Tokens,
    rate: Option<Rate>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub tls: Option<Arc<ServerConfig>>,
}

/// What a request's credentials come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Granted,
    /// Nobody, or nobody that is known.
    Unknown,
    /// Known, but not for this.
    Forbidden,
    Busy,
    Failed,
}

/// What came in the header `Authorization`.
pub(crate) enum Credentials<'a> {
    None,
    Password { user: &'a str, password: &'a str },
    Token(&'a str),
}

impl Protection {
    /// No TLS, everybody may do everything.
    pub fn none() -> Arc<Self> {
        Arc::new(Self::of(InForce::default(), None))
    }

    /// What the file at `path` says.
    pub fn load(path: &Path, loader: Loader) -> Result<Arc<Self>, WebError> {
        let mut seen = Vec::new();
        let in_force = InForce::load(path, &loader, &mut seen).map_err(WebError)?;
        let source = Source { path: path.to_path_buf(), loader, seen: Mutex::new(seen) };
        Ok(Arc::new(Self::of(in_force, Some(source))))
    }

    fn of(in_force: InForce, source: Option<Source>) -> Self {
        let in_force = RwLock::new(Arc::new(in_force));
        Self { source, in_force, passwords: Passwords::new(), started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.read())
    }

    /// Whether connections are secured.
    pub fn has_tls(&self) -> bool {
        self.in_force.read().tls.is_some()
    }

    /// Reads the files again if one of them has changed.
    pub fn look(&self) {
        let Some(source) = &self.source else { return };
        if source.seen.lock().iter().all(|stamp| Stamp::of(&stamp.path) == *stamp) {
            return;
        }
        let before = self.now();
        // A file that is broken now is not read again before it changes.
        let mut seen = Vec::new();
        let loaded = InForce::load(&source.path, &source.loader, &mut seen).and_then(|new| {
            if new.tls.is_some() == before.tls.is_some() {
                return Ok(new);
            }
            Err("TLS cannot be switched on or off while the server runs: restart it".to_owned())
        });
        match loaded {
            Ok(new) => {
                *self.in_force.write() = Arc::new(new);
                tracing::info!(file = %source.path.display(), "web configuration reloaded");
            }
            Err(error) => {
                tracing::error!(%error, "web configuration not reloaded, the one before stays in force");
            }
        }
        *source.seen.lock() = seen;
    }

    /// Looks at the files for ever.
    pub(crate) async fn watch(self: Arc<Self>) {
        if self.source.is_none() {
            return;
        }
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let this = Arc::clone(&self);
            // A failed look is one of many.
            let _looked = tokio::task::spawn_blocking(move || this.look()).await;
        }
    }

    /// Takes one request; the time to wait when there have been too many.
    pub(crate) fn take_request(&self, in_force: &InForce) -> Result<(), Duration> {
        in_force.rate.as_ref().map_or(Ok(()), |rate| rate.take(self.started.elapsed()))
    }

    pub(crate) async fn access(
        &self,
        in_force: &InForce,
        credentials: Credentials<'_>,
        need: Scope,
    ) -> Access {
        if in_force.users.is_empty() && in_force.tokens.is_empty() {
            return Access::Granted;
        }
        match credentials {
            Credentials::None => Access::Unknown,
            Credentials::Token(token) => match in_force.tokens.scopes(token) {
                Some(scopes) if scopes.contains(&need) || scopes.contains(&Scope::Admin) => Access::Granted,
                Some(_) => Access::Forbidden,
                None => Access::Unknown,
            },
            Credentials::Password { user, password } => {
                match self.passwords.check(&in_force.users, user, password).await {
                    Verdict::Good => Access::Granted,
                    Verdict::Wrong => Access::Unknown,
                    Verdict::Busy => Access::Busy,
                    Verdict::Failed => Access::Failed,
                }
            }
        }
    }
}

impl InForce {
    /// Reads all files; `seen` is what each was like just before, so that no change goes unseen.
    fn load(path: &Path, loader: &Loader, seen: &mut Vec<Stamp>) -> Result<Self, String> {
        let place = |what: String| format!("{}: {what}", path.display());
        seen.push(Stamp::of(path));
        let config = loader(path)?;
        config.check().map_err(place)?;
        let config = config.relative_to(path.parent().unwrap_or(Path::new("")));
        seen.extend(config.files().map(Stamp::of));
        let section = |what: String| place(format!("tls_server_config: {what}"));
        let tls = &config.tls_server_config;
        let tls = if tls.is_on() {
            let pem = Pem {
                cert: text_or_file(tls.cert.as_bytes(), &tls.cert_file).map_err(section)?,
                key: Secret::new(text_or_file(tls.key.expose().as_bytes(), &tls.key_file).map_err(section)?),
                client_ca: text_or_file(tls.client_ca.as_bytes(), &tls.client_ca_file).map_err(section)?,
            };
            let offered = if config.http_server_config.http2 { Offered::Both } else { Offered::Http1 };
            Some(tls::server_config(tls, offered, &pem).map_err(section)?)
        } else {
            None
        };
        let tokens = Tokens::load(&config.tokens, |t| read(&t.token_file)).map_err(place)?;
        let headers = config.http_server_config.headers.iter().filter(|(_, v)| !v.is_empty());
        let headers = headers.filter_map(|(n, v)| Some((n.parse().ok()?, v.parse().ok()?))).collect();
        let rate = Rate::new(config.rate_limit);
        Ok(Self { users: config.basic_auth_users, tokens, rate, headers, tls })
    }
}

fn text_or_file(text: &[u8], file: &Path) -> Result<Vec<u8>, String> {
    if !text.is_empty() || file.as_os_str().is_empty() {
        return Ok(text.to_vec());
    }
    bytes_of(file).map_err(|e| unreadable(file, &e))
}

fn read(file: &Path) -> Result<Secret<String>, String> {
    let text = bytes_of(file).and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
    text.map(Secret::new).map_err(|e| unreadable(file, &e))
}

/// A device in the place of a file may never end.
fn bytes_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("the file is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

fn unreadable(file: &Path, e: &io::Error) -> String {
    format!("cannot read {}: {e}", file.display())
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let modified = fs::metadata(path).and_then(|m| Ok((m.modified()?, m.len()))).ok();
        Self { path: path.to_path_buf(), modified }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_refused() {
        let zeros = Path::new("/dev/zero");
        for error in [text_or_file(b"", zeros).unwrap_err(), read(zeros).map(drop).unwrap_err()] {
            assert_eq!(error, "cannot read /dev/zero: the file is larger than 1048576 bytes");
        }
    }
}
