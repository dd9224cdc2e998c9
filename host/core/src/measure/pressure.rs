//! How much still reaches a server, from what the kernel counted over the last moments.

use std::collections::VecDeque;

use crate::tally::ServiceTally;
use crate::time::Instant;

/// Rates are taken over so long.
const WINDOW_MS: u64 = 300;
/// And what reaches the server in the long run over so long.
const SUSTAINED_MS: u64 = 1_500;
/// Players' traffic is looked back on for so long.
const KEPT_MS: u64 = 3_000;
/// Counts are kept no closer than this.
const APART_MS: u64 = 90;

/// Packets a second over the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Everything.
    pub(crate) seen: u64,
    /// Players' lanes.
    pub(crate) lane: u64,
    /// What was neither dropped nor in a lane.
    pub(crate) reach: u64,
    /// The same over a second and a half, so that a burst that a limit lets through at once hardly shows.
    pub(crate) reach_sustained: u64,
    /// First tries that were asked to come again.
    pub(crate) second_try: u64,
    /// Over a bucket's limit.
    pub(crate) bucket: u64,
    /// Over the crowd's limit: newcomers among them.
    pub(crate) crowd: u64,
    /// Of a shape.
    pub(crate) shape: u64,
}

impl Rates {
    /// All that is not players'.
    pub(crate) fn strangers(&self) -> u64 {
        self.seen.saturating_sub(self.lane)
    }
}

/// The counts of one service over the last three seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pressure {
    kept: VecDeque<(Instant, ServiceTally)>,
}

/// What the kernel stopped: what it decided to drop, or what it did drop where that is more (in observe mode
/// nothing is dropped, and the decisions are what would have been).
fn stopped(tally: &ServiceTally) -> u64 {
    let decided = tally.lease.packets
        + tally.shape.packets
        + tally.second_try.packets
        + tally.bucket.packets
        + tally.crowd.packets;
    decided.max(tally.dropped().packets)
}

impl Pressure {
    /// Notes what was counted up to `at`.
    pub(crate) fn note(&mut self, at: Instant, tally: &ServiceTally) {
        let last = self.kept.back();
        if last.is_some_and(|(last, before)| *last >= at || before.seen.packets > tally.seen.packets) {
            // Counters that fell were made anew.
            self.kept.clear();
        }
        if self.kept.len() >= 2 {
            let beyond = self.kept.len() - 2;
            if at.millis_since(self.kept[beyond].0) < APART_MS {
                self.kept.pop_back();
            }
        }
        self.kept.push_back((at, *tally));
        while self.kept.front().is_some_and(|(first, _)| at.millis_since(*first) > KEPT_MS) {
            self.kept.pop_front();
        }
    }

    /// The counts `ms` before the newest, or a little earlier; `None` if they are younger.
    fn before(&self, ms: u64) -> Option<&(Instant, ServiceTally)> {
        let (newest, _) = self.kept.back()?;
        self.kept.iter().rev().find(|(at, _)| newest.millis_since(*at) >= ms)
    }

    /// Rates of the last 300 ms; `None` until so much was counted.
    pub(crate) fn rates(&self) -> Option<Rates> {
        let (newest, now) = self.kept.back()?;
        let (since, then) = self.before(WINDOW_MS)?;
        let ms = newest.millis_since(*since).max(1);
        let pps = |now: u64, then: u64| now.saturating_sub(then).saturating_mul(1_000) / ms;
        let reached = |tally: &ServiceTally| {
            tally.seen.packets.saturating_sub(stopped(tally)).saturating_sub(tally.lane.packets)
        };
        let sustained = self.before(SUSTAINED_MS).map(|(since, then)| {
            let ms = newest.millis_since(*since).max(1);
            reached(now).saturating_sub(reached(then)).saturating_mul(1_000) / ms
        });
        Some(Rates {
            seen: pps(now.seen.packets, then.seen.packets),
            lane: pps(now.lane.packets, then.lane.packets),
            reach: pps(reached(now), reached(then)),
            reach_sustained: sustained.unwrap_or(0),
            second_try: pps(now.second_try.packets, then.second_try.packets),
            bucket: pps(now.bucket.packets, then.bucket.packets),
            crowd: pps(now.crowd.packets, then.crowd.packets),
            shape: pps(now.shape.packets, then.shape.packets),
        })
    }

    /// Players' packets a second between two moments, as far back as is kept.
    pub(crate) fn lane_pps(&self, from: Instant, to: Instant) -> Option<u64> {
        let at = |when: Instant| self.kept.iter().rev().find(|(at, _)| *at <= when);
        let ((since, then), (until, now)) = (at(from)?, at(to)?);
        let ms = until.millis_since(*since);
        let packets = now.lane.packets.saturating_sub(then.lane.packets);
        (ms > 0).then(|| packets.saturating_mul(1_000) / ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Amount;

    fn tally(seen: u64, lane: u64, crowd: u64) -> ServiceTally {
        let amount = |packets| Amount { packets, bytes: 0 };
        ServiceTally {
            seen: amount(seen),
            lane: amount(lane),
            crowd: amount(crowd),
            docker_user: amount(crowd),
            ..ServiceTally::default()
        }
    }

    #[test]
    fn rates_are_those_of_the_window() {
        let mut pressure = Pressure::default();
        assert_eq!(pressure.rates(), None);
        for tick in 0..20u64 {
            pressure.note(Instant::from_millis(1_000 + tick * 50), &tally(tick * 100, tick * 20, tick * 70));
        }
        let rates = pressure.rates().expect("a second was counted");
        assert_eq!((rates.seen, rates.lane, rates.crowd, rates.reach), (2_000, 400, 1_400, 200));
        assert_eq!(pressure.lane_pps(Instant::from_millis(1_200), Instant::from_millis(1_900)), Some(400));
    }

    #[test]
    fn counters_that_begin_anew_give_no_rate() {
        let mut pressure = Pressure::default();
        for tick in 0..10u64 {
            pressure.note(Instant::from_millis(1_000 + tick * 100), &tally(tick * 100, 0, 0));
        }
        pressure.note(Instant::from_millis(2_000), &tally(5, 0, 0));
        assert_eq!(pressure.rates(), None);
        assert_eq!(pressure.kept.len(), 1);
    }

    #[test]
    fn little_is_kept_however_often_it_is_told() {
        let mut pressure = Pressure::default();
        for tick in 0..100_000u64 {
            pressure.note(Instant::from_millis(tick), &tally(tick, 0, 0));
        }
        assert!(pressure.kept.len() <= 64, "{}", pressure.kept.len());
    }
}
