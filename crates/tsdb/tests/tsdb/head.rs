//! What a database answers: appending, refusals, rollback, selection. All in a simulated world.

use crate::common::{
    DIR, commit, dump, label_request, labels, matcher, open, opened, range, select, series, try_append,
};
use skopos_base::{Env, sim::SimWorld};
use skopos_model::{Labels, Metadata, MetricType, SeriesRef, TimestampMs, stale_nan};
use skopos_storage::{
    Append, AppendError, Appendable, QueryBudget, QueryError, QueryLimits, Queryable, SelectRequest,
    SeriesBatch, SeriesId, Shard, TimeRange,
};
use skopos_tsdb::{Db, OpenError, Options};
use std::{path::Path, sync::Arc};

fn in_world(test: impl FnOnce(&Env)) {
    SimWorld::new(1).run(test);
}

#[test]
fn what_was_committed_is_answered_and_survives_a_restart() {
    in_world(|env| {
        let db = opened(env);
        for t in 0..300 {
            let batch = [(series(1), t * 1000, t as f64), (series(2), t * 1000, stale_nan())];
            let committed = commit(&db, &batch).unwrap();
            assert_eq!((committed.samples, committed.overtaken), (2, 0));
            assert_eq!(committed.new_series, if t == 0 { 2 } else { 0 });
        }
        let before = dump(env, &db);
        assert_eq!(before[&series(1)].len(), 300);
        assert_eq!(before[&series(2)][299], (299_000, stale_nan().to_bits()));
        assert_eq!(db.stats().chunks, 6);
        db.close().unwrap();

        let db = opened(env);
        assert_eq!(dump(env, &db), before);
        let stats = db.stats();
        assert_eq!((stats.series, stats.chunks, stats.replayed_samples), (2, 6, 600));
        assert_eq!(stats.wal_corruptions_total, 0);
        // Series found in the WAL go on under their numbers, new ones get others.
        commit(&db, &[(series(1), 400_000, 1.0), (series(3), 400_000, 3.0)]).unwrap();
        let before = dump(env, &db);
        assert_eq!(before[&series(1)].len(), 301);
        drop(db);
        assert_eq!(dump(env, &opened(env)), before);
    });
}

#[test]
fn references_stand_for_labels_in_later_batches() {
    in_world(|env| {
        let db = opened(env);
        let refs: Vec<SeriesRef> = (0..5000)
            .map(|i| {
                let mut appender = db.appender();
                let t = TimestampMs::new(1);
                let r = appender.append(&Append::float(SeriesId::Labels(&series(i)), t, 0.5)).unwrap();
                appender.commit().unwrap();
                r
            })
            .collect();
        let values: Vec<f64> = (0..5000).map(f64::from).collect();
        let mut appender = db.appender();
        let mut refused = Vec::new();
        appender.append_floats(TimestampMs::new(2), &refs, &values, &mut refused);
        let unknown = SeriesRef::new(5001).unwrap();
        appender.append_floats(TimestampMs::new(2), &[unknown], &[1.0], &mut refused);
        assert_eq!(refused, [(0, AppendError::UnknownRef(5001))]);
        assert_eq!(appender.commit().unwrap().samples, 5000);
        let all = dump(env, &db);
        for (i, v) in values.iter().enumerate() {
            assert_eq!(all[&series(i)], [(1, 0.5f64.to_bits()), (2, v.to_bits())]);
        }
    });
}

