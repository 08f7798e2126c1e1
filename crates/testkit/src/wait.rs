//! Waiting on wall time for something that a real process does. Never for what a simulated clock could do.

use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);

/// Lets real processes go on for `d`: to pace a load on them. Never to wait for something that can be asked
/// for; that is what `wait_until` is for.
pub fn let_live(d: Duration) {
    thread::sleep(d);
}

/// Asks `probe` until it gives a value, and gives that.
///
/// # Panics
/// If that takes longer than `limit`; the message names `what` was waited for.
#[track_caller]
pub fn wait_until<T>(what: &str, limit: Duration, probe: impl FnMut() -> Option<T>) -> T {
    poll(limit, probe).unwrap_or_else(|| panic!("waited {limit:?} in vain for {what}"))
}

/// Asks `probe` until it gives a value or `limit` is over.
pub fn poll<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if started.elapsed() >= limit {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_ends_the_wait() {
        let mut asked = 0;
        let value = wait_until("the third try", Duration::from_secs(60), || {
            asked += 1;
            (asked == 3).then_some("here")
        });
        assert_eq!((value, asked), ("here", 3));
    }

    #[test]
    #[should_panic(expected = "waited 0ns in vain for nothing at all")]
    fn a_wait_in_vain_names_what_it_was_for() {
        wait_until("nothing at all", Duration::ZERO, || None::<()>);
    }
}
