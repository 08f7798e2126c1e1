//! What depends on `anchored` and `smoothed` selectors that are the whole query, and on metrics that say of
//! what type they are.

use crate::support::world::{World, text};
use skopos_promql::EngineOptions;

fn world() -> World {
    World::load(15, "m{a=\"x\"}: 0 1 2 _ 4 5 6 7 8\nold: 1 1\nnew: _ _ _ _ _ 3")
}

#[track_caller]
fn check(world: &World, query: &str, at_s: f64, expected: &str) {
    let result = world.instant(query, at_s).map(|r| text(&r));
    assert_eq!(result.unwrap_or_else(|e| format!("error: {e}")), expected, "{query} at {at_s}");
}

#[test]
fn a_bare_window_has_samples_at_its_very_ends() {
    let world = world();
    check(&world, "m[1m]", 80.0, "m{a=\"x\"} 2@30 4@60 5@75");
    check(&world, "m[1m] anchored", 80.0, "m{a=\"x\"} 1@20 2@30 4@60 5@75 5@80");
    // On the lines between 15 s and 30 s, and between 75 s and 90 s.
    check(
        &world,
        "m[1m] smoothed",
        80.0,
        "m{a=\"x\"} 1.3333333333333333@20 2@30 4@60 5@75 5.333333333333333@80",
    );
    // A sample at an end is that end.
    check(&world, "m[1m] anchored", 75.0, "m{a=\"x\"} 1@15 2@30 4@60 5@75");
    check(&world, "m[1m] smoothed", 75.0, "m{a=\"x\"} 1@15 2@30 4@60 5@75");
    check(&world, "m[1m] anchored offset 15s", 95.0, "m{a=\"x\"} 1@20 2@30 4@60 5@75 5@80");
    check(
        &world,
        "m[1m] smoothed @ 80",
        1000.0,
        "m{a=\"x\"} 1.3333333333333333@20 2@30 4@60 5@75 5.333333333333333@80",
    );
}

#[test]
fn nothing_behind_the_left_end_is_nothing_and_nothing_before_it_is_what_comes_first() {
    let world = world();
    check(&world, "old[30s] anchored", 60.0, "");
    check(&world, "old[30s] smoothed", 60.0, "");
    check(&world, "new[1m] anchored", 80.0, "new 3@20 3@75 3@80");
    check(&world, "new[1m] smoothed", 80.0, "new 3@20 3@75 3@80");
    // What comes after the right end is within reach of a smoothed window alone.
    check(&world, "new[1m] anchored", 60.0, "");
    check(&world, "new[1m] smoothed", 60.0, "new 3@0 3@60");
}

#[test]
fn a_counter_is_known_by_its_type_where_metrics_say_it() {
    let text = "a_total: 0 1 2 3 4 5 6 7 8\nb{__type__=\"counter\"}: 0 1 2 3 4 5 6 7 8\n\
                c{__type__=\"gauge\"}: 0 1 2 3 4 5 6 7 8";
    let said = |type_labels: bool, query: &str| {
        let options = EngineOptions { type_labels, ..EngineOptions::default() };
        let world = World::with_options(15, text, options);
        let result = world.instant(query, 120.0).unwrap();
        result.annotations.iter().map(|a| a.message.clone()).collect::<Vec<_>>()
    };
    let by_name = |metric: &str| {
        vec![format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric:?}"
        )]
    };
    let by_type = |typed: &str| {
        vec![format!(
            "metric might not be a counter, __type__ label is not set to \"counter\" or \
             \"histogram\", got {typed}"
        )]
    };
    for (query, name, of_type) in [
        ("rate(a_total[1m])", vec![], by_type("\"\": \"a_total\"")),
        ("increase(b[1m])", by_name("b"), vec![]),
        ("rate(c[1m])", by_name("c"), by_type("\"gauge\": \"c\"")),
        ("delta(c[1m])", vec![], vec![]),
    ] {
        assert_eq!(said(false, query), name, "{query}");
        assert_eq!(said(true, query), of_type, "{query}");
    }
}
