//! A tail of the log: what was committed is told once and in its order, over small reads, restarts from any
//! place that a tail came to, new segments and a log that is made shorter.

use crate::common::{DIR, commit, labels, open, series};
use skopos_base::{
    Env,
    rng::Rng,
    sim::{
        SimWorld,
        crash::{CrashMode, CrashTest},
        effort,
    },
};
use skopos_model::{
    DurationMs, Exemplar, Histogram, Labels, Metadata, MetricType, TimestampMs,
    histogram::{Layout, Span},
};
use skopos_storage::{Append, Appendable, SeriesId, Value};
use skopos_tsdb::{
    Db, Options,
    tail::{Logged, Reached, WalTail},
};
use std::{collections::BTreeMap, path::Path, time::Duration};

fn options() -> Options {
    Options {
        segment_bytes: 64 << 10,
        out_of_order_window: DurationMs::from_secs(24 * 3600),
        ..Options::default()
    }
}

/// What a tail told, and what it knows of names.
#[derive(Default)]
struct Heard {
    names: BTreeMap<u64, Labels>,
    /// Series, time, value as text.
    all: Vec<(String, i64, String)>,
    missing: usize,
}

impl Heard {
    fn tail(&mut self, db: &Db, from: Option<skopos_tsdb::snapshot::Position>) -> WalTail {
        let mut tail = db.wal_tail(from).expect("all is sound");
        self.names.clear();
        tail.names(&mut |number, labels| drop(self.names.insert(number, labels))).expect("all is sound");
        tail
    }

    fn read(&mut self, tail: &mut WalTail, max_bytes: u64) -> Reached {
        tail.read(max_bytes, &mut |logged| {
            let name = |number: &u64| self.names.get(number).expect("it was named before").to_string();
            let row = match logged {
                Logged::Series { number, labels } => return drop(self.names.insert(number, labels)),
                Logged::Missing => return self.missing += 1,
                Logged::Float { at, value } => {
                    (name(&at.number), at.timestamp.as_ms(), format!("{value}{}", shown(at.start)))
                }
                Logged::Histogram { at, value } => {
                    (name(&at.number), at.timestamp.as_ms(), format!("h{}{}", value.count, shown(at.start)))
                }
                Logged::FloatHistogram { at, value } => {
                    (name(&at.number), at.timestamp.as_ms(), format!("f{}", value.count))
                }
                Logged::Metadata { number, metadata } => (name(&number), 0, format!("is {}", metadata.help)),
                Logged::Exemplar { number, exemplar } => {
                    let at = exemplar.timestamp.expect("the log has its time").as_ms();
                    (name(&number), at, format!("e{}{}", exemplar.value, exemplar.labels))
                }
            };
            self.all.push(row);
        })
        .expect("all is sound")
    }

    fn read_all(&mut self, tail: &mut WalTail, max_bytes: u64) {
        while self.read(tail, max_bytes) == Reached::More {}
    }
}

fn shown(start: Option<TimestampMs>) -> String {
    start.map(|start| format!(" since {}", start.as_ms())).unwrap_or_default()
}

fn histogram(count: u64) -> Histogram {
    let span = Span { offset: 0, length: 1 };
    let layout = Layout { schema: 1, positive_spans: vec![span], ..Layout::default() };
    Histogram {
        layout,
        count,
        sum: 1.0,
        zero_count: 0,
        positive_deltas: vec![count as i64],
        ..Histogram::default()
    }
}

#[test]
fn every_kind_of_sample_is_told_with_its_series_in_the_order_of_commits() {
    SimWorld::new(1).run(|env| {
        let db = open(env, options());
        commit(&db, &[(series(1), 1000, 0.5)]).expect("all is sound");
        let mut heard = Heard::default();
        let mut tail = heard.tail(&db, None);
        heard.read_all(&mut tail, 1);
        assert_eq!(heard.all, [], "it begins where the log ends");
        let (whole, float) = (histogram(3), histogram(4).to_float());
        let exemplar = Exemplar { labels: labels(&[("t", "x")]), value: 7.0, timestamp: None };
        let mut appender = db.appender();
        let (one, two) = (series(1), series(2));
        let add = |labels, at, value| {
            let float = Append::float(SeriesId::Labels(labels), TimestampMs::new(at), 0.0);
            Append { value, ..float }
        };
        appender.append(&add(&one, 2000, Value::Float(2.5))).expect("all is sound");
        let is = Metadata { metric_type: MetricType::Counter, help: "Ms.".to_owned(), unit: String::new() };
        let with = Append {
            metadata: Some(&is),
            exemplars: &[exemplar],
            ..add(&two, 2000, Value::Histogram(&whole))
        };
        appender.append(&with).expect("all is sound");
        appender.append(&add(&two, 3000, Value::FloatHistogram(&float))).expect("all is sound");
        appender.commit().expect("all is sound");
        commit(&db, &[(series(1), 1500, -1.0)]).expect("all is sound");
        heard.read_all(&mut tail, 1);
        let mut all: Vec<String> = heard.all.iter().map(|(s, at, v)| format!("{s} @{at} {v}")).collect();
        let late = all.pop().expect("all is sound");
        all.sort();
        assert_eq!(late, "m{i=\"1\"} @1500 -1", "{all:?}");
        let expected = [
            "m{i=\"1\"} @2000 2.5",
            "m{i=\"2\"} @0 is Ms.",
            "m{i=\"2\"} @2000 e7{t=\"x\"}",
            "m{i=\"2\"} @2000 h3",
            "m{i=\"2\"} @3000 f4",
        ];
        assert_eq!(all, expected);
        assert_eq!(heard.missing, 0);
    });
}

