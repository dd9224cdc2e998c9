//! What the packets above the norm consist of: counted all the time in fixed arrays, named while an incident is open.
//!
//! Strangers' packets only (and what a player sends too much of). The norm is learnt in peace, so that a busy game
//! is no vector of the attack on it.

use std::sync::Arc;

use super::Family;
use super::VectorShare;
use super::vector::Vector;
use crate::time::Instant;

const N: usize = Vector::COUNT;
const BIN_MICROS: u64 = 100_000;
const BINS_PER_SECOND: u32 = 10;
/// Normal counts are kept in so many parts of a packet, and move by so much of the difference each second.
const PARTS: u32 = 32;

/// The counts of one site: this bin of 100 ms, the one before, and what is normal in a second.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    bin: u64,
    now: [u32; N],
    before: [u32; N],
    starts: [u64; 2],
    in_second: [u32; N],
    normal_parts: [u32; N],
}

/// Packets above the norm, summed up.
#[derive(Clone, Debug)]
pub(crate) struct Above {
    /// By vector.
    pub(crate) packets: [u64; N],
    /// Bits of how payloads of plain UDP begin: many set bits for random payloads.
    pub(crate) starts: u64,
    /// Plain UDP packets that made them.
    pub(crate) started: u32,
    /// Whether payloads began at random when enough of them were looked at last.
    random: bool,
}

impl Default for Mix {
    fn default() -> Self {
        Self { bin: 0, now: [0; N], before: [0; N], starts: [0; 2], in_second: [0; N], normal_parts: [0; N] }
    }
}

impl Default for Above {
    fn default() -> Self {
        Self { packets: [0; N], starts: 0, started: 0, random: false }
    }
}

impl Mix {
    /// Counts packets of a vector; `start` tells how a payload begins, in 6 bits.
    pub(crate) fn add(&mut self, vector: Vector, start: u8, weight: u32) {
        let at = vector.get();
        self.now[at] = self.now[at].saturating_add(weight);
        if vector.is_plain_udp() {
            self.starts[0] |= 1 << (start & 63);
        }
    }

    /// What was counted before turned out to be the beginning of something genuine.
    pub(crate) fn completed(&mut self, vector: Vector) {
        let at = vector.get();
        self.now[at] = self.now[at].saturating_sub(1);
    }

    /// Moves the bins to `at`; `learn` only in peace.
    pub(crate) fn roll(&mut self, at: Instant, learn: bool) {
        let bin = at.as_micros() / BIN_MICROS;
        if bin <= self.bin {
            return;
        }
        for (sum, now) in self.in_second.iter_mut().zip(&self.now) {
            *sum = sum.saturating_add(*now);
        }
        let next = bin == self.bin + 1;
        self.before = if next { self.now } else { [0; N] };
        self.starts = [0, if next { self.starts[0] } else { 0 }];
        self.now = [0; N];
        if bin / u64::from(BINS_PER_SECOND) != self.bin / u64::from(BINS_PER_SECOND) {
            let sample = std::mem::replace(&mut self.in_second, [0; N]);
            if learn {
                for (normal, count) in self.normal_parts.iter_mut().zip(sample) {
                    let seen = u64::from(count) * u64::from(PARTS);
                    *normal = ((u64::from(*normal) * 7 + seen) / 8).min(u64::from(u32::MAX)) as u32;
                }
            }
        }
        self.bin = bin;
    }

    /// Adds what stood above the norm in the finished bin, and also in the running one if `running`.
    pub(crate) fn above(&self, running: bool, sum: &mut Above) {
        for at in 0..N {
            let normal = self.normal_parts[at] / PARTS / BINS_PER_SECOND;
            let mut count = self.before[at].saturating_sub(normal);
            if running {
                count = count.saturating_add(self.now[at].saturating_sub(normal));
            }
            sum.packets[at] += u64::from(count);
        }
        sum.starts |= self.starts[1] | if running { self.starts[0] } else { 0 };
        let plain = [Vector::UDP_SMALL, Vector::UDP_VOLUMETRIC, Vector::UDP_LARGE];
        for vector in plain {
            let running = if running { self.now[vector.get()] } else { 0 };
            sum.started = sum.started.saturating_add(self.before[vector.get()]).saturating_add(running);
        }
    }
}

/// Vectors with less than so many per cent are not worth a word, except where they are most of what there is.
const WORTH_PERCENT: u64 = 5;
/// Fragments are the attack itself from so many per cent on.
const FRAGMENTS_PERCENT: u64 = 60;
/// A second protocol from so many per cent on is a second vector.
const SECOND_PERCENT: u64 = 30;
/// SYNs that do not complete are the attack if they are so many per cent of its TCP.
const SYN_PERCENT: u64 = 40;
/// Fewer beginnings of payloads say nothing.
const ENOUGH_STARTS: u32 = 16;
/// Vectors told at most.
const TOLD: usize = 6;

impl Above {
    /// All of them.
    pub(crate) fn sum(&self) -> u64 {
        self.packets.iter().sum()
    }

