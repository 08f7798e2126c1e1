//! `nerve_sd_configs` and `serverset_sd_configs`: members of services that ZooKeeper keeps below paths.
//!
//! - `wire`: requests and answers as they travel; `connection`: one of them to a server.

pub(crate) mod connection;
pub(crate) mod wire;

use crate::{
    config::{Kind, Task},
    error::SourceError,
    group::TargetGroup,
    json::Json,
    limits::SOURCE_TARGETS_MAX,
    meta::{Meta, host_port},
    source::Sink,
    stats::Family,
};
use connection::Connection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use skopos_model::{DurationMs, Labels, null_is_default};
use std::time::Duration;

/// How long a change waits for others, as they come in swarms.
const SETTLE: Duration = Duration::from_millis(100);
/// How long a server that failed is left alone, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

macro_rules! config {
    ($id:ident, $name:literal, $key:literal, $read:path) => {
        /// The keys of the kind.
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(deny_unknown_fields)]
        pub struct $id {
            /// The servers, with their ports.
            #[serde(default, deserialize_with = "null_is_default")]
            pub servers: Vec<String>,
            /// Below which paths members are.
            #[serde(default, deserialize_with = "null_is_default")]
            pub paths: Vec<String>,
            /// How long a server may be silent.
            #[serde(default = "ten_seconds")]
            pub timeout: DurationMs,
        }

        impl Kind for $id {
            const NAME: &'static str = $name;

            fn check(&mut self) -> Result<(), String> {
                check($key, &self.servers, &self.paths, self.timeout)
            }

            fn start(&self, sink: Sink) -> Result<Task, SourceError> {
                let (servers, paths) = (self.servers.clone(), self.paths.clone());
                let source = Source { servers, paths, timeout: self.timeout.as_std(), read: $read };
                Ok(Box::pin(source.run(sink)))
            }
        }
    };
}

config!(NerveConfig, "nerve", "nerve_sd_configs", nerve);
config!(ServersetConfig, "serverset", "serverset_sd_configs", serverset);

fn ten_seconds() -> DurationMs {
    DurationMs::from_secs(10)
}

fn check(key: &str, servers: &[String], paths: &[String], timeout: DurationMs) -> Result<(), String> {
    let wrong = |e: &str| Err(format!("{key}: {e}"));
    if servers.is_empty() {
        return wrong("`servers` is missing: write at least one");
    }
    if paths.is_empty() {
        return wrong("`paths` is missing: write at least one");
    }
    if let Some(path) = paths.iter().find(|path| !path.starts_with('/')) {
        return wrong(&format!("the path {path:?} must begin with /"));
    }
    if timeout == DurationMs::ZERO { wrong("timeout must be longer than zero") } else { Ok(()) }
}

/// What is kept at a path becomes a target, if it is a member.
type Read = fn(&str, &[u8]) -> Option<Labels>;

struct Source {
    servers: Vec<String>,
    paths: Vec<String>,
    timeout: Duration,
    read: Read,
}

impl Source {
    async fn run(self, sink: Sink) {
        let mut wait = BACK_OFF.0;
        for server in self.servers.iter().cycle() {
            let was_told = self.follow(server, &sink).await;
            if let Err(error) = &was_told {
                sink.stats().count(Family::ZooKeeperFailures, &[]);
                sink.failed(error);
            }
            wait = if matches!(was_told, Ok(())) { BACK_OFF.0 } else { (wait * 2).min(BACK_OFF.1) };
            tokio::time::sleep(wait).await;
        }
    }

    /// Tells the members, and each change, until the connection ends. Fails if it told none.
    async fn follow(&self, server: &str, sink: &Sink) -> Result<(), SourceError> {
        let mut connection = Connection::open(server, self.timeout).await?;
        sink.replace(self.groups(&mut connection).await?, None);
        loop {
            let changed = async {
                connection.changed().await?;
                tokio::time::sleep(SETTLE).await;
                self.groups(&mut connection).await
            };
            match changed.await {
                Ok(groups) => sink.replace(groups, None),
                Err(error) => {
                    sink.stats().count(Family::ZooKeeperFailures, &[]);
                    sink.failed(&error);
                    return Ok(());
                }
            }
        }
    }

    /// All members, each a group of its own; whatever changes in them is told from now on.
    async fn groups(&self, connection: &mut Connection) -> Result<Vec<TargetGroup>, SourceError> {
        let (mut groups, mut rest) = (Vec::new(), self.paths.clone());
        rest.reverse();
        let mut seen = 0_usize;
        while let Some(path) = rest.pop() {
            seen += 1;
            if seen > 2 * SOURCE_TARGETS_MAX {
                let reason = format!("there are more than {} nodes below the paths", 2 * SOURCE_TARGETS_MAX);
                return Err(SourceError::content(
                    format!("ZooKeeper at {}", self.servers.join(",")),
                    &reason,
                ));
            }
            let Some(data) = connection.data(&path).await? else { continue };
            if let Some(target) = (self.read)(&path, &data) {
                groups.push(TargetGroup {
                    source: path.clone(),
                    targets: vec![target],
                    labels: Labels::empty(),
                });
            }
            let children = connection.children(&path).await?;
            rest.extend(children.iter().map(|name| format!("{}/{name}", path.trim_end_matches('/'))));
        }
        Ok(groups)
    }
}

fn object(data: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(data).ok().filter(Value::is_object)
}

/// A member as Nerve writes it.
pub(crate) fn nerve(path: &str, data: &[u8]) -> Option<Labels> {
    let value = object(data)?;
    let member = Json::new(&value);
    let (host, port) = (member.text("host"), member.number("port").to_string());
    let mut meta = Meta::new("__meta_nerve_");
    meta.set("path", path)
        .set("endpoint_host", host)
        .set("endpoint_port", &port)
        .set("endpoint_name", member.text("name"));
    Some(meta.address(host_port(host, &port)).build())
}

/// A member as servers of Twitter's kind write it.
pub(crate) fn serverset(path: &str, data: &[u8]) -> Option<Labels> {
    let value = object(data)?;
    let member = Json::new(&value);
    let own = member.get("serviceEndpoint");
    let (host, port) = (own.text("host"), own.number("port").to_string());
    let mut meta = Meta::new("__meta_serverset_");
    meta.set("path", path)
        .set("endpoint_host", host)
        .set("endpoint_port", &port)
        .set("status", member.text("status"))
        .set("shard", member.number("shard").to_string());
    for (name, endpoint) in member.get("additionalEndpoints").entries() {
        meta.set_named("endpoint_host_", name, endpoint.text("host"));
        meta.set_named("endpoint_port_", name, endpoint.number("port").to_string());
    }
    Some(meta.address(host_port(host, &port)).build())
}
