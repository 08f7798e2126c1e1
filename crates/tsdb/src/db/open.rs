//! Opening a database: what a crash left is cleared away, then blocks, then the head from its chunk files
//! and its log. Starts no thread.

use super::{
    blocks::{Blocks, removable, remove_all},
    maintain::BlockStates,
    note::{self, Covered, LateNote},
};
use crate::{
    block::{Block, BlockDir, BlockError},
    compact::remove_unfinished_snapshots,
    dirs::create_if_room,
    error::OpenError,
    head::{
        Head,
        saved::Which,
        snapshot::{self, FoundOnDisk},
    },
    options::Options,
    stats::Stats,
    wal::{
        Wal,
        checkpoint::{LiveSeries, remove_temporary},
        names::{Names, list_names},
        segment::{self, Listing},
    },
};
use skopos_base::{
    Env,
    clock::Clock,
    fs::{FileLock, Fs},
};
use skopos_model::TimestampMs;
use std::{collections::BTreeSet, io, path::Path, sync::Arc};

/// Takes the directory for this process alone.
pub(super) fn lock(fs: &dyn Fs, dir: &Path) -> Result<Box<dyn FileLock>, OpenError> {
    let path = dir.join("lock");
    fs.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { path: dir.to_owned(), source },
        _ => OpenError::Io { doing: "locking", path, source },
    })
}

/// Opens the blocks of `dir`, and removes what is left of others: of those that were being written or
/// removed, and those that another block was made of. A block that cannot be read stays where it is: queries
/// of its times fail until somebody has seen to it.
pub(super) fn open_blocks(
    env: &Env,
    dir: &Path,
    stats: &Arc<Stats>,
) -> Result<(Blocks, BlockStates), OpenError> {
    let fs = &*env.fs;
    let (mut blocks, mut states) = (Vec::new(), BlockStates::default());
    for entry in fs.read_dir(dir).map_err(OpenError::io("listing", dir))? {
        let path = dir.join(&entry.name);
        match BlockDir::of(&entry.name).filter(|_| entry.is_dir) {
            Some(BlockDir::Leftover) => {
                tracing::info!(path = %path.display(), "removing what is left of a block");
                fs.remove_dir_all(&path).map_err(OpenError::io("removing", &path))?;
            }
            Some(BlockDir::Whole(id)) => match Block::open(fs, &path) {
                Ok(block) => blocks.push(Arc::new(block)),
                Err(error) => {
                    Stats::add(&stats.blocks_unreadable, 1);
                    say_unreadable(&path, &error);
                    states.found_unreadable(fs, &path, id, &error);
                }
            },
            None => {}
        }
    }
    if let Err(e) = remove_unfinished_snapshots(fs, dir) {
        tracing::warn!(error = %e, "what is left of a snapshot stays");
    }
    let obsolete = removable(&blocks, |_| false).gone;
    let metas: Vec<_> = blocks.iter().map(|b| b.meta()).collect();
    blocks.retain(|b| !obsolete.contains(&b.id()));
    let staying: Vec<_> = blocks.iter().map(|b| b.meta()).collect();
    note::let_go(fs, dir, &metas, &staying)?;
    blocks.iter().for_each(|b| say_in_future(&*env.clock, b));
    // What stays is not read, and tried again at the next start.
    drop(remove_all(fs, dir, &obsolete));
    let blocks = Blocks::new(blocks, Arc::clone(stats));
    blocks.set_unreadable(states.missed(&BTreeSet::new()));
    Ok((blocks, states))
}

/// Says of a block that it ends beyond the clock: its samples, and the age of others, are not what they seem.
pub(super) fn say_in_future(clock: &dyn Clock, block: &Block) {
    let (now, ends) = (TimestampMs::new(clock.wall_ms()), block.meta().max_time);
    if ends > now {
        tracing::warn!(
            block = %block.id(), max_time = %ends, %now,
            "a block ends in the future: is the clock right, and does the block belong here? \
             Retention by time counts from now"
        );
    }
}

/// Says why a block cannot be read.
pub(super) fn say_unreadable(dir: &Path, error: &BlockError) {
    let what = match error {
        BlockError::Corrupt { .. } => "a block is damaged: restore it from a copy, or move it away",
        _ => "a block cannot be opened",
    };
    tracing::error!(
        block = %dir.display(), %error,
        "{what}; until then queries of its times fail"
    );
}

/// What the files of a head gave.
pub(super) struct OpenedHead {
    pub(super) head: Arc<Head>,
    pub(super) wal: Arc<Wal>,
    /// Which late samples of it blocks have.
    pub(super) late_note: Option<LateNote>,
}

