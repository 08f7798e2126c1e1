//! The figures of all systems beside one another as Markdown, with ratios and their geometric means. Never
//! measures.

use std::fmt::Write as _;

use super::Measured;
use super::list::Question;
use super::systems::SYSTEMS;

/// The figures about one data set.
pub(super) struct Section {
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
}

/// The figures of one question, in the order of the systems.
pub(super) struct Row {
    pub(super) question: Question,
    pub(super) of: [Option<Measured>; SYSTEMS.len()],
    /// Points of our answer.
    pub(super) points: usize,
    /// What is wrong with an answer.
    pub(super) remarks: Vec<String>,
}

/// A figure of which ratios are taken.
struct Figure {
    name: &'static str,
    of: fn(&Measured) -> f64,
}

const FIGURES: [Figure; 4] = [
    Figure { name: "cold", of: |m| m.cold_ms },
    Figure { name: "warm", of: |m| m.warm_ms },
    Figure { name: "CPU cold", of: |m| m.cold_cpu_ms },
    Figure { name: "CPU warm", of: |m| m.warm_cpu_ms },
];
/// The place of our own system.
const OURS: usize = 2;
/// Processor time is counted in steps; less than one is none.
const LEAST_MS: f64 = 0.05;

/// Our part of what another system took.
fn ratio(row: &Row, other: usize, figure: &Figure) -> Option<f64> {
    let (ours, other) = (row.of[OURS].as_ref()?, row.of[other].as_ref()?);
    Some((figure.of)(ours).max(LEAST_MS) / (figure.of)(other).max(LEAST_MS))
}

fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
}

/// All of it.
pub(super) fn markdown(sections: &[Section]) -> String {
    let mut out = means(sections);
    for section in sections {
        let _ = writeln!(out, "\n### {}\n", section.name);
        out.push_str(
            "| question | points | Prometheus cold, warm, CPU ms | VictoriaMetrics | Skopos | outside | \
             of Prometheus cold, warm | of VictoriaMetrics cold, warm |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for row in &section.rows {
            out.push_str(&line(row));
        }
        out.push_str(&peaks(section));
    }
    let mut remarks = String::new();
    for section in sections {
        for (row, remark) in section.rows.iter().flat_map(|row| row.remarks.iter().map(move |r| (row, r))) {
            let _ = writeln!(remarks, "- {}, {}: {remark}", section.name, row.question.title());
        }
    }
    let all = if remarks.is_empty() { "All answers agree.\n" } else { "Answers that differ:\n" };
    let _ = write!(out, "\n{all}{remarks}");
    out
}

/// Geometric means of the ratios, by group and over all.
fn means(sections: &[Section]) -> String {
    let mut out = String::from(
        "| | of Prometheus | worst | of VictoriaMetrics | worst |\n| --- | --- | --- | --- | --- |\n",
    );
    let windows = |row: &Row| format!("{} {} h", row.question.group, row.question.window_s / 3600);
    let mut groups: Vec<String> = sections.iter().flat_map(|s| &s.rows).map(windows).collect();
    groups.dedup();
    groups.push("all".to_owned());
    for group in &groups {
        for figure in &FIGURES {
            let _ = write!(out, "| {group}, {}", figure.name);
            for other in 0..OURS {
                let rows = sections.iter().flat_map(|section| &section.rows);
                let own = rows.filter(|row| group == "all" || windows(row) == *group);
                let ratios: Vec<f64> = own.filter_map(|row| ratio(row, other, figure)).collect();
                let worst = ratios.iter().copied().reduce(f64::max);
                let _ = write!(out, " | {} | {}", shown(geometric_mean(&ratios)), shown(worst));
            }
            out.push_str(" |\n");
        }
    }
    out
}

fn line(row: &Row) -> String {
    let mut out = format!("| {} | {}", row.question.title(), row.points);
    for one in &row.of {
        match one {
            Some(m) => {
                let _ = write!(out, " | {:.1}, {:.1}, {:.1}", m.cold_ms, m.warm_ms, m.warm_cpu_ms);
            }
            None => out.push_str(" | –"),
        }
    }
    let outside = row.of[OURS].as_ref().and_then(|m| m.outside_ms);
    let _ = write!(out, " | {}", outside.map_or("–".to_owned(), |ms| format!("{ms:.1}")));
    for other in 0..OURS {
        let [cold, warm] = [0, 1].map(|i| shown(ratio(row, other, &FIGURES[i])));
        let _ = write!(out, " | {cold}, {warm}");
    }
    out.push_str(" |\n");
    out
}

/// Processor time and the most memory of a process over all questions.
fn peaks(section: &Section) -> String {
    let mut out = String::new();
    for (at, system) in SYSTEMS.iter().enumerate() {
        let all: Vec<&Measured> = section.rows.iter().filter_map(|row| row.of[at].as_ref()).collect();
        let peak = all.iter().map(|m| m.peak_bytes).max().unwrap_or_default();
        let cpu_s: f64 = all.iter().map(|m| m.cold_cpu_ms).sum::<f64>() / 1e3;
        let peak = peak as f64 / 1e6;
        let _ =
            writeln!(out, "\n{}: {cpu_s:.2} CPU s for all once, at most {peak:.0} MB resident.", system.name);
    }
    out
}

fn shown(ratio: Option<f64>) -> String {
    ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(ms: f64) -> Option<Measured> {
        Some(Measured {
            title: String::new(),
            cold_ms: 2.0 * ms,
            warm_ms: ms,
            cold_cpu_ms: 0.0,
            warm_cpu_ms: ms,
            outside_ms: None,
            peak_bytes: 3_000_000,
            answer_bytes: 0,
        })
    }

    #[test]
    fn ratios_and_their_means_are_shown() {
        let question = |name| Question { group: "heavy", name, expr: "x", window_s: 3600, step_s: 15 };
        let row = |name, ours, remarks| Row {
            question: question(name),
            of: [measured(100.0), None, measured(ours)],
            points: 7,
            remarks,
        };
        let rows = vec![row("a", 10.0, vec![]), row("b", 40.0, vec!["oops".to_owned()])];
        let text = markdown(&[Section { name: "1x1h".to_owned(), rows }]);
        for line in [
            "| heavy 1 h, warm | 0.200 | 0.400 | – | – |\n",
            "| all, CPU cold | 1.000 | 1.000 | – | – |\n",
            "| heavy a 1h | 7 | 200.0, 100.0, 100.0 | – | 20.0, 10.0, 10.0 | – | 0.100, 0.100 | –, – |\n",
            "Skopos: 0.00 CPU s for all once, at most 3 MB resident.\n",
            "Answers that differ:\n- 1x1h, heavy b 1h: oops\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
