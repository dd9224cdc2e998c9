//! Packets a second on one core, capture in memory: parse, service, flow, question, the real plugins, judge. Frames
//! are handed over in blocks, as live capture hands them over, and whatever waits is asked at the end of a block. Before
//! each block its frames are copied to where the last one's were, as the kernel does; that alone is not timed.

use std::sync::Arc;
use std::time::Duration;

use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::Run;
use ftagent_core::effect::Effects;
use ftagent_sandbox::Plugin;

use crate::clock::Samples;
use crate::clock::thread_time;
use crate::figure::Figure;
use crate::plugins;
use crate::plugins::Seats;
use crate::snap;
use crate::traffic;
use crate::traffic::Conversation;
use crate::traffic::Frames;

const GROUP: &str = "engine";
const PASSES: usize = 9;
const FLOWS: u32 = 10_000;
const PACKETS_A_FLOW: usize = 40;
/// As many as fill every table: a node that was attacked before is never fresh again.
const FORGED_BEFORE: usize = 200_000;
const FORGED: usize = 400_000;
/// The most that live capture hands over at once.
const BLOCK: usize = 1_024;
/// Calm between the filling and the mix, so that no attack is on.
const CALM_US: u64 = 120_000_000;

/// One timed pass.
struct Pass {
    millions_a_second: f64,
    plugins_share: f64,
    rows_a_batch: f64,
    counts: ftagent_core::count::Counts,
    effects: usize,
    failed: u64,
    /// Why packets were hostile, and what was lost at which bound.
    reasons: String,
}

pub(crate) fn measure() -> anyhow::Result<Vec<Figure>> {
    let loaded = plugins::load(None)?;
    let conversations = traffic::conversations()?;
    let all: Vec<&Conversation> = conversations.iter().collect();
    let mix = traffic::mix(&all, FLOWS, PACKETS_A_FLOW, &snap(&loaded));
    let forged = traffic::forged(&conversations, 0, (FORGED_BEFORE + FORGED) as u32, &snap(&loaded));
    let mut passes: [Vec<Pass>; 3] = Default::default();
    for _ in 0..PASSES {
        let fresh = Bench::new(&loaded, &conversations)?;
        passes[0].push(fresh.timed(&mix, 0..mix.len(), 0));
        let mut attacked = Bench::new(&loaded, &conversations)?;
        attacked.drive(&forged, 0..FORGED_BEFORE, 0);
        passes[1].push(attacked.timed(&forged, FORGED_BEFORE..forged.len(), 0));
        let mut attacked = Bench::new(&loaded, &conversations)?;
        attacked.drive(&forged, 0..FORGED_BEFORE, 0);
        passes[2].push(attacked.timed(&mix, 0..mix.len(), CALM_US));
    }
    let [mix_passes, forged_passes, later_passes] = passes;
    Ok(vec![
        figure("mix of 10,000 flows", &mix_passes).at_least(3.0),
        figure("each packet a new forged source", &forged_passes).at_least(1.5),
        figure("the mix after a flood filled every table", &later_passes),
        Figure::new(GROUP, "this machine: a random read of 64 MiB", "ns", random_read_ns())
            .note("a new source is half a dozen of them, so this decides the figures above"),
    ])
}

fn figure(name: &str, passes: &[Pass]) -> Figure {
    let mut rates = Samples::default();
    let mut shares = Samples::default();
    for pass in passes {
        rates.add(pass.millions_a_second);
        shares.add(pass.plugins_share);
    }
    let rate = rates.median();
    let (each_ns, last) = (1e3 / rate, &passes[passes.len() - 1]);
    let note = format!(
        "{each_ns:.0} ns each, {:.0} of it plugins ({:.0} rows a batch); genuine {}, hostile {}, unknown {}, replies {}, no \
         opinion {}, {} effects; {}",
        each_ns * shares.median(),
        last.rows_a_batch,
        last.counts.genuine,
        last.counts.hostile,
        last.counts.unknown,
        last.counts.replies,
        last.failed,
        last.effects,
        last.reasons,
    );
    Figure::new(GROUP, name, "M packets/s", rate).best(rates.most()).note(note)
}

