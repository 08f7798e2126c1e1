//! `marathon_sd_configs`: tasks of applications that Marathon runs.

use super::url;
use crate::{
    client::ClientKind,
    config::Task,
    defaults::half_a_minute,
    error::SourceError,
    files::read_secret,
    group::TargetGroup,
    http::{Http, asking, below, parse_url, send},
    http_sd::check_interval,
    json::Json,
    meta::{Meta, host_port},
    source::{Refresh, Sink, run},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_base::{fs::SharedFs, secret::Secret};
use skopos_client::HttpConfig;
use skopos_model::{DurationMs, Labels, null_is_default};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const PREFIX: &str = "__meta_marathon_";

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MarathonConfig {
    /// The servers; the first one that answers is asked.
    #[serde(default, deserialize_with = "null_is_default")]
    pub servers: Vec<String>,
    /// How often.
    #[serde(default = "half_a_minute")]
    pub refresh_interval: DurationMs,
    /// What proves who we are, in the way of DC/OS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<Secret<String>>,
    /// The file of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_token_file: Option<PathBuf>,
}

impl ClientKind for MarathonConfig {
    const NAME: &'static str = "marathon";

    fn check(&mut self, client: &mut HttpConfig) -> Result<(), String> {
        let wrong = |e: &str| Err(format!("marathon_sd_configs: {e}"));
        if self.servers.is_empty() {
            return wrong("`servers` is missing: write at least one");
        }
        if let Some(Err(e)) = self.servers.iter().map(|server| parse_url(server)).find(Result::is_err) {
            return wrong(&e);
        }
        let own = usize::from(self.auth_token.is_some()) + usize::from(self.auth_token_file.is_some());
        let others = client.basic_auth.is_some() || client.authorization.is_some();
        if own > 1 || own == 1 && others {
            let keys = "`auth_token`, `auth_token_file`, `basic_auth`, `authorization` and `bearer_token`";
            return wrong(&format!("write at most one of {keys}"));
        }
        check_interval("marathon_sd_configs", self.refresh_interval)
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let (http, fs) = (Http::new(client, sink.fs())?, SharedFs::clone(sink.fs()));
        Ok(Box::pin(run(Source { config: self.clone(), http, fs }, sink)))
    }

    fn set_folder(&mut self, folder: &Path) {
        self.auth_token_file.iter_mut().for_each(|path| *path = folder.join(&path));
    }
}

struct Source {
    config: MarathonConfig,
    http: Http,
    fs: SharedFs,
}

impl Refresh for Source {
    fn mechanism(&self) -> &'static str {
        "marathon"
    }

    fn interval(&self) -> Duration {
        self.config.refresh_interval.as_std()
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let token = match (&self.config.auth_token, &self.config.auth_token_file) {
            (_, Some(file)) => Some(read_secret(&*self.fs, file)?),
            (token, None) => token.clone(),
        };
        let mut last = None;
        for server in &self.config.servers {
            match self.apps(server, token.as_ref()).await {
                Ok(apps) => return Ok(groups(Json::new(&apps))),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| SourceError::Setup("there is no server".to_owned())))
    }
}

impl Source {
    async fn apps(&self, server: &str, token: Option<&Secret<String>>) -> Result<Value, SourceError> {
        let url = asking(&below(&url(server)?, "v2/apps/"), [("embed", "apps.tasks")]);
        let mut request = self.http.get(&url).await?;
        if let Some(token) = token {
            request = request.header("Authorization", format!("token={}", token.expose()));
        }
        send(request).await?.json()
    }
}

/// The tasks of all applications.
pub(crate) fn groups(answer: Json<'_>) -> Vec<TargetGroup> {
    let group = |app: Json<'_>| {
        let mut meta = Meta::new(PREFIX);
        meta.set("app", app.text("id"))
            .set("image", app.at(&["container", "docker", "image"]).as_text())
            .set_all("app_label_", app.pairs("labels"));
        TargetGroup { source: app.text("id").to_owned(), targets: targets(app), labels: meta.build() }
    };
    answer.list("apps").map(group).collect()
}

/// A port of every task, with the labels that it has.
struct Port<'a> {
    number: i64,
    labels: Json<'a>,
}

fn targets(app: Json<'_>) -> Vec<Labels> {
    let networks = app.list("networks").next();
    let is_inside = networks.is_some_and(|first| first.text("mode") == "container");
    let (prefix, mut ports) = ports(app, is_inside);
    let mut targets = Vec::new();
    for task in app.list("tasks") {
        let of_task: Vec<_> = task.list("ports").map(number).collect();
        if ports.is_empty() {
            // They are the same for all tasks.
            ports = of_task.iter().map(|n| Port { number: *n, labels: app.get("") }).collect();
        }
        let first = task.list("ipAddresses").next().filter(|_| is_inside);
        let host = first.map_or(task.text("host"), |first| first.text("ipAddress"));
        for (nth, port) in ports.iter().enumerate() {
            // Those that are zero are given to each task.
            let given = port.number == 0 && of_task.len() == ports.len();
            let port_number = if given { of_task[nth] } else { port.number };
            let mut meta = Meta::new(PREFIX);
            meta.set("task", task.text("id")).set("port_index", nth.to_string());
            for (key, value) in port.labels.entries() {
                meta.set_named(prefix, key, value.as_text());
            }
            targets.push(meta.address(host_port(host, port_number)).build());
        }
    }
    targets
}

/// The ports that an application names, and what their labels begin with.
fn ports(app: Json<'_>, is_inside: bool) -> (&'static str, Vec<Port<'_>>) {
    for place in [&["container"][..], &["container", "docker"]] {
        let mapped = app.at(place).list("portMappings");
        if mapped.len() > 0 {
            let key = if is_inside { "containerPort" } else { "hostPort" };
            let port = |one: Json<'_>| one.number(key);
            let all = mapped.map(|one| Port { number: port(one), labels: one.get("labels") });
            return ("port_mapping_label_", all.collect());
        }
    }
    let is_fixed = app.is("requirePorts");
    let port = |one: Json<'_>| if is_fixed { one.number("port") } else { 0 };
    let defined = app.list("portDefinitions");
    let all = defined.map(|one| Port { number: port(one), labels: one.get("labels") });
    ("port_definition_label_", all.collect())
}

fn number(of: Json<'_>) -> i64 {
    of.as_written().parse().unwrap_or(0)
}
