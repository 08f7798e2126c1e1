//! Bodies of text: Influx, Graphite, JSON lines, CSV and the text format beside VictoriaMetrics, which gets
//! the same and exports the same; listeners over TCP and UDP, StatsD, compression and bombs.

use crate::support::{PATIENCE, encoded, server, value, wait_for_value};
use flate2::{Compression, write::GzEncoder};
use skopos_testkit::{
    free_port,
    http::{self, Response},
    peers,
    service::Service,
    skopos::Skopos,
    wait_until,
};
use std::{
    collections::BTreeMap,
    io::Write as _,
    net::{TcpStream, UdpSocket},
    time::{SystemTime, UNIX_EPOCH},
};

fn taking() -> Skopos {
    server().config("global: {}\n").flag("--push.enable=influx,import")
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn post(server: &Service, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    http::request("POST", &server.url(path), headers, body).unwrap()
}

/// All series of an export, with their samples.
fn exported(server: &Service) -> BTreeMap<String, (String, String)> {
    let all = server.get(&format!("/api/v1/export?match[]={}", encoded("{__name__=~\".+\"}"))).text();
    let series = all.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let metric: BTreeMap<String, String> = serde_json::from_value(line["metric"].clone()).unwrap();
        (format!("{metric:?}"), (line["values"].to_string(), line["timestamps"].to_string()))
    });
    series.collect()
}

/// Both have the same once VictoriaMetrics shows what it took.
fn assert_same(peer: &Service, ours: &Service, least: usize) {
    let _flushed = peer.get("/internal/force_flush");
    let own = exported(ours);
    assert!(own.len() >= least, "{own:?}");
    let mut theirs = BTreeMap::new();
    wait_until("VictoriaMetrics shows what it took", PATIENCE, || {
        theirs = exported(peer);
        (theirs.len() >= own.len()).then_some(())
    });
    assert_eq!(own, theirs);
}

#[test]
fn bodies_mean_what_they_mean_to_victoria_metrics() {
    let (peer, ours) = (peers::victoria_metrics("", &["-retentionPeriod=100y"]), taking().start());
    let now = now_ms();
    let s = now / 1000;
    let influx = format!(
        "cpu,host=a usage=1.5,idle=2i,on=true {now}000000\ncpu,host=b usage=3 {now}000000\n# a comment\n\n\
         we\\ ather,ci\\,ty=x\\ y temp=21,text=\"a, b\" {now}000000\nempty,tag= v=1u {now}000000\n"
    );
    let requests = [
        ("/write", influx),
        ("/write?db=mine&precision=ms", format!("m v=1 {now}\nn,db=own v=2 {now}\n")),
        ("/write?precision=s&extra_label=dc=x", format!("sec v=1 {s}\n")),
        ("/api/v2/write?bucket=b", format!("two v=1 {now}000000\n")),
        (
            "/api/v1/import",
            format!(
                "{{\"metric\":{{\"__name__\":\"j\",\"a\":\"ü\"}},\"values\":[1,2.5],\
                 \"timestamps\":[{},{now}]}}\n",
                now - 1000
            ),
        ),
        (
            "/api/v1/import/csv?format=2:metric:ask,3:metric:bid,1:label:ticker,4:time:unix_ms",
            format!("GOOG,1.23,4.56,{now}\n"),
        ),
        ("/api/v1/import/prometheus", format!("# TYPE t counter\nt{{a=\"b\"}} 7 {now}\n")),
    ];
    for (path, body) in requests {
        let (theirs, own) =
            (post(&peer, path, &[], body.as_bytes()), post(&ours, path, &[], body.as_bytes()));
        assert_eq!((own.status, own.text()), (204, String::new()), "{path}");
        assert_eq!(theirs.status, own.status, "{path}: {}", theirs.text());
    }
    assert_same(&peer, &ours, 14);
    let csv = "/api/v1/export/csv?format=__name__,ticker,__value__,__timestamp__:unix_ms&match[]=ask";
    assert_eq!(ours.get(csv).text(), format!("ask,GOOG,1.23,{now}\n"));
    // What was exported is imported, here and there.
    let again = taking().start();
    let all = ours.get(&format!("/api/v1/export?match[]={}", encoded("{__name__!=\"\"}")));
    assert_eq!(post(&again, "/api/v1/import", &[], &all.body).status, 204);
    assert_eq!(exported(&again), exported(&ours));
}

