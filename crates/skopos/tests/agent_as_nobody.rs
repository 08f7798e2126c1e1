//! `skopos agent` as the user `nobody`, beside root's: what is missing is named in the log, once.

use crate::support::{BINARY, PATIENCE};
use skopos_testkit::{service::Service, skopos::Skopos, wait_until};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

/// What the log says of something that the system refused.
const REFUSED: &str = " may not have it";

/// The agent with all collectors that it has.
fn agent() -> Skopos {
    let names = skopos_agent::collector_names();
    let agent =
        Skopos::agent(BINARY).flag("--collector.process-groups.smaps").flag("--collector.containers.sockets");
    names.fold(agent, |agent, name| agent.flag(&format!("--collector.{name}")))
}

/// The families that one collector writes, and whether it succeeds.
fn families(agent: &Service, collector: &str) -> (BTreeSet<String>, bool) {
    let response = agent.get(&format!("/metrics?collect[]={collector}"));
    assert_eq!(response.status, 200, "{collector}: {}", response.text());
    let page = response.text();
    let success = format!("node_scrape_collector_success{{collector=\"{collector}\"}} 1");
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE node_"));
    let names = types.filter_map(|line| line.split(' ').next()).map(str::to_owned);
    (names.collect(), page.lines().any(|line| line == success))
}

/// The lines of the log about refusals, without their times, by collector.
fn refusals(agent: &Service) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in agent.log().lines().filter(|line| line.contains(REFUSED)) {
        let from = |start: &str| line.split_once(start).map(|(_, rest)| rest.to_owned());
        let rest = from("collector=").unwrap_or_else(|| panic!("no collector is named: {line}"));
        let collector = rest.split(' ').next().unwrap().trim_matches('"').to_owned();
        found.entry(collector).or_default().push(rest);
    }
    found
}

#[test]
fn what_nobody_may_not_see_is_named_once_and_all_else_is_there() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("WARNING: only root can run a program as nobody; this test did NOT run");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let secret = Secret::new();
    let start = |agent: Skopos| agent.flag(&secret.flag()).start();
    let (root, nobody) = (start(agent()), start(agent().as_nobody(folder.path())));
    let mut withheld = BTreeSet::new();
    for collector in skopos_agent::collector_names() {
        let (of_root, root_succeeds) = families(&root, collector);
        let (of_nobody, nobody_succeeds) = families(&nobody, collector);
        let missing: Vec<_> = of_root.difference(&of_nobody).collect();
        if !missing.is_empty() || root_succeeds != nobody_succeeds {
            let said = refusals(&nobody);
            assert!(said.contains_key(collector), "{collector} lacks {missing:?} and says nothing: {said:?}");
            withheld.insert(collector);
        }
    }
    assert!(withheld.contains("slabinfo"), "only root may read /proc/slabinfo: {withheld:?}");
    assert!(withheld.len() < 10, "an ordinary user is to see nearly everything: {withheld:?}");

    let before = refusals(&nobody);
    for _ in 0..3 {
        assert_eq!(nobody.get("/metrics").status, 200);
    }
    let after = refusals(&nobody);
    assert_eq!(before, after, "what was told is not told again");
    for (collector, lines) in &after {
        let once: BTreeSet<_> = lines.iter().collect();
        assert_eq!(once.len(), lines.len(), "{collector} repeats itself: {lines:?}");
    }
    assert!(after["slabinfo"].iter().any(|line| line.contains("/proc/slabinfo")), "{after:?}");
    let mut of_root = refusals(&root);
    if is_refused_processes() {
        // A sandbox's root may not look into all of them.
        of_root.values_mut().for_each(|lines| lines.retain(|line| !line.contains("/proc/PID")));
        of_root.retain(|_, lines| !lines.is_empty());
    }
    assert_eq!(of_root, BTreeMap::new(), "root may have everything");
    what_is_unknown_of_others_processes_is_not_shown_as_0(&nobody, &after["process-groups"]);
    let of_containers = after.get("containers").map_or(&[][..], Vec::as_slice);
    if fs::exists("/sys/fs/cgroup/cgroup.procs").unwrap() {
        assert!(of_containers.iter().any(|line| line.contains("/proc/PID/fd")), "{of_containers:?}");
    }
    assert_eq!(nobody.log().matches(&secret.file()).count(), 1, "{}", nobody.log());
    the_machines_network_is_its_own(&root, &nobody);
}

/// A file of metrics that only root may read.
struct Secret(tempfile::TempDir);

impl Secret {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let secret = Self(folder);
        fs::write(secret.file(), "secret 1\n").unwrap();
        fs::set_permissions(secret.file(), fs::Permissions::from_mode(0o600)).unwrap();
        secret
    }

    fn file(&self) -> String {
        format!("{}/secret.prom", self.0.path().display())
    }

    fn flag(&self) -> String {
        format!("--collector.textfile.directory={}", self.0.path().display())
    }
}

/// Nobody may read which network namespace the first process is in, and sees all the same that it is that of
/// other processes.
fn the_machines_network_is_its_own(root: &Service, nobody: &Service) {
    let networks = |agent: &Service| -> BTreeSet<(String, String)> {
        let page = agent.get("/metrics?collect[]=containers").text();
        let label = |line: &str, name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\""))?;
            Some(rest.split('"').next()?.to_owned())
        };
        let lines = page.lines().filter(|line| line.starts_with("container_network_receive_bytes_total{"));
        lines.map(|line| (label(line, "id").unwrap(), label(line, "interface").unwrap())).collect()
    };
    // Namespaces can come and go between the two looks.
    wait_until("nobody to see no more networks than root", PATIENCE, || {
        let (before, of_nobody, after) = (networks(root), networks(nobody), networks(root));
        (of_nobody == before && of_nobody == after).then_some(())
    });
}

/// Whether there is a process that this test may not look into.
fn is_refused_processes() -> bool {
    let entries = fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let io = entries.map(|entry| fs::read(entry.path().join("io")));
    io.filter_map(Result::err).any(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

fn what_is_unknown_of_others_processes_is_not_shown_as_0(nobody: &Service, said: &[String]) {
    let page = nobody.get("/metrics?collect[]=process-groups").text();
    let has = |start: String| page.lines().any(|line| line.starts_with(&start));
    let this_test = fs::read_to_string("/proc/self/comm").unwrap();
    for (group, is_known) in [(this_test.trim(), false), ("skopos", true)] {
        let of = |name: &str| format!("namedprocess_namegroup_{name}{{groupname=\"{group}\"");
        assert!(has(of("num_procs")), "{group}");
        for name in ["read_bytes_total", "write_bytes_total"] {
            assert_eq!(has(of(name)), is_known, "{group}: {name}");
        }
        let share = format!("{},memtype=\"proportionalResident\"", of("memory_bytes"));
        assert_eq!(has(share), is_known, "{group}: {said:?}");
    }
    for file in ["/proc/PID/io", "/proc/PID/smaps"] {
        assert_eq!(said.iter().filter(|line| line.contains(file)).count(), 1, "{file}: {said:?}");
    }
}
