//! `skopos tool`: check files and look into data.

use super::Failure;
use clap::Subcommand;
use skopos_base::Env;
use skopos_config::Config;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Check that files say what the program understands.
    Check {
        #[command(subcommand)]
        what: Check,
    },
}

#[derive(Debug, Subcommand)]
enum Check {
    /// Check configuration files. Exit code 1 when one is not valid.
    Config {
        /// The files.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let Tool::Check { what: Check::Config { files } } = &flags.tool;
    let env = Env::real();
    for file in files {
        let config = Config::load(env.fs.as_ref(), file)?;
        let targets: usize = config
            .scrape_configs
            .iter()
            .flat_map(|job| &job.static_configs)
            .map(|group| group.targets.len())
            .sum();
        say(&format!("{}: valid, {} jobs, {targets} targets", file.display(), config.scrape_configs.len()));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a tool's result goes to standard output")]
fn say(line: &str) {
    println!("{line}");
}
