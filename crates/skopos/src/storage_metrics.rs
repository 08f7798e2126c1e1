//! What storage says of itself, as metric families.

use skopos_exposition::Families;
use skopos_model::MetricType;
use skopos_tsdb::{Db, HeadShape, StatsSnapshot, TopEntry};

/// Writes the families, under the names that Prometheus' dashboards and rules know where it has the same.
pub(crate) fn write(stats: &StatsSnapshot, out: &mut Families<'_>) {
    let s = stats;
    out.gauge("prometheus_tsdb_head_series", "Series in the head.", s.series as f64);
    out.gauge("prometheus_tsdb_head_chunks", "Chunks in the head.", s.chunks as f64);
    out.gauge("skopos_tsdb_head_bytes", "Memory that the head holds, about.", s.memory_bytes as f64);
    let help = "1 once the log takes no batches until a restart.";
    out.gauge("skopos_tsdb_halted", help, s.wal_halted as f64);
    for (name, help, value) in [
        ("prometheus_tsdb_head_samples_appended_total", "Samples stored.", s.samples_appended_total),
        ("skopos_tsdb_commits_total", "Batches stored.", s.commits_total),
        ("skopos_tsdb_commits_failed_total", "Batches that were not stored.", s.commits_failed_total),
        (
            "prometheus_tsdb_out_of_order_samples_total",
            "Samples refused since their series had a later one.",
            s.out_of_order_total,
        ),
        (
            "skopos_tsdb_duplicate_samples_total",
            "Samples refused since their series had another value at that time.",
            s.duplicates_total,
        ),
        (
            "prometheus_tsdb_out_of_bound_samples_total",
            "Samples refused since their time is not accepted.",
            s.out_of_bounds_total,
        ),
        (
            "skopos_tsdb_overtaken_samples_total",
            "Samples dropped at commit since their series had a later one by then, or another at their time.",
            s.overtaken_total,
        ),
        ("skopos_tsdb_wal_written_bytes_total", "Bytes written to the log.", s.wal_written_bytes_total),
        (
            "prometheus_tsdb_wal_writes_failed_total",
            "Writes to the log that failed.",
            s.wal_failed_writes_total,
        ),
        ("skopos_tsdb_wal_syncs_total", "Synchronisations of the log.", s.wal_syncs_total),
        ("skopos_tsdb_wal_syncs_failed_total", "Synchronisations that failed.", s.wal_failed_syncs_total),
        (
            "prometheus_tsdb_wal_corruptions_total",
            "Places in the log that were found damaged at the start.",
            s.wal_corruptions_total,
        ),
    ] {
        out.counter(name, help, value as f64);
    }
    for (name, help, value) in [
        ("prometheus_tsdb_exemplar_exemplars_appended_total", "Exemplars kept.", s.exemplars_appended_total),
        (
            "skopos_tsdb_exemplars_dropped_total",
            "Exemplars not kept: older than others of their series, or too long.",
            s.exemplars_dropped_total,
        ),
        (
            "skopos_tsdb_metadata_dropped_total",
            "Types, help texts and units not kept: those of all metrics may take 64 MiB.",
            s.metadata_dropped_total,
        ),
    ] {
        out.counter(name, help, value as f64);
    }
    write_out_of_order(s, out);
    write_refusals(s, out);
    write_blocks(s, out);
    let micros = s.wal_sync_us_total as f64;
    out.counter("skopos_tsdb_wal_sync_seconds_total", "Time spent in synchronisations.", micros / 1e6);
    write_replay(s, out);
}

