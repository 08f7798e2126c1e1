//! `skopos agent --remote-write.url`: flags to options, and the rhythm in which this machine is read for
//! other servers. Sends nothing itself: `skopos_remote` does.

use super::Page;
use crate::role::Failure;
use skopos_agent::{Host as _, Scrape, Selection, ThisHost};
use skopos_base::{Env, secret::Secret};
use skopos_client::{
    HttpConfig,
    config::{Authorization, BasicAuth, HeaderConfig, TlsConfig},
};
use skopos_exposition::Format;
use skopos_model::{ByteSize, DurationMs, TimestampMs};
use skopos_remote::{EndpointOptions, Message, Options, RemoteWrite, TargetLabels};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::time::MissedTickBehavior;

/// The label `job`, unless a flag says it: as dashboards of node_exporter have it.
const JOB: &str = "node";
/// A smaller queue would hold less than an hour.
const LEAST_BYTES: ByteSize = ByteSize::from_bytes(1 << 20);
/// The part of an interval that collectors have.
const PART_OF_INTERVAL: f64 = 0.9;
/// What is sent beside the page, as servers add it to what they scrape.
const DURATION: &str = "scrape_duration_seconds";
const UP: &str = "up";

/// The flags of pushing.
#[derive(Debug, clap::Args)]
pub(super) struct PushFlags {
    /// Also send this machine's metrics to this server, by remote write; can be given more than once
    #[arg(long = "remote-write.url", value_name = "URL")]
    urls: Vec<String>,
    /// How often metrics are collected to be sent
    #[arg(long = "remote-write.interval", value_name = "DURATION", default_value = "15s")]
    interval: DurationMs,
    /// A label of every sample that is sent; can be given more than once [default: job=node, instance=HOST]
    #[arg(long = "remote-write.label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// A header that is sent too; can be given more than once
    #[arg(long = "remote-write.header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// The message that servers get: of remote write 1.0 or 2.0
    #[arg(long = "remote-write.protobuf-message", value_name = "NAME",
        default_value = Message::One.as_str(), value_parser = [Message::One.as_str(), Message::Two.as_str()])]
    message: String,
    /// How long a server's answer may take
    #[arg(long = "remote-write.timeout", value_name = "DURATION", default_value = "30s")]
    timeout: DurationMs,
    /// How many samples a request has at most
    #[arg(long = "remote-write.max-samples-per-send", value_name = "N", default_value = "2000",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_samples: u32,
    /// How often servers are told of metrics' types and help; 0s for never
    #[arg(long = "remote-write.metadata-interval", value_name = "DURATION", default_value = "1m")]
    metadata_interval: DurationMs,
    #[command(flatten)]
    who: WhoFlags,
    #[command(flatten)]
    storage: StorageFlags,
}

/// Who we say to be, and how the connection is secured.
#[derive(Debug, clap::Args)]
struct WhoFlags {
    /// The user's name
    #[arg(
        long = "remote-write.basic-auth.username",
        value_name = "NAME",
        requires = "password_file",
        conflicts_with = "bearer_file"
    )]
    username: Option<String>,
    /// The file of the user's password
    #[arg(long = "remote-write.basic-auth.password-file", value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// The file of a bearer token
    #[arg(long = "remote-write.bearer-token-file", value_name = "FILE")]
    bearer_file: Option<PathBuf>,
    /// The certificates that vouch for the servers (PEM) [default: those of the system]
    #[arg(long = "remote-write.tls.ca-file", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Our certificate (PEM)
    #[arg(long = "remote-write.tls.cert-file", value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// The key of our certificate (PEM)
    #[arg(long = "remote-write.tls.key-file", value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// The name that the servers' certificate must have
    #[arg(long = "remote-write.tls.server-name", value_name = "NAME")]
    server_name: Option<String>,
    /// Believe any certificate
    #[arg(long = "remote-write.tls.insecure-skip-verify")]
    insecure: bool,
}

/// Where samples wait.
#[derive(Debug, clap::Args)]
struct StorageFlags {
    /// Where samples wait to be sent
    #[arg(long = "storage.agent.path", value_name = "DIR", default_value = "data-agent")]
    path: PathBuf,
    /// How much of the disk they may take; the oldest go first
    #[arg(long = "storage.agent.max-size", value_name = "SIZE", default_value = "1GB")]
    max_size: ByteSize,
    /// How much waits in memory while the disk takes nothing; the oldest go first
    #[arg(long = "storage.agent.max-memory", value_name = "SIZE", default_value = "16MiB")]
    max_memory: ByteSize,
    /// How long samples stay at least, also when they were sent
    #[arg(long = "storage.agent.retention.min-time", value_name = "DURATION", default_value = "0s")]
    min_time: DurationMs,
    /// How long samples wait at most
    #[arg(long = "storage.agent.retention.max-time", value_name = "DURATION", default_value = "7d")]
    max_time: DurationMs,
    /// How long the end of the process waits for samples to be sent
    #[arg(long = "storage.remote.flush-deadline", value_name = "DURATION", default_value = "10s")]
    flush_deadline: DurationMs,
}

