//! What is kept of judged packets: genuine ones in peace, strangers' under attack. Most packets are only looked at.

use super::Engine;
use crate::count::Loss;
use crate::effect::Effects;
use crate::found::Sample;
use crate::judge::Judgement;
use crate::judge::Opinion;
use crate::manifest::Class;
use crate::outbox::Waiting;
use crate::question::PacketRow;
use crate::retained::Head;
use crate::retained::Pending;
use crate::retained::Retained;
use crate::service::ServiceKey;
use crate::service::Transport;
use crate::site::NODE;
use crate::standing::Standing;
use crate::time::Instant;

impl Engine {
    /// One client's packet has been judged.
    pub(super) fn keep(
        &mut self,
        waiting: &Waiting,
        opinion: &Opinion,
        row: Option<&PacketRow>,
        payloads: &[u8],
        effects: &mut Effects,
    ) {
        let Some(row) = row.filter(|_| !waiting.reply && waiting.site != NODE) else { return };
        let Some(entry) = self.flows.get(waiting.flow) else { return };
        let (key, flow) = (&entry.key, &entry.value);
        let standing = flow.standing.now();
        let first = row.number == 0 && flow.transport == Transport::Udp && opinion.class == Class::None;
        let class = if waiting.syn || first { Class::Opening } else { opinion.class };
        let head = || {
            let payload = payloads.get(row.payload_start as usize..).unwrap_or_default();
            let payload = payload.get(..row.payload_captured as usize).unwrap_or_default();
            Head::of(row, payload, key, class)
        };
        let hostile = opinion.judgement == Judgement::Hostile && !opinion.is_rate();
        let site = &mut self.sites[waiting.site as usize];
        let began = site.attack.as_ref().map(|attack| attack.began);
        let before = began.is_none_or(|began| flow.began < began);
        let question = matches!(class, Class::Opening | Class::Query);
        let peaceful = before && standing >= Standing::Proven && !hostile && !flow.mostly_hostile();
        // Who has only shown that he is there could otherwise put here what he is going to flood with.
        let trusted = peaceful
            && (question || standing >= Standing::Settled || opinion.judgement == Judgement::Genuine);
        if let Some(answer) = site.answer.as_mut().filter(|_| began.is_some()) {
            if standing >= Standing::Settled && !flow.mostly_hostile() || peaceful {
                if answer.tries() {
                    answer.player(&head());
                }
            } else if answer.samples.as_mut().is_some_and(|samples| samples.wants(waiting.at)) {
                answer.stranger(Sample { head: head(), proven: standing >= Standing::Proven, hostile });
            }
        }
        let asks = matches!(opinion.class, Class::Opening | Class::Query | Class::Join);
        let excessive = asks && began.is_some() && standing == Standing::Proven;
        let service = site.key();
        if trusted {
            if question || Retained::samples(waiting.flow, flow.from_client) {
                let head = head();
                if !self.retained.keep(waiting.flow, service, head) {
                    self.ledger.lost(Loss::RetainedFull);
                }
            }
        } else if question && began.is_none() && standing == Standing::Stranger && !hostile {
            let pending = Pending { flow: waiting.flow, service, at: waiting.at, head: head() };
            let flows = &self.flows;
            self.retained.await_proof(pending, |flow| {
                flows.get(flow).is_some_and(|entry| entry.value.standing.now() >= Standing::Proven)
            });
        }
        if excessive {
            self.maybe_lease_for_excess(waiting, opinion, effects);
        }
    }

    /// Openings of those who are proven by now are kept, and those who are gone make room.
    pub(super) fn keep_proven(&mut self, at: Instant) {
        let flows = &self.flows;
        self.retained.promote(at, |flow| {
            flows.get(flow).is_some_and(|entry| entry.value.standing.now() >= Standing::Proven)
        });
        let services = &self.services;
        let serves = |key: &ServiceKey| services.find(key).is_some();
        self.retained.forget(|flow| flows.get(flow).is_some(), serves);
    }
}
