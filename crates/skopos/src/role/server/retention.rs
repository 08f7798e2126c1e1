//! How long samples are kept and how long blocks are: what flags and configuration file say together. Removes
//! nothing.

use skopos_config::{Config, Percentage};
use skopos_model::{ByteSize, DurationMs};
use skopos_tsdb::{
    Options, Retention,
    compact::{DiskShare, RetentionLimits, RetentionRule, SelectorRetention},
};

/// As in Prometheus, where neither time nor size is said.
const DEFAULT_TIME: DurationMs = DurationMs::from_secs(15 * 86_400);
/// A block is at least so long.
const SHORTEST_BLOCK: DurationMs = DurationMs::from_secs(1);
/// A limit of less is a slip of the unit: samples would go as soon as they come.
const SHORTEST_RETENTION: DurationMs = DurationMs::from_secs(60);
/// How long a segment of the log may be.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 10 << 20..=256 << 20;
/// Less is a slip: chunks always wait a moment.
const LEAST_UNWRITTEN_BYTES: u64 = 1 << 20;
/// No block is longer unless a flag says so, …
const LONGEST_BLOCK: DurationMs = DurationMs::from_secs(31 * 86_400);
/// … nor than this part of the time that samples are kept.
const BLOCKS_IN_RETENTION: i64 = 10;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct BlockFlags {
    /// Length of the blocks that are cut from the newest samples.
    #[arg(long = "storage.tsdb.min-block-duration", value_name = "DURATION", default_value = "2h")]
    min_block_duration: DurationMs,
    /// Length of the longest blocks [default: a tenth of the retention time, 31d at most].
    #[arg(long = "storage.tsdb.max-block-duration", value_name = "DURATION")]
    max_block_duration: Option<DurationMs>,
    /// How long samples are kept [default: 15d, or without end when a size or a percentage is given].
    #[arg(long = "storage.tsdb.retention.time", alias = "storage.tsdb.retention", value_name = "DURATION")]
    retention_time: Option<DurationMs>,
    /// How much disk blocks, log and head chunks may take, such as 512GB; the oldest blocks go first.
    #[arg(long = "storage.tsdb.retention.size", value_name = "SIZE")]
    retention_size: Option<ByteSize>,
    /// The same as a percentage of the disk.
    #[arg(long = "storage.tsdb.retention.percentage", value_name = "PERCENT")]
    retention_percentage: Option<Percentage>,
    /// Length of the write-ahead log's segments, from 10MB to 256MB [default: 128MB].
    #[arg(long = "storage.tsdb.wal-segment-size", value_name = "SIZE")]
    wal_segment_size: Option<ByteSize>,
    /// Full chunks that wait in memory while the disk refuses their files, such as 512MB, or a number of
    /// bytes; beyond it batches are refused.
    #[arg(long = "storage.tsdb.max-unwritten-chunk-bytes", value_name = "SIZE",
        default_value = "512MB", value_parser = unwritten_bytes)]
    max_unwritten_chunk_bytes: u64,
}

/// A size, or a number of bytes.
fn unwritten_bytes(text: &str) -> Result<u64, String> {
    let bytes = text.parse().or_else(|_| text.parse().map(ByteSize::bytes))?;
    let least = ByteSize::from_bytes(LEAST_UNWRITTEN_BYTES);
    if bytes < LEAST_UNWRITTEN_BYTES { Err(format!("write {least} or more")) } else { Ok(bytes) }
}

impl BlockFlags {
    /// Whether the flags make sense together; the error names the one that does not.
    pub(super) fn check(&self) -> Result<(), String> {
        let min = self.min_block_duration;
        if min < SHORTEST_BLOCK {
            return Err(format!("--storage.tsdb.min-block-duration={min}: write {SHORTEST_BLOCK} or longer"));
        }
        if let Some(max) = self.max_block_duration.filter(|max| *max < min) {
            let flag = "--storage.tsdb.max-block-duration";
            return Err(format!("{flag}={max}: it is shorter than --storage.tsdb.min-block-duration={min}"));
        }
        if let Some(time) = self.retention_time.filter(|time| is_too_short(*time)) {
            let flag = "--storage.tsdb.retention.time";
            return Err(format!("{flag}={time}: write {SHORTEST_RETENTION} or longer, or 0s for no limit"));
        }
        let segment = self.wal_segment_size.map(ByteSize::bytes);
        if let Some(bytes) = segment.filter(|bytes| !SEGMENT_BYTES.contains(bytes)) {
            return Err(format!("--storage.tsdb.wal-segment-size: {bytes} bytes: write 10MB to 256MB"));
        }
        Ok(())
    }

    /// How long samples are kept. What the file says goes before the flags; zero is no limit.
    pub(super) fn retention(&self, config: &Config) -> Retention {
        let file = &config.storage.tsdb.retention;
        let bytes = file.size.or(self.retention_size).map(ByteSize::bytes).filter(|n| *n > 0);
        let percentage = file.percentage.or(self.retention_percentage);
        let disk = percentage.and_then(|p| DiskShare::from_percent(p.percent()));
        let otherwise = if bytes.is_none() && disk.is_none() { Some(DEFAULT_TIME) } else { None };
        let time = file.time.or(self.retention_time).or(otherwise).filter(|t| t.as_ms() > 0);
        let rule = |rule: &skopos_config::RetentionRuleConfig| RetentionRule {
            matchers: rule.selector.matchers().to_vec(),
            time: rule.time,
        };
        let rules = SelectorRetention::new(config.retention.iter().map(rule).collect());
        Retention { limits: RetentionLimits { time, bytes, disk }, rules }
    }

