//! A follower beside a simulated database: what is queued is what was committed, each sample once and those
//! of a series in their order, over restarts, crashes and a log that is made shorter.

use super::*;
use crate::{gather::Plan, round::decode};
use skopos_base::{
    Env,
    rng::Rng,
    sim::{
        SimWorld,
        crash::{CrashMode, CrashTest},
        effort,
    },
};
use skopos_model::{Labels, TimestampMs};
use skopos_proto::pushed::{self, Item, Parts, Series, Version};
use skopos_relabel::{RuleConfig, Rules};
use skopos_spool::ReaderId;
use skopos_storage::{Append, Appendable, SeriesId};
use skopos_tsdb::{Db, Options};
use std::{collections::BTreeMap, path::Path};

/// Series as text, time, value.
type Row = (String, i64, String);

fn open_db(env: &Env) -> Arc<Db> {
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    Arc::new(Db::open(Path::new("/data/db"), options, env).unwrap())
}

fn open_queue(env: &Env) -> Arc<Queue> {
    let bounds = skopos_spool::Options::of_bytes(64 << 20);
    let spool = Spool::open(env, Path::new("/data/queue"), bounds, &["server".to_owned()]).unwrap();
    let newest = spool.newest().unwrap();
    let place = newest.and_then(|newest| decode(newest.body, 0, 0).unwrap().place);
    Arc::new(Queue { spool: Arc::new(spool), place: Mutex::new(place) })
}

fn plan() -> Plan {
    Plan {
        external_labels: BTreeMap::new(),
        rules: Rules::default(),
        message: Message::One,
        exemplars: false,
        histograms: false,
        max_samples: 50,
        capacity: 100,
        max_age_ms: None,
    }
}

fn follower(env: &Env, db: &Arc<Db>, queue: &Arc<Queue>, plan: Plan) -> Follower {
    let (log, metadata) = (Arc::clone(db), Arc::clone(db));
    let stats = Arc::<SenderStats>::default();
    Follower {
        source: Source {
            tail: Arc::new(move |from| log.wal_tail(from)),
            metadata: Arc::new(move || metadata.all_metadata()),
        },
        queue: Arc::clone(queue),
        gatherer: Gatherer::new(plan, 3, Arc::clone(&stats)),
        clock: Arc::clone(&env.clock),
        stats,
        wake: Arc::default(),
        metadata: Arc::default(),
        sends_metadata: true,
        max_families: 100,
        deadline: Duration::from_secs(5),
        lanes: 3..=3,
        url: "http://host/".to_owned(),
        state: State::with(Some(db.wal_tail(queue.place().map(Place::position)).unwrap())),
    }
}

fn finish(follower: &mut Follower) {
    while follower.step(true).unwrap() == More::Yes {}
}

fn series(i: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())])
}

fn commit(db: &Db, rows: &[(Labels, i64, f64)]) {
    let mut appender = db.appender();
    for (labels, at, value) in rows {
        let float = Append::float(SeriesId::Labels(labels), TimestampMs::new(*at), *value);
        appender.append(&float).unwrap();
    }
    appender.commit().unwrap();
}

/// All that is queued, lane by lane in the order of sending.
fn queued(queue: &Queue) -> Vec<Row> {
    let mut rows = Vec::new();
    while let Some(record) = queue.spool.peek(ReaderId(0)).unwrap() {
        for part in decode(record.body, 0, 0).unwrap().parts {
            assert!(part.counts.samples <= 50 && part.lane < 3);
            let plain = snap::raw::Decoder::new().decompress_vec(&part.body).unwrap();
            let mut parts = Parts::of(&plain, Version::One);
            while let Some(pushed::Part::Series(bytes)) = parts.next_part().unwrap() {
                let mut one = Series::of(bytes, Version::One).unwrap();
                let mut labels = Vec::new();
                pushed::labels(one.labels(), |name, value| {
                    labels.push((name.to_owned(), value.to_owned()));
                    Ok::<_, skopos_proto::wire::WireError>(())
                })
                .unwrap();
                let Some(Item::Sample(sample)) = one.next_item().unwrap() else { panic!("a sample") };
                let text = Labels::from_pairs(labels).to_string();
                rows.push((text, sample.timestamp_ms, sample.value.to_string()));
            }
        }
        queue.spool.advance(ReaderId(0), record.number).unwrap();
    }
    rows
}

