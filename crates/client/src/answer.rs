//! What comes back: a body that is read up to a bound, or an error of the HTTP library with its causes.

use reqwest::{Response, StatusCode};
use std::error::Error;

/// The error with its causes, each said once.
pub fn chain(error: &dyn Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !out.contains(&text) {
            out = format!("{out}: {text}");
        }
        cause = error.source();
    }
    out
}

/// The causes of an error of a request, without the request itself, whose address may hold secrets and is
/// known to whoever asked.
pub fn causes(error: &reqwest::Error) -> String {
    error.source().map_or_else(|| error.to_string(), chain)
}

/// The status and the body of an answer, up to one byte more than the `max` that are allowed.
pub async fn body_within(
    mut response: Response,
    max: usize,
) -> Result<(StatusCode, Vec<u8>), reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = (max + 1).saturating_sub(bytes.len()).min(chunk.len());
        bytes.extend_from_slice(&chunk[..room]);
        if room < chunk.len() {
            break;
        }
    }
    Ok((response.status(), bytes))
}
