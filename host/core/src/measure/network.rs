//! Leases of one service, so that many of one network become one: /32s become a /24, IPv6 /64s a /48.

use std::collections::BTreeMap;

use crate::limits;
use crate::time::Instant;
use crate::wire::Address;

/// So many leased addresses of a network are merged.
const MERGE_AT: usize = 16;
/// And so many when the service uses more than half of its bound.
const MERGE_WHEN_FULL_AT: usize = 4;
/// A merged network is asked for again so often.
const RENEW_MS: u64 = 2_000;

/// Leases of one attack that are told one by one.
const NOTED: u32 = 16;

/// A network that leases are merged into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Network {
    /// Its address, with the host's bits cleared.
    pub(crate) address: Address,
}

impl Network {
    /// The network of an address.
    pub(crate) fn of(client: Address) -> Self {
        let host_bits = if client.is_v4() { 8 } else { 80 };
        Self { address: Address::v6(client.bits() >> host_bits << host_bits) }
    }

    /// How many bits of the address count: 24 or 48.
    pub(crate) const fn prefix_bits(self) -> u8 {
        if self.address.is_v4() { 24 } else { 48 }
    }

    /// Whether an address lies in it.
    pub(crate) fn holds(self, client: Address) -> bool {
        client.is_v4() == self.address.is_v4() && Self::of(client) == self
    }

    fn with(self, part: u16) -> Address {
        let host = if self.address.is_v4() { u128::from(part) } else { u128::from(part) << 64 };
        Address::v6(self.address.bits() | host)
    }
}

/// The part of an address that tells it from others of its network: the last octet, or the subnet of a /64.
pub(crate) fn part(client: Address) -> u16 {
    if client.is_v4() { client.low as u16 & 0xff } else { client.high as u16 }
}

/// How a source is leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leased {
    /// By itself.
    Alone,
    /// With its network, which is to be asked for; `new` if it is so for the first time.
    With { network: Network, new: bool },
    /// With its network, which was asked for a moment ago.
    Already,
    /// The service has as many as it may.
    LeftOut,
}

#[derive(Clone, Debug)]
struct Held {
    until: Instant,
    hosts: Vec<u16>,
    /// When the network as one was last asked for.
    merged: Option<Instant>,
    /// Why it is not merged: somebody peaceful is in it, as of then.
    apart: Option<Instant>,
}

/// The leases that were asked for and have not run out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases {
    networks: BTreeMap<Network, Held>,
    entries: usize,
    /// Sources that were not leased because there was no room.
    pub(crate) left_out: u64,
    noted: u32,
}

