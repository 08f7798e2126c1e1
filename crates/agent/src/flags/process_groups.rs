//! The flags of the collector `process-groups`, and their way to `ProcessGroupOptions`. The file of rules is
//! read here, once: what is wrong in it is told before anything runs.

use super::Switches;
use crate::{
    error::OptionsError,
    options::ProcessGroupOptions,
    process_groups::{ProcessRules, RulesError},
};
use clap::Args;

/// The flags of `process-groups`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessGroupArgs {
    /// Which processes make which group: a file as process-exporter has it [default: all, by their names]
    #[arg(long = "collector.process-groups.config-file", value_name = "FILE")]
    pub rules_file: Option<String>,
}

/// The text of a file. What stands in the place of one could keep us for ever.
fn read(file: &str) -> Result<String, String> {
    /// A hundred thousand rules are smaller.
    const MAX_BYTES: u64 = 64 << 20;
    let about = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("this is a folder, a pipe or a device; name a file".into());
    }
    if about.len() > MAX_BYTES {
        return Err(format!("the file has more than {MAX_BYTES} bytes"));
    }
    std::fs::read(file)
        .map_err(|error| error.to_string())
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_bytes| "the file is not UTF-8".into()))
}

impl ProcessGroupArgs {
    pub(super) fn options(&self, switches: &Switches) -> Result<ProcessGroupOptions, OptionsError> {
        let rules = match self.rules_file.as_deref().filter(|file| !file.is_empty()) {
            None => ProcessRules::default(),
            Some(file) => {
                let place = |line: Option<u64>| line.map_or(file.to_owned(), |line| format!("{file}:{line}"));
                let wrong = |RulesError { line, what }| OptionsError::Rules { place: place(line), what };
                let text = read(file).map_err(|what| wrong(RulesError { line: None, what }))?;
                let (rules, passed_over) = ProcessRules::parse(&text).map_err(wrong)?;
                for RulesError { line, what } in passed_over {
                    tracing::warn!(at = place(line), "{what}");
                }
                rules
            }
        };
        let is_on = |name: &str| switches.is_on(&format!("collector.process-groups.{name}"));
        Ok(ProcessGroupOptions {
            rules,
            children: is_on("children"),
            smaps: is_on("smaps"),
            threads: is_on("threads"),
            exits: is_on("exits"),
        })
    }
}
