//! `timex`: how well the kernel's clock follows a reference clock.

use crate::{
    collector::{Collector, Context},
    error::CollectError,
    host::ClockState,
};
use skopos_model::MetricType::{self, Counter, Gauge};
use std::io;

/// The bit of `status` that says that offsets are in nanoseconds.
const NANOSECONDS_BIT: i64 = 0x2000;
const NANOSECONDS: f64 = 1e9;
const MICROSECONDS: f64 = 1e6;
/// Frequencies are millionths with 16 bits behind the point.
const SCALED_PPM: f64 = 65536.0 * 1e6;

/// The collector.
#[derive(Debug)]
pub(crate) struct Timex;

/// A family: its name, its type, its help text, its value.
type Family = (&'static str, MetricType, &'static str, fn(&ClockState) -> f64);

const FAMILIES: [Family; 17] = [
    ("node_timex_estimated_error_seconds", Gauge, "The estimated error of the clock.", |state| {
        state.estimated_error as f64 / MICROSECONDS
    }),
    (
        "node_timex_frequency_adjustment_ratio",
        Gauge,
        "By what the clock's own pace is multiplied.",
        |state| 1.0 + state.frequency as f64 / SCALED_PPM,
    ),
    ("node_timex_loop_time_constant", Gauge, "The time constant of the phase-locked loop.", |state| {
        state.constant as f64
    }),
    ("node_timex_maxerror_seconds", Gauge, "The largest possible error of the clock.", |state| {
        state.max_error as f64 / MICROSECONDS
    }),
    ("node_timex_offset_seconds", Gauge, "How far the clock is from its reference.", |state| {
        state.offset as f64 / fraction(state)
    }),
    ("node_timex_pps_calibration_total", Counter, "Calibrations by pulses per second.", |state| {
        state.pps_calibrations as f64
    }),
    ("node_timex_pps_error_total", Counter, "Calibrations by pulses per second that failed.", |state| {
        state.pps_errors as f64
    }),
    ("node_timex_pps_frequency_hertz", Gauge, "The frequency by pulses per second.", |state| {
        state.pps_frequency as f64 / SCALED_PPM
    }),
    ("node_timex_pps_jitter_seconds", Gauge, "How much the pulses per second shake.", |state| {
        state.pps_jitter as f64 / fraction(state)
    }),
    ("node_timex_pps_jitter_total", Counter, "Pulses per second that shook too much.", |state| {
        state.pps_jitters as f64
    }),
    ("node_timex_pps_shift_seconds", Gauge, "The interval of calibrations by pulses per second.", |state| {
        state.pps_shift as f64
    }),
    ("node_timex_pps_stability_exceeded_total", Counter, "Calibrations that strayed too far.", |state| {
        state.pps_strays as f64
    }),
    ("node_timex_pps_stability_hertz", Gauge, "How much the frequency changed of late.", |state| {
        state.pps_stability as f64 / SCALED_PPM
    }),
    ("node_timex_status", Gauge, "The state of the clock, in bits.", |state| state.status as f64),
    ("node_timex_sync_status", Gauge, "Whether the clock follows a reference.", |state| {
        f64::from(u8::from(state.is_synchronised))
    }),
    ("node_timex_tai_offset_seconds", Gauge, "How far atomic time is ahead of the clock.", |state| {
        state.tai_offset as f64
    }),
    ("node_timex_tick_seconds", Gauge, "The time between two ticks of the clock.", |state| {
        state.tick as f64 / MICROSECONDS
    }),
];

fn fraction(state: &ClockState) -> f64 {
    if state.status & NANOSECONDS_BIT == 0 { MICROSECONDS } else { NANOSECONDS }
}

impl Collector for Timex {
    fn collect(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let state = context.host.clock_state().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => {
                CollectError::NoData(format!("the kernel's clock cannot be asked: {error}"))
            }
            _ => CollectError::System { call: "adjtimex", error },
        })?;
        for (name, kind, help, value) in FAMILIES {
            context.out.family(name, kind, help).sample(&[], value(&state));
        }
        Ok(())
    }
}
