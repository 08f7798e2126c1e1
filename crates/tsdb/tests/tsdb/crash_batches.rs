//! Crashes around batches of everything: floats, native histograms of both kinds, exemplars, metadata, and
//! new series. A batch is there with all of it or with nothing, whatever the disk lost.

use crate::{
    common::{DIR, budget, labels, matcher, open, series},
    content::content_of,
};
use skopos_base::{
    Env,
    sim::crash::{CrashMode, CrashTest, Enumerated},
};
use skopos_model::{
    Exemplar, Histogram, Labels, Metadata, MetricType, TimestampMs,
    histogram::{Layout, Span},
};
use skopos_storage::{Append, Appendable, CommitError, SeriesId, TimeRange, Value};
use skopos_tsdb::{Db, Options};
use std::{path::Path, time::Duration};

/// Samples, exemplars and metadata of every batch that are its own.
const PARTS: usize = 6 + 3 + 1;

fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        wal_compression: skopos_tsdb::WalCompression::None,
        max_exemplars: 1000,
        ..Options::default()
    }
}

fn time(b: usize) -> i64 {
    1000 * (b as i64 + 1)
}

fn histogram(b: usize) -> Histogram {
    Histogram {
        layout: Layout {
            schema: 1,
            zero_threshold: 0.001,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            ..Layout::default()
        },
        count: 3 * (b as u64 + 1),
        sum: b as f64,
        zero_count: 0,
        positive_deltas: vec![b as i64 + 1, b as i64 + 1],
        negative_deltas: Vec::new(),
    }
}

fn own(b: usize) -> Labels {
    labels(&[("__name__", &format!("own_{b}")), ("kind", "new")])
}

fn kind(kind: &str) -> Labels {
    labels(&[("__name__", "m"), ("kind", kind)])
}

/// What is said of a metric: longer than a page where `size` is.
fn help(b: usize, size: usize) -> Metadata {
    let help = format!("{b:0>width$}", width = size + 1);
    Metadata { metric_type: MetricType::Gauge, help, unit: "s".to_owned() }
}

/// Commits batch `b`: parts of all kinds, which stand in several records of the log.
fn write(db: &Db, b: usize, size: usize) -> Result<(), CommitError> {
    let (t, whole, floats) = (TimestampMs::new(time(b)), histogram(b), histogram(b).to_float());
    let (own, metadata) = (own(b), help(b, size));
    let exemplar = |trace: &str| Exemplar {
        labels: labels(&[("trace_id", &format!("{trace}{b}"))]),
        value: 1.0,
        timestamp: None,
    };
    let exemplars = [exemplar("x")];
    let mut appender = db.appender();
    let mut add = |labels: &Labels, value: Value<'_>, exemplars: &[Exemplar], metadata: Option<&Metadata>| {
        let sample = Append::float(SeriesId::Labels(labels), t, 0.0);
        appender.append(&Append { value, exemplars, metadata, ..sample }).expect("the sample is sound");
    };
    add(&own, Value::Float(1.0), &exemplars, Some(&metadata));
    add(&series(0), Value::Float(b as f64), &exemplars, Some(&metadata));
    add(&kind("whole"), Value::Histogram(&whole), &exemplars, Some(&metadata));
    add(&kind("floats"), Value::FloatHistogram(&floats), &[], None);
    add(&series(1), Value::Float(b as f64), &[], None);
    // A series of both kinds: what follows stands in later records.
    let both = series(1);
    let later = Append::float(SeriesId::Labels(&both), TimestampMs::new(time(b) + 500), 0.0);
    appender.append(&Append { value: Value::Histogram(&whole), ..later }).expect("the sample is sound");
    appender.commit().map(drop)
}

