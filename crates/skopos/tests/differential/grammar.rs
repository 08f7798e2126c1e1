//! `Grammar`: random texts by written rules. A rule is a line `NAME WEIGHT TEXT`; in the text `<NAME>` stands
//! for any text of that rule, and `@` alone for nothing. Knows no language.

use skopos_base::rng::Rng;
use std::collections::BTreeMap;

/// How often rules may be followed into one another before each takes its first text.
const DEPTH: u32 = 9;

/// The rules by their names.
pub(super) struct Grammar<'a>(BTreeMap<&'a str, Vec<(u64, &'a str)>>);

impl<'a> Grammar<'a> {
    /// Reads rules; lines that begin with `//` say something about them.
    pub(super) fn read(text: &'a str) -> Self {
        let mut rules: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with("//")) {
            let mut parts = line.splitn(3, ' ');
            let (Some(name), Some(weight), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
                panic!("`NAME WEIGHT TEXT`, not `{line}`");
            };
            rules
                .entry(name)
                .or_default()
                .push((weight.parse().unwrap(), if text == "@" { "" } else { text }));
        }
        Self(rules)
    }

    /// A text of the rule `name`.
    pub(super) fn write(&self, rng: &Rng, name: &str) -> String {
        let mut out = String::new();
        self.follow(rng, name, DEPTH, &mut out);
        out
    }

    fn follow(&self, rng: &Rng, name: &str, depth: u32, out: &mut String) {
        let all = self.0.get(name).unwrap_or_else(|| panic!("there is no rule `{name}`"));
        let mut rest = match depth {
            0 => all[0].1,
            _ => {
                let mut at = rng.below(all.iter().map(|(weight, _)| weight).sum());
                let chosen = all.iter().find(|(weight, _)| match at.checked_sub(*weight) {
                    Some(less) => {
                        at = less;
                        false
                    }
                    None => true,
                });
                chosen.expect("one of them is chosen").1
            }
        };
        while let Some((before, behind)) = rest.split_once('<') {
            out.push_str(before);
            // An operator is no rule.
            let name = behind.split_once('>').filter(|(name, _)| self.0.contains_key(name));
            match name {
                Some((name, more)) => {
                    self.follow(rng, name, depth.saturating_sub(1), out);
                    rest = more;
                }
                None => {
                    out.push('<');
                    rest = behind;
                }
            }
        }
        out.push_str(rest);
    }
}
