//! `analyze`: what the series of a block are of.

use super::super::output::Out;
use super::{dump::selectors, expect_data, failed};
use crate::role::Failure;
use skopos_base::Env;
use skopos_tsdb::{
    block::Block,
    tool::{
        analyze::{Analysis, Fullness, Ranked, analyze, fullness},
        listing::list_blocks,
        text::go_duration,
    },
};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    /// How many items each list shows.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Say also how full chunks are; reads all of them.
    #[arg(long)]
    extended: bool,
    /// Only these series.
    #[arg(long = "match", value_name = "SELECTOR")]
    matches: Option<String>,
    /// The data directory.
    #[arg(value_name = "DIR", default_value = "data/")]
    dir: PathBuf,
    /// The block; without it the last one.
    #[arg(value_name = "BLOCK")]
    block: Option<String>,
}

pub(super) fn run(flags: &Flags) -> Result<(), Failure> {
    let env = Env::real();
    let matchers = match &flags.matches {
        Some(text) => selectors(std::slice::from_ref(text))?.remove(0),
        None => Vec::new(),
    };
    expect_data(&env, &flags.dir)?;
    let blocks = list_blocks(&*env.fs, &flags.dir).map_err(failed)?.blocks;
    let found = match &flags.block {
        Some(id) => blocks.into_iter().find(|b| b.meta.ulid.to_string() == *id),
        None => blocks.into_iter().next_back(),
    };
    let Some(found) = found else {
        let dir = flags.dir.display();
        return Err(Failure::Data(match &flags.block {
            Some(id) => {
                format!("block {id} not found in {dir}; `skopos tool tsdb list {dir}` names those there")
            }
            None => format!("no block in {dir}"),
        }));
    };
    let block = Block::open(&*env.fs, &found.dir).map_err(failed)?;
    let analysis = analyze(&block, &matchers, &env.clock).map_err(failed)?;
    let mut out = Out::new();
    print(&mut out, flags, &analysis)?;
    if flags.extended {
        print_fullness(&mut out, fullness(&block, &matchers, &env.clock).map_err(failed)?)?;
    }
    out.finish()
}

fn print(out: &mut Out, flags: &Flags, a: &Analysis) -> Result<(), Failure> {
    if let Some(id) = a.id {
        out.line(&format!("Block ID: {id}"))?;
    }
    out.line(&format!("Duration: {}", go_duration(a.duration_ms)))?;
    out.line(&format!("Total Series: {}", a.total_series))?;
    if let Some(text) = &flags.matches {
        out.line(&format!("Matcher: {text}"))?;
    }
    out.line(&format!("Label names: {}", a.label_names))?;
    if flags.matches.is_some() {
        out.line(&format!("Matched series: {}", a.matched_series))?;
    }
    out.line(&format!("Postings (unique label pairs): {}", a.label_pairs))?;
    out.line(&format!("Postings entries (total label pairs): {}", a.entries))?;
    for (title, list) in [
        ("Label pairs most involved in churning", &a.churning_pairs),
        ("Label names most involved in churning", &a.churning_names),
        ("Most common label pairs", &a.common_pairs),
        ("Label names with highest cumulative label value length", &a.value_bytes),
        ("Highest cardinality labels", &a.values),
        ("Highest cardinality metric names", &a.metrics),
    ] {
        print_list(out, title, list, flags.limit)?;
    }
    Ok(())
}

fn print_list(out: &mut Out, title: &str, list: &Ranked, limit: usize) -> Result<(), Failure> {
    out.line(&format!("\n{title}:"))?;
    for (name, figure) in list.iter().take(limit) {
        out.line(&format!("{figure} {name}"))?;
    }
    Ok(())
}

fn print_fullness(out: &mut Out, fullness: Fullness) -> Result<(), Failure> {
    out.line("\nCompaction analysis:\n")?;
    let total = fullness.float_samples.len() + fullness.histogram_samples.len();
    for (of, figures) in [
        ("samples per float chunk", fullness.float_samples),
        ("bytes per float chunk", fullness.float_bytes),
        ("samples per histogram chunk", fullness.histogram_samples),
        ("bytes per histogram chunk", fullness.histogram_bytes),
        ("buckets per histogram chunk", fullness.histogram_buckets),
    ] {
        print_distribution(out, of, &figures, total)?;
    }
    Ok(())
}

/// Prints about ten to a hundred ranges of equal width, with a bar for the share of all chunks.
fn print_distribution(out: &mut Out, of: &str, figures: &[u64], total: usize) -> Result<(), Failure> {
    let (Some(min), Some(max)) = (figures.iter().min(), figures.iter().max()) else {
        return out.line(&format!("{of}: N/A\n"));
    };
    let average = figures.iter().sum::<u64>() / figures.len() as u64;
    out.line(&format!("{of} (min/avg/max): {min}/{average}/{max}"))?;
    let mut step = 10;
    while step < (max - min) / 10 && step <= 10_000 {
        step *= 10;
    }
    let (start, end) = (min - min % step, max - max % step + step);
    let mut counts = vec![0usize; ((end - start) / step + 1) as usize];
    for figure in figures {
        counts[((figure - start) / step) as usize] += 1;
    }
    let (left, right) = (end.to_string().len(), (end + step).to_string().len());
    let wide = counts.iter().max().map_or(1, |most| most.to_string().len());
    for (i, count) in (0u64..).zip(&counts) {
        let (from, to) = (start + i * step + 1, start + (i + 1) * step);
        let bar = "#".repeat(count * 100 / total.max(1));
        out.line(&format!("[{from:>left$}, {to:>right$}]: {count:>wide$} {bar}"))?;
    }
    out.line("")
}
