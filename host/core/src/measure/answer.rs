//! What is kept of one attack to answer it: its rungs, what stands in the kernel, samples, and shapes on trial.

use super::Ladder;
use super::Leases;
use super::Measure;
use crate::effect::Effect;
use crate::found::Sample;
use crate::found::Samples;
use crate::limits;
use crate::manifest::Shape;
use crate::retained::Head;
use crate::time::Instant;

/// A found shape runs as a counter for so long.
const TRIAL_MS: u64 = 300;
/// Of the strangers in that time it must have hit so many of a hundred.
const HITS_PERCENT: u32 = 10;
/// And at least so many samples.
const HITS: u32 = 8;

/// A found shape.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) shape: Shape,
    since: Instant,
    /// It drops; before, it only counts.
    pub(crate) drops: bool,
    /// Samples of strangers since then, and how many it hit.
    pub(crate) strangers: (u32, u32),
    /// Packets of players since then that it hit.
    pub(crate) players_hit: u32,
}

impl Finding {
    pub(crate) fn new(shape: Shape, at: Instant) -> Self {
        Self { shape, since: at, drops: false, strangers: (0, 0), players_hit: 0 }
    }

    /// Whether its trial is over.
    pub(crate) fn due(&self, at: Instant) -> bool {
        !self.drops && at.millis_since(self.since) >= TRIAL_MS
    }

    /// Whether it hits what it should.
    pub(crate) fn hits(&self) -> bool {
        let (of, hit) = self.strangers;
        hit >= HITS && hit * 100 >= of * HITS_PERCENT
    }
}

/// The answer to one attack.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) ladder: Ladder,
    /// What was asked for and can be taken back, each once.
    standing: Vec<(Measure, Effect)>,
    pub(crate) samples: Option<Samples>,
    pub(crate) leases: Leases,
    pub(crate) found: Vec<Finding>,
    /// When shapes were last looked for, once that rung was climbed, and how often.
    pub(crate) looked: Option<(Instant, u32)>,
}

impl Answer {
    pub(crate) fn new(ladder: Ladder, samples: Option<Samples>) -> Self {
        let leases = Leases::default();
        Self { ladder, standing: Vec::new(), samples, leases, found: Vec::new(), looked: None }
    }

    /// Remembers what stands, so that it can be taken back.
    pub(crate) fn stand(&mut self, measure: Measure, effect: &Effect) {
        let same = |(_, other): &(Measure, Effect)| match (other, effect) {
            (Effect::ShapeDrop(a), Effect::ShapeDrop(b)) => a.shape == b.shape,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        };
        self.standing.retain(|standing| !same(standing));
        if self.standing.len() < limits::INCIDENT_MEASURES {
            self.standing.push((measure, effect.clone()));
        }
    }

    /// The effects that take back this measure, or all.
    pub(crate) fn take_back(&mut self, measure: Option<Measure>) -> Vec<Effect> {
        let mut back = Vec::new();
        self.standing.retain(|(of, effect)| {
            let wanted = measure.is_none_or(|measure| measure == *of);
            back.extend(wanted.then(|| ended(effect)));
            !wanted
        });
        back
    }

    /// Whether a found shape is on trial.
    pub(crate) fn tries(&self) -> bool {
        self.found.iter().any(|finding| !finding.drops)
    }

    /// A packet of a player while shapes are on trial.
    pub(crate) fn player(&mut self, head: &Head) {
        for finding in &mut self.found {
            finding.players_hit += u32::from(finding.shape_hits(head));
        }
    }

    /// A packet of a stranger.
    pub(crate) fn stranger(&mut self, sample: Sample) {
        for finding in self.found.iter_mut().filter(|finding| !finding.drops) {
            finding.strangers.0 += 1;
            finding.strangers.1 += u32::from(finding.shape_hits(&sample.head));
        }
        if let Some(samples) = &mut self.samples {
            samples.push(sample);
        }
    }
}

impl Finding {
    fn shape_hits(&self, head: &Head) -> bool {
        head.may_fit(&self.shape)
    }
}

/// The same effect with no time left, which takes it back.
fn ended(effect: &Effect) -> Effect {
    let mut effect = effect.clone();
    match &mut effect {
        Effect::Lease(lease) => lease.for_ms = 0,
        Effect::Lane(lane) => lane.for_ms = 0,
        Effect::CrowdLimit(limit) => limit.for_ms = 0,
        Effect::ShapeDrop(drop) => drop.for_ms = 0,
        Effect::SecondTry(tries) => tries.for_ms = 0,
        Effect::BucketLimit(limit) => limit.for_ms = 0,
        Effect::SynProxy(proxy) => proxy.for_ms = 0,
        Effect::Notice(_) => {}
    }
    effect
}
