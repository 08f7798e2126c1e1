//! `cargo xtask bench peers`: the same scrape load for Prometheus, VictoriaMetrics and this program, one
//! after the other in one run, and what each took for it. Owns the order of a measurement; never fails for
//! a figure.
//!
//! A system is started on an empty folder, warmed up until it knows all series, and watched for a while:
//! samples by its own counter, processor time and memory by /proc. Then it is killed, and the time is
//! taken from its next start until it answers for every target with what it had stored.

pub(crate) mod agent;
mod body;
mod load;
pub(crate) mod push;
mod systems;
mod table;
pub(crate) mod usage;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use skopos_testkit::http;
use skopos_testkit::service::Service;
use skopos_testkit::wait::{let_live, poll};

use crate::process::{our_program, target_folder};
use load::Load;
use systems::{SYSTEMS, System};

/// How long a system may take to know all series, or to answer after it was killed.
const PATIENCE: Duration = Duration::from_secs(180);
/// Where more of the scrapes are missed, a system has come to its end. Watching begins and ends between
/// scrapes.
const MISSED_MAX: f64 = 0.01;
/// What is asked for after a crash is this much older than the crash: a peer may lose its last seconds.
const OLDER_S: u64 = 15;

/// How much load, for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Options<'a> {
    targets: usize,
    series_per_target: usize,
    interval_s: u64,
    /// So much percent of the series are new every minute.
    churn: u64,
    /// With how many targets more it is measured again, until scrapes are missed; none where it is measured
    /// once.
    ladder: Option<usize>,
    warm_up_s: u64,
    seconds: u64,
    /// The one system to measure, else all.
    only: Option<&'static str>,
    /// Our program, built before; else it is built.
    program: Option<&'a str>,
}

const USUAL: Options<'_> = Options {
    targets: 300,
    series_per_target: 1000,
    interval_s: 1,
    churn: 0,
    ladder: None,
    warm_up_s: 30,
    seconds: 90,
    only: None,
    program: None,
};
const QUICK: Options<'_> = Options { targets: 50, warm_up_s: 5, seconds: 20, ..USUAL };

/// What one system did.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Measured {
    system: &'static str,
    targets: usize,
    series: u64,
    samples: f64,
    seconds: f64,
    cpu_s: f64,
    /// What the load itself took, a second.
    load_cpu_per_s: f64,
    /// Of the scrapes that were due.
    missed: f64,
    /// 99 % of the times between two scrapes of a target differed by less from the interval.
    jitter_p99_ms: f64,
    memory: usage::Memory,
    /// Samples since the start, to which the bytes on disk belong.
    stored_samples: f64,
    disk_bytes: u64,
    ready_s: f64,
}

/// Measures all systems, prints the table and writes it as Markdown below the target folder.
pub(crate) fn run_all(root: &Path, arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    let target = target_folder(root)?;
    let binary = our_program(root, options.program)?;
    let mut measured = Vec::new();
    for system in SYSTEMS.iter().filter(|system| options.only.is_none_or(|only| only == system.key)) {
        let mut options = options;
        loop {
            println!("{}: {} targets of {} series", system.name, options.targets, options.series_per_target);
            let one = measure(system, &binary, options).with_context(|| system.name.to_owned())?;
            println!("{}", table::line(&one));
            let more = options.ladder.filter(|_| one.missed <= MISSED_MAX);
            measured.push(one);
            let Some(more) = more else { break };
            options.targets += more;
        }
    }
    print!("\n{}", table::text(&measured));
    let path = target.join("peers.md");
    fs::write(&path, table::markdown(&measured))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("as Markdown: {}", path.display());
    Ok(())
}

fn parse<'a>(arguments: &[&'a str]) -> Result<Options<'a>> {
    let (mut options, mut rest) = match arguments {
        ["--quick", rest @ ..] => (QUICK, rest),
        rest => (USUAL, rest),
    };
    while let [name, value, others @ ..] = rest {
        rest = others;
        if *name == "--only" {
            let system = SYSTEMS.iter().find(|system| system.key == *value);
            let keys = SYSTEMS.iter().map(|system| system.key).collect::<Vec<_>>().join(", ");
            options.only = Some(system.with_context(|| format!("`{value}` is none of {keys}"))?.key);
            continue;
        }
        if *name == "--program" {
            options.program = Some(value);
            continue;
        }
        let number = value.parse::<u64>().with_context(|| format!("`{name} {value}` is no number"))?;
        ensure!(number > 0, "`{name}` needs a number above 0");
        match *name {
            "--targets" => options.targets = usize::try_from(number)?,
            "--series" => options.series_per_target = usize::try_from(number)?,
            "--interval" => options.interval_s = number,
            "--churn" => options.churn = number,
            "--ladder" => options.ladder = Some(usize::try_from(number)?),
            "--warm-up" => options.warm_up_s = number,
            "--seconds" => options.seconds = number,
            other => {
                bail!(
                    "`{other}` is unknown: --targets, --series, --interval, --churn, --ladder, --warm-up, \
                     --seconds, --only, --program"
                )
            }
        }
    }
    match rest {
        [] => Ok(options),
        [name, ..] => bail!("`{name}` has no value"),
    }
}

