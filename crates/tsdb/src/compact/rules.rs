//! `SelectorRetention`: how long the samples of which series are kept. Applied where blocks are written
//! anew; removes nothing itself.

use skopos_model::{DurationMs, Labels, Matcher, TimestampMs};

/// How long the series that fulfil all matchers keep their samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionRule {
    /// Conditions, all of which must hold; none means every series.
    pub matchers: Vec<Matcher>,
    /// Older samples are dropped.
    pub time: DurationMs,
}

/// Rules in the order of the configuration. The first that a series fulfils counts, so that an exception
/// stands before the rule that it is from, and a reader needs to look no further than the first match. A
/// series that fulfils none keeps what its blocks keep.
///
/// A sample goes when its block is written anew after its time is up: when the block becomes part of a longer
/// one, or for the rule alone, once a chunk is overdue by half the rule's time or a quarter of the block's
/// length, whichever is more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectorRetention(Vec<RetentionRule>);

impl SelectorRetention {
    /// These rules.
    pub fn new(rules: Vec<RetentionRule>) -> Self {
        Self(rules)
    }

    /// In their order.
    pub fn rules(&self) -> &[RetentionRule] {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rule that counts for a series.
    pub fn rule_of(&self, labels: &Labels) -> Option<&RetentionRule> {
        let applies = |rule: &&RetentionRule| rule.matchers.iter().all(|m| m.matches(labels.value(m.name())));
        self.0.iter().find(applies)
    }

    /// The time of the oldest sample that a series keeps.
    pub fn oldest_kept(&self, labels: &Labels, now: TimestampMs) -> TimestampMs {
        self.rule_of(labels).map_or(TimestampMs::MIN, |rule| now.minus(rule.time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_holds_counts() {
        let rule = |job: &str, ms| RetentionRule {
            matchers: if job.is_empty() { vec![] } else { vec![Matcher::equal("job", job)] },
            time: DurationMs::from_ms(ms),
        };
        let oldest = |rules: Vec<RetentionRule>, job: &str| {
            let labels = Labels::from_pairs([("job", job)]);
            SelectorRetention::new(rules).oldest_kept(&labels, TimestampMs::new(100)).as_ms()
        };
        assert_eq!(oldest(vec![], "a"), i64::MIN);
        assert_eq!(oldest(vec![rule("a", 10), rule("", 50)], "a"), 90);
        assert_eq!(oldest(vec![rule("a", 10), rule("", 50)], "b"), 50);
        assert_eq!(oldest(vec![rule("", 50), rule("a", 10)], "a"), 50);
        assert_eq!(oldest(vec![rule("a", 10)], "b"), i64::MIN);
    }
}