#[test]
fn a_dropped_batch_was_never_there() {
    in_world(|env| {
        let db = opened(env);
        commit(&db, &[(series(1), 1000, 1.0)]).unwrap();
        let r = try_append(&db, &series(2), 2000, 2.0).unwrap();
        try_append(&db, &series(1), 2000, 2.0).unwrap();
        assert_eq!(dump(env, &db).len(), 1);
        let q = db.querier(TimeRange::ALL).unwrap();
        let all = label_request(env, &[], 0);
        assert_eq!(q.series(&all).unwrap(), [series(1)]);
        assert_eq!(q.label_values("i", &all).unwrap(), ["1"]);
        let m = [matcher("__name__", "=", "m")];
        assert_eq!(q.label_values("i", &label_request(env, &m, 0)).unwrap(), ["1"]);
        // Nor is its reference good any more, even once the series is made again.
        let unknown = AppendError::UnknownRef(r.get());
        let by_ref = |r| {
            let mut appender = db.appender();
            let mut refused = Vec::new();
            appender.append_floats(TimestampMs::new(2000), &[r], &[7.0], &mut refused);
            assert_eq!(refused, [(0, unknown.clone())]);
            appender.append(&Append::float(SeriesId::Ref(r), TimestampMs::new(2000), 7.0))
        };
        assert_eq!(by_ref(r), Err(unknown.clone()));
        commit(&db, &[(series(2), 2000, 7.0)]).unwrap();
        assert_eq!(by_ref(r), Err(unknown.clone()));
        let before = dump(env, &db);
        assert_eq!(before[&series(2)], [(2000, 7.0f64.to_bits())]);
        drop(db);
        assert_eq!(dump(env, &opened(env)), before, "the WAL names the series with its first sample");
    });
}

/// A source whose batches always fail makes series without end; none of them stays.
#[test]
fn series_of_dropped_batches_go_with_them() {
    in_world(|env| {
        let db = open(env, Options { max_series: 1100, ..Options::default() });
        commit(&db, &[(series(0), 1000, 1.0)]).unwrap();
        let bytes = db.series_bytes();
        let mut refs = Vec::new();
        for round in 0..20 {
            let mut appender = db.appender();
            for i in 0..1000 {
                let labels = series(1 + round * 1000 + i);
                let append = Append::float(SeriesId::Labels(&labels), TimestampMs::new(2000), 1.0);
                refs.push(appender.append(&append).unwrap());
            }
            // A series that another batch has found meanwhile stays as long as that.
            let other = refs.len() - 7;
            let mut second = db.appender();
            let append = Append::float(SeriesId::Ref(refs[other]), TimestampMs::new(2000), 1.0);
            second.append(&append).unwrap();
            drop(appender);
            assert_eq!(db.stats().series, 2);
            second.append(&Append { timestamp: TimestampMs::new(3000), ..append }).unwrap();
            drop(second);
            assert_eq!((db.stats().series, db.series_bytes()), (1, bytes));
        }
        refs.sort_unstable();
        assert!(refs.is_sorted_by(|a, b| a < b), "no reference is given twice");
        // A commit lets go the series whose samples were all refused, and keeps the others.
        let mut appender = db.appender();
        let far = TimestampMs::new(i64::MAX);
        assert!(appender.append(&Append::float(SeriesId::Labels(&series(1)), far, 1.0)).is_err());
        appender.append(&Append::float(SeriesId::Labels(&series(2)), TimestampMs::new(2000), 1.0)).unwrap();
        assert_eq!(db.stats().series, 3);
        appender.commit().unwrap();
        assert_eq!(db.stats().series, 2);
        let q = db.querier(TimeRange::ALL).unwrap();
        assert_eq!(q.label_values("i", &label_request(env, &[], 0)).unwrap(), ["0", "2"]);
    });
}

