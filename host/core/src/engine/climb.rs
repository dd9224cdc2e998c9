//! The answer to an attack as time passes: climbing while the kernel's counters say that too much comes through,
//! letting go of what nothing leans on, taking back what hurts, and everything at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use crate::count::Loss;
use crate::effect::BucketLimit;
use crate::effect::CrowdLimit;
use crate::effect::Effect;
use crate::effect::Effects;
use crate::effect::SecondTry;
use crate::effect::SynProxy;
use crate::found::Samples;
use crate::judge::attack;
use crate::judge::attack::Attack;
use crate::limits;
use crate::measure::Answer;
use crate::measure::Came;
use crate::measure::Climb;
use crate::measure::Ladder;
use crate::measure::Measure;
use crate::measure::Rates;
use crate::measure::Step;
use crate::measure::Traits;
use crate::measure::View;
use crate::site::NODE;
use crate::standing::Standing;
use crate::tally::ServiceTally;
use crate::tally::Tallies;
use crate::time::Instant;

/// A second try counts between these two, as TCP (RFC 6298: 1 s) and RakNet clients (0.5 to 1 s) ask again.
const SECOND_TRY_AFTER_MS: u32 = 300;
/// See there.
const SECOND_TRY_WITHIN_MS: u32 = 5_000;
/// What all of one bucket may send together: as much as the smallest lane.
const BUCKET_PPS: u32 = 100;
/// The same while attackers are real clients, who stand in the buckets themselves: enough for the first words of a newcomer,
/// who then gets a lane.
const BUCKET_OF_BOTS_PPS: u32 = 10;
/// Seconds' worth of packets at once, of the two.
const BUCKET_BURST_SECONDS: u32 = 2;
/// See there.
const BUCKET_OF_BOTS_BURST_SECONDS: u32 = 4;
/// Of Ethernet's 1,500 bytes (RFC 6691).
const SYN_PROXY_SEGMENT_BYTES: u16 = 1_460;
/// Windows of up to 8 MiB; what Linux announces by default.
const SYN_PROXY_WINDOW_SCALE: u8 = 7;
/// A measure is watched for so long after it was taken.
const WATCHED_MS: u64 = 2_000;
/// Players' traffic over so long is compared with that of the second before the measure.
const COMPARED_MS: u64 = 500;
/// Of so many steps no two say the same.
const SAID_AGAIN: usize = 64;
/// Fewer players' packets a second than this show nothing.
const LANE_PPS: u64 = 50;

impl Engine {
    /// What the kernel counted up to `at`.
    pub(super) fn weigh_answers(&mut self, at: Instant, counted: &Tallies, effects: &mut Effects) {
        let mut sums: BTreeMap<u32, ServiceTally> = BTreeMap::new();
        for (key, tally) in &counted.services {
            if let Some(site) = self.places.find(key.ip.into(), key.port, key.transport) {
                add(sums.entry(site).or_default(), tally);
            }
        }
        for (site, tally) in sums {
            self.sites[site as usize].pressure.note(at, &tally);
            self.watch(site, at, effects);
        }
    }

    fn watch(&mut self, site: u32, at: Instant, effects: &mut Effects) {
        let state = &mut self.sites[site as usize];
        let Some(rates) = state.pressure.rates() else { return };
        let (Some(_), Some(answer)) = (&state.attack, &mut state.answer) else { return };
        let lapsed = !answer.ladder.stands(Measure::CrowdLimit);
        let back = lapsed && rates.strangers() > u64::from(answer.ladder.allowed_pps);
        let due = answer.ladder.due(at, &rates);
        if back {
            self.ask_measures(site, at, effects);
        }
        self.guard_players(site, at, effects);
        self.try_found(site, at, effects);
        if due {
            self.climb(site, at, rates, effects);
            self.look_for_shapes(site, at, effects);
        }
    }

