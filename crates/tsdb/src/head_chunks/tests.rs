//! Tests of whole files: written, found again, damaged in every way, refused by the disk, removed.

use super::*;
use crate::error::OpenError;
use skopos_base::{
    fs::{Fs, OpenMode, append_all, read_all},
    rng::Rng,
    sim::fs::{Failure, OpKind, SimFs},
};
use std::path::Path;

const DIR: &str = "/chunks_head";

/// A chunk as it was put.
#[derive(Clone, Debug, PartialEq)]
struct Put {
    wal_ref: u64,
    min_ms: i64,
    max_ms: i64,
    order: Order,
    bytes: Vec<u8>,
    meta: ChunkMeta,
}

fn open(fs: &SimFs, max_file_bytes: u32) -> Result<(HeadChunks, Loaded), OpenError> {
    let fs: SharedFs = Arc::new(fs.clone());
    fs.create_dir_all(Path::new(DIR)).unwrap();
    HeadChunks::open(&fs, Path::new(DIR), max_file_bytes).map(|opened| (opened.chunks, opened.loaded))
}

fn put_some(chunks: &HeadChunks, rng: &Rng, count: usize) -> Vec<Put> {
    let one = |i: usize| {
        let samples = 1 + rng.below(120) as u16;
        let mut bytes = samples.to_be_bytes().to_vec();
        bytes.extend((0..rng.below(60)).map(|_| rng.next_u64() as u8));
        let (wal_ref, min_ms) = (1 + rng.below(4), i as i64 * 1000);
        let order = if rng.below(4) == 0 { Order::OutOfOrder } else { Order::InOrder };
        let max_ms = min_ms + rng.below(1000) as i64;
        let entry = Entry {
            wal_ref,
            min: TimestampMs::new(min_ms),
            max: TimestampMs::new(max_ms),
            encoding: Encoding::Xor,
            order,
            bytes: &bytes,
        };
        let meta = chunks.put(&entry);
        assert_eq!((meta.min_ms(), meta.max_ms(), meta.samples()), (min_ms, max_ms, samples));
        Put { wal_ref, min_ms, max_ms, order, bytes, meta }
    };
    (0..count).map(one).collect()
}

fn write_all(chunks: &HeadChunks) {
    chunks.write(chunks.seal()).unwrap();
    assert_eq!(chunks.buffered_bytes(), 0);
}

fn assert_readable(chunks: &HeadChunks, put: &[Put]) {
    let mut out = vec![1, 2, 3];
    for p in put {
        let read = chunks.read(&p.meta, &mut out).unwrap();
        assert_eq!((read.encoding, &out[read.bytes]), (Encoding::Xor, &p.bytes[..]));
    }
}

/// Checks that what was loaded are the first chunks that were put, all readable; how many.
fn loaded_prefix(chunks: &HeadChunks, loaded: &Loaded, put: &[Put]) -> usize {
    let count = loaded.in_order.len() + loaded.out_of_order.len();
    let prefix = &put[..count];
    for wal_ref in 0..6 {
        for order in [Order::InOrder, Order::OutOfOrder] {
            let of = |p: &&Put| p.wal_ref == wal_ref && p.order == order;
            let expected: Vec<_> = prefix.iter().filter(of).map(|p| p.meta).collect();
            assert_eq!(loaded.chunks(wal_ref, order).collect::<Vec<_>>(), expected);
        }
    }
    assert_readable(chunks, prefix);
    count
}

#[test]
fn chunks_are_readable_before_and_after_they_are_written_and_found_again() {
    for seed in 0..30 {
        let (fs, rng) = (SimFs::new(seed), Rng::from_seed(seed));
        let mut put = Vec::new();
        for _ in 0..3 {
            let (chunks, loaded) = open(&fs, 900).unwrap();
            assert_eq!(loaded_prefix(&chunks, &loaded, &put), put.len(), "seed {seed}");
            for _ in 0..3 {
                put.extend(put_some(&chunks, &rng, 17));
                assert_readable(&chunks, &put);
                let sealed = chunks.seal();
                let later = put_some(&chunks, &rng, 3);
                chunks.write(sealed).unwrap();
                assert!(chunks.buffered_bytes() > 0, "what was put after the seal is not written");
                put.extend(later);
                assert_readable(&chunks, &put);
            }
            write_all(&chunks);
            assert_readable(&chunks, &put);
        }
        let files = Fs::read_dir(&fs, Path::new(DIR)).unwrap();
        assert!(files.len() > 6 && files.iter().all(|f| f.len <= 900), "seed {seed}: {files:?}");
    }
}

