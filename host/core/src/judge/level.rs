//! How much is too much at one service: counts of the last 200 ms against what is normal there.
//!
//! What is normal is learnt from whole seconds, slowly and robustly, and never during an attack or its tail, so
//! that an attacker does not train it.

use crate::manifest::Class;
use crate::time::Instant;

/// What is counted. Strangers only, except where it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Dim {
    /// Hostile packets (impossible or unusual), of all who are not players or settled.
    Hostile,
    /// Packets above what one source or player may send of a class.
    Excess,
    /// TCP connections asked for.
    Syn,
    /// Packets of the class, of all who are not players or settled.
    Opening,
    Query,
    Join,
    Play,
    Control,
    /// Packets of flows that the server answers.
    Answered,
    /// All other packets.
    Crowd,
    /// Everything that clients send, players included. No level stands there, nor at the next.
    All,
    /// Of that, what only ends a connection.
    Resets,
}

/// How many dimensions there are.
pub(crate) const DIMS: usize = 12;
const LEVEL_COUNT: usize = DIMS - 2;

/// When an attack begins.
struct Level {
    dim: Dim,
    /// Why, as effects carry it.
    reason: &'static str,
    /// Below so many packets a second nothing is an attack.
    floor_pps: u32,
    /// The same before anything was learnt.
    unlearnt_pps: u32,
    /// And below so many times what is normal.
    times: u32,
}

const fn level(dim: Dim, reason: &'static str, floor_pps: u32, unlearnt_pps: u32, times: u32) -> Level {
    Level { dim, reason, floor_pps, unlearnt_pps, times }
}

const LEVELS: [Level; LEVEL_COUNT] = [
    level(Dim::Hostile, "host/hostile", 40, 40, 3),
    level(Dim::Excess, "host/too-much-of-one", 100, 100, 3),
    level(Dim::Syn, "host/too-many-syns", 200, 200, 4),
    level(Dim::Opening, "host/too-many-openings", 200, 200, 4),
    level(Dim::Query, "host/too-many-queries", 200, 200, 4),
    level(Dim::Join, "host/too-many-joins", 400, 400, 4),
    level(Dim::Play, "host/too-much-play", 400, 2_000, 4),
    level(Dim::Control, "host/too-much-control", 400, 2_000, 4),
    level(Dim::Answered, "host/too-much-answered", 5_000, 20_000, 4),
    level(Dim::Crowd, "host/too-many-strangers", 200, 2_000, 3),
];

const BIN_MICROS: u64 = 100_000;
/// Two bins make the window.
const WINDOWS_PER_SECOND: u32 = 5;
/// Whole seconds after which a service counts as learnt.
const LEARNT_SECONDS: u32 = 10;
/// After an attack nothing is learnt for so long.
const TAIL_MS: u64 = 600_000;
/// Normal rates are kept in so many parts of a packet.
const PARTS: u32 = 64;
/// A long silence counts as so many empty seconds.
const SILENT_SECONDS: u64 = 60;
/// So many seconds are learnt quickly, what follows slowly: doubling takes 12 minutes, which no attack that grows to
/// be one has, and which players do not need, because they are counted apart.
const QUICK_SECONDS: u32 = 60;
const QUICK_PART: u32 = 32;
const SLOW_PART: u32 = 1_024;
/// When we start, or a service is new, its players' flows need a moment to show that they are answered. Evidence needs
/// none: only dimensions that say nothing but "much" wait.
const GRACE_BINS: u64 = 5;
/// Packets a second of a served flow that are nothing unusual, where nothing was learnt.
const SERVED_PPS: u32 = 200;
/// And bounds of what is, where it was: three times the usual.
const SERVED_BOUNDS_PPS: (u32, u32) = (60, 500);
/// Unanswered packets a second that each served flow brings with it: reconnects, second sockets.
const STRANGERS_PER_SERVED_PPS: u32 = 8;
/// Packets of joining a second, for each flow that is served already: a full server restarts.
const JOINS_PER_SERVED_PPS: u32 = 10;
/// An attack is over below so many quarters of the level that opened it.
const OVER_QUARTERS: u32 = 3;

/// The counts of one service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge {
    bin: u64,
    now: [u32; DIMS],
    before: [u32; DIMS],
    second: u64,
    in_second: [u32; DIMS],
    last_second: [u32; DIMS],
    normal_parts: [u32; DIMS],
    learnt_seconds: u32,
    frozen_until: Instant,
    /// The bin in which it began to count.
    first_bin: u64,
    /// Flows that the server serves, in this second and the last.
    served: [u32; 2],
    /// What each of them sends, if it was learnt.
    pub(crate) per_served_pps: Option<u32>,
    /// The operator's own limit stands for the levels that say nothing but "much".
    pub(crate) fixed: bool,
}

/// The dimension of a class that has one.
pub(crate) fn of_class(class: Class) -> Option<Dim> {
    match class {
        Class::None => None,
        Class::Opening => Some(Dim::Opening),
        Class::Query => Some(Dim::Query),
        Class::Join => Some(Dim::Join),
        Class::Play => Some(Dim::Play),
        Class::Control => Some(Dim::Control),
    }
}

