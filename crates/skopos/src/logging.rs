//! The log: one event a line, in logfmt or JSON, to standard error.

use std::{
    fmt::{self, Write as _},
    str::FromStr,
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

const LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];
const FORMATS: [&str; 2] = ["logfmt", "json"];

/// Flags that every role has.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LogFlags {
    /// Only log messages of this severity and above.
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info", value_parser = LEVELS)]
    pub(crate) level: String,
    /// How log lines are written.
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt", value_parser = FORMATS)]
    pub(crate) format: String,
}

/// Sends all events of this process to standard error. Call once.
pub(crate) fn init(flags: &LogFlags) {
    let level = Level::from_str(&flags.level).unwrap_or(Level::INFO);
    // Libraries speak up from warnings on; what we say follows the flag.
    let libraries = if level == Level::ERROR { "error" } else { "warn" };
    let filter = EnvFilter::new(format!("{libraries},skopos={level}"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match flags.format.as_str() {
        "json" => lines.json().flatten_event(true).with_current_span(false).boxed(),
        _ => lines.event_format(Logfmt).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}

/// `ts=… level=… msg="…" key=value …`
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = jiff::Timestamp::now();
        let meta = event.metadata();
        let level = match *meta.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            _ => "debug",
        };
        write!(out, "ts={now:.3} level={level} component={}", component(meta.target()))?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        writeln!(out, "{}{}", fields.message, fields.rest)
    }
}

/// The crate that speaks, without our prefix.
fn component(target: &str) -> &str {
    let name = target.split("::").next().unwrap_or(target);
    name.strip_prefix("skopos_").unwrap_or(name)
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Fields {
    fn push(&mut self, field: &Field, text: &str) {
        let (key, out) = if field.name() == "message" {
            ("msg", &mut self.message)
        } else {
            (field.name(), &mut self.rest)
        };
        let plain = !text.is_empty()
            && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=');
        let written = if plain { write!(out, " {key}={text}") } else { write!(out, " {key}={text:?}") };
        written.expect("invariant: writing to a String cannot fail");
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, &format!("{value:?}"));
    }
}
