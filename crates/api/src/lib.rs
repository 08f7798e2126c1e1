//! The HTTP API and the embedded web interface.
