//! `nvmesubsystem`: NVMe subsystems and the paths to them, from `/sys/class/nvme-subsystem`.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    scan,
    source::{File, Root, exists, names_in},
};
use skopos_model::MetricType::Gauge;

const FOLDER: &str = "class/nvme-subsystem";
const STATES: [&str; 5] = ["live", "connecting", "resetting", "dead", "unknown"];
/// States that the kernel has and that are none of those shown.
const OTHER_STATES: [&str; 3] = ["deleting", "deleting (no IO)", "new"];

/// The collector.
#[derive(Debug, Default)]
pub(crate) struct NvmeSubsystem {
    file: File,
}

#[derive(Debug)]
struct Subsystem {
    name: String,
    nqn: String,
    model: String,
    serial: String,
    policy: String,
    controllers: Vec<Controller>,
    namespaces: Vec<String>,
}

#[derive(Debug)]
struct Controller {
    name: String,
    state: String,
    transport: String,
}

impl NvmeSubsystem {
    fn read(&mut self, context: &Context<'_>, name: String) -> Result<Subsystem, CollectError> {
        let mut text = |what: &str| self.text(context, &format!("{name}/{what}"));
        let (nqn, model, serial, policy) =
            (text("subsysnqn")?, text("model")?, text("serial")?, text("iopolicy")?);
        let mut controllers = Vec::new();
        let mut namespaces = Vec::new();
        for member in names_in(context.paths, Root::Sys, &format!("{FOLDER}/{name}"))? {
            match Member::of(&member) {
                Member::Controller => controllers.push(Controller {
                    state: text(&format!("{member}/state"))?,
                    transport: text(&format!("{member}/transport"))?,
                    name: member,
                }),
                Member::Namespace => namespaces.push(member),
                Member::Other => {}
            }
        }
        Ok(Subsystem { name, nqn, model, serial, policy, controllers, namespaces })
    }

    fn text(&mut self, context: &Context<'_>, name: &str) -> Result<String, CollectError> {
        self.file.read(context.paths, Root::Sys, format_args!("{FOLDER}/{name}"))?;
        Ok(scan::text(self.file.data().trim_ascii()).into_owned())
    }
}

/// What a name in a subsystem's folder stands for.
#[derive(Debug, PartialEq, Eq)]
enum Member {
    Controller,
    Namespace,
    Other,
}

impl Member {
    /// `nvme3` is a controller, `nvme3n1` a namespace; `nvme3c2n1` is a path to one.
    fn of(name: &str) -> Self {
        let number = |text: &str| scan::number(text.as_bytes()).is_some();
        let Some(rest) = name.strip_prefix("nvme") else { return Self::Other };
        match rest.split_once('n') {
            None if number(rest) => Self::Controller,
            Some((controller, namespace)) if number(controller) && number(namespace) => Self::Namespace,
            _ => Self::Other,
        }
    }
}

impl Controller {
    fn shown_state(&self) -> &str {
        let state = self.state.as_str();
        if STATES.contains(&state) || OTHER_STATES.contains(&state) { state } else { "unknown" }
    }
}

impl Collector for NvmeSubsystem {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        if !exists(context.paths, Root::Sys, FOLDER) {
            return Err(CollectError::NoData("the machine has no NVMe subsystems".into()));
        }
        let mut subsystems = Vec::new();
        for name in names_in(context.paths, Root::Sys, FOLDER)? {
            if name.starts_with("nvme-subsys") {
                subsystems.push(self.read(context, name)?);
            }
        }
        write(&subsystems, context);
        Ok(())
    }
}

fn write(subsystems: &[Subsystem], context: &mut Context<'_>) {
    let out = &mut context.out;
    let mut family = out.family("node_nvmesubsystem_info", Gauge, "What each NVMe subsystem is; always 1.");
    for one in subsystems {
        let labels = [
            ("iopolicy", &*one.policy),
            ("model", &*one.model),
            ("nqn", &*one.nqn),
            ("serial", &*one.serial),
            ("subsystem", &*one.name),
        ];
        family.sample(&labels, 1.0);
    }
    let help = "The block devices of each NVMe subsystem; always 1.";
    let mut family = out.family("node_nvmesubsystem_namespace_info", Gauge, help);
    for one in subsystems {
        for device in &one.namespaces {
            family.sample(&[("device", device), ("subsystem", &one.name)], 1.0);
        }
    }
    let help = "The paths to each NVMe subsystem.";
    let mut family = out.family("node_nvmesubsystem_paths", Gauge, help);
    for one in subsystems {
        family.sample(&[("subsystem", &one.name)], one.controllers.len() as f64);
    }
    let help = "The paths to each NVMe subsystem that work.";
    let mut family = out.family("node_nvmesubsystem_paths_live", Gauge, help);
    for one in subsystems {
        let live = one.controllers.iter().filter(|controller| controller.state == "live").count();
        family.sample(&[("subsystem", &one.name)], live as f64);
    }
    let help = "The state of each path to an NVMe subsystem: 1 for the one it is in, else 0.";
    let mut family = out.family("node_nvmesubsystem_path_state", Gauge, help);
    for one in subsystems {
        for controller in &one.controllers {
            for state in STATES {
                let labels = [
                    ("controller", &*controller.name),
                    ("state", state),
                    ("subsystem", &*one.name),
                    ("transport", &*controller.transport),
                ];
                family.sample(&labels, f64::from(u8::from(controller.shown_state() == state)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_members() {
        for (name, member) in [
            ("nvme0", Member::Controller),
            ("nvme12", Member::Controller),
            ("nvme0n1", Member::Namespace),
            ("nvme0c1n1", Member::Other),
            ("nvme", Member::Other),
            ("nvmen1", Member::Other),
            ("model", Member::Other),
        ] {
            assert_eq!(Member::of(name), member, "{name}");
        }
    }
}
