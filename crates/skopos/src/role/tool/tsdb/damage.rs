//! What a tool says when a data directory that it has read is damaged: each place, and that something is
//! missing. Looks for no damage itself and mends none.

use super::failed;
use crate::role::Failure;
use skopos_base::Env;
use skopos_tsdb::tool::view::DirView;
use std::{fmt::Arguments, io::Write, path::Path};

/// Says on standard error what of `view` is damaged; an error when samples are missing for it. To be asked
/// when what is sound has been written.
pub(super) fn say(env: &Env, dir: &Path, view: &DirView) -> Result<(), Failure> {
    let fs = &*env.fs;
    for finding in view.harmless_damage(fs).map_err(failed)? {
        say_beside(format_args!("skopos: warning: {finding}"));
    }
    let found = view.damage(fs).map_err(failed)?;
    if found.is_empty() {
        return Ok(());
    }
    for finding in &found {
        say_beside(format_args!("skopos: {finding}; samples of what touches this place are missing"));
    }
    let places = if found.len() == 1 { "1 place".to_owned() } else { format!("{} places", found.len()) };
    let dir = dir.display();
    Err(Failure::Data(format!(
        "damage in {places} of {dir}: only what is sound was read; restore it from a copy if the rest matters"
    )))
}

/// To whoever watches; what was asked for is on standard output.
fn say_beside(what: Arguments<'_>) {
    let _unread = writeln!(std::io::stderr(), "{what}");
}
