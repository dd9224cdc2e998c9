//! One address at one service: what its flows have in common.

use crate::flow::ReasonCounts;
use crate::flow::Tally;
use crate::hash::HashKey;
use crate::hash::Key;
use crate::limits;
use crate::manifest::Class;
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
    pub(crate) leased_at: Option<Instant>,
    /// Proven flows that turned hostile since that second; [`Self::turned_hostile`] counts.
    hostile_flows: u32,
    hostile_since: u32,
    pub(crate) reasons: ReasonCounts,
}

/// Flows that turned hostile are forgotten after so many seconds.
const HOSTILE_FLOWS_SECONDS: u32 = 60;

impl Source {
    /// One more proven flow turned hostile.
    pub(crate) fn turned_hostile(&mut self, second: u32) {
        if second.saturating_sub(self.hostile_since) > HOSTILE_FLOWS_SECONDS {
            (self.hostile_since, self.hostile_flows) = (second, 0);
        }
        self.hostile_flows = self.hostile_flows.saturating_add(1);
    }

    /// How many did so lately.
    pub(crate) const fn hostile_flows(&self) -> u32 {
        self.hostile_flows
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
