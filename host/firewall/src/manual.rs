//! What people block and allow, and the lists of the configuration.
//!
//! Blocked networks are elements of hash sets, one for each prefix length in use, so that networks may lie in one
//! another. Allowed ones join the guard: nothing of theirs is ever judged. Nothing here is kept over a restart; the
//! program says it again.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use ftagent_core::time::Instant;
use ipnet::IpNet;

use crate::FirewallError;
use crate::key::Family;
use crate::key::Key;
use crate::limits;
use crate::plan::Until;
use crate::set::Element;
use crate::set::Kind;
use crate::set::SetId;
use crate::status::ManualStatus;
use crate::wall::Wall;

/// What the configuration's lists are called where notes are shown.
const LISTED: &str = "in the configuration";

/// What people said.
#[derive(Debug, Default)]
pub(crate) struct Manual {
    allowed: BTreeMap<IpNet, (Until, String)>,
    denied: BTreeSet<IpNet>,
}

impl Manual {
    pub(crate) fn allowed(&self) -> impl Iterator<Item = IpNet> {
        self.allowed.keys().copied()
    }
}

fn element(network: IpNet) -> Element {
    let set = SetId { kind: Kind::Manual(network.prefix_len()), family: Family::of(network.addr()) };
    Element { set, key: Key::address(network.addr()) }
}

/// The network of its shortest form, or why it is too wide.
fn checked(network: IpNet) -> Result<IpNet, FirewallError> {
    let widest = match network {
        IpNet::V4(_) => limits::MANUAL_WIDEST_V4,
        IpNet::V6(_) => limits::MANUAL_WIDEST_V6,
    };
    if network.prefix_len() < widest {
        let says = format!("{network} is wider than /{widest}, the widest network that can be named");
        return Err(FirewallError::Refused(says));
    }
    Ok(network.trunc())
}

impl Wall {
    /// Blocks a network at the whole node until then, in every mode but observe. Asking again sets its end and note
    /// anew. Refused with the reason where it would hit someone guarded, a private or special network, where it is
    /// wider than /8 (IPv4) or /16 (IPv6), and beyond [`limits::MANUAL_MAX`] networks.
    pub fn block(
        &mut self,
        network: IpNet,
        until: Instant,
        note: &str,
        now: Instant,
    ) -> Result<(), FirewallError> {
        self.want_blocked(network, Until::Time(until), note)?;
        self.commit_dirty(now)
    }

    /// Takes a block back; `false` if there was none by hand. One of the configuration's list stays.
    pub fn unblock(&mut self, network: IpNet, now: Instant) -> Result<bool, FirewallError> {
        let network = network.trunc();
        let at = element(network);
        if self.manual.denied.contains(&network) || !self.wanted.elements.contains_key(&at) {
            return Ok(false);
        }
        self.wanted.remove(at);
        self.commit_dirty(now)?;
        Ok(true)
    }

    /// Never judges this network until then; blocks and leases in it end. Refused where it is wider than /8 (IPv4) or
    /// /16 (IPv6) and beyond [`limits::MANUAL_MAX`] networks.
    pub fn allow(
        &mut self,
        network: IpNet,
        until: Instant,
        note: &str,
        now: Instant,
    ) -> Result<(), FirewallError> {
        self.want_allowed(network, Until::Time(until), note)?;
        self.refresh_guard(now)
    }

    /// Takes an allowance back; `false` if there was none by hand. One of the configuration's list stays.
    pub fn disallow(&mut self, network: IpNet, now: Instant) -> Result<bool, FirewallError> {
        let network = network.trunc();
        let by_hand = |(until, _): &(Until, String)| *until != Until::Removed;
        if !self.manual.allowed.get(&network).is_some_and(by_hand) {
            return Ok(false);
        }
        self.manual.allowed.remove(&network);
        self.refresh_guard(now)?;
        Ok(true)
    }

