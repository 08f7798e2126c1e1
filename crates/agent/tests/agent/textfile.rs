//! Files of metrics that other programs left: which are shown, which are not, and what is said of it.

use crate::common::{Page, gather, options, real_agent, succeeded, text};
use rustix::fs::{CWD, Mode, mkfifoat};
use skopos_agent::NodeAgent;
use skopos_exposition::Format;
use skopos_testkit::peers;
use std::{
    fs::{self, File},
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    time::{Duration, SystemTime},
};

/// Writes a file that was changed last at second `modified`.
fn write(folder: &Path, name: &str, text: &str, modified: u64) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    let file = File::options().append(true).open(&path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(modified)).unwrap();
}

fn agent(directories: &[String]) -> NodeAgent {
    let flags = directories.iter().map(|folder| format!("--collector.textfile.directory={folder}"));
    let mut line: Vec<String> = flags.collect();
    line.extend(["--collector.disable-defaults".into(), "--collector.textfile".into()]);
    real_agent(options(&line.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// The samples of the files and of the collector, as text, without those of the agent.
fn shown(agent: &NodeAgent, folder: &Path) -> Vec<String> {
    let is_own = |name: &str| name.starts_with("node_scrape") || name.ends_with("_build_info");
    let samples = gather(agent).samples.into_iter().filter(|((name, _), _)| !is_own(name));
    let text = |((name, labels), value): ((String, Vec<(String, String)>), f64)| {
        let labels = labels.iter().map(|(name, value)| format!("{name}={value}"));
        let labels = labels.collect::<Vec<_>>().join(",").replace(folder.to_str().unwrap(), "");
        format!("{name}{{{labels}}} {value}")
    };
    samples.map(text).collect()
}

#[test]
fn files_of_all_directories_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "one/a.prom", "# HELP x A thing.\n# TYPE x counter\nx{a=\"1\"} 1\n", 1000);
    write(root, "two/b.prom", "x{a=\"2\"} 2\n", 2000);
    write(root, "two/c.text", "y 1\n", 2000);
    write(root, "more/z.d/c.prom", "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n", 3000);
    let at = |name: &str| format!("{}/{name}", root.display());
    // The type of `x` is missing in the second file, so only the first is right.
    let agent = agent(&[at("one"), at("t*"), at("more/*.d"), at("one")]);
    let expected = [
        "h_bucket{le=+Inf} 2",
        "h_count{} 2",
        "h_sum{} 3",
        "node_textfile_mtime_seconds{file=/more/z.d/c.prom} 3000",
        "node_textfile_mtime_seconds{file=/one/a.prom} 1000",
        "node_textfile_mtime_seconds{file=/two/b.prom} 2000",
        "node_textfile_scrape_error{} 0",
        "x{a=1} 1",
    ];
    assert_eq!(shown(&agent, root), expected);
    write(root, "two/b.prom", "# TYPE x counter\nx{a=\"2\"} 2\n", 2001);
    let page = shown(&agent, root);
    assert!(page.contains(&"node_textfile_scrape_error{} 0".to_owned()), "{page:?}");
    assert!(page.contains(&"x{a=2} 2".to_owned()), "{page:?}");
}

#[test]
fn what_is_wrong_is_left_out_and_said() {
    for (files, shown_of_them, error) in [
        (&[("a.prom", "x 1\n")][..], &["x{} 1"][..], 0),
        (&[("a.prom", "x 1\ny 2")], &[], 1),
        (&[("a.prom", "x 1 1395066363000\n"), ("b.prom", "y 1\n")], &["y{} 1"], 1),
        (&[("a.prom", "x{ 1\n")], &[], 1),
        // Help texts that differ: the first file is right.
        (
            &[("a.prom", "# HELP x A.\nx{f=\"a\"} 1\n"), ("b.prom", "# HELP x B.\nx{f=\"b\"} 2\n")],
            &["x{f=a} 1"],
            0,
        ),
        (
            &[("a.prom", "# HELP x A.\nx{f=\"a\"} 1\n"), ("b.prom", "x{f=\"b\"} 2\n")],
            &["x{f=a} 1", "x{f=b} 2"],
            0,
        ),
        (
            &[("a.prom", "# TYPE x gauge\nx 1\n"), ("b.prom", "# TYPE x counter\nx{f=\"b\"} 2\n")],
            &["x{} 1"],
            0,
        ),
        (&[("a.prom", "x 1\n"), ("b.prom", "x 2\n")], &["x{} 1"], 0),
        (&[("a.prom", "")], &[], 0),
        (&[], &[], 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(folder.path(), name, text, 1000);
        }
        let page = shown(&agent(&[folder.path().to_str().unwrap().to_owned()]), folder.path());
        let (own, samples): (Vec<String>, _) =
            page.into_iter().partition(|line| line.starts_with("node_textfile_"));
        assert_eq!(samples, shown_of_them, "{files:?}");
        assert_eq!(own.last().unwrap(), &format!("node_textfile_scrape_error{{}} {error}"), "{files:?}");
    }
}

#[test]
fn a_family_of_the_agents_own_stands_once_and_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let files = "# HELP node_load1 Mine.\n# TYPE node_load1 gauge\nnode_load1 99\nnode_load5{a=\"b\"} 99\n\
        # TYPE node_load15 counter\nnode_load15 99\n\
        node_scrape_collector_success{collector=\"loadavg\"} 99\n\
        node_scrape_collector_success{collector=\"x\"} 99\n\
        node_exporter_build_info 99\nskopos_agent_build_info 99\n\
        node_textfile_mtime_seconds 99\nnode_textfile_scrape_error 99\nmine 1\n";
    write(folder.path(), "a.prom", files, 1000);
    let directory = format!("--collector.textfile.directory={}", folder.path().display());
    let line =
        ["--collector.disable-defaults", "--collector.loadavg", "--collector.textfile", directory.as_str()];
    let agent = real_agent(options(&line));
    let page = gather(&agent);
    assert_eq!(page.value("mine", &[]), Some(1.0));
    assert_eq!(page.value("node_textfile_scrape_error", &[]), Some(1.0));
    for family in
        page.types.keys().filter(|family| *family != "mine" && !family.starts_with("node_textfile_"))
    {
        let line = format!("\n{family} 99\n");
        assert!(!text(&agent).contains(&line), "{family}");
    }
    assert!(succeeded(&page, "loadavg") && succeeded(&page, "textfile"));
    assert_eq!(page.value("node_load5", &[("a", "b")]), None);
    let mut open_metrics = Vec::new();
    agent.gather(Format::OpenMetrics, &mut open_metrics);
    let open_metrics = String::from_utf8(open_metrics).unwrap();
    assert_eq!(open_metrics.matches("# TYPE node_load1 ").count(), 1);
    assert!(open_metrics.contains("\nnode_textfile_scrape_error 1\n"), "{open_metrics}");
    assert!(open_metrics.ends_with("# EOF\n") && !open_metrics.contains(" 99\n"));
}

