//! Remote write and remote read as a client: how tests put all kinds of samples into a real server, and ask
//! everything back, exact to the bit. Panics when the server refuses; retries nothing.

mod messages;
mod protobuf;

use crate::http;
use crate::series::Content;
use crate::service::Service;

/// Which version of remote write is spoken. Only 2.0 carries metadata along with its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// Sends `content` as one request; the server must run with its receiver switched on.
///
/// # Panics
/// If the server does not take all of it.
#[track_caller]
pub fn write(server: &Service, protocol: Protocol, content: &Content) {
    let (message, kind, version) = match protocol {
        Protocol::V1 => (messages::write_v1(content), "application/x-protobuf", "0.1.0"),
        Protocol::V2 => {
            let kind = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
            (messages::write_v2(content), kind, "2.0.0")
        }
    };
    let version = ("X-Prometheus-Remote-Write-Version", version);
    post(server, "/api/v1/write", kind, version, &message);
}

/// All that the server has from `min_ms` to `max_ms`, both within: samples of every kind, staleness markers
/// among them. Exemplars and metadata are not in its answer.
///
/// # Panics
/// If the server refuses, or its answer is not understood.
#[must_use]
#[track_caller]
pub fn read(server: &Service, min_ms: i64, max_ms: i64) -> Content {
    let version = ("X-Prometheus-Remote-Read-Version", "0.1.0");
    let message = messages::read_request(min_ms, max_ms);
    let body = post(server, "/api/v1/read", "application/x-protobuf", version, &message);
    let body = snap::raw::Decoder::new().decompress_vec(&body).expect("the answer is compressed by snappy");
    messages::read_response(&body).expect("the answer is a ReadResponse")
}

#[track_caller]
fn post(server: &Service, path: &str, kind: &str, version: (&str, &str), message: &[u8]) -> Vec<u8> {
    let body = snap::raw::Encoder::new().compress_vec(message).expect("invariant: less than 4 GiB");
    let headers = [("Content-Type", kind), ("Content-Encoding", "snappy"), version];
    let answer = http::request("POST", &server.url(path), &headers, &body);
    let answer = answer.unwrap_or_else(|error| panic!("no answer from {path}: {error}"));
    assert!((200..300).contains(&answer.status), "{path} answers {}: {}", answer.status, answer.text());
    answer.body
}
