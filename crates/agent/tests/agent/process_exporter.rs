//! The collector `process-groups` and Debian's process-exporter with the same file of rules on this machine:
//! processes whose behaviour is known come to the same families, labels, types and values. `DIFFERENCES` and
//! `docs/agent.md` hold what the two do otherwise, and nothing else is let through.

use crate::common::{Key, Page, gather, options, real_agent};
use skopos_model::MetricType;
use skopos_testkit::{peers, service::Service, wait_until};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// What the two do otherwise.
#[derive(Debug)]
enum Difference {
    /// A family that the reference does not have.
    New(&'static str),
    /// A value that only this program has more exactly: the reference's is its whole part.
    Whole(&'static str),
    /// The reference counts the first thread of a process with several threads twice.
    FirstTwice(&'static str),
    /// What ended children used counts for their parents here; the reference does not count it.
    Children(&'static str),
    /// What a thread did before it was first seen; the reference does not count it.
    NewThread(&'static str),
    /// The reference counts processes of no group, too.
    OtherCount(&'static str),
}

use Difference::{Children, FirstTwice, New, NewThread, OtherCount, Whole};

const DIFFERENCES: &[Difference] = &[
    New("skopos_process_groups_ended_total"),
    New("skopos_process_groups_left_out_total"),
    New("skopos_process_groups_accounting_info"),
    New("skopos_process_groups_exits_missed_total"),
    New("skopos_process_groups_forks_total"),
    New("skopos_process_groups_threads_left_out_total"),
    Whole("namedprocess_namegroup_oldest_start_time_seconds"),
    FirstTwice("namedprocess_namegroup_states"),
    FirstTwice("namedprocess_namegroup_threads_wchan"),
    Children("namedprocess_namegroup_cpu_seconds_total"),
    Children("namedprocess_namegroup_major_page_faults_total"),
    Children("namedprocess_namegroup_minor_page_faults_total"),
    NewThread("namedprocess_namegroup_thread_cpu_seconds_total"),
    OtherCount("namedprocess_scrape_partial_errors"),
];

/// The groups of processes whose behaviour is known, and what each does between the first read and the
/// second. None has a child but the one of this name.
const KNOWN: &[(&str, &str)] = &[
    ("pgasleep", ":"),
    ("pgburns", "for ((i = 0; i < 200000; i++)); do :; done"),
    ("pgholds", "printf -v held '%*s' 30000000 ''"),
    ("pgopens", "exec 11</dev/null 12</dev/null 13</dev/null"),
    ("pgwrites", "printf '%*s' 3000000 '' > written"),
    ("pgchildren", "for ((i = 0; i < 40; i++)); do /bin/true; done"),
];
/// Has two processes.
const TWICE: &str = "pgasleep";
const HAS_CHILDREN: &str = "pgchildren";
/// Has ended when it is read for the second time, and nobody has waited for it.
const ZOMBIE: &str = "pgzombie";
/// Its group has no process any more when it is read for the second time.
const ENDS: &str = "pgends";
/// What the reference says in the place of the start of the oldest process, when there is none: the year 1.
const NO_START_S: f64 = -62_135_596_800.0;

/// A shell of this name that does something when it is told to.
struct Known {
    child: Child,
    told: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Known {
    fn start(folder: &Path, name: &str, work: &str) -> Self {
        let program = folder.join(name);
        if !program.exists() {
            fs::copy("/bin/bash", &program).unwrap();
        }
        let script = format!("read go; {work}; echo done; read end");
        let mut command = Command::new(&program);
        command.args(["-c", &script]).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (told, says) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let known = Self { child, told, says };
        known.wait_for(name, 'S');
        known
    }

    /// Has it do its work, and waits until it has.
    fn work(&mut self) {
        self.told.write_all(b"go\n").unwrap();
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        assert_eq!(line, "done\n");
        self.wait_for("its name", 'S');
    }

    fn wait_for(&self, name: &str, state: char) {
        let path = format!("/proc/{}/stat", self.child.id());
        let is_so = |stat: String| stat.contains(&format!(") {state} ")).then_some(());
        let what = format!("{name} to be in state {state}");
        wait_until(&what, Duration::from_secs(30), || fs::read_to_string(&path).ok().and_then(is_so));
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What this thread had of the CPU so far, however busy the machine is.
fn used() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// A thread of this process that burns a tenth of a second when it is told to, and sleeps but for that.
fn thread_that_burns(name: &str) -> impl Fn() + use<> {
    let (tell, told) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel();
    let burn = move || {
        while told.recv().is_ok() {
            let start = used();
            while used() - start < Duration::from_millis(100) {
                for i in 0..100_000 {
                    std::hint::black_box(i);
                }
            }
            done.send(()).unwrap();
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(burn).unwrap();
    move || {
        tell.send(()).unwrap();
        is_done.recv().unwrap();
    }
}

/// Rules that use what rules can: this process by its first argument, the others by parts of their lines.
fn rules() -> String {
    let this = std::env::args().next().unwrap();
    format!(
        "process_names:\n\
         - name: '{{{{.ExeBase}}}} {{{{.PID}}}}'\n  exe: ['{this}']\n\
         - name: '{{{{.Matches.Kind}}}}'\n  cmdline: ['/(?P<Kind>pg[a-z]+) -c', 'read end']\n\
         - name: '{{{{.Comm}}}}'\n  comm: [{ZOMBIE}]\n\
         - name: '{{{{.Comm}}}} by {{{{.Username}}}}'\n  cmdline: ['.+']\n"
    )
}

fn page(peer: &Service) -> Page {
    Page::parse(&peer.get("/metrics").body)
}

fn is_of_runtime(name: &str) -> bool {
    ["go_", "process_", "promhttp_", "node_"].iter().any(|start| name.starts_with(start))
}

fn label<'a>((_, labels): &'a Key, name: &str) -> Option<&'a str> {
    labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
}

/// The samples of one group.
fn of_group<'a>(page: &'a Page, group: &str) -> BTreeMap<&'a Key, f64> {
    let is_of = |key: &Key| label(key, "groupname") == Some(group) && !key.0.starts_with("skopos_");
    page.samples.iter().filter(|(key, _)| is_of(key)).map(|(key, value)| (key, *value)).collect()
}

fn is(family: &str, known: impl Fn(&Difference) -> Option<&'static str>) -> bool {
    DIFFERENCES.iter().any(|difference| known(difference) == Some(family))
}

/// How far two reads of one value may lie apart, for causes that are not the readers'.
fn room(key: &Key, value: f64) -> f64 {
    match (key.0.as_str(), label(key, "memtype")) {
        // For one of the two files that say it the kernel adds up the counters of CPUs, for the other not.
        ("namedprocess_namegroup_memory_bytes", Some("resident")) => 2e6,
        // Pages of a library are shared by whoever runs just then.
        ("namedprocess_namegroup_memory_bytes", Some("proportionalResident")) => 0.5 * value,
        _ => 1e-6,
    }
}

/// What is to be the same in two reads: all of the groups and threads that stand still, but for memory that
/// is shared with others; and which samples the other groups have.
fn still<'a>(this: &str, page: &'a Page) -> BTreeMap<&'a Key, Option<f64>> {
    let known: BTreeSet<&str> = KNOWN.iter().map(|(known, _)| *known).chain([ZOMBIE, ENDS]).collect();
    let is_thread = |key: &Key| ["pgtwins", "pgworks"].map(Some).contains(&label(key, "threadname"));
    let value = |key: &Key, value: f64| {
        let group = label(key, "groupname").unwrap_or_default();
        let is_still = known.contains(group) || group == this && is_thread(key);
        (is_still && !key.0.ends_with("memory_bytes")).then_some(value)
    };
    let is_counted = |key: &Key| label(key, "groupname").is_some() && !key.0.contains("_thread_");
    let samples = page.samples.iter().map(|(key, of)| (key, value(key, *of)));
    samples.filter(|(key, value)| value.is_some() || is_counted(key)).collect()
}

/// All that both say of a group that stands still.
fn compare_still(group: &str, theirs: &Page, ours: &Page) {
    let (theirs, ours) = (of_group(theirs, group), of_group(ours, group));
    let (their_keys, our_keys): (BTreeSet<_>, BTreeSet<_>) = (theirs.keys().collect(), ours.keys().collect());
    assert_eq!(their_keys, our_keys, "the samples of {group}");
    assert!(theirs.len() > 20, "only {} samples of {group}", theirs.len());
    for (key, their) in theirs {
        let our = ours[key];
        if is(&key.0, |d| if let Whole(name) = d { Some(name) } else { None }) {
            let their = if their == NO_START_S { 0.0 } else { their };
            assert!((our.floor() - their).abs() < 1e-6, "{key:?}: {their}, ours {our}");
        } else if group == HAS_CHILDREN && is(&key.0, |d| if let Children(n) = d { Some(n) } else { None }) {
            assert!(our >= their - 1e-6, "{key:?}: {their}, ours {our}");
        } else {
            assert!((our - their).abs() <= room(key, their), "{key:?}: {their}, ours {our}");
        }
    }
}

/// Whether there is a process that this user may not look into, as there can be for root in a sandbox.
fn hides_processes() -> bool {
    let entries = fs::read_dir("/proc").unwrap().map_while(Result::ok);
    let read = entries.filter_map(|entry| fs::read(entry.path().join("io")).err());
    read.into_iter().any(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// Families, their types and the labels of groups that were there before and after.
fn compare_all(before: &Page, ours: &Page, after: &Page) {
    let is_new = |name: &str| is(name, |d| if let New(name) = d { Some(name) } else { None });
    let types = |page: &Page, has_new: bool| -> BTreeMap<String, MetricType> {
        let types =
            page.types.iter().filter(|(name, _)| !is_of_runtime(name) && *name != "skopos_agent_build_info");
        types.filter(|(name, _)| has_new == is_new(name)).map(|(name, kind)| (name.clone(), *kind)).collect()
    };
    assert_eq!(types(before, false), types(ours, false));
    assert_eq!(types(ours, true).len(), DIFFERENCES.iter().filter(|d| matches!(d, New(_))).count());
    // Groups that one process was in all the time.
    let starts = |page: &Page| -> BTreeSet<(String, i64)> {
        let of_start = page.samples.iter().filter(|(key, _)| key.0.ends_with("_oldest_start_time_seconds"));
        let of_start = of_start.filter(|(_, start)| **start > 0.0);
        of_start.map(|(key, start)| (label(key, "groupname").unwrap().to_owned(), *start as i64)).collect()
    };
    let stay: BTreeSet<String> =
        starts(before).intersection(&starts(after)).map(|(group, _)| group.clone()).collect();
    assert!(stay.len() > KNOWN.len() + 2, "only {stay:?} are there");
    // Which threads there are and where they wait can differ between two reads. What a process that this user
    // may not look into uses is missing here and 0 there.
    let is_unseen = |key: &Key| {
        let families = ["read_bytes_total", "write_bytes_total", "memory_bytes"];
        families.iter().any(|family| key.0.ends_with(family)) && !ours.samples.contains_key(key)
    };
    let hides = hides_processes();
    let passes =
        |key: &Key| key.0.contains("_thread_") || key.0.ends_with("_wchan") || hides && is_unseen(key);
    for group in &stay {
        let keys = |page| -> BTreeSet<Key> {
            of_group(page, group).keys().filter(|key| !passes(key)).map(|key| (*key).clone()).collect()
        };
        assert_eq!(keys(before), keys(ours), "the samples of {group}");
    }
}

/// The threads of this process that are told what to do.
fn compare_threads(this: &str, theirs: &Page, ours: &Page) {
    let of = |page: &Page, family: &str, labels: &[(&str, &str)]| {
        page.value(&format!("namedprocess_namegroup_{family}"), &[&[("groupname", this)], labels].concat())
    };
    for (family, labels) in [
        ("thread_count", &[][..]),
        ("thread_cpu_seconds_total", &[("mode", "user")]),
        ("thread_cpu_seconds_total", &[("mode", "system")]),
        ("thread_io_bytes_total", &[("iomode", "read")]),
        ("thread_io_bytes_total", &[("iomode", "write")]),
        ("thread_major_page_faults_total", &[]),
        ("thread_minor_page_faults_total", &[]),
        ("thread_context_switches_total", &[("ctxswitchtype", "voluntary")]),
        ("thread_context_switches_total", &[("ctxswitchtype", "nonvoluntary")]),
    ] {
        for thread in ["pgtwins", "pgworks"] {
            let labels = [labels, &[("threadname", thread)]].concat();
            let (their, our) = (of(theirs, family, &labels).unwrap(), of(ours, family, &labels).unwrap());
            assert!((their - our).abs() < 1e-6, "{family}{labels:?}: {their}, ours {our}");
        }
    }
    assert_eq!(of(ours, "thread_count", &[("threadname", "pgtwins")]), Some(2.0));
    let burnt = |page, thread| {
        of(page, "thread_cpu_seconds_total", &[("mode", "user"), ("threadname", thread)]).unwrap()
    };
    assert!(burnt(ours, "pgworks") > 0.03, "it burnt {} s", burnt(ours, "pgworks"));
    // One that began between the reads.
    assert!(burnt(theirs, "pgnew") < 0.005 && burnt(ours, "pgnew") > 0.03);
}

/// The first thread of this process, and of no other that stands still, is counted twice by the reference.
fn compare_first_threads(this: &str, theirs: &Page, ours: &Page) {
    for difference in DIFFERENCES {
        let FirstTwice(family) = difference else { continue };
        let sum = |page: &Page| -> f64 {
            let samples = of_group(page, this).into_iter();
            samples.filter(|(key, _)| key.0 == *family).map(|(_, value)| value).sum()
        };
        // Threads of this process may run at one of the two moments, and then wait nowhere.
        let (their, our) = (sum(theirs), sum(ours));
        let room = if family.ends_with("wchan") { 3.0 } else { 0.0 };
        assert!((their - our - 1.0).abs() <= room, "{family}: {their}, ours {our}");
    }
}

#[test]
fn groups_are_what_process_exporter_makes_of_them() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let start = |(name, work): &(&str, &str)| Known::start(folder.path(), name, work);
    let mut known: Vec<Known> = KNOWN.iter().map(start).collect();
    known.push(start(&(TWICE, ":")));
    let mut zombie = start(&(ZOMBIE, ":"));
    let ends = start(&(ENDS, ":"));
    let (works, twins) = (thread_that_burns("pgworks"), [(); 2].map(|()| thread_that_burns("pgtwins")));

    let file = folder.path().join("groups.yml");
    fs::write(&file, rules()).unwrap();
    let peer = peers::process_exporter(&rules(), &[]);
    let agent = real_agent(options(&[
        "--collector.disable-defaults",
        "--collector.process-groups",
        "--collector.process-groups.smaps",
        "--collector.process-groups.threads",
        &format!("--collector.process-groups.config-file={}", file.display()),
    ]));
    // Both count from their first read on.
    page(&peer);
    gather(&agent);
    known.iter_mut().for_each(Known::work);
    works();
    let new = thread_that_burns("pgnew");
    new();
    zombie.child.kill().unwrap();
    zombie.wait_for(ZOMBIE, 'Z');
    drop(ends);

    let exe = std::env::args().next().unwrap();
    let this = format!("{} {}", exe.rsplit('/').next().unwrap(), std::process::id());
    // Whoever has said that it is done may take a moment to fall asleep.
    let (before, ours, after) = wait_until("all to stand still", Duration::from_secs(60), || {
        let pages = (page(&peer), gather(&agent), page(&peer));
        (still(&this, &pages.0) == still(&this, &pages.2)).then_some(pages)
    });
    compare_all(&before, &ours, &after);
    for (group, _) in KNOWN {
        compare_still(group, &before, &ours);
    }
    for group in [ZOMBIE, ENDS] {
        compare_still(group, &before, &ours);
    }
    compare_threads(&this, &before, &ours);
    compare_first_threads(&this, &before, &ours);
    drop((works, twins, new));

    // What they did is in both.
    let of = |family: &str, group, labels: &[(&str, &str)]| {
        let labels = [&[("groupname", group)], labels].concat();
        ours.value(&format!("namedprocess_namegroup_{family}"), &labels).unwrap()
    };
    assert_eq!(of("num_procs", TWICE, &[]), 2.0);
    assert_eq!(of("num_procs", ENDS, &[]), 0.0);
    assert_eq!(of("states", ZOMBIE, &[("state", "Zombie")]), 1.0);
    assert!(of("cpu_seconds_total", "pgburns", &[("mode", "user")]) > 0.03);
    assert!(of("memory_bytes", "pgholds", &[("memtype", "resident")]) > 30e6);
    assert!(of("write_bytes_total", "pgwrites", &[]) >= 3e6);
    assert!(of("open_filedesc", "pgopens", &[]) >= 6.0);
    assert!(of("minor_page_faults_total", HAS_CHILDREN, &[]) > 40.0 * 20.0, "its children's are counted");
}

/// Names that both are asked for. Each begins with its number, so that none is another's.
const TEMPLATES: &[&str] = &[
    "{{.Comm}} {{.ExeBase}} {{.Username}} {{.PID}}",
    "{{.StartTime}}",
    "{{.StartTime.Local}} {{.StartTime.Local.Weekday}} {{.StartTime.Local.Format \"Z07:00 MST\"}}",
    "{{define \"x\"}}[{{.}}{{$}}]{{end}}{{template \"x\" .Comm}}{{template \"x\"}}",
    "{{block \"y\" .}}{{.PID}}{{end}}",
    "{{range .Cgroups}}a{{break}}b{{end}}",
    "{{range $i, $path := .Cgroups}}{{if $i}}{{continue}}{{end}}{{$path}}{{end}}",
    "{{printf \"%+v|%-#c|%*d|%[x]*d|%.*d\" 7 \"\" 1000001 7}}{{js 255 nil}}{{html nil}}{{printf \"%.\" 1}}",
    "{{.Cgroups}} {{len .Cgroups}} {{index .Cgroups 0}}",
    "{{range $i, $path := .Cgroups}}{{$i}}{{$path}},{{else}}none{{end}}",
    "{{.Matches}} {{.Matches.secs}} {{.Matches.none}} {{index .Matches \"none\"}}!",
    "{{range $k, $v := .Matches}}{{if $k}}{{$k}}={{$v}};{{end}}{{end}}",
    "{{if .Matches.none}}a{{else if eq .Matches.secs \"x\" \"1000\"}}b{{else}}c{{end}}",
    "{{with .Matches.secs}}{{.}}/{{$.Username}}{{end}}{{with .Matches.none}}x{{else}}-{{end}}",
    "{{if eq .Matches.none \"x\"}}a{{else}}b{{end}}|{{if ne .Matches.none \"\"}}a{{else}}b{{end}}",
    "{{printf \"%s|%10s|%-10s|%q\" .Username .Username .Username .Username}}",
    "{{printf \"%.2s|%x|%v\" .Username .Username .Username}}",
    "{{printf \"%d|%5d|%05d|%-5d|%+d|%x|%v\" 42 42 42 42 42 42 42}}",
    "{{printf \"%d %s %t\" .Username 7 .Username}}",
    "{{printf \"%s\"}}{{printf \"a\" 1 .Username}}{{printf \"%\"}}",
    "{{printf \"%v %q %s\" .Cgroups .Cgroups .Cgroups | len | lt 3}}",
    "{{printf \"%v %s %f %.1f %t\" .Matches.none .Matches.none 1.5 1.25 true}}",
    "{{print 1 2 .Username 3 true false}}{{print}}{{println .Username 1}}.",
    "{{and 1 0}}{{and 1 .Username}}{{or 0 \"\"}}{{or .Username 1}}{{not .Username}}{{not 0}}",
    "{{slice .Username 1}}{{slice .Username 1 2}}{{len .Username}}{{index .Username 0}}",
    "{{lt 1 2}}{{le 2 2}}{{gt .Username \"a\"}}{{ge 1 2}}{{eq 1 2 1}}{{ne 1 2}}",
    "{{$a := .Username}}{{if true}}{{$a = \"new\"}}{{$a := 1}}{{$a}}{{end}}{{$a}}",
    "{{(printf \"%s-%s\" .Username (index .Cgroups 0)) | printf \"<%s>\"}}",
    "a  {{- .Username -}}  b{{/* nothing */}} {{- /* more */ -}} c{{\"}}\"}}{{`raw \\n`}}{{\"\\t\\\"\"}}",
    "a{{index .Cgroups 99}}b",
    "a{{len .PID}}b",
    "a{{lt .Username 1}}b",
    "a{{with .Username}}{{.Username}}{{end}}b",
    "a{{eq .Cgroups .Cgroups}}b",
    "{{1.5}}{{7}}{{-3}}{{true}}",
    "{{1.0}} {{1e3}} {{1e21}} {{1e6}} {{1_000}} {{0x10}} {{0b11}} {{0o17}} {{017}} {{+3}} {{'a'}} {{'\\n'}}",
    "{{\"\\x41\\u00e9\\U0001F600\\101\\a\"}}|{{`a\"b`}}",
    "{{printf \"%X|%o|%O|%b|%c|%U|%#U|%#x|%#o|%#b|%q\" 255 8 8 5 65 233 233 255 8 5 120}}",
    "{{printf \"%x|%X|% x|%#x|%# X\" .Username .Username .Username .Username .Username}}",
    "{{printf \"%.2x|%10x|%-10x|\" .Username .Username .Username}}",
    "{{printf \"%+d|% d|%+05d|%-5d|%05d|%.3d|%8.3d|%+.3d|%x|%d\" 5 5 5 5 -5 5 5 5 -255 -7}}",
    "{{printf \"%e|%E|%g|%G|%f|%F|%.0f|%8.2f\" 1.5 1.5 1e21 1e-7 2.5 2.5 2.5 3.14159}}",
    "{{printf \"%-8.2f|%08.2f|%+.1f|% .1f|%08.2f\" 3.14159 3.14159 2.0 2.0 -1.5}}",
    "{{printf \"%b|%x|%X|%.2x|%#g|%#.3g|%#f|%#.0f\" 1.5 1.5 10.5 1.999 1.5 1.0 1.5 2.0}}",
    "{{printf \"%.3g|%.3e|%6.2v|%v\" 1234.5 1234.5 1.555 1e6}}",
    "{{printf \"%[2]s %[1]s|%[1]d|%[3]*.[2]*[1]f|%[9]d|%[x]d|%[1\" 1 2}}",
    "{{printf \"%[2]d %[1]d|%[3]*.[2]*[1]f\" 1.5 2 8}}",
    "{{printf \"%*d|%-*d|%.*f|%*s|%!\" 5 7 5 7 2 3.14159 \"x\" \"y\"}}",
    "{{printf \"%T %T %T %T %T %T %T %T\" .StartTime .Matches .Cgroups .Username 1 1.5 true nil}}",
    "{{printf \"%#v %#v %#v %+v %#v\" .Username .Cgroups .Matches .Cgroups 7}}",
    "{{printf \"%z|%s|%d|%t|%5d|%q|%x\" 1 true 1.5 2 .Username 65 nil}}",
    "{{printf \"%q %+q %#q %-8q| %8q|%.1q\" \"é\\t\" \"é\" \"a\" \"b\" \"c\" \"de\"}}",
    "{{printf \"%5t|%-7t|%v\" true false true}}{{printf \"%5s|%-5v|%05s\" .Cgroups .Cgroups .Username}}",
    "{{.StartTime | printf \"%.4s\"}} {{.StartTime.Year}} {{.StartTime.Month}} {{.StartTime.Weekday}}",
    "{{printf \"%02d %v %d %s\" .StartTime.Month .StartTime.Weekday .StartTime.Weekday .StartTime}}",
    "{{.StartTime.Format \"2006-01-02T15:04:05Z07:00\"}}|{{.StartTime.Format \"Mon Jan _2 3:04PM \
     MST 06 002\"}}",
    "{{.StartTime.Format \".000 January Monday -0700 Janet 20060102 ,99 __2 pm 1/2\"}}",
    "{{.StartTime.Unix}} {{.StartTime.UnixMilli}} {{.StartTime.UnixNano}} {{.StartTime.YearDay}}",
    "{{.StartTime.IsZero}} {{.StartTime.UTC.Day}} {{.StartTime.GoString}}",
    "{{$t := .StartTime}}{{$t.Hour}}:{{$t.Minute}}:{{$t.Second}}.{{$t.Nanosecond}} {{$t.Format \"15:04\"}}",
    "{{\"2006\" | .StartTime.Format}} {{.StartTime.String}} {{len .StartTime.Month.String | lt 2}}",
    "{{html \"<a href='x'>&\\\"\"}}|{{js \"it's <b>=\\n\"}}|{{urlquery \"a b/é?&~\"}}|{{html 1 \
     2}}|{{js .Username 1}}",
    "{{print nil | html}}{{index .Username 0 | printf \"%c %d %T\"}}",
    "{{eq (index .Username 0) 114}}{{if eq .StartTime.Month 99}}x{{end}}",
];

#[test]
fn names_are_what_process_exporter_makes_of_templates() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut sleeping = Vec::new();
    let mut rules = "process_names:\n".to_owned();
    for (number, template) in TEMPLATES.iter().enumerate() {
        let program = folder.path().join(format!("pgname{number}"));
        fs::copy("/bin/sleep", &program).unwrap();
        sleeping.push(Command::new(&program).arg("1000").spawn().unwrap());
        let name = serde_json::to_string(&format!("{number}: {template}")).unwrap();
        rules +=
            &format!("- name: {name}\n  comm: [pgname{number}]\n  cmdline: [' (?P<secs>\\d+)$', 'pg']\n");
    }
    let file = folder.path().join("groups.yml");
    fs::write(&file, &rules).unwrap();
    let peer = peers::process_exporter(&rules, &[]);
    let agent = real_agent(options(&[
        "--collector.disable-defaults",
        "--collector.process-groups",
        &format!("--collector.process-groups.config-file={}", file.display()),
    ]));
    let names = |page: &Page| -> Vec<String> {
        let of = page.samples.keys().filter(|(family, _)| family == "namedprocess_namegroup_num_procs");
        of.filter_map(|key| label(key, "groupname").map(str::to_owned)).collect()
    };
    let (theirs, ours) = (names(&page(&peer)), names(&gather(&agent)));
    for mut process in sleeping {
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert_eq!(theirs.len(), TEMPLATES.len(), "{theirs:#?}");
    for their in &theirs {
        assert!(ours.contains(their), "{their:?} is not in {ours:#?}");
    }
}

#[test]
fn the_differences_are_written_down() {
    let text = include_str!("../../../../docs/agent.md");
    for difference in DIFFERENCES {
        let (New(name) | Whole(name) | FirstTwice(name) | Children(name) | NewThread(name)
        | OtherCount(name)) = difference;
        assert!(text.contains(&format!("`{name}`")), "docs/agent.md does not name `{name}`");
    }
}
