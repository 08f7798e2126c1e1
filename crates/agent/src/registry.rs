//! All enabled collectors, and the page that they write together. It decides what a failure means:
//! a 0 in the collector's success metric, and no word of that collector in the page. How collectors run
//! is decided in `pool`.

use crate::{
    collectors,
    error::SelectionError,
    flags::is_known,
    foreign,
    host::Host,
    options::NodeOptions,
    output::Output,
    pool::{Done, Pool, World},
};
use parking_lot::Mutex;
use skopos_base::{clock::Clock, spawn::Spawner};
use skopos_exposition::Format;
use skopos_model::MetricType;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// No more names that were left out are remembered, so that the log says each once.
const MAX_TOLD: usize = 1000;

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
    names: Vec<&'static str>,
    /// The numbers of all collectors.
    all: Vec<usize>,
    pool: Pool,
    deadline: Duration,
    build: BuildInfo,
    /// Families of files of metrics that were left out, for the agent has them itself.
    left_out: Mutex<BTreeSet<String>>,
}

/// Which collectors a scrape asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection(Option<Vec<usize>>);

/// What a scrape asks for.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// How the page is written.
    pub format: Format,
    /// Which collectors run.
    pub selection: Selection,
    /// How long the caller waits at most, if that is less than the agent's own deadline.
    pub timeout: Option<Duration>,
    /// Families that the caller adds itself: files of metrics may not have them.
    pub reserved: &'static [&'static str],
}

impl NodeAgent {
    /// An agent of these options.
    pub fn new(options: NodeOptions, build: BuildInfo, env: AgentEnv) -> Self {
        let built = collectors::build(&options, &env);
        let names: Vec<_> = built.iter().map(|(name, _)| *name).collect();
        let AgentEnv { clock, spawner, host } = env;
        let world = World { paths: options.paths, host, clock };
        let all = (0..names.len()).collect();
        let pool = Pool::new(built, world, spawner);
        let left_out = Mutex::default();
        Self { names, all, pool, deadline: options.deadline, build, left_out }
    }

    /// The names of the enabled collectors, in the order in which they write.
    pub fn enabled(&self) -> impl ExactSizeIterator<Item = &'static str> {
        self.names.iter().copied()
    }

    /// The collectors that the parameters `collect[]` and `exclude[]` of a request name.
    ///
    /// # Errors
    /// Both were given, or a collector is to be run that is unknown or not enabled.
    pub fn select(&self, collect: &[String], exclude: &[String]) -> Result<Selection, SelectionError> {
        match (collect, exclude) {
            ([], []) => Ok(Selection(None)),
            ([], _) => {
                let kept = self.all.iter().filter(|at| !exclude.iter().any(|name| name == self.names[**at]));
                Ok(Selection(Some(kept.copied().collect())))
            }
            (_, []) => {
                let find = |name: &String| {
                    let missing = || match is_known(name) {
                        true => SelectionError::Disabled(name.clone()),
                        false => SelectionError::Unknown(name.clone()),
                    };
                    self.names.iter().position(|enabled| enabled == name).ok_or_else(missing)
                };
                let mut found = collect.iter().map(find).collect::<Result<Vec<_>, _>>()?;
                found.sort_unstable();
                found.dedup();
                Ok(Selection(Some(found)))
            }
            (_, _) => Err(SelectionError::Both),
        }
    }

    /// Appends the page of a scrape of all collectors to `out`.
    pub fn gather(&self, format: Format, out: &mut Vec<u8>) {
        self.scrape(&Scrape { format, selection: Selection(None), timeout: None, reserved: &[] }, out);
    }

    /// Appends the page of one scrape to `out`.
    pub fn scrape(&self, scrape: &Scrape, out: &mut Vec<u8>) {
        let slots = scrape.selection.0.as_deref().unwrap_or(&self.all);
        let deadline = scrape.timeout.map_or(self.deadline, |timeout| timeout.min(self.deadline));
        let done = self.pool.run(slots, scrape.format, deadline);
        let succeeded = || done.iter().filter(|done| done.success);
        let is_foreign = |done: &&Done| self.names[done.slot] == collectors::FOREIGN;
        for own in succeeded().filter(|done| !is_foreign(done)) {
            out.extend_from_slice(&own.part);
        }
        let mut page = Output::new(scrape.format, out);
        self.write_outcomes(&done, &mut page);
        self.write_build(&mut page);
        page.end_part().expect("invariant: the agent's own families have names and stand once");
        for foreign in succeeded().filter(is_foreign) {
            self.tell_left_out(foreign::append(out, &foreign.part, scrape));
        }
        Output::new(scrape.format, out)
            .end_page()
            .expect("invariant: nothing was written, so nothing is wrong");
        self.pool.give_back(done);
    }

    fn tell_left_out(&self, names: BTreeSet<String>) {
        let mut told = self.left_out.lock();
        for family in names {
            if told.len() < MAX_TOLD && told.insert(family.clone()) {
                tracing::warn!(family, "a file of metrics has a family of the agent's own; it is left out");
            }
        }
    }

    fn write_outcomes(&self, done: &[Done], out: &mut Output<'_>) {
        let help = "How long each collector took in this scrape.";
        let mut family = out.family("node_scrape_collector_duration_seconds", MetricType::Gauge, help);
        for done in done {
            family.sample(&[("collector", self.names[done.slot])], done.took.as_secs_f64());
        }
        let help = "Whether each collector could read all that it reads: 1 if so, else 0.";
        let mut family = out.family("node_scrape_collector_success", MetricType::Gauge, help);
        for done in done {
            family.sample(&[("collector", self.names[done.slot])], f64::from(u8::from(done.success)));
        }
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