#[test]
fn what_is_no_file_of_metrics_costs_nobody_anything() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    mkfifoat(CWD, at("pipe.prom"), Mode::RUSR | Mode::WUSR).unwrap();
    symlink("/dev/zero", at("endless.prom")).unwrap();
    symlink("/proc/kmsg", at("waits.prom")).unwrap();
    symlink("nowhere", at("dangling.prom")).unwrap();
    symlink("loop.prom", at("loop.prom")).unwrap();
    fs::create_dir(at("folder.prom")).unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(500);
    File::open(at("folder.prom")).unwrap().set_modified(modified).unwrap();
    let _socket = UnixListener::bind(at("socket.prom")).unwrap();
    File::create(at("huge.prom")).unwrap().set_len(1 << 40).unwrap();
    fs::write(at("binary.prom"), (0..=u8::MAX).cycle().take(10_000).collect::<Vec<u8>>()).unwrap();
    fs::write(at("no_text.prom"), b"x{a=\"\xff\"} 1\n").unwrap();
    fs::write(at("nul.prom"), b"\0\n").unwrap();
    write(folder.path(), "many.prom", &"m 1\n".repeat(100_001), 1000);
    write(folder.path(), "histogram.prom", "# TYPE h histogram\nh 1\n", 1000);
    write(folder.path(), "good.prom", "x{a=\"\\\"\\n\\\\\"} 1\nx{b=\"\"} 2\nx 3\n", 1000);
    let agent = agent(&[folder.path().to_str().unwrap().to_owned()]);
    let expected = [
        "node_textfile_mtime_seconds{file=/folder.prom} 500",
        "node_textfile_mtime_seconds{file=/good.prom} 1000",
        "node_textfile_scrape_error{} 1",
        "x{} 2",
        "x{a=\"\n\\} 1",
    ];
    for _ in 0..2 {
        assert_eq!(shown(&agent, folder.path()), expected);
        assert!(succeeded(&gather(&agent), "textfile"));
    }
}

