//! Opening a database: what a crash left is cleared away, then blocks, then the head from its chunk files
//! and its log. Starts no thread.

use super::{
    blocks::{Blocks, removable, remove_all},
    maintain::BlockStates,
    note::{self, HeadCut, LateNote, There},
};
use crate::{
    block::{Block, BlockDir, BlockError},
    compact::remove_unfinished_snapshots,
    dirs::{create_if_room, remove_any},
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
        sequence::SequenceError,
    },
};
use skopos_base::{
    Env,
    clock::Clock,
    fs::{FileLock, Fs},
};
use skopos_model::{DurationMs, TimestampMs};
use std::{collections::BTreeSet, io, path::Path, sync::Arc};

/// Takes the directory for this process alone.
pub(super) fn lock(fs: &dyn Fs, dir: &Path) -> Result<Box<dyn FileLock>, OpenError> {
    let path = dir.join("lock");
    fs.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked { path: dir.to_owned(), source },
        _ => OpenError::Io { doing: "locking", path, source },
    })
}

/// What the directory has of blocks.
pub(super) struct OpenedBlocks {
    pub(super) blocks: Blocks,
    pub(super) states: BlockStates,
    /// Those that are open, and those that the system does not let us read now.
    pub(super) there: There,
}

/// Opens the blocks of `dir`, and removes what is left of others: of those that were being written or
/// removed, and those that another block was made of. A block that cannot be read stays where it is: queries
/// of its times fail until somebody has seen to it.
pub(super) fn open_blocks(env: &Env, dir: &Path, stats: &Arc<Stats>) -> Result<OpenedBlocks, OpenError> {
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
    stats.blocks_reloaded(stats.snapshot().blocks_unreadable);
    if let Err(e) = remove_unfinished_snapshots(fs, dir) {
        tracing::warn!(error = %e, "what is left of a snapshot stays");
    }
    let obsolete = removable(&blocks, |_| false).gone;
    let gone: Vec<_> = blocks.extract_if(.., |b| obsolete.contains(&b.id())).map(|b| b.meta()).collect();
    let mut there = There::default().and(blocks.iter().map(|b| b.meta()));
    states.add_hidden(&mut there);
    blocks.iter().for_each(|b| say_in_future(&*env.clock, b));
    let let_go = || note::let_go(fs, dir, &gone, &there);
    let not_noted = let_go()?;
    // What stays is not read, and tried again at the next start.
    drop(remove_all(fs, dir, &obsolete));
    // A disk that was full may have room now.
    if not_noted.is_some()
        && let Some(error) = let_go()?
    {
        tracing::warn!(%error, "samples out of order that are deleted may be read from the log again");
    }
    let blocks = Blocks::new(blocks, Arc::clone(stats));
    blocks.set_unreadable(states.missed(&BTreeSet::new()));
    Ok(OpenedBlocks { blocks, states, there })
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
    /// The shortest block that it was cut into, where one was noted.
    pub(super) shortest_block: Option<DurationMs>,
}

