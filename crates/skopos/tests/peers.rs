//! The same bodies for Debian's Prometheus and for ours, under the same configuration: what is stored and
//! what queries give must be the same. Where they are known to differ, the test says so.

use crate::support::{self, Matrix, Metric, PATIENCE, server};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    peers,
    service::Service,
    wait_until,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How far apart in time the stamped bodies claim to be.
const STEP_MS: i64 = 15_000;
/// How many bodies are recorded.
const BODIES: usize = 20;
/// Two numbers that come from the same samples by sums in another order are as close as this.
const RELATIVE_TOLERANCE: f64 = 1e-9;

/// Two targets that always say the same, one for each program.
struct Target {
    of_prometheus: Server,
    of_ours: Server,
}

impl Target {
    fn start(body: &str) -> Self {
        let start = || Server::start([Misbehaviour::text(body)]);
        Self { of_prometheus: start(), of_ours: start() }
    }

    fn behave(&self, way: &Misbehaviour) {
        self.of_prometheus.behave([way.clone()]);
        self.of_ours.behave([way.clone()]);
    }
}

/// Both programs, scraping the same.
struct Both {
    prometheus: Service,
    ours: Service,
}

impl Both {
    /// Starts both with these jobs; each is a name, more lines of its configuration, and its target.
    fn start(jobs: &[(&str, &str, &Target)]) -> Self {
        let config = |of: fn(&Target) -> &Server| {
            let mut out = "global: {scrape_interval: 200ms}\nscrape_configs:\n".to_owned();
            for (name, more, target) in jobs {
                let address = of(target).address();
                writeln!(
                    out,
                    "- job_name: {name}\n{more}  \
                     static_configs: [{{targets: ['{address}'], labels: {{instance: it}}}}]"
                )
                .unwrap();
            }
            out
        };
        Self {
            prometheus: peers::prometheus(&config(|t| &t.of_prometheus), &["--log.level=error"]),
            ours: server().config(&config(|t| &t.of_ours)).start(),
        }
    }

    fn each(&self) -> [&Service; 2] {
        [&self.prometheus, &self.ours]
    }

    /// Waits until a query gives one series of this value on both.
    #[track_caller]
    fn wait_for(&self, query: &str, value: f64) {
        for server in self.each() {
            support::wait_for_value(server, query, value);
        }
    }

    /// The same answers of both, without the series that tell how long something took.
    fn ask(&self, ask: impl Fn(&Service) -> Matrix) -> [Matrix; 2] {
        self.each().map(|server| {
            let mut matrix = ask(server);
            matrix.retain(|metric, _| name(metric) != "scrape_duration_seconds");
            matrix
        })
    }
}

fn name(metric: &Metric) -> &str {
    metric.get("__name__").map_or("", String::as_str)
}

#[track_caller]
fn assert_same<T: PartialEq + std::fmt::Debug>(
    theirs: &BTreeMap<Metric, T>,
    ours: &BTreeMap<Metric, T>,
    what: &str,
) {
    let keys = |m: &BTreeMap<Metric, T>| m.keys().cloned().collect::<BTreeSet<_>>();
    let (their_keys, our_keys) = (keys(theirs), keys(ours));
    let missing: Vec<_> = their_keys.difference(&our_keys).take(5).collect();
    let extra: Vec<_> = our_keys.difference(&their_keys).take(5).collect();
    assert!(missing.is_empty() && extra.is_empty(), "{what}: missing {missing:?}, only ours {extra:?}");
    for (metric, value) in theirs {
        assert_eq!(value, &ours[metric], "{what}: {metric:?}: theirs on the left, ours on the right");
    }
}