/// What the flags come to.
pub(super) struct Plan {
    options: Options,
    interval: Duration,
    pub(super) flush_deadline: Duration,
}

impl PushFlags {
    /// What is to be sent where; nothing when no server was named.
    pub(super) fn plan(&self) -> Result<Option<Plan>, Failure> {
        if self.urls.is_empty() {
            return Ok(None);
        }
        let positive = |name: &str, duration: DurationMs| match duration > DurationMs::ZERO {
            true => Ok(duration.as_std()),
            false => Err(Failure::Flags(format!("--{name}: must be more than 0"))),
        };
        let interval = positive("remote-write.interval", self.interval)?;
        let endpoint = EndpointOptions {
            timeout: positive("remote-write.timeout", self.timeout)?,
            http: HttpConfig { http_headers: self.headers()?, ..self.who.http() },
            retries_too_many: true,
            round_robin_dns: false,
        };
        let options = Options {
            urls: self.urls.clone(),
            endpoint,
            labels: self.labels()?,
            message: self.message(),
            max_samples: self.max_samples as usize,
            metadata_interval: Some(self.metadata_interval.as_std()).filter(|interval| !interval.is_zero()),
            dir: self.storage.path.clone(),
            spool: self.storage.spool()?,
        };
        let flush_deadline = self.storage.flush_deadline.as_std();
        Ok(Some(Plan { options, interval, flush_deadline }))
    }

    fn message(&self) -> Message {
        if self.message == Message::Two.as_str() { Message::Two } else { Message::One }
    }

    fn labels(&self) -> Result<TargetLabels, Failure> {
        let mut labels = TargetLabels::default();
        let named = ThisHost.uname().nodename;
        let host = if named.is_empty() { "localhost" } else { &named };
        let own = [format!("job={JOB}"), format!("instance={host}")];
        for text in own.iter().chain(&self.labels) {
            labels.set(text).map_err(|e| Failure::Flags(format!("--remote-write.label: {e}")))?;
        }
        Ok(labels)
    }

    fn headers(&self) -> Result<BTreeMap<String, HeaderConfig>, Failure> {
        let mut all = BTreeMap::<String, HeaderConfig>::new();
        for text in &self.headers {
            // What stands there may be secret: it is not shown.
            let wrong = || Failure::Flags("--remote-write.header: write NAME=VALUE".to_owned());
            let (name, value) = text.split_once('=').ok_or_else(wrong)?;
            let header = all.entry(name.trim().to_owned()).or_default();
            header.secrets.push(Secret::new(value.trim().to_owned()));
        }
        Ok(all)
    }
}

impl WhoFlags {
    fn http(&self) -> HttpConfig {
        let basic_auth = self.username.as_ref().map(|username| BasicAuth {
            username: username.clone(),
            password_file: self.password_file.clone(),
            ..BasicAuth::default()
        });
        let token = self.bearer_file.clone();
        let authorization = token.map(|file| Authorization::bearer(Secret::default(), Some(file)));
        let tls_config = TlsConfig {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            server_name: self.server_name.clone().unwrap_or_default(),
            insecure_skip_verify: self.insecure,
            ..TlsConfig::default()
        };
        HttpConfig { basic_auth, authorization, tls_config, ..HttpConfig::default() }
    }
}

impl StorageFlags {
    fn spool(&self) -> Result<skopos_spool::Options, Failure> {
        if self.max_size < LEAST_BYTES {
            return Err(Failure::Flags(format!("--storage.agent.max-size: must be at least {LEAST_BYTES}")));
        }
        let (min_age, max_age) = (self.min_time.as_std(), self.max_time.as_std());
        if max_age < min_age || max_age.is_zero() {
            let text =
                "--storage.agent.retention.max-time: must be more than 0 and not less than the min-time";
            return Err(Failure::Flags(text.to_owned()));
        }
        Ok(skopos_spool::Options {
            min_age,
            max_age,
            max_unwritten_bytes: self.max_memory.bytes(),
            ..skopos_spool::Options::of_bytes(self.max_size.bytes())
        })
    }
}

/// The queue with its senders, which run on the runtime that this is called in, and the interval.
pub(super) fn start(
    plan: Plan,
    env: &Env,
) -> Result<(RemoteWrite, tokio::task::JoinSet<()>, Duration), Failure> {
    let dir = plan.options.dir.clone();
    let urls = plan.options.urls.len();
    let (remote, tasks) = RemoteWrite::start(env, plan.options)
        .map_err(|e| Failure::Flags(format!("--remote-write.url: {e}")))?;
    tracing::info!(urls, dir = %dir.display(), interval = ?plan.interval, "sending metrics");
    Ok((remote, tasks, plan.interval))
}

