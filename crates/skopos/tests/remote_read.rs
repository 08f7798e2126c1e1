//! Remote read beside Prometheus, on the same data: what either answers to the same request, and what a real
//! Prometheus makes of our answers.

use crate::support::{PATIENCE, ask, copy, json, peak_resident_bytes, server};
use prost::Message as _;
use skopos_chunk::{ChunkValue, Encoding, SampleIter};
use skopos_proto::{
    frame,
    messages::{
        ChunkedReadResponse, Label, LabelMatcher, MatcherType, Query, ReadHints, ReadRequest, ReadResponse,
        ResponseType,
    },
};
use skopos_testkit::{
    http::{self, Response},
    peers, remote,
    series::{Content, Counts, Histogram, LabelPairs, Reset, Series, Value},
    service::Service,
    wait_until,
};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{SystemTime, UNIX_EPOCH},
};

const CONFIG: &str = "global: {external_labels: {site: s, zone: z}}\n";
/// Enough for blocks and a head: beyond three hours Prometheus cuts the first block.
const SPAN_MS: i64 = 7 * 3_600_000;
const EVERY_MS: i64 = 30_000;
const RECEIVING: [&str; 2] = ["--web.enable-remote-write-receiver", "--enable-feature=native-histograms"];

/// The same data behind Prometheus and behind ours.
struct Both {
    theirs: Service,
    ours: Service,
    end_ms: i64,
}

impl Both {
    fn start(flags: &[&str]) -> Self {
        Self::of(peers::prometheus(CONFIG, &[&RECEIVING[..], flags].concat()), flags)
    }

    /// Beside Prometheus 3, where there is one.
    fn three(flags: &[&str]) -> Option<Self> {
        let program = peers::prometheus_3()?;
        Some(Self::of(peers::prometheus_at(program, CONFIG, &[&RECEIVING[..], flags].concat()), flags))
    }

    fn of(mut theirs: Service, flags: &[&str]) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let end_ms = now - now % EVERY_MS;
        for hour in content(end_ms) {
            remote::write(&theirs, remote::Protocol::V1, &hour);
        }
        wait_until("a block", PATIENCE, || {
            let blocks = fs::read_dir(theirs.folder().join("data")).unwrap();
            blocks.flatten().any(|e| e.path().join("meta.json").is_file()).then_some(())
        });
        // Ours gets what a stopped server left.
        theirs.terminate();
        let mut ours = flags.iter().fold(server().config(CONFIG), |server, flag| server.flag(flag)).start();
        ours.terminate();
        let data = ours.folder().join("data");
        fs::remove_dir_all(&data).unwrap();
        copy(&theirs.folder().join("data"), &data);
        ours.restart();
        theirs.restart();
        Self { theirs, ours, end_ms }
    }

    fn each(&self) -> [&Service; 2] {
        [&self.theirs, &self.ours]
    }
}

