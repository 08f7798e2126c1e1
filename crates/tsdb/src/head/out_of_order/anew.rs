//! A write-behind log of which somebody has taken all away, written anew from the late samples that a start
//! has found in the WAL and in chunks on disk. Otherwise those in chunks would stand there alone as soon as
//! the WAL is shorter. Never changes a log that has something.

use super::{OutOfOrder, batch::Records};
use crate::{
    head::{
        Head,
        series::{LateValue, MemSeries},
    },
    wal::sequence::{Sequence, SequenceError, SequenceWriter},
};
use skopos_base::{fs::Fs, sync::atomic::Ordering};
use skopos_chunk::SampleIter;
use std::path::Path;

/// So many bytes of samples are made records at once.
const RECORDS_BYTES: usize = 1 << 20;

impl Head {
    /// Writes all late samples to a write-behind log in `dir`, durably and all or nothing. To be called
    /// behind the replay and before the log is begun: what the replay has found missing is among them.
    ///
    /// # Errors
    /// When the disk refuses. Then what the replay has found missing is written to the log as commits are.
    pub(crate) fn write_behind_anew(&self, fs: &dyn Fs, dir: &Path) -> Result<(), SequenceError> {
        let (segment_pages, compression) = (self.options.segment_pages(), self.options.wal_compression);
        let wrote_all = Sequence { fs, dir, segment_pages, compression }.write(|out| {
            let mut result = Ok(true);
            self.walk_series(|series| {
                if let Ok(wrote_all) = &mut result {
                    match self.write_late_of(series, out) {
                        Ok(all) => *wrote_all &= all,
                        Err(error) => result = Err(error),
                    }
                }
            });
            result
        })?;
        if wrote_all {
            self.late.forget_found();
        }
        Ok(())
    }

    /// Whether these are all samples of the series.
    fn write_late_of(&self, series: &MemSeries, out: &mut SequenceWriter<'_>) -> Result<bool, SequenceError> {
        let (mut records, mut bytes, wal_ref) = (Records::default(), 0, series.wal_ref().get());
        let mut chunks = Vec::new();
        let read = series.late_chunks(&self.chunks, &mut chunks);
        if let Err(error) = &read {
            tracing::warn!(
                %error,
                "a chunk of samples out of order cannot be read: their log is written anew with what the WAL \
                 has of it"
            );
        }
        for chunk in chunks {
            // What cannot be decoded was never seen by a query.
            for (timestamp, value) in SampleIter::new(chunk.encoding, &chunk.bytes).map_while(Result::ok) {
                let value = LateValue::from(value);
                bytes += size_of::<LateValue>() + value.heap_bytes();
                records.late(wal_ref, timestamp.as_ms(), value);
                if bytes >= RECORDS_BYTES {
                    bytes = 0;
                    push_all(std::mem::take(&mut records), out)?;
                }
            }
        }
        push_all(records, out)?;
        Ok(read.is_ok())
    }
}

fn push_all(records: Records, out: &mut SequenceWriter<'_>) -> Result<(), SequenceError> {
    records.finish().iter().try_for_each(|record| out.push(record))
}

impl OutOfOrder {
    /// What a replay has found missing in the log is there by now.
    fn forget_found(&self) {
        let mut waiting = self.waiting.lock();
        waiting.before += waiting.records.len() as u64;
        (waiting.records, waiting.bytes) = Default::default();
        self.lost.store(0, Ordering::Release);
    }
}
