//! Our table as `nft` reads it: sets, chains and rules, in one transaction that can be repeated.
//!
//! ```text
//! prerouting -450  fragments   every fragment (defragmentation sits at -400, later hooks see only whole packets)
//! prerouting -310  judge       all else: before conntrack, DNAT and Docker's own raw rules
//!   judge4   count · guard · node leases (armed_node) · armed ─► measures4
//!   measures4  leases · lanes · shapes · lanes by address · crowd
//!   act4     early? drop here : mark for the chain in DOCKER-USER      (empty in observe mode)
//! ```
//!
//! What must stay true: every rule that drops or limits lies behind a match of `armed` or `armed_node`, whose
//! elements die without us, and the guard lies before it. Running the script again changes no set but those of
//! the guard and the uplinks, so it installs, repairs, switches the mode and adopts what an earlier run left.

use std::fmt::Write as _;

use ipnet::IpNet;

use crate::guard::Guard;
use crate::key::Family;
use crate::limits;
use crate::set::Count;
use crate::shape::ShapeId;
use crate::wall::Mode;

/// The name of our table.
pub const TABLE: &str = "ftagent";

/// What the table depends on besides its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Interfaces whose ingress is judged.
    pub uplinks: Vec<String>,
    /// Observe counts only.
    pub mode: Mode,
    /// One bit of the packet mark.
    pub mark_bit: u32,
    /// Who passes before anything is judged.
    pub guard: Guard,
}

/// Tokens of one family, for the rules that both have in common.
struct Words {
    digit: char,
    ip: &'static str,
    address: &'static str,
    /// The source as it is blocked.
    blocked: &'static str,
}

fn words(family: Family) -> Words {
    match family {
        Family::V4 => Words { digit: '4', ip: "ip", address: "ipv4_addr", blocked: "ip saddr" },
        Family::V6 => Words {
            digit: '6',
            ip: "ip6",
            address: "ipv6_addr",
            blocked: "ip6 saddr & ffff:ffff:ffff:ffff::",
        },
    }
}

impl Structure {
    /// The script that makes the table so, whatever of it is there. With `afresh`, an older table is dropped first
    /// in the same transaction.
    pub fn script(&self, afresh: bool) -> String {
        let mut out = format!("add table inet {TABLE}\n");
        if afresh {
            let _ = writeln!(out, "delete table inet {TABLE}\nadd table inet {TABLE}");
        }
        self.node_sets(&mut out);
        for family in Family::BOTH {
            sets(&mut out, &words(family));
        }
        for family in Family::BOTH {
            chains(&mut out, &words(family));
        }
        base_chains(&mut out);
        for family in Family::BOTH {
            self.rules(&mut out, &words(family));
        }
        out
    }

    /// The script that makes the guard so, and nothing else.
    pub fn guard_script(&self) -> String {
        let mut out = String::new();
        for family in Family::BOTH {
            let digit = family.digit();
            let _ = writeln!(out, "flush set inet {TABLE} guard{digit}");
            let of_family = |network: &&IpNet| Family::of(network.addr()) == family;
            let networks: Vec<_> =
                self.guard.networks().filter(of_family).map(|network| network.trunc().to_string()).collect();
            if !networks.is_empty() {
                let _ = writeln!(out, "add element inet {TABLE} guard{digit} {{ {} }}", networks.join(", "));
            }
        }
        out
    }

    fn node_sets(&self, out: &mut String) {
        let mut add = |text: &str| {
            let _ = writeln!(out, "add {text}");
        };
        add(&format!("set inet {TABLE} uplinks {{ type ifname; }}"));
        add(&format!("set inet {TABLE} armed_node {{ type nf_proto; flags timeout; }}"));
        add(&format!("set inet {TABLE} early_node {{ type nf_proto; }}"));
        for digit in ['4', '6'] {
            for count in [Count::Seen, Count::Lease, Count::Marked, Count::Early] {
                add(&format!("counter inet {TABLE} node_{}{digit}", count.name()));
            }
            for what in ["seen", "over"] {
                add(&format!("counter inet {TABLE} node_fragments_{what}{digit}"));
            }
        }
        add(&format!("set inet {TABLE} guard4 {{ type ipv4_addr; flags interval; auto-merge; }}"));
        add(&format!("set inet {TABLE} guard6 {{ type ipv6_addr; flags interval; auto-merge; }}"));
        let _ = writeln!(out, "flush set inet {TABLE} uplinks");
        for uplink in &self.uplinks {
            let _ = writeln!(out, "add element inet {TABLE} uplinks {{ \"{uplink}\" }}");
        }
        out.push_str(&self.guard_script());
    }

