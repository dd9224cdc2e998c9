//! Blocks of proven hostile sources, and of their networks where many of one are blocked.
//!
//! What must stay true: no unproven address is blocked; nor one that several play from or that speaks for others;
//! nor a network in which anybody proven is peaceful; nor an address that no stranger can have.

use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use crate::count::Loss;
use crate::effect::Effect;
use crate::effect::Effects;
use crate::effect::Lease;
use crate::effect::Scope;
use crate::flow::Verdict;
use crate::flow::second_of;
use crate::judge::Opinion;
use crate::judge::Why;
use crate::judge::allowed_pps;
use crate::judge::attack;
use crate::judge::attack::Attack;
use crate::judge::lease::Evidence;
use crate::judge::lease::may_lease;
use crate::judge::lease::may_lease_for_excess;
use crate::judge::lease::may_lease_for_returning;
use crate::judge::lease::refused_target;
use crate::manifest::Certainty;
use crate::measure::Came;
use crate::measure::Leased;
use crate::measure::Measure;
use crate::measure::Network;
use crate::measure::part;
use crate::measure::refusal;
use crate::outbox::Waiting;
use crate::service::ServiceKey;
use crate::service::Transport;
use crate::standing::Standing;
use crate::table::Ref;
use crate::time::Instant;
use crate::wire::Address;

/// Why a proven hostile source is not leased where the operator wants none blocked.
const LIMITED: &str = "some sources are proven hostile, but mode limit blocks no address";

/// Judged packets of a TCP connection that count as asking for something.
const ASKS_OF_A_CONNECTION: u32 = 2;

impl Engine {
    /// A packet was hostile for more than its rate, at a service under attack.
    pub(super) fn maybe_lease(
        &mut self,
        waiting: &Waiting,
        (why, certainty): (Why, Certainty),
        effects: &mut Effects,
    ) {
        let (Some(flow), Some(source)) =
            (self.flows.get_mut(waiting.flow), self.sources.get_mut(waiting.source))
        else {
            return;
        };
        if flow.standing.now() >= Standing::Proven && !std::mem::replace(&mut flow.turned_hostile, true) {
            source.turned_hostile(second_of(waiting.at));
            let attack = self.sites[waiting.site as usize].attack.as_mut();
            if attack.is_some_and(Attack::turned_hostile) {
                self.ask_lanes_of(waiting.site, waiting.at, effects);
            }
        }
        let bots = self.sites[waiting.site as usize].attack.as_ref().is_some_and(Attack::by_clients);
        let weighs = match certainty {
            Certainty::Impossible if bots => Evidence::ImpossibleOfBots,
            _ if bots => Evidence::Bots,
            _ => Evidence::Usual,
        };
        let (Some(entry), Some(source)) =
            (self.flows.get(waiting.flow), self.sources.get_mut(waiting.source))
        else {
            return;
        };
        if !may_lease(&entry.value, source, weighs)
            || !source.lease_due(entry.key.transport, waiting.at, attack::RENEW_MS)
        {
            return;
        }
        let (client, tally) = (entry.key.client, entry.value.tally);
        let evidence = format!("proven, {} of {} packets hostile", tally.hostile, tally.sum());
        let reason = self.reason_name(waiting.site, why);
        self.lease_client(waiting.place(), client, &reason, &evidence, effects);
    }

