//! What fails: every kind of source keeps the targets that it found last, says so in its metrics, and finds
//! others once it is answered again. And the metrics that sources have, beside a real Prometheus'.

use crate::{
    aws,
    beside::Ours,
    clouds, identified,
    made_up::{Reply, Request, Server},
    services,
};
use skopos_discovery::{Stats, Variables, stats::FamilyKind};
use skopos_testkit::{http, peers, wait::poll, wait_until};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Answers as `handler`, unless it is told to fail.
fn failing(
    make: impl FnOnce(Box<dyn Fn(&Request) -> Reply + Send + Sync>) -> Server,
    handler: fn(&Request) -> Reply,
) -> (Server, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&fails);
    let answer = move |request: &Request| {
        if seen.load(Ordering::SeqCst) { Reply::status(500) } else { handler(request) }
    };
    (make(Box::new(answer)), fails)
}

#[track_caller]
fn keeps_its_targets(mechanism: &str, count: usize, config: &str, fails: &AtomicBool) {
    let ours = Ours::start_with(&format!("{config}\n  refresh_interval: 100ms"), Variables::of([]));
    let before = ours.wait_for_count(count);
    let failures = || ours.stats.value("prometheus_sd_refresh_failures_total", &[("mechanism", mechanism)]);
    assert_eq!(failures(), Some(0.0), "{mechanism}");
    fails.store(true, Ordering::SeqCst);
    wait_until(mechanism, PATIENCE, || failures().filter(|n| *n >= 2.0));
    assert_eq!(ours.targets(), before, "{mechanism}");
    fails.store(false, Ordering::SeqCst);
    let refreshed = failures();
    wait_until(mechanism, PATIENCE, || {
        let updates = ours.stats.value("prometheus_sd_received_updates_total", &[("name", "scrape")]);
        updates.filter(|n| *n >= 2.0)
    });
    assert!(failures() >= refreshed && ours.targets() == before, "{mechanism}");
}

/// What metrics call a kind, how many targets it finds, who answers, and its keys.
type Case = (&'static str, usize, fn(&Request) -> Reply, &'static str);

#[test]
fn every_kind_with_an_address_of_its_own_keeps_its_targets_while_it_fails() {
    let plain: [Case; 9] = [
        (
            "ec2",
            2,
            aws::ec2,
            "ec2_sd_configs:\n- region: eu-west-2\n  access_key: AKID\n  secret_key: hush\n  \
            filters: [{name: 'tag:a', values: [x, 'y']}]\n  endpoint: URL",
        ),
        (
            "lightsail",
            2,
            aws::lightsail,
            "lightsail_sd_configs:\n- region: eu-west-2\n  access_key: AKID\n  \
            secret_key: hush\n  endpoint: URL",
        ),
        ("marathon", 12, services::marathon, "marathon_sd_configs:\n- auth_token: hush\n  servers: [URL]"),
        (
            "ovhcloud",
            1,
            services::ovh,
            "ovhcloud_sd_configs:\n- application_key: key\n  application_secret: s\n  \
            consumer_key: consumer\n  service: dedicated_server\n  endpoint: URL",
        ),
        (
            "uyuni",
            2,
            services::uyuni,
            "uyuni_sd_configs:\n- username: 'a & b'\n  password: hush\n  server: URL",
        ),
        (
            "openstack",
            1,
            identified::openstack_here,
            "openstack_sd_configs:\n- username: me\n  password: hush\n  \
            project_name: p\n  domain_name: Default\n  region: RegionOne\n  role: hypervisor\n  \
            identity_endpoint: URL",
        ),
        ("eureka", 2, clouds::eureka, "eureka_sd_configs:\n- server: URL/eureka"),
        ("puppetdb", 1, clouds::puppetdb, "puppetdb_sd_configs:\n- query: 'resources {}'\n  url: URL"),
        (
            "scaleway",
            2,
            clouds::scaleway,
            "scaleway_sd_configs:\n- role: instance\n  access_key: \
            SCWXXXXXXXXXXXXXXXXX\n  project_id: 8feda53f-15f0-447f-badf-ccb2dad2f8d0\n  \
            secret_key: 6d6d6d6d-1111-4111-8111-111111111111\n  api_url: URL",
        ),
    ];
    for (mechanism, count, handler, config) in plain {
        let (server, fails) = failing(Server::new, handler);
        keeps_its_targets(mechanism, count, &config.replace("URL", &server.url()), &fails);
    }
}

