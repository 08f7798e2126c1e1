//! Names of groups with fields in them, as process-exporter writes them: templates of Go
//! (`{{.ExeBase}}:{{.Matches.Port}}`, `{{if eq .Username "root"}}system{{end}}`). What is known of them
//! stands in `parse`. A name of which a part fails ends before that part, as there.
//!
//! - `lex`: the words inside of braces; `parse`: words to a tree
//! - `run`: the tree to a name; `value`: what stands in a tree while it runs; `functions`: what can be called
//! - `printf`: values by a format; `float`: floats by a verb; `quote`: what escapes; `time`: times, layouts

mod float;
mod functions;
mod lex;
mod parse;
mod printf;
mod quote;
mod run;
mod time;
mod value;

use super::rules::{Attributes, Matches};
use jiff::tz::TimeZone;
use parse::Body;

/// A name with fields.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// The name itself, and the templates that it defines.
    bodies: Vec<Body>,
    /// The machine's zone.
    local: TimeZone,
}

impl Template {
    /// The template in `text`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { bodies: parse::parse(text)?, local: TimeZone::system() })
    }

    /// The name of a process's group.
    pub(super) fn fill(&self, process: &Attributes, matches: &Matches) -> String {
        run::run(self, process, matches)
    }
}

#[cfg(test)]
mod tests;