#[test]
fn a_chunk_longer_than_a_meta_can_say_comes_back() {
    let fs = SimFs::new(1);
    let (chunks, _) = open(&fs, MAX_FILE_BYTES).unwrap();
    let bytes: Vec<u8> = (0..200_000).map(|i| i as u8 | 1).collect();
    let entry = Entry {
        wal_ref: 1,
        min: TimestampMs::new(0),
        max: TimestampMs::new(1),
        encoding: Encoding::Histogram,
        order: Order::InOrder,
        bytes: &bytes,
    };
    let meta = chunks.put(&entry);
    write_all(&chunks);
    let mut out = Vec::new();
    let read = chunks.read(&meta, &mut out).unwrap();
    assert!(read.encoding == Encoding::Histogram && out[read.bytes] == bytes);
}

fn three_files() -> (SimFs, Vec<Put>) {
    let fs = SimFs::new(7);
    let (chunks, _) = open(&fs, 700).unwrap();
    let put = put_some(&chunks, &Rng::from_seed(7), 24);
    write_all(&chunks);
    assert_eq!(put.last().map(|p| p.meta.file()), Some(3));
    (fs, put)
}

fn with_file(fs: &SimFs, index: u32, bytes: &[u8]) -> SimFs {
    let copy = fs.process_crash();
    let path = file_path(Path::new(DIR), index);
    Fs::remove_file(&copy, &path).unwrap();
    let mut file = Fs::open(&copy, &path, OpenMode::CreateNew).unwrap();
    append_all(&mut *file, bytes).unwrap();
    copy
}

/// What stands before the damage is kept, what stands behind it goes; the next opening finds all sound.
fn check_damaged(fs: &SimFs, put: &[Put], from_file: u32, about: &str) {
    let whole = put.iter().filter(|p| p.meta.file() < from_file).count();
    let (chunks, loaded) = open(fs, 700).unwrap();
    let kept = loaded_prefix(&chunks, &loaded, put);
    assert!(kept >= whole, "{about}: {kept} of {whole} chunks in sound files");
    assert_eq!(loaded.damaged_files > 0, kept < put.len(), "{about}");
    let more = put_some(&chunks, &Rng::from_seed(9), 12);
    write_all(&chunks);
    assert_readable(&chunks, &more);
    drop(chunks);
    let expected: Vec<Put> = put[..kept].iter().chain(&more).cloned().collect();
    let (chunks, loaded) = open(fs, 700).unwrap();
    assert_eq!(loaded_prefix(&chunks, &loaded, &expected), expected.len(), "{about}");
    assert_eq!(loaded.damaged_files, 0, "{about}");
}

#[test]
fn every_bit_flipped_costs_chunks_behind_it_and_never_makes_a_wrong_one() {
    let (fs, put) = three_files();
    let sound = read_all(&fs, &file_path(Path::new(DIR), 2)).unwrap();
    for bit in 0..sound.len() * 8 {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let fs = with_file(&fs, 2, &bytes);
        if (40..64).contains(&bit) {
            // Nobody looks at the padding of the header.
            assert_eq!(open(&fs, 700).unwrap().1.damaged_files, 0);
        } else {
            check_damaged(&fs, &put, 2, &format!("bit {bit}"));
        }
    }
}

#[test]
fn every_truncation_keeps_what_is_whole() {
    let (fs, put) = three_files();
    for index in [2, 3] {
        let sound = read_all(&fs, &file_path(Path::new(DIR), index)).unwrap();
        for len in 0..sound.len() {
            let cut = with_file(&fs, index, &sound[..len]);
            let (_, loaded) = open(&cut.process_crash(), 700).unwrap();
            let kept = loaded.in_order.len() + loaded.out_of_order.len();
            if loaded.damaged_files == 0 {
                // Cut between two entries: nothing says that there was more.
                assert!(kept < put.len());
                continue;
            }
            check_damaged(&cut, &put, index, &format!("file {index} cut to {len} bytes"));
        }
    }
}

#[test]
fn zeros_at_the_end_of_a_file_are_no_damage() {
    let (fs, put) = three_files();
    let mut bytes = read_all(&fs, &file_path(Path::new(DIR), 3)).unwrap();
    for zeros in [1, 29, 30, 34, 35, 100, 70_000] {
        bytes.resize(bytes.len() + zeros, 0);
        let fs = with_file(&fs, 3, &bytes);
        let (chunks, loaded) = open(&fs, 700).unwrap();
        assert_eq!((loaded_prefix(&chunks, &loaded, &put), loaded.damaged_files), (put.len(), 0));
    }
}