#[test]
fn samples_are_refused_for_what_is_wrong_with_them() {
    in_world(|env| {
        let db = opened(env);
        let hour = 3_600_000;
        let newest = TimestampMs::new(2 * hour);
        commit(&db, &[(series(1), 2 * hour, 1.0), (series(2), 2 * hour - 5, f64::NAN)]).unwrap();
        let t = TimestampMs::new;
        let future = env.clock.wall_ms() + 600_000;
        for (labels, at, v, expected) in [
            (series(1), 2 * hour, 1.0, Ok(())),
            (series(1), 2 * hour, 2.0, Err(AppendError::Duplicate { timestamp: newest })),
            (series(1), 2 * hour, -1.0, Err(AppendError::Duplicate { timestamp: newest })),
            (series(2), 2 * hour - 5, f64::NAN, Ok(())),
            (
                series(2),
                2 * hour - 5,
                stale_nan(),
                Err(AppendError::Duplicate { timestamp: t(2 * hour - 5) }),
            ),
            (
                series(1),
                2 * hour - 1,
                1.0,
                Err(AppendError::OutOfOrder { timestamp: t(2 * hour - 1), newest }),
            ),
            (series(3), hour, 1.0, Ok(())),
            (
                series(3),
                hour - 1,
                1.0,
                Err(AppendError::OutOfBounds { timestamp: t(hour - 1), min: t(hour), max: t(future) }),
            ),
            (series(3), future, 1.0, Ok(())),
            (
                series(3),
                future + 1,
                1.0,
                Err(AppendError::OutOfBounds { timestamp: t(future + 1), min: t(hour), max: t(future) }),
            ),
            (
                Labels::empty(),
                hour,
                1.0,
                Err(AppendError::InvalidLabels { labels: Labels::empty(), reason: "there is no label" }),
            ),
            (crate::common::labels(&[("a", "x")]), hour, 1.0, Ok(())),
            (
                crate::common::labels(&[("a", &"x".repeat(20_000))]),
                hour,
                1.0,
                Err(AppendError::Limit { limit: "max-label-bytes (tsdb)", max: 16 << 10 }),
            ),
        ] {
            let got = try_append(&db, &labels, at, v).map(|_| ());
            assert_eq!(got, expected, "{labels} at {at}");
        }
        let stats = db.stats();
        assert_eq!((stats.duplicates_total, stats.out_of_order_total, stats.out_of_bounds_total), (3, 1, 2));
    });
}

#[test]
fn a_refused_sample_leaves_the_rest_of_its_batch() {
    in_world(|env| {
        let db = opened(env);
        commit(&db, &[(series(1), 1000, 1.0)]).unwrap();
        let mut appender = db.appender();
        let mut add = |s: &Labels, t: i64, v: f64| {
            appender.append(&Append::float(SeriesId::Labels(s), TimestampMs::new(t), v)).map(|_| ())
        };
        let timestamp = TimestampMs::new(2000);
        assert!(add(&series(1), 900, 1.0).is_err());
        assert_eq!(add(&series(1), 2000, 1.0), Ok(()));
        // Twice in one batch: the same is the same, another value is refused.
        assert_eq!(add(&series(1), 2000, 1.0), Ok(()));
        assert_eq!(add(&series(1), 2000, 2.0), Err(AppendError::Duplicate { timestamp }));
        assert_eq!(add(&series(2), 2000, 2.0), Ok(()));
        assert_eq!(add(&series(1), 2000, 3.0), Err(AppendError::Duplicate { timestamp }));
        assert_eq!(add(&series(1), 3000, 4.0), Ok(()));
        let newest = TimestampMs::new(3000);
        assert_eq!(
            add(&series(1), 2500, 4.0),
            Err(AppendError::OutOfOrder { timestamp: TimestampMs::new(2500), newest })
        );
        let committed = appender.commit().unwrap();
        assert_eq!((committed.samples, committed.overtaken), (3, 0));
        let got = dump(env, &db);
        assert_eq!(got[&series(1)].iter().map(|s| s.0).collect::<Vec<_>>(), [1000, 2000, 3000]);
        assert_eq!(got[&series(2)].len(), 1);
    });
}

#[test]
fn a_batch_that_was_overtaken_drops_what_came_too_late() {
    in_world(|env| {
        let db = opened(env);
        let sample = |t, v| (series(1), t, v);
        let add = |(s, t, v): (Labels, i64, f64)| {
            let mut appender = db.appender();
            appender.append(&Append::float(SeriesId::Labels(&s), TimestampMs::new(t), v)).unwrap();
            appender
        };
        let slow = add(sample(1000, 1.0));
        let fast = add(sample(2000, 2.0));
        assert_eq!(fast.commit().unwrap().samples, 1);
        let committed = slow.commit().unwrap();
        assert_eq!((committed.samples, committed.overtaken), (0, 1));
        let before = dump(env, &db);
        assert_eq!(before[&series(1)], [(2000, 2.0f64.to_bits())]);
        drop(db);
        assert_eq!(dump(env, &opened(env)), before, "a replay decides as the commits did");
    });
}

