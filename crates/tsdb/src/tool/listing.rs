//! The blocks of a data directory as their `meta.json` tells. Opens no index and no chunk.

use crate::block::{BlockDir, BlockError, BlockMeta, CHUNKS_DIR, INDEX_FILE, META_FILE, TOMBSTONES_FILE};
use skopos_base::fs::Fs;
use std::{
    io,
    path::{Path, PathBuf},
};

/// A block on disk.
#[derive(Clone, Debug)]
pub struct ListedBlock {
    /// Its directory.
    pub dir: PathBuf,
    /// What its `meta.json` says.
    pub meta: BlockMeta,
    /// The bytes of all its files.
    pub size_bytes: u64,
}

/// The blocks of a directory, and those that cannot be told.
#[derive(Debug, Default)]
pub struct Listing {
    /// By their earliest times.
    pub blocks: Vec<ListedBlock>,
    /// Why others are missing.
    pub unread: Vec<BlockError>,
}

/// The directories of blocks in `dir`, by their names.
pub(crate) fn block_dirs(fs: &dyn Fs, dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs.read_dir(dir)?;
    let blocks =
        entries.iter().filter(|e| e.is_dir && matches!(BlockDir::of(&e.name), Some(BlockDir::Whole(_))));
    Ok(blocks.map(|e| dir.join(&e.name)).collect())
}

/// Lists the blocks of `dir`. One that cannot be read is not hidden, and hides no other.
///
/// # Errors
/// When the directory cannot be listed.
pub fn list_blocks(fs: &dyn Fs, dir: &Path) -> Result<Listing, BlockError> {
    let mut listing = Listing::default();
    for block in block_dirs(fs, dir).map_err(BlockError::io("listing", dir))? {
        let listed = BlockMeta::read(fs, &block).and_then(|meta| {
            let size_bytes = size_of(fs, &block).map_err(BlockError::io("listing", &block))?;
            Ok(ListedBlock { dir: block.clone(), meta, size_bytes })
        });
        match listed {
            Ok(listed) => listing.blocks.push(listed),
            Err(e) => listing.unread.push(e),
        }
    }
    listing.blocks.sort_by_key(|b| (b.meta.min_time, b.meta.max_time, b.meta.ulid));
    Ok(listing)
}

/// The bytes of a block's files.
fn size_of(fs: &dyn Fs, block: &Path) -> io::Result<u64> {
    let of = |dir: &Path, names: &[&str]| -> io::Result<u64> {
        let entries = fs.read_dir(dir)?;
        let counted = entries.iter().filter(|e| !e.is_dir && (names.is_empty() || names.contains(&&*e.name)));
        Ok(counted.map(|e| e.len).sum())
    };
    Ok(of(block, &[META_FILE, INDEX_FILE, TOMBSTONES_FILE])? + of(&block.join(CHUNKS_DIR), &[])?)
}
