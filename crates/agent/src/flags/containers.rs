//! The flags of the collector `containers`, and their way to `ContainerOptions`.

use super::{Switches, or};
use crate::{
    error::OptionsError,
    filter::{Filter, Flag},
    options::ContainerOptions,
};
use clap::Args;

/// systemd makes a group for each mount; nothing runs in them.
const ID_EXCLUDE: &str = r"\.mount$";
const DOCKER_SOCKET: &str = "/run/docker.sock";
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";
const CRIO_SOCKET: &str = "/run/crio/crio.sock";
const CONTAINERD_STATE: &str = "/run/containerd";

/// The flags of `containers`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerArgs {
    /// The only control groups to show, by their paths
    #[arg(long = "collector.containers.id-include", value_name = "REGEX")]
    pub id_include: Option<String>,
    /// Control groups not to show, by their paths
    #[arg(long = "collector.containers.id-exclude", value_name = "REGEX")]
    pub id_exclude: Option<String>,
    /// The only labels of containers to show as container_label_NAME
    #[arg(long = "collector.containers.label-include", value_name = "REGEX")]
    pub label_include: Option<String>,
    /// Labels of containers not to show
    #[arg(long = "collector.containers.label-exclude", value_name = "REGEX")]
    pub label_exclude: Option<String>,
    /// Docker's socket, in the root file system; empty to ask nobody [default: /run/docker.sock]
    #[arg(long = "collector.containers.docker-socket", value_name = "FILE")]
    pub docker_socket: Option<String>,
    /// Podman's socket; empty to ask nobody [default: /run/podman/podman.sock]
    #[arg(long = "collector.containers.podman-socket", value_name = "FILE")]
    pub podman_socket: Option<String>,
    /// CRI-O's socket; empty to ask nobody [default: /run/crio/crio.sock]
    #[arg(long = "collector.containers.crio-socket", value_name = "FILE")]
    pub crio_socket: Option<String>,
    /// Where containerd keeps what runs; empty to read nothing [default: /run/containerd]
    #[arg(long = "collector.containers.containerd-state", value_name = "DIR")]
    pub containerd_state: Option<String>,
}

impl ContainerArgs {
    pub(super) fn options(&self, switches: &Switches) -> Result<ContainerOptions, OptionsError> {
        let none = Flag { name: "", value: None };
        let is_on = |name: &str| switches.is_on(&format!("collector.containers.{name}"));
        Ok(ContainerOptions {
            ids: Filter::new(
                Flag { name: "collector.containers.id-include", value: self.id_include.as_deref() },
                Flag { name: "collector.containers.id-exclude", value: self.id_exclude.as_deref() },
                none,
                ID_EXCLUDE,
            )?,
            labels: Filter::new(
                Flag { name: "collector.containers.label-include", value: self.label_include.as_deref() },
                Flag { name: "collector.containers.label-exclude", value: self.label_exclude.as_deref() },
                none,
                "",
            )?,
            docker_socket: or(&self.docker_socket, DOCKER_SOCKET).to_owned(),
            podman_socket: or(&self.podman_socket, PODMAN_SOCKET).to_owned(),
            crio_socket: or(&self.crio_socket, CRIO_SOCKET).to_owned(),
            containerd_state: or(&self.containerd_state, CONTAINERD_STATE).to_owned(),
            per_cpu: is_on("percpu"),
            load: is_on("load"),
            layers: is_on("layers"),
            connections: is_on("connections"),
            tcp_counters: is_on("advtcp"),
            numa: is_on("numa"),
            schedule: is_on("schedstat"),
            sockets: is_on("sockets"),
            topology: is_on("topology"),
            only_runtimes: is_on("only-runtimes"),
        })
    }
}
