//! Change detection on exact rates: a cumulative sum (Page 1954) of what is above twice the norm.
//!
//! Why a sum: it needs no fixed number of readings. A jump to three times the norm is over the line within a tenth
//! of a second, however the readings fall; a single odd packet burst drains away. What is normal is handed in and
//! checked before anything is learnt.

/// So long the norm again, above the reference, is an attack: two readings of 50 ms at three times the norm.
const DECISION_MICROS: u64 = 90_000;
/// A reading that came later than this counts for no more.
const LONGEST_MICROS: u64 = 1_000_000;

/// One rate that is watched.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    /// Packets (or bits) above the reference, times microseconds.
    sum: u128,
    over: u8,
}

impl Change {
    /// `rate` for `micros` where up to `norm` is normal; `least` is what an attack adds at least. Whether it is one.
    pub(crate) fn sees(&mut self, rate: u64, micros: u64, norm: u64, least: u64) -> bool {
        let reference = reference(norm, least);
        let micros = u128::from(micros.min(LONGEST_MICROS));
        if rate <= reference {
            self.sum = self.sum.saturating_sub(u128::from(reference - rate) * micros);
            self.over = 0;
            return false;
        }
        self.over = self.over.saturating_add(1);
        self.sum = self.sum.saturating_add(u128::from(rate - reference) * micros);
        self.over >= 2 && self.sum >= u128::from(norm.max(least / 2)) * u128::from(DECISION_MICROS)
    }

    /// Whether the last reading was above what is calm: nothing may be learnt from it.
    pub(crate) const fn is_rising(&self) -> bool {
        self.over > 0
    }

    /// Begins again.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// What is still calm: up to twice the norm, or half of what an attack adds at least.
pub(crate) const fn reference(norm: u64, least: u64) -> u64 {
    let twice = norm.saturating_mul(2);
    let above = norm.saturating_add(least / 2);
    if twice > above { twice } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings until it is seen, of at most 100.
    fn check(rate: u64, tick_ms: u64, norm: u64) -> Option<u32> {
        let mut change = Change::default();
        (1..=100).find(|_| change.sees(rate, tick_ms * 1_000, norm, 200))
    }

    #[test]
    fn three_times_the_norm_is_seen_within_two_readings() {
        for norm in [0, 1, 50, 100, 150, 700, 12_000, 1_000_000] {
            let rate = (norm * 3).max(norm + 200);
            for tick_ms in [50, 100] {
                assert_eq!(check(rate, tick_ms, norm), Some(2), "{norm} and then {rate} each {tick_ms} ms");
            }
        }
    }

    #[test]
    fn what_is_normal_is_never_seen() {
        for (norm, rate) in [(0, 90), (100, 190), (1_000, 1_900), (12_000, 24_000)] {
            assert_eq!(check(rate, 50, norm), None, "{norm} and then {rate}");
        }
    }

    #[test]
    fn one_odd_reading_is_none() {
        let mut change = Change::default();
        for second in 0..100 {
            let rate = if second % 10 == 0 { 5_000 } else { 100 };
            assert!(!change.sees(rate, 50_000, 100, 200));
        }
    }
}
