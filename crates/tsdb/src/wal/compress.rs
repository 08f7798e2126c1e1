//! Records smaller and back. A length that a record declares is never trusted: memory grows with what comes
//! out, up to a limit. Knows no page.

use super::page::{Compression, Framable};
use crate::options::WalCompression;
use zstd::{
    stream::raw::{Decoder as ZstdDecoder, Operation},
    zstd_safe::{DParameter, InBuffer, OutBuffer, get_frame_content_size},
};

/// Prometheus' "fastest"; higher levels gain little on records of samples.
const ZSTD_LEVEL: i32 = 1;
/// Snappy's densest element makes 64 bytes out of 3. A record that claims to grow by more is damaged,
/// and is refused before any memory is asked for.
const SNAPPY_MAX_GROWTH: usize = 24;
/// The longest record that zstd may make. Ours end at the length of a segment, Prometheus' too.
const ZSTD_MAX_BYTES: usize = 256 << 20;
/// The largest window that a record may ask for, as a power of two.
const ZSTD_MAX_WINDOW_LOG: u32 = 27;
/// Memory that is asked for at once where a record declares more.
const ZSTD_FIRST_BYTES: usize = 1 << 20;

/// Compresses records. What an algorithm needs is made when it is first used.
#[derive(Default)]
pub(crate) struct Compressor {
    snappy: Option<Box<snap::raw::Encoder>>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// A record as it is to be framed: compressed where that makes it smaller, in `out`.
    pub(crate) fn compress<'a>(
        &mut self,
        how: WalCompression,
        bytes: &'a [u8],
        out: &'a mut Vec<u8>,
    ) -> Framable<'a> {
        let compression = match how {
            WalCompression::None => Compression::None,
            WalCompression::Snappy => Compression::Snappy,
            WalCompression::Zstd => Compression::Zstd,
        };
        let len = match how {
            WalCompression::None => None,
            WalCompression::Snappy => self.snappy(bytes, out),
            WalCompression::Zstd => self.zstd(bytes, out),
        };
        match len {
            Some(n) if n < bytes.len() => Framable { bytes: &out[..n], compression },
            _ => Framable { bytes, compression: Compression::None },
        }
    }

    fn snappy(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        // 0: longer than snappy can say.
        let room = Some(snap::raw::max_compress_len(bytes.len())).filter(|room| *room > 0)?;
        if out.len() < room {
            out.resize(room, 0);
        }
        self.snappy.get_or_insert_with(|| Box::new(snap::raw::Encoder::new())).compress(bytes, out).ok()
    }

    fn zstd(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        if bytes.len() > ZSTD_MAX_BYTES {
            // It would not be read again.
            return None;
        }
        // What does not shrink is written as it is, so there need not be room for more.
        if out.len() < bytes.len() {
            out.resize(bytes.len(), 0);
        }
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        self.zstd.as_mut()?.compress_to_buffer(bytes, &mut out[..bytes.len()]).ok()
    }
}

/// Decompresses records, one after the other.
#[derive(Default)]
pub(super) struct Decompressor {
    out: Vec<u8>,
    snappy: snap::raw::Decoder,
    zstd: Option<ZstdDecoder<'static>>,
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor").field("bytes", &self.out.len()).finish_non_exhaustive()
    }
}

impl Decompressor {
    /// The record that these bytes are the compressed form of, or what is wrong with them.
    pub(super) fn snappy(&mut self, raw: &[u8]) -> Result<&[u8], &'static str> {
        let len = snap::raw::decompress_len(raw).unwrap_or(usize::MAX);
        if len > raw.len().saturating_mul(SNAPPY_MAX_GROWTH) {
            return Err("the compressed record claims an impossible length");
        }
        if self.out.len() < len {
            self.out.resize(len, 0);
        }
        match self.snappy.decompress(raw, &mut self.out[..len]) {
            Ok(n) if n == len => Ok(&self.out[..n]),
            _ => Err("the compressed record cannot be decompressed"),
        }
    }

    /// As `snappy`.
    pub(super) fn zstd(&mut self, raw: &[u8]) -> Result<&[u8], &'static str> {
        const BROKEN: &str = "the compressed record cannot be decompressed";
        let declared = get_frame_content_size(raw).map_err(|_| BROKEN)?;
        if declared.is_some_and(|n| n > ZSTD_MAX_BYTES as u64) {
            return Err("the compressed record claims an impossible length");
        }
        let decoder = match &mut self.zstd {
            Some(decoder) => decoder,
            none => none.insert(new_zstd_decoder().map_err(|_| BROKEN)?),
        };
        decoder.reinit().map_err(|_| BROKEN)?;
        let likely = declared.map_or(raw.len() * 4, |n| n as usize);
        let first = likely.min(ZSTD_FIRST_BYTES.max(raw.len() * 16)).max(1);
        if self.out.len() < first {
            self.out.resize(first, 0);
        }
        let mut input = InBuffer::around(raw);
        let mut done = 0;
        loop {
            let mut output = OutBuffer::around(&mut self.out[done..]);
            let missing = decoder.run(&mut input, &mut output).map_err(|_| BROKEN)?;
            let made = output.pos();
            done += made;
            if missing == 0 {
                break;
            }
            if done < self.out.len() && input.pos == raw.len() {
                return Err("the compressed record ends before its data does");
            }
            if done == self.out.len() {
                if done >= ZSTD_MAX_BYTES {
                    return Err("the compressed record is longer than any writer writes");
                }
                self.out.resize((done * 2).min(ZSTD_MAX_BYTES), 0);
            }
        }
        if input.pos < raw.len() {
            return Err("there are bytes behind the compressed record");
        }
        Ok(&self.out[..done])
    }
}

fn new_zstd_decoder() -> std::io::Result<ZstdDecoder<'static>> {
    let mut decoder = ZstdDecoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_MAX_WINDOW_LOG))?;
    Ok(decoder)
}
