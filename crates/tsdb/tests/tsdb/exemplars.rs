//! Exemplars come with samples, are found by their series' labels, and survive a restart.

use crate::common::{budget, labels, matcher, open, range, series};
use skopos_base::{Env, sim::SimWorld};
use skopos_model::{Exemplar, TimestampMs};
use skopos_storage::{Append, Appendable, SeriesId, TimeRange};
use skopos_tsdb::{Db, Options};

fn exemplar(trace: &str, t: Option<i64>) -> Exemplar {
    Exemplar { labels: labels(&[("trace_id", trace)]), value: 0.5, timestamp: t.map(TimestampMs::new) }
}

fn append(db: &Db, i: usize, t: i64, exemplars: &[Exemplar]) {
    let mut appender = db.appender();
    let labels = series(i);
    let sample = Append::float(SeriesId::Labels(&labels), TimestampMs::new(t), t as f64);
    appender.append(&Append { exemplars, ..sample }).expect("all is sound");
    appender.commit().expect("all is sound");
}

/// Series by number, and each exemplar's trace and time.
fn found(env: &Env, db: &Db, regex: &str, range: TimeRange) -> Vec<(String, Vec<(String, i64)>)> {
    let sets = [vec![matcher("i", "=~", regex)], vec![matcher("__name__", "=", "other")]];
    let all = db.select_exemplars(range, &sets, &budget(env)).expect("all is sound");
    let one =
        |e: &Exemplar| (e.labels.value("trace_id").to_owned(), e.timestamp.expect("all is sound").as_ms());
    all.iter().map(|(l, e)| (l.value("i").to_owned(), e.iter().map(one).collect())).collect()
}

#[test]
fn exemplars_are_found_by_series_and_time_and_survive_a_restart() {
    SimWorld::new(1).run(|env| {
        let options = || Options { max_exemplars: 4, ..Options::default() };
        let db = open(env, options());
        append(&db, 1, 10, &[exemplar("a", Some(5)), exemplar("b", None)]);
        append(&db, 2, 10, &[exemplar("c", Some(9))]);
        // The newest is repeated, and one is older.
        append(&db, 2, 20, &[exemplar("c", Some(9)), exemplar("d", Some(8))]);
        let of = |name: &str, all: &[(&str, i64)]| {
            (name.to_owned(), all.iter().map(|(trace, t)| ((*trace).to_owned(), *t)).collect::<Vec<_>>())
        };
        let expected = [of("1", &[("a", 5), ("b", 10)]), of("2", &[("c", 9)])];
        assert_eq!(found(env, &db, "1|2", TimeRange::ALL), expected);
        assert_eq!(found(env, &db, "1|2", range(6, 9)), [of("2", &[("c", 9)])]);
        assert_eq!(found(env, &db, "3", TimeRange::ALL), []);
        let stats = db.stats();
        assert_eq!((stats.exemplars_appended_total, stats.exemplars_dropped_total), (3, 1));
        drop(db);
        let db = open(env, options());
        assert_eq!(found(env, &db, "1|2", TimeRange::ALL), expected);
        // The oldest of all make room.
        append(&db, 2, 30, &[exemplar("e", None)]);
        append(&db, 2, 40, &[exemplar("f", None)]);
        let expected = [of("1", &[("b", 10)]), of("2", &[("c", 9), ("e", 30), ("f", 40)])];
        assert_eq!(found(env, &db, "1|2", TimeRange::ALL), expected);
        // What is rolled back leaves none.
        let labels = series(1);
        let sample = Append::float(SeriesId::Labels(&labels), TimestampMs::new(50), 1.0);
        db.appender().append(&Append { exemplars: &[exemplar("g", None)], ..sample }).expect("all is sound");
        assert_eq!(found(env, &db, "1|2", TimeRange::ALL), expected);
    });
}

#[test]
fn an_exemplar_without_a_time_is_kept_once_however_often_it_is_repeated() {
    SimWorld::new(2).run(|env| {
        let options = || Options { max_exemplars: 4, ..Options::default() };
        let db = open(env, options());
        for t in [10, 20, 30] {
            append(&db, 1, t, &[exemplar("a", None)]);
        }
        let of_one = |all: &[(&str, i64)]| {
            let all = all.iter().map(|(trace, t)| ((*trace).to_owned(), *t)).collect::<Vec<_>>();
            [("1".to_owned(), all)]
        };
        assert_eq!(found(env, &db, "1", TimeRange::ALL), of_one(&[("a", 10)]));
        assert_eq!(db.stats().exemplars_appended_total, 1);
        drop(db);
        let db = open(env, options());
        append(&db, 1, 40, &[exemplar("a", None)]);
        assert_eq!(found(env, &db, "1", TimeRange::ALL), of_one(&[("a", 10)]));
        // Another one in between makes it a new one, and so does a time of its own.
        append(&db, 1, 50, &[exemplar("b", None)]);
        append(&db, 1, 60, &[exemplar("a", None)]);
        append(&db, 1, 70, &[exemplar("a", Some(70))]);
        let expected = of_one(&[("a", 10), ("b", 50), ("a", 60), ("a", 70)]);
        assert_eq!(found(env, &db, "1", TimeRange::ALL), expected);
    });
}
