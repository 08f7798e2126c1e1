//! The seams of the data path: Appender, Querier, SeriesSet and their limits.
