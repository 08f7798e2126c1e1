//! The samples that version 3 can read and version 2 cannot: native histograms of whole numbers, gauges,
//! custom buckets, with floats and markers among them; names of any letters; info metrics; and odd classic
//! buckets.

use super::{SAMPLES, append, floats, phase, time};
use skopos_base::rng::Rng;
use skopos_model::{
    CounterResetHint, FloatHistogram, Histogram, Layout, Span, histogram::CUSTOM_SCHEMA, stale_nan,
};
use skopos_storage::Value;
use skopos_testkit::expressions::chance;
use skopos_tsdb::Db;

/// The resolutions that there are.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=8;

/// Writes all of them.
pub(super) fn append_recent(rng: &Rng, db: &Db) {
    for i in ["1", "2", "3"] {
        for j in ["x", "y"] {
            let labels = |metric: &'static str| [("__name__", metric), ("i", i), ("j", j)];
            series(db, &labels("hi"), &whole(rng, i));
            series(db, &labels("hg"), &gauges(rng));
            series(db, &labels("hc"), &custom(rng, j));
            series(db, &labels("mx"), &mixed(rng, i));
            floats(rng, db, &[("__name__", "größe.m"), ("i", i), ("j", j), ("la.bel", i)], "a");
        }
    }
    SCHEMAS.for_each(|schema| bounds(db, schema));
    info(rng, db);
    classic(rng, db);
}

/// A sample that owns what it has.
enum Sample {
    Float(f64),
    Whole(Histogram),
    Counts(FloatHistogram),
}

impl Sample {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Float(v) => Value::Float(*v),
            Self::Whole(h) => Value::Histogram(h),
            Self::Counts(h) => Value::FloatHistogram(h),
        }
    }
}

fn series(db: &Db, labels: &[(&str, &str)], samples: &[(i64, Sample)]) {
    let all: Vec<_> = samples.iter().map(|(t, sample)| (*t, sample.value())).collect();
    append(db, labels, &all);
}

fn layout(schema: i32) -> Layout {
    let positive_spans = vec![Span { offset: -1, length: 2 }, Span { offset: 1, length: 2 }];
    let negative_spans = vec![Span { offset: 0, length: 1 }];
    Layout { schema, zero_threshold: 0.001, positive_spans, negative_spans, ..Layout::default() }
}

fn custom_layout() -> Layout {
    let positive_spans = vec![Span { offset: 0, length: 4 }];
    Layout { schema: CUSTOM_SCHEMA, positive_spans, custom_bounds: vec![0.5, 1.0, 2.5], ..Layout::default() }
}

/// Counts that grow, and begin anew now and then; never near zero, where version 3.5 extrapolates histograms
/// beyond it.
struct Counter<'a> {
    rng: &'a Rng,
    positive: [u64; 4],
    negative: u64,
    zero: u64,
    sum: f64,
}

impl<'a> Counter<'a> {
    fn new(rng: &'a Rng) -> Self {
        Self { rng, positive: [1_000_000; 4], negative: 1_000_000, zero: 1_000_000, sum: 1e6 }
    }

    fn go_on(&mut self) {
        if chance(self.rng, 1) {
            let less = |count: &mut u64| *count -= 500_000.min(*count / 2);
            self.positive.iter_mut().chain([&mut self.negative, &mut self.zero]).for_each(less);
            self.sum /= 2.0;
        }
        self.positive[self.rng.below(4) as usize] += self.rng.below(9);
        self.negative += self.rng.below(2);
        self.zero += self.rng.below(2);
        self.sum += self.rng.below(30) as f64 / 4.0;
    }

    /// What was counted, in whole numbers.
    fn whole(&self, layout: &Layout) -> Histogram {
        let negative = !layout.negative_spans.is_empty();
        let (negative_deltas, zero_count) =
            if negative { (vec![self.negative as i64], self.zero) } else { (Vec::new(), 0) };
        let mut before = 0;
        let delta = |count: &u64| {
            let delta = *count as i64 - before;
            before = *count as i64;
            delta
        };
        Histogram {
            layout: layout.clone(),
            count: self.positive.iter().sum::<u64>() + zero_count + if negative { self.negative } else { 0 },
            sum: self.sum,
            zero_count,
            positive_deltas: self.positive.iter().map(delta).collect(),
            negative_deltas,
        }
    }
}

/// Whole numbers, whose resolution changes in one series; with gaps and markers.
fn whole(rng: &Rng, i: &str) -> Vec<(i64, Sample)> {
    let (phase, mut counter, mut samples) = (phase(rng), Counter::new(rng), Vec::new());
    for k in (0..SAMPLES).filter(|_| !chance(rng, 3)) {
        counter.go_on();
        let schema = match i {
            "1" => 0,
            "2" => 2,
            _ if k < SAMPLES / 4 => 3,
            _ => 1,
        };
        let h = if chance(rng, 1) { Histogram::stale() } else { counter.whole(&layout(schema)) };
        samples.push((time(k, phase), Sample::Whole(h)));
    }
    samples
}

