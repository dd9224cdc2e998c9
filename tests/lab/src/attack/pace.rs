//! When how many packets of an attack are due. A pace never catches up on more than a tenth of a second.

use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use super::Attack;
use super::Pattern;
use super::Progress;

/// A generator that fell behind by more than this forgets what it missed.
const CATCH_UP_MAX: Duration = Duration::from_millis(100);

/// When how many packets are due.
pub(crate) struct Pace {
    begun: Instant,
    ends: Instant,
    packets: u64,
    packets_per_second: u64,
    pattern: Pattern,
    lasting_us: u64,
    /// Packets that were due and never will be sent.
    forgotten: u64,
}

impl Pace {
    pub(crate) fn new(attack: &Attack) -> Self {
        let begun = Instant::now();
        let bounds = attack.bounds;
        Self {
            begun,
            ends: begun + bounds.lasting,
            packets: bounds.packets,
            packets_per_second: bounds.packets_per_second,
            pattern: attack.pattern,
            lasting_us: bounds.lasting.as_micros() as u64,
            forgotten: 0,
        }
    }

    /// Waits until packets are due and says how many, at most a batch; `None` at the end.
    pub(crate) fn next_batch(&mut self, number: u64, batch: u64, progress: &Progress) -> Option<usize> {
        // At low rates single packets, at high rates whole batches: a wake-up costs as much as many packets.
        let least = (self.packets_per_second / 2_000).clamp(1, batch).min(self.packets - number);
        loop {
            let now = Instant::now();
            if number >= self.packets || now >= self.ends || progress.stop.load(Ordering::Relaxed) {
                return None;
            }
            let elapsed_us = (now - self.begun).as_micros() as u64;
            let due = self.due(elapsed_us);
            let missing = due.saturating_sub(number + self.forgotten);
            let most = self.packets_per_second * CATCH_UP_MAX.as_millis() as u64 / 1_000;
            self.forgotten += missing.saturating_sub(most.max(least));
            if missing >= least {
                return Some(missing.min(batch).min(self.packets - number) as usize);
            }
            let wait_us = (least - missing) * 1_000_000 / self.packets_per_second;
            std::thread::sleep(Duration::from_micros(wait_us.clamp(50, 5_000)));
        }
    }

    /// Packets that are due after so long.
    fn due(&self, elapsed_us: u64) -> u64 {
        let on_us = match self.pattern {
            Pattern::Steady => elapsed_us,
            Pattern::Pulses { on_ms, every_ms } => {
                let (on_us, every_us) = (on_ms * 1_000, every_ms.max(1) * 1_000);
                elapsed_us / every_us * on_us + (elapsed_us % every_us).min(on_us)
            }
            // Half of a square, in milliseconds so that it does not overflow.
            Pattern::Ramp => {
                let (elapsed_ms, lasting_ms) = (elapsed_us / 1_000, (self.lasting_us / 1_000).max(1));
                elapsed_ms * elapsed_ms * 1_000 / (2 * lasting_ms)
            }
        };
        1 + on_us * self.packets_per_second / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: Pattern, seconds: u64, due: u64) {
        let target = "203.0.113.10:1".parse().expect("an address");
        let attack = Attack::new(super::super::Vector::EmptyUdp, target).per_second(1_000);
        let attack = attack.lasting(Duration::from_secs(60)).pattern(pattern);
        assert_eq!(Pace::new(&attack).due(seconds * 1_000_000), 1 + due, "{pattern:?} after {seconds} s");
    }

    #[test]
    fn patterns_are_followed() {
        check(Pattern::Steady, 10, 10_000);
        check(Pattern::Pulses { on_ms: 1_000, every_ms: 5_000 }, 3, 1_000);
        check(Pattern::Pulses { on_ms: 1_000, every_ms: 5_000 }, 10, 2_000);
        check(Pattern::Ramp, 30, 7_500);
        check(Pattern::Ramp, 60, 30_000);
    }
}
