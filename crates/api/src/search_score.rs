//! `Terms`: how well a name fits what somebody typed, from 0 to 1. The two ways of comparing, and their
//! figures, are those of Prometheus: a subsequence whose runs count by their squares, and Jaro-Winkler
//! (W. E. Winkler, "String comparator metrics", 1990) behind plain containment.

/// Of longer texts only the beginning is compared: both ways look at each pair of characters.
const COMPARED_MAX_CHARS: usize = 1000;

/// How terms are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Subsequence,
    JaroWinkler,
}

/// Whether capital letters are other letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    Insensitive,
}

/// What is looked for: any of some terms.
#[derive(Debug)]
pub(crate) struct Terms {
    terms: Vec<Term>,
    algorithm: Algorithm,
    case: Case,
    /// A score below this one does not count.
    threshold: f64,
}

#[derive(Debug)]
struct Term {
    text: String,
    chars: Vec<char>,
}

impl Terms {
    /// Looks for `terms`; `percent` of the best score is enough.
    pub(crate) fn new<'a>(
        terms: impl Iterator<Item = &'a str>,
        algorithm: Algorithm,
        case: Case,
        percent: u8,
    ) -> Self {
        let term = |text: &str| {
            let text = folded(text, case);
            Term { chars: text.chars().take(COMPARED_MAX_CHARS).collect(), text }
        };
        Self { terms: terms.map(term).collect(), algorithm, case, threshold: f64::from(percent) / 100.0 }
    }

    /// Whether anything is looked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The score of the term that fits best; none when no term fits. Without terms everything fits, and
    /// nothing is better.
    pub(crate) fn score(&self, name: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(0.0);
        }
        let name = folded(name, self.case);
        let scores = self.terms.iter().filter_map(|term| self.score_of(term, &name));
        scores.reduce(f64::max)
    }

    fn score_of(&self, term: &Term, name: &str) -> Option<f64> {
        if name.starts_with(&term.text) {
            return Some(1.0);
        }
        let chars: Vec<char> = name.chars().take(COMPARED_MAX_CHARS).collect();
        let score = match self.algorithm {
            Algorithm::Subsequence => subsequence(&term.chars, &chars),
            Algorithm::JaroWinkler if name.contains(&term.text) => return Some(0.9),
            Algorithm::JaroWinkler if self.threshold == 0.0 => return None,
            Algorithm::JaroWinkler => jaro_winkler(&term.chars, &chars),
        };
        let counts = self.algorithm == Algorithm::JaroWinkler || score > 0.0;
        (counts && score >= self.threshold).then_some(score)
    }
}

fn folded(text: &str, case: Case) -> String {
    if case == Case::Insensitive { text.to_lowercase() } else { text.to_owned() }
}

/// The best score over all places where the term may begin; zero when it is no subsequence.
fn subsequence(term: &[char], text: &[char]) -> f64 {
    if term.len() > text.len() {
        return 0.0;
    }
    let starts = (0..=text.len() - term.len()).filter(|at| text[*at] == term[0]);
    // Where the term does not fit from one place on, it fits from no later one.
    let scores = starts.map_while(|start| subsequence_from(term, text, start));
    let best = scores.fold(0.0, f64::max);
    best / (term.len() * term.len()) as f64
}

/// Every run of equal characters counts by its square. What lies before it is taken off, and half of what
/// lies behind the last one, as shares of the text.
fn subsequence_from(term: &[char], text: &[char], start: usize) -> Option<f64> {
    let share = 1.0 / text.len() as f64;
    let (mut score, mut at, mut found) = (0.0, start, 0);
    let mut behind_last = 0;
    while found < term.len() {
        at += text[at..].iter().position(|c| *c == term[found])?;
        let run = text[at..].iter().zip(&term[found..]).take_while(|(a, b)| a == b).count();
        score += (run * run) as f64 - (at - behind_last) as f64 * share;
        (at, found) = (at + run, found + run);
        behind_last = at;
    }
    Some(score - (text.len() - behind_last) as f64 * share * 0.5)
}

