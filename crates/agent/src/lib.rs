//! Collectors that read this machine, as node_exporter does.
