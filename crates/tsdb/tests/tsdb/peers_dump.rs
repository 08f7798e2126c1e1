//! promtool as the judge of blocks that the database itself made: cut from the head, from samples out of
//! order, and compacted. What it prints of them is what was written: of floats Debian's promtool, of
//! histograms too that of Prometheus 3.

#![allow(clippy::unwrap_used)]

use crate::{
    common::{budget, commit, dump, labels as labels_like, matcher, range},
    content::append,
};
use serde_json::Value as Json;
use skopos_base::Env;
use skopos_model::{DurationMs, STALE_NAN_BITS};
use skopos_testkit::{
    peers,
    series::{Content, Counts, Histogram, LabelPairs, Reset, Series, Value},
};
use skopos_tsdb::{
    Db, Options,
    block::{BlockDir, BlockMeta},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const HOUR_MS: i64 = 3_600_000;
/// A bound of two-hour blocks.
const START_MS: i64 = 1_700_006_400_000;
/// Between two samples of a series.
const STEP_MS: i64 = 300_000;
/// Custom buckets.
const CUSTOM: i32 = -53;

fn labels(name: &str, kind: &str) -> LabelPairs {
    [("__name__", name), ("kind", kind), ("größe.x", "a \"b\" \\ ü")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect()
}

fn float(n: i64) -> Value {
    let odd = [0.0, -0.0, 0.1 + 0.2, 1e300, 5e-324, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    match n % 16 {
        i @ 0..8 => Value::float(odd[i as usize]),
        8 => Value::Float(STALE_NAN_BITS),
        _ => Value::float(n as f64 * 1e7 / 3.0),
    }
}

/// Sample `n` of a histogram: buckets that come one by one, a reset now and then, a marker now and then.
fn histogram(n: i64, counts: Counts, schema: i32) -> Value {
    let since = n % 50;
    let part = if counts == Counts::Floats { 0.25 } else { 1.0 };
    let side = |first: i32, width: i64| -> BTreeMap<i32, f64> {
        (0..width).map(|i| (first + 2 * i as i32, part * (since + i + 1) as f64)).collect()
    };
    let is_custom = schema == CUSTOM;
    let positive = side(if is_custom { 0 } else { -3 }, if is_custom { 2 } else { 2 + since / 10 });
    let negative = if is_custom { BTreeMap::new() } else { side(1, 2) };
    let zero_count = if is_custom { 0.0 } else { part * since as f64 };
    let mut histogram = Histogram {
        counts,
        schema,
        zero_threshold: if is_custom { 0.0 } else { 0.001 },
        zero_count,
        count: zero_count + positive.values().chain(negative.values()).sum::<f64>(),
        sum_bits: (n as f64 / 8.0).to_bits(),
        reset: Reset::Unknown,
        positive,
        negative,
        custom_bounds: if is_custom { vec![0.5, 1.0, 2.5] } else { Vec::new() },
    };
    if n % 23 == 7 {
        histogram = Histogram {
            sum_bits: STALE_NAN_BITS,
            positive: BTreeMap::new(),
            negative: BTreeMap::new(),
            custom_bounds: Vec::new(),
            count: 0.0,
            zero_count: 0.0,
            ..histogram
        };
    }
    Value::Histogram(histogram)
}

/// Samples of every kind between the times, each series of one kind.
fn content(from_ms: i64, to_ms: i64) -> Content {
    let series = |name: &str, kind: &str, value: &dyn Fn(i64) -> Value| {
        let times = (from_ms..to_ms).step_by(STEP_MS as usize);
        let samples = times.map(|t| (t, value((t - START_MS) / STEP_MS))).collect();
        (labels(name, kind), Series { samples, ..Series::default() })
    };
    Content::from([
        series("plain", "float", &float),
        series("même.größe", "float", &|n| float(n + 3)),
        series("whole", "histogram", &|n| histogram(n, Counts::Whole, 3)),
        series("floats", "float histogram", &|n| histogram(n, Counts::Floats, -1)),
        series("whole_custom", "histogram", &|n| histogram(n, Counts::Whole, CUSTOM)),
        series("floats_custom", "float histogram", &|n| histogram(n, Counts::Floats, CUSTOM)),
    ])
}

fn options(longest_hours: i64) -> Options {
    Options {
        out_of_order_window: DurationMs::from_ms(48 * HOUR_MS),
        max_block_duration: DurationMs::from_ms(longest_hours * HOUR_MS),
        // Nothing is done but what a test asks for.
        maintenance_interval: DurationMs::from_secs(1 << 30),
        ..Options::default()
    }
}

/// Appends an hour at a time, as it would come, or from the latest hour to the first.
fn append_hours(db: &Db, content: &Content, times: (i64, i64), is_backwards: bool) {
    let mut hours: Vec<i64> = (times.0..times.1).step_by(HOUR_MS as usize).collect();
    if is_backwards {
        hours.reverse();
    }
    hours.into_iter().for_each(|from| append(db, content, from..from + HOUR_MS));
}

/// A database in a real directory.
struct Life {
    env: Env,
    temp: tempfile::TempDir,
    db: Db,
}

impl Life {
    fn begin(longest_hours: i64) -> Self {
        let (env, temp) = (Env::real(), tempfile::tempdir().unwrap());
        let db = Db::open(&temp.path().join("data"), options(longest_hours), &env).unwrap();
        Self { env, temp, db }
    }

    /// Closes the database and moves its blocks to where nothing is beside them.
    fn end(self) -> Blocks {
        self.db.close().unwrap();
        let (data, dir) = (self.temp.path().join("data"), self.temp.path().join("blocks"));
        // promtool wants a log to be there.
        self.env.fs.create_dir_all(&dir.join("wal")).unwrap();
        let mut metas = Vec::new();
        for entry in self.env.fs.read_dir(&data).unwrap() {
            if let Some(BlockDir::Whole(_)) = BlockDir::of(&entry.name) {
                self.env.fs.rename(&data.join(&entry.name), &dir.join(&entry.name)).unwrap();
                metas.push(BlockMeta::read(&*self.env.fs, &dir.join(&entry.name)).unwrap());
            }
        }
        metas.sort_by_key(|meta| meta.min_time);
        Blocks { _temp: self.temp, dir, metas }
    }
}

/// Blocks alone in a directory.
struct Blocks {
    _temp: tempfile::TempDir,
    dir: PathBuf,
    metas: Vec<BlockMeta>,
}

/// A sample as promtool prints it: a NaN is a NaN, and of a histogram there are the buckets that count.
#[derive(Clone, Debug, PartialEq)]
enum Printed {
    Float(u64),
    Histogram { count: f64, sum: u64, buckets: Vec<Bucket> },
}

/// The text of the brackets, the bounds, the count.
#[derive(Clone, Debug)]
struct Bucket(String, f64, f64, f64);

impl PartialEq for Bucket {
    /// Bounds are rounded by whoever computes them.
    fn eq(&self, other: &Self) -> bool {
        let near = |a: f64, b: f64| a == b || (a - b).abs() <= 1e-12 * a.abs();
        self.0 == other.0 && near(self.1, other.1) && near(self.2, other.2) && self.3 == other.3
    }
}

type PrintedSamples = BTreeMap<LabelPairs, BTreeMap<i64, Printed>>;

const fn one_nan(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

/// What promtool should print of a histogram.
fn as_printed(h: &Histogram) -> Printed {
    let sum = one_nan(f64::from_bits(h.sum_bits));
    let base = 2f64.powf(2f64.powi(-h.schema));
    let bound = |i: i32| match (h.schema, usize::try_from(i)) {
        (CUSTOM, Ok(i)) => h.custom_bounds.get(i).copied().unwrap_or(f64::INFINITY),
        (CUSTOM, Err(_)) => f64::NEG_INFINITY,
        _ => base.powi(i),
    };
    let negative = h.negative.iter().rev().map(|(i, n)| Bucket("[)".into(), -bound(*i), -bound(i - 1), *n));
    let zero = Bucket("[]".into(), -h.zero_threshold, h.zero_threshold, h.zero_count);
    let brackets = |i: i32| if h.schema == CUSTOM && i == 0 { "[]" } else { "(]" };
    let positive = h.positive.iter().map(|(i, n)| Bucket(brackets(*i).into(), bound(i - 1), bound(*i), *n));
    let buckets = negative.chain([zero]).chain(positive).filter(|bucket| bucket.3 != 0.0).collect();
    Printed::Histogram { count: h.count, sum, buckets }
}

/// What a promtool that knows histograms, or knows none, should print of these.
fn expected(content: &Content, knows_histograms: bool) -> PrintedSamples {
    let mut all = PrintedSamples::new();
    for (labels, series) in content {
        let mut samples: BTreeMap<i64, Printed> = BTreeMap::new();
        for (t, value) in &series.samples {
            match value {
                Value::Float(bits) => {
                    samples.insert(*t, Printed::Float(one_nan(f64::from_bits(*bits))));
                }
                Value::Histogram(h) if knows_histograms => {
                    samples.insert(*t, as_printed(h));
                }
                Value::Histogram(_) => {}
            }
        }
        // It asks a series for floats, then for float histograms, then for whole ones, and throws away what
        // it gets when it is of another kind.
        let passed_over = match labels["kind"].as_str() {
            "float" => 0,
            "float histogram" => 1,
            _ => 2,
        };
        let samples: BTreeMap<_, _> = samples.into_iter().skip(passed_over).collect();
        if !samples.is_empty() {
            all.insert(labels.clone(), samples);
        }
    }
    all
}

/// A quoted text at the start, and what is behind it.
fn quoted(text: &str) -> (String, &str) {
    let mut parts = serde_json::Deserializer::from_str(text).into_iter::<Json>();
    let value = parts.next().expect("a text").expect("a quoted text");
    let rest = &text[parts.byte_offset()..];
    (value.as_str().expect("a text").to_owned(), rest)
}

/// `{a="b", "c.d"="e"} REST`
fn labels_of(line: &str) -> (LabelPairs, &str) {
    let (mut labels, mut rest) = (LabelPairs::new(), &line[1..]);
    loop {
        let name;
        (name, rest) = match rest.strip_prefix('"') {
            Some(_) => quoted(rest),
            None => {
                rest.split_once('=').map(|(name, _)| (name.to_owned(), &rest[name.len()..])).expect("a name")
            }
        };
        let (value, behind) = quoted(&rest[1..]);
        assert!(labels.insert(name, value).is_none(), "{line}");
        match behind.strip_prefix(", ") {
            Some(more) => rest = more,
            None => return (labels, behind.strip_prefix("} ").expect("the labels end")),
        }
    }
}

/// `{count:3, sum:1.5, [-2,-1):1, (1,2]:2}`
fn histogram_of(text: &str) -> Printed {
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|e| panic!("{text}: {e}"));
    let inner = text.strip_prefix("{count:").and_then(|t| t.strip_suffix('}')).expect("a histogram");
    let mut parts = inner.split(", ");
    let count = number(parts.next().expect("a count"));
    let sum = number(parts.next().and_then(|p| p.strip_prefix("sum:")).expect("a sum"));
    let bucket = |part: &str| {
        let (bounds, count) = part.rsplit_once(':').expect("a bucket's count");
        let (lower, upper) = bounds[1..bounds.len() - 1].split_once(',').expect("two bounds");
        let brackets = format!("{}{}", &bounds[..1], &bounds[bounds.len() - 1..]);
        Bucket(brackets, number(lower), number(upper), number(count))
    };
    Printed::Histogram { count, sum: one_nan(sum), buckets: parts.map(bucket).collect() }
}

fn printed_by(program: &Path, dir: &Path) -> PrintedSamples {
    let mut all = PrintedSamples::new();
    for line in peers::promtool_tsdb(program, &[Path::new("dump"), dir]).lines() {
        let (labels, rest) = labels_of(line);
        let (value, time) = rest.rsplit_once(' ').expect("a time");
        let value = match value.parse::<f64>() {
            Ok(value) => Printed::Float(one_nan(value)),
            Err(_) => histogram_of(value),
        };
        let known = all.entry(labels).or_default().insert(time.parse().expect("a time"), value);
        assert_eq!(known, None, "{line}: a second sample of that time");
    }
    all
}

/// That both promtools print what was written, and list and analyse the blocks.
fn judge(blocks: &Blocks, written: &Content) {
    let in_blocks: u64 = blocks.metas.iter().map(|meta| meta.stats.num_samples).sum();
    let samples: usize = written.values().map(|series| series.samples.len()).sum();
    assert_eq!(in_blocks, samples as u64, "samples of the blocks");
    for (program, knows_histograms) in [(Some(peers::promtool()), false), (peers::promtool_3(), true)] {
        let Some(program) = program else { continue };
        let (found, expected) = (printed_by(&program, &blocks.dir), expected(written, knows_histograms));
        for (labels, samples) in &expected {
            let of = found.get(labels).unwrap_or_else(|| panic!("{labels:?} is not printed"));
            for (t, value) in samples {
                assert_eq!(of.get(t), Some(value), "{labels:?} at {t}, by {}", program.display());
            }
            assert_eq!(of.len(), samples.len(), "{labels:?} has samples that nobody wrote");
        }
        assert_eq!(found.len(), expected.len(), "series that nobody wrote");
        let list = peers::promtool_tsdb(&program, &[Path::new("list"), &blocks.dir]);
        let rows: Vec<Vec<&str>> = list.lines().skip(1).map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(rows.len(), blocks.metas.len(), "{list}");
        for meta in &blocks.metas {
            let row = rows.iter().find(|row| row[0] == meta.ulid.to_string());
            let row = row.unwrap_or_else(|| panic!("{} is not in {list}", meta.ulid));
            let [min, max] = [meta.min_time, meta.max_time].map(|t| t.as_ms().to_string());
            assert!(row[1..].contains(&&*min) && row[1..].contains(&&*max), "{list}");
            assert!(row[1..].contains(&&*meta.stats.num_samples.to_string()), "{list}");
        }
        let last = blocks.metas.last().expect("there are blocks");
        let analysis = peers::promtool_tsdb(&program, &[Path::new("analyze"), &blocks.dir]);
        assert!(analysis.contains(&format!("Series: {}", last.stats.num_series)), "{analysis}");
        for label in ["__name__", "kind", "größe.x"] {
            assert!(analysis.contains(label), "{label}: {analysis}");
        }
    }
}

#[test]
fn blocks_cut_from_the_head_are_printed_as_written() {
    let life = Life::begin(18);
    let all = content(START_MS, START_MS + 8 * HOUR_MS);
    append_hours(&life.db, &all, (START_MS, START_MS + 8 * HOUR_MS), false);
    let done = life.db.maintain().unwrap();
    assert!(done.cut >= 2 && done.compacted == 0, "{done:?}");
    let blocks = life.end();
    let end = blocks.metas.last().unwrap().max_time.as_ms();
    assert!(blocks.metas.iter().all(|meta| meta.compaction.level == 1));
    judge(&blocks, &content(START_MS, end));
}

#[test]
fn blocks_of_samples_out_of_order_are_printed_as_written() {
    let life = Life::begin(2);
    // What is in order stays in the head.
    let end = START_MS + 8 * HOUR_MS;
    append(&life.db, &content(end, end + 1), end..end + 1);
    append_hours(&life.db, &content(START_MS, end), (START_MS, end), true);
    let done = life.db.compact_out_of_order().unwrap();
    assert!(done.out_of_order >= 3 && (done.cut, done.compacted) == (0, 0), "{done:?}");
    let blocks = life.end();
    assert!(blocks.metas.iter().all(BlockMeta::is_out_of_order));
    judge(&blocks, &content(START_MS, end));
}

#[test]
fn blocks_compacted_to_higher_levels_are_printed_as_written() {
    let life = Life::begin(18);
    let end = START_MS + 30 * HOUR_MS;
    append_hours(&life.db, &content(START_MS, end), (START_MS, end), false);
    let done = life.db.maintain().unwrap();
    assert!(done.cut > 6 && done.compacted > 2, "{done:?}");
    let blocks = life.end();
    let end = blocks.metas.last().unwrap().max_time.as_ms();
    let highest = blocks.metas.iter().map(|meta| meta.compaction.level).max();
    assert!(highest >= Some(3), "{highest:?}");
    judge(&blocks, &content(START_MS, end));
}

#[test]
fn blocks_that_overlapped_are_printed_as_written_once_they_are_one() {
    let life = Life::begin(18);
    let end = START_MS + 8 * HOUR_MS;
    let all = content(START_MS, end + 4 * HOUR_MS);
    // Two of three samples come late, into times of which there are blocks.
    let is_late = |t: i64| (t / STEP_MS) % 3 != 0 && t < end;
    let part = |late: bool| -> Content {
        let mut part = all.clone();
        part.values_mut().for_each(|series| series.samples.retain(|(t, _)| is_late(*t) == late));
        part
    };
    append_hours(&life.db, &part(false), (START_MS, end + 4 * HOUR_MS), false);
    assert!(life.db.maintain().unwrap().cut >= 3);
    append_hours(&life.db, &part(true), (START_MS, end), true);
    let done = life.db.compact_out_of_order().unwrap();
    assert!(done.out_of_order >= 3 && done.compacted >= 1, "{done:?}");
    let blocks = life.end();
    assert!(blocks.metas.windows(2).all(|pair| pair[0].max_time <= pair[1].min_time), "none overlaps");
    assert!(blocks.metas[0].compaction.level >= 2);
    let end = blocks.metas.last().unwrap().max_time.as_ms();
    judge(&blocks, &content(START_MS, end));
}

/// docs/tools.md says where promtool differs.
#[test]
fn of_late_samples_promtool_prints_deleted_ones_and_of_contradicting_ones_the_late_one() {
    let (env, temp) = (Env::real(), tempfile::tempdir().unwrap());
    let data = temp.path().join("data");
    let db = Db::open(&data, options(2), &env).unwrap();
    let named = |name: &str| labels_like(&[("__name__", name)]);
    let at = |minute: i64, second: i64| START_MS + 60_000 * minute + 1000 * second;
    for minute in 0..10 {
        for name in ["deleted", "contradicted"] {
            commit(&db, &[(named(name), at(minute, 0), 1.0)]).unwrap();
        }
    }
    for minute in 0..5 {
        commit(&db, &[(named("deleted"), at(minute, 30), 2.0)]).unwrap();
        commit(&db, &[(named("contradicted"), at(minute, 0), 2.0)]).unwrap();
    }
    let matchers = [matcher("__name__", "=", "deleted")];
    db.delete_series(&matchers, range(at(1, 0), at(3, 30)), &budget(&env)).unwrap();
    let answered = dump(&env, &db);
    db.close().unwrap();

    let one = 1f64.to_bits();
    assert_eq!(answered[&named("contradicted")], (0..10).map(|m| (at(m, 0), one)).collect::<Vec<_>>());
    for (program, deletes_late_ones) in [(Some(peers::promtool()), false), (peers::promtool_3(), true)] {
        let Some(program) = program else { continue };
        let mut expected = PrintedSamples::new();
        for (labels, samples) in &answered {
            let labels = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let samples = samples.iter().map(|(t, bits)| (*t, Printed::Float(*bits))).collect();
            expected.insert(labels, samples);
        }
        let [contradicted, deleted] = ["contradicted", "deleted"]
            .map(|name| LabelPairs::from([("__name__".to_owned(), name.to_owned())]));
        let two = || Printed::Float(2f64.to_bits());
        for minute in 0..5 {
            expected.get_mut(&contradicted).unwrap().insert(at(minute, 0), two());
        }
        for minute in (1..4).filter(|_| !deletes_late_ones) {
            expected.get_mut(&deleted).unwrap().insert(at(minute, 30), two());
        }
        assert_eq!(printed_by(&program, &data), expected, "{}", program.display());
    }
}
