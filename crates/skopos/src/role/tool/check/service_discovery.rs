//! `skopos tool check service-discovery`: the targets that a job finds now, and what its rules make of them.

use super::super::output::Out;
use crate::role::Failure;
use serde_json::{Map, Value, json};
use skopos_base::Env;
use skopos_config::Config;
use skopos_discovery::{Discovery, Env as DiscoveryEnv, TargetGroup};
use skopos_model::{DurationMs, Labels};
use skopos_scrape::{
    config::{GlobalConfig, ScrapeConfig},
    pool::{Described, describe},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};

/// How long sources are listened to once one has told something, as they tell it in parts.
const SETTLE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    /// How long sources have to tell their targets.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: DurationMs,
    /// The configuration file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The job.
    #[arg(value_name = "JOB")]
    job: String,
}

pub(super) fn run(flags: &Flags) -> Result<(), Failure> {
    let env = Env::real();
    let config = Config::load(env.fs.as_ref(), &flags.file)?;
    let job = config.jobs().find(|job| job.job_name == flags.job).ok_or_else(|| {
        let names: Vec<_> = config.jobs().map(|job| job.job_name.as_str()).collect();
        Failure::Flags(format!("there is no job {:?}; there are {}", flags.job, names.join(", ")))
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(Failure::system("cannot start threads"))?;
    let found = runtime.block_on(find(job, &env, flags.timeout.as_std()));
    runtime.shutdown_background();
    let mut out = Out::new();
    out.line(&format!("{:#}", shown(job, &config.global, &found)))?;
    out.finish()
}

/// What the sources of a job tell within a time.
async fn find(job: &ScrapeConfig, env: &Env, timeout: Duration) -> Vec<Arc<TargetGroup>> {
    if job.discovery.is_empty() {
        return Vec::new();
    }
    let until = Instant::now() + timeout;
    let env = DiscoveryEnv::new(Arc::clone(&env.fs));
    let changed = Arc::clone(&env.changed);
    let discovery = Discovery::start(&job.job_name, &job.discovery, &env);
    if timeout_at(until, changed.notified()).await.is_ok() {
        while timeout_at(until.min(Instant::now() + SETTLE), changed.notified()).await.is_ok() {
            // What comes in swarms is looked at once.
            sleep(Duration::from_millis(10)).await;
        }
    }
    discovery.groups()
}

/// As promtool shows it.
fn shown(job: &ScrapeConfig, global: &GlobalConfig, found: &[Arc<TargetGroup>]) -> Value {
    let mut all: Vec<Value> = Vec::new();
    for Described { discovered, outcome } in describe(job, global, found) {
        let mut one = json!({"discoveredLabels": labels(&discovered), "labels": {}});
        match outcome {
            Ok(own) => one["labels"] = own.as_ref().map_or_else(|| json!({}), labels),
            Err(reason) => one["error"] = json!(reason.to_string()),
        }
        if !all.contains(&one) {
            all.push(one);
        }
    }
    Value::Array(all)
}

fn labels(of: &Labels) -> Value {
    let pairs = of.iter().map(|(name, value)| (name.to_owned(), Value::String(value.to_owned())));
    Value::Object(pairs.collect::<Map<_, _>>())
}
