//! Batches that have several samples of a series, floats and histograms among them: each is taken or refused
//! by name when it is appended, whatever other series the batch has in between, and what was taken is there.

use crate::{
    common::{dump, open, series},
    content::content_of,
};
use skopos_base::sim::SimWorld;
use skopos_model::{
    DurationMs, Histogram, Labels, TimestampMs,
    histogram::{Layout, Span},
    stale_nan,
};
use skopos_storage::{Append, AppendError, Appendable, Appender, SeriesId, Value};
use skopos_tsdb::Options;

fn histogram(count: u64) -> Histogram {
    let layout = Layout { positive_spans: vec![Span { offset: 0, length: 1 }], ..Layout::default() };
    let positive_deltas = vec![count as i64];
    Histogram { layout, count, sum: 1.0, zero_count: 0, positive_deltas, negative_deltas: Vec::new() }
}

fn put(to: &mut dyn Appender, of: &Labels, t: i64, value: Value<'_>) -> Result<(), AppendError> {
    let plain = Append::float(SeriesId::Labels(of), TimestampMs::new(t), 0.0);
    to.append(&Append { value, ..plain }).map(drop)
}

fn options(window_ms: i64) -> Options {
    Options { out_of_order_window: DurationMs::from_ms(window_ms), ..Options::default() }
}

/// Another series that changes from floats to histograms, in the middle of the batch.
fn change_kind(to: &mut dyn Appender) {
    put(to, &series(9), 1, Value::Float(1.0)).expect("it is in order");
    put(to, &series(9), 2, Value::Histogram(&histogram(1))).expect("it is in order");
}

#[test]
fn what_contradicts_an_earlier_sample_of_a_batch_is_refused_whatever_stands_between() {
    let (at, newest) = (TimestampMs::new(50), TimestampMs::new(100));
    let out_of_order = Err(AppendError::OutOfOrder { timestamp: at, newest });
    let duplicate = Err(AppendError::Duplicate { timestamp: newest });
    let (one, two, stale) = (histogram(1), histogram(2), stale_nan());
    let (float, other_float) = (Value::Float(1.0), Value::Float(2.0));
    let (h, other_h) = (Value::Histogram(&one), Value::Histogram(&two));
    let stale_h = Histogram { sum: stale, ..one.clone() };
    for between in [false, true] {
        for (first, second, t, expected) in [
            (float, float, 50, out_of_order.clone()),
            (float, h, 50, out_of_order.clone()),
            (h, h, 50, out_of_order.clone()),
            (h, float, 50, out_of_order.clone()),
            (float, other_float, 100, duplicate.clone()),
            (float, h, 100, duplicate.clone()),
            (h, other_h, 100, duplicate.clone()),
            (h, float, 100, duplicate.clone()),
            (float, float, 100, Ok(())),
            (h, h, 100, Ok(())),
            (Value::Float(stale), Value::Histogram(&stale_h), 100, Ok(())),
            (Value::Histogram(&stale_h), Value::Float(stale), 100, Ok(())),
        ] {
            SimWorld::new(1).run(|env| {
                let db = open(env, options(0));
                let mut batch = db.appender();
                put(&mut *batch, &series(0), 100, first).unwrap();
                if between {
                    change_kind(&mut *batch);
                }
                assert_eq!(put(&mut *batch, &series(0), t, second), expected, "{first:?}, {second:?}");
                let done = batch.commit().unwrap();
                assert_eq!((done.samples, done.overtaken), (1 + 2 * usize::from(between), 0));
            });
        }
    }
}

#[test]
fn within_a_window_late_samples_of_a_batch_come_in_whatever_stands_between() {
    SimWorld::new(2).run(|env| {
        let db = open(env, options(1_000_000));
        let mut batch = db.appender();
        put(&mut *batch, &series(0), 100, Value::Float(1.0)).unwrap();
        change_kind(&mut *batch);
        put(&mut *batch, &series(0), 50, Value::Float(2.0)).unwrap();
        put(&mut *batch, &series(0), 60, Value::Histogram(&histogram(3))).unwrap();
        let at = TimestampMs::new(100);
        let twice = put(&mut *batch, &series(0), 100, Value::Float(3.0));
        assert_eq!(twice, Err(AppendError::Duplicate { timestamp: at }));
        put(&mut *batch, &series(0), 200, Value::Float(4.0)).unwrap();
        let done = batch.commit().unwrap();
        assert_eq!((done.samples, done.overtaken), (6, 0));
        let all = content_of(&db);
        let times = |i: usize| -> Vec<i64> {
            let of = |labels: &Labels| labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            all[&of(&series(i))].samples.iter().map(|(t, _)| *t).collect()
        };
        assert_eq!((times(0), times(9)), (vec![50, 60, 100, 200], vec![1, 2]));
    });
}

/// Whatever order a request has its series in, the turns that one of them needs serve all.
#[test]
fn any_number_of_series_may_change_between_floats_and_histograms_in_one_batch() {
    const SERIES: usize = 20_000;
    SimWorld::new(3).run(|env| {
        let db = open(env, options(0));
        let (one, two) = (histogram(1), histogram(2));
        let mut batch = db.appender();
        for i in 0..SERIES {
            let of = series(i);
            for (t, value) in [
                (1, Value::Float(1.0)),
                (2, Value::Histogram(&one)),
                (3, Value::Histogram(&two)),
                (4, Value::Float(4.0)),
                (5, Value::Histogram(&one)),
            ] {
                put(&mut *batch, &of, t, value).unwrap_or_else(|e| panic!("{of} at {t}: {e}"));
            }
        }
        let done = batch.commit().unwrap();
        assert_eq!((done.samples, done.overtaken), (5 * SERIES, 0));
        let expected = content_of(&db);
        assert!(expected.values().all(|s| s.samples.iter().map(|(t, _)| *t).eq(1..6)));
        drop(db);
        let db = open(env, options(0));
        assert_eq!(content_of(&db), expected, "after a restart");
        assert_eq!(dump(env, &db).len(), SERIES);
    });
}

#[test]
fn a_series_that_changes_too_often_in_one_batch_is_refused_by_name_and_no_other_is() {
    SimWorld::new(4).run(|env| {
        let db = open(env, options(0));
        let mut batch = db.appender();
        let one = histogram(1);
        let mut taken = Vec::new();
        for t in 0..3000 {
            let value = if t % 2 == 0 { Value::Float(1.0) } else { Value::Histogram(&one) };
            match put(&mut *batch, &series(0), t, value) {
                Ok(()) => taken.push(t),
                Err(e) => {
                    let said = e.to_string();
                    assert!(t % 2 == 1 && said.contains("max-batch-turns (tsdb)"), "at {t}: {said}");
                }
            }
        }
        change_kind(&mut *batch);
        let done = batch.commit().unwrap();
        // Two samples of each of 1024 turns but the first, which has no histogram, and then floats alone.
        let floats = (2048..3000).step_by(2);
        assert_eq!(taken, (0..2047).chain(floats).collect::<Vec<_>>());
        assert_eq!((done.samples, done.overtaken), (taken.len() + 2, 0));
        let expected = content_of(&db);
        let times = expected.values().map(|s| s.samples.iter().map(|(t, _)| *t).collect::<Vec<_>>());
        assert!(times.eq([taken, vec![1, 2]]));
        drop(db);
        assert_eq!(content_of(&open(env, options(0))), expected, "after a restart");
    });
}
