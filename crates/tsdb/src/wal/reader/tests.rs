//! Tests of the reader over bytes in memory: round trips, damage, and bytes that mean nothing.

use super::*;
use crate::{
    options::WalCompression,
    wal::page::{Framable, frame},
};
use proptest::prelude::*;
use skopos_base::rng::Rng;

/// A file in memory that is only read.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl File for Bytes {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[self.0.len().min(offset as usize)..];
        // As a file may, it gives less than asked for.
        let n = rest.len().min(buf.len()).min(10_000);
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn append(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// The records of these bytes, and what was damaged.
fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<Fault>, u64) {
    let file = Bytes(bytes.to_vec());
    let mut reader = SegmentReader::new(&file);
    let (mut records, mut faults) = (Vec::new(), Vec::new());
    let most = bytes.len() + 10;
    for _ in 0..most {
        match reader.next().unwrap() {
            None => return (records, faults, reader.good_end()),
            Some(Item::Record(_, record)) => records.push(record.to_vec()),
            Some(Item::Fault(fault)) => faults.push(fault),
        }
    }
    panic!("a segment of {} bytes has more than {most} items", bytes.len());
}

const ALL: [Compression; 3] = [Compression::None, Compression::Snappy, Compression::Zstd];

/// A record that tells itself from all others.
fn record(i: u8, len: usize) -> Vec<u8> {
    (0..len).map(|k| (k as u8).wrapping_mul(31) ^ i).collect()
}

fn segment(records: &[Vec<u8>], compression: Compression) -> Vec<u8> {
    let mut out = Vec::new();
    for bytes in records {
        let packed = match compression {
            Compression::None => bytes.clone(),
            Compression::Snappy => snap::raw::Encoder::new().compress_vec(bytes).unwrap(),
            Compression::Zstd => zstd::bulk::compress(bytes, 1).unwrap(),
        };
        let bytes = &packed[..];
        frame(&mut out, 0, Framable { bytes, compression });
    }
    out
}

#[test]
fn what_was_framed_is_read() {
    for seed in 0..30 {
        let rng = Rng::from_seed(seed);
        let bounds = [20, 3000, 32_768, 200_000];
        let records: Vec<_> = (0..rng.below(20))
            .map(|i| record(i as u8, 1 + rng.below(bounds[i as usize % 4]) as usize))
            .collect();
        for compression in ALL {
            let bytes = segment(&records, compression);
            let (got, faults, good_end) = read(&bytes);
            assert!(faults.is_empty(), "seed {seed}: {faults:?}");
            assert_eq!(got, records, "seed {seed}");
            assert!(good_end <= bytes.len() as u64 && bytes.len() as u64 - good_end < HEADER_SIZE as u64);
        }
    }
}

/// Whatever is damaged on one page, the records that do not touch it are read.
#[test]
fn damage_costs_its_page_and_nothing_behind_it() {
    let lens = [10, 400, 33_000, 5, 20_000, 60_000, 7, 100_000, 8, 30_000, 9];
    let records: Vec<_> = lens.iter().enumerate().map(|(i, len)| record(i as u8, *len)).collect();
    let bytes = segment(&records, Compression::None);
    let pages_of: Vec<_> = (0..records.len())
        .map(|i| {
            let start = segment(&records[..i], Compression::None).len();
            let end = segment(&records[..=i], Compression::None).len();
            start / PAGE_SIZE..=(end - 1) / PAGE_SIZE
        })
        .collect();
    for page in 0..bytes.len() / PAGE_SIZE {
        for (kind, range) in
            [("zeros", 0..PAGE_SIZE), ("noise", 0..PAGE_SIZE), ("end", 20_000..PAGE_SIZE), ("bit", 3..4)]
        {
            let mut damaged = bytes.clone();
            for (k, b) in damaged[page * PAGE_SIZE..][range.clone()].iter_mut().enumerate() {
                *b = if kind == "zeros" { 0 } else { *b ^ (k as u8 | 1) };
            }
            let (got, faults, _) = read(&damaged);
            assert!(!faults.is_empty(), "page {page}: {kind}");
            for (i, record) in records.iter().enumerate() {
                if !pages_of[i].contains(&page) {
                    assert!(got.contains(record), "page {page}: {kind}: record {i} is gone");
                }
            }
            assert!(
                got.iter().all(|r| records.contains(r)),
                "page {page}: {kind}: a record that nobody wrote"
            );
        }
    }
}

