//! Large answers: compressed as the client wants it, sent while they are written, bounded by a named limit.

use crate::support::{BINARY, PATIENCE, ask, encoded, fetch, json, server};
use skopos_testkit::{service::Service, skopos::Skopos, wait_until};
use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

const SERIES: usize = 40;
const RANGE_S: i64 = 7200;

/// A server with some series of two hours, and the time of their last sample in seconds.
fn filled(flag: Option<&str>) -> (Service, i64) {
    let mut server = flag.into_iter().fold(server(), Skopos::flag).start();
    server.terminate();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let end = now - now % 15;
    let mut text = String::from("# TYPE big gauge\n");
    for i in 0..SERIES {
        for t in (end - RANGE_S..=end).step_by(15) {
            writeln!(text, "big{{i=\"{i}\"}} {}.{i} {t}", t % 1000).unwrap();
        }
    }
    text.push_str("# EOF\n");
    let file = server.folder().join("in.om");
    fs::write(&file, text).unwrap();
    let data = server.folder().join("data");
    let paths = [file.to_str().unwrap(), data.to_str().unwrap()];
    let made = Command::new(BINARY)
        .args(["tool", "tsdb", "create-blocks-from", "openmetrics"])
        .args(paths)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    server.restart();
    (server, end)
}

fn path(end: i64) -> String {
    format!("/api/v1/query_range?query=big&start={}&end={end}&step=1", end - RANGE_S)
}

#[test]
fn a_large_answer_is_whole_and_of_pieces_and_compressed_as_wanted() {
    let (server, end) = filled(None);
    let plain = server.get(&path(end));
    assert!(plain.body.len() > 4 << 20, "{}", plain.body.len());
    assert_eq!(plain.header("transfer-encoding"), Some("chunked"));
    let answer = json(&plain);
    let series = answer["data"]["result"].as_array().unwrap();
    assert_eq!(series.len(), SERIES);
    assert!(series.iter().all(|one| one["values"].as_array().unwrap().len() as i64 == RANGE_S + 1));
    for encoding in ["gzip", "deflate", "zstd"] {
        let packed = fetch(&server.url(&path(end)), &[("Accept-Encoding", encoding)]);
        assert_eq!(packed.header("content-encoding"), Some(encoding));
        assert!(packed.body.len() < plain.body.len() / 5, "{encoding}: {}", packed.body.len());
        assert_eq!(unpacked(encoding, &packed.body), plain.body, "{encoding}");
    }
    let small = server.get("/api/v1/query?query=1");
    let length = small.body.len().to_string();
    assert_eq!(small.header("content-length"), Some(length.as_str()), "a small answer says its length");
}

fn unpacked(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap(),
        "deflate" => flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out).unwrap(),
        _ => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut out).unwrap(),
    };
    out
}

#[test]
fn parameters_of_other_servers_are_taken() {
    let server = server().start();
    let params = [("query", "1"), ("dedup", "true"), ("partial_response", "false")];
    assert_eq!(ask(&server, "/api/v1/query", &params).status, 200);
    for wrong in ["dedup", "partial_response"] {
        let response = ask(&server, "/api/v1/query", &[("query", "1"), (wrong, "perhaps")]);
        assert_eq!(response.status, 400, "{}", response.text());
        assert_eq!(ask(&server, "/api/v1/labels", &[(wrong, "perhaps")]).status, 400);
    }
}

#[test]
fn an_answer_beyond_the_limit_is_refused_by_its_name() {
    let (server, end) = filled(Some("--query.max-response-bytes=1000000"));
    let refused = server.get(&path(end));
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("query.max-response-bytes"), "{}", refused.text());
    let few = format!("/api/v1/query_range?query=big&start={}&end={end}&step=60", end - 600);
    assert_eq!(server.get(&few).status, 200);
}

#[test]
fn a_client_that_stops_reading_frees_its_slot_when_it_goes() {
    let (server, end) = filled(Some("--query.max-concurrency=1"));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    // More than the system holds of it on the way.
    let copies: Vec<String> =
        (0..12).map(|i| format!("label_replace(big,\"copy\",\"{i}\",\"\",\"\")")).collect();
    let query = encoded(&copies.join(" or "));
    let (start, host) = (end - RANGE_S, "Host: x");
    let path = format!("/api/v1/query_range?query={query}&start={start}&end={end}&step=1");
    write!(stream, "GET {path} HTTP/1.1\r\n{host}\r\n\r\n").unwrap();
    let mut begin = [0; 64];
    stream.read_exact(&mut begin).unwrap();
    assert!(begin.starts_with(b"HTTP/1.1 200 OK"));
    // Nor does it keep others waiting meanwhile.
    for path in ["/api/v1/query?query=1&timeout=20s", "/api/v1/labels", "/api/v1/format_query?query=up"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let shown = json(&server.get("/api/v1/status/active_queries"));
    assert_eq!(shown["data"].as_array().map(Vec::len), Some(1), "the long answer is still under way");
    drop(stream);
    wait_until("a free slot", PATIENCE, || (server.get("/api/v1/query?query=1").status == 200).then_some(()));
}
