//! What a target of the load answers: bodies made and compressed before anything is measured, one for each
//! second. All targets answer the same; their addresses make their series differ.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Series of a family: those of a disk, a core, a code of HTTP.
pub(super) const FAMILY_SERIES: usize = 10;
/// A family that every body has; recovery is told by its series.
pub(super) const FIRST_FAMILY: &str = "node_counter_0_total";

/// Whole answers, head and compressed body, one for each second; so much percent of the series have a new
/// label every minute, a few of them each second.
pub(super) fn answers(series: usize, seconds: usize, churn: u64) -> Result<Vec<Vec<u8>>> {
    (0..seconds).map(|second| answer(&text(series, second as u64, churn))).collect()
}

fn answer(text: &str) -> Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text.as_bytes())?;
    let packed = packed.finish()?;
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
         Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    )
    .into_bytes();
    answer.extend_from_slice(&packed);
    Ok(answer)
}

/// A body in the classic format: six of ten families are counters, the others gauges; of either some move at
/// every scrape, some seldom, some never, as those of a real machine do.
fn text(series: usize, second: u64, churn: u64) -> String {
    let mut out = String::with_capacity(series * 90);
    for family in 0..series.div_ceil(FAMILY_SERIES) {
        let is_counter = family % 10 < 6;
        let (kind, name) = match is_counter {
            true => ("counter", format!("node_counter_{family}_total")),
            false => ("gauge", format!("node_gauge_{family}_bytes")),
        };
        let _ = writeln!(out, "# HELP {name} What family {family} of the load counts.\n# TYPE {name} {kind}");
        for i in 0..FAMILY_SERIES.min(series - family * FAMILY_SERIES) {
            let number = (family * FAMILY_SERIES + i) as u64;
            let value = if is_counter { counter(number, second) } else { gauge(number, second) };
            let _ = write!(out, "{name}{{device=\"device-{i}\",mode=\"mode-{}\"", family % 7);
            // The first family stays: recovery is told by it.
            if family > 0 && number % 100 < churn {
                let _ = write!(out, ",since=\"{}\"", (second + number / 100 % 60) / 60);
            }
            let _ = writeln!(out, "}} {value}");
        }
    }
    out
}

fn counter(number: u64, second: u64) -> f64 {
    let start = (number * 7919 % 100_000) as f64;
    match number % 4 {
        0 => start,
        // It moves by whole numbers, the step from one to the next differing a little.
        1 | 2 => start + (second * (1 + number % 900) + mixed(number, second) % 5) as f64,
        // It counts seconds of time, as those of a processor do.
        _ => {
            ((start + second as f64 * 0.37 + (mixed(number, second) % 8) as f64 / 100.0) * 100.0).round()
                / 100.0
        }
    }
}

fn gauge(number: u64, second: u64) -> f64 {
    let start = (number * 104_729 % 1_000_000) as f64;
    match number % 3 {
        0 => start,
        1 => start + (mixed(number, second / 10) % 4096) as f64 * 4096.0,
        _ => start / 100.0 + (mixed(number, second) % 10_000) as f64 / 100.0,
    }
}

/// A number that looks like chance and is the same in every run.
fn mixed(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ b.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 30)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn samples(text: &str) -> Vec<(&str, f64)> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').map(|(s, v)| (s, v.parse().unwrap())).unwrap()).collect()
    }

    #[test]
    fn a_body_has_its_series_and_counters_do_not_fall() {
        let (first, later) = (text(1000, 3, 0), text(1000, 4, 0));
        let (first, later) = (samples(&first), samples(&later));
        assert_eq!((first.len(), later.len()), (1000, 1000));
        let mut moved = 0;
        for ((series, before), (again, after)) in first.iter().zip(&later) {
            assert_eq!(series, again);
            moved += usize::from(before != after);
            assert!(!series.contains("_total") || after + 5.0 >= *before, "{series}: {before}, then {after}");
        }
        assert!((400..800).contains(&moved), "{moved} of 1000 series moved");
        assert_eq!(
            first.iter().filter(|(series, _)| series.starts_with(FIRST_FAMILY)).count(),
            FAMILY_SERIES
        );
        assert_eq!(samples(&text(13, 0, 0)).len(), 13);
    }

    #[test]
    fn a_part_of_the_series_is_new_every_minute() {
        let series = |second| -> HashSet<String> {
            samples(&text(10_000, second, 5)).into_iter().map(|(series, _)| series.to_owned()).collect()
        };
        let first = series(0);
        assert_eq!(first.difference(&series(60)).count(), 495, "5 %, but for the first family's");
        assert!((1..50).contains(&first.difference(&series(1)).count()), "not all at once");
    }

    #[test]
    fn an_answer_says_how_long_its_body_is() {
        let answer = answer("up 1\n").unwrap();
        let head_end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8_lossy(&answer[..head_end]).into_owned();
        assert!(head.contains(&format!("Content-Length: {}\r\n", answer.len() - head_end)), "{head}");
        assert_eq!(answer[head_end..head_end + 2], [0x1f, 0x8b], "the body is gzip");
    }
}