/// The times of what is stored. What has no sample says of itself what Prometheus' empty head says.
pub(crate) fn write_times(db: &Db, out: &mut Families<'_>) {
    let (min, max) = db.head_time_range().map_or((i64::MAX, i64::MIN), |r| (r.min.as_ms(), r.max.as_ms()));
    let lowest = db.time_range().map_or(i64::MAX, |range| range.min.as_ms());
    for (name, help, value) in [
        ("prometheus_tsdb_head_min_time", "Time of the head's first sample, in milliseconds.", min),
        ("prometheus_tsdb_head_max_time", "Time of the head's last sample, in milliseconds.", max),
        ("prometheus_tsdb_lowest_timestamp", "Time of the first sample stored, in milliseconds.", lowest),
    ] {
        out.gauge(name, help, value as f64);
    }
    for (name, help, value) in [
        ("prometheus_tsdb_head_min_time_seconds", "Time of the head's first sample.", min),
        ("prometheus_tsdb_head_max_time_seconds", "Time of the head's last sample.", max),
        ("prometheus_tsdb_lowest_timestamp_seconds", "Time of the first sample stored.", lowest),
    ] {
        out.gauge(name, help, value as f64 / 1e3);
    }
}

/// What the start read back.
fn write_replay(s: &StatsSnapshot, out: &mut Families<'_>) {
    let replayed = s.replayed_samples as f64;
    out.gauge("skopos_tsdb_replayed_samples", "Samples read from the log at the start.", replayed);
    out.gauge(
        "prometheus_tsdb_data_replay_duration_seconds",
        "How long that took, a snapshot and the chunk files of the head among it.",
        s.replay_ms as f64 / 1e3,
    );
    out.gauge(
        "skopos_tsdb_replay_covered_samples",
        "Samples of the log that the start passed over since a block has them.",
        s.replay_covered_samples as f64,
    );
    out.gauge(
        "skopos_tsdb_replay_waiting_bytes_max",
        "Memory that samples out of order took at the start while they waited to be stored, at most.",
        s.replay_waiting_bytes_max as f64,
    );
    out.gauge(
        "skopos_tsdb_head_chunks_unnamed",
        "Chunks found at the start that are in no block and whose series nobody names.",
        s.head_chunks_unnamed as f64,
    );
}

/// What the head consists of.
pub(crate) fn write_shape(shape: &HeadShape, out: &mut Families<'_>) {
    for (name, help, value) in [
        ("skopos_tsdb_head_label_names", "Different names of labels in the head.", shape.label_names),
        ("skopos_tsdb_head_label_pairs", "Different pairs of name and value in the head.", shape.label_pairs),
        (
            "skopos_tsdb_memory_budget_bytes",
            "Memory that the head may hold before new series are refused.",
            shape.memory_budget_bytes,
        ),
        ("prometheus_tsdb_exemplar_exemplars_in_storage", "Exemplars that are kept.", shape.exemplars),
        ("prometheus_tsdb_exemplar_max_exemplars", "Exemplars that may be kept.", shape.max_exemplars),
    ] {
        out.gauge(name, help, value as f64);
    }
    for (family, help, label, largest) in [
        (
            "skopos_tsdb_head_metric_series",
            "Series of the metrics that have the most.",
            "metric",
            &shape.series_by_metric,
        ),
        (
            "skopos_tsdb_head_label_values",
            "Different values of the labels that have the most.",
            "label",
            &shape.values_by_label,
        ),
        (
            "skopos_tsdb_head_pair_series",
            "Series of the pairs of name and value that have the most.",
            "pair",
            &shape.series_by_pair,
        ),
    ] {
        out.family(family, MetricType::Gauge, help);
        for TopEntry { name, count } in largest {
            out.sample("", &[(label, name)], *count as f64);
        }
    }
}

/// Samples that came behind later ones of their series.
fn write_out_of_order(s: &StatsSnapshot, out: &mut Families<'_>) {
    for (name, help, value) in [
        (
            "prometheus_tsdb_head_out_of_order_samples_appended_total",
            "Samples stored behind later ones of their series.",
            s.out_of_order_appended_total,
        ),
        (
            "prometheus_tsdb_too_old_samples_total",
            "Samples refused since they came behind later ones of their series, and too late.",
            s.too_old_total,
        ),
        (
            "skopos_tsdb_wbl_writes_failed_total",
            "Writes to the write-behind log that failed.",
            s.wbl_failed_writes_total,
        ),
    ] {
        out.counter(name, help, value as f64);
    }
}

