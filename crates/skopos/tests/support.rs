//! Asking a server and reading its answers. Knows Prometheus' API and nothing of who serves it, so that the
//! same question goes to ours and to a peer. Owns no test.

use serde::Deserialize;
use serde_json::Value;
use skopos_testkit::{
    http::{self, Response},
    misbehaving::Server,
    service::Service,
    skopos::Skopos,
    wait_until,
};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path, time::Duration};

/// How long anything may take on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Labels by name; `__name__` among them.
pub(crate) type Metric = BTreeMap<String, String>;
/// Time in milliseconds and the bits of the value.
pub(crate) type Samples = Vec<(i64, u64)>;
/// All samples of some series.
pub(crate) type Matrix = BTreeMap<Metric, Samples>;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_skopos");

/// `skopos server` that is yet to be started.
pub(crate) fn server() -> Skopos {
    Skopos::server(BINARY)
}

/// `skopos server` that scrapes `target` as the job `j`, and is yet to be started.
pub(crate) fn server_scraping(target: &Server, interval: &str) -> Skopos {
    server().config(&format!(
        "global: {{scrape_interval: {interval}}}\nscrape_configs:\n- job_name: j\n  static_configs: \
         [{{targets: ['{}']}}]\n",
        target.address()
    ))
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: Metric,
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// `text` as a part of a URL's query.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
    }
    out
}

/// Fetches `path`, of which the parameters are yet to be encoded.
pub(crate) fn ask(server: &Service, path: &str, params: &[(&str, &str)]) -> Response {
    let params: Vec<String> = params.iter().map(|(k, v)| format!("{}={}", encoded(k), encoded(v))).collect();
    server.get(&format!("{path}?{}", params.join("&")))
}

/// The JSON of an answer.
#[track_caller]
pub(crate) fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|e| panic!("no JSON ({e}): {}", response.text()))
}

/// The result of a query as series of samples; a vector has one sample each.
#[track_caller]
fn result(response: &Response) -> Matrix {
    assert_eq!(response.status, 200, "{}", response.text());
    if response.body.starts_with(br#"{"status":"success","data":{"resultType":"scalar""#) {
        return scalar(&json(response));
    }
    let answer: Answer = serde_json::from_slice(&response.body)
        .unwrap_or_else(|e| panic!("no result of a query ({e}): {}", response.text()));
    let ms = |seconds: f64| (seconds * 1000.0).round() as i64;
    let sample = |(t, v): &(f64, String)| (ms(*t), number(v).to_bits());
    let series = answer.data.result.into_iter();
    series.map(|s| (s.metric, s.values.iter().chain(&s.value).map(sample).collect())).collect()
}