impl Gauge {
    /// Moves the window to `at`; `learn` only in peace.
    pub(crate) fn roll(&mut self, at: Instant, learn: bool) {
        let bin = at.as_micros() / BIN_MICROS;
        if bin <= self.bin {
            return;
        }
        self.before = if bin == self.bin + 1 { self.now } else { [0; DIMS] };
        self.now = [0; DIMS];
        self.bin = bin;
        let second = at.as_micros() / 1_000_000;
        if second > self.second {
            self.close_second(second - self.second, learn && at >= self.frozen_until);
            self.second = second;
        }
    }

    fn close_second(&mut self, passed: u64, learn: bool) {
        self.served = [0, if passed == 1 { self.served[0] } else { 0 }];
        let sample = std::mem::replace(&mut self.in_second, [0; DIMS]);
        self.last_second = if passed == 1 { sample } else { [0; DIMS] };
        // What comes before players' flows are known as such is not what is normal.
        if !learn || self.second * 1_000_000 / BIN_MICROS < self.first_bin + GRACE_BINS {
            return;
        }
        self.learn(&sample);
        for _ in 1..passed.min(SILENT_SECONDS) {
            self.learn(&[0; DIMS]);
        }
    }

    /// Moves each normal rate towards its 95th percentile: 19 parts up against 1 part down.
    fn learn(&mut self, sample: &[u32; DIMS]) {
        let quick = self.learnt_seconds < QUICK_SECONDS;
        let (part, least) = if quick { (QUICK_PART, PARTS) } else { (SLOW_PART, PARTS / 4) };
        for (at, (normal, &count)) in self.normal_parts.iter_mut().zip(sample).enumerate() {
            let seen = count.min(u32::MAX / PARTS) * PARTS;
            let step = (*normal / part).max(least);
            let small = LEVELS.get(at).is_none_or(|level| count < level.unlearnt_pps);
            if self.learnt_seconds < LEARNT_SECONDS && small && at != Dim::Hostile as usize {
                *normal = seen.max(*normal);
            } else if seen > *normal {
                *normal += (step * 19 / 20).min(seen - *normal);
            } else {
                *normal -= (step / 20).min(*normal - seen);
            }
        }
        self.learnt_seconds = self.learnt_seconds.saturating_add(1);
    }

    /// Counts `weight` packets.
    pub(crate) fn add(&mut self, dim: Dim, weight: u32) {
        let at = dim as usize;
        self.now[at] = self.now[at].saturating_add(weight);
        self.in_second[at] = self.in_second[at].saturating_add(weight);
    }

    fn in_window(&self, dim: Dim) -> u32 {
        self.now[dim as usize].saturating_add(self.before[dim as usize])
    }

    fn opens_at(&self, level: &Level) -> u32 {
        let floor = if self.is_learnt() { level.floor_pps } else { level.unlearnt_pps };
        let usual = self.normal_of(level.dim);
        let normal = usual.saturating_mul(level.times);
        // Of strangers it is what they add that counts.
        let floor = if level.dim == Dim::Crowd { floor.saturating_add(usual) } else { floor };
        let served = self.served().saturating_mul(self.each_served(level.dim));
        floor.max(normal).max(served) / WINDOWS_PER_SECOND
    }

    /// What a served flow makes likely of a dimension: load that grows with the players is no attack.
    fn each_served(&self, dim: Dim) -> u32 {
        match dim {
            Dim::Answered => self.per_served_pps.map_or(SERVED_PPS, |pps| {
                pps.saturating_mul(3).clamp(SERVED_BOUNDS_PPS.0, SERVED_BOUNDS_PPS.1)
            }),
            Dim::Crowd => STRANGERS_PER_SERVED_PPS,
            Dim::Join => JOINS_PER_SERVED_PPS,
            _ => 0,
        }
    }

    /// Whether `level` speaks now.
    fn speaks(&self, level: &Level) -> bool {
        let much = matches!(level.dim, Dim::Crowd | Dim::Answered | Dim::Play | Dim::Control);
        let fixed = self.fixed && matches!(level.dim, Dim::Crowd | Dim::Answered);
        !(fixed || much && self.in_grace())
    }

    /// Whether players' flows had no time yet to show what they are.
    pub(crate) fn in_grace(&self) -> bool {
        self.bin < self.first_bin + GRACE_BINS
    }

    /// The first level that is passed: its dimension and reason.
    pub(crate) fn passed(&self) -> Option<(Dim, &'static str)> {
        let passed = |level: &&Level| self.in_window(level.dim) >= self.opens_at(level);
        let level = LEVELS.iter().find(|level| passed(level) && self.speaks(level))?;
        Some((level.dim, level.reason))
    }

    /// Whether all levels are passed no more, and clearly so.
    pub(crate) fn is_calm(&self) -> bool {
        let over = |level: &Level| self.opens_at(level) / 4 * OVER_QUARTERS;
        LEVELS.iter().all(|level| self.in_window(level.dim) <= over(level) || !self.speaks(level))
    }

