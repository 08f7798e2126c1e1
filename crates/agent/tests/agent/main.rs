//! The agent as a whole: on machines made of files, on broken ones, and beside the reference on this one.

#![allow(clippy::unwrap_used)]

mod answers;
mod broken_files;
mod cadvisor;
mod common;
mod containers;
mod fixtures;
mod hostile;
mod machines;
mod one_place;
mod pages;
mod process_exporter;
mod process_groups;
mod reference;
mod renamed;
mod selection;
mod textfile;
