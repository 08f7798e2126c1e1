//! `skopos tool check` beside Debian's promtool and that of Prometheus 3: the same files are good and bad,
//! with the same exit codes, and what is found is the same.

use crate::support::BINARY;
use serde_json::{Value, json};
use skopos_testkit::peers;
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

struct Said {
    code: i32,
    text: String,
    errors: String,
}

fn run(program: &Path, arguments: &[&str], input: &str) -> Said {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), text: text(output.stdout), errors: text(output.stderr) }
}

fn ours(arguments: &[&str], input: &str) -> Said {
    run(Path::new(BINARY), &[&["tool", "check"], arguments].concat(), input)
}

/// Both promtools, the newer one where there is one.
fn theirs() -> Vec<PathBuf> {
    [peers::promtool()].into_iter().chain(peers::promtool_3()).collect()
}

fn check(program: &Path, arguments: &[&str], input: &str) -> Said {
    run(program, &[&["check"], arguments].concat(), input)
}

const EXPOSITIONS: [&str; 12] = [
    "# HELP a_total x\n# TYPE a_total counter\na_total 1\n",
    "# TYPE no_help counter\nno_help_total 1\n",
    "# HELP cnt Counter without total.\n# TYPE cnt counter\ncnt 1\n",
    "# HELP gauge_total A gauge.\n# TYPE gauge_total gauge\ngauge_total{le=\"1\",quantile=\"2\"} 1\n",
    "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# HELP s S.\n\
     # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\n",
    "# HELP dur_milliseconds M.\n# TYPE dur_milliseconds gauge\ndur_milliseconds 1\n# HELP dur_hours H.\n\
     # TYPE dur_hours gauge\ndur_hours 1\n# HELP mem_kibibytes x\n\
     # TYPE mem_kibibytes gauge\nmem_kibibytes 1\n",
    "# HELP camelCase C.\n# TYPE camelCase gauge\ncamelCase{labelName=\"x\"} 1\n",
    "# HELP metric_gauge_type T.\n# TYPE metric_gauge_type gauge\nmetric_gauge_type 1\n# HELP x_bucket b.\n\
     # TYPE x_bucket gauge\nx_bucket 1\n# HELP some_count c\n# TYPE some_count gauge\nsome_count 1\n\
     # HELP some_sum c\n# TYPE some_sum gauge\nsome_sum 1\n",
    "# HELP foo:bar colon.\n# TYPE foo:bar gauge\nfoo:bar 1\n# HELP mem_b a.\n# TYPE mem_b gauge\n\
     mem_b 1\n# HELP dur_ms_max a.\n# TYPE dur_ms_max gauge\ndur_ms_max 1\nuntyped_thing 4\n",
    "",
    "a{ 1\n",
    "# HELP temp_fahrenheit t\n# TYPE temp_fahrenheit gauge\ntemp_fahrenheit 1\n# HELP up_seconds u\n\
     # TYPE up_seconds gauge\nup_seconds 1\n",
];

#[test]
fn metrics_are_found_wanting_as_by_promtool() {
    for text in EXPOSITIONS {
        let own = ours(&["metrics"], text);
        let lines = |text: &str| -> BTreeSet<String> {
            text.lines().map(str::to_owned).filter(|line| !line.starts_with("error")).collect()
        };
        for program in theirs() {
            let other = check(&program, &["metrics"], text);
            assert_eq!(own.code, other.code, "{text}\n{}\n{}", own.errors, other.errors);
            if own.code != 1 {
                assert_eq!(lines(&own.text), lines(&other.errors), "{text}");
            }
        }
    }
}

