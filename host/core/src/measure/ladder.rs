//! The measures of one attack, and which is next.
//!
//! What must stay true: the crowd's limit and declared shapes are there from the first moment; every further rung
//! is climbed only while the kernel's counters say that too much still comes through, one at a time; and a rung
//! that nothing leans on any more is let go.

use std::sync::Arc;

use super::Measure;
use super::Rates;
use super::Traits;
use crate::effect::Grain;
use crate::service::Transport;
use crate::time::Instant;

/// A rung is given so long to show what it does before the next one is climbed.
const PATIENCE_MS: u64 = 300;
/// While attackers are real clients, they ask again as newcomers do, and a wider limit lets them in, whose logins keep a
/// server busy for longer than the attack lasts: leases are given so long to thin them out first, which for a few hundred
/// takes about ten seconds.
const PATIENCE_WITH_BOTS_MS: u64 = 12_000;
/// Samples that say what an attack looks like.
const SAMPLES: u32 = 32;
/// Share of SYNs from which asking again helps.
const SYN_PERCENT: u8 = 30;
/// Share of unproven flows from which it does over UDP.
const UNPROVEN_PERCENT: u8 = 50;
/// Share of the sixteen sources (or networks) that send most from which buckets tell them from others.
const FEW_PERCENT: u8 = 30;

/// A measure in use.
#[derive(Clone, Copy, Debug)]
struct Rung {
    measure: Measure,
    since: Instant,
    /// When it runs out unless it is asked for again.
    ends: Instant,
}

/// What is known when the next rung is considered.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) at: Instant,
    pub(crate) transport: Transport,
    pub(crate) rates: Rates,
    pub(crate) traits: Traits,
    pub(crate) may_proxy: bool,
    /// The attackers are known to be real clients.
    pub(crate) bots: bool,
}

/// What to do next, with the reason in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Climb {
    /// Take this measure.
    Take(Measure, Arc<str>),
    /// It would not help here.
    Pass(Measure, Arc<str>),
}

/// The measures of one attack.
#[derive(Clone, Debug)]
pub(crate) struct Ladder {
    pub(crate) began: Instant,
    /// What strangers may send together.
    pub(crate) allowed_pps: u32,
    /// How much of it at once.
    burst: u32,
    /// Who shares a bucket.
    grain: Grain,
    rungs: Vec<Rung>,
    considered_at: Instant,
    /// Those that were taken or passed, so that each is considered once while the pressure lasts.
    done: Vec<Measure>,
    /// Those that were taken back, and are not taken again in this attack.
    withdrawn: Vec<Measure>,
}

/// The rungs above the first two, in the order in which they are tried.
const ORDER: [Measure; 5] = [
    Measure::SecondTry,
    Measure::BucketLimit,
    Measure::FoundShape,
    // Its limit is made wider.
    Measure::CrowdLimit,
    Measure::SynProxy,
];
/// So many times as much may those send who asked again, so that newcomers among them get in.
const WIDER: u32 = 4;
/// If so many times the limit would be needed, a wider one would let in the attack and hardly a newcomer.
const TOO_MANY: u64 = 10;

impl Ladder {
    pub(crate) fn new(began: Instant, allowed_pps: u32, burst: u32) -> Self {
        Self {
            began,
            allowed_pps,
            burst,
            grain: Grain::Source,
            rungs: Vec::new(),
            considered_at: began,
            done: Vec::new(),
            withdrawn: Vec::new(),
        }
    }

    /// Whether too much comes through: more reaches the server than strangers may send, or so much is over their
    /// limit that newcomers among them starve.
    pub(crate) fn pressed(&self, at: Instant, rates: &Rates) -> bool {
        let (allowed, burst) = (u64::from(self.allowed_pps), u64::from(self.burst));
        let over = |reach: u64, window_ms: u64| reach > allowed + allowed / 4 + burst * 1_000 / window_ms;
        // Before the attack nothing was limited: the long run is looked at once it lies in the attack.
        let long = at.millis_since(self.began) >= 1_500 && over(rates.reach_sustained, 1_500);
        let short = at.millis_since(self.began) >= 300 && over(rates.reach, 300);
        short || long || rates.crowd > allowed / 2
    }

