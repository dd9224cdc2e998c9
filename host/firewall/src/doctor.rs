//! Is it in force? Checks that an operator can read, each with its mend.

use std::collections::HashMap;

use ftagent_core::effect::Grain;

use crate::config::DockerBackend;
use crate::config::Mode;
use crate::docker_user;
use crate::guard::Guard;
use crate::key::Family;
use crate::netlink::Netlink;
use crate::program;
use crate::set::Kind;
use crate::set::Rate;
use crate::set::SetId;
use crate::set::Tries;
use crate::structure::Structure;
use crate::structure::own_rules;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// Its name, kebab-case.
    pub name: &'static str,
    /// Whether all is well.
    pub ok: bool,
    /// What was found, one sentence.
    pub says: String,
    /// One line that mends it; empty if all is well.
    pub mend: String,
}

impl Check {
    fn new(name: &'static str, ok: bool, says: impl Into<String>, mend: impl Into<String>) -> Self {
        let mend = if ok { String::new() } else { mend.into() };
        Self { name, ok, says: says.into(), mend }
    }
}

/// Looks at the node. Changes nothing but a scratch table that is gone afterwards.
pub fn doctor(mark_bit: u32, docker: DockerBackend) -> Vec<Check> {
    let mut checks = programs();
    let mut netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(error) => {
            checks.push(Check::new(
                "netlink",
                false,
                error.to_string(),
                "run as root on a kernel with nf_tables",
            ));
            return checks;
        }
    };
    checks.push(timeouts(&mut netlink));
    checks.push(features(mark_bit));
    checks.push(match docker {
        DockerBackend::Nftables => Check::new(
            "docker-backend",
            true,
            "Docker makes its rules by nftables and has no DOCKER-USER; ftagent drops early instead",
            "",
        ),
        _ => Check::new("docker-backend", true, "Docker makes its rules by iptables", ""),
    });
    for family in Family::BOTH {
        checks.extend(path(family, mark_bit, docker, &mut netlink));
    }
    let marks = foreign_marks(mark_bit, &mut netlink);
    checks.push(Check::new(
        "mark",
        marks.is_empty(),
        if marks.is_empty() {
            format!("no other rule uses the mark bit {mark_bit:#x}")
        } else {
            format!("other rules use the mark bit {mark_bit:#x}: {}", marks.join("; "))
        },
        "choose another bit for ftagent (mark in its configuration)",
    ));
    checks
}

fn programs() -> Vec<Check> {
    let needed = [
        ("nft", "nft", "apt-get install nftables"),
        ("iptables", "iptables-save", "apt-get install iptables"),
        ("ip6tables", "ip6tables-save", "apt-get install iptables"),
    ];
    needed
        .map(|(name, file, mend)| {
            let ok = program::exists(file);
            Check::new(
                name,
                ok,
                if ok { format!("{file} is there") } else { format!("{file} is missing") },
                mend,
            )
        })
        .into()
}

fn timeouts(netlink: &mut Netlink) -> Check {
    const NAME: &str = "timeouts";
    const MEND: &str = "use a kernel of 5.10 or later with nf_tables sets; until then nothing is dropped";
    match netlink.renews_timeouts() {
        Ok(true) => Check::new(NAME, true, "the kernel renews timeouts", ""),
        Ok(false) => {
            Check::new(NAME, false, "the kernel does not renew timeouts, so nothing is enforced", MEND)
        }
        Err(error) => Check::new(NAME, false, error.to_string(), "load the kernel module nf_tables"),
    }
}

/// Whether the kernel takes our table. It is asked and changes nothing.
fn features(mark_bit: u32) -> Check {
    const NAME: &str = "kernel-features";
    const MEND: &str =
        "modprobe -a nf_tables nft_limit nft_objref nft_ct nft_hash; use a kernel of 5.10 or later";
    let structure = Structure { uplinks: Vec::new(), mode: Mode::Enforce, mark_bit, guard: Guard::default() };
    let kinds = [
        Kind::SecondTry(Tries { after_ms: 300, within_ms: 5_000 }),
        Kind::Bucket(Grain::Source, Rate { per_second: 40, burst: 40 }),
        Kind::Bucket(Grain::Network, Rate { per_second: 40, burst: 40 }),
        Kind::Manual(24),
    ];
    let mut script = structure.script(true);
    for (kind, family) in kinds.into_iter().flat_map(|kind| Family::BOTH.map(|family| (kind, family))) {
        script += &own_rules::add_script(SetId { kind, family }, &HashMap::new());
    }
    match program::run("nft", &["-c", "-f", "-"], &script) {
        Ok(_) => Check::new(NAME, true, "the kernel has all that our table needs", ""),
        Err(error) => Check::new(NAME, false, error.to_string(), MEND),
    }
}

