//! Retention by selector in a running database: what a rule drops goes also from a block that nothing else
//! would write anew, in time and not at every turn.

use crate::common::{commit, dump, labels, open};
use skopos_base::sim::SimWorld;
use skopos_model::{DurationMs, Labels, Matcher};
use skopos_tsdb::{
    Options, Retention,
    compact::{RetentionRule, SelectorRetention},
};
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;

fn of_job(job: &str) -> Labels {
    labels(&[("__name__", "m"), ("job", job)])
}

fn rules(hours: i64) -> Retention {
    let matchers = vec![Matcher::equal("job", "debug")];
    let rules =
        SelectorRetention::new(vec![RetentionRule { matchers, time: DurationMs::from_ms(hours * HOUR_MS) }]);
    Retention { rules, ..Retention::default() }
}

#[test]
fn a_block_that_no_compaction_takes_is_written_anew_for_an_overdue_rule() {
    SimWorld::new(1).run(|env| {
        let options = Options {
            maintenance_interval: DurationMs::from_secs(1_000_000),
            // A day passes, of which the threads of the logs would take a million turns.
            sync_interval: DurationMs::from_secs(60),
            max_block_duration: DurationMs::from_ms(2 * HOUR_MS),
            retention: rules(10),
            ..Options::default()
        };
        let db = open(env, options);
        let start = env.clock.wall_ms() / HOUR_MS * HOUR_MS;
        for t in (start..start + 7 * HOUR_MS).step_by(300_000) {
            let ahead = Duration::from_millis((t - env.clock.wall_ms()).max(0) as u64);
            env.clock.sleep(ahead);
            commit(&db, &[(of_job("debug"), t, 1.0), (of_job("other"), t, 2.0)]).expect("all is sound");
        }
        let done = db.maintain().expect("all is sound");
        assert!(done.cut >= 2 && done.trimmed == 0, "{done:?}");
        let all = dump(env, &db);
        let blocks = db.stats().blocks_loaded;
        // Ten hours and half of that have passed since the first of the samples, but not for all.
        let mut trimmed = Vec::new();
        for _ in 0..16 {
            env.clock.sleep(Duration::from_secs(3600));
            let done = db.maintain().expect("all is sound");
            let kept = dump(env, &db);
            assert_eq!(kept[&of_job("other")], all[&of_job("other")]);
            let oldest = kept.get(&of_job("debug")).and_then(|samples| samples.first()).map(|(t, _)| *t);
            let age = oldest.map_or(0, |t| (env.clock.wall_ms() - t) / HOUR_MS);
            assert!(age <= 18, "a sample is {age} hours old");
            trimmed.push(done.trimmed);
        }
        let times: usize = trimmed.iter().sum();
        assert!((1..=2 * blocks as usize).contains(&times), "{trimmed:?} of {blocks} blocks");
        assert!(dump(env, &db)[&of_job("debug")].len() < all[&of_job("debug")].len() / 2);
        // Nothing is written anew where no rule has anything to drop.
        env.clock.sleep(Duration::from_secs(3600));
        db.set_retention(rules(10_000));
        assert_eq!(db.maintain().expect("all is sound").trimmed, 0);
    });
}
