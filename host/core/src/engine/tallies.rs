//! Exact counting: what the kernel counted, the rates that follow, what is learnt from them and kept over a restart.

use std::sync::Arc;

use super::Engine;
use crate::baseline::Learnt;
use crate::baseline::LearntService;
use crate::baseline::Meter;
use crate::baseline::Reading;
use crate::baseline::grown;
use crate::effect::Effects;
use crate::escort::Escort;
use crate::incident::Incident;
use crate::incident::vector::Vector;
use crate::judge::change;
use crate::judge::change::Change;
use crate::judge::level::Dim;
use crate::limits;
use crate::service::ServiceKey;
use crate::site::NODE;
use crate::site::Site;
use crate::tally::Amount;
use crate::tally::ServiceTally;
use crate::tally::Tallies;
use crate::time::Instant;
use crate::wire::Address;

/// An operator's own limit on everything that comes to a service. It stands in for what was learnt there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedLimit {
    /// From so many packets a second on it is an attack.
    pub packets_per_second: Option<u32>,
    /// From so many bits a second on it is an attack.
    pub bits_per_second: Option<u64>,
}

/// What an attack adds at least, in packets and in bits a second.
const LEAST_PPS: u64 = 200;
const LEAST_BPS: u64 = 20_000_000;
/// What counts as normal where nothing was learnt: three times as much is an attack.
const UNLEARNT_PPS: u64 = 650;
const UNLEARNT_BPS: u64 = 30_000_000;
/// Fewer sampled packets in the window say nothing about whose the rest is.
const ENOUGH_SAMPLES: u32 = 20;
/// Samples come a little later than counters. If none has come for so long, none will.
const BLIND_MICROS: u64 = 300_000;
/// Fewer served flows are no measure of how busy a service is.
const ENOUGH_SERVED: u32 = 3;
/// What a served flow may send where nothing was learnt, in packets a second.
const SERVED_PPS: u64 = 200;
/// Drops beyond so many packets a second mean that what we fight is still there.
const DROPS_PPS: u64 = 50;

/// Fragments to one address, as the kernel counts them.
#[derive(Clone, Debug, Default)]
pub(super) struct Fragments {
    meter: Meter,
    change: Change,
    pps: u64,
}

impl Engine {
    /// What the kernel had counted at `at`, every 50 to 100 ms. Elapsed time divides, so a caller who was stalled
    /// invents no flood; a counter that is smaller than before began again at 0. Time comes to `at`, as by
    /// [`Self::tick`].
    pub fn tallies(&mut self, at: Instant, counted: &Tallies, effects: &mut Effects) {
        self.tick(at, effects);
        for (key, tally) in &counted.services {
            let site = self.places.exact(Address::from(key.ip), key.port, key.transport);
            if let Some(site) = site {
                self.service_tally(site, at, tally, effects);
            }
        }
        for (address, amount) in &counted.fragments {
            self.fragment_tally(*address, at, *amount, effects);
        }
        if !counted.fragments.is_empty() {
            let pps = self.fragments.values().map(|fragments| fragments.pps).max().unwrap_or(0);
            let node = &mut self.sites[NODE as usize];
            node.counted_calm = pps < LEAST_PPS;
            node.counted = Some((at, ServiceTally::default()));
        }
        self.weigh_answers(at, counted, effects);
    }

    fn service_tally(&mut self, number: u32, at: Instant, tally: &ServiceTally, effects: &mut Effects) {
        let site = &mut self.sites[number as usize];
        let before = site.counted.replace((at, *tally));
        let Some((_, before)) = before else {
            site.meter.begin_again();
            site.meter.read(at, tally.seen);
            return;
        };
        let Some(reading) = site.meter.read(at, tally.seen) else { return };
        let docker_user = grown(tally.docker_user, before.docker_user);
        let early = grown(tally.early, before.early);
        let lane = grown(tally.lane, before.lane);
        match &site.attack {
            Some(_) => site.escort.counted(lane.packets, docker_user.packets + early.packets),
            None => site.escort = Escort::default(),
        }
        let place = site.attack.as_ref().and_then(|attack| attack.place);
        if let Some(open) = place.and_then(|place| self.desk.get_mut(place)) {
            add(&mut open.record.dropped_docker_user, docker_user);
            add(&mut open.record.dropped_early, early);
        }
        let dropped = per_second(docker_user, &reading).saturating_add(per_second(early, &reading));
        let exact = Exact { lane: per_second(lane, &reading), dropped };
        self.rated(number, at, &reading, Some(exact), effects);
    }

