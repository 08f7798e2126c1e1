//! `snapshot`: a second set of names for the blocks of a database, and the head as one more block. Copies
//! no bytes of blocks; never changes the database.

use super::{
    compactor::{CompactOptions, Compactor, NewBlock},
    error::CompactError,
};
use crate::block::{BlockError, BlockIds, CHUNKS_DIR};
use skopos_base::{
    Env,
    fs::{DirEntry, Fs},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where snapshots stand in a data directory.
pub const SNAPSHOTS_DIR: &str = "snapshots";
/// What is behind the name of a snapshot, or of a file in a block, that is not whole yet.
const UNFINISHED: &str = ".tmp";

/// What a snapshot is to hold.
pub struct SnapshotRequest<'a> {
    /// The directories of the blocks, which must not be removed meanwhile.
    pub blocks: &'a [PathBuf],
    /// What the head has beyond them, if it is wanted.
    pub head: Option<NewBlock<'a>>,
}

/// Makes a snapshot in the data directory, durable when this returns, and says where it is:
/// `snapshots/<time>-<number>` with a directory for each block, which Prometheus opens as it is.
///
/// # Errors
/// As `CompactError` says; then there is no snapshot, and at most a directory that
/// `remove_unfinished_snapshots` takes away. One that has its name already is taken back; where the disk
/// refuses even that the log says so, and what stands under the name is whole.
pub fn snapshot(
    env: &Env,
    ids: &Arc<BlockIds>,
    data_dir: &Path,
    request: SnapshotRequest<'_>,
) -> Result<PathBuf, CompactError> {
    let fs = &*env.fs;
    let all = data_dir.join(SNAPSHOTS_DIR);
    let name = format!("{}-{:016x}", time_name(env.clock.wall_ms()), env.rng.next_u64());
    let unfinished = all.join(format!("{name}{UNFINISHED}"));
    let made = fill(env, ids, &unfinished, request)
        .and_then(|()| publish(fs, data_dir, &unfinished, &all.join(&name)).map_err(CompactError::Retry));
    if let Err(e) = made {
        take_back(fs, &all, &name, &unfinished);
        return Err(e);
    }
    let dir = all.join(name);
    tracing::info!(snapshot = %dir.display(), "made a snapshot");
    Ok(dir)
}

fn fill(
    env: &Env,
    ids: &Arc<BlockIds>,
    dir: &Path,
    request: SnapshotRequest<'_>,
) -> Result<(), CompactError> {
    let fs = &*env.fs;
    fs.create_dir_all(dir).map_err(BlockError::io("creating", dir)).map_err(CompactError::Retry)?;
    for block in request.blocks {
        link_block(fs, block, dir).map_err(CompactError::Retry)?;
    }
    if let Some(head) = request.head {
        Compactor::new(env, Arc::clone(ids), dir, CompactOptions::default()).write(head)?;
    }
    Ok(())
}

/// Gives a finished snapshot its name, once all it holds is durable.
fn publish(fs: &dyn Fs, data_dir: &Path, unfinished: &Path, dir: &Path) -> Result<(), BlockError> {
    let all = data_dir.join(SNAPSHOTS_DIR);
    sync(fs, unfinished)?;
    fs.rename(unfinished, dir).map_err(BlockError::io("renaming", unfinished))?;
    sync(fs, &all)?;
    sync(fs, data_dir)
}

/// Takes the name from a snapshot that has it, and then all of it away. Nothing of it goes before the name
/// has gone durably: neither the end of the process nor a loss of power leaves half of a snapshot under its
/// name.
fn take_back(fs: &dyn Fs, all: &Path, name: &str, unfinished: &Path) {
    let dir = all.join(name);
    let unnamed = match fs.rename(&dir, unfinished) {
        Ok(()) => fs.sync_dir(all),
        // It never had the name.
        Err(e) if e.kind() == io::ErrorKind::NotFound || matches!(fs.exists(&dir), Ok(false)) => Ok(()),
        Err(e) => Err(e),
    };
    match unnamed {
        // Where this fails too, the next start takes the directory away.
        Ok(()) => drop(fs.remove_dir_all(unfinished)),
        Err(error) => tracing::error!(
            snapshot = %dir.display(), %error,
            "a snapshot that failed was not taken back: it may stand under its name, whole, or be gone after \
             a loss of power; remove it, or make another one"
        ),
    }
}

fn sync(fs: &dyn Fs, dir: &Path) -> Result<(), BlockError> {
    fs.sync_dir(dir).map_err(BlockError::io("synchronising", dir))
}

fn link_block(fs: &dyn Fs, block: &Path, into: &Path) -> Result<(), BlockError> {
    let name = block.file_name().ok_or_else(|| BlockError::refused(block, "a directory without a name"))?;
    let to = into.join(name);
    let (chunks, to_chunks) = (block.join(CHUNKS_DIR), to.join(CHUNKS_DIR));
    fs.create_dir_all(&to_chunks).map_err(BlockError::io("creating", &to_chunks))?;
    link_files(fs, block, &to)?;
    link_files(fs, &chunks, &to_chunks)?;
    sync(fs, &to_chunks)?;
    sync(fs, &to)
}

/// Files of blocks are replaced as a whole and never written to, so that a second name keeps what it named.
fn link_files(fs: &dyn Fs, from: &Path, to: &Path) -> Result<(), BlockError> {
    for DirEntry { name, is_dir, .. } in fs.read_dir(from).map_err(BlockError::io("listing", from))? {
        if is_dir || name.ends_with(UNFINISHED) {
            continue;
        }
        let path = from.join(&name);
        fs.hard_link(&path, &to.join(&name)).map_err(BlockError::io("linking", &path))?;
    }
    Ok(())
}

/// Removes what a crash left of snapshots.
///
/// # Errors
/// When the system refuses.
pub fn remove_unfinished_snapshots(fs: &dyn Fs, data_dir: &Path) -> Result<(), BlockError> {
    let all = data_dir.join(SNAPSHOTS_DIR);
    if !fs.exists(&all).map_err(BlockError::io("looking for", &all))? {
        return Ok(());
    }
    for DirEntry { name, is_dir, .. } in fs.read_dir(&all).map_err(BlockError::io("listing", &all))? {
        if is_dir && name.ends_with(UNFINISHED) {
            let dir = all.join(name);
            fs.remove_dir_all(&dir).map_err(BlockError::io("removing", &dir))?;
        }
    }
    Ok(())
}

/// A time as `20060102T150405Z`.
fn time_name(wall_ms: i64) -> String {
    const DAY: i64 = 86_400;
    let seconds = wall_ms.div_euclid(1000);
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Year, month and day of the day so many days after 1 January 1970: `civil_from_days` of Howard Hinnant's
/// "chrono-Compatible Low-Level Date Algorithms", which counts years from March.
fn civil(days: i64) -> (i64, i64, i64) {
    let since = days + 719_468;
    let (era, day_of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_names() {
        for (ms, name) in [
            (0, "19700101T000000Z"),
            (-1, "19691231T235959Z"),
            (1_767_225_600_000, "20260101T000000Z"),
            (1_709_210_096_789, "20240229T123456Z"),
            (951_782_400_000, "20000229T000000Z"),
            (4_107_542_399_000, "21000228T235959Z"),
            (4_107_542_400_000, "21000301T000000Z"),
        ] {
            assert_eq!(time_name(ms), name);
        }
    }
}