/// An engine with its plugins.
struct Bench {
    engine: Engine,
    seats: Seats,
    effects: Effects,
    run: Run,
    asked: usize,
    /// Processor time and time by the wall clock so far, without the copying of frames.
    busy: Duration,
    wall: Duration,
}

impl Bench {
    fn new(loaded: &[Arc<Plugin>], conversations: &[Conversation]) -> anyhow::Result<Self> {
        let config = EngineConfig { seed: 7, ..EngineConfig::default() };
        let engine = Engine::new(config, plugins::roster(loaded), traffic::services(conversations));
        ftagent_capture::prefer_large_pages(engine.tables());
        Ok(Self {
            engine,
            seats: Seats::new(loaded)?,
            effects: Effects::default(),
            run: Run::default(),
            asked: 0,
            busy: Duration::ZERO,
            wall: Duration::ZERO,
        })
    }

    fn drive(&mut self, frames: &Frames, range: std::ops::Range<usize>, later_us: u64) {
        let mut block = Frames::default();
        for start in range.clone().step_by(BLOCK) {
            frames.copy_into(start..(start + BLOCK).min(range.end), &mut block);
            let (wall, begun) = (std::time::Instant::now(), thread_time());
            for frame in block.iter(0..block.len(), later_us) {
                self.run.hold(&frame);
                if self.run.is_full() {
                    self.seats.take(&mut self.engine, &mut self.run, &mut self.effects);
                }
            }
            self.end_block();
            self.busy += thread_time() - begun;
            self.wall += wall.elapsed();
        }
    }

    fn end_block(&mut self) {
        self.seats.take(&mut self.engine, &mut self.run, &mut self.effects);
        let now = self.engine.now();
        self.seats.answer_pending(&mut self.engine, now, &mut self.effects);
        self.engine.tick(now, &mut self.effects);
        self.asked += self.effects.asked.len();
        self.effects.asked.clear();
    }

    fn timed(mut self, frames: &Frames, range: std::ops::Range<usize>, later_us: u64) -> Pass {
        let packets = range.len();
        let before = self.engine.counts();
        (self.seats.spent, self.seats.batches, self.asked) = (Duration::ZERO, 0, 0);
        (self.busy, self.wall) = (Duration::ZERO, Duration::ZERO);
        self.drive(frames, range, later_us);
        let (spent, wall) = (self.busy.as_secs_f64(), self.wall.as_secs_f64());
        let after = self.engine.counts();
        let mut counts = after;
        counts.genuine -= before.genuine;
        counts.hostile -= before.hostile;
        counts.unknown -= before.unknown;
        counts.replies -= before.replies;
        let asked_rows = counts.genuine + counts.hostile + counts.unknown;
        assert_eq!(after.total - before.total, packets as u64, "every packet is accounted for");
        Pass {
            millions_a_second: packets as f64 / spent / 1e6,
            plugins_share: self.seats.spent.as_secs_f64() / wall,
            rows_a_batch: asked_rows as f64 / self.seats.batches.max(1) as f64,
            counts,
            effects: self.asked,
            failed: self.seats.failed,
            reasons: reasons(&self.engine.report()),
        }
    }
}

fn reasons(report: &ftagent_core::Report) -> String {
    let reasons = report.reasons.iter().map(|(name, count)| format!("{name} {count}"));
    let losses = report.losses.iter().map(|(name, count)| format!("{name} {count}"));
    reasons.chain(losses).collect::<Vec<_>>().join(", ")
}

/// Each read says where the next one is, so none can begin before the one before has ended.
fn random_read_ns() -> f64 {
    const PLACES: usize = 1 << 23;
    const READS: u32 = 1 << 20;
    // A full cycle: an odd step and a multiplier of the form 4n + 1 visit every place of a power of two.
    let next: Vec<u64> =
        (0..PLACES as u64).map(|at| (at.wrapping_mul(0x9e37_79b5) + 0x5851_f42d) % PLACES as u64).collect();
    let mut samples = Samples::default();
    let mut at = 0;
    for _ in 0..5 {
        let begun = thread_time();
        for _ in 0..READS {
            at = next[at as usize];
        }
        samples.add((thread_time() - begun).as_nanos() as f64 / f64::from(READS));
    }
    std::hint::black_box(at);
    samples.median()
}