    /// Whether it is time for the next rung.
    pub(crate) fn due(&self, at: Instant, rates: &Rates) -> bool {
        at.millis_since(self.considered_at) >= PATIENCE_MS && self.pressed(at, rates)
    }

    /// The next rung when it is due, if there is one.
    pub(crate) fn next(&mut self, view: &View) -> Option<Climb> {
        if view.traits.samples < SAMPLES {
            return None;
        }
        let left = |measure: &Measure| !self.done.contains(measure) && !self.withdrawn.contains(measure);
        let next = ORDER.into_iter().find(left)?;
        let early = view.at.millis_since(self.began) < PATIENCE_WITH_BOTS_MS;
        if next == Measure::CrowdLimit && view.bots && early {
            return None;
        }
        self.done.push(next);
        if next == Measure::BucketLimit {
            self.grain = grain(&view.traits);
        }
        let asked_again = self.stands(Measure::SecondTry);
        let climb = consider(next, view, self.allowed_pps, asked_again);
        // What does not help costs no time.
        if matches!(climb, Climb::Take(..)) {
            self.considered_at = view.at;
        }
        Some(climb)
    }

    /// The crowd's limit is made wider.
    pub(crate) fn widen(&mut self) {
        self.allowed_pps = self.allowed_pps.saturating_mul(WIDER);
        self.burst = self.burst.saturating_mul(WIDER);
    }

    /// What strangers may send at once.
    pub(crate) const fn burst(&self) -> u32 {
        self.burst
    }

    /// Who shares a bucket where buckets are limited.
    pub(crate) const fn grain(&self) -> Grain {
        self.grain
    }

    /// A measure was asked for: it stands until `ends`. True if it did not stand before.
    pub(crate) fn asked(&mut self, measure: Measure, at: Instant, ends: Instant) -> bool {
        if let Some(rung) = self.rungs.iter_mut().find(|rung| rung.measure == measure) {
            rung.ends = rung.ends.max(ends);
            return false;
        }
        self.rungs.push(Rung { measure, since: at, ends });
        true
    }

    /// Whether this measure stands.
    pub(crate) fn stands(&self, measure: Measure) -> bool {
        self.rungs.iter().any(|rung| rung.measure == measure)
    }

    /// The strongest measure that stands.
    pub(crate) fn strongest(&self) -> Option<Measure> {
        self.rungs.iter().map(|rung| rung.measure).max()
    }

    /// Whether this measure was taken back before its time in this attack.
    pub(crate) fn was_withdrawn(&self, measure: Measure) -> bool {
        self.withdrawn.contains(&measure)
    }

    /// The measure above the first ones that was taken last, if since `since`.
    pub(crate) fn newest_since(&self, since: Instant) -> Option<(Measure, Instant)> {
        let rungs = self.rungs.iter();
        let rungs = rungs.filter(|rung| rung.since >= since && rung.measure != Measure::CrowdLimit);
        rungs.max_by_key(|rung| rung.since).map(|rung| (rung.measure, rung.since))
    }

    /// A measure is taken back before its time, and not taken again in this attack.
    pub(crate) fn withdraw(&mut self, measure: Measure) {
        self.withdrawn.push(measure);
        self.rungs.retain(|rung| rung.measure != measure);
    }

    /// Whether something leans on this measure, so that it is worth renewing.
    pub(crate) fn needs(&self, measure: Measure, at: Instant, rates: &Rates) -> bool {
        let allowed = u64::from(self.allowed_pps);
        let pressed = self.pressed(at, rates);
        match measure {
            Measure::SecondTry => pressed || rates.second_try > allowed / 4,
            Measure::BucketLimit => pressed || rates.bucket > allowed / 4,
            Measure::FoundShape => pressed || rates.shape > 0,
            Measure::SynProxy => rates.strangers() > allowed,
            _ => pressed || rates.strangers() > allowed / 2,
        }
    }

