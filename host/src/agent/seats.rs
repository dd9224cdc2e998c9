//! The plugins' seats at one engine: asks the right one and carries the answer back.

use std::sync::Arc;

use ftagent_core::Engine;
use ftagent_core::PluginIndex;
use ftagent_core::Run;
use ftagent_core::effect::Effects;
use ftagent_core::frame::Frame;
use ftagent_core::question::Answer;
use ftagent_core::question::NoOpinion;
use ftagent_core::time::Instant;
use ftagent_sandbox::Health;
use ftagent_sandbox::Plugin;
use ftagent_sandbox::Seat;

/// One seat for each plugin of the roster, by index.
#[derive(Default)]
pub(crate) struct Seats {
    seats: Vec<Option<Seat>>,
    answer: Answer,
}

impl Seats {
    /// A seat for every plugin. A plugin that cannot be seated has no opinion.
    pub(crate) fn new(plugins: &[Arc<Plugin>]) -> Self {
        let mut seats = Self::default();
        for (at, plugin) in plugins.iter().enumerate() {
            seats.put(at, plugin.seat().ok());
        }
        seats
    }

    /// Puts a plugin's seat in place of the one before.
    pub(crate) fn put(&mut self, at: usize, seat: Option<Seat>) {
        if self.seats.len() <= at {
            self.seats.resize_with(at + 1, || None);
        }
        self.seats[at] = seat;
    }

    /// How each plugin is, by index.
    pub(crate) fn health(&self) -> Vec<Option<Health>> {
        self.seats.iter().map(|seat| seat.as_ref().map(|seat| seat.health().clone())).collect()
    }

    /// Hands a run to the engine and answers what is due in between.
    pub(crate) fn take(&mut self, engine: &mut Engine, run: &mut Run, effects: &mut Effects) {
        self.take_each(engine, run, effects, &mut |_, _| {});
    }

    /// The same; `each` is told of the frame that was taken last, which is every one while the engine has a tap.
    pub(crate) fn take_each(
        &mut self,
        engine: &mut Engine,
        run: &mut Run,
        effects: &mut Effects,
        each: &mut impl FnMut(&mut Engine, &Frame<'_>),
    ) {
        engine.look_ahead(run);
        let mut at = 0;
        while at < run.len() {
            at = engine.run(run, at, effects);
            self.answer_full(engine, engine.now(), effects);
            if let Some(frame) = run.frame(at - 1) {
                each(engine, &frame);
            }
        }
        run.clear();
    }

    /// Answers every batch that is full.
    fn answer_full(&mut self, engine: &mut Engine, now: Instant, effects: &mut Effects) {
        while let Some(plugin) = engine.full() {
            self.ask(engine, plugin, now, effects);
        }
    }

    /// Answers whatever waits.
    pub(crate) fn answer_pending(&mut self, engine: &mut Engine, now: Instant, effects: &mut Effects) {
        while let Some(plugin) = engine.pending() {
            self.ask(engine, plugin, now, effects);
        }
    }

    fn ask(&mut self, engine: &mut Engine, plugin: PluginIndex, now: Instant, effects: &mut Effects) {
        let opinion = match self.seats.get_mut(plugin.get()).and_then(Option::as_mut) {
            Some(seat) => seat.classify(now, engine.batch(plugin), &mut self.answer),
            None => Err(NoOpinion::Missing),
        };
        engine.answer(plugin, opinion.map(|()| &self.answer), effects);
    }
}