/// Reads this machine in every interval, until `stop`.
pub(super) async fn collect(page: Arc<Page>, interval: Duration, env: Env, stop: impl Future<Output = ()>) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return,
            _ = ticks.tick() => {}
        }
        let (page, clock) = (Arc::clone(&page), Arc::clone(&env.clock));
        let timeout = Some(interval.mul_f64(PART_OF_INTERVAL));
        let read = tokio::task::spawn_blocking(move || {
            let Some(remote) = &page.remote else { return };
            let (format, selection) = (Format::Text, Selection::default());
            let scrape = Scrape { format, selection, timeout, reserved: &[DURATION, UP] };
            let (at, began) = (TimestampMs::new(clock.wall_ms()), clock.monotonic());
            let mut body = Vec::new();
            page.write(&scrape, &mut body);
            let took = clock.monotonic().saturating_sub(began).as_secs_f64();
            remote.push(&body, at, &[(DURATION, took), (UP, 1.0)]);
        });
        if read.await.is_err() {
            tracing::error!("the collectors failed: this interval has no samples");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        push: PushFlags,
    }

    fn plan(flags: &[&str]) -> Result<Option<Plan>, String> {
        let flags = ["agent"].iter().chain(flags);
        let cli = Cli::try_parse_from(flags).map_err(|e| e.to_string())?;
        cli.push.plan().map_err(|e| e.to_string())
    }

    #[test]
    fn without_a_server_nothing_is_sent() {
        assert!(plan(&["--remote-write.label=a=b"]).unwrap().is_none());
    }

    #[test]
    fn flags_become_options() {
        let flags = [
            "--remote-write.url=http://a/",
            "--remote-write.url=http://b/",
            "--remote-write.interval=1m",
            "--remote-write.label=job=vm",
            "--remote-write.label=site=s",
            "--remote-write.header=X-Scope=t=1",
            "--remote-write.bearer-token-file=/token",
            "--remote-write.tls.ca-file=/ca",
            "--remote-write.tls.cert-file=/cert",
            "--remote-write.tls.key-file=/key",
            "--remote-write.metadata-interval=5m",
            "--remote-write.protobuf-message=io.prometheus.write.v2.Request",
            "--storage.agent.max-size=64MB",
            "--storage.agent.max-memory=2MiB",
            "--storage.agent.retention.max-time=1d",
        ];
        let Plan { options, interval, flush_deadline } = plan(&flags).unwrap().unwrap();
        assert_eq!((options.urls.len(), options.max_samples, options.message), (2, 2000, Message::Two));
        assert_eq!((interval, flush_deadline), (Duration::from_secs(60), Duration::from_secs(10)));
        assert_eq!((options.labels.get("job"), options.labels.get("site")), (Some("vm"), Some("s")));
        assert!(options.labels.get("instance").is_some());
        assert_eq!(options.metadata_interval, Some(Duration::from_secs(300)));
        let HttpConfig { http_headers, authorization, tls_config, .. } = options.endpoint.http.clone();
        let secret = HeaderConfig::secret(Secret::new("t=1".to_owned()));
        assert_eq!(http_headers, BTreeMap::from([("X-Scope".to_owned(), secret)]));
        assert_eq!(authorization.unwrap().credentials_file, Some("/token".into()));
        let files = [tls_config.ca_file, tls_config.cert_file, tls_config.key_file];
        assert_eq!(files, ["/ca", "/cert", "/key"].map(|file| Some(file.into())));
        assert_eq!((options.spool.max_bytes, options.spool.segment_bytes), (64 << 20, 8 << 20));
        assert_eq!(options.spool.max_unwritten_bytes, 2 << 20);
        assert_eq!(options.spool.max_age, Duration::from_secs(86_400));
    }

    #[test]
    fn flags_that_do_not_fit_are_refused_and_named() {
        for (flag, named) in [
            ("--remote-write.interval=0s", "remote-write.interval"),
            ("--remote-write.timeout=soon", "remote-write.timeout"),
            ("--remote-write.label=job", "remote-write.label"),
            ("--remote-write.header=hush", "remote-write.header"),
            ("--remote-write.max-samples-per-send=0", "max-samples-per-send"),
            ("--remote-write.basic-auth.username=me", "password-file"),
            ("--remote-write.tls.cert-file=/c", "key-file"),
            ("--storage.agent.max-size=1KB", "max-size"),
            ("--storage.agent.retention.max-time=0s", "max-time"),
            ("--storage.agent.retention.min-time=8d", "max-time"),
        ] {
            let Err(error) = plan(&["--remote-write.url=http://a/", flag]) else { panic!("{flag}") };
            assert!(error.contains(named) && !error.contains("hush"), "{flag}: {error}");
        }
    }
}
