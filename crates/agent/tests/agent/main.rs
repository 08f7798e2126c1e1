//! The agent as a whole: on machines made of files, on broken ones, and beside the reference on this one.

mod broken_files;
mod common;
mod fixtures;
