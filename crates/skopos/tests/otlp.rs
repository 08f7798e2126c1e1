//! Metrics of OpenTelemetry over HTTP and gRPC: what each kind becomes under each setting, the SDK of PyPI,
//! and what is refused.

use crate::{
    secured::certificate,
    support::{instant, server, value, wait_for_value},
};
use skopos_testkit::{
    free_port,
    http::{self, Response},
    process::Process,
    service::Service,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

const FLAG: &str = "--web.enable-otlp-receiver";

fn post(server: &Service, headers: &[(&str, &str)], body: &[u8]) -> Response {
    http::request("POST", &server.url("/api/v1/otlp/v1/metrics"), headers, body).unwrap()
}

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// Every kind of metric, in JSON.
fn request(now: u128) -> String {
    let attributes = r#"[{"key":"http.method","value":{"stringValue":"GET"}},
        {"key":"n","value":{"intValue":"3"}},
        {"key":"on","value":{"boolValue":true}},{"key":"f","value":{"doubleValue":0.5}},
        {"key":"l","value":{"arrayValue":{"values":[{"stringValue":"a"},{"intValue":"1"}]}}}]"#;
    let point = format!(r#""attributes":{attributes},"timeUnixNano":"{now}""#);
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[
            {{"key":"service.name","value":{{"stringValue":"shop"}}}},
            {{"key":"service.namespace","value":{{"stringValue":"eu"}}}},
            {{"key":"service.instance.id","value":{{"stringValue":"i1"}}}},
            {{"key":"host.name","value":{{"stringValue":"h1"}}}},
            {{"key":"k8s.pod","value":{{"stringValue":"p"}}}}]}},
          "scopeMetrics":[{{"schemaUrl":"http://s","scope":{{"name":"lib","version":"1.2","attributes":[
            {{"key":"lib.kind","value":{{"stringValue":"k"}}}}]}},"metrics":[
            {{"name":"http.requests","unit":"{{request}}","description":"How many.",
              "sum":{{"aggregationTemporality":2,"isMonotonic":true,
                "dataPoints":[{{{point},"asInt":"17"}}]}}}},
            {{"name":"queue.length","unit":"1","gauge":{{"dataPoints":[{{{point},"asDouble":2.5}}]}}}},
            {{"name":"up.down","sum":{{"aggregationTemporality":2,"dataPoints":[{{{point},"asInt":"-4"}}]}}}},
            {{"name":"took","unit":"ms","histogram":{{"aggregationTemporality":2,"dataPoints":[
              {{{point},"count":"6","sum":9.5,"bucketCounts":["1","2","3"],"explicitBounds":[0.5,10]}}]}}}},
            {{"name":"exp","unit":"By/s","exponentialHistogram":{{"aggregationTemporality":2,"dataPoints":[
              {{{point},"count":"11","sum":9.5,"scale":9,"zeroCount":"1","positive":{{"offset":-2,
                "bucketCounts":["1","2","3","4"]}}}}]}}}},
            {{"name":"quantiles","summary":{{"dataPoints":[{{{point},"count":"2","sum":3.5,
              "quantileValues":[{{"quantile":0.5,"value":1.5}},{{"quantile":1,"value":2}}]}}]}}}},
            {{"name":"delta.sum","sum":{{"aggregationTemporality":1,"isMonotonic":true,
              "dataPoints":[{{{point},"asInt":"1"}}]}}}}
          ]}}]}}]}}"#
    )
}

/// All series but for the labels of points, with their values.
fn all(server: &Service) -> BTreeSet<String> {
    let floats = instant(server, "{__name__=~\".+\"}").into_iter().filter(|(_, s)| !s.is_empty()).map(
        |(mut metric, samples)| {
            let name = metric.remove("__name__").unwrap();
            metric.retain(|name, _| {
                ["le", "quantile", "host_name", "host.name", "k8s_pod"].contains(&name.as_str())
            });
            let more: String = metric.iter().map(|(n, v)| format!(" {n}={v}")).collect();
            format!("{name}{more} {}", f64::from_bits(samples[0].1))
        },
    );
    floats.collect()
}

