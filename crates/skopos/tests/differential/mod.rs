//! Made-up expressions over the same directory of blocks, to Debian's Prometheus and to ours, and those that
//! are newer to a Prometheus 3: equal results, or both refuse; of a Prometheus 3 the same remarks too. Prints
//! its seed; `SKOPOS_TEST_SEED` replays it, `SKOPOS_TEST_CASES` asks more. Owns the written lists of what is
//! not equal.

mod answer;
mod grammar;
mod unlike;
mod world;

use self::{
    answer::{Answer, CLOSE, Comparison, Numbers, Remarks, difference},
    grammar::Grammar,
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
use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

/// How many expressions are made up for Debian's Prometheus; for a Prometheus 3, those that it has beside
/// them first.
const RANDOM: usize = 5000;
const RANDOM_3: [usize; 2] = [3000, 1000];

/// How often both are asked again, nothing beside it, what they answered otherwise.
const TIMES_AGAIN: usize = 40;

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
    /// The query's parameter `stats`, if it has one.
    stats: &'static str,
}

impl Question {
    fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), times: Times::Many, stats: "" }
    }

    /// The same, with the samples that are looked at.
    fn counted(text: impl Into<String>) -> Self {
        Self { stats: "&stats=all", ..Self::of(text) }
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
    fn compare(&mut self, question: &Question, unlike: &Unlikes) -> Result<(), String> {
        let text = &question.text;
        let over = format!("start={START_S}&end={END_S}&step={STEP_S}");
        let at = format!("time={AT_S}");
        // What it is called has changed.
        let ours = encoded(&text.replace("holt_winters", "double_exponential_smoothing"));
        let theirs = encoded(text);
        let stats = question.stats;
        let form = |when: &str| [&ours, &theirs].map(|query| format!("query={query}&{when}{stats}"));
        if question.times == Times::Many {
            check(text, unlike, Times::Many, &self.ask("/api/v1/query_range", &form(&over)))?;
        }
        check(text, unlike, Times::One, &self.ask("/api/v1/query", &form(&at)))
    }
}

/// What a peer does otherwise.
struct Unlikes {
    list: Vec<Unlike>,
    /// Whether it has remarks at all, to be compared with ours.
    with_remarks: bool,
}

fn check(text: &str, unlike: &Unlikes, at: Times, answers: &[Answer; 2]) -> Result<(), String> {
    let [ours, theirs] = answers;
    let may = |what| unlike.list.iter().any(|u| u.what == what && u.concerns(text));
    match (ours.status, theirs.status) {
        (200, 200) => {
            let tolerance = if may(What::Loosely) { 1e-6 } else { CLOSE };
            let numbers = Numbers { tolerance, theirs_may_lack: may(What::Unnumbered) };
            let in_order = at == Times::One && text.starts_with("sort") && !may(What::Unordered);
            let of = |what: What, remark: &str| {
                unlike.list.iter().position(|u| u.what == what && u.concerns(remark))
            };
            let compared = |remark: &str| {
                let place = remark.rfind(" (").filter(|_| may(What::Places)).unwrap_or(remark.len());
                of(What::Remark, remark).is_none().then(|| remark[..place].to_owned())
            };
            let fewer = |remark: &str| of(What::Fewer, remark);
            let remarks = Remarks { compared: &compared, fewer: &fewer };
            let remarks = unlike.with_remarks.then_some(remarks);
            let samples = !may(What::Counts);
            difference(ours, theirs, Comparison { numbers, in_order, remarks, samples })
        }
        (200, _) if may(What::Newer) => Ok(()),
        (_, 200) if may(What::Stricter) => Ok(()),
        (200, _) => Err(format!("theirs refuses: {}", theirs.error())),
        (_, 200) => Err(format!("only ours refuses: {}", ours.error())),
        (a, b) if a == b => Ok(()),
        _ if may(What::Status) => Ok(()),
        _ => Err(format!("refused otherwise: {}; theirs {}", ours.error(), theirs.error())),
    }
    .map_err(|e| format!("{} {text}\n  {e}", if at == Times::One { "at a time:" } else { "over a range:" }))
}

/// Asks both about all, over two connections to each, and gives what differs.
fn differences(theirs: &Service, ours: &Service, all: &[Question], unlike: &Unlikes) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut asker = Asker::new(theirs, ours);
        let mut found = Vec::new();
        while let Some(question) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(difference) = asker.compare(question, unlike) {
                found.push((question, difference));
            }
        }
        found
    };
    let mut found = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut found = work();
        found.extend(other.join().unwrap());
        found
    });
    // What it answers otherwise from one time to the next is not defined there: the order of series that come
    // from one of Go's maps decides between equal values, and queries beside one another have been seen to
    // share a histogram's buckets. One of its answers has to be ours, which never changes.
    let mut asker = Asker::new(theirs, ours);
    found.retain(|(question, _)| !(0..TIMES_AGAIN).any(|_| asker.compare(question, unlike).is_ok()));
    found.into_iter().map(|(_, difference)| difference).collect()
}

/// A list beside this file, read when the tests run: for a change of it nothing is built.
fn file(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|l| !l.is_empty() && !l.starts_with("//"))
}

/// What asks whether every regular expression of the table is one, and what of `metric` it matches, by
/// matchers and with its groups.
fn about_regexes<'a>(metric: &'a str, regexes: &'a str) -> impl Iterator<Item = Question> + 'a {
    lines(regexes).flat_map(move |regex| {
        let quoted = format!("\"{}\"", regex.replace('\\', "\\\\").replace('"', "\\\""));
        [
            format!("{metric}{{v=~{quoted}}}"),
            format!("count({metric}{{v!~{quoted}}})"),
            format!("label_replace({metric}, \"r\", \"<$0|$1|$2|$n|${{m}}>\", \"v\", {quoted})"),
        ]
        .map(|text| Question { times: Times::One, ..Question::of(text) })
    })
}

