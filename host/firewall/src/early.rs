//! When to drop early ourselves: above a rate the way to `DOCKER-USER` costs too much (1.45 to 1.85 µs a packet
//! against 0.48 to 0.69 at prerouting, *measured*).

use ftagent_core::time::Instant;
use serde::Deserialize;
use serde::Serialize;

/// Below this share of the rate that switched it on, it may switch off.
const OFF_PERCENT: u64 = 50;
/// For so long the rate must stay below.
const CALM_MS: u64 = 5_000;
/// A rate over less than this is not one.
const WINDOW_MS: u64 = 80;

/// Drops a second above which we drop early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlyRates {
    /// At one service.
    pub service_per_second: u64,
    /// At the whole node.
    pub node_per_second: u64,
}

impl Default for EarlyRates {
    fn default() -> Self {
        Self { service_per_second: 20_000, node_per_second: 50_000 }
    }
}

/// A switch with hysteresis over a counter of drops.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Switch {
    last: Option<(Instant, u64)>,
    calm_since: Option<Instant>,
    on: bool,
}

impl Switch {
    /// Takes the counter into account and says whether to drop early.
    pub(crate) fn observe(&mut self, now: Instant, dropped: u64, on_per_second: u64) -> bool {
        let Some((then, before)) = self.last else {
            self.last = Some((now, dropped));
            return self.on;
        };
        let window_ms = now.millis_since(then);
        if window_ms < WINDOW_MS {
            return self.on;
        }
        let per_second = dropped.saturating_sub(before).saturating_mul(1_000) / window_ms;
        self.last = Some((now, dropped));
        if per_second > on_per_second {
            self.on = true;
        }
        if per_second.saturating_mul(100) >= on_per_second.saturating_mul(OFF_PERCENT) {
            self.calm_since = None;
        } else if now.millis_since(*self.calm_since.get_or_insert(now)) >= CALM_MS {
            self.on = false;
        }
        self.on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_switches_on_at_once_and_off_after_calm() {
        let mut switch = Switch::default();
        let mut at = |ms: u64, dropped: u64| switch.observe(Instant::from_millis(ms), dropped, 20_000);
        assert!(!at(0, 0));
        assert!(!at(100, 1_900));
        assert!(at(200, 4_000), "2,100 in 100 ms");
        assert!(at(300, 5_500), "15,000 a second is not calm");
        assert!(at(400, 5_600));
        assert!(at(5_300, 5_700));
        assert!(!at(5_500, 5_700), "calm since 400 ms");
    }
}
