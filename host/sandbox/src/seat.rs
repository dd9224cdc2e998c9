//! One plugin on one shard: an instance, its memory, and how well it does.
//!
//! A seat is owned by one thread and shares nothing with other seats but compiled code. Whatever goes wrong in
//! a call, the instance is dropped and the next batch gets a fresh one: after a trap it could not be entered
//! again, and after a lie nothing that it remembers is worth keeping.

use std::sync::Arc;

use ftagent_core::manifest::Class;
use ftagent_core::manifest::Manifest;
use ftagent_core::question::Answer;
use ftagent_core::question::Batch;
use ftagent_core::question::NoOpinion;
use ftagent_core::question::OpinionRow;
use ftagent_core::time::Instant;
use wasmtime::Trap;

use crate::contract::Classify;
use crate::contract::Store;
use crate::contract::recycle;
use crate::health::Health;
use crate::health::Record;
use crate::limits;
use crate::plugin::Plugin;

/// One plugin on one shard.
pub struct Seat {
    plugin: Arc<Plugin>,
    /// Dropped after every failure, made again at the next batch.
    instance: Option<Live>,
    record: Record,
}

/// An instance and its function.
pub(crate) struct Live {
    pub(crate) store: Store,
    pub(crate) classify: Classify,
}

/// Why there is no answer, for the engine and for people.
struct Failure {
    why: NoOpinion,
    says: String,
}

impl Seat {
    pub(crate) fn new(plugin: Arc<Plugin>, instance: Live) -> Self {
        Self { plugin, instance: Some(instance), record: Record::default() }
    }

    /// The plugin that sits here.
    pub const fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// How well it does.
    pub const fn health(&self) -> &Health {
        self.record.shown()
    }

    /// Asks the plugin about a batch. `answer` is written whole, or not touched where there is no opinion.
    /// `now` decides about quarantine alone; the plugin never sees it.
    pub fn classify(&mut self, now: Instant, batch: &Batch, answer: &mut Answer) -> Result<(), NoOpinion> {
        if !self.record.admit(now) {
            return Err(NoOpinion::Quarantined);
        }
        match self.ask(batch) {
            Ok(given) => {
                self.record.answered();
                recycle(std::mem::replace(answer, given));
                Ok(())
            }
            Err(Failure { why, says }) => {
                self.instance = None;
                self.record.failed(now, why, says);
                Err(why)
            }
        }
    }

    fn ask(&mut self, batch: &Batch) -> Result<Answer, Failure> {
        let live = match &mut self.instance {
            Some(live) => live,
            empty => {
                let missing =
                    |cause: wasmtime::Error| Failure { why: NoOpinion::Missing, says: format!("{cause:#}") };
                empty.insert(self.plugin.start().map_err(missing)?)
            }
        };
        let manifest = self.plugin.manifest();
        let fuel = limits::FUEL_PER_CALL + batch.packets.len() as u64 * u64::from(manifest.fuel_per_packet);
        live.store.set_fuel(fuel).map_err(|cause| failure(&cause))?;
        live.store.set_hostcall_fuel(answer_bytes(batch));
        let answer = live.classify.call(&mut live.store, batch).map_err(|cause| failure(&cause))?;
        check(manifest, batch, &answer).map_err(|says| Failure { why: NoOpinion::Lied, says })?;
        Ok(answer)
    }
}

/// What an honest answer takes, and a little.
fn answer_bytes(batch: &Batch) -> usize {
    let notes = batch.flows.len() + batch.sources.len();
    limits::ANSWER_SLACK_BYTES + batch.packets.len() * size_of::<OpinionRow>() + notes * size_of::<u64>()
}

/// wasmtime reports what the code did as a [`Trap`]; all else is an answer that could not be lifted.
fn failure(cause: &wasmtime::Error) -> Failure {
    let why = match cause.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => NoOpinion::OutOfFuel,
        Some(_) => NoOpinion::Trapped,
        None => NoOpinion::Lied,
    };
    let says = match cause.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => format!("{cause:#}"),
    };
    Failure { why, says }
}

/// Checks that an answer keeps the contract.
fn check(manifest: &Manifest, batch: &Batch, answer: &Answer) -> Result<(), String> {
    let lengths = [
        ("opinions", answer.opinions.len(), "packets", batch.packets.len()),
        ("flow notes", answer.flow_notes.len(), "flows", batch.flows.len()),
        ("source notes", answer.source_notes.len(), "sources", batch.sources.len()),
    ];
    for (given, count, asked, rows) in lengths {
        if count != rows {
            return Err(format!("{count} {given} for {rows} {asked}"));
        }
    }
    let reasons = u16::try_from(manifest.reasons.len()).unwrap_or(u16::MAX);
    // One pass without a branch for each row; only a lie is looked at closely.
    let honest = answer.opinions.iter().fold(true, |fine, opinion| fine & is_honest(opinion, reasons));
    if honest {
        return Ok(());
    }
    let liar = answer.opinions.iter().position(|opinion| !is_honest(opinion, reasons)).unwrap_or_default();
    Err(format!("opinion {liar} breaks the contract: {:?}", answer.opinions[liar]))
}

const HOSTILE: u8 = 2;
const ECHOED: u8 = 1;

/// Without a branch, so that the compiler checks several opinions at once.
fn is_honest(opinion: &OpinionRow, reasons: u16) -> bool {
    let known =
        (opinion.judgement <= HOSTILE) & (opinion.class <= Class::Control as u8) & (opinion.proof <= ECHOED);
    let reasoned = (opinion.reason <= reasons) & ((opinion.judgement != HOSTILE) | (opinion.reason != 0));
    let reserved = (opinion.reserved_a == 0) & (opinion.reserved_b == 0);
    known & reasoned & reserved
}

#[cfg(test)]
mod tests;
