//! `dump` and `dump-openmetrics`: all samples as lines.

use super::super::{output::Out, reading};
use super::{damage, expect_data, failed};
use crate::role::Failure;
use skopos_base::Env;
use skopos_chunk::SampleIter;
use skopos_model::{Matcher, TimestampMs};
use skopos_promql::parse_matchers;
use skopos_storage::TimeRange;
use skopos_tsdb::tool::{
    text::{dump_labels, open_metrics_labels, write_dump_line, write_open_metrics_line},
    view::DirView,
};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    /// The earliest time to print, in milliseconds since the Unix epoch.
    #[arg(long, value_name = "MS", allow_hyphen_values = true)]
    min_time: Option<i64>,
    /// The latest time to print, in milliseconds since the Unix epoch.
    #[arg(long, value_name = "MS", allow_hyphen_values = true)]
    max_time: Option<i64>,
    /// Which series to print, all without it; may be given several times.
    #[arg(long = "match", value_name = "SELECTOR")]
    matches: Vec<String>,
    /// Taken as promtool's and not needed: nothing is written.
    #[arg(long, hide = true)]
    sandbox_dir_root: Option<PathBuf>,
    /// The data directory.
    #[arg(value_name = "DIR", default_value = "data/")]
    dir: PathBuf,
}

/// How a sample is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Lines,
    OpenMetrics,
}

pub(super) fn run(flags: &Flags, form: Form) -> Result<(), Failure> {
    let env = reading::said(Env::real(), "dump", &flags.dir);
    let sets = if flags.matches.is_empty() { vec![Vec::new()] } else { selectors(&flags.matches)? };
    let range = TimeRange {
        min: flags.min_time.map_or(TimestampMs::MIN, TimestampMs::new),
        max: flags.max_time.map_or(TimestampMs::MAX, TimestampMs::new),
    };
    expect_data(&env, &flags.dir)?;
    let view = DirView::open(&flags.dir, &env).map_err(failed)?;
    let mut series = view.samples(&sets, range).map_err(failed)?;
    let (mut out, mut lines) = (Out::new(), Vec::new());
    while let Some(next) = series.next_series().map_err(failed)? {
        let labels = match form {
            Form::Lines => dump_labels(&next.labels),
            Form::OpenMetrics => open_metrics_labels(&next.labels),
        };
        for chunk in &next.chunks {
            lines.clear();
            for sample in SampleIter::new(chunk.encoding, &chunk.bytes) {
                let (at, value) =
                    sample.map_err(|e| Failure::Data(format!("a chunk of {labels} is damaged: {e}")))?;
                if at < range.min || at > range.max {
                    continue;
                }
                match form {
                    Form::Lines => write_dump_line(&mut lines, &labels, at.as_ms(), &value),
                    Form::OpenMetrics => write_open_metrics_line(&mut lines, &labels, at.as_ms(), &value),
                }
            }
            out.bytes(&lines)?;
        }
    }
    if form == Form::OpenMetrics {
        out.line("# EOF")?;
    }
    out.finish()?;
    damage::say(&env, &flags.dir, &view)
}

/// What promtool takes for all series, though it is no selector of PromQL.
const ALL: &str = "{__name__=~'(?s:.*)'}";

/// The matchers of each selector.
pub(super) fn selectors(texts: &[String]) -> Result<Vec<Vec<Matcher>>, Failure> {
    let parse = |text: &String| match parse_matchers(text) {
        _ if text == ALL => Ok(Vec::new()),
        parsed => parsed.map_err(|e| Failure::Flags(format!("--match={text}: {e}"))),
    };
    texts.iter().map(parse).collect()
}
