//! The inputs that corpora begin with: what our encoders write, what real Prometheus wrote, and edges of each
//! format by hand.

use crate::from_prometheus::{Data, chunks, entries, fixture, one_of_each_kind, without_padding};
use crate::{Input, MAX_BYTES};
use skopos_chunk::{ChunkValue, Encoding, SampleIter};
use skopos_fuzz::TARGETS;
use skopos_fuzz::inputs::VALID;
use skopos_tsdb::fuzzing::wal::records_in;
use std::collections::BTreeMap;

/// Seeds that are damaged, that no program would write, or that we refuse, by the target and their place.
const BROKEN_SEEDS: [(&str, &[usize]); 3] =
    [("head_chunk_file", &[1, 2]), ("database", &[0, 1, 2, 3]), ("matcher", &[8])];

/// The versions whose fixtures are taken.
const VERSIONS: [(&str, &str); 2] = [("2.42", "2.42/killed"), ("3.5", "3.5/killed-zstd")];

pub(crate) fn all() -> Vec<Input> {
    let mut made = Made::default();
    of_our_encoders(&mut made);
    logs(&mut made);
    for (version, name) in VERSIONS {
        let data = Data::unpacked(name);
        blocks(&mut made, version, &data);
        head_chunks(&mut made, version, &data);
        databases(&mut made, version, &data);
    }
    histograms(&mut made);
    newer_chunks(&mut made);
    texts(&mut made);
    edges_of_logs(&mut made);
    edges_of_blocks(&mut made);
    edges_of_chunks(&mut made);
    edges_of_texts(&mut made);
    edges_of_families(&mut made);
    edges_of_the_agent(&mut made);
    edges_of_pushes(&mut made);
    edges_of_discovery(&mut made);
    made.0
}

#[derive(Default)]
struct Made(Vec<Input>);

impl Made {
    fn valid(&mut self, target: &'static str, name: &str, bytes: impl Into<Vec<u8>>) {
        self.edge(target, &format!("{VALID}{name}"), bytes);
    }

    fn edge(&mut self, target: &'static str, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push(Input { target, name: name.to_owned(), bytes: bytes.into() });
    }
}

fn of_our_encoders(made: &mut Made) {
    for target in TARGETS {
        let broken = BROKEN_SEEDS.iter().find(|(name, _)| *name == target.name);
        let is_broken = |i: usize| broken.is_some_and(|(_, which)| which.contains(&i));
        for (i, seed) in (target.seeds)().into_iter().enumerate() {
            match is_broken(i) {
                _ if seed.len() > MAX_BYTES => {}
                true => made.edge(target.name, &format!("edge-seed-{i:02}"), seed),
                false => made.valid(target.name, &format!("seed-{i:02}"), seed),
            }
        }
    }
}

/// Segments as a whole, and a record of each kind out of them.
fn logs(made: &mut Made) {
    for name in ["prometheus-2.42", "prometheus-3.5", "prometheus-3.5-zstd"] {
        let segment = without_padding(fixture(&format!("tsdb/tests/fixtures/wal/{name}")));
        for (kind, record) in one_of_each_kind(records_in(&segment)) {
            made.valid("wal_record", &format!("{name}-kind-{kind:02}"), record);
        }
        let mut log = Vec::new();
        records_in(&segment).iter().for_each(|record| push(&mut log, 0, record));
        made.valid("database", &format!("{name}-wal"), log);
        made.valid("wal_segment", name, segment);
    }
    let snapshot = without_padding(fixture("tsdb/tests/fixtures/wal/snapshot-3.5"));
    let records = records_in(&snapshot);
    let mut longest = BTreeMap::new();
    for record in &records {
        let known = longest.entry(record[0]).or_insert(record);
        if record.len() > known.len() && record.len() < 1024 {
            *known = record;
        }
    }
    for (kind, record) in one_of_each_kind(records.clone()) {
        made.valid("snapshot_record", &format!("prometheus-3.5-kind-{kind}"), record);
    }
    made.valid("snapshot_record", "prometheus-3.5-longest-series", longest[&1].clone());
    let mut log = Vec::new();
    records.iter().for_each(|record| push(&mut log, 2, record));
    // It lacks the end that ours have, and is passed over.
    made.edge("database", "edge-prometheus-3.5-snapshot", log);
}

