//! The binary: picks a role and handles signals; never holds logic of its own.

fn main() {}