#[test]
fn files_behind_a_missing_one_go() {
    let (fs, put) = three_files();
    Fs::remove_file(&fs, &file_path(Path::new(DIR), 2)).unwrap();
    let (chunks, loaded) = open(&fs, 700).unwrap();
    let first = put.iter().filter(|p| p.meta.file() == 1).count();
    assert_eq!((loaded_prefix(&chunks, &loaded, &put), loaded.damaged_files), (first, 1));
    assert_eq!(put_some(&chunks, &Rng::from_seed(1), 1)[0].meta.file(), 2);
}

#[test]
fn damage_found_by_a_reader_is_an_error_and_no_sample() {
    let (fs, put) = three_files();
    let (chunks, _) = open(&fs, 700).unwrap();
    let mut out = Vec::new();
    let moved = ChunkMeta { offset: put[0].meta.offset, file: 1, ..put[1].meta };
    assert!(matches!(chunks.read(&moved, &mut out), Err(QueryError::Corrupt { .. })));
    let outside = ChunkMeta { offset: 5000, ..put[0].meta };
    assert!(matches!(chunks.read(&outside, &mut out), Err(QueryError::Corrupt { .. })));
    let absent = ChunkMeta { file: 0, ..put[0].meta };
    assert!(matches!(chunks.read(&absent, &mut out), Err(QueryError::Io { .. })));
}

#[test]
fn what_the_disk_refuses_stays_readable_and_is_written_later() {
    let failures = [OpKind::Create, OpKind::Append, OpKind::SyncDir, OpKind::Open, OpKind::Sync];
    for kind in failures {
        for n in 1..5 {
            let fs = SimFs::new(n);
            let (chunks, _) = open(&fs, 700).unwrap();
            let mut put = put_some(&chunks, &Rng::from_seed(n), 10);
            fs.fail_nth(kind, n, Failure::Io);
            for round in 0..8 {
                let _ = chunks.write(chunks.seal());
                assert_readable(&chunks, &put);
                put.extend(put_some(&chunks, &Rng::from_seed(100 + round), 4));
            }
            write_all(&chunks);
            assert_readable(&chunks, &put);
            drop(chunks);
            let (chunks, loaded) = open(&fs, 700).unwrap();
            assert_eq!(loaded_prefix(&chunks, &loaded, &put), put.len(), "{kind:?} {n}");
        }
    }
}

#[test]
fn what_a_failed_synchronisation_left_in_doubt_is_never_vouched_for() {
    for n in 1..=3 {
        let fs = SimFs::new(n);
        let (chunks, _) = open(&fs, 700).unwrap();
        let put = put_some(&chunks, &Rng::from_seed(n), 24);
        assert_eq!(put.last().map(|p| p.meta.file()), Some(3));
        // The first two when the next file begins, the third by `sync` itself.
        fs.fail_nth(OpKind::Sync, n, Failure::Io);
        write_all(&chunks);
        for _ in 0..3 {
            assert!(chunks.sync().is_err(), "{n}");
        }
        assert_readable(&chunks, &put);
        assert_eq!(chunks.truncate(i64::MAX, u32::MAX).unwrap(), 3);
        assert!(chunks.sync().is_ok(), "{n}: what was in doubt has gone");
    }
}

#[test]
fn files_that_a_killed_process_left_are_synchronised_before_they_are_vouched_for() {
    let (fs, _) = three_files();
    for n in 1..=3 {
        let fs = fs.process_crash();
        let (chunks, _) = open(&fs, 700).unwrap();
        fs.fail_nth(OpKind::Sync, n, Failure::Io);
        assert!(chunks.sync().is_err() && chunks.sync().is_err(), "{n}");
    }
}

#[test]
fn a_full_disk_keeps_chunks_in_memory_until_there_is_room() {
    let fs = SimFs::new(3);
    let (chunks, _) = open(&fs, 5000).unwrap();
    let put = put_some(&chunks, &Rng::from_seed(3), 40);
    fs.set_capacity(Some(1500));
    assert!(chunks.write(chunks.seal()).is_err());
    assert_readable(&chunks, &put);
    fs.set_capacity(None);
    write_all(&chunks);
    let (chunks, loaded) = open(&fs, 5000).unwrap();
    assert_eq!(loaded_prefix(&chunks, &loaded, &put), put.len());
}

