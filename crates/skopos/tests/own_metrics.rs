//! What the server says of itself, beside what Prometheus 3 says with the same configuration: names and
//! types, so that its dashboards and alerts work. What is not there stands in a list, each with the reason.

use crate::support::{server, wait_for_value};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    peers,
    service::Service,
};
use std::collections::BTreeMap;

/// What Prometheus says and ours does not: names or, with a `*`, beginnings of names. docs/operations.md has
/// the same list in words.
const NOT_THERE: [(&str, &[&str]); 7] = [
    (
        "rules and alerts are not there yet",
        &[
            "prometheus_notifications_alertmanagers_discovered",
            "prometheus_notifications_dropped_total",
            "prometheus_notifications_queue_capacity",
            "prometheus_notifications_queue_length",
            "prometheus_rule_evaluation_duration_seconds",
            "prometheus_rule_group_duration_seconds",
            "prometheus_template_text_expansion_failures_total",
            "prometheus_template_text_expansions_total",
        ],
    ),
    (
        "remote write and read tell it under the names of their queues, or have no such part",
        &["prometheus_remote_storage_*"],
    ),
    ("nothing of ZooKeeper is watched by threads of its own", &["prometheus_treecache_watcher_goroutines"]),
    (
        "the cache of a target has no table of symbols, and is never emptied by force",
        &[
            "prometheus_target_scrape_pool_symboltable_items",
            "prometheus_target_scrapes_cache_flush_forced_total",
        ],
    ),
    (
        "exemplars that come late are passed over and not counted",
        &[
            "prometheus_target_scrapes_exemplar_out_of_order_total",
            "prometheus_tsdb_exemplar_last_exemplars_timestamp_seconds",
            "prometheus_tsdb_exemplar_out_of_order_exemplars_total",
            "prometheus_tsdb_exemplar_series_with_exemplars_in_storage",
        ],
    ),
    (
        "storage works otherwise, or does not count it",
        &[
            "prometheus_tsdb_checkpoint_*",
            "prometheus_tsdb_clean_start",
            "prometheus_tsdb_compaction_*",
            "prometheus_tsdb_compactions_*",
            "prometheus_tsdb_head_*",
            "prometheus_tsdb_isolation_*",
            "prometheus_tsdb_mmap_*",
            "prometheus_tsdb_retention_limit_*",
            "prometheus_tsdb_snapshot_replay_error_total",
            "prometheus_tsdb_symbol_table_size_bytes",
            "prometheus_tsdb_tombstone_cleanup_seconds",
            "prometheus_tsdb_vertical_compactions_total",
            "prometheus_tsdb_wal_*",
        ],
    ),
    (
        "the web server and the process count other things",
        &[
            "process_network_receive_bytes_total",
            "process_network_transmit_bytes_total",
            "process_virtual_memory_max_bytes",
            "prometheus_api_notification_*",
            "prometheus_http_response_size_bytes",
            "prometheus_web_federation_*",
        ],
    ),
];

/// The metrics that alerts and dashboards of Prometheus' own mixin (documentation/prometheus-mixin) ask for,
/// those of rules and of notifications aside, which are not there yet. Where a question has two names for the
/// same, the one of today. None of it may be excused.
const OF_THE_MIXIN: [&str; 41] = [
    "process_start_time_seconds",
    "prometheus_build_info",
    "prometheus_config_last_reload_successful",
    "prometheus_engine_queries",
    "prometheus_engine_queries_concurrent_max",
    "prometheus_engine_query_duration_seconds",
    "prometheus_remote_storage_enqueue_retries_total",
    "prometheus_remote_storage_highest_timestamp_in_seconds",
    "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
    "prometheus_remote_storage_samples_dropped_total",
    "prometheus_remote_storage_samples_failed_total",
    "prometheus_remote_storage_samples_in_total",
    "prometheus_remote_storage_samples_pending",
    "prometheus_remote_storage_samples_retried_total",
    "prometheus_remote_storage_samples_total",
    "prometheus_remote_storage_shard_capacity",
    "prometheus_remote_storage_shards",
    "prometheus_remote_storage_shards_desired",
    "prometheus_remote_storage_shards_max",
    "prometheus_remote_storage_shards_min",
    "prometheus_sd_discovered_targets",
    "prometheus_sd_refresh_failures_total",
    "prometheus_target_interval_length_seconds",
    "prometheus_target_metadata_cache_bytes",
    "prometheus_target_metadata_cache_entries",
    "prometheus_target_scrape_pool_exceeded_label_limits_total",
    "prometheus_target_scrape_pool_exceeded_target_limit_total",
    "prometheus_target_scrapes_exceeded_body_size_limit_total",
    "prometheus_target_scrapes_exceeded_sample_limit_total",
    "prometheus_target_scrapes_sample_duplicate_timestamp_total",
    "prometheus_target_scrapes_sample_out_of_bounds_total",
    "prometheus_target_scrapes_sample_out_of_order_total",
    "prometheus_target_sync_failed_total",
    "prometheus_target_sync_length_seconds",
    "prometheus_tsdb_compactions_failed_total",
    "prometheus_tsdb_head_chunks",
    "prometheus_tsdb_head_samples_appended_total",
    "prometheus_tsdb_head_series",
    "prometheus_tsdb_reloads_failures_total",
    "prometheus_tsdb_wal_segment_current",
    "prometheus_wal_watcher_current_segment",
];

/// What the server says of families that are left out since another part has told them.
const LEFT_OUT: &str = "a part of the server's own metrics is left out";