    /// A site's rate is known anew: is it an attack, is one over, and what is to be learnt? In this order: what is
    /// not normal must not be learnt.
    pub(super) fn rated(
        &mut self,
        number: u32,
        at: Instant,
        reading: &Reading,
        exact: Option<Exact>,
        effects: &mut Effects,
    ) {
        let hour = self.hour(at);
        let site = &mut self.sites[number as usize];
        let suspicion = site.suspects(reading, exact, hour);
        if let Some(attack) = &site.attack {
            if let Some(open) = attack.place.and_then(|place| self.desk.get_mut(place)) {
                add(&mut open.record.seen, reading.came);
            }
            if number != NODE {
                let dropped = exact.map_or(0, |exact| site.fought(exact.dropped));
                site.counted_calm = suspicion.calm && dropped <= DROPS_PPS;
            }
        } else if let Some(reason) = suspicion.reason.filter(|_| number != NODE) {
            site.counted_calm = false;
            self.begin(number, at, Dim::Crowd, reason.into(), None, effects);
        } else if let Some((rate, seconds)) = reading.seconds
            && site.may_learn(at)
        {
            let served = site.gauge.served();
            site.baseline.learn(rate, seconds, hour, served);
            site.gauge.per_served_pps = site.baseline.per_player_pps();
        }
    }

    fn fragment_tally(
        &mut self,
        address: std::net::IpAddr,
        at: Instant,
        amount: Amount,
        effects: &mut Effects,
    ) {
        if self.fragments.len() >= limits::FRAGMENT_ADDRESSES && !self.fragments.contains_key(&address) {
            return;
        }
        let fragments = self.fragments.entry(address).or_default();
        let Some(reading) = fragments.meter.read(at, amount) else { return };
        fragments.pps = reading.rate.pps;
        let flood = fragments.change.sees(reading.rate.pps, reading.micros, 0, LEAST_PPS);
        let attack = &self.sites[NODE as usize].attack;
        let place = attack.as_ref().and_then(|attack| attack.place);
        if let Some(open) = place.and_then(|place| self.desk.get_mut(place)) {
            open.above.packets[Vector::FRAGMENTS.get()] += reading.came.packets;
        } else if flood && attack.is_none() {
            self.begin(NODE, at, Dim::Excess, "host/fragments".into(), None, effects);
        }
    }

    /// The hour of the day, from 0 to 23, in UTC.
    pub(super) fn hour(&self, at: Instant) -> u8 {
        const HOUR_MICROS: i64 = 3_600_000_000;
        let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
        let wall = self.config.wall_clock_micros_at_start.saturating_add(micros);
        wall.div_euclid(HOUR_MICROS).rem_euclid(24) as u8
    }

    /// What is worth keeping over a restart. Cheap enough for once a minute, not for once a packet.
    pub fn learnt(&self) -> Learnt {
        let services = self.sites.iter().skip(1).filter(|site| !site.forgotten).map(Site::keep);
        let mut services: Vec<_> = services.chain(self.learnt.values().cloned()).collect();
        services.sort_by_key(|kept| kept.service);
        Learnt { last_incident: self.desk.last, services }
    }

    /// What an earlier engine had learnt. Services that are not known yet get it when they appear.
    pub fn restore(&mut self, learnt: Learnt) {
        self.desk.last = self.desk.last.max(learnt.last_incident);
        let hour = self.hour(self.now);
        for kept in learnt.services {
            match self.sites.iter_mut().skip(1).find(|site| site.key() == kept.service && !site.forgotten) {
                Some(site) => site.restore(&kept, hour),
                None => self.keep_learnt(kept),
            }
        }
    }

    /// Keeps what is known of a service that is not there.
    pub(super) fn keep_learnt(&mut self, kept: LearntService) {
        if self.learnt.len() < limits::LEARNT_SERVICES {
            self.learnt.insert(kept.service, kept);
        }
    }

    /// The incidents that are open now, in the order of their numbers.
    pub fn incidents(&self) -> Vec<Arc<Incident>> {
        let mut open: Vec<_> = self.desk.iter().map(|(_, open)| Arc::new(open.record.clone())).collect();
        open.sort_by_key(|record| record.id);
        open
    }

    /// What is full on this node so that no rule can help, as one clause (`the link is full`), or nothing any more.
    /// Open incidents say so and become critical.
    pub fn set_full(&mut self, what: Option<&str>) {
        for place in 0..self.desk.places() {
            if let Some(open) = self.desk.get_mut(place) {
                open.full = what.map(Arc::from);
            }
        }
    }

    /// Sets what the wall clock (Unix time in microseconds) says at [`Instant::START`], so that the hour of the day
    /// is known. May be called again whenever the wall clock was set; nothing but the hour depends on it.
    pub fn set_wall_clock(&mut self, micros_at_start: i64) {
        self.config.wall_clock_micros_at_start = micros_at_start;
    }

