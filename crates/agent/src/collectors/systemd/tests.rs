//! systemd, played by a bus of the tests.

use super::*;
use crate::{
    dbus::testing::{Answer, BusHost},
    filter::{Filter, Flag},
    output::Output,
    source::Paths,
    testing::env_of,
};
use skopos_exposition::Format;
use std::{sync::Arc, time::Duration};

const SSH: &str = "/org/freedesktop/systemd1/unit/ssh_2eservice";
const BACKUP: &str = "/org/freedesktop/systemd1/unit/backup_2eservice";
const DAILY: &str = "/org/freedesktop/systemd1/unit/daily_2etimer";
const BUS_SOCKET: &str = "/org/freedesktop/systemd1/unit/dbus_2esocket";
const SLICE: &str = "/org/freedesktop/systemd1/unit/system_2eslice";
const MASKED: &str = "/org/freedesktop/systemd1/unit/masked_2eservice";

const UNITS: [(&str, &str, &str, &str); 6] = [
    ("ssh.service", "loaded", "active", SSH),
    ("backup.service", "loaded", "failed", BACKUP),
    ("daily.timer", "loaded", "active", DAILY),
    ("dbus.socket", "loaded", "active", BUS_SOCKET),
    ("system.slice", "loaded", "active", SLICE),
    ("masked.service", "masked", "reloading", MASKED),
];

fn number(path: &'static str, interface: &str, name: &str, value: u64) -> Answer {
    Answer::new(path, &format!("Get {interface} {name}"), "v", |out| {
        out.signature("t");
        out.align(8);
        out.word(value as u32);
        out.word((value >> 32) as u32);
    })
}

fn answers() -> Vec<Answer> {
    let list = Answer::new(PATH, "ListUnits", "a(ssssssouso)", |out| {
        out.word(0);
        out.align(8);
        for (name, load, state, path) in UNITS {
            out.align(8);
            for text in [name, "What it is", load, state, "sub", "", path] {
                out.text(text);
            }
            out.word(0);
            out.text("");
            out.text("/");
        }
        out.set_word(0, (out.bytes().len() - 8) as u32);
    });
    vec![
        list,
        Answer::property(PATH, MANAGER, "Version", &Value::Text("252.5-2~deb12u1")),
        Answer::property(PATH, MANAGER, "Virtualization", &Value::Text("")),
        Answer::property(PATH, MANAGER, "SystemState", &Value::Text("degraded")),
        Answer::property(SSH, SERVICE, "Type", &Value::Text("notify")),
        Answer::property(BACKUP, SERVICE, "Type", &Value::Text("oneshot")),
        number(SSH, SERVICE, "NRestarts", 3),
        number(SSH, SERVICE, "TasksCurrent", 5),
        number(SSH, SERVICE, "TasksMax", u64::MAX),
        number(SSH, UNIT, "ActiveEnterTimestamp", 1_790_000_000_500_000),
        number(DAILY, TIMER, "LastTriggerUSec", 1_790_000_000_000_000),
        number(DAILY, UNIT, "ActiveEnterTimestamp", 1_790_000_000_000_000),
        number(BUS_SOCKET, SOCKET, "NAccepted", 7),
        number(BUS_SOCKET, SOCKET, "NConnections", 2),
    ]
}

fn options() -> SystemdOptions {
    let flag = |value| Flag { name: "flag", value: Some(value) };
    let units = Filter::of_both(flag("^(?:.+)$"), flag(r"^(?:.+\.(automount|device|mount|scope|slice))$"));
    SystemdOptions {
        units: units.unwrap(),
        private: false,
        tasks: false,
        restarts: false,
        start_times: false,
    }
}

