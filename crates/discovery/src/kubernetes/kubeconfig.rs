//! The file that `kubectl` has: which cluster is asked, and as whom, or which program tells that. Runs none.

use super::exec::Program;
use crate::{error::SourceError, yaml};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use skopos_base::secret::Secret;
use skopos_client::{
    HttpConfig,
    config::{Authorization, BasicAuth, TlsConfig},
};
use skopos_model::null_is_default;
use std::path::{Path, PathBuf};

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    #[serde(deserialize_with = "null_is_default")]
    clusters: Vec<Named<Cluster>>,
    #[serde(deserialize_with = "null_is_default")]
    users: Vec<Named<User>>,
    #[serde(deserialize_with = "null_is_default")]
    contexts: Vec<Named<Context>>,
    current_context: String,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "cluster", alias = "user", alias = "context")]
    value: T,
}

#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
    tls_server_name: String,
    proxy_url: Option<String>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    token: Secret<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<Secret<String>>,
    username: String,
    password: Secret<String>,
    exec: Option<Program>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

/// What a file says.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) address: String,
    pub(crate) client: HttpConfig,
    /// Tells who we are.
    pub(crate) program: Option<Program>,
}

/// The address of the API, and how it is asked. Files that are named stand beside the one at `path`.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Found, SourceError> {
    let what = path.to_string_lossy();
    let wrong = |reason: &dyn std::fmt::Display| SourceError::content(what.clone(), reason);
    let file: File = yaml::read(text).map_err(|e| wrong(&e))?.unwrap_or_default();
    let context: Context = named(&file.contexts, &file.current_context, "context").map_err(|e| wrong(&e))?;
    let cluster: Cluster = named(&file.clusters, &context.cluster, "cluster").map_err(|e| wrong(&e))?;
    let user: User = if context.user.is_empty() {
        User::default()
    } else {
        named(&file.users, &context.user, "user").map_err(|e| wrong(&e))?
    };
    if user.auth_provider.is_some() {
        return Err(wrong(
            &"its user has an `auth-provider`, which newer ones of kubectl lack too: write `exec`",
        ));
    }
    if cluster.proxy_url.is_some() {
        return Err(wrong(&"its cluster has a `proxy-url`: set `api_server` and `proxy_url` instead"));
    }
    let (identity, key) = (decoded(user.client_certificate_data.as_deref()), user.client_key_data);
    let tls_config = TlsConfig {
        ca: decoded(cluster.certificate_authority_data.as_deref()).map_err(|e| wrong(&e))?,
        ca_file: cluster.certificate_authority.filter(|_| cluster.certificate_authority_data.is_none()),
        cert: identity.map_err(|e| wrong(&e))?,
        cert_file: user.client_certificate.filter(|_| user.client_certificate_data.is_none()),
        key_file: user.client_key.filter(|_| key.is_none()),
        key: Secret::new(decoded(key.as_ref().map(|key| key.expose().as_str())).map_err(|e| wrong(&e))?),
        insecure_skip_verify: cluster.insecure_skip_tls_verify,
        server_name: cluster.tls_server_name,
        ..TlsConfig::default()
    };
    let mut client = HttpConfig { tls_config, ..HttpConfig::default() };
    // A file with a token is read again and again; it goes before a token that stands here.
    if user.token_file.is_some() {
        client.authorization = Some(Authorization::bearer(Secret::default(), user.token_file));
    } else if !user.token.expose().is_empty() {
        client.authorization = Some(Authorization::bearer(user.token, None));
    } else if !user.username.is_empty() {
        let (username, password) = (user.username, user.password);
        client.basic_auth = Some(BasicAuth { username, password, ..BasicAuth::default() });
    }
    client.check().map_err(|e| wrong(&e))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    // Whoever is told by the file needs no program.
    let has_none = client.authorization.is_none() && client.basic_auth.is_none();
    let program = user.exec.filter(|_| has_none).map(|program| program.beside(folder));
    Ok(Found { address: cluster.server, client: client.beside(folder), program })
}

fn named<T: Clone>(all: &[Named<T>], name: &str, kind: &str) -> Result<T, String> {
    let found = all.iter().find(|one| one.name == name);
    found.map(|one| one.value.clone()).ok_or_else(|| format!("there is no {kind} {name:?} in it"))
}

/// PEM as such files have it.
fn decoded(data: Option<&str>) -> Result<String, &'static str> {
    let bytes = BASE64_STANDARD.decode(data.unwrap_or_default()).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or("a key that ends in -data is no base64 of PEM")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
preferences: {}
current-context: main
contexts:
- {name: other, context: {cluster: x, user: y}}
- {name: main, context: {cluster: c, user: u, namespace: n}}
clusters:
- name: c
  cluster: {server: 'https://h:6443', certificate-authority-data: cGVt, tls-server-name: k8s}
users:
- name: u
  user: USER
";

    #[test]
    fn the_current_context_says_who_is_asked_and_as_whom() {
        let read = |user: &str| parse(&FILE.replace("USER", user), Path::new("/etc/k/config"));
        let Found { address, client, .. } = read("{tokenFile: tokens/t, token: unused}").unwrap();
        assert_eq!((address.as_str(), client.tls_config.ca.as_str()), ("https://h:6443", "pem"));
        assert_eq!(client.tls_config.server_name, "k8s");
        let file = client.authorization.unwrap().credentials_file;
        assert_eq!(file.as_deref(), Some(Path::new("/etc/k/tokens/t")));
        let Found { client, .. } = read("{token: hush}").unwrap();
        assert_eq!(client.authorization.unwrap().credentials.expose(), "hush");
        let Found { client, .. } = read("{username: me, password: hush}").unwrap();
        assert_eq!(client.basic_auth.unwrap().username, "me");
        let Found { client, .. } = read("{client-certificate: a.pem, client-key-data: cGVt}").unwrap();
        assert_eq!(client.tls_config.cert_file.as_deref(), Some(Path::new("/etc/k/a.pem")));
        assert_eq!(client.tls_config.key.expose(), "pem");
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        for (text, said) in [
            (FILE.replace("USER", "{auth-provider: {name: x}}"), "auth-provider"),
            (FILE.replace("USER", "{client-certificate: a}"), "a certificate needs its key"),
            (
                FILE.replace("USER", "{}").replace("current-context: main", "current-context: gone"),
                "no context",
            ),
            (FILE.replace("USER", "{}").replace("cluster: c,", "cluster: gone,"), "no cluster"),
            (FILE.replace("USER", "{}").replace("user: u,", "user: gone,"), "no user"),
            (FILE.replace("USER", "{}").replace("cGVt", "_"), "base64"),
            (String::new(), "no context"),
            ("[".to_owned(), "line 1"),
        ] {
            let error = parse(&text, Path::new("/x")).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
