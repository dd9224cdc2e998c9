//! Who may never be blocked. Asked last, after every other decision, and nothing can talk it round: only what has
//! passed here (`Passed`) can be sent to the kernel.
//!
//! The same networks stand in the table itself, ahead of every rule that drops, so limits and shapes spare them
//! as well.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::key::blocked_as;
use crate::limits;
use crate::plan::Change;
use crate::set::Element;
use crate::set::Kind;

/// Networks that are never blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    networks: BTreeSet<IpNet>,
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
        let mut networks: Vec<_> = networks.into_iter().map(|network| network.trunc()).collect();
        networks.sort_unstable_by_key(|network| (network.prefix_len(), *network));
        networks.dedup();
        networks.truncate(limits::GUARD_MAX);
        Self { networks: networks.into_iter().collect() }
    }

    /// The networks.
    pub fn networks(&self) -> impl Iterator<Item = &IpNet> {
        self.networks.iter()
    }

    /// Whether a block of this source would hit someone who is guarded. A source of IPv6 stands for its /64.
    pub fn covers(&self, source: IpAddr) -> bool {
        let blocked = match source {
            IpAddr::V4(_) => IpNet::from(source),
            IpAddr::V6(_) => IpNet::new(blocked_as(source), 64).expect("64 is a prefix length of IPv6"),
        };
        self.networks.iter().any(|network| network.contains(&blocked) || blocked.contains(network))
    }

    /// Lets changes through, but for blocks of guarded sources.
    pub fn pass(&self, changes: Vec<Change>) -> Passed {
        let mut refused = Vec::new();
        let passes = |change: &Change| {
            let (Change::Add { at, .. } | Change::Renew { at, .. }) = change else { return true };
            if !matches!(at.set.kind, Kind::Leases | Kind::NodeLeases) {
                return true;
            }
            let guarded = self.covers(at.key.source(at.set.family));
            if guarded {
                refused.push(*at);
            }
            !guarded
        };
        let changes = changes.into_iter().filter(passes).collect();
        Passed { changes, refused }
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
                let refused = passed.refused.iter().any(|at| at.key.source(at.set.family) == blocked_as(source));
                prop_assert_eq!(refused, guard.covers(source));
            }
        }
    }

    #[test]
    fn a_neighbour_in_the_same_64_is_not_blocked_either() {
        let guard = Guard::new(["2001:db8::5/128".parse().unwrap()]);
        assert!(guard.covers("2001:db8::9".parse().unwrap()));
        assert!(!guard.covers("2001:db8:0:1::9".parse().unwrap()));
    }
}
