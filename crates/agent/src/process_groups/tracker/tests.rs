//! Machines of few processes that come, work and end, and what their groups show.

use super::*;
use crate::flags::CollectorArgs;
use std::fs;

/// A process of a machine made of files.
#[derive(Clone, Copy, Debug)]
struct Fake {
    pid: u32,
    comm: &'static str,
    parent: u32,
    /// Ticks of its own, and of its ended children.
    user: u64,
    children: u64,
    read: u64,
    start: u64,
}

const fn fake(pid: u32, comm: &'static str, parent: u32) -> Fake {
    Fake { pid, comm, parent, user: 0, children: 0, read: 0, start: pid as u64 }
}

struct Machine {
    folder: tempfile::TempDir,
    paths: Paths,
    tracker: Tracker,
}

impl Machine {
    fn new(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path().to_str().unwrap());
        fs::create_dir_all(folder.path().join("proc")).unwrap();
        fs::write(folder.path().join("proc/stat"), "cpu 1 2 3 4\nbtime 1700000000\n").unwrap();
        let mut options = CollectorArgs::default().options().unwrap().process_groups;
        options.rules = ProcessRules::parse(rules).unwrap().0;
        let tracker = Tracker::new(&options, &paths);
        Self { folder, paths, tracker }
    }

    /// The machine has these processes now; a scrape sees them.
    fn scrape(&mut self, processes: &[Fake]) {
        self.scrape_with(processes, None);
    }

    /// The same, and the kernel tells of these that ended.
    fn scrape_with(&mut self, processes: &[Fake], exits: Option<&[Exit]>) {
        for entry in fs::read_dir(self.folder.path().join("proc")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            }
        }
        for Fake { pid, comm, parent, user, children, read, start } in processes {
            let folder = self.folder.path().join(format!("proc/{pid}"));
            fs::create_dir_all(folder.join("fd")).unwrap();
            fs::write(folder.join("fd/0"), "").unwrap();
            let stat = format!(
                "{pid} ({comm}) S {parent} 1 1 0 -1 0 0 0 0 0 {user} 0 {children} 0 20 0 1 0 {start} \
                 4096 1 1 1\n"
            );
            for (name, content) in [
                ("stat", stat),
                ("cmdline", format!("/bin/{comm}\0")),
                ("status", "Uid:\t0\t0\t0\t0\nVmRSS:\t4 kB\n".to_owned()),
                ("io", format!("read_bytes: {read}\nwrite_bytes: 0\n")),
                ("limits", "Max open files  4  4  files\n".to_owned()),
            ] {
                fs::write(folder.join(name), content).unwrap();
            }
        }
        let mut pids: Vec<u32> = processes.iter().map(|process| process.pid).collect();
        pids.sort_unstable();
        self.tracker.update(&self.paths, &mut File::default(), &pids, &mut || exits.map(<[Exit]>::to_vec));
    }

    fn group(&self, name: &str) -> (u64, u64, u64) {
        let group = &self.tracker.groups[name];
        (group.gauges.processes, group.counts.user_us / 10_000, group.counts.read_bytes)
    }
}

const ALL: &str = "process_names:\n- name: '{{.Comm}}'\n  cmdline: ['.+']\n";

#[test]
fn counters_begin_at_the_first_scrape_and_never_fall() {
    let mut machine = Machine::new(ALL);
    let web = Fake { user: 1000, read: 50, ..fake(10, "web", 1) };
    machine.scrape(&[web]);
    assert_eq!(machine.group("web"), (1, 0, 0), "what ran before is not counted");
    machine.scrape(&[Fake { user: 1005, read: 60, ..web }, Fake { user: 7, ..fake(11, "web", 1) }]);
    assert_eq!(machine.group("web"), (2, 12, 10), "a process that began since counts whole");
    machine.scrape(&[]);
    assert_eq!(machine.group("web"), (0, 12, 10), "the counters stay");
    machine.scrape(&[Fake { user: 3, read: 0, start: 999, ..web }]);
    assert_eq!(machine.group("web"), (1, 15, 10), "the same number, another process");
}