    /// Adds what another one summed up.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, count) in self.packets.iter_mut().zip(&other.packets) {
            *sum += count;
        }
        self.starts |= other.starts;
        self.started = self.started.saturating_add(other.started);
    }

    /// Old packets count for less: what the attack is now matters.
    pub(crate) fn fade(&mut self) {
        for count in &mut self.packets {
            *count -= *count / 8;
        }
        self.random = self.is_random();
        (self.starts, self.started) = (0, 0);
    }

    fn of(&self, vector: Vector) -> u64 {
        self.packets[vector.get()]
    }

    /// Payloads of plain UDP begin differently: so many random starts would set more than half as many bits.
    fn is_random(&self) -> bool {
        match self.started {
            ..ENOUGH_STARTS => self.random,
            started => self.starts.count_ones() >= (started * 11 / 20).min(40),
        }
    }

    /// The vectors, largest first, and the family of the whole. Nothing if there is nothing above the norm.
    pub(crate) fn named(&self, evidence: &dyn Fn(Vector, u64) -> Arc<str>) -> (Family, Vec<VectorShare>) {
        let mut parts = self.joined();
        let sum: u64 = parts.iter().map(|part| part.1).sum();
        if sum == 0 {
            return (Family::Unknown, Vec::new());
        }
        parts.sort_by_key(|part| (std::cmp::Reverse(part.1), part.0));
        let percent = |count: u64| count * 100 / sum;
        let family = family(&parts, sum);
        let worth =
            parts.iter().enumerate().filter(|(at, part)| *at == 0 || percent(part.1) >= WORTH_PERCENT);
        let told = worth.take(TOLD).map(|(_, &(vector, count))| VectorShare {
            vector: vector.name().into(),
            family: vector.family(),
            share_percent: percent(count).min(100) as u8,
            evidence: evidence(vector, count),
        });
        (family, told.collect())
    }

    /// Counts by vector, with sizes of plain UDP joined into one and fragments named by what they belong to.
    fn joined(&self) -> Vec<(Vector, u64)> {
        let plain: u64 = Vector::all().filter(|v| v.is_plain_udp()).map(|v| self.of(v)).sum();
        let mut parts: Vec<_> =
            Vector::all().filter(|v| !v.is_plain_udp()).map(|v| (v, self.of(v))).collect();
        parts.push((self.plain_name(plain), plain));
        parts.retain(|part| part.1 > 0);
        let sum: u64 = parts.iter().map(|part| part.1).sum();
        let fragments = self.of(Vector::FRAGMENTS);
        let reflected: u64 = parts.iter().filter(|p| p.0.is_reflected_udp()).map(|p| p.1).sum();
        if fragments > 0 && reflected * 100 >= sum * 25 {
            // Large answers come in pieces, and only the first one carries the port and the mark.
            let largest = parts.iter().filter(|p| p.0.is_reflected_udp()).max_by_key(|p| p.1).map(|p| p.0);
            parts.retain(|part| part.0 != Vector::FRAGMENTS);
            if let Some(part) = parts.iter_mut().find(|part| Some(part.0) == largest) {
                part.1 += fragments;
            }
        } else if fragments * 100 < sum * FRAGMENTS_PERCENT && plain > 0 {
            for part in &mut parts {
                if part.0 == Vector::FRAGMENTS {
                    part.0 = Vector::FRAGMENTED_UDP;
                }
            }
        }
        parts
    }

    /// What plain UDP is called, by the mean of its sizes.
    fn plain_name(&self, plain: u64) -> Vector {
        if self.is_random() {
            return Vector::UDP_RANDOM;
        }
        let (small, large) = (self.of(Vector::UDP_SMALL), self.of(Vector::UDP_LARGE));
        match plain {
            _ if small * 2 > plain => Vector::UDP_SMALL,
            _ if large * 2 > plain => Vector::UDP_LARGE,
            _ => Vector::UDP_VOLUMETRIC,
        }
    }
}

/// Which protocol a family belongs to, for telling one vector from several.
const fn protocol(family: Family) -> usize {
    match family {
        Family::Syn | Family::Tcp => 0,
        Family::Udp => 1,
        Family::Icmp => 2,
        Family::Fragment => 3,
        Family::OtherProtocol => 4,
        Family::Reflection => 5,
        Family::Query => 6,
        Family::Join | Family::Play => 7,
        Family::Unknown | Family::Carpet | Family::MultiVector => 8,
    }
}

/// The family of all of it: of the largest protocol, or several if a second one is large too.
fn family(parts: &[(Vector, u64)], sum: u64) -> Family {
    let mut by_protocol = [0u64; 9];
    for (vector, count) in parts {
        by_protocol[protocol(vector.family())] += count;
    }
    let fragments = by_protocol[protocol(Family::Fragment)];
    if fragments * 100 >= sum * FRAGMENTS_PERCENT {
        return Family::Fragment;
    }
    let mut sorted = by_protocol;
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    if sorted[1] * 100 >= sum * SECOND_PERCENT {
        return Family::MultiVector;
    }
    let largest = by_protocol.iter().position(|count| *count == sorted[0]).unwrap_or(0);
    let of_family = |family: Family| -> u64 {
        parts.iter().filter(|part| part.0.family() == family).map(|part| part.1).sum()
    };
    if largest == protocol(Family::Syn) {
        let syns = of_family(Family::Syn);
        return if syns * 100 >= sorted[0] * SYN_PERCENT { Family::Syn } else { Family::Tcp };
    }
    let within = parts.iter().find(|part| protocol(part.0.family()) == largest);
    within.map_or(Family::Unknown, |part| part.0.family())
}
