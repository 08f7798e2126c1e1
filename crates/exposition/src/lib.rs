//! Text and OpenMetrics exposition formats: parse and write.

mod format;
mod write;

pub use format::Format;
pub use write::{TextWriter, WriteError};
