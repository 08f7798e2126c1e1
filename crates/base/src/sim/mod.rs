//! The simulated twins of clock, files, random numbers and threads. Owns nothing of the machine: all of it is
//! memory, and all of it follows from a seed.
//!
//! - `world`: `SimWorld`, all of them together; threads take turns and time jumps.
//! - `clock`: `SimClock` alone, moved by hand.
//! - `fs`: `SimFs`, which can lose its power in every way that the contract of `Fs` allows.
//! - `crash`: `CrashTest`, a scenario stopped after each change of the disk and every state checked.
//! - `failing`: `every_call`, a part of a life in which the n-th call fails, for every n.
//! - `schedules`: a test under many orders of its threads; only with the feature `shuttle`.
//! - `effort`: how much of it a run does, and the line that says how much it was.

pub mod clock;
pub mod crash;
pub mod effort;
pub mod failing;
pub mod fs;
#[cfg(feature = "shuttle")]
pub mod schedules;
pub mod world;

pub use clock::SimClock;
pub use fs::SimFs;
pub use world::SimWorld;