    /// Whether it knows what is normal.
    pub(crate) fn is_learnt(&self) -> bool {
        self.learnt_seconds >= LEARNT_SECONDS
    }

    /// The normal rate of a dimension in packets a second.
    pub(crate) fn normal_of(&self, dim: Dim) -> u32 {
        self.normal_parts[dim as usize] / PARTS
    }

    /// `flows` more are served in this second.
    pub(crate) fn serves(&mut self, flows: u32) {
        self.served[0] = self.served[0].saturating_add(flows);
    }

    /// Flows that the server serves: players, and all whom it answers.
    pub(crate) fn served(&self) -> u32 {
        self.served[0].max(self.served[1])
    }

    /// It begins to count now.
    pub(crate) fn begins(&mut self, at: Instant) {
        self.first_bin = at.as_micros() / BIN_MICROS;
    }

    /// Of what clients sent in the window, how much came from strangers: (theirs, all).
    pub(crate) fn strangers(&self) -> (u32, u32) {
        (self.in_window(Dim::Crowd), self.in_window(Dim::All))
    }

    /// Of what clients sent in the window, how much only ends connections: (that, all).
    pub(crate) fn resets(&self) -> (u32, u32) {
        (self.in_window(Dim::Resets), self.in_window(Dim::All))
    }

    /// Whether it may learn at `at`: not within the tail of an attack.
    pub(crate) fn learns(&self, at: Instant) -> bool {
        at >= self.frozen_until
    }

    /// What it has learnt: whole seconds, and normal rates in parts of a packet.
    pub(crate) fn kept(&self) -> (u32, Vec<u32>) {
        (self.learnt_seconds, self.normal_parts.to_vec())
    }

    /// What an earlier one had learnt.
    pub(crate) fn restore(&mut self, learnt_seconds: u32, normal_parts: &[u32]) {
        self.learnt_seconds = learnt_seconds;
        for (normal, kept) in self.normal_parts.iter_mut().zip(normal_parts) {
            *normal = *kept;
        }
    }

    /// Whether the level of `dim` is passed.
    #[cfg(test)]
    pub(crate) fn passes(&self, dim: Dim) -> bool {
        let level = &LEVELS[dim as usize];
        self.in_window(dim) >= self.opens_at(level)
    }

    /// Packets a second of the window.
    pub(crate) fn pps(&self, dim: Dim) -> u64 {
        u64::from(self.in_window(dim)) * u64::from(WINDOWS_PER_SECOND)
    }

    /// What strangers send together when nothing is wrong.
    pub(crate) fn normal_pps(&self) -> u32 {
        let answered = self.normal_of(Dim::Answered).max(self.last_second[Dim::Answered as usize]);
        self.normal_of(Dim::Crowd).saturating_add(answered)
    }

    /// An attack is over: its tail is not learnt from.
    pub(crate) fn freeze(&mut self, at: Instant) {
        self.frozen_until = at.plus_millis(TAIL_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_stand_in_the_order_of_their_dimensions() {
        for (at, level) in LEVELS.iter().enumerate() {
            assert_eq!(level.dim as usize, at, "{}", level.reason);
        }
    }

    /// `pps` of a dimension for so many seconds; returns the gauge.
    fn seconds(gauge: &mut Gauge, from_second: u64, seconds: u64, dim: Dim, pps: u32) {
        for bin in 0..seconds * 10 {
            gauge.roll(Instant::from_millis(from_second * 1_000 + bin * 100), true);
            gauge.add(dim, pps / 10);
        }
    }

    #[test]
    fn hostile_packets_pass_at_forty_a_second() {
        let mut gauge = Gauge::default();
        gauge.roll(Instant::from_millis(5_000), true);
        gauge.add(Dim::Hostile, 7);
        assert!(!gauge.passes(Dim::Hostile));
        gauge.add(Dim::Hostile, 1);
        assert_eq!(gauge.passed(), Some((Dim::Hostile, "host/hostile")));
        gauge.roll(Instant::from_millis(5_100), true);
        assert!(gauge.passes(Dim::Hostile), "the bin before still counts");
        gauge.roll(Instant::from_millis(5_200), true);
        assert!(!gauge.passes(Dim::Hostile), "two bins later it does not");
    }

    #[test]
    fn a_busy_service_has_a_higher_level() {
        let mut gauge = Gauge::default();
        seconds(&mut gauge, 1, 30, Dim::Crowd, 1_000);
        assert!((900..=1_000).contains(&gauge.normal_pps()), "{}", gauge.normal_pps());
        assert!(!gauge.passes(Dim::Crowd));
        gauge.add(Dim::Crowd, 4_000 / 5);
        assert!(gauge.passes(Dim::Crowd));
    }

    #[test]
    fn a_frozen_gauge_learns_nothing() {
        let mut gauge = Gauge::default();
        seconds(&mut gauge, 1, 20, Dim::Crowd, 100);
        let before = gauge.normal_pps();
        gauge.freeze(Instant::from_millis(21_000));
        seconds(&mut gauge, 21, 300, Dim::Crowd, 5_000);
        assert_eq!(gauge.normal_parts[Dim::Crowd as usize] / PARTS, before);
    }
}
