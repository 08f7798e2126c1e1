//! `/api/v1/series`, `/api/v1/labels`, `/api/v1/label/<name>/values`.

use crate::{
    blocking::{self, Sink},
    json,
    params::Params,
    parts::{Parts, Ready},
    reply::{self, ApiError, ErrorType},
    writing::Writing,
};
use axum::{
    extract::{Path, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use skopos_model::{Labels, Matcher, TimestampMs};
use skopos_storage::{LabelRequest, Querier, QueryBudget, TimeRange};
use std::sync::Arc;

/// What is found, and held until it is written.
trait Found: Ord {
    /// Its bytes, besides those that storage charges for each.
    fn bytes(&self) -> usize;
}

impl Found for Labels {
    fn bytes(&self) -> usize {
        self.byte_len()
    }
}

impl Found for String {
    fn bytes(&self) -> usize {
        self.len()
    }
}

/// What all three ask: of which time, of which series, how many.
struct Request {
    range: TimeRange,
    selectors: Vec<Vec<Matcher>>,
    limit: usize,
}

impl Request {
    fn read(params: &Params, budget: &QueryBudget) -> Result<Self, ApiError> {
        let min = params.time("start")?.unwrap_or(TimestampMs::MIN);
        let max = params.time("end")?.unwrap_or(TimestampMs::MAX);
        Ok(Self {
            range: TimeRange { min, max },
            selectors: params.selectors(budget)?,
            limit: params.count("limit")?,
        })
    }

    /// Asks for each selector, puts the answers together in order, each thing once, and cuts them
    /// at the limit.
    fn gather<T: Found>(
        &self,
        parts: &Parts,
        budget: &Arc<QueryBudget>,
        ask: impl Fn(&dyn Querier, &LabelRequest<'_>) -> Result<Vec<T>, skopos_storage::QueryError>,
    ) -> Result<(Vec<T>, Vec<String>), ApiError> {
        // As in Prometheus, an end before the start is no mistake: nothing lies between.
        if self.range.max < self.range.min {
            return Ok((Vec::new(), Vec::new()));
        }
        let querier = parts.storage.querier(self.range)?;
        let everything: [Vec<Matcher>; 1] = [Vec::new()];
        let selectors = if self.selectors.is_empty() { &everything[..] } else { &self.selectors };
        let mut found = Vec::new();
        // One more than asked for tells whether something was left out.
        let limit = if self.limit == 0 { 0 } else { self.limit.saturating_add(1) };
        for matchers in selectors {
            let request = LabelRequest { matchers, limit, budget: Arc::clone(budget) };
            let more = ask(querier.as_ref(), &request)?;
            budget.charge_memory(more.iter().map(|found| found.bytes() as u64).sum())?;
            found.extend(more);
        }
        found.sort_unstable();
        found.dedup();
        let mut warnings = budget.warnings();
        if self.limit > 0 && found.len() > self.limit {
            found.truncate(self.limit);
            warnings.push("results truncated due to limit".to_owned());
        }
        Ok((found, warnings))
    }
}

/// Answers with what is found.
fn write<T>(
    (parts, budget, sink): (&Parts, &QueryBudget, &mut Sink),
    (found, warnings): (Vec<T>, Vec<String>),
    item: impl Fn(&mut Vec<u8>, &T),
) -> Result<(), ApiError> {
    let mut writing = Writing::begin(parts, budget, sink, reply::BEGIN);
    writing.list(&found, item)?;
    reply::end(&mut writing.out, &warnings, &[]);
    writing.end()
}

/// Labels of the series that fulfil any of the selectors.
pub(crate) async fn series(Ready(parts): Ready, params: Params) -> Result<Response, ApiError> {
    let body = blocking::answer(parts, params, |parts, params, budget, sink| {
        let request = Request::read(params, budget)?;
        if request.selectors.is_empty() {
            return Err(ApiError::new(ErrorType::BadData, "no match[] parameter provided"));
        }
        let found = request.gather(parts, budget, |q, r| q.series(r))?;
        write((parts, budget, sink), found, json::labels)
    });
    Ok(reply::json(StatusCode::OK, body.await?))
}

/// Names of the labels of the series that fulfil any of the selectors.
pub(crate) async fn names(Ready(parts): Ready, params: Params) -> Result<Response, ApiError> {
    let body = blocking::answer(parts, params, |parts, params, budget, sink| {
        let request = Request::read(params, budget)?;
        let found = request.gather(parts, budget, |q, r| q.label_names(r))?;
        write((parts, budget, sink), found, |out, name: &String| json::string(out, name))
    });
    Ok(reply::json(StatusCode::OK, body.await?))
}

/// Values of one label of the series that fulfil any of the selectors.
pub(crate) async fn values(
    Ready(parts): Ready,
    name: Result<Path<String>, PathRejection>,
    params: Params,
) -> Result<Response, ApiError> {
    let invalid = |why: &str| ApiError::new(ErrorType::BadData, format!("invalid label name: {why}"));
    let Path(name) = name.map_err(|_| invalid("it is not UTF-8"))?;
    if name.is_empty() {
        return Err(ApiError::new(ErrorType::NotFound, "there is no endpoint /api/v1/label//values"));
    }
    let name = unescape_label_name(&name);
    if name.is_empty() {
        return Err(invalid("it is empty"));
    }
    let body = blocking::answer(parts, params, move |parts, params, budget, sink| {
        let request = Request::read(params, budget)?;
        let found = request.gather(parts, budget, |q, r| q.label_values(&name, r))?;
        write((parts, budget, sink), found, |out, value: &String| json::string(out, value))
    });
    Ok(reply::json(StatusCode::OK, body.await?))
}

/// Names that are no classic label names come as `U__` and hexadecimal digits between underscores
/// (`http.status` as `U__http_2e_status`); a doubled underscore stands for itself.
fn unescape_label_name(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else { return name.to_owned() };
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('_') {
            out.push('_');
            rest = behind;
            continue;
        }
        let code = rest.find('_').and_then(|end| {
            let c = u32::from_str_radix(&rest[..end], 16).ok().and_then(char::from_u32)?;
            Some((c, end))
        });
        let Some((c, end)) = code else { return name.to_owned() };
        out.push(c);
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_read() {
        for (given, name) in [
            ("job", "job"),
            ("U__http_2e_status", "http.status"),
            ("U__a__b", "a_b"),
            ("U___1F600_", "😀"),
            ("U__broken_zz_", "U__broken_zz_"),
            ("U__open_2e", "U__open_2e"),
        ] {
            assert_eq!(unescape_label_name(given), name);
        }
    }
}
