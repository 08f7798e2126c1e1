//! Targets and scrape loops: from an HTTP body to a committed batch.
