//! A child process: its log in a file, its end by signal. It never outlives its handle.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::poll;

/// How long a process may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// How much of a log's end is shown when a test fails.
const SHOWN_BYTES: usize = 16 << 10;

/// A running (or ended) child process.
///
/// Dropping it ends the process: SIGTERM, and SIGKILL if that is not heard. If a test panics meanwhile, the
/// end of the log is shown.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, adding what it prints to the file `log`.
    ///
    /// # Errors
    /// If the program cannot be started or the file not be opened.
    pub fn start(name: &str, mut command: Command, log: &Path) -> io::Result<Process> {
        let out = OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out);
        Ok(Process { name: name.to_owned(), child: command.spawn()?, log: log.to_owned() })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that the process printed so far (and those before it with the same log).
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How the process ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("invariant: the child is ours to wait for")
    }

    /// Ends the process as a crash would: SIGKILL.
    pub fn kill9(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.child.wait().expect("invariant: the child is ours to wait for")
    }

    /// Asks the process to end with SIGTERM, and tells how it did.
    ///
    /// # Panics
    /// If it does not end within ten seconds; it is killed then.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        match poll(GRACE, || self.ended()) {
            Some(status) => status,
            None => {
                self.kill9();
                panic!("{} did not end within {GRACE:?} of SIGTERM; its log:\n{}", self.name, self.log_end());
            }
        }
    }

    /// Sends a signal, unless the process has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            // As long as it has not been waited for, the id cannot belong to another process.
            let sent = kill_process(Pid::from_child(&self.child), signal);
            sent.expect("invariant: a child that has not been waited for can be signalled");
        }
    }

    /// The last part of the log.
    #[must_use]
    pub fn log_end(&self) -> String {
        let log = self.log();
        let mut start = log.len().saturating_sub(SHOWN_BYTES);
        while !log.is_char_boundary(start) {
            start += 1;
        }
        log[start..].to_owned()
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "a failing test shows what the program said")]
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
            if poll(GRACE, || self.ended()).is_none() {
                self.kill9();
            }
        }
        if thread::panicking() {
            eprintln!("---- log of {} ----\n{}", self.name, self.log_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::wait_until;

    /// A shell that says "ready" and then waits for a signal; `setup` comes first, `folder` must be empty.
    fn shell(folder: &Path, setup: &str) -> Process {
        let mut command = Command::new("sh");
        // The inner loop ends by itself, whatever happens to the test.
        command.args(["-c", &format!("{setup}\necho ready\nfor i in $(seq 300); do sleep 0.1; done")]);
        let process = Process::start("a shell", command, &folder.join("log")).unwrap();
        wait_until("the shell", Duration::from_secs(20), || process.log().contains("ready").then_some(()));
        process
    }

    fn is_alive(id: u32) -> bool {
        Path::new(&format!("/proc/{id}")).exists()
    }

    #[test]
    fn a_process_ends_by_the_signal_that_was_sent() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut killed = shell(folders[0].path(), "");
        assert_eq!(killed.ended(), None);
        assert_eq!(killed.kill9().signal(), Some(9));
        let mut asked = shell(folders[1].path(), "trap 'echo bye; exit 7' TERM");
        assert_eq!(asked.terminate().code(), Some(7));
        assert!(asked.log().ends_with("bye\n"), "{}", asked.log());
    }

    #[test]
    fn dropping_the_handle_ends_the_process_also_when_the_test_panics() {
        let folder = tempfile::tempdir().unwrap();
        let dropped = shell(folder.path(), "").id();
        assert!(!is_alive(dropped));
        let other = tempfile::tempdir().unwrap();
        let place = other.path().to_owned();
        let panicked = thread::spawn(move || {
            let process = shell(&place, "");
            std::panic::panic_any(process.id());
        });
        let id = *panicked.join().unwrap_err().downcast::<u32>().unwrap();
        assert!(!is_alive(id));
    }

    #[test]
    fn ending_twice_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell(folder.path(), "");
        process.kill9();
        assert_eq!(process.terminate().signal(), Some(9));
    }
}
