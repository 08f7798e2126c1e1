//! Process groups: the machine in `tests/processes` at two moments and the page that the second gives; files
//! that are broken or gone; this machine.

use crate::common::{Page, options, real_agent, still_agent};
use skopos_agent::NodeAgent;
use skopos_base::{env::Env, rng::Rng};
use skopos_exposition::Format;
use skopos_model::MetricType;
use std::{
    fs,
    path::{Path, PathBuf},
};

const ONLY: &[&str] = &["--collector.disable-defaults", "--collector.process-groups"];

fn here(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Makes `to` what the machine was `before` or `after`.
fn become_machine(to: &Path, moment: &str) {
    let _ = fs::remove_dir_all(to.join("proc"));
    copy_below(&here("processes").join(moment), to);
}

fn copy_below(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_below(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn text(agent: &NodeAgent) -> String {
    let mut out = Vec::new();
    agent.gather(Format::Text, &mut out);
    String::from_utf8(out).unwrap()
}

fn succeeded(page: &Page) -> bool {
    page.value("node_scrape_collector_success", &[("collector", "process-groups")]) == Some(1.0)
}

#[test]
fn the_second_scrape_gives_the_page_that_is_kept() {
    let rules = format!("--collector.process-groups.config-file={}", here("processes/groups.yml").display());
    for (name, flags) in [
        ("process-groups", &[rules.as_str(), "--collector.process-groups.smaps"][..]),
        ("process-groups-all", &[]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        become_machine(folder.path(), "before");
        let agent = still_agent(folder.path(), &[ONLY, flags].concat());
        text(&agent);
        become_machine(folder.path(), "after");
        let given = text(&agent);
        assert!(succeeded(&Page::parse(given.as_bytes())), "{given}");
        let path = here("golden").join(format!("{name}.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &given).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        for (i, (given, kept)) in given.lines().zip(kept.lines()).enumerate() {
            assert_eq!(given, kept, "{name}: line {}", i + 1);
        }
        assert_eq!(given.len(), kept.len(), "{name}");
    }
}

fn files_in(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_in(&path, found);
        } else {
            found.push(path);
        }
    }
    found.sort();
}

#[test]
fn files_that_are_broken_or_gone_never_fail_a_scrape_nor_let_a_counter_fall() {
    const ROUNDS: usize = 300;
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| Env::real().rng.next_u64());
    println!("SEED={seed}");
    let rng = Rng::from_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    become_machine(folder.path(), "before");
    let mut files = Vec::new();
    files_in(&folder.path().join("proc"), &mut files);
    let agent = still_agent(folder.path(), &[ONLY, &["--collector.process-groups.smaps"]].concat());
    let mut last = Page::parse(text(&agent).as_bytes());
    for _ in 0..ROUNDS {
        let path = &files[rng.below(files.len() as u64) as usize];
        if rng.below(40) == 0 {
            become_machine(folder.path(), if rng.below(2) == 0 { "before" } else { "after" });
        }
        let Ok(mut content) = fs::read(path) else { continue };
        let at = rng.below(content.len() as u64 + 1) as usize;
        match rng.below(4) {
            0 => fs::remove_file(path).unwrap(),
            1 => fs::write(path, &content[..at]).unwrap(),
            2 => fs::write(path, b"18446744073709551615 -1 \xff\n\n:=\n").unwrap(),
            _ => {
                content.insert(at, rng.below(256) as u8);
                fs::write(path, content).unwrap();
            }
        }
        let page = Page::parse(text(&agent).as_bytes());
        assert!(succeeded(&page), "{}", path.display());
        for (key, value) in &last.samples {
            if last.types.get(&key.0) == Some(&MetricType::Counter) {
                let now = page.samples.get(key);
                assert!(now.is_some_and(|now| now >= value), "{key:?}: {value}, then {now:?}");
            }
        }
        last = page;
    }
}

#[test]
fn files_of_rules_that_make_no_sense_are_refused() {
    use clap::Parser;
    #[derive(Debug, clap::Parser)]
    struct Program {
        #[command(flatten)]
        collectors: skopos_agent::CollectorArgs,
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("groups.yml");
    for (content, what) in [
        (None, "No such file"),
        (Some("process_names:\n- comm: [a]\n  colour: red\n"), "line 3"),
        (Some("process_names:\n- name: '{{.Nope}}'\n  comm: [a]\n"), "entry 1: {{.Nope}} is not a field"),
    ] {
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        let flag = format!("--collector.process-groups.config-file={}", file.display());
        let program = Program::try_parse_from(["agent", &flag]).unwrap();
        let error = program.collectors.options().unwrap_err().to_string();
        assert!(error.starts_with(&flag) && error.contains(what), "{error}");
    }
}

#[test]
fn this_machine_has_the_group_of_this_test() {
    let agent = real_agent(options(ONLY));
    text(&agent);
    let page = Page::parse(text(&agent).as_bytes());
    assert!(succeeded(&page));
    let comm = fs::read_to_string("/proc/self/comm").unwrap();
    let group = [("groupname", comm.trim())];
    assert!(page.value("namedprocess_namegroup_num_procs", &group).unwrap() >= 1.0);
    assert!(page.value("namedprocess_namegroup_open_filedesc", &group).unwrap() >= 3.0);
    let memory = [group[0], ("memtype", "resident")];
    assert!(page.value("namedprocess_namegroup_memory_bytes", &memory).unwrap() > 1e5);
    let age = page.value("namedprocess_namegroup_oldest_start_time_seconds", &group).unwrap();
    assert!(age > 1e9);
}