#[test]
fn a_number_that_is_used_again_between_two_scrapes_is_another_process() {
    let mut machine = Machine::new(ALL);
    machine.scrape(&[Fake { user: 100, ..fake(10, "web", 1) }]);
    machine.scrape(&[Fake { user: 4, start: 500, ..fake(10, "job", 1) }]);
    assert_eq!((machine.group("web").0, machine.group("job")), (0, (1, 4, 0)));
}

#[test]
fn what_short_processes_used_counts_for_their_parents_group() {
    let mut machine = Machine::new(ALL);
    let make = fake(10, "make", 1);
    machine.scrape(&[make, Fake { user: 20, ..fake(11, "cc", 10) }]);
    // The compiler that was seen used 5 more and ended; another came and went unseen, with 30.
    machine.scrape(&[Fake { children: 20 + 5 + 30, read: 9, ..make }]);
    assert_eq!(machine.group("make"), (1, 35, 9));
    assert_eq!(machine.group("cc"), (0, 0, 0));
    machine.scrape(&[Fake { children: 55, read: 9, ..make }]);
    assert_eq!(machine.group("make"), (1, 35, 9), "nothing is counted twice");
}

#[test]
fn what_was_counted_of_a_child_is_not_counted_again_for_its_parent() {
    let mut machine = Machine::new(ALL);
    let make = fake(10, "make", 1);
    machine.scrape(&[make]);
    machine.scrape(&[make, Fake { user: 40, read: 100, ..fake(11, "cc", 10) }]);
    assert_eq!(machine.group("cc"), (1, 40, 100));
    machine.scrape(&[Fake { children: 40, read: 100, ..make }]);
    assert_eq!(machine.group("make"), (1, 0, 0));
}

#[test]
fn children_that_no_rule_wants_belong_to_their_ancestors_group() {
    let rules = "process_names:\n- comm: [web]\n- comm: [db]\n";
    let mut machine = Machine::new(rules);
    let all =
        [fake(1, "init", 0), fake(10, "web", 1), fake(9, "sh", 10), fake(8, "cat", 9), fake(11, "db", 10)];
    machine.scrape(&all);
    assert_eq!((machine.group("web").0, machine.group("db").0), (3, 1));
    machine.tracker.follows_children = false;
    let mut alone = Machine::new(rules);
    alone.tracker.follows_children = false;
    alone.scrape(&all);
    assert_eq!(alone.group("web").0, 1);
}

#[test]
fn a_process_that_runs_another_program_finds_its_group_then() {
    let mut machine = Machine::new("process_names:\n- comm: [web]\n");
    machine.scrape(&[Fake { user: 5, ..fake(10, "sh", 1) }]);
    assert!(machine.tracker.groups.is_empty());
    machine.scrape(&[Fake { user: 6, read: 7, ..fake(10, "web", 1) }]);
    assert_eq!(machine.group("web"), (1, 1, 0), "what it did before was of no group");
}

#[test]
fn processes_that_vanish_while_they_are_read_are_passed_over() {
    let mut machine = Machine::new(ALL);
    machine.scrape(&[fake(10, "web", 1), fake(11, "web", 1)]);
    fs::remove_file(machine.folder.path().join("proc/10/status")).unwrap();
    fs::remove_dir_all(machine.folder.path().join("proc/11")).unwrap();
    fs::create_dir(machine.folder.path().join("proc/12")).unwrap();
    fs::write(machine.folder.path().join("proc/12/stat"), "12 (x").unwrap();
    machine.tracker.update(&machine.paths.clone(), &mut File::default(), &[10, 11, 12, 13], &mut || None);
    assert_eq!(machine.group("web").0, 0);
    assert_eq!(machine.tracker.failures.processes, 1);
}

#[test]
fn gauges_are_sums_and_the_worst_ratio() {
    let mut machine = Machine::new(ALL);
    machine.scrape(&[fake(10, "web", 1), fake(20, "web", 1)]);
    let gauges = machine.tracker.groups["web"].gauges;
    assert_eq!((gauges.resident_bytes, gauges.virtual_bytes, gauges.descriptors), (8192, 8192, Some(2)));
    assert_eq!((gauges.worst_descriptor_ratio, gauges.states), (0.25, [0, 2, 0, 0, 0]));
    assert_eq!(gauges.oldest_start_s, Some(1_700_000_000.1));
}