    /// The answer to the attack on a site; a new one if there is none yet.
    pub(super) fn open_answer(&mut self, site: u32, at: Instant) {
        let state = &self.sites[site as usize];
        let Some(attack) = &state.attack else { return };
        if state.answer.as_ref().is_some_and(|answer| answer.ladder.began == attack.began) {
            return;
        }
        let limit = attack.crowd_limit(state.key());
        let ladder = Ladder::new(attack.began, limit.packets_per_second, limit.burst);
        let sampled = self.sites.iter().filter(|site| site.answer.is_some()).count();
        let samples = (sampled < limits::SAMPLED_SERVICES).then(|| Samples::new(at));
        if samples.is_none() {
            self.ledger.lost(Loss::SamplesFull);
        }
        self.sites[site as usize].answer = Some(Box::new(Answer::new(ladder, samples)));
        self.keep_proven(at);
    }

    /// Climbs one rung, passing those that would not help.
    fn climb(&mut self, site: u32, at: Instant, rates: Rates, effects: &mut Effects) {
        let state = &self.sites[site as usize];
        let Some(answer) = &state.answer else { return };
        let samples = answer.samples.as_ref().map(Samples::kept).unwrap_or_default();
        let (key, traits) = (state.key(), Traits::of(samples));
        let may_proxy = self.services.may_proxy(&key);
        let bots = state.attack.as_ref().is_some_and(Attack::by_clients);
        let view = View { at, transport: key.transport, rates, traits, may_proxy, bots };
        loop {
            let Some(answer) = &mut self.sites[site as usize].answer else { return };
            match answer.ladder.next(&view) {
                Some(Climb::Take(measure, says)) => return self.take_rung(site, measure, &says, at, effects),
                Some(Climb::Pass(measure, says)) => {
                    self.note_step(site, measure, Came::Passed, at, says);
                }
                None => return,
            }
        }
    }

    fn take_rung(
        &mut self,
        site: u32,
        measure: Measure,
        says: &Arc<str>,
        at: Instant,
        effects: &mut Effects,
    ) {
        if measure == Measure::FoundShape {
            if let Some(answer) = &mut self.sites[site as usize].answer {
                answer.looked.get_or_insert((Instant::START, 0));
            }
            return;
        }
        if measure == Measure::CrowdLimit {
            if let Some(answer) = &mut self.sites[site as usize].answer {
                answer.ladder.widen();
            }
            self.note_step(site, measure, Came::Taken, at, Arc::clone(says));
        }
        if let Some(effect) = self.rung(site, measure) {
            self.take(site, measure, says, at, effect, effects);
        }
    }

    /// What a rung asks for.
    pub(super) fn rung(&self, site: u32, measure: Measure) -> Option<Effect> {
        let state = &self.sites[site as usize];
        let (service, reason) = (state.key(), Arc::clone(&state.attack.as_ref()?.reason));
        let for_ms = attack::MEASURE_MS;
        Some(match measure {
            Measure::CrowdLimit => {
                let ladder = &state.answer.as_ref()?.ladder;
                let limit = state.attack.as_ref()?.crowd_limit(service);
                let (packets_per_second, burst) = (ladder.allowed_pps, ladder.burst());
                Effect::CrowdLimit(CrowdLimit { packets_per_second, burst, ..limit })
            }
            Measure::SecondTry => Effect::SecondTry(SecondTry {
                service,
                after_ms: SECOND_TRY_AFTER_MS,
                within_ms: SECOND_TRY_WITHIN_MS,
                for_ms,
                reason,
            }),
            Measure::BucketLimit => {
                let bots = state.attack.as_ref().is_some_and(Attack::by_clients);
                let (packets_per_second, seconds) = if bots {
                    (BUCKET_OF_BOTS_PPS, BUCKET_OF_BOTS_BURST_SECONDS)
                } else {
                    (BUCKET_PPS, BUCKET_BURST_SECONDS)
                };
                let grain = state.answer.as_ref()?.ladder.grain();
                let burst = packets_per_second * seconds;
                Effect::BucketLimit(BucketLimit { service, grain, packets_per_second, burst, for_ms, reason })
            }
            Measure::SynProxy => Effect::SynProxy(SynProxy {
                service,
                segment_bytes: SYN_PROXY_SEGMENT_BYTES,
                window_scale: SYN_PROXY_WINDOW_SCALE,
                for_ms,
                reason,
            }),
            _ => return None,
        })
    }

