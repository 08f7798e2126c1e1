//! The layout of a head chunk file (docs/formats/head-chunks.md): its header and its entries, to and from
//! bytes. Never panics on bytes, never trusts a length; knows no file.

use skopos_base::crc::crc32c;
use skopos_base::varint;
use skopos_chunk::{Encoding, samples_in};
use skopos_model::TimestampMs;
use std::ops::Range;

/// The bytes before the first entry.
pub(crate) const HEADER_SIZE: usize = 8;
/// A file takes no entry that would make it longer.
pub(crate) const MAX_FILE_BYTES: u32 = 128 << 20;
/// The bytes before an entry's length: series, times, encoding.
const FIXED_SIZE: usize = 8 + 8 + 8 + 1;
const CRC_SIZE: usize = 4;
/// The most bytes of an entry beside its chunk.
pub(crate) const MAX_OVERHEAD: usize = FIXED_SIZE + varint::MAX_LEN + CRC_SIZE;

const MAGIC: u32 = 0x0130_BC91;
const VERSION: u8 = 1;
/// Set in the encoding of a chunk of out-of-order samples.
const OUT_OF_ORDER_MASK: u8 = 0x80;

/// The bytes that a file begins with.
pub(crate) fn header() -> [u8; HEADER_SIZE] {
    let mut out = [0; HEADER_SIZE];
    out[..4].copy_from_slice(&MAGIC.to_be_bytes());
    out[4] = VERSION;
    out
}

/// Whether the samples of a chunk came in the order of their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    InOrder,
    OutOfOrder,
}

/// One chunk of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The number of its series in the WAL; not zero.
    pub(crate) wal_ref: u64,
    /// Of its first sample.
    pub(crate) min: TimestampMs,
    /// Of its last sample.
    pub(crate) max: TimestampMs,
    pub(crate) encoding: Encoding,
    pub(crate) order: Order,
    pub(crate) bytes: &'a [u8],
}

/// What is wrong with the bytes at the start of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryError {
    #[error("the file begins with other bytes than a head chunk file of version 1")]
    NoHeader,
    #[error("the file ends inside of an entry")]
    Truncated,
    #[error("an entry claims {0} bytes, more than a file may have")]
    TooLong(u64),
    #[error("the length of an entry has more than 64 bits")]
    Overflow,
    #[error("the checksum of an entry is {found:#010x}, its bytes give {computed:#010x}")]
    Checksum { found: u32, computed: u32 },
    #[error("an entry has the encoding {0}, which is unknown")]
    UnknownEncoding(u8),
    #[error("an entry is of series 0")]
    NoSeries,
    #[error("an entry ends before it begins, or lasts longer than any chunk")]
    BadTimes,
    #[error("an entry has no samples")]
    NoSamples,
    #[error("an entry is not the chunk that was looked for")]
    Other,
}

/// Checks the first bytes of a file.
pub(crate) fn check_header(bytes: &[u8]) -> Result<(), EntryError> {
    // The padding is not looked at, as others do not.
    match bytes.get(..5) {
        Some(start) if start == &header()[..5] && bytes.len() >= HEADER_SIZE => Ok(()),
        _ => Err(EntryError::NoHeader),
    }
}

/// Appends an entry; returns its length.
pub(crate) fn push_entry(out: &mut Vec<u8>, entry: &Entry<'_>) -> usize {
    let start = out.len();
    out.extend_from_slice(&entry.wal_ref.to_be_bytes());
    out.extend_from_slice(&entry.min.as_ms().to_be_bytes());
    out.extend_from_slice(&entry.max.as_ms().to_be_bytes());
    let mask = if entry.order == Order::OutOfOrder { OUT_OF_ORDER_MASK } else { 0 };
    out.push(entry.encoding.as_byte() | mask);
    varint::put_uvarint(out, entry.bytes.len() as u64);
    out.extend_from_slice(entry.bytes);
    let crc = crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
    out.len() - start
}

/// Where the chunk of the entry at the start of `bytes` stands, and how long the entry is. Only lengths are
/// looked at.
pub(crate) fn extent(bytes: &[u8]) -> Result<(Range<usize>, usize), EntryError> {
    let rest = bytes.get(FIXED_SIZE..).ok_or(EntryError::Truncated)?;
    let Some((len, n)) = varint::uvarint(rest) else {
        return Err(if rest.len() >= varint::MAX_LEN { EntryError::Overflow } else { EntryError::Truncated });
    };
    let len = u32::try_from(len).ok().filter(|l| *l <= MAX_FILE_BYTES).ok_or(EntryError::TooLong(len))?;
    let start = FIXED_SIZE + n;
    let end = start + len as usize;
    Ok((start..end, end + CRC_SIZE))
}

