//! The attack on a service as people are told of it: opened, changed, closed.

use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use super::measures::bit_of;
use crate::effect::Effect;
use crate::effect::Effects;
use crate::effect::Notice;
use crate::incident::Incident;
use crate::incident::MeasureTaken;
use crate::incident::Target;
use crate::judge::Opinion;
use crate::judge::Why;
use crate::judge::attack::Attack;
use crate::judge::level::Dim;
use crate::limits;
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

    /// Notes in the incident of a site that a measure was taken, as [`MeasureTaken::measure`] names it. Noting one that
    /// stands adds what is new in `because`. Does nothing where no incident is open.
    pub(super) fn note_measure(
        &mut self,
        site: u32,
        measure: &str,
        reason: &Arc<str>,
        since: Instant,
        because: &[Arc<str>],
    ) {
        let Some(record) = self.record_of(site) else { return };
        let at = standing(record, measure).unwrap_or(record.measures.len());
        if at >= limits::INCIDENT_MEASURES {
            return;
        }
        if at == record.measures.len() {
            let (measure, reason) = (measure.into(), Arc::clone(reason));
            record.measures.push(MeasureTaken { measure, reason, since, until: None, because: Vec::new() });
        }
        let taken = &mut record.measures[at];
        for why in because {
            add_why(taken, why);
        }
    }

    /// Notes that a measure was taken back, and why if there is something to say.
    pub(super) fn end_measure(&mut self, site: u32, measure: &str, at: Instant, because: Option<Arc<str>>) {
        let Some(record) = self.record_of(site) else { return };
        let Some(known) = standing(record, measure) else { return };
        let taken = &mut record.measures[known];
        taken.until = Some(at);
        if let Some(why) = because {
            add_why(taken, &why);
        }
    }

    /// The record of the incident at a site.
    fn record_of(&mut self, site: u32) -> Option<&mut Incident> {
        let attack = self.sites.get_mut(site as usize)?.attack.as_mut()?;
        Some(Arc::make_mut(&mut attack.incident))
    }
}

/// Where a measure that stands is noted.
fn standing(record: &Incident, measure: &str) -> Option<usize> {
    record.measures.iter().position(|taken| &*taken.measure == measure && taken.until.is_none())
}

fn add_why(taken: &mut MeasureTaken, why: &Arc<str>) {
    if taken.because.len() < limits::INCIDENT_BECAUSE && !taken.because.contains(why) {
        taken.because.push(Arc::clone(why));
    }
}
