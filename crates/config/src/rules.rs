//! Files of rules, and the file that says how a tool speaks to a server: read strictly, with the place of
//! what is wrong. The shapes of rules stand in `rules`; this finds them in a text.

use crate::{LoadError, places, yaml};
use serde::Deserialize;
use skopos_base::{
    fs::{Fs, read_all},
    secret::Secret,
};
use skopos_remote::http_client::{Credentials, HttpClient, TlsClient, TlsVersion, Verification};
use skopos_rules::file::{Group, RuleFile};
use std::path::{Path, PathBuf};

/// Reads and checks the file of rules at `path`.
///
/// # Errors
/// When it cannot be read, or something in it is wrong.
pub fn load_rules(fs: &dyn Fs, path: &Path) -> Result<Vec<Group>, LoadError> {
    parse_rules(&read_text(fs, path)?, path)
}

/// Reads and checks `text`; `path` is how errors call it.
///
/// # Errors
/// When something in it is wrong.
pub fn parse_rules(text: &str, path: &Path) -> Result<Vec<Group>, LoadError> {
    let file: RuleFile = yaml::from_str(text).map_err(|e| LoadError::invalid(path, e.place, e.message))?;
    file.groups().map_err(|e| {
        let place = places::place_in_rules(text, e.group, e.rule, e.key);
        LoadError::invalid(path, place, e.to_string())
    })
}

fn read_text(fs: &dyn Fs, path: &Path) -> Result<String, LoadError> {
    let bytes = read_all(fs, path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..valid].iter().filter(|b| **b == b'\n').count() + 1;
        LoadError::invalid(path, None, format!("line {line}: not UTF-8 from byte {valid} on"))
    })
}

/// What `--http.config.file` says.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpClientFile {
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorization>,
    bearer_token: Option<String>,
    bearer_token_file: Option<PathBuf>,
    tls_config: TlsFile,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsFile {
    ca: String,
    ca_file: Option<PathBuf>,
    cert: String,
    cert_file: Option<PathBuf>,
    key: String,
    key_file: Option<PathBuf>,
    insecure_skip_verify: bool,
    server_name: String,
    min_version: Option<TlsVersion>,
    max_version: Option<TlsVersion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BasicAuth {
    username: String,
    #[serde(default)]
    password: String,
    password_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Authorization {
    #[serde(rename = "type", default = "bearer")]
    kind: String,
    #[serde(default)]
    credentials: String,
    credentials_file: Option<PathBuf>,
}

fn bearer() -> String {
    "Bearer".to_owned()
}

/// Reads the file that says how to speak to a server. Files that it names stand beside it, unless their
/// paths begin at the root.
///
/// # Errors
/// When a file cannot be read, or something in it is wrong.
pub fn load_http_client(fs: &dyn Fs, path: &Path) -> Result<HttpClient, LoadError> {
    let file: HttpClientFile =
        yaml::from_str(&read_text(fs, path)?).map_err(|e| LoadError::invalid(path, e.place, e.message))?;
    let wrong = |message: &str| LoadError::invalid(path, None, message.to_owned());
    let secret = |inline: String, named: Option<PathBuf>, keys: &str| match named {
        Some(_) if !inline.is_empty() => Err(wrong(&format!("write one of {keys}, not both"))),
        Some(named) => {
            let beside = path.parent().unwrap_or(Path::new("")).join(named);
            Ok(read_text(fs, &beside)?.trim().to_owned())
        }
        None => Ok(inline),
    };
    let token = match (file.bearer_token, file.bearer_token_file) {
        (None, None) => None,
        (inline, named) => {
            Some(secret(inline.unwrap_or_default(), named, "`bearer_token` and `bearer_token_file`")?)
        }
    };
    let tls = file.tls_config;
    let TlsFile { ca, ca_file, cert, cert_file, key, key_file, .. } = tls;
    let ca = secret(ca, ca_file, "`ca` and `ca_file`")?;
    let cert = secret(cert, cert_file, "`cert` and `cert_file`")?;
    let key = secret(key, key_file, "`key` and `key_file`")?;
    if cert.is_empty() != key.is_empty() {
        return Err(wrong("tls_config: a certificate needs its key, and a key its certificate"));
    }
    let tls_client = TlsClient {
        authorities: (!ca.is_empty()).then(|| ca.into_bytes()),
        identity: (!cert.is_empty()).then(|| Secret::new(format!("{cert}\n{key}\n").into_bytes())),
        verification: if tls.insecure_skip_verify { Verification::None } else { Verification::Full },
        server_name: Some(tls.server_name).filter(|name| !name.is_empty()),
        min_version: tls.min_version,
        max_version: tls.max_version,
    };
    if let (Some(min), Some(max)) = (tls_client.min_version, tls_client.max_version)
        && max < min
    {
        return Err(wrong("tls_config: max_version is older than min_version"));
    }
    let credentials = match (file.basic_auth, file.authorization, token) {
        (None, None, None) => Credentials::None,
        (Some(basic), None, None) => Credentials::Basic {
            username: basic.username,
            password: Secret::new(secret(
                basic.password,
                basic.password_file,
                "`password` and `password_file`",
            )?),
        },
        (None, Some(other), None) => Credentials::Authorization {
            kind: other.kind,
            secret: Secret::new(secret(
                other.credentials,
                other.credentials_file,
                "`credentials` and `credentials_file`",
            )?),
        },
        (None, None, Some(secret)) => {
            Credentials::Authorization { kind: bearer(), secret: Secret::new(secret) }
        }
        _ => return Err(wrong("write one of `basic_auth`, `authorization` and `bearer_token`")),
    };
    Ok(HttpClient { credentials, tls: tls_client })
}
