//! Which words mean something, and where such a word may be a name all the same. Keywords are
//! recognised in any case; functions and names are not.

use crate::ast::{AggregateOp, BinaryOp};

/// The longest word that means something.
const MAX_KEYWORD_LEN: usize = 16;

/// A word that means something somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Aggregate(AggregateOp),
    Operator(BinaryOp),
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Bool,
    Fill,
    FillLeft,
    FillRight,
    Offset,
    Anchored,
    Smoothed,
    Start,
    End,
    Inf,
    Nan,
}

/// The keyword that `word` is, if it is one.
pub(crate) fn keyword(word: &str) -> Option<Keyword> {
    if word.len() > MAX_KEYWORD_LEN {
        return None;
    }
    let mut buffer = [0; MAX_KEYWORD_LEN];
    let lower = &mut buffer[..word.len()];
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"and" => Keyword::Operator(BinaryOp::And),
        b"or" => Keyword::Operator(BinaryOp::Or),
        b"unless" => Keyword::Operator(BinaryOp::Unless),
        b"atan2" => Keyword::Operator(BinaryOp::Atan2),
        b"by" => Keyword::By,
        b"without" => Keyword::Without,
        b"on" => Keyword::On,
        b"ignoring" => Keyword::Ignoring,
        b"group_left" => Keyword::GroupLeft,
        b"group_right" => Keyword::GroupRight,
        b"bool" => Keyword::Bool,
        b"fill" => Keyword::Fill,
        b"fill_left" => Keyword::FillLeft,
        b"fill_right" => Keyword::FillRight,
        b"anchored" => Keyword::Anchored,
        b"smoothed" => Keyword::Smoothed,
        b"offset" => Keyword::Offset,
        b"start" => Keyword::Start,
        b"end" => Keyword::End,
        b"inf" => Keyword::Inf,
        b"nan" => Keyword::Nan,
        lower => {
            let lower = std::str::from_utf8(lower).ok()?;
            Keyword::Aggregate(AggregateOp::ALL.into_iter().find(|op| op.as_str() == lower)?)
        }
    })
}

impl Keyword {
    /// Whether the word may name a metric before `{` or alone.
    pub(crate) fn may_name_metric(self) -> bool {
        match self {
            Self::Aggregate(_) | Self::By | Self::Without | Self::Offset | Self::Start | Self::End => true,
            Self::Fill | Self::FillLeft | Self::FillRight | Self::Anchored | Self::Smoothed => true,
            Self::Operator(op) => op.is_set(),
            Self::On | Self::Ignoring | Self::GroupLeft | Self::GroupRight | Self::Bool => false,
            Self::Inf | Self::Nan => false,
        }
    }

    /// Whether the word may name a label between the parentheses of `by` and its like. Between
    /// braces every word may.
    pub(crate) fn may_name_label(self) -> bool {
        !matches!(self, Self::Without | Self::Inf | Self::Nan)
    }
}

/// Whether `name` can be written as a metric's name without quotes.
pub(crate) fn is_bare_metric(name: &str) -> bool {
    skopos_model::name::is_classic_metric_name(name) && keyword(name).is_none_or(Keyword::may_name_metric)
}

/// Whether `name` can be written without quotes between the parentheses of `by` and its like.
pub(crate) fn is_bare_grouping_label(name: &str) -> bool {
    // Those that only metrics may have elsewhere are labels' names like any others.
    let classic = skopos_model::name::is_classic_metric_name(name) && !name.starts_with(':');
    classic && keyword(name).is_none_or(Keyword::may_name_label)
}

/// The name among `known` that `word` was probably meant to be.
pub(crate) fn nearest(word: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let most = match word.len() {
        0..=2 => return None,
        3..=5 => 1,
        6..=9 => 2,
        _ => 3,
    };
    let lower = word.to_ascii_lowercase();
    known
        .filter(|name| name.len().abs_diff(lower.len()) <= most)
        .map(|name| (distance(&lower, name), name))
        .filter(|(d, _)| *d <= most)
        .min()
        .map(|(_, name)| name)
}

/// How many characters must be added, dropped or changed to make one of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_known_in_any_case() {
        assert_eq!(keyword("OR"), Some(Keyword::Operator(BinaryOp::Or)));
        assert_eq!(keyword("Count_Values"), Some(Keyword::Aggregate(AggregateOp::CountValues)));
        assert_eq!(keyword("rate"), None);
        assert_eq!(keyword("a_very_long_name_indeed"), None);
        assert!(AggregateOp::ALL.into_iter().all(|op| keyword(op.as_str()).is_some()));
    }

    #[test]
    fn the_nearest_name_is_one_that_may_have_been_meant() {
        let known = || ["rate", "irate", "sum", "sum_over_time", "quantile_over_time"].into_iter();
        for (word, want) in [
            ("rates", Some("rate")),
            ("Rate", Some("rate")),
            ("sum_over_tim", Some("sum_over_time")),
            ("quantil_overtime", Some("quantile_over_time")),
            ("foo", None),
            ("su", None),
        ] {
            assert_eq!(nearest(word, known()), want, "{word}");
        }
    }
}
