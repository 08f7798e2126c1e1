//! A large machine made of files: trees of `/proc`, `/sys` and udev's data for agents to read. Its numbers
//! are made up, its shapes are the kernel's. Never touches the machine that the tests run on.

use std::{fmt::Write as _, fs, io, path::Path};

/// How large the machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Its processors' threads; two make a core, and the cores stand in two packages.
    pub cpus: usize,
    /// Its block devices, which are NVMe.
    pub disks: usize,
    /// Its network devices, the loopback beside.
    pub links: usize,
}

/// 128 CPUs and 200 block devices.
pub const LARGE: Machine = Machine { cpus: 128, disks: 200, links: 8 };

impl Machine {
    /// Writes the trees below `folder`: `proc`, `sys`, `run/udev/data` and `etc`.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let write = |name: &str, content: &str| {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("invariant: names have folders"))?;
            fs::write(path, content)
        };
        for (name, content) in TABLES {
            write(name, content)?;
        }
        let meminfo = MEMINFO.split(' ').enumerate();
        let meminfo: String =
            meminfo.map(|(at, name)| format!("{name}: {:>12} kB\n", 1_000_000 + at)).collect();
        write("proc/meminfo", &meminfo)?;
        write("proc/stat", &self.stat())?;
        write("proc/cpuinfo", &self.cpuinfo())?;
        write("proc/schedstat", &self.schedstat())?;
        write("proc/softirqs", &self.softirqs())?;
        write("proc/interrupts", &self.interrupts())?;
        write("proc/net/softnet_stat", &self.softnet())?;
        write("proc/net/dev", &self.net_dev())?;
        write("proc/diskstats", &self.diskstats())?;
        write(
            "proc/vmstat",
            &counters("nr_free_pages pgpgin pgpgout pswpin pswpout pgfault pgmajfault oom_kill"),
        )?;
        self.write_cpus(&write)?;
        self.write_disks(&write)?;
        self.write_links(&write)
    }

    fn write_cpus(&self, write: &impl Fn(&str, &str) -> io::Result<()>) -> io::Result<()> {
        let list = format!("0-{}\n", self.cpus - 1);
        for name in ["online", "present", "possible"] {
            write(&format!("sys/devices/system/cpu/{name}"), &list)?;
        }
        for cpu in 0..self.cpus {
            let core = cpu % (self.cpus / 2);
            let folder = format!("sys/devices/system/cpu/cpu{cpu}");
            for (name, value) in [
                ("topology/physical_package_id", core / (self.cpus / 4)),
                ("topology/core_id", core),
                ("thermal_throttle/core_throttle_count", core),
                ("thermal_throttle/package_throttle_count", 7),
                ("cpufreq/cpuinfo_cur_freq", 2_100_000 + cpu),
                ("cpufreq/cpuinfo_max_freq", 3_500_000),
                ("cpufreq/cpuinfo_min_freq", 800_000),
                ("cpufreq/scaling_cur_freq", 2_100_000 + cpu),
                ("cpufreq/scaling_max_freq", 3_500_000),
                ("cpufreq/scaling_min_freq", 800_000),
                ("cpufreq/cpuinfo_transition_latency", 0),
            ] {
                write(&format!("{folder}/{name}"), &format!("{value}\n"))?;
            }
            for (name, value) in [
                ("cpufreq/related_cpus", cpu.to_string()),
                ("cpufreq/scaling_available_governors", "performance powersave".to_owned()),
                ("cpufreq/scaling_driver", "intel_pstate".to_owned()),
                ("cpufreq/scaling_governor", "powersave".to_owned()),
                ("cpufreq/scaling_setspeed", "<unsupported>".to_owned()),
            ] {
                write(&format!("{folder}/{name}"), &format!("{value}\n"))?;
            }
        }
        Ok(())
    }

    fn write_disks(&self, write: &impl Fn(&str, &str) -> io::Result<()>) -> io::Result<()> {
        for disk in 0..self.disks {
            write(&format!("sys/block/nvme{disk}n1/queue/rotational"), "0\n")?;
            let udev = format!("E:ID_MODEL=Example\nE:ID_SERIAL=serial{disk}\nE:ID_WWN=eui.{disk}\n");
            write(&format!("run/udev/data/b259:{disk}"), &udev)?;
            for (name, value) in [
                ("firmware_rev", "1B2QEXP7"),
                ("model", "Example NVMe"),
                ("serial", "S680HF8N"),
                ("state", "live"),
                ("cntlid", "1"),
            ] {
                write(&format!("sys/class/nvme/nvme{disk}/{name}"), &format!("{value}\n"))?;
            }
        }
        Ok(())
    }

    fn write_links(&self, write: &impl Fn(&str, &str) -> io::Result<()>) -> io::Result<()> {
        for link in 0..self.links {
            let folder = format!("sys/class/net/eth{link}");
            for (name, value) in [
                ("addr_assign_type", "0"),
                ("address", "02:00:00:00:00:01"),
                ("addr_len", "6"),
                ("broadcast", "ff:ff:ff:ff:ff:ff"),
                ("carrier", "1"),
                ("carrier_changes", "2"),
                ("carrier_down_count", "1"),
                ("carrier_up_count", "1"),
                ("dev_id", "0x0"),
                ("dormant", "0"),
                ("duplex", "full"),
                ("flags", "0x1003"),
                ("ifalias", ""),
                ("ifindex", "2"),
                ("iflink", "2"),
                ("link_mode", "0"),
                ("mtu", "1500"),
                ("name_assign_type", "4"),
                ("netdev_group", "0"),
                ("operstate", "up"),
                ("phys_port_id", ""),
                ("phys_port_name", ""),
                ("phys_switch_id", ""),
                ("speed", "25000"),
                ("tx_queue_len", "1000"),
                ("type", "1"),
            ] {
                write(&format!("{folder}/{name}"), &format!("{value}\n"))?;
            }
        }
        Ok(())
    }

    fn stat(&self) -> String {
        let mut text = "cpu  10132153 290696 3084719 46828483 16683 0 25195 175628 0 0\n".to_owned();
        for cpu in 0..self.cpus {
            line(
                &mut text,
                format_args!("cpu{cpu} {}132153 290696 3084719 46828483 16683 0 25195 175628 0 0", cpu + 1),
            );
        }
        line(&mut text, format_args!("intr 1462898{}", " 12345".repeat(12 * self.cpus)));
        text.push_str("ctxt 115315\nbtime 1769041601\nprocesses 86031\nprocs_running 3\nprocs_blocked 1\n");
        text.push_str("softirq 5057579 250191 1481983 1647 211099 186066 0 1783454 622196 12499 508444\n");
        text
    }

    fn cpuinfo(&self) -> String {
        let mut text = String::new();
        for cpu in 0..self.cpus {
            let core = cpu % (self.cpus / 2);
            let package = core / (self.cpus / 4);
            line(
                &mut text,
                format_args!("processor\t: {cpu}\nphysical id\t: {package}\ncore id\t\t: {core}"),
            );
            text.push_str(CPUINFO);
        }
        text
    }

    fn schedstat(&self) -> String {
        let mut text = "version 15\ntimestamp 4295137000\n".to_owned();
        for cpu in 0..self.cpus {
            line(
                &mut text,
                format_args!("cpu{cpu} 0 0 0 0 0 0 2045936778163039 343796328169361 {cpu}767485306"),
            );
            text.push_str(
                "domain0 00000003 212499247 210112015 1861015 1860405436 536440 369895 32599 210079416\n",
            );
        }
        text
    }

    /// A table with a column for each CPU.
    fn by_cpu(&self, names: &[&str], behind: &str) -> String {
        let mut text = " ".repeat(11);
        for cpu in 0..self.cpus {
            write!(text, " CPU{cpu:<7}").expect("invariant: writing to a String cannot fail");
        }
        text.push('\n');
        for (row, name) in names.iter().enumerate() {
            write!(text, "{name:>10}:").expect("invariant: writing to a String cannot fail");
            for cpu in 0..self.cpus {
                write!(text, " {:>10}", row * 1000 + cpu)
                    .expect("invariant: writing to a String cannot fail");
            }
            text.push_str(behind);
            text.push('\n');
        }
        text
    }

    fn softirqs(&self) -> String {
        let names =
            ["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"];
        self.by_cpu(&names, "")
    }

    fn interrupts(&self) -> String {
        let names: Vec<String> = (0..2 * self.cpus).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.by_cpu(&names, "  IR-PCI-MSI 524288-edge      nvme0q1")
    }

    fn softnet(&self) -> String {
        let row = |cpu| {
            format!(
                "00{cpu:06x} 00000000 00000a1b 00000000 00000000 00000000 00000000 00000000 00000000 \
                 00000000 \
                 00000000 00000000 {cpu:08x} 00000000 00000000\n"
            )
        };
        (0..self.cpus).map(row).collect()
    }

    fn net_dev(&self) -> String {
        let mut text = "Inter-|   Receive                              |  Transmit\n face |bytes    \
                        packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo \
                        colls carrier compressed\n"
            .to_owned();
        for link in 0..self.links {
            line(&mut text, format_args!("  eth{link}: 612452090 18809 0 0 0 0 0 12 78923 8899 0 0 0 0 0 0"));
        }
        text.push_str("    lo: 1664039048 1566805 0 0 0 0 0 0 1664039048 1566805 0 0 0 0 0 0\n");
        text
    }

    fn diskstats(&self) -> String {
        let mut text = String::new();
        for disk in 0..self.disks {
            let counters = "51033 16907 9641922 43834 27370 41255 5185488 15583 2 17096 60363 1 2 3 4 5 6";
            line(&mut text, format_args!(" 259 {disk} nvme{disk}n1 {counters}"));
        }
        text
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("invariant: writing to a String cannot fail");
}

