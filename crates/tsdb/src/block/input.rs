//! `Input`, a file of a block that is read by position, and `Scan`, a walk over some of its bytes. Both say
//! file and offset when something is wrong, and neither trusts a length. Knows no format.

use super::error::BlockError;
use skopos_base::{
    fs::{File, Fs, OpenMode},
    varint,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// An open file with its name and length. Stays readable when the file is removed.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    file: Arc<dyn File>,
    path: Arc<Path>,
    len: u64,
}

impl Input {
    pub(crate) fn open(fs: &dyn Fs, path: PathBuf) -> Result<Self, BlockError> {
        let file = fs.open(&path, OpenMode::Read).map_err(BlockError::io("opening", &path))?;
        let len = file.len().map_err(BlockError::io("reading", &path))?;
        Ok(Self { file: Arc::from(file), path: Arc::from(path), len })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn corrupt(&self, offset: u64, reason: impl Into<String>) -> BlockError {
        BlockError::corrupt(&self.path, offset, reason)
    }

    /// Fills `buf` with the bytes at `offset`.
    pub(crate) fn read_into(&self, buf: &mut [u8], offset: u64) -> Result<(), BlockError> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            let reason = format!("{} bytes reach beyond the file's {}", buf.len(), self.len);
            return Err(self.corrupt(offset, reason));
        }
        let mut done = 0;
        while done < buf.len() {
            let n = self
                .file
                .pread(&mut buf[done..], offset + done as u64)
                .map_err(BlockError::io("reading", &self.path))?;
            if n == 0 {
                return Err(self.corrupt(offset + done as u64, "the file has become shorter"));
            }
            done += n;
        }
        Ok(())
    }

    /// The `len` bytes at `offset`.
    pub(crate) fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, BlockError> {
        // Checked before memory is asked for.
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            let reason = format!("{len} bytes reach beyond the file's {}", self.len);
            return Err(self.corrupt(offset, reason));
        }
        let mut buf = vec![0; len as usize];
        self.read_into(&mut buf, offset)?;
        Ok(buf)
    }

    /// The number in the four bytes at `offset`.
    pub(crate) fn read_u32(&self, offset: u64) -> Result<u32, BlockError> {
        let mut buf = [0; 4];
        self.read_into(&mut buf, offset)?;
        Ok(u32::from_be_bytes(buf))
    }

    /// A walk over `bytes`, which stand at `offset` of this file.
    pub(crate) fn scan<'a>(&'a self, bytes: &'a [u8], offset: u64) -> Scan<'a> {
        Scan { input: self, bytes, at: 0, offset }
    }
}

/// A walk over bytes of a file.
#[derive(Clone, Debug)]
pub(crate) struct Scan<'a> {
    input: &'a Input,
    bytes: &'a [u8],
    at: usize,
    /// Where the bytes begin in the file.
    offset: u64,
}

impl<'a> Scan<'a> {
    /// Where the walk stands in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset + self.at as u64
    }

    /// Where the walk stands in the bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    #[cold]
    pub(crate) fn corrupt(&self, reason: impl Into<String>) -> BlockError {
        self.input.corrupt(self.offset(), reason)
    }

    #[inline]
    pub(crate) fn take(&mut self, len: u64) -> Result<&'a [u8], BlockError> {
        let rest = self.rest();
        match usize::try_from(len).ok().and_then(|len| rest.get(..len)) {
            Some(taken) => {
                self.at += taken.len();
                Ok(taken)
            }
            None => Err(self.corrupt(format!("{len} bytes are promised, {} are there", rest.len()))),
        }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, BlockError> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, BlockError> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, BlockError> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    #[inline]
    pub(crate) fn uvarint(&mut self) -> Result<u64, BlockError> {
        match varint::uvarint(self.rest()) {
            Some((value, n)) => {
                self.at += n;
                Ok(value)
            }
            None => Err(self.corrupt("an integer is cut off or has more than 64 bits")),
        }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<i64, BlockError> {
        match varint::varint(self.rest()) {
            Some((value, n)) => {
                self.at += n;
                Ok(value)
            }
            None => Err(self.corrupt("an integer is cut off or has more than 64 bits")),
        }
    }

    /// A text with its length before it.
    pub(crate) fn text(&mut self) -> Result<&'a str, BlockError> {
        let before = self.at;
        let len = self.uvarint()?;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes)
            .map_err(|_| self.input.corrupt(self.offset + before as u64, "a text is no UTF-8"))
    }
}
