//! Labels, matchers, samples, histograms, exemplars, metadata and durations.