/// Debian's Prometheus 3 is built without its OTLP receiver: what is expected is what Prometheus documents.
#[test]
fn requests_become_the_series_that_prometheus_documents() {
    let json = [("Content-Type", "application/json")];
    let started = |otlp: &str| {
        let server = server().config(&format!("otlp: {otlp}\n")).flag(FLAG).start();
        let answer = post(&server, &json, request(now_ns()).as_bytes());
        assert_eq!(answer.status, 200, "{otlp}: {}", answer.text());
        assert!(
            answer.text().contains("delta.sum") && answer.text().contains("temporality"),
            "{}",
            answer.text()
        );
        server
    };
    let plain = started("{}");
    let expected = [
        "http_requests_total 17",
        "queue_length_ratio 2.5",
        "up_down -4",
        "took_milliseconds_sum 9.5",
        "took_milliseconds_count 6",
        "took_milliseconds_bucket le=0.5 1",
        "took_milliseconds_bucket le=10 3",
        "took_milliseconds_bucket le=+Inf 6",
        "quantiles quantile=0.5 1.5",
        "quantiles quantile=1 2",
        "quantiles_sum 3.5",
        "quantiles_count 2",
        "target_info host_name=h1 k8s_pod=p 1",
    ];
    assert_eq!(all(&plain), expected.map(str::to_owned).into_iter().collect());
    let point = "queue_length_ratio{http_method=\"GET\",n=\"3\",on=\"true\",f=\"0.5\",l=\"[\\\"a\\\",1]\"}";
    assert_eq!(value(&plain, &format!("{point} and {{job=\"eu/shop\",instance=\"i1\"}}")), Some(2.5));
    assert_eq!(value(&plain, "histogram_count(exp_bytes_per_second)"), Some(11.0));
    for (otlp, query, expected) in [
        ("{promote_resource_attributes: [host.name]}", "up_down{host_name=\"h1\",k8s_pod=\"\"}", -4.0),
        ("{keep_identifying_resource_attributes: true}", "target_info{service_name=\"shop\"}", 1.0),
        (
            "{translation_strategy: UnderscoreEscapingWithoutSuffixes}",
            "http_requests{http_method=\"GET\"}",
            17.0,
        ),
        (
            "{translation_strategy: NoUTF8EscapingWithSuffixes}",
            "{'http.requests_total','http.method'=\"GET\"}",
            17.0,
        ),
        ("{translation_strategy: NoTranslation}", "{'queue.length'}", 2.5),
        (
            "{promote_scope_metadata: true}",
            "up_down{otel_scope_name=\"lib\",otel_scope_version=\"1.2\",otel_scope_schema_url=\"http://s\",\
             otel_scope_lib_kind=\"k\"}",
            -4.0,
        ),
        ("{}", "up_down{otel_scope_name=\"\"}", -4.0),
        ("{convert_histograms_to_nhcb: true}", "histogram_count(took_milliseconds)", 6.0),
        (
            "{promote_all_resource_attributes: true, ignore_resource_attributes: [k8s.pod]}",
            "up_down{host_name=\"h1\",k8s_pod=\"\",service_name=\"shop\"}",
            -4.0,
        ),
    ] {
        assert_eq!(value(&started(otlp), query), Some(expected), "{otlp}");
    }
}