/// The similarity of Jaro and Winkler, with the usual tenth for each of up to four equal first characters.
fn jaro_winkler(a: &[char], b: &[char]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    let reach = (long.len() / 2).saturating_sub(1);
    let mut taken = vec![false; long.len()];
    let mut matched = Vec::with_capacity(short.len());
    for (i, c) in short.iter().enumerate() {
        let places = i.saturating_sub(reach)..(i + reach + 1).min(long.len());
        if let Some(at) = places.into_iter().find(|at| !taken[*at] && long[*at] == *c) {
            taken[at] = true;
            matched.push(*c);
        }
    }
    if matched.is_empty() {
        return 0.0;
    }
    let in_order = long.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(c, _)| c);
    let moved = matched.iter().zip(in_order).filter(|(a, b)| a != b).count();
    let matches = matched.len() as f64;
    let kept = (matches - moved as f64 * 0.5) / matches;
    let jaro = (matches / short.len() as f64 + matches / long.len() as f64 + kept) / 3.0;
    let prefix = short.iter().zip(long).take(4).take_while(|(a, b)| a == b).count();
    jaro + prefix as f64 * 0.1 * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(algorithm: Algorithm, case: Case, percent: u8, term: &str, name: &str) -> Option<f64> {
        let score = Terms::new([term].into_iter(), algorithm, case, percent).score(name);
        score.map(|score| (score * 1000.0).round() / 1000.0)
    }

    #[test]
    fn runs_count_by_their_squares_and_gaps_are_taken_off() {
        let of = |term, name| score(Algorithm::Subsequence, Case::Sensitive, 0, term, name);
        for (term, name, expected) in [
            ("", "anything", Some(1.0)),
            ("abc", "abc", Some(1.0)),
            ("abc", "abcdef", Some(1.0)),
            ("my", "my_awesome_company", Some(1.0)),
            // One run of two behind one character of four, and one character behind it.
            ("bc", "abcd", Some(0.906)),
            // Two runs of one with a gap of one between them.
            ("ac", "xaxc", Some(0.375)),
            ("ca", "abc", None),
            ("abcd", "abc", None),
            ("ü", "süß", Some(0.5)),
            ("aab", "aaaaaaab", Some(0.931)),
        ] {
            assert_eq!(of(term, name), expected, "{term} {name}");
        }
        assert_eq!(score(Algorithm::Subsequence, Case::Sensitive, 95, "bc", "abcd"), None);
    }

    #[test]
    fn similar_names_have_the_scores_of_jaro_and_winkler() {
        let of = |percent, term, name| score(Algorithm::JaroWinkler, Case::Sensitive, percent, term, name);
        for (term, name, expected) in [
            ("MARTHA", "MARHTA", Some(0.961)),
            ("DIXON", "DICKSONX", Some(0.813)),
            ("DWAYNE", "DUANE", Some(0.84)),
            ("abc", "xyz", None),
            ("b", "abc", Some(0.9)),
            ("ab", "abc", Some(1.0)),
        ] {
            assert_eq!(of(1, term, name), expected, "{term} {name}");
        }
        assert_eq!(of(0, "MARTHA", "MARHTA"), None, "nothing but containment counts");
        assert_eq!(of(90, "DIXON", "DICKSONX"), None);
    }

    #[test]
    fn the_best_of_several_terms_counts_whatever_their_case() {
        let terms = |case| Terms::new(["zz", "BC"].into_iter(), Algorithm::Subsequence, case, 0);
        assert_eq!(terms(Case::Sensitive).score("abcd"), None);
        assert!(terms(Case::Insensitive).score("abcd").is_some_and(|score| score > 0.9));
        assert_eq!(
            Terms::new([].into_iter(), Algorithm::Subsequence, Case::Sensitive, 50).score("x"),
            Some(0.0)
        );
    }

    #[test]
    fn long_texts_are_compared_in_no_time() {
        let name = "a".repeat(1 << 20);
        for algorithm in [Algorithm::Subsequence, Algorithm::JaroWinkler] {
            assert_eq!(
                score(algorithm, Case::Insensitive, 99, &format!("b{name}"), &name),
                match algorithm {
                    Algorithm::Subsequence => None,
                    Algorithm::JaroWinkler => Some(0.999),
                }
            );
        }
    }
}
