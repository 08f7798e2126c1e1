//! `skopos tool check config`: whether files of configurations, and the files that they name, can be loaded.

use super::super::output::Out;
use crate::role::Failure;
use clap::ValueEnum;
use skopos_base::Env;
use skopos_client::{ClientOptions, HttpClient};
use skopos_config::Config;
use skopos_discovery::TargetGroup;
use skopos_model::DurationMs;
use skopos_scrape::{
    config::{GlobalConfig, ScrapeConfig},
    pool::{Pool, Refused},
};
use std::{path::PathBuf, sync::Arc};

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    /// Look at the files alone, and not at those that they name: certificates, secrets, lists of targets.
    #[arg(long)]
    syntax_only: bool,
    /// Which rules are held against the jobs.
    #[arg(long, value_name = "RULES", default_value = "duplicate-rules", value_delimiter = ',')]
    lint: Vec<Lint>,
    /// Exit code 3 when one of them does not hold.
    #[arg(long)]
    lint_fatal: bool,
    /// How far back a query looks for a sample: jobs that are scraped less often have gaps.
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m")]
    lookback_delta: DurationMs,
    /// promtool has it for rules; nothing changes.
    #[arg(long, hide = true)]
    ignore_unknown_fields: bool,
    /// promtool has it for its agent; nothing changes.
    #[arg(long, hide = true)]
    agent: bool,
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Lint {
    /// Each of them.
    All,
    /// Rules that stand twice: configurations name no files of rules yet.
    DuplicateRules,
    /// None of them.
    None,
    /// Jobs that are scraped less often than queries look back.
    TooLongScrapeInterval,
}

pub(super) fn run(flags: &Flags) -> Result<(), Failure> {
    let (env, mut out, mut findings) = (Env::real(), Out::new(), 0);
    for file in &flags.files {
        let config = Config::load(env.fs.as_ref(), file)?;
        let name = file.display();
        for job in config.jobs() {
            let wrong = |e| Failure::Data(format!("{name}: job {:?}: {e}", job.job_name));
            let (groups, missing) =
                if flags.syntax_only { Default::default() } else { named_files(job, &env).map_err(wrong)? };
            check_targets(job, &config.global, &groups).map_err(wrong)?;
            for pattern in missing {
                let job = &job.job_name;
                out.line(&format!("{name}: warning: job {job:?}: there is no file {pattern} yet"))?;
            }
        }
        if flags.lint.iter().any(|rule| matches!(rule, Lint::All | Lint::TooLongScrapeInterval)) {
            for job in config.jobs() {
                let interval = job.interval(&config.global);
                if interval >= flags.lookback_delta {
                    let (job, delta) = (&job.job_name, flags.lookback_delta);
                    findings += 1;
                    out.line(&format!(
                        "{name}: warning: job {job:?} is scraped every {interval}: queries look back {delta} \
                         alone and see gaps"
                    ))?;
                }
            }
        }
        let groups = config.jobs().flat_map(|job| &job.static_configs);
        let targets: usize = groups.map(|group| group.targets.len()).sum();
        let jobs = config.jobs().count();
        out.line(&format!("{name}: valid, {jobs} jobs, {targets} targets"))?;
    }
    out.finish()?;
    if findings > 0 && flags.lint_fatal {
        return Err(Failure::Findings(format!("{findings} rules do not hold")));
    }
    Ok(())
}

/// Whether the files of certificates, secrets and targets that a job names can be read: the groups of
/// targets, and those lists that are not there.
fn named_files(job: &ScrapeConfig, env: &Env) -> Result<(Vec<Arc<TargetGroup>>, Vec<String>), String> {
    HttpClient::new(&job.http, &ClientOptions::default(), &env.fs).map_err(|e| e.to_string())?;
    let (mut groups, mut missing) = (Vec::new(), Vec::new());
    for source in &job.discovery.file_sd_configs {
        let (of_files, not_there) = source.read_files().map_err(|e| e.to_string())?;
        groups.extend(of_files.into_iter().map(Arc::new));
        missing.extend(not_there);
    }
    Ok((groups, missing))
}

/// Whether all targets that are written in files could be scraped.
fn check_targets(
    job: &ScrapeConfig,
    global: &GlobalConfig,
    groups: &[Arc<TargetGroup>],
) -> Result<(), String> {
    match Pool::with(job, global, groups).refused.first() {
        Some(Refused { discovered, reason }) => Err(format!("the target {discovered} is refused: {reason}")),
        None => Ok(()),
    }
}
