//! A server that takes samples by remote write 1.0: its address, its headers, its secrets, and what its
//! answers mean. Keeps nothing and never tries again.

use crate::{
    http_client::{Credentials, HttpClient, TlsClient},
    tls_files::{TlsContents, TlsFiles},
};
use bytes::Bytes;
use reqwest::{
    Client, StatusCode, Url,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    },
    redirect::Policy,
};
use skopos_base::{
    fs::{SharedFs, read_all},
    secret::Secret,
};
use std::{
    error::Error,
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The version of the protocol that we speak.
const VERSION: (&str, &str) = ("x-prometheus-remote-write-version", "0.1.0");
/// So much of an answer's text is shown.
const SHOWN_BYTES: usize = 256;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The server has it.
    Taken,
    /// It may be taken later: the server is away, busy or failed.
    Later {
        /// The wait that the server asks for.
        wait: Option<Duration>,
        /// What it said.
        reason: String,
    },
    /// It never will be.
    Refused {
        /// What it said.
        reason: String,
    },
}

/// A server, as senders see it.
pub trait Endpoint: Send + Sync + 'static {
    /// Sends a request, and says what became of it.
    fn send(&self, body: Bytes) -> impl Future<Output = Reply> + Send;
}

/// A file that holds a secret. It is read for each request, so that a new secret needs no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretFile {
    /// A password, beside its user.
    Password {
        /// The user.
        username: String,
        /// The file.
        file: PathBuf,
    },
    /// A bearer token.
    Bearer {
        /// The file.
        file: PathBuf,
    },
}

/// How a server is spoken to.
#[derive(Clone, Debug, Default)]
pub struct EndpointOptions {
    /// How long an answer may take.
    pub timeout: Duration,
    /// How the connection is secured, but for what stands in files.
    pub tls: TlsClient,
    /// The files that secure it. They are read before each request: new certificates need no restart.
    pub tls_files: TlsFiles,
    /// Who we are.
    pub secret: Option<SecretFile>,
    /// Headers that are sent too.
    pub headers: Vec<(String, Secret<String>)>,
}

/// Why a server cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address is none.
    #[error("{0}")]
    Url(String),
    /// A header, a certificate or a key is none.
    #[error("{url}: {reason}")]
    Client {
        /// The server.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// A server that is reached over HTTP.
pub struct HttpEndpoint {
    client: Mutex<Connected>,
    /// As it was given, but for what is secret.
    given: Url,
    shown: String,
    fs: SharedFs,
    options: EndpointOptions,
    headers: HeaderMap,
    /// Of the address itself.
    credentials: Credentials,
}

/// A client, the address that it is to ask, which may hold secrets, and the files that it was made of.
struct Connected {
    client: Client,
    url: Url,
    files: TlsContents,
    /// Whether the files could be read last time: that they cannot is said once.
    are_files_sound: bool,
}

impl fmt::Debug for HttpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpEndpoint").field("url", &self.shown).finish_non_exhaustive()
    }
}

impl HttpEndpoint {
    /// The server at `url`.
    ///
    /// # Errors
    /// When the address, a header or a certificate is none.
    pub fn new(fs: &SharedFs, url: &str, options: &EndpointOptions) -> Result<Self, EndpointError> {
        let wrong =
            || EndpointError::Url("an address is expected, such as http://host:9090/api/v1/write".into());
        let mut url = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong());
        }
        let credentials = take_credentials(&mut url);
        let shown = shown(&url);
        let failed = |reason: String| EndpointError::Client { url: shown.clone(), reason };
        let mut headers = HeaderMap::new();
        for (name, value) in &options.headers {
            let named = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| failed(format!("{name:?} is no header")))?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
                failed(format!("the value of the header {name:?} has characters that none may have"))
            })?;
            value.set_sensitive(true);
            headers.append(named, value);
        }
        let files = options.tls_files.read(&**fs).map_err(failed)?;
        let connected = connect(url.clone(), options, &headers, files).map_err(failed)?;
        let client = Mutex::new(connected);
        let (fs, options) = (SharedFs::clone(fs), options.clone());
        Ok(Self { client, given: url, shown, fs, options, headers, credentials })
    }

    /// The client and the address, with what the files of its certificates say now. Files that cannot be
    /// used, as somebody writes them, leave the client that there is.
    fn connected(&self) -> (Client, Url) {
        let files = self.options.tls_files.read(&*self.fs);
        let mut connected = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let renewed = match files {
            Ok(files) if files == connected.files => None,
            Ok(files) => Some(connect(self.given.clone(), &self.options, &self.headers, files)),
            Err(reason) => Some(Err(reason)),
        };
        match renewed {
            None => connected.are_files_sound = true,
            Some(Ok(renewed)) => {
                *connected = renewed;
                tracing::info!(url = self.shown, "the connection has new certificates");
            }
            Some(Err(reason)) => {
                if std::mem::take(&mut connected.are_files_sound) {
                    tracing::warn!(
                        url = self.shown,
                        reason,
                        "new certificates cannot be used: the old ones are"
                    );
                }
            }
        }
        (connected.client.clone(), connected.url.clone())
    }

    /// The address without what is secret in it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The value of `Authorization`, with what its file says now.
    fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let read = |file: &PathBuf| {
            let bytes = read_all(&*self.fs, file).map_err(|e| format!("{}: {e}", file.display()))?;
            let text = String::from_utf8(bytes).map_err(|_| format!("{}: it is no text", file.display()))?;
            Ok::<_, String>(Secret::new(text.trim().to_owned()))
        };
        let credentials = match &self.options.secret {
            None => self.credentials.clone(),
            Some(SecretFile::Password { username, file }) => {
                Credentials::Basic { username: username.clone(), password: read(file)? }
            }
            Some(SecretFile::Bearer { file }) => {
                Credentials::Authorization { kind: "Bearer".to_owned(), secret: read(file)? }
            }
        };
        credentials.header()
    }
}

