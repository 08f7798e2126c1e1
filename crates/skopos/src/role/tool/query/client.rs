//! `Client`: a server that has Prometheus' API, asked one question at a time. Answers are bounded in bytes
//! and time. Understands the envelope of an answer and nothing of its data.

use crate::role::Failure;
use reqwest::{
    Method, RequestBuilder, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;
use skopos_base::Env;
use skopos_client::{
    ClientOptions, HttpClient, HttpConfig,
    answer::{body_within, causes},
};
use skopos_config::load_http_client;
use std::path::PathBuf;
use tokio::runtime::{Builder, Runtime};

/// The most bytes of an answer.
const ANSWER_MAX_BYTES: usize = 1 << 30;

/// How a server is spoken to.
#[derive(Debug, clap::Args)]
pub(super) struct Connection {
    /// Who we are, as YAML: `basic_auth`, `authorization` or `bearer_token`; and `tls_config`.
    #[arg(long = "http.config.file", global = true, value_name = "FILE")]
    http_config_file: Option<PathBuf>,
    /// A header that is sent too, as NAME=VALUE. May be given several times.
    #[arg(long = "header", global = true, value_name = "NAME=VALUE")]
    headers: Vec<String>,
}

impl Connection {
    fn headers(&self) -> Result<HeaderMap, Failure> {
        let mut all = HeaderMap::new();
        for text in &self.headers {
            let parsed = text.split_once(['=', ':']).and_then(|(name, value)| {
                let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
                let mut value = HeaderValue::from_str(value.trim()).ok()?;
                // Nobody knows what is secret of what is sent.
                value.set_sensitive(true);
                Some((name, value))
            });
            let (name, value) =
                parsed.ok_or_else(|| Failure::Flags(format!("--header={text}: write NAME=VALUE")))?;
            all.append(name, value);
        }
        Ok(all)
    }
}

/// A server.
pub(super) struct Client {
    runtime: Runtime,
    client: HttpClient,
    headers: HeaderMap,
    server: Url,
}

impl Client {
    pub(super) fn new(server: &str, connection: &Connection, env: &Env) -> Result<Self, Failure> {
        let with_scheme = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        let url = Url::parse(&with_scheme).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let wrong = || Failure::Flags(format!("{server:?} is no address: write http://host:port"));
        let url = url.ok_or_else(wrong)?;
        let http = match &connection.http_config_file {
            Some(file) => load_http_client(&*env.fs, file)?,
            None => HttpConfig::default(),
        };
        let client = HttpClient::new(&http, &ClientOptions::default(), &env.fs);
        let client = client.map_err(|e| Failure::Data(e.to_string()))?;
        let headers = connection.headers()?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::system("cannot start the HTTP client"))?;
        Ok(Self { runtime, client, headers, server: url })
    }

    /// Asks by a form.
    pub(super) fn post(&self, endpoint: &str, params: &[(&'static str, String)]) -> Result<Value, Failure> {
        let request = self.request(Method::POST, &self.url(&[endpoint]))?;
        self.ask(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(params)))
    }

    /// Asks by the parameters of the address.
    pub(super) fn get(&self, path: &[&str], params: &[(&'static str, String)]) -> Result<Value, Failure> {
        let mut url = self.url(path);
        url.set_query(Some(&form(params)));
        self.ask(self.request(Method::GET, &url)?)
    }

    fn request(&self, method: Method, url: &Url) -> Result<RequestBuilder, Failure> {
        let made = self.runtime.block_on(self.client.request(method, url));
        Ok(made.map_err(|e| Failure::Data(e.to_string()))?.headers(self.headers.clone()))
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }

    /// The data of the answer.
    fn ask(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let answer = self.runtime.block_on(answer(request));
        let (status, body) = answer.map_err(|e| Failure::Data(format!("query error: {}", causes(&e))))?;
        if body.len() > ANSWER_MAX_BYTES {
            return Err(failed(&format!("the answer is longer than {ANSWER_MAX_BYTES} bytes")));
        }
        data(status, &body)
    }
}

fn form(params: &[(&'static str, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish()
}

async fn answer(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), reqwest::Error> {
    body_within(request.send().await?, ANSWER_MAX_BYTES).await
}

fn data(status: StatusCode, body: &[u8]) -> Result<Value, Failure> {
    let Ok(mut answer) = serde_json::from_slice::<Value>(body) else {
        return Err(failed(&format!("the server answers with {status} and no JSON")));
    };
    if answer["status"] != "success" {
        let text = |key: &str| answer[key].as_str().unwrap_or("unknown").to_owned();
        return Err(failed(&format!("{}: {}", text("errorType"), text("error"))));
    }
    Ok(answer["data"].take())
}

fn failed(reason: &str) -> Failure {
    Failure::Data(format!("query error: {reason}"))
}