/// Families by name, with their types.
fn families(server: &Service) -> BTreeMap<String, String> {
    let page = server.get("/metrics").text();
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, metric_type)| (name.to_owned(), metric_type.to_owned())).collect()
}

fn excuses(name: &str) -> bool {
    NOT_THERE.iter().flat_map(|(_, names)| *names).any(|excused| match excused.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *excused,
    })
}

#[test]
fn families_of_prometheus_are_there_with_their_types_or_stand_in_the_list() {
    let Some(program) = peers::prometheus_3() else { return };
    let target = Server::start([Misbehaviour::text("m 1\n")]);
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- {{job_name: j, static_configs: [{{targets: \
         ['{}']}}]}}\n",
        target.address()
    );
    let theirs = peers::prometheus_at(program, &config, &["--log.level=error"]);
    let ours = server().config(&config).start();
    for server in [&theirs, &ours] {
        wait_for_value(server, "count_over_time(up[1h]) > bool 2", 1.0);
    }
    let (theirs, ours) = (families(&theirs), families(&ours));
    let is_of_go = |name: &str| ["go_", "net_conntrack_", "promhttp_"].iter().any(|p| name.starts_with(p));
    let expected = theirs.iter().filter(|(name, _)| !is_of_go(name));
    let missing: Vec<_> = expected.clone().filter(|(name, _)| !ours.contains_key(*name)).collect();
    let unexcused: Vec<_> = missing.iter().filter(|(name, _)| !excuses(name)).collect();
    assert!(unexcused.is_empty(), "not there: {unexcused:#?}");
    let other_type = |(name, metric_type): &(&String, &String)| {
        ours.get(*name)
            .filter(|ours| ours != metric_type)
            .map(|ours| format!("{name}: {ours}, not {metric_type}"))
    };
    let others: Vec<_> = expected.filter_map(|family| other_type(&family)).collect();
    assert!(others.is_empty(), "{others:#?}");
    for name in NOT_THERE.iter().flat_map(|(_, names)| *names).filter(|name| !name.ends_with('*')) {
        assert!(missing.iter().any(|(missing, _)| missing == name), "{name} is excused, and there");
    }
}

#[test]
fn what_jobs_come_to_is_counted_for_each() {
    let (good, long) =
        (Server::start([Misbehaviour::text("m 1\n")]), Server::start([Misbehaviour::text("m 1\nn 2\n")]));
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n\
         - {{job_name: good, target_limit: 7, static_configs: [{{targets: ['{0}']}}]}}\n\
         - {{job_name: samples, sample_limit: 1, static_configs: [{{targets: ['{1}']}}]}}\n\
         - {{job_name: labels, label_limit: 2, static_configs: [{{targets: ['{1}']}}]}}\n\
         - {{job_name: bytes, body_size_limit: 5B, static_configs: [{{targets: ['{1}']}}]}}\n\
         - {{job_name: targets, target_limit: 1, static_configs: [{{targets: ['{0}', '{1}']}}]}}\n\
         - {{job_name: itself, scrape_interval: 1s, static_configs: [{{targets: ['PORT']}}]}}\n",
        good.address(),
        long.address(),
    );
    let port = skopos_testkit::port::free_port();
    let own = format!("127.0.0.1:{port}");
    let server =
        server().config(&config.replace("PORT", &own)).flag(&format!("--web.listen-address={own}")).start();
    for query in [
        "prometheus_target_scrape_pool_targets{scrape_job=\"targets\"} == 2",
        "prometheus_target_scrape_pool_target_limit{scrape_job=\"good\"} == 7",
        "prometheus_target_scrape_pool_sync_total{scrape_job=\"good\"} == 1",
        "prometheus_target_scrape_pool_exceeded_target_limit_total == 1",
        "prometheus_target_scrape_pools_total == 6",
        "prometheus_target_scrapes_exceeded_sample_limit_total > 0",
        "prometheus_target_scrape_pool_exceeded_label_limits_total > 0",
        "prometheus_target_scrapes_exceeded_body_size_limit_total > 0",
        "prometheus_target_metadata_cache_entries{scrape_job=\"itself\"} > 100",
        "prometheus_target_metadata_cache_bytes{scrape_job=\"itself\"} > 1000",
        "prometheus_target_interval_length_seconds{interval=\"1s\",quantile=\"0.5\"} > 0.5",
        "prometheus_target_sync_length_seconds_count{scrape_job=\"itself\"} == 1",
    ] {
        wait_for_value(&server, &format!("count({query})"), 1.0);
    }
}

#[test]
fn what_dashboards_and_alerts_of_prometheus_ask_for_is_there_and_nothing_is_told_twice() {
    let target = Server::start([Misbehaviour::text("m 1\n")]);
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- {{job_name: j, static_configs: [{{targets: \
         ['{0}']}}], http_sd_configs: [{{url: 'http://{0}/sd'}}]}}\n\
         remote_write: [{{url: 'http://{0}/w'}}]\nremote_read: [{{url: 'http://{0}/r'}}]\n",
        target.address()
    );
    let server = server()
        .config(&config)
        .flag("--web.enable-remote-write-receiver")
        .flag("--web.enable-otlp-receiver")
        .start();
    wait_for_value(&server, "count_over_time(up[1h]) > bool 2", 1.0);
    let ours = families(&server);
    let lacking: Vec<_> = OF_THE_MIXIN.iter().filter(|name| !ours.contains_key(**name)).collect();
    assert!(lacking.is_empty(), "dashboards ask for {lacking:?}");
    assert!(!server.log().contains(LEFT_OUT), "{}", server.log());
}
