//! Fixtures, peers and simulated worlds for the tests of every crate.
