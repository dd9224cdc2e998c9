//! Our table as `nft` reads it: sets, chains and rules, in one transaction that can be repeated.
//!
//! ```text
//! prerouting -450  fragments   every fragment (defragmentation sits at -400, later hooks see only whole packets)
//! prerouting -310  judge       all else: before conntrack, DNAT and Docker's own raw rules
//!   judge4   count · guard · by hand · node leases (armed_node) · armed ─► measures4
//!   measures4  leases · lanes · shapes · lanes by address · SYN proxy · second try · buckets · crowd
//!   act4     observed? pass · early? drop here : mark for the chain in DOCKER-USER    (empty in observe mode)
//! prerouting -150  strays      marked, but of no connection: Docker's DNAT leaves it alone, so it would come to the
//!                              node itself, which answers each with a reset, and never to DOCKER-USER
//! ```
//!
//! What must stay true: every rule that drops or limits lies behind a match of `armed` or `armed_node`, whose
//! elements die without us, and the guard lies before it. Running the script again changes no set but those of
//! the guard and the uplinks, so it installs, repairs, switches the mode and adopts what an earlier run left.

pub mod own_rules;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use ipnet::IpNet;

use crate::config::Mode;
use crate::guard::Guard;
use crate::key::Family;
use crate::limits;
use crate::set::Count;

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
    /// The source as it is blocked where leases are merged.
    merged: &'static str,
    /// The source as it is hashed: IPv6 by its /64, which lies behind the first 8 bytes of the header.
    hashed: &'static str,
    /// Its network as it is hashed: IPv4 /24, IPv6 /48.
    hashed_network: &'static str,
    any: IpAddr,
}

impl Words {
    fn service(&self) -> String {
        format!("{} daddr . th dport . meta l4proto", self.ip)
    }

    fn service_type(&self) -> String {
        format!("{} . inet_service . inet_proto", self.address)
    }
}

