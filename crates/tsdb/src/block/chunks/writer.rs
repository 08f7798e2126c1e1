//! `ChunkWriter`: chunks into segment files, one behind the other. Decides nothing about samples.

use super::{HEADER_LEN, MAGIC, VERSION, segment_name};
use crate::block::{error::BlockError, files::Output, index::ChunkRef};
use skopos_base::{
    crc::{crc32c, crc32c_append},
    fs::Fs,
    varint::put_uvarint,
};
use skopos_chunk::Encoding;
use std::path::PathBuf;

/// Writes the segments of a new block.
#[derive(Debug)]
pub(crate) struct ChunkWriter {
    dir: PathBuf,
    segment_bytes: u64,
    /// How many segments are finished.
    finished: usize,
    out: Option<Output>,
    written: u64,
    header: Vec<u8>,
}

impl ChunkWriter {
    /// Writes to the existing directory `dir`, and begins a new segment where one would get more bytes.
    pub(crate) fn new(dir: PathBuf, segment_bytes: u64) -> Self {
        Self { dir, segment_bytes, finished: 0, out: None, written: 0, header: Vec::new() }
    }

    /// Writes one chunk; where it stands.
    pub(crate) fn add(
        &mut self,
        fs: &dyn Fs,
        encoding: Encoding,
        data: &[u8],
    ) -> Result<ChunkRef, BlockError> {
        let crc = crc32c_append(crc32c(&[encoding.as_byte()]), data);
        self.header.clear();
        put_uvarint(&mut self.header, data.len() as u64);
        self.header.push(encoding.as_byte());
        let len = (self.header.len() + data.len() + super::CRC_LEN) as u64;
        let room = self.segment_bytes.min(u64::from(u32::MAX));
        if self.out.as_ref().is_some_and(|out| out.len() > HEADER_LEN && out.len() + len > room) {
            self.finish_segment()?;
        }
        let out = match &mut self.out {
            Some(out) => out,
            None => {
                let mut out = Output::create(fs, self.dir.join(segment_name(self.finished)))?;
                out.put(&MAGIC.to_be_bytes())?;
                out.put(&[VERSION, 0, 0, 0])?;
                self.out.insert(out)
            }
        };
        let at = ChunkRef::new(self.finished as u32, out.len() as u32);
        out.put(&self.header)?;
        out.put(data)?;
        out.put(&crc.to_be_bytes())?;
        Ok(at)
    }

    fn finish_segment(&mut self) -> Result<(), BlockError> {
        if let Some(out) = self.out.take() {
            self.written += out.finish()?;
            self.finished += 1;
        }
        Ok(())
    }

    /// Makes all segments durable, though not their entries in the directory; how many bytes they have.
    pub(crate) fn finish(mut self) -> Result<u64, BlockError> {
        self.finish_segment()?;
        Ok(self.written)
    }
}