impl Leases {
    /// How many entries there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries
    }

    /// Whether one more lease is told step by step; the first ones are, and all of them stand in the effects.
    pub(crate) fn noted(&mut self) -> bool {
        self.noted = self.noted.saturating_add(1);
        self.noted <= NOTED
    }

    /// A source may be leased until `until`. `merges` says whether its network may be merged, and is asked seldom.
    pub(crate) fn lease(
        &mut self,
        client: Address,
        at: Instant,
        until: Instant,
        merges: impl FnOnce(Network, &[u16]) -> bool,
    ) -> Leased {
        let network = Network::of(client);
        let full = self.entries >= limits::LEASES_A_SERVICE;
        let known = self.networks.contains_key(&network);
        if !known && full {
            self.left_out += 1;
            return Leased::LeftOut;
        }
        let merge_at =
            if self.entries > limits::LEASES_A_SERVICE / 2 { MERGE_WHEN_FULL_AT } else { MERGE_AT };
        let empty = || Held { until, hosts: Vec::new(), merged: None, apart: None };
        let held = self.networks.entry(network).or_insert_with(empty);
        held.until = held.until.max(until);
        if let Some(asked) = &mut held.merged {
            let due = at.millis_since(*asked) >= RENEW_MS;
            if due {
                *asked = at;
                return Leased::With { network, new: false };
            }
            return Leased::Already;
        }
        let part = part(client);
        if !held.hosts.contains(&part) {
            if held.hosts.len() >= limits::LEASES_A_NETWORK || full {
                self.left_out += 1;
                return Leased::LeftOut;
            }
            held.hosts.push(part);
            self.entries += 1;
        }
        let asked_lately = held.apart.is_some_and(|last| at.millis_since(last) < RENEW_MS);
        if held.hosts.len() < merge_at || asked_lately {
            return Leased::Alone;
        }
        if !merges(network, &held.hosts) {
            held.apart = Some(at);
            return Leased::Alone;
        }
        self.entries -= held.hosts.len() - 1;
        (held.hosts, held.merged) = (Vec::new(), Some(at));
        Leased::With { network, new: true }
    }

    /// Everything that is leased, each with the bits that count, and forgets it.
    pub(crate) fn take(&mut self) -> Vec<(Address, u8)> {
        self.entries = 0;
        let networks = std::mem::take(&mut self.networks).into_iter();
        let leased = networks.flat_map(|(network, held)| {
            let alone = if network.address.is_v4() { 32 } else { 128 };
            let whole = held.merged.map(|_| (network.address, network.prefix_bits()));
            held.hosts.into_iter().map(move |part| (network.with(part), alone)).chain(whole)
        });
        leased.collect()
    }

    /// Forgets what ran out.
    pub(crate) fn prune(&mut self, at: Instant) {
        self.networks.retain(|_, held| held.until > at);
        self.entries = self.networks.values().map(|held| held.hosts.len().max(1)).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(leases: &mut Leases, client: Address, at_ms: u64, merges: bool) -> Leased {
        let at = Instant::from_millis(at_ms);
        leases.lease(client, at, at.plus_millis(10_000), |_, _| merges)
    }

    fn v4(network: u32, host: u32) -> Address {
        Address::v4(0x0a00_0000 | network << 8 | host)
    }

    #[test]
    fn many_of_one_network_become_one_unless_somebody_peaceful_is_there() {
        for merges in [true, false] {
            let mut leases = Leases::default();
            let got: Vec<_> = (0..16).map(|host| lease(&mut leases, v4(1, host), 1_000, merges)).collect();
            assert!(got[..15].iter().all(|leased| *leased == Leased::Alone));
            let network = Network::of(v4(1, 0));
            let expected = if merges { Leased::With { network, new: true } } else { Leased::Alone };
            assert_eq!((got[15], leases.len()), (expected, if merges { 1 } else { 16 }));
            if merges {
                assert_eq!(lease(&mut leases, v4(1, 77), 1_001, true), Leased::Already);
                let again = lease(&mut leases, v4(1, 3), 3_001, true);
                assert_eq!(again, Leased::With { network, new: false });
            }
            leases.prune(Instant::from_millis(20_000));
            assert_eq!(leases.len(), 0);
        }
    }

    #[test]
    fn ipv6_counts_by_64_and_merges_into_48() {
        let mut leases = Leases::default();
        let at = |subnet: u128, host: u128| Address::v6(0x2001_0db8_0001 << 80 | subnet << 64 | host);
        for host in 0..100 {
            assert_eq!(lease(&mut leases, at(0, host), 1, true), Leased::Alone, "one /64 is one");
        }
        let last = (1..16).map(|subnet| lease(&mut leases, at(subnet, 9), 1, true)).last();
        let network = Network::of(at(0, 0));
        assert_eq!(last, Some(Leased::With { network, new: true }));
        assert!(network.holds(at(500, 1)) && !network.holds(v4(0, 0)) && network.prefix_bits() == 48);
    }

    #[test]
    fn a_full_service_merges_sooner_and_counts_what_is_left_out() {
        let mut leases = Leases::default();
        let bound = limits::LEASES_A_SERVICE as u32;
        for network in 0..bound + 10 {
            lease(&mut leases, v4(network, 1), 1, true);
        }
        assert_eq!((leases.len(), leases.left_out), (bound as usize, 10));
        assert_eq!(lease(&mut leases, v4(0, 2), 1, true), Leased::LeftOut);
        leases.prune(Instant::from_millis(5));
        let mut leases = Leases::default();
        for network in 0..bound * 3 / 4 {
            for host in 1..4 {
                lease(&mut leases, v4(network / 3, host * 3 + network % 3), 1, true);
            }
        }
        assert!(leases.len() < limits::LEASES_A_SERVICE * 3 / 4 && leases.left_out == 0, "{}", leases.len());
    }
}
