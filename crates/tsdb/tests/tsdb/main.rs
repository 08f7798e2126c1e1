//! The tests of the database through its public API, in one binary. Owns no test itself.

mod all_at_once;
mod back_off;
mod blocks;
mod common;
mod concurrent;
mod content;
mod crash;
mod crash_batches;
mod crash_blocks;
mod crash_out_of_order;
mod crash_snapshot;
mod damage;
mod damage_names;
mod deletion;
mod equal_times;
mod exemplars;
mod fixtures;
mod foreign;
mod handed_over;
mod head;
mod histograms;
mod limits;
mod metadata;
mod misplaced;
mod numbers;
mod out_of_order;
mod pausing;
mod peers;
mod random;
mod replay;
#[cfg(feature = "shuttle")]
mod schedules;
mod selector_retention;
mod snapshot;
mod truncate;
mod truncation;
