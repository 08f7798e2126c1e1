//! The flags of what is pushed, and the intake that they make.

use super::{MOST_AT_A_TIME, listeners::ListenerFlags, memory::MemoryBudget};
use crate::role::Failure;
use skopos_api::{Push, PushOptions, Way};
use skopos_base::Env;
use skopos_intake::{Destination, GatewayOptions, Intake, Limits, Pushgateway, Version};
use skopos_model::{ByteSize, DurationMs};
use skopos_storage::Appendable;
use skopos_tsdb::Db;
use skopos_web::serve::listen;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::TcpListener;

/// The messages of remote write, as Prometheus calls them.
const MESSAGES: [(&str, Version); 2] =
    [("prometheus.WriteRequest", Version::One), ("io.prometheus.write.v2.Request", Version::Two)];
/// How Prometheus 2 enabled the receiver.
/// The file of the Pushgateway, beside the data.
const GATEWAY_FILE: &str = "pushgateway.json";
const OTLP_FEATURE: &str = "otlp-write-receiver";
const FEATURE: &str = "remote-write-receiver";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct PushFlags {
    /// Whether samples are taken by remote write at /api/v1/write.
    #[arg(long = "web.enable-remote-write-receiver")]
    remote_write: bool,
    /// Whether metrics of OpenTelemetry are taken at /api/v1/otlp/v1/metrics.
    #[arg(long = "web.enable-otlp-receiver")]
    otlp: bool,
    /// Address to take metrics of OpenTelemetry at, over gRPC; none without it.
    #[arg(long = "otlp.grpc-listen-address", value_name = "HOST:PORT")]
    grpc: Option<String>,
    /// The messages of remote write that are taken.
    #[arg(long = "web.remote-write-receiver.accepted-protobuf-messages", value_name = "NAME",
        value_delimiter = ',', value_parser = [MESSAGES[0].0, MESSAGES[1].0],
        default_values = [MESSAGES[0].0, MESSAGES[1].0])]
    messages: Vec<String>,
    /// Further ways to push that are open: influx, import (JSON lines, CSV, text) and pushgateway.
    #[arg(long = "push.enable", value_name = "NAME", value_delimiter = ',',
        value_parser = ["influx", "import", "pushgateway"])]
    ways: Vec<String>,
    /// How long a group of the Pushgateway stays without another push, where the push does not say it
    /// (`?ttl=10m`); 0s is for ever.
    #[arg(long = "pushgateway.ttl", value_name = "DURATION", default_value = "0s")]
    gateway_ttl: DurationMs,
    /// File that keeps the groups of the Pushgateway [default: pushgateway.json beside the data].
    #[arg(long = "pushgateway.persistence-file", value_name = "FILE")]
    gateway_file: Option<PathBuf>,
    /// Groups that the Pushgateway takes.
    #[arg(long = "pushgateway.max-groups", value_name = "N", default_value_t = 10_000)]
    gateway_groups: u32,
    /// Bytes that all groups of the Pushgateway may have, about.
    #[arg(long = "pushgateway.max-bytes", value_name = "SIZE|PERCENT", default_value = "64MiB")]
    gateway_bytes: MemoryBudget,
    #[command(flatten)]
    pub(super) listeners: ListenerFlags,
    /// Bytes that the body of a push may have, as it comes.
    #[arg(long = "push.max-request-bytes", value_name = "SIZE|PERCENT", default_value = "32MiB")]
    max_request_bytes: MemoryBudget,
    /// Bytes that it may have once it is unpacked; at most 2GiB.
    #[arg(long = "push.max-decoded-bytes", value_name = "SIZE|PERCENT", default_value = "128MiB")]
    max_decoded_bytes: MemoryBudget,
    /// Bytes that a body of lines (Influx, imports) may have once it is unpacked: it is stored as it comes,
    /// and not held as a whole.
    #[arg(long = "push.max-import-bytes", value_name = "SIZE", default_value = "16GB")]
    max_import_bytes: ByteSize,
    /// Bytes that a line of one may have.
    #[arg(long = "push.max-line-bytes", value_name = "SIZE|PERCENT", default_value = "16MiB")]
    max_line_bytes: MemoryBudget,
    /// Labels that a pushed series may have.
    #[arg(long = "push.max-labels", value_name = "N", default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_labels: u32,
    /// Memory that all pushes together may hold; beyond it they are told to come again later.
    #[arg(long = "push.total-memory", value_name = "SIZE|PERCENT", default_value = "20%")]
    total_memory: MemoryBudget,
    /// How long the body of a push may take to come, as a whole; of a body of lines, how long a MiB of it.
    #[arg(long = "push.body-timeout", value_name = "DURATION", default_value = "30s")]
    body_timeout: DurationMs,
    /// Pushes whose samples are stored at the same time; more wait.
    #[arg(long = "push.max-concurrency", value_name = "N", default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(1..=MOST_AT_A_TIME))]
    max_concurrency: u32,
}

