//! What it costs to cross the border of the sandbox: rows, notes and 64-byte heads to a plugin that judges nothing
//! (`tests/guests/judges-nothing`), its answer lifted and checked, against the bare copy of the same bytes.

use std::time::Duration;

use ftagent_core::question::Answer;
use ftagent_core::question::Batch;
use ftagent_core::question::FlowRow;
use ftagent_core::question::NoOpinion;
use ftagent_core::question::OpinionRow;
use ftagent_core::question::PacketRow;
use ftagent_core::question::SourceRow;
use ftagent_core::time::Instant;
use ftagent_sandbox::Config;
use ftagent_sandbox::Sandbox;

use crate::clock;
use crate::figure::Figure;

const GROUP: &str = "crossing";
const ROUNDS: u32 = 60;
const SAMPLE: Duration = Duration::from_millis(3);
const HEAD_BYTES: usize = 64;
/// Packets of one flow in a batch.
const PACKETS_A_FLOW: u32 = 4;

const MANIFEST: &[u8] =
    b"name = 'judges-nothing'\nversion = '1'\ncontract = '1'\nlicense = 'MIT'\nsummary = 'Nothing'\n";

pub(crate) fn measure() -> anyhow::Result<Vec<Figure>> {
    let plugin = Sandbox::new(&Config::default())?.load(&component()?)?;
    let mut figures = Vec::new();
    for (packets, target_ns) in [(256, 5.0), (64, 10.0)] {
        let batch = batch(packets);
        let mut seat = plugin.seat()?;
        let mut answer = Answer::default();
        let mut cross = || seat.classify(Instant::START, &batch, &mut answer);
        let mut copy = copying(&batch);
        let samples = clock::by_turns(ROUNDS, SAMPLE, &mut [&mut cross, &mut copy])
            .map_err(|why| anyhow::anyhow!("the plugin that judges nothing gave no answer: {why:?}"))?;
        let packets = f64::from(packets);
        let copy_ns = samples[1].median() / packets;
        figures.push(
            Figure::new(GROUP, format!("batch of {packets}"), "ns/packet", samples[0].median() / packets)
                .best(samples[0].least() / packets)
                .at_most(target_ns)
                .note(format!("copying the same bytes without a sandbox: {copy_ns:.2} ns")),
        );
    }
    Ok(figures)
}

/// The copy alone, in and out: what no contract can be quicker than.
fn copying(batch: &Batch) -> impl FnMut() -> Result<(), NoOpinion> {
    let bytes = size_of_val(&*batch.sources)
        + size_of_val(&*batch.flows)
        + size_of_val(&*batch.packets)
        + batch.payloads.len();
    let (outside, mut inside) = (vec![0x5a_u8; bytes], vec![0_u8; bytes]);
    let answer = vec![OpinionRow::default(); batch.packets.len()];
    move || {
        inside.copy_from_slice(&outside);
        std::hint::black_box((&mut inside, answer.clone()));
        Ok(())
    }
}

fn batch(packets: u32) -> Batch {
    let flows = packets.div_ceil(PACKETS_A_FLOW);
    Batch {
        sources: (0..flows).map(|at| SourceRow { note: at.into(), flows: 1, reserved: 0 }).collect(),
        flows: (0..flows).map(|at| FlowRow { note: at.into(), source: at, ..FlowRow::default() }).collect(),
        packets: (0..packets)
            .map(|at| PacketRow {
                flow: at / PACKETS_A_FLOW,
                payload_start: at * HEAD_BYTES as u32,
                payload_captured: HEAD_BYTES as u32,
                payload_bytes: HEAD_BYTES as u32,
                sample_rate: 1,
                ..PacketRow::default()
            })
            .collect(),
        payloads: vec![0x5a; packets as usize * HEAD_BYTES],
    }
}

fn component() -> anyhow::Result<Vec<u8>> {
    let module = format!(
        "(core module $guest\n{}\n{})",
        include_str!("../../guests/prelude.wat"),
        include_str!("../../guests/judges-nothing/guest.wat"),
    );
    let wat = include_str!("../../guests/component.wat")
        .replace("{{module}}", &module)
        .replace("{{extra}}", "")
        .replace("{{export}}", "classify");
    let mut bytes = wat::parse_str(&wat)?;
    // A custom section: 0, its size in two bytes of LEB128, its name's size, its name, its content.
    let name = b"ftagent:manifest";
    let size = 1 + name.len() + MANIFEST.len();
    bytes.extend([0, (size & 0x7f) as u8 | 0x80, (size >> 7) as u8, name.len() as u8]);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(MANIFEST);
    Ok(bytes)
}
