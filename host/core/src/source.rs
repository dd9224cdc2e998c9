//! One address at one service: what its flows have in common.

use crate::flow::ReasonCounts;
use crate::flow::Tally;
use crate::hash::HashKey;
use crate::hash::Key;
use crate::limits;
use crate::manifest::Class;
use crate::service::Transport;
use crate::table::Hold;
use crate::table::Settled;
use crate::table::Tenant;
use crate::time::Instant;
use crate::wire::Address;

/// An address at a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub(crate) struct SourceKey {
    pub(crate) client: Address,
    pub(crate) site: u32,
}

impl Key for SourceKey {
    fn hash(&self, key: HashKey) -> u64 {
        key.hash([self.client.low, self.client.high, u64::from(self.site)])
    }
}

/// How many flows of a source stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standings {
    /// Proven and better.
    pub(crate) proven: u32,
    /// Settled and players.
    pub(crate) settled: u32,
}

/// Everything known of one source; at first nothing. What each packet needs stands first, beside the key.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Source {
    pub(crate) note: u64,
    pub(crate) tag: u32,
    pub(crate) batch: u32,
    pub(crate) row: u16,
    pub(crate) tally: Tally,
    pub(crate) flows: Settled<u32>,
    pub(crate) standings: Settled<Standings>,
    /// Packets of each class in the running second.
    second: u32,
    in_second: [u16; 6],
    pub(crate) lane_round: u32,
    /// When leases on it were last asked for, over TCP and over UDP: two services of one port share a source.
    leased_ms: [u32; 2],
    /// Proven flows that turned hostile since that second; [`Self::turned_hostile`] counts.
    hostile_flows: u32,
    hostile_since: u32,
    /// It has asked to join, and asked for the server's state, at any time.
    pub(crate) joins: bool,
    pub(crate) queries: bool,
    /// Connections that it began under attack since that second; [`Self::begins`] counts.
    begun: u16,
    begun_since: u32,
    /// When somebody there last got into a talk with the server, in seconds + 1; 0 for never.
    talked: u32,
    /// Openings, queries and joins in the running second, of proven flows only: nobody else can have sent them.
    proven_second: u32,
    proven_in_second: [u16; 3],
    /// Different seconds in which those were too many, and the last of them.
    excess_seconds: u8,
    excess_second: u32,
    pub(crate) reasons: ReasonCounts,
}

/// Flows that turned hostile are forgotten after so many seconds.
const HOSTILE_FLOWS_SECONDS: u32 = 60;
/// And connections begun after so many.
const BEGUN_SECONDS: u32 = 5;
/// A talk speaks for its address for so many seconds.
const TALK_SECONDS: u32 = 60;

/// Milliseconds that wrap around, never 0, which stands for never.
fn lease_clock_ms(at: Instant) -> u32 {
    (at.as_micros() / 1_000) as u32 | 1
}

impl Source {
    /// One more proven flow turned hostile.
    pub(crate) fn turned_hostile(&mut self, second: u32) {
        if second.saturating_sub(self.hostile_since) > HOSTILE_FLOWS_SECONDS {
            (self.hostile_since, self.hostile_flows) = (second, 0);
        }
        self.hostile_flows = self.hostile_flows.saturating_add(1);
    }

    /// It begins a connection under attack; how many within the last seconds, and over how many seconds so far.
    pub(crate) fn begins(&mut self, second: u32) -> (u16, u32) {
        if second.saturating_sub(self.begun_since) >= BEGUN_SECONDS {
            (self.begun_since, self.begun) = (second, 0);
        }
        self.begun = self.begun.saturating_add(1);
        (self.begun, second.saturating_sub(self.begun_since))
    }

    /// Somebody there got into a talk with the server, as those who play do.
    pub(crate) const fn talks(&mut self, second: u32) {
        self.talked = second.saturating_add(1);
    }

    /// Whether somebody there did so lately.
    pub(crate) const fn has_talked(&self, second: u32) -> bool {
        self.talked != 0 && second.saturating_sub(self.talked) < TALK_SECONDS
    }

    /// Connections begun so far do not count any more.
    pub(crate) const fn begins_afresh(&mut self) {
        self.begun = 0;
    }

    /// Whether a lease on it is due: not within so many milliseconds of the last that was asked for.
    pub(crate) fn lease_is_due(&self, transport: Transport, at: Instant, every_ms: u64) -> bool {
        let last = self.leased_ms[usize::from(transport == Transport::Udp)];
        last == 0 || u64::from(lease_clock_ms(at).wrapping_sub(last)) >= every_ms
    }

    /// As [`Self::lease_is_due`]; if so it counts as asked for then.
    pub(crate) fn lease_due(&mut self, transport: Transport, at: Instant, every_ms: u64) -> bool {
        let due = self.lease_is_due(transport, at, every_ms);
        if due {
            self.leased_ms[usize::from(transport == Transport::Udp)] = lease_clock_ms(at);
        }
        due
    }

    /// Counts what a proven flow asked for and says in how many seconds of the last minute it was more than `allowed`.
    pub(crate) fn proven_asks(&mut self, second: u32, class: Class, weight: u32, allowed: u32) -> u8 {
        if self.proven_second != second {
            (self.proven_second, self.proven_in_second) = (second, [0; 3]);
        }
        let slot = match class {
            Class::Opening => 0,
            Class::Query => 1,
            _ => 2,
        };
        let count = &mut self.proven_in_second[slot];
        *count = count.saturating_add(weight.min(u32::from(u16::MAX)) as u16);
        if u32::from(*count) > allowed && self.excess_second != second {
            let lately = second.saturating_sub(self.excess_second) <= HOSTILE_FLOWS_SECONDS;
            self.excess_seconds = if lately { self.excess_seconds.saturating_add(1) } else { 1 };
            self.excess_second = second;
        }
        self.excess_seconds
    }

    /// How many did so lately.
    pub(crate) const fn hostile_flows(&self) -> u32 {
        self.hostile_flows
    }

    /// Remembers that it asked for this.
    pub(crate) fn asks_for(&mut self, class: Class) {
        self.joins |= class == Class::Join;
        self.queries |= class == Class::Query;
    }

    /// Counts packets of a class and says how many there are in this second.
    pub(crate) fn in_second(&mut self, second: u32, class: Class, weight: u32) -> u32 {
        if self.second != second {
            self.second = second;
            self.in_second = [0; 6];
        }
        let count = &mut self.in_second[class as usize];
        *count = count.saturating_add(weight.min(u32::from(u16::MAX)) as u16);
        u32::from(*count)
    }
}

impl Tenant for Source {
    type Left = ();

    fn hold(&self, epoch: u32, _now: Instant) -> Hold {
        if self.standings.before(epoch).proven > 0 { Hold::Fast } else { Hold::Loose }
    }

    fn left(&self) {}

    fn read(&self) -> u32 {
        self.second
    }

    fn read_rest(&self) -> u32 {
        self.reasons[limits::REASONS_KEPT - 1].1
    }
}
