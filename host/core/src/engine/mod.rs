//! The order of the stages, and nothing else: wire, service, flow, question; then opinions, standing, effects.
//!
//! One engine belongs to one thread. It takes frames and answers, and asks for effects; time is the packets' own.
//! A caller drives it so:
//!
//! ```text
//! engine.frame(&frame, &mut effects);
//! while let Some(plugin) = engine.full() { engine.answer(plugin, ask(plugin, engine.batch(plugin)), &mut effects) }
//! // at the end of a block: the same with `pending`
//! ```
//!
//! or, for the same effects sooner, with several frames in a [`crate::Run`]:
//!
//! ```text
//! engine.look_ahead(&mut run);
//! while at < run.len() {
//!     at = engine.run(&run, at, &mut effects);
//!     while let Some(plugin) = engine.full() { .. }
//! }
//! ```

mod adopt;
mod ahead;
mod climb;
mod explain;
mod incidents;
mod intake;
mod keep;
mod leases;
mod measures;
mod report;
mod settle;
mod shapes;
mod steps;
mod tables;
mod tallies;
mod tap;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

pub use explain::Explanation;
pub use explain::FlowExplanation;
pub use explain::SourceExplanation;
pub use report::FlowReport;
pub use report::Report;
pub use report::ServiceReport;
pub use tallies::FixedLimit;

use crate::baseline::LearntService;
use crate::count::Counts;
use crate::count::Ledger;
use crate::count::Loss;
use crate::effect::Effect;
use crate::effect::Effects;
use crate::flow::Flow;
use crate::flow::FlowKey;
use crate::frame::Frame;
use crate::hash::HashKey;
use crate::incident::desk::Desk;
use crate::incident::nobody::Nobody;
use crate::judge::Opinion;
use crate::limits;
use crate::measure::Step;
use crate::outbox::Outbox;
use crate::places::Places;
use crate::question::Answer;
use crate::question::Batch;
use crate::question::NoOpinion;
use crate::retained::Retained;
use crate::roster::PluginIndex;
use crate::roster::Roster;
use crate::run::Route;
use crate::service::ServiceKey;
use crate::service::Services;
use crate::site::Site;
use crate::source::Source;
use crate::source::SourceKey;
use crate::stream::Heads;
use crate::table::Ref;
use crate::table::Table;
use crate::tap::Tap;
use crate::time::Instant;
use crate::wire;
use crate::wire::Address;
use tallies::Fragments;

/// Sizes and secrets of an engine. The defaults are the bounds of [`limits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineConfig {
    /// Keys the tables; live it must be random, in a replay it may be anything fixed.
    pub seed: u64,
    /// Rows of a batch.
    pub batch_rows: usize,
    /// Flows known at once.
    pub flows: usize,
    /// Sources known at once.
    pub sources: usize,
    /// Bytes for stream heads.
    pub stream_bytes: usize,
    /// What the wall clock says at [`Instant::START`], as Unix time in microseconds: tells the hour of the day.
    pub wall_clock_micros_at_start: i64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            batch_rows: limits::BATCH_ROWS,
            flows: limits::FLOWS,
            sources: limits::SOURCES,
            stream_bytes: limits::STREAM_BYTES,
            wall_clock_micros_at_start: 0,
        }
    }
}

