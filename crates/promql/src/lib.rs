//! PromQL: parse, plan and execute over columnar series. Knows no storage but its seam.

pub mod ast;
pub mod functions;
pub mod parse;
mod printer;

pub use parse::{ParseError, parse, parse_selector};