#[test]
fn a_flipped_bit_of_a_header_makes_no_record() {
    let records = [record(1, 40), record(2, 90_000), record(3, 5)];
    for compression in ALL {
        let bytes = segment(&records, compression);
        let headers = (0..bytes.len()).filter(|at| at % PAGE_SIZE < 60);
        for at in headers {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                // The flag of compression is not covered by a checksum: then the bytes come as they are
                // written, and begin with a length or a magic number that is no kind of record.
                let as_written = |r: &Vec<u8>| {
                    snap::raw::Decoder::new().decompress_vec(r).is_ok_and(|d| records.contains(&d))
                        || zstd::bulk::decompress(r, 1 << 20).is_ok_and(|d| records.contains(&d))
                };
                let (got, ..) = read(&damaged);
                assert!(got.iter().all(|r| records.contains(r) || as_written(r)), "bit {bit} of byte {at}");
            }
        }
    }
}

#[test]
fn the_end_of_a_cut_segment_is_where_its_last_record_ends() {
    let records = [record(1, 40), record(2, 50), record(3, 60)];
    let bytes = segment(&records, Compression::None);
    let ends: Vec<usize> = (0..=3).map(|i| segment(&records[..i], Compression::None).len()).collect();
    for len in 0..bytes.len() {
        let (got, faults, good_end) = read(&bytes[..len]);
        let whole = ends.iter().filter(|e| **e <= len).count() - 1;
        assert_eq!(got, records[..whole], "{len} bytes");
        assert_eq!(good_end as usize, ends[whole]);
        assert_eq!(faults.len(), usize::from(len != ends[whole]), "{len} bytes");
        assert!(faults.iter().all(|f| f.offset as usize == ends[whole]));
    }
}

#[test]
fn zeros_at_the_end_are_padding_and_zeros_in_front_of_records_are_damage() {
    let one = segment(&[record(1, 40)], Compression::None);
    let mut padded = one.clone();
    padded.resize(5 * PAGE_SIZE + 17, 0);
    assert_eq!(read(&padded), (vec![record(1, 40)], vec![], one.len() as u64));
    padded.resize(6 * PAGE_SIZE, 0);
    padded.extend_from_slice(&one);
    let (records, faults, _) = read(&padded);
    assert_eq!(records.len(), 2);
    assert_eq!(
        faults,
        [Fault { offset: one.len() as u64, reason: "there are zeros where records should be" }]
    );
}

#[test]
fn a_compressed_record_is_not_trusted_about_its_length() {
    let mut claims = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    claims.extend([0; 30]);
    let mut bytes = Vec::new();
    frame(&mut bytes, 0, Framable { bytes: &claims, compression: Compression::Snappy });
    frame(&mut bytes, 0, Framable { bytes: &[1, 2, 3], compression: Compression::Zstd });
    frame(&mut bytes, 0, Framable { bytes: &[4], compression: Compression::None });
    let (records, faults, good_end) = read(&bytes);
    assert_eq!((records, faults.len(), good_end), (vec![vec![4]], 2, bytes.len() as u64));
    // Whatever snappy makes of real data, it is read.
    let same = vec![0; 1 << 20];
    assert_eq!(read(&segment(std::slice::from_ref(&same), Compression::Snappy)).0, [same]);
}

/// One fragment of these bytes, which are said to be compressed with zstd.
fn as_zstd(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame(&mut out, 0, Framable { bytes, compression: Compression::Zstd });
    out
}

