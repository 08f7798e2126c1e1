//! What the tests of the database share: batches in, samples out. Owns no test.

use skopos_base::Env;
use skopos_model::{Labels, Matcher, SeriesRef, TimestampMs};
use skopos_storage::{
    Append, AppendError, Appendable, CommitError, Committed, LabelRequest, Querier, QueryBudget, QueryLimits,
    Queryable, SelectRequest, SeriesBatch, SeriesId, Shard, TimeRange,
};
pub(crate) use skopos_testkit::storage::matcher;
use skopos_tsdb::{Db, Options};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Where simulated databases stand.
pub(crate) const DIR: &str = "/data/tsdb";

/// Series with their samples: time in milliseconds and the bits of the value.
pub(crate) type Dump = BTreeMap<Labels, Vec<(i64, u64)>>;

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

/// `m{i="…"}`
pub(crate) fn series(i: usize) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("i", &i.to_string())])
}

pub(crate) fn open(env: &Env, options: Options) -> Db {
    Db::open(Path::new(DIR), options, env).expect("the database opens")
}

pub(crate) fn opened(env: &Env) -> Db {
    open(env, Options::default())
}

/// One batch of one sample for each of `labels`.
pub(crate) fn commit(db: &Db, samples: &[(Labels, i64, f64)]) -> Result<Committed, CommitError> {
    let mut appender = db.appender();
    for (labels, t, v) in samples {
        appender
            .append(&Append::float(SeriesId::Labels(labels), TimestampMs::new(*t), *v))
            .unwrap_or_else(|e| panic!("{labels} at {t}: {e}"));
    }
    appender.commit()
}

/// What appending one sample says, in a batch that is dropped.
pub(crate) fn try_append(db: &Db, labels: &Labels, t: i64, v: f64) -> Result<SeriesRef, AppendError> {
    db.appender().append(&Append::float(SeriesId::Labels(labels), TimestampMs::new(t), v))
}

pub(crate) fn budget(env: &Env) -> Arc<QueryBudget> {
    QueryBudget::new(QueryLimits::default(), Arc::clone(&env.clock))
}

pub(crate) fn range(min: i64, max: i64) -> TimeRange {
    TimeRange { min: TimestampMs::new(min), max: TimestampMs::new(max) }
}

pub(crate) fn select(env: &Env, querier: &dyn Querier, matchers: &[Matcher], range: TimeRange) -> Dump {
    let request = SelectRequest { matchers, range, shard: Shard::WHOLE, budget: budget(env) };
    let mut set = querier.select(&request).expect("the selection is within its budget");
    let mut batch = SeriesBatch::default();
    let mut dump = Dump::new();
    let mut last: Option<Labels> = None;
    while set.next_batch(&mut batch).expect("all chunks are sound") {
        for s in batch.iter() {
            assert!(last.as_ref().is_none_or(|l| l < s.labels), "series come sorted, each once");
            assert!(s.timestamps.is_sorted_by(|a, b| a < b), "samples of {} come sorted by time", s.labels);
            last = Some(s.labels.clone());
            let samples = s.timestamps.iter().zip(s.values).map(|(t, v)| (t.as_ms(), v.to_bits())).collect();
            dump.insert(s.labels.clone(), samples);
        }
    }
    dump
}

/// All that the database has.
pub(crate) fn dump(env: &Env, db: &Db) -> Dump {
    let mut dump =
        select(env, &*db.querier(TimeRange::ALL).expect("a head is always there"), &[], TimeRange::ALL);
    dump.retain(|_, samples| !samples.is_empty());
    dump
}

pub(crate) fn label_request<'a>(env: &Env, matchers: &'a [Matcher], limit: usize) -> LabelRequest<'a> {
    LabelRequest { matchers, limit, budget: budget(env) }
}
