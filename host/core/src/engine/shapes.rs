//! Shapes: declared ones of what was seen in an attack, and found ones after their trial. None is taken that hits
//! what is retained of genuine packets.

use std::sync::Arc;

use super::Engine;
use super::measures::bit_of;
use crate::effect::Effect;
use crate::effect::Effects;
use crate::effect::ShapeDrop;
use crate::found::derive;
use crate::judge::Why;
use crate::judge::attack;
use crate::limits;
use crate::manifest::Certainty;
use crate::manifest::Class;
use crate::manifest::Shape;
use crate::measure::Came;
use crate::measure::Finding;
use crate::measure::Measure;
use crate::measure::refusal;
use crate::retained::Head;
use crate::service::Transport;
use crate::time::Instant;
use crate::wire::tcp_flag;

/// Shapes are looked for so often, and so many times in one attack.
const LOOK_EVERY_MS: u64 = 500;
/// See there.
const LOOKS: u32 = 10;
/// Samples that say what a flood has in common.
const SAMPLES: usize = 128;
/// Openings that must be retained before a shape may be used that could be one.
const OPENINGS: u32 = 20;

impl Engine {
    /// The shapes of the impossible reasons of this attack, or of one of them.
    pub(super) fn ask_shapes(&mut self, site: u32, only: Option<Why>, at: Instant, effects: &mut Effects) {
        let state = &self.sites[site as usize];
        let Some(attack) = &state.attack else { return };
        let Some(manifest) = state.plugin.and_then(|plugin| self.roster.manifest(plugin)).cloned() else {
            return;
        };
        let (service, seen) = (state.key(), attack.impossible);
        for shape in &manifest.shapes {
            let why = Why::Plugin(shape.reason);
            let wanted = only.is_none_or(|only| only == why);
            let here = shape.shape.transport == service.transport;
            let impossible = usize::from(shape.reason)
                .checked_sub(1)
                .and_then(|at| manifest.reasons.get(at))
                .is_some_and(|reason| reason.certainty == Certainty::Impossible);
            let was_seen = 1u64.checked_shl(u32::from(bit_of(why))).unwrap_or(0) & seen != 0;
            if wanted && here && impossible && was_seen {
                self.ask_declared(site, why, &shape.shape, at, effects);
            }
        }
    }

    fn ask_declared(&mut self, site: u32, why: Why, shape: &Shape, at: Instant, effects: &mut Effects) {
        let service = self.sites[site as usize].key();
        let reason = self.reason_name(site, why);
        let tried = self.retained.try_on(&service, |head| head.may_fit(shape));
        if let Some(refused) = refusal(&tried, true) {
            return self.note_step(
                site,
                Measure::Shape,
                Came::Refused,
                at,
                format!("{reason} {refused}").into(),
            );
        }
        let says: Arc<str> =
            format!("{reason} is declared impossible; it hits 0 of {} retained genuine packets", tried.of())
                .into();
        let drop =
            ShapeDrop { service, shape: shape.clone(), trial: false, for_ms: attack::MEASURE_MS, reason };
        self.take(site, Measure::Shape, &says, at, Effect::ShapeDrop(drop), effects);
    }

    /// Looks for what the flood has in common, where that rung was climbed.
    pub(super) fn look_for_shapes(&mut self, site: u32, at: Instant, effects: &mut Effects) {
        let state = &mut self.sites[site as usize];
        let key = state.key();
        let Some(answer) = &mut state.answer else { return };
        let Some((last, looks)) = answer.looked else { return };
        let room = limits::FOUND_SHAPES.saturating_sub(answer.found.len());
        let Some(samples) = answer.samples.as_ref().map(|samples| samples.kept()) else { return };
        let waits = at.millis_since(last) < LOOK_EVERY_MS || looks >= LOOKS || samples.len() < SAMPLES;
        if waits || room == 0 || answer.tries() || answer.ladder.was_withdrawn(Measure::FoundShape) {
            return;
        }
        answer.looked = Some((at, looks + 1));
        let hostile: Vec<&Head> = samples.iter().filter(|s| s.hostile).map(|s| &s.head).collect();
        let judged = hostile.len() * 2 >= samples.len();
        let flood = if judged { hostile } else { samples.iter().map(|s| &s.head).collect() };
        // What is dropped already needs no other shape.
        let known = |head: &&Head| answer.found.iter().any(|finding| head.may_fit(&finding.shape));
        let flood: Vec<&Head> = flood.into_iter().filter(|head| !known(head)).collect();
        if flood.len() < SAMPLES {
            return;
        }
        let found = derive(key.transport, &flood, &self.retained.heads(&key));
        if found.is_empty() {
            let says = format!("{} samples have nothing in common that players have not", flood.len());
            return self.note_step(site, Measure::FoundShape, Came::Passed, at, says.into());
        }
        let of = flood.len();
        for (shape, covers) in found.into_iter().take(room) {
            self.begin_trial(site, shape, (covers, of), judged, at, effects);
        }
    }

