//! `uyuni_sd_configs`: exporters on machines that Uyuni looks after, asked for by XML-RPC.

use crate::{
    client::ClientKind,
    config::Task,
    defaults::a_minute,
    error::SourceError,
    group::TargetGroup,
    http::{Http, below, parse_url, send},
    http_sd::check_interval,
    json::Json,
    meta::Meta,
    source::{Refresh, Sink, run},
    token::Token,
    xml::{Xml, document},
};
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use skopos_base::secret::Secret;
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels};
use std::{collections::HashMap, time::Duration};

/// So deep may values stand in one another.
const DEPTH_MAX: usize = 64;
/// How long a session is asked for.
const SESSION: SignedDuration = SignedDuration::from_mins(10);

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UyuniConfig {
    /// The address of the server.
    #[serde(default)]
    pub server: String,
    /// Who asks.
    #[serde(default)]
    pub username: String,
    /// What proves it.
    #[serde(default)]
    pub password: Secret<String>,
    /// What machines must be entitled to.
    #[serde(default = "monitored")]
    pub entitlement: String,
    /// What stands between groups.
    #[serde(default = "super::comma")]
    pub separator: String,
    /// How often it is asked.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
}

fn monitored() -> String {
    "monitoring_entitled".to_owned()
}

impl ClientKind for UyuniConfig {
    const NAME: &'static str = "uyuni";

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        let needed =
            [("server", &self.server), ("username", &self.username), ("password", self.password.expose())];
        if let Some((key, _)) = needed.iter().find(|(_, value)| value.is_empty()) {
            return Err(format!("uyuni_sd_configs: `{key}` is missing"));
        }
        parse_url(&self.server).map_err(|e| format!("uyuni_sd_configs: {e}"))?;
        check_interval("uyuni_sd_configs", self.refresh_interval)
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let url = below(&super::url(&self.server)?, "rpc/api");
        let source = Source { config: self.clone(), http: Http::new(client, sink.fs())?, url, session: None };
        Ok(Box::pin(run(source, sink)))
    }
}

struct Source {
    config: UyuniConfig,
    http: Http,
    url: Url,
    session: Option<Token>,
}

impl Refresh for Source {
    fn mechanism(&self) -> &'static str {
        "uyuni"
    }

    fn interval(&self) -> Duration {
        self.config.refresh_interval.as_std()
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let found = self.find().await;
        if found.is_err() {
            self.session = None;
        }
        let targets = found?;
        Ok(vec![TargetGroup { source: self.url.to_string(), targets, ..TargetGroup::default() }])
    }
}

impl Source {
    async fn find(&mut self) -> Result<Vec<Labels>, SourceError> {
        let session = match self.session.clone().filter(Token::is_good) {
            Some(session) => session,
            None => self.log_in().await?,
        };
        let session = json!(session.text.expose());
        let list = "system.listSystemGroupsForSystemsWithEntitlement";
        let groups = self.call(list, &[session.clone(), json!(self.config.entitlement)]).await?;
        let ids: Vec<_> = Json::new(&groups).items().map(|system| system.number("id")).collect();
        let asked = [session, json!(ids)];
        let endpoints = self.call("system.monitoring.listEndpoints", &asked).await?;
        let networks = self.call("system.getNetworkForSystems", &asked).await?;
        let answers = [&groups, &endpoints, &networks].map(Json::new);
        Ok(targets(answers, &self.config.separator))
    }

    async fn log_in(&mut self) -> Result<Token, SourceError> {
        let UyuniConfig { username, password, .. } = &self.config;
        let asked = [json!(username), json!(password.expose()), json!(SESSION.as_secs())];
        let answer = self.call("auth.login", &asked).await?;
        let missing = || SourceError::content(self.url.as_str(), &"a session is no text");
        let session = Token::until(answer.as_str().ok_or_else(missing)?, Timestamp::now() + SESSION);
        Ok(self.session.insert(session).clone())
    }