    /// Ends what ran out; returns which. It may be needed again.
    pub(crate) fn end(&mut self, at: Instant) -> Vec<Measure> {
        let ended: Vec<_> =
            self.rungs.iter().filter(|rung| rung.ends <= at).map(|rung| rung.measure).collect();
        self.rungs.retain(|rung| rung.ends > at);
        self.done.retain(|measure| !ended.contains(measure));
        ended
    }
}

/// By what buckets tell attackers from newcomers: by source where few sources send much, else by network.
fn grain(traits: &Traits) -> Grain {
    if traits.few_percent >= FEW_PERCENT { Grain::Source } else { Grain::Network }
}

/// Whether a rung helps against what is seen.
fn consider(measure: Measure, view: &View, allowed_pps: u32, asked_again: bool) -> Climb {
    let Traits { syn_percent, opening_percent, unproven_percent, few_percent, few_networks_percent, .. } =
        view.traits;
    // Forged sources tell nothing by their networks, and newcomers would have to share theirs; over UDP what looks like clients
    // may be forged.
    let real = view.bots && view.transport == Transport::Tcp;
    let few_networks = if real { few_networks_percent } else { 0 };
    let crowd = view.rates.crowd;
    let reach = view.rates.reach.max(view.rates.reach_sustained);
    let over = if crowd > u64::from(allowed_pps) / 2 {
        format!("{crowd} packets/s are over the limit of strangers ({allowed_pps}/s)")
    } else {
        format!("{reach} packets/s reach the server, strangers may send {allowed_pps}/s")
    };
    match (measure, view.transport) {
        (Measure::SecondTry, Transport::Tcp) if syn_percent < SYN_PERCENT => Climb::Pass(
            measure,
            format!("it concerns SYNs, and only {syn_percent} % of the flood are").into(),
        ),
        (Measure::SecondTry, Transport::Udp) if unproven_percent < UNPROVEN_PERCENT => Climb::Pass(
            measure,
            format!("only {unproven_percent} % come from sources that may be forged").into(),
        ),
        (Measure::SecondTry, _) => Climb::Take(
            measure,
            format!("{over}; {opening_percent} % are first words as newcomers send").into(),
        ),
        (Measure::BucketLimit, _) if few_percent < FEW_PERCENT && few_networks < FEW_PERCENT => Climb::Pass(
            measure,
            format!("the 16 busiest sources send only {few_percent} %: buckets would not tell them apart")
                .into(),
        ),
        (Measure::BucketLimit, _) => {
            let (what, percent) = match grain(&view.traits) {
                Grain::Source => ("sources", few_percent),
                Grain::Network => ("networks (/24, /48)", few_networks),
            };
            Climb::Take(measure, format!("{over}; 16 {what} send {percent} % of it").into())
        }
        (Measure::CrowdLimit, _) if !asked_again => {
            Climb::Pass(measure, "a wider limit is for those only who asked again".into())
        }
        (Measure::CrowdLimit, _) if crowd > u64::from(allowed_pps) * TOO_MANY => {
            Climb::Pass(measure, format!("{over}: a wider one would let the attack in").into())
        }
        (Measure::CrowdLimit, _) => {
            let wider = allowed_pps.saturating_mul(WIDER);
            Climb::Take(measure, format!("{over} who asked again; they get {wider}/s").into())
        }
        (Measure::SynProxy, Transport::Udp) => Climb::Pass(measure, "it is for TCP only".into()),
        (Measure::SynProxy, Transport::Tcp) if !view.may_proxy => {
            Climb::Pass(measure, "this service has not opted in".into())
        }
        (Measure::SynProxy, Transport::Tcp) if reach <= u64::from(allowed_pps) => {
            Climb::Pass(measure, format!("no more reaches the server than is normal ({reach}/s)").into())
        }
        _ => Climb::Take(measure, over.into()),
    }
}
