//! The only clock of the program: CLOCK_MONOTONIC, the one that capture stamps packets with.

use ftagent_core::time::Instant;
use rustix::time::ClockId;
use rustix::time::clock_gettime;

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
