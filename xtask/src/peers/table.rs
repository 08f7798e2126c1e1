//! The figures beside one another and beside the goals of the design: as lines, and as Markdown. Never
//! measures.

use super::Measured;

/// A row of the table: what it is, the goal, and the figure of a system.
struct Row {
    what: &'static str,
    goal: &'static str,
    figure: fn(&Measured) -> String,
}

const ROWS: [Row; 12] = [
    Row { what: "targets", goal: "–", figure: |m| thousands(m.targets as f64) },
    Row { what: "scrapes missed", goal: "–", figure: |m| format!("{:.1} %", m.missed * 100.0) },
    Row { what: "jitter of scrapes, p99", goal: "50 ms", figure: |m| format!("{:.1} ms", m.jitter_p99_ms) },
    Row { what: "samples stored a second", goal: "–", figure: |m| thousands(m.samples / m.seconds) },
    Row {
        what: "CPU seconds a million samples",
        goal: "0.35",
        figure: |m| format!("{:.2}", m.cpu_s / m.samples * 1e6),
    },
    Row { what: "samples a CPU second", goal: "2,860,000", figure: |m| thousands(m.samples / m.cpu_s) },
    Row {
        what: "resident memory",
        goal: "–",
        figure: |m| format!("{:.0} MB", m.memory.resident_bytes as f64 / 1e6),
    },
    Row {
        what: "resident bytes a series",
        goal: "500",
        figure: |m| thousands(m.memory.resident_bytes as f64 / m.series as f64),
    },
    Row {
        what: "of them anonymous",
        goal: "–",
        figure: |m| thousands(m.memory.anonymous_bytes as f64 / m.series as f64),
    },
    Row {
        what: "bytes on disk a sample",
        goal: "–",
        figure: |m| format!("{:.2}", m.disk_bytes as f64 / m.stored_samples),
    },
    Row {
        what: "answers after `kill -9`",
        goal: "0.25 s for 24 M samples",
        figure: |m| format!("{:.2} s for {:.1} M", m.ready_s, m.stored_samples / 1e6),
    },
    Row {
        what: "CPU seconds a second of the load itself",
        goal: "–",
        figure: |m| format!("{:.3}", m.load_cpu_per_s),
    },
];

/// One system's figures in a line.
pub(super) fn line(measured: &Measured) -> String {
    let figures = ROWS.iter().map(|row| format!("{}: {}", row.what, (row.figure)(measured)));
    format!("{}: {}", measured.system, figures.collect::<Vec<_>>().join("; "))
}

/// All systems' figures as a table for the terminal.
pub(super) fn text(measured: &[Measured]) -> String {
    let rows = cells(measured);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// The same for docs/performance.md.
pub(super) fn markdown(measured: &[Measured]) -> String {
    let rows = cells(measured);
    let line = |row: &Vec<String>| format!("| {} |\n", row.join(" | "));
    let rule = format!("|{}\n", " --- |".repeat(rows[0].len()));
    let body: String = rows[1..].iter().map(line).collect();
    format!("{}{rule}{body}", line(&rows[0]))
}

fn cells(measured: &[Measured]) -> Vec<Vec<String>> {
    let mut header = vec!["what".to_owned()];
    header.extend(measured.iter().map(|one| one.system.to_owned()));
    header.push("goal".to_owned());
    let mut rows = vec![header];
    for row in &ROWS {
        let mut cells = vec![row.what.to_owned()];
        cells.extend(measured.iter().map(row.figure));
        cells.push(row.goal.to_owned());
        rows.push(cells);
    }
    rows
}

/// A number without its fraction, its digits in groups.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::usage::Memory;

    #[test]
    fn figures_stand_beside_one_another_and_the_goal() {
        let one = |system, cpu_s| Measured {
            system,
            targets: 10,
            series: 1000,
            missed: 0.004,
            jitter_p99_ms: 12.34,
            samples: 2e6,
            seconds: 20.0,
            cpu_s,
            load_cpu_per_s: 0.05,
            memory: Memory { resident_bytes: 2_000_000, anonymous_bytes: 1_500_000 },
            stored_samples: 4e6,
            disk_bytes: 10_000_000,
            ready_s: 1.25,
        };
        let both = [one("A", 3.0), one("B", 0.5)];
        let markdown = markdown(&both);
        for line in [
            "| what | A | B | goal |\n| --- | --- | --- | --- |\n",
            "| scrapes missed | 0.4 % | 0.4 % |",
            "| jitter of scrapes, p99 | 12.3 ms |",
            "| samples stored a second | 100,000 | 100,000 |",
            "| CPU seconds a million samples | 1.50 | 0.25 | 0.35 |\n",
            "| samples a CPU second | 666,667 | 4,000,000 |",
            "| resident bytes a series | 2,000 | 2,000 | 500 |\n",
            "| bytes on disk a sample | 2.50 |",
            "| answers after `kill -9` | 1.25 s for 4.0 M |",
        ] {
            assert!(markdown.contains(line), "{line}\n{markdown}");
        }
        assert_eq!(text(&both).lines().count(), ROWS.len() + 1);
    }

    #[test]
    fn digits_are_grouped() {
        for (number, text) in [(0.4, "0"), (999.6, "1,000"), (12_345.0, "12,345"), (1e6, "1,000,000")] {
            assert_eq!(thousands(number), text);
        }
    }
}