    /// A connection begins at a service under attack.
    pub(super) fn maybe_lease_for_returning(
        &mut self,
        (site, at, flow): (u32, Instant, Ref),
        source: Ref,
        effects: &mut Effects,
    ) {
        let Some(source) = self.sources.get_mut(source) else { return };
        let second = second_of(at);
        let begun = source.begins(second);
        let bots = self.sites[site as usize].attack.as_ref().is_some_and(Attack::by_clients);
        if !bots
            || !may_lease_for_returning(source, begun, second)
            || !source.lease_is_due(Transport::Tcp, at, attack::RENEW_MS)
        {
            return;
        }
        let Some(client) = self.flows.get(flow).map(|entry| entry.key.client) else { return };
        // Players come back together when their server was started afresh, and through a proxy all from one address.
        if self.retained.plays_from(&self.sites[site as usize].key(), client) {
            // The question goes through all who play: it is asked again after as many connections more.
            return source.begins_afresh();
        }
        source.lease_due(Transport::Tcp, at, attack::RENEW_MS);
        let evidence = format!("proven, began {} connections within five seconds, all in vain", begun.0);
        let reason = "host/too-much-of-one".into();
        self.lease_client((site, at, flow), client, &reason, &evidence, effects);
    }

    /// A proven flow that nobody plays on asked for something, at a service under attack.
    pub(super) fn maybe_lease_for_excess(
        &mut self,
        waiting: &Waiting,
        opinion: &Opinion,
        effects: &mut Effects,
    ) {
        let plugin = self.sites[waiting.site as usize].plugin;
        let Some(manifest) = plugin.and_then(|plugin| self.roster.manifest(plugin)) else { return };
        let Some(allowed) = allowed_pps(manifest, opinion, Standing::Proven) else { return };
        let (Some(entry), Some(source)) =
            (self.flows.get(waiting.flow), self.sources.get_mut(waiting.source))
        else {
            return;
        };
        // A client may say one thing in many segments: of a connection only its first packets count.
        if entry.value.is_tcp() && entry.value.tally.sum() > ASKS_OF_A_CONNECTION {
            return;
        }
        let seconds = source.proven_asks(second_of(waiting.at), opinion.class, waiting.weight, allowed);
        if !may_lease_for_excess(&entry.value, source, seconds)
            || !source.lease_due(entry.key.transport, waiting.at, attack::RENEW_MS)
        {
            return;
        }
        let client = entry.key.client;
        let evidence = format!("proven, asked more than {allowed} times a second in {seconds} seconds");
        let reason = "host/too-much-of-one".into();
        self.lease_client(waiting.place(), client, &reason, &evidence, effects);
    }

    /// Leases a client, or its network, unless it must not be.
    fn lease_client(
        &mut self,
        (site, at, flow): (u32, Instant, Ref),
        client: Address,
        reason: &Arc<str>,
        evidence: &str,
        effects: &mut Effects,
    ) {
        let who = IpAddr::from(client);
        let own = self.places.owns(client).then_some("it is the node's own");
        if let Some(refused) = own.or_else(|| refused_target(client)) {
            return self.note_step(
                site,
                Measure::Leases,
                Came::Refused,
                at,
                format!("{who}: {refused}").into(),
            );
        }
        if !self.services.may_lease(&self.sites[site as usize].key()) {
            return self.note_step(site, Measure::Leases, Came::Passed, at, LIMITED.into());
        }
        let Some((source, bits)) = self.lease_of(site, client, at) else { return };
        let merged = bits < if client.is_v4() { 32 } else { 128 };
        let (measure, says) = if merged {
            let network = IpAddr::from(source);
            let says = format!("many of {network}/{bits} are proven hostile and nobody there is peaceful");
            (Measure::PrefixLeases, says)
        } else {
            let says =
                format!("{who}: {evidence}; limits do not touch its lane, and nobody else plays there");
            (Measure::Leases, says)
        };
        self.lease(site, measure, (source, bits), reason, &says.into(), at, effects);
        if let Some(flow) = self.flows.get_mut(flow) {
            flow.verdict = Verdict::Drop;
        }
    }

