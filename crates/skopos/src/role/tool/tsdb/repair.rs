//! `repair`: damage set aside and what is left of it written anew.

use super::super::{output::Out, reading};
use super::{expect_data, failed};
use crate::role::Failure;
use skopos_base::Env;
use skopos_tsdb::tool::repair::{RepairMode, Repaired, repair};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    /// Say what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// The data directory.
    #[arg(value_name = "DIR", default_value = "data/")]
    dir: PathBuf,
}

pub(super) fn run(flags: &Flags) -> Result<(), Failure> {
    let env = reading::said(Env::real(), "repair", &flags.dir);
    expect_data(&env, &flags.dir)?;
    let mode = if flags.dry_run { RepairMode::DryRun } else { RepairMode::Repair };
    let done = repair(&env, &flags.dir, mode).map_err(failed)?;
    let mut out = Out::new();
    if done.is_empty() {
        out.line(&format!("{} needs no repair", flags.dir.display()))?;
    }
    for one in &done {
        let changes = !matches!(one, Repaired::Stays(_));
        let prefix = if flags.dry_run && changes { "would be " } else { "" };
        out.line(&format!("{prefix}{one}"))?;
    }
    out.finish()
}