#[test]
fn the_sdk_of_python_sends() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let server = server().config("global: {}\n").flag(FLAG).start();
    let output = Command::new(root.join(".peers/venv/bin/python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/otlp_client.py"))
        .arg(server.url("/api/v1/otlp/v1/metrics"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_for_value(&server, "orders_total{job=\"shop\",kind=\"book\"}", 5.0);
    wait_for_value(&server, "took_seconds_bucket{le=\"5.0\"} or took_seconds_bucket{le=\"5\"}", 1.0);
    wait_for_value(&server, "histogram_count(sizes_bytes)", 3.0);
    let metadata = server.get("/api/v1/metadata?metric=orders_total").text();
    assert!(metadata.contains("What was ordered."), "{metadata}");
}

#[test]
fn what_cannot_be_is_refused() {
    let off = server().config("global: {}\n").start();
    assert_eq!(post(&off, &[("Content-Type", "application/json")], b"{}").status, 404);
    let server = server().config("global: {}\n").flag(FLAG).flag("--push.max-decoded-bytes=1MiB").start();
    for (content_type, body, status) in [
        ("application/json", &b"{}"[..], 200),
        ("application/json; charset=utf-8", b"{}", 200),
        ("application/x-protobuf", b"", 200),
        ("application/json", b"[]", 400),
        ("application/json", b"{", 400),
        ("application/x-protobuf", b"\x0a\x7f", 400),
        ("text/plain", b"{}", 415),
        ("", b"{}", 415),
    ] {
        let answer = post(&server, &[("Content-Type", content_type)], body);
        assert_eq!(answer.status, status, "{content_type} {body:?}: {}", answer.text());
    }
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 64 << 20]).unwrap();
    let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", "gzip")];
    assert_eq!(post(&server, &headers, &bomb.finish().unwrap()).status, 413);
}

/// What the client in Python prints: the outcome of each odd call by its name.
fn over_grpc(arguments: &[&str]) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let output = Command::new(root.join(".peers/venv/bin/python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/otlp_grpc_client.py"))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("Failed to export"), "{said}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| line.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.to_owned()));
    printed.lines().filter_map(line).collect()
}

#[test]
fn the_sdk_of_python_sends_over_grpc_and_calls_fail_by_their_statuses() {
    let address = format!("127.0.0.1:{}", free_port());
    let server = server()
        .config("global: {}\n")
        .flag(&format!("--otlp.grpc-listen-address={address}"))
        .flag("--push.max-decoded-bytes=1MiB")
        .start();
    let outcomes = over_grpc(&[&address]);
    wait_for_value(&server, "orders_total{job=\"shop\",instance=\"i1\",kind=\"book\"}", 5.0);
    wait_for_value(&server, "took_seconds_count", 1.0);
    let starts = |name: &str, with: &str| {
        let outcome = &outcomes[name];
        assert!(outcome.starts_with(with), "{name}: {outcome}");
    };
    starts("nothing", "OK");
    starts("broken", "INVALID_ARGUMENT ");
    starts("bomb", "RESOURCE_EXHAUSTED ");
    starts("elsewhere", "UNIMPLEMENTED ");
    starts("stranger", "OK");
    let over_http = post(&server, &[("Content-Type", "application/x-protobuf")], b"");
    assert_eq!(over_http.status, 404, "that has a flag of its own");
}

#[test]
fn over_grpc_too_only_those_come_in_who_may_write() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    certificate(folder.path(), &authority);
    fs::write(folder.path().join("writing"), "writing").unwrap();
    fs::write(folder.path().join("reading"), "reading").unwrap();
    let web = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\ntokens:\n- {name: w, token_file: \
               writing, scopes: [write]}\n- {name: r, token_file: reading, scopes: [read]}\n";
    let (_process, address) = protected(folder.path(), web);
    let outcomes = over_grpc(&[&address, authority.to_str().unwrap(), "writing"]);
    assert!(outcomes["nothing"].starts_with("OK"), "{outcomes:?}");
    assert!(outcomes["stranger"].starts_with("UNAUTHENTICATED"), "{outcomes:?}");
    assert!(outcomes["reader"].starts_with("PERMISSION_DENIED"), "{outcomes:?}");
}

