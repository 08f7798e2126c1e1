//! PromQL: parse, plan and execute over columnar series. Knows no storage but its seam.

pub mod ast;
pub mod functions;
