//! `cargo xtask bench peers queries`: the same range queries over the same samples for Prometheus,
//! VictoriaMetrics and this program, and what each took. Owns the order of a measurement; never fails for a
//! figure, and for an answer only if it is none.
//!
//! Each question goes to a process just started, so that its first answer is cold but for the operating
//! system's cache of files; then it is asked some times more, of which the best counts. What was measured
//! stays below the target folder, so that one system can be measured again beside what the others took.

mod answer;
mod data;
mod list;
mod systems;
mod table;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use skopos_testkit::http;
use skopos_testkit::service::Service;

use crate::peers::usage;
use crate::process::{our_program, target_folder};
use data::{DataSet, END_S};
use list::{Asks, Question};
use systems::{SYSTEMS, System};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// A question that takes long is asked again no more once this is over.
const ENOUGH: Duration = Duration::from_secs(4);
/// The coarse count of processor time may be off by so much.
const COARSE_MS: f64 = 20.0;

const USUAL: [DataSet; 2] = [
    DataSet { machines: 20, hours: 7 * 24, asks: Asks::Everything },
    DataSet { machines: 200, hours: 24, asks: Asks::HeavyAlone },
];
const QUICK: [DataSet; 2] = [
    DataSet { machines: 3, hours: 26, asks: Asks::Everything },
    DataSet { machines: 10, hours: 4, asks: Asks::HeavyAlone },
];

/// What is measured, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Options<'a> {
    sets: [DataSet; 2],
    /// The one system to measure, else all.
    only: Option<&'static str>,
    /// The one question to ask, else all.
    name: Option<&'a str>,
    /// How often a question is asked warm.
    repeat: usize,
    /// Our program, built before; else it is built.
    program: Option<&'a str>,
    /// Another Prometheus than the installed one.
    prometheus: Option<&'a str>,
}

/// What one system took for one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Measured {
    title: String,
    cold_ms: f64,
    warm_ms: f64,
    cold_cpu_ms: f64,
    warm_cpu_ms: f64,
    /// What of a warm answer was not the query's own evaluation, where the system says so.
    outside_ms: Option<f64>,
    peak_bytes: u64,
    answer_bytes: usize,
}

/// Measures, prints the table and writes it as Markdown below the target folder.
pub(crate) fn run_all(root: &Path, arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    let target = target_folder(root)?;
    let binary = our_program(root, options.program)?;
    let below = target.join("queries");
    let mut sections = Vec::new();
    for set in &options.sets {
        for system in SYSTEMS.iter().filter(|system| options.only.is_none_or(|only| only == system.key)) {
            set.prepare(root, &below, system).with_context(|| system.name.to_owned())?;
            let binary =
                if system.key == "prometheus" { options.prometheus.map(Path::new) } else { Some(&*binary) };
            measure(set, system, binary, &below, options).with_context(|| system.name.to_owned())?;
        }
        sections.push(section(set, &below, options)?);
    }
    let markdown = table::markdown(&sections);
    print!("\n{markdown}");
    let path = target.join("peers-queries.md");
    fs::write(&path, markdown).with_context(|| format!("cannot write {}", path.display()))?;
    println!("as Markdown: {}", path.display());
    Ok(())
}

fn parse<'a>(arguments: &[&'a str]) -> Result<Options<'a>> {
    let (sets, mut rest) = match arguments {
        ["--quick", rest @ ..] => (QUICK, rest),
        rest => (USUAL, rest),
    };
    let mut options = Options { sets, only: None, name: None, repeat: 5, program: None, prometheus: None };
    while let [name, value, others @ ..] = rest {
        rest = others;
        match *name {
            "--only" => {
                let system = SYSTEMS.iter().find(|system| system.key == *value);
                options.only = Some(system.with_context(|| format!("`{value}` is no system"))?.key);
            }
            "--name" => options.name = Some(value),
            "--program" => options.program = Some(value),
            "--prometheus" => options.prometheus = Some(value),
            "--repeat" => {
                options.repeat = value.parse().with_context(|| format!("`--repeat {value}` is no number"))?;
                ensure!(options.repeat > 0, "`--repeat` needs a number above 0");
            }
            other => {
                bail!("`{other}` is unknown: --quick, --only, --name, --repeat, --program, --prometheus")
            }
        }
    }
    match rest {
        [] => Ok(options),
        [name, ..] => bail!("`{name}` has no value"),
    }
}

fn asked(set: &DataSet, options: Options<'_>) -> Result<Vec<Question>> {
    let mut all = list::questions(set.hours, set.asks)?;
    all.retain(|question| options.name.is_none_or(|name| question.title().contains(name)));
    Ok(all)
}

/// Asks one system everything, each question on a process of its own, and keeps what was measured.
fn measure(
    set: &DataSet,
    system: &System,
    binary: Option<&Path>,
    below: &Path,
    options: Options<'_>,
) -> Result<()> {
    let folder = set.folder(below);
    let answers = folder.join(format!("{}-answers", system.key));
    fs::create_dir_all(&answers)?;
    let mut kept = kept(&folder, system)?;
    println!("{}, {}", system.name, set.name());
    for question in asked(set, options)? {
        let spec = (system.spec)(binary, &folder.join(system.key))?;
        let mut service = Service::start(spec);
        let (one, body) = ask(&mut service, system, &question, options.repeat)
            .with_context(|| format!("{}: {}", question.title(), question.expr))?;
        fs::write(answers.join(question.file()), body)?;
        println!("  {}: {:.1} ms cold, {:.1} ms warm", one.title, one.cold_ms, one.warm_ms);
        kept.retain(|old| old.title != one.title);
        kept.push(one);
    }
    fs::write(folder.join(format!("{}.json", system.key)), serde_json::to_vec(&kept)?)?;
    Ok(())
}

