//! Random lives against an oracle in memory: batches, refusals, rollbacks, old readers, restarts, queries.

use crate::common::{Dump, label_request, matcher, open, range, select};
use skopos_base::{Env, rng::Rng, sim::SimWorld};
use skopos_model::{Labels, Matcher, SeriesRef, TimestampMs, stale_nan};
use skopos_storage::{Append, AppendError, Appendable, Querier, Queryable, SeriesId, TimeRange};
use skopos_tsdb::{Db, Options};
use std::collections::{BTreeMap, BTreeSet};

const HALF_BLOCK_MS: i64 = 3_600_000;

/// What the database should hold.
#[derive(Default)]
struct Oracle {
    samples: Dump,
    newest: Option<i64>,
}

impl Oracle {
    /// What a sample is told that comes after those of `pending`, in a batch that began at `newest`.
    fn judge(
        &self,
        pending: &Dump,
        labels: &Labels,
        t: i64,
        bits: u64,
        newest: Option<i64>,
    ) -> Result<bool, &'static str> {
        if newest.is_some_and(|newest| t < newest - HALF_BLOCK_MS) {
            return Err("out of bounds");
        }
        let last =
            [pending, &self.samples].iter().find_map(|d| d.get(labels).and_then(|s| s.last().copied()));
        match last {
            Some((last, value)) if t == last && value == bits => Ok(false),
            Some((last, _)) if t == last => Err("duplicate"),
            Some((last, _)) if t < last => Err("out of order"),
            _ => Ok(true),
        }
    }

    fn commit(&mut self, pending: Dump) {
        for (labels, samples) in pending {
            self.newest = self.newest.max(samples.last().map(|s| s.0));
            self.samples.entry(labels).or_default().extend(samples);
        }
    }
}

fn kind(e: &AppendError) -> &'static str {
    match e {
        AppendError::OutOfOrder { .. } => "out of order",
        AppendError::Duplicate { .. } => "duplicate",
        AppendError::OutOfBounds { .. } => "out of bounds",
        _ => panic!("not to be expected: {e}"),
    }
}

fn random_labels(rng: &Rng) -> Labels {
    let name = ["a", "b", "c"][rng.below(3) as usize];
    let mut pairs = vec![("__name__", name.to_owned()), ("i", rng.below(8).to_string())];
    if rng.below(2) == 0 {
        pairs.push(("zone", ["x", "y"][rng.below(2) as usize].to_owned()));
    }
    Labels::from_pairs(pairs)
}

fn random_value(rng: &Rng) -> f64 {
    match rng.below(8) {
        0 => stale_nan(),
        1 => f64::from_bits(rng.next_u64()),
        n => n as f64,
    }
}

fn one_batch(rng: &Rng, db: &Db, oracle: &mut Oracle, refs: &mut BTreeMap<Labels, SeriesRef>, now: &mut i64) {
    *now += rng.below(30_000) as i64;
    let newest = oracle.newest;
    let mut pending = Dump::new();
    let mut appender = db.appender();
    for _ in 0..rng.below(25) {
        let labels = random_labels(rng);
        let t = match rng.below(12) {
            0 => *now - rng.below(2 * HALF_BLOCK_MS as u64) as i64,
            1 => *now + 1,
            _ => *now,
        };
        let value = random_value(rng);
        let expected = oracle.judge(&pending, &labels, t, value.to_bits(), newest);
        let known = refs.get(&labels).copied().filter(|_| rng.below(2) == 0);
        let got = match known {
            Some(r) if rng.below(2) == 0 => {
                let mut refused = Vec::new();
                appender.append_floats(TimestampMs::new(t), &[r], &[value], &mut refused);
                refused.pop().map_or(Ok(()), |(_, e)| Err(e))
            }
            Some(r) => {
                appender.append(&Append::float(SeriesId::Ref(r), TimestampMs::new(t), value)).map(|_| ())
            }
            None => appender
                .append(&Append::float(SeriesId::Labels(&labels), TimestampMs::new(t), value))
                .map(|r| {
                    refs.insert(labels.clone(), r);
                }),
        };
        assert_eq!(got.map_err(|e| kind(&e)), expected.map(|_| ()), "{labels} at {t}");
        if expected == Ok(true) {
            pending.entry(labels).or_default().push((t, value.to_bits()));
        }
    }
    if rng.below(5) > 0 {
        let samples: usize = pending.values().map(Vec::len).sum();
        let committed = appender.commit().expect("the disk is sound");
        assert_eq!((committed.samples, committed.overtaken), (samples, 0));
        oracle.commit(pending);
    } else {
        drop(appender);
    }
    // A series without a sample went with its batch, and its reference with it.
    refs.retain(|labels, _| oracle.samples.contains_key(labels));
}