/// The engine.
#[derive(Clone, Debug)]
pub struct Engine {
    config: EngineConfig,
    key: HashKey,
    roster: Arc<Roster>,
    services: Arc<Services>,
    places: Places,
    sites: Vec<Site>,
    /// Names of plugins that ever wrote notes; a tag is the position + 1.
    tags: Vec<Arc<str>>,
    flows: Table<FlowKey, Flow>,
    sources: Table<SourceKey, Source>,
    heads: Heads,
    outboxes: Vec<Outbox>,
    serial: u32,
    /// Whether a batch may have to be answered before the next frame.
    due: bool,
    /// Counts service tables.
    table: u32,
    /// Flows with a lane.
    lanes: Vec<Ref>,
    lane_round: u32,
    lanes_at: Instant,
    /// Lanes asked for outside of a round, in this step.
    lanes_in_step: u32,
    desk: Desk,
    nobody: Nobody,
    /// Who sent the packet that has no flow and is being judged.
    flowless: Address,
    /// Fragments by the address they go to, as the kernel counts them.
    fragments: HashMap<IpAddr, Fragments>,
    /// Of services that are not there (yet).
    learnt: HashMap<ServiceKey, LearntService>,
    fixed_limits: HashMap<ServiceKey, FixedLimit>,
    ledger: Ledger,
    log: VecDeque<(Instant, Effect)>,
    /// Steps of answers, for `explain`.
    steps_taken: VecDeque<Step>,
    retained: Retained,
    /// While somebody records.
    tap: Option<Tap>,
    now: Instant,
    next_step: Instant,
    started: bool,
    epoch: u32,
    epoch_frames: u32,
    epoch_end: Instant,
    epoch_closing: bool,
}

impl Engine {
    /// An engine that has seen nothing yet.
    pub fn new(config: EngineConfig, roster: Arc<Roster>, services: Arc<Services>) -> Self {
        let key = HashKey::new(config.seed);
        let mut engine = Self {
            key,
            places: Places::new(&[], std::iter::empty(), key),
            sites: vec![Site::node()],
            tags: Vec::new(),
            flows: Table::new(config.flows, key),
            sources: Table::new(config.sources, key),
            heads: Heads::new(config.stream_bytes),
            outboxes: Vec::new(),
            serial: 0,
            due: false,
            table: 0,
            lanes: Vec::new(),
            lane_round: 0,
            lanes_at: Instant::START,
            lanes_in_step: 0,
            desk: Desk::default(),
            nobody: Nobody::default(),
            flowless: Address::default(),
            fragments: HashMap::new(),
            learnt: HashMap::new(),
            fixed_limits: HashMap::new(),
            ledger: Ledger::default(),
            log: VecDeque::new(),
            steps_taken: VecDeque::new(),
            retained: Retained::default(),
            tap: None,
            now: Instant::START,
            next_step: Instant::START,
            started: false,
            epoch: 1,
            epoch_frames: 0,
            epoch_end: Instant::START,
            epoch_closing: false,
            roster: Arc::default(),
            services: Arc::default(),
            config,
        };
        engine.config.batch_rows = engine.config.batch_rows.clamp(1, usize::from(u16::MAX));
        engine.set_roster(roster);
        engine.set_services(services);
        engine
    }

    /// One frame: at most one more row of one plugin's batch.
    pub fn frame(&mut self, frame: &Frame<'_>, effects: &mut Effects) {
        self.accept(frame, None, effects);
    }

    /// One frame, perhaps with what reading ahead found of it.
    fn accept(&mut self, frame: &Frame<'_>, route: Option<Route>, effects: &mut Effects) {
        self.tick(frame.at, effects);
        self.begin_epoch(frame.at);
        self.ledger.counts.total += 1;
        self.tap_frame();
        match wire::read(frame) {
            Err(why) => self.ledger.malformed(why),
            Ok(None) => self.ledger.counts.unmatched += 1,
            Ok(Some(packet)) => self.packet(frame, &packet, route, effects),
        }
        self.epoch_closing |= self.epoch_frames >= limits::EPOCH_FRAMES || frame.at >= self.epoch_end;
        self.due |= self.epoch_closing;
    }

    /// Epochs change only when nothing waits: then everything of the last one is settled.
    fn begin_epoch(&mut self, at: Instant) {
        self.epoch_frames += 1;
        if self.epoch_closing && self.outboxes.iter().all(|outbox| outbox.is_empty()) {
            self.epoch = self.epoch.wrapping_add(1);
            self.epoch_frames = 1;
            self.epoch_end = at.max(self.now).plus_millis(limits::EPOCH_MS);
            (self.epoch_closing, self.due) = (false, false);
        }
    }