impl Endpoint for HttpEndpoint {
    async fn send(&self, body: Bytes) -> Reply {
        let (client, url) = self.connected();
        let mut request = client.post(url);
        match self.authorization() {
            Ok(Some(value)) => request = request.header(AUTHORIZATION, value),
            Ok(None) => {}
            // The file may be in the middle of being written.
            Err(reason) => return Reply::Later { wait: None, reason },
        }
        let request = request
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(CONTENT_ENCODING, "snappy")
            .header(VERSION.0, VERSION.1)
            .body(body);
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(e) => return Reply::Later { wait: None, reason: chain(&e.without_url()) },
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let mut said = Vec::new();
        while said.len() < SHOWN_BYTES
            && let Ok(Some(part)) = response.chunk().await
        {
            said.extend_from_slice(&part);
        }
        said.truncate(SHOWN_BYTES);
        reply(status, &headers, &said)
    }
}

/// A client of the server at `url` with these certificates.
fn connect(
    url: Url,
    options: &EndpointOptions,
    headers: &HeaderMap,
    files: TlsContents,
) -> Result<Connected, String> {
    let http = HttpClient { credentials: Credentials::None, tls: files.client(&options.tls) };
    let (builder, url) = http.builder_for(url)?;
    // A redirect of a request with a body becomes one without in most clients: it is told and tried again.
    let builder = builder.timeout(options.timeout).redirect(Policy::none()).default_headers(headers.clone());
    let client = builder.build().map_err(|e| chain(&e))?;
    Ok(Connected { client, url, files, are_files_sound: true })
}

/// What an answer means.
fn reply(status: StatusCode, headers: &HeaderMap, said: &[u8]) -> Reply {
    if status.is_success() {
        return Reply::Taken;
    }
    let said = String::from_utf8_lossy(said);
    let reason = match said.trim() {
        "" => format!("status {}", status.as_u16()),
        said => format!("status {}: {}", status.as_u16(), said.lines().next().unwrap_or_default()),
    };
    if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
        return Reply::Refused { reason };
    }
    let wait = headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
    Reply::Later { wait, reason }
}

/// A number of seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(jiff::Timestamp::now())).unwrap_or_default())
}

/// The name and the password of an address, which then has them no more.
fn take_credentials(url: &mut Url) -> Credentials {
    let (username, password) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
    if username.is_empty() && password.is_empty() {
        return Credentials::None;
    }
    let removed = url.set_username("").and_then(|()| url.set_password(None));
    removed.expect("invariant: an address of HTTP with a host can have a user and none");
    Credentials::Basic { username, password: Secret::new(password) }
}