/// A record of a log, as the target `database` takes it.
fn push(out: &mut Vec<u8>, log: u8, record: &[u8]) {
    out.push(log);
    out.extend_from_slice(&(record.len() as u16).to_be_bytes());
    out.extend_from_slice(record);
}

/// Checkpoint, log and write-behind log of a directory whose head chunk files are gone.
fn databases(made: &mut Made, version: &str, data: &Data) {
    let mut all = Vec::new();
    let logs = [(3, "wal/checkpoint.00000001"), (0, "wal"), (1, "wbl")];
    for (log, folder) in logs {
        for segment in data.files(folder) {
            let segment = without_padding(segment);
            if log != 0 && segment.len() <= MAX_BYTES {
                let name = folder.split('.').next().unwrap_or_default().replace('/', "-");
                made.valid("wal_segment", &format!("prometheus-{version}-{name}"), segment.clone());
            }
            records_in(&segment).iter().for_each(|record| push(&mut all, log, record));
        }
    }
    all.truncate(MAX_BYTES);
    made.edge("database", &format!("edge-prometheus-{version}-all-logs-cut"), all);
}

fn blocks(made: &mut Made, version: &str, data: &Data) {
    let [meta, compacted] = [0, 2].map(|i| data.of_blocks("meta.json")[i].clone());
    made.valid("block", &format!("prometheus-{version}-meta"), [&[5], &meta[..]].concat());
    made.valid("block", &format!("prometheus-{version}-meta-compacted"), [&[5], &compacted[..]].concat());
    for (i, file) in data.of_blocks("tombstones").into_iter().enumerate().take(2) {
        // Without magic, version and checksum.
        let content = [&[4], &file[5..file.len() - 4]].concat();
        made.valid("block", &format!("prometheus-{version}-tombstones-{i}"), content);
        made.valid("tombstones", &format!("prometheus-{version}-{i}"), file.clone());
    }
    made.valid("index", &format!("prometheus-{version}"), data.of_blocks("index").remove(0));
    let chunks = chunks(&data.of_blocks("chunks/000001")[2]);
    let xor = chunks.iter().filter(|chunk| chunk[0] == Encoding::Xor.as_byte());
    let longest = xor.max_by_key(|chunk| chunk.len()).expect("there are floats");
    made.valid("xor_chunk", &format!("prometheus-{version}"), &longest[1..]);
    made.valid("block", &format!("prometheus-{version}-deletion"), [&[6], &longest[1..]].concat());
}

fn head_chunks(made: &mut Made, version: &str, data: &Data) {
    let files: Vec<Vec<Vec<u8>>> = data.files("chunks_head").iter().map(|file| entries(file)).collect();
    let mut kinds = BTreeMap::new();
    for entry in files.iter().flatten() {
        kinds.entry(entry[24]).or_insert(entry);
    }
    for (kind, entry) in kinds {
        made.valid("head_chunk", &format!("prometheus-{version}-encoding-{kind:03}"), entry.clone());
    }
    let whole = files.iter().map(|entries| entries.concat()).find(|file| file.len() <= MAX_BYTES);
    if let Some(file) = whole {
        made.valid("head_chunk_file", &format!("prometheus-{version}"), file);
    }
    let first: Vec<u8> = files.iter().flatten().take(6).flatten().copied().collect();
    made.valid("head_chunk_file", &format!("prometheus-{version}-first"), first);
}

/// Chunks of whole and float counts, with and without bounds of their own, plain and with start timestamps.
fn histograms(made: &mut Made) {
    let mut kinds: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for chunk in chunks(&fixture("chunk/tests/fixtures/prometheus-3.5.3-histograms.chunks")) {
        let encoding = Encoding::from_byte(chunk[0]).expect("it is known");
        let first =
            SampleIter::new(encoding, &chunk[1..]).next().expect("there is one").expect("it is sound");
        let (counts, schema) = match &first.1 {
            ChunkValue::Float(_) => continue,
            ChunkValue::Histogram(h) => ("whole", h.layout.schema),
            ChunkValue::FloatHistogram(h) => ("float", h.layout.schema),
        };
        let bounds = if schema == -53 { "-own-bounds" } else { "" };
        let hint = chunk[3] >> 6;
        kinds.entry(format!("{counts}{bounds}-header-{hint}")).or_insert(chunk);
    }
    for (kind, chunk) in kinds {
        if kind.ends_with("header-0") {
            made.valid("chunk", &format!("starts-{kind}"), with_starts(&chunk));
        }
        made.valid("chunk", &format!("prometheus-3.5-{kind}"), chunk);
    }
}