fn collect(answers: Vec<Answer>, options: &SystemdOptions) -> Result<Vec<String>, CollectError> {
    let env = env_of(Arc::new(BusHost { answers }));
    let (paths, mut page) = (Paths::default(), Vec::new());
    let out = Output::new(Format::Text, &mut page);
    let mut context =
        Context { paths: &paths, host: &*env.host, clock: &*env.clock, ends_at: Duration::MAX, out };
    Systemd::new(options).collect(&mut context)?;
    context.out.end_part()?;
    let page = String::from_utf8(page).unwrap();
    Ok(page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
}

#[test]
fn units_are_shown_with_their_states() {
    let page = collect(answers(), &options()).unwrap();
    let nonzero: Vec<&str> = page.iter().map(String::as_str).filter(|line| !line.ends_with(" 0")).collect();
    assert_eq!(
        nonzero,
        [
            r#"node_systemd_version{version="252.5-2~deb12u1"} 252.5"#,
            r#"node_systemd_virtualization_info{virtualization_type="none"} 1"#,
            r#"node_systemd_units{state="active"} 4"#,
            r#"node_systemd_units{state="failed"} 1"#,
            r#"node_systemd_units{state="reloading"} 1"#,
            r#"node_systemd_unit_state{name="backup.service",state="failed",type="oneshot"} 1"#,
            r#"node_systemd_unit_state{name="daily.timer",state="active",type=""} 1"#,
            r#"node_systemd_unit_state{name="dbus.socket",state="active",type=""} 1"#,
            r#"node_systemd_unit_state{name="ssh.service",state="active",type="notify"} 1"#,
            r#"node_systemd_timer_last_trigger_seconds{name="daily.timer"} 1.79e+09"#,
            r#"node_systemd_socket_accepted_connections_total{name="dbus.socket"} 7"#,
            r#"node_systemd_socket_current_connections{name="dbus.socket"} 2"#,
        ]
    );
    assert!(page.iter().any(|line| line == "node_systemd_system_running 0"), "it is degraded");
    let states = page.iter().filter(|line| line.starts_with("node_systemd_unit_state{")).count();
    assert_eq!(states, 4 * STATES.len());
}

#[test]
fn more_is_shown_when_asked_for() {
    let all = SystemdOptions { tasks: true, restarts: true, start_times: true, ..options() };
    let page = collect(answers(), &all).unwrap();
    let plain = collect(answers(), &options()).unwrap();
    let more: Vec<&String> = page.iter().filter(|line| !plain.contains(line)).collect();
    assert_eq!(
        more,
        [
            r#"node_systemd_service_restart_total{name="ssh.service"} 3"#,
            r#"node_systemd_unit_start_time_seconds{name="backup.service"} 0"#,
            r#"node_systemd_unit_start_time_seconds{name="daily.timer"} 1.79e+09"#,
            r#"node_systemd_unit_start_time_seconds{name="ssh.service"} 1.7900000005e+09"#,
            r#"node_systemd_unit_tasks_current{name="ssh.service"} 5"#,
        ]
    );
}

#[test]
fn what_systemd_does_not_say_is_not_made_up() {
    let mut few = answers();
    few.retain(|answer| answer.call.1 == "ListUnits");
    let page = collect(few, &options()).unwrap();
    assert_eq!(page[0], r#"node_systemd_version{version=""} 0"#);
    assert_eq!(page[1], r#"node_systemd_virtualization_info{virtualization_type="unknown"} 1"#);
    assert!(!page.iter().any(|line| line.contains("system_running")));
    let mut odd = answers();
    odd[0] = Answer::new(PATH, "ListUnits", "u", |out| out.word(0));
    let error = collect(odd, &options()).unwrap_err().to_string();
    assert_eq!(error, "asking systemd: the peer sent no right message: no list of units");
    assert!(collect(Vec::new(), &options()).is_err());
}

#[test]
fn versions() {
    for (text, version) in [
        ("252", Some(252.0)),
        ("252.5-2~deb12u1", Some(252.5)),
        ("v255 (255.4-1)", Some(255.0)),
        ("systemd 9 219", Some(219.0)),
        ("257~rc1", Some(257.0)),
        ("99", None),
        ("", None),
        ("2.5", None),
    ] {
        assert_eq!(version_in(text), version, "{text:?}");
    }
}
