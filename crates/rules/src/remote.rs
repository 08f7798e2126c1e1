//! `RemoteSource`: a server that speaks the HTTP API of Prometheus, asked one query at a time. Answers are
//! bounded in bytes and time. Owns no storage.

use crate::source::{Answer, AnswerSeries, AnswerValue, RangeSource, SourceError};
use form_urlencoded::Serializer;
use reqwest::{Method, StatusCode, Url, header::CONTENT_TYPE};
use serde::Deserialize;
use skopos_base::fs::SharedFs;
use skopos_client::{
    ClientError, ClientOptions, HttpClient, HttpConfig,
    answer::{body_within, chain},
};
use skopos_model::{Labels, TimestampMs};
use skopos_promql::{Steps, ast::Expr};
use std::collections::BTreeMap;
use tokio::runtime::{Builder, Runtime};

/// The most bytes of an answer.
const ANSWER_MAX_BYTES: usize = 256 << 20;
/// So much of an answer that is not understood is shown.
const SHOWN_CHARS: usize = 200;

/// A server.
#[derive(Debug)]
pub struct RemoteSource {
    runtime: Runtime,
    client: HttpClient,
    url: Url,
}

impl RemoteSource {
    /// The server at `url`, where its own paths may stand behind a prefix.
    ///
    /// # Errors
    /// When the address is none, or what `http` says is not to be had.
    pub fn new(url: &str, http: &HttpConfig, fs: &SharedFs) -> Result<Self, SourceError> {
        let invalid = |reason: String| SourceError::Invalid(reason);
        let mut parsed = Url::parse(url).map_err(|e| invalid(format!("{url:?} is no address: {e}")))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(invalid(format!("{url:?} is no address of HTTP: write http://host:port")));
        }
        let prefix = parsed.path().trim_end_matches('/').to_owned();
        parsed.set_path(&format!("{prefix}/api/v1/query_range"));
        let client = HttpClient::new(http, &ClientOptions::default(), fs);
        let client = client.map_err(|e| invalid(e.to_string()))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| invalid(format!("HTTP client: {e}")))?;
        Ok(Self { runtime, client, url: parsed })
    }

    async fn ask(&self, form: &str) -> Result<(StatusCode, Vec<u8>), SourceError> {
        let connection = |reason: String| SourceError::Connection { url: self.shown(), reason };
        let made = |e: ClientError| connection(e.to_string());
        let sent = |e: reqwest::Error| connection(chain(&e.without_url()));
        let post = self.client.request(Method::POST, &self.url).await.map_err(made)?;
        let post = post.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.to_owned());
        let response = post.send().await.map_err(sent)?;
        // Some servers and what stands before them know this path with GET alone.
        let refused = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
        if !refused.contains(&response.status()) {
            return body_within(response, ANSWER_MAX_BYTES).await.map_err(sent);
        }
        let mut url = self.url.clone();
        url.set_query(Some(form));
        let get = self.client.request(Method::GET, &url).await.map_err(made)?;
        body_within(get.send().await.map_err(sent)?, ANSWER_MAX_BYTES).await.map_err(sent)
    }

    /// The address without what may be secret in it.
    fn shown(&self) -> String {
        let mut url = self.url.clone();
        if url.password().is_some() && url.set_password(None).is_err() {
            return "the server".to_owned();
        }
        url.to_string()
    }
}

impl RangeSource for RemoteSource {
    fn range(&mut self, expr: &Expr, steps: Steps) -> Result<Answer, SourceError> {
        let seconds = |at: TimestampMs| at.as_secs_f64().to_string();
        let form = Serializer::new(String::new())
            .append_pair("query", &expr.to_string())
            .append_pair("start", &seconds(steps.start))
            .append_pair("end", &seconds(steps.end))
            .append_pair("step", &steps.step.as_secs_f64().to_string())
            .finish();
        let (status, bytes) = self.runtime.block_on(self.ask(&form))?;
        if bytes.len() > ANSWER_MAX_BYTES {
            let reason = format!("it is longer than {ANSWER_MAX_BYTES} bytes");
            return Err(SourceError::Answer { url: self.shown(), reason });
        }
        read(&self.shown(), status, &bytes)
    }
}

#[derive(Deserialize)]
struct Reply {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    histograms: Vec<serde::de::IgnoredAny>,
}

