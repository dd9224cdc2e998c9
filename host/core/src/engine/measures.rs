//! What is asked for against an attack and for players: lanes, shapes, limits and leases.

use std::net::IpAddr;

use super::Engine;
use crate::count::HostReason;
use crate::count::Loss;
use crate::effect::Effect;
use crate::effect::Effects;
use crate::effect::Lane;
use crate::effect::Lease;
use crate::effect::Scope;
use crate::effect::ShapeDrop;
use crate::flow::Flow;
use crate::flow::Verdict;
use crate::flow::second_of;
use crate::judge::Opinion;
use crate::judge::Why;
use crate::judge::attack;
use crate::judge::attack::Attack;
use crate::judge::lane;
use crate::judge::lease::may_lease;
use crate::judge::level::Dim;
use crate::limits;
use crate::manifest::Certainty;
use crate::outbox::Waiting;
use crate::site::NODE;
use crate::source::Source;
use crate::standing::Standing;
use crate::table::Ref;
use crate::time::Instant;

/// Lanes asked for outside of a round in one step of 100 ms; further ones wait for the round.
const LANES_PER_STEP: u32 = 512;

impl Engine {
    pub(super) fn open_lane(&mut self, at: Ref, when: Instant, effects: &mut Effects) {
        let Some(flow) = self.flows.get_mut(at) else { return };
        if flow.site == NODE {
            return;
        }
        if self.lanes.len() >= limits::LANES {
            return self.ledger.lost(Loss::LanesFull);
        }
        flow.in_lanes = true;
        self.lanes.push(at);
        if self.lanes_in_step < LANES_PER_STEP {
            self.lanes_in_step += 1;
            self.ask_lane(at, when, false, effects);
        }
    }

    /// Asks for the lane of a flow, and for that of its address once a round.
    pub(super) fn ask_lane(&mut self, at: Ref, when: Instant, round: bool, effects: &mut Effects) {
        let Some(entry) = self.flows.get(at) else { return };
        let (flow, site) = (&entry.value, &self.sites[entry.value.site as usize]);
        if !may_have_lane(flow, site.attack.as_ref()) {
            return;
        }
        let lane = lane::of_flow(&entry.key, flow, site.key());
        let smaller = lane::of_address(&lane);
        effects.ask(when, Effect::Lane(lane));
        let number = self.lane_round;
        let asked = self.sources.get_mut(entry.value.source).is_some_and(|source| {
            let asked = round && source.lane_round == number;
            source.lane_round = number;
            asked
        });
        if !asked {
            effects.ask(when, Effect::Lane(Lane { ..smaller }));
        }
    }

    /// What a hostile packet asks for: shapes and leases while an attack lasts.
    pub(super) fn hostile(&mut self, waiting: &Waiting, opinion: &Opinion, effects: &mut Effects) {
        if waiting.site == NODE {
            return;
        }
        let Some((why, certainty)) = opinion.why else { return };
        let site = &mut self.sites[waiting.site as usize];
        let Some(attack) = &mut site.attack else { return };
        if certainty == Certainty::Impossible && attack.sees(bit_of(why)) {
            self.ask_shapes(waiting.site, Some(why), waiting.at, effects);
        }
        if certainty != Certainty::Rate {
            self.maybe_lease(waiting, why, effects);
        }
    }

    fn maybe_lease(&mut self, waiting: &Waiting, why: Why, effects: &mut Effects) {
        let (Some(flow), Some(source)) =
            (self.flows.get_mut(waiting.flow), self.sources.get_mut(waiting.source))
        else {
            return;
        };
        if flow.standing.now() >= Standing::Proven && !std::mem::replace(&mut flow.turned_hostile, true) {
            source.turned_hostile(second_of(waiting.at));
        }
        let Some(entry) = self.flows.get(waiting.flow) else { return };
        let due = |source: &Source| {
            source.leased_at.is_none_or(|last| waiting.at.millis_since(last) >= attack::RENEW_MS)
        };
        if !may_lease(&entry.value, source) || !due(source) {
            return;
        }
        source.leased_at = Some(waiting.at);
        let lease = Lease {
            source: IpAddr::from(entry.key.client),
            prefix_bits: if entry.key.client.is_v4() { 32 } else { 128 },
            scope: Scope::Service(self.sites[waiting.site as usize].key()),
            for_ms: attack::MEASURE_MS,
            reason: self.reason_name(waiting.site, why),
        };
        self.ask(waiting.at, Effect::Lease(lease), effects);
        if let Some(flow) = self.flows.get_mut(waiting.flow) {
            flow.verdict = Verdict::Drop;
        }
    }

    /// All measures of an attack, anew.
    pub(super) fn ask_measures(&mut self, site: u32, at: Instant, effects: &mut Effects) {
        if site == NODE {
            return;
        }
        let state = &self.sites[site as usize];
        let Some(attack) = &state.attack else { return };
        let limit = attack.crowd_limit(state.key());
        self.ask(at, Effect::CrowdLimit(limit), effects);
        self.ask_shapes(site, None, at, effects);
    }

    /// The shapes of the impossible reasons of this attack, or of one of them.
    fn ask_shapes(&mut self, site: u32, only: Option<Why>, at: Instant, effects: &mut Effects) {
        let state = &self.sites[site as usize];
        let Some(attack) = &state.attack else { return };
        let Some(manifest) = state.plugin.and_then(|plugin| self.roster.manifest(plugin)).cloned() else {
            return;
        };
        let (service, seen) = (state.key(), attack.impossible);
        for shape in &manifest.shapes {
            let why = Why::Plugin(shape.reason);
            let wanted = only.is_none_or(|only| only == why);
            let here = shape.shape.transport == service.transport;
            let impossible = usize::from(shape.reason)
                .checked_sub(1)
                .and_then(|at| manifest.reasons.get(at))
                .is_some_and(|reason| reason.certainty == Certainty::Impossible);
            if wanted
                && here
                && impossible
                && 1u64.checked_shl(u32::from(bit_of(why))).unwrap_or(0) & seen != 0
            {
                let reason = self.reason_name(site, why);
                let drop = ShapeDrop {
                    service,
                    shape: shape.shape.clone(),
                    trial: false,
                    for_ms: attack::MEASURE_MS,
                    reason,
                };
                self.ask(at, Effect::ShapeDrop(drop), effects);
            }
        }
    }
}

/// The bit of a reason in what an attack has seen; the host's reasons have none.
pub(super) fn bit_of(why: Why) -> u16 {
    match why {
        Why::Plugin(reason) => reason,
        Why::Host(HostReason::WrongTransport) => 0,
        Why::Host(_) => u16::MAX,
    }
}

/// While too many real clients open connections, a completed handshake alone is no ticket: who came with the
/// attack must play first.
fn may_have_lane(flow: &Flow, attack: Option<&Attack>) -> bool {
    let Some(attack) = attack else { return true };
    let by_clients = matches!(attack.dim, Dim::Opening | Dim::Query | Dim::Join | Dim::Excess);
    !by_clients || flow.standing.now() > Standing::Proven || flow.began < attack.began
}
