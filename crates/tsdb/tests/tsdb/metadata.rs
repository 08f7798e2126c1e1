//! What metrics are: logged with the batch that says it, once, and kept as long as the metric has a series.

use crate::common::{commit, labels, open, series};
use skopos_base::sim::SimWorld;
use skopos_model::{DurationMs, Labels, Metadata, MetricType, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId};
use skopos_tsdb::{Db, Options};

fn options() -> Options {
    Options {
        min_block_duration: DurationMs::from_ms(10_000),
        maintenance_interval: DurationMs::from_secs(36_000),
        segment_bytes: 64 << 10,
        wal_compression: skopos_tsdb::WalCompression::None,
        ..Options::default()
    }
}

fn help(text: &str) -> Metadata {
    Metadata { metric_type: MetricType::Counter, help: text.to_owned(), unit: "bytes".to_owned() }
}

/// Commits one sample; returns how many bytes the log grew by.
fn append(db: &Db, labels: &Labels, t: i64, metadata: Option<&Metadata>) -> u64 {
    let before = db.stats().wal_written_bytes_total;
    let mut appender = db.appender();
    let sample = Append::float(SeriesId::Labels(labels), TimestampMs::new(t), 1.0);
    appender.append(&Append { metadata, ..sample }).expect("all is sound");
    appender.commit().expect("all is sound");
    db.stats().wal_written_bytes_total - before
}

#[test]
fn what_has_not_changed_is_not_logged() {
    SimWorld::new(1).run(|env| {
        let db = open(env, options());
        let (a, b) = (help("a"), help("b"));
        append(&db, &series(1), 1, None);
        let plain = append(&db, &series(1), 2, None);
        assert!(append(&db, &series(1), 3, Some(&a)) > plain);
        for t in 4..8 {
            assert_eq!(append(&db, &series(1), t, Some(&a)), plain);
        }
        assert!(append(&db, &series(1), 8, Some(&b)) > plain);
        assert_eq!(append(&db, &series(1), 9, Some(&b)), plain);
        // Also after a restart, and without a sample that is new.
        drop(db);
        let db = open(env, options());
        assert_eq!(db.metadata("m"), Some(b.clone()));
        assert_eq!(append(&db, &series(1), 10, Some(&b)), plain);
        assert!(append(&db, &series(1), 10, Some(&a)) > 0);
        drop(db);
        assert_eq!(open(env, options()).metadata("m"), Some(a));
    });
}

#[test]
fn metadata_outlive_the_series_that_brought_them() {
    SimWorld::new(2).run(|env| {
        let db = open(env, options());
        let gone = labels(&[("__name__", "gone"), ("i", "1")]);
        append(&db, &series(1), 0, Some(&help("of m")));
        append(&db, &gone, 0, Some(&help("of gone")));
        // Series 1 ends, series 2 goes on, and the log is shortened again and again.
        for t in (1000..200_000).step_by(1000) {
            commit(&db, &[(series(2), t, 1.0)]).expect("all is sound");
            if t % 20_000 == 0 {
                db.maintain().expect("all is sound");
            }
        }
        assert!(db.stats().checkpoint_creations_total > 3);
        assert_eq!((db.metadata("m"), db.metadata("gone")), (Some(help("of m")), None));
        drop(db);
        let db = open(env, options());
        assert_eq!((db.metadata("m"), db.metadata("gone")), (Some(help("of m")), None));
    });
}

#[test]
fn what_is_beyond_the_bound_is_not_kept_until_there_is_room() {
    SimWorld::new(3).run(|env| {
        let of = |name: &str| labels(&[("__name__", name)]);
        // A name of one byte, the unit's five and 94 of help: two of them fill the bound.
        let long = help(&"x".repeat(94));
        let bounded = Options { max_metadata_bytes: 200, ..options() };
        let db = open(env, bounded.clone());
        for (name, t) in [("a", 1), ("b", 2), ("c", 3)] {
            append(&db, &of(name), t, Some(&long));
        }
        let known = |db: &Db| ["a", "b", "c"].map(|name| db.metadata(name).is_some());
        assert_eq!((known(&db), db.stats().metadata_dropped_total), ([true, true, false], 1));
        append(&db, &of("a"), 4, Some(&help("short")));
        append(&db, &of("b"), 5, Some(&help("short")));
        append(&db, &of("c"), 6, Some(&long));
        assert_eq!((known(&db), db.stats().metadata_dropped_total), ([true; 3], 1));
        drop(db);
        assert_eq!(known(&open(env, bounded)), [true; 3]);
        let less = Options { max_metadata_bytes: 50, ..options() };
        assert_eq!(known(&open(env, less)).iter().filter(|known| **known).count(), 2, "a start holds to it");
    });
}
