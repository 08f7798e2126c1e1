//! `cargo xtask bench peers push`: remote write 1.0 of 50,000 series over 4 connections, as fast as each
//! system takes it, one system after the other in one run. Never fails for a figure.
//!
//! A request has 2,000 samples, as Prometheus sends them. Each round over all series is a second later than
//! the one before; what was answered is asked for at the end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use skopos_testkit::service::Service;
use skopos_testkit::wait::poll;

use super::systems::{SYSTEMS, System};
use super::{PATIENCE, count_in, now_s, usage};
use crate::process::our_program;

const SERIES: usize = 50_000;
const CONNECTIONS: usize = 4;
const OF_REQUEST: usize = 2_000;
/// Before anything is measured, all series are known.
const WARM_UP_ROUNDS: u64 = 5;
/// The first round is so much older than now.
const OLDER_S: u64 = 2 * 3600;
const SECONDS: u64 = 30;
/// Of the whole program on two cores.
const GOAL_SAMPLES_A_SECOND: f64 = 2_700_000.0;

/// What one system did.
struct Measured {
    samples: f64,
    seconds: f64,
    cpu_s: f64,
    load_cpu_s: f64,
    memory: usage::Memory,
}

/// Measures all systems, or one, and prints a line for each.
pub(crate) fn run_all(root: &Path, arguments: &[&str]) -> Result<()> {
    let (mut seconds, mut only, mut program, mut rest) = (SECONDS, None, None, arguments);
    while let [name, value, others @ ..] = rest {
        rest = others;
        match *name {
            "--seconds" => seconds = value.parse().with_context(|| format!("`--seconds {value}`"))?,
            "--only" => only = Some(*value),
            "--program" => program = Some(*value),
            other => bail!("`{other}` is unknown: --seconds, --only, --program"),
        }
    }
    ensure!(rest.is_empty(), "`{}` has no value", rest.concat());
    let binary = our_program(root, program)?;
    println!("{SERIES} series, {CONNECTIONS} connections, requests of {OF_REQUEST} samples, {seconds} s");
    for system in SYSTEMS.iter().filter(|system| only.is_none_or(|only| only == system.key)) {
        let m = measure(system, &binary, seconds).with_context(|| system.name.to_owned())?;
        println!(
            "{}: {:.0} samples a second (goal {GOAL_SAMPLES_A_SECOND:.0}); CPU seconds a million samples: \
             {:.2}, of the load {:.2}; resident bytes a series: {:.0}, of them anonymous {:.0}",
            system.name,
            m.samples / m.seconds,
            m.cpu_s / m.samples * 1e6,
            m.load_cpu_s / m.samples * 1e6,
            m.memory.resident_bytes as f64 / SERIES as f64,
            m.memory.anonymous_bytes as f64 / SERIES as f64,
        );
    }
    Ok(())
}

fn measure(system: &System, binary: &Path, seconds: u64) -> Result<Measured> {
    let mut service = (system.start_receiver)(binary);
    let start = now_s()? - OLDER_S;
    let mut senders: Vec<Sender> =
        (0..CONNECTIONS).map(|n| Sender::connect(&service, n, start)).collect::<Result<_>>()?;
    send_beside(&mut senders, |sender| (0..WARM_UP_ROUNDS).try_for_each(|_| sender.round()))?;
    let (own, process) = (std::process::id(), service.process().id());
    let before = (usage::cpu_s(process)?, usage::cpu_s(own)?);
    let sent = |senders: &[Sender]| senders.iter().map(|sender| sender.sent).sum::<usize>() as f64;
    let (begun, sent_before) = (Instant::now(), sent(&senders));
    send_beside(&mut senders, |sender| {
        while begun.elapsed() < Duration::from_secs(seconds) {
            sender.round()?;
        }
        Ok(())
    })?;
    let took = begun.elapsed().as_secs_f64();
    let measured = Measured {
        samples: sent(&senders) - sent_before,
        seconds: took,
        cpu_s: usage::cpu_s(process)? - before.0,
        load_cpu_s: usage::cpu_s(own)? - before.1,
        memory: usage::memory(process)?,
    };
    let last = senders.iter().map(|sender| sender.at_s).min().unwrap_or(start) - 1;
    let mut there = None;
    let all = poll(PATIENCE, || {
        let query = format!("/api/v1/query?query=count(pushed_bytes_total)&time={last}");
        there = count_in(&service.get(&query).text());
        (there == Some(SERIES as f64)).then_some(())
    });
    ensure!(all.is_some(), "of {SERIES} series {there:?} are there at the end");
    Ok(measured)
}