    /// The operator's own limits, all of them; earlier ones are forgotten.
    pub fn set_fixed_limits(&mut self, limits: Vec<(ServiceKey, FixedLimit)>) {
        self.fixed_limits = limits.into_iter().collect();
        for site in &mut self.sites {
            site.set_fixed(self.fixed_limits.get(&site.key()).copied());
        }
    }
}

/// What only the kernel knows of a reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exact {
    /// Packets a second in players' lanes.
    lane: u64,
    /// Packets a second that are dropped.
    dropped: u64,
}

/// What a reading is held against, and what came of it.
struct Suspicion {
    /// Nothing is left of an attack.
    calm: bool,
    /// Why it is one.
    reason: Option<&'static str>,
}

impl Site {
    /// Holds a reading against what is normal.
    fn suspects(&mut self, reading: &Reading, exact: Option<Exact>, hour: u8) -> Suspicion {
        let rate = reading.rate;
        let (strangers, all) = self.gauge.strangers();
        let seen = all >= ENOUGH_SAMPLES;
        // As long as samples tell of most packets, the levels that read them are the finer sense.
        let lost = rate.pps > 2 * self.gauge.pps(Dim::All);
        self.blind_micros =
            if seen || rate.pps < LEAST_PPS / 2 { 0 } else { self.blind_micros + reading.micros };
        let lane = exact.map_or(0, |exact| exact.lane);
        let part = |rate: u64| match seen {
            true => (u128::from(rate) * u128::from(strangers) / u128::from(all.max(1))) as u64,
            // Without samples nobody knows whose it is; what passed in lanes was players'.
            false => rate.saturating_sub(rate.min(lane)),
        };
        let normal = self.baseline.normal(hour);
        let crowd = u64::from(self.gauge.normal_of(Dim::Crowd));
        let norm_pps = match normal {
            _ if seen && self.gauge.is_learnt() => crowd,
            Some(normal) if !seen && self.blind_micros > BLIND_MICROS => normal.pps,
            // A burst of which no sample has come yet is no attack.
            Some(normal) if !seen => normal.pps.max(UNLEARNT_PPS),
            _ => UNLEARNT_PPS,
        };
        let norm_bps = normal.map_or(UNLEARNT_BPS, |normal| normal.bps);
        if let Some(limit) = self.fixed {
            let over = |limit: Option<u64>, rate: u64| limit.is_some_and(|limit| rate >= limit);
            let over = over(limit.packets_per_second.map(u64::from), rate.pps)
                || over(limit.bits_per_second, rate.bps);
            return Suspicion { calm: !over, reason: over.then_some("host/operators-limit") };
        }
        let (pps, bps) = (part(rate.pps), part(rate.bps));
        let few =
            pps <= change::reference(norm_pps, LEAST_PPS) && bps <= change::reference(norm_bps, LEAST_BPS);
        let calm = few || self.is_players_load(rate.pps);
        let mut suspicion = Suspicion { calm, reason: None };
        if self.attack.is_some() || self.gauge.in_grace() || (calm && !few) {
            return suspicion;
        }
        let (change, bits) = (&mut self.packets_change, &mut self.bits_change);
        let pps = if lost { pps } else { 0 };
        if change.sees(pps, reading.micros, norm_pps, LEAST_PPS) {
            suspicion.reason = Some("host/too-many-packets");
        } else if bits.sees(bps, reading.micros, norm_bps, LEAST_BPS) {
            suspicion.reason = Some("host/too-many-bits");
        }
        suspicion
    }

    /// Of so many drops a second, those of what we fight. Bots that went away answer with resets, for minutes, what the
    /// server still sends them; so few that they are no flood by themselves are no reason to go on.
    fn fought(&self, dropped: u64) -> u64 {
        let (resets, all) = self.gauge.resets();
        dropped - dropped.saturating_mul(u64::from(resets)) / u64::from(all.max(1))
    }

    /// Whether what it sees now is normal, as far as anybody knows.
    fn may_learn(&self, at: Instant) -> bool {
        let rising = self.packets_change.is_rising() || self.bits_change.is_rising();
        self.gauge.learns(at) && !self.gauge.in_grace() && !rising
    }

    /// Whether there are as many players as packets: a launch day is no attack.
    fn is_players_load(&self, pps: u64) -> bool {
        let served = u64::from(self.gauge.served());
        let each = self.baseline.per_player_pps().map_or(SERVED_PPS, |pps| u64::from(pps) * 2);
        served >= u64::from(ENOUGH_SERVED) && pps <= served * each
    }
}

fn add(sum: &mut Amount, more: Amount) {
    sum.packets = sum.packets.saturating_add(more.packets);
    sum.bytes = sum.bytes.saturating_add(more.bytes);
}

fn per_second(amount: Amount, reading: &Reading) -> u64 {
    amount.packets.saturating_mul(1_000_000) / reading.micros
}
