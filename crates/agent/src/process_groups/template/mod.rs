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
use parse::Node;

/// A name with fields.
#[derive(Clone, Debug)]
pub(super) struct Template {
    nodes: Vec<Node>,
    /// How many variables live at a time.
    variables: usize,
}

impl Template {
    /// The template in `text`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        parse::parse(text)
    }

    /// The name of a process's group.
    pub(super) fn fill(&self, process: &Attributes, matches: &Matches) -> String {
        run::run(self, process, matches)
    }
}

#[cfg(test)]
mod tests;
