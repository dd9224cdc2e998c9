//! The last packets of strangers at a service under attack: a ring, filled at a steady pace however much comes.

use crate::limits;
use crate::retained::Head;
use crate::time::Instant;

/// So many samples in 100 ms are wanted: the ring then spans about a third of a second and more.
const WANTED_A_STEP: u32 = 128;
const STEP_MS: u64 = 100;
/// Never fewer than one in two to this power.
const THIN_MAX: u32 = 16;

/// One packet of a stranger, or of a source that was judged hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) head: Head,
    /// Its flow is proven: the source is what it says.
    pub(crate) proven: bool,
    /// Judged hostile for more than its rate.
    pub(crate) hostile: bool,
}

/// The ring.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    ring: Vec<Sample>,
    next: usize,
    /// One in two to this power is kept.
    thin: u32,
    number: u32,
    step: Instant,
    in_step: u32,
    /// Samples ever taken.
    pub(crate) taken: u64,
}

impl Samples {
    pub(crate) fn new(at: Instant) -> Self {
        Self { ring: Vec::new(), next: 0, thin: 0, number: 0, step: at, in_step: 0, taken: 0 }
    }

    /// Whether the next packet is one that is kept. Spread by multiplication, so that vectors that take turns are
    /// kept alike.
    pub(crate) fn wants(&mut self, at: Instant) -> bool {
        if at.millis_since(self.step) >= STEP_MS {
            let few = self.in_step < WANTED_A_STEP / 2;
            self.thin = if few { self.thin.saturating_sub(1) } else { self.thin };
            (self.step, self.in_step) = (at, 0);
        } else if self.in_step >= WANTED_A_STEP && self.thin < THIN_MAX {
            (self.thin, self.in_step) = (self.thin + 1, WANTED_A_STEP / 2);
        }
        self.number = self.number.wrapping_add(1);
        let spread = self.number.wrapping_mul(0x9e37_79b1);
        spread.checked_shr(32 - self.thin).unwrap_or(0) == 0
    }

    /// Keeps one.
    pub(crate) fn push(&mut self, sample: Sample) {
        self.taken += 1;
        self.in_step += 1;
        if self.ring.len() < limits::SAMPLES {
            self.ring.push(sample);
        } else {
            self.ring[self.next] = sample;
            self.next = (self.next + 1) % limits::SAMPLES;
        }
    }

    /// What is kept, in no order.
    pub(crate) fn kept(&self) -> &[Sample] {
        &self.ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_follows_the_flood_and_recovers() {
        let mut samples = Samples::new(Instant::START);
        let mut wanted = |from_ms: u64, ms: u64, a_ms: u32| {
            let mut count = 0;
            for at_ms in from_ms..from_ms + ms {
                for _ in 0..a_ms {
                    if samples.wants(Instant::from_millis(at_ms)) {
                        count += 1;
                        samples.in_step += 1;
                    }
                }
            }
            count
        };
        let quiet = wanted(0, 1_000, 1);
        assert!((900..=1_000).contains(&quiet), "100 in a step are all kept: {quiet}");
        let flood = wanted(1_000, 1_000, 100);
        assert!((300..=4_000).contains(&flood), "of 100,000 a bounded part: {flood}");
        wanted(2_000, 3_000, 1);
        let again = wanted(5_000, 1_000, 1);
        assert!(again > 500, "{again}");
    }
}