/// The entry at the start of `bytes`, checked, and its length.
pub(crate) fn parse_entry(bytes: &[u8]) -> Result<(Entry<'_>, usize), EntryError> {
    let (chunk, len) = extent(bytes)?;
    let entry = bytes.get(..len).ok_or(EntryError::Truncated)?;
    let (checked, crc) = entry.split_at(chunk.end);
    let found = u32::from_be_bytes(crc.try_into().map_err(|_| EntryError::Truncated)?);
    let computed = crc32c(checked);
    if found != computed {
        return Err(EntryError::Checksum { found, computed });
    }
    let number = |at: usize| entry[at..at + 8].iter().fold(0, |n, b| (n << 8) | u64::from(*b));
    let (wal_ref, min, max) = (number(0), number(8) as i64, number(16) as i64);
    let encoding = entry[24];
    let order = if encoding & OUT_OF_ORDER_MASK == 0 { Order::InOrder } else { Order::OutOfOrder };
    let known = Encoding::from_byte(encoding & !OUT_OF_ORDER_MASK);
    let encoding = known.ok_or(EntryError::UnknownEncoding(encoding))?;
    if wal_ref == 0 {
        return Err(EntryError::NoSeries);
    }
    if max.checked_sub(min).is_none_or(|span| u32::try_from(span).is_err()) {
        return Err(EntryError::BadTimes);
    }
    let bytes = &entry[chunk];
    if samples_in(encoding, bytes).unwrap_or(0) == 0 {
        return Err(EntryError::NoSamples);
    }
    let (min, max) = (TimestampMs::new(min), TimestampMs::new(max));
    Ok((Entry { wal_ref, min, max, encoding, order, bytes }, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample_entry(bytes: &[u8]) -> Entry<'_> {
        Entry {
            wal_ref: 7,
            min: TimestampMs::new(-5),
            max: TimestampMs::new(1000),
            encoding: Encoding::Xor,
            order: Order::OutOfOrder,
            bytes,
        }
    }

    #[test]
    fn an_entry_is_laid_out_as_prometheus_writes_it() {
        let mut out = Vec::new();
        let len = push_entry(&mut out, &sample_entry(&[0, 1, 9]));
        let mut expected = vec![0, 0, 0, 0, 0, 0, 0, 7];
        expected.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfb, 0, 0, 0, 0, 0, 0, 3, 0xe8]);
        expected.extend([0x81, 3, 0, 1, 9]);
        let crc = crc32c(&expected);
        expected.extend(crc.to_be_bytes());
        assert_eq!((out, len), (expected, 33));
        assert_eq!(header(), [0x01, 0x30, 0xbc, 0x91, 1, 0, 0, 0]);
    }

    #[test]
    fn every_bit_flipped_and_every_truncation_is_found() {
        let chunk: Vec<u8> = [0, 3].into_iter().chain(0..200).collect();
        let mut out = Vec::new();
        push_entry(&mut out, &sample_entry(&chunk));
        assert_eq!(parse_entry(&out).unwrap(), (sample_entry(&chunk), out.len()));
        for bit in 0..out.len() * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_entry(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..out.len() {
            assert_eq!(parse_entry(&out[..len]), Err(EntryError::Truncated), "{len} bytes");
        }
    }

    #[test]
    fn what_no_writer_writes_is_refused() {
        let sound = sample_entry(&[0, 1, 9]);
        for (entry, error) in [
            (Entry { wal_ref: 0, ..sound }, EntryError::NoSeries),
            (Entry { max: TimestampMs::new(-6), ..sound }, EntryError::BadTimes),
            (Entry { min: TimestampMs::MIN, ..sound }, EntryError::BadTimes),
            (Entry { bytes: &[0, 0, 1], ..sound }, EntryError::NoSamples),
            (Entry { bytes: &[1], ..sound }, EntryError::NoSamples),
        ] {
            let mut out = Vec::new();
            push_entry(&mut out, &entry);
            assert_eq!(parse_entry(&out), Err(error));
        }
        for bad in
            [&header()[..7], b"", &[0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0], &[1, 0x30, 0xbc, 0x91, 2, 0, 0, 0]]
        {
            assert_eq!(check_header(bad), Err(EntryError::NoHeader));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse_entry(&bytes);
            let _ = check_header(&bytes);
        }
    }
}
