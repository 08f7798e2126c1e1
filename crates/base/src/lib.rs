//! What the outside world is to the data path: time, files, random numbers and threads, each behind
//! a trait with a real implementation and a simulated twin.
//!
//! Modules:
//! - `clock`: `Clock`, wall and monotonic time, and waiting.
//! - `fs`: `Fs` and `File`, positioned reads, appends, synchronisation, renames; the contract of what
//!   survives stands at its top.
//! - `rng`: `Rng`, a seeded generator; the real one is seeded by the operating system.
//! - `spawn`: `Spawner`, named threads, and `Stop`, the one way to tell them to end.
//! - `sync`: locks and atomics, as they are or as a checker of schedules has them.
//! - `env`: `Env`, one of each, as handed to every part of the program. `Env::real()` is this machine.
//! - `real`: the implementations that ask the operating system.
//! - `sim`: the simulated twins, the world that holds them together, and crash enumeration.
//! - `secret`: `Secret`, what is never printed.
//! - `crc`, `varint`: the two encodings that every file format of the data path uses.
//!
//! The way of a write: `Fs::open(CreateNew)` → `append_all` → `File::sync` → `Fs::rename` →
//! `Fs::sync_dir(parent)`; only then is it promised to anybody.
//! The way of a read: `Fs::open(Read)` → `File::pread`, or `read_all` for small files.
//!
//! What always holds:
//! - Crates of the layers up to 4 reach the world only through here; the only calls to
//!   `std::fs`, the system's clocks and `std::thread` stand in the `real` modules.
//! - A simulated world started twice with one seed does the same twice.
//! - A handle whose synchronisation failed once refuses all further writes (`FileError::Poisoned`).
//! - Nothing here decodes bytes by trusting them: `varint` gives `None` for what is no number.
//!
//! When you change X, change Y too:
//! - a trait: both implementations, and its suite in `tests/acceptance`, which both must pass;
//! - what survives a crash (top of `fs`): `sim::fs`, and the second statement of it in
//!   `tests/sim/contract.rs`;
//! - a new call of `Fs` or `File`: an `OpKind`, so that it is logged, can fail, and is a crash point;
//! - a new place where threads wait: `sim::world`, else a simulated thread blocks all others;
//! - the banned calls in the workspace's `clippy.toml`: the `#[expect]`s in `real`.

pub mod clock;
pub mod crc;
pub mod env;
pub mod fs;
pub mod real;
pub mod rng;
pub mod secret;
pub mod sim;
pub mod spawn;
pub mod sync;
pub mod varint;

pub use env::Env;
