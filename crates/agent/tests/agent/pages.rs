//! What holds of every page that is kept in `golden`: no family and no series stands twice, and promtool has
//! nothing to remark but names that are not ours to choose.

use crate::common::{Page, here};
use skopos_exposition::{Entry, Format, Parser};
use skopos_model::LabelsBuilder;
use skopos_testkit::peers;
use std::{
    collections::HashSet,
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

/// Names of node_exporter, cAdvisor and process-exporter that promtool finds fault with: how they begin, and
/// a part of the remark.
const REMARKS: &[(&str, &str)] = &[
    ("container_fs_inodes_total", "_total"),
    ("container_memory_failcnt", "_total"),
    ("container_network_advance_tcp_stats_total", "_total"),
    ("machine_node_hugepages_count", "_count"),
    ("machine_thread_siblings_count", "_count"),
    ("namedprocess_namegroup_thread_count", "_count"),
    ("namedprocess_scrape_errors", "_total"),
    ("namedprocess_scrape_partial_errors", "_total"),
    ("namedprocess_scrape_procread_errors", "_total"),
    ("node_entropy_available_bits", "base unit"),
    ("node_entropy_pool_size_bits", "base unit"),
    // The kernel's names of its fields.
    ("node_memory_", "camelCase"),
    ("node_netstat_", "camelCase"),
    // The names of tracepoints.
    ("node_perf_sched_sched_switch", "_total"),
    ("node_wifi_station_receive_bits_per_second", "base unit"),
    ("node_wifi_station_transmit_bits_per_second", "base unit"),
];

fn pages() -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(here("golden")).unwrap().map(|entry| entry.unwrap().path());
    let pages = entries.filter(|path| path.extension().is_some_and(|end| end == "txt"));
    let mut pages: Vec<_> = pages.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    pages.sort();
    assert!(pages.len() > 20);
    pages
}

fn is_open_metrics(page: &[u8]) -> bool {
    page.ends_with(b"# EOF\n")
}

#[test]
fn no_family_and_no_series_stands_twice() {
    for (path, page) in pages() {
        if !is_open_metrics(&page) {
            Page::parse(&page);
            continue;
        }
        let (mut families, mut series, mut labels) =
            (HashSet::new(), HashSet::new(), LabelsBuilder::default());
        for entry in Parser::new(Format::OpenMetrics, &page) {
            match entry.unwrap() {
                Entry::Type { name, .. } => {
                    assert!(families.insert(name.to_string()), "{}: {name}", path.display());
                }
                Entry::Sample(sample) => {
                    labels.clear();
                    sample.series.labels_into(&mut labels).unwrap();
                    let text = format!("{:?}", labels.iter().collect::<Vec<_>>());
                    assert!(series.insert(text), "{}: {:?}", path.display(), sample.series);
                }
                _ => {}
            }
        }
        assert!(!series.is_empty());
    }
}

#[test]
fn promtool_remarks_only_on_names_that_are_not_ours() {
    let mut unused: HashSet<&str> = REMARKS.iter().map(|(start, _)| *start).collect();
    for (path, page) in pages().into_iter().filter(|(_, page)| !is_open_metrics(page)) {
        let mut promtool = Command::new(peers::promtool());
        promtool.args(["check", "metrics"]).stdin(File::open(&path).unwrap());
        let found = promtool.output().unwrap();
        let text = String::from_utf8(found.stderr).unwrap();
        assert!(found.status.success() || !text.is_empty(), "{page:?}");
        for remark in text.lines() {
            let known =
                REMARKS.iter().find(|(start, what)| remark.starts_with(start) && remark.contains(what));
            let (start, _) = known.unwrap_or_else(|| panic!("{}: {remark}", path.display()));
            unused.remove(start);
        }
    }
    assert!(unused.is_empty(), "promtool does not remark on {unused:?} any more");
}
