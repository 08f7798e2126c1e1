//! What is pushed: the first byte says by which protocol, the rest is the body. A body that is taken is taken
//! once more, by what is known of its labels, and comes to the same.

use skopos_base::{Env, clock::Clock};
use skopos_intake::{
    Compression, CsvFormat, Destination, ExtraLabels, Intake, IntakeError, Limits, OtlpConfig, OtlpForm,
    Precision, Statsd, Stream, TextFormat, Version, Written,
};
use skopos_model::{Labels, Metadata, SeriesRef, TimestampMs};
use skopos_storage::{Append, AppendError, Appendable, Appender, CommitError, Committed, SeriesId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What reads bytes of others.
pub(super) const DECODERS: &[(&str, &[&str])] = &[
    (
        "crates/proto/src/pushed.rs",
        &[
            "unpacked_bytes",
            "unpack",
            "of",
            "labels",
            "references",
            "sample",
            "exemplar",
            "family",
            "metadata",
            "read",
            "span",
        ],
    ),
    ("crates/intake/src/intake.rs", &["remote_write", "unpacked"]),
    ("crates/intake/src/otlp/mod.rs", &["otlp"]),
    (
        "crates/proto/src/otlp.rs",
        &[
            "read",
            "each",
            "scope",
            "resource",
            "metric",
            "points",
            "number",
            "histogram",
            "exponential",
            "buckets",
            "summary",
            "exemplar",
            "attribute",
            "any",
        ],
    ),
    ("crates/proto/src/otlp/json.rs", &["read_json"]),
    ("crates/intake/src/csv.rs", &["parse", "row"]),
    ("crates/intake/src/json.rs", &["parse"]),
    ("crates/intake/src/lines.rs", &["float"]),
    ("crates/intake/src/lines/graphite.rs", &["parse", "tags"]),
    ("crates/intake/src/lines/influx.rs", &["parse", "end", "tags", "find", "unescaped", "value"]),
    ("crates/intake/src/statsd/line.rs", &["parse"]),
    ("crates/intake/src/text.rs", &["text", "influx", "graphite", "json", "csv"]),
    ("crates/intake/src/unzip.rs", &["unzip", "step"]),
    (
        "crates/intake/src/remote_write.rs",
        &["read", "text", "of", "key", "each_label", "series", "exemplar", "family"],
    ),
];

/// A storage that takes whatever comes, and knows series by their labels.
#[derive(Default)]
struct Taking(Mutex<HashMap<Labels, SeriesRef>>);

struct Batch<'a>(&'a Taking);

impl Appendable for Taking {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch(self))
    }
}

impl Appender for Batch<'_> {
    fn append(&mut self, sample: &Append<'_>) -> Result<SeriesRef, AppendError> {
        let labels = match sample.series {
            SeriesId::Ref(known) => return Ok(known),
            SeriesId::Labels(labels) => labels,
        };
        let mut names = labels.iter().map(|(name, _)| name);
        assert!(labels.metric_name().is_some() && names.all(|name| !name.is_empty()), "{labels}");
        let mut all = self.0.0.lock().expect("nobody panics with it");
        let next = SeriesRef::new(all.len() as u64 + 1).expect("it is not zero");
        Ok(*all.entry(labels.clone()).or_insert(next))
    }

    fn metadata(&mut self, _: SeriesRef, _: &Metadata) {}

    fn append_floats(
        &mut self,
        _: TimestampMs,
        _: &[SeriesRef],
        _: &[f64],
        _: &mut Vec<(usize, AppendError)>,
    ) {
    }

    fn commit(self: Box<Self>) -> Result<Committed, CommitError> {
        Ok(Committed::default())
    }
}

/// Always shows the same time, so that what is taken twice is refused twice by the same bounds.
#[derive(Debug)]
struct StillClock;

impl Clock for StillClock {
    fn wall_ms(&self) -> i64 {
        1_790_000_000_123
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _: Duration) {}
}

pub(super) fn any(bytes: &[u8]) -> bool {
    let Some((kind, body)) = bytes.split_first() else { return false };
    let into = Destination { storage: Arc::new(Taking::default()), make_durable: Arc::new(|| Ok(())) };
    let limits = Limits {
        request_bytes: 1 << 20,
        decoded_bytes: 4 << 20,
        import_bytes: 4 << 20,
        line_bytes: 1 << 20,
        labels: 64,
    };
    let env = Env { clock: Arc::new(StillClock), ..Env::real() };
    let intake = Arc::new(Intake::new(into, &env, limits, 32 << 20));
    let otlp = OtlpConfig { promote_all_resource_attributes: true, ..OtlpConfig::default() };
    let take = || -> Option<Written> {
        match kind % 10 {
            0 => intake.remote_write(Version::One, &packed(body)).ok(),
            1 => intake.remote_write(Version::Two, &packed(body)).ok(),
            8 => intake.otlp((OtlpForm::Protobuf, &otlp), (body, Compression::None)).ok(),
            9 => intake.otlp((OtlpForm::Json, &otlp), (body, Compression::None)).ok(),
            n => text(&intake, &formats()[usize::from(n) - 2], body),
        }
    };
    let Some(first) = take() else { return false };
    let again = take().expect("what was taken is taken again");
    assert_eq!((first.samples, first.histograms), (again.samples, again.histograms));
    assert_eq!(intake.memory().used_peak_max().0, 0, "what was held is given back");
    // A body as it comes is not compressed by snappy, or is.
    drop(intake.remote_write(Version::One, body));
    true
}

/// How bodies of text are written.
fn formats() -> [TextFormat; 6] {
    let csv = CsvFormat::parse("1:metric:m,2:label:a,3:time:rfc3339,4:metric:n").expect("it is one");
    [
        TextFormat::Influx(Precision::Seconds),
        TextFormat::Graphite,
        TextFormat::JsonLines,
        TextFormat::Csv(csv),
        TextFormat::Prometheus(None),
        TextFormat::Statsd,
    ]
}

