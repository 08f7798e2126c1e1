//! Made-up expressions over the same directory of blocks, to Debian's Prometheus and to ours, and those that
//! are newer to a Prometheus 3: equal results, or both refuse. Prints its seed; `SKOPOS_TEST_SEED` replays
//! it. Owns the written lists of what is not equal.

mod answer;
mod unlike;
mod world;

use self::{
    answer::{Answer, CLOSE, Comparison, difference},
    unlike::{Unlike, What},
    world::{BEGIN_S, Servers},
};
use crate::support::encoded;
use skopos_base::rng::Rng;
use skopos_testkit::{
    expressions::{Dialect, Writer, chance},
    http::Connection,
    service::Service,
};
use std::sync::atomic::{AtomicUsize, Ordering};

const EXPRESSIONS: &str = include_str!("expressions.txt");
const EXPRESSIONS_OF_3: &str = include_str!("expressions_3.txt");
const REGEXES: &str = include_str!("regexes.txt");
const UNLIKE: &str = include_str!("unlike.txt");
const UNLIKE_3: &str = include_str!("unlike_3.txt");

/// How many expressions are made up for Debian's Prometheus, and for a Prometheus 3.
const RANDOM: usize = 5000;
const RANDOM_3: usize = 1000;

/// Not a multiple of any subquery's step, for the edges of whose windows the versions differ too.
const START_S: i64 = BEGIN_S + 1807;
const STEP_S: i64 = 240;
const END_S: i64 = START_S + 30 * STEP_S;
const AT_S: i64 = START_S + 3600;

/// At which times an expression is evaluated.
#[derive(Clone, Copy, PartialEq)]
enum Times {
    One,
    /// At one, and over a range.
    Many,
}

/// What both are asked.
struct Question {
    text: String,
    times: Times,
}

impl Question {
    fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), times: Times::Many }
    }
}

/// Both, each behind a connection that is kept.
struct Asker {
    theirs: Connection,
    ours: Connection,
}

impl Asker {
    fn new(theirs: &Service, ours: &Service) -> Self {
        let open = |server: &Service| Connection::open(&server.address()).unwrap();
        Self { theirs: open(theirs), ours: open(ours) }
    }

    /// The answers of both, ours first.
    fn ask(&mut self, path: &str, form: &[String; 2]) -> [Answer; 2] {
        self.ours.send_form(path, &form[0]).unwrap();
        self.theirs.send_form(path, &form[1]).unwrap();
        [self.ours.answer().unwrap().into(), self.theirs.answer().unwrap().into()]
    }

    /// Compares the answers to a question.
    fn compare(&mut self, question: &Question, unlike: &[Unlike]) -> Result<(), String> {
        let text = &question.text;
        let over = format!("start={START_S}&end={END_S}&step={STEP_S}");
        let at = format!("time={AT_S}");
        // What it is called has changed.
        let ours = encoded(&text.replace("holt_winters", "double_exponential_smoothing"));
        let theirs = encoded(text);
        let form = |when: &str| [&ours, &theirs].map(|query| format!("query={query}&{when}"));
        if question.times == Times::Many {
            check(text, unlike, false, &self.ask("/api/v1/query_range", &form(&over)))?;
        }
        check(text, unlike, true, &self.ask("/api/v1/query", &form(&at)))
    }
}

fn check(text: &str, unlike: &[Unlike], instant: bool, answers: &[Answer; 2]) -> Result<(), String> {
    let [ours, theirs] = answers;
    let may = |what| unlike.iter().any(|u| u.what == what && u.concerns(text));
    match (ours.status, theirs.status) {
        (200, 200) => {
            let tolerance = if may(What::Loosely) { 1e-6 } else { CLOSE };
            let in_order = instant && text.starts_with("sort");
            difference(ours, theirs, Comparison { tolerance, in_order })
        }
        (200, _) if may(What::Newer) => Ok(()),
        (_, 200) if may(What::Stricter) => Ok(()),
        (200, _) => Err(format!("theirs refuses: {}", theirs.error())),
        (_, 200) => Err(format!("only ours refuses: {}", ours.error())),
        (a, b) if a == b => Ok(()),
        _ if may(What::Status) => Ok(()),
        _ => Err(format!("refused otherwise: {}; theirs {}", ours.error(), theirs.error())),
    }
    .map_err(|e| format!("{} {text}\n  {e}", if instant { "at a time:" } else { "over a range:" }))
}

