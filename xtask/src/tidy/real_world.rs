//! Rule: crates of the pure layers reach clock, files, threads, network and chance through `base` alone, and
//! no test sleeps on wall time.
//!
//! Test code of these crates may read fixtures and start threads; the product may not. Clippy's
//! `disallowed_methods` catches single calls by their type; this rule sees whole modules and works without a
//! build.

use super::Tree;
use super::facts::Seen;
use crate::finding::Finding;
use crate::layers::covers;

/// Banned in the product code of pure crates, with what to take instead. A path stands for all that is below
/// it.
const BANNED: [(&str, &str); 15] = [
    ("std::fs", "use the file system of `skopos-base`"),
    ("std::time::SystemTime::now", "use the clock of `skopos-base`"),
    ("std::time::Instant::now", "use the clock of `skopos-base`"),
    ("std::thread::Builder", "use the spawner of `skopos-base`"),
    ("std::thread::park_timeout", "use the clock of `skopos-base`"),
    ("std::thread::scope", "use the spawner of `skopos-base`"),
    ("std::thread::sleep", "use the clock of `skopos-base`"),
    ("std::thread::spawn", "use the spawner of `skopos-base`"),
    ("std::net::TcpListener", "leave the network to the crates of the edges"),
    ("std::net::TcpStream", "leave the network to the crates of the edges"),
    ("std::net::UdpSocket", "leave the network to the crates of the edges"),
    ("std::process::Command", "leave processes to the crates of the edges"),
    ("tokio", "leave async to the crates of the edges"),
    ("rand", "use the random numbers of `skopos-base`"),
    ("getrandom", "use the random numbers of `skopos-base`"),
];

const SLEEP: &str = "std::thread::sleep";
/// Crates whose tests deal with real processes and must therefore wait for them.
const WAITS_FOR_PROCESSES: [&str; 2] = ["crates/testkit/", "xtask/"];

/// Findings for banned paths.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _, facts) in tree.rust_files() {
        if covers(&tree.layers.allow.real_world, path) {
            continue;
        }
        let is_pure = tree.layers.is_pure(path);
        let may_sleep = WAITS_FOR_PROCESSES.iter().any(|folder| path.starts_with(folder));
        for seen in &facts.paths {
            if seen.in_test && !may_sleep && is_below(&seen.name, SLEEP) {
                let remedy = "use a simulated clock, or `skopos_testkit::wait_until` for a real process";
                findings.push(Finding::new(path, seen.line, "a test sleeps on wall time", remedy));
            } else if is_pure && !seen.in_test {
                findings.extend(banned(path, seen));
            }
        }
    }
    findings
}

fn banned(path: &str, seen: &Seen) -> Option<Finding> {
    let (name, remedy) = BANNED.iter().find(|(name, _)| is_below(&seen.name, name))?;
    let wrong = format!("`{name}` in a crate that must be synchronous and deterministic");
    let remedy = format!("{remedy} (real implementations stand under `allow.real_world` in layers.toml)");
    Some(Finding::new(path, seen.line, wrong, remedy))
}

fn is_below(path: &str, banned: &str) -> bool {
    path.strip_prefix(banned).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::check_files;

    #[test]
    fn pure_crates_may_not_touch_the_real_world() {
        let path = "crates/tsdb/src/a.rs";
        check_files(
            check,
            &[
                (path, "//! A.\nuse std::fs;\n", &["2: `std::fs`"]),
                (path, "//! A.\nuse std::io;\nuse std::time::{Duration, Instant};\n", &[]),
                (path, "//! A.\nuse std::time::Instant as I;\nfn f() { I::now(); }\n", &["3: Instant::now"]),
                (path, "//! A.\nfn f() { std::time::SystemTime::now(); }\n", &["2: SystemTime::now"]),
                (path, "//! A.\nuse std::thread;\nfn f() { thread::spawn(g); }\n", &["3: thread::spawn"]),
                (path, "//! A.\nfn f() { tokio::spawn(g); }\n", &["2: `tokio`"]),
                (path, "//! A.\n// std::fs::read\nfn f() { g(\"std::fs::read\"); }\n", &[]),
                (path, "//! A.\nuse standard::fs;\nuse std::fsx;\n", &[]),
            ],
        );
    }

    #[test]
    fn edges_and_real_implementations_may() {
        let text = "//! A.\nuse std::fs;\nfn f() { tokio::spawn(g); }\n";
        check_files(
            check,
            &[
                ("crates/scrape/src/a.rs", text, &[]),
                ("crates/base/src/real/a.rs", text, &[]),
                ("crates/base/src/other.rs", text, &["2: `std::fs`", "3: `tokio`"]),
                ("xtask/src/a.rs", text, &[]),
            ],
        );
    }

    #[test]
    fn tests_may_read_files_but_never_sleep() {
        let text = "//! A.\n#[test]\nfn f() {\n    std::fs::read(x);\n    std::thread::sleep(d);\n}\n";
        check_files(
            check,
            &[
                ("crates/tsdb/src/a.rs", text, &["5: sleeps"]),
                ("crates/tsdb/tests/a.rs", text, &["5: sleeps"]),
                ("crates/scrape/src/a.rs", text, &["5: sleeps"]),
                ("crates/testkit/src/a.rs", text, &[]),
            ],
        );
    }
}
