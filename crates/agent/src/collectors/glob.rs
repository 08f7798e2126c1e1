//! Patterns of paths, as Go's `filepath.Glob` has them: `*`, `?`, `[a-z]`, `[^a]` and `\` within a name.

use crate::source::{exists_at, names_at};

/// The paths that exist and match `pattern`, sorted. A pattern that is wrong matches nothing.
pub(crate) fn expand(pattern: &str) -> Vec<String> {
    let (mut found, rest) = match pattern.strip_prefix('/') {
        Some(rest) => (vec!["/".to_owned()], rest),
        None => (vec![String::new()], pattern),
    };
    for part in rest.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for folder in &found {
            if part.contains(['*', '?', '[', '\\']) {
                let names = names_at(if folder.is_empty() { "." } else { folder }).unwrap_or_default();
                let names = names.iter().filter(|name| matches(part.as_bytes(), name.as_bytes()));
                next.extend(names.map(|name| join(folder, name)));
            } else {
                next.push(join(folder, part));
            }
        }
        found = next;
    }
    found.retain(|path| exists_at(path));
    found.sort_unstable();
    found
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() || folder.ends_with('/') {
        format!("{folder}{name}")
    } else {
        format!("{folder}/{name}")
    }
}

/// Whether all of `name` matches `pattern`. The time is bounded by the product of their lengths: of the
/// stars only the last one is tried again.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, n));
            continue;
        }
        if n == name.len() && p == pattern.len() {
            return true;
        }
        let step = name.get(n).and_then(|byte| step(&pattern[p..], *byte));
        match (step, star) {
            (Some(len), _) => {
                p += len;
                n += 1;
            }
            (None, Some((after, from))) if from < name.len() => {
                star = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
            (None, _) => return false,
        }
    }
}

/// How many bytes of `pattern` stand for the one byte of a name, if they do.
fn step(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', rest @ ..] => {
            let (is_excluded, mut rest) = match rest {
                [b'^', rest @ ..] => (true, rest),
                rest => (false, rest),
            };
            let all = pattern.len();
            let mut is_in = false;
            loop {
                let (low, after) = match rest {
                    [b']', ..] if rest.len() < all - 1 - usize::from(is_excluded) => break,
                    [b'\\', low, after @ ..] | [low, after @ ..] => (*low, after),
                    [] => return None,
                };
                let (high, after) = match after {
                    [b'-', b'\\', high, after @ ..] | [b'-', high, after @ ..] => (*high, after),
                    after => (low, after),
                };
                is_in |= (low..=high).contains(&byte);
                rest = after;
            }
            (is_in != is_excluded).then_some(all - rest.len() + 1)
        }
        [plain, ..] => (*plain == byte).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_patterns() {
        for (pattern, name, is_match) in [
            ("*", "", true),
            ("*.d", "a.d", true),
            ("*.d", "a.dx", false),
            ("a*b*c", "axxbxxbc", true),
            ("a*b*c", "axxbxx", false),
            ("?", "a", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[\\]]", "]", true),
            ("[a", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("plain", "plain", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), is_match, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_that_exist_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        for name in ["one/a.d", "one/b.d", "two/a.d", "two/c"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for (pattern, found) in [
            ("one/*.d", &["one/a.d", "one/b.d"][..]),
            ("*/a.d", &["one/a.d", "two/a.d"]),
            ("two/c/", &["two/c"]),
            ("no/*", &[]),
            ("one/x", &[]),
        ] {
            let found: Vec<String> = found.iter().map(|name| format!("{root}/{name}")).collect();
            assert_eq!(expand(&format!("{root}/{pattern}")), found, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_comes_to_an_end(pattern in r"[ab*?\[\]\\^-]{0,20}", name in "[ab]{0,40}") {
            matches(pattern.as_bytes(), name.as_bytes());
        }
    }
}
