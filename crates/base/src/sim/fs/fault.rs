//! What a simulated file system is told to get wrong, and the record of what it was asked to do. Never
//! touches files itself.

use std::{fmt, path::PathBuf};

/// A call on a file system or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpKind {
    /// Making a file.
    Create,
    /// `append`.
    Append,
    /// `File::sync`.
    Sync,
    /// `truncate`.
    Truncate,
    /// Making one directory; `create_dir_all` is as many as it makes.
    CreateDir,
    /// `rename`.
    Rename,
    /// `hard_link`.
    HardLink,
    /// Removing one file; `remove_dir_all` has one for each file.
    RemoveFile,
    /// `remove_dir`; `remove_dir_all` has one for each directory.
    RemoveDir,
    /// `sync_dir`.
    SyncDir,
    /// Opening a file that exists.
    Open,
    /// `pread`.
    Read,
    /// `len`.
    Len,
    /// `read_dir`.
    ReadDir,
    /// `exists`.
    Exists,
    /// `space`.
    Space,
    /// `lock`, besides the making of its file.
    Lock,
}

impl OpKind {
    /// Whether the call changes what is on the disk or will be, so that a crash before and after it differ.
    pub fn changes(self) -> bool {
        match self {
            Self::Open | Self::Read | Self::Len | Self::ReadDir | Self::Exists | Self::Space | Self::Lock => {
                false
            }
            Self::Create | Self::Append | Self::Sync | Self::Truncate | Self::CreateDir | Self::Rename => {
                true
            }
            Self::HardLink | Self::RemoveFile | Self::RemoveDir | Self::SyncDir => true,
        }
    }
}

/// A call as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Which call.
    pub kind: OpKind,
    /// The file or directory; of a rename or a link, the old name.
    pub path: PathBuf,
    /// The new name of a rename or a link.
    pub to: Option<PathBuf>,
    /// Of an append, how many bytes it was given; of a truncation, the new length.
    pub bytes: Option<u64>,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.path.display())?;
        if let Some(to) = &self.to {
            write!(f, " to {}", to.display())?;
        }
        if let Some(bytes) = self.bytes {
            write!(f, " ({bytes} bytes)")?;
        }
        Ok(())
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The disk is full (`ENOSPC`, `ErrorKind::StorageFull`).
    NoSpace,
    /// The disk does not answer (`EIO`).
    Io,
    /// An append takes no more than this many bytes; any other call works.
    Short(usize),
}

/// A failure that waits for its call.
#[derive(Clone, Debug)]
pub(super) struct Armed {
    /// Which kind of call; `None` for any.
    pub(super) kind: Option<OpKind>,
    /// How many such calls work before the one that fails.
    pub(super) after: u64,
    pub(super) failure: Failure,
}

/// The failure whose turn it is at a call of `kind`, which counts the others down.
pub(super) fn due(armed: &mut Vec<Armed>, kind: OpKind) -> Option<Failure> {
    let mut due = None;
    armed.retain_mut(|a| {
        if a.kind.is_some_and(|k| k != kind) {
            return true;
        }
        if a.after == 0 {
            due = Some(a.failure);
            return false;
        }
        a.after -= 1;
        true
    });
    due
}
