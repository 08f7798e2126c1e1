//! The rules of PromQL's semantics, each as a table of queries and results. Owns no comparison with
//! other implementations.

use crate::support::{
    memory::{MemoryStorage, StillClock, budget},
    world::{World, shown},
};
use skopos_model::{Labels, TimestampMs};
use skopos_promql::{Engine, EngineOptions, Value, parse};
use std::sync::Arc;

/// Checks instant queries at `at_s`.
fn check_instant(world: &World, at_s: f64, cases: &[(&str, &str)]) {
    for (expr, want) in cases {
        assert_eq!(&shown(&world.instant(expr, at_s)), want, "{expr} at {at_s}");
    }
}

/// Checks range queries.
fn check_range(world: &World, (start, end, step): (i64, i64, i64), cases: &[(&str, &str)]) {
    for (expr, want) in cases {
        assert_eq!(&shown(&world.range(expr, start, end, step)), want, "{expr} from {start} to {end}");
    }
}

#[test]
fn selectors_take_the_newest_sample_of_the_lookback() {
    let world = World::load(60, "m{a=\"1\"}: 1 2 3\nm{a=\"2\"}: 10 stale 30\nn: _ 5");
    check_instant(&world, 60.0, &[("m", r#"m{a="1"} 2"#), ("n", "n 5"), ("m{a=\"2\"}", "")]);
    check_instant(&world, 59.0, &[("m", r#"m{a="1"} 1; m{a="2"} 10"#), ("n", "")]);
    // The lookback does not have its own beginning.
    check_instant(&world, 360.0, &[("n", "")]);
    check_instant(&world, 359.999, &[("n", "n 5")]);
    check_range(&world, (0, 120, 60), &[("m", r#"m{a="1"} 1@0 2@60 3@120; m{a="2"} 10@0 30@120"#)]);
}

#[test]
fn offsets_and_fixed_times_shift_selectors() {
    let world = World::load(60, "m: 0 1 2 3 4 5 6 7 8 9 10");
    check_instant(
        &world,
        300.0,
        &[
            ("m offset 1m", "m 4"),
            ("m offset -1m", "m 6"),
            ("m @ 120", "m 2"),
            ("m @ 120 offset 1m", "m 1"),
            ("m @ 1e18", ""),
            ("m @ -9223372036854775 offset -1y", ""),
            ("sum_over_time(m[1y] @ 9223372036854775.807)", ""),
            ("m @ start()", "m 5"),
            ("m @ end()", "m 5"),
            ("sum_over_time(m[2m] @ 180)", "{} 5"),
            ("sum_over_time(m[2m] offset 1m)", "{} 7"),
            ("m[2m]", "m 4@240 5@300"),
        ],
    );
    check_range(
        &world,
        (60, 180, 60),
        &[
            ("m @ start()", "m 1@60 1@120 1@180"),
            ("m @ end() + m", "{} 4@60 5@120 6@180"),
            ("m @ 600 * 2", "{} 20@60 20@120 20@180"),
            ("m @ 600 + time()", "{} 70@60 130@120 190@180"),
            ("sum(m @ 600) + 1", "{} 11@60 11@120 11@180"),
        ],
    );
}

#[test]
fn rates_are_extrapolated_and_resets_made_good() {
    let world = World::load(60, "c_total: 0 60 120 180 240 300\nr_total: 100 160 20 80 140 200");
    check_instant(
        &world,
        300.0,
        &[
            ("increase(c_total[5m])", "{} 300"),
            ("rate(c_total[5m])", "{} 1"),
            ("rate(c_total[1m])", ""),
            ("irate(c_total[2m])", "{} 1"),
            ("idelta(r_total[2m])", "{} 60"),
            ("resets(r_total[5m])", "{} 1"),
            ("changes(r_total[5m])", "{} 4"),
            ("delta(c_total[5m])", "{} 300"),
        ],
    );
    check_instant(&world, 120.0, &[("irate(r_total[2m])", "{} 0.3333333333333333")]);
}

#[test]
fn binary_operators_match_by_labels() {
    let world = World::load(
        60,
        r#"a{i="1", m="x"}: 1
           a{i="2", m="x"}: 2
           b{i="1"}: 10
           b{i="2"}: 20
           info{i="1", v="k"}: 1
           info{i="2", v="l"}: 1"#,
    );
    check_instant(
        &world,
        0.0,
        &[
            ("a + on(i) b", r#"{i="1"} 11; {i="2"} 22"#),
            ("a + ignoring(m) b", r#"{i="1"} 11; {i="2"} 22"#),
            ("a + b", ""),
            ("a * on(i) group_left(v) info", r#"{i="1", m="x", v="k"} 1; {i="2", m="x", v="l"} 2"#),
            ("info * on(i) group_right(v) a", r#"{i="1", m="x", v="k"} 1; {i="2", m="x", v="l"} 2"#),
            ("a > on(i) b", ""),
            ("a < on(i) b", r#"{i="1"} 1; {i="2"} 2"#),
            ("a < bool on(i) b", r#"{i="1"} 1; {i="2"} 1"#),
            ("a > 1", r#"a{i="2", m="x"} 2"#),
            ("1 < a", r#"a{i="2", m="x"} 2"#),
            ("a > bool 1", r#"{i="1", m="x"} 0; {i="2", m="x"} 1"#),
            ("a and on(i) b{i=\"1\"}", r#"a{i="1", m="x"} 1"#),
            ("a unless on(i) b{i=\"1\"}", r#"a{i="2", m="x"} 2"#),
            ("b or info", r#"b{i="1"} 10; b{i="2"} 20; info{i="1", v="k"} 1; info{i="2", v="l"} 1"#),
            ("-a", r#"{i="1", m="x"} -1; {i="2", m="x"} -2"#),
            (
                "b + on(m) a",
                "error: found duplicate series for the match group {m=\"x\"} on the right hand-side of the \
                 operation: [{__name__=\"a\", i=\"1\", m=\"x\"}, {__name__=\"a\", i=\"2\", m=\"x\"}];\
                 many-to-many matching not allowed: matching labels must be unique on one side",
            ),
            (
                "a + on(m) sum by (m) (a)",
                "error: multiple matches for labels: many-to-one matching must be explicit \
                 (group_left/group_right)",
            ),
            // Two that meet one are refused even where the comparison keeps none or one of them. Version 3.9
            // of Prometheus made it so; before, it depended on the values.
            (
                "a > on(m) sum by (m) (a)",
                "error: multiple matches for labels: many-to-one matching must be explicit \
                 (group_left/group_right)",
            ),
            (
                "a < bool on(m) sum by (m) (a)",
                "error: multiple matches for labels: many-to-one matching must be explicit \
                 (group_left/group_right)",
            ),
            (
                "a > on() group_left(i) sum(a)",
                "error: multiple matches for labels: grouping labels must ensure unique matches",
            ),
            ("a > on() group_left sum(a)", ""),
            (
                "{__name__=~\"a|b\"} * on() group_left sum(b)",
                r#"{i="1", m="x"} 30; {i="2", m="x"} 60; {i="1"} 300; {i="2"} 600"#,
            ),
            ("abs({i=\"1\", __name__=~\"a|b|info\"})", r#"{i="1", m="x"} 1; {i="1"} 10; {i="1", v="k"} 1"#),
        ],
    );
}

#[test]
fn aggregations_group_by_labels() {
    let world = World::load(
        60,
        r#"m{g="a", i="1"}: 1
           m{g="a", i="2"}: 3
           m{g="b", i="1"}: 5
           m{g="b", i="2"}: NaN"#,
    );
    check_instant(
        &world,
        0.0,
        &[
            ("sum(m{g=\"a\"})", "{} 4"),
            ("sum by (g) (m)", r#"{g="a"} 4; {g="b"} NaN"#),
            ("avg without (i) (m)", r#"{g="a"} 2; {g="b"} NaN"#),
            ("count by (i) (m)", r#"{i="1"} 2; {i="2"} 2"#),
            ("max by (g) (m)", r#"{g="a"} 3; {g="b"} 5"#),
            ("min by (g) (m)", r#"{g="a"} 1; {g="b"} 5"#),
            ("group(m)", "{} 1"),
            ("stdvar by (g) (m{g=\"a\"})", r#"{g="a"} 1"#),
            ("stddev(m{g=\"a\"})", "{} 1"),
            ("quantile(0.5, m{g=\"a\"})", "{} 2"),
            ("topk(1, m)", r#"m{g="b", i="1"} 5"#),
            ("topk(3, m)", r#"m{g="b", i="1"} 5; m{g="a", i="2"} 3; m{g="a", i="1"} 1"#),
            ("bottomk by (g) (1, m)", r#"m{g="a", i="1"} 1; m{g="b", i="1"} 5"#),
            ("count_values(\"v\", m{g=\"a\"})", r#"{v="1"} 1; {v="3"} 1"#),
            ("count(count(m) by (g))", "{} 2"),
            ("sum by (__name__) (m{g=\"a\"})", "m 4"),
            (
                "sort_desc(m)",
                r#"m{g="b", i="1"} 5; m{g="a", i="2"} 3; m{g="a", i="1"} 1; m{g="b", i="2"} NaN"#,
            ),
        ],
    );
}

#[test]
fn staleness_ends_a_series_at_once_and_is_no_sample_of_a_window() {
    let world = World::load(30, "m: 1 2 stale _ _ 6");
    check_instant(
        &world,
        75.0,
        &[
            ("m", ""),
            ("count_over_time(m[2m])", "{} 2"),
            ("last_over_time(m[2m])", "m 2"),
            ("absent(m)", "{} 1"),
        ],
    );
    check_range(&world, (0, 150, 30), &[("m", "m 1@0 2@30 6@150"), ("absent(m)", "{} 1@60 1@90 1@120")]);
}

#[test]
fn functions_of_values_and_labels() {
    let world = World::load(60, "m{i=\"1\", l=\"a-b\"}: -1.5\nm{i=\"2\", l=\"c\"}: 2.5\nn: NaN");
    check_instant(
        &world,
        0.0,
        &[
            ("abs(m{i=\"1\"})", r#"{i="1", l="a-b"} 1.5"#),
            ("round(m{i=\"1\"})", r#"{i="1", l="a-b"} -1"#),
            ("round(m{i=\"2\"}, 2)", r#"{i="2", l="c"} 2"#),
            ("sgn(m{i=\"1\"})", r#"{i="1", l="a-b"} -1"#),
            ("clamp(m, 0, 2)", r#"{i="1", l="a-b"} 0; {i="2", l="c"} 2"#),
            ("clamp(m, 2, 0)", ""),
            ("clamp_max(n, 1)", "{} NaN"),
            ("max(n or m)", "{} 2.5"),
            ("scalar(m)", "NaN"),
            ("scalar(m{i=\"2\"}) * 2", "5"),
            ("vector(1) + time()", "{} 1"),
            (
                "label_replace(m, \"x\", \"$2.$1\", \"l\", \"(.*)-(.*)\")",
                r#"m{i="1", l="a-b", x="b.a"} -1.5; m{i="2", l="c"} 2.5"#,
            ),
            (
                "label_join(m{i=\"2\"}, \"x\", \"/\", \"l\", \"none\", \"i\")",
                r#"m{i="2", l="c", x="c//2"} 2.5"#,
            ),
            (
                "label_replace(label_replace(m, \"i\", \"3\", \"i\", \".*\"), \"l\", \"\", \"l\", \".*\")",
                "error: vector cannot contain metrics with the same labelset",
            ),
            ("absent(none{i=\"1\", l=~\"a\"})", r#"{i="1"} 1"#),
            ("\"text\"", "\"text\""),
        ],
    );
}

#[test]
fn subqueries_are_evaluated_at_multiples_of_their_step() {
    let world = World::load(60, "m: 0 1 2 3 4 5 6 7 8 9 10");
    check_instant(
        &world,
        330.0,
        &[
            ("m[3m:1m]", "m 3@180 4@240 5@300"),
            ("sum_over_time(m[3m:1m])", "{} 12"),
            ("sum_over_time(m[3m:1m] offset 1m)", "{} 9"),
            ("sum_over_time(m[3m:1m] @ 600)", "{} 27"),
            ("max_over_time(sum_over_time(m[2m:])[3m:90s])", "{} 7"),
            ("count_over_time(vector(time())[5m:30s])", "{} 10"),
        ],
    );
    check_range(
        &world,
        (120, 240, 60),
        &[
            ("avg_over_time((m * 2)[2m:1m])", "{} 3@120 5@180 7@240"),
            ("sum_over_time(m[5s:1m])", "{} 2@120 3@180 4@240"),
        ],
    );
}

#[test]
fn predictions_lose_nothing_to_the_size_of_the_time() {
    // A line that is zero at a time of today.
    let at_ms = 1_795_371_094_774_i64;
    let mut storage = MemoryStorage::default();
    let labels = Labels::from_pairs([("__name__", "m")]);
    let samples = (0..11).map(|k| at_ms - 10_007 + 1000 * k);
    storage.push_all(&labels, samples.map(|t| (t, (t - at_ms) as f64 * 1e6)));
    let engine = Engine::new(EngineOptions::default(), Arc::new(StillClock));
    let result = engine.instant(
        &storage,
        &parse("predict_linear(m[30s], 0)").unwrap(),
        TimestampMs::new(at_ms),
        &budget(),
    );
    let Value::Vector(vector) = result.unwrap().value else { panic!("no vector") };
    // Two times in seconds, one taken from the other, are some 100 ns off: with this slope 100.
    assert!(vector.values[0].abs() < 1e-3, "{:?}", vector.values);
}