fn random_matchers(rng: &Rng) -> Vec<Matcher> {
    let pool = [
        ("__name__", "=", "a"),
        ("__name__", "!=", "b"),
        ("__name__", "=~", "a|b"),
        ("i", "=~", "[0-4]"),
        ("i", "!~", "1|2|3"),
        ("i", "=~", "[^7]+"),
        ("zone", "=", ""),
        ("zone", "!=", ""),
        ("zone", "=~", "x.*"),
        ("zone", "!=", "x"),
        ("none", "=~", ".*"),
        ("none", "=", "x"),
    ];
    (0..rng.below(4))
        .map(|_| {
            let (name, op, value) = pool[rng.below(pool.len() as u64) as usize];
            matcher(name, op, value)
        })
        .collect()
}

/// The oracle's answer, as `select` gives it.
fn expected(samples: &Dump, matchers: &[Matcher], min: i64, max: i64) -> Dump {
    let cut =
        |s: &Vec<(i64, u64)>| s.iter().copied().filter(|(t, _)| (min..=max).contains(t)).collect::<Vec<_>>();
    samples
        .iter()
        .filter(|(l, _)| matchers.iter().all(|m| m.matches(l.value(m.name()))))
        .map(|(l, s)| (l.clone(), cut(s)))
        .filter(|(_, s)| !s.is_empty())
        .collect()
}

fn one_query(env: &Env, rng: &Rng, querier: &dyn Querier, samples: &Dump, now: i64) {
    let matchers = random_matchers(rng);
    let min = now - rng.below(4_000_000) as i64;
    let max = min + rng.below(4_000_000) as i64;
    let mut got = select(env, querier, &matchers, range(min, max));
    got.retain(|_, s| !s.is_empty());
    assert_eq!(got, expected(samples, &matchers, min, max), "{matchers:?} from {min} to {max}");
    let all = expected(samples, &matchers, i64::MIN, i64::MAX);
    let request = label_request(env, &matchers, 0);
    assert_eq!(querier.series(&request).expect("in budget"), all.keys().cloned().collect::<Vec<_>>());
    let names: BTreeSet<String> = all.keys().flatten().map(|(n, _)| n.to_owned()).collect();
    assert!(querier.label_names(&request).expect("in budget").into_iter().eq(names));
    let zones: BTreeSet<String> = all.keys().filter_map(|l| l.get("zone")).map(str::to_owned).collect();
    assert!(querier.label_values("zone", &request).expect("in budget").into_iter().eq(zones));
}

fn life(env: &Env, seed: u64) {
    let rng = Rng::from_seed(seed);
    let options = || Options { segment_bytes: 64 << 10, ..Options::default() };
    let mut db = open(env, options());
    let mut oracle = Oracle::default();
    let mut refs = BTreeMap::new();
    let mut old_readers: Vec<(Box<dyn Querier>, Dump)> = Vec::new();
    let mut now = 1_000_000_000;
    for _ in 0..250 {
        match rng.below(12) {
            0 if old_readers.len() < 6 => {
                let querier = db.querier(TimeRange::ALL).expect("a head is always there");
                old_readers.push((querier, oracle.samples.clone()));
            }
            1 if !old_readers.is_empty() => {
                let at = rng.below(old_readers.len() as u64) as usize;
                let (querier, samples) = &old_readers[at];
                one_query(env, &rng, &**querier, samples, now);
                if rng.below(2) == 0 {
                    old_readers.swap_remove(at);
                }
            }
            2 => {
                let querier = db.querier(TimeRange::ALL).expect("a head is always there");
                one_query(env, &rng, &*querier, &oracle.samples, now);
            }
            3 if rng.below(4) == 0 => {
                old_readers.clear();
                // With a snapshot of today or without.
                match rng.below(2) {
                    0 => drop(db),
                    _ => db.close().expect("the disk is sound"),
                }
                db = open(env, options());
                // References live as long as the process.
                refs.clear();
            }
            _ => one_batch(&rng, &db, &mut oracle, &mut refs, &mut now),
        }
    }
    for (querier, samples) in &old_readers {
        one_query(env, &rng, &**querier, samples, now);
    }
    one_query(env, &rng, &*db.querier(TimeRange::ALL).expect("it is there"), &oracle.samples, now);
}

#[test]
fn random_lives_agree_with_the_oracle() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (0..60).collect(),
    };
    for seed in seeds {
        // A failing life shows its seed; SEED=n repeats it alone.
        println!("seed {seed}");
        SimWorld::new(seed).run(|env| life(env, seed));
    }
}