    /// A batch that must be answered before the next frame. Ask until there is none.
    pub fn full(&self) -> Option<PluginIndex> {
        if !self.due {
            return None;
        }
        let rows = self.config.batch_rows;
        self.find_batch(|outbox| {
            outbox.staged.is_some() || self.epoch_closing || outbox.batch.packets.len() >= rows
        })
    }

    /// Any batch that is not empty: what is to be answered at the end of a block of packets.
    pub fn pending(&self) -> Option<PluginIndex> {
        self.find_batch(|_| true)
    }

    fn find_batch(&self, due: impl Fn(&Outbox) -> bool) -> Option<PluginIndex> {
        let due = |outbox: &Outbox| !outbox.is_empty() && due(outbox);
        self.roster.iter().map(|(plugin, _)| plugin).find(|plugin| due(&self.outboxes[plugin.get()]))
    }

    /// The batch of a plugin, to be handed to it.
    pub fn batch(&self, plugin: PluginIndex) -> &Batch {
        &self.outboxes[plugin.get()].batch
    }

    /// The answer to the batch of a plugin. A packet that had to wait for it begins the next batch.
    pub fn answer(&mut self, plugin: PluginIndex, answer: Result<&Answer, NoOpinion>, effects: &mut Effects) {
        let Some(manifest) = self.roster.manifest(plugin).cloned() else { return };
        let mut outbox = std::mem::take(&mut self.outboxes[plugin.get()]);
        let lie = |answer: &Answer| answer.opinions.len() != outbox.waiting.len();
        let answer = answer.and_then(|answer| if lie(answer) { Err(NoOpinion::Lied) } else { Ok(answer) });
        if let Ok(answer) = answer {
            self.keep_notes(&outbox, answer);
        }
        for (at, waiting) in outbox.waiting.iter().enumerate() {
            self.ledger.counts.waiting -= 1;
            let opinion = match answer {
                Ok(answer) => Opinion::of_row(&answer.opinions[at], &manifest),
                Err(why) => {
                    self.ledger.lost(Loss::from(why));
                    Opinion::NONE
                }
            };
            self.settle(waiting, &opinion, effects);
            self.keep(waiting, &opinion, outbox.batch.packets.get(at), &outbox.batch.payloads, effects);
        }
        self.serial = self.serial.wrapping_add(1).max(1);
        outbox.clear(self.serial);
        let staged = outbox.staged.take();
        self.outboxes[plugin.get()] = outbox;
        if let Some((waiting, row)) = staged {
            self.unstage(plugin, waiting, row);
        }
        self.due = self.full().is_some();
    }

    fn keep_notes(&mut self, outbox: &Outbox, answer: &Answer) {
        for (at, note) in outbox.flows.iter().zip(&answer.flow_notes) {
            if let Some(flow) = self.flows.get_mut(*at) {
                flow.note = *note;
            }
        }
        for (at, note) in outbox.sources.iter().zip(&answer.source_notes) {
            if let Some(source) = self.sources.get_mut(*at) {
                source.note = *note;
            }
        }
    }

    /// Where the tables stand in memory and how many bytes each may take, for whoever can ask for large pages: they
    /// are read at random, and finding a small page's address costs as much as reading it.
    pub fn tables(&self) -> [(usize, usize); 2] {
        [self.flows.place_in_memory(), self.sources.place_in_memory()]
    }

    /// The newest packet time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The totals, cheaply; [`Self::report`] has everything.
    pub fn counts(&self) -> Counts {
        self.ledger.counts
    }

    /// Asks for an effect and remembers it for `explain`.
    fn ask(&mut self, at: Instant, effect: Effect, effects: &mut Effects) {
        if !matches!(effect, Effect::Lane(_)) {
            if self.log.len() >= limits::LOG_EFFECTS {
                self.log.pop_front();
            }
            self.log.push_back((at, effect.clone()));
        }
        effects.ask(at, effect);
    }
}
