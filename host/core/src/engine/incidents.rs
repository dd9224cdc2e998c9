//! The attack on a service as people are told of it: opened, changed, closed.

use std::net::IpAddr;
use std::sync::Arc;

use super::Engine;
use super::measures::bit_of;
use crate::count::Loss;
use crate::effect::Effect;
use crate::effect::Effects;
use crate::effect::Notice;
use crate::incident::Family;
use crate::incident::Incident;
use crate::incident::MeasureTaken;
use crate::incident::Target;
use crate::incident::mix::Above;
use crate::incident::open::Open;
use crate::judge::Opinion;
use crate::judge::Why;
use crate::judge::attack::Attack;
use crate::judge::level::Dim;
use crate::limits;
use crate::manifest::Certainty;
use crate::outbox::Waiting;
use crate::service::Judging;
use crate::site::NODE;
use crate::time::Instant;
use crate::wire::Address;

/// Attacks of one kind on several services that begin within so long are one.
const SAME_MOMENT_MS: u64 = 2_000;
/// The first thing said of a measure at a service in mode `observe`.
const ONLY_COUNTED: &str = "only counted: mode observe drops and limits nothing";

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
            Some(why) if dim == Dim::Hostile || waiting.site == NODE => self.reason_name(waiting.site, why),
            _ => level.into(),
        };
        let why = why.filter(|_| dim == Dim::Hostile);
        self.begin(waiting.site, waiting.at, dim, reason, why, effects);
    }

    /// An attack on a site begins: its incident opens, or it joins one that is open.
    pub(super) fn begin(
        &mut self,
        site: u32,
        at: Instant,
        dim: Dim,
        reason: Arc<str>,
        why: Option<Why>,
        effects: &mut Effects,
    ) {
        let state = &mut self.sites[site as usize];
        let spoken = state.answers || state.service.judging != Judging::WrongTransport;
        let mut attack = Attack::begin(at, dim, Arc::clone(&reason), &state.gauge, spoken);
        if let Some(why) = why {
            attack.sees(bit_of(why));
        }
        state.attack = Some(attack);
        let place = self.incident_for(site, at, dim, reason, effects);
        if place.is_none() {
            self.ledger.lost(Loss::IncidentsFull);
        }
        if let Some(attack) = &mut self.sites[site as usize].attack {
            attack.place = place;
        }
        self.ask_measures(site, at, effects);
        self.ask_lanes_of(site, at, effects);
    }

    /// The place of the incident that this attack belongs to; people are told if it is a new one.
    fn incident_for(
        &mut self,
        site: u32,
        at: Instant,
        dim: Dim,
        reason: Arc<str>,
        effects: &mut Effects,
    ) -> Option<usize> {
        let mut above = Above::default();
        self.sites[site as usize].mix.above(true, &mut above);
        let (family, _) = above.named(&|_, _| Arc::clone(&reason));
        if let Some(place) = self.joins(site, family, at) {
            self.join(place, site);
            return Some(place);
        }
        let record = self.record(site, at, dim, reason, family);
        let place = self.desk.open(record, site)?;
        let (nobody, players) = (site == NODE, self.sites[site as usize].settled);
        let (protocol, many_ports) = (self.nobody.protocol, nobody && self.nobody.many_ports());
        let open = self.desk.get_mut(place)?;
        open.above = above;
        (open.protocol, open.many_ports) = (protocol, many_ports);
        open.record.players = players;
        open.name(at);
        open.told(at);
        let notice = Notice::IncidentOpened(Arc::new(open.record.clone()));
        self.ask(at, Effect::Notice(notice), effects);
        Some(place)
    }

    /// An open incident that an attack on this site is part of: of the same server; of the same kind and moment; or at
    /// the same address, if one of the two is about no port.
    fn joins(&self, site: u32, family: Family, at: Instant) -> Option<usize> {
        let state = &self.sites[site as usize];
        let ip = if site == NODE { self.nobody.address() } else { Some(Address::from(state.key().ip)) };
        let here =
            |other: u32| other != NODE && Some(Address::from(self.sites[other as usize].key().ip)) == ip;
        let mut at_address = self.desk.iter().filter(|(_, open)| open.sites.iter().any(|other| here(*other)));
        let only_here = match (at_address.next(), at_address.next()) {
            (Some((place, _)), None) => Some(place),
            _ => None,
        };
        let joins = |place: usize, open: &Open| {
            let moment = at.millis_since(open.record.opened_at) <= SAME_MOMENT_MS;
            let services = site != NODE && open.sites.first().is_some_and(|first| *first != NODE);
            let server = |other: &u32| {
                *other == site
                    || (services && self.sites[*other as usize].service.server == state.service.server)
            };
            let nobodys = open.sites.first() == Some(&NODE)
                && matches!(open.record.target, Target::Address(target) if Some(Address::from(target)) == ip);
            open.sites.iter().any(server)
                || (services && moment && family != Family::Unknown && open.record.family == family)
                || (site == NODE && ip.is_some() && only_here == Some(place))
                || (site != NODE && moment && nobodys)
        };
        self.desk.iter().find(|(place, open)| joins(*place, open)).map(|(place, _)| place)
    }

    fn join(&mut self, place: usize, site: u32) {
        let key = self.sites[site as usize].key();
        let Some(open) = self.desk.get_mut(place) else { return };
        if open.sites.contains(&site) {
            return;
        }
        open.sites.push(site);
        let services =
            open.sites.iter().filter(|site| **site != NODE).map(|site| &self.sites[*site as usize]);
        let mut places: Vec<_> = services.map(|site| (site.key().ip, site.key().port)).collect();
        places.sort_unstable();
        places.dedup();
        open.spread = places.len();
        let record = &mut open.record;
        record.players_before += self.sites[site as usize].settled;
        if site == NODE {
            return;
        }
        if record.also.len() < limits::INCIDENT_ALSO {
            record.also.push(key);
        }
        let services = open.sites.iter().filter(|site| **site != NODE);
        let mut servers = services.map(|site| &self.sites[*site as usize].service.server);
        let first = servers.next();
        if servers.any(|server| Some(server) != first) && open.sites.len() > 2 {
            if let Target::Service(service) = record.target {
                record.also.insert(0, service);
            }
            (record.target, record.server, record.game) = (Target::Node, "node".into(), "unknown".into());
        }
    }

    /// The first record of an incident.
    fn record(&self, site: u32, at: Instant, dim: Dim, reason: Arc<str>, family: Family) -> Incident {
        let state = &self.sites[site as usize];
        let target = match self.nobody.address() {
            _ if site != NODE => Target::Service(state.key()),
            Some(address) => Target::Address(address.into()),
            None => Target::Node,
        };
        let learnt = state.baseline.normal(self.hour(at)).map_or(0, |rate| rate.pps);
        Incident {
            target,
            server: Arc::clone(&state.service.server),
            game: Arc::clone(&state.service.game),
            opened_at: at,
            changed_at: at,
            family,
            reason,
            peak_pps: state.gauge.pps(dim).max(state.meter.rate.pps),
            normal_pps: learnt.max(u64::from(state.gauge.normal_pps())),
            players_before: state.settled,
            ..Incident::default()
        }
    }

    /// What an incident knows better after another 100 ms.
    pub(super) fn step_incidents(&mut self, at: Instant, effects: &mut Effects) {
        for place in 0..self.desk.places() {
            let Some(open) = self.desk.get(place) else { continue };
            let (mut above, sites) = (Above::default(), open.sites.clone());
            for site in self.sites_of(&sites) {
                self.sites[site as usize].mix.above(false, &mut above);
            }
            let here = || sites.iter().map(|site| &self.sites[*site as usize]);
            let (pps, bps) = here().fold((0, 0), |sum: (u64, u64), site| {
                (sum.0.saturating_add(site.meter.rate.pps), sum.1.saturating_add(site.meter.rate.bps))
            });
            let players: u32 = here().map(|site| site.settled).sum();
            let silent = here().all(|site| site.gauge.is_calm());
            let many_ports = sites.contains(&NODE) && self.nobody.many_ports();
            let protocol = self.nobody.protocol;
            let Some(open) = self.desk.get_mut(place) else { continue };
            open.above.add(&above);
            open.protocol = protocol;
            open.many_ports |= many_ports;
            open.record.players = players;
            let ends = open.second_ends(at);
            if ends {
                open.second(pps, bps);
            }
            if ends || open.is_young(at) {
                open.count_sources();
            }
            open.pulse(at, silent);
            open.name(at);
            if open.tells(at) {
                let notice = Notice::IncidentChanged(Arc::new(open.record.clone()));
                self.ask(at, Effect::Notice(notice), effects);
            }
        }
    }

    /// The sites whose packets above the norm belong to an incident: those struck, the other ports of their servers, and
    /// what comes to their address without a port.
    fn sites_of(&self, struck: &[u32]) -> Vec<u32> {
        let Some(first) = struck.iter().find(|site| **site != NODE).map(|site| &self.sites[*site as usize])
        else {
            return struck.to_vec();
        };
        let server = |site: &u32| self.sites[*site as usize].service.server == first.service.server;
        let others = (1..self.sites.len() as u32).filter(server).filter(|site| !struck.contains(site));
        let address = self.nobody.address() == Some(Address::from(first.key().ip));
        let alone = self.desk.iter().count() == 1 || struck.contains(&NODE);
        let nobodys = (address && alone && !struck.contains(&NODE)).then_some(NODE);
        struck.iter().copied().chain(others).chain(nobodys).collect()
    }

    /// An attack is over; its incident too, if it was the last one.
    pub(super) fn maybe_close(&mut self, place: Option<usize>, at: Instant, effects: &mut Effects) {
        let Some(place) = place else { return };
        let mut attacks = self.sites.iter().filter_map(|site| site.attack.as_ref());
        if attacks.any(|attack| attack.place == Some(place)) {
            return;
        }
        if let Some(open) = self.desk.get_mut(place) {
            open.count_sources();
            open.name(at);
        }
        let Some(closed) = self.desk.close(place, at) else { return };
        self.ask(at, Effect::Notice(Notice::IncidentClosed(Arc::new(closed))), effects);
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
        let counts = self.sites.get(site as usize).is_some_and(|site| self.services.only_counts(&site.key()));
        let Some(record) = self.record_of(site) else { return };
        let at = standing(record, measure).unwrap_or(record.measures.len());
        if at >= limits::INCIDENT_MEASURES {
            return;
        }
        if at == record.measures.len() {
            let (measure, reason) = (measure.into(), Arc::clone(reason));
            let because = if counts { vec![ONLY_COUNTED.into()] } else { Vec::new() };
            record.measures.push(MeasureTaken { measure, reason, since, until: None, because });
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
        let place = self.sites.get(site as usize)?.attack.as_ref()?.place?;
        Some(&mut self.desk.get_mut(place)?.record)
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
