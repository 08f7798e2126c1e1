//! Makes a data directory sound again without losing what is sound in it. Damaged blocks are set aside, not
//! removed, once what can be read of them is in a block of its own.

use super::{
    listing::block_dirs,
    salvage::{Salvage, Salvaged, salvage},
    verify::{Finding, Verified, leftovers, torn_end, verify_logs, verify_notes},
    verify_block::verify_block,
    watched::Watched,
};
use crate::{
    block::{BlockError, BlockId, BlockMeta},
    error::OpenError,
    head_chunks::{HeadChunks, MAX_FILE_BYTES},
};
use skopos_base::{
    Env,
    fs::{Fs, OpenMode},
};
use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

/// What is behind the name of a block that was set aside.
pub const DAMAGED_SUFFIX: &str = ".damaged";

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairMode {
    /// It is only said what would be done.
    DryRun,
    /// It is done.
    Repair,
}

/// Why a directory is not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A server has it open.
    #[error("{} is in use, and nothing of it was touched: stop its server first ({source})", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// Who holds the lock, as far as one can tell.
        source: io::Error,
    },
    /// The system does not let us read or write. What was done before is whole.
    #[error("repairing {} failed: {source}", path.display())]
    Io {
        /// What was being repaired.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A new block cannot be written. The damaged one stays where it is.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The head's files cannot be cut.
    #[error(transparent)]
    Head(#[from] OpenError),
}

/// One thing that was done, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// Something unfinished was removed, or a note that is damaged.
    Removed(PathBuf),
    /// A damaged block was set aside.
    SetAside {
        /// Where it stood.
        block: PathBuf,
        /// The block with what could be read of it; none in a dry run, or when that is nothing.
        replaced_by: Option<BlockId>,
        /// Series that are lost.
        lost_series: u64,
        /// Chunks that are lost, of other series.
        lost_chunks: u64,
        /// What else is to be said.
        notes: Vec<String>,
    },
    /// A file was cut where damage begins.
    Cut {
        /// The file.
        path: PathBuf,
        /// How many bytes it has now.
        len: u64,
    },
    /// Damage that a server reads past: nothing would be won by a change.
    Stays(Finding),
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed(path) => write!(f, "removed {}", path.display()),
            Self::Cut { path, len } => write!(f, "cut {} at byte {len}", path.display()),
            Self::Stays(finding) => write!(f, "stays: {finding}"),
            Self::SetAside { block, replaced_by, lost_series, lost_chunks, notes } => {
                write!(f, "set aside {}{DAMAGED_SUFFIX}", block.display())?;
                if let Some(id) = replaced_by {
                    write!(f, ", what can be read of it is now block {id}")?;
                }
                write!(f, "; lost: {lost_series} series, {lost_chunks} chunks of other series")?;
                notes.iter().try_for_each(|note| write!(f, "; {note}"))
            }
        }
    }
}

/// Repairs the data directory `dir`; says what was done.
///
/// # Errors
/// When a server has it open, or the disk refuses.
pub fn repair(env: &Env, dir: &Path, mode: RepairMode) -> Result<Vec<Repaired>, RepairError> {
    let fs = &*env.fs;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| RepairError::Io { path, source }
    };
    let lock_path = dir.join("lock");
    // A directory that nobody ever locked is not changed by a dry run.
    let lock = if mode == RepairMode::Repair || fs.exists(&lock_path).map_err(failed(dir))? {
        Some(fs.lock(&lock_path).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => RepairError::Locked { path: dir.to_owned(), source },
            _ => RepairError::Io { path: lock_path.clone(), source },
        })?)
    } else {
        None
    };
    let mut done = Vec::new();
    for Finding { path, .. } in leftovers(fs, dir).map_err(failed(dir))? {
        if mode == RepairMode::Repair {
            fs.remove_dir_all(&path).map_err(failed(&path))?;
        }
        done.push(Repaired::Removed(path));
    }
    repair_blocks(env, dir, mode, &mut done)?;
    for Finding { path, .. } in verify_notes(fs, dir).map_err(failed(dir))? {
        if mode == RepairMode::Repair {
            fs.remove_file(&path).and_then(|()| fs.sync_dir(dir)).map_err(failed(&path))?;
        }
        done.push(Repaired::Removed(path));
    }
    repair_logs(fs, dir, mode, &mut done).map_err(failed(dir))?;
    repair_head_chunks(env, dir, mode, &mut done)?;
    drop(lock);
    Ok(done)
}

