//! What happens with an opinion: counters, standing, the gauge of the service, and measures.

use std::sync::Arc;

use super::Engine;
use crate::count::Loss;
use crate::effect::Effects;
use crate::flow::Flow;
use crate::flow::Verdict;
use crate::flow::count_reason;
use crate::flow::second_of;
use crate::incident::vector::Vector;
use crate::judge;
use crate::judge::Judgement;
use crate::judge::Opinion;
use crate::judge::Why;
use crate::judge::lane;
use crate::judge::level;
use crate::judge::level::Dim;
use crate::manifest::Certainty;
use crate::manifest::Class;
use crate::outbox::Waiting;
use crate::service::Transport;
use crate::site::NODE;
use crate::standing;
use crate::standing::Standing;
use crate::table::Ref;
use crate::time::Instant;

/// A flow that the server answers for so long, and with so many packets, is counted apart from the crowd.
const ANSWERED_AGE_MS: u64 = 2_000;
const ANSWERED_PACKETS: u32 = 10;
/// Or from so many packets of both sides on, if the server says at least half as much as the client.
const EARLY_PACKETS: u32 = 3;
/// What one served flow sends beyond so many packets a second is nobody's play, and counts with the crowd. (Whole
/// flows are sampled: what stands for many flows is not itself that fast.)
const SERVED_PPS: u32 = 500;
/// And a player's beyond so many is too much of one.
const SETTLED_PPS: u32 = 2_000;

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
            if let Some(entry) = self.flows.get(waiting.flow) {
                let source = entry.key.client;
                self.tell_first_hostile(waiting.site, source, waiting.at, opinion, effects);
            }
            self.hostile(waiting, opinion, effects);
        }
        self.maybe_begin(waiting, why.map(|(why, _)| why), effects);
        self.mark(waiting);
        self.tap_judged(waiting, judgement, why.map(|(why, _)| why), standing);
    }

    /// Whether this packet is one too many of its kind in this second, of its source or of the node.
    fn excess(&mut self, waiting: &Waiting, opinion: &Opinion, standing: Standing) -> bool {
        if let Some(source) = self.sources.get_mut(waiting.source) {
            source.asks_for(opinion.class);
        }
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
        let peace = site.attack.is_none();
        site.gauge.roll(waiting.at, peace);
        site.mix.roll(waiting.at, peace && site.gauge.learns(waiting.at));
        site.gauge.add(Dim::All, waiting.weight);
        if waiting.vector == Vector::RST {
            site.gauge.add(Dim::Resets, waiting.weight);
        }
        let flow = self.flows.get_mut(waiting.flow);
        let (served, in_second) = flow
            .map_or((Served::No, 0), |flow| (served(flow, waiting.at), flow.in_second() / waiting.weight));
        if let Served::First = served {
            site.gauge.serves(waiting.weight);
        }
        let excess = excess || (standing >= Standing::Settled && in_second > SETTLED_PPS);
        if excess {
            site.gauge.add(Dim::Excess, waiting.weight);
        }
        if standing >= Standing::Settled && !excess {
            return;
        }
        let moderate = served != Served::No && in_second <= SERVED_PPS;
        let hostile = judgement == Judgement::Hostile && !opinion.is_rate();
        if standing < Standing::Settled {
            if hostile {
                site.gauge.add(Dim::Hostile, waiting.weight);
            } else if let Some(dim) = level::of_class(opinion.class)
                && !(moderate && matches!(dim, Dim::Play | Dim::Control))
            {
                site.gauge.add(dim, waiting.weight);
            }
            if waiting.syn {
                site.gauge.add(Dim::Syn, waiting.weight);
            }
            if waiting.site != NODE && (standing == Standing::Stranger || !moderate) {
                site.gauge.add(if moderate { Dim::Answered } else { Dim::Crowd }, waiting.weight);
            }
        }
        let asks = matches!(opinion.class, Class::Opening | Class::Query | Class::Join);
        let strange = if waiting.site == NODE { opinion.why.is_some() } else { !moderate };
        if hostile || excess || asks || strange {
            site.mix.add(waiting.vector.of_class(opinion.class), waiting.start, waiting.weight);
            if !peace {
                self.sketch(waiting, opinion, standing);
            }
        }
    }

    /// Counts the packet's source and reason in the incident of its service.
    fn sketch(&mut self, waiting: &Waiting, opinion: &Opinion, standing: Standing) {
        let attack = self.sites[waiting.site as usize].attack.as_ref();
        let Some(place) = attack.and_then(|attack| attack.place) else { return };
        let source = self.flows.get(waiting.flow).map_or(self.flowless, |entry| entry.key.client);
        let hash = self.key.hash([source.low, source.high]);
        let Some(open) = self.desk.get_mut(place) else { return };
        open.count_source(hash);
        if !open.is_due() {
            return;
        }
        let reason = opinion.why.map(|(why, _)| self.reason_name(waiting.site, why));
        let Some(open) = self.desk.get_mut(place) else { return };
        open.sketch(hash, source, standing >= Standing::Proven, waiting.weight);
        if let Some(reason) = reason {
            open.reason(&reason, waiting.vector.of_class(opinion.class), waiting.weight);
        }
    }

    /// Lifts a flow to the standing that it has earned, and asks for its lane.
    pub(super) fn lift(&mut self, at: Ref, when: Instant, effects: &mut Effects) {
        let Some(flow) = self.flows.get_mut(at) else { return };
        let site = &mut self.sites[flow.site as usize];
        let (number, was, mut joined, mut crowded) = (flow.site, flow.standing.now(), None, false);
        let mut earned = standing::earned(flow, when.millis_since(flow.began));
        if earned == Standing::Settled && flow.standing.now() < Standing::Settled && !site.may_settle() {
            self.ledger.lost(Loss::SettledFull);
            earned = flow.standing.now();
        }
        if earned > flow.standing.now() {
            if flow.standing.now() == Standing::Stranger {
                if let Some(attack) = &mut site.attack {
                    joined = attack.place;
                    crowded = attack.proves(second_of(when));
                }
                if flow.is_tcp() && flow.first_seen {
                    site.mix.completed(Vector::SYN);
                }
            }
            flow.standing.set(earned, self.epoch);
        }
        if let Some(open) = joined.and_then(|place| self.desk.get_mut(place)) {
            open.record.joined += 1;
        }
        let late = !flow.in_lanes && lane::deserves(flow, when);
        if earned > flow.counted && (late || flow.in_lanes) {
            self.enter(at);
        }
        if late {
            self.open_lane(at, when, effects);
        } else if earned > was && was >= Standing::Proven {
            self.ask_lane(at, when, false, effects);
        }
        if crowded {
            self.ask_lanes_of(number, when, effects);
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

/// Whether the server serves a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    No,
    /// It does, and this is the flow's first packet in this second.
    First,
    Yes,
}

/// Whether the server has been answering this flow for a while, or does so from its first packets on as servers answer
/// players: about as much as it gets. A forger can have the first too, so it is no standing; it only keeps the players
/// of a game that nobody understands from looking like a crowd of strangers.
fn served(flow: &mut Flow, at: Instant) -> Served {
    let lately = flow.from_client >= EARLY_PACKETS
        && flow.from_server >= EARLY_PACKETS
        && flow.from_server >= flow.from_client / 2;
    let long = flow.from_client >= ANSWERED_PACKETS
        && flow.from_server >= flow.from_client / 8
        && at.millis_since(flow.began) >= ANSWERED_AGE_MS;
    if !lately && !long && flow.standing.now() < Standing::Proven {
        return Served::No;
    }
    if std::mem::replace(&mut flow.served, true) { Served::Yes } else { Served::First }
}
