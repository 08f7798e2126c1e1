//! `systemd`: its units and their states, asked over D-Bus.

use crate::{
    collector::{Collector, Context},
    dbus::{self, Call, Connection, DbusError, Silence, Value},
    error::CollectError,
    filter::Filter,
};
use skopos_model::MetricType::{self, Counter, Gauge};

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const MOUNT: &str = "org.freedesktop.systemd1.Mount";
const SOCKET: &str = "org.freedesktop.systemd1.Socket";
const TIMER: &str = "org.freedesktop.systemd1.Timer";
/// Where systemd itself listens, to root alone.
const PRIVATE_SOCKET: &str = "/run/systemd/private";
const ASKING: &str = "asking systemd";

/// The states of a unit that are shown, even if no unit is in them.
const STATES: [&str; 5] = ["active", "activating", "deactivating", "inactive", "failed"];
const MICROSECONDS: f64 = 1e6;

/// Options of `systemd`.
#[derive(Clone, Debug)]
pub struct SystemdOptions {
    /// Units.
    pub units: Filter,
    /// Whether systemd is asked without a bus between.
    pub private: bool,
    /// Whether the tasks of services are shown.
    pub tasks: bool,
    /// Whether it is shown how often services were restarted.
    pub restarts: bool,
    /// Whether it is shown when units became active.
    pub start_times: bool,
}

/// The collector.
#[derive(Debug)]
pub(crate) struct Systemd {
    options: SystemdOptions,
    silence: Silence,
}

/// A unit, as the list of all units has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unit {
    name: String,
    loaded: bool,
    state: String,
    path: String,
}

/// A value of a unit: which units have it, where it is asked for, and its metric.
#[derive(Debug)]
struct Column {
    suffix: &'static str,
    property: [&'static str; 2],
    metric: &'static str,
    kind: MetricType,
    help: &'static str,
    /// What the property is divided by.
    unit: f64,
}

const RESTARTS: Column = Column {
    suffix: ".service",
    property: [SERVICE, "NRestarts"],
    metric: "node_systemd_service_restart_total",
    kind: Counter,
    help: "How often systemd restarted each service.",
    unit: 1.0,
};
const START_TIME: Column = Column {
    suffix: "",
    property: [UNIT, "ActiveEnterTimestamp"],
    metric: "node_systemd_unit_start_time_seconds",
    kind: Gauge,
    help: "When each unit became active, in seconds since 1970; 0 if it is not.",
    unit: MICROSECONDS,
};
const TASKS: [Column; 2] = [
    Column {
        suffix: ".service",
        property: [SERVICE, "TasksCurrent"],
        metric: "node_systemd_unit_tasks_current",
        kind: Gauge,
        help: "The tasks of each service.",
        unit: 1.0,
    },
    Column {
        suffix: ".service",
        property: [SERVICE, "TasksMax"],
        metric: "node_systemd_unit_tasks_max",
        kind: Gauge,
        help: "How many tasks each service may have.",
        unit: 1.0,
    },
];
const TIMERS_AND_SOCKETS: [Column; 4] = [
    Column {
        suffix: ".timer",
        property: [TIMER, "LastTriggerUSec"],
        metric: "node_systemd_timer_last_trigger_seconds",
        kind: Gauge,
        help: "When each timer elapsed last, in seconds since 1970.",
        unit: MICROSECONDS,
    },
    Column {
        suffix: ".socket",
        property: [SOCKET, "NAccepted"],
        metric: "node_systemd_socket_accepted_connections_total",
        kind: Counter,
        help: "Connections that each socket accepted.",
        unit: 1.0,
    },
    Column {
        suffix: ".socket",
        property: [SOCKET, "NConnections"],
        metric: "node_systemd_socket_current_connections",
        kind: Gauge,
        help: "Connections that each socket has.",
        unit: 1.0,
    },
    Column {
        suffix: ".socket",
        property: [SOCKET, "NRefused"],
        metric: "node_systemd_socket_refused_connections_total",
        kind: Gauge,
        help: "Connections that each socket refused.",
        unit: 1.0,
    },
];

/// systemd at the other end of a connection.
#[derive(Debug)]
struct Manager {
    bus: Connection,
    /// Who is called: nobody in particular where no bus stands between.
    destination: &'static str,
}

impl Manager {
    fn units(&mut self) -> Result<Vec<Unit>, DbusError> {
        let call = Call {
            destination: self.destination,
            path: PATH,
            interface: MANAGER,
            member: "ListUnits",
            arguments: &[],
        };
        let values = self.bus.call(&call)?;
        let rows = values.first().and_then(Value::list).ok_or(DbusError::Malformed("no list of units"))?;
        let units: Option<Vec<Unit>> = rows.iter().map(unit).collect();
        let mut units = units.ok_or(DbusError::Malformed("a list of other things than units"))?;
        units.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        units.dedup_by(|a, b| a.name == b.name);
        Ok(units)
    }

