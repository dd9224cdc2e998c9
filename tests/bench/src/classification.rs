//! Whole classification in the sandbox with fuel on, against the same plugin compiled for this machine, on batches
//! that the engine made of that game's traffic. Both are measured by turns.

use std::sync::Arc;
use std::time::Duration;

use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::effect::Effects;
use ftagent_core::question::Answer;
use ftagent_core::question::Batch;
use ftagent_core::time::Instant;
use ftagent_plugin::rows;
use ftagent_sandbox::Plugin;

use crate::clock;
use crate::figure::Figure;
use crate::plugins;
use crate::plugins::Native;
use crate::plugins::Seats;
use crate::snap;
use crate::traffic;
use crate::traffic::Conversation;

const GROUP: &str = "classification";
const ROUNDS: u32 = 40;
const SAMPLE: Duration = Duration::from_millis(4);
const BATCHES: usize = 32;
const FLOWS: u32 = 600;
/// Of each flow: half of them openings and joins, half play.
const PACKETS_A_FLOW: usize = 24;
const TIMES_MAX: f64 = 3.0;
const EXTRA_NS_MAX: f64 = 25.0;

pub(crate) fn measure() -> anyhow::Result<Vec<Figure>> {
    let loaded = plugins::load(None)?;
    let conversations = traffic::conversations()?;
    let mut figures = Vec::new();
    for (plugin, (name, native)) in loaded.iter().zip(plugins::NATIVE) {
        let game: Vec<&Conversation> = conversations.iter().filter(|talk| talk.game == name).collect();
        let batches = batches(&loaded, &conversations, &game)?;
        figures.push(compare(plugin, native, &batches)?);
    }
    Ok(figures)
}

fn compare(plugin: &Arc<Plugin>, native: Native, batches: &[Batch]) -> anyhow::Result<Figure> {
    let name = plugin.manifest().name.to_string();
    let mut seat = plugin.seat()?;
    let mut answer = Answer::default();
    let rows: Vec<Rows> = batches.iter().map(Rows::of).collect();
    agree(&mut seat, native, batches, &rows)?;
    let mut sandboxed = 0;
    let mut ask_sandbox = || {
        sandboxed = (sandboxed + 1) % batches.len();
        seat.classify(Instant::START, &batches[sandboxed], &mut answer)
    };
    let mut direct = 0;
    let mut ask_native = || {
        direct = (direct + 1) % rows.len();
        let rows = &rows[direct];
        std::hint::black_box(native(&rows.sources, &rows.flows, &rows.packets, rows.payloads));
        Ok(())
    };
    let samples = clock::by_turns(ROUNDS, SAMPLE, &mut [&mut ask_sandbox, &mut ask_native])
        .map_err(|why| anyhow::anyhow!("{name} gave no answer: {why:?}"))?;
    let packets = batches.iter().map(|batch| batch.packets.len()).sum::<usize>() as f64;
    let a_batch = packets / batches.len() as f64;
    let (ns, native_ns) = (samples[0].median() / a_batch, samples[1].median() / a_batch);
    let target = (native_ns * TIMES_MAX).max(native_ns + EXTRA_NS_MAX);
    Ok(Figure::new(GROUP, name, "ns/packet", ns)
        .best(samples[0].least() / a_batch)
        .at_most(target)
        .note(format!("native {native_ns:.1} ns, so {:.2} times; batches of {a_batch:.0}", ns / native_ns)))
}

/// Both must give the same opinions, else they are not the same plugin.
fn agree(
    seat: &mut ftagent_sandbox::Seat,
    native: Native,
    batches: &[Batch],
    rows: &[Rows<'_>],
) -> anyhow::Result<()> {
    let mut answer = Answer::default();
    for (batch, rows) in batches.iter().zip(rows) {
        let given = seat.classify(Instant::START, batch, &mut answer);
        given.map_err(|why| anyhow::anyhow!("no answer: {why:?}"))?;
        let direct = native(&rows.sources, &rows.flows, &rows.packets, rows.payloads);
        let same = answer.flow_notes == direct.flow_notes
            && answer.source_notes == direct.source_notes
            && answer.opinions.iter().zip(&direct.opinions).all(|(a, b)| {
                (a.detail, a.reason, a.judgement, a.class, a.proof)
                    == (b.detail, b.reason, b.judgement, b.class, b.proof)
            });
        let name = &seat.plugin().manifest().name;
        anyhow::ensure!(
            same,
            "{name}: the prebuilt component is another than its source: run `cargo xtask plugins`"
        );
    }
    Ok(())
}

/// The batches that the engine makes of a game's traffic, with the notes that the plugin left.
fn batches(
    loaded: &[Arc<Plugin>],
    all: &[Conversation],
    game: &[&Conversation],
) -> anyhow::Result<Vec<Batch>> {
    let frames = traffic::mix(game, FLOWS, PACKETS_A_FLOW, &snap(loaded));
    let config = EngineConfig { seed: 7, ..EngineConfig::default() };
    let mut engine = Engine::new(config, plugins::roster(loaded), traffic::services(all));
    let mut seats = Seats::new(loaded)?;
    let mut effects = Effects::default();
    let mut batches = Vec::new();
    for frame in frames.iter(0..frames.len(), 0) {
        engine.frame(&frame, &mut effects);
        if let Some(plugin) = engine.full() {
            batches.push(engine.batch(plugin).clone());
        }
        seats.answer_full(&mut engine, frame.at, &mut effects);
    }
    anyhow::ensure!(!batches.is_empty(), "the traffic of {} filled no batch", game[0].game);
    // Evenly from the beginning to the end.
    let step = batches.len().div_ceil(BATCHES);
    Ok(batches.into_iter().step_by(step).collect())
}

/// A batch as a plugin is handed it.
struct Rows<'a> {
    sources: Vec<rows::Source>,
    flows: Vec<rows::Flow>,
    packets: Vec<rows::Packet>,
    payloads: &'a [u8],
}

impl<'a> Rows<'a> {
    fn of(batch: &'a Batch) -> Self {
        let source = |row: &ftagent_core::question::SourceRow| rows::Source {
            note: row.note,
            flows: row.flows,
            reserved: row.reserved,
        };
        Self {
            sources: batch.sources.iter().map(source).collect(),
            flows: batch.flows.iter().map(flow).collect(),
            packets: batch.packets.iter().map(packet).collect(),
            payloads: &batch.payloads,
        }
    }
}

fn flow(row: &ftagent_core::question::FlowRow) -> rows::Flow {
    rows::Flow {
        note: row.note,
        service_flags: row.service_flags,
        server_high: row.server_high,
        server_low: row.server_low,
        source: row.source,
        client_port: row.client_port,
        server_port: row.server_port,
        transport: row.transport,
        role: row.role,
        state: row.state,
        reserved_a: row.reserved_a,
        reserved_b: row.reserved_b,
    }
}

fn packet(row: &ftagent_core::question::PacketRow) -> rows::Packet {
    rows::Packet {
        age_us: row.age_us,
        flow: row.flow,
        number: row.number,
        payload_bytes: row.payload_bytes,
        payload_start: row.payload_start,
        payload_captured: row.payload_captured,
        stream_offset: row.stream_offset,
        head_start: row.head_start,
        sample_rate: row.sample_rate,
        head_bytes: row.head_bytes,
        ip_id: row.ip_id,
        window: row.window,
        tcp_options: row.tcp_options,
        ttl: row.ttl,
        direction: row.direction,
        fragment: row.fragment,
        tcp_flags: row.tcp_flags,
        head_flags: row.head_flags,
        flow_state: row.flow_state,
        reserved_b: row.reserved_b,
    }
}