fn words(family: Family) -> Words {
    match family {
        Family::V4 => Words {
            digit: '4',
            ip: "ip",
            address: "ipv4_addr",
            blocked: "ip saddr",
            merged: "ip saddr & 255.255.255.0",
            hashed: "jhash ip saddr",
            hashed_network: "jhash @nh,96,24",
            any: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        },
        Family::V6 => Words {
            digit: '6',
            ip: "ip6",
            address: "ipv6_addr",
            blocked: "ip6 saddr & ffff:ffff:ffff:ffff::",
            merged: "ip6 saddr & ffff:ffff:ffff::",
            hashed: "jhash @nh,64,64",
            hashed_network: "jhash @nh,64,48",
            any: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
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
            for what in ["fragments_seen", "fragments_over", "strays"] {
                add(&format!("counter inet {TABLE} node_{what}{digit}"));
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
        let digit = words.digit;
        if self.mode == Mode::Observe {
            let _ = writeln!(out, "flush set inet {TABLE} first_drop{digit}");
        }
        let mut rule = |chain: &str, text: &str| {
            let _ = writeln!(out, "add rule inet {TABLE} {chain}{digit} {text}");
        };
        judge_rules(words, &mut rule);
        measure_rules(words, &mut rule);
        self.hit_rules(words, &mut rule);
        self.fragment_rules(words, &mut rule);
        if self.mode != Mode::Observe {
            self.act_rules(words, &mut rule);
            // What is not tracked comes to the node itself, where the SYN proxy answers it.
            rule("untracked", &format!("{} @observed{digit} return", words.service()));
            rule("untracked", "notrack");
            rule("untracked", "accept");
        }
        // Ends our base chain alone; without it a packet would go on behind the jumps.
        rule("act", "accept");
        if self.mode != Mode::Observe {
            let marked = format!("meta mark & {0:#010x} == {0:#010x}", self.mark_bit);
            let stray = format!("{marked} ct state invalid meta nfproto @armed_node goto strays_hit{digit}");
            rule("strays", &stray);
            rule("strays_hit", &format!("counter name node_strays{digit}"));
            rule("strays_hit", "drop");
        }
    }

    /// What becomes of packets that a measure hits.
    fn hit_rules(&self, words: &Words, rule: &mut dyn FnMut(&str, &str)) {
        let (digit, service) = (words.digit, words.service());
        rule("hit_lane", &counted(words, Count::Lane));
        for count in [Count::Shape, Count::SecondTry, Count::Bucket, Count::Crowd] {
            let chain = format!("hit_{}", count.name());
            rule(&chain, &counted(words, count));
            rule(&chain, &format!("goto act{digit}"));
        }
        rule("hit_lease", &counted(words, Count::Lease));
        rule("hit_lease", &format!("{service} @limited{digit} return"));
        if self.mode != Mode::Limit {
            rule("hit_lease", &format!("goto act{digit}"));
        }
        rule("hit_node", &format!("counter name node_lease{digit}"));
        rule("hit_node", &format!("{service} @armed{digit} jump hit_lease{digit}"));
        rule("hit_node", &format!("{service} @armed{digit} return"));
        rule("hit_manual", &format!("counter name node_lease{digit}"));
        rule("hit_manual", &format!("{service} @armed{digit} goto hit_block{digit}"));
        rule("hit_block", &counted(words, Count::Lease));
        rule("hit_block", &format!("goto act{digit}"));
        // A port that is nobody's never passes DOCKER-USER: its packets go to the node itself.
        let drops = [("hit_node", self.mode == Mode::Enforce), ("hit_manual", self.mode != Mode::Observe)];
        for (chain, _) in drops.into_iter().filter(|(_, drops)| *drops) {
            rule(chain, &format!("counter name node_early{digit}"));
            rule(chain, "drop");
        }
    }

    fn fragment_rules(&self, words: &Words, rule: &mut dyn FnMut(&str, &str)) {
        let Words { digit, ip, .. } = words;
        rule("fragments", &format!("counter name node_fragments_seen{digit}"));
        rule("fragments", &format!("counter name {ip} daddr map @fragments_seen{digit}"));
        rule("fragments", &format!("{ip} saddr @guard{digit} return"));
        let over = format!("limit name {ip} daddr map @fragments_limit{digit} goto fragments_hit{digit}");
        rule("fragments", &format!("meta nfproto @armed_node {over}"));
        rule("fragments_hit", &format!("counter name node_fragments_over{digit}"));
        rule("fragments_hit", &format!("counter name {ip} daddr map @fragments_over{digit}"));
        if self.mode != Mode::Observe {
            rule("fragments_hit", "drop");
        }
    }

    /// How a packet is dropped.
    fn act_rules(&self, words: &Words, rule: &mut dyn FnMut(&str, &str)) {
        let (digit, service) = (words.digit, words.service());
        rule("act", &format!("{service} @observed{digit} accept"));
        let life_ms = limits::FIRST_DROP_MS;
        rule("act", &format!("add @first_drop{digit} {{ {service} timeout {life_ms}ms }}"));
        rule("act", &format!("{service} @early{digit} goto early_drop{digit}"));
        rule("act", &format!("meta nfproto @early_node goto early_drop{digit}"));
        rule("act", &counted(words, Count::Marked));
        rule("act", &format!("counter name node_marked{digit}"));
        rule("act", &format!("meta mark set meta mark | {:#010x}", self.mark_bit));
        rule("early_drop", &counted(words, Count::Early));
        rule("early_drop", &format!("counter name node_early{digit}"));
        rule("early_drop", "drop");
    }
}

fn counted(words: &Words, count: Count) -> String {
    format!("counter name {} map @count_{}{}", words.service(), count.name(), words.digit)
}

fn judge_rules(words: &Words, rule: &mut dyn FnMut(&str, &str)) {
    let Words { digit, ip, blocked, merged, .. } = words;
    rule("judge", &counted(words, Count::Seen));
    rule("judge", &format!("{ip} saddr @guard{digit} return"));
    rule("judge", &format!("meta nfproto @armed_node jump manual{digit}"));
    for (source, set) in [(blocked, "node_leases"), (merged, "node_wide_leases")] {
        rule("judge", &format!("meta nfproto @armed_node {source} @{set}{digit} jump hit_node{digit}"));
    }
    rule("judge", &format!("{} @armed{digit} goto measures{digit}", words.service()));
}

/// The measures, in their order.
fn measure_rules(words: &Words, rule: &mut dyn FnMut(&str, &str)) {
    let Words { digit, ip, blocked, merged, .. } = words;
    let service = words.service();
    // Where leases do not drop, the packet comes back for the other measures.
    for (source, set) in [(blocked, "leases"), (merged, "wide_leases")] {
        rule("measures", &format!("{source} . {service} @{set}{digit} jump hit_lease{digit}"));
    }
    rule("measures", &format!("{ip} saddr . th sport . {service} @lanes{digit} goto hit_lane{digit}"));
    rule("measures", &format!("jump shapes{digit}"));
    rule("measures", &format!("{ip} saddr . {service} @address_lanes{digit} goto hit_lane{digit}"));
    rule(
        "measures",
        &format!("tcp flags & (syn | ack) == syn {service} @proxied{digit} jump untracked{digit}"),
    );
    rule("measures", &format!("jump tries{digit}"));
    rule("measures", &format!("jump buckets{digit}"));
    rule("measures", &format!("limit name {service} map @crowd{digit} goto hit_crowd{digit}"));
}

fn sets(out: &mut String, words: &Words) {
    let Words { digit, address, .. } = words;
    let service = words.service_type();
    let mut set = |kind: &str, name: &str, spec: String| {
        let _ = writeln!(out, "add {kind} inet {TABLE} {name}{digit} {{ {spec} }}");
    };
    let (services, leases, lanes) = (limits::SERVICES_MAX, limits::LEASES_MAX, limits::LANES_MAX);
    let wide = limits::WIDE_LEASES_MAX;
    let timed = |key: &str, size: usize| format!("type {key}; flags timeout; size {size};");
    set("set", "armed", timed(&service, services));
    set("set", "node_leases", timed(address, leases));
    set("set", "leases", timed(&format!("{address} . {service}"), leases));
    set("set", "node_wide_leases", timed(address, wide));
    set("set", "wide_leases", timed(&format!("{address} . {service}"), wide));
    set("set", "observed", format!("type {service}; size {services};"));
    set("set", "limited", format!("type {service}; size {services};"));
    let filled = |key: &str, size: usize| format!("type {key}; flags dynamic,timeout; size {size};");
    let flow = format!("{address} . inet_service . {service}");
    set("set", "young", filled(&flow, limits::YOUNG_MAX));
    set("set", "tried", filled(&flow, limits::TRIED_MAX));
    set("set", "first_drop", filled(&service, services));
    set("set", "lanes", timed(&flow, lanes));
    set("set", "address_lanes", timed(&format!("{address} . {service}"), lanes));
    set("set", "early", format!("type {service}; size {services};"));
    set("set", "proxied", timed(&service, services));
    set("map", "proxies", format!("type {service} : synproxy; flags timeout; size {services};"));
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

/// Chains are emptied, but for those whose rules belong to sets that an earlier run may have left.
fn chains(out: &mut String, words: &Words) {
    let digit = words.digit;
    let names = [
        "early_drop",
        "act",
        "hit_lane",
        "hit_lease",
        "hit_shape",
        "hit_second_try",
        "hit_bucket",
        "hit_crowd",
        "untracked",
        "hit_block",
        "hit_manual",
        "hit_node",
        "manual",
        "shapes",
        "tries",
        "buckets",
        "measures",
        "judge",
        "fragments_hit",
        "fragments",
        "strays_hit",
        "strays",
    ];
    for name in names {
        let _ = writeln!(out, "add chain inet {TABLE} {name}{digit}");
        if !own_rules::CHAINS.contains(&name) {
            let _ = writeln!(out, "flush chain inet {TABLE} {name}{digit}");
        }
    }
}

fn base_chains(out: &mut String) {
    for (name, priority) in [("fragments", -450), ("judge", -310), ("strays", -150)] {
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
    for name in ["judge", "strays"] {
        let _ = writeln!(out, "add rule inet {TABLE} {name} meta nfproto ipv4 goto {name}4");
        let _ = writeln!(out, "add rule inet {TABLE} {name} meta nfproto ipv6 goto {name}6");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::collections::HashSet;

    use ftagent_core::effect::Grain;

    use super::*;
    use crate::set::Kind;
    use crate::set::Rate;
    use crate::set::SetId;
    use crate::set::Tries;
    use crate::shape::ShapeId;

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
            // Only what passed the guard is marked.
            guarded |= rule.contains("@guard") && rule.ends_with(" return") || rule.contains("meta mark & ");
            each(rule, armed, guarded);
            let mut words = rule.split(' ').skip_while(|word| !matches!(*word, "goto" | "jump")).skip(1);
            if let Some(target) = words.next() {
                walk(chains, target, (armed, guarded), each);
            }
        }
    }

    #[test]
    fn every_rule_that_drops_or_limits_lies_behind_armed_and_behind_the_guard() {
        for mode in [Mode::Limit, Mode::Enforce] {
            let script = whole_script(mode);
            let chains = rules(&script);
            let mut decided = 0;
            let mut walked = HashSet::new();
            for base in ["fragments", "judge", "strays"] {
                walk(&chains, base, (false, false), &mut |rule, armed, guarded| {
                    let words = ["meta mark set", "limit name", "limit rate", "add @", "update @", "notrack"];
                    let decides = rule == "drop" || words.iter().any(|word| rule.contains(word));
                    assert!(!decides || (armed && guarded), "{rule}");
                    decided += u32::from(decides);
                    walked.insert(rule);
                });
            }
            assert!(decided > 40, "the walk found them: {decided}");
            let all: HashSet<_> = chains.values().flatten().copied().collect();
            let unmet: Vec<_> = all.difference(&walked).collect();
            assert_eq!(unmet, Vec::<&&str>::new(), "rules that no packet meets");
        }
    }

    /// With one set of each kind that has rules of its own.
    fn whole_script(mode: Mode) -> String {
        let shape = ftagent_core::manifest::Shape {
            transport: ftagent_core::service::Transport::Udp,
            payload_bytes: Some(0..=0),
            bytes: Vec::new(),
            tcp_flags: None,
            without_options: false,
            source_port: None,
            ttl: None,
            window: None,
        };
        let id = ShapeId::of(&shape);
        let shapes = HashMap::from([(id, shape)]);
        let tries = Tries { after_ms: 300, within_ms: 5_000 };
        let rate = Rate { per_second: 40, burst: 9 };
        let buckets = [Grain::Source, Grain::Network].map(|grain| Kind::Bucket(grain, rate));
        let others = [Kind::Shape(id), Kind::Trial(id), Kind::SecondTry(tries), Kind::Manual(24)];
        let kinds = others.into_iter().chain(buckets);
        let sets = kinds.flat_map(|kind| Family::BOTH.map(|family| SetId { kind, family }));
        structure(mode).script(false)
            + &sets.map(|set| own_rules::add_script(set, &shapes)).collect::<String>()
    }

    #[test]
    fn a_node_that_limits_has_no_rule_that_drops_a_leased_source() {
        let script = whole_script(Mode::Limit);
        let chains = rules(&script);
        for chain in ["hit_node4", "hit_lease4", "hit_node6", "hit_lease6"] {
            walk(&chains, chain, (false, false), &mut |rule, _, _| {
                assert!(rule != "drop" && !rule.contains("mark set"), "{chain}: {rule}");
            });
        }
    }

    #[test]
    fn observe_mode_has_no_rule_that_drops_or_marks() {
        let script = whole_script(Mode::Observe);
        for rule in rules(&script).into_values().flatten() {
            assert!(rule != "drop" && !rule.contains("mark set") && rule != "notrack", "{rule}");
        }
    }

    #[test]
    fn the_script_touches_no_table_but_ours() {
        for line in structure(Mode::Enforce).script(true).lines().chain(whole_script(Mode::Limit).lines()) {
            assert_eq!(line.split(' ').skip(2).take(2).collect::<Vec<_>>(), ["inet", "ftagent"], "{line}");
        }
    }
}
