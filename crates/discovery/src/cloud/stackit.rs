//! `stackit_sd_configs`: machines of STACKIT, and its databases.

use super::url;
use crate::{
    client::ClientKind,
    config::Task,
    defaults::{a_minute, eighty},
    error::SourceError,
    files::read_text,
    group::TargetGroup,
    http::{Http, asking, below, encoded, form, parse_url, send},
    http_sd::check_interval,
    json::Json,
    jwt::{self, Algorithm},
    meta::{Meta, host_port},
    source::{Refresh, Sink, run},
    token::Token,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skopos_base::{fs::SharedFs, secret::Secret};
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const PREFIX: &str = "__meta_stackit_";
const TOKENS: &str = "https://service-account.api.stackit.cloud/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const DATABASES: &str = "https://postgres-flex-service.api.stackit.cloud";
/// Where the metrics of databases are.
const METRICS: &str = "postgres-flex-metrics.api.stackit.cloud:443";
/// How long an assertion is good.
const ASSERTION_SECONDS: i64 = 600;

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StackitConfig {
    /// What is found.
    #[serde(default)]
    pub role: StackitRole,
    /// The project.
    #[serde(default)]
    pub project: String,
    /// The region.
    #[serde(default = "first_region")]
    pub region: String,
    /// Where the API is; as the region says when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Where machines are scraped.
    #[serde(default = "eighty")]
    pub port: u16,
    /// How often the list is fetched.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
    /// The description of the account that asks, in JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_key: Option<Secret<String>>,
    /// The file of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_key_path: Option<PathBuf>,
    /// The private key of the account, in PEM, where the description has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<Secret<String>>,
    /// The file of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key_path: Option<PathBuf>,
    /// A file of JSON that names those two files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file_path: Option<PathBuf>,
}

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StackitRole {
    /// Machines.
    #[default]
    Server,
    /// Databases of PostgreSQL.
    Postgres,
}

fn first_region() -> String {
    "eu01".to_owned()
}

impl ClientKind for StackitConfig {
    const NAME: &'static str = "stackit";

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        if self.endpoint.is_empty() && self.region.is_empty() {
            return Err("stackit_sd_configs: write `endpoint` or `region`".to_owned());
        }
        if !self.endpoint.is_empty() {
            parse_url(&self.endpoint).map_err(|e| format!("stackit_sd_configs: {e}"))?;
        }
        check_interval("stackit_sd_configs", self.refresh_interval)
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let (http, fs) = (Http::new(client, sink.fs())?, SharedFs::clone(sink.fs()));
        Ok(Box::pin(run(Source { config: self.clone(), http, fs, kept: None }, sink)))
    }

    fn set_folder(&mut self, folder: &Path) {
        let all =
            [&mut self.service_account_key_path, &mut self.private_key_path, &mut self.credentials_file_path];
        all.into_iter().flatten().for_each(|path| *path = folder.join(&path));
    }
}

struct Source {
    config: StackitConfig,
    http: Http,
    fs: SharedFs,
    kept: Option<Token>,
}

impl Refresh for Source {
    fn mechanism(&self) -> &'static str {
        "stackit"
    }

    fn interval(&self) -> Duration {
        self.config.refresh_interval.as_std()
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let StackitConfig { role, project, region, endpoint, port, .. } = &self.config;
        let (project, port) = (project.clone(), *port);
        let (base, path) = match role {
            StackitRole::Server => (
                format!("https://iaas.api.{region}.stackit.cloud"),
                format!("v1/projects/{}/servers", encoded(&project)),
            ),
            StackitRole::Postgres => (
                DATABASES.to_owned(),
                format!("v2/projects/{}/regions/{}/instances", encoded(&project), encoded(region)),
            ),
        };
        let base = if endpoint.is_empty() { base } else { endpoint.clone() };
        let asked = asking(&below(&url(&base)?, &path), [("details", "true")]);
        let mut request = self.http.get(&asked).await?.header("Accept", "application/json");
        if let Some(token) = self.token().await? {
            request = request.header("Authorization", token);
        }
        let answer = send(request).await?.json()?;
        let targets = match self.config.role {
            StackitRole::Server => servers(Json::new(&answer), &project, port),
            StackitRole::Postgres => databases(Json::new(&answer), &project, &self.config.region),
        };
        Ok(super::one_group("stackit", targets))
    }
}

