//! The table of contents: where the sections of an index begin. The last bytes of the file.

use super::{CRC_LEN, HEADER_LEN, IndexVersion, MAGIC};
use crate::block::{error::BlockError, input::Input};
use skopos_base::crc::crc32c;

const LEN: u64 = 6 * 8 + CRC_LEN;

/// Where the sections begin; 0 for one that is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Toc {
    pub(crate) symbols: u64,
    pub(crate) series: u64,
    pub(crate) label_indices: u64,
    pub(crate) label_offsets: u64,
    pub(crate) postings: u64,
    pub(crate) posting_offsets: u64,
}

impl Toc {
    /// Checks the file's header and reads its table.
    pub(crate) fn read(input: &Input) -> Result<(Self, IndexVersion), BlockError> {
        if input.len() < HEADER_LEN + LEN {
            return Err(input.corrupt(0, format!("{} bytes are no index", input.len())));
        }
        if input.read_u32(0)? != MAGIC {
            return Err(input.corrupt(0, "it does not begin as an index"));
        }
        let version = match input.read(4, 1)?[0] {
            1 => IndexVersion::V1,
            2 => IndexVersion::V2,
            other => {
                return Err(BlockError::Version { path: input.path().to_owned(), version: other.into() });
            }
        };
        let start = input.len() - LEN;
        let bytes = input.read(start, LEN)?;
        let (body, sum) = bytes.split_at((LEN - CRC_LEN) as usize);
        if crc32c(body).to_be_bytes() != *sum {
            return Err(input.corrupt(start, "the checksum of the table of contents is another"));
        }
        let mut scan = input.scan(body, start);
        let toc = Self {
            symbols: scan.u64()?,
            series: scan.u64()?,
            label_indices: scan.u64()?,
            label_offsets: scan.u64()?,
            postings: scan.u64()?,
            posting_offsets: scan.u64()?,
        };
        Ok((toc, version))
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let sections = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_offsets,
            self.postings,
            self.posting_offsets,
        ];
        let mut out: Vec<u8> = sections.iter().flat_map(|s| s.to_be_bytes()).collect();
        out.extend_from_slice(&crc32c(&out).to_be_bytes());
        out
    }
}