    /// What to lease for a hostile client: itself or its network; `None` if it is leased or cannot be.
    fn lease_of(&mut self, site: u32, client: Address, at: Instant) -> Option<(Address, u8)> {
        let state = &mut self.sites[site as usize];
        let mut answer = state.answer.take()?;
        let alone = if client.is_v4() { 32 } else { 128 };
        let until = at.plus_millis(u64::from(attack::MEASURE_MS));
        let mut kept_apart = None;
        let leased = if answer.ladder.was_withdrawn(Measure::Leases) {
            Leased::Already
        } else {
            answer.leases.lease(client, at, until, |network, hosts| {
                let merges = !answer.ladder.was_withdrawn(Measure::PrefixLeases);
                kept_apart = if merges {
                    self.keeps_apart(site, network, hosts, at)
                } else {
                    Some("withdrawn".into())
                };
                kept_apart.is_none()
            })
        };
        self.sites[site as usize].answer = Some(answer);
        if let Some(says) = kept_apart {
            self.note_step(site, Measure::PrefixLeases, Came::Refused, at, says);
        }
        match leased {
            Leased::Alone => Some((client, alone)),
            Leased::With { network, .. } => Some((network.address, network.prefix_bits())),
            Leased::Already => None,
            Leased::LeftOut => {
                self.ledger.lost(Loss::LeasesFull);
                None
            }
        }
    }

    /// Why the leased addresses of a network are not merged.
    fn keeps_apart(&self, site: u32, network: Network, hosts: &[u16], at: Instant) -> Option<Arc<str>> {
        let words = format!("{}/{}", IpAddr::from(network.address), network.prefix_bits());
        let peaceful = self.lanes.iter().filter_map(|flow| self.flows.get(*flow)).find(|entry| {
            let flow = &entry.value;
            network.holds(entry.key.client)
                && flow.standing.now() >= Standing::Proven
                && !flow.turned_hostile
                && !flow.mostly_hostile()
                && !hosts.contains(&part(entry.key.client))
                && at.millis_since(flow.client_seen) < PEACEFUL_MS
        });
        if let Some(entry) = peaceful {
            let who = IpAddr::from(entry.key.client);
            return Some(format!("{words}: {who} in it is proven and peaceful").into());
        }
        let service = self.sites[site as usize].key();
        let tried = self
            .retained
            .try_on(&service, |head| network.holds(head.client) && !hosts.contains(&part(head.client)));
        refusal(&tried, false).map(|refused| format!("{words}: {refused}").into())
    }

    #[expect(clippy::too_many_arguments, reason = "one call site passes them together")]
    fn lease(
        &mut self,
        site: u32,
        measure: Measure,
        (source, prefix_bits): (Address, u8),
        reason: &Arc<str>,
        says: &Arc<str>,
        at: Instant,
        effects: &mut Effects,
    ) {
        let state = &mut self.sites[site as usize];
        let service = state.key();
        let ends = at.plus_millis(u64::from(attack::MEASURE_MS));
        let new = state.answer.as_mut().is_some_and(|answer| answer.ladder.asked(measure, at, ends));
        if new || measure == Measure::PrefixLeases {
            self.note_measure(site, measure.name(), reason, at, std::slice::from_ref(says));
        }
        let state = &mut self.sites[site as usize];
        let noted = state.answer.as_mut().is_none_or(|answer| answer.leases.noted());
        if noted {
            self.note_step(site, measure, Came::Taken, at, Arc::clone(says));
        }
        let lease = Lease {
            for_ms: attack::MEASURE_MS,
            reason: Arc::clone(reason),
            ..whole(source, prefix_bits, service)
        };
        self.ask(at, Effect::Lease(lease), effects);
    }
}

/// A client that was silent for so long is not present.
const PEACEFUL_MS: u64 = 60_000;

fn whole(source: Address, prefix_bits: u8, service: ServiceKey) -> Lease {
    let (source, scope) = (IpAddr::from(source), Scope::Service(service));
    Lease { source, prefix_bits, scope, for_ms: 0, reason: Arc::default() }
}

/// Takes a lease back.
pub(super) fn no_lease(source: Address, prefix_bits: u8, service: ServiceKey) -> Effect {
    Effect::Lease(whole(source, prefix_bits, service))
}
