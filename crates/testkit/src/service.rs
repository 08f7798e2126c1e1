//! A program that serves HTTP, run for a test: in a temporary folder, on a free loopback port, waited for
//! until it is ready, gone with its handle. Never knows which program it is: `peers` and `skopos` do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use crate::free_port;
use crate::http::{self, Response};
use crate::process::Process;
use crate::wait::poll;

/// How long a program may take to become ready.
const READY: Duration = Duration::from_secs(60);
/// How often a start is tried again when the program ends at once: its port may have been taken meanwhile.
const STARTS: usize = 3;

/// How a program is started. In `arguments`, `{address}` stands for `127.0.0.1:PORT`, `{port}` for the port
/// alone and `{folder}` for the folder.
#[derive(Debug, Clone)]
pub struct Spec {
    /// What it is called in messages.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Files that are put into the folder before the start: name and content.
    pub files: Vec<(String, String)>,
    /// The path that answers 200 once the program is ready.
    pub ready_path: String,
}

/// A running program.
#[derive(Debug)]
pub struct Service {
    // Fields are dropped in this order: the process ends before its folder is removed.
    process: Process,
    port: u16,
    spec: Spec,
    folder: TempDir,
}

impl Service {
    /// Starts the program and waits until it is ready.
    ///
    /// # Panics
    /// If it cannot be started or does not become ready; the message holds the end of its log.
    #[must_use]
    #[track_caller]
    pub fn start(spec: Spec) -> Service {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for (name, content) in &spec.files {
            let written = fs::write(folder.path().join(name), content);
            written.unwrap_or_else(|error| panic!("cannot write {name} for {}: {error}", spec.name));
        }
        let mut last_log = String::new();
        for _ in 0..STARTS {
            let port = free_port();
            match launch(&spec, folder.path(), port) {
                Ok(process) => return Service { process, port, spec, folder },
                Err(log) => last_log = log,
            }
        }
        panic!("{} ended before it was ready; its log:\n{last_log}", spec.name);
    }

    /// The address of `path` (which begins with `/`).
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        address(self.port)
    }

    /// Fetches `path`.
    ///
    /// # Panics
    /// If there is no answer; a status that is no success is an answer.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        let url = self.url(path);
        http::get(&url).unwrap_or_else(|error| panic!("{} does not answer {url}: {error}", self.spec.name))
    }

    /// The folder of its data and files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All that it printed, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The running (or ended) process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it as a crash would.
    pub fn kill9(&mut self) -> ExitStatus {
        self.process.kill9()
    }

    /// Asks it to end, and tells how it did.
    ///
    /// # Panics
    /// If it does not end in time.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.terminate()
    }

    /// Starts it again on the same folder and port, ending it first if it still runs.
    ///
    /// # Panics
    /// If it does not become ready.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process.terminate();
        match launch(&self.spec, self.folder.path(), self.port) {
            Ok(process) => self.process = process,
            Err(log) => panic!("{} ended before it was ready again; its log:\n{log}", self.spec.name),
        }
    }

    /// Changes what the next [`Service::restart`] starts.
    pub fn spec(&mut self) -> &mut Spec {
        &mut self.spec
    }
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Starts the program and waits for it; gives its log if it ends instead.
#[track_caller]
fn launch(spec: &Spec, folder: &Path, port: u16) -> Result<Process, String> {
    let place = folder.to_str().expect("invariant: temporary folders have names in UTF-8");
    let fill = |argument: &String| {
        let argument = argument.replace("{address}", &address(port)).replace("{port}", &port.to_string());
        argument.replace("{folder}", place)
    };
    let mut command = Command::new(&spec.program);
    command.args(spec.arguments.iter().map(fill)).current_dir(folder);
    let started = Process::start(&spec.name, command, &folder.join("log"));
    let mut process =
        started.unwrap_or_else(|error| panic!("cannot start {}: {error}", spec.program.display()));
    let url = format!("http://{}{}", address(port), spec.ready_path);
    let outcome = poll(READY, || match process.ended() {
        Some(_) => Some(false),
        None => http::get(&url).is_ok_and(|answer| answer.status == 200).then_some(true),
    });
    match outcome {
        Some(true) => Ok(process),
        Some(false) => Err(process.log_end()),
        None => panic!("{} was not ready within {READY:?}; its log:\n{}", spec.name, process.log_end()),
    }
}
