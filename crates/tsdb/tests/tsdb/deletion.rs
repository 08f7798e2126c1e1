//! What is deleted from the head is answered no more, by none of the ways to ask, and stays deleted.

use crate::common::{budget, commit, dump, labels, matcher, opened, range, series};
use proptest::prelude::*;
use skopos_base::{Env, sim::SimWorld};
use skopos_model::name::METRIC_NAME;
use skopos_storage::TimeRange;
use skopos_tsdb::{Db, TopEntry};

fn in_world(test: impl FnOnce(&Env)) {
    SimWorld::new(1).run(test);
}

fn delete(env: &Env, db: &Db, i: &str, range: TimeRange) -> usize {
    db.delete_series(&[matcher("i", "=~", i)], range, &budget(env)).expect("all is sound")
}

/// The times of all samples of a chunk view of the head.
fn cut_times(env: &Env, db: &Db) -> Vec<(i64, i64)> {
    let mut set = db.steps().cut_chunks(TimeRange::ALL, budget(env)).expect("all is sound");
    let mut out = Vec::new();
    while let Some(series) = set.next_series().expect("all is sound") {
        out.extend(series.chunks.iter().map(|c| (c.min.as_ms(), c.max.as_ms())));
    }
    out
}

#[test]
fn what_is_deleted_is_answered_no_more_and_later_samples_are() {
    in_world(|env| {
        let db = opened(env);
        for t in 0..200 {
            commit(&db, &[(series(1), t, t as f64), (series(2), t, 0.5), (series(3), t, 0.25)])
                .expect("all is sound");
        }
        assert_eq!(delete(env, &db, "1|2", range(100, i64::MAX)), 2);
        assert_eq!(delete(env, &db, "2", range(i64::MIN, 49)), 1);
        assert_eq!(delete(env, &db, "4", TimeRange::ALL), 0);
        assert_eq!(delete(env, &db, "3", range(200, 300)), 0, "there is no sample yet");
        // The deletion ends with the newest sample that there was.
        commit(&db, &[(series(1), 200, 1.0), (series(2), 250, 1.0), (series(3), 201, 1.0)])
            .expect("all is sound");
        let expect = |db: &Db| {
            let times = dump(env, db);
            let times = |i| times[&series(i)].iter().map(|(t, _)| *t).collect::<Vec<_>>();
            assert_eq!(times(1), (0..100).chain([200]).collect::<Vec<_>>());
            assert_eq!(times(2), (50..100).chain([250]).collect::<Vec<_>>());
            assert_eq!(times(3), (0..200).chain([201]).collect::<Vec<_>>());
        };
        expect(&db);
        drop(db);
        let db = opened(env);
        expect(&db);
        let cut = cut_times(env, &db);
        assert!(cut.contains(&(0, 99)) && cut.contains(&(50, 99)), "{cut:?}");
    });
}

#[test]
fn cardinality_names_what_has_the_most_series() {
    in_world(|env| {
        let db = opened(env);
        for i in 0..3000 {
            let (pod, zone) = (format!("pod-{i}"), (i % 3).to_string());
            let name = if i < 10 { "few" } else { "many" };
            commit(&db, &[(labels(&[(METRIC_NAME, name), ("pod", &pod), ("zone", &zone)]), 1, 0.0)])
                .expect("all is sound");
        }
        let got = db.cardinality(2, &budget(env)).expect("all is sound");
        let entry = |name: &str, count| TopEntry { name: name.to_owned(), count };
        assert_eq!((got.series, got.label_pairs, got.label_names), (3000, 3005, 3));
        assert_eq!(got.series_by_metric, [entry("many", 2990), entry("few", 10)]);
        assert_eq!(got.values_by_label, [entry("pod", 3000), entry("zone", 3)]);
        // Name, value, and the length of each.
        let pods = (0..3000).map(|i| (3 + format!("pod-{i}").len() + 2) as u64).sum();
        let names = 2990 * (8 + 4 + 2) + 10 * (8 + 3 + 2);
        assert_eq!(got.bytes_by_label, [entry(METRIC_NAME, names), entry("pod", pods)]);
        assert_eq!(got.series_by_pair, [entry("__name__=many", 2990), entry("zone=0", 1000)]);
        // The server's own metrics say the same.
        let shape = db.head_shape(2);
        assert_eq!((shape.label_pairs, shape.label_names), (got.label_pairs, got.label_names));
        assert_eq!(shape.series_by_metric, got.series_by_metric);
        assert_eq!(shape.values_by_label, got.values_by_label);
        assert_eq!(shape.series_by_pair, got.series_by_pair);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Against the plain set of samples.
    #[test]
    fn deletions_agree_with_a_set(
        steps in prop::collection::vec((0usize..3, 0i64..40, 0i64..25, any::<bool>()), 1..25),
    ) {
        in_world(|env| {
            let mut db = opened(env);
            let mut expected = [const { Vec::<i64>::new() }; 3];
            let mut now = 0;
            for (i, min, len, restart) in &steps {
                for _ in 0..*len {
                    now += 1;
                    commit(&db, &[(series(*i), now, now as f64)]).expect("all is sound");
                    expected[*i].push(now);
                }
                delete(env, &db, "0|1", range(now - min - len, now - min));
                expected[..2].iter_mut().for_each(|e| e.retain(|t| *t < now - min - len || *t > now - min));
                if *restart {
                    drop(db);
                    db = opened(env);
                }
                let all = dump(env, &db);
                for (i, expected) in expected.iter().enumerate() {
                    let got = all.get(&series(i)).into_iter().flatten().map(|(t, _)| *t);
                    assert_eq!(got.collect::<Vec<_>>(), *expected, "series {i}");
                }
            }
        });
    }
}
