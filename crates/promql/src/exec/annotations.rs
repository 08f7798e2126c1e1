//! The remarks that come up while a query is carried out: each once, and not without bound.

use crate::ast::Span;
use crate::value::{Annotation, Severity};

/// More remarks than this are of no use to anybody.
const MAX: usize = 100;

/// Remarks gathered so far.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    seen: Vec<Annotation>,
}

impl Annotations {
    fn add(&mut self, severity: Severity, message: String, span: Span) {
        let annotation = Annotation { severity, message, span };
        if self.seen.len() < MAX && !self.seen.contains(&annotation) {
            self.seen.push(annotation);
        }
    }

    /// A quantile that is no share of a whole.
    pub(crate) fn quantile_out_of_range(&mut self, phi: f64, span: Span) {
        let phi = skopos_model::float::to_shortest_string(phi);
        let message = format!("quantile value should be between 0 and 1, got {phi}");
        self.add(Severity::Warning, message, span);
    }

    /// A ratio that is no share of a whole, and what stands in for it.
    pub(crate) fn ratio_out_of_range(&mut self, (ratio, capped): (f64, f64), span: Span) {
        let text = skopos_model::float::to_shortest_string;
        let (ratio, capped) = (text(ratio), text(capped));
        let message = format!("ratio value should be between -1 and 1, got {ratio}, capping to {capped}");
        self.add(Severity::Warning, message, span);
    }

    /// A rate of something that is not named like a counter.
    pub(crate) fn possible_non_counter(&mut self, metric: &str, span: Span) {
        let message = format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {metric:?}"
        );
        self.add(Severity::Info, message, span);
    }

    /// Sorting a result that is always in the order of labels.
    pub(crate) fn sort_without_effect(&mut self, span: Span) {
        let message =
            "sort is ineffective for range queries since results are always ordered by labels".to_owned();
        self.add(Severity::Warning, message, span);
    }

    /// All remarks in the order of their position.
    pub(crate) fn finish(self) -> Vec<Annotation> {
        let mut all = self.seen;
        let key = |a: &Annotation| (a.span.start, a.span.end, a.severity);
        all.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message)));
        all
    }
}
