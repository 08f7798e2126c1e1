//! What the database refuses to grow by, and what goes on meanwhile.

use crate::common::{commit, dump, labels, open, series, try_append};
use skopos_base::{Env, sim::SimWorld};
use skopos_model::{Histogram, Labels, TimestampMs};
use skopos_storage::{Append, AppendError, Appendable, KeptSeries, SeriesId, SeriesLimit, Value};
use skopos_tsdb::Options;
use std::time::Duration;

fn in_world(test: impl FnOnce(&Env)) {
    SimWorld::new(1).run(test);
}

#[test]
fn beyond_the_memory_budget_new_series_are_refused_and_known_ones_go_on() {
    in_world(|env| {
        let max = 64 << 10;
        let db = open(env, Options { memory_budget_bytes: max, ..Options::default() });
        let refused = Err(AppendError::Limit { limit: "storage.memory-budget", max });
        let mut made = 0;
        while try_append(&db, &series(made), 1, 0.0) != refused {
            commit(&db, &[(series(made), 1, 0.0)]).unwrap();
            made += 1;
            assert!(made < 1000, "a series takes some hundred bytes");
        }
        assert!(made > 20, "{made}");
        let batch: Vec<_> = (0..made).map(|i| (series(i), 2, 1.0)).collect();
        assert_eq!(commit(&db, &batch).unwrap().samples, made);
        assert_eq!(dump(env, &db).len(), made);
        // What is measured takes the place of what was estimated.
        env.clock.sleep(Duration::from_secs(1));
        let measured = db.stats().memory_bytes;
        assert!(measured > max / 2 && measured < max * 2, "{measured}");
        assert!(db.stats().refused_memory_total > 0);
    });
}

#[test]
fn closed_chunks_that_no_file_takes_count_as_memory() {
    in_world(|env| {
        let max = 400 << 10;
        let db = open(env, Options { memory_budget_bytes: max, ..Options::default() });
        // A directory stands where the next file is to be.
        let in_the_way = std::path::Path::new(crate::common::DIR).join("chunks_head/000001");
        env.fs.create_dir_all(&in_the_way).unwrap();
        for t in 0..6000 {
            let batch: Vec<_> = (0..20).map(|i| (series(i), t * 997, (t as f64 + i as f64).sin())).collect();
            commit(&db, &batch).unwrap();
        }
        env.clock.sleep(Duration::from_secs(1));
        let held = db.stats().memory_bytes;
        assert!(db.stats().head_chunks_failed_writes_total > 0 && held > max, "{held}");
        let refused = Err(AppendError::Limit { limit: "storage.memory-budget", max });
        assert_eq!(try_append(&db, &series(100), 6000 * 997, 0.0), refused);
        assert!(try_append(&db, &series(0), 6000 * 997, 0.0).is_ok(), "known series go on");
        env.fs.remove_dir_all(&in_the_way).unwrap();
        env.clock.sleep(Duration::from_secs(1));
        let less = db.stats().memory_bytes;
        assert!(less < max, "{less}");
        assert!(try_append(&db, &series(100), 6000 * 997, 0.0).is_ok());
    });
}

/// Floats and histograms of one series by turns: each change costs records of their own.
#[test]
fn a_batch_has_so_many_turns_and_samples_however_they_are_mixed() {
    let histogram = Histogram::default();
    let max = (2 * (32_768 - 7) - 17) / 28;
    // How many floats come between two histograms, and which limit ends it.
    for (floats, segment_bytes, limit, max) in
        [(1, 1 << 20, "max-batch-turns (tsdb)", 1024), (50, 64 << 10, "max-batch-samples (tsdb)", max)]
    {
        let world = SimWorld::new(1);
        let fs = world.fs().clone();
        let expected = world.run(|env| {
            let db = open(env, Options { segment_bytes, ..Options::default() });
            let (mut appender, one) = (db.appender(), series(1));
            let mut taken = 0;
            let refused = (1..10_000).find_map(|t| {
                let mut sample = Append::float(SeriesId::Labels(&one), TimestampMs::new(t), 0.5);
                if t % (floats + 1) == 0 {
                    sample.value = Value::Histogram(&histogram);
                }
                taken += 1;
                appender.append(&sample).err()
            });
            assert_eq!(refused, Some(AppendError::Limit { limit, max }));
            // Others go on where they need no further turn.
            let second = series(2);
            let other = Append::float(SeriesId::Labels(&second), TimestampMs::new(1), 0.5);
            assert_eq!(appender.append(&other).is_ok(), floats == 1);
            let committed = appender.commit().unwrap();
            assert_eq!(committed.samples, taken - usize::from(floats > 1));
            let expected = dump(env, &db);
            assert_eq!(expected[&one].len(), taken - 1);
            expected
        });
        let found =
            SimWorld::with_fs(2, fs.process_crash()).run(|env| dump(env, &open(env, Options::default())));
        assert_eq!(found, expected, "in the log it is whole");
    }
}