/// A part of an address without its escapes.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |at: usize| char::from(*after.get(at)?).to_digit(16);
        if *first == b'%'
            && let (Some(high), Some(low)) = (hex(0), hex(1))
        {
            bytes.push((high * 16 + low) as u8);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The address without a query, which may hold a secret, too.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// An error with its causes: the outermost alone rarely says what happened.
fn chain(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::{Env, fs::OpenMode, fs::append_all, sim::SimWorld};
    use std::path::Path;

    fn options(secret: Option<SecretFile>) -> EndpointOptions {
        EndpointOptions { timeout: Duration::from_secs(1), secret, ..EndpointOptions::default() }
    }

    fn write(env: &Env, path: &str, text: &str) {
        let _not_yet = env.fs.remove_file(Path::new(path));
        let mut file = env.fs.open(Path::new(path), OpenMode::CreateNew).unwrap();
        append_all(file.as_mut(), text.as_bytes()).unwrap();
    }

    #[test]
    fn what_answers_mean() {
        let later = |seconds: Option<u64>, reason: &str| Reply::Later {
            wait: seconds.map(Duration::from_secs),
            reason: reason.to_owned(),
        };
        let refused = |reason: &str| Reply::Refused { reason: reason.to_owned() };
        for (status, retry, said, expected) in [
            (200, None, "", Reply::Taken),
            (204, None, "ignored", Reply::Taken),
            (400, None, "out of order sample\nmore\n", refused("status 400: out of order sample")),
            (401, None, "", refused("status 401")),
            (404, Some("9"), " \n", refused("status 404")),
            (429, Some("7"), "slow down", later(Some(7), "status 429: slow down")),
            (429, None, "", later(None, "status 429")),
            (500, None, "oh", later(None, "status 500: oh")),
            (503, Some("120"), "", later(Some(120), "status 503")),
            (503, Some("soon"), "", later(None, "status 503")),
            (503, Some("Wed, 21 Oct 2015 07:28:00 GMT"), "", later(Some(0), "status 503")),
            // A redirect is a slip of whoever configured it: nothing is lost meanwhile.
            (302, None, "", later(None, "status 302")),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(retry) = retry {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(retry));
            }
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(reply(status, &headers, said.as_bytes()), expected);
        }
    }

    #[test]
    fn nothing_that_is_shown_is_secret() {
        let env = SimWorld::new(1).env();
        let url = "https://me:hu%24h@host/api/v1/write?token=hush#hush";
        let headers = vec![("X-Key".to_owned(), Secret::new("hush".to_owned()))];
        let options = EndpointOptions { headers, ..options(None) };
        let endpoint = HttpEndpoint::new(&env.fs, url, &options).unwrap();
        assert_eq!(endpoint.shown(), "https://host/api/v1/write");
        let text = format!("{endpoint:?} {options:?} {:?}", endpoint.client.lock().unwrap().client);
        assert!(!text.contains("hush") && !text.contains("hu$h") && !text.contains("hu%24h"), "{text}");
        let expected = Credentials::Basic { username: "me".into(), password: Secret::new("hu$h".into()) };
        assert_eq!(endpoint.credentials, expected);
        assert_eq!(endpoint.given.query(), Some("token=hush"), "it is asked with what it was given");
    }

    #[test]
    fn a_secret_is_what_its_file_says_now() {
        let env = SimWorld::new(1).env();
        let file = PathBuf::from("/token");
        let secret = Some(SecretFile::Bearer { file: file.clone() });
        let endpoint = HttpEndpoint::new(&env.fs, "http://host/", &options(secret)).unwrap();
        assert!(endpoint.authorization().unwrap_err().contains("/token"));
        for token in ["first", "second"] {
            write(&env, "/token", &format!("{token}\n"));
            let value = endpoint.authorization().unwrap().unwrap();
            assert_eq!(value, format!("Bearer {token}").as_str());
            assert!(value.is_sensitive());
        }
        let secret = Some(SecretFile::Password { username: "me".into(), file });
        let endpoint = HttpEndpoint::new(&env.fs, "http://host/", &options(secret)).unwrap();
        assert_eq!(endpoint.authorization().unwrap().unwrap(), "Basic bWU6c2Vjb25k");
    }

    #[test]
    fn certificates_are_what_their_files_say_now_or_said_last() {
        let env = SimWorld::new(1).env();
        let path = PathBuf::from("/ca");
        let tls_files = TlsFiles { authorities: Some(path), ..TlsFiles::default() };
        let options = EndpointOptions { tls_files, ..options(None) };
        let open = || HttpEndpoint::new(&env.fs, "https://host/", &options);
        assert!(open().unwrap_err().to_string().contains("/ca"));
        write(&env, "/ca", "no certificate");
        assert!(open().unwrap_err().to_string().contains("ca"));
        let pem = |name: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap().pem()
        };
        write(&env, "/ca", &pem("first"));
        let endpoint = open().unwrap();
        let in_use = || endpoint.client.lock().unwrap().files.clone();
        let first = in_use();
        for broken in ["-----BEGIN CERT", ""] {
            write(&env, "/ca", broken);
            endpoint.connected();
            assert_eq!(in_use(), first, "what cannot be used changes nothing");
        }
        write(&env, "/ca", &pem("second"));
        endpoint.connected();
        assert_ne!(in_use(), first);
    }

    #[test]
    fn what_is_no_address_or_header_is_refused_without_showing_it() {
        let env = SimWorld::new(1).env();
        for url in ["", "host:9090", "ftp://host/", "http://", "hush"] {
            let error = HttpEndpoint::new(&env.fs, url, &options(None)).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
        for header in [("a b", "v"), ("x", "hush\n")] {
            let headers = vec![(header.0.to_owned(), Secret::new(header.1.to_owned()))];
            let options = EndpointOptions { headers, ..options(None) };
            let error = HttpEndpoint::new(&env.fs, "http://host/", &options).unwrap_err().to_string();
            assert!(error.contains("header") && !error.contains("hush"), "{error}");
        }
    }
}
