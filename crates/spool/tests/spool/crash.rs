//! Every crash of a short life, and every failing call.

use super::{DIR, ONE, body, drain, open, push, small, which, world};
use skopos_base::{
    Env,
    sim::crash::{CrashMode, CrashTest, Enumerated},
    sim::failing::every_call,
};
use skopos_spool::{Options, Pushed, Spool};
use std::path::Path;

/// What a life was promised.
#[derive(Debug, Default)]
struct Promised {
    /// The last record that was called durable.
    durable: u64,
    /// The last one that the reader said to be done with, and the last one that it began to say so of.
    done: u64,
    doing: u64,
}

/// Pushes and reads, with files that end within and a restart; the bound takes nothing.
fn life(env: &Env, promised: &mut Promised) -> Result<(), String> {
    let mut n = 0;
    for _ in 0..2 {
        let opened = Spool::open(env, Path::new(DIR), small(), &["a".to_owned()]);
        let spool = opened.map_err(|e| e.to_string())?;
        for step in 0..6 {
            n += 1;
            match spool.push(env.clock.wall_ms(), n as u32, body(n)) {
                Pushed::Durable => promised.durable = n,
                Pushed::Unwritten(e) => return Err(e.to_string()),
            }
            // The reader stays behind for a while, and then gets two at a time.
            for _ in 0..step % 3 {
                let Some(record) = spool.peek(ONE).map_err(|e| e.to_string())? else { break };
                promised.doing = which(&record);
                spool.advance(ONE, record.number).map_err(|e| e.to_string())?;
                promised.done = which(&record);
            }
        }
    }
    Ok(())
}

/// Whatever crash: what was durable and not done with comes, in order, without a gap; and life goes on.
fn check(env: &Env, promised: &Promised, mode: CrashMode) {
    let spool = open(env, small(), &["a"]);
    let got = drain(&spool, ONE);
    assert!(got.windows(2).all(|w| w[0] + 1 == w[1]), "a gap in {got:?}");
    let first = got.first().copied().unwrap_or(promised.doing.max(promised.durable) + 1);
    assert!(first <= promised.doing + 1, "{got:?} misses what nobody was done with");
    if mode == CrashMode::ProcessKill {
        assert!(first > promised.done, "{got:?} has again what was done with");
    }
    let last = got.last().copied().unwrap_or(first - 1);
    assert!(last >= promised.durable, "{got:?} lacks durable records");
    assert_eq!(spool.stats().readers[0].lost, Default::default());
    for n in 51..=54 {
        assert!(push(&spool, env, n));
    }
    drop(spool);
    assert_eq!(drain(&open(env, small(), &["a"]), ONE), [51, 52, 53, 54]);
}

fn enumerate(mode: CrashMode) -> Enumerated {
    CrashTest::new(mode).run(life, |env, promised| check(env, promised, mode))
}

#[test]
fn no_kill_costs_a_record_or_gives_one_twice() {
    let done = enumerate(CrashMode::ProcessKill);
    assert!(done.points > 50, "{done:?}");
}

#[test]
fn no_loss_of_power_costs_a_durable_record() {
    let done = enumerate(CrashMode::PowerLoss);
    assert!(done.points > 50 && done.states > 1000, "{done:?}");
}

#[test]
fn a_crash_at_the_bound_leaves_what_is_within_it() {
    let options = Options { max_bytes: 1000, ..small() };
    let scenario = |env: &Env, durable: &mut u64| {
        let spool =
            Spool::open(env, Path::new(DIR), options, &["a".to_owned()]).map_err(|e| e.to_string())?;
        for n in 1..=14 {
            if push(&spool, env, n) {
                *durable = n;
            }
        }
        Ok::<_, String>(())
    };
    let done = CrashTest::new(CrashMode::PowerLoss).run(scenario, |env, durable| {
        let spool = open(env, options, &["a"]);
        let got = drain(&spool, ONE);
        assert!(got.windows(2).all(|w| w[0] + 1 == w[1]), "a gap in {got:?}");
        assert!(got.last().copied().unwrap_or(0) >= *durable, "{got:?} lacks {durable}");
    });
    assert!(done.points > 30, "{done:?}");
}

#[test]
fn no_single_failing_call_costs_a_record() {
    let world = world();
    world.run(|env| {
        let spool = open(env, small(), &["a"]);
        assert!((1..=4).all(|n| push(&spool, env, n)));
        let record = spool.peek(ONE).unwrap().unwrap();
        spool.advance(ONE, record.number).unwrap();
    });
    let failed = every_call(world.fs(), |env, fault| {
        fault.arm();
        let opened = Spool::open(env, Path::new(DIR), small(), &["a".to_owned()]);
        let mut got = Vec::new();
        let spool = match opened {
            Ok(spool) => spool,
            Err(_) => {
                fault.disarm();
                open(env, small(), &["a"])
            }
        };
        for n in 5..=12 {
            let _later = push(&spool, env, n);
            for _ in 0..n % 3 {
                if let Ok(Some(record)) = spool.peek(ONE) {
                    got.push(which(&record));
                    let _not_saved = spool.advance(ONE, record.number);
                }
            }
        }
        fault.disarm();
        spool.retry().unwrap();
        got.extend(drain(&spool, ONE));
        assert_eq!(got, (2..=12).collect::<Vec<_>>());
        assert_eq!(spool.stats().readers[0].lost, Default::default());
        assert!(push(&spool, env, 13));
        drop(spool);
        // The place may be that of a save that failed.
        assert_eq!(drain(&open(env, small(), &["a"]), ONE).last(), Some(&13));
    });
    assert!(failed > 100, "{failed} calls failed");
}
