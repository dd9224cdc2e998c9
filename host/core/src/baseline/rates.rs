//! How often which rate was seen in a second: a histogram of logarithmic steps, from which quantiles are read.
//!
//! Fixed memory whatever is counted; a rate beyond the last step counts there.

/// Steps of packet rates: three an octave, up to 2^28 a second.
pub(crate) const PACKET_STEPS: usize = 84;
/// Steps of rates in kbit/s, the same, up to 2^28 kbit/s.
pub(crate) const KBIT_STEPS: usize = 84;

/// Seconds by rate. At most 3,600 of them are counted before another histogram begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates<const STEPS: usize> {
    seconds: [u16; STEPS],
    sum: u16,
}

impl<const STEPS: usize> Default for Rates<STEPS> {
    fn default() -> Self {
        Self { seconds: [0; STEPS], sum: 0 }
    }
}

/// Upper ends of the three steps of an octave, in 256ths: 2^(1/3), 2^(2/3), 2.
const THIRDS: [u64; 3] = [323, 406, 512];

/// The step of a rate.
fn step(rate: u64) -> usize {
    let rate = rate.max(1);
    let octave = rate.ilog2() as usize;
    let within = ((u128::from(rate) << 8) >> octave) as u64;
    octave * 3 + THIRDS.iter().position(|end| within < *end).unwrap_or(2)
}

/// The highest rate of a step.
fn end(step: usize) -> u64 {
    let end = (u128::from(THIRDS[step % 3]) << (step / 3)).div_ceil(256);
    (end as u64).saturating_sub(1).max(1)
}

impl<const STEPS: usize> Rates<STEPS> {
    /// So many seconds of this rate.
    pub(crate) fn add(&mut self, rate: u64, seconds: u16) {
        let seconds = seconds.min(u16::MAX - self.sum);
        // A second without a packet is a second of the lowest rate.
        self.seconds[step(rate).min(STEPS - 1)] += seconds;
        self.sum += seconds;
    }

    /// How many seconds were counted.
    pub(crate) fn seconds(&self) -> u32 {
        u32::from(self.sum)
    }

    /// The rate that `part` of 1,000 seconds did not exceed, over these and others; 0 if there are none.
    pub(crate) fn quantile(&self, others: &Self, part: u32) -> u64 {
        let sum = self.seconds() + others.seconds();
        let wanted = (sum * part).div_ceil(1_000);
        let mut below = 0;
        for (at, (one, other)) in self.seconds.iter().zip(&others.seconds).enumerate() {
            below += u32::from(*one) + u32::from(*other);
            if below >= wanted && sum > 0 {
                return end(at);
            }
        }
        0
    }

    /// The steps that are not empty, to be written down.
    pub(crate) fn kept(&self) -> Vec<(u8, u16)> {
        let steps = self.seconds.iter().enumerate();
        steps.filter(|(_, count)| **count > 0).map(|(at, count)| (at as u8, *count)).collect()
    }

    /// From what was written down; what makes no sense is left out.
    pub(crate) fn from_kept(kept: &[(u8, u16)]) -> Self {
        let mut rates = Self::default();
        for (at, count) in kept {
            if let Some(seconds) = rates.seconds.get_mut(usize::from(*at)) {
                let count = (*count).min(u16::MAX - rates.sum);
                *seconds = seconds.saturating_add(count);
                rates.sum += count;
            }
        }
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rate_is_at_most_a_quarter_above_itself() {
        for rate in [1u64, 2, 3, 5, 31, 100, 1_000, 12_345, 1_000_000, 200_000_000] {
            let told = end(step(rate));
            assert!(told >= rate && told <= rate + rate / 3 + 1, "{rate} is told as {told}");
        }
    }

    #[test]
    fn b09_a_thousand_million_packets_do_not_overflow() {
        let mut rates = Rates::<PACKET_STEPS>::default();
        rates.add(1_000_000_000, u16::MAX);
        rates.add(u64::MAX, 100);
        assert!(rates.quantile(&Rates::default(), 990) >= 200_000_000);
    }
}