impl Source {
    /// The value of the header `Authorization` of now, unless no account is described.
    async fn token(&mut self) -> Result<Option<String>, SourceError> {
        if let Some(token) = self.kept.as_ref().filter(|token| token.is_good()) {
            return Ok(Some(token.bearer()));
        }
        let Some((account, key)) = self.account()? else { return Ok(None) };
        let own = Json::new(&account).get("credentials");
        let now = Timestamp::now().as_second();
        let claims = json!({
            "iss": own.text("iss"), "sub": own.text("sub"), "aud": own.text("aud"), "iat": now,
            "exp": now + ASSERTION_SECONDS, "jti": format!("{:016x}{:016x}", rand(), rand()),
        });
        let signed = jwt::signed(Algorithm::Rs512, own.text("kid"), &claims, &key);
        let signed = signed.map_err(|e| SourceError::Setup(format!("stackit_sd_configs: {e}")))?;
        let body = form(&[("grant_type", GRANT), ("assertion", &signed)]);
        let request = self.http.post(&url(TOKENS)?, "application/x-www-form-urlencoded", body).await?;
        let answer = send(request).await?.json()?;
        let missing = || SourceError::content(TOKENS, &"there is no token in it");
        let token = Token::of_answer(Json::new(&answer)).ok_or_else(missing)?;
        Ok(Some(self.kept.insert(token).bearer()))
    }

    /// The description of the account, and its private key.
    fn account(&self) -> Result<Option<(Value, Secret<String>)>, SourceError> {
        let (config, fs) = (&self.config, &*self.fs);
        let wrong = |e: &dyn std::fmt::Display| SourceError::Setup(format!("stackit_sd_configs: {e}"));
        let mut paths = [config.service_account_key_path.clone(), config.private_key_path.clone()];
        if let Some(file) = &config.credentials_file_path {
            let named: Value = serde_json::from_str(&read_text(fs, file)?).map_err(|e| wrong(&e))?;
            let keys = ["STACKIT_SERVICE_ACCOUNT_KEY_PATH", "STACKIT_PRIVATE_KEY_PATH"];
            for (path, key) in paths.iter_mut().zip(keys) {
                let own = Some(Json::new(&named).text(key)).filter(|text| !text.is_empty());
                *path = path.take().or(own.map(PathBuf::from));
            }
        }
        let read = |here: &Option<Secret<String>>, path: &Option<PathBuf>| match (here, path) {
            (Some(text), _) => Ok(Some(text.clone())),
            (None, Some(path)) => read_text(fs, path).map(|text| Some(Secret::new(text))),
            (None, None) => Ok(None),
        };
        let [of_account, of_key] = &paths;
        let Some(account) = read(&config.service_account_key, of_account)? else { return Ok(None) };
        let account: Value = serde_json::from_str(account.expose()).map_err(|e| wrong(&e))?;
        let inside = Json::new(&account).at(&["credentials", "privateKey"]).as_text().to_owned();
        let key = read(&config.private_key, of_key)?.unwrap_or_else(|| Secret::new(inside));
        Ok(Some((account, key)))
    }
}

/// Makes assertions differ from one another.
fn rand() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}

/// Machines that have an address: the public one first.
pub(crate) fn servers(answer: Json<'_>, project: &str, port: u16) -> Vec<Labels> {
    let target = |server: Json<'_>| {
        let mut meta = Meta::new(PREFIX);
        for (label, key) in [
            ("availability_zone", "availabilityZone"),
            ("id", "id"),
            ("name", "name"),
            ("power_status", "powerStatus"),
            ("status", "status"),
            ("type", "machineType"),
        ] {
            meta.set(label, server.text(key));
        }
        let first =
            |key: &'static str| server.list("nics").map(|nic| nic.text(key)).find(|ip| !ip.is_empty());
        let (public, private) = (first("publicIp"), first("ipv4"));
        for nic in server.list("nics") {
            meta.set_named("private_ipv4_", nic.text("networkName"), nic.text("ipv4"));
        }
        for (key, value) in server.pairs("labels").filter(|(_, value)| !value.is_empty()) {
            meta.set_named("label_", key, value).set_named("labelpresent_", key, "true");
        }
        meta.set("project", project).set("public_ipv4", public.unwrap_or_default());
        Some(meta.address(host_port(public.or(private)?, port)).build())
    };
    answer.list("items").filter_map(target).collect()
}

/// Databases, whose metrics are told for all of them in one place.
pub(crate) fn databases(answer: Json<'_>, project: &str, region: &str) -> Vec<Labels> {
    let target = |one: Json<'_>| {
        let mut meta = Meta::new(PREFIX);
        meta.set("project", project).set("type", "postgres");
        meta.set("id", one.text("id")).set("name", one.text("name")).set("status", one.text("status"));
        let mut all = skopos_model::LabelsBuilder::default();
        let path = format!(
            "/v1alpha1/projects/{project}/regions/{region}/instances/{}/advanced/metrics",
            one.text("id")
        );
        all.extend(&meta.address(METRICS).build());
        all.set("__metrics_path__", &path);
        all.set("__scheme__", "https");
        all.build()
    };
    answer.list("items").map(target).collect()
}