    /// Sets what concerns blocks.
    pub(super) fn apply(&self, config: &Config, options: &mut Options) {
        options.retention = self.retention(config);
        options.min_block_duration = self.min_block_duration;
        if let Some(size) = self.wal_segment_size {
            options.segment_bytes = size.bytes();
        }
        options.max_unwritten_chunk_bytes =
            usize::try_from(self.max_unwritten_chunk_bytes).unwrap_or(usize::MAX);
        let part = |time: DurationMs| DurationMs::from_ms(time.as_ms() / BLOCKS_IN_RETENTION);
        let longest = options.retention.limits.time.map_or(LONGEST_BLOCK, |t| part(t).min(LONGEST_BLOCK));
        options.max_block_duration = self.max_block_duration.unwrap_or(longest).max(self.min_block_duration);
        if let Some(window) = config.storage.tsdb.out_of_order_time_window {
            options.out_of_order_window = window;
        }
    }
}

/// Whether a limit by time is a slip; zero is none.
fn is_too_short(time: DurationMs) -> bool {
    time != DurationMs::from_ms(0) && time < SHORTEST_RETENTION
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use std::path::Path;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        blocks: BlockFlags,
    }

    #[test]
    fn flags_that_make_no_sense_are_named() {
        let check = |flags: &[&str]| Line::parse_from([&["x"], flags].concat()).blocks.check();
        for good in [
            &[][..],
            &["--storage.tsdb.wal-segment-size=10MB", "--storage.tsdb.min-block-duration=1s"],
            &["--storage.tsdb.retention.time=0s"],
            &["--storage.tsdb.retention.time=1m"],
        ] {
            assert_eq!(check(good), Ok(()));
        }
        for (flags, name) in [
            (&["--storage.tsdb.min-block-duration=0s"][..], "min-block-duration=0s"),
            (
                &["--storage.tsdb.min-block-duration=2h", "--storage.tsdb.max-block-duration=1h"],
                "max-block-duration=1h",
            ),
            (&["--storage.tsdb.wal-segment-size=1MB"], "wal-segment-size"),
            (&["--storage.tsdb.retention.time=1ms"], "retention.time=1ms: write 1m or longer"),
            (&["--storage.tsdb.retention.time=59s"], "retention.time=59s: write 1m or longer"),
        ] {
            let error = check(flags).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    /// Retention time in days, size and whether there is a share; the longest block in hours.
    fn check(flags: &[&str], file: &str, expected: (Option<i64>, Option<u64>, bool), longest_hours: i64) {
        let line = Line::parse_from(["skopos"].iter().chain(flags));
        let config = Config::parse(file, Path::new("prometheus.yml")).expect("the file is sound");
        let mut options = Options::default();
        line.blocks.apply(&config, &mut options);
        let RetentionLimits { time, bytes, disk } = options.retention.limits;
        assert_eq!(
            (time.map(|t| t.as_ms() / 86_400_000), bytes, disk.is_some()),
            expected,
            "{flags:?} {file}"
        );
        assert_eq!(options.max_block_duration.as_ms() / 3_600_000, longest_hours, "{flags:?} {file}");
    }

    #[test]
    fn the_file_goes_before_the_flags_and_zero_is_no_limit() {
        let day = "--storage.tsdb.retention.time=20d";
        let size = "--storage.tsdb.retention.size=2GB";
        let file = "storage: {tsdb: {retention: {time: 30d, percentage: 50}}}";
        check(&[], "", (Some(15), None, false), 36);
        check(&[day], "", (Some(20), None, false), 48);
        check(&[size], "", (None, Some(2 << 30), false), 31 * 24);
        check(&[day, size], "", (Some(20), Some(2 << 30), false), 48);
        check(&[day], file, (Some(30), None, true), 72);
        check(&["--storage.tsdb.retention.percentage=80"], "", (None, None, true), 31 * 24);
        check(&[day], "storage: {tsdb: {retention: {time: 0s}}}", (None, None, false), 31 * 24);
        check(&["--storage.tsdb.retention.time=10h"], "", (Some(0), None, false), 2);
        check(&["--storage.tsdb.max-block-duration=4h"], "", (Some(15), None, false), 4);
    }

    #[test]
    fn the_chunks_that_may_wait_for_the_disk_are_as_many_as_the_flag_says() {
        const FLAG: &str = "--storage.tsdb.max-unwritten-chunk-bytes";
        let bytes = |flags: &[&str]| {
            let line = Line::try_parse_from([&["x"], flags].concat()).map_err(|e| e.to_string())?;
            let mut options = Options::default();
            line.blocks.apply(&Config::default(), &mut options);
            Ok::<usize, String>(options.max_unwritten_chunk_bytes)
        };
        assert_eq!(bytes(&[]), Ok(Options::default().max_unwritten_chunk_bytes));
        for (text, expected) in [
            ("1048576", 1 << 20),
            ("1048577", (1 << 20) + 1),
            ("1MB", 1 << 20),
            ("3GiB", 3 << 30),
            ("2048KB", 2 << 20),
        ] {
            assert_eq!(bytes(&[&format!("{FLAG}={text}")]), Ok(expected), "{text}");
        }
        for wrong in ["0", "1048575", "-1", "1M", "1023KB", "1.5GB", "99999999999EB"] {
            let said = bytes(&[&format!("{FLAG}={wrong}")]).unwrap_err();
            assert!(said.contains(FLAG), "{wrong}: {said}");
        }
    }
}
