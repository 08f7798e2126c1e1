//! The table of fuzz targets. Each row's check stands beside it in a file for its format, or, where the
//! decoder is private, in the module `fuzzing` of its crate.

mod chunk;
mod database;
mod evaluate;
mod exposition;
mod matcher;
mod promql;
mod remote_read;

use crate::{Memory, Target};
use skopos_tsdb::fuzzing as tsdb;

/// A check that keeps a few copies of what it decoded.
const USUAL: Memory = Memory { fixed_bytes: 256 << 10, per_input_byte: 512 };

/// A check that keeps its files on a simulated disk.
const ON_A_DISK: Memory = Memory { fixed_bytes: 4 << 20, per_input_byte: 512 };

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "wal_segment",
        covers: &["crates/tsdb/src/wal/reader.rs", "crates/tsdb/src/wal/page.rs"],
        seeds: tsdb::wal::segment_seeds,
        check: tsdb::wal::segment,
        // Pages are read by the dozen. A record of snappy grows 24-fold, and the check keeps copies.
        memory: Memory { fixed_bytes: 4 << 20, per_input_byte: 512 },
    },
    Target {
        name: "wal_record",
        covers: &[
            "crates/tsdb/src/wal/record/base.rs",
            "crates/tsdb/src/wal/record/bytes.rs",
            "crates/tsdb/src/wal/record/exemplars.rs",
            "crates/tsdb/src/wal/record/group.rs",
            "crates/tsdb/src/wal/record/histograms.rs",
            "crates/tsdb/src/wal/record/markers.rs",
            "crates/tsdb/src/wal/record/metadata.rs",
            "crates/tsdb/src/wal/record/samples.rs",
            "crates/tsdb/src/wal/record/series.rs",
            "crates/tsdb/src/wal/record/tombstones.rs",
        ],
        seeds: tsdb::wal::record_seeds,
        check: tsdb::wal::record,
        memory: USUAL,
    },
    Target {
        name: "block",
        covers: &[
            "crates/tsdb/src/block/input.rs",
            "crates/tsdb/src/block/kept.rs",
            "crates/tsdb/src/block/meta.rs",
            "crates/tsdb/src/block/tombstones.rs",
            "crates/tsdb/src/db/cut.rs",
            "crates/tsdb/src/block/index/offsets.rs",
            "crates/tsdb/src/block/index/paged.rs",
            "crates/tsdb/src/block/index/series.rs",
            "crates/tsdb/src/block/index/symbols.rs",
        ],
        seeds: tsdb::block::seeds,
        check: tsdb::block::any,
        memory: ON_A_DISK,
    },
    Target {
        name: "index",
        covers: &[
            "crates/tsdb/src/block/index/offsets.rs",
            "crates/tsdb/src/block/index/paged.rs",
            "crates/tsdb/src/block/index/reader.rs",
            "crates/tsdb/src/block/index/series.rs",
            "crates/tsdb/src/block/index/symbols.rs",
            "crates/tsdb/src/block/index/toc.rs",
        ],
        seeds: tsdb::index::file_seeds,
        check: tsdb::index::file,
        memory: ON_A_DISK,
    },
    Target {
        name: "chunk",
        covers: &[
            "crates/chunk/src/samples.rs",
            "crates/chunk/src/xor2.rs",
            "crates/chunk/src/histogram_decoder.rs",
            "crates/chunk/src/histogram_encoder.rs",
            "crates/chunk/src/histogram_kinds.rs",
        ],
        seeds: chunk::any_seeds,
        check: chunk::any,
        memory: Memory { fixed_bytes: 256 << 10, per_input_byte: 64 << 10 },
    },
    Target {
        name: "head_chunk",
        covers: &["crates/tsdb/src/head_chunks/format.rs"],
        seeds: tsdb::head_chunks::entry_seeds,
        check: tsdb::head_chunks::entry,
        memory: USUAL,
    },
    Target {
        name: "head_chunk_file",
        covers: &["crates/tsdb/src/head_chunks/load.rs"],
        seeds: tsdb::head_chunks::file_seeds,
        check: tsdb::head_chunks::file,
        memory: ON_A_DISK,
    },
    Target {
        name: "snapshot_record",
        covers: &["crates/tsdb/src/wal/snapshot.rs"],
        seeds: tsdb::wal::snapshot_record_seeds,
        check: tsdb::wal::snapshot_record,
        memory: USUAL,
    },
    Target {
        name: "database",
        covers: &["crates/tsdb/src/head/replay.rs", "crates/tsdb/src/head/replay/late.rs"],
        seeds: database::seeds,
        check: database::starts,
        memory: Memory { fixed_bytes: 64 << 20, per_input_byte: 4096 },
    },
    Target {
        name: "wal_names",
        covers: &["crates/tsdb/src/head/replay/names.rs"],
        seeds: database::names_seeds,
        check: database::names,
        memory: Memory { fixed_bytes: 64 << 20, per_input_byte: 4096 },
    },
    Target {
        name: "xor_chunk",
        covers: &[
            "crates/chunk/src/decoder.rs",
            "crates/chunk/src/encoder.rs",
            "crates/chunk/src/varint.rs",
            "crates/base/src/varint.rs",
        ],
        seeds: chunk::xor_seeds,
        check: chunk::xor,
        memory: USUAL,
    },
    Target {
        name: "exposition_text",
        covers: &[
            "crates/exposition/src/parse.rs",
            "crates/exposition/src/parse/meta.rs",
            "crates/exposition/src/parse/scan.rs",
            "crates/exposition/src/parse/series.rs",
            "crates/exposition/src/parse/value.rs",
        ],
        seeds: exposition::text_seeds,
        check: exposition::text,
        memory: USUAL,
    },
    Target {
        name: "exposition_openmetrics",
        covers: &["crates/exposition/src/parse.rs"],
        seeds: exposition::openmetrics_seeds,
        check: exposition::openmetrics,
        memory: USUAL,
    },
    Target {
        name: "promql",
        covers: &["crates/promql/src/parse/mod.rs"],
        seeds: promql::seeds,
        check: promql::expression,
        // Each of up to 64 expressions may compile to 1 MB and more.
        memory: Memory { fixed_bytes: 256 << 20, per_input_byte: 4096 },
    },
    Target {
        name: "promql_evaluate",
        covers: &["crates/promql/src/parse/mod.rs"],
        seeds: evaluate::seeds,
        check: evaluate::expression,
        // The expressions, and what a query may hold of samples.
        memory: Memory { fixed_bytes: 512 << 20, per_input_byte: 4096 },
    },
    Target {
        name: "remote_read",
        covers: &["crates/proto/src/read.rs", "crates/proto/src/frame.rs"],
        seeds: remote_read::seeds,
        check: remote_read::request_and_frames,
        // What a request unpacks to, as messages, twice; and its regular expressions.
        memory: Memory { fixed_bytes: 512 << 20, per_input_byte: 4096 },
    },
    Target {
        name: "matcher",
        covers: &["crates/model/src/matcher/pattern.rs"],
        seeds: matcher::seeds,
        check: matcher::against_the_regex_crate,
        memory: Memory { fixed_bytes: 64 << 20, per_input_byte: 4096 },
    },
];
