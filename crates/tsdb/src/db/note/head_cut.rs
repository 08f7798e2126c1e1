//! `head_cut.json`: up to where the head has been cut into blocks in order of time.

use super::{Note, checksum, there::There};
use crate::{
    block::{Block, BlockError},
    db::blocks::covered_until,
    head::Head,
    intervals::Interval,
};
use serde::{Deserialize, Serialize};
use skopos_model::{DurationMs, TimestampMs};
use std::sync::Arc;

/// The first version does not say how long blocks are.
const VERSIONS: (u64, u64) = (1, 2);

/// What of the log's samples in order is in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadCut {
    /// Those before this time.
    pub(crate) until: TimestampMs,
    /// The shortest block that the head was cut into, whatever the options said.
    pub(crate) block: Option<DurationMs>,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    version: u64,
    cut_until_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block_ms: Option<i64>,
    /// Of all numbers before.
    crc32c: u32,
}

impl Content {
    fn checksum(&self) -> u32 {
        let numbers = [self.version, self.cut_until_ms as u64].into_iter();
        checksum(&numbers.chain(self.block_ms.map(|ms| ms as u64)).collect::<Vec<_>>())
    }
}

impl Note for HeadCut {
    const FILE: &'static str = "head_cut.json";
    type Content = Content;

    fn to_content(&self) -> Content {
        let (cut_until_ms, block_ms) = (self.until.as_ms(), self.block.map(DurationMs::as_ms));
        let version = if block_ms.is_none() { VERSIONS.0 } else { VERSIONS.1 };
        let content = Content { version, cut_until_ms, block_ms, crc32c: 0 };
        Content { crc32c: content.checksum(), ..content }
    }

    fn of_content(content: &Content) -> Option<Self> {
        let Content { version, cut_until_ms, block_ms, crc32c } = *content;
        let of_version = if block_ms.is_none() { VERSIONS.0 } else { VERSIONS.1 };
        let sound = version == of_version && crc32c == content.checksum();
        sound
            .then(|| Self { until: TimestampMs::new(cut_until_ms), block: block_ms.map(DurationMs::from_ms) })
    }
}

/// What of the log blocks have, by what was noted and by what blocks there are: somebody may have taken away
/// the blocks that the note speaks of.
pub(crate) fn passed_over(noted: Option<HeadCut>, blocks: &There) -> Option<HeadCut> {
    let noted = noted?;
    if blocks.may_have_anything() {
        return Some(noted);
    }
    Some(HeadCut { until: noted.until.min(covered_until(blocks.known())?), ..noted })
}

/// Hides from the head what is deleted from blocks: a log that is read although blocks have its samples, as
/// that of another program, would bring back what was deleted there.
pub(crate) fn hide_deleted(
    head: &Head,
    blocks: &[Arc<Block>],
    passed_over: Option<HeadCut>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{BlockId, BlockMeta, Compaction};

    #[test]
    fn no_more_is_passed_over_than_blocks_have() {
        let at = TimestampMs::new;
        let noted = Some(HeadCut { until: at(300), block: None });
        let block = |end| BlockMeta::new(BlockId::new(end), at(0), at(end as i64), Compaction::default());
        let until = |blocks: &There| passed_over(noted, blocks).map(|passed| passed.until.as_ms());
        assert_eq!(until(&There::default().and([block(200), block(300)])), Some(300));
        assert_eq!(until(&There::default().and([block(400)])), Some(300), "another's block");
        assert_eq!(until(&There::default().and([block(200)])), Some(200), "somebody took the last one away");
        assert_eq!(until(&There::default()), None);
        let mut hidden = There::default();
        hidden.add(None);
        assert_eq!(until(&hidden), Some(300), "it is there, and may be the last one");
        assert_eq!(passed_over(None, &hidden), None);
    }
}