/// The same in the encoding that has room for start timestamps, and none (docs/formats/histogram-chunk.md).
fn with_starts(chunk: &[u8]) -> Vec<u8> {
    let [encoding, high, low, flags, rest @ ..] = chunk else { panic!("a chunk has a header") };
    [&[encoding + 3, high | flags, *low, 0], rest].concat()
}

/// Chunks that Prometheus 3.14 writes, as docs/formats/xor2-chunk.md has them.
fn newer_chunks(made: &mut Made) {
    // 1.0 at 1, then every 5 ms 1.5 in a new window of one bit, 1.0 in the same window, 1.0 again.
    let head = [4, 0, 4, 0, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 5];
    let reused = [&head[..], &[0b1100_1100, 0b0000_0111, 0b0010_0000]].concat();
    made.valid("chunk", "xor2-window-reused", reused);
    // A start timestamp 1 ms before the first sample; then 1.0 once more, and a staleness marker.
    let head = [4, 0, 3, 0x80, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 2, 5];
    made.valid("chunk", "xor2-start-and-stale", [&head[..], &[0b0111_1100]].concat());
    // An interval that changes in each of the three forms.
    let head = [4, 0, 4, 0, 2, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 5, 0b0110_0000];
    let changes = [0b0000_0010, 0b0111_0000, 0b0000_0000, 0b0000_0001, 0, 0];
    made.valid("chunk", "xor2-intervals", [&head[..], &changes].concat());
}

fn texts(made: &mut Made) {
    let lines = String::from_utf8(fixture("chunk/tests/fixtures/promtool-2.42.om")).expect("it is text");
    let mut some: String = lines.lines().step_by(97).map(|line| format!("{line}\n")).collect();
    some.truncate(some.len().min(1000));
    let some = &some[..=some.rfind('\n').expect("there are lines")];
    made.valid("exposition_openmetrics", "promtool-2.42", format!("{some}# EOF\n"));
    let queries = String::from_utf8(fixture("skopos/tests/data/queries.txt")).expect("it is text");
    let queries = queries.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let queries = queries.map(|line| line.replace("$__rate_interval", "1m"));
    for (i, query) in queries.take(4).enumerate() {
        made.valid("promql", &format!("dashboard-{i}"), query);
    }
}

const NAMES_ONE: &[u8] = b"\x01\0\0\0\0\0\0\0\x01\x01\x01a\x01b";

/// A log that gives one number to two series, and has samples of it before and behind, in order and not.
fn one_number_of_two_series() -> Vec<u8> {
    let sample =
        |t: u8| [&[2][..], &1u64.to_be_bytes(), &[0; 7], &[t], &[0, 0], &f64::from(t).to_be_bytes()].concat();
    let name = |value: u8| [b"\x01\0\0\0\0\0\0\0\x01\x01\x01a\x01", &[value][..]].concat();
    let mut log = Vec::new();
    for record in [name(b'b'), sample(200), sample(100), name(b'c'), sample(150), sample(250)] {
        push(&mut log, 0, &record);
    }
    log
}

