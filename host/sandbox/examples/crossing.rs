//! What it costs to cross the border of the sandbox, and to start.
//!
//! ```sh
//! cargo run --release -p ftagent-sandbox --example crossing
//! ```
//!
//! Rows, notes and 64-byte payloads go to a plugin that judges nothing (`tests/guests/judges-nothing`), its answer
//! is lifted and checked. Printed is the quickest of many samples, in nanoseconds a packet, with one flow for four
//! packets and with a new flow and source for each. Targets: 10 ns at a batch of 64, 5 ns at 256.

use std::path::Path;
use std::time::Duration;
use std::time::Instant as Clock;

use ftagent_core::question::Answer;
use ftagent_core::question::Batch;
use ftagent_core::question::FlowRow;
use ftagent_core::question::OpinionRow;
use ftagent_core::question::PacketRow;
use ftagent_core::question::SourceRow;
use ftagent_core::time::Instant;
use ftagent_sandbox::Config;
use ftagent_sandbox::Sandbox;

const SAMPLES: u32 = 60;
const SAMPLE: Duration = Duration::from_millis(3);
const PAYLOAD_BYTES: usize = 64;

const MANIFEST: &[u8] =
    b"name = 'judges-nothing'\nversion = '1'\ncontract = '1'\nlicense = 'MIT'\nsummary = 'Nothing'\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let component = component()?;
    let folder = std::env::temp_dir().join(format!("ftagent-crossing-{}", std::process::id()));
    let cold = start(&folder, &component);
    // The cache writes on a thread of its own.
    std::thread::sleep(Duration::from_millis(200));
    let warm = start(&folder, &component);
    std::thread::sleep(Duration::from_millis(200));
    std::fs::remove_dir_all(&folder)?;
    println!("start, nothing compiled yet  {:>8.2} ms", cold?.as_secs_f64() * 1e3);
    println!("start, compile cache warm    {:>8.2} ms", warm?.as_secs_f64() * 1e3);

    let sandbox = Sandbox::new(&Config::default())?;
    println!("memory                       {:?}", sandbox.allocation());
    let plugin = sandbox.load(&component)?;
    for (packets, target_ns) in [(1, 0.0), (16, 0.0), (64, 10.0), (256, 5.0)] {
        for (shape, packets_a_flow) in [("4 packets a flow", 4), ("all flows new", 1)] {
            let batch = batch(packets, packets_a_flow);
            let mut seat = plugin.seat()?;
            let ns = quickest(|answer| {
                seat.classify(Instant::START, &batch, answer).map_err(|why| format!("{why:?}"))
            })?;
            let (ns, copy_ns) = (ns / packets as f64, quickest(copying(&batch))? / packets as f64);
            let verdict = match target_ns {
                0.0 => String::new(),
                target if ns <= target => format!("within {target}"),
                target => format!("ABOVE {target}"),
            };
            println!(
                "batch {packets:>4}, {shape:<16}  {ns:>8.2} ns/packet, of which copying {copy_ns:>5.2}  {verdict}"
            );
        }
    }
    Ok(())
}

/// Sandbox, load, seat and the first answer.
fn start(cache: &Path, component: &[u8]) -> Result<Duration, Box<dyn std::error::Error>> {
    let begin = Clock::now();
    let sandbox = Sandbox::new(&Config { cache: Some(cache.to_owned()), ..Config::default() })?;
    let mut seat = sandbox.load(component)?.seat()?;
    seat.classify(Instant::START, &batch(1, 1), &mut Answer::default()).map_err(|why| format!("{why:?}"))?;
    Ok(begin.elapsed())
}

/// Nanoseconds of one call, in the quickest of [`SAMPLES`] samples.
fn quickest(mut call: impl FnMut(&mut Answer) -> Result<(), String>) -> Result<f64, String> {
    let mut answer = Answer::default();
    let mut best = f64::MAX;
    for _ in 0..SAMPLES {
        let (begin, mut calls) = (Clock::now(), 0_u32);
        while begin.elapsed() < SAMPLE {
            for _ in 0..64 {
                call(&mut answer)?;
            }
            calls += 64;
        }
        best = best.min(begin.elapsed().as_nanos() as f64 / f64::from(calls));
    }
    Ok(best)
}

/// The copy alone, in and out, without a sandbox: what no contract can be quicker than.
fn copying(batch: &Batch) -> impl FnMut(&mut Answer) -> Result<(), String> + '_ {
    let lists: [&[u8]; 4] = [
        bytemuck::cast_slice(&batch.sources),
        bytemuck::cast_slice(&batch.flows),
        bytemuck::cast_slice(&batch.packets),
        &batch.payloads,
    ];
    let mut inside = vec![0_u8; lists.iter().map(|list| list.len()).sum()];
    let answer = vec![OpinionRow::default(); batch.packets.len()];
    move |outside| {
        let mut at = 0;
        for list in lists {
            inside[at..][..list.len()].copy_from_slice(list);
            at += list.len();
        }
        std::hint::black_box(&mut inside);
        outside.opinions = answer.clone();
        Ok(())
    }
}

fn batch(packets: u32, packets_a_flow: u32) -> Batch {
    let flows = packets.div_ceil(packets_a_flow);
    let payload = |at: u32| at * PAYLOAD_BYTES as u32;
    Batch {
        sources: (0..flows).map(|at| SourceRow { note: at.into(), flows: 1, reserved: 0 }).collect(),
        flows: (0..flows).map(|at| FlowRow { note: at.into(), source: at, ..FlowRow::default() }).collect(),
        packets: (0..packets)
            .map(|at| PacketRow {
                flow: at / packets_a_flow,
                payload_start: payload(at),
                ..PacketRow::default()
            })
            .collect(),
        payloads: vec![0x5a; packets as usize * PAYLOAD_BYTES],
    }
}

fn component() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let module = format!(
        "(core module $guest\n{}\n{})",
        include_str!("../../../tests/guests/prelude.wat"),
        include_str!("../../../tests/guests/judges-nothing/guest.wat"),
    );
    let wat = include_str!("../../../tests/guests/component.wat")
        .replace("{{module}}", &module)
        .replace("{{extra}}", "")
        .replace("{{export}}", "classify");
    let mut bytes = wat::parse_str(&wat)?;
    let name = b"ftagent:manifest";
    let size = 1 + name.len() + MANIFEST.len();
    bytes.extend([0, (size & 0x7f) as u8 | 0x80, (size >> 7) as u8, name.len() as u8]);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(MANIFEST);
    Ok(bytes)
}