/// What was measured of a system, now or before.
fn kept(folder: &Path, system: &System) -> Result<Vec<Measured>> {
    match fs::read(folder.join(format!("{}.json", system.key))) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(_) => Ok(Vec::new()),
    }
}

fn ask(
    service: &mut Service,
    system: &System,
    question: &Question,
    repeat: usize,
) -> Result<(Measured, Vec<u8>)> {
    let process = service.process().id();
    let mut path = format!(
        "/api/v1/query_range?query={}&start={}&end={END_S}&step={}{}",
        escaped(question.expr),
        END_S - question.window_s,
        question.step_s,
        system.uncached
    );
    let once = |path: &str| -> Result<(f64, f64, Vec<u8>)> {
        let cpu = (usage::fine_cpu_ms(process)?, usage::cpu_s(process)? * 1e3);
        let started = Instant::now();
        let got = http::get_within(&service.url(path), PATIENCE)?;
        let ms = started.elapsed().as_secs_f64() * 1e3;
        ensure!(got.status == 200, "status {}: {}", got.status, got.text());
        let (fine, coarse) = (usage::fine_cpu_ms(process)? - cpu.0, usage::cpu_s(process)? * 1e3 - cpu.1);
        // Threads that ended meanwhile are in the coarse count alone.
        Ok((ms, if coarse > fine + COARSE_MS { coarse } else { fine }, got.body))
    };
    let (cold_ms, cold_cpu_ms, body) = once(&path)?;
    let (mut warm_ms, mut warm_cpu_ms) = (f64::MAX, f64::MAX);
    let started = Instant::now();
    for _ in 0..repeat {
        let (ms, cpu_ms, _) = once(&path)?;
        (warm_ms, warm_cpu_ms) = (warm_ms.min(ms), warm_cpu_ms.min(cpu_ms));
        if started.elapsed() > ENOUGH {
            break;
        }
    }
    path.push_str("&stats=1");
    let (ms, _, told) = once(&path)?;
    let measured = Measured {
        title: question.title(),
        cold_ms,
        warm_ms,
        cold_cpu_ms,
        warm_cpu_ms,
        outside_ms: evaluation_ms(&told).map(|own| (ms - own).max(0.0)),
        peak_bytes: usage::peak_bytes(process)?,
        answer_bytes: body.len(),
    };
    Ok((measured, body))
}

/// What the system says that evaluation took.
fn evaluation_ms(body: &[u8]) -> Option<f64> {
    // The statistics stand behind the result.
    let text = String::from_utf8_lossy(&body[body.len().saturating_sub(4096)..]).into_owned();
    let (_, rest) = text.split_once("\"execTotalTime\":")?;
    let number = rest.split([',', '}']).next()?;
    number.trim().parse::<f64>().ok().map(|s| s * 1e3)
}

/// An expression as a part of an address.
fn escaped(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

/// The figures of all systems about one data set, with what their answers differ in.
fn section(set: &DataSet, below: &Path, options: Options<'_>) -> Result<table::Section> {
    let folder = set.folder(below);
    let mut measured = Vec::new();
    for system in &SYSTEMS {
        measured.push(kept(&folder, system)?);
    }
    let mut rows = Vec::new();
    for question in asked(set, options)? {
        let of = |own: &Vec<Measured>| own.iter().find(|one| one.title == question.title()).cloned();
        let read = |system: &System| {
            let path = folder.join(format!("{}-answers", system.key)).join(question.file());
            answer::read(&fs::read(path).ok()?).ok()
        };
        let [first, second, ours] = [0, 1, 2].map(|i| read(&SYSTEMS[i]));
        let mut remarks = Vec::new();
        if let (Some(first), Some(ours)) = (&first, &ours) {
            remarks.extend(answer::difference(first, ours).map(|d| format!("Prometheus and Skopos: {d}")));
        }
        if let (Some(second), Some(ours)) = (&second, &ours)
            && second.len() != ours.len()
        {
            remarks.push(format!("VictoriaMetrics has {} series, Skopos {}", second.len(), ours.len()));
        }
        let points = ours.as_deref().map_or(0, answer::points);
        rows.push(table::Row { question, of: [0, 1, 2].map(|i| of(&measured[i])), points, remarks });
    }
    Ok(table::Section { name: set.name(), rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let usual =
            Options { sets: USUAL, only: None, name: None, repeat: 5, program: None, prometheus: None };
        assert_eq!(parse(&[]).unwrap(), usual);
        assert_eq!(parse(&["--quick"]).unwrap(), Options { sets: QUICK, ..usual });
        let some = parse(&["--only", "skopos", "--name", "heavy", "--repeat", "2"]).unwrap();
        assert_eq!(some, Options { only: Some("skopos"), name: Some("heavy"), repeat: 2, ..usual });
        for bad in [&["--repeat"][..], &["--repeat", "0"], &["--only", "graphite"], &["--slow", "1"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_expression_is_escaped_and_an_evaluation_s_time_found() {
        assert_eq!(escaped("a{b=~\".+\"}"), "a%7Bb%3D~%22.%2B%22%7D".replace('~', "%7E"));
        let body =
            br#"{"data":{"stats":{"timings":{"execQueueTime":0.1,"execTotalTime":0.25},"samples":{}}}}"#;
        assert_eq!(evaluation_ms(body), Some(250.0));
        assert_eq!(evaluation_ms(b"{}"), None);
    }
}