fn edges_of_logs(made: &mut Made) {
    made.edge("database", "edge-one-number-of-two-series", one_number_of_two_series());
    let of = |name: &str, i: usize| {
        let target = skopos_fuzz::target(name).expect("it is listed");
        (target.seeds)().swap_remove(i)
    };
    let plain = of("wal_segment", 0);
    made.edge("wal_segment", "edge-torn-record", &plain[..plain.len() - 3]);
    made.edge("wal_segment", "edge-torn-header", &plain[..3]);
    let mut flipped = plain.clone();
    flipped[9] ^= 1;
    made.edge("wal_segment", "edge-first-record-flipped", flipped);
    made.valid("wal_segment", "zeros-behind", [&plain[..], &[0; 300]].concat());
    made.edge("wal_segment", "edge-last-without-first", [&[4], &plain[1..]].concat());
    made.edge("wal_segment", "edge-length-beyond-page", b"\x01\xff\xff\0\0\0\0ab".as_slice());
    made.edge(
        "wal_segment",
        "edge-snappy-of-4-gib",
        b"\x09\0\x05\x2c\x16\xa4\xad\xff\xff\xff\xff\x0f".as_slice(),
    );
    made.edge(
        "wal_record",
        "edge-series-with-endless-name",
        b"\x01\0\0\0\0\0\0\0\x01\x01\xff\xff\xff\xff\x0f".as_slice(),
    );
    made.edge("wal_record", "edge-samples-cut", b"\x02\0\0\0\0\0\0\0\x01\0\0\0".as_slice());
    let head = [&[7, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 11], &[2], &[0; 18]].concat();
    let spans = [&head[..], b"\xff\xff\xff\xff\x0f"].concat();
    made.edge("wal_record", "edge-histogram-of-2-32-spans", spans);
    made.edge("wal_record", "edge-unknown-kind", b"\x63\0".as_slice());
    made.edge("snapshot_record", "edge-unknown-kind", b"\x09".as_slice());
    made.edge(
        "snapshot_record",
        "edge-endless-labels",
        b"\x01\0\0\0\0\0\0\0\x07\xff\xff\xff\xff\x0f".as_slice(),
    );
    let other = NAMES_ONE.iter().map(|byte| if *byte == b'b' { b'z' } else { *byte }).collect();
    let framed = skopos_tsdb::fuzzing::wal::framed;
    made.edge("wal_names", "edge-of-another-log", framed(&[other]));
    made.edge(
        "wal_names",
        "edge-number-too-large",
        framed(&[[&[1], &[255; 8][..], b"\x01\x01a\x01b"].concat()]),
    );
    made.edge("wal_names", "edge-series-without-labels", framed(&[b"\x01\0\0\0\0\0\0\0\x02\0".to_vec()]));
    let both = of("wal_names", 0);
    made.edge("wal_names", "edge-torn", &both[..both.len() - 4]);
    made.edge(
        "wal_names",
        "edge-names-a-series-twice",
        framed(&[NAMES_ONE.to_vec(), [&NAMES_ONE[..8], b"\x02", &NAMES_ONE[9..]].concat()]),
    );
    // Checkpoint and log, in which the log names a series anew by another number.
    let mut again = Vec::new();
    push(&mut again, 3, NAMES_ONE);
    push(&mut again, 0, &[&NAMES_ONE[..8], b"\x02", &NAMES_ONE[9..]].concat());
    for (wal_ref, t) in [(1u64, 50u8), (2, 60)] {
        let sample = [&[2][..], &wal_ref.to_be_bytes(), &[0; 7], &[t], &[0, 0], &1f64.to_be_bytes()].concat();
        push(&mut again, if wal_ref == 1 { 3 } else { 0 }, &sample);
    }
    made.valid("database", "named-anew-behind-a-checkpoint", again);
}

