//! Who a machine or a container of AWS is, as an address that only it reaches tells it. Keeps no keys.

use super::{credentials::of_answer, sign::Keys};
use crate::{
    error::SourceError,
    files::read_secret,
    http::{Http, below, encoded, parse_url, send},
    variables::Variables,
};
use reqwest::{Method, Url};
use skopos_base::fs::SharedFs;
use skopos_client::HttpConfig;
use std::{path::Path, time::Duration};

/// Where a machine asks.
const MACHINE: &str = "http://169.254.169.254";
/// Where a container asks, with the path that it was given.
const CONTAINER: &str = "http://169.254.170.2";
/// Elsewhere nobody answers at such addresses: that shall not take long.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a token of the machine is good.
const TOKEN_SECONDS: &str = "300";

/// The machine.
#[derive(Debug)]
pub(crate) struct Machine {
    http: Http,
    base: Url,
    /// It must not be asked.
    is_off: bool,
}

impl Machine {
    pub(crate) fn new(variables: &Variables, fs: &SharedFs) -> Result<Self, SourceError> {
        let base = variables.get("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let base = parse_url(base.as_deref().unwrap_or(MACHINE)).map_err(SourceError::Setup)?;
        let is_off =
            variables.get("AWS_EC2_METADATA_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        Ok(Self { http: Http::new(&HttpConfig::default(), fs)?, base, is_off })
    }

    /// Where the machine is.
    pub(crate) async fn region(&self) -> Result<String, SourceError> {
        let found = self.get("latest/meta-data/placement/region").await;
        let missing =
            |e| SourceError::Setup(format!("AWS: `region` is missing, and the machine tells none: {e}"));
        found.map_err(missing)
    }

    /// The keys of the role that the machine has.
    pub(crate) async fn keys(&self) -> Result<Keys, SourceError> {
        let found = self.of_role().await;
        found.map_err(|e| {
            SourceError::Setup(format!(
                "AWS: there are no keys: write `access_key` and `secret_key` or set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY; the machine tells none: {e}"
            ))
        })
    }

    async fn of_role(&self) -> Result<Keys, SourceError> {
        let path = "latest/meta-data/iam/security-credentials";
        let roles = self.get(&format!("{path}/")).await?;
        let role = roles.lines().next().unwrap_or_default().trim();
        let answer = self.get(&format!("{path}/{}", encoded(role))).await?;
        let value = serde_json::from_str(&answer).map_err(|e| SourceError::content(path, &e))?;
        of_answer(&value).ok_or_else(|| SourceError::content(path, &"there are no keys in it"))
    }

    async fn get(&self, path: &str) -> Result<String, SourceError> {
        if self.is_off {
            return Err(SourceError::Setup("AWS_EC2_METADATA_DISABLED is set".to_owned()));
        }
        let request = self.http.request(Method::PUT, &below(&self.base, "latest/api/token")).await?;
        let request = request.header("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS);
        let token = send(request.timeout(TIMEOUT)).await?.ok()?;
        let token = String::from_utf8_lossy(&token.body).trim().to_owned();
        let request = self.http.get(&below(&self.base, path)).await?.timeout(TIMEOUT);
        let answer = send(request.header("X-aws-ec2-metadata-token", token)).await?.ok()?;
        Ok(String::from_utf8_lossy(&answer.body).trim().to_owned())
    }
}

/// The keys of the container, if it was told where it has some.
pub(crate) async fn of_container(variables: &Variables, fs: &SharedFs) -> Result<Option<Keys>, SourceError> {
    let relative = variables.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let address = relative.map(|path| format!("{CONTAINER}{path}"));
    let Some(address) = address.or_else(|| variables.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")) else {
        return Ok(None);
    };
    let url = parse_url(&address).map_err(SourceError::Setup)?;
    let mut request = Http::new(&HttpConfig::default(), fs)?.get(&url).await?.timeout(TIMEOUT);
    let token = match variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Some(read_secret(&**fs, Path::new(&file))?.expose().clone()),
        None => variables.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    if let Some(token) = token {
        request = request.header("Authorization", token);
    }
    let answer = send(request).await?.json()?;
    let missing = || SourceError::content(url.as_str(), &"there are no keys in it");
    of_answer(&answer).ok_or_else(missing).map(Some)
}
