//! What an attack looks like from the samples of its strangers: which measures can tell it from newcomers.

use std::collections::BTreeMap;

use super::Network;
use crate::found::Sample;
use crate::manifest::Class;
use crate::wire::Address;
use crate::wire::tcp_flag;

/// Sources or networks that are few.
const FEW: usize = 16;

/// Shares in per cent of the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits {
    /// How many samples.
    pub(crate) samples: u32,
    /// TCP SYNs.
    pub(crate) syn_percent: u8,
    /// What a newcomer sends too: SYNs, openings, queries and joins.
    pub(crate) opening_percent: u8,
    /// From flows that are not proven: they may be forged.
    pub(crate) unproven_percent: u8,
    /// Of the sixteen sources that send most.
    pub(crate) few_percent: u8,
    /// Of the sixteen networks that send most.
    pub(crate) few_networks_percent: u8,
}

impl Traits {
    /// Of these samples.
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let all = samples.len();
        let percent = |count: usize| (count * 100).checked_div(all).unwrap_or(0) as u8;
        let share = |holds: &dyn Fn(&Sample) -> bool| percent(samples.iter().filter(|s| holds(s)).count());
        let syn = |s: &Sample| s.head.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN;
        let opening =
            |s: &Sample| syn(s) || matches!(s.head.class, Class::Opening | Class::Query | Class::Join);
        Self {
            samples: all as u32,
            syn_percent: share(&syn),
            opening_percent: share(&opening),
            unproven_percent: share(&|s| !s.proven),
            few_percent: percent(of_few(samples, |client| client)),
            few_networks_percent: percent(of_few(samples, Network::of)),
        }
    }
}

/// How many samples are of the few that send most.
fn of_few<K: Ord>(samples: &[Sample], who: impl Fn(Address) -> K) -> usize {
    let mut counts: BTreeMap<K, usize> = BTreeMap::new();
    for sample in samples {
        *counts.entry(who(sample.head.client)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts.iter().take(FEW).sum()
}
