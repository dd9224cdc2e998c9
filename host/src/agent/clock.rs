//! The clock of the agent: CLOCK_MONOTONIC, the one that capture stamps packets with. The wall clock is for people
//! and for what outlives a reboot.

use ftagent_core::time::Instant;
use rustix::time::ClockId;
use rustix::time::clock_gettime;

use crate::state::unix_ms;

/// Now.
pub(crate) fn now() -> Instant {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Instant::from_micros(seconds.saturating_mul(1_000_000).saturating_add(nanos / 1_000))
}

/// Milliseconds, for people and for comparing with other measurements on the node.
pub(crate) fn millis(at: Instant) -> u64 {
    at.as_micros() / 1_000
}

/// What the wall clock says at the start of the monotonic one: Unix time in microseconds.
pub(crate) fn wall_micros_at_start() -> i64 {
    let wall = i64::try_from(unix_ms()).unwrap_or(i64::MAX).saturating_mul(1_000);
    wall.saturating_sub(i64::try_from(now().as_micros()).unwrap_or(i64::MAX))
}
