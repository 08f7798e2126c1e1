//! `Account`: who asks Google's cloud, found in the order in which its own programs look: a file that the
//! environment names, the one that `gcloud` writes, the machine.

use crate::{
    error::SourceError,
    files::read_text,
    http::{Http, asking, below, parse_url, send},
    json::Json,
    jwt::{self, Algorithm},
    token::Token,
    variables::Variables,
};
use jiff::Timestamp;
use reqwest::Url;
use serde_json::{Value, json};
use skopos_base::{fs::SharedFs, secret::Secret};
use skopos_client::{HttpConfig, config::ProxyConfig};
use std::path::PathBuf;

const SCOPE: &str = "https://www.googleapis.com/auth/compute.readonly";
const TOKENS: &str = "https://oauth2.googleapis.com/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion is good.
const ASSERTION_SECONDS: i64 = 3600;

/// See above.
#[derive(Debug)]
pub(crate) struct Account {
    kind: Kind,
    variables: Variables,
    kept: Option<Token>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// Of a service, which signs with a key.
    Service { email: String, key_id: String, key: Secret<String>, tokens: Url },
    /// Of somebody who let a program ask.
    User { form: Vec<(&'static str, Secret<String>)>, tokens: Url },
    /// That of the machine, which is asked at an address that only it reaches.
    Machine { url: Url, http: Http },
}

impl Account {
    pub(crate) fn find(variables: &Variables, fs: &SharedFs) -> Result<Self, SourceError> {
        let account = |kind| Self { kind, variables: variables.clone(), kept: None };
        if let Some(path) = variables.get("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from) {
            let text = read_text(&**fs, &path)?;
            return parse(&text).map(account).map_err(|e| SourceError::content(path.to_string_lossy(), &e));
        }
        let own = variables.file("CLOUDSDK_CONFIG", ".config/gcloud");
        let own = own.map(|folder| folder.join("application_default_credentials.json"));
        if let Some((path, text)) = own.and_then(|path| Some((path.clone(), read_text(&**fs, &path).ok()?))) {
            return parse(&text).map(account).map_err(|e| SourceError::content(path.to_string_lossy(), &e));
        }
        let host =
            variables.get("GCE_METADATA_HOST").unwrap_or_else(|| "metadata.google.internal".to_owned());
        let base = parse_url(&format!("http://{host}")).map_err(SourceError::Setup)?;
        let url = below(&base, "computeMetadata/v1/instance/service-accounts/default/token");
        let http = Http::new(&HttpConfig::default(), fs)?;
        Ok(account(Kind::Machine { url: asking(&url, [("scopes", SCOPE)]), http }))
    }

    /// How Google is asked: through the proxy, and by the certificates, that the environment names.
    pub(crate) fn client(&self) -> HttpConfig {
        let get = |names: [&str; 2]| names.iter().find_map(|name| self.variables.get(name));
        let mut client = HttpConfig::default();
        if let Some(proxy) = get(["HTTPS_PROXY", "https_proxy"]) {
            client.proxy = ProxyConfig::through(&proxy, &get(["NO_PROXY", "no_proxy"]).unwrap_or_default());
        }
        client.tls_config.ca_file = self.variables.get("SSL_CERT_FILE").map(PathBuf::from);
        client
    }

    /// The value of the header `Authorization` of now.
    pub(crate) async fn token(&mut self, http: &Http) -> Result<String, SourceError> {
        if let Some(token) = self.kept.as_ref().filter(|token| token.is_good()) {
            return Ok(token.bearer());
        }
        let (request, from) = match &self.kind {
            Kind::Machine { url, http } => (http.get(url).await?.header("Metadata-Flavor", "Google"), url),
            Kind::User { form, tokens } => {
                let pairs: Vec<_> = form.iter().map(|(key, value)| (*key, value.expose().as_str())).collect();
                (post(http, tokens, &pairs).await?, tokens)
            }
            Kind::Service { email, key_id, key, tokens } => {
                let now = Timestamp::now().as_second();
                let claims = json!({
                    "iss": email, "scope": SCOPE, "aud": tokens.as_str(), "iat": now,
                    "exp": now + ASSERTION_SECONDS,
                });
                let signed =
                    jwt::signed(Algorithm::Rs256, key_id, &claims, key).map_err(SourceError::Setup)?;
                (post(http, tokens, &[("grant_type", GRANT), ("assertion", &signed)]).await?, tokens)
            }
        };
        let answer = send(request).await?.json()?;
        let missing = || SourceError::content(from.as_str(), &"there is no token in it");
        let token = Token::of_answer(Json::new(&answer)).ok_or_else(missing)?;
        Ok(self.kept.insert(token).bearer())
    }
}

async fn post(
    http: &Http,
    url: &Url,
    pairs: &[(&str, &str)],
) -> Result<reqwest::RequestBuilder, SourceError> {
    http.post(url, "application/x-www-form-urlencoded", crate::http::form(pairs)).await
}

/// A file that describes an account.
pub(crate) fn parse(text: &str) -> Result<Kind, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let file = Json::new(&value);
    let tokens = file.text("token_uri");
    let tokens = parse_url(if tokens.is_empty() { TOKENS } else { tokens })?;
    let secret = |key: &str| Secret::new(file.text(key).to_owned());
    match file.text("type") {
        "service_account" => Ok(Kind::Service {
            email: file.text("client_email").to_owned(),
            key_id: file.text("private_key_id").to_owned(),
            key: secret("private_key"),
            tokens,
        }),
        "authorized_user" => {
            let mut form = vec![("grant_type", Secret::new("refresh_token".to_owned()))];
            form.extend(["client_id", "client_secret", "refresh_token"].map(|key| (key, secret(key))));
            Ok(Kind::User { form, tokens })
        }
        other => {
            let usable = "service_account and authorized_user can";
            Err(format!("an account of type {other:?} cannot be used: {usable}"))
        }
    }
}
