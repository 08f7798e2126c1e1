//! The contracts of `Spawner` and `Stop`.

use parking_lot::Mutex;
use skopos_base::Env;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

crate::in_both_worlds! {
    a_join_waits_for_the_end,
    a_join_tells_of_a_panic_by_name,
    a_thread_runs_without_being_joined,
    threads_start_threads,
    a_stop_wakes_all_who_wait,
    a_wait_without_a_stop_ends_after_its_time,
    a_raised_stop_is_not_waited_for,
    a_stop_is_raised_once_and_stays,
}

fn a_join_waits_for_the_end(env: &Env, _: &Path) {
    let ended = Arc::new(AtomicBool::new(false));
    let (clock, flag) = (env.clock.clone(), ended.clone());
    let body = move || {
        clock.sleep(Duration::from_millis(5));
        flag.store(true, Ordering::SeqCst);
    };
    let thread = env.spawner.spawn("worker", Box::new(body)).unwrap();
    thread.join().unwrap();
    assert!(ended.load(Ordering::SeqCst));
}

fn a_join_tells_of_a_panic_by_name(env: &Env, _: &Path) {
    // A payload without the hook keeps the tests' output free of panics that belong there.
    let body = || std::panic::resume_unwind(Box::new("as the test wants it"));
    let thread = env.spawner.spawn("the unlucky", Box::new(body)).unwrap();
    let panicked = thread.join().unwrap_err();
    assert_eq!(panicked.0, "the unlucky");
    assert_eq!(panicked.to_string(), "thread \"the unlucky\" panicked");
}

fn a_thread_runs_without_being_joined(env: &Env, _: &Path) {
    let done = env.spawner.stop_signal();
    let signal = done.clone();
    drop(env.spawner.spawn("detached", Box::new(move || signal.stop())).unwrap());
    assert!(done.wait(Duration::from_secs(60)));
}

fn threads_start_threads(env: &Env, _: &Path) {
    let count = Arc::new(AtomicU32::new(0));
    let (inner, counter) = (env.clone(), count.clone());
    let body = move || {
        let threads: Vec<_> = (0..3)
            .map(|i| {
                let counter = counter.clone();
                let body = move || {
                    counter.fetch_add(1, Ordering::SeqCst);
                };
                inner.spawner.spawn(&format!("child {i}"), Box::new(body)).unwrap()
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    };
    env.spawner.spawn("parent", Box::new(body)).unwrap().join().unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

fn a_stop_wakes_all_who_wait(env: &Env, _: &Path) {
    let stop = env.spawner.stop_signal();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..4)
        .map(|i| {
            let (stop, seen) = (stop.clone(), seen.clone());
            let body = move || {
                assert!(stop.wait(Duration::MAX));
                seen.lock().push(i);
            };
            env.spawner.spawn(&format!("waiter {i}"), Box::new(body)).unwrap()
        })
        .collect();
    env.clock.sleep(Duration::from_millis(1));
    assert!(seen.lock().is_empty());
    stop.stop();
    for thread in threads {
        thread.join().unwrap();
    }
    let mut seen = seen.lock().clone();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3]);
}

fn a_wait_without_a_stop_ends_after_its_time(env: &Env, _: &Path) {
    let stop = env.spawner.stop_signal();
    let start = env.clock.monotonic();
    assert!(!stop.wait(Duration::from_millis(3)));
    assert!(env.clock.monotonic() - start >= Duration::from_millis(3));
    assert!(!stop.is_stopped());
}

fn a_raised_stop_is_not_waited_for(env: &Env, _: &Path) {
    let stop = env.spawner.stop_signal();
    stop.stop();
    let start = env.clock.monotonic();
    assert!(stop.wait(Duration::from_secs(3600)));
    assert!(env.clock.monotonic() - start < Duration::from_secs(60));
}

fn a_stop_is_raised_once_and_stays(env: &Env, _: &Path) {
    let (stop, other) = (env.spawner.stop_signal(), env.spawner.stop_signal());
    assert!(!stop.is_stopped());
    stop.stop();
    stop.stop();
    assert!(stop.is_stopped() && stop.is_stopped());
    assert!(!other.is_stopped(), "another signal is none of its business");
}