fn measure(system: &'static System, binary: &Path, options: Options<'_>) -> Result<Measured> {
    let lasts_s = options.warm_up_s + options.seconds + PATIENCE.as_secs();
    let answers = body::answers(options.series_per_target, usize::try_from(lasts_s)?, options.churn)?;
    let load = Load::start(answers, Duration::from_secs(options.interval_s))?;
    let mut service = (system.start)(binary, &load.config(options.targets));
    let first_round = options.targets as u64;
    let is_known = poll(PATIENCE, || (load.served() >= first_round).then_some(()));
    ensure!(is_known.is_some(), "of {first_round} targets {} were scraped", load.served());
    let_live(Duration::from_secs(options.warm_up_s));

    let (own, process) = (std::process::id(), service.process().id());
    let started = Instant::now();
    let before = (samples(system, &service)?, usage::cpu_s(process)?, usage::cpu_s(own)?);
    let served = load.served();
    drop(load.take_jitter());
    let_live(Duration::from_secs(options.seconds));
    let seconds = started.elapsed().as_secs_f64();
    let due = options.targets as f64 * seconds / options.interval_s as f64;
    let missed = (1.0 - (load.served() - served) as f64 / due).max(0.0);
    let jitter_p99_ms = percentile(load.take_jitter(), 0.99).as_secs_f64() * 1000.0;
    let stored_samples = samples(system, &service)?;
    let cpu_s = usage::cpu_s(process)? - before.1;
    let load_cpu_per_s = (usage::cpu_s(own)? - before.2) / seconds;
    let memory = usage::memory(process)?;
    let disk_bytes = usage::bytes_below(&service.folder().join("data"));

    let at = now_s()? - OLDER_S;
    let expected = (options.targets * body::FAMILY_SERIES) as f64;
    let there = count(&service, at).context("it does not answer for what it stored")?;
    ensure!(there == expected, "{there} series of {expected} are there before the crash");
    service.kill9();
    load.stop_answering();
    let killed = Instant::now();
    service.restart();
    let answered = poll(PATIENCE, || (count(&service, at) == Some(expected)).then_some(()));
    ensure!(answered.is_some(), "{:?} of {expected} series are there after the crash", count(&service, at));
    Ok(Measured {
        system: system.name,
        targets: options.targets,
        series: (options.targets * options.series_per_target) as u64,
        samples: stored_samples - before.0,
        seconds,
        cpu_s,
        load_cpu_per_s,
        missed,
        jitter_p99_ms,
        memory,
        stored_samples,
        disk_bytes,
        ready_s: killed.elapsed().as_secs_f64(),
    })
}

/// What such a part of the times is below; zero where there are none.
fn percentile(mut times: Vec<Duration>, part: f64) -> Duration {
    times.sort_unstable();
    let at = (times.len() as f64 * part) as usize;
    times.get(at.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// How many samples the system says it stored.
fn samples(system: &System, service: &Service) -> Result<f64> {
    let metrics = service.get("/metrics").text();
    usage::counter(&metrics, system.samples).with_context(|| format!("its metrics lack `{}`", system.samples))
}

/// How many series of the first family there were at that time, if it answers.
fn count(service: &Service, at_s: u64) -> Option<f64> {
    let query = format!("/api/v1/query?query=count({})&time={at_s}", body::FIRST_FAMILY);
    count_in(&http::get(&service.url(&query)).ok()?.text())
}

fn count_in(answer: &str) -> Option<f64> {
    let answer: serde_json::Value = serde_json::from_str(answer).ok()?;
    answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
}

fn now_s() -> Result<u64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        assert_eq!(parse(&[]).unwrap(), USUAL);
        assert_eq!(parse(&["--quick"]).unwrap(), QUICK);
        let some = parse(&["--targets", "7", "--only", "skopos", "--interval", "10"]).unwrap();
        assert_eq!(some, Options { targets: 7, interval_s: 10, only: Some("skopos"), ..USUAL });
        assert_eq!(parse(&["--program", "/bin/x"]).unwrap(), Options { program: Some("/bin/x"), ..USUAL });
        let rising = parse(&["--ladder", "250", "--churn", "5"]).unwrap();
        assert_eq!(rising, Options { ladder: Some(250), churn: 5, ..USUAL });
        for bad in [&["--targets"][..], &["--targets", "0"], &["--only", "graphite"], &["--slow", "1"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Vec<Duration> = (0..100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(times, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(Vec::new(), 0.99), Duration::ZERO);
    }

    #[test]
    fn a_count_is_read_from_an_answer() {
        let answer = r#"{"status":"success","data":{"resultType":"vector",
            "result":[{"metric":{},"value":[1700000000,"3000"]}]}}"#;
        assert_eq!(count_in(answer), Some(3000.0));
        assert_eq!(count_in(r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#), None);
        assert_eq!(count_in("starting"), None);
    }
}
