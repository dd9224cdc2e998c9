//! Time as the engine sees it: microseconds on whatever clock the caller chose.
//!
//! Live that is `CLOCK_MONOTONIC`, in a replay the packets' own times. There is no "now" in this crate.

use serde::Deserialize;
use serde::Serialize;

/// A point in time, in microseconds since a start that only the caller knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant {
    micros: u64,
}

impl Instant {
    /// The start of the caller's clock.
    pub const START: Self = Self { micros: 0 };

    /// So many microseconds after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self { micros }
    }

    /// So many milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Self {
        Self { micros: millis.saturating_mul(1_000) }
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.micros
    }

    /// Microseconds since `earlier`; 0 if the packets came out of order.
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.micros.saturating_sub(earlier.micros)
    }

    /// Milliseconds since `earlier`; 0 if the packets came out of order.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.micros_since(earlier) / 1_000
    }

    /// This long afterwards.
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self { micros: self.micros.saturating_add(millis.saturating_mul(1_000)) }
    }

    /// This long before, but not before the start.
    pub const fn minus_millis(self, millis: u64) -> Self {
        Self { micros: self.micros.saturating_sub(millis.saturating_mul(1_000)) }
    }
}