    async fn call(&self, method: &str, values: &[Value]) -> Result<Value, SourceError> {
        let mut body =
            format!("<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>");
        values.iter().for_each(|value| body += &format!("<param>{}</param>", written(value)));
        body += "</params></methodCall>";
        let answer = send(self.http.post(&self.url, "text/xml", body).await?).await?.ok()?;
        parse_answer(&answer.body).map_err(|e| SourceError::content(format!("{}: {method}", self.url), &e))
    }
}

fn written(value: &Value) -> String {
    let inside = match value {
        Value::Number(number) => format!("<int>{number}</int>"),
        Value::Array(items) => {
            format!("<array><data>{}</data></array>", items.iter().map(written).collect::<String>())
        }
        other => {
            let text = other.as_str().unwrap_or_default();
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            format!("<string>{text}</string>")
        }
    };
    format!("<value>{inside}</value>")
}

/// The value of an answer.
pub(crate) fn parse_answer(bytes: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let document = document(text, "the answer").map_err(|e| e.to_string())?;
    let root = Xml::root(&document);
    let fault = root.at(&["fault", "value"]);
    if fault.is_there() {
        let fault = value_of(fault, 0)?;
        let fault = Json::new(&fault);
        return Err(format!("fault {}: {}", fault.written("faultCode"), fault.text("faultString")));
    }
    let value = root.at(&["params", "param", "value"]);
    if !value.is_there() {
        return Err("there is no value in it".to_owned());
    }
    value_of(value, 0)
}

fn value_of(value: Xml<'_>, depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err(format!("values stand in one another more than {DEPTH_MAX} deep"));
    }
    let Some(inside) = value.elements().next() else { return Ok(json!(value.as_text())) };
    let text = inside.as_text().trim();
    let wrong = || format!("{text:?} is no {}", inside.name());
    Ok(match inside.name() {
        "int" | "i4" | "i8" => json!(text.parse::<i64>().map_err(|_| wrong())?),
        "double" => json!(text.parse::<f64>().map_err(|_| wrong())?),
        "boolean" => json!(text == "1" || text == "true"),
        "array" => {
            let items = inside.list("data").map(|item| value_of(item, depth + 1));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        "struct" => {
            let mut map = Map::new();
            for member in inside.elements() {
                map.insert(member.text("name").to_owned(), value_of(member.get("value"), depth + 1)?);
            }
            Value::Object(map)
        }
        _ => json!(inside.as_text()),
    })
}

fn by<'a>(list: Json<'a>, key: &str) -> HashMap<i64, Json<'a>> {
    list.items().map(|one| (one.number(key), one)).collect()
}

/// A target for each exporter: from the groups of machines, their exporters, their networks.
pub(crate) fn targets([groups, endpoints, networks]: [Json<'_>; 3], separator: &str) -> Vec<Labels> {
    let (groups, networks) = (by(groups, "id"), by(networks, "system_id"));
    let target = |endpoint: Json<'_>| {
        let id = endpoint.number("system_id");
        let network = networks.get(&id).copied().unwrap_or(endpoint.get(""));
        let of_groups = groups.get(&id).copied().unwrap_or(endpoint.get(""));
        let names: Vec<_> = of_groups.list("system_groups").map(|group| group.text("name")).collect();
        let host = network.text("hostname");
        let mut meta = Meta::new("__meta_uyuni_");
        meta.set("minion_hostname", host)
            .set("primary_fqdn", network.text("primary_fqdn"))
            .set("system_id", id.to_string())
            .set("groups", names.join(separator))
            .set("endpoint_name", endpoint.text("endpoint_name"))
            .set("exporter", endpoint.text("exporter_name"))
            .set("proxy_module", endpoint.text("module"))
            .set("metrics_path", endpoint.text("path"))
            .set("scheme", if endpoint.is("tls_enabled") { "https" } else { "http" });
        meta.address(format!("{host}:{}", endpoint.number("port"))).build()
    };
    endpoints.items().map(target).collect()
}
