//! The table of fuzz targets. Each row's check stands beside it in a file for its format, or, where the
//! decoder is private, in the module `fuzzing` of its crate.

mod agent;
mod chunk;
mod database;
mod discovery;
mod evaluate;
mod exposed;
mod exposition;
mod families;
mod gateway;
mod matcher;
mod promql;
mod pushed;
mod remote_answer;
mod remote_read;
mod round;
mod spool;

use crate::{Memory, Target};
use skopos_agent::fuzzing as collect;
use skopos_discovery::fuzzing as find;
use skopos_tsdb::fuzzing as tsdb;

/// For bounds that the length of an input gives alone.
const NO_LIMIT: u64 = u64::MAX;

/// So much for each byte, and little else.
const fn small(per_input_byte: u64) -> Memory {
    Memory { fixed_bytes: 16 << 10, per_input_byte, most_bytes: NO_LIMIT }
}

/// A check that keeps its files on a simulated disk, where they take whole pieces.
const fn on_a_disk(fixed_bytes: u64, per_input_byte: u64) -> Memory {
    Memory { fixed_bytes, per_input_byte, most_bytes: NO_LIMIT }
}

/// A regular expression may compile to some hundred thousand times its length, up to 1 MB, and an input may
/// have many.
const fn with_expressions(fixed_bytes: u64, most_bytes: u64) -> Memory {
    Memory { fixed_bytes, per_input_byte: 128 << 10, most_bytes }
}