/// Asks both about all, over two connections to each, and gives what differs.
fn differences(theirs: &Service, ours: &Service, all: &[Question], unlike: &[Unlike]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut asker = Asker::new(theirs, ours);
        let mut found = Vec::new();
        while let Some(question) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.extend(asker.compare(question, unlike).err());
        }
        found
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut found = work();
        found.extend(other.join().unwrap());
        found
    })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|l| !l.is_empty() && !l.starts_with("//"))
}

/// What asks whether every regular expression of the table is one, and what of `metric` it matches, by
/// matchers and with its groups.
fn about_regexes(metric: &str) -> impl Iterator<Item = Question> {
    lines(REGEXES).flat_map(move |regex| {
        let quoted = format!("\"{}\"", regex.replace('\\', "\\\\").replace('"', "\\\""));
        [
            format!("{metric}{{v=~{quoted}}}"),
            format!("count({metric}{{v!~{quoted}}})"),
            format!("label_replace({metric}, \"r\", \"<$0|$1|$2|$n|${{m}}>\", \"v\", {quoted})"),
        ]
        .map(|text| Question { text, times: Times::One })
    })
}

/// One of the peers, what it does otherwise, and what both are asked.
struct Round<'a> {
    theirs: &'a Service,
    ours: &'a Service,
    unlike: Vec<Unlike>,
    all: Vec<Question>,
}

impl Round<'_> {
    /// What differs.
    fn found(&self) -> Vec<String> {
        differences(self.theirs, self.ours, &self.all, &self.unlike)
    }

    /// Which entries of the list are not needed: without one its examples have to differ.
    fn not_needed(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut asker = Asker::new(self.theirs, self.ours);
        for entry in &self.unlike {
            let stray = entry.examples.iter().find(|e| !entry.concerns(e));
            found.extend(stray.map(|e| format!("`{}` does not concern its example {e}", entry.text)));
            if !entry.examples.iter().any(|e| asker.compare(&Question::of(e), &[]).is_err()) {
                found.push(format!("`{}` is not needed: its examples are alike", entry.text));
            }
        }
        found
    }
}

fn made_up(rng: &Rng, dialect: Dialect, unlike: &[Unlike], count: usize) -> Vec<Question> {
    let writer = Writer { rng, fixed_time: "1700003007", dialect };
    let write = || if chance(rng, 25) { writer.spoilt() } else { writer.any() };
    let skipped = |text: &String| unlike.iter().any(|u| u.what == What::Skip && u.concerns(text));
    std::iter::repeat_with(write).filter(|text| !skipped(text)).take(count).map(Question::of).collect()
}

#[test]
fn prometheus_gives_the_same_answers_over_the_same_blocks() {
    let given = std::env::var("SKOPOS_TEST_SEED").ok().and_then(|v| v.parse().ok());
    let seed = given.unwrap_or(20_261_123);
    println!("SKOPOS_TEST_SEED={seed}");
    let rng = Rng::from_seed(seed);
    let Servers { old, recent, ours } = Servers::start(&rng);
    let unlike = unlike::read(UNLIKE);
    let random = made_up(&rng, Dialect::Old, &unlike, RANDOM).into_iter();
    let all = random.chain(lines(EXPRESSIONS).map(Question::of)).chain(about_regexes("text")).collect();
    let mut rounds = vec![Round { theirs: &old, ours: &ours, unlike, all }];
    if let Some(recent) = &recent {
        let unlike = unlike::read(UNLIKE_3);
        let random = made_up(&rng, Dialect::Recent, &unlike, RANDOM_3).into_iter();
        let listed = lines(EXPRESSIONS).chain(lines(EXPRESSIONS_OF_3)).map(Question::of);
        let regexes = ["text", "lines"].into_iter().flat_map(about_regexes);
        rounds.push(Round {
            theirs: recent,
            ours: &ours,
            unlike,
            all: random.chain(listed).chain(regexes).collect(),
        });
    }
    for (round, name) in rounds.iter().zip(["Prometheus 2.42", "Prometheus 3"]) {
        let mut found = round.found();
        // Whether numbers differ by a little depends on the samples, and these on the seed.
        if given.is_none() {
            found.extend(round.not_needed());
        }
        let shown = |d: &String| d.chars().take(700).collect::<String>() + "\n";
        let shown: String = found.iter().take(40).map(shown).collect();
        assert!(found.is_empty(), "{} of {} differ from {name}:\n{shown}", found.len(), round.all.len());
    }
}
