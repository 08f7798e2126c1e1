//! What a request's `collect[]` and `exclude[]` choose.

use crate::common::{Page, still_agent};
use skopos_agent::{Scrape, SelectionError};
use skopos_exposition::Format;
use std::path::Path;

#[test]
fn a_request_names_the_collectors_that_run() {
    let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metal");
    let line = ["cpu", "loadavg", "meminfo"].map(|name| format!("--collector.{name}"));
    let mut flags = vec!["--collector.disable-defaults"];
    flags.extend(line.iter().map(String::as_str));
    let agent = still_agent(&machine, &flags);
    let owned = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    for (collect, exclude, ran) in [
        (&[][..], &[][..], &["cpu", "loadavg", "meminfo"][..]),
        (&["meminfo", "cpu", "cpu"], &[], &["cpu", "meminfo"]),
        (&[], &["cpu", "stat", "unheard-of"], &["loadavg", "meminfo"]),
        (&[], &["cpu", "loadavg", "meminfo"], &[]),
    ] {
        let selection = agent.select(&owned(collect), &owned(exclude)).unwrap();
        let mut out = Vec::new();
        agent.scrape(&Scrape { format: Format::Text, selection, timeout: None, reserved: &[] }, &mut out);
        let page = Page::parse(&out);
        let success = page.samples.keys().filter(|(name, _)| name == "node_scrape_collector_success");
        let told: Vec<&str> = success.map(|(_, labels)| labels[0].1.as_str()).collect();
        assert_eq!(told, ran, "{collect:?} {exclude:?}");
        for (family, collector) in [("node_load1", "loadavg"), ("node_memory_MemTotal_bytes", "meminfo")] {
            assert_eq!(page.types.contains_key(family), ran.contains(&collector), "{family}: {collect:?}");
        }
        assert!(page.types.contains_key("node_exporter_build_info"));
    }
    let refused = |collect: &[&str], exclude: &[&str]| agent.select(&owned(collect), &owned(exclude));
    assert_eq!(refused(&["cpu"], &["stat"]), Err(SelectionError::Both));
    assert_eq!(refused(&["cpu", "stat"], &[]), Err(SelectionError::Disabled("stat".into())));
    assert_eq!(refused(&["unheard-of"], &[]), Err(SelectionError::Unknown("unheard-of".into())));
}
