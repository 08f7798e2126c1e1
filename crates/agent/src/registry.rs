//! All enabled collectors, and the page that they write together. It decides what a failure means:
//! a 0 in the collector's success metric, a line in the log, and no word of that collector in the
//! page. One collector never disturbs another.

use crate::{
    collector::{Collector, Context},
    collectors,
    error::CollectError,
    host::Host,
    options::NodeOptions,
    output::Output,
    source::Paths,
};
use parking_lot::Mutex;
use skopos_base::{clock::Clock, spawn::Spawner};
use skopos_exposition::Format;
use skopos_model::MetricType;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

/// The world that an agent lives in.
#[derive(Clone, Debug)]
pub struct AgentEnv {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Threads.
    pub spawner: Arc<dyn Spawner>,
    /// The system.
    pub host: Arc<dyn Host>,
}

/// What was built, as the build metrics say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// The program's version.
    pub version: String,
    /// The revision of the source, or nothing.
    pub revision: String,
}

impl Default for BuildInfo {
    fn default() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").into(), revision: String::new() }
    }
}

/// The node agent.
#[derive(Debug)]
pub struct NodeAgent {
    slots: Vec<Slot>,
    paths: Paths,
    build: BuildInfo,
    env: AgentEnv,
}

#[derive(Debug)]
struct Slot {
    name: &'static str,
    running: Mutex<Running>,
}

/// A collector and the buffer that its part of the page grows in.
#[derive(Debug)]
struct Running {
    collector: Box<dyn Collector>,
    part: Vec<u8>,
}

/// What became of a collector's run.
#[derive(Debug)]
struct Outcome {
    name: &'static str,
    took: Duration,
    success: bool,
}

impl NodeAgent {
    /// An agent of these options.
    pub fn new(options: NodeOptions, build: BuildInfo, env: AgentEnv) -> Self {
        let built = collectors::build(&options, &env);
        let slot =
            |(name, collector)| Slot { name, running: Mutex::new(Running { collector, part: Vec::new() }) };
        Self { slots: built.into_iter().map(slot).collect(), paths: options.paths, build, env }
    }

    /// The names of the enabled collectors, in the order in which they write.
    pub fn enabled(&self) -> impl Iterator<Item = &'static str> {
        self.slots.iter().map(|slot| slot.name)
    }

    /// Appends the page of one scrape to `out`.
    pub fn gather(&self, format: Format, out: &mut Vec<u8>) {
        let mut outcomes = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let mut running = slot.running.lock();
            let outcome = self.run(slot.name, &mut running, format);
            if outcome.success {
                out.extend_from_slice(&running.part);
            }
            outcomes.push(outcome);
        }
        let mut page = Output::new(format, out);
        write_outcomes(&outcomes, &mut page);
        self.write_build(&mut page);
        page.end_page().expect("invariant: the agent's own families have names and stand once");
    }

    fn run(&self, name: &'static str, running: &mut Running, format: Format) -> Outcome {
        let begin = self.env.clock.monotonic();
        let Running { collector, part } = running;
        part.clear();
        let mut context = Context {
            paths: &self.paths,
            host: &*self.env.host,
            clock: &*self.env.clock,
            out: Output::new(format, part),
        };
        let result = catch_unwind(AssertUnwindSafe(|| collector.collect(&mut context)))
            .unwrap_or_else(|panic| Err(CollectError::Panicked(panic_text(&*panic))))
            .and_then(|()| Ok(context.out.end_part()?));
        let took = self.env.clock.monotonic().saturating_sub(begin);
        match &result {
            Ok(()) => {}
            Err(error) if error.is_no_data() => {
                tracing::debug!(collector = name, %error, "collector has no data");
            }
            Err(error) => tracing::error!(collector = name, %error, "collector failed"),
        }
        Outcome { name, took, success: result.is_ok() }
    }

    /// The build under the name that dashboards know, with the labels that they know, and under ours.
    fn write_build(&self, out: &mut Output<'_>) {
        let BuildInfo { version, revision } = &self.build;
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let os = std::env::consts::OS;
        out.family(
            "node_exporter_build_info",
            MetricType::Gauge,
            "What this agent was built from; always 1.",
        )
        .sample(
            &[
                ("branch", ""),
                ("goarch", arch),
                ("goos", os),
                ("goversion", ""),
                ("revision", revision),
                ("tags", ""),
                ("version", version),
            ],
            1.0,
        );
        out.family("skopos_agent_build_info", MetricType::Gauge, "What this agent was built from; always 1.")
            .sample(&[("arch", arch), ("os", os), ("revision", revision), ("version", version)], 1.0);
    }
}

fn write_outcomes(outcomes: &[Outcome], out: &mut Output<'_>) {
    let help = "How long each collector took in this scrape.";
    let mut family = out.family("node_scrape_collector_duration_seconds", MetricType::Gauge, help);
    for outcome in outcomes {
        family.sample(&[("collector", outcome.name)], outcome.took.as_secs_f64());
    }
    let help = "Whether each collector could read all that it reads: 1 if so, else 0.";
    let mut family = out.family("node_scrape_collector_success", MetricType::Gauge, help);
    for outcome in outcomes {
        family.sample(&[("collector", outcome.name)], f64::from(u8::from(outcome.success)));
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}