fn edges_of_blocks(made: &mut Made) {
    let block = |made: &mut Made, kind: u8, name: &str, bytes: &[u8]| {
        made.edge("block", &format!("edge-{name}"), [&[kind], bytes].concat());
    };
    block(made, 0, "symbols-more-than-there-are", b"\xff\xff\xff\xff\x01a");
    block(made, 2, "offsets-without-values", b"\0\0\0\x01\x02");
    block(made, 3, "series-of-2-32-labels", b"\xff\xff\xff\xff\x0f\x01\x02");
    block(
        made,
        3,
        "series-whose-chunk-ends-before-it-begins",
        b"\0\x01\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x08",
    );
    block(made, 4, "tombstone-of-series-0", b"\0\x02\x04");
    block(made, 4, "tombstone-turned-round", b"\x07\x04\x02");
    let mut tombstones = |name: &str, version: u8, spans: &[u8]| {
        let file = [b"\x01\x30\xba\x30", &[version][..], spans, &[0; 4]].concat();
        made.edge("tombstones", &format!("edge-{name}"), file);
    };
    tombstones("of-version-2", 2, b"\x07\x02\x04");
    tombstones("of-series-0", 1, b"\0\x02\x04");
    tombstones("turned-round", 1, b"\x07\x04\x02");
    tombstones("cut-inside-of-a-span", 1, b"\x07\x02\x04\x07\x82");
    tombstones("number-beyond-64-bits", 1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x02\x04");
    let all = [b"\x07", &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"[..]].concat();
    let all = [&all, &b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x07\x02\x04"[..]].concat();
    tombstones("all-of-time-and-a-part", 1, &all);
    made.edge("tombstones", "edge-too-short", b"\x01\x30\xba\x30\x01\0\0\0");
    block(
        made,
        5,
        "meta-of-version-2",
        br#"{"ulid":"01M80KR0P505J3R3AZ7M9NYV5Y","minTime":5,"maxTime":9,"version":2}"#,
    );
    block(
        made,
        5,
        "meta-that-ends-before-it-begins",
        br#"{"ulid":"01M80KR0P505J3R3AZ7M9NYV5Y","minTime":9,"maxTime":5,"version":1}"#,
    );
    block(
        made,
        5,
        "meta-of-another-number",
        br#"{"ulid":"01M80KR0P505J3R3AZ7M9NYV5Y","minTime":1e30,"maxTime":9,"version":1}"#,
    );
    block(made, 7, "head-cut-empty", b"");
    block(made, 7, "head-cut-beyond-64-bits", br#"{"version":1,"head_from_ms":99999999999999999999}"#);
    let target = skopos_fuzz::target("index").expect("it is listed");
    let small = (target.seeds)().swap_remove(0);
    made.edge("index", "edge-table-of-contents-of-zeros", [&small[..small.len() - 52], &[0; 52]].concat());
    made.edge(
        "index",
        "edge-table-of-contents-beyond-the-end",
        [&small[..small.len() - 52], &[0x7f; 52]].concat(),
    );
    made.edge("index", "edge-cut", &small[..small.len() / 2]);
}

fn edges_of_chunks(made: &mut Made) {
    made.edge("xor_chunk", "edge-count-without-samples", b"\xff\xff".as_slice());
    made.edge("xor_chunk", "edge-endless-time", [&[0, 1][..], &[0xff; 20]].concat());
    for encoding in 2..=6u8 {
        let zeros = [&[encoding, 0, 1][..], &[0; 18]].concat();
        made.edge("chunk", &format!("edge-zeros-{encoding}"), zeros);
        let ones = [&[encoding, 0, 9, 0][..], &[0xff; 24]].concat();
        made.edge("chunk", &format!("edge-ones-{encoding}"), ones);
    }
    let target = skopos_fuzz::target("head_chunk").expect("it is listed");
    let entry = (target.seeds)().swap_remove(0);
    made.edge("head_chunk", "edge-cut", &entry[..20]);
    let mut longer = entry.clone();
    longer.splice(25..26, [0xff, 0xff, 0xff, 0xff, 0x0f]);
    made.edge("head_chunk", "edge-length-of-4-gib", longer.clone());
    made.edge("head_chunk_file", "edge-second-of-4-gib", [entry, longer].concat());
}

fn edges_of_texts(made: &mut Made) {
    let texts: [(&str, &str, &str); 10] = [
        ("exposition_text", "label-without-end", "x{a=\"b"),
        ("exposition_text", "two-values", "x 1 2 3\n"),
        ("exposition_openmetrics", "text-behind-eof", "x 1\n# EOF\ny 2\n"),
        ("exposition_openmetrics", "exemplar-cut", "x_total 1 # {a=\"b\"\n# EOF\n"),
        ("promql", "brackets", "((((((((((1"),
        ("promql", "duration-of-all-units", "x[1y1w1d1h1m1s1ms] offset -9223372036854775807"),
        ("promql_evaluate", "number-alone-in-a-range", "1[5m]"),
        (
            "promql_evaluate",
            "two-series-of-one-label-set",
            "label_replace(a, \"instance\", \"\", \"\", \"\") + b",
        ),
        ("matcher", "brackets", "((((a"),
        ("matcher", "repetition-of-repetitions", "((a{1,100}){1,100}){1,100}\na"),
    ];
    for (target, name, text) in texts {
        made.edge(target, &format!("edge-{name}"), text);
    }
}

/// Streams of messages: a length, then fields, each with its number and kind.
fn edges_of_families(made: &mut Made) {
    let streams: [(&str, &[u8]); 8] = [
        ("valid-many-without-fields", &[0; 64]),
        ("valid-many-empty-metrics", &[8, 0x22, 0, 0x22, 0, 0x22, 0, 0x22, 0]),
        ("valid-type-that-no-one-knows", &[2, 0x18, 99]),
        ("valid-field-that-no-one-knows", &[3, 0x7a, 1, 7]),
        ("valid-value-given-twice", &[8, 0x22, 6, 0x2a, 0, 0x3a, 0, 0x2a, 0]),
        ("edge-length-of-4-gib", &[0xff, 0xff, 0xff, 0xff, 0x0f, 0x22, 0]),
        ("edge-name-without-end", &[2, 0x0a, 5]),
        ("edge-name-of-no-text", &[3, 0x0a, 1, 0xff]),
    ];
    for (name, stream) in streams {
        made.edge("families", name, stream);
    }
}

/// The protocol, then the body.
fn edges_of_discovery(made: &mut Made) {
    for (target, name, text) in [
        ("discovery_lists", "no-list", r#"{"targets": ["a:1"]}"#),
        ("discovery_lists", "unknown-key", "- target: ['a:1']\n"),
        ("discovery_answers", "no-json", "<Envelope><targets/></Envelope>"),
        ("discovery_answers", "cut-off", r#"[{"Id": "c", "Names": ["/n""#),
        ("discovery_xml", "definition", "<!DOCTYPE r [<!ENTITY a 'aa'>]><r>&a;</r>"),
        ("discovery_xml", "unclosed", "<methodResponse><params>"),
        ("discovery_members", "cut-off", "\0\0\0"),
        ("discovery_members", "long-list", "\x7f\x7f\x7f\x7f\0\0\0"),
        ("discovery_accounts", "unknown-type", "{\"type\": \"x\"}\n[a]\n"),
        ("discovery_kubeconfig", "no-context", "current-context: m\ncontexts: []\n"),
        ("discovery_kubeconfig", "no-yaml", "clusters: [{\n"),
    ] {
        made.edge(target, &format!("edge-{name}"), text);
    }
}

fn edges_of_pushes(made: &mut Made) {
    let bodies: [(&str, &[u8]); 5] = [
        ("valid-series-without-labels", &[0, 0x0a, 2, 0x12, 0]),
        ("valid-reference-beyond-the-symbols", &[1, 0x2a, 5, 0x0a, 1, 0x07, 0x12, 0]),
        ("edge-series-cut", &[0, 0x0a, 0x7f, 1]),
        ("edge-labels-behind-samples", &[0, 0x0a, 4, 0x12, 0, 0x0a, 0]),
        ("edge-group", &[1, 0x0b]),
    ];
    for (name, body) in bodies {
        made.edge("pushed", name, body);
    }
    made.edge("gateway", "edge-no-metric", "\0m{ 1\n");
    made.edge("gateway", "edge-a-time", "\0m 1 17\n");
    made.edge("gateway", "edge-family-cut", [1, 9, 0x0a]);
}

fn edges_of_the_agent(made: &mut Made) {
    let cut = "stat\n-- proc/stat --\ncpu  1 2 3 4";
    made.edge("agent_collector", "edge-file-cut", cut);
    let reply = b"l\x02\0\x01\x04\0\0\0\x01\0\0\0\x08\0\0\0\x05\x01u\0\x01\0\0\0\0\0\0\0";
    let bus = [&b"systemd\n-- host/socket --\nOK 1\r\n"[..], reply].concat();
    made.edge("agent_collector", "edge-bus-cut", bus);
    let twice = "textfile\n-- metrics/a.prom --\n# TYPE a_sum gauge\na_sum 1\n# TYPE a summary\na_sum 2\n";
    made.edge("agent_collector", "edge-a-name-of-two-families", twice);
    made.edge(
        "agent_text",
        "edge-answer-shorter-than-said",
        "aHTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n[]",
    );
    made.edge("agent_text", "edge-part-without-families", "p# TYPE a gauge\na 1\n\0a\n# TYPE\n");
    made.edge("spool", "edge-file-without-head", [0; 64]);
    // It says that it has more requests than bytes could hold.
    made.edge("round", "edge-more-parts-than-bytes", [0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    made.edge("remote_answer", "edge-a-label-without-a-name", [0, 0x0a, 4, 0x0a, 2, 0x0a, 0]);
    made.edge("round", "edge-a-request-of-an-earlier-version", b"\x05later");
}