#[test]
fn whole_files_go_from_the_oldest_on() {
    let (fs, put) = three_files();
    let (chunks, _) = open(&fs, 700).unwrap();
    let names = || Fs::read_dir(&fs, Path::new(DIR)).unwrap().into_iter().map(|e| e.name).collect::<Vec<_>>();
    let end_of = |file| put.iter().filter(|p| p.meta.file() == file).map(|p| p.max_ms).max().unwrap();
    assert_eq!(chunks.truncate(end_of(1), u32::MAX).unwrap(), 0);
    assert_eq!(chunks.truncate(i64::MAX, 1).unwrap(), 0);
    assert_eq!(chunks.truncate(end_of(1) + 1, u32::MAX).unwrap(), 1);
    assert_eq!(names(), ["000002", "000003"]);
    assert_readable(&chunks, &put.iter().filter(|p| p.meta.file() > 1).cloned().collect::<Vec<_>>());
    // What is put after a truncation begins a file, so that the one before can go.
    let four = put_some(&chunks, &Rng::from_seed(1), 1);
    write_all(&chunks);
    assert_eq!(chunks.truncate(i64::MAX, 4).unwrap(), 2);
    assert_readable(&chunks, &four);
    let five = put_some(&chunks, &Rng::from_seed(1), 1);
    write_all(&chunks);
    assert_eq!((four[0].meta.file(), five[0].meta.file()), (4, 5));
    assert_eq!(names(), ["000004", "000005"]);
    assert_readable(&chunks, &four);
    // What is not written yet keeps its file, and what is written need not wait for more.
    put_some(&chunks, &Rng::from_seed(1), 1);
    assert_eq!(chunks.truncate(i64::MAX, u32::MAX).unwrap(), 1);
    write_all(&chunks);
    assert_eq!((names(), chunks.truncate(i64::MAX, u32::MAX).unwrap()), (vec!["000005".to_owned()], 1));
}

mod starts {
    //! Chunks of histograms with start timestamps, made by hand from the layout of Prometheus'
    //! `tsdb/chunkenc` (`histogram_st.go`, `float_histogram_st.go`, `st.go`, `varbit.go`), which no release
    //! that runs here writes: three bytes of header, the hint of resets in the two upper bits of the count.

    use super::*;
    use skopos_base::varint::put_varint;
    use skopos_chunk::{ChunkValue, SampleIter, decode_columns};
    use skopos_model::{Columns, histogram::CounterResetHint};

    /// Bits, the highest of a byte first.
    #[derive(Default)]
    struct Bits(Vec<bool>);

    impl Bits {
        fn put(&mut self, value: u64, len: u32) {
            self.0.extend((0..len).rev().map(|bit| value >> bit & 1 == 1));
        }

        /// A prefix of ones that says how long the number is, and the number.
        fn prefixed(&mut self, ones: u32, value: u64, len: u32) {
            self.put((1 << (ones + 1)) - 2, ones + 1);
            self.put(value, len);
        }

        fn unsigned(&mut self, value: u64) {
            match value {
                0 => self.put(0, 1),
                1..=7 => self.prefixed(1, value, 3),
                8..=63 => self.prefixed(2, value, 6),
                _ => unreachable!("no number of this test is so large"),
            }
        }

        fn signed(&mut self, value: i64) {
            match value {
                0 => self.put(0, 1),
                -3..=4 => self.prefixed(1, value as u64, 3),
                -31..=32 => self.prefixed(2, value as u64, 6),
                -255..=256 => self.prefixed(3, value as u64, 9),
                -2047..=2048 => self.prefixed(4, value as u64, 12),
                _ => unreachable!("no number of this test is so large"),
            }
        }

        /// As Go's `PutVarint`, wherever in a byte that begins.
        fn varint(&mut self, value: i64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            bytes.iter().for_each(|b| self.put(u64::from(*b), 8));
        }

        fn behind(self, header: [u8; 3]) -> Vec<u8> {
            let byte = |bits: &[bool]| (0..8).fold(0, |b, i| b << 1 | u8::from(bits.get(i) == Some(&true)));
            header.into_iter().chain(self.0.chunks(8).map(byte)).collect()
        }
    }

    /// Four samples a second apart of one bucket, of which nothing changes but the starts: two of 100, two of
    /// 2500.
    fn chunk(encoding: Encoding, reset: u8) -> Vec<u8> {
        let mut bits = Bits::default();
        // The threshold of zero, the schema, one positive span of one bucket, no negative one.
        bits.put(0, 8);
        bits.signed(3);
        [1, 1].into_iter().for_each(|n| bits.unsigned(n));
        bits.signed(0);
        bits.unsigned(0);
        bits.signed(1000);
        if encoding == Encoding::HistogramStarts {
            [3, 0].into_iter().for_each(|n| bits.unsigned(n));
            bits.put(1.5f64.to_bits(), 64);
            bits.signed(3);
        } else {
            [3.0f64, 0.0, 1.5, 3.0].into_iter().for_each(|n| bits.put(n.to_bits(), 64));
        }
        bits.varint(1000 - 100);
        // Each: how the difference of times changes, then a bit for each of the four that stay.
        bits.signed(1000);
        bits.put(0, 4);
        bits.signed(0);
        bits.put(0, 4);
        bits.signed(2000 - 2500);
        bits.signed(0);
        bits.put(0, 4);
        bits.signed((3000 - 2500) - (2000 - 2500));
        // The first has a start; from the third on, number 2, each has its own.
        bits.behind([reset, 4, 0x80 | 2])
    }

