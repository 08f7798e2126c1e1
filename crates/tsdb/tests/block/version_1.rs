//! Blocks whose index is of version 1, as Prometheus 2.0 wrote them: symbols and series named by their
//! offsets, tables in no order. The writer here follows docs/formats/block.md.

use crate::common::*;
use skopos_base::{
    Env,
    crc::crc32c,
    sim::SimWorld,
    varint::{put_uvarint, put_varint},
};
use skopos_model::Labels;
use skopos_storage::TimeRange;
use skopos_tsdb::block::{Block, BlockError};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

fn section(out: &mut Vec<u8>, content: &[u8]) -> u64 {
    let at = out.len() as u64;
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    out.extend_from_slice(content);
    out.extend_from_slice(&crc32c(content).to_be_bytes());
    at
}

fn text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Where the chunks of a segment stand, in its order.
fn chunk_offsets(segment: &[u8]) -> Vec<u64> {
    let (mut at, mut found) = (8, Vec::new());
    while at < segment.len() {
        found.push(at as u64);
        let (len, n) = skopos_base::varint::uvarint(&segment[at..]).unwrap();
        at += n + 1 + len as usize + 4;
    }
    found
}

/// An index of these series, each with its one chunk at the offset beside it.
fn index(series: &Dump, chunks: &[u64]) -> Vec<u8> {
    let mut out = vec![0xba, 0xaa, 0xd7, 0x00, 1];
    let texts: std::collections::BTreeSet<&str> =
        series.keys().flatten().flat_map(|(n, v)| [n, v]).chain([""]).collect();
    let mut table = (texts.len() as u32).to_be_bytes().to_vec();
    let mut symbols = BTreeMap::new();
    for t in texts {
        symbols.insert(t, 5 + 4 + table.len() as u64);
        text(&mut table, t);
    }
    let symbols_at = section(&mut out, &table);
    let series_at = out.len() as u64;
    let mut postings: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for ((labels, samples), at) in series.iter().zip(chunks) {
        let own = out.len() as u32;
        let mut entry = Vec::new();
        put_uvarint(&mut entry, Labels::len(labels) as u64);
        postings.entry(("", "")).or_default().push(own);
        for (n, v) in labels {
            put_uvarint(&mut entry, symbols[n]);
            put_uvarint(&mut entry, symbols[v]);
            postings.entry((n, v)).or_default().push(own);
        }
        put_uvarint(&mut entry, 1);
        put_varint(&mut entry, samples[0].0);
        put_uvarint(&mut entry, (samples[samples.len() - 1].0 - samples[0].0) as u64);
        put_uvarint(&mut entry, *at);
        put_uvarint(&mut out, entry.len() as u64);
        out.extend_from_slice(&entry);
        out.extend_from_slice(&crc32c(&entry).to_be_bytes());
    }
    let postings_at = out.len() as u64;
    let mut entries = (postings.len() as u32).to_be_bytes().to_vec();
    // The order is not that of the labels.
    for ((n, v), ids) in postings.iter().rev() {
        let mut list = (ids.len() as u32).to_be_bytes().to_vec();
        ids.iter().for_each(|id| list.extend_from_slice(&id.to_be_bytes()));
        let at = section(&mut out, &list);
        put_uvarint(&mut entries, 2);
        text(&mut entries, n);
        text(&mut entries, v);
        put_uvarint(&mut entries, at);
    }
    let label_offsets_at = section(&mut out, &0u32.to_be_bytes());
    let offsets_at = section(&mut out, &entries);
    let toc: Vec<u8> = [symbols_at, series_at, postings_at, label_offsets_at, postings_at, offsets_at]
        .iter()
        .flat_map(|n| n.to_be_bytes())
        .collect();
    out.extend_from_slice(&toc);
    out.extend_from_slice(&crc32c(&toc).to_be_bytes());
    out
}

/// A block of these series, each with one chunk, whose index is of version 1.
fn block_of(env: &Env, series: &Dump) -> (PathBuf, Vec<u8>) {
    let dir = write(env, Path::new(DIR), series, 1000);
    let mut chunks = Vec::new();
    for segment in 0.. {
        let path = dir.join(format!("chunks/{:06}", segment + 1));
        let Ok(bytes) = skopos_base::fs::read_all(&*env.fs, &path) else { break };
        chunks.extend(chunk_offsets(&bytes).into_iter().map(|at| segment << 32 | at));
    }
    let bytes = index(series, &chunks);
    put(env, &dir.join("index"), &bytes);
    (dir, bytes)
}

#[test]
fn version_1_is_read() {
    let env = SimWorld::new(1).env();
    let series = some_series(130, 11);
    let (dir, _) = block_of(&env, &series);
    let block = open(&env, &dir);
    assert_eq!(dump(&env, &block).unwrap(), series);
    for matchers in [
        vec![matcher("zone", "=", "z1")],
        vec![matcher("zone", "=~", "zone.*"), matcher("i", "!=", "3")],
        vec![matcher("i", "=~", "1.+"), matcher("zone", "=", "")],
    ] {
        let querier = block.querier(range(0, i64::MAX));
        let mut expected = series.clone();
        expected.retain(|l, _| matchers.iter().all(|m| m.matches(l.value(m.name()))));
        assert_eq!(select(&querier, &request(&env, &matchers, range(0, i64::MAX))).unwrap(), expected);
        assert!(!expected.is_empty());
    }
}

#[test]
fn no_bit_of_an_index_of_version_1_makes_a_wrong_sample() {
    let env = SimWorld::new(1).env();
    let series = some_series(6, 5);
    let (dir, bytes) = block_of(&env, &series);
    let some = [matcher("zone", "=~", "z.*"), matcher("__name__", "!=", "m1")];
    let put_and_ask = |damaged: &[u8]| -> Result<(Dump, Dump), BlockError> {
        put(&env, &dir.join("index"), damaged);
        let block = Arc::new(Block::open(&*env.fs, &dir)?);
        let selected = select(&block.querier(TimeRange::ALL), &request(&env, &some, TimeRange::ALL))?;
        Ok((dump(&env, &block)?, selected))
    };
    let sound = put_and_ask(&bytes).unwrap();
    assert_eq!((&sound.0, sound.1.len()), (&series, 3));
    let (mut found, mut harmless) = (0, 0);
    for (bit, damaged) in every_bit(&bytes).iter().enumerate() {
        match put_and_ask(damaged) {
            Ok(got) => {
                assert_eq!(got, sound, "bit {bit}");
                harmless += 1;
            }
            Err(_) => found += 1,
        }
    }
    // Lists of pairs that are not asked for, and label indices, are not read.
    assert!(found > harmless, "{found} found, {harmless} harmless");
    for len in 0..bytes.len() {
        assert!(put_and_ask(&bytes[..len]).is_err(), "cut to {len} bytes");
    }
}