#[test]
fn zstd_in_every_form_is_read() {
    let record = record(5, 300_000);
    let streamed = |size: Option<u64>, chunk: usize| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.set_pledged_src_size(size).unwrap();
        for part in record.chunks(chunk) {
            std::io::Write::write_all(&mut encoder, part).unwrap();
        }
        encoder.finish().unwrap()
    };
    for packed in [
        zstd::bulk::compress(&record, 1).unwrap(),
        zstd::bulk::compress(&record, 19).unwrap(),
        streamed(Some(300_000), 1000),
        streamed(None, 300_000),
        streamed(None, 100),
    ] {
        assert_eq!(read(&as_zstd(&packed)).0, [&record[..]]);
    }
    // Growth of any size, from nothing.
    let zeros = vec![0; 40 << 20];
    let packed = zstd::bulk::compress(&zeros, 1).unwrap();
    assert!(packed.len() < 10_000);
    assert_eq!(read(&as_zstd(&packed)).0, [zeros]);
    assert_eq!(read(&as_zstd(&zstd::bulk::compress(&[], 1).unwrap())).0, [Vec::<u8>::new()]);
}

#[test]
fn damaged_zstd_is_a_fault_and_asks_for_no_more_memory_than_comes_out() {
    let sound = zstd::bulk::compress(&record(1, 5000), 1).unwrap();
    for len in 0..sound.len() {
        let (records, faults, _) = read(&as_zstd(&sound[..len]));
        assert_eq!((records.len(), faults.len()), (0, 1), "{len} bytes");
    }
    for bit in 0..sound.len() * 8 {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // The checksum of the fragment is what finds damage; here only the reader's calm is tried.
        let (records, faults, _) = read(&as_zstd(&damaged));
        assert_eq!(records.len() + faults.len(), 1, "bit {bit}");
    }
    // A frame that declares 2^60 bytes, and one that goes on behind its end.
    let mut claims = vec![0x28, 0xb5, 0x2f, 0xfd, 0xe0];
    claims.extend((1u64 << 60).to_le_bytes());
    claims.extend([1, 0, 0]);
    let behind = [&sound[..], &[0]].concat();
    for (bytes, reason) in [
        (claims, "the compressed record claims an impossible length"),
        (behind, "there are bytes behind the compressed record"),
    ] {
        assert_eq!(read(&as_zstd(&bytes)).1, [Fault { offset: 0, reason }]);
    }
}

#[test]
fn a_record_is_compressed_where_that_makes_it_smaller() {
    let mut compressor = crate::wal::compress::Compressor::default();
    let (same, noise) = (vec![7; 1000], record(3, 4));
    for (how, compression) in [
        (WalCompression::None, Compression::None),
        (WalCompression::Snappy, Compression::Snappy),
        (WalCompression::Zstd, Compression::Zstd),
    ] {
        for _ in 0..2 {
            let (mut small, mut none) = (Vec::new(), Vec::new());
            let framed = compressor.compress(how, &same, &mut small);
            assert_eq!(framed.compression, compression);
            let mut out = Vec::new();
            frame(&mut out, 0, framed);
            assert!(how == WalCompression::None || out.len() < 100);
            assert_eq!(read(&out).0, [&same[..]]);
            let framed = compressor.compress(how, &noise, &mut none);
            assert_eq!((framed.compression, framed.bytes), (Compression::None, &noise[..]));
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        read(&bytes);
    }

    /// Damaged segments get further into the reader than noise does.
    #[test]
    fn damaged_segments_never_make_a_record(
        damage in prop::collection::vec((0usize..70_000, any::<u8>()), 1..6),
        len in 0usize..70_000,
    ) {
        let records = [record(1, 100), record(2, 40_000), record(3, 20_000), record(4, 9000)];
        let mut bytes = segment(&records, Compression::None);
        for (at, mask) in damage {
            let at = at % bytes.len();
            bytes[at] ^= mask;
        }
        bytes.truncate(len.max(1));
        for got in read(&bytes).0 {
            prop_assert!(records.contains(&got));
        }
    }
}