    /// A text of the manager, or nothing if it has no such property.
    fn text(&mut self, name: &str) -> Result<Option<String>, DbusError> {
        let value = self.property(PATH, [MANAGER, name])?;
        Ok(value.and_then(|value| value.text().map(str::to_owned)))
    }

    /// A property, or nothing: units come and go, and old versions have fewer properties.
    fn property(&mut self, path: &str, name: [&str; 2]) -> Result<Option<Value<'_>>, DbusError> {
        match self.bus.property(self.destination, path, name) {
            Ok(value) => Ok(Some(value)),
            Err(DbusError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A row of the list of units.
fn unit(row: &Value<'_>) -> Option<Unit> {
    let [name, _, load, state, _, _, path, ..] = row.list()? else { return None };
    Some(Unit {
        name: name.text()?.to_owned(),
        loaded: load.text()? == "loaded",
        state: state.text()?.to_owned(),
        path: path.text()?.to_owned(),
    })
}

impl Systemd {
    pub(crate) fn new(options: &SystemdOptions) -> Self {
        Self { options: options.clone(), silence: Silence::default() }
    }

    /// Asks systemd, which listens on `socket`, and writes what it says.
    fn ask(&self, socket: &str, context: &mut Context<'_>) -> Result<(), CollectError> {
        let patience = context.patience();
        let (bus, destination) = if self.options.private {
            (Connection::direct(context.host, socket, patience), "")
        } else {
            (Connection::system(context.host, socket, patience), NAME)
        };
        let bus = bus.map_err(|error| error.of("connecting to systemd"))?;
        let mut manager = Manager { bus, destination };
        self.write(&mut manager, context).map_err(|error| error.of(ASKING))
    }

    fn write(&self, manager: &mut Manager, context: &mut Context<'_>) -> Result<(), DbusError> {
        let version = write_manager(manager, context)?;
        let units = manager.units()?;
        write_summary(&units, context);
        let shown = |unit: &&Unit| unit.loaded && self.options.units.admits(unit.name.as_bytes());
        let units: Vec<&Unit> = units.iter().filter(shown).collect();
        write_states(&units, manager, context)?;
        // Older versions know neither their own state nor when a timer elapsed.
        let is_old = version < 212.0;
        let columns = TIMERS_AND_SOCKETS.iter().filter(|column| !is_old || column.suffix != ".timer");
        let columns = columns
            .chain(self.options.restarts.then_some(&RESTARTS))
            .chain(self.options.start_times.then_some(&START_TIME))
            .chain(TASKS.iter().filter(|_| self.options.tasks));
        for column in columns {
            write_column(column, &units, manager, context)?;
        }
        if !is_old && let Some(state) = manager.text("SystemState")? {
            let help = "Whether the machine runs, with no unit failed.";
            context.out.gauge("node_systemd_system_running", help, f64::from(u8::from(state == "running")));
        }
        Ok(())
    }
}

impl Collector for Systemd {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let private = self.options.private;
        let socket = if private { PRIVATE_SOCKET.into() } else { dbus::system_socket() };
        let (clock, mut silence) = (context.clock, std::mem::take(&mut self.silence));
        let asked = silence.mind(&socket, clock, || self.ask(&socket, context));
        self.silence = silence;
        asked
    }
}

/// Writes what systemd says of itself; returns its version.
fn write_manager(manager: &mut Manager, context: &mut Context<'_>) -> Result<f64, DbusError> {
    let full = manager.text("Version")?.unwrap_or_default();
    let version = version_in(&full);
    let help = "The version of systemd.";
    let label = if version.is_some() { &*full } else { "" };
    let version = version.unwrap_or(0.0);
    context.out.family("node_systemd_version", Gauge, help).sample(&[("version", label)], version);
    let virtualization = match manager.text("Virtualization")? {
        None => "unknown".to_owned(),
        Some(none) if none.is_empty() => "none".to_owned(),
        Some(kind) => kind,
    };
    let help = "What systemd takes this machine for; always 1.";
    let mut family = context.out.family("node_systemd_virtualization_info", Gauge, help);
    family.sample(&[("virtualization_type", &virtualization)], 1.0);
    Ok(version)
}

/// The first number of three digits or more, with what stands behind a point: `252.5` of `252.5-2~deb12u1`.
fn version_in(text: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut rest = text;
    loop {
        rest = &rest[rest.find(|c: char| c.is_ascii_digit())?..];
        let whole = digits(rest);
        if whole >= 3 {
            let fraction = rest[whole..].strip_prefix('.').map_or(0, digits);
            let len = if fraction > 0 { whole + 1 + fraction } else { whole };
            return rest[..len].parse().ok();
        }
        rest = &rest[whole..];
    }
}

fn write_summary(units: &[Unit], context: &mut Context<'_>) {
    let mut states: Vec<&str> = STATES.to_vec();
    for unit in units {
        if !states.contains(&unit.state.as_str()) {
            states.push(&unit.state);
        }
    }
    let mut family = context.out.family("node_systemd_units", Gauge, "Units by state.");
    for state in states {
        let count = units.iter().filter(|unit| unit.state == state).count();
        family.sample(&[("state", state)], count as f64);
    }
}

fn write_states(units: &[&Unit], manager: &mut Manager, context: &mut Context<'_>) -> Result<(), DbusError> {
    let help = "The state of each unit: 1 for the one it is in, else 0.";
    let mut family = context.out.family("node_systemd_unit_state", Gauge, help);
    for unit in units {
        let interface = match () {
            () if unit.name.ends_with(".service") => Some(SERVICE),
            () if unit.name.ends_with(".mount") => Some(MOUNT),
            () => None,
        };
        let value = match interface {
            Some(interface) => manager.property(&unit.path, [interface, "Type"])?,
            None => None,
        };
        let kind = value.as_ref().and_then(Value::text).unwrap_or_default();
        for state in STATES {
            let labels = [("name", &*unit.name), ("state", state), ("type", kind)];
            family.sample(&labels, f64::from(u8::from(unit.state == state)));
        }
    }
    Ok(())
}

fn write_column(
    column: &Column,
    units: &[&Unit],
    manager: &mut Manager,
    context: &mut Context<'_>,
) -> Result<(), DbusError> {
    let mut family = context.out.family(column.metric, column.kind, column.help);
    for unit in units.iter().filter(|unit| unit.name.ends_with(column.suffix)) {
        let is_start_time = column.metric == START_TIME.metric;
        let value = if is_start_time && unit.state != "active" {
            Some(0)
        } else {
            match manager.property(&unit.path, column.property)? {
                // The largest number stands for none.
                Some(Value::Unsigned(number)) if number != u64::MAX => Some(number),
                _ => None,
            }
        };
        if let Some(value) = value {
            family.sample(&[("name", &unit.name)], value as f64 / column.unit);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