#[test]
fn exemplars_are_counted_metadata_kept() {
    in_world(|env| {
        let db = opened(env);
        let s = series(1);
        let m = Metadata { metric_type: MetricType::Gauge, help: "words".into(), unit: String::new() };
        let exemplar = skopos_model::Exemplar { labels: labels(&[("id", "x")]), value: 1.0, timestamp: None };
        let plain = Append::float(SeriesId::Labels(&s), TimestampMs::new(1), 1.0);
        let mut appender = db.appender();
        appender
            .append(&Append { exemplars: &[exemplar.clone(), exemplar], metadata: Some(&m), ..plain })
            .unwrap();
        assert_eq!(db.metadata("m"), None);
        appender.commit().unwrap();
        assert_eq!((db.metadata("m"), db.stats().exemplars_dropped_total), (Some(m), 2));
    });
}

#[test]
fn matchers_select_as_in_prometheus() {
    in_world(|env| {
        let db = opened(env);
        // The cases are those that Prometheus' own documentation and tests distinguish.
        let sets = [
            labels(&[("n", "1")]),
            labels(&[("n", "1"), ("i", "a")]),
            labels(&[("n", "1"), ("i", "b")]),
            labels(&[("n", "1"), ("i", "\n")]),
            labels(&[("n", "2")]),
            labels(&[("n", "2.5")]),
        ];
        let batch: Vec<_> = sets.iter().map(|l| (l.clone(), 1, 1.0)).collect();
        commit(&db, &batch).unwrap();
        let q = db.querier(TimeRange::ALL).unwrap();
        type Condition = (&'static str, &'static str, &'static str);
        let rows: &[(&[Condition], &[usize])] = &[
            (&[], &[0, 1, 2, 3, 4, 5]),
            (&[("n", "=", "1")], &[0, 1, 2, 3]),
            (&[("n", "=", "1"), ("i", "=", "a")], &[1]),
            (&[("n", "=", "1"), ("i", "=", "missing")], &[]),
            (&[("missing", "=", "")], &[0, 1, 2, 3, 4, 5]),
            (&[("missing", "=", "x")], &[]),
            (&[("missing", "!=", "")], &[]),
            (&[("missing", "!=", "x")], &[0, 1, 2, 3, 4, 5]),
            (&[("n", "!=", "1")], &[4, 5]),
            (&[("i", "!=", "")], &[1, 2, 3]),
            (&[("i", "=", "")], &[0, 4, 5]),
            (&[("n", "=", "1"), ("i", "=", "")], &[0]),
            (&[("n", "=", "1"), ("i", "!=", "")], &[1, 2, 3]),
            (&[("n", "=", "1"), ("i", "!=", "a")], &[0, 2, 3]),
            (&[("n", "=", "1"), ("i", "!=", "a"), ("i", "!=", "")], &[2, 3]),
            (&[("n", "=~", "^1$")], &[0, 1, 2, 3]),
            (&[("n", "=~", "1|2")], &[0, 1, 2, 3, 4]),
            (&[("n", "=~", "2.*")], &[4, 5]),
            (&[("n", "=~", "2.+")], &[5]),
            (&[("n", "!~", "2.*")], &[0, 1, 2, 3]),
            (&[("n", "!~", "1")], &[4, 5]),
            (&[("n", "!~", "")], &[0, 1, 2, 3, 4, 5]),
            (&[("i", "=~", "a?")], &[0, 1, 4, 5]),
            (&[("i", "=~", "a|b")], &[1, 2]),
            (&[("i", "=~", "a|")], &[0, 1, 4, 5]),
            (&[("i", "=~", "")], &[0, 4, 5]),
            (&[("i", "=~", ".*")], &[0, 1, 2, 3, 4, 5]),
            (&[("i", "=~", ".+")], &[1, 2, 3]),
            (&[("i", "!~", ".*")], &[]),
            (&[("i", "!~", ".+")], &[0, 4, 5]),
            (&[("i", "!~", "")], &[1, 2, 3]),
            (&[("i", "!~", "a|b")], &[0, 3, 4, 5]),
            (&[("i", "!~", "a|")], &[2, 3]),
            (&[("n", "=", "1"), ("i", "!~", "a?")], &[2, 3]),
            (&[("n", "=", "1"), ("i", "=~", "a?"), ("i", "!=", "a")], &[0]),
            (&[("n", "!=", "1"), ("i", "!=", "")], &[]),
            (&[("n", "=~", ".+"), ("n", "!~", "2|1")], &[5]),
        ];
        for (conditions, expected) in rows {
            let matchers: Vec<_> = conditions.iter().map(|(n, op, v)| matcher(n, op, v)).collect();
            let mut expected: Vec<Labels> = expected.iter().map(|i| sets[*i].clone()).collect();
            expected.sort();
            let got: Vec<Labels> = select(env, &*q, &matchers, TimeRange::ALL).into_keys().collect();
            assert_eq!(got, expected, "{conditions:?}");
            assert_eq!(q.series(&label_request(env, &matchers, 0)).unwrap(), expected, "{conditions:?}");
        }
    });
}

#[test]
fn ranges_cut_series_to_what_is_asked() {
    in_world(|env| {
        let db = opened(env);
        for t in 0..500 {
            commit(&db, &[(series(1), t * 10, t as f64)]).unwrap();
        }
        let q = db.querier(range(1000, 4000)).unwrap();
        for (min, max, first, last) in [
            (0, 9999, 1000, 4000),
            (2000, 2000, 2000, 2000),
            (1195, 1215, 1200, 1210),
            (3990, 5000, 3990, 4000),
        ] {
            let got = select(env, &*q, &[], range(min, max));
            let samples = &got[&series(1)];
            assert_eq!((samples[0].0, samples[samples.len() - 1].0), (first, last), "{min} to {max}");
            assert_eq!(samples.len() as i64, (last - first) / 10 + 1);
        }
        assert!(select(env, &*q, &[], range(4001, 9000)).values().all(Vec::is_empty));
        assert!(select(env, &*q, &[], range(5, 4)).values().all(Vec::is_empty));
    });
}

#[test]
fn shards_split_all_series() {
    in_world(|env| {
        let db = opened(env);
        let batch: Vec<_> = (0..200).map(|i| (series(i), 1, 1.0)).collect();
        commit(&db, &batch).unwrap();
        let q = db.querier(TimeRange::ALL).unwrap();
        let mut seen = 0;
        for index in 0..3 {
            let shard = Shard::new(index, 3).unwrap();
            let request = SelectRequest {
                matchers: &[],
                range: TimeRange::ALL,
                shard,
                budget: crate::common::budget(env),
            };
            let mut set = q.select(&request).unwrap();
            let mut batch = SeriesBatch::default();
            while set.next_batch(&mut batch).unwrap() {
                assert!(batch.iter().all(|s| shard.contains(s.labels)));
                seen += batch.len();
            }
        }
        assert_eq!(seen, 200);
    });
}

#[test]
fn budgets_are_kept() {
    in_world(|env| {
        let db = opened(env);
        for t in 0..100 {
            let batch: Vec<_> = (0..10).map(|i| (series(i), t, 1.0)).collect();
            commit(&db, &batch).unwrap();
        }
        let q = db.querier(TimeRange::ALL).unwrap();
        let ask = |limits: QueryLimits| {
            let budget = QueryBudget::new(limits, Arc::clone(&env.clock));
            let request = SelectRequest { matchers: &[], range: TimeRange::ALL, shard: Shard::WHOLE, budget };
            let mut set = q.select(&request)?;
            let mut batch = SeriesBatch::default();
            let mut n = 0;
            while set.next_batch(&mut batch)? {
                n += batch.sample_count();
            }
            Ok::<_, QueryError>(n)
        };
        let limits = QueryLimits { max_samples: 1000, max_series: 10, ..QueryLimits::default() };
        assert_eq!(ask(limits).unwrap(), 1000);
        assert!(matches!(
            ask(QueryLimits { max_samples: 999, ..limits }),
            Err(QueryError::Limit { max: 999, .. })
        ));
        assert!(matches!(
            ask(QueryLimits { max_series: 9, ..limits }),
            Err(QueryError::Limit { max: 9, .. })
        ));
    });
}

#[test]
fn label_names_and_values_follow_matchers_and_limits() {
    in_world(|env| {
        let db = opened(env);
        let batch = [
            (labels(&[("__name__", "a"), ("x", "1"), ("y", "2")]), 1000, 1.0),
            (labels(&[("__name__", "a"), ("x", "3")]), 1000, 1.0),
            (labels(&[("__name__", "b"), ("z", "1")]), 5000, 1.0),
        ];
        commit(&db, &batch).unwrap();
        let q = db.querier(TimeRange::ALL).unwrap();
        let a = [matcher("__name__", "=", "a")];
        let all = |limit| label_request(env, &[], limit);
        assert_eq!(q.label_names(&all(0)).unwrap(), ["__name__", "x", "y", "z"]);
        assert_eq!(q.label_names(&all(2)).unwrap(), ["__name__", "x"]);
        assert_eq!(q.label_names(&label_request(env, &a, 0)).unwrap(), ["__name__", "x", "y"]);
        assert_eq!(q.label_values("__name__", &all(0)).unwrap(), ["a", "b"]);
        assert_eq!(q.label_values("__name__", &all(1)).unwrap(), ["a"]);
        assert_eq!(q.label_values("x", &label_request(env, &a, 0)).unwrap(), ["1", "3"]);
        assert_eq!(q.label_values("z", &label_request(env, &a, 0)).unwrap(), [""; 0]);
        assert_eq!(q.label_values("missing", &all(0)).unwrap(), [""; 0]);
        assert_eq!(q.series(&all(1)).unwrap(), [batch[0].0.clone()]);
        let early = db.querier(range(0, 2000)).unwrap();
        assert_eq!(early.label_values("__name__", &all(0)).unwrap(), ["a"]);
        assert_eq!(early.label_names(&all(0)).unwrap(), ["__name__", "x", "y"]);
        assert_eq!(early.series(&all(0)).unwrap().len(), 2);
    });
}

#[test]
fn a_directory_is_opened_once_at_a_time() {
    in_world(|env| {
        let db = opened(env);
        let again = Db::open(Path::new(DIR), Options::default(), env);
        assert!(matches!(again, Err(OpenError::Locked { .. })));
        drop(db);
        opened(env).close().unwrap();
    });
}

#[test]
fn limits_are_named_when_they_are_reached() {
    in_world(|env| {
        let db = open(env, Options { max_series: 1, segment_bytes: 64 << 10, ..Options::default() });
        commit(&db, &[(series(1), 1, 1.0)]).unwrap();
        let limit = AppendError::Limit { limit: "storage.tsdb.max-series", max: 1 };
        assert_eq!(try_append(&db, &series(2), 1, 1.0), Err(limit));
        let mut appender = db.appender();
        let mut taken = 0;
        let refused = (2..10_000).find_map(|t| {
            taken += 1;
            let one = series(1);
            appender.append(&Append::float(SeriesId::Labels(&one), TimestampMs::new(t), 1.0)).err()
        });
        let max = (2 * (32_768 - 7) - 17) / 28;
        assert_eq!(refused, Some(AppendError::Limit { limit: "max-batch-samples (tsdb)", max }));
        assert_eq!(appender.commit().unwrap().samples as u64, max);
        assert_eq!(taken, max + 1);
    });
}
