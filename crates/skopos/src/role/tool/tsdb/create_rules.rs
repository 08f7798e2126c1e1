//! `create-blocks-from rules`: what recording rules would have recorded, as blocks.

use super::super::output::Progress;
use super::{
    create_open_metrics::{Shown, show},
    damage, expect_data, failed,
};
use crate::role::Failure;
use skopos_base::Env;
use skopos_client::HttpConfig;
use skopos_config::{load_http_client, load_rules};
use skopos_model::{DurationMs, TimestampMs};
use skopos_promql::{Engine, EngineOptions};
use skopos_rules::{
    LocalSource,
    backfill::{recorded, spans},
    file::{RecordingRule, Rule},
    remote::RemoteSource,
    schedule::Schedule,
    source::{AnswerValue, RangeSource},
};
use skopos_tsdb::tool::{
    backfill::{Backfill, BackfillOptions},
    view::DirView,
};
use std::path::PathBuf;

/// Without `--end`, the last hours are left to a server, which evaluates its rules itself.
const LEFT_TO_SERVER: DurationMs = DurationMs::from_secs(3 * 3600);

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    #[command(flatten)]
    shown: Shown,
    /// The server whose data the rules are evaluated over; any that has Prometheus' API.
    #[arg(long, value_name = "URL", default_value = "http://localhost:9090")]
    url: String,
    /// A data directory to evaluate over, in the place of a server. It may be that of a running server.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "http_config_file"])]
    db: Option<PathBuf>,
    /// How to speak to the server, as YAML: `basic_auth`, `authorization` or `bearer_token`.
    #[arg(long = "http.config.file", id = "http_config_file", value_name = "FILE")]
    http_config_file: Option<PathBuf>,
    /// From when on: RFC 3339, or seconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    start: TimestampMs,
    /// Until when; 3 hours ago without it.
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    end: Option<TimestampMs>,
    /// Where the blocks are made.
    #[arg(long, value_name = "DIR", default_value = "data/")]
    output_dir: PathBuf,
    /// How often rules are evaluated whose group does not say.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = interval)]
    eval_interval: DurationMs,
    /// Files of rules. Alerting rules in them are not evaluated.
    #[arg(required = true, value_name = "RULE_FILE")]
    files: Vec<PathBuf>,
}

/// A rule, and when it is due.
struct Due {
    schedule: Schedule,
    group: String,
    rule: RecordingRule,
}

pub(super) fn run(flags: &Flags) -> Result<(), Failure> {
    let env = Env::real();
    let now = TimestampMs::new(env.clock.wall_ms());
    let end = flags.end.unwrap_or(now.minus(LEFT_TO_SERVER));
    if flags.start >= end {
        return Err(Failure::Flags(format!(
            "--start ({}) is not before --end ({}{})",
            shown(flags.start),
            shown(end),
            if flags.end.is_none() { ", 3 hours ago" } else { "" }
        )));
    }
    let rules = rules(flags, &env)?;
    match &flags.db {
        Some(dir) => {
            expect_data(&env, dir)?;
            let view = DirView::open(dir, &env).map_err(failed)?;
            let engine = Engine::new(EngineOptions::default(), env.clock.clone());
            let made = fill(&mut LocalSource::new(engine, &view), &rules, (flags.start, end), flags, &env)?;
            show(&env, &flags.output_dir, &made, &flags.shown)?;
            damage::say(&env, dir, &view)
        }
        None => {
            let http = match &flags.http_config_file {
                Some(file) => load_http_client(&*env.fs, file)?,
                None => HttpConfig::default(),
            };
            let mut source = RemoteSource::new(&flags.url, &http, &env.fs).map_err(failed)?;
            let made = fill(&mut source, &rules, (flags.start, end), flags, &env)?;
            show(&env, &flags.output_dir, &made, &flags.shown)
        }
    }
}

/// The recording rules of all files.
fn rules(flags: &Flags, env: &Env) -> Result<Vec<Due>, Failure> {
    let mut all = Vec::new();
    for file in &flags.files {
        for group in load_rules(&*env.fs, file)? {
            let interval = group.interval.unwrap_or(flags.eval_interval);
            let schedule = Schedule::new(&file.to_string_lossy(), &group.name, interval);
            all.extend(group.rules.into_iter().filter_map(|rule| match rule {
                Rule::Recording(rule) => Some(Due { schedule, group: group.name.clone(), rule }),
                Rule::Alerting { .. } => None,
            }));
        }
    }
    if all.is_empty() {
        return Err(Failure::Data("there is no recording rule in these files".to_owned()));
    }
    Ok(all)
}

/// Asks for every rule, span by span, and makes blocks of what comes.
fn fill(
    source: &mut dyn RangeSource,
    rules: &[Due],
    (start, end): (TimestampMs, TimestampMs),
    flags: &Flags,
    env: &Env,
) -> Result<Vec<skopos_tsdb::block::BlockMeta>, Failure> {
    let mut backfill = Backfill::new(env, &flags.output_dir, BackfillOptions::default()).map_err(failed)?;
    let mut progress = Progress::new(&env.clock);
    for (nth, due) in rules.iter().enumerate() {
        let name = &due.rule.name;
        for span in spans(due.schedule, start, end) {
            progress.say(|| {
                let (nth, all, group, at) = (nth + 1, rules.len(), &due.group, shown(span.start));
                format!("rule {nth} of {all}, {name} of group {group}, at {at}")
            });
            let answer = source
                .range(&due.rule.expr, span)
                .map_err(|e| Failure::Data(format!("rule {name:?} of group {:?}: {e}", due.group)))?;
            answer.warnings.iter().for_each(|w| progress.warn(&format!("rule {name:?}: {w}")));
            for series in recorded(&due.rule, answer.series).map_err(failed)? {
                let held = backfill.series(&series.labels);
                for (at, value) in series.samples {
                    let added = match value {
                        AnswerValue::Float(value) => backfill.add(held, at, value),
                        AnswerValue::Histogram(histogram) => backfill.add_histogram(held, at, *histogram),
                    };
                    added.map_err(failed)?;
                }
            }
        }
    }
    backfill.finish().map_err(failed)
}

fn shown(at: TimestampMs) -> String {
    jiff::Timestamp::from_millisecond(at.as_ms()).map_or_else(|_| at.as_ms().to_string(), |t| t.to_string())
}

/// Seconds since 1970, or RFC 3339.
fn time(text: &str) -> Result<TimestampMs, String> {
    let seconds = text.parse::<f64>().ok().map(|s| s * 1000.0);
    let ms = match seconds {
        // Beyond this a float no longer counts every millisecond.
        Some(ms) => (ms.is_finite() && ms.abs() < 9e15).then_some(ms.round() as i64),
        None => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
    };
    ms.map(TimestampMs::new).ok_or("write seconds since 1970 or 2026-01-31T12:00:00Z".to_owned())
}

fn interval(text: &str) -> Result<DurationMs, String> {
    let interval = DurationMs::parse(text).map_err(|e| e.to_string())?;
    if interval > DurationMs::ZERO { Ok(interval) } else { Err("must be longer than zero".to_owned()) }
}