/// New series and batches that a limit kept out.
fn write_refusals(s: &StatsSnapshot, out: &mut Families<'_>) {
    for (name, help, value) in [
        (
            "skopos_tsdb_refused_series_total",
            "New series refused since there are as many as may be.",
            s.refused_series_total,
        ),
        (
            "skopos_tsdb_refused_series_per_metric_total",
            "New series refused since their metric has as many as may be.",
            s.refused_per_metric_total,
        ),
        (
            "skopos_tsdb_refused_series_memory_total",
            "New series refused since the memory budget is used up.",
            s.refused_memory_total,
        ),
        (
            "skopos_tsdb_commits_refused_unwritten_total",
            "Batches refused since closed chunks wait for a disk that refuses them, as many as may.",
            s.commits_refused_unwritten_total,
        ),
        (
            "skopos_tsdb_refused_series_per_source_total",
            "New series refused since their target has as many as may be.",
            s.refused_per_source_total,
        ),
    ] {
        out.counter(name, help, value as f64);
    }
}

/// What becomes of blocks.
fn write_blocks(s: &StatsSnapshot, out: &mut Families<'_>) {
    for (name, help, value) in [
        ("prometheus_tsdb_compactions_total", "Blocks written.", s.compactions_total),
        (
            "prometheus_tsdb_compactions_failed_total",
            "Blocks that could not be written.",
            s.compactions_failed_total,
        ),
        ("prometheus_tsdb_head_truncations_total", "Truncations of the head.", s.head_truncations_total),
        ("prometheus_tsdb_wal_truncations_total", "Attempts to shorten the log.", s.wal_truncations_total),
        (
            "prometheus_tsdb_wal_truncations_failed_total",
            "Those that failed.",
            s.wal_truncations_failed_total,
        ),
        ("prometheus_tsdb_checkpoint_creations_total", "Checkpoints written.", s.checkpoint_creations_total),
        (
            "prometheus_tsdb_reloads_total",
            "Times that the data directory was looked through for blocks.",
            s.block_reloads_total,
        ),
        (
            "prometheus_tsdb_reloads_failures_total",
            "Those that found a block that cannot be read.",
            s.block_reloads_failed_total,
        ),
        ("prometheus_tsdb_time_retentions_total", "Blocks that went for their age.", s.time_retentions_total),
        (
            "prometheus_tsdb_size_retentions_total",
            "Blocks that went since there was too much.",
            s.size_retentions_total,
        ),
        (
            "skopos_tsdb_maintenance_failed_total",
            "Passes of maintenance that could not do all that was due.",
            s.maintenance_failed_total,
        ),
    ] {
        out.counter(name, help, value as f64);
    }
    for (name, help, value) in [
        ("prometheus_tsdb_blocks_loaded", "Open blocks.", s.blocks_loaded),
        ("skopos_tsdb_blocks_unreadable", "Blocks that could not be opened.", s.blocks_unreadable),
        (
            "skopos_tsdb_head_chunks_unwritten_bytes",
            "Bytes of closed chunks that wait for a file of head chunks.",
            s.head_chunks_unwritten_bytes,
        ),
        (
            "skopos_tsdb_blocks_not_compacted",
            "Open blocks that are not compacted any more since they are damaged.",
            s.blocks_not_compacted,
        ),
        ("prometheus_tsdb_storage_blocks_bytes", "Bytes of open blocks.", s.blocks_bytes),
        ("prometheus_tsdb_wal_segment_current", "The segment of the log that is written.", s.wal_segment),
        ("prometheus_tsdb_wal_storage_size_bytes", "Bytes of the log on disk.", s.wal_storage_bytes),
        (
            "prometheus_tsdb_head_chunks_storage_size_bytes",
            "Bytes of the head chunk files.",
            s.head_chunks_storage_bytes,
        ),
    ] {
        out.gauge(name, help, value as f64);
    }
    let seconds = s.tombstone_cleanup_us_total as f64 / 1e6;
    out.counter("skopos_tsdb_tombstone_cleanup_seconds_total", "Time spent on cleaning tombstones.", seconds);
}