/// Each series' samples in the order in which they came.
fn by_series(rows: impl IntoIterator<Item = Row>) -> BTreeMap<String, Vec<(i64, String)>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for (labels, at, value) in rows {
        all.entry(labels).or_default().push((at, value));
    }
    all
}

fn random_life(env: &Env, rng: &Rng) {
    let (mut db, mut queue) = (open_db(env), open_queue(env));
    let mut follower_now = follower(env, &db, &queue, plan());
    follower_now.step(false).unwrap();
    let (mut expected, mut sent, mut at) = (Vec::new(), Vec::new(), 0);
    for step in 0..50 {
        for _ in 0..rng.below(4) {
            at += 1 + rng.below(15 * 60_000) as i64;
            let many = 1 + rng.below(200) as usize;
            let of = |i: usize| (series(i + 70 * (step % 3)), at, (step * 1000 + i) as f64);
            let rows: Vec<_> = (0..many).map(of).collect();
            commit(&db, &rows);
            expected.extend(rows.iter().map(|(labels, at, v)| (labels.to_string(), *at, v.to_string())));
        }
        match rng.below(8) {
            0 => {
                // A restart without a word: what was not queued is in the log.
                drop((follower_now, queue, db));
                (db, queue) = (open_db(env), open_queue(env));
                follower_now = follower(env, &db, &queue, plan());
            }
            // What is followed is never so far behind that the log forgets it.
            1 => {
                finish(&mut follower_now);
                db.maintain().unwrap();
            }
            2 => sent.extend(queued(&queue)),
            3 => finish(&mut follower_now),
            4 => (0..11).for_each(|_| {
                follower_now.step(false).unwrap();
                env.clock.sleep(Duration::from_secs(1));
            }),
            _ => drop(follower_now.step(false).unwrap()),
        }
    }
    finish(&mut follower_now);
    sent.extend(queued(&queue));
    assert_eq!(follower_now.stats.missing.load(Relaxed), 0);
    assert_eq!(follower_now.stats.unnamed.get().samples, 0);
    let (sent, expected) = (by_series(sent), by_series(expected));
    for (labels, samples) in &expected {
        let there = sent.get(labels).unwrap_or_else(|| panic!("{labels} is missing"));
        assert_eq!(there, samples, "{labels}: each once and in order");
    }
    assert_eq!(sent.len(), expected.len());
}

#[test]
fn what_is_committed_is_queued_once_over_restarts_and_a_log_that_is_made_shorter() {
    for seed in 0..10 {
        let seed = effort::seed(seed);
        SimWorld::new(seed).run(|env| random_life(env, &Rng::from_seed(seed)));
    }
}

