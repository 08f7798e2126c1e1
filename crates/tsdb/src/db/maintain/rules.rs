//! Retention by selector in blocks that nothing else would write anew: a block of which much is overdue is
//! rewritten without it. Decides when; what goes is the compactor's.

use super::{MaintainError, Maintained, State};
use crate::{
    block::Block,
    compact::{CompactError, RetentionRule, SelectorRetention},
    db::{Core, maintain::compact::Pausing},
};
use skopos_model::{DurationMs, Labels, TimestampMs};
use skopos_storage::{QueryBudget, QueryLimits};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// Blocks are looked at this often, or once in the length of the shortest block where that is less.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

impl Core {
    /// Writes the blocks anew of which samples are overdue.
    pub(super) fn apply_rules(&self, state: &mut State, done: &mut Maintained) -> Result<(), MaintainError> {
        let rules = self.retention.lock().rules.clone();
        let now = self.env.clock.monotonic();
        let every = LOOK_EVERY.min(self.head.options.min_block_duration.as_std());
        let looked = state.rules_applied.as_ref();
        if rules.is_empty() || looked.is_some_and(|(of, at)| *of == rules && now.saturating_sub(*at) < every)
        {
            return Ok(());
        }
        for block in self.blocks.load().iter() {
            let skipped = block.meta().compaction.failed || state.blocks.is_unsettled(block.id());
            if skipped || !self.is_overdue(block, &rules)? {
                continue;
            }
            tracing::info!(block = %block.id(), "writing a block anew without samples that a rule drops");
            let pausing = Pausing::of(self, state, &[block.id()]);
            match self.counted(self.compactor().clean_tombstones(block, &pausing)) {
                Ok(meta) => {
                    self.publish(meta.as_ref(), state)?;
                    done.trimmed += 1;
                }
                // Whoever waits goes first; the next pass goes on.
                Err(CompactError::Stopped) => {
                    state.interrupted = vec![block.id()];
                    return Ok(());
                }
                Err(e) => return Err(e.into()),
            }
            if self.waiting.load(Ordering::Acquire) > 0 {
                return Ok(());
            }
        }
        state.rules_applied = Some((rules, now));
        Ok(())
    }

    /// Whether a block has a chunk that is older than its rule says by more than is let pass.
    fn is_overdue(&self, block: &Arc<Block>, rules: &SelectorRetention) -> Result<bool, MaintainError> {
        let (range, now) = (block.range(), TimestampMs::new(self.env.clock.wall_ms()));
        let length = range.max.since(range.min);
        let limits = QueryLimits {
            max_samples: u64::MAX,
            max_series: u64::MAX,
            max_memory: u64::MAX,
            timeout: DurationMs::from_ms(i64::MAX),
        };
        let budget = QueryBudget::new(limits, Arc::clone(&self.env.clock));
        for rule in rules.rules() {
            let oldest = now.minus(overdue_after(rule, length));
            if range.min >= oldest {
                continue;
            }
            let is_of_rule = |labels: &Labels| rules.rule_of(labels) == Some(rule);
            let found = block.has_chunk_before(&rule.matchers, oldest, is_of_rule, &budget);
            if found? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// How old samples of a rule become in a block of this length before it is written anew for them: so seldom
/// that a long block is written a few times and not every hour.
fn overdue_after(rule: &RetentionRule, length: DurationMs) -> DurationMs {
    let time = rule.time.as_ms();
    DurationMs::from_ms(time.saturating_add((time / 2).max(length.as_ms() / 4)))
}