/// A life of commits, small reads, restarts and maintenance; what a restart loses of what was told is told
/// again from the place that was kept.
fn random_life(env: &Env, rng: &Rng) {
    let mut db = open(env, options());
    let (mut heard, mut expected) = (Heard::default(), Vec::new());
    let mut tail = heard.tail(&db, None);
    let mut kept = (tail.place(), 0);
    // Since then the log was made shorter: who is still reading goes on, who would begin there does not.
    let mut is_shorter = false;
    let mut at = 0;
    for step in 0..60 {
        for _ in 0..rng.below(3) {
            // Some batches are longer than what is left of a segment.
            let many = if rng.below(8) == 0 { 2300 } else { 1 + rng.below(300) as usize };
            at += 1 + rng.below(20 * 60_000) as i64;
            let of = |i: usize| (series(i + 50 * (step % 3)), at, (step * 10_000 + i) as f64);
            let batch: Vec<_> = (0..many).map(of).collect();
            commit(&db, &batch).expect("all is sound");
            expected.extend(batch.iter().map(|(s, t, v)| (s.to_string(), *t, v.to_string())));
        }
        match rng.below(6) {
            0 if !is_shorter => {
                drop(tail);
                drop(db);
                db = open(env, options());
                heard.all.truncate(kept.1);
                tail = heard.tail(&db, Some(kept.0));
            }
            1 => {
                db.maintain().expect("all is sound");
                is_shorter = true;
            }
            2 => heard.read_all(&mut tail, 1 << 20),
            _ => drop(heard.read(&mut tail, 1 << rng.below(18))),
        }
        if rng.below(2) == 0 {
            heard.read_all(&mut tail, 1 << 16);
            kept = (tail.place(), heard.all.len());
            is_shorter = false;
        }
        let live: Vec<u64> = heard.names.keys().copied().collect();
        let mut needed = std::collections::BTreeSet::new();
        if tail.checkpoint(&mut |number| needed.extend([number])).expect("all is sound").is_some() {
            assert!(needed.iter().all(|number| live.contains(number)), "what is needed was named");
        }
    }
    heard.read_all(&mut tail, u64::MAX);
    assert_eq!(heard.missing, 0);
    assert_eq!(heard.all.len(), expected.len());
    assert!(heard.all == expected, "in the order of commits");
}

#[test]
fn nothing_is_lost_or_told_twice_over_restarts_and_a_log_that_is_made_shorter() {
    for seed in 0..8 {
        let seed = effort::seed(seed);
        SimWorld::new(seed).run(|env| random_life(env, &Rng::from_seed(seed)));
    }
}

#[test]
fn a_place_behind_the_log_or_before_it_is_said_and_left() {
    SimWorld::new(1).run(|env| {
        let db = open(env, options());
        commit(&db, &[(series(1), 1000, 1.0)]).expect("all is sound");
        let mut heard = Heard::default();
        let far = skopos_tsdb::snapshot::Position { segment: 900, offset: 5 };
        let mut tail = heard.tail(&db, Some(far));
        commit(&db, &[(series(1), 2000, 2.0)]).expect("all is sound");
        heard.read_all(&mut tail, 1 << 20);
        assert_eq!((heard.all.len(), heard.missing), (1, 1));
    });
}

mod crash {
    use super::*;

    /// What a loss of power leaves is told from the start on as it is read back: whole batches, in order.
    #[test]
    fn what_a_crash_leaves_is_told_whole() {
        let write = |env: &Env, done: &mut usize| -> Result<(), String> {
            let db = Db::open(Path::new(DIR), options(), env).map_err(|e| e.to_string())?;
            for b in 0..6_usize {
                let batch: Vec<_> = (0..40).map(|i| (series(i), 1000 * (b as i64 + 1), b as f64)).collect();
                commit(&db, &batch).map_err(|e| e.to_string())?;
                db.sync().map_err(|e| e.to_string())?;
                *done = b + 1;
            }
            Ok(())
        };
        CrashTest::new(CrashMode::PowerLoss)
            .seed(7)
            .states_per_point(2)
            .time_limit(Duration::from_secs(20))
            .run(write, |env, done| {
                let Ok(db) = Db::open(Path::new(DIR), options(), env) else { panic!("it opens") };
                let mut heard = Heard::default();
                let from = skopos_tsdb::snapshot::Position { segment: 0, offset: 0 };
                let mut tail = heard.tail(&db, Some(from));
                heard.read_all(&mut tail, 1 << 20);
                assert_eq!(heard.all.len() % 40, 0, "batches are whole");
                assert!(heard.all.len() >= 40 * *done, "what was synchronised is there");
                let mut told: Vec<_> = heard.all.iter().map(|(_, at, _)| *at).collect();
                told.dedup();
                assert!(told.is_sorted_by(|a, b| a < b), "{told:?}");
            });
    }
}
