//! A crash at any moment: what an answer has shown is there after the restart, with the same bits. The
//! load is real, the moments are random (`SKOPOS_TEST_SEED` replays them).

use crate::support::{self, Matrix, PATIENCE, Samples, log_line, server, wait_for_log};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    service::Service,
    wait_until,
};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const TARGETS: usize = 20;
const SERIES: usize = 200;
/// The configuration without targets.
const IDLE: &str = "global: {}\n";
const CONFIG_FILE: &str = "prometheus.yml";

/// Chance of its own, so that a failure can be replayed.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let given = std::env::var("SKOPOS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos())
        });
        println!("SKOPOS_TEST_SEED={seed}");
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

/// Targets whose values change all the time, some of them numbers that need every bit.
struct Load {
    targets: Vec<Arc<Server>>,
    ending: Arc<AtomicBool>,
    changer: Option<JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let target = || Arc::new(Server::start([Misbehaviour::text(&body(0))]));
        let targets: Vec<_> = (0..TARGETS).map(|_| target()).collect();
        let ending = Arc::new(AtomicBool::new(false));
        let (changed, ends) = (targets.clone(), Arc::clone(&ending));
        let changer = thread::spawn(move || {
            for round in 1_u32.. {
                let next = Misbehaviour::text(&body(round));
                for target in &changed {
                    target.behave([next.clone()]);
                }
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                skopos_testkit::let_live(Duration::from_millis(50));
            }
        });
        Self { targets, ending, changer: Some(changer) }
    }

    /// The configuration that scrapes these targets ten times a second.
    fn config(&self) -> String {
        let mut out =
            "global: {scrape_interval: 100ms}\nscrape_configs:\n- job_name: load\n  static_configs:\n"
                .to_owned();
        for (i, target) in self.targets.iter().enumerate() {
            writeln!(out, "  - {{targets: ['{}'], labels: {{instance: '{i}'}}}}", target.address()).unwrap();
        }
        out
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(changer) = self.changer.take() {
            drop(changer.join());
        }
    }
}

fn body(round: u32) -> String {
    let mut out = String::from("# TYPE load gauge\n");
    for i in 0..SERIES {
        let value = match i % 4 {
            0 => f64::from(round),
            1 => f64::from(round) / 3.0 + i as f64,
            2 => (f64::from(round) * 0.7).sin() * 1e-300,
            _ => -0.0,
        };
        writeln!(out, "load{{i=\"{i}\"}} {value:e}").unwrap();
    }
    out
}

fn ask_target(server: &Service, target: usize) -> Matrix {
    support::instant(server, &format!("{{job=\"load\",instance=\"{target}\"}}[10m]"))
}

/// Everything that the server has of the load.
fn all(server: &Service) -> Matrix {
    (0..TARGETS).flat_map(|target| ask_target(server, target)).collect()
}

/// Puts what an answer showed to what earlier answers showed.
fn remember(shown: &mut Matrix, answer: Matrix) {
    for (metric, samples) in answer {
        let known: &mut Samples = shown.entry(metric).or_default();
        known.extend(samples);
        known.sort_unstable();
        known.dedup();
    }
}

#[track_caller]
fn assert_has(there: &Matrix, shown: &Matrix, when: &str) {
    for (metric, samples) in shown {
        let kept = there.get(metric).map_or(&[][..], Vec::as_slice);
        let lost: Vec<_> = samples.iter().filter(|sample| kept.binary_search(sample).is_err()).collect();
        assert!(lost.is_empty(), "{when}: {metric:?} lost {} of {}: {lost:?}", lost.len(), samples.len());
    }
}

fn count(matrix: &Matrix) -> usize {
    matrix.values().map(Vec::len).sum()
}

fn configure(server: &Service, config: &str) {
    fs::write(server.folder().join(CONFIG_FILE), config).unwrap();
}

