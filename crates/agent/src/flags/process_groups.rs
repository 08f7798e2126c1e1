//! The flags of the collector `process-groups`, and their way to `ProcessGroupOptions`. The file of rules is
//! read here, once: what is wrong in it is told before anything runs.

use super::Switches;
use crate::{error::OptionsError, options::ProcessGroupOptions, process_groups::ProcessRules};
use clap::Args;

/// The flags of `process-groups`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessGroupArgs {
    /// Which processes make which group: a file as process-exporter has it [default: all, by their names]
    #[arg(long = "collector.process-groups.config-file", value_name = "FILE")]
    pub rules_file: Option<String>,
}

impl ProcessGroupArgs {
    pub(super) fn options(&self, switches: &Switches) -> Result<ProcessGroupOptions, OptionsError> {
        let rules = match self.rules_file.as_deref().filter(|file| !file.is_empty()) {
            None => ProcessRules::default(),
            Some(file) => {
                let wrong = |what: String| OptionsError::Rules { file: file.to_owned(), what };
                let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
                ProcessRules::parse(&text).map_err(wrong)?
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
