//! `logind`: how many sessions of each kind the login manager has, asked over D-Bus.

use crate::{
    collector::{Collector, Context},
    dbus::{self, Call, Connection, DbusError, Silence, Value},
    error::CollectError,
};
use skopos_model::MetricType;

const MANAGER: &str = "org.freedesktop.login1";
const MANAGER_PATH: &str = "/org/freedesktop/login1";
const MANAGER_INTERFACE: &str = "org.freedesktop.login1.Manager";
const SESSION_INTERFACE: &str = "org.freedesktop.login1.Session";

/// The kinds that are shown even when there are none of them; others count as the first.
const TYPES: [&str; 7] = ["other", "unspecified", "tty", "x11", "wayland", "mir", "web"];
const CLASSES: [&str; 5] = ["other", "user", "greeter", "lock-screen", "background"];
const REMOTE: [&str; 2] = ["true", "false"];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct Logind {
    silence: Silence,
}

/// A session: its seat, and its places in the lists above.
#[derive(Debug, PartialEq, Eq)]
struct Session {
    seat: String,
    remote: usize,
    kind: usize,
    class: usize,
}

impl Collector for Logind {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let (socket, clock) = (dbus::system_socket(), context.clock);
        self.silence.mind(&socket, clock, || ask(&socket, context))
    }
}

/// Asks for the sessions, and writes them.
fn ask(socket: &str, context: &mut Context<'_>) -> Result<(), CollectError> {
    // The bus is left at once: a connection that is kept would be woken by signals nobody reads.
    let bus = Connection::system(context.host, socket, context.patience());
    let mut bus = bus.map_err(|error| error.of("connecting to D-Bus"))?;
    let mut seats = list(&mut bus, "ListSeats", |row| Some(row.first()?.text()?.to_owned()))?;
    // Sessions from afar have no seat.
    seats.push(String::new());
    seats.sort_unstable();
    seats.dedup();
    let paths = list(&mut bus, "ListSessions", |row| {
        let [_, _, _, seat, path] = row else { return None };
        Some((seat.text()?.to_owned(), path.text()?.to_owned()))
    })?;
    let mut sessions = Vec::new();
    for (seat, path) in paths {
        match session(&mut bus, seat, &path) {
            Ok(found) => sessions.push(found),
            // It ended meanwhile.
            Err(DbusError::Refused { .. }) => {}
            Err(error) => return Err(error.of("asking the login manager for a session")),
        }
    }
    write(&seats, &sessions, context);
    Ok(())
}