/// How many samples the log says were read back at the last start.
fn replayed(server: &Service) -> usize {
    let line = wait_for_log(server, &["database opened", "samples="]);
    line.split("samples=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// Asks for random targets a random while.
fn watch(server: &Service, chance: &mut Chance, shown: &mut Matrix) {
    let scraped = || (ask_target(server, TARGETS - 1).len() > SERIES).then_some(());
    wait_until("samples of the load", PATIENCE, scraped);
    for _ in 0..4 + chance.below(8) {
        remember(shown, ask_target(server, chance.below(TARGETS)));
        skopos_testkit::let_live(Duration::from_millis(chance.below(60) as u64));
    }
}

#[test]
fn what_an_answer_has_shown_survives_every_kill() {
    let mut chance = Chance::new();
    let load = Load::start();
    let mut server = server().config(&load.config()).start();
    let mut shown = Matrix::new();
    for round in 0..3 {
        watch(&server, &mut chance, &mut shown);
        server.kill9();
        configure(&server, IDLE);
        server.restart();
        let there = all(&server);
        assert_has(&there, &shown, &format!("after kill {round}"));
        let (said, all_there) = (replayed(&server), count(&there));
        assert!(said >= all_there, "the log says {said} samples were read back, there are {all_there}");
        remember(&mut shown, there);
        configure(&server, &load.config());
        // An end in order between the crashes: it loses nothing either.
        assert_eq!(server.terminate().code(), Some(0));
        server.restart();
    }
    assert!(count(&shown) > 3 * SERIES * TARGETS, "the load was too small: {} samples", count(&shown));
    watch(&server, &mut chance, &mut shown);
    configure(&server, IDLE);
    assert_eq!(server.terminate().code(), Some(0));
    server.restart();
    assert_has(&all(&server), &shown, "after SIGTERM");
}

/// What may be left of the write that a crash interrupted.
#[derive(Debug, Clone, Copy)]
enum Torn {
    Cut { bytes: u64 },
    Garbage { bytes: usize },
}

#[test]
fn a_torn_last_record_is_cut_off_and_said_and_costs_nothing_else() {
    let mut chance = Chance::new();
    let load = Load::start();
    let mut server = server().config(&load.config()).start();
    watch(&server, &mut chance, &mut Matrix::new());
    server.kill9();
    configure(&server, IDLE);
    let (data, kept) = (server.folder().join("data/wal"), server.folder().join("kept"));
    copy_files(&data, &kept);
    server.restart();
    let whole = all(&server);

    let cut = 1 + chance.below(30) as u64;
    let garbage = 1 + chance.below(100);
    for torn in [Torn::Cut { bytes: cut }, Torn::Garbage { bytes: garbage }, Torn::Cut { bytes: 1 }] {
        server.kill9();
        fs::remove_dir_all(&data).unwrap();
        copy_files(&kept, &data);
        let before = server.log().len();
        tear(&last_segment(&data), torn);
        server.restart();
        let there = all(&server);
        let log = server.log()[before..].to_owned();
        let said = log_line(&log, &["level=warn", "unfinished record", "cut off"]);
        assert!(said.is_some(), "{torn:?} was not said in the log:\n{log}");
        assert_has(&whole, &there, "nothing is there that was not");
        // The last record is one scrape of one target.
        let lost = count(&whole) - count(&there);
        let most = if matches!(torn, Torn::Cut { .. }) { SERIES + 5 } else { 0 };
        assert!(lost <= most, "{torn:?} cost {lost} samples");
        let again = server.log().len();
        server.kill9();
        server.restart();
        assert_eq!(log_line(&server.log()[again..], &["level=warn"]), None, "{torn:?} was cut off for good");
        assert!(all(&server) == there, "{torn:?}: a second start gives the same");
    }
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The last segment that has anything in it.
fn last_segment(wal: &Path) -> PathBuf {
    let entries = fs::read_dir(wal).unwrap().map(|entry| entry.unwrap());
    let filled = entries.filter(|entry| entry.metadata().unwrap().len() > 0).map(|entry| entry.path());
    filled.max().expect("the log has a segment")
}

fn tear(segment: &Path, torn: Torn) {
    let mut bytes = fs::read(segment).unwrap();
    match torn {
        Torn::Cut { bytes: cut } => bytes.truncate(bytes.len() - usize::try_from(cut).unwrap()),
        // The beginning of a record whose checksum is wrong.
        Torn::Garbage { bytes: count } => bytes.extend((0..count).map(|i| if i == 0 { 1 } else { 0xA5 })),
    }
    fs::write(segment, bytes).unwrap();
}