/// Reads the head back: the samples behind those of `blocks`, from head chunk files, a snapshot and the log,
/// of which a new segment is begun.
pub(super) fn open_head(
    env: &Env,
    dir: &Path,
    options: &Options,
    blocks: &Blocks,
    stats: &Arc<Stats>,
) -> Result<OpenedHead, OpenError> {
    let fs = &*env.fs;
    let (chunks_dir, wal_dir) = (dir.join("chunks_head"), dir.join("wal"));
    create_if_room(fs, &chunks_dir).map_err(OpenError::io("creating", &chunks_dir))?;
    let listing = list_log(fs, &wal_dir)?;
    remove_empty_checkpoints(fs, &listing);
    let covered = note::passed_over(note::read(fs, dir)?, &blocks.metas());
    let late_note = note::of_this_directory(fs, dir, &listing, &blocks.metas())?;
    let mut behind = list_behind(fs, dir, options)?;
    let names = list_names(fs, dir, &listing).map_err(OpenError::io("listing", dir))?;
    let found = FoundOnDisk {
        dir,
        chunks_dir: &chunks_dir,
        listing: &listing,
        names: names.as_ref(),
        behind: behind.as_ref(),
        covered,
        late_cut: late_note.as_ref().map(|noted| noted.cut),
    };
    let head = snapshot::open_head(options, stats, env, &found)?;
    if let Err(error) = note::hide_deleted(&head, &blocks.load(), covered) {
        tracing::warn!(%error, "samples that were deleted from a block may come back from the log");
    }
    if let Some(behind) = &mut behind {
        mend_behind(fs, dir, &head, behind)?;
        begin_behind(env, dir, &head, behind.next_index)?;
    }
    let (compression, next) = (head.options.wal_compression, listing.next_index);
    let all: &LiveSeries<'_> = &|each| head.each_sure_name(Which::Logged, each);
    let begun = Names::begin(Arc::clone(&env.fs), dir, compression, next, names.as_ref(), all);
    head.names.set(begun).expect("invariant: a head is opened once");
    let wal = Wal::create(
        Arc::clone(&env.fs),
        Arc::clone(&env.clock),
        &wal_dir,
        listing.next_index,
        head.options.segment_pages(),
        Arc::clone(stats),
    )
    .map_err(|(path, source)| OpenError::Io { doing: "creating", path, source })?;
    if let Some(Covered { until, .. }) = covered {
        // Head chunk files and series that a crash kept.
        let _no_reader_yet = head.truncate_before(until);
    }
    Ok(OpenedHead { head, wal: Arc::new(wal), late_note })
}

/// What is in the directory of a log, which is made. On a full disk it may be made later: then nothing is.
fn list_log(fs: &dyn Fs, dir: &Path) -> Result<Listing, OpenError> {
    if !create_if_room(fs, dir).map_err(OpenError::io("creating", dir))? {
        tracing::warn!(dir = %dir.display(), "the disk has no room for this directory: it is made later");
        return Ok(Listing::default());
    }
    remove_temporary(fs, dir).map_err(OpenError::io("cleaning", dir))?;
    segment::list(fs, dir).map_err(OpenError::io("listing", dir))
}

/// Nothing is in them, and other programs take the newest one for the checkpoint that counts. The replay says
/// that they were there.
fn remove_empty_checkpoints(fs: &dyn Fs, listing: &Listing) {
    for path in &listing.empty_checkpoints {
        if let Err(error) = fs.remove_dir_all(path) {
            tracing::warn!(path = %path.display(), %error, "an empty checkpoint was not removed");
        }
    }
}

/// What a write-behind log leaves that was not written anew to its end.
pub(crate) const BEHIND_UNFINISHED: &str = "wbl.tmp";

/// The write-behind log, where samples out of order are taken or once were.
fn list_behind(fs: &dyn Fs, dir: &Path, options: &Options) -> Result<Option<Listing>, OpenError> {
    let (dir, unfinished) = (dir.join("wbl"), dir.join(BEHIND_UNFINISHED));
    if fs.exists(&unfinished).map_err(OpenError::io("looking for", &unfinished))? {
        fs.remove_dir_all(&unfinished).map_err(OpenError::io("removing", &unfinished))?;
    }
    if options.out_of_order_window.as_ms() > 0 {
        return list_log(fs, &dir).map(Some);
    } else if !fs.exists(&dir).map_err(OpenError::io("looking for", &dir))? {
        return Ok(None);
    }
    segment::list(fs, &dir).map(Some).map_err(OpenError::io("listing", &dir))
}

/// Writes the write-behind log anew where it has no segment and there is something to be said in it.
fn mend_behind(fs: &dyn Fs, dir: &Path, head: &Head, behind: &mut Listing) -> Result<(), OpenError> {
    if !behind.is_empty() || head.late.time_range().is_none() {
        return Ok(());
    }
    let dir = dir.join("wbl");
    match head.write_behind_anew(fs, &dir) {
        Ok(()) => tracing::warn!(
            dir = %dir.display(),
            "the log of samples out of order was gone: it is written anew from what the WAL and chunks have"
        ),
        Err(error) => tracing::warn!(
            dir = %dir.display(), %error,
            "the log of samples out of order is gone and was not written anew: keep chunks_head until blocks \
             have its samples"
        ),
    }
    // Also where its name may not be durable.
    if fs.exists(&dir).map_err(OpenError::io("looking for", &dir))? {
        *behind = segment::list(fs, &dir).map_err(OpenError::io("listing", &dir))?;
    }
    Ok(())
}

/// Begins a segment of the write-behind log. Those before go when the head has nothing of them.
fn begin_behind(env: &Env, dir: &Path, head: &Head, next_index: u32) -> Result<(), OpenError> {
    let (fs, clock) = (Arc::clone(&env.fs), Arc::clone(&env.clock));
    let (dir, pages) = (dir.join("wbl"), head.options.segment_pages());
    // What the statistics say of a log, they say of the WAL.
    let log = Wal::create(fs, clock, &dir, next_index, pages, Arc::default())
        .map_err(|(path, source)| OpenError::Io { doing: "creating", path, source })?;
    if let Some(last) = next_index.checked_sub(1).filter(|_| head.late.time_range().is_none()) {
        log.forget_up_to(last);
    }
    head.late.set_log(log);
    Ok(())
}
