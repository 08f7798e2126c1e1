//! The decoder of head chunk files. Checksums are made to hold, so that the bytes behind them are looked at.

use crate::head_chunks::format::{Entry, Order, extent, parse_entry, push_entry};
use skopos_base::crc::crc32c;
use skopos_chunk::{Encoding, XorEncoder};
use skopos_model::TimestampMs;

/// What was read is written and read again.
pub fn entry(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if let Ok((chunk, len)) = extent(&bytes)
        && len <= bytes.len()
    {
        let crc = crc32c(&bytes[..chunk.end]);
        bytes[chunk.end..len].copy_from_slice(&crc.to_be_bytes());
    }
    if let Ok((entry, len)) = parse_entry(&bytes) {
        assert!(len <= bytes.len());
        let mut again = Vec::new();
        push_entry(&mut again, &entry);
        assert_eq!(parse_entry(&again), Ok((entry, again.len())));
    }
}

pub fn entry_seeds() -> Vec<Vec<u8>> {
    let mut chunk = XorEncoder::new();
    (0..9).for_each(|i| chunk.append(TimestampMs::new(1000 * i), i as f64));
    let mut seed = |order| {
        let (min, max) = (TimestampMs::new(0), TimestampMs::new(8000));
        let entry = Entry { wal_ref: 7, min, max, order, encoding: Encoding::Xor, bytes: chunk.bytes() };
        let mut out = Vec::new();
        push_entry(&mut out, &entry);
        out
    };
    vec![seed(Order::InOrder), seed(Order::OutOfOrder)]
}
