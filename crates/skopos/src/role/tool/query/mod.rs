//! `skopos tool query`: asks a server that has Prometheus' API. The commands, arguments and lines are those
//! of promtool.
//!
//! - `client`: one question and its answer. `show`: answers as lines or JSON. `analyze`: histograms' buckets.

mod analyze;
mod client;
mod show;

use self::client::{Client, Connection};
use crate::role::Failure;
use clap::{Subcommand, ValueEnum};
use skopos_base::Env;
use skopos_model::{DurationMs, TimestampMs};

/// Series and labels are asked for so far around now where no time is given.
const WIDE: DurationMs = DurationMs::from_secs(9999 * 3600);
/// A range has so many steps where no step is given.
const STEPS: f64 = 250.0;

#[derive(Debug, clap::Args)]
pub(super) struct Flags {
    #[command(subcommand)]
    what: Query,
    /// How answers are written.
    #[arg(short = 'o', long, global = true, value_enum, default_value_t = Format::Promql)]
    format: Format,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines, a sample each.
    Promql,
    /// The data of the answer.
    Json,
}

#[derive(Debug, Subcommand)]
enum Query {
    /// Evaluate a query at one time.
    #[command(after_help = "Example: skopos tool query instant http://localhost:9090 up")]
    Instant {
        /// When: RFC 3339, or seconds since 1970; now without it.
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        time: Option<String>,
        /// The server.
        server: String,
        /// The query.
        #[arg(allow_hyphen_values = true)]
        expr: String,
    },
    /// Evaluate a query at even steps.
    #[command(after_help = "Example: skopos tool query range --step=15s http://localhost:9090 'rate(a[5m])'")]
    Range {
        /// The first time; 5 minutes before the end without it.
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        start: Option<String>,
        /// The last time; now without it.
        #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
        end: Option<String>,
        /// From one time to the next; a 250th of the range without it, and at least a second.
        #[arg(long, value_name = "DURATION")]
        step: Option<DurationMs>,
        /// The server.
        server: String,
        /// The query.
        #[arg(allow_hyphen_values = true)]
        expr: String,
    },
    /// Series that fulfil any of some selectors.
    #[command(after_help = "Example: skopos tool query series --match=up http://localhost:9090")]
    Series {
        /// Which ones.
        #[arg(long = "match", value_name = "SELECTOR", required = true)]
        matches: Vec<String>,
        #[command(flatten)]
        span: WideSpan,
        /// The server.
        server: String,
    },
    /// Values of a label.
    #[command(after_help = "Example: skopos tool query labels http://localhost:9090 job")]
    Labels {
        /// Of these series alone.
        #[arg(long = "match", value_name = "SELECTOR")]
        matches: Vec<String>,
        #[command(flatten)]
        span: WideSpan,
        /// The server.
        server: String,
        /// The label's name.
        name: String,
    },
    /// How many buckets of histograms are in use.
    #[command(
        after_help = "Example: skopos tool query analyze --server=http://localhost:9090 --type=histogram \
                            --match=request_duration_seconds_bucket"
    )]
    Analyze(analyze::Flags),
}

#[derive(Debug, clap::Args)]
struct WideSpan {
    /// From when on.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    start: Option<String>,
    /// Until when.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    end: Option<String>,
}

impl WideSpan {
    fn params(&self, now: TimestampMs) -> Result<Vec<(&'static str, String)>, Failure> {
        let (min, max) = (now.minus(WIDE), TimestampMs::new(now.as_ms() + WIDE.as_ms()));
        let start = time(self.start.as_deref(), "start time")?.unwrap_or(min);
        let end = time(self.end.as_deref(), "end time")?.unwrap_or(max);
        Ok(vec![("start", seconds(start)), ("end", seconds(end))])
    }
}

pub(super) fn run(flags: &Flags) -> Result<(), Failure> {
    let env = Env::real();
    let now = TimestampMs::new(env.clock.wall_ms());
    let client = |server: &str| Client::new(server, &flags.connection, &env);
    match &flags.what {
        Query::Instant { time: at, server, expr } => {
            let at = time(at.as_deref(), "evaluation time")?.unwrap_or(now);
            let params = [("query", expr.clone()), ("time", seconds(at))];
            let data = client(server)?.post("query", &params)?;
            show::result(&data, flags.format)
        }
        Query::Range { start, end, step, server, expr } => {
            let end = time(end.as_deref(), "end time")?.unwrap_or(now);
            let start = time(start.as_deref(), "start time")?;
            let start = start.unwrap_or(end.minus(DurationMs::from_secs(300)));
            if start >= end {
                return Err(Failure::Flags("start time is not before end time".to_owned()));
            }
            let step = step.map_or_else(|| default_step(start, end), |step| step.as_secs_f64().to_string());
            let params =
                [("query", expr.clone()), ("start", seconds(start)), ("end", seconds(end)), ("step", step)];
            let data = client(server)?.post("query_range", &params)?;
            show::result(&data, flags.format)
        }
        Query::Series { matches, span, server } => {
            let mut params = span.params(now)?;
            params.extend(matches.iter().map(|m| ("match[]", m.clone())));
            let data = client(server)?.post("series", &params)?;
            show::series(&data, flags.format)
        }
        Query::Labels { matches, span, server, name } => {
            let mut params = span.params(now)?;
            params.extend(matches.iter().map(|m| ("match[]", m.clone())));
            let data = client(server)?.get(&["label", name, "values"], &params)?;
            show::values(&data, flags.format)
        }
        Query::Analyze(own) => analyze::run(own, |server| client(server), now),
    }
}

fn default_step(start: TimestampMs, end: TimestampMs) -> String {
    (end.since(start).as_secs_f64() / STEPS).floor().max(1.0).to_string()
}

/// A time of a flag, which the error calls `what`.
fn time(text: Option<&str>, what: &str) -> Result<Option<TimestampMs>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let ms = match text.parse::<f64>() {
        // Beyond this a float no longer counts every millisecond.
        Ok(seconds) => Some(seconds * 1000.0).filter(|ms| ms.abs() < 9e15).map(|ms| ms.round() as i64),
        Err(_) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond),
    };
    let wrong =
        || Failure::Flags(format!("error parsing {what}: cannot parse {text:?} to a valid timestamp"));
    ms.map(|ms| Some(TimestampMs::new(ms))).ok_or_else(wrong)
}

fn seconds(at: TimestampMs) -> String {
    at.as_secs_f64().to_string()
}
