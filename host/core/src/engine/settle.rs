//! What happens with an opinion: counters, standing, the gauge of the service, and measures.

use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use crate::count::HostReason;
use crate::count::Loss;
use crate::effect::Effect;
use crate::effect::Effects;
use crate::effect::Lane;
use crate::effect::Lease;
use crate::effect::Notice;
use crate::effect::Scope;
use crate::effect::ShapeDrop;
use crate::flow::Flow;
use crate::flow::Verdict;
use crate::flow::count_reason;
use crate::flow::second_of;
use crate::judge;
use crate::judge::Judgement;
use crate::judge::Opinion;
use crate::judge::Why;
use crate::judge::attack;
use crate::judge::attack::Attack;
use crate::judge::lane;
use crate::judge::lease::may_lease;
use crate::judge::level;
use crate::judge::level::Dim;
use crate::limits;
use crate::manifest::Certainty;
use crate::outbox::Waiting;
use crate::service::Transport;
use crate::site::NODE;
use crate::source::Source;
use crate::standing;
use crate::standing::Standing;
use crate::table::Ref;
use crate::time::Instant;
use crate::wire::Address;

/// Lanes asked for outside of a round in one step of 100 ms; further ones wait for the round.
const LANES_PER_STEP: u32 = 512;
/// A flow that the server answers for so long, and with so many packets, is counted apart from the crowd.
const ANSWERED_AGE_MS: u64 = 2_000;
const ANSWERED_PACKETS: u32 = 10;

impl Engine {
    /// One packet has its opinion, or none.
    pub(super) fn settle(&mut self, waiting: &Waiting, opinion: &Opinion, effects: &mut Effects) {
        if waiting.reply {
            self.ledger.counts.replies += 1;
            return;
        }
        let standing = self.flows.get(waiting.flow).map_or(Standing::Stranger, |e| e.value.standing.now());
        let excess = self.excess(waiting, opinion, standing);
        let judgement = match opinion.judgement {
            Judgement::Hostile if opinion.is_rate() && !excess => Judgement::Unknown,
            judgement => judgement,
        };
        let why = opinion.why.filter(|_| judgement == Judgement::Hostile);
        self.count(waiting, judgement, why.map(|(why, _)| why));
        self.learn(waiting, opinion, judgement, effects);
        self.weigh(waiting, opinion, judgement, standing, excess);
        if why.is_some() {
            self.hostile(waiting, opinion, effects);
        }
        self.maybe_begin(waiting, why.map(|(why, _)| why), effects);
        self.mark(waiting);
    }

    /// Whether this packet is one too many of its kind in this second, of its source or of the node.
    fn excess(&mut self, waiting: &Waiting, opinion: &Opinion, standing: Standing) -> bool {
        let site = &mut self.sites[waiting.site as usize];
        if let Some((Why::Host(reason), Certainty::Rate)) = opinion.why {
            return site.host_excess(reason, waiting.at, waiting.weight);
        }
        let Some(manifest) = site.plugin.and_then(|plugin| self.roster.manifest(plugin)) else {
            return false;
        };
        let Some(allowed) = judge::allowed_pps(manifest, opinion, standing) else { return false };
        let Some(source) = self.sources.get_mut(waiting.source) else { return false };
        source.in_second(second_of(waiting.at), opinion.class, waiting.weight) > allowed
    }

    fn count(&mut self, waiting: &Waiting, judgement: Judgement, why: Option<Why>) {
        let site = &mut self.sites[waiting.site as usize];
        let (total, here) = match judgement {
            Judgement::Genuine => (&mut self.ledger.counts.genuine, &mut site.counts.genuine),
            Judgement::Hostile => (&mut self.ledger.counts.hostile, &mut site.counts.hostile),
            Judgement::Unknown => (&mut self.ledger.counts.unknown, &mut site.counts.unknown),
        };
        *total += 1;
        *here += 1;
        match why {
            Some(Why::Host(reason)) => self.ledger.host_reasons[reason as usize] += 1,
            Some(Why::Plugin(reason)) => {
                let counts = site.plugin.and_then(|plugin| self.ledger.plugin_reasons.get_mut(plugin.get()));
                if let Some(count) = counts.and_then(|counts| counts.get_mut(usize::from(reason))) {
                    *count += 1;
                }
            }
            None => {}
        }
        let flow = self.flows.get_mut(waiting.flow).map(|flow| (&mut flow.tally, &mut flow.reasons));
        let source = self.sources.get_mut(waiting.source).map(|s| (&mut s.tally, &mut s.reasons));
        for (tally, reasons) in flow.into_iter().chain(source) {
            let count = match judgement {
                Judgement::Genuine => &mut tally.genuine,
                Judgement::Hostile => &mut tally.hostile,
                Judgement::Unknown => &mut tally.unknown,
            };
            *count = count.saturating_add(1);
            if let Some(why) = why {
                count_reason(reasons, why.code());
            }
        }
    }

