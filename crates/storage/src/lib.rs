//! The seams of the data path: how samples come in, how they are asked for, and what bounds both.
//! Owns no data.
//!
//! Modules:
//! - `append`: `Appendable` and `Appender`: one batch, committed or rolled back as one.
//! - `query`: `Queryable` and `Querier`: a view of one time range; `SelectRequest`, `Shard`, `EvenWindows`.
//! - `chunks`: `ChunkQuerier` and `ChunkSeriesSet`: series as encoded chunks, for whoever ships or
//!   compacts them.
//! - `exemplars`: `ExemplarQueryable`: observations picked out of series.
//! - `columns`: `SeriesSet` and `SeriesBatch`: series as columns of timestamps and values.
//! - `parting`: `Parting` and `parted`: what is left of a set in parts, for several threads.
//! - `budget`: `QueryBudget`: what one request may use, and whether it was cancelled; `turns`: heavy ones let
//!   light ones go first.
//! - `merge`: several sources as one: queriers, sets of series, sets of chunks; each written once.
//! - `series_limit`: `SeriesLimit`: how many series one source may have.
//! - `error`: `AppendError`, `CommitError`, `QueryError`: variants are decisions.
//!
//! Write path: `Appendable::appender` → `append` or `append_floats` → `commit`.
//! Read path: `Queryable::querier` → `select` → `SeriesSet::next_batch` into a reused `SeriesBatch`.
//!
//! What always holds:
//! - A reader sees a committed batch whole or not at all.
//! - Series of one `SeriesSet` come sorted by labels and each once; the samples of a series are
//!   sorted by time, no two at the same time.
//! - Every sample that a query reads is charged to its `QueryBudget` before it is handed out.
//!
//! When you change `SeriesBatch`, change its producers in `tsdb` and its consumers in `promql` and
//! `api` with it.

pub mod append;
pub mod budget;
pub mod chunks;
pub mod columns;
pub mod error;
pub mod exemplars;
pub mod merge;
pub mod parting;
pub mod query;
pub mod series_limit;
mod turns;

pub use append::{Append, Appendable, Appender, Committed, KeptSeries, Row, SeriesId, Value};
pub use budget::{QueryBudget, QueryLimits, QueryMemory, Running, SAMPLE_BYTES, SERIES_BYTES, SampleCounts};
pub use chunks::{Chunk, ChunkQuerier, ChunkSeries, ChunkSeriesSet};
pub use columns::{SeriesBatch, SeriesColumns, SeriesHistograms, SeriesSet, SeriesStarts};
pub use error::{AppendError, CommitError, QueryError};
pub use exemplars::{ExemplarQueryable, NoExemplars, SeriesExemplars};
pub use merge::{merge_chunk_queriers, merge_queriers};
pub use parting::{Parting, first_behind, first_behind_near, parted};
pub use query::{EvenWindows, LabelRequest, Querier, Queryable, SelectRequest, Shard, TimeRange};
pub use series_limit::{SeriesBound, SeriesCharge, SeriesLimit};