/// A scalar as a series without labels.
fn scalar(answer: &Value) -> Matrix {
    let point = &answer["data"]["result"];
    let ms = (point[0].as_f64().expect("a time") * 1000.0).round() as i64;
    Matrix::from([(Metric::new(), vec![(ms, number(point[1].as_str().expect("a value")).to_bits())])])
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// What `query` gives now.
#[track_caller]
pub(crate) fn instant(server: &Service, query: &str) -> Matrix {
    result(&ask(server, "/api/v1/query", &[("query", query)]))
}

/// What `query` gives at a time in milliseconds, or the status of the error.
#[track_caller]
pub(crate) fn instant_at(server: &Service, query: &str, at_ms: i64) -> Result<Matrix, u16> {
    let response = ask(server, "/api/v1/query", &[("query", query), ("time", &seconds(at_ms))]);
    if response.status == 200 { Ok(result(&response)) } else { Err(response.status) }
}

/// The span of a range query: first and last time, and the distance between two, in milliseconds.
pub(crate) type StepsMs = (i64, i64, i64);

/// What `query` gives over a range, or the status of the error.
#[track_caller]
pub(crate) fn range(
    server: &Service,
    query: &str,
    (start_ms, end_ms, step_ms): StepsMs,
) -> Result<Matrix, u16> {
    let (start, end, step) = (seconds(start_ms), seconds(end_ms), seconds(step_ms));
    let params = [("query", query), ("start", &start), ("end", &end), ("step", &step)];
    let response = ask(server, "/api/v1/query_range", &params);
    if response.status == 200 { Ok(result(&response)) } else { Err(response.status) }
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// The value of a query that gives one series now; none while it gives none.
#[track_caller]
pub(crate) fn value(server: &Service, query: &str) -> Option<f64> {
    let matrix = instant(server, query);
    assert!(matrix.len() < 2, "{query} gives several series: {matrix:?}");
    matrix.values().next().map(|samples| f64::from_bits(samples[0].1))
}

/// Waits until a query gives one series with this value.
#[track_caller]
pub(crate) fn wait_for_value(server: &Service, query: &str, expected: f64) {
    let mut last = None;
    let found = skopos_testkit::wait::poll(PATIENCE, || {
        last = value(server, query);
        (last == Some(expected)).then_some(())
    });
    assert!(found.is_some(), "{query} should become {expected} and is {last:?}");
}

/// What the API says of the targets of a job.
pub(crate) struct TargetState {
    pub(crate) health: String,
    pub(crate) last_error: String,
}

/// The targets of all jobs, by job.
#[track_caller]
pub(crate) fn targets(server: &Service) -> BTreeMap<String, TargetState> {
    let answer = json(&server.get("/api/v1/targets"));
    let active = answer["data"]["activeTargets"].as_array().expect("targets are listed");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let state = |target: &Value| TargetState {
        health: text(&target["health"]),
        last_error: text(&target["lastError"]),
    };
    active.iter().map(|target| (text(&target["scrapePool"]), state(target))).collect()
}

/// Waits until the target of a job is in this health and its error contains this text.
#[track_caller]
pub(crate) fn wait_for_target(server: &Service, job: &str, health: &str, error: &str) {
    let mut last = String::new();
    let found = skopos_testkit::wait::poll(PATIENCE, || {
        let all = targets(server);
        let state = all.get(job).unwrap_or_else(|| panic!("there is no job {job}"));
        last = format!("{}: {:?}", state.health, state.last_error);
        let fits = state.health == health
            && if error.is_empty() { state.last_error.is_empty() } else { state.last_error.contains(error) };
        fits.then_some(())
    });
    assert!(found.is_some(), "{job} should become {health} with the error {error:?} and is {last}");
}

/// Waits until the log has a line with all of these texts, and gives it.
#[track_caller]
pub(crate) fn wait_for_log(server: &Service, texts: &[&str]) -> String {
    wait_until(&format!("a line of the log with {texts:?}"), PATIENCE, || log_line(&server.log(), texts))
}

/// The last line of a log with all of these texts.
pub(crate) fn log_line(log: &str, texts: &[&str]) -> Option<String> {
    log.lines().rev().find(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned)
}

/// Fetches any URL.
#[track_caller]
pub(crate) fn fetch(url: &str, headers: &[(&str, &str)]) -> Response {
    http::request("GET", url, headers, &[]).unwrap_or_else(|e| panic!("{url} does not answer: {e}"))
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            assert!(fs::copy(entry.path(), to).is_ok());
        }
    }
}

/// Exchanges a server's configuration while it runs.
#[track_caller]
pub(crate) fn reload(server: &Service, config: &str) {
    fs::write(server.folder().join("prometheus.yml"), config).unwrap();
    let response = http::request("POST", &server.url("/-/reload"), &[], &[]).unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
}

/// The most memory that a process ever held.
pub(crate) fn peak_resident_bytes(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// The value of a metric without labels on the server's own page.
#[track_caller]
pub(crate) fn own_metric(server: &Service, name: &str) -> f64 {
    let page = server.get("/metrics").text();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} is not on the page")).parse().unwrap()
}

/// All scrapes of the job's one target succeeded, and none was left out.
#[track_caller]
pub(crate) fn assert_no_scrape_is_missing(server: &Service, job: &str, interval_ms: i64) {
    let all = instant(server, &format!("up{{job=\"{job}\"}}[10m]"));
    assert_each_slot_has_one(job, all.values().next().unwrap(), interval_ms);
}

/// The same of the samples of `up`.
#[track_caller]
pub(crate) fn assert_each_slot_has_one(job: &str, samples: &Samples, interval_ms: i64) {
    assert!(samples.iter().all(|(_, bits)| *bits == 1.0_f64.to_bits()), "{job} was down: {samples:?}");
    // Without a scrape left out, sample `i` is that of slot `i`, and as late as it is behind it.
    let behind: Vec<_> = (0..).zip(samples).map(|(i, (t, _))| t - i * interval_ms).collect();
    let (first, last) = (behind.iter().min().unwrap(), behind.iter().max().unwrap());
    assert!(last - first < interval_ms, "{job} lacks a scrape: {samples:?}");
}
