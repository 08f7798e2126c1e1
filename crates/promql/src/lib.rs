//! PromQL: parse, plan and execute over columnar series. Knows no storage but its seam.

pub mod ast;
mod engine;
mod error;
mod exec;
pub mod functions;
pub mod parse;
mod plan;
mod printer;
mod value;

pub use engine::{Engine, EngineOptions, Steps};
pub use error::EvalError;
pub use parse::{ParseError, parse, parse_selector};
pub use value::{Annotation, Matrix, QueryResult, Severity, Value, Vector};
