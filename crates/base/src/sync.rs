//! The locks and atomics of the data path. They are parking_lot's and the standard library's; with the
//! feature `shuttle` they are those of a checker that runs threads in every order it likes
//! (`sim::schedules`), so that what is checked is the code of the product. Owns no type of its own.
//!
//! Counters on which nothing depends stay the standard library's own: each of these here is a point where
//! schedules part, and there are only so many that a test can run.

#[cfg(not(feature = "shuttle"))]
pub use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
#[cfg(feature = "shuttle")]
pub use shuttle_parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[cfg(feature = "shuttle")]
pub use shuttle::sync::atomic;
#[cfg(not(feature = "shuttle"))]
pub use std::sync::atomic;