/// What reads PromQL.
const READERS_OF_PROMQL: &[(&str, &[&str])] = &[(
    "crates/promql/src/parse/mod.rs",
    &[
        "parse",
        "parse_with",
        "parse_within",
        "parse_selector",
        "parse_selector_within",
        "parse_matchers",
        "parse_matchers_within",
    ],
)];

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "wal_segment",
        covers: &[
            ("crates/tsdb/src/wal/reader.rs", &[]),
            ("crates/tsdb/src/wal/page.rs", &[]),
            ("crates/tsdb/src/wal/compress.rs", &["snappy", "zstd", "snappy", "zstd"]),
        ],
        seeds: tsdb::wal::segment_seeds,
        check: tsdb::wal::segment,
        // Pages are read by the dozen. A record of snappy grows 24-fold, and the check keeps copies.
        memory: on_a_disk(1 << 20, 256),
    },
    Target {
        name: "wal_record",
        covers: &[
            ("crates/tsdb/src/wal/record/base.rs", &["take", "take_entry", "take"]),
            (
                "crates/tsdb/src/wal/record/bytes.rs",
                &[
                    "take",
                    "take_f64",
                    "take_uvarint",
                    "take_varint",
                    "take_count",
                    "take_bytes",
                    "take_text",
                    "take_labels",
                ],
            ),
            ("crates/tsdb/src/wal/record/check.rs", &["check_record"]),
            ("crates/tsdb/src/wal/record/exemplars.rs", &["read_exemplars"]),
            ("crates/tsdb/src/wal/record/group.rs", &["read_group_marker"]),
            (
                "crates/tsdb/src/wal/record/histograms.rs",
                &["read_histograms", "take_value", "take_spans", "take_bounds", "take_deltas", "take_floats"],
            ),
            ("crates/tsdb/src/wal/record/markers.rs", &["read_markers", "read_min_valid_time"]),
            ("crates/tsdb/src/wal/record/mod.rs", &["of"]),
            ("crates/tsdb/src/wal/record/metadata.rs", &["read_metadata"]),
            (
                "crates/tsdb/src/wal/record/samples.rs",
                &["read_samples", "read_samples_inner", "read_samples_v2", "read_any_samples"],
            ),
            ("crates/tsdb/src/wal/record/series.rs", &["read_series"]),
            (
                "crates/tsdb/src/wal/record/tombstones.rs",
                &["read_deletion_bound", "read_entries", "read_tombstones"],
            ),
        ],
        seeds: tsdb::wal::record_seeds,
        check: tsdb::wal::record,
        memory: small(128),
    },
    Target {
        name: "block",
        covers: &[
            ("crates/tsdb/src/block/chunks/reader.rs", &["load", "slice"]),
            ("crates/tsdb/src/block/input.rs", &[]),
            ("crates/tsdb/src/block/kept.rs", &["decode_kept"]),
            ("crates/tsdb/src/block/meta.rs", &["parse"]),
            ("crates/tsdb/src/block/tombstones.rs", &[]),
            ("crates/tsdb/src/db/note/mod.rs", &["parse"]),
            ("crates/tsdb/src/block/index/offsets.rs", &["open", "get", "for_each", "entry_len"]),
            ("crates/tsdb/src/block/index/paged.rs", &["read", "read_again"]),
            ("crates/tsdb/src/block/index/series.rs", &["decode", "read", "load", "content", "decode"]),
            (
                "crates/tsdb/src/block/index/symbols.rs",
                &["open", "place", "for_each", "pair", "position", "text", "find", "read"],
            ),
        ],
        seeds: tsdb::block::seeds,
        check: tsdb::block::any,
        memory: on_a_disk(512 << 10, 1024),
    },
    Target {
        name: "index",
        covers: &[
            ("crates/tsdb/src/block/index/offsets.rs", &["open", "get", "for_each", "entry_len"]),
            ("crates/tsdb/src/block/index/paged.rs", &["read", "read_again"]),
            ("crates/tsdb/src/block/index/reader.rs", &["list_len", "decode_list"]),
            ("crates/tsdb/src/block/index/series.rs", &["decode", "read", "load", "content", "decode"]),
            (
                "crates/tsdb/src/block/index/symbols.rs",
                &["open", "place", "for_each", "pair", "text", "find", "read"],
            ),
            ("crates/tsdb/src/block/index/toc.rs", &["read"]),
        ],
        seeds: tsdb::index::file_seeds,
        check: tsdb::index::file,
        memory: on_a_disk(64 << 10, 64),
    },
    Target {
        name: "tombstones",
        covers: &[("crates/tsdb/src/block/tombstones.rs", &[])],
        seeds: tsdb::tombstones::file_seeds,
        check: tsdb::tombstones::file,
        // A span of three bytes is a few numbers here, and it is written once more.
        memory: on_a_disk(512 << 10, 256),
    },
    Target {
        name: "chunk",
        covers: &[
            ("crates/chunk/src/samples.rs", &["decode_columns", "samples_in"]),
            ("crates/chunk/src/xor2.rs", &["sample_count", "decode", "new"]),
            ("crates/chunk/src/frame.rs", &["sample_count", "new"]),
            ("crates/chunk/src/histogram_decoder.rs", &["new"]),
            ("crates/chunk/src/histogram_encoder.rs", &["from_bytes"]),
        ],
        seeds: chunk::any_seeds,
        check: chunk::any,
        // A sample may take 4 bits and a bucket one; of either there are a few copies.
        memory: small(2048),
    },
    Target {
        name: "head_chunk",
        covers: &[("crates/tsdb/src/head_chunks/format.rs", &["check_header", "extent", "parse_entry"])],
        seeds: tsdb::head_chunks::entry_seeds,
        check: tsdb::head_chunks::entry,
        memory: small(16),
    },
    Target {
        name: "head_chunk_file",
        covers: &[("crates/tsdb/src/head_chunks/load.rs", &[])],
        seeds: tsdb::head_chunks::file_seeds,
        check: tsdb::head_chunks::file,
        memory: on_a_disk(128 << 10, 64),
    },
    Target {
        name: "snapshot_record",
        covers: &[("crates/tsdb/src/wal/snapshot.rs", &["read_record", "take_series"])],
        seeds: tsdb::wal::snapshot_record_seeds,
        check: tsdb::wal::snapshot_record,
        memory: on_a_disk(1 << 20, 256),
    },
    Target {
        name: "database",
        covers: &[
            ("crates/tsdb/src/head/replay.rs", &["let_through", "lacks_series", "record", "tombstones"]),
            ("crates/tsdb/src/head/replay/late.rs", &[]),
        ],
        seeds: database::seeds,
        check: database::starts,
        memory: on_a_disk(4 << 20, 512),
    },
    Target {
        name: "wal_names",
        covers: &[("crates/tsdb/src/head/replay/names.rs", &[])],
        seeds: database::names_seeds,
        check: database::names,
        memory: on_a_disk(4 << 20, 512),
    },
    Target {
        name: "xor_chunk",
        covers: &[
            (
                "crates/chunk/src/decoder.rs",
                &[
                    "sample_count",
                    "decode_into",
                    "decode_range_into",
                    "new",
                    "advance",
                    "advance_to_early",
                    "advance_to_later",
                    "read_all",
                    "read_value",
                ],
            ),
            ("crates/chunk/src/encoder.rs", &["from_bytes"]),
            ("crates/chunk/src/varint.rs", &["read_unsigned", "read_signed", "located"]),
            ("crates/base/src/varint.rs", &["uvarint", "varint"]),
        ],
        seeds: chunk::xor_seeds,
        check: chunk::xor,
        // A sample may take 2 bits.
        memory: small(768),
    },
    Target {
        name: "exposition_text",
        covers: &[
            ("crates/exposition/src/format.rs", &["parse"]),
            ("crates/exposition/src/parse.rs", &["next_expecting"]),
            ("crates/exposition/src/parse/meta.rs", &[]),
            ("crates/exposition/src/parse/scan.rs", &["quoted", "labels"]),
            ("crates/exposition/src/parse/series.rs", &[]),
            (
                "crates/exposition/src/parse/value.rs",
                &["float", "digits", "short_decimal", "any_float", "parse_any"],
            ),
        ],
        seeds: exposition::text_seeds,
        check: exposition::text,
        memory: small(256),
    },
    Target {
        name: "exposition_openmetrics",
        covers: &[("crates/exposition/src/parse.rs", &["next_expecting"])],
        seeds: exposition::openmetrics_seeds,
        check: exposition::openmetrics,
        memory: small(256),
    },
    Target {
        name: "promql",
        covers: READERS_OF_PROMQL,
        seeds: promql::seeds,
        check: promql::expression,
        memory: with_expressions(4 << 20, 256 << 20),
    },
    Target {
        name: "promql_evaluate",
        covers: READERS_OF_PROMQL,
        seeds: evaluate::seeds,
        check: evaluate::expression,
        // The expressions, and what a query may hold of samples.
        memory: with_expressions(64 << 20, 512 << 20),
    },
    Target {
        name: "remote_read",
        covers: &[
            ("crates/proto/src/read.rs", &["decode_request", "each_field", "parts"]),
            ("crates/proto/src/frame.rs", &["read"]),
        ],
        seeds: remote_read::seeds,
        check: remote_read::request_and_frames,
        // What a request says that it unpacks to, 4 MiB, and its messages, twice.
        memory: with_expressions(8 << 20, 512 << 20),
    },
    Target {
        name: "spool",
        covers: &[
            ("crates/spool/src/record.rs", &[]),
            ("crates/spool/src/segment.rs", &[]),
            ("crates/spool/src/position.rs", &["decode"]),
        ],
        seeds: spool::seeds,
        check: spool::queue,
        // Bodies are read, kept twice and written again.
        memory: on_a_disk(1 << 20, 64),
    },
    Target {
        name: "remote_answer",
        covers: &[("crates/remote/src/read/answer.rs", &["labels", "decode_samples"])],
        seeds: remote_answer::seeds,
        check: remote_answer::any,
        // A chunk says that it has up to 65,535 samples, of which two bits may be each.
        memory: Memory { fixed_bytes: 4 << 20, per_input_byte: 1 << 10, most_bytes: NO_LIMIT },
    },
    Target {
        name: "round",
        covers: &[("crates/remote/src/round.rs", &["take", "long", "number"])],
        seeds: round::seeds,
        check: round::record,
        // A part takes some ten times the fewest bytes that it is written in.
        memory: small(64),
    },
    Target {
        name: "gateway",
        covers: gateway::DECODERS,
        seeds: gateway::seeds,
        check: gateway::any,
        memory: on_a_disk(1 << 20, 2048),
    },
    Target {
        name: "pushed",
        covers: pushed::DECODERS,
        seeds: pushed::seeds,
        check: pushed::any,
        // Series, their labels and what is known of them; a body is unpacked up to 4 MiB.
        memory: on_a_disk(16 << 20, 2048),
    },
    Target {
        name: "families",
        covers: &[("crates/proto/src/families.rs", &["read_delimited"])],
        seeds: families::seeds,
        check: families::delimited,
        // Three bytes may be a family with room for four metrics, and all are read twice.
        memory: small(1024),
    },
    Target {
        name: "exposed",
        covers: &[
            ("crates/proto/src/exposed.rs", &["of", "of", "each_label", "label", "timestamp"]),
            ("crates/proto/src/exposed/histogram.rs", &["read", "bucket", "span"]),
        ],
        seeds: exposed::seeds,
        check: exposed::page,
        // Two bytes may be a bucket, and all are read twice.
        memory: small(1024),
    },
    Target {
        name: "agent_collector",
        covers: agent::COLLECTORS,
        seeds: collect::collector_seeds,
        check: collect::collector,
        // Collectors count up to 8192 CPUs, and two of them are made three times.
        memory: on_a_disk(16 << 20, 1024),
    },
    Target {
        name: "agent_text",
        covers: agent::TEXTS,
        seeds: collect::text_seeds,
        check: collect::texts,
        memory: with_expressions(1 << 20, 64 << 20),
    },
    Target {
        name: "discovery_lists",
        covers: &[("crates/discovery/src/target_file.rs", &["parse_json", "parse_yaml"])],
        seeds: discovery::list_seeds,
        check: find::lists,
        // A label of every target is a text of its own, in several copies.
        memory: on_a_disk(1 << 20, 4096),
    },
    Target {
        name: "discovery_answers",
        covers: &[("crates/discovery/src/json.rs", &[])],
        seeds: discovery::answer_seeds,
        check: find::answers,
        // A byte of an answer may stand in the labels of every target that it makes, of each kind.
        memory: Memory { fixed_bytes: 4 << 20, per_input_byte: 64 << 10, most_bytes: 1 << 30 },
    },
    Target {
        name: "discovery_xml",
        covers: &[
            ("crates/discovery/src/xml.rs", &[]),
            ("crates/discovery/src/cloud/uyuni.rs", &["parse_answer"]),
        ],
        seeds: discovery::xml_seeds,
        check: find::xml,
        // An element of three bytes is a node, and becomes a value of a map.
        memory: on_a_disk(1 << 20, 4096),
    },
    Target {
        name: "discovery_members",
        covers: &[
            ("crates/discovery/src/zookeeper/mod.rs", &["object", "nerve", "serverset"]),
            (
                "crates/discovery/src/zookeeper/wire.rs",
                &[
                    "read_welcome",
                    "read_sent",
                    "read_data",
                    "read_children",
                    "take",
                    "take_i32",
                    "take_bytes",
                ],
            ),
        ],
        seeds: discovery::member_seeds,
        check: find::members,
        memory: on_a_disk(1 << 20, 4096),
    },
    Target {
        name: "discovery_accounts",
        covers: &[
            ("crates/discovery/src/google.rs", &["parse"]),
            ("crates/discovery/src/aws/profile.rs", &[]),
        ],
        seeds: discovery::account_seeds,
        check: find::accounts,
        memory: on_a_disk(1 << 20, 4096),
    },
    Target {
        name: "discovery_kubeconfig",
        covers: &[("crates/discovery/src/kubernetes/kubeconfig.rs", &["parse"])],
        seeds: discovery::kubeconfig_seeds,
        check: find::kubeconfig,
        memory: on_a_disk(1 << 20, 4096),
    },
    Target {
        name: "matcher",
        covers: &[("crates/model/src/matcher/pattern.rs", &[])],
        seeds: matcher::seeds,
        check: matcher::against_the_regex_crate,
        memory: with_expressions(16 << 20, 32 << 20),
    },
];