    /// Asks for a measure, and remembers that it stands.
    pub(super) fn take(
        &mut self,
        site: u32,
        measure: Measure,
        says: &Arc<str>,
        at: Instant,
        effect: Effect,
        effects: &mut Effects,
    ) {
        let state = &mut self.sites[site as usize];
        let (Some(attack), Some(answer)) = (&state.attack, &mut state.answer) else { return };
        let reason = Arc::clone(&attack.reason);
        let ends = at.plus_millis(u64::from(attack::MEASURE_MS));
        let new = answer.ladder.asked(measure, at, ends);
        answer.stand(measure, &effect);
        if new {
            self.note_measure(site, measure.name(), &reason, at, std::slice::from_ref(says));
            self.note_step(site, measure, Came::Taken, at, Arc::clone(says));
        }
        self.ask(at, effect, effects);
    }

    /// Renews the rungs that something leans on, and notes those that ran out.
    pub(super) fn renew_rungs(&mut self, site: u32, at: Instant, effects: &mut Effects) {
        let state = &mut self.sites[site as usize];
        let Some(answer) = &mut state.answer else { return };
        let rates = state.pressure.rates();
        answer.leases.prune(at);
        let needed = |measure: Measure| {
            rates.as_ref().is_none_or(|rates| answer.ladder.needs(measure, at, rates))
                && answer.ladder.stands(measure)
        };
        let rungs = [Measure::SecondTry, Measure::BucketLimit, Measure::SynProxy];
        let due: Vec<Measure> = rungs.into_iter().filter(|measure| needed(*measure)).collect();
        let shapes = needed(Measure::FoundShape);
        let ended = answer.ladder.end(at);
        for measure in due {
            if let Some(effect) = self.rung(site, measure) {
                self.take(site, measure, &Arc::default(), at, effect, effects);
            }
        }
        if shapes {
            self.renew_found(site, at, effects);
        }
        for measure in ended {
            self.end_measure(site, measure.name(), at, Some("nothing leaned on it any more".into()));
            self.note_step(site, measure, Came::Ended, at, "nothing leaned on it any more".into());
        }
    }

    /// Whether a measure that was asked for once should be asked for again: the kernel says that something leans on
    /// it, or says nothing.
    pub(super) fn leans(&self, site: u32, measure: Measure, at: Instant) -> bool {
        let state = &self.sites[site as usize];
        let Some(answer) = &state.answer else { return true };
        let rates = state.pressure.rates();
        !answer.ladder.stands(measure) || rates.is_none_or(|rates| answer.ladder.needs(measure, at, &rates))
    }

    /// Takes a measure back if players' packets, which are still sent, no longer come through since it was taken.
    fn guard_players(&mut self, site: u32, at: Instant, effects: &mut Effects) {
        let state = &self.sites[site as usize];
        let Some(answer) = &state.answer else { return };
        let newest = answer.ladder.newest_since(at.minus_millis(WATCHED_MS));
        let Some((measure, since)) = newest.filter(|(_, since)| at.millis_since(*since) >= COMPARED_MS)
        else {
            return;
        };
        let pps = |from, to| state.pressure.lane_pps(from, to);
        let before = pps(since.minus_millis(1_000), since).unwrap_or(0);
        let now = pps(at.minus_millis(COMPARED_MS), at).unwrap_or(before);
        if before < LANE_PPS || now * 2 >= before {
            return;
        }
        // Lanes that the attackers had are no players' packets, and who left sends none.
        let sent = self.players_send(site, at);
        if now * 2 >= sent {
            return;
        }
        let says: Arc<str> =
            format!("players' packets fell from {before}/s to {now}/s while they sent {sent}/s").into();
        self.withdraw(site, measure, &says, at, effects);
    }