    fn begin_trial(
        &mut self,
        site: u32,
        shape: Shape,
        (covers, of): (usize, usize),
        judged: bool,
        at: Instant,
        effects: &mut Effects,
    ) {
        if let Some(refused) = self.refuses_found(site, &shape, judged) {
            let says = format!("{}: {refused}", in_words(&shape));
            return self.note_step(site, Measure::FoundShape, Came::Refused, at, says.into());
        }
        let says = format!("{} covers {covers} of {of} samples", in_words(&shape));
        self.note_step(site, Measure::FoundShape, Came::Trial, at, says.into());
        let trial = self.found_drop(site, shape.clone(), true);
        if let Some(answer) = &mut self.sites[site as usize].answer {
            answer.stand(Measure::FoundShape, &trial);
            answer.found.push(Finding::new(shape, at));
        }
        self.ask(at, trial, effects);
    }

    /// Why a found shape must not be used.
    fn refuses_found(&self, site: u32, shape: &Shape, judged: bool) -> Option<Arc<str>> {
        let service = self.sites[site as usize].key();
        let tried = self.retained.try_on(&service, |head| head.may_fit(shape));
        let later = shape.transport == Transport::Tcp
            && shape.tcp_flags.is_some_and(|(mask, value)| mask & !value & tcp_flag::SYN != 0);
        let openings = tried.of_class(Class::Opening);
        if !judged && !later && openings < OPENINGS {
            let says = format!("only {openings} genuine openings are retained, {OPENINGS} are needed");
            return Some(says.into());
        }
        if tried.hit() > 0 {
            return Some(format!("would hit {} of {} retained packets", tried.hit(), tried.of()).into());
        }
        refusal(&tried, false)
    }

    fn found_drop(&self, site: u32, shape: Shape, trial: bool) -> Effect {
        let (service, reason) = (self.sites[site as usize].key(), "host/found-shape".into());
        Effect::ShapeDrop(ShapeDrop { service, shape, trial, for_ms: attack::MEASURE_MS, reason })
    }

    /// Ends the trials that are due: a shape that hits the flood and nobody else drops from now on.
    pub(super) fn try_found(&mut self, site: u32, at: Instant, effects: &mut Effects) {
        let Some(answer) = &mut self.sites[site as usize].answer else { return };
        let due: Vec<Finding> = answer.found.iter().filter(|finding| finding.due(at)).cloned().collect();
        if due.is_empty() {
            return;
        }
        answer.found.retain(|finding| !finding.due(at));
        for mut finding in due {
            let (of, hit) = finding.strangers;
            let refused = if finding.players_hit > 0 {
                Some(format!("hit {} packets of players on trial", finding.players_hit).into())
            } else if finding.hits() {
                self.refuses_found(site, &finding.shape, true)
            } else {
                Some(format!("hit only {hit} of {of} samples on trial").into())
            };
            let words = in_words(&finding.shape);
            if let Some(refused) = refused {
                self.note_step(
                    site,
                    Measure::FoundShape,
                    Came::Refused,
                    at,
                    format!("{words}: {refused}").into(),
                );
                continue;
            }
            let says: Arc<str> = format!("{words} hit {hit} of {of} samples on trial and no player").into();
            let drop = self.found_drop(site, finding.shape.clone(), false);
            finding.drops = true;
            if let Some(answer) = &mut self.sites[site as usize].answer {
                answer.found.push(finding);
            }
            self.take(site, Measure::FoundShape, &says, at, drop, effects);
        }
    }

    /// Asks again for the found shapes that drop.
    pub(super) fn renew_found(&mut self, site: u32, at: Instant, effects: &mut Effects) {
        let Some(answer) = &self.sites[site as usize].answer else { return };
        let shapes: Vec<Shape> = answer
            .found
            .iter()
            .filter(|finding| finding.drops)
            .map(|finding| finding.shape.clone())
            .collect();
        for shape in shapes {
            let drop = self.found_drop(site, shape, false);
            self.take(site, Measure::FoundShape, &Arc::default(), at, drop, effects);
        }
    }
}

/// A shape for people.
fn in_words(shape: &Shape) -> String {
    let mut words = Vec::new();
    if let Some(range) = &shape.payload_bytes {
        words.push(format!("{}-{} bytes", range.start(), range.end()));
    }
    if let Some((_, flags)) = shape.tcp_flags {
        words.push(format!("flags {flags:#04x}"));
    }
    if shape.without_options {
        words.push("no options".to_owned());
    }
    if let Some(window) = shape.window {
        words.push(format!("window {window}"));
    }
    if let Some(port) = shape.source_port {
        words.push(format!("source port {port}"));
    }
    if let Some(ttl) = &shape.ttl {
        words.push(format!("TTL {}-{}", ttl.start(), ttl.end()));
    }
    for bytes in &shape.bytes {
        let hex: String = bytes.value.iter().map(|byte| format!("{byte:02x}")).collect();
        words.push(format!("{hex} at byte {}", bytes.offset));
    }
    words.join(", ")
}
