//! `Tokens`: the access tokens of OAuth 2 that a server gives for the credentials of a client. One is kept
//! until shortly before its end, and asked for by one request at a time.

use crate::{
    address::shown,
    answer::{body_within, chain},
    client::{ClientError, ClientOptions, basic_credentials},
    config::OAuth2Config,
    connector::{Connector, header_value},
};
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::Deserialize;
use skopos_base::{fs::SharedFs, secret::Secret};
use std::time::Duration;
use tokio::{sync::Mutex, time::Instant};

/// So long before its end a token is used no more.
const SPARE: Duration = Duration::from_secs(10);
/// How long the server has to give one.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of its answer.
const ANSWER_MAX_BYTES: usize = 1 << 20;

/// The tokens of one server.
pub(crate) struct Tokens {
    config: OAuth2Config,
    url: Url,
    fs: SharedFs,
    connector: Connector,
    held: Mutex<Option<Held>>,
}

/// A token, the secret that it was given for, and when it ends, if it does.
struct Held {
    header: HeaderValue,
    secret: Secret<String>,
    ends: Option<Instant>,
}

/// What the server answers.
#[derive(Deserialize)]
struct Answer {
    access_token: Secret<String>,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Tokens {
    pub(crate) fn new(
        config: &OAuth2Config,
        options: &ClientOptions,
        fs: &SharedFs,
    ) -> Result<Self, ClientError> {
        let options = ClientOptions { timeout: Some(TIMEOUT), ..options.clone() };
        let connector = Connector::new(&config.tls_config, &config.proxy, &options, fs);
        let connector = connector.map_err(ClientError::Token)?;
        let url = config.url().ok_or_else(|| ClientError::Token("token_url: it is no address".into()))?;
        let held = Mutex::new(None);
        Ok(Self { config: config.clone(), url, fs: SharedFs::clone(fs), connector, held })
    }

    /// The value of `Authorization`: the token that there is, or a new one.
    pub(crate) async fn header(&self) -> Result<HeaderValue, ClientError> {
        let secret = self.config.secret().read(&*self.fs).map_err(ClientError::Token)?;
        let mut held = self.held.lock().await;
        if let Some(held) = &*held
            && held.secret == secret
            && held.ends.is_none_or(|ends| Instant::now() < ends)
        {
            return Ok(held.header.clone());
        }
        let failed = |reason| ClientError::Token(format!("{}: {reason}", shown(&self.url)));
        let new = self.fetch(secret).await.map_err(failed)?;
        let header = new.header.clone();
        *held = Some(new);
        Ok(header)
    }

    /// Asks for one: first with our credentials in the header, as the standard wants, then in the form, as
    /// some servers do.
    async fn fetch(&self, secret: Secret<String>) -> Result<Held, String> {
        let began = Instant::now();
        let mut response = self.ask(&secret, Credentials::InHeader).await?;
        if matches!(response.status(), StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) {
            response = self.ask(&secret, Credentials::InForm).await?;
        }
        let read = body_within(response, ANSWER_MAX_BYTES).await;
        let (status, body) = read.map_err(|e| chain(&e.without_url()))?;
        if !status.is_success() {
            // What it says may repeat what it was told.
            return Err(format!("the server of tokens answers with status {}", status.as_u16()));
        }
        let answer = serde_json::from_slice::<Answer>(&body);
        let answer =
            answer.map_err(|_| "what the server of tokens answers is no token in JSON".to_owned())?;
        let kind = match answer.token_type.as_str() {
            kind if kind.is_empty() || kind.eq_ignore_ascii_case("bearer") => "Bearer",
            kind => kind,
        };
        let header = header_value(&Secret::new(format!("{kind} {}", answer.access_token.expose())));
        let header = header.ok_or("the token has characters that no header may have")?;
        // Zero means that it does not end.
        let ends = answer.expires_in.filter(|seconds| *seconds > 0);
        let ends = ends.map(|seconds| began + Duration::from_secs(seconds).saturating_sub(SPARE));
        Ok(Held { header, secret, ends })
    }

    fn form(&self, secret: &Secret<String>, credentials: Credentials) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !self.config.scopes.is_empty() {
            form.append_pair("scope", &self.config.scopes.join(" "));
        }
        form.extend_pairs(&self.config.endpoint_params);
        if credentials == Credentials::InForm {
            form.append_pair("client_id", &self.config.client_id);
            form.append_pair("client_secret", secret.expose());
        }
        form.finish()
    }

    async fn ask(&self, secret: &Secret<String>, credentials: Credentials) -> Result<Response, String> {
        let client = self.connector.client(None)?;
        let mut request = client
            .request(Method::POST, self.url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form(secret, credentials));
        if credentials == Credentials::InHeader {
            let (id, secret) = (escaped(&self.config.client_id), escaped(secret.expose()));
            let value = header_value(&basic_credentials(&id, &secret));
            request = request.header(AUTHORIZATION, value.ok_or("client_id: it is no text for a header")?);
        }
        request.send().await.map_err(|e| chain(&e.without_url()))
    }
}

/// Where our credentials stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Credentials {
    InHeader,
    InForm,
}

/// As a form has it.
fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
