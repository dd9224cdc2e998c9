//! Packets a second through the engine without a plugin's own time, on frames made in memory: parse, service,
//! flow, row, an answer that was made before, judge. Time is that of the processor, so that a busy machine counts
//! less.
//!
//! `cargo run --release -p ftagent-core --example throughput`, and part of a line's name to run only that.

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;

use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::Roster;
use ftagent_core::Run;
use ftagent_core::effect::Effects;
use ftagent_core::frame::Frame;
use ftagent_core::frame::Passage;
use ftagent_core::question::Answer;
use ftagent_core::question::OpinionRow;
use ftagent_core::time::Instant;
use support::PORT;
use support::SERVER;

const PACKETS: u32 = 4_000_000;

/// An address out of a counter.
fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 | (number.wrapping_mul(0x9e37_79b1) >> 8))
}

/// Nanoseconds that this process has had a processor.
fn busy_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").expect("Linux tells how long we ran");
    stat.split_whitespace().next().and_then(|ns| ns.parse().ok()).expect("its first number is nanoseconds")
}

fn run(name: &str, flows: u32, payload: &[u8], judgement: u8, reason: u16) {
    if !name.contains(&std::env::args().nth(1).unwrap_or_default()) {
        return;
    }
    let mut manifest = support::manifest();
    manifest.replies = false;
    let mut engine = Engine::new(
        EngineConfig { seed: 7, ..EngineConfig::default() },
        Arc::new(Roster::new(vec![Arc::new(manifest)])),
        support::services(),
    );
    let mut bytes = support::udp(0, (SERVER, 1), (SERVER, PORT), payload).bytes();
    let opinion = OpinionRow { judgement, reason, class: 4, ..OpinionRow::default() };
    let (mut answer, mut effects, mut run) = (Answer::default(), Effects::default(), Run::default());
    let mut asked = 0;
    let began = busy_ns();
    for number in 0..PACKETS {
        let flow = if flows == 0 { number } else { number % flows };
        bytes[26..30].copy_from_slice(&address(flow).octets());
        bytes[34..36].copy_from_slice(&(flow as u16 | 1024).to_be_bytes());
        let at = Instant::from_micros(u64::from(number) / 3);
        run.hold(&Frame { passage: Passage::Ingress, ..support::frame(at, &bytes) });
        if !run.is_full() && number + 1 < PACKETS {
            continue;
        }
        engine.look_ahead(&mut run);
        let mut done = 0;
        while done < run.len() {
            done = engine.run(&run, done, &mut effects);
            while let Some(plugin) = engine.full() {
                let batch = engine.batch(plugin);
                answer.opinions.resize(batch.packets.len(), opinion);
                answer.flow_notes.resize(batch.flows.len(), 0);
                answer.source_notes.resize(batch.sources.len(), 0);
                engine.answer(plugin, Ok(&answer), &mut effects);
            }
        }
        run.clear();
        asked += effects.asked.len();
        effects.asked.clear();
    }
    asked += effects.asked.len();
    let seconds = (busy_ns() - began) as f64 / 1e9;
    let pps = f64::from(PACKETS) / seconds / 1e6;
    println!("{name:32} {pps:6.2} M packets/s  {:6.1} ns each  {asked} effects", 1e3 / pps);
    let counts = engine.counts();
    assert_eq!(counts.total, u64::from(PACKETS), "every packet is accounted for");
}

fn main() {
    let payload = [b'x'; 32];
    run("100 flows, unknown", 100, &payload, 0, 0);
    run("10,000 flows, unknown", 10_000, &payload, 0, 0);
    run("10,000 flows, genuine play", 10_000, &payload, 1, 0);
    run("10,000 flows, hostile", 10_000, &payload, 2, 1);
    run("each packet a new source", 0, &payload, 0, 0);
    run("each packet new and hostile", 0, &payload, 2, 1);
    let memory = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", memory.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("no /proc"));
}