#[test]
fn every_kind_whose_address_is_known_keeps_its_targets_while_it_fails() {
    let behind: [(&str, usize, &str); 6] = [
        ("hetzner", 2, "hetzner_sd_configs:\n- role: hcloud"),
        ("digitalocean", 2, "digitalocean_sd_configs:\n- {}"),
        ("linode", 2, "linode_sd_configs:\n- {}"),
        ("vultr", 2, "vultr_sd_configs:\n- {}"),
        ("ionos", 1, "ionos_sd_configs:\n- datacenter_id: dc"),
        (
            "azure",
            2,
            "azure_sd_configs:\n- {subscription_id: sub, tenant_id: ten, client_id: c, client_secret: hush}",
        ),
    ];
    for (mechanism, count, config) in behind {
        let handler = if mechanism == "azure" { identified::azure } else { clouds::everybody };
        let (proxy, fails) = failing(Server::everybody, handler);
        let config = config.replace("\n- {}", "\n- port: 80");
        let config = config.replace(
            "{subscription_id: sub, tenant_id: ten, client_id: c, client_secret: hush}",
            "subscription_id: sub\n  tenant_id: ten\n  client_id: c\n  client_secret: hush",
        );
        let client =
            format!("\n  proxy_url: '{}'\n  tls_config: {{insecure_skip_verify: true}}", proxy.url());
        keeps_its_targets(mechanism, count, &format!("{config}{client}"), &fails);
    }
}

/// The series of a page whose names begin so, without those that only Prometheus' kind of summaries has, and
/// without those of what it notifies.
fn series(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| line.starts_with("prometheus_sd_"));
    let names = lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned());
    names.filter(|one| !one.contains("quantile=") && !one.contains("name=\"notify\"")).collect()
}

/// The series that sources have, as a page has them; `name` is that of their job.
fn page_of(stats: &Stats, name: &str) -> Vec<String> {
    let mut all = Vec::new();
    for family in stats.families() {
        for (labels, _) in &family.samples {
            let value =
                |label: &str, value: &str| if label == "config" { name.to_owned() } else { value.to_owned() };
            let labels: Vec<_> = labels.iter().map(|(n, v)| format!("{n}=\"{}\"", value(n, v))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let parts: &[&str] = if family.kind == FamilyKind::Summary { &["_sum", "_count"] } else { &[""] };
            all.extend(parts.iter().map(|part| format!("{}{part}{labels}", family.name)));
        }
    }
    all
}

#[test]
fn metrics_are_those_of_prometheus() {
    let jobs = [
        ("a", "file_sd_configs: [{files: [x.json]}]"),
        ("b", "http_sd_configs: [{url: 'http://127.0.0.1:1/'}]"),
        ("c", "marathon_sd_configs: [{servers: ['http://127.0.0.1:1']}]"),
    ];
    let Some(program) = peers::prometheus_3() else { return };
    let config: String = jobs.iter().map(|(name, keys)| format!("- job_name: {name}\n  {keys}\n")).collect();
    let theirs = peers::prometheus_at(program, &format!("scrape_configs:\n{config}"), &[]);
    let failed = "prometheus_sd_refresh_failures_total{mechanism=\"marathon\"} 1";
    let page = poll(PATIENCE, || {
        let page = http::get(&theirs.url("/metrics")).unwrap().text();
        page.contains(failed).then_some(page)
    });
    let ours: Vec<_> = jobs.iter().map(|(_, keys)| Ours::start(keys)).collect();
    wait_until("the failures", PATIENCE, || {
        let of = |nth: usize, mechanism| {
            ours[nth].stats.value("prometheus_sd_refresh_failures_total", &[("mechanism", mechanism)])
        };
        (of(1, "http")? + of(2, "marathon")? >= 2.0).then_some(())
    });
    // Here each has a page of its own, and calls its job the same.
    let all = ours.iter().zip(jobs).flat_map(|(ours, (name, _))| page_of(&ours.stats, name));
    let own: BTreeSet<String> = all.collect();
    // What a job has found in all, static targets among it, is told by who scrapes it.
    let of_sources = |one: &String| !one.starts_with("prometheus_sd_discovered_targets");
    let theirs = series(&page.unwrap()).into_iter().filter(of_sources);
    let missing: Vec<_> = theirs.filter(|one| !own.contains(one)).collect();
    assert!(missing.is_empty(), "{missing:#?}\nof {own:#?}");
}