    /// What the players of a site usually send who were seen in the last half second and did not end their
    /// connection.
    fn players_send(&self, site: u32, at: Instant) -> u64 {
        let flows = self.lanes.iter().filter_map(|flow| self.flows.get(*flow)).map(|entry| &entry.value);
        let playing = flows.filter(|flow| {
            flow.site == site
                && flow.standing.now() >= Standing::Settled
                && !flow.tcp.gone()
                && !flow.mostly_hostile()
                && at.millis_since(flow.client_seen) < COMPARED_MS
        });
        playing.map(|flow| u64::from(flow.usual_pps)).sum()
    }

    /// Takes a measure back before its time.
    fn withdraw(&mut self, site: u32, measure: Measure, says: &Arc<str>, at: Instant, effects: &mut Effects) {
        let state = &mut self.sites[site as usize];
        let key = state.key();
        let Some(answer) = &mut state.answer else { return };
        answer.ladder.withdraw(measure);
        let mut back = answer.take_back(Some(measure));
        match measure {
            Measure::FoundShape => answer.found.clear(),
            Measure::Leases | Measure::PrefixLeases => {
                answer.ladder.withdraw(Measure::PrefixLeases);
                let leases = answer.leases.take().into_iter();
                back.extend(leases.map(|(source, bits)| super::leases::no_lease(source, bits, key)));
            }
            _ => {}
        }
        for effect in back {
            self.ask(at, effect, effects);
        }
        self.end_measure(site, measure.name(), at, Some(Arc::clone(says)));
        self.note_step(site, measure, Came::Withdrawn, at, Arc::clone(says));
    }

    /// Where an attack is over, what can be taken back is; leases run out by themselves.
    pub(super) fn end_answer(&mut self, site: u32, at: Instant, effects: &mut Effects) {
        let state = &mut self.sites[site as usize];
        if state.attack.is_some() {
            return;
        }
        let Some(mut answer) = state.answer.take() else { return };
        for effect in answer.take_back(None) {
            self.ask(at, effect, effects);
        }
        let left_out = answer.leases.left_out;
        let says = if left_out > 0 {
            format!("the attack is over; {left_out} sources were not leased for want of room")
        } else {
            "the attack is over".to_owned()
        };
        let strongest = answer.ladder.strongest().unwrap_or(Measure::CrowdLimit);
        self.note_step(site, strongest, Came::Ended, at, says.into());
    }

    /// Remembers a step for `explain`, and tells of what was not done in the incident.
    pub(super) fn note_step(&mut self, site: u32, measure: Measure, came: Came, at: Instant, says: Arc<str>) {
        let again = |step: &&Step| step.measure == measure && step.came == came && step.says == says;
        if site == NODE || self.steps_taken.iter().rev().take(SAID_AGAIN).any(|step| again(&step)) {
            return;
        }
        let state = &self.sites[site as usize];
        let service = state.key();
        let strongest = state.answer.as_ref().and_then(|answer| answer.ladder.strongest());
        let reason = state.attack.as_ref().map(|attack| Arc::clone(&attack.reason));
        if let (Came::Passed | Came::Refused, Some(strongest), Some(reason)) = (came, strongest, reason) {
            let because: Arc<str> = format!("{} {}: {says}", measure.name(), came.name()).into();
            self.note_measure(site, strongest.name(), &reason, at, &[because]);
        }
        if self.steps_taken.len() >= limits::LOG_STEPS {
            self.steps_taken.pop_front();
        }
        self.steps_taken.push_back(Step { at, service, measure, came, says });
    }
}

/// Adds the counts of one address of a service.
fn add(sum: &mut ServiceTally, more: &ServiceTally) {
    let both = [
        (&mut sum.seen, more.seen),
        (&mut sum.lane, more.lane),
        (&mut sum.lease, more.lease),
        (&mut sum.shape, more.shape),
        (&mut sum.second_try, more.second_try),
        (&mut sum.bucket, more.bucket),
        (&mut sum.crowd, more.crowd),
        (&mut sum.docker_user, more.docker_user),
        (&mut sum.early, more.early),
    ];
    for (sum, more) in both {
        sum.packets += more.packets;
        sum.bytes += more.bytes;
    }
}
