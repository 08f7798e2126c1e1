//! `Api`: asks a service of AWS, in the three ways that they have. What answers mean is the matter of roles.

use super::{
    credentials::{Access, Credentials},
    sign::{Asked, Scope, sign},
};
use crate::{
    error::SourceError,
    http::{Answer, Http, asking, below, form, parse_url, send, shown},
    limits::PAGES_MAX,
    variables::Variables,
};
use jiff::Timestamp;
use reqwest::{Method, Url};
use serde_json::Value;
use skopos_base::fs::SharedFs;

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
const JSON_1_1: &str = "application/x-amz-json-1.1";

/// See above.
#[derive(Debug)]
pub(crate) struct Api {
    credentials: Credentials,
    http: Http,
    variables: Variables,
    /// Where the service of the role is, if the configuration says so.
    endpoint: Option<Url>,
}

/// A service by the name that addresses and signatures have for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// Whether it is the one that the configuration's `endpoint` is about.
    pub(crate) is_of_role: bool,
}

impl Api {
    pub(crate) fn new(
        access: Access,
        endpoint: &str,
        http: Http,
        variables: &Variables,
        fs: &SharedFs,
    ) -> Result<Self, SourceError> {
        let endpoint = Some(endpoint).filter(|text| !text.is_empty()).map(address).transpose()?;
        let credentials = Credentials::new(access, variables, fs, &http)?;
        Ok(Self { credentials, http, variables: variables.clone(), endpoint })
    }

    /// The region that is asked.
    pub(crate) async fn region(&mut self) -> Result<String, SourceError> {
        self.credentials.region().await
    }

    /// Asks by a form, for XML.
    pub(crate) async fn query(
        &mut self,
        service: Service,
        pairs: &[(&str, &str)],
    ) -> Result<String, SourceError> {
        let url = self.url(service).await?;
        let headers = [("content-type", FORM.to_owned())];
        let answer = self.send(service, Method::POST, &url, &headers, form(pairs)).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Asks by JSON, for JSON; `target` is what is asked.
    pub(crate) async fn json(
        &mut self,
        service: Service,
        target: &str,
        body: &Value,
    ) -> Result<Value, SourceError> {
        let url = self.url(service).await?;
        let headers = [("content-type", JSON_1_1.to_owned()), ("x-amz-target", target.to_owned())];
        self.send(service, Method::POST, &url, &headers, body.to_string()).await?.json()
    }

    /// Asks for what stands at a path, whose parts are encoded.
    pub(crate) async fn get(
        &mut self,
        service: Service,
        path: &str,
        pairs: &[(&str, &str)],
    ) -> Result<Value, SourceError> {
        let url = asking(&below(&self.url(service).await?, path), pairs.iter().copied());
        self.send(service, Method::GET, &url, &[], String::new()).await?.json()
    }

    /// A list of the service that has no end.
    pub(crate) async fn endless(&mut self, service: Service, list: &str) -> SourceError {
        let reason = format!("{list}: the list has more than {PAGES_MAX} pages");
        match self.url(service).await {
            Ok(url) => SourceError::content(shown(&url), &reason),
            Err(error) => error,
        }
    }

    async fn url(&mut self, service: Service) -> Result<Url, SourceError> {
        match &self.endpoint {
            Some(own) if service.is_of_role => Ok(own.clone()),
            _ => endpoint_of(service.name, &self.region().await?, &self.variables),
        }
    }

    async fn send(
        &mut self,
        service: Service,
        method: Method,
        url: &Url,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<Answer, SourceError> {
        let (region, keys) = (self.region().await?, self.credentials.keys().await?);
        let asked = Asked { method: method.as_str(), url, headers, body: &body };
        let signed = sign(&keys, Scope { region: &region, service: service.name }, Timestamp::now(), asked);
        let mut request = self.http.request(method, url).await?;
        for (name, value) in headers.iter().chain(&signed) {
            request = request.header(*name, value);
        }
        let answer = send(request.body(body)).await?;
        if matches!(answer.status, 400 | 401 | 403) {
            self.credentials.forget();
        }
        answer.ok()
    }
}

/// Where a service is in a region, unless the environment says otherwise.
pub(crate) fn endpoint_of(service: &str, region: &str, variables: &Variables) -> Result<Url, SourceError> {
    let own = format!("AWS_ENDPOINT_URL_{}", service.to_ascii_uppercase());
    if let Some(text) = [own.as_str(), "AWS_ENDPOINT_URL"].iter().find_map(|name| variables.get(name)) {
        return address(&text);
    }
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    address(&format!("https://{service}.{region}.amazonaws.com{china}"))
}

/// An address; one without a scheme has that of HTTP with TLS.
fn address(text: &str) -> Result<Url, SourceError> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    parse_url(&whole).map_err(SourceError::Setup)
}
