//! `Tombstones`: which samples of a block are deleted, and their file. Knows no chunk.

use super::{error::BlockError, files, input::Input};
use crate::intervals::{Interval, Intervals};
use skopos_base::{
    crc::crc32c,
    fs::Fs,
    varint::{put_uvarint, put_varint},
};
use skopos_model::SeriesRef;
use std::{collections::BTreeMap, path::Path};

/// The file's name in a block's directory.
pub const TOMBSTONES_FILE: &str = "tombstones";
const MAGIC: u32 = 0x0130_BA30;
const VERSION: u8 = 1;
const CRC_LEN: u64 = 4;
const HEADER_LEN: u64 = 5;

/// Which samples of a block's series are deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    by_series: BTreeMap<SeriesRef, Intervals>,
}

impl Tombstones {
    /// Deletes a span of the series.
    pub fn add(&mut self, series: SeriesRef, span: Interval) {
        self.by_series.entry(series).or_default().add(span);
    }

    /// What is deleted of the series.
    pub fn get(&self, series: SeriesRef) -> Option<&Intervals> {
        self.by_series.get(&series)
    }

    /// The series that something is deleted of.
    pub fn series(&self) -> impl Iterator<Item = SeriesRef> + '_ {
        self.by_series.keys().copied()
    }

    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }

    /// How many ranges there are, over all series.
    pub fn len(&self) -> usize {
        self.by_series.values().map(|i| i.as_slice().len()).sum()
    }

    /// Reads the file of the block in `dir`. Where there is none, nothing is deleted.
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Self, BlockError> {
        let path = dir.join(TOMBSTONES_FILE);
        if !fs.exists(&path).map_err(BlockError::io("looking for", &path))? {
            return Ok(Self::default());
        }
        let input = Input::open(fs, path)?;
        if input.len() < HEADER_LEN + CRC_LEN {
            return Err(input.corrupt(0, format!("{} bytes are no tombstone file", input.len())));
        }
        let bytes = input.read(0, input.len())?;
        let (body, sum) = bytes.split_at((input.len() - CRC_LEN) as usize);
        let mut scan = input.scan(body, 0);
        if scan.u32()? != MAGIC {
            return Err(input.corrupt(0, "it does not begin as a tombstone file"));
        }
        let version = scan.byte()?;
        if version != VERSION {
            return Err(BlockError::Version { path: input.path().to_owned(), version: version.into() });
        }
        if crc32c(scan.rest()).to_be_bytes() != *sum {
            return Err(scan.corrupt("its checksum is another"));
        }
        let mut out = Self::default();
        while !scan.is_empty() {
            let Some(series) = SeriesRef::new(scan.uvarint()?) else {
                return Err(scan.corrupt("series 0 is none"));
            };
            // Empty spans of other writers delete nothing.
            if let Some(span) = Interval::new(scan.varint()?, scan.varint()?) {
                out.add(series, span);
            }
        }
        Ok(out)
    }

    /// Writes the file of the block in `dir`, in the place of an older one, and makes it durable.
    pub fn write(&self, fs: &dyn Fs, dir: &Path) -> Result<(), BlockError> {
        let mut out = MAGIC.to_be_bytes().to_vec();
        out.push(VERSION);
        for (series, intervals) in &self.by_series {
            for span in intervals.as_slice() {
                put_uvarint(&mut out, series.get());
                put_varint(&mut out, span.min_ms);
                put_varint(&mut out, span.max_ms);
            }
        }
        // The version is not part of it.
        let sum = crc32c(&out[HEADER_LEN as usize..]);
        out.extend_from_slice(&sum.to_be_bytes());
        files::replace(fs, dir, TOMBSTONES_FILE, &out)
    }
}
