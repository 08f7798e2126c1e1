//! `skopos tool tsdb create-blocks-from rules` beside Debian's promtool, over the same Prometheus.

use skopos_model::{
    Histogram, Labels, TimestampMs,
    histogram::{Layout, Span},
};
use skopos_storage::{Append, Appendable, SeriesId, Value};
use skopos_testkit::{peers, service::Service};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const RULES: &str = "groups:
- name: first
  interval: 30s
  rules:
  - record: instance:req:rate5m
    expr: sum by (instance) (rate(req_total[5m]))
    labels: {team: a, code: ''}
  - record: req:copy
    expr: req_total{code='200'}
    labels: {instance: renamed, code: \"\"}
    # Two of three instances are left out: else the rule would make one series of them.
  - record: req:one
    expr: req_total{instance='h1'} > 700
    labels: {instance: other}
- name: second
  rules:
  - record: req:sum
    expr: sum(req_total)
  - record: one
    expr: '1'
  - record: never
    expr: req_total > 1e9
";
const START: &str = "2023-11-14T22:13:20Z";
const END: &str = "1700021000";

fn run(program: &str, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(folder).output().unwrap()
}

fn ours(folder: &Path, end: &str, more: &[&str]) -> Output {
    let command = ["tool", "tsdb", "create-blocks-from", "rules", "--start", START, "--end", end];
    run(env!("CARGO_BIN_EXE_skopos"), folder, &[&command, more].concat())
}

#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The samples of a directory, as promtool reads them; its dump wants a WAL to be there.
fn dump(folder: &Path, dir: &str) -> Vec<String> {
    fs::create_dir_all(folder.join(dir).join("wal")).unwrap();
    let mut lines: Vec<String> =
        ok(&run("promtool", folder, &["tsdb", "dump", dir])).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A Prometheus with three hosts over five hours and a half, in blocks, and a folder with `RULES`.
fn world() -> (Service, tempfile::TempDir) {
    let mut text = "# TYPE req counter\n".to_owned();
    for (host, code) in (0..3).flat_map(|h| ["200", "500"].map(|c| (h, c))) {
        for i in 0..330 {
            let (value, at) = (f64::from(i * (host + 1)) * 1.5, 1_700_000_000 + i * 60);
            text += &format!("req_total{{instance=\"h{host}\",code=\"{code}\"}} {value} {at}\n");
        }
    }
    let mut server = peers::prometheus("global: {}\n", &["--storage.tsdb.retention.time=100y"]);
    server.terminate();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.om"), text + "# EOF\n").unwrap();
    fs::write(folder.path().join("rules.yml"), RULES).unwrap();
    let data = server.folder().join("data");
    let make = ["tsdb", "create-blocks-from", "openmetrics", "in.om", data.to_str().unwrap()];
    ok(&run("promtool", folder.path(), &make));
    server.restart();
    (server, folder)
}

#[test]
fn blocks_of_rules_are_those_of_promtool() {
    let (server, temp) = world();
    let (folder, url) = (temp.path(), server.url(""));
    // The rule that would make one series of three is refused by both; see below.
    let rules = RULES.replace("req_total{code='200'}", "sum without (instance) (req_total{code='200'})");
    fs::write(folder.join("rules.yml"), rules).unwrap();
    let theirs = ["tsdb", "create-blocks-from", "rules", "--url", &url, "--start", START, "--end", END];
    let theirs = [&theirs[..], &["--output-dir", "theirs", "rules.yml"]].concat();
    ok(&run("promtool", folder, &theirs));
    let expected = dump(folder, "theirs");
    assert!(expected.len() > 3500, "{} samples", expected.len());
    assert!(expected.iter().any(|l| l.contains("rate5m") && l.contains("team=\"a\"")));

    let alerts = "groups: [{name: x, rules: [{alert: A, expr: req_total, for: 5m}]}]\n";
    fs::write(folder.join("alerts.yml"), alerts).unwrap();
    let table = ok(&ours(folder, END, &["--url", &url, "--output-dir", "ours", "rules.yml", "alerts.yml"]));
    assert_eq!(dump(folder, "ours"), expected, "asked of Prometheus");
    assert_eq!(table, ok(&run("promtool", folder, &["tsdb", "list", "ours"])), "what was made is printed");
    assert_eq!(table.lines().count(), 1 + 4, "one block for each two hours");

    let data = server.folder().join("data");
    let local = ["-q", "--db", data.to_str().unwrap(), "--output-dir", "local", "rules.yml"];
    assert_eq!(ok(&ours(folder, END, &local)), "");
    assert_eq!(dump(folder, "local"), expected, "evaluated here");
}

#[test]
fn what_cannot_be_filled_in_is_said_and_leaves_no_block() {
    let (server, temp) = world();
    let (folder, url) = (temp.path(), server.url(""));
    let good = "groups: [{name: x, rules: [{record: a, expr: req_total}]}]\n";
    for (rules, more, words) in [
        (
            RULES,
            &["--url", &url][..],
            "rule \"req:copy\" records two values of req:copy{instance=\"renamed\"}",
        ),
        (good, &["--url", "http://127.0.0.1:1"], "http://127.0.0.1:1/api/v1/query_range does not answer: "),
        (good, &["--url", &server.url("/nowhere")], "refused the query with status 404: "),
        (good, &["--url", &url, "--eval-interval", "100ms"], "status 400: exceeded maximum resolution"),
        (good, &["--db", "gone"], "gone"),
        (good, &["--db", "gone", "--url", &url], "cannot be used with"),
        ("groups: [{name: x, rules: [{record: a, expr: 'x +'}]}]\n", &[], "r.yml:1:"),
        ("groups: []\n", &[], "there is no recording rule"),
    ] {
        fs::write(folder.join("r.yml"), rules).unwrap();
        let error = refused(&ours(folder, END, &[more, &["--output-dir", "out", "r.yml"]].concat()));
        assert!(error.contains(words), "{words:?}: {error}");
        let blocks = fs::read_dir(folder.join("out")).map_or(0, Iterator::count);
        assert_eq!(blocks, 0, "{words:?}");
    }
    let error = refused(&ours(folder, "1700000000", &["r.yml"]));
    assert!(error.contains("--start (2023-11-14T22:13:20Z) is not before --end"), "{error}");
}

#[test]
fn limit_and_offset_of_a_group_change_nothing_here_as_in_promtool_3() {
    let (server, temp) = world();
    let (folder, url) = (temp.path(), server.url(""));
    let rules = "groups: [{name: x, interval: 60s, limit: 1, query_offset: 10m, rules: \
                 [{record: copy, expr: req_total}]}]\n";
    fs::write(folder.join("rules.yml"), rules).unwrap();
    ok(&ours(folder, END, &["--url", &url, "--output-dir", "ours", "rules.yml"]));
    let mut made = vec!["ours"];
    if let Some(promtool) = peers::promtool_3() {
        let theirs = ["tsdb", "create-blocks-from", "rules", "--url", &url, "--start", START, "--end", END];
        let theirs = [&theirs[..], &["--output-dir", "theirs", "rules.yml"]].concat();
        ok(&run(promtool.to_str().unwrap(), folder, &theirs));
        made.push("theirs");
    }
    // The two evaluate at other times of each minute: every value is checked against its own time.
    for dir in made {
        let lines = dump(folder, dir);
        let series: std::collections::BTreeSet<&str> =
            lines.iter().map(|line| line.split_once("} ").unwrap().0).collect();
        assert_eq!(series.len(), 6, "{dir}: more than the limit");
        assert!(lines.len() > 6 * 300, "{dir}: {} samples", lines.len());
        for line in &lines {
            let mut words = line.rsplit(' ');
            let at: i64 = words.next().unwrap().parse().unwrap();
            let value: f64 = words.next().unwrap().parse().unwrap();
            let host = (0..3).find(|h| line.contains(&format!("instance=\"h{h}\""))).unwrap();
            let nth = (at - 1_700_000_000_000).div_euclid(60_000).min(329);
            assert_eq!(value, (nth * (host + 1)) as f64 * 1.5, "{dir}: {line}");
        }
    }
}

/// A data directory with a series of native histograms, two hours of them at 15 s.
fn histograms(dir: &Path) {
    let env = skopos_base::Env::real();
    let db = skopos_tsdb::Db::open(dir, skopos_tsdb::Options::default(), &env).unwrap();
    let labels = Labels::from_pairs([("__name__", "latency"), ("job", "x")]);
    for i in 0..480i64 {
        let layout =
            Layout { schema: 2, positive_spans: vec![Span { offset: -1, length: 2 }], ..Layout::default() };
        let count = 3 * i as u64 + 2;
        let positive_deltas = vec![i + 1, i];
        let histogram =
            Histogram { layout, count, sum: 0.5 * i as f64, positive_deltas, ..Histogram::default() };
        let mut appender = db.appender();
        let at = TimestampMs::new(1_700_000_000_000 + 15_000 * i);
        let sample = Append::float(SeriesId::Labels(&labels), at, 0.0);
        appender.append(&Append { value: Value::Histogram(&histogram), ..sample }).unwrap();
        appender.commit().unwrap();
    }
    db.close().unwrap();
}

#[test]
fn histograms_are_recorded_over_a_data_directory_and_named_over_a_server() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    histograms(&folder.join("data"));
    let rules = "groups: [{name: x, rules: [{record: copy, expr: latency}, {record: sums, expr: \
                 'histogram_sum(latency)'}]}]\n";
    fs::write(folder.join("rules.yml"), rules).unwrap();
    ok(&ours(folder, "1700007000", &["--db", "data", "--output-dir", "made", "rules.yml"]));
    let dumped = ok(&run(env!("CARGO_BIN_EXE_skopos"), folder, &["tool", "tsdb", "dump", "made"]));
    let (copies, sums): (Vec<&str>, Vec<&str>) = dumped.lines().partition(|l| l.contains("\"copy\""));
    assert_eq!((copies.len(), sums.len()), (117, 117), "{dumped}");
    for (copy, sum) in copies.iter().zip(&sums) {
        let (value, at) = sum.split_once("} ").unwrap().1.split_once(' ').unwrap();
        let nth = (at.parse::<i64>().unwrap() - 1_700_000_000_000) / 15_000;
        assert_eq!(value.parse::<f64>().unwrap(), nth as f64 / 2.0);
        // Bounds are roots of two, whose last digit is as it is: counts say that the buckets are these.
        let (first, second) = (format!("]:{},", nth + 1), format!("]:{}}} {at}", 2 * nth + 1));
        let head = format!("{{count:{}, sum:{value}, (", 3 * nth + 2);
        assert!(copy.contains(&head) && copy.contains(&first) && copy.ends_with(&second), "{copy}");
    }
    if let Some(prometheus) = peers::prometheus_3() {
        let mut server = peers::prometheus_at(prometheus, "", &["--storage.tsdb.retention.time=100y"]);
        server.terminate();
        let data = server.folder().join("data");
        fs::remove_dir_all(&data).unwrap();
        histograms(&data);
        server.restart();
        let url = server.url("");
        let error =
            refused(&ours(folder, "1700007000", &["--url", &url, "--output-dir", "none", "rules.yml"]));
        assert!(error.contains("the value of latency{job=\"x\"} is a native histogram"), "{error}");
        assert!(error.contains("--db"), "{error}");
        assert_eq!(fs::read_dir(folder.join("none")).map_or(0, Iterator::count), 0);
    }
}
