//! libFuzzer over the target that `SKOPOS_FUZZ_TARGET` names; its arguments are libFuzzer's own. Built by
//! `cargo xtask fuzz` with the compiler's coverage. Never part of the product.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skopos_fuzz::Target;
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("SKOPOS_FUZZ_TARGET").unwrap_or_default();
    skopos_fuzz::target(&name).unwrap_or_else(|| panic!("SKOPOS_FUZZ_TARGET is `{name}`, which is no target"))
});

fuzz_target!(|bytes: &[u8]| {
    TARGET.run(bytes);
});