#[test]
fn labels_of_the_server_are_added_and_rules_applied_behind_them() {
    SimWorld::new(1).run(|env| {
        let (db, queue) = (open_db(env), open_queue(env));
        let external = [("i", "outer"), ("zone", "z")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let rule = |text: &str| serde_json::from_str::<RuleConfig>(text).unwrap();
        let rules = vec![
            rule(r#"{"source_labels": ["i"], "regex": "2", "action": "drop"}"#),
            rule(r#"{"source_labels": ["zone"], "target_label": "area"}"#),
        ];
        let plan = Plan {
            external_labels: BTreeMap::from(external),
            rules: Rules::new(rules).unwrap(),
            max_age_ms: Some(3_600_000),
            ..plan()
        };
        let mut follower = follower(env, &db, &queue, plan);
        follower.step(false).unwrap();
        let now = env.clock.wall_ms();
        let bare = Labels::from_pairs([("__name__", "bare")]);
        commit(
            &db,
            &[
                (series(1), now - 3_600_001, 0.0),
                (series(1), now, 1.0),
                (series(2), now, 2.0),
                (bare, now, 3.0),
            ],
        );
        finish(&mut follower);
        let mut rows: Vec<String> = queued(&queue).into_iter().map(|(s, _, v)| format!("{s} {v}")).collect();
        rows.sort();
        let expected =
            ["bare{area=\"z\", i=\"outer\", zone=\"z\"} 3", "m{area=\"z\", i=\"1\", zone=\"z\"} 1"];
        assert_eq!(rows, expected);
        let stats = &follower.stats;
        assert_eq!((stats.by_rules.get().samples, stats.too_old.get().samples), (1, 1));
        assert_eq!(stats.came.get().samples, 4);
    });
}

#[test]
fn lanes_follow_what_comes_and_what_it_takes() {
    SimWorld::new(1).run(|env| {
        let (db, queue) = (open_db(env), open_queue(env));
        let mut follower = follower(env, &db, &queue, plan());
        follower.lanes = 1..=20;
        follower.stats.took(Duration::from_millis(10), Some(10));
        follower.step(false).unwrap();
        for (rate, expected) in [(2000.0, 3), (4000.0, 6), (100_000.0, 20), (0.0, 1)] {
            follower.adapt(rate);
            follower.queue_round().unwrap();
            assert_eq!(follower.gatherer.lanes(), expected, "{rate} a second");
        }
    });
}

mod crash {
    use super::*;

    fn life(env: &Env, done: &mut usize) -> Result<(), String> {
        let text = |e: &dyn std::fmt::Display| e.to_string();
        let options = Options { segment_bytes: 64 << 10, ..Options::default() };
        let db = Arc::new(Db::open(Path::new("/data/db"), options, env).map_err(|e| text(&e))?);
        let bounds = skopos_spool::Options::of_bytes(64 << 20);
        let spool = Spool::open(env, Path::new("/data/queue"), bounds, &["server".to_owned()]);
        let spool = Arc::new(spool.map_err(|e| text(&e))?);
        let queue = Arc::new(Queue { spool, place: Mutex::default() });
        let Ok(tail) = db.wal_tail(None) else { return Err("no tail".to_owned()) };
        let mut follower = follower(env, &db, &queue, plan());
        follower.state = State::with(Some(tail));
        follower.step(false).map_err(|e| text(&e))?;
        for b in 0..5_usize {
            let mut appender = db.appender();
            for i in 0..60 {
                let labels = series(i);
                let at = TimestampMs::new(1000 * (b as i64 + 1));
                appender
                    .append(&Append::float(SeriesId::Labels(&labels), at, b as f64))
                    .map_err(|e| text(&e))?;
            }
            appender.commit().map_err(|e| text(&e))?;
            db.sync().map_err(|e| text(&e))?;
            *done = b + 1;
            while follower.step(b % 2 == 1).map_err(|e| text(&e))? == More::Yes {}
        }
        Ok(())
    }

    /// After any crash what is durable in the database is queued, once, and nothing is queued in part.
    fn check(env: &Env, done: usize) {
        let (db, queue) = (open_db(env), open_queue(env));
        let began = queue.place.lock().unwrap().is_some();
        let mut follower = follower(env, &db, &queue, plan());
        finish(&mut follower);
        let rows = by_series(queued(&queue));
        if !began {
            assert_eq!(done, 0, "where it began is durable before anything is stored");
            return;
        }
        for (labels, samples) in &rows {
            assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "{labels}: each once, in order: {samples:?}");
            assert!(samples.len() >= done, "{labels}: {} of {done}", samples.len());
        }
        assert!(rows.len() == 60 || rows.is_empty() && done == 0, "{} series", rows.len());
    }

    #[test]
    fn a_loss_of_power_costs_nothing_that_is_stored_and_doubles_nothing() {
        let test = CrashTest::new(CrashMode::PowerLoss).seed(3).states_per_point(2);
        test.run(life, |env, done| check(env, *done));
    }

    #[test]
    fn nor_does_a_kill() {
        let test = CrashTest::new(CrashMode::ProcessKill).seed(4).states_per_point(2);
        test.run(life, |env, done| check(env, *done));
    }
}
