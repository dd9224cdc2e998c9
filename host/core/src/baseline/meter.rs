//! From counters that only grow to rates: of each reading, and of whole seconds.
//!
//! What must stay true: elapsed time divides. However late a reading comes, it invents no flood; a counter that is
//! smaller than before began again at 0.

use crate::tally::Amount;
use crate::time::Instant;

/// A rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Packets a second.
    pub(crate) pps: u64,
    /// Bits a second.
    pub(crate) bps: u64,
}

/// What one reading says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// How much came since the last reading.
    pub(crate) came: Amount,
    /// The rate since then.
    pub(crate) rate: Rate,
    /// How long that was.
    pub(crate) micros: u64,
    /// The rate of the last seconds and how many these were, if at least one has ended.
    pub(crate) seconds: Option<(Rate, u64)>,
}

/// One counter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    last: Option<(Instant, Amount)>,
    second: Amount,
    second_at: Instant,
    /// The rate of the last whole seconds.
    pub(crate) rate: Rate,
}

const SECOND_MICROS: u64 = 1_000_000;

impl Meter {
    /// The counter stands at `counted`. Nothing comes of the first reading, nor of one without time in between.
    pub(crate) fn read(&mut self, at: Instant, counted: Amount) -> Option<Reading> {
        let Some((last_at, last)) = self.last else {
            self.last = Some((at, counted));
            self.second_at = at;
            return None;
        };
        let micros = at.micros_since(last_at);
        if micros == 0 {
            return None;
        }
        let came = grown(counted, last);
        self.last = Some((at, counted));
        self.second.packets = self.second.packets.saturating_add(came.packets);
        self.second.bytes = self.second.bytes.saturating_add(came.bytes);
        let since = at.micros_since(self.second_at);
        let seconds = (since >= SECOND_MICROS).then(|| {
            self.rate = rate(self.second, since);
            (self.second, self.second_at) = (Amount::default(), at);
            (self.rate, (since + SECOND_MICROS / 2) / SECOND_MICROS)
        });
        Some(Reading { came, rate: rate(came, micros), micros, seconds })
    }

    /// The counter will be another one: the next reading is a first one.
    pub(crate) fn begin_again(&mut self) {
        self.last = None;
        self.second = Amount::default();
    }
}

/// By how much a counter grew.
pub(crate) fn grown(now: Amount, before: Amount) -> Amount {
    let since = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
    Amount { packets: since(now.packets, before.packets), bytes: since(now.bytes, before.bytes) }
}

fn rate(amount: Amount, micros: u64) -> Rate {
    let a_second = |count: u64| {
        let scaled = u128::from(count) * u128::from(SECOND_MICROS) / u128::from(micros.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    Rate { pps: a_second(amount.packets), bps: a_second(amount.bytes.saturating_mul(8)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(packets: u64) -> Amount {
        Amount { packets, bytes: packets * 100 }
    }

    #[test]
    fn d23_elapsed_time_divides() {
        for stalled_s in [5, 15, 51] {
            let mut meter = Meter::default();
            assert_eq!(meter.read(Instant::from_millis(1_000), amount(7)), None);
            let late = Instant::from_millis(1_000 + stalled_s * 1_000);
            let reading = meter.read(late, amount(7 + 2_500 * stalled_s)).expect("time went by");
            assert_eq!(reading.rate, Rate { pps: 2_500, bps: 2_000_000 });
            assert_eq!(reading.seconds, Some((reading.rate, stalled_s)));
        }
    }

    #[test]
    fn b09_nothing_overflows_and_a_counter_may_begin_again() {
        let mut meter = Meter::default();
        meter.read(Instant::from_millis(1), amount(0));
        let reading = meter.read(Instant::from_millis(2), Amount { packets: u64::MAX / 2, bytes: u64::MAX });
        assert_eq!(reading.expect("a millisecond went by").rate.pps, u64::MAX);
        let again = meter.read(Instant::from_millis(1_002), amount(40)).expect("a second went by");
        assert_eq!((again.rate.pps, again.came.packets), (40, 40));
        assert_eq!(meter.read(Instant::from_millis(1_002), amount(50)), None);
    }
}
