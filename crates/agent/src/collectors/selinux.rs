//! `selinux`: whether SELinux is in force, and how well its cache works, from `/sys/fs/selinux`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, exists},
};
use skopos_model::MetricType::{Counter, Gauge};

const FOLDER: &str = "fs/selinux";
const ENFORCING: f64 = 1.0;
const PERMISSIVE: f64 = 0.0;
const DISABLED: f64 = -1.0;

/// The columns of `cache_stats`, in the kernel's words, and their families.
const CACHE: [(&[u8], &str, &str); 6] = [
    (
        b"allocations",
        "node_selinux_avc_allocations_total",
        "Entries of the access vector cache that were made.",
    ),
    (b"frees", "node_selinux_avc_frees_total", "Entries of the access vector cache that were freed."),
    (b"hits", "node_selinux_avc_hits_total", "Look-ups that the access vector cache could answer."),
    (b"lookups", "node_selinux_avc_lookups_total", "Look-ups in the access vector cache."),
    (b"misses", "node_selinux_avc_misses_total", "Look-ups that the access vector cache could not answer."),
    (
        b"reclaims",
        "node_selinux_avc_reclaims_total",
        "Entries of the access vector cache that were used anew.",
    ),
];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct SeLinux {
    file: File,
}

impl Collector for SeLinux {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let is_enabled = self.is_enabled(context);
        let help = "Whether SELinux is enabled.";
        context.out.gauge("node_selinux_enabled", help, f64::from(u8::from(is_enabled)));
        if !is_enabled {
            return Ok(());
        }
        self.write_modes(context)?;
        self.write_cache(context)?;
        self.write_hash(context)?;
        let path = format_args!("{FOLDER}/avc/cache_threshold");
        self.file.read(context.paths, Root::Sys, path)?;
        let threshold = scan::number(self.file.data().trim_ascii());
        let threshold = threshold.ok_or_else(|| self.file.malformed("a number is expected"))?;
        let help = "How many entries the access vector cache may have before some are used anew.";
        context.out.gauge("node_selinux_avc_threshold", help, threshold as f64);
        Ok(())
    }
}

impl SeLinux {
    /// A kernel with SELinux but without a policy labels every process `kernel`.
    fn is_enabled(&mut self, context: &Context<'_>) -> bool {
        let label = self.file.value(context.paths, Root::Proc, format_args!("self/attr/current"));
        label.is_none_or(|label| label.strip_suffix(b"\0").unwrap_or(label) != b"kernel")
            && exists(context.paths, Root::Sys, "fs/selinux/enforce")
    }

    fn write_modes(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let mut configured = DISABLED;
        if self.file.read_if_exists(context.paths, Root::Rootfs, format_args!("etc/selinux/config"))? {
            let modes = scan::lines(self.file.data()).filter_map(|line| scan::split_at(line, b'='));
            configured = match modes.filter(|(key, _)| *key == b"SELINUX").last() {
                Some((_, b"enforcing")) => ENFORCING,
                Some((_, b"permissive")) => PERMISSIVE,
                _ => DISABLED,
            };
        }
        let current = self.file.value(context.paths, Root::Sys, format_args!("{FOLDER}/enforce"));
        let current = match current {
            Some(b"1") => ENFORCING,
            Some(b"0") => PERMISSIVE,
            _ => DISABLED,
        };
        let help = "The mode that is configured: 1 enforces, 0 only warns, -1 is off.";
        context.out.gauge("node_selinux_config_mode", help, configured);
        let help = "The mode that holds now: 1 enforces, 0 only warns, -1 is off.";
        context.out.gauge("node_selinux_current_mode", help, current);
        Ok(())
    }

    /// A line of titles, then a line for each CPU.
    fn write_cache(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Sys, format_args!("{FOLDER}/avc/cache_stats"))?;
        let mut lines = self.file.lines()?;
        let titles: Vec<&[u8]> = scan::fields(lines.next().unwrap_or_default()).collect();
        let mut sums = vec![0_u64; titles.len()];
        for line in lines {
            let mut fields = scan::fields(line);
            for sum in &mut sums {
                let count = fields.number().and_then(|count| sum.checked_add(count));
                *sum =
                    count.ok_or_else(|| self.file.bad_line(line, "a number for each title is expected"))?;
            }
        }
        for (title, name, help) in CACHE {
            if let Some(at) = titles.iter().position(|found| *found == title) {
                context.out.family(name, Counter, help).sample(&[], sums[at] as f64);
            }
        }
        Ok(())
    }

    /// Lines such as `entries: 503`, `buckets used: 283/512` and `longest chain: 7`.
    fn write_hash(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        self.file.read(context.paths, Root::Sys, format_args!("{FOLDER}/avc/hash_stats"))?;
        for line in self.file.lines()? {
            let bad = || self.file.bad_line(line, "a number is expected");
            let (key, value) = scan::split_at(line, b':').ok_or_else(bad)?;
            let number = |text| scan::number(text).map(|number| number as f64).ok_or_else(bad);
            let mut write = |name, help, value| context.out.family(name, Gauge, help).sample(&[], value);
            match key {
                b"entries" => {
                    let help = "Entries of the access vector cache.";
                    write("node_selinux_avc_hash_entries", help, number(value)?);
                }
                b"buckets used" => {
                    let (used, all) = scan::split_at(value, b'/').ok_or_else(bad)?;
                    let help = "Buckets of the access vector cache.";
                    write("node_selinux_avc_hash_buckets_available", help, number(all)?);
                    let help = "Buckets of the access vector cache that are in use.";
                    write("node_selinux_avc_hash_buckets_used", help, number(used)?);
                }
                b"longest chain" => {
                    let help = "Entries in the fullest bucket of the access vector cache.";
                    write("node_selinux_avc_hash_longest_chain", help, number(value)?);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
