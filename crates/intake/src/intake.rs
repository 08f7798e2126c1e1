//! `Intake`: takes bodies and gives what became of them. A body is one batch, and what was said to be written
//! is durable. Knows no HTTP.

use crate::{
    IntakeError, Limits, Memory,
    batch::{Batch, Names, Rest, Scratch, Setting},
    cache::SeriesCache,
    metrics::Metrics,
    remote_write,
    stats::{Protocol, Stats, add},
    tally::Tally,
    text::Body,
    unzip::{Packing, unzip},
};
use parking_lot::Mutex;
use skopos_base::Env;
use skopos_base::clock::Clock;
use skopos_model::{DurationMs, TimestampMs};
use skopos_proto::pushed::{self, Version};
use skopos_storage::{Appendable, CommitError};
use std::sync::Arc;

/// Samples may claim to be so much newer than now, as in Prometheus.
const FUTURE_TOLERANCE: DurationMs = DurationMs::from_secs(600);
/// What a request takes for each byte of it while it is stored: itself, and what becomes of it in a batch.
pub(crate) const BYTES_FOR_EACH: usize = 3;
/// Buffers that are larger are not kept for later requests.
const SPARE_BYTES: usize = 8 << 20;
/// The most buffers that are kept.
const SPARES: usize = 16;

/// Makes all that was committed durable.
pub type MakeDurable = Arc<dyn Fn() -> Result<(), CommitError> + Send + Sync>;

/// Where pushed samples go.
#[derive(Clone)]
pub struct Destination {
    /// The storage.
    pub storage: Arc<dyn Appendable>,
    /// Makes durable what it was given.
    pub make_durable: MakeDurable,
}

/// See above.
pub struct Intake {
    into: Destination,
    clock: Arc<dyn Clock>,
    limits: Limits,
    memory: Arc<Memory>,
    cache: SeriesCache,
    metrics: Metrics,
    stats: Stats,
    spare: Mutex<Vec<Scratch>>,
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Floats that were stored, or had been before.
    pub samples: u64,
    /// Histograms, the same.
    pub histograms: u64,
    /// Exemplars, the same.
    pub exemplars: u64,
    /// How much was refused.
    pub refused_count: u64,
    /// What was refused and why, line by line; none when nothing was.
    pub refused: Option<String>,
}

impl Intake {
    /// An intake within limits; all of its requests together hold at most `total_memory` bytes.
    pub fn new(into: Destination, env: &Env, limits: Limits, total_memory: usize) -> Self {
        Self {
            into,
            clock: Arc::clone(&env.clock),
            limits,
            memory: Memory::new(total_memory),
            cache: SeriesCache::new(env.rng.next_u64()),
            metrics: Metrics::default(),
            stats: Stats::default(),
            spare: Mutex::default(),
        }
    }

    /// What a request may have.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What all requests hold.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How many series are known by the bytes of their labels.
    pub fn known_series(&self) -> usize {
        self.cache.len()
    }

    /// Takes a request of remote write, compressed by snappy.
    ///
    /// # Errors
    /// When nothing of it was taken.
    pub fn remote_write(&self, version: Version, body: &[u8]) -> Result<Written, IntakeError> {
        let protocol = match version {
            Version::One => Protocol::RemoteWrite1,
            Version::Two => Protocol::RemoteWrite2,
        };
        self.counted(protocol, |intake, scratch| {
            let bytes = pushed::unpacked_bytes(body, intake.limits.decoded_bytes)?;
            let mut held = intake.memory.begin();
            held.take(bytes.saturating_mul(BYTES_FOR_EACH))?;
            let mut plain = std::mem::take(&mut scratch.plain);
            let written = pushed::unpack(body, bytes, &mut plain).map_err(IntakeError::from).and_then(|()| {
                let message = remote_write::Message::of(&plain, version, &intake.cache)?;
                intake.batch(protocol, &message, scratch, |batch, rest| {
                    Ok(remote_write::read(&message, (&intake.cache, &intake.metrics), batch, rest)?)
                })
            });
            scratch.plain = plain;
            written
        })
    }

    /// Runs `take` with buffers, and counts a request of which nothing was taken.
    pub(crate) fn counted(
        &self,
        protocol: Protocol,
        take: impl FnOnce(&Self, &mut Scratch) -> Result<Written, IntakeError>,
    ) -> Result<Written, IntakeError> {
        self.cache.tidy(self.now());
        let mut scratch = self.spare.lock().pop().unwrap_or_default();
        let taken = take(self, &mut scratch);
        self.keep(scratch);
        let of = self.stats.of(protocol);
        add(if taken.is_ok() { &of.requests } else { &of.failed }, 1);
        taken
    }

