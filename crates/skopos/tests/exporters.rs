//! Real exporters and servers of Debian, scraped by Prometheus and by ours under the same configuration: both
//! have the same series of them.

use crate::support::{self, Metric, PATIENCE, server};
use skopos_testkit::{http, peers, service::Service, wait::poll};
use std::collections::BTreeSet;

const MODULES: &str = "modules:\n  http: {prober: http, http: {preferred_ip_protocol: ip4}}\n  \
                       tcp: {prober: tcp, tcp: {preferred_ip_protocol: ip4}}\n";
const ROUTES: &str = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";

/// What Prometheus 2 stores of a bound as it is written has the form that later ones give it.
fn as_stored_now(mut metric: Metric) -> Metric {
    for bound in ["le", "quantile"] {
        if let Some(Ok(number)) = metric.get(bound).map(|text| text.parse::<f64>()) {
            metric.insert(bound.to_owned(), number.to_string());
        }
    }
    metric
}

fn all_series(server: &Service) -> BTreeSet<Metric> {
    support::instant(server, "{job=~\".+\"}").into_keys().map(as_stored_now).collect()
}

#[test]
fn real_exporters_have_the_series_that_prometheus_has_of_them() {
    let (node, pushgateway) =
        (peers::node_exporter(&["--collector.disable-defaults"]), peers::pushgateway(&[]));
    let (alerts, victoria) = (peers::alertmanager(ROUTES), peers::victoria_metrics("", &[]));
    let blackbox = peers::blackbox_exporter(MODULES);
    let pushed = "# TYPE backup_seconds gauge\nbackup_seconds{disk=\"a b\"} 12.5\n";
    let url = format!("http://{}/metrics/job/backup/instance/n1", pushgateway.address());
    assert_eq!(http::request("PUT", &url, &[], pushed.as_bytes()).unwrap().status, 200);
    let job = |name: &str, service: &Service, more: &str| {
        let address = service.address();
        format!("- job_name: {name}\n  static_configs: [{{targets: ['{address}']}}]\n{more}")
    };
    // As its documentation says: the target becomes a parameter, the exporter the address. It ends a probe
    // half a second before the scrape's time is over.
    let probe = |module: &str, target: &str| {
        format!(
            "- job_name: probe_{module}\n  scrape_interval: 2s\n  scrape_timeout: 2s\n  \
             metrics_path: /probe\n  params: {{module: [{module}]}}\n  \
             static_configs: [{{targets: ['{target}']}}]\n  relabel_configs:\n  \
             - {{source_labels: [__address__], target_label: __param_target}}\n  \
             - {{source_labels: [__param_target], target_label: instance}}\n  \
             - {{target_label: __address__, replacement: '{}'}}\n",
            blackbox.address()
        )
    };
    let jobs = [
        job("node", &node, ""),
        job("pushgateway", &pushgateway, "  honor_labels: true\n"),
        job("alertmanager", &alerts, ""),
        job("victoria", &victoria, ""),
        job("blackbox", &blackbox, ""),
        probe("http", &format!("http://{}/-/healthy", blackbox.address())),
        probe("tcp", &alerts.address()),
    ];
    let config = format!("global: {{scrape_interval: 500ms}}\nscrape_configs:\n{}", jobs.concat());
    let (theirs, ours) =
        (peers::prometheus(&config, &["--log.level=error"]), server().config(&config).start());
    for server in [&theirs, &ours] {
        support::wait_for_value(server, "sum(up)", jobs.len() as f64);
        support::wait_for_value(server, "sum(probe_success)", 2.0);
        support::wait_for_value(server, "backup_seconds{job=\"backup\",instance=\"n1\",disk=\"a b\"}", 12.5);
    }
    // An exporter counts its answers, so that it has new series at the first of them.
    let series = || [&theirs, &ours].map(all_series);
    let same = poll(PATIENCE, || {
        let [their, our] = series();
        (their == our && their.len() > 500).then_some(())
    });
    if same.is_none() {
        let [their, our] = series();
        panic!("{} series; theirs alone: {:?}, ours alone: {:?}", our.len(), &their - &our, &our - &their);
    }
}
