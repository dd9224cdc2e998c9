//! What is known of one address, and what was asked because of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use super::FlowReport;
use crate::effect::Effect;
use crate::effect::Lease;
use crate::flow::Tally;
use crate::judge::lane;
use crate::limits;
use crate::measure::Step;
use crate::service::ServiceKey;
use crate::standing::Standing;
use crate::time::Instant;
use crate::wire::Address;

/// An address at one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceExplanation {
    /// The service.
    pub service: ServiceKey,
    /// Its game.
    pub game: Arc<str>,
    /// The best standing of its flows.
    pub standing: Standing,
    /// Opinions by judgement.
    pub opinions: Tally,
    /// Hostile ones by plain reason name.
    pub reasons: BTreeMap<Arc<str>, u64>,
    /// Flows known of it here.
    pub flows: u32,
    /// Whether this service is under attack now, and why.
    pub attack: Option<Arc<str>>,
}

/// One of its flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowExplanation {
    /// Its counters.
    pub flow: FlowReport,
    /// Packets a second of its lane, if it has one.
    pub lane_pps: Option<u32>,
}

/// What is known of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The address.
    pub source: IpAddr,
    /// Its best standing at any service; a stranger if it was never seen.
    pub standing: Standing,
    /// At which services, best first.
    pub services: Vec<SourceExplanation>,
    /// Its flows; at most [`limits::REPORT_FLOWS`].
    pub flows: Vec<FlowExplanation>,
    /// What was asked lately that concerns it: leases on it, and limits and shapes at its services, with the time.
    pub asked: Vec<(Instant, Effect)>,
    /// What was considered, taken, refused and taken back at its services, oldest first, each with why.
    pub steps: Vec<Step>,
}

impl Engine {
    /// What is known of an address. Walks the whole tables: for people, not for the packet path.
    pub fn explain(&self, source: IpAddr) -> Explanation {
        let client = Address::from(source);
        let flows: Vec<_> = self.flows.iter().filter(|entry| entry.key.client == client).collect();
        let standing_at = |site: u32| {
            let here = flows.iter().filter(|entry| self.sites[entry.value.site as usize].home == site);
            here.map(|entry| entry.value.standing.now()).max().unwrap_or_default()
        };
        let mut services: Vec<_> = self
            .sources
            .iter()
            .filter(|entry| entry.key.client == client)
            .map(|entry| {
                let site = &self.sites[entry.key.site as usize];
                SourceExplanation {
                    service: site.key(),
                    game: Arc::clone(&site.service.game),
                    standing: standing_at(entry.key.site),
                    opinions: entry.value.tally,
                    reasons: self.kept_reasons(entry.key.site, &entry.value.reasons),
                    flows: entry.value.flows.now(),
                    attack: site.attack.as_ref().map(|attack| Arc::clone(&attack.reason)),
                }
            })
            .collect();
        services.sort_by_key(|service| std::cmp::Reverse(service.standing));
        let explain = |entry: &&crate::table::Entry<_, crate::flow::Flow>| FlowExplanation {
            flow: self.flow_report(&entry.key, &entry.value),
            lane_pps: entry.value.in_lanes.then(|| {
                let service = self.sites[entry.value.site as usize].key();
                lane::of_flow(&entry.key, &entry.value, service).packets_per_second
            }),
        };
        Explanation {
            source,
            standing: services.first().map(|service| service.standing).unwrap_or_default(),
            asked: self.asked_about(source, &services),
            steps: self.steps_at(&services),
            services,
            flows: flows.iter().take(limits::REPORT_FLOWS).map(explain).collect(),
        }
    }

    /// The steps of answers at any of these services.
    fn steps_at(&self, services: &[SourceExplanation]) -> Vec<Step> {
        let here = |step: &&Step| services.iter().any(|service| service.service == step.service);
        self.steps_taken.iter().filter(here).cloned().collect()
    }

    /// What was considered, taken, refused and taken back against attacks on a service, oldest first.
    pub fn steps(&self, service: &ServiceKey) -> Vec<Step> {
        self.steps_taken.iter().filter(|step| step.service == *service).cloned().collect()
    }

    fn asked_about(&self, source: IpAddr, services: &[SourceExplanation]) -> Vec<(Instant, Effect)> {
        let at_service = |key: &ServiceKey| services.iter().any(|service| service.service == *key);
        let concerns = |effect: &Effect| match effect {
            Effect::Lease(lease) => covers(lease, source),
            Effect::Lane(lane) => lane.source == source,
            Effect::CrowdLimit(limit) => at_service(&limit.service),
            Effect::ShapeDrop(drop) => at_service(&drop.service),
            Effect::SecondTry(tries) => at_service(&tries.service),
            Effect::BucketLimit(limit) => at_service(&limit.service),
            Effect::SynProxy(proxy) => at_service(&proxy.service),
            Effect::Notice(_) => false,
        };
        self.log.iter().filter(|(_, effect)| concerns(effect)).cloned().collect()
    }
}

/// Whether a lease is on this address or on a network that it lies in.
fn covers(lease: &Lease, source: IpAddr) -> bool {
    let same = |bits: u32, a: u128, b: u128| {
        let host = bits.saturating_sub(u32::from(lease.prefix_bits).min(bits));
        a.checked_shr(host).unwrap_or(0) == b.checked_shr(host).unwrap_or(0)
    };
    match (lease.source, source) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(32, a.to_bits().into(), b.to_bits().into()),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(128, a.to_bits(), b.to_bits()),
        _ => false,
    }
}
