//! Our own program as a process, for tests from end to end. It knows the few flags that every such test
//! needs; the rest is the test's.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::service::{Service, Spec};

/// What makes a program run as the user and the group `nobody`.
const NOBODY_USER: &str = "--reuid=65534";
const NOBODY_GROUP: &str = "--regid=65534";

/// How our program is to be started.
#[derive(Debug, Clone)]
pub struct Skopos {
    spec: Spec,
}

impl Skopos {
    /// `skopos server` with its data below the folder and no configuration.
    ///
    /// `binary` is `env!("CARGO_BIN_EXE_skopos")` in a test of the crate `skopos`.
    #[must_use]
    pub fn server(binary: impl AsRef<Path>) -> Skopos {
        let flags = ["server", "--web.listen-address={address}", "--storage.tsdb.path={folder}/data"];
        Skopos::role(binary.as_ref(), &flags, "/-/ready")
    }

    /// `skopos agent`, which serves `/metrics`.
    #[must_use]
    pub fn agent(binary: impl AsRef<Path>) -> Skopos {
        Skopos::role(binary.as_ref(), &["agent", "--web.listen-address={address}"], "/metrics")
    }

    fn role(binary: &Path, arguments: &[&str], ready_path: &str) -> Skopos {
        let spec = Spec {
            name: format!("skopos {}", arguments[0]),
            program: binary.to_owned(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            files: Vec::new(),
            ready_path: ready_path.to_owned(),
        };
        Skopos { spec }
    }

    /// Reads this configuration (the text of `prometheus.yml`).
    #[must_use]
    pub fn config(mut self, text: &str) -> Skopos {
        self.spec.files.push(("prometheus.yml".to_owned(), text.to_owned()));
        self.flag("--config.file={folder}/prometheus.yml")
    }

    /// Adds a flag; `{address}` and `{folder}` are filled in.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Skopos {
        self.spec.arguments.push(flag.to_owned());
        self
    }

    /// Asks this path for whether it is ready.
    #[must_use]
    pub fn ready_path(mut self, path: &str) -> Skopos {
        path.clone_into(&mut self.spec.ready_path);
        self
    }

    /// Runs a copy of it, which is put into `folder`, as the user and group `nobody`. Only root can do this.
    ///
    /// # Panics
    /// If the copy cannot be made.
    #[must_use]
    pub fn as_nobody(mut self, folder: &Path) -> Skopos {
        let copy = folder.join("skopos");
        let copied = fs::copy(&self.spec.program, &copy);
        copied.unwrap_or_else(|error| panic!("cannot copy {}: {error}", self.spec.program.display()));
        // The folder is a temporary one, which only its owner may enter.
        let entered = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
        entered.unwrap_or_else(|error| panic!("cannot open {}: {error}", folder.display()));
        self.spec.program = copy;
        self.behind("setpriv", &[NOBODY_USER, NOBODY_GROUP, "--clear-groups", "--"])
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn variable(self, name: &str, value: &str) -> Skopos {
        self.behind("env", &[&format!("{name}={value}")])
    }

    /// Has it started by another program, which becomes it.
    fn behind(mut self, program: &str, own: &[&str]) -> Skopos {
        let started = std::mem::replace(&mut self.spec.program, program.into()).display().to_string();
        let arguments = std::mem::take(&mut self.spec.arguments);
        let own = own.iter().map(|argument| (*argument).to_owned());
        self.spec.arguments = own.chain([started]).chain(arguments).collect();
        self
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Service {
        Service::start(self.spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_written_and_named() {
        let spec = Skopos::server("skopos").config("global: {}\n").flag("--log.level=debug").spec;
        let expected = [
            "server",
            "--web.listen-address={address}",
            "--storage.tsdb.path={folder}/data",
            "--config.file={folder}/prometheus.yml",
            "--log.level=debug",
        ];
        assert_eq!(spec.arguments, expected);
        assert_eq!(spec.files, [("prometheus.yml".to_owned(), "global: {}\n".to_owned())]);
    }
}
