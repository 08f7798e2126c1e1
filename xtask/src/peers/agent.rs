//! `cargo xtask bench peers agent`: the same machines read by Debian's node_exporter, by `skopos agent` and
//! by the program that has the agent alone, in turns, and what each scrape cost them. Owns this measurement;
//! never fails for a figure.
//!
//! Both run the collectors that both have and that succeed in both. They are asked as Prometheus asks: over
//! one connection, for a compressed page.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use skopos_testkit::http;
use skopos_testkit::machine::LARGE;
use skopos_testkit::peers;
use skopos_testkit::service::Service;
use skopos_testkit::skopos::Skopos;

use super::usage;
use crate::agent_alone;
use crate::process::{our_program, target_folder};

/// The page is asked for so often before anything is measured.
const WARM_UP: usize = 20;
/// Ours may take this part of the peer's processor time, and hold this much memory.
const GOAL_OF_PEER: f64 = 0.2;
const GOAL_RESIDENT_MB: f64 = 10.0;

#[derive(Debug, Clone, Copy)]
struct Options<'a> {
    scrapes: usize,
    rounds: usize,
    program: Option<&'a str>,
    alone: Option<&'a str>,
}

/// Our programs.
#[derive(Debug)]
struct Ours {
    whole: PathBuf,
    /// The one that has the agent alone.
    alone: PathBuf,
}

impl Ours {
    /// Those that were built before, or those that are built now.
    fn find(root: &Path, options: Options<'_>) -> Result<Self> {
        let alone = match options.alone {
            Some(_) => our_program(root, options.alone)?,
            None => agent_alone::build(root)?,
        };
        Ok(Self { whole: our_program(root, options.program)?, alone })
    }

    /// How large both are.
    fn sizes(&self) -> Result<String> {
        let megabytes = |program| Ok::<_, anyhow::Error>(agent_alone::loaded_bytes(program)? as f64 / 1e6);
        let (whole, alone) = (megabytes(&self.whole)?, megabytes(&self.alone)?);
        Ok(format!("\ncode and data: the whole program {whole:.1} MB, the agent alone {alone:.1} MB\n"))
    }
}

/// What one program did on one machine.
#[derive(Debug, Clone, PartialEq)]
struct Measured {
    machine: &'static str,
    program: &'static str,
    collectors: usize,
    samples: usize,
    page_bytes: usize,
    sent_bytes: usize,
    /// Of the best round.
    cpu_ms_a_scrape: f64,
    p50_ms: f64,
    p99_ms: f64,
    resident_mb: f64,
}

/// Measures all programs on both machines, prints the table and writes it as Markdown below the target
/// folder.
pub(crate) fn run_all(root: &Path, arguments: &[&str]) -> Result<()> {
    let options = parse(arguments)?;
    let target = target_folder(root)?;
    let ours = Ours::find(root, options)?;
    let files = target.join("large-machine");
    if files.exists() {
        fs::remove_dir_all(&files)?;
    }
    LARGE.write(&files).with_context(|| format!("cannot write {}", files.display()))?;
    let mut measured = measure("this machine", &[], &ours, options)?;
    let folder = files.display();
    let flags = [
        format!("--path.procfs={folder}/proc"),
        format!("--path.sysfs={folder}/sys"),
        format!("--path.udev.data={folder}/run/udev/data"),
        "--no-collector.netdev.netlink".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    measured.extend(measure("128 CPUs, 200 disks", &flags, &ours, options)?);
    let table = markdown(&measured) + &ours.sizes()?;
    print!("{table}");
    let path = target.join("peers-agent.md");
    fs::write(&path, &table).with_context(|| format!("cannot write {}", path.display()))?;
    println!("as Markdown: {}", path.display());
    Ok(())
}

fn parse<'a>(arguments: &[&'a str]) -> Result<Options<'a>> {
    let mut options = Options { scrapes: 200, rounds: 5, program: None, alone: None };
    let mut rest = arguments;
    while let [name, others @ ..] = rest {
        rest = others;
        if *name == "--quick" {
            options = Options { scrapes: 50, rounds: 2, ..options };
            continue;
        }
        let [value, others @ ..] = rest else { bail!("`{name}` has no value") };
        rest = others;
        let number = || value.parse::<usize>().ok().filter(|number| *number > 0);
        match *name {
            "--program" => options.program = Some(value),
            "--alone" => options.alone = Some(value),
            "--scrapes" => options.scrapes = number().context("`--scrapes` needs a number above 0")?,
            "--rounds" => options.rounds = number().context("`--rounds` needs a number above 0")?,
            other => bail!("`{other}` is unknown: --quick, --program, --alone, --scrapes, --rounds"),
        }
    }
    Ok(options)
}