    /// Replaces the lists of the configuration: networks that are blocked, and such that are never judged. To be
    /// called before the first `set_services`, so that what an earlier run blocked by its list stays blocked.
    /// Returns a sentence for each network that was refused.
    pub fn set_lists(
        &mut self,
        denied: &[IpNet],
        allowed: &[IpNet],
        now: Instant,
    ) -> Result<Vec<String>, FirewallError> {
        let mut refused = Vec::new();
        self.manual.allowed.retain(|_, (until, _)| *until != Until::Removed);
        for &network in allowed {
            if let Err(error) = self.want_allowed(network, Until::Removed, LISTED) {
                refused.push(format!("{network} of the allow list: {error}"));
            }
        }
        self.refresh_guard(now)?;
        let wanted: BTreeSet<_> = denied.iter().map(IpNet::trunc).collect();
        for network in std::mem::take(&mut self.manual.denied).difference(&wanted) {
            self.wanted.remove(element(*network));
        }
        for network in wanted {
            match self.want_blocked(network, Until::Removed, LISTED) {
                Ok(()) => {
                    self.manual.denied.insert(network);
                }
                Err(error) => refused.push(format!("{network} of the deny list: {error}")),
            }
        }
        self.commit_dirty(now)?;
        Ok(refused)
    }

    /// Whether a network may be blocked, as [`Wall::block`] would find, so that an order of several can be refused
    /// whole before any of it is done.
    pub fn check_block(&self, network: IpNet) -> Result<IpNet, FirewallError> {
        let network = checked(network)?;
        match self.structure.guard.against_person(network) {
            Some(why) => Err(FirewallError::Refused(why)),
            None => Ok(network),
        }
    }

    fn want_blocked(&mut self, network: IpNet, until: Until, note: &str) -> Result<(), FirewallError> {
        let network = self.check_block(network)?;
        if self.manual.denied.contains(&network) {
            // The list outlives whatever is said by hand.
            return Ok(());
        }
        let at = element(network);
        let full = self.wanted.blocked_by_hand() >= limits::MANUAL_MAX;
        if full && !self.wanted.elements.contains_key(&at) {
            let says = format!("{} networks are blocked already, which is the most", limits::MANUAL_MAX);
            return Err(FirewallError::Refused(says));
        }
        self.wanted.block(at, until, note.into());
        Ok(())
    }

    fn want_allowed(&mut self, network: IpNet, until: Until, note: &str) -> Result<(), FirewallError> {
        let network = checked(network)?;
        let known = self.manual.allowed.get(&network);
        if known.is_some_and(|(until, _)| *until == Until::Removed) {
            return Ok(());
        }
        if known.is_none() && self.manual.allowed.len() >= limits::MANUAL_MAX {
            let says = format!("{} networks are allowed already, which is the most", limits::MANUAL_MAX);
            return Err(FirewallError::Refused(says));
        }
        self.manual.allowed.insert(network, (until, note.to_owned()));
        Ok(())
    }

    /// Ends allowances whose time is over.
    pub(crate) fn end_allowances(&mut self, now: Instant) -> Result<(), FirewallError> {
        let before = self.manual.allowed.len();
        self.manual.allowed.retain(|_, (until, _)| !until.is_over(now));
        if self.manual.allowed.len() == before {
            return Ok(());
        }
        self.refresh_guard(now)
    }

    pub(crate) fn block_status(&self, now: Instant) -> Vec<ManualStatus> {
        if self.wanted.blocked_by_hand() == 0 {
            return Vec::new();
        }
        let blocks = self.wanted.elements.iter().filter_map(|(at, (_, until))| {
            let network = at.blocks().filter(|_| matches!(at.set.kind, Kind::Manual(_)))?;
            Some(status(network, self.reason_of(at), *until, now))
        });
        let mut blocks: Vec<_> = blocks.collect();
        blocks.sort_by_key(|block| block.network);
        blocks
    }

    pub(crate) fn allowed_status(&self, now: Instant) -> Vec<ManualStatus> {
        let allowed = self.manual.allowed.iter();
        allowed.map(|(network, (until, note))| status(*network, note.clone(), *until, now)).collect()
    }
}

fn status(network: IpNet, note: String, until: Until, now: Instant) -> ManualStatus {
    let seconds_left = match until {
        Until::Time(end) => Some(end.millis_since(now).div_ceil(1_000)),
        Until::Removed => None,
    };
    ManualStatus { network, note, seconds_left }
}