/// Counts of what is there now.
fn gauges(rng: &Rng) -> Vec<(i64, Sample)> {
    let phase = phase(rng);
    let layout = Layout { counter_reset_hint: CounterResetHint::Gauge, ..layout(1) };
    let one = |k: i64| {
        let mut now = Counter::new(rng);
        now.positive.iter_mut().for_each(|count| *count += rng.below(50));
        now.sum += rng.below(100) as f64 / 4.0;
        (time(k, phase), Sample::Counts(now.whole(&layout).to_float()))
    };
    (0..SAMPLES).map(one).collect()
}

/// Custom buckets, counted in whole numbers or in floats.
fn custom(rng: &Rng, j: &str) -> Vec<(i64, Sample)> {
    let (phase, mut counter) = (phase(rng), Counter::new(rng));
    let mut one = |k: i64| {
        counter.go_on();
        let h = counter.whole(&custom_layout());
        (time(k, phase), if j == "x" { Sample::Whole(h) } else { Sample::Counts(h.to_float()) })
    };
    (0..SAMPLES).map(&mut one).collect()
}

/// Floats and histograms by turns, each for some time; one is of floats alone.
fn mixed(rng: &Rng, i: &str) -> Vec<(i64, Sample)> {
    let (phase, mut counter, mut floats) = (phase(rng), Counter::new(rng), true);
    let mut one = |k: i64| {
        floats = if i != "3" && chance(rng, 4) { !floats } else { floats };
        counter.go_on();
        let sample = match (floats, rng.below(100)) {
            (true, 0) => Sample::Float(stale_nan()),
            (true, _) => Sample::Float(counter.sum),
            (false, 0) => Sample::Counts(FloatHistogram::stale()),
            (false, _) => Sample::Counts(counter.whole(&layout(0)).to_float()),
        };
        (time(k, phase), sample)
    };
    (0..SAMPLES).map(&mut one).collect()
}

/// Histograms that have every bucket between some powers of two, and those at both ends of all floats.
fn bounds(db: &Db, schema: i32) {
    let per_power = if schema > 0 { 1 << schema } else { 1 };
    let ends = if schema > 0 { 1 << schema } else { 0 };
    let index = |power: i32| if schema > 0 { power * per_power } else { power >> -schema };
    let (lowest, highest) = (index(-1022), index(1024));
    let spans: [(i32, u32); 4] = [
        (lowest, 2),
        (index(-300), per_power as u32 + 1),
        (index(0), 2 * per_power as u32 + 1),
        (highest - ends.min(3), ends.min(3) as u32 + 1),
    ];
    let (mut behind, mut positive_spans) = (None, Vec::new());
    for (from, length) in spans {
        // With few buckets for each power the next ones may have begun already.
        let from = behind.map_or(from, |behind| from.max(behind));
        positive_spans.push(Span { offset: from - behind.unwrap_or(0), length });
        behind = Some(from + length as i32);
    }
    let length: u32 = positive_spans.iter().map(|span| span.length).sum();
    let layout = Layout {
        schema,
        negative_spans: positive_spans.clone(),
        positive_spans,
        zero_threshold: f64::from_bits(1),
        ..Layout::default()
    };
    let samples: Vec<_> = (0..SAMPLES / 10)
        .map(|k| {
            let count = (k + 1) as f64;
            let h = FloatHistogram {
                layout: layout.clone(),
                count: 2.0 * count * f64::from(length),
                sum: count,
                positive_buckets: vec![count; length as usize],
                negative_buckets: vec![count; length as usize],
                ..FloatHistogram::default()
            };
            (time(k * 10, 137), Sample::Counts(h))
        })
        .collect();
    series(db, &[("__name__", "bounds"), ("schema", &schema.to_string())], &samples);
}

/// Requests to three targets, and two info metrics about them, all of them there all the time: where one
/// ends, version 3.5 takes the labels of one for those of another.
fn info(rng: &Rng, db: &Db) {
    for instance in ["p1", "p2", "p3"] {
        let target = [("instance", instance), ("job", "app")];
        for code in ["200", "500"] {
            let labels = [("__name__", "req_total"), ("code", code), target[0], target[1]];
            floats(rng, db, &labels, "c_total");
        }
        let ones: Vec<_> = (0..SAMPLES).map(|k| (time(k, 137), Value::Float(1.0))).collect();
        let add = |name: &str, version: &str, more: (&str, &str)| {
            let labels = [("__name__", name), ("version", version), more, target[0], target[1]];
            append(db, &labels, &ones);
        };
        add("target_info", if instance == "p2" { "2" } else { "1" }, ("k8s.pod", instance));
        add("build_info", "b", ("go", "1.2"));
    }
}

/// Classic buckets that do not grow with their bounds, and some whose bounds are none.
fn classic(rng: &Rng, db: &Db) {
    for (le, scale) in [("0.1", 5.0), ("0.5", 3.0), ("1", 7.0), ("5", 6.0), ("+Inf", 9.0), ("x", 4.0)] {
        let samples: Vec<_> = (0..SAMPLES)
            .map(|k| (time(k, 137), Value::Float(k as f64 * scale + rng.below(3) as f64)))
            .collect();
        append(db, &[("__name__", "worse_bucket"), ("i", "1"), ("le", le)], &samples);
    }
}
