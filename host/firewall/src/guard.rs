//! Who may never be blocked. Asked last, after every other decision, and nothing can talk it round: only what has
//! passed here (`Passed`) can be sent to the kernel.
//!
//! The same networks stand in the table itself, ahead of every rule that drops, so limits and shapes spare them
//! as well.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::key;
use crate::limits;
use crate::plan::Change;
use crate::set::Element;
use crate::set::Kind;

/// Why a network is guarded that a person allowed.
pub const ALLOWED: &str = "it is allowed by hand";

/// Networks that are never blocked, each with why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    networks: BTreeMap<IpNet, &'static str>,
}

/// Changes that the guard has seen.
#[derive(Debug)]
pub struct Passed {
    changes: Vec<Change>,
    /// The blocks that were refused.
    pub refused: Vec<Element>,
}

impl Passed {
    /// What may be sent.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}

impl Guard {
    /// Of these networks; the widest first where there are too many.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self::named(networks.into_iter().map(|network| (network, "it is on the guard list")))
    }

    /// Of these networks, each with why (a whole clause); the widest first where there are too many, and of two
    /// reasons the first.
    pub fn named(networks: impl IntoIterator<Item = (IpNet, &'static str)>) -> Self {
        let mut networks: Vec<_> =
            networks.into_iter().map(|(network, why)| (network.trunc(), why)).collect();
        networks.sort_by_key(|(network, _)| (network.prefix_len(), *network));
        networks.dedup_by_key(|(network, _)| *network);
        networks.truncate(limits::GUARD_MAX);
        Self { networks: networks.into_iter().collect() }
    }

    /// The networks.
    pub fn networks(&self) -> impl Iterator<Item = &IpNet> {
        self.networks.keys()
    }

    /// Whether a block of this source would hit someone who is guarded. A source of IPv6 stands for its /64.
    pub fn covers(&self, source: IpAddr) -> bool {
        self.against(key::lease_of(source, 128)).is_some()
    }

    /// Why this network must not be leased: it can be nobody's source, or it has someone guarded in it.
    pub fn against(&self, block: IpNet) -> Option<String> {
        if let Some(why) = nobodys(block) {
            return Some(format!("{block} is {why}"));
        }
        self.touched(block, |_, _| true)
    }

    /// Why a person must not block this network. Those who are allowed by hand may lie inside: the rule that lets
    /// them pass stands first.
    pub fn against_person(&self, block: IpNet) -> Option<String> {
        if let Some(why) = nobodys(block).or_else(|| private(block)) {
            return Some(format!("{block} is {why}"));
        }
        self.touched(block, |network, why| why != ALLOWED || network.contains(&block))
    }

    fn touched(&self, block: IpNet, counts: impl Fn(&IpNet, &str) -> bool) -> Option<String> {
        let touches = |network: &IpNet| network.contains(&block) || block.contains(network);
        let mut all = self.networks.iter().filter(|&(network, _)| touches(network));
        let (network, why) = all.find(|(network, why)| counts(network, why))?;
        Some(if *network == block {
            format!("{block} is guarded: {why}")
        } else {
            format!("{block} touches {network}, which is guarded: {why}")
        })
    }

    /// Lets changes through, but for blocks of guarded sources.
    pub fn pass(&self, changes: Vec<Change>) -> Passed {
        let mut refused = Vec::new();
        let passes = |change: &Change| {
            let (Change::Add { at, .. } | Change::Renew { at, .. }) = change else { return true };
            let Some(block) = at.blocks() else { return true };
            let guarded = match at.set.kind {
                Kind::Manual(_) => self.against_person(block),
                _ => self.against(block),
            }
            .is_some();
            if guarded {
                refused.push(*at);
            }
            !guarded
        };
        let changes = changes.into_iter().filter(passes).collect();
        Passed { changes, refused }
    }
}

/// What such an address is, if no packet from outside can rightly have it as its source.
fn nobodys(block: IpNet) -> Option<&'static str> {
    let ip = block.network();
    let (ends_v4, first) = match ip {
        IpAddr::V4(ip) => (ip.is_broadcast(), ip.octets()[0]),
        IpAddr::V6(_) => (false, 1),
    };
    if ip.is_loopback() {
        Some("loopback")
    } else if ip.is_unspecified() || first == 0 {
        Some("unspecified")
    } else if ip.is_multicast() {
        Some("multicast")
    } else if ends_v4 {
        Some("broadcast")
    } else {
        None
    }
}

