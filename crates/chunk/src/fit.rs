//! Whether a histogram goes into a chunk: as it is, after the chunk is written anew with more buckets, or
//! only into another chunk. Decides as Prometheus does; never writes.

use skopos_model::histogram::{CounterResetHint, Layout, Span, bucket_indexes, push_bucket};

/// How a histogram fits into a chunk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fit {
    /// All its buckets are among the chunk's.
    AsIs,
    /// It has buckets that the chunk has not: the chunk gets these spans.
    Wider { positive: Vec<Span>, negative: Vec<Span> },
    /// It begins another chunk, with that in its header.
    Another(CounterResetHint),
}

/// What is known of chunk and histogram besides their buckets.
pub(crate) struct Facts<'a> {
    /// The chunk's layout; its hint is the chunk's header.
    pub(crate) chunk: &'a Layout,
    pub(crate) chunk_stale: bool,
    pub(crate) next: &'a Layout,
    pub(crate) next_stale: bool,
    pub(crate) count_fell: bool,
    pub(crate) zero_count_fell: bool,
    /// The header of a counter's chunk behind a gauge's chunk.
    pub(crate) behind_gauge: CounterResetHint,
}

/// The counts of one side of chunk and histogram, absolute.
pub(crate) struct Counts<A, B> {
    pub(crate) chunk: A,
    pub(crate) next: B,
}

/// Decides; looks at the counts only where the layouts leave it open.
pub(crate) fn fit<C, A, B>(facts: &Facts<'_>, positive: Counts<A, B>, negative: Counts<A, B>) -> Fit
where
    C: PartialOrd + Default,
    A: Iterator<Item = C>,
    B: Iterator<Item = C>,
{
    let (chunk, next) = (facts.chunk, facts.next);
    let gauge = next.counter_reset_hint == CounterResetHint::Gauge;
    if let Some(fit) = if gauge { gauge_by_facts(facts) } else { counter_by_facts(facts) } {
        return fit;
    }
    let sides = (
        compare(&chunk.positive_spans, &next.positive_spans, positive, next.counter_reset_hint),
        compare(&chunk.negative_spans, &next.negative_spans, negative, next.counter_reset_hint),
    );
    let (Some(positive), Some(negative)) = sides else {
        return Fit::Another(CounterResetHint::Reset);
    };
    if !positive.new && !negative.new {
        return Fit::AsIs;
    }
    // As Prometheus writes them: a gauge's spans are joined on both sides as soon as buckets are missing on
    // one.
    let missing =
        [positive.missing || gauge && negative.missing, negative.missing || gauge && positive.missing];
    let spans = |missing, side: Side, given: &[Span]| match missing {
        true if side.all.is_empty() => joined(given),
        true => side.all,
        false => given.to_vec(),
    };
    Fit::Wider {
        positive: spans(missing[0], positive, &next.positive_spans),
        negative: spans(missing[1], negative, &next.negative_spans),
    }
}

fn counter_by_facts(facts: &Facts<'_>) -> Option<Fit> {
    use CounterResetHint::{Gauge, Reset, Unknown};
    let (chunk, next) = (facts.chunk, facts.next);
    if chunk.counter_reset_hint == Gauge {
        return Some(Fit::Another(facts.behind_gauge));
    }
    if next.counter_reset_hint == Reset {
        return Some(Fit::Another(Reset));
    }
    if facts.next_stale {
        return Some(Fit::AsIs);
    }
    // Behind a staleness marker only more of them fit.
    if facts.chunk_stale {
        return Some(Fit::Another(Unknown));
    }
    if facts.count_fell {
        return Some(Fit::Another(Reset));
    }
    if !same_kind(chunk, next) {
        return Some(Fit::Another(Unknown));
    }
    (!same_bounds(chunk, next) || facts.zero_count_fell).then_some(Fit::Another(Reset))
}

fn gauge_by_facts(facts: &Facts<'_>) -> Option<Fit> {
    let (chunk, next) = (facts.chunk, facts.next);
    if chunk.counter_reset_hint == CounterResetHint::Gauge {
        if facts.next_stale {
            return Some(Fit::AsIs);
        }
        if !facts.chunk_stale && same_kind(chunk, next) && same_bounds(chunk, next) {
            return None;
        }
    }
    Some(Fit::Another(CounterResetHint::Gauge))
}

fn same_kind(a: &Layout, b: &Layout) -> bool {
    a.schema == b.schema && a.zero_threshold == b.zero_threshold
}

fn same_bounds(a: &Layout, b: &Layout) -> bool {
    !a.has_custom_bounds() || a.custom_bounds == b.custom_bounds
}

/// How one side of a histogram differs from the chunk's.
struct Side {
    /// It has buckets that the chunk has not.
    new: bool,
    /// The chunk has buckets that it has not.
    missing: bool,
    /// The buckets of both; only filled where they differ.
    all: Vec<Span>,
}

/// Compares one side; none when it says that a counter started anew: a bucket's count fell, or a bucket
/// that was not empty is gone.
fn compare<C, A, B>(
    chunk: &[Span],
    next: &[Span],
    counts: Counts<A, B>,
    hint: CounterResetHint,
) -> Option<Side>
where
    C: PartialOrd + Default,
    A: Iterator<Item = C>,
    B: Iterator<Item = C>,
{
    let gauge = hint == CounterResetHint::Gauge;
    let mut side = Side { new: false, missing: false, all: Vec::new() };
    if chunk == next {
        let mut pairs = counts.chunk.zip(counts.next);
        let reset = !gauge && pairs.any(|(before, now)| before > now);
        return (!reset).then_some(side);
    }
    let (mut before, mut now) =
        (bucket_indexes(chunk).zip(counts.chunk), bucket_indexes(next).zip(counts.next));
    let (mut a, mut b, mut end) = (before.next(), now.next(), 0);
    loop {
        let index = match (&a, &b) {
            (None, None) => return Some(side),
            (Some((i, was)), Some((j, is))) if i == j => {
                if !gauge && was > is {
                    return None;
                }
                let index = *i;
                (a, b) = (before.next(), now.next());
                index
            }
            (Some((i, was)), other) if other.as_ref().is_none_or(|(j, _)| i < j) => {
                if !gauge && *was != C::default() {
                    return None;
                }
                let index = *i;
                side.missing = true;
                a = before.next();
                index
            }
            (_, Some((j, _))) => {
                let index = *j;
                side.new = true;
                b = now.next();
                index
            }
            (Some(_), None) => return Some(side),
        };
        end = push_bucket(&mut side.all, end, index);
    }
}

/// The same buckets in spans that leave no seam.
fn joined(spans: &[Span]) -> Vec<Span> {
    let (mut all, mut end) = (Vec::new(), 0);
    for index in bucket_indexes(spans) {
        end = push_bucket(&mut all, end, index);
    }
    all
}

/// Where each bucket of `from` stands among those of `to`, which has them all.
pub(crate) fn positions(from: &[Span], to: &[Span]) -> Vec<usize> {
    let mut places = bucket_indexes(to).enumerate();
    bucket_indexes(from).filter_map(|index| places.find(|(_, i)| *i == index).map(|(at, _)| at)).collect()
}

/// Puts each value at its position; 0 stands between them.
pub(crate) fn spread<C: Default + Clone>(
    values: impl Iterator<Item = C>,
    positions: &[usize],
    len: usize,
) -> Vec<C> {
    let mut out = vec![C::default(); len];
    for (value, at) in values.zip(positions) {
        out[*at] = value;
    }
    out
}
