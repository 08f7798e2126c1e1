//! Text and OpenMetrics exposition formats: parse and write.
