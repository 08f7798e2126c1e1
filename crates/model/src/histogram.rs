//! Native histograms: sparse buckets of exponential or custom bounds. Shapes only; the operations
//! on them stand where they are used.

/// A run of consecutive buckets that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Buckets skipped since the end of the previous span; for the first span the index it starts at.
    pub offset: i32,
    /// How many buckets the span has.
    pub length: u32,
}

/// Whether the counts started anew at this sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CounterResetHint {
    /// Not known: compare with the sample before.
    #[default]
    Unknown,
    /// There was a reset.
    Reset,
    /// There was none.
    NotReset,
    /// A gauge histogram, for which resets have no meaning.
    Gauge,
}

/// The buckets' layout, common to integer and float histograms.
///
/// `schema` from -4 to 8: bounds are powers of `2^(2^-schema)`. Schema -53: `custom_bounds` are the
/// upper bounds, in growing order, and there are no negative buckets.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Layout {
    /// The resolution, or -53 for custom bounds.
    pub schema: i32,
    /// Observations up to this distance from zero are counted in the zero bucket.
    pub zero_threshold: f64,
    /// Spans of the buckets for positive observations.
    pub positive_spans: Vec<Span>,
    /// Spans of the buckets for negative observations.
    pub negative_spans: Vec<Span>,
    /// Upper bounds of custom buckets; empty for exponential schemas.
    pub custom_bounds: Vec<f64>,
    /// Whether the counts started anew.
    pub counter_reset_hint: CounterResetHint,
}

/// A histogram that counts in whole numbers, its buckets as deltas to the bucket before.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Histogram {
    /// Where the buckets are.
    pub layout: Layout,
    /// All observations.
    pub count: u64,
    /// Their sum; the staleness marker here makes the whole histogram one.
    pub sum: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Positive buckets, each as the difference to the one before.
    pub positive_deltas: Vec<i64>,
    /// Negative buckets, each as the difference to the one before.
    pub negative_deltas: Vec<i64>,
}

/// A histogram whose counts are floats, its buckets absolute.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FloatHistogram {
    /// Where the buckets are.
    pub layout: Layout,
    /// All observations.
    pub count: f64,
    /// Their sum; the staleness marker here makes the whole histogram one.
    pub sum: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Positive buckets.
    pub positive_buckets: Vec<f64>,
    /// Negative buckets.
    pub negative_buckets: Vec<f64>,
}
