//! The YAML library, which only this file knows: text in, a value or an error with its place out. Errors show
//! nothing of the text, which may hold secrets.

use crate::limits::ANSWER_BYTES_MAX;
use serde::de::DeserializeOwned;

/// The most nodes of a text: some for each target that there may be.
const NODES_MAX: usize = 4_000_000;

/// Reads a text; an empty one is nothing.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<Option<T>, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_total_scalar_bytes: ANSWER_BYTES_MAX,
        },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| e.to_string())
}
