//! What holds for several kinds where a file says nothing.

use skopos_model::DurationMs;

/// How often most servers are asked.
pub(crate) fn a_minute() -> DurationMs {
    DurationMs::from_secs(60)
}

/// How often those are asked that change often.
pub(crate) fn half_a_minute() -> DurationMs {
    DurationMs::from_secs(30)
}

/// Where targets are scraped.
pub(crate) fn eighty() -> u16 {
    80
}
