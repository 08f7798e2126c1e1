//! The time-series database: head, write-ahead log, replay.