    /// What the opinion says about the flow's standing.
    fn learn(&mut self, waiting: &Waiting, opinion: &Opinion, judgement: Judgement, effects: &mut Effects) {
        let Some(flow) = self.flows.get_mut(waiting.flow) else { return };
        let echoed = opinion.echoed && flow.transport == Transport::Udp;
        let news = echoed && !flow.echoed;
        flow.echoed |= echoed;
        let played = judgement == Judgement::Genuine && standing::is_play(opinion.class);
        if played {
            let under_attack = self.sites[waiting.site as usize].attack.is_some();
            flow.played(waiting.at, opinion.class, under_attack);
        }
        if news || (played && flow.standing.now() < Standing::Player) {
            self.lift(waiting.flow, waiting.at, effects);
        }
    }

    /// Adds the packet to what its service counts.
    fn weigh(
        &mut self,
        waiting: &Waiting,
        opinion: &Opinion,
        judgement: Judgement,
        standing: Standing,
        excess: bool,
    ) {
        let site = &mut self.sites[waiting.site as usize];
        site.gauge.roll(waiting.at, site.attack.is_none());
        if excess {
            site.gauge.add(Dim::Excess, waiting.weight);
        }
        if standing >= Standing::Settled {
            return;
        }
        let certain = !opinion.is_rate();
        if judgement == Judgement::Hostile && certain {
            site.gauge.add(Dim::Hostile, waiting.weight);
        } else if let Some(dim) = level::of_class(opinion.class) {
            site.gauge.add(dim, waiting.weight);
        }
        if standing == Standing::Stranger && waiting.site != NODE {
            let flow = self.flows.get(waiting.flow).map(|entry| &entry.value);
            let answered = flow.is_some_and(|flow| is_answered(flow, waiting.at));
            site.gauge.add(if answered { Dim::Answered } else { Dim::Crowd }, waiting.weight);
        }
        if waiting.syn {
            site.gauge.add(Dim::Syn, waiting.weight);
        }
    }

    /// Lifts a flow to the standing that it has earned, and asks for its lane.
    pub(super) fn lift(&mut self, at: Ref, when: Instant, effects: &mut Effects) {
        let Some(flow) = self.flows.get_mut(at) else { return };
        let site = &mut self.sites[flow.site as usize];
        let mut earned = standing::earned(flow, when.millis_since(flow.began));
        if earned == Standing::Settled && flow.standing.now() < Standing::Settled && !site.may_settle() {
            self.ledger.lost(Loss::SettledFull);
            earned = flow.standing.now();
        }
        if earned > flow.standing.now() {
            flow.standing.set(earned, self.epoch);
        }
        let late = !flow.in_lanes && lane::deserves(flow, when);
        if earned > flow.counted && (late || flow.in_lanes) {
            self.enter(at);
        }
        if late {
            self.open_lane(at, when, effects);
        }
    }

    /// Counts a flow among those of its source and service who are present.
    fn enter(&mut self, at: Ref) {
        let Some(flow) = self.flows.get_mut(at) else { return };
        let (was, is) = (flow.counted, flow.standing.now());
        flow.counted = is;
        let Some(source) = self.sources.get_mut(flow.source) else { return };
        let mut standings = source.standings.now();
        standings.proven += u32::from(was < Standing::Proven);
        standings.settled += u32::from(was < Standing::Settled && is >= Standing::Settled);
        source.standings.set(standings, self.epoch);
        if was < Standing::Settled && is >= Standing::Settled {
            self.sites[flow.site as usize].settled += 1;
        }
    }

    /// Takes a flow that was counted as `counted` from its source's present ones.
    pub(super) fn leave(&mut self, source: Ref, counted: Standing) {
        let Some(source) = self.sources.get_mut(source) else { return };
        let mut standings = source.standings.now();
        standings.proven = standings.proven.saturating_sub(u32::from(counted >= Standing::Proven));
        standings.settled = standings.settled.saturating_sub(u32::from(counted >= Standing::Settled));
        source.standings.set(standings, self.epoch);
    }