fn labels(pairs: &[(&str, &str)]) -> LabelPairs {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

/// Floats with gaps and staleness markers, and histograms of both kinds with a reset, an hour at a time.
fn content(end_ms: i64) -> Vec<Content> {
    let times: Vec<i64> = (0..=SPAN_MS / EVERY_MS).map(|i| end_ms - SPAN_MS + i * EVERY_MS).collect();
    let per_hour = (3_600_000 / EVERY_MS) as usize;
    let whole: Vec<Content> =
        times.chunks(per_hour).enumerate().map(|(hour, times)| part(hour, times)).collect();
    whole
}

fn part(hour: usize, times: &[i64]) -> Content {
    let mut all = Content::new();
    let mut put = |pairs: &[(&str, &str)], samples: Vec<(i64, Value)>| {
        all.insert(labels(pairs), Series { samples, ..Series::default() });
    };
    for i in 0..5 {
        let value = |at: usize| match at % 100 {
            98 if i == 3 => Value::Float(0x7ff0_0000_0000_0002),
            _ => Value::float(((at * (i + 3)) % 1009) as f64 / 8.0 + hour as f64),
        };
        let samples = times.iter().enumerate().map(|(at, t)| (*t, value(at))).collect();
        put(&[("__name__", "m"), ("i", &i.to_string())], samples);
    }
    if hour.is_multiple_of(2) {
        let samples = times.iter().map(|t| (*t, Value::float(1.5))).collect();
        put(&[("__name__", "gaps"), ("zone", "own")], samples);
    }
    for counts in [Counts::Whole, Counts::Floats] {
        let samples = times.iter().enumerate().map(|(at, t)| (*t, histogram(counts, at as f64))).collect();
        let name = if counts == Counts::Whole { "whole" } else { "floats" };
        put(&[("__name__", name)], samples);
    }
    all
}

fn histogram(counts: Counts, at: f64) -> Value {
    Value::Histogram(Histogram {
        counts,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: at,
        count: 6.0 * at + 3.0,
        sum_bits: (at * 2.5).to_bits(),
        reset: Reset::Unknown,
        positive: [(0, at), (1, at * 2.0), (4, 1.0)].into(),
        negative: [(-2, at * 2.0), (7, 2.0)].into(),
        custom_bounds: Vec::new(),
    })
}

fn matcher(kind: MatcherType, name: &str, value: &str) -> LabelMatcher {
    LabelMatcher { r#type: kind.into(), name: name.to_owned(), value: value.to_owned() }
}

fn query(range: (i64, i64), matchers: &[LabelMatcher]) -> Query {
    let (start_timestamp_ms, end_timestamp_ms) = range;
    Query { start_timestamp_ms, end_timestamp_ms, matchers: matchers.to_vec(), hints: None }
}

fn body(queries: &[Query], accepted: &[i32]) -> Vec<u8> {
    let request = ReadRequest { queries: queries.to_vec(), accepted_response_types: accepted.to_vec() };
    skopos_proto::read::encode_request(&request).unwrap()
}

fn post(server: &Service, queries: &[Query], accepted: &[i32]) -> Response {
    let body = body(queries, accepted);
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Read-Version", "0.1.0"),
    ];
    http::request("POST", &server.url("/api/v1/read"), &headers, &body).unwrap()
}

/// What a series has: each sample as its time and how its message looks.
type Read = BTreeMap<Vec<(String, String)>, Vec<(i64, String)>>;

/// Whether counts started anew is said as far as a chunk's beginning knows it, and chunks begin where each
/// server cut them; whoever reads it compares the counts.
fn unhinted(histogram: &str) -> String {
    ["Yes", "NotReset", "Reset", "No"].iter().fold(histogram.to_owned(), |text, hint| {
        text.replace(&format!("reset_hint: {hint}"), "reset_hint: Unknown")
    })
}

fn pairs(labels: &[Label]) -> Vec<(String, String)> {
    labels.iter().map(|l| (l.name.clone(), l.value.clone())).collect()
}

/// The series of each query of a sampled answer.
fn sampled(response: &Response) -> Vec<Read> {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(response.header("content-encoding"), Some("snappy"));
    let plain = snap::raw::Decoder::new().decompress_vec(&response.body).unwrap();
    let results = ReadResponse::decode(plain.as_slice()).unwrap().results;
    let of_result = |result: &skopos_proto::messages::QueryResult| {
        let series = result.timeseries.iter().map(|series| {
            let floats = series.samples.iter().map(|s| (s.timestamp, format!("{:x}", s.value.to_bits())));
            let histograms = series.histograms.iter().map(|h| (h.timestamp, unhinted(&format!("{h:?}"))));
            let mut samples: Vec<_> = floats.chain(histograms).collect();
            samples.sort();
            (pairs(&series.labels), samples)
        });
        series.filter(|(_, samples)| !samples.is_empty()).collect()
    };
    results.iter().map(of_result).collect()
}

/// The series of each query of a streamed answer, and the sizes of its frames.
fn streamed(response: &Response, queries: usize) -> (Vec<Read>, Vec<usize>) {
    assert_eq!(response.status, 200, "{}", response.text());
    let content_type = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    assert_eq!(response.header("content-type"), Some(content_type));
    let (mut all, mut sizes, mut offset) = (vec![Read::new(); queries], Vec::new(), 0);
    while let Some((message, next)) = frame::read(&response.body, offset).unwrap() {
        offset = next;
        sizes.push(message.len());
        let frame = ChunkedReadResponse::decode(message).unwrap();
        for series in &frame.chunked_series {
            let into = all[frame.query_index as usize].entry(pairs(&series.labels)).or_default();
            for chunk in &series.chunks {
                let encoding = Encoding::from_byte(u8::try_from(chunk.r#type).unwrap()).unwrap();
                let before = into.len();
                into.extend(SampleIter::new(encoding, &chunk.data).map(|s| s.unwrap()).map(|(t, v)| {
                    let text = match v {
                        ChunkValue::Float(v) => format!("{:x}", v.to_bits()),
                        other => unhinted(&format!("{other:?}")),
                    };
                    (t.as_ms(), text)
                }));
                assert_eq!((into[before].0, into.last().unwrap().0), (chunk.min_time_ms, chunk.max_time_ms));
            }
            assert!(into.windows(2).all(|pair| pair[0].0 < pair[1].0), "chunks overlap");
        }
    }
    (all, sizes)
}

/// Requests over blocks and head, with every comparison, and with external labels.
fn requests(end: i64, names: &str) -> Vec<Vec<Query>> {
    let (eq, neq, re, nre) = (MatcherType::Eq, MatcherType::Neq, MatcherType::Re, MatcherType::Nre);
    let all = (end - SPAN_MS, end);
    let everything = matcher(re, "__name__", names);
    let of_all = |range| query(range, std::slice::from_ref(&everything));
    vec![
        vec![query(all, std::slice::from_ref(&everything))],
        vec![query(
            (end - SPAN_MS / 2 - 12_345, end - SPAN_MS / 2 + 1_234_567),
            std::slice::from_ref(&everything),
        )],
        vec![
            query((end - 600_000, end), &[matcher(eq, "__name__", "m"), matcher(neq, "i", "2")]),
            query(all, &[matcher(eq, "__name__", "none")]),
            query(
                (end - SPAN_MS + 1, end - SPAN_MS + 99_999),
                &[matcher(nre, "i", "[0-3]"), everything.clone()],
            ),
        ],
        vec![query(all, &[everything.clone(), matcher(eq, "site", "s")])],
        vec![query(all, &[everything.clone(), matcher(eq, "zone", "z")])],
        vec![query(all, &[everything.clone(), matcher(eq, "zone", "own")])],
        vec![query(all, &[everything.clone(), matcher(eq, "site", "other")])],
        // Less than all is needed, or nothing, or what the range has not.
        vec![
            Query {
                hints: Some(ReadHints { start_ms: end - 5_000_000, end_ms: end - 45_000 }),
                ..of_all(all)
            },
            Query { hints: Some(ReadHints { start_ms: end - 5000, end_ms: end }), ..of_all(all) },
            Query { hints: Some(ReadHints::default()), ..of_all(all) },
        ],
        // No condition selects no series.
        vec![query(all, &[]), of_all(all)],
        vec![],
    ]
}

#[test]
fn answers_are_those_of_prometheus_sampled_and_streamed() {
    let flag = ["--storage.remote.read-max-bytes-in-frame=4000"];
    // 2.42 leaves native histograms out of samples.
    compare(&Both::start(&flag), "m|gaps");
    if let Some(both) = Both::three(&flag) {
        compare(&both, ".+");
    }
}

fn compare(both: &Both, names: &str) {
    let mut seen = 0;
    for queries in requests(both.end_ms, names) {
        let [theirs, ours] = both.each().map(|server| sampled(&post(server, &queries, &[])));
        seen += ours.iter().map(BTreeMap::len).sum::<usize>();
        same(&theirs, &ours, &queries);
        let kinds = [77, ResponseType::StreamedXorChunks.into(), ResponseType::Samples.into()];
        let [(theirs, _), (ours, frames)] =
            both.each().map(|server| streamed(&post(server, &queries, &kinds), queries.len()));
        same(&theirs, &ours, &queries);
        assert!(frames.iter().all(|bytes| *bytes < 8000), "{frames:?}");
    }
    assert!(seen > 20, "{seen}");
    hints_make_no_range_wider(both);
}

/// Beyond the query's own times Prometheus answers what the blocks have that it looks into.
fn hints_make_no_range_wider(both: &Both) {
    let middle = both.end_ms - SPAN_MS / 2;
    let plain = query((middle, middle + 600_000), &[matcher(MatcherType::Eq, "__name__", "m")]);
    let hints = Some(ReadHints { start_ms: 0, end_ms: i64::MAX });
    let wide = Query { hints, ..plain.clone() };
    let of = |server: &Service, query: &Query| sampled(&post(server, std::slice::from_ref(query), &[]));
    assert_eq!(of(&both.ours, &wide), of(&both.ours, &plain));
    let samples = |read: &[Read]| read.iter().flat_map(BTreeMap::values).map(Vec::len).sum::<usize>();
    let [theirs, ours] = both.each().map(|server| samples(&of(server, &wide)));
    assert!(theirs > ours && ours > 0, "{theirs} {ours}");
}

#[track_caller]
fn same(theirs: &[Read], ours: &[Read], queries: &[Query]) {
    assert_eq!(theirs.len(), ours.len());
    for (theirs, ours) in theirs.iter().zip(ours) {
        let keys = |read: &Read| read.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(theirs), keys(ours), "{queries:?}");
        for (labels, theirs) in theirs {
            let ours = &ours[labels];
            let other = theirs.iter().zip(ours).find(|(a, b)| a != b);
            assert_eq!(other, None, "{labels:?} of {queries:?}");
            assert_eq!(theirs.len(), ours.len(), "{labels:?} of {queries:?}");
        }
    }
}

/// The result of a query, however its series are ordered.
fn result(server: &Service, path: &str, params: &[(&str, &str)]) -> Vec<serde_json::Value> {
    let response = ask(server, path, params);
    assert_eq!(response.status, 200, "{}", response.text());
    let mut series = json(&response)["data"]["result"].as_array().expect("a list").clone();
    series.sort_by_key(|one| one["metric"].to_string());
    series
}

#[test]
fn a_prometheus_answers_its_queries_from_our_data() {
    let histograms = ["--enable-feature=native-histograms"];
    // 2.42 asks for samples, and takes no native histograms; version 3 asks for a stream.
    let queries = ["m", "sum(rate(m[5m]))", "gaps", "m{site=\"s\"}"];
    let both = Both::start(&[]);
    reads(&both, &queries, |config| peers::prometheus(config, &histograms));
    if let Some(both) = Both::three(&[]) {
        let program = peers::prometheus_3().unwrap();
        let queries = [&queries[..], &["sum(histogram_sum(whole))", "floats"]].concat();
        reads(&both, &queries, |config| peers::prometheus_at(program.clone(), config, &histograms));
    }
}

fn reads(both: &Both, queries: &[&str], reader: impl Fn(&str) -> Service) {
    let end = (both.end_ms / 1000).to_string();
    let start = ((both.end_ms - SPAN_MS) / 1000).to_string();
    let config = format!("remote_read: [{{url: '{}', read_recent: true}}]\n", both.ours.url("/api/v1/read"));
    let reader = &reader(&config);
    for query in queries.iter().copied() {
        let instant = [("query", query), ("time", &end)];
        let range = [("query", query), ("start", &start), ("end", &end), ("step", "77")];
        let got = result(reader, "/api/v1/query", &instant);
        let got_range = result(reader, "/api/v1/query_range", &range);
        assert!(!got_range.is_empty(), "{query}");
        // Labels that only remote read adds are seen through it alone.
        let plain = query.replace("{site=\"s\"}", "");
        let external = !query.starts_with("sum");
        let expected = result(&both.theirs, "/api/v1/query", &[("query", plain.as_str()), ("time", &end)]);
        assert_eq!(without_external(got, external), expected, "{query}");
        let range = [("query", plain.as_str()), ("start", &start), ("end", &end), ("step", "77")];
        let expected = result(&both.theirs, "/api/v1/query_range", &range);
        assert_eq!(without_external(got_range, external), expected, "{query}");
    }
}

/// Takes away what our external labels added, and sees that it was there.
fn without_external(mut series: Vec<serde_json::Value>, is_there: bool) -> Vec<serde_json::Value> {
    for one in &mut series {
        let metric = one["metric"].as_object_mut().unwrap();
        assert_eq!(metric.remove("site").is_some(), is_there, "{metric:?}");
        if metric.get("zone").is_some_and(|zone| zone == "z") {
            metric.remove("zone");
        }
    }
    series.sort_by_key(|one| one["metric"].to_string());
    series
}

#[test]
fn limits_and_bad_requests_are_refused() {
    let both = Both::start(&["--storage.remote.read-sample-limit=1000"]);
    let everything = [matcher(MatcherType::Re, "__name__", ".+")];
    let all = query((both.end_ms - SPAN_MS, both.end_ms), &everything);
    let few = query((both.end_ms - 60_000, both.end_ms), &everything);
    let bad_regex = query((0, 1), &[matcher(MatcherType::Re, "a", "(")]);
    for (queries, accepted, status, said) in [
        (vec![all.clone()], vec![], 400, "exceeded sample limit (1000)"),
        (vec![few.clone()], vec![], 200, ""),
        // The limit is that of each query.
        (vec![few.clone(), few.clone()], vec![], 200, ""),
        // A stream has none.
        (vec![all], vec![1], 200, ""),
        (vec![few], vec![7], 400, "response types"),
    ] {
        for server in both.each() {
            let response = post(server, &queries, &accepted);
            assert_eq!(response.status, status, "{}", response.text());
            assert!(response.text().contains(said), "{}", response.text());
        }
    }
    let refused = post(&both.ours, &[bad_regex], &[]);
    assert!(refused.status == 400 && refused.text().contains("matcher"), "{}", refused.text());
    for server in both.each() {
        let url = server.url("/api/v1/read");
        assert_eq!(http::post(&url, "application/x-protobuf", b"no snappy").unwrap().status, 400);
        assert_eq!(server.get("/api/v1/read").status, 405);
    }
    let metrics = both.ours.get("/metrics").text();
    assert!(metrics.contains("\nprometheus_remote_read_handler_queries 0\n"), "{metrics}");
}

/// What all that is streamed to clients that take nothing of it may hold, a tenth of what they are to get.
const HELD_MAX_BYTES: u64 = 48 << 20;

#[test]
fn streams_are_read_as_their_clients_take_them() {
    const SERIES: usize = 40_000;
    let (mut server, padding) = (server().flag("--push.enable=import").start(), "x".repeat(400));
    let lines: String = (0..SERIES).map(|i| format!("long{{i=\"{i}\",padding=\"{padding}\"}} 1\n")).collect();
    let taken = http::post(&server.url("/api/v1/import/prometheus"), "text/plain", lines.as_bytes()).unwrap();
    assert_eq!(taken.status, 204, "{}", taken.text());
    let queries = [query((0, i64::MAX), &[matcher(MatcherType::Eq, "__name__", "long")])];
    let kinds = [ResponseType::StreamedXorChunks.into()];
    let asked = body(&queries, &kinds);
    let before = peak_resident_bytes(server.process().id());
    let streams: Vec<TcpStream> = (0..30)
        .map(|_| {
            let (mut stream, mut begin) = (TcpStream::connect(server.address()).unwrap(), [0; 15]);
            let head = "POST /api/v1/read HTTP/1.1\r\nHost: a\r\nContent-Encoding: snappy";
            write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n", asked.len()).unwrap();
            stream.write_all(&asked).unwrap();
            stream.read_exact(&mut begin).unwrap();
            assert_eq!(&begin, b"HTTP/1.1 200 OK");
            stream
        })
        .collect();
    let more = peak_resident_bytes(server.process().id()) - before;
    assert!(more < HELD_MAX_BYTES, "{} streams hold {more} bytes", streams.len());
    drop(streams);
    let (series, _) = streamed(&post(&server, &queries, &kinds), 1);
    assert_eq!(series[0].len(), SERIES);
}