#[test]
fn series_are_counted_as_by_promtool_and_rules_can_be_left_out() {
    let text: String = [0, 4, 6].map(|nth: usize| EXPOSITIONS[nth]).concat();
    let own = ours(&["metrics", "--extended", "--lint=none"], &text);
    assert_eq!(own.code, 0, "{}", own.errors);
    let words = |text: &str| -> BTreeSet<Vec<String>> {
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let total = vec!["Total".to_owned(), "8".to_owned(), "100%".to_owned()];
    assert!(words(&own.text).contains(&total), "{}", own.text);
    let good = EXPOSITIONS[0].to_owned() + EXPOSITIONS[4];
    let own = ours(&["metrics", "--extended"], &good);
    for program in theirs() {
        let other = check(&program, &["metrics", "--extended"], &good);
        assert_eq!((own.code, words(&own.text)), (other.code, words(&other.text)));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.txt");
    fs::write(&file, EXPOSITIONS[2]).unwrap();
    assert_eq!(ours(&["metrics", file.to_str().unwrap()], "").code, 3);
}

#[test]
fn configurations_are_good_and_bad_as_for_promtool() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    write("list.json", r#"[{"targets": ["a:1"]}]"#);
    write("broken.json", r#"[{"targets": "#);
    let job = |keys: &str| format!("scrape_configs:\n- job_name: j\n{keys}");
    let relabelled = |rule: &str, targets: &str| {
        job(&format!("  scrape_interval: 5s\n  relabel_configs: [{{{rule}}}]\n  {targets}\n"))
    };
    let (fixed, listed) = ("static_configs: [{targets: ['a:1']}]", "file_sd_configs: [{files: [list.json]}]");
    let too_long = "target_label: __scrape_timeout__, replacement: 300s";
    let slow = job("  scrape_interval: 10m\n  static_configs: [{targets: ['a:1']}]\n");
    let cases = [
        ("good.yml", job("  static_configs: [{targets: ['a:1']}]\n"), &[][..]),
        ("unknown.yml", "globall: {}\n".to_owned(), &[]),
        ("twice.yml", "scrape_configs: [{job_name: a}, {job_name: a}]\n".to_owned(), &[]),
        ("list.yml", job("  file_sd_configs: [{files: [list.json]}]\n"), &[]),
        ("broken.yml", job("  file_sd_configs: [{files: [broken.json]}]\n"), &[]),
        ("broken.yml", job("  file_sd_configs: [{files: [broken.json]}]\n"), &["--syntax-only"]),
        ("later.yml", job("  file_sd_configs: [{files: [later.json]}]\n"), &[]),
        ("ca.yml", job("  tls_config: {cert_file: no.pem, key_file: no.key}\n"), &[]),
        ("ca.yml", job("  tls_config: {cert_file: no.pem, key_file: no.key}\n"), &["--syntax-only"]),
        ("secret.yml", job("  authorization: {credentials_file: none}\n"), &[]),
        ("timeout.yml", relabelled(too_long, fixed), &[]),
        ("timeout.yml", relabelled(too_long, fixed), &["--syntax-only"]),
        ("timeouts.yml", relabelled(too_long, listed), &[]),
        ("timeouts.yml", relabelled(too_long, listed), &["--syntax-only"]),
        ("dropped.yml", relabelled("action: drop, regex: '.*'", fixed), &[]),
        ("no_interval.yml", relabelled("target_label: __scrape_interval__, replacement: x", fixed), &[]),
        ("slow.yml", slow.clone(), &[]),
        ("slow.yml", slow.clone(), &["--lint-fatal"]),
        ("slow.yml", slow.clone(), &["--lint=none", "--lint-fatal"]),
    ];
    for (name, text, flags) in cases {
        let file = write(name, &text);
        let own = ours(&[&["config"], flags, &[file.as_str()]].concat(), "");
        for program in theirs() {
            let other = check(&program, &[&["config"], flags, &[file.as_str()]].concat(), "");
            assert_eq!(own.code, other.code, "{name} {flags:?}\n{}\n{}", own.errors, other.errors);
        }
    }
    // A rule that the older one does not have.
    let file = write("slow.yml", &slow);
    let fatal = ["config", "--lint=too-long-scrape-interval", "--lint-fatal", &file];
    assert_eq!(ours(&fatal, "").code, 3);
    assert_eq!(ours(&["config", "--lint=all", &file], "").code, 0);
    let Some(program) = peers::promtool_3() else { return };
    assert_eq!(check(&program, &fatal, "").code, 3);
    // A section that the older one does not have.
    for keys in [
        "promote_resource_attributes: [a, b]",
        "promote_resource_attributes: [a, a]",
        "promote_resource_attributes: [a, ' a ']",
        "promote_resource_attributes: [' ']",
        "promote_resource_attributes: [a], promote_all_resource_attributes: true",
        "promote_resource_attributes: [], promote_all_resource_attributes: true",
        "ignore_resource_attributes: [a]",
        "promote_all_resource_attributes: true, ignore_resource_attributes: [a]",
        "promote_all_resource_attributes: true, ignore_resource_attributes: [a, a]",
        "promote_all_resource_attributes: true, ignore_resource_attributes: ['']",
    ] {
        let file = write("otlp.yml", &format!("otlp: {{{keys}}}\n"));
        let (own, other) = (ours(&["config", &file], ""), check(&program, &["config", &file], ""));
        assert_eq!(own.code, other.code, "{keys}\n{}\n{}", own.errors, other.errors);
    }
}

#[test]
fn files_of_web_servers_are_good_and_bad_as_for_promtool() {
    let folder = tempfile::tempdir().unwrap();
    let hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
    for (name, text) in [
        ("empty.yml", String::new()),
        ("users.yml", format!("basic_auth_users: {{alice: {hash}}}\n")),
        ("unknown.yml", "odd: 1\n".to_owned()),
        ("cert.yml", "tls_server_config: {cert_file: none.pem, key_file: none.key}\n".to_owned()),
        ("half.yml", "tls_server_config: {cert_file: none.pem}\n".to_owned()),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        let own = ours(&["web-config", file.to_str().unwrap()], "");
        for program in theirs() {
            let other = check(&program, &["web-config", file.to_str().unwrap()], "");
            assert_eq!(own.code, other.code, "{name}\n{}\n{}{}", own.errors, other.text, other.errors);
        }
    }
}

#[test]
fn targets_of_a_job_are_shown_as_by_promtool() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("list.json", r#"[{"targets": ["a:1", "b:1", "c:1/x"], "labels": {"rack": "r1"}}]"#);
    let path = folder.path().join("list.json");
    let config = format!(
        "scrape_configs:\n- job_name: found\n  metrics_path: /m\n  params: {{module: [x]}}\n  \
         file_sd_configs:\n  - files: ['{}']\n  relabel_configs:\n  - {{source_labels: [__address__], \
         regex: 'b:.*', action: drop}}\n  - {{source_labels: [__meta_filepath], regex: '.*/(.*)', \
         target_label: file}}\n- job_name: written\n  \
         static_configs: [{{targets: ['s:1', 's:2'], labels: {{env: prod}}}}]\n",
        path.display()
    );
    write("prometheus.yml", &config);
    let file = folder.path().join("prometheus.yml").display().to_string();
    let all = |said: &Said| -> Vec<String> {
        let all: Value = serde_json::from_str(&said.text).unwrap_or_else(|e| panic!("{e}: {}", said.errors));
        let all = all.as_array().unwrap().iter();
        let shown = |one: &Value| {
            let has_error = one.get("error").is_some_and(|error| !error.is_null());
            let labels = if has_error { json!({}) } else { one["labels"].clone() };
            json!({"discovered": one["discoveredLabels"], "labels": labels}).to_string()
        };
        let mut all: Vec<_> = all.map(shown).collect();
        all.sort();
        all
    };
    for (job, count) in [("found", 3), ("written", 2)] {
        let arguments = ["service-discovery", "--timeout=5s", &file, job];
        let own = ours(&arguments, "");
        assert_eq!((own.code, all(&own).len()), (0, count), "{}", own.text);
        if let Some(program) = peers::promtool_3() {
            let other = check(&program, &arguments, "");
            assert_eq!((other.code, all(&other)), (0, all(&own)));
        }
    }
    let missing = ours(&["service-discovery", &file, "gone"], "");
    assert_eq!(missing.code, 1);
    assert!(
        missing.errors.contains("there is no job \"gone\"; there are found, written"),
        "{}",
        missing.errors
    );
}
