//! The way to one receiver: a queue in order, retries with growing pauses, and a breaker. Time is an argument.
//!
//! ```text
//!  delivered ─► next      refused (4xx) ─► dropped, next      failed (5xx, timeout) ─► 1, 2, 4, 8 s ─► breaker open
//!                                                              open: one probe every 60 s until one is answered
//! ```

use std::collections::VecDeque;

use ftagent_core::time::Instant;
use serde::Deserialize;
use serde::Serialize;

use crate::limits;
use crate::notice::What;
use crate::settings::Pace;

/// One notice on its way. Its bytes never change, so that every try says the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Letter {
    /// Tells it from all others, over restarts.
    pub(crate) id: String,
    /// The incident's number on this node.
    pub(crate) incident: u64,
    pub(crate) what: What,
    /// JSON.
    pub(crate) body: String,
}

/// What became of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is there.
    Delivered,
    /// It will never be taken: a client error, a redirect.
    Refused,
    /// Not this time.
    Failed,
    /// Not this time, and not before so many milliseconds.
    FailedFor(u64),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next<'c> {
    /// Nothing waits, or an answer is awaited.
    Rest,
    /// Not before this.
    At(Instant),
    /// This one.
    Send(&'c Letter),
}

/// Numbers of one receiver since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Taken by the receiver.
    pub(crate) delivered: u64,
    /// Refused by the receiver for good.
    pub(crate) refused: u64,
    /// Tries that failed.
    pub(crate) failed: u64,
    /// Lost because the queue was full.
    pub(crate) dropped: u64,
}

/// The courier.
#[derive(Clone, Debug)]
pub(crate) struct Courier {
    pace: Pace,
    queue: VecDeque<Letter>,
    /// The first of the queue is on its way.
    under_way: bool,
    /// Failures since the last answer.
    failures: u32,
    not_before: Instant,
    pub(crate) counts: Counts,
}

impl Courier {
    pub(crate) fn new(pace: Pace, waiting: Vec<Letter>) -> Self {
        let mut courier = Self {
            pace,
            queue: VecDeque::new(),
            under_way: false,
            failures: 0,
            not_before: Instant::START,
            counts: Counts::default(),
        };
        for letter in waiting {
            courier.take(letter);
        }
        courier
    }

    /// Takes one more. A change that waits is replaced by a newer one of the same incident.
    pub(crate) fn take(&mut self, letter: Letter) {
        let skip = usize::from(self.under_way);
        let newest = self.queue.iter_mut().skip(skip).rev().find(|waits| waits.incident == letter.incident);
        if let Some(newest) =
            newest.filter(|waits| waits.what == What::Changed && letter.what == What::Changed)
        {
            *newest = letter;
            return;
        }
        if self.queue.len() >= limits::QUEUE_LETTERS {
            self.queue.remove(skip);
            self.counts.dropped += 1;
        }
        self.queue.push_back(letter);
    }

    /// What waits, oldest first.
    pub(crate) fn waiting(&self) -> impl ExactSizeIterator<Item = &Letter> {
        self.queue.iter()
    }

    /// Whether the receiver is taken for dead.
    pub(crate) const fn is_open(&self) -> bool {
        self.failures >= self.pace.failures
    }