    fn rules(&self, out: &mut String, words: &Words) {
        let Words { digit, ip, blocked, .. } = words;
        let service = format!("{ip} daddr . th dport . meta l4proto");
        let mut rule = |chain: &str, text: &str| {
            let _ = writeln!(out, "add rule inet {TABLE} {chain}{digit} {text}");
        };
        let counted = |count: Count| format!("counter name {service} map @count_{}{digit}", count.name());

        rule("judge", &counted(Count::Seen));
        rule("judge", &format!("{ip} saddr @guard{digit} return"));
        rule(
            "judge",
            &format!("meta nfproto @armed_node {blocked} @node_leases{digit} goto hit_node{digit}"),
        );
        rule("judge", &format!("{service} @armed{digit} goto measures{digit}"));

        rule("measures", &format!("{blocked} . {service} @leases{digit} goto hit_lease{digit}"));
        rule("measures", &format!("{ip} saddr . th sport . {service} @lanes{digit} goto hit_lane{digit}"));
        rule("measures", &format!("jump shapes{digit}"));
        rule("measures", &format!("{ip} saddr . {service} @address_lanes{digit} goto hit_lane{digit}"));
        rule("measures", &format!("limit name {service} map @crowd{digit} goto hit_crowd{digit}"));

        rule("hit_lane", &counted(Count::Lane));
        for count in [Count::Lease, Count::Shape, Count::Crowd] {
            let chain = format!("hit_{}", count.name());
            rule(&chain, &counted(count));
            rule(&chain, &format!("goto act{digit}"));
        }
        rule("hit_node", &format!("counter name node_lease{digit}"));
        rule("hit_node", &format!("{service} @armed{digit} goto hit_lease{digit}"));

        rule("fragments", &format!("counter name node_fragments_seen{digit}"));
        rule("fragments", &format!("counter name {ip} daddr map @fragments_seen{digit}"));
        rule("fragments", &format!("{ip} saddr @guard{digit} return"));
        let over = format!("limit name {ip} daddr map @fragments_limit{digit} goto fragments_hit{digit}");
        rule("fragments", &format!("meta nfproto @armed_node {over}"));
        rule("fragments_hit", &format!("counter name node_fragments_over{digit}"));
        rule("fragments_hit", &format!("counter name {ip} daddr map @fragments_over{digit}"));

        if self.mode == Mode::Enforce {
            // A port that is nobody's never passes DOCKER-USER: its packets go to the node itself.
            rule("hit_node", &format!("counter name node_early{digit}"));
            rule("hit_node", "drop");
            rule("fragments_hit", "drop");
            rule("act", &format!("{service} @early{digit} goto early_drop{digit}"));
            rule("act", &format!("meta nfproto @early_node goto early_drop{digit}"));
            rule("act", &counted(Count::Marked));
            rule("act", &format!("counter name node_marked{digit}"));
            rule("act", &format!("meta mark set meta mark | {:#010x}", self.mark_bit));
            rule("early_drop", &counted(Count::Early));
            rule("early_drop", &format!("counter name node_early{digit}"));
            rule("early_drop", "drop");
        }
        // Ends our base chain alone; without it a packet would go on behind the jump to `shapes`.
        rule("act", "accept");
    }
}

fn sets(out: &mut String, words: &Words) {
    let Words { digit, address, .. } = words;
    let service = format!("{address} . inet_service . inet_proto");
    let mut set = |kind: &str, name: &str, spec: String| {
        let _ = writeln!(out, "add {kind} inet {TABLE} {name}{digit} {{ {spec} }}");
    };
    let (services, leases, lanes) = (limits::SERVICES_MAX, limits::LEASES_MAX, limits::LANES_MAX);
    let timed = |key: &str, size: usize| format!("type {key}; flags timeout; size {size};");
    set("set", "armed", timed(&service, services));
    set("set", "node_leases", timed(address, leases));
    set("set", "leases", timed(&format!("{address} . {service}"), leases));
    set("set", "lanes", timed(&format!("{address} . inet_service . {service}"), lanes));
    set("set", "address_lanes", timed(&format!("{address} . {service}"), lanes));
    set("set", "early", format!("type {service}; size {services};"));
    set("map", "crowd", format!("type {service} : limit; flags timeout; size {services};"));
    for count in Count::ALL {
        let name = format!("count_{}", count.name());
        set("map", &name, format!("type {service} : counter; size {services};"));
    }
    for (name, object) in
        [("fragments_seen", "counter"), ("fragments_over", "counter"), ("fragments_limit", "limit")]
    {
        set("map", name, format!("type {address} : {object}; size {services};"));
    }
}

/// Chains are emptied, but for `shapes`, whose rules belong to sets that an earlier run may have left.
fn chains(out: &mut String, words: &Words) {
    let digit = words.digit;
    let names = [
        "early_drop",
        "act",
        "hit_lane",
        "hit_lease",
        "hit_shape",
        "hit_crowd",
        "hit_node",
        "shapes",
        "measures",
        "judge",
        "fragments_hit",
        "fragments",
    ];
    for name in names {
        let _ = writeln!(out, "add chain inet {TABLE} {name}{digit}");
        if name != "shapes" {
            let _ = writeln!(out, "flush chain inet {TABLE} {name}{digit}");
        }
    }
}

