//! `Unsure`: samples that stand beside the log, in chunk files and in the write-behind log, under a number
//! that the log gives to several series. Nobody knows whose they are, so that none of them is stored. Says
//! which of them are lost: those that none of these series has from the log itself. Changes nothing.

use crate::{
    head::{
        Head,
        series::{Collected, LateValue, MemSeries, SeriesIndex, View},
    },
    head_chunks::ChunkMeta,
    wal::unnamed::Unnamed,
};
use skopos_chunk::decode_columns;
use skopos_model::{Columns, TimestampMs};
use skopos_storage::TimeRange;
use std::collections::{BTreeMap, BTreeSet};

/// So many samples of the write-behind log are looked for; the others count as lost.
const MOST_SAMPLES: usize = 1 << 22;

/// The series that a number was given to.
pub(super) type Owners = BTreeMap<u64, BTreeSet<SeriesIndex>>;

/// A time, and the bits of a float or of the sum of a histogram.
type Sample = (i64, u64);

/// See above.
#[derive(Debug, Default)]
pub(super) struct Unsure {
    logged: BTreeMap<u64, Vec<Sample>>,
    len: usize,
}

impl Unsure {
    /// Notes a sample of the write-behind log.
    pub(super) fn add(&mut self, wal_ref: u64, timestamp_ms: i64, value: &LateValue, unnamed: &mut Unnamed) {
        if self.len >= MOST_SAMPLES {
            return unnamed.add(wal_ref, timestamp_ms);
        }
        let value = match value {
            LateValue::Float(value) => *value,
            LateValue::Histogram(histogram) => histogram.sum,
            LateValue::FloatHistogram(histogram) => histogram.sum,
        };
        self.len += 1;
        self.logged.entry(wal_ref).or_default().push((timestamp_ms, value.to_bits()));
    }

    /// Adds what is lost to `unnamed`, once the head has all that the log has. `chunks`: those that stand
    /// under such numbers, of which samples from `from_ms` on matter.
    pub(super) fn finish(
        self,
        head: &Head,
        owners: &Owners,
        chunks: &[(u64, ChunkMeta)],
        unnamed: &mut Unnamed,
    ) {
        let mut say = |wal_ref: u64, samples: Vec<Sample>| {
            let series = owners.get(&wal_ref).into_iter().flatten();
            let series: Vec<_> = series.filter_map(|i| head.registry.table().get(*i).cloned()).collect();
            let missing = series.iter().fold(samples, |samples, series| not_in(head, series, samples));
            missing.into_iter().for_each(|(timestamp_ms, _)| unnamed.add(wal_ref, timestamp_ms));
        };
        self.logged.into_iter().for_each(|(wal_ref, samples)| say(wal_ref, samples));
        let min_valid_ms = head.min_valid_ms();
        for (wal_ref, chunk) in chunks.iter().filter(|(_, chunk)| chunk.max_ms() >= min_valid_ms) {
            say(*wal_ref, samples_of(head, chunk, min_valid_ms));
        }
    }
}

/// The samples of a chunk on disk from a time on. One that cannot be read is said by those who look for
/// damage.
fn samples_of(head: &Head, chunk: &ChunkMeta, from_ms: i64) -> Vec<Sample> {
    let (mut buffer, mut columns) = (Vec::new(), Columns::default());
    if let Ok(read) = head.chunks.read(chunk, &mut buffer) {
        let range = chunk.range();
        let from = range.min.max(TimestampMs::new(from_ms));
        let _ = decode_columns(read.encoding, &buffer[read.bytes], from, range.max, &mut columns);
    }
    sorted(&columns)
}

/// Those of `samples` that a series does not have.
fn not_in(head: &Head, series: &MemSeries, mut samples: Vec<Sample>) -> Vec<Sample> {
    let times = samples.iter().map(|(timestamp_ms, _)| *timestamp_ms);
    let (Some(min), Some(max)) = (times.clone().min(), times.max()) else { return samples };
    let range = TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) };
    let (mut collected, mut columns) = (Collected::default(), Columns::default());
    series.collect(View { mark: u64::MAX, range, floor: TimestampMs::MIN, late: true }, &mut collected);
    if let Err(error) = collected.decode(&head.chunks, range, &mut columns) {
        tracing::warn!(%error, "samples of a series whose number is another one's too cannot be read");
    }
    let has = sorted(&columns);
    samples.retain(|sample| has.binary_search(sample).is_err());
    samples
}

fn sorted(columns: &Columns) -> Vec<Sample> {
    let each = columns.timestamps.iter().zip(&columns.values);
    let mut samples: Vec<Sample> = each.map(|(t, value)| (t.as_ms(), value.to_bits())).collect();
    samples.sort_unstable();
    samples
}