/// Which batches there are; panics when there is a part of one.
fn batches(env: &Env, db: &Db, sizes: &[usize]) -> Vec<usize> {
    let content = content_of(db);
    let sets = [vec![matcher("__name__", "=~", ".+")]];
    let exemplars = db.select_exemplars(TimeRange::ALL, &sets, &budget(env)).expect("all is sound");
    let mut found = Vec::new();
    for (b, size) in sizes.iter().enumerate() {
        let samples = content
            .values()
            .flat_map(|s| &s.samples)
            .filter(|(t, _)| (time(b)..time(b + 1)).contains(t))
            .count();
        let traces = exemplars.iter().flat_map(|(_, all)| all);
        let traces = traces.filter(|e| e.labels.value("trace_id") == format!("x{b}")).count();
        let own = db.metadata(&format!("own_{b}")).into_iter().filter(|m| *m == help(b, *size)).count();
        match samples + traces + own {
            0 => {}
            PARTS => found.push(b),
            parts => {
                panic!("batch {b} has {parts} parts: {samples} samples, {traces} exemplars, {own} metadata")
            }
        }
    }
    let newest = found.last().map(|b| help(*b, sizes[*b]));
    assert!(db.metadata("m") == newest, "what the newest batch of {found:?} says of a metric of all");
    found
}

/// What a life was promised.
#[derive(Debug, Default)]
struct Promised {
    committed: usize,
    durable: usize,
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn life(env: &Env, promised: &mut Promised, sizes: &[usize]) -> Outcome {
    let db = Db::open(Path::new(DIR), options(), env)?;
    for (b, size) in sizes.iter().enumerate() {
        write(&db, b, *size)?;
        promised.committed = b + 1;
        if b % 3 == 2 {
            env.clock.sleep(Duration::from_millis(150));
            db.sync()?;
            promised.durable = b + 1;
        }
        if b == 4 {
            // The log is shortened; all that it has is still needed.
            db.steps().truncate_wal(TimestampMs::new(0))?;
            promised.durable = b + 1;
        }
    }
    drop(db);
    Ok(())
}

fn enumerate(mode: CrashMode, states: usize, sizes: &[usize]) -> Enumerated {
    CrashTest::new(mode).states_per_point(states).run(
        |env, promised: &mut Promised| life(env, promised, sizes),
        |env, promised| {
            let db = open(env, options());
            let there = batches(env, &db, sizes);
            let sure = if mode == CrashMode::PowerLoss { promised.durable } else { promised.committed };
            assert!(there.starts_with(&(0..sure).collect::<Vec<_>>()), "{there:?} of {promised:?}");
            if mode == CrashMode::ProcessKill {
                assert!(there.iter().copied().eq(0..there.len()), "{there:?}");
            }
            assert!(there.len() <= promised.committed + 1, "{there:?}");
            // What was not there does not come with what is written behind it, nor with a shorter log.
            write(&db, sizes.len(), 10).expect("the disk is sound");
            db.steps().truncate_wal(TimestampMs::new(0)).expect("the disk is sound");
            drop(db);
            let sizes: Vec<usize> = sizes.iter().copied().chain([10]).collect();
            let again = batches(env, &open(env, options()), &sizes);
            assert!(again.iter().copied().eq(there.into_iter().chain([sizes.len() - 1])), "{again:?}");
        },
    )
}

const SMALL: &[usize] = &[10, 0, 300, 5, 40, 0, 10];
/// Batches of several pages that fill segments.
const LARGE: &[usize] = &[9000, 30_000, 100, 15_000, 33_000, 10];

#[test]
fn batches_of_all_kinds_survive_the_process_whole() {
    let done = enumerate(CrashMode::ProcessKill, 5, SMALL);
    assert!(done.states > 40, "{done:?}");
    let done = enumerate(CrashMode::ProcessKill, 3, LARGE);
    assert!(done.states > 30, "{done:?}");
}

#[test]
fn batches_of_all_kinds_survive_the_power_whole() {
    let done = enumerate(CrashMode::PowerLoss, 5, SMALL);
    assert!(done.states > 80, "{done:?}");
    let done = enumerate(CrashMode::PowerLoss, 4, LARGE);
    assert!(done.states > 80, "{done:?}");
}
