//! `create-blocks-from openmetrics`: a text with timestamps into blocks.

use super::super::{output::Out, reading};
use super::{
    failed,
    list::{Figures, print},
};
use crate::role::Failure;
use skopos_base::{Env, fs::OpenMode};
use skopos_model::DurationMs;
use skopos_tsdb::{
    block::BlockMeta,
    tool::{
        backfill::{Backfill, BackfillOptions},
        listing::list_blocks,
        open_metrics::import_open_metrics,
    },
};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    #[command(flatten)]
    pub(super) shown: Shown,
    /// A label to set on every series; may be given several times.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Longer blocks than two hours: the longest that is two hours times a power of three and fits is taken.
    #[arg(long, value_name = "DURATION", default_value = "2h")]
    max_block_duration: DurationMs,
    /// The text. It ends in `# EOF`.
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// Where the blocks are made.
    #[arg(value_name = "OUTPUT_DIR", default_value = "data/")]
    output: PathBuf,
}

/// What is said of the blocks that were made.
#[derive(Debug, clap::Args)]
pub(super) struct Shown {
    /// Print times and sizes for people.
    #[arg(short = 'r', long)]
    human_readable: bool,
    /// Do not print the blocks that were made.
    #[arg(short = 'q', long)]
    quiet: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a label is written as NAME=VALUE")?;
    if name.is_empty() {
        Err("the label has no name".to_owned())
    } else {
        Ok((name.to_owned(), value.to_owned()))
    }
}

pub(super) fn run(flags: &Flags) -> Result<(), Failure> {
    let env = reading::said(Env::real(), "create-blocks-from openmetrics", &flags.input);
    let options = BackfillOptions { max_block_duration: flags.max_block_duration, ..Default::default() };
    // Before a directory is made for nothing.
    let reading = || format!("reading {}", flags.input.display());
    drop(env.fs.open(&flags.input, OpenMode::Read).map_err(Failure::system(reading()))?);
    let mut backfill = Backfill::new(&env, &flags.output, options).map_err(failed)?;
    import_open_metrics(&*env.fs, &flags.input, &flags.labels, &mut backfill).map_err(failed)?;
    let made = backfill.finish().map_err(failed)?;
    show(&env, &flags.output, &made, &flags.shown)
}

/// Prints the blocks that were made.
pub(super) fn show(env: &Env, dir: &Path, made: &[BlockMeta], shown: &Shown) -> Result<(), Failure> {
    if shown.quiet {
        return Ok(());
    }
    let mut blocks = list_blocks(&*env.fs, dir).map_err(failed)?.blocks;
    blocks.retain(|b| made.iter().any(|m| m.ulid == b.meta.ulid));
    let mut out = Out::new();
    print(&mut out, &blocks, Figures::of(shown.human_readable))?;
    out.finish()
}
