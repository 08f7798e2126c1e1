//! `BlockMeta`: what `meta.json` says about a block. Keeps what it does not know. Opens no other file.
//!
//! Bits of the JSON carry no checksum in Prometheus' format, so that a time range could be damaged unseen.
//! What this program writes has one in a member of its own, which other programs ignore or drop.

use super::{error::BlockError, files, id::BlockId, input::Input};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use skopos_base::{crc::crc32c, fs::Fs};
use skopos_model::TimestampMs;
use skopos_storage::TimeRange;
use std::path::Path;

/// The hint in `meta.json` of a block that was made of samples out of order alone.
pub(crate) const FROM_OUT_OF_ORDER: &str = "from-out-of-order";

/// The file's name in a block's directory.
pub const META_FILE: &str = "meta.json";
/// The only version there is.
const VERSION: u64 = 1;
/// The member with our checksum, and its name there.
const OWN: &str = "skopos";
const CHECKSUM: &str = "crc32c";
/// More bytes than any sound one has.
const MAX_BYTES: u64 = 64 << 20;

/// What `meta.json` says about a block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockMeta {
    /// The block's name.
    pub ulid: BlockId,
    /// The earliest time it may have.
    #[serde(rename = "minTime", with = "millis")]
    pub min_time: TimestampMs,
    /// The time behind the latest it may have.
    #[serde(rename = "maxTime", with = "millis")]
    pub max_time: TimestampMs,
    /// What is in it.
    #[serde(default)]
    pub stats: BlockStats,
    /// How it came to be.
    #[serde(default)]
    pub compaction: Compaction,
    version: u64,
    /// All other members, the Thanos section (`thanos`) among them.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Counts of what is in a block.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    /// All samples, also the deleted ones.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Those that are floats. Zero where the writer does not say.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Those that are native histograms.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Intervals in the tombstone file.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
    /// All other members.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How a block came to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// How often its samples were compacted; 1 for a block cut from the head.
    pub level: u32,
    /// The blocks of level 1 that its samples come from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<BlockId>,
    /// Whether compaction left nothing of it, so that it may go.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The blocks that it was made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<BlockParent>,
    /// Whether compacting it failed, so that it is not tried again.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    /// Remarks of compaction, such as that its samples came out of order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// All other members.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A block that another was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockParent {
    /// Its name.
    pub ulid: BlockId,
    /// The earliest time it may have had.
    #[serde(rename = "minTime", with = "millis")]
    pub min_time: TimestampMs,
    /// The time behind the latest.
    #[serde(rename = "maxTime", with = "millis")]
    pub max_time: TimestampMs,
    /// All other members.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl BlockMeta {
    /// Whether all of the block came out of order, so that it says nothing about what the log still has to
    /// give.
    pub fn is_out_of_order(&self) -> bool {
        self.compaction.hints.iter().any(|hint| hint == FROM_OUT_OF_ORDER)
    }

    /// What is to be said of a block of the times from `min_time` to before `max_time`.
    pub fn new(ulid: BlockId, min_time: TimestampMs, max_time: TimestampMs, compaction: Compaction) -> Self {
        let (stats, other) = (BlockStats::default(), Map::new());
        Self { ulid, min_time, max_time, stats, compaction, version: VERSION, other }
    }

    /// The times that the block may have, both ends belonging to it.
    pub fn range(&self) -> TimeRange {
        TimeRange { min: self.min_time, max: TimestampMs::new(self.max_time.as_ms().saturating_sub(1)) }
    }

    /// Reads the file of the block in `dir`.
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Self, BlockError> {
        let input = Input::open(fs, dir.join(META_FILE))?;
        if input.len() > MAX_BYTES {
            return Err(input.corrupt(0, format!("{} bytes are too many", input.len())));
        }
        let bytes = input.read(0, input.len())?;
        Self::parse(&bytes).map_err(|(offset, reason)| match reason {
            Unread::Version(version) => BlockError::Version { path: input.path().to_owned(), version },
            Unread::Corrupt(reason) => input.corrupt(offset, reason),
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, (u64, Unread)> {
        let mut meta: Self = serde_json::from_slice(bytes).map_err(|e| {
            let before: usize = bytes
                .split_inclusive(|b| *b == b'\n')
                .take(e.line().saturating_sub(1))
                .map(<[u8]>::len)
                .sum();
            ((before + e.column()) as u64, Unread::Corrupt(e.to_string()))
        })?;
        if let Some(own) = meta.other.remove(OWN) {
            let sum = own.get(CHECKSUM).and_then(Value::as_u64);
            if sum != Some(u64::from(meta.checksum())) {
                let reason = "its checksum is another: it was damaged, or changed by hand and has to lose \
                              its member `skopos`";
                return Err((0, Unread::Corrupt(reason.to_owned())));
            }
        }
        if meta.version != VERSION {
            return Err((0, Unread::Version(meta.version)));
        }
        if meta.min_time > meta.max_time {
            let reason = format!("minTime {} is behind maxTime {}", meta.min_time, meta.max_time);
            return Err((0, Unread::Corrupt(reason)));
        }
        Ok(meta)
    }

    /// Writes the file of the block in `dir`, in the place of an older one, and makes it durable.
    pub fn write(&self, fs: &dyn Fs, dir: &Path) -> Result<(), BlockError> {
        files::replace(fs, dir, META_FILE, &self.to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut own = Map::new();
        own.insert(CHECKSUM.to_owned(), self.checksum().into());
        let mut meta = self.clone();
        meta.other.insert(OWN.to_owned(), own.into());
        serde_json::to_vec_pretty(&meta).expect("invariant: its members are JSON")
    }

    fn checksum(&self) -> u32 {
        crc32c(&serde_json::to_vec(self).expect("invariant: its members are JSON"))
    }
}

/// Why a text is no meta of ours.
enum Unread {
    Version(u64),
    Corrupt(String),
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !*b
}

/// Timestamps as the bare milliseconds that the format has.
mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use skopos_model::TimestampMs;

    pub(super) fn serialize<S: Serializer>(t: &TimestampMs, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(t.as_ms())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimestampMs, D::Error> {
        i64::deserialize(deserializer).map(TimestampMs::new)
    }
}
