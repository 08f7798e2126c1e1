//! How far a reader is: a file of numbers, of which the largest counts. A save is one small append; when the
//! file has grown, it is written anew. A disk that refuses costs a reader its place after a restart, and
//! nothing else: it gets again what it had.

use skopos_base::{
    crc::crc32c,
    fs::{File, OpenMode, SharedFs, append_all, read_all},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Before a reader's name.
pub(crate) const PREFIX: &str = "position.";
/// Behind the name of a file that is not finished.
const UNFINISHED: &str = ".tmp";
/// A number and its checksum.
const ENTRY_BYTES: usize = 12;
/// From this length on the file is written anew.
const MAX_BYTES: u64 = 5000 * ENTRY_BYTES as u64;
/// After so many saves the file is synchronised, even while the reader has more to read.
const SAVES_A_SYNC: u32 = 64;

/// Whether a reader has all that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has.
    CaughtUp,
    /// There is more.
    Behind,
}

/// One reader's place on disk.
#[derive(Debug)]
pub(crate) struct Position {
    fs: SharedFs,
    dir: PathBuf,
    name: String,
    /// None until the next save makes it anew.
    file: Option<(Box<dyn File>, u64)>,
    saves: u32,
}

impl Position {
    /// The place of the reader `name`, and the number that it wants next, if it ever had one.
    pub(crate) fn load(fs: &SharedFs, dir: &Path, name: &str) -> io::Result<(Self, Option<u64>)> {
        let position = Self {
            fs: SharedFs::clone(fs),
            dir: dir.to_owned(),
            name: name.to_owned(),
            file: None,
            saves: 0,
        };
        let next = match read_all(&**fs, &position.path()) {
            Ok(bytes) => decode(&bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        Ok((position, next))
    }

    /// Saves that `next` is the number that the reader wants.
    pub(crate) fn save(&mut self, next: u64, progress: Progress) -> io::Result<()> {
        let saved = self.try_save(next, progress);
        if saved.is_err() {
            // Nobody knows what is in it: the next save makes a new one.
            self.file = None;
        }
        saved
    }

    fn try_save(&mut self, next: u64, progress: Progress) -> io::Result<()> {
        let Some((file, len)) = self.file.as_mut().filter(|(_, len)| *len < MAX_BYTES) else {
            return self.write_anew(next);
        };
        append_all(file.as_mut(), &encode(next))?;
        *len += ENTRY_BYTES as u64;
        self.saves += 1;
        if progress == Progress::CaughtUp || self.saves >= SAVES_A_SYNC {
            file.sync()?;
            self.saves = 0;
        }
        Ok(())
    }

    fn write_anew(&mut self, next: u64) -> io::Result<()> {
        let (path, unfinished) = (self.path(), self.dir.join(format!("{PREFIX}{}{UNFINISHED}", self.name)));
        let mut file = match self.fs.open(&unfinished, OpenMode::CreateNew) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                self.fs.remove_file(&unfinished)?;
                self.fs.open(&unfinished, OpenMode::CreateNew)?
            }
            other => other?,
        };
        append_all(file.as_mut(), &encode(next))?;
        file.sync()?;
        drop(file);
        self.fs.rename(&unfinished, &path)?;
        self.fs.sync_dir(&self.dir)?;
        self.file = Some((self.fs.open(&path, OpenMode::Append)?, ENTRY_BYTES as u64));
        self.saves = 0;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.dir.join(format!("{PREFIX}{}", self.name))
    }
}

/// The reader whose file this is, if the name is one of such a file.
pub(crate) fn reader(file: &str) -> Option<&str> {
    file.strip_prefix(PREFIX)
}

fn encode(next: u64) -> [u8; ENTRY_BYTES] {
    let number = next.to_be_bytes();
    let mut entry = [0; ENTRY_BYTES];
    entry[..8].copy_from_slice(&number);
    entry[8..].copy_from_slice(&crc32c(&number).to_be_bytes());
    entry
}

/// The largest number that stands there whole.
fn decode(bytes: &[u8]) -> Option<u64> {
    let entries = bytes.chunks_exact(ENTRY_BYTES);
    let whole = entries.filter(|entry| crc32c(&entry[..8]).to_be_bytes() == entry[8..]);
    whole.map(|entry| u64::from_be_bytes(entry[..8].try_into().expect("invariant: eight bytes"))).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_whole_number_counts() {
        let mut bytes = [encode(3), encode(9), encode(4)].concat();
        assert_eq!(decode(&bytes), Some(9));
        for cut in 0..=bytes.len() {
            let whole: &[u64] = &[3, 9, 4][..cut / ENTRY_BYTES];
            assert_eq!(decode(&bytes[..cut]), whole.iter().copied().max());
        }
        for bit in 0..ENTRY_BYTES * 8 {
            bytes[ENTRY_BYTES + bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes), Some(4), "bit {bit}");
            bytes[ENTRY_BYTES + bit / 8] ^= 1 << (bit % 8);
        }
        // Zeros and garbage that a loss of power leaves are no numbers.
        assert_eq!(decode(&[0; 24]), None);
        assert_eq!(decode(&[0xA5; 24]), None);
    }
}
