//! Logs that Prometheus wrote (crates/tsdb/tests/fixtures/wal): each record says what it is expected to say,
//! and is made again byte for byte.

use super::*;
use crate::wal::{
    page::Compression,
    reader::{Item, SegmentReader},
};
use skopos_base::{
    Env,
    fs::{OpenMode, read_all},
};
use skopos_model::LabelsBuilder;
use std::{fmt::Debug, path::Path};

/// The entries of a record as lines, and the record made anew of them.
fn read_and_write(record: &[u8]) -> (Vec<String>, Vec<u8>) {
    let mut out = Vec::new();
    let lines = match RecordKind::of(record).expect("it is not empty") {
        RecordKind::Series => {
            let mut all = Vec::new();
            read_series(record, &mut LabelsBuilder::default(), |r, l| all.push((r, l))).unwrap();
            all.iter().for_each(|(r, l)| push_series(&mut out, *r, l));
            all.iter().map(|(r, l)| format!("series {r} {l}")).collect()
        }
        RecordKind::Samples => {
            let mut all = Vec::new();
            read_samples(record, &mut all).unwrap();
            let mut made = SamplesRecord::default();
            all.iter().for_each(|s| made.push(s.wal_ref, s.timestamp_ms, f64::from_bits(s.value_bits)));
            out.extend_from_slice(made.bytes());
            let shown = |s: &WalSample| {
                format!("sample {} {} {:?}", s.wal_ref, s.timestamp_ms, f64::from_bits(s.value_bits))
            };
            all.iter().map(shown).collect()
        }
        RecordKind::Tombstones => lines(record, &mut out, read_tombstones, push_tombstones),
        RecordKind::Exemplars => lines(record, &mut out, read_exemplars, push_exemplars),
        RecordKind::MmapMarkers => lines(record, &mut out, read_markers, push_markers),
        RecordKind::Histograms => lines(
            record,
            &mut out,
            |record, all| read_histograms(record, all).map(|unknown| assert_eq!(unknown, 0)),
            |out, all| push_histograms(all, &mut Vec::new(), |record| out.extend_from_slice(record)),
        ),
        RecordKind::Metadata => {
            let mut all = Vec::new();
            read_metadata(record, |r, m| all.push((r, m))).unwrap();
            all.iter().for_each(|(r, m)| push_metadata(&mut out, *r, m));
            all.iter().map(|m| format!("{m:?}")).collect()
        }
        kind => panic!("{kind:?} is in no fixture"),
    };
    (lines, out)
}

fn lines<T: Debug>(
    record: &[u8],
    out: &mut Vec<u8>,
    read: impl Fn(&[u8], &mut Vec<T>) -> Result<(), RecordError>,
    push: impl Fn(&mut Vec<u8>, &[T]),
) -> Vec<String> {
    let mut all = Vec::new();
    read(record, &mut all).unwrap();
    push(out, &all);
    all.iter().map(|entry| format!("{entry:?}")).collect()
}

#[test]
fn what_prometheus_wrote_is_read_and_made_again() {
    let env = Env::real();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wal");
    for (name, compression) in [
        ("prometheus-2.42", Compression::Snappy),
        ("prometheus-3.5", Compression::Snappy),
        ("prometheus-3.5-zstd", Compression::Zstd),
    ] {
        let path = fixtures.join(name);
        let bytes = read_all(&*env.fs, &path).unwrap();
        let has = |c| bytes.first().and_then(|b| crate::wal::page::parse_type(*b)).is_some_and(|t| t.1 == c);
        assert!(has(compression) || has(Compression::None), "{name}");
        let file = env.fs.open(&path, OpenMode::Read).unwrap();
        let mut reader = SegmentReader::new(&*file);
        let mut said = String::new();
        while let Some(item) = reader.next().unwrap() {
            let Item::Record(offset, record) = item else { panic!("{name}: {item:?}") };
            let (lines, again) = read_and_write(record);
            assert_eq!(again, record, "{name}: the record at {offset}");
            lines.iter().for_each(|line| said.push_str(&format!("{} {line}\n", record[0])));
        }
        let expected = read_all(&*env.fs, &fixtures.join(format!("{name}.txt"))).unwrap_or_default();
        assert_eq!(said, String::from_utf8(expected).unwrap(), "{name}");
    }
}
