//! `http_sd_configs`: targets that a server lists, in the form of files in JSON.

use crate::{
    client::ClientKind,
    config::Task,
    defaults::a_minute,
    error::SourceError,
    group::TargetGroup,
    http::{Http, parse_url, place, send},
    source::{Refresh, Sink, run},
    stats::Family,
    target_file::{named, parse_json},
};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use skopos_client::HttpConfig;
use skopos_model::DurationMs;
use std::time::Duration;

/// See above.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSdConfig {
    /// Where the list is.
    #[serde(default)]
    pub url: String,
    /// How often it is fetched.
    #[serde(default = "a_minute")]
    pub refresh_interval: DurationMs,
}

impl ClientKind for HttpSdConfig {
    const NAME: &'static str = "http";

    fn check(&mut self, _client: &mut HttpConfig) -> Result<(), String> {
        if self.url.is_empty() {
            return Err("http_sd_configs: `url` is missing".to_owned());
        }
        parse_url(&self.url).map_err(|e| format!("http_sd_configs: {e}"))?;
        check_interval("http_sd_configs", self.refresh_interval)
    }

    fn start(&self, client: &HttpConfig, sink: Sink) -> Result<Task, SourceError> {
        let url = parse_url(&self.url).map_err(SourceError::Setup)?;
        let named = self.url.clone();
        let source =
            HttpSource { http: Http::new(client, sink.fs())?, url, named, interval: self.refresh_interval };
        Ok(Box::pin(run(source, sink)))
    }
}

pub(crate) fn check_interval(key: &str, interval: DurationMs) -> Result<(), String> {
    if interval > DurationMs::ZERO {
        return Ok(());
    }
    Err(format!("{key}: refresh_interval must be longer than zero"))
}

struct HttpSource {
    http: Http,
    url: Url,
    /// The address as it is written.
    named: String,
    interval: DurationMs,
}

impl Refresh for HttpSource {
    fn mechanism(&self) -> &'static str {
        "http"
    }

    fn interval(&self) -> Duration {
        self.interval.as_std()
    }

    fn failures() -> Option<Family> {
        Some(Family::HttpFailures)
    }

    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let request = self.http.get(&self.url).await?.header("Accept", "application/json");
        let interval = self.interval.as_secs_f64().to_string();
        let answer = send(request.header("X-Prometheus-Refresh-Interval-Seconds", interval)).await?.ok()?;
        let content_type = answer.header("content-type");
        if !is_json(content_type) {
            let reason = format!("its content type is {content_type:?}: application/json is awaited");
            return Err(SourceError::content(answer.from, &reason));
        }
        Ok(named(parse_json(&answer.body, &answer.from, place)?, &self.named, "__meta_url"))
    }
}

/// Whether a content type is that of JSON, in UTF-8 if it says so.
fn is_json(content_type: &str) -> bool {
    let (kind, charset) = content_type.trim().split_once(';').unwrap_or((content_type.trim(), ""));
    let charset = charset.trim().to_ascii_lowercase();
    kind.eq_ignore_ascii_case("application/json")
        && matches!(charset.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_those_that_prometheus_takes() {
        for good in
            ["application/json", " application/JSON; charset=utf-8", "application/json;charset=\"UTF-8\""]
        {
            assert!(is_json(good), "{good}");
        }
        for bad in ["", "text/html", "application/json; charset=latin1", "application/jsonp"] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
