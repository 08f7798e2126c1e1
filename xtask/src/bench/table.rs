//! The table of figures: one line a bench, with its goal where there is one.

use super::goals::{Goal, Goals};
use super::results::{Measured, Work};

/// Renders all figures, and names the goals that no bench measured.
pub(super) fn render(measured: &[Measured], goals: &Goals) -> String {
    let header = ["bench", "figure", "unit", "goal", ""].map(str::to_owned);
    let rows: Vec<[String; 5]> = measured.iter().map(|one| row(one, goals.of(&one.name))).collect();
    let all = || std::iter::once(&header).chain(&rows);
    let width = |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for [name, figure, unit, goal, verdict] in all() {
        let line = format!(
            "{name:<w0$}  {figure:>w1$}  {unit:<w2$}  {goal:>w3$}  {verdict}",
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2],
            w3 = widths[3],
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for goal in goals.goal.iter().filter(|goal| !measured.iter().any(|one| one.name == goal.bench)) {
        text.push_str(&format!("not measured: {}\n", goal.bench));
    }
    text
}

fn row(measured: &Measured, goal: Option<&Goal>) -> [String; 5] {
    let per_s = |amount: f64| amount / (measured.nanoseconds / 1e9);
    let (figure, unit) = match measured.work {
        Some(Work::Elements(elements)) => rate(per_s(elements), " elements/s"),
        Some(Work::Bytes(bytes)) => rate(per_s(bytes), "B/s"),
        None => time(measured.nanoseconds),
    };
    let amount = measured.work.map(|work| match work {
        Work::Elements(amount) | Work::Bytes(amount) => per_s(amount),
    });
    let (goal, is_met) = match goal {
        Some(Goal { at_least_per_s: Some(least), .. }) => {
            (format!("≥ {}", with_prefix(*least)), amount.map(|amount| amount >= *least))
        }
        Some(Goal { at_most_ms: Some(most), .. }) => {
            (format!("≤ {most} ms"), Some(measured.nanoseconds <= most * 1e6))
        }
        _ => (String::new(), None),
    };
    let verdict = match (goal.is_empty(), is_met) {
        (true, _) => "",
        (false, Some(true)) => "reached",
        (false, Some(false)) => "missed",
        (false, None) => "the bench tells no throughput",
    };
    [measured.name.clone(), figure, unit, goal, verdict.to_owned()]
}

fn rate(per_s: f64, unit: &str) -> (String, String) {
    let (amount, prefix) = scaled(per_s);
    (format!("{amount:.2}"), format!("{prefix}{unit}").trim_start().to_owned())
}

fn time(nanoseconds: f64) -> (String, String) {
    let units = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")];
    let (size, unit) = units.into_iter().find(|(size, _)| nanoseconds >= *size).unwrap_or((1.0, "ns"));
    (format!("{:.2}", nanoseconds / size), unit.to_owned())
}

fn with_prefix(amount: f64) -> String {
    let (amount, prefix) = scaled(amount);
    format!("{amount} {prefix}").trim_end().to_owned()
}

fn scaled(amount: f64) -> (f64, &'static str) {
    let prefixes = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (size, prefix) = prefixes.into_iter().find(|(size, _)| amount >= *size).unwrap_or((1.0, ""));
    (amount / size, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, nanoseconds: f64, work: Option<Work>) -> Measured {
        Measured { name: name.to_owned(), nanoseconds, work }
    }

    #[test]
    fn figures_stand_beside_their_goals() {
        let goals = "[[goal]]\nbench = \"parse\"\nat_least_per_s = 30e6\n\
                     [[goal]]\nbench = \"ready\"\nat_most_ms = 250.0\n\
                     [[goal]]\nbench = \"slow\"\nat_least_per_s = 8e6\n\
                     [[goal]]\nbench = \"gone\"\nat_most_ms = 1.0\n";
        let table = render(
            &[
                measured("parse", 1e6, Some(Work::Elements(40_000.0))),
                measured("free", 2e3, Some(Work::Bytes(64_000.0))),
                measured("ready", 312.4e6, None),
                measured("slow", 1e9, Some(Work::Elements(7.5e6))),
            ],
            &Goals::parse(goals).unwrap(),
        );
        let expected = "\
bench  figure  unit              goal
parse   40.00  M elements/s    ≥ 30 M  reached
free    32.00  GB/s
ready  312.40  ms            ≤ 250 ms  missed
slow     7.50  M elements/s     ≥ 8 M  missed
not measured: gone
";
        assert_eq!(table, expected);
    }
}