#[test]
fn names_that_one_family_has_no_other_has() {
    let folder = tempfile::tempdir().unwrap();
    let summary = "# TYPE a summary\na{quantile=\"0.5\"} 1\na_sum 2\na_count 1\n";
    write(folder.path(), "a.prom", &format!("# TYPE a_sum gauge\na_sum 5\n{summary}"), 1000);
    write(folder.path(), "b.prom", "# TYPE b counter\nb 1\n# TYPE b_total counter\nb_total 2\n", 1000);
    let expected = ["a{quantile=0.5} 1", "a_count{} 1", "a_sum{} 2", "b{} 1"];
    let page = shown(&agent(&[folder.path().to_str().unwrap().to_owned()]), folder.path());
    assert_eq!(page[..4], expected);
    assert!(page.contains(&"node_textfile_scrape_error{} 0".to_owned()));
}

#[test]
fn a_directory_that_is_missing_is_an_error_but_none_at_all_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let missing = format!("{}/missing", folder.path().display());
    assert_eq!(shown(&agent(&[missing]), folder.path()), ["node_textfile_scrape_error{} 1"]);
    assert_eq!(shown(&agent(&[]), folder.path()), ["node_textfile_scrape_error{} 0"]);
    assert_eq!(shown(&agent(&[String::new()]), folder.path()), ["node_textfile_scrape_error{} 0"]);
}

#[test]
fn a_file_that_goes_takes_its_metrics_along() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.prom", "x 1\n", 1000);
    let agent = agent(&[folder.path().to_str().unwrap().to_owned()]);
    assert_eq!(shown(&agent, folder.path()).len(), 3);
    fs::remove_file(folder.path().join("a.prom")).unwrap();
    assert_eq!(shown(&agent, folder.path()), ["node_textfile_scrape_error{} 0"]);
}

#[test]
fn the_reference_shows_the_same_of_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.prom", "# HELP x A \\\\ thing.\n# TYPE x counter\nx{a=\"q\\\"\\n\"} 1e3\n", 1000);
    write(folder.path(), "b.prom", "x_untyped{a=\"1\",b=\"2\"} NaN\nx_untyped{a=\"2\",b=\"2\"} -Inf\n", 2000);
    let histogram = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    write(folder.path(), "c.prom", &format!("# TYPE h histogram\n{histogram}"), 3000);
    let summary = "s{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\n";
    write(folder.path(), "d.prom", &format!("# TYPE s summary\n{summary}"), 4000);
    write(folder.path(), "timed.prom", "late 1 1395066363000\n", 5000);
    write(folder.path(), "cut.prom", "cut 1", 6000);
    // One sample twice, and a folder.
    write(folder.path(), "e.prom", "x_untyped{a=\"2\",b=\"2\"} -Inf\n", 2000);
    fs::create_dir(folder.path().join("folder.prom")).unwrap();
    let directory = format!("--collector.textfile.directory={}", folder.path().display());
    let flags = ["--collector.disable-defaults", "--collector.textfile", &directory];
    let reference = Page::parse(&peers::node_exporter(&flags).get("/metrics").body);
    let ours = gather(&agent(&[folder.path().to_str().unwrap().to_owned()]));
    let of_files = |page: &Page| {
        let is_of_files = |name: &str| {
            ["node_textfile_", "x", "h", "s", "late", "cut"].iter().any(|start| name.starts_with(start))
                && !name.starts_with("skopos_")
        };
        let samples = page.samples.iter().filter(|((name, _), _)| is_of_files(name));
        samples.map(|(key, value)| format!("{key:?} {value}")).collect::<Vec<_>>()
    };
    assert_eq!(of_files(&ours), of_files(&reference));
    assert_eq!(of_files(&ours).len(), 17);
    for (name, kind) in reference.types.iter().filter(|(name, _)| ["x", "h", "s"].contains(&name.as_str())) {
        assert_eq!(ours.types.get(name), Some(kind), "{name}");
    }
}
