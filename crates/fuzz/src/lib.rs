//! Every decoder's fuzz target, in one table, and what feeds them. Never part of the product.
//!
//! # Modules
//! - `target`: `Target`: a name, the decoders that run under it, seeds, a check, a bound on memory
//! - `targets`: the table `TARGETS`, and the checks of decoders that are public; private ones are checked in
//!   the module `fuzzing` of their own crate, behind its feature of this name
//! - `mutate`: `Mutator`: from inputs to likely bad ones, by a seed
//! - `inputs`: corpora and seeds read; inputs that failed kept and shrunk
//! - `bin/fuzz`: lists, replays, and mutates without coverage; `bin/coverage`: libFuzzer over one target
//!
//! # Ways
//! Shortly, in every test run: `tests/short.rs` → each target → its corpus, its seeds, their truncations, and
//! mutations, for a second or so. At length: `cargo xtask fuzz` → libFuzzer, which the compiler's coverage
//! leads, over corpus and seeds → a failing input below `target/fuzz/`, shrunk, with the command that
//! replays it.
//!
//! # What always holds
//! - A check asserts more than that nothing panics: what was decoded comes back when it is encoded and
//!   decoded again, and two ways to read the same bytes agree.
//! - No input makes a decoder hold more memory than its target's bound.
//! - A function that takes bytes and may refuse them stands by its name in a target's `covers`, or in
//!   `tests/decoders.rs` with the reason why not.
//!
//! # When you change something
//! - a decoder is added: a row in `targets`, its name in `covers`; if it is private, its check in its crate's
//!   `fuzzing`
//! - an input failed: mend it, and keep the input in `corpus/NAME/` under a name that says what it was

pub mod inputs;
pub mod mutate;
mod target;
mod targets;

pub use target::{Decoders, Memory, Target};
pub use targets::TARGETS;

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