fn repair_blocks(
    env: &Env,
    dir: &Path,
    mode: RepairMode,
    done: &mut Vec<Repaired>,
) -> Result<(), RepairError> {
    let fs = &*env.fs;
    let (mut damaged, mut successors) = (Vec::new(), BTreeMap::new());
    let blocks = block_dirs(fs, dir).map_err(|source| RepairError::Io { path: dir.to_owned(), source })?;
    for block in blocks {
        // A disk that does not answer is no damage: it may answer the next time.
        let watched = Watched::new(&env.fs);
        let findings = verify_block(&watched, &block).findings;
        watched.check().map_err(|(path, source)| RepairError::Io { path, source })?;
        if !findings.is_empty() {
            damaged.push(block);
        } else {
            let meta = BlockMeta::read(fs, &block)?;
            successors.extend(meta.compaction.parents.iter().map(|p| (p.ulid.to_string(), meta.ulid)));
        }
    }
    for block in damaged {
        let name = block.file_name().unwrap_or_default().to_string_lossy();
        let successor = successors.get(&*name).copied();
        done.push(repair_block(env, dir, block, successor, mode)?);
    }
    Ok(())
}

/// Sets a damaged block aside. Where a sound one was made of it already, by a repair that did not come to its
/// end or by compaction, that one has its samples.
fn repair_block(
    env: &Env,
    dir: &Path,
    block: PathBuf,
    successor: Option<BlockId>,
    mode: RepairMode,
) -> Result<Repaired, RepairError> {
    let how = if mode == RepairMode::Repair { Salvage::Write } else { Salvage::Count };
    let salvaged = match successor {
        Some(id) => {
            Salvaged { notes: vec![format!("block {id} was made of it before")], ..Salvaged::default() }
        }
        None => salvage(env, &block, how)?,
    };
    if mode == RepairMode::Repair {
        let mut aside = block.clone().into_os_string();
        aside.push(DAMAGED_SUFFIX);
        let moved = env.fs.rename(&block, Path::new(&aside)).and_then(|()| env.fs.sync_dir(dir));
        moved.map_err(|source| RepairError::Io { path: block.clone(), source })?;
    }
    Ok(Repaired::SetAside {
        block,
        replaced_by: salvaged.meta.map(|m| m.ulid),
        lost_series: salvaged.lost_series,
        lost_chunks: salvaged.lost_chunks,
        notes: salvaged.notes,
    })
}

fn repair_logs(fs: &dyn Fs, dir: &Path, mode: RepairMode, done: &mut Vec<Repaired>) -> io::Result<()> {
    for log in ["wal", "wbl"].map(|name| dir.join(name)) {
        if !fs.exists(&log)? {
            continue;
        }
        if let Some((path, len)) = torn_end(fs, &log)? {
            if mode == RepairMode::Repair {
                let mut file = fs.open(&path, OpenMode::Append)?;
                file.truncate(len)?;
                file.sync()?;
            }
            done.push(Repaired::Cut { path, len });
        }
    }
    let mut logs = Verified::default();
    verify_logs(fs, dir, &mut logs)?;
    let damage = logs.findings.into_iter().filter(Finding::is_damage);
    done.extend(damage.map(Repaired::Stays));
    Ok(())
}

fn repair_head_chunks(
    env: &Env,
    dir: &Path,
    mode: RepairMode,
    done: &mut Vec<Repaired>,
) -> Result<(), RepairError> {
    let chunks = dir.join("chunks_head");
    let failed = |source| RepairError::Io { path: chunks.clone(), source };
    if !env.fs.exists(&chunks).map_err(failed)? {
        return Ok(());
    }
    let mut cut = Vec::new();
    crate::head_chunks::check(&*env.fs, &chunks, |file| {
        cut.extend(file.damage.map(|(len, _)| Repaired::Cut { path: file.path, len }));
    })
    .map_err(failed)?;
    if mode == RepairMode::Repair && !cut.is_empty() {
        // As at a start: what stands behind is read from the WAL.
        HeadChunks::open(&env.fs, &chunks, MAX_FILE_BYTES)?;
    }
    done.append(&mut cut);
    Ok(())
}