fn text(intake: &Arc<Intake>, format: &TextFormat, body: &[u8]) -> Option<Written> {
    let missing = vec![("db".to_owned(), "x".to_owned())];
    let extra = ExtraLabels { missing, ..ExtraLabels::default() };
    let written = intake.text(format, (body, Compression::None), &extra).ok()?;
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Deflate] {
        drop(intake.text(format, (body, compression), &extra));
        drop(streamed(intake, (format, compression), &extra, body));
    }
    let in_parts = streamed(intake, (format, Compression::None), &extra, body);
    assert_eq!(in_parts.expect("what is taken as a whole is taken in parts"), written);
    let mut statsd = Statsd::new(100);
    statsd.add(body, 0);
    let mut page = Vec::new();
    statsd.flush(0, &mut page);
    let flushed = intake.text(&TextFormat::Statsd, (&page, Compression::None), &ExtraLabels::default());
    assert_eq!(flushed.expect("our own page is taken").refused, None);
    Some(written)
}

/// The same in parts.
fn streamed(
    intake: &Arc<Intake>,
    (format, compression): (&TextFormat, Compression),
    extra: &ExtraLabels,
    body: &[u8],
) -> Result<Written, IntakeError> {
    let mut stream = Stream::begin(intake, (format.clone(), compression), extra.clone())?;
    body.chunks(1000).try_for_each(|part| stream.push(part))?;
    stream.end()
}

fn packed(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).expect("less than 4 GiB")
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut all = vec![vec![0], vec![1]];
    all.push([&[0][..], &version_1()].concat());
    all.push([&[1][..], &version_2()].concat());
    for (kind, text) in [
        (2, "cpu,host=a\\ b usage=1.5,on=t,text=\"x, y\" 17\nbad\n"),
        (3, "a.b;c=d 1.5 17\nt.s:1:2|ms|@0.5|#a:b,c\ns:x|s\n"),
        (4, "{\"metric\":{\"__name__\":\"m\"},\"values\":[1,null],\"timestamps\":[1,2]}\n"),
        (5, "1,\"a, \"\"b\",2023-11-14T22:13:20Z,2\n"),
        (6, "# TYPE m counter\nm{a=\"b\"} 1 17\n"),
    ] {
        all.push([&[kind][..], text.as_bytes()].concat());
    }
    all.push([&[8][..], &otlp()].concat());
    let json = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":
        "s"}}]},"scopeMetrics":[{"metrics":[{"name":"m","unit":"By/s","sum":{"aggregationTemporality":2,
        "isMonotonic":true,"dataPoints":[{"timeUnixNano":"7000000","asInt":"3"}]}}]}]}]}"#;
    all.push([&[9][..], json.as_bytes()].concat());
    all
}

/// A request of OTLP with a gauge and an exponential histogram.
fn otlp() -> Vec<u8> {
    let fixed = |number: u8, n: u64| [&[number << 3 | 1][..], &n.to_le_bytes()].concat();
    let attribute = field(7, &[field(1, b"a"), field(2, &field(1, b"b"))].concat());
    let number = [attribute, fixed(3, 7_000_000), fixed(4, 1.5_f64.to_bits())].concat();
    let gauge = [field(1, b"g"), field(3, b"1"), field(5, &field(1, &number))].concat();
    let buckets = [vec![0x08, 3], field(2, &[1, 2, 3])].concat();
    let point = [fixed(3, 7_000_000), fixed(4, 6), vec![0x30, 18], field(8, &buckets)].concat();
    let histogram = [field(1, b"h"), field(10, &[field(1, &point), vec![0x10, 2]].concat())].concat();
    field(1, &field(2, &[field(2, &gauge), field(2, &histogram)].concat()))
}

/// A text, bytes or message of a field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    skopos_base::varint::put_uvarint(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

fn sample() -> Vec<u8> {
    let mut sample = vec![0x09];
    sample.extend(1.5_f64.to_le_bytes());
    sample.extend([0x10, 0x87, 0x2d]);
    sample
}

fn histogram() -> Vec<u8> {
    let mut out = vec![0x08, 3, 0x20, 2, 0x30, 1];
    out.extend(field(11, &[0x08, 1, 0x10, 2]));
    out.extend(field(12, &[2, 1]));
    out.extend([0x78, 7]);
    out
}

fn version_1() -> Vec<u8> {
    let label =
        |name: &str, value: &str| field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat());
    let mut exemplar = label("trace_id", "x");
    exemplar.extend([&[0x11][..], &2.5_f64.to_le_bytes(), &[0x18, 9]].concat());
    let series = [
        label("__name__", "m_total"),
        label("a", "ü"),
        field(2, &sample()),
        field(3, &exemplar),
        field(4, &histogram()),
    ];
    let family = [vec![0x08, 1], field(2, b"m"), field(4, b"help"), field(5, b"s")].concat();
    [field(1, &series.concat()), field(3, &family)].concat()
}

fn version_2() -> Vec<u8> {
    let symbols: Vec<u8> =
        ["", "__name__", "m", "a", "b"].iter().flat_map(|s| field(4, s.as_bytes())).collect();
    let exemplar = [field(1, &[3, 4]), vec![0x18, 9]].concat();
    let series = [
        field(1, &[1, 2, 3, 4]),
        field(2, &sample()),
        field(3, &histogram()),
        field(4, &exemplar),
        field(5, &[0x08, 1, 0x18, 3, 0x20, 4]),
        vec![0x30, 5],
    ];
    [symbols, field(5, &series.concat())].concat()
}
