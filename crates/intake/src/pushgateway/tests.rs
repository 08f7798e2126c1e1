//! Pushes, their groups and what is shown of them, over a simulated disk and a clock that is moved by hand.

use super::*;
use skopos_base::sim::{SimClock, SimWorld};

struct Life {
    env: Env,
    clock: Arc<SimClock>,
}

impl Life {
    fn new() -> Self {
        let clock = Arc::new(SimClock::new(1_000_000));
        let env = Env { clock: Arc::clone(&clock) as _, ..SimWorld::new(1).env() };
        env.fs.create_dir_all(std::path::Path::new("/d")).unwrap();
        Self { env, clock }
    }

    fn open(&self) -> Pushgateway {
        self.open_with(None)
    }

    fn open_with(&self, ttl: Option<DurationMs>) -> Pushgateway {
        let options =
            GatewayOptions { file: "/d/pushgateway.json".into(), ttl, max_groups: 3, max_bytes: 10_000 };
        Pushgateway::open(options, &self.env).unwrap()
    }
}

fn key(path: &str) -> GroupingKey {
    GroupingKey::parse(path).unwrap()
}

fn push(gateway: &Pushgateway, path: &str, text: &str, replace: Replace) -> Result<(), String> {
    let pushed = gateway.push(&key(path), (Form::Text, text.as_bytes()), replace, None);
    pushed.map_err(|e| e.to_string())
}

fn page(gateway: &Pushgateway) -> String {
    let mut out = Vec::new();
    gateway.page(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_group_is_replaced_as_a_whole_or_by_names_and_survives() {
    let life = Life::new();
    let gateway = life.open();
    push(
        &gateway,
        "job/a/x/y",
        "# TYPE m counter\n# HELP m What.\nm{x=\"lost\",l=\"1\"} 1\nn 2\n",
        Replace::Group,
    )
    .unwrap();
    let shown = page(&gateway);
    assert!(
        shown.contains("# HELP m What.\n# TYPE m counter\nm{instance=\"\",job=\"a\",l=\"1\",x=\"y\"} 1\n"),
        "{shown}"
    );
    assert!(shown.contains("push_time_seconds{instance=\"\",job=\"a\",x=\"y\"} 1000\n"), "{shown}");
    push(&gateway, "job/a/x/y", "n 3\n", Replace::Names).unwrap();
    assert!(page(&gateway).contains("\nm{") && page(&gateway).contains("x=\"y\"} 3\n"));
    push(&gateway, "job/a/x/y", "n 4\n", Replace::Group).unwrap();
    assert!(!page(&gateway).contains("\nm{"));
    let before = page(&gateway);
    drop(gateway);
    let gateway = life.open();
    assert_eq!(page(&gateway), before);
    gateway.delete(&key("job/a/x/y")).unwrap();
    assert_eq!(page(&life.open()), "");
}

#[test]
fn what_is_not_consistent_is_refused_and_noted() {
    let life = Life::new();
    let gateway = life.open();
    push(&gateway, "job/a", "# TYPE m counter\nm 1\n", Replace::Group).unwrap();
    life.clock.advance(std::time::Duration::from_secs(5));
    for (path, text, reason) in [
        ("job/a", "m 1 17\n", "must not have timestamps"),
        ("job/b", "# TYPE m gauge\nm 1\n", "is a gauge, and a counter"),
        ("job/a", "k 1\nk 1\n", "was collected before"),
        ("job/a", "k{job=\"x\"} 1\nk{job=\"y\"} 2\n", "was collected before"),
    ] {
        let refused = push(&gateway, path, text, Replace::Group).unwrap_err();
        assert!(refused.starts_with("pushed metrics are invalid") && refused.contains(reason), "{refused}");
    }
    assert!(push(&gateway, "job/c", "no metric\n", Replace::Group).is_err());
    let shown = page(&gateway);
    assert!(shown.contains("\nm{instance=\"\",job=\"a\"} 1\n"), "{shown}");
    assert!(shown.contains("push_failure_time_seconds{instance=\"\",job=\"a\"} 1005\n"), "{shown}");
    assert!(shown.contains("push_time_seconds{instance=\"\",job=\"b\"} 0\n"), "{shown}");
    let status = gateway.status();
    assert_eq!(
        (&status[0]["last_push_successful"], &status[0]["m"]["metrics"][0]["value"]),
        (&false.into(), &"1".into())
    );
}

#[test]
fn a_push_may_say_that_its_group_stays_for_ever() {
    let life = Life::new();
    let gateway = life.open_with(Some(DurationMs::from_secs(60)));
    for (job, ttl) in [("job/a", Some(DurationMs::ZERO)), ("job/b", None)] {
        gateway.push(&key(job), (Form::Text, b"m 1\n"), Replace::Group, ttl).unwrap();
    }
    assert!(page(&gateway).contains("job=\"a\"") && page(&gateway).contains("job=\"b\""));
    life.clock.advance(std::time::Duration::from_secs(1_000_000));
    let shown = page(&gateway);
    assert!(shown.contains("job=\"a\"") && !shown.contains("job=\"b\""), "{shown}");
}

#[test]
fn a_group_goes_when_its_time_is_over_and_there_are_only_so_many() {
    let life = Life::new();
    let gateway = life.open();
    let live = Some(DurationMs::from_secs(60));
    gateway.push(&key("job/a"), (Form::Text, b"m 1\n"), Replace::Group, live).unwrap();
    for job in ["job/b", "job/c"] {
        push(&gateway, job, "m 1\n", Replace::Group).unwrap();
    }
    assert!(push(&gateway, "job/d", "m 1\n", Replace::Group).unwrap_err().contains("pushgateway.max-groups"));
    let long = format!("m{{a=\"{}\"}} 1\n", "x".repeat(10_000));
    assert!(push(&gateway, "job/b", &long, Replace::Group).unwrap_err().contains("pushgateway.max-bytes"));
    life.clock.advance(std::time::Duration::from_secs(59));
    gateway.push(&key("job/a"), (Form::Text, b"m 1\n"), Replace::Names, live).unwrap();
    life.clock.advance(std::time::Duration::from_secs(59));
    assert!(page(&gateway).contains("job=\"a\"") && page(&life.open()).contains("job=\"a\""));
    life.clock.advance(std::time::Duration::from_secs(1));
    assert!(!page(&gateway).contains("job=\"a\"") && !page(&life.open()).contains("job=\"a\""));
    push(&gateway, "job/d", "m 1\n", Replace::Group).unwrap();
    gateway.wipe().unwrap();
    assert_eq!(life.open().groups(), 0);
}
