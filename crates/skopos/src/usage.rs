//! What is said of flags that cannot be followed, where the parser's own words lead nowhere. Decides nothing
//! about values.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::process::ExitCode;

/// A name so far from the one that was given is none that was meant.
const FAR: usize = 3;
/// No more names than this are shown.
const MOST: usize = 3;

/// Shows help, or what is wrong with the flags. A wrong flag is exit code 1, as in the programs whose
/// place we take.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    match better(error) {
        Some(text) => tell(&text),
        // Where it cannot be shown there is nobody to read it.
        None => drop(error.print()),
    }
    if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[expect(clippy::print_stderr, reason = "the last word to whoever started the program")]
fn tell(text: &str) {
    eprintln!("skopos: {text}");
}

fn better(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let given = flag.strip_prefix("--collector.").or_else(|| flag.strip_prefix("--no-collector."))?;
            let given = given.split('=').next().unwrap_or_default();
            // What stands behind a point is a flag of a collector, of which the parser knows the nearest.
            if given.contains('.') {
                return None;
            }
            let near = nearest(given, skopos_agent::collector_names());
            Some(if near.is_empty() {
                format!("{flag}: there is no collector {given}; `skopos agent --help` lists them")
            } else {
                format!("{flag}: there is no collector {given}; the nearest are {}", near.join(", "))
            })
        }
        ErrorKind::TooManyValues => {
            let name = flag.strip_prefix("--")?;
            let opposite = match name.strip_prefix("no-") {
                Some(on) => on.to_owned(),
                None => format!("no-{name}"),
            };
            name.contains("collector.")
                .then(|| format!("{flag} takes no value: write it alone, or --{opposite} for the opposite"))
        }
        _ => None,
    }
}

/// The known names that are nearest to the one that was given, the nearest first.
fn nearest(given: &str, known: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut near: Vec<(usize, &str)> = known.map(|name| (distance(given, name), name)).collect();
    near.retain(|(distance, _)| *distance < FAR);
    near.sort_unstable();
    near.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// How many letters have to be put in, taken out or exchanged (V. Levenshtein, 1965).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (at, a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, b) in b.chars().enumerate() {
            let exchanged = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_are_shown_first() {
        for (a, b, apart) in [("", "abc", 3), ("cpu", "cpu", 0), ("memnfo", "meminfo", 1), ("nix", "nfs", 2)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (apart, apart), "{a} {b}");
        }
        assert_eq!(nearest("memnfo", skopos_agent::collector_names()), ["meminfo"]);
        assert_eq!(nearest("nfs1", skopos_agent::collector_names())[0], "nfs");
        assert!(nearest("something-else", skopos_agent::collector_names()).is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_flag_of_a_collector_is_said_with_what_to_do() {
        let said = |flag: &str| {
            let error = crate::command().try_get_matches_from(["skopos", "agent", flag]).unwrap_err();
            better(&error)
        };
        let nix = said("--collector.nix").unwrap();
        assert!(nix.starts_with("--collector.nix: there is no collector nix; the nearest are nfs"), "{nix}");
        let value = "--collector.cpu takes no value: write it alone, or --no-collector.cpu for the opposite";
        assert_eq!(said("--collector.cpu=false").as_deref(), Some(value));
        assert_eq!(said("--collector.filesystem.nope=1"), None);
        assert_eq!(said("--nope"), None);
    }
}
