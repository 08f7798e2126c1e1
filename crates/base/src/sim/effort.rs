//! How much the simulations of a test run do: little in every run, much in a run at length, by two
//! variables of the environment. Never decides what is simulated.
//!
//! `SKOPOS_SIM_SEED` is added to every seed, so that a run sees other states than the one before;
//! `SKOPOS_SIM_EFFORT` multiplies how many states are checked at each point. `cargo xtask sim` sets both
//! and sums what `report` says. `CrashTest` heeds them by itself; a test that asks `SimFs` for states
//! calls these.

use std::{env, fmt::Display, str::FromStr};

/// What a line of `report` begins with.
const REPORT: &str = "crash states: ";

/// The seed to take where a test alone would take `own`.
pub fn seed(own: u64) -> u64 {
    own.wrapping_add(number("SKOPOS_SIM_SEED", 0))
}

/// How many states to check at a point where a test alone would check `own`.
pub fn states(own: usize) -> usize {
    own.saturating_mul(number("SKOPOS_SIM_EFFORT", 1))
}

/// Says that so many states of a disk were opened and checked.
#[expect(clippy::print_stdout, reason = "a test's output is where its figures go")]
pub fn report(states: usize) {
    println!("{REPORT}{states}");
}

/// The variable's value.
///
/// # Panics
/// When it is no number: a long run that does not do what it was asked for is worth nothing.
fn number<T: FromStr + Display>(variable: &str, otherwise: T) -> T {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is `{text}`, which is no number")),
        Err(_) => otherwise,
    }
}
