//! Our chain in `DOCKER-USER`, where the operator looks: a bare counter, then one rule that drops the mark.
//!
//! `DOCKER-USER` belongs to Docker and is never made by us; the rules of others in it stay as they are. Docker's
//! chains may be held by iptables-legacy or by iptables-nft, each with its own programs; asking the wrong one would
//! load tables that nobody uses, so what a backend holds is looked up without its programs first.

use std::fs;

use crate::FirewallError;
use crate::key::Family;
use crate::netlink::Netlink;
use crate::program;

/// Our chain.
pub(crate) const CHAIN: &str = "FTAGENT";
/// Docker's chain for the operator's rules.
pub(crate) const DOCKER_USER: &str = "DOCKER-USER";

/// Which half of iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Rules of nf_tables.
    Nft,
    /// The older tables.
    Legacy,
}

impl Backend {
    /// Both, the usual one first.
    pub const BOTH: [Self; 2] = [Self::Nft, Self::Legacy];

    /// `nft` or `legacy`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nft => "nft",
            Self::Legacy => "legacy",
        }
    }

    fn tool(self, family: Family, what: &str) -> String {
        let six = if family == Family::V6 { "6" } else { "" };
        let named = format!("ip{six}tables-{}-{what}", self.name());
        // Systems with one half only have no program that names it.
        if program::exists(&named) { named } else { format!("ip{six}tables-{what}") }
    }

    /// Whether this half holds a `filter` table of this family with such a chain, or might.
    fn may_hold(self, family: Family, chain: &str, netlink: &mut Netlink) -> Result<bool, FirewallError> {
        match self {
            Self::Nft => netlink.has_filter_chain(family, chain),
            Self::Legacy => {
                let six = if family == Family::V6 { "6" } else { "" };
                // Absent where the modules were never loaded.
                let names = fs::read_to_string(format!("/proc/thread-self/net/ip{six}_tables_names"));
                Ok(names.is_ok_and(|names| names.lines().any(|name| name == "filter")))
            }
        }
    }
}

/// What stands in the `filter` table of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Whether `DOCKER-USER` exists.
    pub(crate) docker_user: bool,
    /// Whether `FORWARD` jumps to it.
    pub(crate) forward_jumps: bool,
    /// Where our jump stands in `DOCKER-USER`, from 0; `None` if there is none.
    pub(crate) jump_at: Option<usize>,
    /// How many such jumps there are.
    pub(crate) jumps: usize,
    /// Whether our chain exists.
    pub(crate) chain: bool,
    /// Whether our chain holds what it should.
    pub(crate) chain_complete: bool,
    /// Packets that passed our bare counter.
    pub(crate) passed: u64,
    /// Packets that our rule dropped.
    pub(crate) dropped: u64,
}

/// Reads the text of `iptables-save -c -t filter`.
pub(crate) fn parse(text: &str, mark_bit: u32) -> Filter {
    let mut filter = Filter::default();
    let mut position = 0;
    let mut ours = Vec::new();
    for line in text.lines() {
        if let Some(chain) = line.strip_prefix(':') {
            let name = chain.split(' ').next().unwrap_or_default();
            filter.docker_user |= name == DOCKER_USER;
            filter.chain |= name == CHAIN;
            continue;
        }
        let (packets, rule) = counted(line);
        let Some((chain, spec)) =
            rule.strip_prefix("-A ").map(|rule| rule.split_once(' ').unwrap_or((rule, "")))
        else {
            continue;
        };
        match chain {
            "FORWARD" => filter.forward_jumps |= spec == format!("-j {DOCKER_USER}"),
            DOCKER_USER => {
                if spec == format!("-j {CHAIN}") {
                    filter.jumps += 1;
                    filter.jump_at.get_or_insert(position);
                }
                position += 1;
            }
            CHAIN => ours.push((packets, spec.to_owned())),
            _ => (),
        }
    }
    let drop = format!("-m mark --mark {mark_bit:#x}/{mark_bit:#x} -j DROP");
    if let [(passed, bare), (dropped, rule)] = ours.as_slice() {
        filter.chain_complete = bare.is_empty() && *rule == drop;
        (filter.passed, filter.dropped) = (*passed, *dropped);
    }
    filter
}

/// The packets in front of a saved rule, and the rule.
fn counted(line: &str) -> (u64, &str) {
    let parsed = line.strip_prefix('[').and_then(|rest| {
        let (counts, rule) = rest.split_once("] ")?;
        Some((counts.split(':').next()?.parse().ok()?, rule))
    });
    parsed.unwrap_or((0, line))
}

/// Reads what a backend holds for a family; `None` if it has nothing that could concern us.
pub(crate) fn read(
    family: Family,
    backend: Backend,
    mark_bit: u32,
    netlink: &mut Netlink,
) -> Result<Option<Filter>, FirewallError> {
    let concerns =
        backend.may_hold(family, DOCKER_USER, netlink)? || backend.may_hold(family, CHAIN, netlink)?;
    if !concerns {
        return Ok(None);
    }
    let text = program::run(&backend.tool(family, "save"), &["-c", "-t", "filter"], "")?;
    Ok(Some(parse(&text, mark_bit)))
}

