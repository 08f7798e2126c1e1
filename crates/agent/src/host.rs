//! What collectors ask the system beside files: its name, how full a file system is, what its
//! network links count. It has a twin in the tests, which can hang and fail at will.

use crate::netlink;
use std::{fmt, io};

/// What `uname` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uname {
    /// The kernel's name.
    pub sysname: String,
    /// The machine's name.
    pub nodename: String,
    /// The kernel's release.
    pub release: String,
    /// The kernel's version.
    pub version: String,
    /// The hardware.
    pub machine: String,
    /// The NIS domain.
    pub domainname: String,
}

/// How full a file system is, in blocks of `block_bytes` and in inodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The size of a block.
    pub block_bytes: u64,
    /// All blocks.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Blocks that an ordinary user may still use.
    pub blocks_available: u64,
    /// All inodes.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

/// The system.
pub trait Host: Send + Sync + fmt::Debug {
    /// The system's name.
    fn uname(&self) -> Uname;
    /// How full the file system at `path` is. It can take for ever.
    fn usage(&self, path: &str) -> io::Result<Usage>;
    /// The kernel's answer to `request`: netlink messages, one behind the other, in `answer`.
    fn netlink(&self, request: netlink::Request, answer: &mut Vec<u8>) -> io::Result<()>;
}

/// The machine that this program runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisHost;

impl Host for ThisHost {
    fn uname(&self) -> Uname {
        let uname = rustix::system::uname();
        let owned = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Uname {
            sysname: owned(uname.sysname()),
            nodename: owned(uname.nodename()),
            release: owned(uname.release()),
            version: owned(uname.version()),
            machine: owned(uname.machine()),
            domainname: owned(uname.domainname()),
        }
    }

    fn usage(&self, path: &str) -> io::Result<Usage> {
        let found = rustix::fs::statfs(path)?;
        Ok(Usage {
            block_bytes: u64::try_from(found.f_bsize).unwrap_or(0),
            blocks: found.f_blocks,
            blocks_free: found.f_bfree,
            blocks_available: found.f_bavail,
            inodes: found.f_files,
            inodes_free: found.f_ffree,
        })
    }

    fn netlink(&self, request: netlink::Request, answer: &mut Vec<u8>) -> io::Result<()> {
        netlink::ask(request, answer)
    }
}