    fn open_lane(&mut self, at: Ref, when: Instant, effects: &mut Effects) {
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

    /// A hostile packet: people are told of the first; shapes and leases while an attack lasts.
    fn hostile(&mut self, waiting: &Waiting, opinion: &Opinion, effects: &mut Effects) {
        if let Some(entry) = self.flows.get(waiting.flow) {
            let source = entry.key.client;
            self.tell_first_hostile(waiting.site, source, waiting.at, opinion, effects);
        }
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

    pub(super) fn tell_first_hostile(
        &mut self,
        site: u32,
        source: Address,
        at: Instant,
        opinion: &Opinion,
        effects: &mut Effects,
    ) {
        let Some((why, certainty)) = opinion.why else { return };
        let state = &mut self.sites[site as usize];
        if certainty == Certainty::Rate || state.hostile_at.replace(at).is_some() {
            return;
        }
        let (service, reason) = (state.key(), self.reason_name(site, why));
        let notice = Notice::FirstHostile { service, source: IpAddr::from(source), reason };
        self.ask(at, Effect::Notice(notice), effects);
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
            scope: Scope::Service(self.sites[waiting.site as usize].key()),
            for_ms: attack::MEASURE_MS,
            reason: self.reason_name(waiting.site, why),
        };
        self.ask(waiting.at, Effect::Lease(lease), effects);
        if let Some(flow) = self.flows.get_mut(waiting.flow) {
            flow.verdict = Verdict::Drop;
        }
    }

    /// `plugin/reason` or `host/reason`.
    pub(super) fn reason_name(&self, site: u32, why: Why) -> Arc<str> {
        match why {
            Why::Host(reason) => reason.full_name().into(),
            Why::Plugin(reason) => self.sites[site as usize]
                .plugin
                .and_then(|plugin| self.roster.reason_name(plugin, reason))
                .map_or_else(|| "host/unknown".into(), Arc::clone),
        }
    }

    fn maybe_begin(&mut self, waiting: &Waiting, why: Option<Why>, effects: &mut Effects) {
        let site = &self.sites[waiting.site as usize];
        if site.attack.is_some() {
            return;
        }
        let Some((dim, level)) = site.gauge.passed() else { return };
        let reason = match why {
            Some(why) if dim == Dim::Hostile => self.reason_name(waiting.site, why),
            _ => level.into(),
        };
        let pps = site.gauge.pps(dim);
        let mut attack = Attack::begin(waiting.at, dim, Arc::clone(&reason), &site.gauge);
        if let Some(why) = why.filter(|_| dim == Dim::Hostile) {
            attack.sees(bit_of(why));
        }
        let service = site.key();
        self.sites[waiting.site as usize].attack = Some(attack);
        let notice = Notice::AttackBegins { service, reason, packets_per_second: pps };
        self.ask(waiting.at, Effect::Notice(notice), effects);
        self.ask_measures(waiting.site, waiting.at, effects);
        self.ask_lanes_of(waiting.site, waiting.at, effects);
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
                let drop =
                    ShapeDrop { service, shape: shape.shape.clone(), for_ms: attack::MEASURE_MS, reason };
                self.ask(at, Effect::ShapeDrop(drop), effects);
            }
        }
    }

    /// Notes on the flow what became of this packet.
    fn mark(&mut self, waiting: &Waiting) {
        let attacked = self.sites[waiting.site as usize].attack.is_some() && waiting.site != NODE;
        let Some(flow) = self.flows.get_mut(waiting.flow) else { return };
        let verdict = if attacked && flow.standing.now() == Standing::Stranger {
            Verdict::Limit
        } else if flow.tally.hostile > 0 {
            Verdict::Watch
        } else {
            Verdict::Pass
        };
        flow.verdict = flow.verdict.max(verdict);
    }
}

/// The bit of a reason in what an attack has seen; the host's reasons have none.
fn bit_of(why: Why) -> u16 {
    match why {
        Why::Plugin(reason) => reason,
        Why::Host(HostReason::WrongTransport) => 0,
        Why::Host(_) => u16::MAX,
    }
}

/// Whether the server has been answering this flow for a while. A forger can have that too, so it is no standing;
/// it only keeps the players of a game that nobody understands from looking like a crowd of strangers.
fn is_answered(flow: &Flow, at: Instant) -> bool {
    flow.from_client >= ANSWERED_PACKETS
        && flow.from_server >= flow.from_client / 8
        && at.millis_since(flow.began) >= ANSWERED_AGE_MS
}

/// While too many real clients open connections, a completed handshake alone is no ticket: who came with the
/// attack must play first.
fn may_have_lane(flow: &Flow, attack: Option<&Attack>) -> bool {
    let Some(attack) = attack else { return true };
    let by_clients = matches!(attack.dim, Dim::Opening | Dim::Query | Dim::Join | Dim::Excess);
    !by_clients || flow.standing.now() > Standing::Proven || flow.began < attack.began
}
