//! Process groups: the machine in `tests/processes` at two moments and the page that the second gives; files
//! that are broken or gone; this machine.

use crate::common::{
    Key, Page, break_file, check_golden, copy_below, entries_in, gather, here, options, real_agent, seeded,
    still_agent, succeeded, text,
};
use rustix::fs::{CWD, Mode, mkfifoat};
use skopos_model::MetricType;
use std::{fs, path::Path};

const NAME: &str = "process-groups";
const ONLY: &[&str] = &["--collector.disable-defaults", "--collector.process-groups"];

const THREADS: &str = "--collector.process-groups.threads";

/// Makes `to` what the machine was `before` or `after`.
fn become_machine(to: &Path, moment: &str) {
    let _ = fs::remove_dir_all(to.join("proc"));
    copy_below(&here("processes").join(moment), to);
}

#[test]
fn the_second_scrape_gives_the_page_that_is_kept() {
    let rules = format!("--collector.process-groups.config-file={}", here("processes/groups.yml").display());
    for (name, flags) in [
        ("process-groups", &[rules.as_str(), "--collector.process-groups.smaps", THREADS][..]),
        ("process-groups-all", &[]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        become_machine(folder.path(), "before");
        let agent = still_agent(folder.path(), &[ONLY, flags].concat());
        text(&agent);
        become_machine(folder.path(), "after");
        let given = text(&agent);
        assert!(succeeded(&Page::parse(given.as_bytes()), NAME), "{given}");
        check_golden(name, &given);
    }
}

#[test]
fn files_that_are_broken_or_gone_never_fail_a_scrape_nor_let_a_counter_fall() {
    const ROUNDS: usize = 300;
    let rng = seeded();
    let folder = tempfile::tempdir().unwrap();
    become_machine(folder.path(), "before");
    let proc = folder.path().join("proc");
    let files = entries_in(&proc);
    let agent = still_agent(folder.path(), &[ONLY, &["--collector.process-groups.smaps", THREADS]].concat());
    let mut last = gather(&agent);
    for _ in 0..ROUNDS {
        let path = proc.join(&files[rng.below(files.len() as u64) as usize]);
        if rng.below(40) == 0 {
            become_machine(folder.path(), if rng.below(2) == 0 { "before" } else { "after" });
        }
        if !break_file(&path, &rng) {
            continue;
        }
        let page = gather(&agent);
        assert!(succeeded(&page, NAME), "{}", path.display());
        for (key, value) in &last.samples {
            if last.types.get(&key.0) == Some(&MetricType::Counter) {
                // A name goes with its last thread.
                let now = page.samples.get(key).copied();
                let now = now.or_else(|| key.0.contains("_thread_").then_some(f64::INFINITY));
                assert!(now.is_some_and(|now| now >= *value), "{key:?}: {value}, then {now:?}");
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
    let pipe = folder.path().join("pipe");
    mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
    for path in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
        let flag = format!("--collector.process-groups.config-file={}", path.display());
        let program = Program::try_parse_from(["agent", &flag]).unwrap();
        let error = program.collectors.options().unwrap_err().to_string();
        assert!(error.ends_with("this is a folder, a pipe or a device; name a file"), "{error}");
    }
    for (content, what) in [
        (None, "No such file"),
        (
            Some("process_names:\n- comm: [a]\n- comm: red\n"),
            "groups.yml:3: expected a list (lines of `- item`)",
        ),
        (
            Some("process_names:\n- name: '{{.Nope}}'\n  comm: [a]\n"),
            "groups.yml:2: process_names, entry 1: name ",
        ),
    ] {
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        let flag = format!("--collector.process-groups.config-file={}", file.display());
        let program = Program::try_parse_from(["agent", &flag]).unwrap();
        let error = program.collectors.options().unwrap_err().to_string();
        let begins = error.starts_with("--collector.process-groups.config-file: ");
        assert!(begins && error.contains(what), "{error}");
    }
}

#[test]
fn this_machine_has_the_group_of_this_test() {
    let agent = real_agent(options(ONLY));
    text(&agent);
    let page = gather(&agent);
    assert!(succeeded(&page, NAME));
    let comm = fs::read_to_string("/proc/self/comm").unwrap();
    let group = [("groupname", comm.trim())];
    assert!(page.value("namedprocess_namegroup_num_procs", &group).unwrap() >= 1.0);
    assert!(page.value("namedprocess_namegroup_open_filedesc", &group).unwrap() >= 3.0);
    let memory = [group[0], ("memtype", "resident")];
    assert!(page.value("namedprocess_namegroup_memory_bytes", &memory).unwrap() > 1e5);
    let age = page.value("namedprocess_namegroup_oldest_start_time_seconds", &group).unwrap();
    assert!(age > 1e9);
}

/// What a storm of short processes used, as its shell knows it: user and system time in seconds.
fn storm(program: &Path, rounds: usize) -> (f64, f64) {
    let script = format!(
        "i=0; while [ $i -lt {rounds} ]; do {0}; ({0} &); i=$((i+1)); done; sleep 0.2; times",
        program.display()
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let seconds = |word: &str| {
        let (minutes, rest) = word.split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + rest.trim_end_matches('s').parse::<f64>().unwrap()
    };
    // The second line is the children's that were waited for.
    let words: Vec<_> = said.lines().nth(1).unwrap().split_whitespace().map(seconds).collect();
    (words[0], words[1])
}

/// Whether this process may administer the network and sees the machine's own numbers of processes.
fn may_be_told() -> bool {
    const NET_ADMIN: u64 = 1 << 12;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
    let is_first = fs::read_link("/proc/self/ns/pid").is_ok_and(|l| l.as_os_str() == "pid:[4026531836]");
    u64::from_str_radix(capabilities, 16).unwrap() & NET_ADMIN != 0 && is_first
}

/// Parents know what those used that they waited for; the kernel tells root of each process that ends. A
/// storm is a thousand of them between two scrapes, half of which nobody waits for.
#[test]
fn a_storm_of_short_processes_is_counted() {
    const ROUNDS: usize = 500;
    let folder = tempfile::tempdir().unwrap();
    let name = format!("storm{}", std::process::id());
    let program = folder.path().join(&name);
    fs::copy("/bin/true", &program).unwrap();
    let by_parents = real_agent(options(ONLY));
    let agent = real_agent(options(&[ONLY, &["--collector.process-groups.exits"]].concat()));
    let all_s = |page: &Page| -> f64 {
        let cpu = |(family, _): &Key| family == "namedprocess_namegroup_cpu_seconds_total";
        page.samples.iter().filter(|(key, _)| cpu(key)).map(|(_, value)| value).sum()
    };
    let before_s = all_s(&gather(&by_parents));
    let forks = |page: &Page| page.value("skopos_process_groups_forks_total", &[]).unwrap();
    let before = forks(&gather(&agent));
    let (user_s, system_s) = storm(&program, ROUNDS);
    let used_s = all_s(&gather(&by_parents)) - before_s;
    assert!(used_s > 0.8 * (user_s + system_s), "parents know {used_s} s of {user_s} and {system_s} s");
    let page = gather(&agent);
    assert!(succeeded(&page, NAME));
    assert!(forks(&page) - before >= 2.0 * ROUNDS as f64, "the kernel counts every one of them");
    let of = |family: &str, labels: &[(&str, &str)]| page.value(family, labels);
    let is_told = of("skopos_process_groups_accounting_info", &[("source", "exits")]).is_some();
    assert_eq!(is_told, may_be_told(), "an administrator of the whole machine is told, and nobody else");
    if !is_told || of("skopos_process_groups_exits_missed_total", &[]).unwrap() > 0.0 {
        eprintln!(
            "WARNING: the kernel did not tell of all ends; the groups of ended processes were NOT compared"
        );
        return;
    }
    let group = ("groupname", name.as_str());
    assert_eq!(of("skopos_process_groups_ended_total", &[group]), Some(2.0 * ROUNDS as f64));
    let cpu = |mode| of("namedprocess_namegroup_cpu_seconds_total", &[group, ("mode", mode)]).unwrap();
    let (counted_s, waited_s) = (cpu("user") + cpu("system"), user_s + system_s);
    assert!(counted_s > 0.0, "each used less than a tick, and all of them much");
    // The kernel tells a lower bound; shells in between are in what their shell knows, too.
    assert!(counted_s < 3.0 * waited_s, "{counted_s} s of {waited_s} s");
    let faults = of("namedprocess_namegroup_minor_page_faults_total", &[group]).unwrap();
    assert!(faults > 2.0 * ROUNDS as f64 * 20.0, "{faults} page faults");
}
