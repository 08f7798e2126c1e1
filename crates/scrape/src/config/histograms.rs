//! `BucketFactor`: how fine native histograms may be. Knows no histogram.

use serde::{Deserialize, Serialize};
use skopos_model::histogram::EXPONENTIAL_SCHEMAS;

/// How much wider each bucket is than the one before, at least; nothing above one is no bound.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct BucketFactor(f64);

impl PartialEq for BucketFactor {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for BucketFactor {}

impl BucketFactor {
    pub(crate) fn is_unset(&self) -> bool {
        self.0 == 0.0
    }

    /// The finest resolution whose buckets grow by so much; the coarsest one where none does.
    pub(crate) fn finest_schema(self) -> i32 {
        let (coarsest, finest) = (*EXPONENTIAL_SCHEMAS.start(), *EXPONENTIAL_SCHEMAS.end());
        // Not more than one, or no number: no bound.
        if self.0.partial_cmp(&1.0) != Some(std::cmp::Ordering::Greater) {
            return finest;
        }
        // Buckets of schema n grow by 2^(2^-n).
        let schema = (-self.0.log2().log2()).floor();
        schema.clamp(f64::from(coarsest), f64::from(finest)) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finest_schema_grows_by_at_least_the_factor() {
        for (factor, schema) in [
            (0.0, 8),
            (1.0, 8),
            (f64::NAN, 8),
            (1.0001, 8),
            (1.00271, 8),
            (1.1, 2),
            (1.5, 0),
            (2.0, 0),
            (2.1, -1),
            (4.0, -1),
            (17.0, -3),
            (65536.0, -4),
            (1e30, -4),
        ] {
            assert_eq!(BucketFactor(factor).finest_schema(), schema, "{factor}");
        }
    }
}
