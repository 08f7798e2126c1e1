//! `late_cut.json`: which late samples of the WAL, and which chunks of such samples in `chunks_head`, are in
//! blocks. A log that somebody began anew, as in the place of one that was taken away, has lower numbers than
//! the note: nothing of it is passed over.

use super::{Note, VERSION, checksum, read};
use crate::{
    error::OpenError,
    head::out_of_order::cut::LateCut,
    head_chunks::ChunkPlace,
    wal::{segment::Listing, snapshot::Position},
};
use serde::{Deserialize, Serialize};
use skopos_base::fs::Fs;
use std::path::Path;

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    version: u64,
    wal_segment: u32,
    wal_offset: u64,
    /// The file in the upper half, the offset in the lower one, as Prometheus counts chunks.
    head_chunk: u64,
    /// Of all numbers before.
    crc32c: u32,
}

impl Content {
    fn checksum(&self) -> u32 {
        checksum(&[self.version, u64::from(self.wal_segment), self.wal_offset, self.head_chunk])
    }
}

impl Note for LateCut {
    const FILE: &'static str = "late_cut.json";
    type Content = Content;

    fn to_content(&self) -> Content {
        let Position { segment: wal_segment, offset: wal_offset } = self.wal;
        let head_chunk = self.head_chunks.number();
        let content = Content { version: VERSION, wal_segment, wal_offset, head_chunk, crc32c: 0 };
        Content { crc32c: content.checksum(), ..content }
    }

    fn of_content(content: &Content) -> Option<Self> {
        let Content { version, wal_segment: segment, wal_offset: offset, head_chunk, crc32c } = *content;
        let sound = version == VERSION && crc32c == content.checksum();
        let head_chunks = ChunkPlace::of_number(head_chunk);
        sound.then_some(Self { wal: Position { segment, offset }, head_chunks })
    }
}

/// What was noted, unless the log is another one than it speaks of.
pub(crate) fn of_this_log(fs: &dyn Fs, dir: &Path, wal: &Listing) -> Result<Option<LateCut>, OpenError> {
    let Some(noted) = read::<LateCut>(fs, dir)? else { return Ok(None) };
    let Position { segment, offset } = noted.wal;
    let reaches = match wal.segments.iter().find(|s| s.index == segment) {
        Some(file) => file.len >= offset,
        // Either end may be gone: older segments go, and an empty one may not have outlived a power loss.
        None => wal.next_index > segment || wal.next_index == segment && offset == 0,
    };
    if reaches {
        return Ok(Some(noted));
    }
    let path = dir.join(LateCut::FILE);
    tracing::warn!(path = %path.display(), "the note speaks of another WAL: it is not believed");
    // The WAL will reach as far one day. A disk that refuses this refuses the WAL too.
    if let Err(error) = fs.remove_file(&path) {
        tracing::warn!(path = %path.display(), %error, "it was not removed");
    }
    Ok(None)
}
