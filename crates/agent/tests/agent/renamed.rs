//! Network devices that change, and get each other's names, while the agent has their files open, in a
//! network of their own.

use crate::common::{Page, gather, options, real_agent};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skopos_agent::NodeAgent;
use std::{collections::BTreeMap, env, ffi::OsStr, os::unix::ffi::OsStrExt as _, process::Command};

/// Set where the test runs in a network of its own.
const INSIDE: &str = "SKOPOS_TEST_IN_OWN_NETWORK";
fn run(program: &str, arguments: &str) {
    let status = Command::new(program).args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "{program} {arguments}");
}

/// Runs the test `name` once more, in a network of its own.
#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
fn in_own_network(name: &str, inside: fn()) {
    if env::var_os(INSIDE).is_some() {
        return inside();
    }
    let test = env::current_exe().unwrap();
    let script = "mount -t sysfs sysfs /sys && ip link add skpa mtu 1400 type ifb && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", script, "sh"])
        .arg(test)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && !said.contains("panicked") {
        eprintln!("WARNING: no network of its own can be made here; this test did NOT run: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");
}

#[test]
fn files_that_are_open_follow_names_and_not_devices() {
    in_own_network("renamed::files_that_are_open_follow_names_and_not_devices", renamed);
}

#[test]
fn there_may_be_more_files_of_devices_than_this_process_may_open() {
    in_own_network("renamed::there_may_be_more_files_of_devices_than_this_process_may_open", many);
}

#[test]
fn names_of_devices_may_be_no_text() {
    in_own_network("renamed::names_of_devices_may_be_no_text", odd);
}

#[test]
fn whatever_changes_of_a_device_is_seen_at_once() {
    in_own_network("renamed::whatever_changes_of_a_device_is_seen_at_once", changed);
}

fn net_class() -> NodeAgent {
    real_agent(options(&["--collector.disable-defaults", "--collector.netclass"]))
}

/// What an agent that has seen the devices before says of them is what one says that sees them for the first
/// time.
fn changed() {
    let agent = net_class();
    let of_devices = |page: Page| {
        let of_scrape = |name: &str| name.starts_with("node_scrape_") || !name.starts_with("node_");
        let samples = page.samples.into_iter().filter(|((name, _), _)| !of_scrape(name));
        samples.collect::<BTreeMap<_, _>>()
    };
    let mut before = of_devices(gather(&agent));
    for (i, change) in CHANGES.iter().enumerate() {
        run("ip", change);
        let seen = of_devices(gather(&agent));
        assert_eq!(seen, of_devices(gather(&net_class())), "after `ip {change}`");
        assert_ne!(seen, before, "`ip {change}` changes nothing");
        // Some scrapes in which nothing changes, so that the next change meets each of their numbers.
        for _ in 0..i {
            assert_eq!(of_devices(gather(&agent)), seen, "after `ip {change}`");
        }
        before = seen;
    }
}

/// What can be changed of a device, or changes with another one.
const CHANGES: &[&str] = &[
    "link add skpv mtu 1300 type veth peer name skpw",
    "link set skpv up",
    "link set skpw up",
    "link set skpw down",
    "link set skpw up",
    "link set skpa mtu 1200",
    "link set skpa txqueuelen 77",
    "link set skpa alias something",
    "link set skpa alias other",
    "link set skpa group 5",
    "link set skpv address 02:00:00:00:00:07",
    "link set skpv promisc on",
    "link set skpv allmulticast on",
    "link set skpv multicast off",
    "link set skpv arp off",
    "link set skpv mode dormant",
    "link set skpv state dormant",
    "link set lo up",
    "link set skpw name skpx",
    "link set skpx down",
    "link set skpx up",
    "link del skpv",
];

fn many() {
    const PAIRS: usize = 30;
    /// Fewer than the devices have files, and a quarter of it far fewer.
    const LIMIT: u64 = 1000;
    for i in 0..PAIRS {
        run("ip", &format!("link add skl{i} type veth peer name skr{i}"));
    }
    let limit = Rlimit { current: Some(LIMIT), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let agent = net_class();
    let devices =
        |page: &Page| page.samples.keys().filter(|(name, _)| name == "node_network_mtu_bytes").count();
    for _ in 0..40 {
        // `lo`, `skpa` and the pairs.
        assert_eq!(devices(&gather(&agent)), 2 + 2 * PAIRS);
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
        assert!(open < LIMIT as usize / 4 + 50, "{open} files are open");
    }
}

fn odd() {
    let name = OsStr::from_bytes(b"x\xffy");
    let ip = |arguments: &[&OsStr]| assert!(Command::new("ip").args(arguments).status().unwrap().success());
    let words = |text: &'static str| text.split(' ').map(OsStr::new).collect::<Vec<_>>();
    ip(&[&words("link add")[..], &[name], &words("type veth peer name skpo")].concat());
    ip(&[&words("link set")[..], &[name], &words("up")].concat());
    run("ip", "link set skpo up");
    for (device, address) in [(name, "192.0.2.7"), (OsStr::new("skpo"), "192.0.2.8")] {
        let to = [OsStr::new("lladdr"), OsStr::new("02:00:00:00:00:07"), OsStr::new("dev"), device];
        ip(&[&words("neigh add")[..], &[OsStr::new(address)], &to].concat());
    }
    let page = gather(&real_agent(options(&["--collector.disable-defaults", "--collector.arp"])));
    for device in ["x\u{fffd}y", "skpo"] {
        assert_eq!(page.value("node_arp_entries", &[("device", device)]), Some(1.0), "{device}");
    }
}

fn renamed() {
    run("ip", "link add skpb mtu 1300 type ifb");
    let agent = net_class();
    let mtu = |page: &Page, device| page.value("node_network_mtu_bytes", &[("device", device)]);
    for _ in 0..2 {
        let page = gather(&agent);
        assert_eq!((mtu(&page, "skpa"), mtu(&page, "skpb")), (Some(1400.0), Some(1300.0)));
    }
    run("ip", "link set skpa mtu 1200");
    assert_eq!(mtu(&gather(&agent), "skpa"), Some(1200.0), "what is open shows what is so now");
    run("ip", "link set skpa name skpc");
    run("ip", "link set skpb name skpa");
    let page = gather(&agent);
    assert_eq!(
        (mtu(&page, "skpa"), mtu(&page, "skpb"), mtu(&page, "skpc")),
        (Some(1300.0), None, Some(1200.0))
    );
    run("ip", "link del skpa");
    assert_eq!(mtu(&gather(&agent), "skpa"), None);
    run("ip", "link add skpa mtu 900 type ifb");
    assert_eq!(mtu(&gather(&agent), "skpa"), Some(900.0));
}
