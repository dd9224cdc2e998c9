//! Which of the packets into the node are handed on once there are more than the budget.
//!
//! Whole flows are kept or left out by a keyed hash that both directions share, because a flow without its
//! opening tells little. Rates are powers of two and the kept flows of a higher rate are a subset of those of
//! a lower one. A flow with very many packets would then be all or nothing, and a flood from one source
//! could vanish; so busy flows are sampled packet by packet, at the same rate. Either way a kept frame
//! stands for `rate` frames and the weights add up to what was sent.

use std::hash::BuildHasher;
use std::hash::RandomState;

use ftagent_core::frame::Link;
use ftagent_core::time::Instant;

use crate::peek::Peek;

/// How often the rate is fitted to what arrives, in microseconds.
const WINDOW_US: u64 = 100_000;

/// Counters of the packets of flows in one window; flows share them by hash.
const BUCKETS: usize = 65_536;

/// A counter that has passed this in one window samples by packet: 160 packets a second, more than players
/// send.
const BUSY_PACKETS: u16 = 16;

/// No frame stands for more than so many.
const RATE_MAX: u32 = 1 << 16;

/// Keeps the packets of one capture within a budget.
#[derive(Debug)]
pub(crate) struct Sampler<K = RandomState> {
    window_packets_max: u64,
    rate: u32,
    window_start: Option<Instant>,
    arrived: u64,
    buckets: Box<[u16]>,
    /// All packets so far: what makes two packets of one busy flow differ.
    total: u64,
    keys: K,
    /// Frames that were left out since the start; the kept ones stand for them.
    sampled_away: u64,
}

impl<K: BuildHasher> Sampler<K> {
    pub(crate) fn new(packets_per_second: u32, keys: K) -> Self {
        Self {
            window_packets_max: (u64::from(packets_per_second) * WINDOW_US / 1_000_000).max(1),
            rate: 1,
            window_start: None,
            arrived: 0,
            buckets: vec![0; BUCKETS].into_boxed_slice(),
            total: 0,
            keys,
            sampled_away: 0,
        }
    }

    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    pub(crate) fn sampled_away(&self) -> u64 {
        self.sampled_away
    }

    /// Packets that the kernel's ring had no room for also passed the budget.
    pub(crate) fn lost(&mut self, packets: u64) {
        self.arrived += packets;
    }

    /// For how many frames this one stands, or `None` if it is left out.
    pub(crate) fn keep(&mut self, at: Instant, link: Link, bytes: &[u8]) -> Option<u32> {
        self.fit(at);
        self.arrived += 1;
        self.total = self.total.wrapping_add(1);
        if self.arrived > self.window_packets_max * u64::from(self.rate) {
            self.rate = (self.rate * 2).min(RATE_MAX);
        }
        if self.rate == 1 {
            return Some(1);
        }
        let hash = self.hash(link, bytes);
        // The low bits choose flows, so the bucket must be chosen by others.
        let count = &mut self.buckets[(hash >> 40) as usize % BUCKETS];
        *count = count.saturating_add(1);
        let mask = u64::from(self.rate) - 1;
        let chosen = if *count > BUSY_PACKETS { mixed(hash ^ self.total) } else { hash };
        if chosen & mask == 0 {
            return Some(self.rate);
        }
        self.sampled_away += 1;
        None
    }

    /// Up at once, down by half a window, so that the rate does not swing.
    fn fit(&mut self, at: Instant) {
        let start = *self.window_start.get_or_insert(at);
        if at.micros_since(start) < WINDOW_US {
            return;
        }
        let windows = (at.micros_since(start) / WINDOW_US).min(u64::from(u32::BITS)) as u32;
        let needed = self.arrived.div_ceil(self.window_packets_max).clamp(1, u64::from(RATE_MAX));
        self.rate =
            (needed as u32).next_power_of_two().max(self.rate.checked_shr(windows).unwrap_or(0)).max(1);
        self.window_start = Some(at);
        self.arrived = 0;
        self.buckets.fill(0);
    }

    fn hash(&self, link: Link, bytes: &[u8]) -> u64 {
        // Frames whose addresses cannot be read are one flow; it is soon a busy one.
        self.keys.hash_one(Peek::of(link, bytes).map(|peek| (peek.ends(), peek.protocol)))
    }
}

/// Spreads every bit over all others (the finisher of SplitMix64).
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