impl PushFlags {
    /// Where metrics of OpenTelemetry come over gRPC.
    pub(super) async fn grpc_listeners(&self) -> Result<Vec<TcpListener>, Failure> {
        let Some(address) = &self.grpc else { return Ok(Vec::new()) };
        let listeners = listen(address).await.map_err(Failure::system("otlp.grpc-listen-address"))?;
        tracing::info!(address, "taking metrics of OpenTelemetry over gRPC");
        Ok(listeners)
    }

    /// The Pushgateway, where it is enabled, with the groups of its file.
    pub(super) fn gateway(&self, data: &Path, env: &Env) -> Result<Option<Arc<Pushgateway>>, Failure> {
        if !self.ways.iter().any(|way| way == Way::Pushgateway.as_str()) {
            return Ok(None);
        }
        let bytes = self.gateway_bytes.bytes(&*env.fs);
        let options = GatewayOptions {
            file: self.gateway_file.clone().unwrap_or_else(|| data.join(GATEWAY_FILE)),
            ttl: Some(self.gateway_ttl),
            max_groups: self.gateway_groups as usize,
            max_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        };
        let opened =
            Pushgateway::open(options, env).map_err(Failure::system("pushgateway.persistence-file"))?;
        Ok(Some(Arc::new(opened)))
    }

    /// What takes pushes into `db`.
    pub(super) fn push(
        &self,
        db: &Arc<Db>,
        env: &Env,
        (features, gateway): (&[String], Option<Arc<Pushgateway>>),
    ) -> Push {
        let bytes = |budget: MemoryBudget| usize::try_from(budget.bytes(&*env.fs)).unwrap_or(usize::MAX);
        let limits = Limits {
            request_bytes: bytes(self.max_request_bytes),
            decoded_bytes: bytes(self.max_decoded_bytes).min(Limits::MAX_DECODED_BYTES),
            import_bytes: self.max_import_bytes.bytes(),
            line_bytes: bytes(self.max_line_bytes),
            labels: self.max_labels as usize,
        };
        let durable = Arc::clone(db);
        let into = Destination {
            storage: Arc::clone(db) as Arc<dyn Appendable>,
            make_durable: Arc::new(move || durable.sync_logs()),
        };
        let intake = Intake::new(into, env, limits, bytes(self.total_memory));
        let enabled = self.remote_write || features.iter().any(|f| f == FEATURE);
        let named = |(name, _): &&(&str, Version)| self.messages.iter().any(|given| given == name);
        let options = PushOptions {
            remote_write: MESSAGES.iter().filter(named).filter(|_| enabled).map(|(_, v)| *v).collect(),
            ways: [Way::Influx, Way::Import, Way::Pushgateway]
                .into_iter()
                .filter(|way| self.ways.iter().any(|given| given == way.as_str()))
                .collect(),
            otlp: self.otlp || features.iter().any(|f| f == OTLP_FEATURE),
            gateway,
            body_timeout: self.body_timeout.as_std(),
            concurrency: self.max_concurrency as usize,
        };
        Push::new(Arc::new(intake), options)
    }
}