/// The way from FORWARD to our rule in one family.
fn path(family: Family, mark_bit: u32, docker: DockerBackend, netlink: &mut Netlink) -> Vec<Check> {
    let (name, program) = match family {
        Family::V4 => ("docker-user-v4", "iptables"),
        Family::V6 => ("docker-user-v6", "ip6tables"),
    };
    if docker == DockerBackend::Nftables {
        return Vec::new();
    }
    let (backend, filter) = match docker_user::find(family, mark_bit, netlink) {
        Ok(Some(found)) => found,
        Ok(None) => {
            // Docker before 27 makes no IPv6 chains by default; packets are dropped early then.
            let ok = family == Family::V6;
            let says = format!("{program} has no DOCKER-USER; packets are dropped early");
            return vec![Check::new(name, ok, says, "systemctl restart docker")];
        }
        Err(error) => return vec![Check::new(name, false, error.to_string(), "apt-get install iptables")],
    };
    let half = backend.name();
    let (ok, says, mend) = if !filter.forward_jumps {
        (false, "FORWARD does not lead to DOCKER-USER".to_owned(), "systemctl restart docker")
    } else if filter.jump_at.is_none() {
        let says = "DOCKER-USER has no jump to FTAGENT (in observe mode there is none)".to_owned();
        (false, says, "ftagent mode enforce")
    } else if filter.jump_at != Some(0) {
        let says =
            format!("the jump to FTAGENT is number {} in DOCKER-USER", filter.jump_at.unwrap_or(0) + 1);
        (false, says, "move ftagent's jump to the first place")
    } else if !filter.chain_complete {
        (false, "FTAGENT does not hold its two rules".to_owned(), "systemctl restart ftagent")
    } else {
        let seen = if filter.passed == 0 {
            "no forwarded packet yet".to_owned()
        } else {
            format!("{} forwarded packets passed, {} were dropped", filter.passed, filter.dropped)
        };
        (true, format!("FORWARD leads through DOCKER-USER to FTAGENT, first; {seen}"), "")
    };
    vec![Check::new(name, ok, format!("{says} ({program}, {half})"), mend)]
}

/// Foreign rules that test or set our mark bit, as the operator would see them.
pub(crate) fn foreign_marks(mark_bit: u32, netlink: &mut Netlink) -> Vec<String> {
    let mut found = Vec::new();
    for family in Family::BOTH {
        let saved = docker_user::saved(family, netlink);
        found.extend(saved.lines().filter(|line| uses_mark(line, mark_bit)).map(str::to_owned));
    }
    found.truncate(8);
    found
}

/// Whether a saved rule that is not ours tests our bit or sets it. A rule that only erases it (a mask that covers
/// it) is found out by comparing marks set with marks dropped.
fn uses_mark(line: &str, mark_bit: u32) -> bool {
    if !line.starts_with("-A ") || line.starts_with("-A FTAGENT ") {
        return false;
    }
    let mut words = line.split(' ');
    while let Some(word) = words.next() {
        let sets = matches!(word, "--set-xmark" | "--or-mark" | "--set-mark");
        if !sets && word != "--mark" {
            continue;
        }
        let Some(operand) = words.next() else { return false };
        let (value, mask) = operand.split_once('/').unwrap_or((operand, ""));
        let number = |text: &str| {
            text.strip_prefix("0x").map_or(text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
        };
        let value = number(value).unwrap_or(0);
        let tested = if sets { value } else { number(mask).unwrap_or(value) };
        if tested & mark_bit != 0 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_use_our_bit_are_found() {
        let bit = 0x4000_0000;
        for (line, uses) in [
            ("-A FTAGENT -m mark --mark 0x40000000/0x40000000 -j DROP", false),
            ("-A X -m mark --mark 0x40000000/0x40000000 -j ACCEPT", true),
            ("-A X -j MARK --set-xmark 0xff000000/0xff000000", true),
            ("-A X -j MARK --set-xmark 0x1/0xffffffff", false),
            ("-A X -m mark --mark 0x4000/0x4000 -j MASQUERADE", false),
            ("-A X -p tcp -j ACCEPT", false),
        ] {
            assert_eq!(uses_mark(line, bit), uses, "{line}");
        }
    }
}