/// What an answer says.
fn read(url: &str, status: StatusCode, bytes: &[u8]) -> Result<Answer, SourceError> {
    let failed = |reason: String| SourceError::Answer { url: url.to_owned(), reason };
    let refused = |reason: String| SourceError::Refused {
        url: url.to_owned(),
        status: status.as_u16(),
        reason: if reason.is_empty() { "it does not say why".to_owned() } else { reason },
    };
    let reply: Reply = match serde_json::from_slice(bytes) {
        Ok(reply) => reply,
        Err(_) if !status.is_success() => {
            let text = String::from_utf8_lossy(bytes);
            return Err(refused(text.trim().chars().take(SHOWN_CHARS).collect()));
        }
        Err(e) => return Err(failed(e.to_string())),
    };
    if reply.status != "success" || !status.is_success() {
        return Err(refused(reply.error));
    }
    let data = reply.data.ok_or_else(|| failed("it has no data".to_owned()))?;
    if data.kind != "matrix" {
        return Err(failed(format!("it is a {}, not a matrix", data.kind)));
    }
    let mut series = Vec::with_capacity(data.result.len());
    for one in data.result {
        let labels = Labels::from_pairs(&one.metric);
        if !one.histograms.is_empty() {
            return Err(SourceError::Histogram { labels });
        }
        let samples = one.values.iter().map(|(at, value)| {
            let value = value.parse().map_err(|_| failed(format!("{value:?} is no number")))?;
            Ok((TimestampMs::new((at * 1000.0).round() as i64), AnswerValue::Float(value)))
        });
        let samples = samples.collect::<Result<_, SourceError>>()?;
        series.push(AnswerSeries { labels, samples });
    }
    Ok(Answer { series, warnings: reply.warnings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skopos_base::sim::SimWorld;

    fn said(status: u16, body: &str) -> Result<Answer, SourceError> {
        read("http://x", StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn a_matrix_is_read_with_every_value_that_json_writes_as_text() {
        let body = r#"{"status":"success","warnings":["w"],"data":{"resultType":"matrix","result":[{
            "metric":{"a":"b"},
            "values":[[1700000000.437,"1.5"],[1,"NaN"],[2,"+Inf"],[3,"-Inf"],[4,"1e-07"]]
        }]}}"#;
        let answer = said(200, body).unwrap();
        assert_eq!(answer.warnings, ["w"]);
        let [series] = &answer.series[..] else { panic!("{answer:?}") };
        assert_eq!(series.labels, Labels::from_pairs([("a", "b")]));
        let times: Vec<i64> = series.samples.iter().map(|(at, _)| at.as_ms()).collect();
        assert_eq!(times, [1_700_000_000_437, 1000, 2000, 3000, 4000]);
        let float = |value: &AnswerValue| match value {
            AnswerValue::Float(value) => *value,
            AnswerValue::Histogram(h) => panic!("{h:?}"),
        };
        let values: Vec<f64> = series.samples.iter().map(|(_, v)| float(v)).collect();
        assert!(values[1].is_nan());
        assert_eq!(
            [values[0], values[2], values[3], values[4]],
            [1.5, f64::INFINITY, f64::NEG_INFINITY, 1e-7]
        );
    }

    #[test]
    fn what_is_no_matrix_of_floats_is_refused_and_says_why() {
        let ok = |data: &str| format!(r#"{{"status":"success","data":{data}}}"#);
        let matrix = |series: &str| ok(&format!(r#"{{"resultType":"matrix","result":[{series}]}}"#));
        for (status, body, words) in [
            (200, "<html>".to_owned(), "is not understood"),
            (200, ok("null"), "it has no data"),
            (200, ok(r#"{"resultType":"vector","result":[]}"#), "it is a vector"),
            (200, matrix(r#"{"values":[[1,"x"]]}"#), "\"x\" is no number"),
            (
                200,
                matrix(r#"{"metric":{"a":"b"},"histograms":[[1,{"count":"1"}]]}"#),
                r#"{a="b"} is a native histogram"#,
            ),
            (422, r#"{"status":"error","error":"too many"}"#.to_owned(), "status 422: too many"),
            (502, "bad gateway\n".to_owned(), "status 502: bad gateway"),
            (401, String::new(), "status 401: it does not say why"),
        ] {
            let error = said(status, &body).unwrap_err().to_string();
            assert!(error.contains(words), "{body}: {error}");
        }
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let fs = SimWorld::new(1).env().fs;
        let new = |url: &str| RemoteSource::new(url, &HttpConfig::default(), &fs);
        let source = new("http://me:hush@localhost:1/prefix/").unwrap();
        assert_eq!(source.shown(), "http://me@localhost:1/prefix/api/v1/query_range");
        for url in ["", "localhost:9090", "ftp://x"] {
            assert!(matches!(new(url), Err(SourceError::Invalid(_))), "{url}");
        }
    }
}
