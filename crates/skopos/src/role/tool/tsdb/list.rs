//! `list`: the table of blocks.

use super::super::output::Out;
use super::{expect_data, failed};
use crate::role::Failure;
use jiff::Timestamp;
use skopos_base::Env;
use skopos_model::TimestampMs;
use skopos_tsdb::tool::{
    listing::{ListedBlock, list_blocks},
    text::{go_duration, human_bytes},
};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    /// Print times and sizes for people.
    #[arg(short = 'r', long)]
    human_readable: bool,
    /// The data directory.
    #[arg(value_name = "DIR", default_value = "data/")]
    dir: PathBuf,
}

/// How times and sizes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figures {
    Raw,
    Human,
}

impl Figures {
    pub(super) fn of(human_readable: bool) -> Self {
        if human_readable { Self::Human } else { Self::Raw }
    }

    fn time(self, time: TimestampMs) -> String {
        match (self, Timestamp::from_second(time.as_ms() / 1000)) {
            (Self::Human, Ok(time)) => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
            _ => time.as_ms().to_string(),
        }
    }

    fn size(self, bytes: u64) -> String {
        if self == Self::Human { human_bytes(bytes) } else { bytes.to_string() }
    }
}

pub(super) fn run(flags: &Flags) -> Result<(), Failure> {
    let env = Env::real();
    if env.fs.read_dir(&flags.dir).is_err() {
        // An empty directory has an empty table; one that is not there has none.
        expect_data(&env, &flags.dir)?;
    }
    let listing = list_blocks(&*env.fs, &flags.dir).map_err(failed)?;
    let mut out = Out::new();
    print(&mut out, &listing.blocks, Figures::of(flags.human_readable))?;
    out.finish()?;
    match listing.unread.first() {
        None => Ok(()),
        Some(e) => Err(Failure::Data(format!(
            "{} of {} blocks cannot be listed, the first of them: {e}",
            listing.unread.len(),
            listing.blocks.len() + listing.unread.len()
        ))),
    }
}

/// Columns are at least so wide, and so far apart.
const WIDTH: usize = 13;
const GAP: usize = 2;
const HEADER: [&str; 8] =
    ["BLOCK ULID", "MIN TIME", "MAX TIME", "DURATION", "NUM SAMPLES", "NUM CHUNKS", "NUM SERIES", "SIZE"];

/// Prints the table.
pub(super) fn print(out: &mut Out, blocks: &[ListedBlock], figures: Figures) -> Result<(), Failure> {
    let mut rows = vec![HEADER.map(str::to_owned)];
    for ListedBlock { meta, size_bytes, .. } in blocks {
        rows.push([
            meta.ulid.to_string(),
            figures.time(meta.min_time),
            figures.time(meta.max_time),
            go_duration(meta.max_time.as_ms().saturating_sub(meta.min_time.as_ms())),
            meta.stats.num_samples.to_string(),
            meta.stats.num_chunks.to_string(),
            meta.stats.num_series.to_string(),
            figures.size(*size_bytes),
        ]);
    }
    let width = |column: usize| {
        let longest = rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        (longest + GAP).max(WIDTH)
    };
    let widths: Vec<usize> = (0..HEADER.len() - 1).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (text, width) in row.iter().zip(&widths) {
            line += &format!("{text:<width$}");
        }
        out.line(&(line + &row[HEADER.len() - 1]))?;
    }
    Ok(())
}
