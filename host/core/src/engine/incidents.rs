//! The attack on a service as people are told of it: opened, changed, closed.

use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use super::measures::bit_of;
use crate::effect::Effect;
use crate::effect::Effects;
use crate::effect::Notice;
use crate::incident::Incident;
use crate::incident::Target;
use crate::judge::Opinion;
use crate::judge::Why;
use crate::judge::attack::Attack;
use crate::judge::level::Dim;
use crate::manifest::Certainty;
use crate::outbox::Waiting;
use crate::site::NODE;
use crate::time::Instant;
use crate::wire::Address;

impl Engine {
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

    pub(super) fn maybe_begin(&mut self, waiting: &Waiting, why: Option<Why>, effects: &mut Effects) {
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
        let record = self.record(waiting, Arc::clone(&reason), pps);
        let site = &mut self.sites[waiting.site as usize];
        let mut attack = Attack::begin(waiting.at, dim, Arc::clone(&reason), &site.gauge);
        if let Some(why) = why.filter(|_| dim == Dim::Hostile) {
            attack.sees(bit_of(why));
        }
        attack.incident = record;
        let opened = Notice::IncidentOpened(Arc::clone(&attack.incident));
        site.attack = Some(attack);
        self.ask(waiting.at, Effect::Notice(opened), effects);
        self.ask_measures(waiting.site, waiting.at, effects);
        self.ask_lanes_of(waiting.site, waiting.at, effects);
    }

    /// The first record of an incident.
    fn record(&mut self, waiting: &Waiting, reason: Arc<str>, pps: u64) -> Arc<Incident> {
        self.incidents += 1;
        let site = &self.sites[waiting.site as usize];
        Arc::new(Incident {
            id: self.incidents,
            target: if waiting.site == NODE { Target::Node } else { Target::Service(site.key()) },
            server: Arc::clone(&site.service.server),
            game: Arc::clone(&site.service.game),
            opened_at: waiting.at,
            changed_at: waiting.at,
            says: Arc::clone(&reason),
            reason,
            peak_pps: pps,
            normal_pps: u64::from(site.gauge.normal_pps()),
            players_before: site.settled,
            players: site.settled,
            ..Incident::default()
        })
    }
}
