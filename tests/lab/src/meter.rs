//! Counters of a lab's own, so that no measurement rests on the word of what is measured: packets that arrive in a
//! network namespace, by who sent them, and the counters of the firewall's rules.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;

use crate::Lab;
use crate::address;
use crate::command;
use crate::kernel::Reader;
use crate::namespace;

/// Neighbour discovery (RFC 4861) is nobody's traffic: a link's ends tell each other where they are.
const NEIGHBOURS: &str =
    "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert }";

/// A table of counters before everything else in one network namespace. It ends with the namespace.
#[derive(Clone, Debug)]
pub struct Meter {
    namespace: PathBuf,
}

/// What has arrived since the meter was installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Arrived {
    /// Packets from players' addresses.
    pub players: u64,
    /// Packets from the addresses of players who join during a scenario.
    pub newcomers: u64,
    /// Packets from attackers' addresses, real and forged.
    pub attackers: u64,
    /// Packets from anywhere else.
    pub others: u64,
}

impl std::ops::Sub for Arrived {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            players: self.players.saturating_sub(before.players),
            newcomers: self.newcomers.saturating_sub(before.newcomers),
            attackers: self.attackers.saturating_sub(before.attackers),
            others: self.others.saturating_sub(before.others),
        }
    }
}

impl Meter {
    /// Begins to count in the namespace of that file. Reassembly comes later, so fragments are counted one by one.
    pub fn install(namespace: &Path) -> anyhow::Result<Self> {
        Self::install_on(namespace, "iifname \"lo\"")
    }

    /// The same for what arrives by one interface.
    pub fn install_on_interface(namespace: &Path, interface: &str) -> anyhow::Result<Self> {
        Self::install_on(namespace, &format!("iifname != \"{interface}\""))
    }

    /// Packets that match `but` are not counted.
    fn install_on(namespace: &Path, but: &str) -> anyhow::Result<Self> {
        let v4 = [address::BOTS_RANGE, address::MANY_BOTS_RANGE, address::FORGED_RANGE].join(", ");
        let v6 = [address::BOTS_RANGE_V6, address::FORGED_RANGE_V6].join(", ");
        let players_v4 = [address::PLAYERS_RANGE, address::NEWCOMERS_RANGE].join(", ");
        let players = (players_v4, address::PLAYERS_RANGE_V6);
        let table = format!(
            "table inet ftlab {{
    counter players {{ }}
    counter newcomers {{ }}
    counter attackers {{ }}
    counter others {{ }}
    chain arrived {{
        type filter hook prerouting priority -500; policy accept;
        {but} accept
        {NEIGHBOURS} accept
        ip saddr {{ {0} }} th sport {2} counter name attackers accept
        ip6 saddr {1} th sport {2} counter name attackers accept
        ip saddr {3} counter name newcomers accept
        ip6 saddr {4} counter name newcomers accept
        ip saddr {{ {0} }} counter name players accept
        ip6 saddr {1} counter name players accept
        ip saddr {{ {v4} }} counter name attackers accept
        ip6 saddr {{ {v6} }} counter name attackers accept
        meta nfproto {{ ipv4, ipv6 }} counter name others accept
    }}
}}
",
            players.0,
            players.1,
            address::MISUSED_PORTS,
            address::NEWCOMERS_RANGE,
            address::NEWCOMERS_RANGE_V6
        );
        let script = format!("printf '%s' '{table}' | nft -f -");
        command::output(namespace::enter(namespace, "sh").args(["-e", "-c", &script]))
            .context("cannot install the meter")?;
        Ok(Self { namespace: namespace.to_owned() })
    }

    /// Begins to count what the players of a lab send to its node; [`Meter::read`] then says how much they sent.
    pub fn install_at_home(lab: &Lab) -> anyhow::Result<Self> {
        let (v4, v6) = (
            format!("{}, {}", address::NODE, address::NEIGHBOUR),
            format!("{}, {}", address::NODE_V6, address::NEIGHBOUR_V6),
        );
        let table = format!(
            "table inet ftlab {{
    counter players {{ }}
    counter newcomers {{ }}
    counter attackers {{ }}
    counter others {{ }}
    chain sent {{
        type filter hook postrouting priority 500; policy accept;
        {NEIGHBOURS} accept
        ip daddr {{ {v4} }} th sport {0} counter name attackers accept
        ip6 daddr {{ {v6} }} th sport {0} counter name attackers accept
        ip daddr {{ {v4} }} ip saddr {1} counter name newcomers accept
        ip6 daddr {{ {v6} }} ip6 saddr {2} counter name newcomers accept
        ip daddr {{ {v4} }} counter name players accept
        ip6 daddr {{ {v6} }} counter name players accept
    }}
}}
",
            address::MISUSED_PORTS,
            address::NEWCOMERS_RANGE,
            address::NEWCOMERS_RANGE_V6
        );
        let namespace = lab.players().path();
        let script = format!("printf '%s' '{table}' | nft -f -");
        command::output(namespace::enter(&namespace, "sh").args(["-e", "-c", &script]))
            .context("cannot install the meter")?;
        Ok(Self { namespace })
    }

    /// What has arrived so far.
    pub fn read(&self) -> anyhow::Result<Arrived> {
        let mut arrived = Arrived::default();
        Reader::open(&self.namespace)?.counters("ftlab", |name, packets| match name {
            "players" => arrived.players = packets,
            "newcomers" => arrived.newcomers = packets,
            "attackers" => arrived.attackers = packets,
            "others" => arrived.others = packets,
            _ => {}
        })?;
        Ok(arrived)
    }
}

/// One rule of an iptables chain as `iptables -nvxL` lists it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rule {
    /// Packets that matched.
    pub packets: u64,
    /// Bytes that matched.
    pub bytes: u64,
    /// The rest of the line: target, protocol, interfaces, addresses, matches.
    pub text: String,
}

/// Reads a chain of the node as an operator does; `None` where there is no such chain.
#[must_use]
pub fn chain(lab: &Lab, program: &str, chain: &str) -> Option<Vec<Rule>> {
    let text = lab.node().run(program, &["-w", "5", "-t", "filter", "-nvxL", chain]).ok()?;
    Some(text.lines().skip(2).filter_map(rule).collect())
}

/// How many packets the DROP rules of our chain have dropped, by the listing that an operator reads.
#[must_use]
pub fn dropped_in_docker_user(lab: &Lab) -> u64 {
    ["iptables", "ip6tables"]
        .iter()
        .flat_map(|program| ["FTAGENT", "DOCKER-USER"].map(|name| chain(lab, program, name)))
        .flatten()
        .flatten()
        .filter(|rule| rule.text.starts_with("DROP"))
        .map(|rule| rule.packets)
        .sum()
}

/// One line of the listing.
fn rule(line: &str) -> Option<Rule> {
    let mut words = line.split_whitespace();
    let packets = words.next()?.parse().ok()?;
    let bytes = words.next()?.parse().ok()?;
    Some(Rule { packets, bytes, text: words.collect::<Vec<_>>().join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_from_its_line() {
        let line = "    1234    98765 DROP       all  --  *      *       0.0.0.0/0            0.0.0.0/0            mark match 0x1/0x1";
        let rule = rule(line).expect("a rule");
        assert_eq!((rule.packets, rule.bytes), (1234, 98765));
        assert!(rule.text.starts_with("DROP all -- * *"));
        assert_eq!(super::rule("Chain FTAGENT (1 references)"), None);
    }
}