/// The backend that holds Docker's chains, with what it holds. One that `FORWARD` leads to wins.
pub(crate) fn find(
    family: Family,
    mark_bit: u32,
    netlink: &mut Netlink,
) -> Result<Option<(Backend, Filter)>, FirewallError> {
    let mut found: Option<(Backend, Filter)> = None;
    for backend in Backend::BOTH {
        let Some(filter) = read(family, backend, mark_bit, netlink)?.filter(|filter| filter.docker_user)
        else {
            continue;
        };
        if found.as_ref().is_none_or(|(_, earlier)| !earlier.forward_jumps && filter.forward_jumps) {
            found = Some((backend, filter));
        }
    }
    Ok(found)
}

/// Puts our chain and the first jump to it, in one go. Whatever jump there was is removed.
pub(crate) fn install(
    family: Family,
    backend: Backend,
    filter: &Filter,
    mark_bit: u32,
) -> Result<(), FirewallError> {
    let mut script = String::from("*filter\n");
    if !filter.chain_complete {
        script += &format!(":{CHAIN} - [0:0]\n-A {CHAIN}\n");
        script += &format!("-A {CHAIN} -m mark --mark {mark_bit:#x}/{mark_bit:#x} -j DROP\n");
    }
    for _ in 0..filter.jumps {
        script += &format!("-D {DOCKER_USER} -j {CHAIN}\n");
    }
    script += &format!("-I {DOCKER_USER} 1 -j {CHAIN}\nCOMMIT\n");
    restore(family, backend, &script)
}

/// Only our chain: the jump to it stands.
pub(crate) fn complete(family: Family, backend: Backend, mark_bit: u32) -> Result<(), FirewallError> {
    let script = format!(
        "*filter\n:{CHAIN} - [0:0]\n-A {CHAIN}\n\
         -A {CHAIN} -m mark --mark {mark_bit:#x}/{mark_bit:#x} -j DROP\nCOMMIT\n"
    );
    restore(family, backend, &script)
}

/// Removes jump and chain from both backends and returns a line for each thing that went.
pub(crate) fn remove(family: Family, netlink: &mut Netlink) -> Result<Vec<String>, FirewallError> {
    let mut lines = Vec::new();
    let six = if family == Family::V6 { "6" } else { "" };
    for backend in Backend::BOTH {
        let Some(filter) = read(family, backend, 0, netlink)? else { continue };
        if filter.jumps == 0 && !filter.chain {
            continue;
        }
        let mut script = String::from("*filter\n");
        for _ in 0..filter.jumps {
            script += &format!("-D {DOCKER_USER} -j {CHAIN}\n");
            lines.push(format!("removed the jump from {DOCKER_USER} (ip{six}tables, {})", backend.name()));
        }
        if filter.chain {
            script += &format!("-F {CHAIN}\n-X {CHAIN}\n");
            lines.push(format!("removed the chain {CHAIN} (ip{six}tables, {})", backend.name()));
        }
        script += "COMMIT\n";
        restore(family, backend, &script)?;
    }
    Ok(lines)
}

fn restore(family: Family, backend: Backend, script: &str) -> Result<(), FirewallError> {
    program::run(&backend.tool(family, "restore"), &["--noflush", "-w", "2"], script).map(drop)
}

/// All rules of a family, both backends, as `iptables-save` prints them.
pub(crate) fn saved(family: Family, netlink: &mut Netlink) -> String {
    let mut text = String::new();
    for backend in Backend::BOTH {
        let held = match backend {
            Backend::Nft => true,
            Backend::Legacy => backend.may_hold(family, "", netlink).unwrap_or_default(),
        };
        if held && let Ok(saved) = program::run(&backend.tool(family, "save"), &[], "") {
            text += &saved;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = "*filter\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n:FTAGENT - [0:0]\n\
        [9:900] -A FORWARD -j DOCKER-USER\n[9:900] -A DOCKER-USER -j FTAGENT\n\
        [4:400] -A DOCKER-USER -s 192.0.2.1/32 -j DROP\n[9:900] -A FTAGENT\n\
        [5:500] -A FTAGENT -m mark --mark 0x40000000/0x40000000 -j DROP\nCOMMIT\n";

    #[test]
    fn a_complete_path_is_read() {
        let filter = parse(SAVED, 0x4000_0000);
        let expected = Filter {
            docker_user: true,
            forward_jumps: true,
            jump_at: Some(0),
            jumps: 1,
            chain: true,
            chain_complete: true,
            passed: 9,
            dropped: 5,
        };
        assert_eq!(filter, expected);
    }

    #[test]
    fn what_is_wrong_is_seen() {
        let other_bit = parse(SAVED, 0x2000_0000);
        assert!(!other_bit.chain_complete);
        let second =
            SAVED.replace("[9:900] -A DOCKER-USER", "[0:0] -A DOCKER-USER -j LOG\n[9:900] -A DOCKER-USER");
        assert_eq!(parse(&second, 0x4000_0000).jump_at, Some(1));
        let flushed = parse(":FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n:FTAGENT - [0:0]\n", 1);
        assert!(flushed.docker_user && flushed.chain && !flushed.forward_jumps && flushed.jump_at.is_none());
    }
}