/// A process that ended, and what it used.
fn exit(pid: u32, name: &str, parent: u32, user_us: u64) -> Exit {
    let mut exit = Exit::of(pid, name, parent);
    // Processes of these machines begin so many hundredths of a second after the machine.
    exit.start_s = 1_700_000_000 + u64::from(pid) / 100;
    exit.used.user_us = user_us;
    exit
}

#[test]
fn what_the_kernel_tells_of_ended_processes_counts_for_their_own_group_once() {
    let mut machine = Machine::new(ALL);
    let (make, cc) = (fake(10, "make", 1), Fake { user: 20, ..fake(11, "cc", 10) });
    machine.scrape_with(&[make, cc], Some(&[exit(5, "old", 10, 9_000_000)]));
    assert!(!machine.tracker.groups.contains_key("old"), "what ended before the first scrape is not counted");
    // The compiler that was seen used 50 ms more; another came and went unseen, with 300 ms, and its linker.
    let exits = [exit(11, "cc", 10, 250_000), exit(12, "cc", 10, 300_000), exit(13, "ld", 12, 10_000)];
    let made = Fake { children: 55, ..make };
    machine.scrape_with(&[made], Some(&exits));
    let micros = |machine: &Machine, name: &str| {
        let group = &machine.tracker.groups[name];
        (group.counts.user_us, group.ended)
    };
    assert_eq!(micros(&machine, "cc"), (350_000, 2));
    assert_eq!((micros(&machine, "ld"), micros(&machine, "make")), ((10_000, 1), (0, 0)));
    machine.scrape_with(&[made], Some(&[]));
    assert_eq!((micros(&machine, "cc"), micros(&machine, "make")), ((350_000, 2), (0, 0)), "once");
    // Something was missed: what the parent knows counts, for its group.
    machine.scrape_with(&[Fake { children: 60, ..make }], None);
    assert_eq!(micros(&machine, "make"), (50_000, 0));
}

#[test]
fn a_process_that_is_told_of_while_it_is_still_seen_is_counted_once() {
    let mut machine = Machine::new(ALL);
    let job = Fake { user: 3, ..fake(20, "job", 1) };
    machine.scrape_with(&[fake(1, "init", 0)], Some(&[]));
    machine.scrape_with(&[fake(1, "init", 0), job], Some(&[exit(20, "job", 1, 37_000)]));
    machine.scrape_with(&[fake(1, "init", 0)], Some(&[]));
    machine.scrape_with(&[fake(1, "init", 0)], None);
    let group = &machine.tracker.groups["job"];
    assert_eq!((group.counts.user_us, group.ended), (37_000, 1));
}

#[test]
fn an_ended_process_is_of_the_group_that_its_name_was_last_seen_in_or_else_of_its_parents() {
    let rules = "process_names:\n- name: app\n  cmdline: ['^/bin/java']\n- name: shells\n  comm: [sh]\n";
    let mut machine = Machine::new(rules);
    let all = [fake(1, "init", 0), fake(10, "java", 1), fake(30, "sh", 1)];
    machine.scrape_with(&all, Some(&[]));
    let exits = [
        // By what was seen of its name; its arguments are gone.
        exit(40, "java", 1, 1),
        // By a rule that needs its name alone.
        exit(41, "sh", 1, 10),
        // By its parent, which lives, and by one that ended too.
        exit(42, "cat", 10, 100),
        exit(43, "sort", 41, 1000),
        // Nobody's, and a thread of the kernel.
        exit(44, "cron", 1, 10_000),
        exit(45, "kworker", 2, 100_000),
    ];
    machine.scrape_with(&all, Some(&exits));
    let used = |name: &str| machine.tracker.groups[name].counts.user_us;
    assert_eq!((used("app"), used("shells")), (101, 1010));
    assert_eq!(machine.tracker.groups.len(), 2);
}