    #[test]
    fn a_file_with_histograms_that_have_starts_is_read() {
        let kinds = [(5, Encoding::HistogramStarts), (6, Encoding::FloatHistogramStarts)];
        let hints = [
            (0, CounterResetHint::Unknown),
            (0x40, CounterResetHint::Unknown),
            (0x80, CounterResetHint::Reset),
            (0xc0, CounterResetHint::Gauge),
        ];
        for ((number, encoding), (reset, hint)) in kinds.into_iter().flat_map(|k| hints.map(|h| (k, h))) {
            let chunk = chunk(encoding, reset);
            let mut file = vec![0x01, 0x30, 0xbc, 0x91, 1, 0, 0, 0];
            let mut entry = Vec::new();
            [7u64, 1000, 4000].into_iter().for_each(|n| entry.extend(n.to_be_bytes()));
            entry.extend([number, chunk.len() as u8]);
            assert!(chunk.len() < 128, "its length is one byte");
            entry.extend(&chunk);
            file.extend(&entry);
            file.extend(skopos_base::crc::crc32c(&entry).to_be_bytes());
            let fs = SimFs::new(1);
            fs.create_dir_all(Path::new(DIR)).unwrap();
            let path = file_path(Path::new(DIR), 1);
            append_all(&mut *Fs::open(&fs, &path, OpenMode::CreateNew).unwrap(), &file).unwrap();

            let (chunks, loaded) = open(&fs, 1 << 20).unwrap();
            assert_eq!(loaded.damaged_files, 0, "{encoding:?}");
            let metas: Vec<ChunkMeta> = loaded.chunks(7, Order::InOrder).collect();
            assert_eq!((metas.len(), metas[0].samples()), (1, 4), "{encoding:?} {reset:#x}");
            let mut buffer = Vec::new();
            let read = chunks.read(&metas[0], &mut buffer).unwrap();
            assert_eq!(read.encoding, encoding);
            let bytes = &buffer[read.bytes];
            assert_eq!(bytes, chunk);

            let mut samples = SampleIter::new(encoding, bytes);
            for (n, start_ms) in [100, 100, 2500, 2500].into_iter().enumerate() {
                let (timestamp, value) = samples.next().unwrap().unwrap();
                assert_eq!((timestamp.as_ms(), samples.start().as_ms()), (1000 * (n as i64 + 1), start_ms));
                let (layout, sum, counts) = match value {
                    ChunkValue::Histogram(h) => {
                        (h.layout, h.sum, (h.count as f64, h.zero_count as f64, h.positive_deltas[0] as f64))
                    }
                    ChunkValue::FloatHistogram(h) => {
                        (h.layout, h.sum, (h.count, h.zero_count, h.positive_buckets[0]))
                    }
                    ChunkValue::Float(v) => panic!("a float: {v}"),
                };
                assert_eq!((layout.schema, sum, counts), (3, 1.5, (3.0, 0.0, 3.0)));
                let expected = match hint {
                    CounterResetHint::Gauge => hint,
                    _ if n == 0 => hint,
                    _ => CounterResetHint::NotReset,
                };
                assert_eq!(layout.counter_reset_hint, expected, "{encoding:?} {reset:#x} {n}");
            }
            assert!(samples.next().is_none());
            let mut columns = Columns::default();
            decode_columns(encoding, bytes, TimestampMs::MIN, TimestampMs::new(i64::MAX), &mut columns)
                .unwrap();
            let starts: Vec<i64> = columns.starts.of(0..4).iter().map(|s| s.at.as_ms()).collect();
            assert_eq!((columns.len(), starts), (4, vec![100, 100, 2500, 2500]));
            // A file whose chunk is shorter, with a checksum that goes with it, is seen to at the read.
            for len in 3..bytes.len() {
                assert!(SampleIter::new(encoding, &bytes[..len]).any(|s| s.is_err()), "{len} bytes");
            }
        }
    }
}
