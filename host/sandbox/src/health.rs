//! How well a plugin does on one shard, and when it is left alone.
//!
//! A failure costs one batch its opinions. [`limits::FAILURES`] of them within [`limits::FAILURE_WINDOW_MS`] bring
//! the seat into quarantine, and so does a single one within that time after a quarantine. Each quarantine is
//! twice as long as the one before; a seat that did well for as long as its last quarantine is forgiven.

use ftagent_core::question::NoOpinion;
use ftagent_core::time::Instant;

use crate::limits;

/// Whether a seat is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It is asked.
    #[default]
    Serving,
    /// It failed repeatedly and is not asked for a while.
    Quarantined,
}

/// What is shown of a seat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether it is asked.
    pub state: State,
    /// Batches that were answered.
    pub answered: u64,
    /// Batches that ended in a trap.
    pub traps: u64,
    /// Batches that ran out of fuel.
    pub out_of_fuel: u64,
    /// Batches whose answer broke the contract.
    pub lies: u64,
    /// Batches that were not asked because of quarantine.
    pub skipped: u64,
    /// Batches that found no instance to ask.
    pub missing: u64,
    /// How often it was quarantined.
    pub quarantines: u64,
    /// When the quarantine ends, while it lasts.
    pub quarantined_until: Option<Instant>,
    /// What the last failure was, for people.
    pub last_error: Option<String>,
}

impl Health {
    /// The health of one plugin from that of its seats: sums, and the worse of two states.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        if other.state == State::Quarantined {
            self.state = State::Quarantined;
        }
        self.answered += other.answered;
        self.traps += other.traps;
        self.out_of_fuel += other.out_of_fuel;
        self.lies += other.lies;
        self.skipped += other.skipped;
        self.missing += other.missing;
        self.quarantines += other.quarantines;
        self.quarantined_until = self.quarantined_until.max(other.quarantined_until);
        self.last_error = self.last_error.or_else(|| other.last_error.clone());
        self
    }
}

/// The same with what the decision needs.
#[derive(Debug, Default)]
pub(crate) struct Record {
    shown: Health,
    /// Failures since `window`, and when the first of them was.
    failures: u32,
    window: Instant,
    /// How long the last quarantine was and when it ended; 0 if there was none, or it is forgiven.
    last_ms: u64,
    last_end: Instant,
}

impl Record {
    pub(crate) const fn shown(&self) -> &Health {
        &self.shown
    }

    /// Whether the seat may be asked now. Ends a quarantine whose time is over.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        match self.shown.quarantined_until {
            Some(until) if now < until => {
                self.shown.skipped += 1;
                false
            }
            Some(_) => {
                self.shown.state = State::Serving;
                self.shown.quarantined_until = None;
                true
            }
            None => true,
        }
    }

    pub(crate) fn answered(&mut self) {
        self.shown.answered += 1;
    }

    pub(crate) fn failed(&mut self, now: Instant, why: NoOpinion, says: String) {
        let count = match why {
            NoOpinion::Trapped => &mut self.shown.traps,
            NoOpinion::OutOfFuel => &mut self.shown.out_of_fuel,
            NoOpinion::Lied => &mut self.shown.lies,
            NoOpinion::Missing | NoOpinion::Quarantined => &mut self.shown.missing,
        };
        *count += 1;
        self.shown.last_error = Some(says);
        if self.failures == 0 || now.millis_since(self.window) > limits::FAILURE_WINDOW_MS {
            self.window = now;
            self.failures = 0;
        }
        self.failures += 1;
        if now.millis_since(self.last_end) > self.last_ms.max(limits::FAILURE_WINDOW_MS) {
            self.last_ms = 0;
        }
        let on_probation = self.last_ms > 0;
        if on_probation || self.failures >= limits::FAILURES {
            self.quarantine(now);
        }
    }

    fn quarantine(&mut self, now: Instant) {
        self.last_ms = (self.last_ms * 2).clamp(limits::QUARANTINE_MS, limits::QUARANTINE_MAX_MS);
        self.last_end = now.plus_millis(self.last_ms);
        self.failures = 0;
        self.shown.state = State::Quarantined;
        self.shown.quarantines += 1;
        self.shown.quarantined_until = Some(self.last_end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails at each of these milliseconds and says until when the seat is then left alone.
    #[track_caller]
    fn check(steps: &[(u64, Option<u64>)]) {
        let mut record = Record::default();
        for &(at_ms, until_ms) in steps {
            let now = Instant::from_millis(at_ms);
            assert!(record.admit(now), "left alone at {at_ms}");
            record.failed(now, NoOpinion::Trapped, String::new());
            assert_eq!(record.shown().quarantined_until, until_ms.map(Instant::from_millis), "after {at_ms}");
        }
    }

    #[test]
    fn rare_failures_are_borne() {
        check(&[(0, None), (1, None), (10_002, None), (10_003, None), (20_100, None)]);
    }

    #[test]
    fn repeated_failures_bring_quarantines_that_double() {
        check(&[(0, None), (1, None), (2, Some(1_002)), (1_002, Some(3_002)), (3_500, Some(7_500))]);
    }

    #[test]
    fn a_quarantine_is_at_most_five_minutes() {
        let mut record = Record::default();
        let mut now = Instant::START;
        for _ in 0..40 {
            record.failed(now, NoOpinion::Lied, String::new());
            now = record.shown().quarantined_until.unwrap_or(now);
        }
        let begin = now;
        record.failed(now, NoOpinion::Lied, String::new());
        let until = record.shown().quarantined_until.expect("it failed again at once");
        assert_eq!(until.millis_since(begin), limits::QUARANTINE_MAX_MS);
    }

    #[test]
    fn good_work_is_forgiven() {
        check(&[
            (0, None),
            (1, None),
            (2, Some(1_002)),
            (11_100, None),
            (11_101, None),
            (11_102, Some(12_102)),
        ]);
    }

    #[test]
    fn in_quarantine_it_is_not_asked() {
        let mut record = Record::default();
        for at in 0..3 {
            record.failed(Instant::from_millis(at), NoOpinion::OutOfFuel, "out of fuel".to_owned());
        }
        assert!(!record.admit(Instant::from_millis(1_001)));
        assert_eq!((record.shown().state, record.shown().skipped), (State::Quarantined, 1));
        assert!(record.admit(Instant::from_millis(1_002)));
        assert_eq!(record.shown().state, State::Serving);
        assert_eq!(record.shown().last_error.as_deref(), Some("out of fuel"));
    }
}