/// Bodies of a real node_exporter, a moment apart, each with its number.
fn recorded() -> Vec<String> {
    let exporter = peers::node_exporter(&[]);
    let mut bodies = Vec::new();
    for number in 0..BODIES {
        let body = exporter.get("/metrics");
        assert_eq!(body.status, 200);
        // Prometheus 2 stores bounds as they are written: both get them as later ones store them.
        let text = body.text().replace("quantile=\"0\"", "quantile=\"0.0\"");
        let text = text.replace("quantile=\"1\"", "quantile=\"1.0\"");
        bodies.push(format!("{text}body_number {number}\n"));
        skopos_testkit::let_live(Duration::from_millis(100));
    }
    bodies
}

/// The body with this time behind each sample.
fn stamped(body: &str, at_ms: i64) -> String {
    let mut out = String::new();
    for line in body.lines() {
        if line.starts_with('#') { writeln!(out, "{line}") } else { writeln!(out, "{line} {at_ms}") }
            .unwrap();
    }
    out
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[test]
fn node_exporters_output_is_stored_and_queried_as_prometheus_does() {
    let bodies = recorded();
    // Never at a whole second: there subqueries have their steps, and the peer's windows are closed on
    // the left, where ours are open.
    let begin = now_ms() / STEP_MS * STEP_MS - STEP_MS * BODIES as i64 + 437;
    let time = |number: usize| begin + STEP_MS * number as i64;
    let (with_time, plain) = (Target::start(&stamped(&bodies[0], time(0))), Target::start(&bodies[0]));
    let both = Both::start(&[("node", "", &with_time), ("plain", "", &plain)]);
    for (number, body) in bodies.iter().enumerate() {
        with_time.behave(&Misbehaviour::Gzip { body: stamped(body, time(number)).into_bytes() });
        plain.behave(&Misbehaviour::text(body));
        both.wait_for(&format!("count(last_over_time(body_number[1h]) == {number})"), 2.0);
    }

    let own = |matrix: &mut Matrix| matrix.retain(|m, _| !name(m).starts_with("scrape_") && name(m) != "up");
    let [mut theirs, mut ours] = both.ask(|s| support::instant(s, "{job=\"node\",__name__!=\"\"}[1h]"));
    own(&mut theirs);
    own(&mut ours);
    assert!(theirs.len() > 500 && theirs.values().all(|samples| !samples.is_empty()));
    let whole = theirs.values().filter(|samples| samples.len() == BODIES).count();
    assert!(whole > 500, "{whole} of {} series have all samples", theirs.len());
    assert_same(&theirs, &ours, "samples with times of their own");

    let [theirs, ours] = both.ask(|s| support::instant(s, "{job=\"plain\",__name__!=\"\"}[1h]"));
    assert_same(&by_number(&theirs), &by_number(&ours), "samples at the time of the scrape");

    let mut times = [time(6) + 7_123, time(BODIES - 1) + 1_234].into_iter().collect::<Vec<_>>();
    times.push(time(BODIES - 1) + 200_001);
    let device = device_of(&both.ours);
    for query in queries() {
        let query = query
            .replace("$instance", "it")
            .replace("$job", "node")
            .replace("$__rate_interval", "1m")
            .replace("$device", &device);
        for at in &times {
            assert_close(both.each().map(|s| support::instant_at(s, &query, *at)), &query);
        }
        let steps = (time(1) + 3_456, time(BODIES) + 3_456, 10_000);
        assert_close(both.each().map(|s| support::range(s, &query, steps)), &query);
    }
}

/// For each series its value at each number of a body: the times of scrapes differ, what came does not.
fn by_number(matrix: &Matrix) -> BTreeMap<Metric, BTreeMap<u64, BTreeSet<u64>>> {
    let numbers = matrix.iter().find(|(metric, _)| name(metric) == "body_number");
    let numbers: BTreeMap<i64, u64> = numbers.expect("every body has its number").1.iter().copied().collect();
    let mut out: BTreeMap<Metric, BTreeMap<u64, BTreeSet<u64>>> = BTreeMap::new();
    for (metric, samples) in matrix {
        if name(metric) == "scrape_series_added" {
            continue;
        }
        let values = out.entry(metric.clone()).or_default();
        for (time, bits) in samples {
            let Some(number) = numbers.get(time) else { continue };
            values.entry(*number).or_default().insert(*bits);
        }
    }
    out
}

/// A network device that this machine has.
fn device_of(server: &Service) -> String {
    let all =
        support::instant(server, "last_over_time(node_network_receive_packets_total{job=\"node\"}[1h])");
    all.keys().next().expect("a machine has a network device")["device"].clone()
}

#[track_caller]
fn assert_close(answers: [Result<Matrix, u16>; 2], query: &str) {
    let (theirs, ours) = match answers {
        [Ok(theirs), Ok(ours)] => (theirs, ours),
        [theirs, ours] => return assert_eq!(theirs.err(), ours.err(), "{query}: the status of an error"),
    };
    let shape = |m: &Matrix| {
        let times = |samples: &Vec<(i64, u64)>| samples.iter().map(|(t, _)| *t).collect::<Vec<_>>();
        m.iter().map(|(metric, samples)| (metric.clone(), times(samples))).collect::<BTreeMap<_, _>>()
    };
    assert_same(&shape(&theirs), &shape(&ours), query);
    for (metric, samples) in &theirs {
        for ((time, their), (_, our)) in samples.iter().zip(&ours[metric]) {
            let (their, our) = (f64::from_bits(*their), f64::from_bits(*our));
            let close = their == our
                || (their.is_nan() && our.is_nan())
                || (their - our).abs() <= RELATIVE_TOLERANCE * their.abs().max(our.abs());
            assert!(close, "{query}: {metric:?} at {time}: theirs {their}, ours {our}");
        }
    }
}

#[test]
fn series_and_targets_end_and_come_back_as_with_prometheus() {
    let target = Target::start("step 0\na 1\nb{x=\"1\"} 2\nb{x=\"2\"} 3\n");
    let both = Both::start(&[("it", "", &target)]);
    both.wait_for("step", 0.0);
    let bad = |status| Misbehaviour::Answers { status, content_type: "text/plain".into(), body: Vec::new() };
    let text = Misbehaviour::text;
    let broken = text("step 7\na 1\n???\n");
    let steps = [
        (text("step 1\na 1\nb{x=\"2\"} 3\n"), "step", 1.0),
        (text("step 2\na NaN\nb{x=\"1\"} +Inf\nb{x=\"2\"} 3\n"), "step", 2.0),
        (bad(500), "up", 0.0),
        (text("step 4\na 1\nb{x=\"1\"} 2\nb{x=\"2\"} 3\n"), "step", 4.0),
        (Misbehaviour::ClosesAtOnce, "up", 0.0),
        (text("step 6\nnew 1\n"), "step", 6.0),
        (broken.clone(), "up", 0.0),
        (text("step 8\na 1\nnew 1\n"), "step", 8.0),
        (text("step 9\na 1\na 1\nnew 2\nnew 3\n"), "step", 9.0),
        (text("# nothing but a comment\n"), "scrape_samples_scraped", 0.0),
        (text("step 11\na 1\nb{x=\"1\"} 2\n"), "step", 11.0),
        (text(""), "scrape_samples_scraped", 0.0),
        (text("step 13\na 1\nb{x=\"1\"} 2\n"), "step", 13.0),
    ];
    for (number, (way, sign, value)) in steps.iter().enumerate() {
        target.behave(way);
        both.wait_for(&format!("{sign}{{job=\"it\"}}"), *value);
        let query = "{job=\"it\",__name__!=\"scrape_series_added\"}";
        let [mut theirs, ours] = both.ask(|s| untimed(support::instant(s, query)));
        if *way == broken {
            // Prometheus forgets to end the series that stand before the error and were there before.
            theirs.retain(|metric, _| name(metric) != "step");
        }
        assert_same(&theirs, &ours, &format!("after step {} ({way:?})", number + 1));
    }
    for metric in
        ["up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added"]
    {
        let history = both.each().map(|s| {
            let all = support::instant(s, &format!("{metric}{{job=\"it\"}}[10m]"));
            history(metric, all.values().next().unwrap())
        });
        assert_eq!(history[0], history[1], "{metric}: theirs on the left, ours on the right");
    }
}

/// The answer without the times of its samples.
fn untimed(matrix: Matrix) -> Matrix {
    matrix.into_iter().map(|(m, s)| (m, s.into_iter().map(|(_, bits)| (0, bits)).collect())).collect()
}

/// The values that a report series had, one after the other. How many scrapes a step took is chance, so
/// values that only repeat count once, and of series that were added only the times when there were any.
fn history(metric: &str, samples: &[(i64, u64)]) -> Vec<f64> {
    let mut values: Vec<f64> = samples.iter().map(|(_, bits)| f64::from_bits(*bits)).collect();
    if metric == "scrape_series_added" {
        values.retain(|value| *value != 0.0);
    } else {
        values.dedup();
    }
    values
}

#[test]
fn labels_requests_and_reports_are_those_of_prometheus() {
    let body = "a 1\nb{job=\"theirs\",instance=\"i\"} 2\nc{job=\"\",x=\"\"} 3\n\
                d{exported_job=\"e\",job=\"theirs\"} 4\nlate{x=\"\\\"quoted\\\\ \\n\"} 5\n\
                with_time 6 1000000000000\n";
    // Old times are refused by both where they are honoured, and the rest is stored.
    let whole = |more: &str| format!("{more}  honor_timestamps: false\n");
    let target = || Target::start(body);
    let [plain, honours, asks, old, zipped] = [target(), target(), target(), target(), target()];
    zipped.behave(&Misbehaviour::Gzip { body: body.as_bytes().to_vec() });
    let params = "  metrics_path: /a/b\n  params: {module: ['http 2xx', 'x&y'], 'm[]': ['ü']}\n";
    let both = Both::start(&[
        ("plain", &whole(""), &plain),
        ("honours", &whole("  honor_labels: true\n"), &honours),
        ("asks", &whole(params), &asks),
        ("old", "", &old),
        ("zipped", &whole(""), &zipped),
    ]);
    both.wait_for("count(up == 1)", 5.0);
    both.wait_for("sum(scrape_series_added) == bool 0", 1.0);
    let [theirs, ours] =
        both.ask(|s| untimed(support::instant(s, "{instance=\"it\",__name__!=\"with_time\"}")));
    assert_same(&theirs, &ours, "series of all jobs");
    let stored = |s: &Service| untimed(support::instant(s, "with_time{job=~\"plain|honours|asks|zipped\"}"));
    let [theirs, ours] = both.ask(stored);
    assert_eq!(theirs.len(), 4);
    assert_same(&theirs, &ours, "times that are not honoured");

    let request = |server: &Server| {
        let request = server.requests().swap_remove(0);
        let header = |name: &str| request.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        (
            sorted_query(&request.line),
            header("accept-encoding"),
            header("x-prometheus-scrape-timeout-seconds"),
        )
    };
    for target in [&plain, &asks] {
        assert_eq!(request(&target.of_prometheus), request(&target.of_ours));
    }
    wait_until("both to have the target's error or none", PATIENCE, || {
        let states = both.each().map(|s| support::targets(s)["old"].health.clone());
        (states[0] == "up" && states[1] == "up").then_some(())
    });
}

/// A request's first line in one spelling: a space may be `+` or `%20`, and the order of names is nobody's.
fn sorted_query(line: &str) -> Vec<String> {
    let path = line.split(' ').nth(1).unwrap().replace('+', "%20");
    let mut parts: Vec<String> = path.split(['?', '&']).map(str::to_owned).collect();
    parts.sort();
    parts
}

/// The expressions that both are asked, one a line.
fn queries() -> impl Iterator<Item = &'static str> {
    include_str!("data/queries.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}
