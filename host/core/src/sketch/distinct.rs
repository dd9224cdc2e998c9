//! How many distinct values there were: HyperLogLog (Flajolet et al. 2007) with 2^14 registers, which errs by
//! 1.04 / sqrt(2^14) = 0.8 per cent (one standard deviation), with linear counting where there are few.

use crate::limits::DISTINCT_REGISTERS;

const BITS: u32 = DISTINCT_REGISTERS.trailing_zeros();

/// The registers.
#[derive(Clone, Debug)]
pub(crate) struct Distinct {
    registers: Vec<u8>,
}

impl Default for Distinct {
    fn default() -> Self {
        Self { registers: vec![0; DISTINCT_REGISTERS] }
    }
}

impl Distinct {
    /// Counts a value by its hash.
    pub(crate) fn add(&mut self, hash: u64) {
        let register = &mut self.registers[(hash >> (64 - BITS)) as usize];
        let rank = ((hash << BITS) | 1 << (BITS - 1)).leading_zeros() as u8 + 1;
        *register = (*register).max(rank);
    }

    /// How many there were, about.
    pub(crate) fn estimate(&self) -> u64 {
        let m = DISTINCT_REGISTERS as f64;
        let mut ranks = [0u32; 65];
        for register in &self.registers {
            ranks[usize::from(*register)] += 1;
        }
        let zeros = ranks[0];
        let parts = ranks.iter().enumerate().map(|(rank, count)| f64::from(*count) / (1u128 << rank) as f64);
        let harmonic: f64 = parts.sum();
        let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / harmonic;
        let estimate = if raw <= 2.5 * m && zeros > 0 { m * (m / f64::from(zeros)).ln() } else { raw };
        estimate.round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::HashKey;

    fn check(distinct: u64) {
        let key = HashKey::new(11);
        let mut sketch = Distinct::default();
        for value in (0..distinct).chain(0..distinct / 2) {
            sketch.add(key.hash([value]));
        }
        let estimate = sketch.estimate();
        assert!(estimate.abs_diff(distinct) * 50 <= distinct, "{distinct} were estimated as {estimate}");
    }

    #[test]
    fn d19_estimates_are_within_two_per_cent() {
        [0, 1, 100, 5_000, 30_000, 60_000, 100_000, 1_000_000].into_iter().for_each(check);
    }
}
