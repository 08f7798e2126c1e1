//! The threads of a database. The logs have one of their own, so that nothing but their disk delays a
//! synchronisation; one moves closed chunks to files and measures memory; one keeps blocks in shape. None
//! ends unseen: when one panics, the log halts, as commits would be acknowledged that nobody makes durable,
//! and memory taken that nobody gives back.

use super::Core;
use skopos_base::spawn::{Joined, or_tell};
use std::{io, sync::Arc, time::Duration};

/// Starts all of them; those that have started are in `threads` also when one fails to.
pub(super) fn start_all(
    core: &Arc<Core>,
    sync_interval: Duration,
    maintenance_interval: Duration,
    threads: &mut Vec<Box<dyn Joined>>,
) -> io::Result<()> {
    threads.push(start(core, "wal-sync", sync_interval, |core| {
        // What a failure means for commits stands in the WAL's state, and is logged there.
        let _ = core.head.sync_logs(&core.wal);
    })?);
    threads.push(start(core, "tsdb-spill", sync_interval, |core| {
        core.head.spill_durable();
        core.head.measure_memory();
    })?);
    threads.push(start(core, "tsdb-maintenance", maintenance_interval, Core::maintain_if_due)?);
    Ok(())
}

/// Starts a thread that does `work` again and again, `interval` after the last time was over.
fn start(
    core: &Arc<Core>,
    name: &'static str,
    interval: Duration,
    work: fn(&Core),
) -> io::Result<Box<dyn Joined>> {
    let thread = Arc::clone(core);
    let again = move || {
        let body = || {
            while !thread.stop.wait(interval) {
                work(&thread);
            }
        };
        or_tell(body, |said| {
            thread.wal.halt(format!(
                "thread {name:?} panicked: {said}; this is a defect: restart, and report it with the log"
            ));
        });
    };
    core.env.spawner.spawn(name, Box::new(again))
}
