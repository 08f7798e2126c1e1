//! What is stored goes on to other servers (`remote_write`): real ones of both protocols and our own, every
//! kind of sample, kills of either side, an outage of hours, rules, refusals, reloads. What has arrived is
//! what was stored.

use crate::support::{PATIENCE, ask, server, wait_for_log, wait_for_value};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    peers,
    remote::{self, Protocol},
    series::{Content, Counts, Exemplar, Histogram, LabelPairs, Metadata, Reset, Series, Value},
    service::Service,
    skopos::Skopos,
    wait_until,
};
use std::{
    collections::BTreeMap,
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

const RECEIVING: &str = "--web.enable-remote-write-receiver";
const TWO: &str = "  protobuf_message: io.prometheus.write.v2.Request\n";
const QUICK: &str = "  queue_config: {batch_send_deadline: 200ms, max_backoff: 500ms}\n";

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> LabelPairs {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

fn config(url: &str, more: &str) -> String {
    format!("remote_write:\n- url: {url}\n{QUICK}{more}")
}

/// A server that sends what it gets on to there.
fn sender(config: &str) -> Skopos {
    server()
        .config(config)
        .flag(RECEIVING)
        .flag("--web.enable-lifecycle")
        .flag("--storage.remote.flush-deadline=1s")
}

fn receiver() -> Skopos {
    server().config("global: {}\n").flag(RECEIVING)
}

/// A value of a metric about sending; of several series their sum.
fn metric(server: &Service, name: &str) -> f64 {
    let page = server.get("/metrics").text();
    let lines = page.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Without series that have no samples.
fn filled(mut content: Content) -> Content {
    content.retain(|_, series| !series.samples.is_empty());
    content
}

#[track_caller]
fn wait_for_same(what: &str, expected: &Content, receiver: &Service, (min, max): (i64, i64)) {
    let mut there = Content::new();
    let same = skopos_testkit::wait::poll(PATIENCE, || {
        there = filled(remote::read(receiver, min, max));
        (there == *expected).then_some(())
    });
    if same.is_none() {
        let count = |c: &Content| c.values().map(|s| s.samples.len()).sum::<usize>();
        let missing = expected.iter().find(|(labels, series)| there.get(*labels) != Some(series));
        let (labels, series) = missing.expect("something that should not be there is");
        panic!(
            "{what}: {} of {} samples; {labels:?} should be {series:?} and is {:?}",
            count(&there),
            count(expected),
            there.get(labels)
        );
    }
}

fn floats(samples: impl IntoIterator<Item = (i64, f64)>) -> Series {
    let samples = samples.into_iter().map(|(at, v)| (at, Value::float(v))).collect();
    Series { samples, ..Series::default() }
}

fn histogram(counts: Counts) -> Value {
    let positive = BTreeMap::from([(0, 3.0), (1, 1.0)]);
    Value::Histogram(Histogram {
        counts,
        schema: 2,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 5.0,
        sum_bits: 17.25_f64.to_bits(),
        reset: Reset::Unknown,
        positive,
        negative: BTreeMap::new(),
        custom_bounds: Vec::new(),
    })
}

/// Every kind of sample, of the last minute.
fn content(now: i64) -> Content {
    let at = |n: i64| now - 60_000 + n * 10_000;
    let values = [0.1, -0.5, f64::INFINITY, 5e-324, f64::from_bits(0x7ff0_0000_0000_0002)];
    let of = |value: Value| Series { samples: vec![(at(1), value)], ..Series::default() };
    let mut content = Content::from([
        (labels(&[("__name__", "plain"), ("job", "j")]), floats((0..).map(at).zip(values))),
        (labels(&[("__name__", "whole")]), of(histogram(Counts::Whole))),
        (labels(&[("__name__", "float")]), of(histogram(Counts::Floats))),
    ]);
    for i in 0..3000 {
        let i = format!("{i:04}");
        content.insert(labels(&[("__name__", "many"), ("i", &i)]), floats([(at(0), 1.0), (at(3), 2.0)]));
    }
    let seen = Exemplar { labels: labels(&[("trace_id", "t1")]), timestamp_ms: at(2), value: 0.75 };
    let metadata =
        Metadata { metric_type: "counter".into(), help: "What was counted.".into(), unit: String::new() };
    let counted = Series { exemplars: vec![seen], metadata: Some(metadata), ..floats([(at(2), 3.0)]) };
    content.insert(labels(&[("__name__", "counted_total")]), counted);
    content
}

/// What remote read tells of content that was sent on, with the label that the sender adds.
fn sent_on(content: &Content) -> Content {
    let one = |(pairs, series): (&LabelPairs, &Series)| {
        let mut pairs = pairs.clone();
        pairs.insert("sender".to_owned(), "s".to_owned());
        (pairs, Series { exemplars: Vec::new(), metadata: None, ..series.clone() })
    };
    content.iter().map(one).collect()
}

/// Real receivers and ours, by name, with what the sender is to be told of them.
fn receivers() -> Vec<(&'static str, Service, &'static str)> {
    let native = "--enable-feature=native-histograms,exemplar-storage";
    let mut all = vec![
        ("Prometheus 2.42", peers::prometheus("", &[RECEIVING, native]), ""),
        ("ours by 1.0", receiver().start(), ""),
        ("ours by 2.0", receiver().start(), TWO),
    ];
    if let Some(three) = peers::prometheus_3() {
        all.push(("Prometheus 3 by 1.0", peers::prometheus_at(three.clone(), "", &[RECEIVING, native]), ""));
        all.push(("Prometheus 3 by 2.0", peers::prometheus_at(three, "", &[RECEIVING, native]), TWO));
    }
    all
}

#[test]
fn every_kind_of_sample_arrives_as_it_was_stored() {
    let receivers = receivers();
    let mut config = "global: {external_labels: {sender: s}}\nremote_write:\n".to_owned();
    for (name, receiver, more) in &receivers {
        config += &format!(
            "- url: {}\n  name: {name}\n{QUICK}  send_exemplars: true\n  send_native_histograms: true\n  \
             metadata_config: {{send_interval: 1s}}\n{more}",
            receiver.url("/api/v1/write")
        );
    }
    let sender = sender(&config).start();
    let (now, content) = (now_ms(), content(now_ms()));
    remote::write(&sender, Protocol::V2, &content);
    for (name, receiver, _) in &receivers {
        let mut expected = sent_on(&content);
        if name.ends_with("2.42") {
            // It has native histograms, and does not tell of them by remote read.
            expected.retain(|labels, _| !["whole", "float"].contains(&labels["__name__"].as_str()));
        }
        wait_for_same(name, &expected, receiver, (now - 3_600_000, now));
        for kind in ["whole", "float"] {
            wait_for_value(receiver, &format!("histogram_sum({kind})"), 17.25);
        }
        let (start, end) = ((now / 1000 - 3600).to_string(), (now / 1000 + 1).to_string());
        let params = [("query", "counted_total"), ("start", &*start), ("end", &*end)];
        wait_until("the exemplar", PATIENCE, || {
            let text = ask(receiver, "/api/v1/query_exemplars", &params).text();
            text.contains("\"trace_id\":\"t1\"").then_some(())
        });
        if name.starts_with("ours") {
            wait_until("metadata", PATIENCE, || {
                let text = receiver.get("/api/v1/metadata?metric=counted_total").text();
                text.contains("What was counted.").then_some(())
            });
        }
    }
    for name in ["samples", "histograms", "exemplars", "metadata"] {
        let name = format!("prometheus_remote_storage_{name}_failed_total");
        assert_eq!(metric(&sender, &name), 0.0, "{}", sender.log());
    }
    assert!(metric(&sender, "prometheus_remote_storage_sent_batch_duration_seconds_count") >= 10.0);
}

/// A numbered sample of each of some series, at a time.
fn batch(at: i64, n: usize) -> Content {
    let of = |i: usize| {
        let i = i.to_string();
        (labels(&[("__name__", "numbered"), ("i", &i)]), floats([(at, n as f64)]))
    };
    (0..20).map(of).collect()
}

#[test]
fn kills_of_either_side_lose_nothing_and_double_nothing() {
    let native: &[&str] = &[RECEIVING];
    let mut receivers = vec![(peers::prometheus("", native), ""), (receiver().start(), TWO)];
    if let Some(three) = peers::prometheus_3() {
        receivers.push((peers::prometheus_at(three, "", native), TWO));
    }
    for (mut receiver, more) in receivers {
        let mut sender = sender(&config(&receiver.url("/api/v1/write"), more)).start();
        let begin = now_ms() - 600_000;
        for n in 0..60_usize {
            let at = begin + n as i64 * 1000;
            remote::write(&sender, Protocol::V1, &batch(at, n));
            match n {
                10 | 40 => {
                    sender.kill9();
                    sender.restart();
                }
                20 => drop(receiver.kill9()),
                // Away meanwhile, and back with the other one gone.
                25 => {
                    sender.kill9();
                    receiver.restart();
                    sender.restart();
                }
                50 => {
                    receiver.kill9();
                    receiver.restart();
                }
                55 => {
                    sender.terminate();
                    sender.restart();
                }
                _ => {}
            }
        }
        let stored = remote::read(&sender, begin, begin + 600_000);
        assert_eq!(stored.values().map(|s| s.samples.len()).sum::<usize>(), 60 * 20);
        wait_for_same("all", &stored, &receiver, (begin, begin + 600_000));
        assert_eq!(
            metric(&sender, "prometheus_remote_storage_samples_failed_total"),
            0.0,
            "{}",
            sender.log()
        );
    }
}

#[test]
fn an_outage_of_hours_costs_nothing_though_the_log_is_made_shorter() {
    const STEP_MS: i64 = 15_000;
    const HOUR_MS: i64 = 3_600_000;
    let mut receiver = peers::prometheus("", &[RECEIVING]);
    let mut sender = sender(&config(&receiver.url("/api/v1/write"), "")).start();
    let begin = (now_ms() - 6 * HOUR_MS) / HOUR_MS * HOUR_MS;
    remote::write(&sender, Protocol::V1, &batch(begin, 0));
    wait_until("the first", PATIENCE, || (!remote::read(&receiver, begin, begin).is_empty()).then_some(()));
    receiver.kill9();
    // Five hours, of which blocks are cut and the log is made shorter.
    let steps = 5 * HOUR_MS / STEP_MS;
    for from in (1..steps).step_by(20) {
        let mut some = Content::new();
        for n in from..(from + 20).min(steps) {
            for (labels, series) in batch(begin + n * STEP_MS, n as usize) {
                some.entry(labels).or_default().samples.extend(series.samples);
            }
        }
        remote::write(&sender, Protocol::V1, &some);
        if from == 601 {
            sender.kill9();
            sender.restart();
        }
    }
    wait_until("the log to be made shorter", PATIENCE, || {
        (metric(&sender, "prometheus_tsdb_checkpoint_creations_total ") >= 1.0).then_some(())
    });
    sender.kill9();
    sender.restart();
    receiver.restart();
    let stored = remote::read(&sender, begin, begin + 6 * HOUR_MS);
    assert_eq!(stored.values().map(|s| s.samples.len() as i64).sum::<i64>(), steps * 20);
    wait_for_same("all hours", &stored, &receiver, (begin, begin + 6 * HOUR_MS));
    assert_eq!(metric(&sender, "skopos_remote_write_wal_missing_total"), 0.0);
    assert_eq!(metric(&sender, "prometheus_remote_storage_samples_failed_total"), 0.0, "{}", sender.log());
}

#[test]
fn rules_say_what_is_sent_and_under_which_labels() {
    let receiver = receiver().start();
    let more = "  write_relabel_configs:\n  - {source_labels: [i], regex: '1.*', action: drop}\n  - \
                {source_labels: [i], target_label: of, replacement: 'i=$1'}\n";
    let sender = sender(&config(&receiver.url("/api/v1/write"), more)).start();
    let at = now_ms() - 1000;
    remote::write(&sender, Protocol::V1, &batch(at, 7));
    let kept = (0..20).map(|i| i.to_string()).filter(|i| !i.starts_with('1'));
    let of = |i: String| {
        let of = format!("i={i}");
        (labels(&[("__name__", "numbered"), ("i", &i), ("of", &of)]), floats([(at, 7.0)]))
    };
    wait_for_same("what rules leave", &kept.map(of).collect(), &receiver, (at, at));
    let page = sender.get("/metrics").text();
    let dropped = page.lines().find(|line| {
        line.starts_with("prometheus_remote_storage_samples_dropped_total{reason=\"dropped_series\"")
    });
    assert!(dropped.is_some_and(|line| line.ends_with(" 11")), "{dropped:?}");
}

#[test]
fn answers_say_whether_it_is_sent_again() {
    let answer = |status: u16| Misbehaviour::Answers {
        status,
        content_type: "text/plain".to_owned(),
        body: b"no".to_vec(),
    };
    let well = || answer(204);
    for (script, more, sent, failed) in [
        (vec![answer(500), answer(503), Misbehaviour::ClosesAtOnce, well()], "", 20.0, 0.0),
        (vec![answer(400), well()], "", 0.0, 20.0),
        (vec![answer(429), well()], "", 0.0, 20.0),
        (vec![Misbehaviour::NeverAnswers, well()], "  remote_timeout: 500ms\n", 20.0, 0.0),
        // It takes everything, and does not say that it has stored it.
        (vec![well()], TWO, 0.0, 20.0),
    ] {
        let away = Server::start(script.clone());
        let sender = sender(&config(&away.url("/write"), more)).start();
        remote::write(&sender, Protocol::V1, &batch(now_ms(), 1));
        wait_until("it to be over", PATIENCE, || {
            let sent = metric(&sender, "prometheus_remote_storage_samples_total") == sent;
            let failed = metric(&sender, "prometheus_remote_storage_samples_failed_total") == failed;
            let pending = metric(&sender, "prometheus_remote_storage_samples_pending");
            (sent && failed && pending == 0.0).then_some(())
        });
        let asked = away.requests();
        let header = |name: &str| asked[0].headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(header("content-encoding"), Some("snappy"));
        let version = if more == TWO { "2.0.0" } else { "0.1.0" };
        assert_eq!(header("x-prometheus-remote-write-version"), Some(version));
        assert!(
            asked.len() >= script.len().min(2) - usize::from(failed > 0.0 && script.len() > 1),
            "{asked:?}"
        );
    }
}

#[test]
fn a_reload_keeps_what_it_does_not_change_and_a_bad_one_changes_nothing() {
    let away = Server::start([Misbehaviour::NeverAnswers]);
    let first = config(&away.url("/write"), "  name: first\n");
    let mut sender = sender(&first).start();
    let begin = now_ms() - 60_000;
    remote::write(&sender, Protocol::V1, &batch(begin, 1));
    let pending = "prometheus_remote_storage_samples_pending";
    wait_until("it to wait", PATIENCE, || (metric(&sender, pending) == 20.0).then_some(()));
    let reload = |sender: &Service, text: &str| {
        fs::write(sender.folder().join("prometheus.yml"), text).unwrap();
        let answer = skopos_testkit::http::request("POST", &sender.url("/-/reload"), &[], &[]).unwrap();
        (answer.status, answer.text())
    };
    for (bad, said) in [
        ("  sigv4: {region: eu}\n", "sigv4"),
        ("  name: first\n- url: http://other/\n  name: first\n", "stands twice"),
        ("  basic_auth: {username: u, password_file: /there/is/none}\n", "/there/is/none"),
    ] {
        let (status, text) = reload(&sender, &config(&away.url("/write"), bad));
        assert!(status == 500 && text.contains(said), "{status} {text}");
    }
    assert_eq!(metric(&sender, pending), 20.0);
    // Another server beside it; and then the first one is another, with its queue.
    let receiver = receiver().start();
    let second = format!("- url: {}\n  name: second\n{QUICK}", receiver.url("/api/v1/write"));
    assert_eq!(reload(&sender, &format!("{first}{second}")).0, 200);
    remote::write(&sender, Protocol::V1, &batch(begin + 1000, 2));
    wait_for_same("the second gets what comes", &batch(begin + 1000, 2), &receiver, (begin, begin + 60_000));
    wait_until("the first to wait", PATIENCE, || (metric(&sender, pending) == 40.0).then_some(()));
    let other = crate::remote_write_out::receiver().start();
    let moved = config(&other.url("/api/v1/write"), "  name: first\n");
    assert_eq!(reload(&sender, &format!("{moved}{second}")).0, 200);
    let all = remote::read(&sender, begin, begin + 60_000);
    wait_for_same("the first goes on elsewhere", &all, &other, (begin, begin + 60_000));
    assert_eq!(reload(&sender, &moved).0, 200);
    wait_for_log(&sender, &["nothing is sent on any more", "second"]);
    sender.terminate();
    let queues = || fs::read_dir(sender.folder().join("data/remote_write")).unwrap().count();
    assert_eq!(queues(), 1);
}