/// Each sender on a thread of its own.
fn send_beside(senders: &mut [Sender], send: impl Fn(&mut Sender) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = senders.iter_mut().map(|sender| scope.spawn(|| send(sender))).collect();
        let ended = threads.into_iter().map(|thread| thread.join().expect("a sender does not panic"));
        ended.collect::<Vec<_>>().into_iter().collect()
    })
}

/// A connection with the series that it sends.
struct Sender {
    stream: TcpStream,
    /// The labels of each series, as they stand in a message.
    labels: Vec<Vec<u8>>,
    at_s: u64,
    sent: usize,
    plain: Vec<u8>,
    packed: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl Sender {
    fn connect(service: &Service, number: usize, at_s: u64) -> Result<Self> {
        let stream = TcpStream::connect(service.address())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let of_each = SERIES / CONNECTIONS;
        let labels = (number * of_each..(number + 1) * of_each).map(labels).collect();
        let encoder = snap::raw::Encoder::new();
        Ok(Self { stream, labels, at_s, sent: 0, plain: Vec::new(), packed: Vec::new(), encoder })
    }

    /// Sends a sample of each series, and waits until each request is answered.
    fn round(&mut self) -> Result<()> {
        for first in (0..self.labels.len()).step_by(OF_REQUEST) {
            self.plain.clear();
            let end = (first + OF_REQUEST).min(self.labels.len());
            for (i, labels) in self.labels[first..end].iter().enumerate() {
                let value = (self.at_s * ((first + i) as u64 * 7919 % 1000)) as f64;
                write_series(&mut self.plain, labels, value, self.at_s * 1000);
            }
            self.request()?;
            self.sent += end - first;
        }
        self.at_s += 1;
        Ok(())
    }

    fn request(&mut self) -> Result<()> {
        self.packed.resize(snap::raw::max_compress_len(self.plain.len()), 0);
        let length = self.encoder.compress(&self.plain, &mut self.packed)?;
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
             Content-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(&self.packed[..length])?;
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            let n = self.stream.read(&mut part)?;
            ensure!(n > 0, "the connection ended");
            answer.extend_from_slice(&part[..n]);
        }
        let is_taken = answer.starts_with(b"HTTP/1.1 204");
        ensure!(is_taken, "the answer is not 204: {}", String::from_utf8_lossy(&answer));
        Ok(())
    }
}

fn labels(series: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in [
        ("__name__", "pushed_bytes_total".to_owned()),
        ("device", format!("eth{}", series % 50)),
        ("instance", format!("host-{}.example:9100", series / 50)),
        ("job", "node".to_owned()),
    ] {
        let length = name.len() + value.len() + 4;
        out.extend([0x0a, length as u8, 0x0a, name.len() as u8]);
        out.extend_from_slice(name.as_bytes());
        out.extend([0x12, value.len() as u8]);
        out.extend_from_slice(value.as_bytes());
    }
    out
}

/// A series with one sample: fields 1 (labels) and 2 (a sample of value and time) of field 1.
fn write_series(out: &mut Vec<u8>, labels: &[u8], value: f64, at_ms: u64) {
    let mut sample = vec![0x09];
    sample.extend_from_slice(&value.to_le_bytes());
    sample.push(0x10);
    write_varint(&mut sample, at_ms);
    out.push(0x0a);
    write_varint(out, (labels.len() + 2 + sample.len()) as u64);
    out.extend_from_slice(labels);
    out.extend([0x12, sample.len() as u8]);
    out.extend_from_slice(&sample);
}

fn write_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}
