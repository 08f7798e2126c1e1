//! Text and OpenMetrics exposition formats: parse and write. Knows no HTTP, no clock and no storage.
//!
//! Modules:
//! - `format`: `Format`, its content types, and which one two sides agree on.
//! - `negotiate`: `Page`: how a page for another server is written, and with which names.
//! - `parse`: `Parser`, which iterates over the `Entry`s of a body and borrows it.
//!   - `parse::scan`: where names, quoted texts and label lists end.
//!   - `parse::value`: numbers; the fast way for short decimals.
//!   - `parse::meta`: lines that begin with `#`.
//!   - `parse::known`: such lines that say what is known already, skipped by comparing them.
//!   - `parse::series`: `Series` and `RawExemplar`: labels as written, decoded when asked for.
//!   - `parse::error`: `ParseError`: line, column, what to do.
//! - `families`: `Families`, the same for families that cannot be wrong, since the program chose their names.
//! - `write`: `TextWriter`, which writes families into a buffer that is used again.
//!
//! Read path: `Parser::new(format, body)` → `next` for a body that is new, `next_expecting` with the
//! series that stood here last time and `skip_known` with the family that did → `Sample::series` as the key
//! of the caller's cache → only on a miss `Series::labels_into`.
//! Write path: `TextWriter::new(format, &mut buffer)` → `family` → `sample` for each → `finish`.
//!
//! What always holds:
//! - No byte string makes the parser panic; after an error it gives nothing more.
//! - Reading a sample allocates nothing; decoding its labels allocates only where texts have escapes
//!   and in the builder, which the caller keeps.
//! - What `TextWriter` wrote, `Parser` reads, with the same names, labels and values.
//! - The same bytes of a `Series` mean the same labels, whatever stands around them.
//!
//! When you change what is accepted, change `docs/formats/exposition.md` and the tables in `tests/`
//! too; the stored bodies in `benches/data` are real ones and stay as they are. When you touch `scan`
//! or `value`, run the benches: every scraped sample pays.

mod families;
mod format;
mod negotiate;
mod parse;
mod write;

pub use families::Families;
pub use format::{Format, MediaType};
pub use negotiate::{Escaping, Page, PageFormat};
pub use parse::{
    DEFAULT_MAX_LINE_BYTES, DuplicateLabel, Entry, MetaLines, ParseError, ParseErrorKind, Parser,
    RawExemplar, Sample, Series, escape_into,
};
pub use write::{PreparedLabels, TextWriter, WriteError};
