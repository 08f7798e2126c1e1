//! `verify`: everything in a data directory read, and what is damaged.

use super::super::{output::Out, reading};
use super::expect_data;
use crate::role::Failure;
use skopos_base::Env;
use skopos_tsdb::tool::verify::verify;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(in crate::role::tool) struct Flags {
    /// The data directory.
    #[arg(value_name = "DIR", default_value = "data/")]
    dir: PathBuf,
}

pub(super) fn run(flags: &Flags) -> Result<(), Failure> {
    let env = reading::said(Env::real(), "verify", &flags.dir);
    expect_data(&env, &flags.dir)?;
    let dir = flags.dir.display();
    let verified = verify(&*env.fs, &flags.dir).map_err(Failure::system(format!("reading {dir}")))?;
    let mut out = Out::new();
    for finding in &verified.findings {
        out.line(&finding.to_string())?;
    }
    out.line(&format!(
        "{} blocks with {} series and {} samples, {} log records and {} chunks of the head were read",
        verified.blocks, verified.series, verified.samples, verified.records, verified.head_chunks
    ))?;
    out.finish()?;
    if verified.is_damaged() {
        let damage = verified.findings.iter().filter(|f| f.is_damage()).count();
        return Err(Failure::Data(format!(
            "damage in {} of {dir}; see `skopos tool tsdb repair --dry-run {dir}`",
            if damage == 1 { "1 place".to_owned() } else { format!("{damage} places") }
        )));
    }
    Ok(())
}
