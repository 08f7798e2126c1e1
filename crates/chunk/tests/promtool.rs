//! Bit-compatibility: the chunks that Prometheus wrote for known samples are, byte for byte, those
//! that we write. Once with stored files, so that it holds without a peer, and once with the peer.

#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "the test reads stored files and those that the peer wrote")]

use skopos_chunk::{Encoding, XorEncoder, decode_into};
use skopos_model::TimestampMs;
use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// Samples as (milliseconds, bits of the value).
type Samples = Vec<(i64, u64)>;

const SEGMENT_MAGIC: [u8; 4] = [0x85, 0xbd, 0x40, 0xdd];
const SEGMENT_HEADER: usize = 8;

/// The chunks of a segment file: 8 bytes of header, then for each chunk the length of its data as a
/// varint, the encoding, the data and a CRC-32C of encoding and data.
fn chunks(segment: &[u8]) -> Vec<&[u8]> {
    assert_eq!((&segment[..4], segment[4]), (&SEGMENT_MAGIC[..], 1));
    let (mut at, mut found) = (SEGMENT_HEADER, Vec::new());
    while at < segment.len() {
        let (mut len, mut shift) = (0usize, 0);
        loop {
            let byte = segment[at];
            at += 1;
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        assert_eq!(Encoding::from_byte(segment[at]), Some(Encoding::Xor));
        let end = at + 1 + len;
        let sum = u32::from_be_bytes(segment[end..end + 4].try_into().unwrap());
        assert_eq!(crc32c::crc32c(&segment[at..end]), sum);
        found.push(&segment[at + 1..end]);
        at = end + 4;
    }
    found
}

/// The samples of a file whose lines are `name value seconds.milliseconds`, by name.
fn samples(text: &str) -> BTreeMap<&str, Samples> {
    let mut all: BTreeMap<&str, Samples> = BTreeMap::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap();
        let (name, value, time) = (word(), word(), word());
        // Prometheus stores every NaN that it reads as the same one.
        let bits =
            if value == "NaN" { 0x7ff8_0000_0000_0001 } else { value.parse::<f64>().unwrap().to_bits() };
        let (secs, ms) = time.split_once('.').unwrap();
        let t = secs.parse::<i64>().unwrap() * 1000 + ms.parse::<i64>().unwrap();
        all.entry(name).or_default().push((t, bits));
    }
    all
}

/// Checks every chunk of a block's only segment: decoded, the chunks give the samples of all series
/// in the order of their names; encoded again, each gives its own bytes.
fn check(text: &str, segment: &[u8]) {
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    let chunks = chunks(segment);
    for chunk in &chunks {
        let from = timestamps.len();
        decode_into(chunk, &mut timestamps, &mut values).unwrap();
        let mut encoder = XorEncoder::new();
        for (t, v) in timestamps[from..].iter().zip(&values[from..]) {
            encoder.append(*t, *v);
        }
        // Before version 3.0, Prometheus left a spare zero behind some chunks that end with a whole byte.
        let spare = chunk.len() - encoder.bytes().len();
        assert!(spare <= 1 && chunk[chunk.len() - spare..].iter().all(|b| *b == 0));
        assert_eq!(encoder.bytes(), &chunk[..chunk.len() - spare]);
        assert_eq!(XorEncoder::from_bytes(chunk).unwrap().bytes(), encoder.bytes());
    }
    let expected: Samples = samples(text).into_values().flatten().collect();
    let decoded: Samples = timestamps.iter().zip(&values).map(|(t, v)| (t.as_ms(), v.to_bits())).collect();
    assert_eq!(decoded, expected);
    assert!(chunks.len() > samples(text).len(), "there are series with several chunks");
}

const STORED_TEXT: &str = include_str!("fixtures/promtool-2.42.om");

#[test]
fn stored_chunks_of_prometheus_are_ours() {
    check(STORED_TEXT, include_bytes!("fixtures/promtool-2.42.chunks"));
}

#[test]
fn chunks_that_promtool_writes_now_are_ours() {
    let dir = tempfile::tempdir().unwrap();
    let (input, blocks) = (dir.path().join("in.om"), dir.path().join("blocks"));
    // Other numbers than the stored ones: each value is moved by the line that it stands in.
    let mut text = String::new();
    for (i, line) in STORED_TEXT.lines().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        match (words[0], words.get(1).and_then(|w| w.parse::<f64>().ok()).filter(|v| v.is_finite())) {
            (name, Some(v)) if name != "#" => {
                text += &format!("{name} {} {}\n", v * 1.25 + i as f64 / 3.0, words[2]);
            }
            _ => text += &format!("{line}\n"),
        }
    }
    fs::write(&input, &text).unwrap();
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&input, &blocks])
        .output()
        .expect("promtool runs; it comes with Debian's package `prometheus`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    check(&text, &fs::read(only_segment(&blocks)).unwrap());
}

fn only_segment(blocks: &Path) -> std::path::PathBuf {
    let mut found: Vec<_> = fs::read_dir(blocks).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(found.len(), 1, "all samples fall into one block");
    found.remove(0).join("chunks/000001")
}

#[test]
fn the_first_bytes_are_as_documented() {
    let mut encoder = XorEncoder::new();
    encoder.append(TimestampMs::new(1_000), 1.0);
    encoder.append(TimestampMs::new(1_010), 1.0);
    encoder.append(TimestampMs::new(1_020), 1.5);
    let expected = [
        0,
        3, // samples
        0xd0,
        0x0f, // 1000 in zigzag form
        0x3f,
        0xf0,
        0,
        0,
        0,
        0,
        0,
        0,    // 1.0
        0x0a, // 10 ms later
        // 0: same value; 0: same interval; 11 01100 000001 1: a new window, 12 leading zeros, 1 bit.
        0b0011_0110,
        0b0000_0011,
    ];
    assert_eq!(encoder.bytes(), expected);
}
