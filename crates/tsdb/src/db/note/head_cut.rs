//! `head_cut.json`: up to where the head has been cut into blocks in order of time.

use super::{Note, VERSION, checksum};
use crate::{
    block::{Block, BlockError, BlockMeta},
    db::blocks::covered_until,
    head::Head,
    intervals::Interval,
};
use serde::{Deserialize, Serialize};
use skopos_model::{DurationMs, TimestampMs};
use std::sync::Arc;

/// The log's samples in order of before this time are in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadCut {
    pub(crate) until: TimestampMs,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    version: u64,
    cut_until_ms: i64,
    /// Of both numbers before.
    crc32c: u32,
}

impl Note for HeadCut {
    const FILE: &'static str = "head_cut.json";
    type Content = Content;

    fn to_content(&self) -> Content {
        let cut_until_ms = self.until.as_ms();
        Content { version: VERSION, cut_until_ms, crc32c: checksum(&[VERSION, cut_until_ms as u64]) }
    }

    fn of_content(content: &Content) -> Option<Self> {
        let Content { version, cut_until_ms, crc32c } = *content;
        let sound = version == VERSION && crc32c == checksum(&[version, cut_until_ms as u64]);
        sound.then_some(Self { until: TimestampMs::new(cut_until_ms) })
    }
}

/// What blocks have of the log's samples in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Covered {
    /// Those before this time.
    pub(crate) until: TimestampMs,
    /// The block that ends there is so long: no longer than what the head is cut into by who wrote the log.
    pub(crate) block: DurationMs,
}

/// What of the log blocks have, by what was noted and by what blocks there are: somebody may have taken away
/// the blocks that the note speaks of.
pub(crate) fn passed_over(noted: Option<HeadCut>, metas: &[BlockMeta]) -> Option<Covered> {
    let until = noted?.until.min(covered_until(metas)?);
    let in_order = metas.iter().filter(|m| !m.is_out_of_order());
    let ends = in_order.map(|m| (m.max_time.since(until).as_ms().abs(), m.max_time.since(m.min_time)));
    ends.min().map(|(_, block)| Covered { until, block })
}

/// Hides from the head what is deleted from blocks: a log that is read although blocks have its samples, as
/// that of another program, would bring back what was deleted there.
pub(crate) fn hide_deleted(
    head: &Head,
    blocks: &[Arc<Block>],
    passed_over: Option<Covered>,
) -> Result<(), BlockError> {
    let from_ms = passed_over.map_or(i64::MIN, |covered| covered.until.as_ms());
    for block in blocks {
        let (meta, tombstones) = (block.meta(), block.tombstones());
        let last_ms = block.range().max.as_ms();
        if meta.is_out_of_order() || tombstones.is_empty() || last_ms < from_ms {
            continue;
        }
        for series in tombstones.series() {
            let Some(deleted) = tombstones.get(series) else { continue };
            let Some(index) = head.registry.index_of(&block.labels_of(series)?) else { continue };
            for span in deleted.as_slice() {
                if let Some(span) = Interval::new(span.min_ms.max(from_ms), span.max_ms.min(last_ms)) {
                    head.tombstones.add(index, span);
                }
            }
        }
    }
    Ok(())
}