fn base_chains(out: &mut String) {
    for (name, priority) in [("fragments", -450), ("judge", -310)] {
        let hook = format!("type filter hook prerouting priority {priority}; policy accept;");
        let _ = writeln!(out, "add chain inet {TABLE} {name} {{ {hook} }}");
        let _ = writeln!(out, "flush chain inet {TABLE} {name}");
        let _ = writeln!(out, "add rule inet {TABLE} {name} iifname != @uplinks return");
    }
    // Here every packet comes as it was on the wire; later hooks see the whole ones that fragments became.
    for (family, digit) in [("ipv4", '4'), ("ipv6", '6')] {
        let _ = writeln!(
            out,
            "add rule inet {TABLE} fragments meta nfproto {family} counter name node_seen{digit}"
        );
    }
    let _ = writeln!(out, "add rule inet {TABLE} fragments ip frag-off & 0x3fff != 0 goto fragments4");
    let _ = writeln!(out, "add rule inet {TABLE} fragments exthdr frag exists goto fragments6");
    let _ = writeln!(out, "add rule inet {TABLE} judge meta nfproto ipv4 goto judge4");
    let _ = writeln!(out, "add rule inet {TABLE} judge meta nfproto ipv6 goto judge6");
}

/// The script that makes rules for a shape in both families; `matches` are its texts.
pub fn shape_script(id: ShapeId, matches: [&[String]; 2]) -> String {
    let mut out = String::new();
    for (family, matches) in Family::BOTH.into_iter().zip(matches) {
        let Words { digit, ip, address, .. } = words(family);
        let (service, services) = (format!("{address} . inet_service . inet_proto"), limits::SERVICES_MAX);
        let set = format!("shape_{id}_{digit}");
        let _ =
            writeln!(out, "add set inet {TABLE} {set} {{ type {service}; flags timeout; size {services}; }}");
        for text in matches {
            let at = format!("{ip} daddr . th dport . meta l4proto @{set}");
            let _ = writeln!(out, "add rule inet {TABLE} shapes{digit} {at} {text} goto hit_shape{digit}");
        }
    }
    out
}

/// The script that empties `shapes` and removes the sets of these shapes. Rules of those that stay follow it.
pub fn forget_shapes_script(ids: &[ShapeId]) -> String {
    let mut out = String::new();
    for digit in ['4', '6'] {
        let _ = writeln!(out, "flush chain inet {TABLE} shapes{digit}");
        for id in ids {
            let _ = writeln!(out, "delete set inet {TABLE} shape_{id}_{digit}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn structure(mode: Mode) -> Structure {
        let guard = Guard::new(["192.0.2.0/24".parse().expect("a network")]);
        Structure { uplinks: vec!["up0".to_owned()], mode, mark_bit: 0x4000_0000, guard }
    }

    /// The rules of each chain, in order.
    fn rules(script: &str) -> HashMap<&str, Vec<&str>> {
        let mut chains: HashMap<_, Vec<_>> = HashMap::new();
        for line in script.lines() {
            if let Some((chain, rule)) =
                line.strip_prefix("add rule inet ftagent ").and_then(|rest| rest.split_once(' '))
            {
                chains.entry(chain).or_default().push(rule);
            }
        }
        chains
    }

    /// Follows every way from a base chain and hands each rule to `each`, with whether `armed` was matched and the
    /// guard was passed on the way to it.
    fn walk<'a>(
        chains: &HashMap<&'a str, Vec<&'a str>>,
        chain: &str,
        (armed, mut guarded): (bool, bool),
        each: &mut dyn FnMut(&'a str, bool, bool),
    ) {
        for &rule in chains.get(chain).into_iter().flatten() {
            let armed = armed || rule.contains("@armed");
            guarded |= rule.contains("@guard") && rule.ends_with(" return");
            each(rule, armed, guarded);
            let mut words = rule.split(' ').skip_while(|word| !matches!(*word, "goto" | "jump")).skip(1);
            if let Some(target) = words.next() {
                walk(chains, target, (armed, guarded), each);
            }
        }
    }

    #[test]
    fn every_rule_that_drops_or_limits_lies_behind_armed_and_behind_the_guard() {
        let id = ShapeId::parse("0123456789abcdef").expect("an id");
        let text = ["udp length 8".to_owned()];
        let script = structure(Mode::Enforce).script(false) + &shape_script(id, [&text, &text]);
        let chains = rules(&script);
        let mut decided = 0;
        for base in ["fragments", "judge"] {
            walk(&chains, base, (false, false), &mut |rule, armed, guarded| {
                let decides = rule == "drop" || rule.contains("meta mark set") || rule.contains("limit name");
                assert!(!decides || (armed && guarded), "{rule}");
                decided += u32::from(decides);
            });
        }
        assert!(decided > 20, "the walk found them: {decided}");
    }

    #[test]
    fn observe_mode_has_no_rule_that_drops_or_marks() {
        let script = structure(Mode::Observe).script(false);
        for rule in rules(&script).into_values().flatten() {
            assert!(rule != "drop" && !rule.contains("mark set"), "{rule}");
        }
    }

    #[test]
    fn the_script_touches_no_table_but_ours() {
        for line in structure(Mode::Enforce).script(true).lines() {
            assert_eq!(line.split(' ').skip(2).take(2).collect::<Vec<_>>(), ["inet", "ftagent"], "{line}");
        }
    }
}
