//! `Spawner`: named threads, `Stop`, the one way to tell them to end, and `or_tell`, by which one that panics
//! is not missed without a word.

use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Duration,
};

/// Starts threads.
pub trait Spawner: Send + Sync + std::fmt::Debug {
    /// Starts `body` on a thread named `name`.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Joined>>;
    /// A signal for threads of this spawner.
    fn stop_signal(&self) -> Arc<dyn Stop>;
    /// The calling thread lets others of the program go first, where they want its processor. That is for
    /// good: the system lets no ordinary user take it back. Threads that it starts do as it does. Nothing
    /// comes of it where threads have no ranks.
    fn step_back(&self) {}
    /// Whether the calling thread has stepped back.
    fn has_stepped_back(&self) -> bool {
        false
    }
}

/// A started thread.
pub trait Joined: Send {
    /// Waits for its end. `Err` when it panicked.
    fn join(self: Box<Self>) -> Result<(), ThreadPanicked>;
}

/// A thread ended by a panic.
#[derive(Debug, thiserror::Error)]
#[error("thread {0:?} panicked")]
pub struct ThreadPanicked(pub String);

/// A signal that can be raised once, and waited for.
pub trait Stop: Send + Sync + std::fmt::Debug {
    /// Raises the signal and wakes all who wait.
    fn stop(&self);
    /// Whether it was raised.
    fn is_stopped(&self) -> bool;
    /// Waits at most `d`; returns whether the signal was raised.
    fn wait(&self, d: Duration) -> bool;
}

/// Runs `body`. When it panics, `told` gets to know what the panic said, and the panic goes on.
///
/// What unwinds without words is no panic of the program: a simulated world ends its threads so.
pub fn or_tell(body: impl FnOnce(), told: impl FnOnce(&str)) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(body)) else { return };
    if let Some(said) = said(&*payload) {
        told(said);
    }
    resume_unwind(payload)
}

/// Runs `body`; where it panics, gives what the panic said, and the thread goes on.
pub fn or_said<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body))
        .map_err(|payload| said(&*payload).unwrap_or("it said nothing").to_owned())
}

fn said(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_and_goes_on() {
        let mut said = Vec::new();
        or_tell(|| (), |text| said.push(text.to_owned()));
        let n = 7;
        for body in [&(|| assert!(n == 0, "plain")) as &dyn Fn(), &|| assert!(n == 0, "number {n}")] {
            let ended = catch_unwind(AssertUnwindSafe(|| or_tell(body, |text| said.push(text.to_owned()))));
            assert!(ended.is_err(), "it goes on");
        }
        let ended =
            catch_unwind(|| or_tell(|| resume_unwind(Box::new(7_i32)), |_| panic!("it has no words")));
        assert_eq!(ended.unwrap_err().downcast_ref::<i32>(), Some(&7));
        assert_eq!(said, ["plain", "number 7"]);
        assert_eq!(
            (or_said(|| n), or_said(|| assert!(n == 0, "n is {n}"))),
            (Ok(7), Err("n is 7".to_owned()))
        );
    }
}
