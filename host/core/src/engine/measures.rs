//! What is asked for from the first moment of an attack, and for players: lanes, limits and declared shapes.

use std::sync::Arc;

use super::Engine;
use crate::count::HostReason;
use crate::count::Loss;
use crate::effect::Effect;
use crate::effect::Effects;
use crate::effect::Lane;
use crate::flow::Flow;
use crate::judge::Opinion;
use crate::judge::Why;
use crate::judge::attack;
use crate::judge::attack::Attack;
use crate::judge::lane;
use crate::limits;
use crate::manifest::Certainty;
use crate::measure::Measure;
use crate::outbox::Waiting;
use crate::site::NODE;
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
        if !self.may_have_lane(at) {
            return;
        }
        let Some(entry) = self.flows.get(at) else { return };
        let (flow, site) = (&entry.value, &self.sites[entry.value.site as usize]);
        let lane = lane::of_flow(&entry.key, flow, site.key());
        let smaller = lane::of_address(&lane);
        effects.ask(when, Effect::Lane(lane));
        // A bot that came with the attack and connects again and again must not bring its next connections along; nor one
        // that comes with an attack of which nobody knows yet.
        let known = flow.standing.now() > Standing::Proven || flow.began < attack::came_with(when);
        if !known || !played_or_was_here(flow, site.attack.as_ref()) {
            return;
        }
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

    /// While attackers are real clients, a completed handshake alone is no ticket: who came with the attack must have got
    /// further, also when it is over, because such attacks come again.
    pub(super) fn may_have_lane(&mut self, at: Ref) -> bool {
        let Some(flow) = self.flows.get_mut(at) else { return false };
        let attack = self.sites[flow.site as usize].attack.as_ref();
        let talks = flow.tcp.rounds() >= ROUNDS;
        flow.came_with_bots |= attack.is_some_and(Attack::by_clients) && !played_or_was_here(flow, attack);
        flow.came_with_bots &= flow.standing.now() <= Standing::Proven;
        !flow.came_with_bots || talks
    }

    /// Takes back the lanes of those who came with an attack of real clients and had proven themselves before it was known
    /// as such.
    pub(super) fn end_lane(&self, at: Ref, when: Instant, effects: &mut Effects) {
        let Some(entry) = self.flows.get(at) else { return };
        let lane = lane::of_flow(&entry.key, &entry.value, self.sites[entry.value.site as usize].key());
        let alone = self.sources.get(entry.value.source).is_none_or(|s| s.value.standings.now().settled == 0);
        let address = alone.then(|| Lane { for_ms: 0, ..lane::of_address(&lane) });
        effects.ask(when, Effect::Lane(Lane { for_ms: 0, ..lane }));
        if let Some(address) = address {
            effects.ask(when, Effect::Lane(address));
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
            self.maybe_lease(waiting, (why, certainty), effects);
        }
    }

    /// All measures of an attack that are there from its first moment, anew, and those above that are needed still.
    pub(super) fn ask_measures(&mut self, site: u32, at: Instant, effects: &mut Effects) {
        if site == NODE {
            return;
        }
        self.open_answer(site, at);
        if self.leans(site, Measure::CrowdLimit, at)
            && let Some(limit) = self.rung(site, Measure::CrowdLimit)
        {
            let allowed = self.sites[site as usize].answer.as_ref().map(|answer| answer.ladder.allowed_pps);
            let pps = allowed.unwrap_or(0);
            let says: Arc<str> = format!("strangers may send {pps}/s together; players have lanes").into();
            self.take(site, Measure::CrowdLimit, &says, at, limit, effects);
            self.ask_shapes(site, None, at, effects);
        }
        self.renew_rungs(site, at, effects);
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

/// So many times a client and its server must have answered each other before a newcomer gets a lane while attackers are
/// real clients. A login takes four rounds and more; bots that only say the first words have one.
pub(super) const ROUNDS: u8 = 3;

/// Whether it has shown more than that it is where it says it is, or was there before the attack.
fn played_or_was_here(flow: &Flow, attack: Option<&Attack>) -> bool {
    let was_here = attack.is_none_or(|attack| !attack.brought(flow.began)) && !flow.came_with_bots;
    flow.standing.now() > Standing::Proven || was_here
}