/// Reads the head back: the samples behind those of `blocks`, from head chunk files, a snapshot and the log,
/// of which a new segment is begun.
pub(super) fn open_head(
    env: &Env,
    dir: &Path,
    options: &Options,
    OpenedBlocks { blocks, there, .. }: &OpenedBlocks,
    stats: &Arc<Stats>,
) -> Result<OpenedHead, OpenError> {
    let fs = &*env.fs;
    let (chunks_dir, wal_dir) = (dir.join("chunks_head"), dir.join("wal"));
    create_if_room(fs, &chunks_dir).map_err(OpenError::io("creating", &chunks_dir))?;
    let listing = list_log(fs, &wal_dir)?;
    remove_empty_checkpoints(fs, &listing);
    let covered = note::passed_over(note::read(fs, dir)?, there);
    let late_note = note::of_this_directory(fs, dir, &listing, there)?;
    let late_taken = take_late(fs, dir, options)?;
    let mut behind = list_behind(fs, dir, options)?;
    let names = list_names(fs, dir, &listing).map_err(OpenError::io("listing", dir))?;
    let found = FoundOnDisk {
        dir,
        chunks_dir: &chunks_dir,
        listing: &listing,
        names: names.as_ref(),
        behind: &behind,
        late_taken,
        covered,
        late: late_note.in_blocks(),
    };
    let head = snapshot::open_head(options, stats, env, &found)?;
    if let Err(error) = note::hide_deleted(&head, &blocks.load(), covered) {
        tracing::warn!(%error, "samples that were deleted from a block may come back from the log");
    }
    mend_behind(fs, dir, &head, &mut behind)?;
    begin_behind(env, dir, &head, &behind)?;
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
    if let Err(error) = head.log_held_back(&wal) {
        tracing::warn!(%error, "what is deleted of samples whose blocks are gone goes to the log later");
    }
    if let Some(HeadCut { until, .. }) = covered {
        // Head chunk files and series that a crash kept.
        let _no_reader_yet = head.truncate_before(until);
        if let Err(error) = head.forget_deleted(&wal) {
            tracing::warn!(%error, "deletions that concern blocks alone are forgotten later");
        }
    }
    let shortest_block = covered.and_then(|covered| covered.block);
    Ok(OpenedHead { head, wal: Arc::new(wal), late_note: late_note.believed(), shortest_block })
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

/// Whether samples out of order are taken or ever were. Where they are, it is noted beside the log, which
/// somebody may take away.
fn take_late(fs: &dyn Fs, dir: &Path, options: &Options) -> Result<bool, OpenError> {
    let taken = options.out_of_order_window.as_ms() > 0
        || note::late_was_taken(fs, dir).map_err(OpenError::io("looking at", dir))?;
    if taken && let Err(error) = note::begin_late(fs, dir) {
        tracing::warn!(%error, "it could not be noted that samples out of order are taken: keep wbl");
    }
    Ok(taken)
}

/// The write-behind log. Its directory is made where samples out of order are taken.
fn list_behind(fs: &dyn Fs, dir: &Path, options: &Options) -> Result<Listing, OpenError> {
    let (behind, unfinished) = (dir.join("wbl"), dir.join(BEHIND_UNFINISHED));
    remove_any(fs, &unfinished).map_err(OpenError::io("removing", &unfinished))?;
    if options.out_of_order_window.as_ms() > 0 {
        return list_log(fs, &behind);
    }
    list_if_there(fs, &behind)
}

/// Lists a log that may not be there, and makes nothing.
fn list_if_there(fs: &dyn Fs, dir: &Path) -> Result<Listing, OpenError> {
    if !fs.exists(dir).map_err(OpenError::io("looking for", dir))? {
        return Ok(Listing::default());
    }
    segment::list(fs, dir).map_err(OpenError::io("listing", dir))
}

/// Writes the write-behind log anew where it has nothing and there is something to be said in it.
fn mend_behind(fs: &dyn Fs, dir: &Path, head: &Head, behind: &mut Listing) -> Result<(), OpenError> {
    if !behind.has_no_byte() || head.late.time_range().is_none() {
        return Ok(());
    }
    let dir = dir.join("wbl");
    // Where that failed at the last start, it left a segment that was begun.
    let emptied = behind.segments.iter().try_for_each(|segment| fs.remove_file(&segment.path));
    let emptied = emptied.map_err(SequenceError::new("emptying", &dir));
    match emptied.and_then(|()| head.write_behind_anew(fs, &dir)) {
        Ok(()) => tracing::warn!(
            dir = %dir.display(),
            "the log of samples out of order was gone: it is written anew from what the WAL and chunks have"
        ),
        Err(error) => tracing::warn!(
            dir = %dir.display(), %error,
            "the log of samples out of order is gone and was not written anew: what the WAL has of them goes \
             there later; for the others keep chunks_head until blocks have them"
        ),
    }
    // Also where its name may not be durable.
    *behind = list_if_there(fs, &dir)?;
    Ok(())
}

/// Begins a segment of the write-behind log, where samples out of order are taken or once were. Those before
/// go when the head has nothing of them.
fn begin_behind(env: &Env, dir: &Path, head: &Head, behind: &Listing) -> Result<(), OpenError> {
    let next_index = behind.next_index;
    let (taken, there) = (head.options.out_of_order_window.as_ms() > 0, head.late.time_range().is_some());
    if !taken && !there && next_index == 0 {
        return Ok(());
    }
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