    /// What to do now.
    pub(crate) fn next(&self, now: Instant) -> Next<'_> {
        match self.queue.front() {
            Some(letter) if !self.under_way && now >= self.not_before => Next::Send(letter),
            Some(_) if !self.under_way => Next::At(self.not_before),
            _ => Next::Rest,
        }
    }

    /// The first one is on its way now.
    pub(crate) fn sent(&mut self) {
        self.under_way = true;
    }

    /// The answer to it.
    pub(crate) fn answered(&mut self, now: Instant, outcome: Outcome) {
        self.under_way = false;
        match outcome {
            Outcome::Delivered | Outcome::Refused => {
                self.failures = 0;
                self.not_before = now;
                self.queue.pop_front();
                let count = if outcome == Outcome::Delivered {
                    &mut self.counts.delivered
                } else {
                    &mut self.counts.refused
                };
                *count += 1;
            }
            Outcome::Failed => self.failed(now, 0),
            Outcome::FailedFor(wait_ms) => self.failed(now, wait_ms.min(limits::RETRY_AFTER_MS)),
        }
    }

    fn failed(&mut self, now: Instant, asked_ms: u64) {
        self.counts.failed += 1;
        self.failures = self.failures.saturating_add(1);
        let wait_ms = if self.is_open() {
            self.pace.probe_ms
        } else {
            let doubled = self.pace.retry_ms.saturating_mul(1 << (self.failures - 1).min(16));
            doubled.min(limits::RETRY_MS)
        };
        self.not_before = now.plus_millis(wait_ms.max(asked_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(incident: u64, what: What) -> Letter {
        Letter { id: format!("node-{incident}-{what:?}"), incident, what, body: String::new() }
    }

    fn courier(letters: &[Letter]) -> Courier {
        Courier::new(Pace::default(), letters.to_vec())
    }

    fn ids(courier: &Courier) -> Vec<&str> {
        courier.waiting().map(|letter| letter.id.as_str()).collect()
    }

    /// Sends at each of these milliseconds, with these outcomes, and nothing in between.
    fn check(courier: &mut Courier, tries: &[(u64, Outcome)]) {
        let mut before = None;
        for (at_ms, outcome) in tries {
            let at = Instant::from_millis(*at_ms);
            if let Some(before) = before.filter(|before| before + 1 < *at_ms) {
                for early_ms in [before + 1, at_ms - 1] {
                    let next = courier.next(Instant::from_millis(early_ms));
                    assert!(!matches!(next, Next::Send(_)), "{early_ms} ms is too early: {next:?}");
                }
            }
            assert!(
                matches!(courier.next(at), Next::Send(_)),
                "nothing at {at_ms} ms: {:?}",
                courier.next(at)
            );
            courier.sent();
            assert_eq!(courier.next(at), Next::Rest, "one at a time");
            courier.answered(at, *outcome);
            before = Some(*at_ms);
        }
    }

    use Outcome::Delivered;
    use Outcome::Failed;
    use Outcome::FailedFor;
    use Outcome::Refused;

    #[test]
    fn l06_five_failures_open_the_breaker_and_one_probe_a_minute_decides() {
        let mut courier = courier(&[letter(1, What::Opened), letter(1, What::Closed)]);
        let opening = [(0, Failed), (1_000, Failed), (3_000, Failed), (7_000, Failed), (15_000, Failed)];
        check(&mut courier, &opening);
        assert!(courier.is_open());
        // A failed probe opens it again; nothing passes in between.
        check(&mut courier, &[(75_000, Failed)]);
        assert_eq!(courier.next(Instant::from_millis(75_001)), Next::At(Instant::from_millis(135_000)));
        // Success closes it, and what waited goes at once.
        check(&mut courier, &[(135_000, Delivered), (135_000, Delivered)]);
        assert!(!courier.is_open());
        assert_eq!(courier.counts, Counts { delivered: 2, refused: 0, failed: 6, dropped: 0 });
    }

    #[test]
    fn l07_a_client_error_is_not_retried_and_does_not_count_for_the_breaker() {
        let letters: Vec<_> = (0..10).map(|incident| letter(incident, What::Opened)).collect();
        let mut courier = courier(&letters);
        check(&mut courier, &[(0, Refused); 10]);
        assert!(!courier.is_open());
        assert_eq!((courier.counts.refused, courier.waiting().len()), (10, 0));
    }

    #[test]
    fn l08_a_server_error_is_retried_and_then_stays_in_the_queue() {
        let mut courier = courier(&[letter(1, What::Opened)]);
        check(&mut courier, &[(0, Failed), (1_000, Failed), (3_000, Delivered)]);
        assert_eq!(courier.counts.delivered, 1);
        courier.take(letter(2, What::Opened));
        let tries: Vec<_> = [3_000, 4_000, 6_000, 10_000, 18_000].map(|at_ms| (at_ms, Failed)).to_vec();
        check(&mut courier, &tries);
        assert_eq!(courier.waiting().len(), 1, "it is still there");
    }

    #[test]
    fn l09_retry_after_is_honoured_up_to_ten_minutes() {
        let mut courier = courier(&[letter(1, What::Opened)]);
        check(&mut courier, &[(0, FailedFor(20_000)), (20_000, FailedFor(u64::MAX))]);
        assert_eq!(courier.next(Instant::from_millis(20_001)), Next::At(Instant::from_millis(620_000)));
        check(&mut courier, &[(620_000, FailedFor(0)), (624_000, Delivered)]);
    }

    #[test]
    fn l10_the_queue_is_bounded_and_drops_are_counted() {
        let mut courier = courier(&[]);
        for incident in 0..300 {
            courier.take(letter(incident, What::Opened));
        }
        assert_eq!(courier.waiting().len(), limits::QUEUE_LETTERS);
        assert_eq!(courier.counts.dropped, 44);
        assert_eq!(ids(&courier)[0], "node-44-Opened", "the oldest made room");
        // What is on its way is never pulled from under the receiver.
        courier.sent();
        courier.take(letter(300, What::Opened));
        assert_eq!(ids(&courier)[..2], ["node-44-Opened", "node-46-Opened"]);
    }

    #[test]
    fn l01_notices_stay_in_order_and_a_newer_change_replaces_one_that_waits() {
        let mut courier = courier(&[letter(1, What::Opened)]);
        courier.sent();
        courier.take(letter(1, What::Changed));
        courier.take(letter(2, What::Opened));
        courier.take(Letter { body: "newer".to_owned(), ..letter(1, What::Changed) });
        courier.take(letter(1, What::Closed));
        courier.take(letter(1, What::Changed));
        let expected =
            ["node-1-Opened", "node-1-Changed", "node-2-Opened", "node-1-Closed", "node-1-Changed"];
        assert_eq!(ids(&courier), expected);
        assert_eq!(courier.waiting().nth(1).expect("it waits").body, "newer");
    }
}
