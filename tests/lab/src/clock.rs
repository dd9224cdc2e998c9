//! The clock of measurements: `CLOCK_MONOTONIC`, the same in every process and namespace of the machine, and the
//! one that `ftagent events` tells its times by.

use std::time::Duration;
use std::time::Instant;

/// Milliseconds of `CLOCK_MONOTONIC`.
#[must_use]
pub fn now_ms() -> u64 {
    now_us() / 1_000
}

/// Microseconds of `CLOCK_MONOTONIC`.
#[must_use]
pub fn now_us() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .expect("Linux always has the monotonic clock");
    u64::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0) / 1_000
}

/// Asks again and again, every 20 ms, until the answer is there or the time is over.
pub fn wait_for<T>(timeout: Duration, mut question: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(answer) = question() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Time of processors that a process has used, in milliseconds, read from `/proc`; a tick of the kernel is 10 ms.
pub(crate) fn processor_ms(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name of the program stands in brackets and may hold anything.
    let after = text.rsplit(") ").next().unwrap_or("");
    let field = |at: usize| after.split(' ').nth(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    (field(11) + field(12)) * 10
}