/// What such an address is, if it is of a private network: the operator's own machines and containers.
fn private(block: IpNet) -> Option<&'static str> {
    let of = |networks: &[&str]| {
        networks.iter().any(|network| {
            let network: IpNet = network.parse().expect("a network that is written here");
            network.contains(&block) || block.contains(&network)
        })
    };
    if of(&["169.254.0.0/16", "fe80::/10"]) {
        Some("link-local or around it")
    } else if of(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]) {
        Some("private or around it")
    } else if of(&["100.64.0.0/10"]) {
        Some("a provider's inner network or around it")
    } else if of(&["127.0.0.0/8", "0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/127", "ff00::/8"]) {
        Some("loopback, unspecified, multicast or broadcast, or around it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use ftagent_core::effect::Effect;
    use ftagent_core::effect::Lease;
    use ftagent_core::effect::Scope;
    use ftagent_core::service::ServiceKey;
    use ftagent_core::service::Transport;
    use ftagent_core::time::Instant;
    use proptest::prelude::*;

    use super::*;
    use crate::plan;
    use crate::wanted::Wanted;

    fn lease(source: IpAddr, node: bool) -> Effect {
        let own = if source.is_ipv4() { "203.0.113.10" } else { "2001:db8:1::10" };
        let service = ServiceKey { ip: own.parse().unwrap(), port: 7, transport: Transport::Udp };
        let scope = if node { Scope::Node } else { Scope::Service(service) };
        Effect::Lease(Lease { source, prefix_bits: 128, scope, for_ms: 60_000, reason: "test/test".into() })
    }

    /// Sources near the guarded networks, so that both answers occur.
    fn sources() -> impl Strategy<Value = IpAddr> {
        let near = prop_oneof![
            any::<u8>().prop_map(|last| IpAddr::from([192, 0, 2, last])),
            any::<u16>().prop_map(|last| IpAddr::from([0x2001, 0xdb8, 0, last & 3, 0, 0, 0, last])),
        ];
        prop_oneof![near, any::<u32>().prop_map(|ip| IpAddr::V4(ip.into()))]
    }

    proptest! {
        #[test]
        fn no_effect_passes_the_guard(asked in proptest::collection::vec((sources(), any::<bool>()), 1..40)) {
            let networks = ["192.0.2.64/26", "192.0.2.9/32", "2001:db8:0:1::5/128", "2001:db8:0:2::/63"];
            let guard = Guard::new(networks.map(|network| network.parse().unwrap()));
            let mut wanted = Wanted::default();
            for (source, node) in &asked {
                wanted.fold(Instant::START, &lease(*source, *node));
            }
            let dirty = wanted.take_dirty();
            let changes = plan::plan(&wanted.elements, &plan::Present::default(), dirty, Instant::START);
            let passed = guard.pass(changes);
            for change in passed.changes() {
                let Change::Add { at, .. } = change else { panic!("{change}") };
                let blocked = at.key.source(at.set.family);
                for network in guard.networks() {
                    let hit = match blocked {
                        IpAddr::V4(_) => network.contains(&blocked),
                        IpAddr::V6(_) => IpNet::new(blocked, 64).unwrap().contains(&network.addr())
                            || network.contains(&blocked),
                    };
                    prop_assert!(!hit, "{} was blocked in spite of {}", blocked, network);
                }
            }
            for (source, _) in asked {
                let refused =
                    passed.refused.iter().any(|at| at.key.source(at.set.family) == key::blocked_as(source));
                prop_assert_eq!(refused, guard.covers(source));
            }
        }
    }

    #[test]
    fn m23_what_can_be_nobodys_source_is_refused_with_the_reason() {
        let guard = Guard::named([
            ("203.0.113.10/32".parse().unwrap(), "it is an address of this node"),
            ("198.51.100.64/26".parse().unwrap(), ALLOWED),
        ]);
        let check = |block: &str, expected: Option<&str>| {
            let says = guard.against_person(block.parse().unwrap());
            match (&says, expected) {
                (Some(says), Some(expected)) => assert!(says.contains(expected), "{says}"),
                (None, None) => (),
                _ => panic!("{block}: {says:?}"),
            }
        };
        for (block, expected) in [
            ("127.0.0.1/32", Some("loopback")),
            ("::1/128", Some("loopback")),
            ("0.0.0.0/32", Some("unspecified")),
            ("::/128", Some("unspecified")),
            ("255.255.255.255/32", Some("broadcast")),
            ("224.0.0.1/32", Some("multicast")),
            ("ff02::1/128", Some("multicast")),
            ("10.1.2.3/32", Some("private")),
            ("192.168.0.0/16", Some("private")),
            ("192.0.0.0/8", Some("private or around it")),
            ("fd00::/16", Some("private")),
            ("169.254.1.1/32", Some("link-local")),
            ("fe80::1/128", Some("link-local")),
            ("100.64.0.1/32", Some("a provider's inner network")),
            ("203.0.113.10/32", Some("an address of this node")),
            ("203.0.113.0/24", Some("touches 203.0.113.10/32")),
            ("203.0.113.11/32", None),
            ("198.51.100.65/32", Some("allowed by hand")),
            ("198.51.100.0/24", None),
            ("8.8.8.8/32", None),
            ("2001:db8::/32", None),
        ] {
            check(block, expected);
        }
        assert!(guard.against("10.1.2.3/32".parse().unwrap()).is_none(), "a lease on a private source");
        assert!(guard.against("127.0.0.1/32".parse().unwrap()).is_some());
        assert!(
            guard.against("198.51.100.0/24".parse().unwrap()).is_some(),
            "merged leases around someone allowed"
        );
    }

    #[test]
    fn a_neighbour_in_the_same_64_is_not_blocked_either() {
        let guard = Guard::new(["2001:db8::5/128".parse().unwrap()]);
        assert!(guard.covers("2001:db8::9".parse().unwrap()));
        assert!(!guard.covers("2001:db8:0:1::9".parse().unwrap()));
    }
}