/// The rows of the manager's method without arguments.
fn list<T>(
    bus: &mut Connection,
    member: &str,
    row: impl Fn(&[Value<'_>]) -> Option<T>,
) -> Result<Vec<T>, CollectError> {
    let call = Call {
        destination: MANAGER,
        path: MANAGER_PATH,
        interface: MANAGER_INTERFACE,
        member,
        arguments: &[],
    };
    let asking = "asking the login manager for a list";
    let values = bus.call(&call).map_err(|error| error.of(asking))?;
    let rows = values.first().and_then(Value::list);
    let rows = rows.map(|rows| rows.iter().map(|one| one.list().and_then(&row)).collect::<Option<Vec<T>>>());
    rows.flatten().ok_or_else(|| DbusError::Malformed("a list of other things").of(asking))
}

fn session(bus: &mut Connection, seat: String, path: &str) -> Result<Session, DbusError> {
    let is_remote = bus.property(MANAGER, path, [SESSION_INTERFACE, "Remote"])? == Value::Bool(true);
    let kind = place(&bus.property(MANAGER, path, [SESSION_INTERFACE, "Type"])?, &TYPES);
    let class = place(&bus.property(MANAGER, path, [SESSION_INTERFACE, "Class"])?, &CLASSES);
    Ok(Session { seat, remote: usize::from(!is_remote), kind, class })
}

/// The place of `value` in `known`; 0, which is `other`, when it is not there.
fn place(value: &Value<'_>, known: &[&str]) -> usize {
    known.iter().position(|name| value.text() == Some(name)).unwrap_or(0)
}

fn write(seats: &[String], sessions: &[Session], context: &mut Context<'_>) {
    let help = "Sessions that the login manager has.";
    let mut family = context.out.family("node_logind_sessions", MetricType::Gauge, help);
    for (class, class_name) in CLASSES.iter().enumerate() {
        for (remote, remote_name) in REMOTE.iter().enumerate() {
            for seat in seats {
                for (kind, kind_name) in TYPES.iter().enumerate() {
                    let is_it = |session: &&Session| {
                        (session.class, session.remote, session.kind) == (class, remote, kind)
                            && session.seat == *seat
                    };
                    let count = sessions.iter().filter(is_it).count();
                    let labels = [
                        ("class", *class_name),
                        ("remote", remote_name),
                        ("seat", seat),
                        ("type", kind_name),
                    ];
                    family.sample(&labels, count as f64);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dbus::testing::{Answer, BusHost},
        output::Output,
        source::Paths,
        testing::env_of,
    };
    use skopos_exposition::Format;
    use std::{sync::Arc, time::Duration};

    const TTY: &str = "/org/freedesktop/login1/session/c1";
    const SSH: &str = "/org/freedesktop/login1/session/_35";
    const GONE: &str = "/org/freedesktop/login1/session/_36";

    fn answers() -> Vec<Answer> {
        let seats = Answer::new(MANAGER_PATH, "ListSeats", "a(so)", |out| {
            out.word(0);
            out.align(8);
            out.text("seat0");
            out.text("/org/freedesktop/login1/seat/seat0");
            out.set_word(0, (out.bytes().len() - 8) as u32);
        });
        let sessions = Answer::new(MANAGER_PATH, "ListSessions", "a(susso)", |out| {
            out.word(0);
            for (id, seat, path) in [("c1", "seat0", TTY), ("5", "", SSH), ("6", "", GONE)] {
                out.align(8);
                out.text(id);
                out.word(1000);
                out.text("user");
                out.text(seat);
                out.text(path);
            }
            out.set_word(0, (out.bytes().len() - 8) as u32);
        });
        let mut answers = vec![seats, sessions];
        for (path, remote, kind) in [(TTY, false, "x11"), (SSH, true, "hologram")] {
            for (name, value) in
                [("Remote", Value::Bool(remote)), ("Type", Value::Text(kind)), ("Class", Value::Text("user"))]
            {
                answers.push(Answer::property(path, SESSION_INTERFACE, name, &value));
            }
        }
        answers
    }

    fn collect(host: BusHost) -> Result<String, CollectError> {
        let env = env_of(Arc::new(host));
        let (paths, mut page) = (Paths::default(), Vec::new());
        let out = Output::new(Format::Text, &mut page);
        let mut context =
            Context { paths: &paths, host: &*env.host, clock: &*env.clock, ends_at: Duration::MAX, out };
        Logind::default().collect(&mut context)?;
        context.out.end_part()?;
        Ok(String::from_utf8(page).unwrap())
    }

    #[test]
    fn sessions_are_counted_by_kind() {
        let page = collect(BusHost { answers: answers() }).unwrap();
        let samples: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples.len(), 2 * TYPES.len() * CLASSES.len() * REMOTE.len());
        let counted: Vec<&str> = samples.into_iter().filter(|line| !line.ends_with(" 0")).collect();
        assert_eq!(
            counted,
            [
                r#"node_logind_sessions{class="user",remote="true",seat="",type="other"} 1"#,
                r#"node_logind_sessions{class="user",remote="false",seat="seat0",type="x11"} 1"#,
            ]
        );
    }

    #[test]
    fn a_manager_that_does_not_answer_is_an_error() {
        let error = collect(BusHost::default()).unwrap_err().to_string();
        assert_eq!(error, "asking the login manager for a list: org.example.Unknown: unknown");
        let mut odd = answers();
        odd[1] = Answer::new(MANAGER_PATH, "ListSessions", "as", |out| out.word(0));
        assert!(collect(BusHost { answers: odd }).is_ok(), "no rows are no rows of any type");
        odd = answers();
        odd[0] = Answer::new(MANAGER_PATH, "ListSeats", "u", |out| out.word(0));
        assert!(collect(BusHost { answers: odd }).is_err());
    }
}
