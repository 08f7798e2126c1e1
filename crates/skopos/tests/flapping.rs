//! Targets that flap, beside Prometheus 3: what is stored of each scrape, and where series end.

use crate::support::{PATIENCE, instant, instant_at, server, value};
use skopos_testkit::{
    misbehaving::{Misbehaviour, Server},
    peers,
    service::Service,
    wait_until,
};
use std::time::Duration;

/// Good answers in the script.
const GOOD: usize = 11;

/// What both are told of the target.
fn config(target: &Server) -> String {
    format!(
        "scrape_configs:\n- {{job_name: flaps, scrape_interval: 1s, scrape_timeout: 600ms, static_configs: \
         [{{targets: ['{}']}}]}}\n",
        target.address()
    )
}

/// Good answers with failures of all kinds between them; each good one has other values, and not all series.
fn script() -> Vec<Misbehaviour> {
    let mut values = 0;
    let mut good = |more: &str| {
        values += 1;
        Misbehaviour::text(&format!("# TYPE m counter\nm {values}\nalways{{l=\"x\"}} {values}\n{more}"))
    };
    let half =
        || Misbehaviour::WrongContentLength { body: b"m 100\nalways{l=\"x\"} 100\n".to_vec(), claimed: 5000 };
    let answers = |status: u16, body: &[u8]| Misbehaviour::Answers {
        status,
        content_type: "text/plain".to_owned(),
        body: body.to_vec(),
    };
    vec![
        good("now_and_then 1\n"),
        Misbehaviour::ClosesAtOnce,
        good(""),
        Misbehaviour::NeverAnswers,
        good("now_and_then 2\n"),
        half(),
        good("now_and_then 3\n"),
        Misbehaviour::HalfLine,
        good(""),
        good("now_and_then 4\n"),
        Misbehaviour::TornGzip { body: b"m 100\n".repeat(100) },
        Misbehaviour::ClosesAtOnce,
        Misbehaviour::NeverAnswers,
        half(),
        good("now_and_then 5\n"),
        answers(500, b"m 100\n"),
        good(""),
        // Prometheus does not end series that stand before the error: here none has samples elsewhere.
        answers(200, b"elsewhere 100\nbroken{ 1\n"),
        good("now_and_then 6\nm{twice=\"a\"} 1\n"),
        Misbehaviour::NeverSendsBody,
        good(""),
        answers(200, b""),
        good("now_and_then 7\n"),
    ]
}

/// What a server has of each scrape: whether it succeeded, and the value of each series then, if any.
fn outcomes(server: &Service, scrapes: usize) -> Vec<String> {
    let all = instant(server, "up[10m]");
    let (_, ups) = all.iter().next().unwrap();
    let of = |(at, up): &(i64, u64)| {
        let mut line = format!("up {}", f64::from_bits(*up));
        let there = instant_at(server, "{__name__=~\"m|always|now_and_then\"}", *at).unwrap();
        for (labels, samples) in there {
            let labels: Vec<String> = labels
                .iter()
                .filter(|(name, _)| !["instance", "job"].contains(&name.as_str()))
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            line += &format!(" {}:{}", labels.join(","), f64::from_bits(samples[0].1));
        }
        line
    };
    ups.iter().take(scrapes).map(of).collect()
}

/// All stored samples of the series, by value.
fn values(server: &Service, query: &str) -> Vec<Vec<f64>> {
    let all = instant(server, query);
    all.values().map(|samples| samples.iter().map(|(_, bits)| f64::from_bits(*bits)).collect()).collect()
}

#[test]
fn of_a_target_that_flaps_the_same_is_stored_as_in_prometheus_3() {
    let Some(program) = peers::prometheus_3() else { return };
    let [of_ours, of_theirs] = [(); 2].map(|()| Server::start(script()));
    let theirs = peers::prometheus_at(program, &config(&of_theirs), &["--log.level=error"]);
    let ours = server().config(&config(&of_ours)).start();
    let scrapes = script().len();
    for server in [&theirs, &ours] {
        wait_until("all of the script", PATIENCE + Duration::from_secs(60), || {
            value(server, "count_over_time(up[10m])").filter(|n| *n > scrapes as f64)
        });
    }
    let (of_ours, of_theirs) = (outcomes(&ours, scrapes), outcomes(&theirs, scrapes));
    for (nth, (ours, theirs)) in of_ours.iter().zip(&of_theirs).enumerate() {
        assert_eq!(ours, theirs, "scrape {nth}: {:?}", script()[nth]);
    }
    assert_eq!(of_ours.iter().filter(|line| line.starts_with("up 1")).count(), 12, "{of_ours:#?}");
    for query in ["m{twice=\"\"}[10m]", "always[10m]"] {
        let all = values(&ours, query).remove(0);
        // The last answer stands for all that come behind the script.
        let of_script: Vec<f64> = all.into_iter().take(GOOD).collect();
        let expected: Vec<f64> = (1..=GOOD).map(|value| value as f64).collect();
        assert_eq!(of_script, expected, "{query} is doubled or lost");
    }
}
