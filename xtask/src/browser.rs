//! The page tests: our own server, started as a user would, looked at in a real browser.
//! The tests themselves stand in `ui/e2e`; this only sets their stage.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use skopos_testkit::skopos::Skopos;

use crate::process::{cargo, find, run, target_folder};
use crate::setup;

/// How soon after the server's start the first page has to show data in every panel.
const DATA_WITHIN_MS: &str = "15000";

/// Builds the server, starts it on a free port with fresh data and runs the page tests against it.
pub(crate) fn run_tests(root: &Path) -> Result<()> {
    run(cargo(&["build", "--locked", "--package", "skopos"], root))?;
    let target = target_folder(root)?;
    let binary = target.join("debug/skopos");
    let chromium = find("chromium").context("there is no `chromium`; run `cargo xtask setup`")?;
    let started_at = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let server = Skopos::server(binary).start();
    let mut tests = setup::npm(root, &["run", "e2e"])?;
    tests.env("SKOPOS_URL", server.url("/"));
    tests.env("SKOPOS_CHROMIUM", chromium);
    tests.env("SKOPOS_STARTED_AT_MS", started_at.as_millis().to_string());
    tests.env("SKOPOS_DATA_WITHIN_MS", DATA_WITHIN_MS);
    if std::env::var_os("SKOPOS_SCREENSHOT_DIR").is_none() {
        tests.env("SKOPOS_SCREENSHOT_DIR", target.join("screenshots"));
    }
    run(tests).inspect_err(|_| println!("---- log of the server ----\n{}", server.log()))
}