#[test]
fn a_bad_line_costs_itself_alone() {
    let server = taking().start();
    let now = now_ms();
    let body = format!("good v=1 {now}\nbad\nalso v=2 {now}\nworse v=x {now}\n");
    let answer = post(&server, "/write?precision=ms", &[], body.as_bytes());
    let text = answer.text();
    assert_eq!(answer.status, 400);
    assert!(text.contains("line 2: there are no fields: bad") && text.contains("line 4"), "{text}");
    assert_eq!((value(&server, "good_v"), value(&server, "also_v")), (Some(1.0), Some(2.0)));
    let broken = b"fine v=1\nfine,t=\xff v=1\nfine s=\"a\nb\",w=3\n";
    let answer = post(&server, "/write", &[], broken);
    assert!(
        answer.status == 400 && answer.text().contains("line 2: a name or tag is not UTF-8"),
        "{answer:?}"
    );
    assert_eq!((value(&server, "fine_v"), value(&server, "fine_w")), (Some(1.0), Some(3.0)));
    let page = b"page_a 1\nbad line x\npage_b 2\n# TYPE page_c nothing\npage_c 3\n";
    let answer = post(&server, "/api/v1/import/prometheus", &[], page);
    assert_eq!(answer.status, 400);
    let told: Vec<String> = answer.text().trim().lines().map(|l| l.chars().take(7).collect()).collect();
    assert_eq!(told, ["line 2,", "line 4,"], "{}", answer.text());
    for (name, stored) in [("page_a", 1.0), ("page_b", 2.0), ("page_c", 3.0)] {
        assert_eq!(value(&server, name), Some(stored), "{name}");
    }
    let many = "bad line x\n".repeat(20_000) + "page_d 4\n";
    let answer = post(&server, "/api/v1/import/prometheus", &[], many.as_bytes());
    assert!(answer.text().ends_with("and 19990 more like these\n\n"), "{}", answer.text());
    assert!(answer.text().starts_with("line 1, column 5"), "{}", answer.text());
    assert_eq!(value(&server, "page_d"), Some(4.0));
    for (path, body, part) in [
        ("/write?precision=x", "m v=1", "precision"),
        ("/api/v1/import/csv", "a,1", "missing `format`"),
        ("/api/v1/import/csv?format=1:x:y", "a,1", "a type is"),
        ("/api/v1/import", "[]", "no JSON of a series"),
        ("/api/v1/import?extra_label=x", "{}", "NAME=VALUE"),
        ("/api/v1/import/prometheus?timestamp=x", "m 1", "timestamp"),
        ("/api/v1/import/prometheus", "m{ 1\n", "line 1"),
    ] {
        let answer = post(&server, path, &[], body.as_bytes());
        assert!(answer.status == 400 && answer.text().contains(part), "{path}: {}", answer.text());
    }
    assert_eq!(server.get("/ping").status, 204);
    assert!(server.get("/ping").header("x-influxdb-version").is_some());
}

