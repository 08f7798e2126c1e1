//! `Metrics`: a series of each metric that was pushed, for what version 1 of remote write says of families
//! and not of series. Bounded; never decides which series there are.

use parking_lot::RwLock;
use skopos_model::SeriesRef;
use std::collections::HashMap;

/// So many metrics are remembered.
const METRICS_MAX: usize = 100_000;
/// What the series of a family are called, behind its name.
const SUFFIXES: [&str; 8] = ["", "_total", "_bucket", "_count", "_sum", "_info", "_gcount", "_gsum"];

/// See above.
#[derive(Debug, Default)]
pub(crate) struct Metrics(RwLock<HashMap<Box<str>, SeriesRef>>);

impl Metrics {
    /// Remembers series by their metric.
    pub(crate) fn remember(&self, met: Vec<(Box<str>, SeriesRef)>) {
        if met.is_empty() {
            return;
        }
        let mut all = self.0.write();
        for (name, series) in met {
            if all.len() < METRICS_MAX || all.contains_key(&name) {
                all.insert(name, series);
            }
        }
    }

    /// Calls `each` with a series of every metric of a family.
    pub(crate) fn each_of_family(&self, family: &str, mut each: impl FnMut(SeriesRef)) {
        let all = self.0.read();
        let mut name = String::with_capacity(family.len() + 8);
        for suffix in SUFFIXES {
            name.clear();
            name.push_str(family);
            name.push_str(suffix);
            all.get(name.as_str()).copied().into_iter().for_each(&mut each);
        }
    }
}
