//! Encoding of samples into chunks, bit-compatible with Prometheus.