    /// Keeps buffers for later requests.
    fn keep(&self, scratch: Scratch) {
        if scratch.plain.capacity() <= SPARE_BYTES {
            let mut spare = self.spare.lock();
            if spare.len() < SPARES {
                spare.push(scratch);
            }
        }
    }

    /// Commits a part of a request that is not held as a whole.
    pub(crate) fn window(&self, body: &Body<'_>) -> Result<Tally, IntakeError> {
        self.cache.tidy(self.now());
        let mut scratch = self.spare.lock().pop().unwrap_or_default();
        let done = self.committed(body, &mut scratch, |batch, rest| {
            body.read(self, batch, rest);
            Ok(())
        });
        self.keep(scratch);
        done
    }

    /// Makes durable what was committed.
    pub(crate) fn make_durable(&self) -> Result<(), IntakeError> {
        Ok((self.into.make_durable)()?)
    }

    /// A request that was taken in windows has come to its end.
    pub(crate) fn request_taken(&self, protocol: Protocol, tally: Tally) -> Written {
        add(&self.stats.of(protocol).requests, 1);
        self.written(protocol, tally)
    }

    /// A request of which no more was taken; what was taken of it before counts.
    pub(crate) fn request_failed(&self, protocol: Protocol, tally: Tally) {
        add(&self.stats.of(protocol).failed, 1);
        let _told_with_the_error = self.written(protocol, tally);
    }

    /// One batch: `read` puts samples into it, then it is committed and made durable.
    pub(crate) fn batch(
        &self,
        protocol: Protocol,
        names: &dyn Names,
        scratch: &mut Scratch,
        read: impl FnOnce(&mut Batch<'_>, Rest<'_>) -> Result<(), IntakeError>,
    ) -> Result<Written, IntakeError> {
        let tally = self.committed(names, scratch, read)?;
        self.make_durable()?;
        Ok(self.written(protocol, tally))
    }

    /// Commits what `read` puts into a batch.
    fn committed(
        &self,
        names: &dyn Names,
        scratch: &mut Scratch,
        read: impl FnOnce(&mut Batch<'_>, Rest<'_>) -> Result<(), IntakeError>,
    ) -> Result<Tally, IntakeError> {
        let latest = self.latest();
        let setting = Setting { cache: &self.cache, max_labels: self.limits.labels, latest };
        let (mut batch, rest) = Batch::begin(self.into.storage.appender(), setting, names, scratch);
        read(&mut batch, rest)?;
        Ok(batch.commit()?.1)
    }

    /// Counts what became of a request, and says it.
    fn written(&self, protocol: Protocol, mut tally: Tally) -> Written {
        self.metrics.remember(tally.take_metrics());
        let of = self.stats.of(protocol);
        add(&of.samples, tally.samples + tally.histograms);
        add(&of.exemplars, tally.exemplars);
        add(&of.refused, tally.refused + tally.exemplars_passed_over);
        add(&of.invalid_labels, tally.invalid_labels);
        let (samples, histograms, exemplars) = (tally.samples, tally.histograms, tally.exemplars);
        let refused_count = tally.refused;
        let only_labels = !tally.is_refused_for_more_than_labels();
        let refused = tally.told();
        if protocol == Protocol::RemoteWrite1 && only_labels {
            if let Some(refused) = refused {
                tracing::warn!(refused, "samples of remote write were refused");
            }
            return Written { samples, histograms, exemplars, refused_count, refused: None };
        }
        Written { samples, histograms, exemplars, refused_count, refused }
    }

    /// What time it is, in milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.clock.wall_ms()
    }

    /// Hands a body on once it is unpacked, within the limits of pushes.
    ///
    /// # Errors
    /// When it cannot be unpacked, or what `take` says.
    pub fn unpacked<T>(
        &self,
        (body, packing): (&[u8], Packing),
        take: impl FnOnce(&[u8]) -> Result<T, IntakeError>,
    ) -> Result<T, IntakeError> {
        let (mut held, mut plain) = (self.memory.begin(), Vec::new());
        unzip(body, packing, (&mut held, self.limits.decoded_bytes), &mut plain)?;
        take(&plain)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn cache(&self) -> &SeriesCache {
        &self.cache
    }

    /// Samples that claim to be newer are refused.
    pub(crate) fn latest(&self) -> TimestampMs {
        self.now().plus(FUTURE_TOLERANCE)
    }

    pub(crate) fn now(&self) -> TimestampMs {
        TimestampMs::new(self.clock.wall_ms())
    }
}
