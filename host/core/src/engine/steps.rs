//! What happens by the passing of time, in steps of 100 ms of packet time: ends of attacks, renewals, lanes.

use super::Engine;
use crate::effect::Effects;
use crate::judge::attack;
use crate::judge::lane;
use crate::limits;
use crate::site::NODE;
use crate::standing::Standing;
use crate::time::Instant;

const STEP_MS: u64 = 100;
/// A service where nothing hostile came for so long is calm again: the next one is worth telling.
const CALM_MS: u64 = 10_000;

impl Engine {
    /// Time has come to `now`. Steps do not depend on how often this is called. Time never goes back: packets that
    /// come out of order are judged at their own time, but nothing is undone for them.
    pub fn tick(&mut self, now: Instant, effects: &mut Effects) {
        if !self.started {
            self.started = true;
            self.sites.iter_mut().for_each(|site| site.gauge.begins(now));
            self.next_step = now.plus_millis(STEP_MS);
            self.epoch_end = now.plus_millis(limits::EPOCH_MS);
        }
        self.now = self.now.max(now);
        let mut steps = 0;
        while self.next_step <= self.now {
            let at = self.next_step;
            steps += 1;
            self.next_step = if steps < limits::STEPS_AFTER_SILENCE {
                at.plus_millis(STEP_MS)
            } else {
                self.now.plus_millis(STEP_MS)
            };
            self.step(at, effects);
            if self.next_step == at {
                break;
            }
        }
    }

    fn step(&mut self, at: Instant, effects: &mut Effects) {
        self.lanes_in_step = 0;
        for site in 0..self.sites.len() as u32 {
            self.step_site(site, at, effects);
            self.end_answer(site, at, effects);
        }
        self.step_incidents(at, effects);
        if at.millis_since(self.lanes_at) >= lane::RENEW_MS {
            self.lanes_at = at;
            self.renew_lanes(at, effects);
            self.keep_proven(at);
            self.forget_services();
        }
    }

    fn step_site(&mut self, number: u32, at: Instant, effects: &mut Effects) {
        let site = &mut self.sites[number as usize];
        let peace = site.attack.is_none();
        site.gauge.roll(at, peace);
        site.mix.roll(at, peace && site.gauge.learns(at));
        if let Some(reading) = site.read_estimate(at, number == NODE) {
            self.rated(number, at, &reading, None, effects);
        }
        let site = &mut self.sites[number as usize];
        if site.attack.is_none() && site.hostile_at.is_some_and(|last| at.millis_since(last) >= CALM_MS) {
            site.hostile_at = None;
        }
        let Some(attack) = &mut site.attack else { return };
        let calm = site.gauge.is_calm() && site.counted_calm;
        let pulsing =
            attack.place.and_then(|place| self.desk.get(place)).is_some_and(|o| o.record.pulses > 0);
        if attack.over(at, calm, pulsing) {
            let place = attack.place;
            site.attack = None;
            site.gauge.freeze(at);
            site.packets_change.reset();
            site.bits_change.reset();
            self.maybe_close(place, at, effects);
        } else if attack.renews(at) {
            self.ask_measures(number, at, effects);
            self.ask_lanes_of(number, at, effects);
        }
    }

    /// Renews all lanes and lets go of those who are gone. Counts anew who is present at each service.
    fn renew_lanes(&mut self, at: Instant, effects: &mut Effects) {
        self.lane_round = self.lane_round.wrapping_add(1).max(1);
        for site in &mut self.sites {
            site.settled = 0;
        }
        let mut lanes = std::mem::take(&mut self.lanes);
        lanes.retain(|flow_at| {
            let Some(flow) = self.flows.get_mut(*flow_at) else { return false };
            if lane::deserves(flow, at) {
                let settled = u32::from(flow.counted >= Standing::Settled);
                self.sites[flow.site as usize].settled += settled;
                return true;
            }
            flow.in_lanes = false;
            let (source, counted) = (flow.source, std::mem::take(&mut flow.counted));
            self.leave(source, counted);
            false
        });
        for flow_at in &lanes {
            self.ask_lane(*flow_at, at, true, effects);
        }
        self.lanes = lanes;
        for site in &mut self.sites {
            site.learn_peak(at);
        }
    }

    /// Renews the lanes of one service, and takes back those that nobody should have any more.
    pub(super) fn ask_lanes_of(&mut self, site: u32, at: Instant, effects: &mut Effects) {
        self.lane_round = self.lane_round.wrapping_add(1).max(1);
        let lanes = std::mem::take(&mut self.lanes);
        for flow_at in &lanes {
            let flow = self.flows.get(*flow_at).map(|entry| &entry.value);
            if !flow.is_some_and(|flow| flow.site == site && lane::deserves(flow, at)) {
                continue;
            }
            if self.may_have_lane(*flow_at) {
                self.ask_lane(*flow_at, at, true, effects);
            } else {
                self.end_lane(*flow_at, at, effects);
            }
        }
        self.lanes = lanes;
    }

    /// How often measures are renewed while an attack lasts, in milliseconds.
    pub const RENEW_MS: u64 = attack::RENEW_MS;
}