/// A server that takes calls as the text of `--web.config.file` says, and where.
fn protected(folder: &Path, web: &str) -> (Process, String) {
    fs::write(folder.join("web.yml"), web).unwrap();
    fs::write(folder.join("prometheus.yml"), "").unwrap();
    let address = format!("localhost:{}", free_port());
    let mut command = Command::new(crate::support::BINARY);
    command.current_dir(folder).args(["server", "--web.config.file=web.yml"]);
    command.args(["--web.listen-address=localhost:0", &format!("--otlp.grpc-listen-address={address}")]);
    (Process::start("skopos server", command, &folder.join("log")).unwrap(), address)
}

#[test]
fn over_grpc_too_a_certificate_of_the_client_may_be_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    certificate(folder.path(), &authority);
    let web = "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem, \
               client_auth_type: RequireAndVerifyClientCert}\n";
    let (_process, address) = protected(folder.path(), web);
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let [authority, cert, key] = [&authority, &cert, &key].map(|path| path.to_str().unwrap());
    let outcomes = over_grpc(&[&address, authority, "none", cert, key]);
    assert!(outcomes["nothing"].starts_with("OK"), "{outcomes:?}");
    assert!(outcomes["certless"].starts_with("UNAVAILABLE"), "{outcomes:?}");
}

/// A field of a message in protocol buffers, whose content is itself one, or text.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 128, "the length has one byte");
    [&[(number << 3) | 2, length], content].concat()
}

/// A frame of HTTP/2 of the first stream, or of the whole connection.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// Calls `Export` with a message that is packed as `encoding` says; none of the clients in Python can.
fn call_packed(address: &str, encoding: &str, message: &[u8]) {
    let mut headers = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"),
        (":authority", address),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-encoding", encoding),
    ] {
        headers.push(0);
        for text in [name, value] {
            headers.push(u8::try_from(text.len()).unwrap());
            headers.extend_from_slice(text.as_bytes());
        }
    }
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = [&[1], &length[..], message].concat();
    let mut stream = TcpStream::connect(address).unwrap();
    let all = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, b"")];
    stream.write_all(&[all.concat(), frame(1, 4, 1, &headers), frame(0, 1, 1, &body)].concat()).unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).unwrap();
        let (kind, flags, of_call) = (head[3], head[4], head[8] == 1);
        assert!(kind != 7 && kind != 3, "the call is given up: {head:?}");
        if of_call && flags & 1 == 1 {
            return;
        }
    }
}

#[test]
fn messages_over_grpc_may_be_packed_in_each_way_that_is_named() {
    let address = format!("127.0.0.1:{}", free_port());
    let server = server().config("global: {}\n").flag(&format!("--otlp.grpc-listen-address={address}"));
    let server = server.flag("--push.max-decoded-bytes=1MiB").start();
    let point = |value: f64| {
        let time = u64::try_from(now_ns()).unwrap().to_le_bytes();
        [&[(3 << 3) | 1], &time[..], &[(4 << 3) | 1], &value.to_le_bytes()].concat()
    };
    let message = |name: &str, value: f64| {
        let gauge = field(5, &field(1, &point(value)));
        field(1, &field(2, &field(2, &[field(1, name.as_bytes()), gauge].concat())))
    };
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&message("by_gzip", 2.0)).unwrap();
    call_packed(&address, "zstd", &zstd::encode_all(&message("by_zstd", 1.0)[..], 1).unwrap());
    call_packed(&address, "gzip", &gzip.finish().unwrap());
    // A bomb is stopped, and others are taken behind it.
    call_packed(&address, "zstd", &zstd::encode_all(&vec![0; 64 << 20][..], 1).unwrap());
    call_packed(&address, "zstd", &zstd::encode_all(&message("behind", 3.0)[..], 1).unwrap());
    for (name, expected) in [("by_zstd", 1.0), ("by_gzip", 2.0), ("behind", 3.0)] {
        wait_for_value(&server, name, expected);
    }
}
