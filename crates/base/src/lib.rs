//! What the outside world is to the data path: time, files, random numbers and threads, each behind
//! a trait with a real implementation and a simulated twin.
//!
//! Modules:
//! - `clock`: `Clock`, wall and monotonic time, and waiting.
//! - `fs`: `Fs` and `File`, positioned reads, appends, synchronisation, renames.
//! - `rng`: `Rng`, a seeded generator; the real one is seeded by the operating system.
//! - `spawn`: `Spawner`, named threads, and `Stop`, the one way to tell them to end.
//! - `sim`: the simulated twins of all of these and the world that holds them together.
//! - `crc`, `varint`: the two encodings that every file format of the data path uses.
//! - `env`: `Env`, one of each, as handed to every part of the program.
//!
//! What always holds:
//! - Crates of the layers up to 4 reach the world only through here; the only calls to
//!   `std::fs`, the system's clocks and `std::thread` stand in the `real` modules.
//! - A simulated world started twice with one seed does the same twice.
//! - A file whose synchronisation failed once refuses all further writes (`FileError::Poisoned`).

pub mod clock;
pub mod crc;
pub mod env;
pub mod fs;
pub mod real;
pub mod rng;
pub mod sim;
pub mod spawn;
pub mod varint;

pub use env::Env;
