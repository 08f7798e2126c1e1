//! System calls that no safe crate offers, as safe functions: adjtimex(2), asked to change nothing. It owns
//! no meaning of what comes back. `docs/decisions/0021-one-file-for-system-calls.md` says what may stand
//! here.
#![expect(unsafe_code, reason = "no crate has a safe call for the whole answer of adjtimex")]

use crate::host::ClockState;
use std::io;

/// What adjtimex returns when the clock follows no reference.
const UNSYNCHRONISED: libc::c_int = 5;

/// The state of the kernel's clock.
pub(crate) fn clock_state() -> io::Result<ClockState> {
    // SAFETY: `timex` is made of integers and padding only, so all zeros are a value of it. `modes` is then
    // 0, which asks the kernel to change nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole `timex` of ours that outlives the call, and nothing else refers to
    // it; the kernel writes no more than that structure.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ClockState {
        is_synchronised: state != UNSYNCHRONISED,
        status: timex.status.into(),
        offset: timex.offset,
        frequency: timex.freq,
        max_error: timex.maxerror,
        estimated_error: timex.esterror,
        constant: timex.constant,
        tick: timex.tick,
        pps_frequency: timex.ppsfreq,
        pps_jitter: timex.jitter,
        pps_shift: timex.shift.into(),
        pps_stability: timex.stabil,
        pps_jitters: timex.jitcnt,
        pps_calibrations: timex.calcnt,
        pps_errors: timex.errcnt,
        pps_strays: timex.stbcnt,
        tai_offset: timex.tai.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_the_state_of_its_clock() {
        let state = match clock_state() {
            // A sandbox may forbid the call.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
            state => state.unwrap(),
        };
        // The kernel takes no other values for these, so the fields stand where the kernel writes them.
        assert!((9_000..=11_000).contains(&state.tick), "{state:?}");
        assert!(state.max_error >= 0 && state.estimated_error >= 0, "{state:?}");
        assert!((0..=10).contains(&state.constant), "{state:?}");
        assert!(state.frequency.abs() <= 500 << 16, "{state:?}");
        assert!((0..1000).contains(&state.tai_offset), "{state:?}");
    }
}