/// All programs on one machine, in turns, so that what else runs disturbs all of them.
fn measure(
    machine: &'static str,
    flags: &[&str],
    binaries: &Ours,
    options: Options<'_>,
) -> Result<Vec<Measured>> {
    let shared = shared_collectors(flags, &binaries.whole)?;
    let mut all = vec!["--collector.disable-defaults".to_owned()];
    all.extend(shared.iter().map(|name| format!("--collector.{name}")));
    let mut all: Vec<&str> = all.iter().map(String::as_str).collect();
    all.extend(flags);
    let mut programs = [
        ("node_exporter", peers::node_exporter(&all), Vec::new()),
        ("skopos agent", ours(&binaries.whole, &all), Vec::new()),
        ("skopos agent, alone", ours(&binaries.alone, &all), Vec::new()),
    ];
    for round in 0..=options.rounds {
        for (_, service, rounds) in &mut programs {
            // The first round warms them.
            let scrapes = if round == 0 { WARM_UP } else { options.scrapes };
            let one = ask(service, scrapes)?;
            if round > 0 {
                rounds.push(one);
            }
        }
    }
    let mut measured = Vec::new();
    for (program, mut service, rounds) in programs {
        let page = service.get("/metrics").text();
        let of_node = |line: &&str| line.starts_with("node_");
        let mut took: Vec<f64> = rounds.iter().flat_map(|round| round.took_ms.iter().copied()).collect();
        took.sort_by(f64::total_cmp);
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
        measured.push(Measured {
            machine,
            program,
            collectors: shared.len(),
            samples: page.lines().filter(of_node).count(),
            page_bytes: page.len(),
            sent_bytes: rounds.iter().map(|round| round.sent_bytes).max().unwrap_or(0),
            cpu_ms_a_scrape: rounds.iter().map(|round| round.cpu_ms_a_scrape).fold(f64::MAX, f64::min),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            resident_mb: usage::memory(service.process().id())?.resident_bytes as f64 / 1e6,
        });
    }
    Ok(measured)
}

fn ours(binary: &Path, flags: &[&str]) -> Service {
    flags.iter().fold(Skopos::agent(binary), |agent, flag| agent.flag(flag)).start()
}

/// The collectors that run by default in both, and that succeed in both.
fn shared_collectors(flags: &[&str], binary: &Path) -> Result<Vec<String>> {
    let of_peer = succeeding(&peers::node_exporter(flags));
    let of_ours = succeeding(&ours(binary, flags));
    let shared: Vec<String> = of_peer.into_iter().filter(|name| of_ours.contains(name)).collect();
    ensure!(shared.len() >= 10, "only {shared:?} run in both");
    Ok(shared)
}

fn succeeding(service: &Service) -> Vec<String> {
    let page = service.get("/metrics").text();
    let start = "node_scrape_collector_success{collector=\"";
    let lines = page.lines().filter_map(|line| line.strip_prefix(start));
    lines.filter_map(|line| line.strip_suffix("\"} 1")).map(str::to_owned).collect()
}

/// Some scrapes, one after the other.
#[derive(Debug)]
struct Round {
    cpu_ms_a_scrape: f64,
    sent_bytes: usize,
    took_ms: Vec<f64>,
}

fn ask(service: &mut Service, scrapes: usize) -> Result<Round> {
    const HEADERS: [(&str, &str); 2] =
        [("Accept", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), ("Accept-Encoding", "gzip")];
    let process = service.process().id();
    let mut connection = http::Connection::open(&service.address())?;
    let before = usage::cpu_s(process)?;
    let (mut took_ms, mut sent_bytes) = (Vec::with_capacity(scrapes), 0);
    for _ in 0..scrapes {
        let began = Instant::now();
        let response = connection.get("/metrics", &HEADERS)?;
        took_ms.push(milliseconds(began.elapsed()));
        ensure!(response.status == 200, "status {}: {}", response.status, response.text());
        sent_bytes = response.body.len();
    }
    let cpu_ms_a_scrape = (usage::cpu_s(process)? - before) * 1e3 / scrapes as f64;
    Ok(Round { cpu_ms_a_scrape, sent_bytes, took_ms })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The table, with ours beside the goals.
fn markdown(measured: &[Measured]) -> String {
    let mut text =
        "| machine | program | collectors | samples | page | compressed | CPU a scrape | p50 | p99 \
                    | resident |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
            .to_owned();
    for m in measured {
        let row = writeln!(
            text,
            "| {} | {} | {} | {} | {} B | {} B | {:.2} ms | {:.2} ms | {:.2} ms | {:.1} MB |",
            m.machine,
            m.program,
            m.collectors,
            m.samples,
            m.page_bytes,
            m.sent_bytes,
            m.cpu_ms_a_scrape,
            m.p50_ms,
            m.p99_ms,
            m.resident_mb
        );
        row.expect("invariant: writing to a String cannot fail");
    }
    for all in measured.chunk_by(|a, b| a.machine == b.machine) {
        let Some((peer, ours)) = all.split_first() else { continue };
        for one in ours {
            let part = one.cpu_ms_a_scrape / peer.cpu_ms_a_scrape;
            let row = writeln!(
                text,
                "\n{}, {}: {part:.2} of the peer's processor time (goal {GOAL_OF_PEER}), {:.1} MB resident \
                 (goal {GOAL_RESIDENT_MB})",
                one.machine, one.program, one.resident_mb
            );
            row.expect("invariant: writing to a String cannot fail");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let options =
            parse(&["--quick", "--program", "x", "--alone", "y", "--rounds", "7"]).expect("they are right");
        assert_eq!((options.scrapes, options.rounds), (50, 7));
        assert_eq!((options.program, options.alone), (Some("x"), Some("y")));
        for wrong in [&["--rounds"][..], &["--rounds", "0"], &["--what", "1"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn ours_stands_beside_the_goals() {
        let one = |program, cpu_ms_a_scrape| Measured {
            machine: "m",
            program,
            collectors: 12,
            samples: 500,
            page_bytes: 1000,
            sent_bytes: 100,
            cpu_ms_a_scrape,
            p50_ms: 1.0,
            p99_ms: 2.0,
            resident_mb: 9.5,
        };
        let table = markdown(&[one("peer", 4.0), one("ours", 1.0)]);
        let row = "| m | ours | 12 | 500 | 1000 B | 100 B | 1.00 ms | 1.00 ms | 2.00 ms | 9.5 MB |";
        assert!(table.contains(row), "{table}");
        let end = "m, ours: 0.25 of the peer's processor time (goal 0.2), 9.5 MB resident (goal 10)\n";
        assert!(table.ends_with(end), "{table}");
    }
}
