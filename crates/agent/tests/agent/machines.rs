//! Machines of a few files, each for something that the large ones of `tests/fixtures` do not have.

use crate::common::{Page, copy_below, here, still_agent, succeeded, text};
use std::fs;

#[test]
fn btrfs_tells_of_the_devices_of_file_systems_that_are_mounted() {
    let folder = tempfile::tempdir().unwrap();
    copy_below(&here("fixtures/devices"), folder.path());
    let mounts = "22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
                  30 28 0:31 / /srv\\040data rw,relatime shared:9 - btrfs /dev/loop25 rw,space_cache=v2\n\
                  31 28 0:31 /backup /backup rw,relatime shared:10 - btrfs /dev/loop25 rw,space_cache=v2\n\
                  32 28 0:33 / /mnt/away rw,relatime shared:11 - btrfs /dev/loop99 rw,space_cache=v2\n";
    fs::create_dir(folder.path().join("proc/self")).unwrap();
    fs::write(folder.path().join("proc/self/mountinfo"), mounts).unwrap();
    let agent = still_agent(folder.path(), &["--collector.disable-defaults", "--collector.btrfs"]);
    let page = Page::parse(text(&agent).as_bytes());
    assert!(succeeded(&page, "btrfs"));
    let system = ("uuid", "0abb23a9-579b-43e6-ad30-227ef47fcb9d");
    let second = [("btrfs_dev_uuid", "5a010203-0405-0607-0809-0a0b0c0d0e02"), ("device", "loop26"), system];
    let errors = |kind| {
        let labels = [second[0], second[1], ("type", kind), second[2]];
        page.value("node_btrfs_device_errors_total", &labels)
    };
    assert_eq!(
        ["write", "read", "flush", "corruption", "generation"].map(errors),
        [1, 2, 3, 4, 5].map(|n| Some(f64::from(n)))
    );
    assert_eq!(page.value("node_btrfs_device_size_bytes", &second), Some(10_737_418_240.0));
    assert_eq!(page.value("node_btrfs_device_unused_bytes", &second), Some(8_589_934_592.0));
    // The other one is mounted where nobody may look: sysfs has sizes.
    let other = [("device", "loop22"), ("uuid", "7f07c59f-6136-449c-ab87-e1cf2328731b")];
    assert_eq!(page.value("node_btrfs_device_size_bytes", &other), Some(10_737_418_240.0));
}

#[test]
fn lines_without_a_value_in_the_table_of_ipv6_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("proc/net")).unwrap();
    for (name, content) in [
        ("netstat", "TcpExt: SyncookiesSent\nTcpExt: 1\n"),
        ("snmp", "Ip: Forwarding\nIp: 1\n"),
        ("snmp6", "Ip6InReceives\n\nUdp6InErrors\nIp6InOctets 7\n"),
    ] {
        fs::write(folder.path().join("proc/net").join(name), content).unwrap();
    }
    let agent = still_agent(folder.path(), &["--collector.disable-defaults", "--collector.netstat"]);
    let page = Page::parse(text(&agent).as_bytes());
    assert!(succeeded(&page, "netstat"));
    assert_eq!(page.value("node_netstat_Ip6_InOctets", &[]), Some(7.0));
}