#[test]
fn clients_of_influx_ask_as_they_ask_victoria_metrics() {
    let (peer, ours) = (peers::victoria_metrics("", &[]), taking().start());
    for (method, path) in [
        ("POST", "/query?q=CREATE%20DATABASE%20x"),
        ("GET", "/influx/query?q=SHOW%20DATABASES"),
        ("POST", "/influx/query"),
        ("GET", "/ping"),
        ("HEAD", "/ping"),
        ("POST", "/ping"),
    ] {
        let [theirs, own] = [&peer, &ours].map(|s| http::request(method, &s.url(path), &[], b"").unwrap());
        assert_eq!((own.status, own.text()), (theirs.status, theirs.text()), "{method} {path}");
        assert!(own.header("x-influxdb-version").is_some(), "{method} {path}");
    }
    let health = ours.get("/health");
    let said: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
    assert_eq!((health.status, said["status"].as_str()), (200, Some("pass")), "{said}");
    let closed = server().config("global: {}\n").start();
    for path in ["/health", "/influx/query"] {
        assert_eq!(closed.get(path).status, 404, "{path}");
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn bodies_may_be_compressed_and_bombs_are_stopped() {
    let server = taking().flag("--push.max-import-bytes=8MB").flag("--push.max-line-bytes=1MiB").start();
    let line = b"packed v=1\n";
    let zstd = zstd::encode_all(&line[..], 1).unwrap();
    for (encoding, body) in [("gzip", gzip(line)), ("zstd", zstd), ("identity", line.to_vec())] {
        assert_eq!(
            post(&server, "/write", &[("Content-Encoding", encoding)], &body).status,
            204,
            "{encoding}"
        );
    }
    assert_eq!(value(&server, "packed_v"), Some(1.0));
    let (zeros, lines) = (vec![b'0'; 32 << 20], line.repeat((32 << 20) / line.len()));
    for (bomb, limit) in [(zeros, "--push.max-line-bytes"), (lines, "--push.max-import-bytes")] {
        for (encoding, bomb) in [("gzip", gzip(&bomb)), ("zstd", zstd::encode_all(&bomb[..], 1).unwrap())] {
            let answer = post(&server, "/write", &[("Content-Encoding", encoding)], &bomb);
            assert_eq!(answer.status, 413, "{encoding}: {}", answer.text());
            assert!(answer.text().contains(limit), "{}", answer.text());
        }
    }
    assert_eq!(post(&server, "/write", &[("Content-Encoding", "br")], line).status, 415);
    assert!(server.get("/metrics").text().contains("\nskopos_push_memory_bytes 0\n"));
}

/// The most memory that the process ever held.
fn peak_resident_bytes(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_long_body_is_stored_as_it_comes_and_never_held() {
    const SERIES: usize = 1000;
    const TIMES: usize = 1000;
    let mut server = taking().start();
    let first = now_ms() - 3_600_000;
    let (mut body, mut of_one_time) = (Vec::new(), 0);
    for time in 0..TIMES {
        let at = first + 1000 * time as i64;
        for series in 0..SERIES {
            writeln!(body, "long,host=a-machine-with-a-name,series={series} value={time} {at}").unwrap();
        }
        of_one_time = if time == 0 { body.len() } else { of_one_time };
    }
    // What the series themselves take is there before.
    assert_eq!(post(&server, "/write?precision=ms", &[], &body[..of_one_time]).status, 204);
    let before = peak_resident_bytes(server.process().id());
    let answer = post(&server, "/write?precision=ms", &[("Content-Encoding", "gzip")], &gzip(&body));
    assert_eq!((answer.status, answer.text()), (204, String::new()));
    let grown = peak_resident_bytes(server.process().id()) - before;
    println!("{} MiB of lines: {} MiB more memory at most", body.len() >> 20, grown >> 20);
    // A sample takes 16 bytes at most, in memory and in what the log has not written yet.
    assert!(grown < (32 << 20) + 16 * (SERIES * TIMES) as u64, "{grown} bytes for {}", body.len());
    assert_eq!(value(&server, "sum(count_over_time(long_value[2h]))"), Some((SERIES * TIMES) as f64));
    assert!(server.get("/metrics").text().contains("\nskopos_push_memory_bytes 0\n"));
}

#[test]
fn what_came_of_a_body_that_is_cut_off_is_stored_and_said() {
    let server = taking().flag("--push.body-timeout=1s").start();
    let now = now_ms();
    let body: String =
        (0..40_000).map(|i| format!("cut,i={} v={i} {}\n", i % 100, now - 40_000 + i)).collect();
    let packed = gzip(body.as_bytes());
    let headers = [("Content-Encoding", "gzip")];
    let answer = post(&server, "/write?precision=ms", &headers, &packed[..packed.len() - 10]);
    let text = answer.text();
    assert_eq!(answer.status, 400, "{text}");
    assert!(text.contains("cut off; what was sent up to line ") && text.contains(" is stored"), "{text}");
    let stored: f64 =
        text.split(' ').find_map(|word| word.parse().ok().filter(|n: &f64| *n > 1000.0)).unwrap();
    assert_eq!(value(&server, "sum(count_over_time(cut_v[1h]))"), Some(stored), "{text}");
    // Sent again, what is there is old, and the rest is taken.
    let again = post(&server, "/write?precision=ms", &headers, &packed);
    assert!(again.status == 400 && again.text().contains("out of order"), "{}", again.text());
    assert_eq!(value(&server, "sum(count_over_time(cut_v[1h]))"), Some(40_000.0));
    // A line that is bad far down is called by its number.
    let bad = format!("{}\nbad\n", body.replace("cut,", "far,"));
    let answer = post(&server, "/write?precision=ms", &[], bad.as_bytes());
    assert!(
        answer.status == 400 && answer.text().contains("line 40002: there are no fields"),
        "{}",
        answer.text()
    );
    let slow = std::net::TcpStream::connect(server.address()).unwrap();
    let head = "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nm v=1\n";
    (&slow).write_all(head.as_bytes()).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut told = [0; 1000];
    let n = std::io::Read::read(&mut (&slow), &mut told).unwrap();
    let told = String::from_utf8_lossy(&told[..n]);
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("--push.body-timeout"), "{told}");
}

#[test]
fn lines_come_over_tcp_and_udp() {
    let [graphite, influx, statsd] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
    let server = taking()
        .flag(&format!("--graphite.listen-address={graphite}"))
        .flag(&format!("--influx.listen-address={influx}"))
        .flag(&format!("--statsd.listen-address={statsd}"))
        .flag("--statsd.flush-interval=200ms")
        .start();
    let mut stream = TcpStream::connect(&graphite).unwrap();
    stream.write_all(b"servers.a.load;dc=x 1.5\nservers.b.lo").unwrap();
    wait_for_value(&server, "{__name__=\"servers.a.load\",dc=\"x\"}", 1.5);
    // The rest of a line comes later, and the last one has no end.
    stream.write_all(b"ad 2\nservers.c.load 3").unwrap();
    drop(stream);
    wait_for_value(&server, "{__name__=\"servers.b.load\"}", 2.0);
    wait_for_value(&server, "{__name__=\"servers.c.load\"}", 3.0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"udp.path 4 -1", &graphite).unwrap();
    socket.send_to(b"over,by=udp v=5", &influx).unwrap();
    socket.send_to(b"a.counter:1|c\na.timer:250|ms|#k:v", &statsd).unwrap();
    socket.send_to(b"a.counter:2|c", &statsd).unwrap();
    wait_for_value(&server, "{__name__=\"udp.path\"}", 4.0);
    wait_for_value(&server, "over_v{by=\"udp\"}", 5.0);
    wait_for_value(&server, "a_counter", 3.0);
    wait_for_value(&server, "a_timer{quantile=\"0.9\",k=\"v\"}", 0.25);
    let page = server.get("/metrics").text();
    assert!(page.contains("\nskopos_statsd_lines_total 3\n"), "{page}");
    // A line without end is cut off, and the server goes on.
    let mut endless = TcpStream::connect(&graphite).unwrap();
    let _may_be_closed = endless.write_all(&vec![b'x'; 4 << 20]);
    let mut another = TcpStream::connect(&graphite).unwrap();
    another.write_all(b"after.that 6\n").unwrap();
    wait_for_value(&server, "{__name__=\"after.that\"}", 6.0);
}

#[test]
fn graphite_means_what_it_means_to_victoria_metrics() {
    let [theirs, own] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
    let peer =
        peers::victoria_metrics("", &[&format!("-graphiteListenAddr={theirs}"), "-retentionPeriod=100y"]);
    let ours = taking().flag(&format!("--graphite.listen-address={own}")).start();
    let s = now_ms() / 1000;
    let lines = format!("a.b;x=y;z=1 1.5 {s}\nplain -2 {s}\nwith-dash_and:colon 3e2 {s}\n");
    for address in [&theirs, &own] {
        TcpStream::connect(address).unwrap().write_all(lines.as_bytes()).unwrap();
    }
    wait_for_value(&ours, "plain", -2.0);
    assert_same(&peer, &ours, 3);
}
