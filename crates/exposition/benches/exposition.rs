//! Parse and write, samples a second, on the recorded body of a real node_exporter. Cold: every
//! series is decoded, as when a target is new. Steady: series are told from each other by their
//! bytes, as in every later scrape; with a hint, they and what is said of families are compared with the last
//! scrape's.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skopos_exposition::{Entry, Format, MetaLines, Parser, TextWriter};
use skopos_model::{LabelsBuilder, Metadata, MetricType};
use std::{hint::black_box, mem};

const CLASSIC: &[u8] = include_bytes!("data/node_exporter-1.5.txt");

fn samples(format: Format, body: &[u8]) -> Vec<Vec<u8>> {
    let entries = Parser::new(format, body).map(|entry| entry.expect("a valid body"));
    let series = |entry| match entry {
        Entry::Sample(sample) => Some(sample.series.as_bytes().to_vec()),
        _ => None,
    };
    entries.filter_map(series).collect()
}

/// What a body says of a family.
struct Family {
    name: String,
    lines: MetaLines,
    said: Metadata,
}

fn families(format: Format, body: &[u8]) -> Vec<Family> {
    let mut out: Vec<Family> = Vec::new();
    for entry in Parser::new(format, body).map(|entry| entry.expect("a valid body")) {
        let (Entry::Help { name, .. } | Entry::Type { name, .. } | Entry::Unit { name, .. }) = &entry else {
            continue;
        };
        if out.last().is_none_or(|last| last.name != *name) {
            out.push(Family {
                name: name.to_string(),
                lines: MetaLines::default(),
                said: Metadata::default(),
            });
        }
        let Some(family) = out.last_mut() else { continue };
        family.lines.push(&entry);
        match entry {
            Entry::Help { text, .. } => family.said.help = text.into_owned(),
            Entry::Type { metric_type, .. } => family.said.metric_type = metric_type,
            Entry::Unit { unit, .. } => family.said.unit = unit.to_owned(),
            Entry::Comment(_) | Entry::Sample(_) => {}
        }
    }
    out
}

/// The body as OpenMetrics would have it.
fn open_metrics() -> Vec<u8> {
    let text = String::from_utf8_lossy(CLASSIC).replace(" untyped\n", " unknown\n");
    format!("{text}# EOF\n").into_bytes()
}

// The loops match the items in place: `for entry in parser` would move each one first.

fn cold(format: Format, body: &[u8], builder: &mut LabelsBuilder) -> f64 {
    let (mut parser, mut sum) = (Parser::new(format, body), 0.0);
    loop {
        match parser.next() {
            Some(Ok(Entry::Sample(sample))) => {
                builder.clear();
                sample.series.labels_into(builder).expect("no label twice");
                black_box(&builder);
                sum += sample.value;
            }
            Some(entry) => drop(entry.expect("a valid body")),
            None => return sum,
        }
    }
}

fn steady(format: Format, body: &[u8]) -> f64 {
    let (mut parser, mut sum) = (Parser::new(format, body), 0.0);
    loop {
        match parser.next() {
            Some(Ok(Entry::Sample(sample))) => {
                black_box(sample.series);
                sum += sample.value;
            }
            Some(entry) => drop(entry.expect("a valid body")),
            None => return sum,
        }
    }
}

fn hinted(format: Format, body: &[u8], last_time: &[Vec<u8>], families: &[Family]) -> f64 {
    let (mut parser, mut sum) = (Parser::new(format, body), 0.0);
    let (mut expected, mut families) = (last_time.iter(), families.iter());
    let mut hint: &[u8] = expected.next().map_or(b"", Vec::as_slice);
    let mut family = families.next();
    loop {
        while parser.is_at_comment() && family.is_some_and(|f| parser.skip_known(f.lines, &f.name, &f.said)) {
            black_box(mem::replace(&mut family, families.next()));
        }
        match parser.next_expecting(hint) {
            Some(Ok(Entry::Sample(sample))) => {
                black_box(sample.series);
                sum += sample.value;
                hint = expected.next().map_or(b"", Vec::as_slice);
            }
            Some(entry) => drop(entry.expect("a valid body")),
            None => return sum,
        }
    }
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("exposition parse");
    let mut builder = LabelsBuilder::default();
    let open_metrics = open_metrics();
    for (name, format, body) in
        [("text", Format::Text, CLASSIC), ("openmetrics", Format::OpenMetrics, &open_metrics)]
    {
        let (last_time, families) = (samples(format, body), families(format, body));
        group.throughput(Throughput::Elements(last_time.len() as u64));
        group.bench_function(format!("{name}/cold"), |b| {
            b.iter(|| cold(format, black_box(body), &mut builder));
        });
        group.bench_function(format!("{name}/steady"), |b| b.iter(|| steady(format, black_box(body))));
        group.bench_function(format!("{name}/steady, hinted"), |b| {
            b.iter(|| hinted(format, black_box(body), &last_time, &families));
        });
    }
    // The same without HELP and TYPE, to see what the samples alone cost.
    let bare: Vec<u8> = CLASSIC
        .split_inclusive(|b| *b == b'\n')
        .filter(|line| !line.starts_with(b"#"))
        .flatten()
        .copied()
        .collect();
    let last_time = samples(Format::Text, &bare);
    group.throughput(Throughput::Elements(last_time.len() as u64));
    group.bench_function("samples only/cold", |b| {
        b.iter(|| cold(Format::Text, black_box(&bare), &mut builder));
    });
    group.bench_function("samples only/steady", |b| b.iter(|| steady(Format::Text, black_box(&bare))));
    group.bench_function("samples only/steady, hinted", |b| {
        b.iter(|| hinted(Format::Text, black_box(&bare), &last_time, &[]));
    });
    group.finish();
}

fn write(c: &mut Criterion) {
    const CPUS: u64 = 64;
    const MODES: [&str; 8] = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
    let cpus: Vec<String> = (0..CPUS).map(|n| n.to_string()).collect();
    let mut group = c.benchmark_group("exposition write");
    group.throughput(Throughput::Elements(CPUS * MODES.len() as u64));
    let mut out = Vec::new();
    for (name, format) in [("text", Format::Text), ("openmetrics", Format::OpenMetrics)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                let mut writer = TextWriter::new(format, &mut out);
                let help = "Seconds the CPUs spent in each mode.";
                writer.family("node_cpu_seconds_total", MetricType::Counter, help).expect("new");
                for (i, cpu) in cpus.iter().enumerate() {
                    for mode in MODES {
                        let value = 123_456.78 + i as f64;
                        writer.sample("", &[("cpu", cpu), ("mode", mode)], value).expect("its own");
                    }
                }
                writer.finish();
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(exposition, parse, write);
criterion_main!(exposition);