fn counters(names: &str) -> String {
    names.split(' ').enumerate().map(|(at, name)| format!("{name} {}\n", 1000 + at)).collect()
}

/// What does not grow with the machine.
const TABLES: &[(&str, &str)] = &[
    ("etc/os-release", "NAME=\"Example\"\nID=example\nVERSION_ID=\"7\"\nPRETTY_NAME=\"Example 7\"\n"),
    ("proc/loadavg", "12.70 11.37 10.02 3/2042 19823\n"),
    ("proc/sys/fs/file-nr", "31040\t0\t9223372036854775807\n"),
    ("proc/sys/kernel/random/entropy_avail", "256\n"),
    ("proc/sys/kernel/random/poolsize", "256\n"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "1234\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
    ("proc/1/mounts", "/dev/nvme0n1 / ext4 rw,relatime 0 0\n"),
    ("proc/1/mountinfo", "29 1 259:0 / / rw,relatime shared:1 - ext4 /dev/nvme0n1 rw\n"),
    ("proc/pressure/cpu", PRESSURE),
    ("proc/pressure/io", PRESSURE),
    ("proc/pressure/memory", PRESSURE),
    ("proc/mdstat", "Personalities :\nunused devices: <none>\n"),
    (
        "proc/net/arp",
        "IP address HW type Flags HW address Mask Device\n\
         192.0.2.1 0x1 0x2 02:00:00:00:00:02 * eth0\n",
    ),
    (
        "proc/net/netstat",
        "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPTimeouts\n\
         TcpExt: 0 1 2 3\n\
         IpExt: InOctets OutOctets\n\
         IpExt: 6286396970 2786264347\n",
    ),
    (
        "proc/net/snmp",
        "Ip: Forwarding DefaultTTL\n\
         Ip: 1 64\n\
         Tcp: ActiveOpens PassiveOpens CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts\n\
         Tcp: 3556 230 1 57252008 54915039 227 5 1003\n\
         Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors\n\
         Udp: 88542 120 0 53028 9 8\n",
    ),
    (
        "proc/net/sockstat",
        "sockets: used 229\n\
         TCP: inuse 4 orphan 0 tw 4 alloc 17 mem 1\n\
         UDP: inuse 0 mem 0\n\
         UDPLITE: inuse 0\n\
         RAW: inuse 0\n\
         FRAG: inuse 0 memory 0\n",
    ),
    (
        "proc/net/udp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  \
         timeout inode ref pointer drops\n\
         \x20  0: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0   \
         \x20    0 2740 2 000000003d3f2e1a 0\n",
    ),
    ("sys/class/thermal/thermal_zone0/temp", "44000\n"),
    ("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n"),
    ("sys/class/thermal/thermal_zone0/policy", "step_wise\n"),
    ("sys/devices/system/clocksource/clocksource0/available_clocksource", "tsc hpet acpi_pm \n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
];

const PRESSURE: &str =
    "some avg10=0.10 avg60=2.00 avg300=3.85 total=15\nfull avg10=0.20 avg60=3.00 avg300=4.95 total=25\n";

const CPUINFO: &str = "vendor_id\t: ExampleVendor\ncpu family\t: 6\nmodel\t\t: 106\nmodel name\t: Example\n\
    stepping\t: 6\nmicrocode\t: 0xd0003a5\ncpu MHz\t\t: 2100.000\ncache size\t: 49152 KB\nsiblings\t: 64\n\
    cpu cores\t: 32\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: 27\nwp\t\t: yes\n\
    flags\t\t: fpu vme de pse\nbugs\t\t: spectre_v1\nbogomips\t: 4200.00\nclflush size\t: 64\n\
    cache_alignment\t: 64\naddress sizes\t: 46 bits physical, 57 bits virtual\npower management:\n\n";

/// The fields of `/proc/meminfo`.
const MEMINFO: &str = "MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive Active(anon) \
    Inactive(anon) Active(file) Inactive(file) Unevictable Mlocked SwapTotal SwapFree Dirty \
    Writeback AnonPages Mapped Shmem KReclaimable Slab SReclaimable SUnreclaim KernelStack \
    PageTables NFS_Unstable Bounce WritebackTmp CommitLimit Committed_AS VmallocTotal VmallocUsed \
    VmallocChunk Percpu AnonHugePages ShmemHugePages FileHugePages Hugepagesize Hugetlb DirectMap4k \
    DirectMap2M DirectMap1G";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_as_large_as_it_was_asked_to_be() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Machine { cpus: 8, disks: 3, links: 2 }.write(folder.path()).expect("it is written");
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect(name);
        let starting =
            |name: &str, start: &str| read(name).lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(starting("proc/stat", "cpu"), 9);
        assert_eq!(starting("proc/cpuinfo", "processor"), 8);
        assert_eq!(starting("proc/diskstats", " 259 "), 3);
        assert_eq!(starting("proc/net/dev", "  eth"), 2);
        assert_eq!(read("sys/devices/system/cpu/online"), "0-7\n");
        assert_eq!(read("sys/devices/system/cpu/cpu7/topology/core_id"), "3\n");
    }
}
