//! The targets in this process: the machine that the server runs on, and the server itself.

use skopos_agent::{BuildInfo, Host, NodeAgent, NodeOptions, ThisHost};
use skopos_api::own_metrics::OwnMetrics;
use skopos_base::Env;
use skopos_config::Config;
use skopos_exposition::Format;
use skopos_intake::Pushgateway;
use skopos_model::{Labels, LabelsBuilder};
use skopos_scrape::{
    fetch::InProcessSource,
    target::{Reading, Source, Target},
};
use std::{collections::HashMap, sync::Arc};

/// The sources in this process, as their targets call them.
const NODE: &str = "node";
const SELF: &str = "skopos";
const GATEWAY: &str = "pushgateway";

/// This machine and this process, as sources of metrics.
fn sources(
    env: &Env,
    node: NodeOptions,
    metrics: &Arc<OwnMetrics>,
) -> HashMap<&'static str, InProcessSource> {
    let agent = NodeAgent::new(node, BuildInfo::default(), crate::role::agent_env(env));
    let metrics = Arc::clone(metrics);
    let node: InProcessSource = Arc::new(move |out| agent.gather(Format::Text, out));
    let own: InProcessSource = Arc::new(move |out| metrics.write(Format::Text, out));
    HashMap::from([(NODE, node), (SELF, own)])
}

/// The targets in this process, scraped as often as the configuration says.
fn targets(config: &Config) -> Vec<Target> {
    let host = host_name();
    [NODE, SELF].into_iter().map(|name| target(name, &host, config)).collect()
}

/// All targets in this process: the machine where there is no file, and the Pushgateway where it is enabled.
pub(super) fn all_targets(watches_machine: bool, has_gateway: bool, config: &Config) -> Vec<Target> {
    let mut all = if watches_machine { targets(config) } else { Vec::new() };
    all.extend(has_gateway.then(|| gateway_target(config)));
    all
}

/// The groups of the Pushgateway, whose labels are their own.
fn gateway_target(config: &Config) -> Target {
    let reading = Reading { honor_labels: true, ..Reading::default() };
    Target { reading, ..target(GATEWAY, &host_name(), config) }
}

/// What all targets in this process are read from: the machine where it is watched, and the Pushgateway.
pub(super) fn all_sources(
    watched: Option<(&Env, NodeOptions, &Arc<OwnMetrics>)>,
    gateway: Option<&Arc<Pushgateway>>,
) -> HashMap<&'static str, InProcessSource> {
    let mut all = watched.map_or_else(HashMap::new, |(env, node, metrics)| sources(env, node, metrics));
    all.extend(gateway.map(|gateway| {
        let gateway = Arc::clone(gateway);
        let page: InProcessSource = Arc::new(move |out| gateway.page(out));
        (GATEWAY, page)
    }));
    all
}

/// How the machine is called; the label `instance` of its own targets.
fn host_name() -> String {
    let named = ThisHost.uname().nodename;
    if named.is_empty() { "localhost".to_owned() } else { named }
}

fn target(name: &'static str, host: &str, config: &Config) -> Target {
    let labels = Labels::from_pairs([("job", name), ("instance", host)]);
    let mut discovered = LabelsBuilder::from_labels(&labels);
    discovered.set("__address__", &format!("in-process://{name}"));
    Target {
        job: Arc::from(name),
        source: Source::InProcess(name),
        labels,
        discovered: discovered.build(),
        interval: config.global.scrape_interval,
        timeout: config.global.scrape_interval,
        max_series: None,
        forced_error: None,
        access: Arc::default(),
        reading: Reading::default(),
        extra_metrics: false,
        failure_log: None,
    }
}
