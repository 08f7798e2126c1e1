//! The contract of `Clock`. The real one has to be waited for, hence a few milliseconds pass here.

use skopos_base::Env;
use std::{path::Path, time::Duration};

crate::in_both_worlds! {
    monotonic_time_never_goes_back,
    a_sleep_takes_at_least_its_time_on_both_clocks,
    wall_time_is_of_this_age,
}

fn monotonic_time_never_goes_back(env: &Env, _: &Path) {
    let mut last = env.clock.monotonic();
    for _ in 0..1000 {
        let now = env.clock.monotonic();
        assert!(now >= last);
        last = now;
    }
}

fn a_sleep_takes_at_least_its_time_on_both_clocks(env: &Env, _: &Path) {
    let (monotonic, wall) = (env.clock.monotonic(), env.clock.wall_ms());
    env.clock.sleep(Duration::from_millis(5));
    assert!(env.clock.monotonic() - monotonic >= Duration::from_millis(5));
    // The wall clock counts in whole milliseconds, and may be corrected meanwhile by as little.
    assert!(env.clock.wall_ms() - wall >= 4);
    env.clock.sleep(Duration::ZERO);
}

fn wall_time_is_of_this_age(env: &Env, _: &Path) {
    let year_2025 = 1_735_689_600_000;
    assert!((year_2025..2 * year_2025).contains(&env.clock.wall_ms()));
}