#[test]
fn a_metric_and_a_source_have_limits_that_concern_no_other() {
    in_world(|env| {
        let db = open(env, Options { max_series_per_metric: 3, ..Options::default() });
        let limit = SeriesLimit::new("of-a-source", 2);
        let mut appender = db.appender_within(&limit);
        let mut append = |i: usize, t| {
            appender.append(&Append::float(SeriesId::Labels(&series(i)), TimestampMs::new(t), 0.0))
        };
        append(1, 1).unwrap();
        append(2, 1).unwrap();
        assert_eq!(append(3, 1), Err(AppendError::Limit { limit: "of-a-source", max: 2 }));
        append(1, 2).unwrap();
        drop(appender);
        assert_eq!(limit.used(), 0, "a batch that is rolled back makes no series");
        commit(&db, &[(series(1), 1, 0.0), (series(2), 1, 0.0), (series(3), 1, 0.0)]).unwrap();
        let per_metric = AppendError::Limit { limit: "storage.tsdb.max-series-per-metric", max: 3 };
        assert_eq!(try_append(&db, &series(4), 1, 0.0), Err(per_metric));
        assert!(try_append(&db, &series(3), 2, 0.0).is_ok());
        let stats = db.stats();
        assert_eq!((stats.refused_per_metric_total, stats.refused_per_source_total), (1, 1));
        assert_eq!((stats.refused_series_total, stats.refused_memory_total), (0, 0));
    });
}

/// Whichever way the series come back, those that the source has ceased to send among them.
#[test]
fn a_source_is_charged_again_for_what_a_restart_brings_back() {
    for snapshot_on_shutdown in [false, true] {
        in_world(|env| {
            let options = || Options { snapshot_on_shutdown, ..Options::default() };
            let db = open(env, options());
            let of = |job: &str, i: &str| labels(&[("__name__", "m"), ("i", i), ("job", job)]);
            let up = labels(&[("__name__", "up"), ("job", "a")]);
            let batch: Vec<_> = [of("a", "1"), of("a", "2"), of("b", "1"), up.clone()]
                .into_iter()
                .map(|labels| (labels, 1, 0.0))
                .collect();
            commit(&db, &batch).unwrap();
            db.close().unwrap();
            let db = open(env, options());
            let limit = SeriesLimit::new("of-a-source", 3);
            let of_a = Labels::from_pairs([("job", "a")]);
            let kept = |labels| KeptSeries { labels, except_metrics: &["up"] };
            let none = Labels::empty();
            db.charge_kept(&limit, kept(&none));
            assert_eq!(limit.used(), 0, "nothing tells these series from those of others");
            db.charge_kept(&limit, kept(&of_a));
            db.charge_kept(&limit, kept(&of_a));
            assert_eq!(limit.used(), 2, "each is counted once");
            let mut appender = db.appender_within(&limit);
            let mut append = |labels: &Labels| {
                appender.append(&Append::float(SeriesId::Labels(labels), TimestampMs::new(2), 0.0))
            };
            append(&of("a", "1")).unwrap();
            append(&of("b", "1")).unwrap();
            assert_eq!(limit.used(), 3, "what it sends is its own, whatever the labels are");
            let refused = AppendError::Limit { limit: "of-a-source", max: 3 };
            assert_eq!(append(&of("a", "3")), Err(refused.clone()));
            append(&of("a", "2")).unwrap();
            appender.charge_nobody();
            let of_nobody = Append::float(SeriesId::Labels(&up), TimestampMs::new(2), 0.0);
            appender.append(&of_nobody).unwrap();
            appender.commit().unwrap();
            assert_eq!(limit.used(), 3);
            let other = SeriesLimit::new("of-another", 0);
            db.charge_kept(&other, kept(&of_a));
            assert_eq!(other.used(), 0, "a series is in one account");
        });
    }
}

/// Those of before are found, and refused as new ones are.
#[test]
fn a_series_beyond_a_limit_of_labels_that_was_lowered_is_refused() {
    in_world(|env| {
        let long = labels(&[("name", &"x".repeat(500))]);
        let db = open(env, Options::default());
        commit(&db, &[(long.clone(), 1, 0.5), (series(0), 1, 0.5)]).unwrap();
        db.close().unwrap();
        let max = 100;
        let db = open(env, Options { max_label_bytes: max as usize, ..Options::default() });
        assert_eq!(dump(env, &db).len(), 2);
        let refused = Err(AppendError::Limit { limit: "max-label-bytes (tsdb)", max });
        assert_eq!(try_append(&db, &long, 2, 0.5), refused);
        assert!(try_append(&db, &series(0), 2, 0.5).is_ok());
    });
}
