//! Network devices that get each other's names while the agent has their files open, in a network of their
//! own.

use crate::common::{Page, gather, options, real_agent};
use std::{env, process::Command};

/// Set where the test runs in a network of its own.
const INSIDE: &str = "SKOPOS_TEST_IN_OWN_NETWORK";
const NAME: &str = "renamed::files_that_are_open_follow_names_and_not_devices";

fn run(program: &str, arguments: &str) {
    let status = Command::new(program).args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "{program} {arguments}");
}

#[test]
fn files_that_are_open_follow_names_and_not_devices() {
    if env::var_os(INSIDE).is_some() {
        return inside();
    }
    let test = env::current_exe().unwrap();
    let script = "mount -t sysfs sysfs /sys && ip link add skpa mtu 1400 type ifb && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", script, "sh"])
        .arg(test)
        .args(["--exact", NAME, "--nocapture"])
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

fn inside() {
    run("ip", "link add skpb mtu 1300 type ifb");
    let agent = real_agent(options(&["--collector.disable-defaults", "--collector.netclass"]));
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
