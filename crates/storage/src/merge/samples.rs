//! `merge_samples`: the samples of one series from several sources in the order of time, each time once.
//! Two columns of floats merge as such. All else works on runs, so that sources that do not overlap cost one
//! copy each and no comparison a sample.

use super::floats::{Run, merge_two};
use skopos_model::{Columns, TimestampMs};
use std::ops::Range;

/// The samples that one source has of a series.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Its place in the order of sources.
    pub(super) source: usize,
    /// Where they stand in the source's columns.
    pub(super) samples: Range<usize>,
}

/// Appends the samples of all `parts`, which stand in the order of their sources, and empties `parts`.
/// Returns how many samples were dropped because an earlier source has one of the same time.
pub(super) fn merge_samples<'a>(
    out: &mut Columns,
    parts: &mut Vec<Part>,
    columns: impl Fn(usize) -> &'a Columns,
) -> usize {
    let mut dropped = 0;
    parts.retain(|p| !p.samples.is_empty());
    if let [a, b] = &parts[..]
        && let Some(first) = floats_of(columns(a.source), a.samples.clone())
        && let Some(second) = floats_of(columns(b.source), b.samples.clone())
    {
        let both = first.timestamps.len() + second.timestamps.len() + out.len();
        merge_two(first, second, &mut out.timestamps, &mut out.values);
        parts.clear();
        return both - out.len();
    }
    while parts.len() > 1 {
        let time = |p: &Part| columns(p.source).timestamps[p.samples.start];
        let mut first = 0;
        for i in 1..parts.len() {
            if time(&parts[i]) < time(&parts[first]) {
                first = i;
            }
        }
        let now = time(&parts[first]);
        // Up to here nobody else has a sample.
        let mut until = TimestampMs::MAX;
        let mut ended = false;
        for (i, part) in parts.iter_mut().enumerate() {
            if i == first {
                continue;
            }
            if time(part) == now {
                part.samples.start += 1;
                dropped += 1;
            }
            if part.samples.is_empty() {
                ended = true;
            } else {
                until = until.min(time(part));
            }
        }
        let part = &mut parts[first];
        let source = columns(part.source);
        let run = 1 + run_before(&source.timestamps[part.samples.start + 1..part.samples.end], until);
        out.extend_from(source, part.samples.start..part.samples.start + run);
        part.samples.start += run;
        if ended || part.samples.is_empty() {
            parts.retain(|p| !p.samples.is_empty());
        }
    }
    if let Some(last) = parts.pop() {
        out.extend_from(columns(last.source), last.samples);
    }
    dropped
}

/// These samples, unless there is a histogram or a start timestamp among them.
fn floats_of(columns: &Columns, samples: Range<usize>) -> Option<Run<'_>> {
    let histograms = &columns.histograms;
    let floats_alone = histograms.is_empty() || histograms.rows_of(samples.clone()).is_empty();
    (floats_alone && columns.starts.of(samples.clone()).is_empty())
        .then(|| Run { timestamps: &columns.timestamps[samples.clone()], values: &columns.values[samples] })
}

/// Appends the samples of all `sources` in the order of time. Of samples at the same time the one of the
/// source given first is kept.
pub fn merge_columns(sources: &[Columns], out: &mut Columns) {
    let whole = |(source, columns): (usize, &Columns)| Part { source, samples: 0..columns.len() };
    let mut parts: Vec<Part> = sources.iter().enumerate().map(whole).collect();
    merge_samples(out, &mut parts, |source| &sources[source]);
}

/// How many of the growing `times` are before `until`. Looks at as many as twice the answer.
fn run_before(times: &[TimestampMs], until: TimestampMs) -> usize {
    let mut known = 0;
    let mut step = 1;
    while known + step <= times.len() && times[known + step - 1] < until {
        known += step;
        step *= 2;
    }
    let rest = &times[known..(known + step).min(times.len())];
    known + rest.partition_point(|t| *t < until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(samples: &[(i64, f64)]) -> Columns {
        let mut out = Columns::default();
        samples.iter().for_each(|s| out.push_float(TimestampMs::new(s.0), s.1));
        out
    }

    fn check(sources: &[&[(i64, f64)]], expected: &[(i64, f64)]) {
        let sources: Vec<Columns> = sources.iter().map(|s| columns(s)).collect();
        let part = |(source, c): (usize, &Columns)| Part { source, samples: 0..c.len() };
        let mut parts: Vec<Part> = sources.iter().enumerate().map(part).collect();
        let mut out = Columns::default();
        let dropped = merge_samples(&mut out, &mut parts, |i| &sources[i]);
        let got: Vec<_> = out.timestamps.iter().map(|t| t.as_ms()).zip(out.values).collect();
        assert_eq!(got, expected);
        assert_eq!(dropped, sources.iter().map(Columns::len).sum::<usize>() - expected.len());
    }

    #[test]
    fn times_grow_and_the_first_source_wins() {
        check(&[], &[]);
        check(&[&[], &[(1, 1.0)]], &[(1, 1.0)]);
        check(&[&[(3, 3.0), (4, 4.0)], &[(1, 1.0), (2, 2.0)]], &[(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]);
        check(&[&[(1, 10.0), (3, 30.0)], &[(1, 1.0), (2, 2.0), (3, 3.0)]], &[(1, 10.0), (2, 2.0), (3, 30.0)]);
        check(&[&[(2, 0.5)], &[(1, 1.0), (2, 2.0)], &[(1, 7.0), (2, 8.0)]], &[(1, 1.0), (2, 0.5)]);
        check(
            &[&[(i64::MAX, 1.0)], &[(i64::MIN, 2.0), (i64::MAX, 3.0)]],
            &[(i64::MIN, 2.0), (i64::MAX, 1.0)],
        );
    }

    #[test]
    fn runs_end_where_they_should() {
        for len in 0..40 {
            let times: Vec<_> = (0..len).map(TimestampMs::new).collect();
            for until in 0..len + 2 {
                assert_eq!(run_before(&times, TimestampMs::new(until)) as i64, until.min(len));
            }
        }
    }
}