/// A peer and ours, what it does otherwise, and what both are asked.
struct Round {
    servers: Servers,
    unlike: Unlikes,
    all: Vec<Question>,
}

impl Round {
    /// What differs.
    fn found(&self) -> Vec<String> {
        differences(&self.servers.theirs, &self.servers.ours, &self.all, &self.unlike)
    }

    fn asker(&self) -> Asker {
        Asker::new(&self.servers.theirs, &self.servers.ours)
    }

    /// Which entries of the list are not needed: without one its examples have to differ.
    fn not_needed(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut asker = self.asker();
        let none = Unlikes { list: Vec::new(), ..self.unlike };
        for entry in &self.unlike.list {
            let stray = entry.examples.iter().find(|e| !entry.is_of_remarks() && !entry.concerns(e));
            found.extend(stray.map(|e| format!("`{}` does not concern its example {e}", entry.text)));
            if !entry.examples.iter().any(|e| asker.compare(&Question::counted(e), &none).is_err()) {
                found.push(format!("`{}` is not needed: its examples are alike", entry.text));
            }
        }
        found
    }

    /// Whether all is equal; that the list is needed too, if the seed is the usual one.
    fn check(&self, seed: u64) {
        let mut found = self.found();
        // Whether numbers differ by a little depends on the samples, and these on the seed.
        if seed == SEED {
            found.extend(self.not_needed());
        }
        let shown = |d: &String| d.chars().take(700).collect::<String>() + "\n";
        let shown: String = found.iter().take(40).map(shown).collect();
        assert!(found.is_empty(), "{} of {} differ, seed {seed}:\n{shown}", found.len(), self.all.len());
    }
}

/// Expressions that `write` makes up, without those that the list leaves out.
fn made_up(write: impl Fn() -> String, unlike: &[Unlike], count: usize) -> impl Iterator<Item = String> {
    let skipped = |text: &String| unlike.iter().any(|u| u.what == What::Skip && u.concerns(text));
    std::iter::repeat_with(write).filter(move |text| !skipped(text)).take(count)
}

/// Expressions of a dialect, every fourth spoilt.
fn written(rng: &Rng, dialect: Dialect) -> impl Fn() -> String {
    move || {
        let writer = Writer { rng, fixed_time: "1700003007", dialect };
        if chance(rng, 25) { writer.spoilt() } else { writer.any() }
    }
}

const SEED: u64 = 20_261_123;

fn seed() -> u64 {
    let seed = std::env::var("SKOPOS_TEST_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or(SEED);
    println!("SKOPOS_TEST_SEED={seed}");
    seed
}

/// `usual` expressions, or as many times more as are asked for than are usual for Debian's Prometheus.
fn cases(usual: usize) -> usize {
    let asked = std::env::var("SKOPOS_TEST_CASES").ok().and_then(|v| v.parse::<usize>().ok());
    usual * asked.unwrap_or(RANDOM) / RANDOM
}

#[test]
fn prometheus_gives_the_same_answers_over_the_same_blocks() {
    let seed = seed();
    let rng = Rng::from_seed(seed);
    let list = unlike::read(&file("unlike.txt"));
    let (older, regexes) = (file("expressions.txt"), file("regexes.txt"));
    let random = made_up(written(&rng, Dialect::Old), &list, cases(RANDOM)).map(Question::of);
    let all = random.chain(lines(&older).map(Question::of)).chain(about_regexes("text", &regexes)).collect();
    let unlike = Unlikes { list, with_remarks: false };
    Round { servers: Servers::old(&rng), unlike, all }.check(seed);
}

#[test]
fn prometheus_3_gives_the_same_answers_and_remarks_over_the_same_blocks() {
    let seed = seed();
    let rng = Rng::from_seed(seed);
    let Some(servers) = Servers::recent(&rng) else { return };
    let list = unlike::read(&file("unlike_3.txt"));
    let rules = file("grammar_3.txt");
    let grammar = Grammar::read(&rules);
    let own = made_up(|| grammar.write(&rng, "query"), &list, cases(RANDOM_3[0])).enumerate();
    // The JSON of each answer has to be read where samples are counted, which takes its time.
    let own = own.map(|(i, text)| if i % 4 == 0 { Question::counted(text) } else { Question::of(text) });
    let random = made_up(written(&rng, Dialect::Recent), &list, cases(RANDOM_3[1])).map(Question::of);
    let (older, newer) = (file("expressions.txt"), file("expressions_3.txt"));
    let listed = lines(&older).chain(lines(&newer)).map(Question::counted);
    let regexes = file("regexes.txt");
    let about_texts = ["text", "lines"].into_iter().flat_map(|metric| about_regexes(metric, &regexes));
    let all = own.chain(random).chain(listed).chain(about_texts).collect();
    let round = Round { servers, unlike: Unlikes { list, with_remarks: true }, all };
    let mut asker = round.asker();
    for schema in -4..=8 {
        let form = format!("query=bounds{{schema=\"{schema}\"}}&time={AT_S}").replace('"', "%22");
        let [ours, theirs] = asker.ask("/api/v1/query", &[form.clone(), form]);
        assert!(theirs.status == 200 && theirs.body.len() > 300, "{}", theirs.error());
        let (ours, theirs) = (String::from_utf8_lossy(&ours.body), String::from_utf8_lossy(&theirs.body));
        assert_eq!(ours, theirs, "the bounds of schema {schema}");
    }
    round.check(seed);
}
