//! Invariant 5: the same bytes at the same times give the same opinions and notes at any batch size, and the same
//! effects for the same batch rule. Also where the tables overflow.

mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;

use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::Roster;
use ftagent_core::Run;
use ftagent_core::effect::Effects;
use ftagent_core::limits::RUN_FRAMES;
use ftagent_core::question::OpinionRow;
use ftagent_core::time::Instant;
use proptest::prelude::*;
use support::ACK;
use support::FIN;
use support::Made;
use support::PORT;
use support::PSH;
use support::RST;
use support::SERVER;
use support::SYN;

fn engine(batch_rows: usize, places: usize) -> Engine {
    let config =
        EngineConfig { seed: 3, batch_rows, flows: places, sources: places, ..EngineConfig::default() };
    Engine::new(config, Arc::new(Roster::new(vec![Arc::new(support::manifest())])), support::services())
}

/// Everything that came of these packets.
fn replay(packets: &[Made], batch_rows: usize, places: usize) -> (Vec<OpinionRow>, Effects, Engine) {
    let mut engine = engine(batch_rows, places);
    let mut effects = Effects::default();
    let mut opinions = Vec::new();
    for packet in packets {
        let at = Instant::from_millis(packet.at_ms);
        opinions.extend(support::step(&mut engine, at, &packet.bytes(), &mut effects));
    }
    opinions.extend(support::flush(&mut engine, &mut effects));
    (opinions, effects, engine)
}

/// The same, with the packets handed over in runs.
fn replay_in_runs(packets: &[Made], frames: usize, places: usize) -> (Vec<OpinionRow>, Effects, Engine) {
    let mut engine = engine(64, places);
    let (mut effects, mut run, mut opinions) = (Effects::default(), Run::default(), Vec::new());
    for packets in packets.chunks(frames) {
        for packet in packets {
            run.hold(&support::frame(Instant::from_millis(packet.at_ms), &packet.bytes()));
        }
        opinions.extend(support::step_run(&mut engine, &mut run, &mut effects));
    }
    opinions.extend(support::flush(&mut engine, &mut effects));
    (opinions, effects, engine)
}

/// A packet of one of a few clients, in either direction, over either transport.
fn any_packet() -> impl Strategy<Value = Made> {
    let flags = prop::sample::select(vec![SYN, SYN | ACK, ACK, PSH | ACK, RST, FIN | ACK]);
    let payload = prop::sample::select(vec![
        "",
        "!",
        "?",
        "*",
        "p",
        "e",
        "o",
        "hello world",
        "0123456789abcdef0123456789",
    ]);
    (0..40u8, 0..3u16, any::<bool>(), any::<bool>(), flags, 0..40u32, 0..40u32, payload, 0..60u64).prop_map(
        |(host, port, reply, is_tcp, flags, sequence, acknowledgement, payload, gap_ms)| {
            let client = (Ipv4Addr::new(192, 0, 2, host), 40_000 + port);
            let server = (SERVER, PORT);
            let (from, to) = if reply { (server, client) } else { (client, server) };
            let tcp = is_tcp.then_some((flags, sequence, acknowledgement));
            Made { at_ms: gap_ms, from, to, tcp, payload: payload.as_bytes().to_vec() }
        },
    )
}

fn any_packets() -> impl Strategy<Value = Vec<Made>> {
    prop::collection::vec(any_packet(), 1..600).prop_map(|mut packets| {
        let mut now_ms = 1_000;
        for packet in &mut packets {
            now_ms += if packet.at_ms < 50 { 0 } else { packet.at_ms };
            packet.at_ms = now_ms;
        }
        packets
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn opinions_and_notes_are_the_same_at_any_batch_size(packets in any_packets(), small in any::<bool>()) {
        let places = if small { 16 } else { 1_024 };
        let (one, _, _) = replay(&packets, 1, places);
        for batch_rows in [2, 7, 64, 256] {
            let (many, _, engine) = replay(&packets, batch_rows, places);
            prop_assert_eq!(&one, &many, "a batch of {}", batch_rows);
            prop_assert_eq!(engine.counts().waiting, 0);
        }
    }

    #[test]
    fn effects_are_the_same_for_the_same_batch_rule(packets in any_packets()) {
        let (_, first, _) = replay(&packets, 64, 64);
        let (_, second, _) = replay(&packets, 64, 64);
        prop_assert_eq!(first, second);
    }

    #[test]
    fn everything_is_the_same_for_runs_of_any_length(packets in any_packets(), small in any::<bool>()) {
        let places = if small { 16 } else { 1_024 };
        let (opinions, effects, engine) = replay(&packets, 64, places);
        for frames in [1, 5, RUN_FRAMES, 3 * RUN_FRAMES + 1] {
            let run = replay_in_runs(&packets, frames, places);
            prop_assert_eq!(&opinions, &run.0, "runs of {}", frames);
            prop_assert_eq!(&effects, &run.1, "runs of {}", frames);
            prop_assert_eq!(engine.report(), run.2.report(), "runs of {}", frames);
        }
    }

    #[test]
    fn every_packet_is_accounted_for(packets in any_packets(), small in any::<bool>()) {
        let mut engine = engine(16, if small { 16 } else { 1_024 });
        let mut effects = Effects::default();
        for packet in &packets {
            support::step(&mut engine, Instant::from_millis(packet.at_ms), &packet.bytes(), &mut effects);
            let c = engine.counts();
            let sum = c.malformed + c.unmatched + c.replies + c.genuine + c.hostile + c.unknown + c.waiting;
            prop_assert_eq!(c.total, sum);
        }
    }
}

/// What was found before a new service table is looked up again.
#[test]
fn a_run_that_was_read_ahead_obeys_a_newer_service_table() {
    let mut engine = engine(64, 64);
    let (mut effects, mut run) = (Effects::default(), Run::default());
    let packet = support::udp(1_000, (Ipv4Addr::new(192, 0, 2, 1), 40_000), (SERVER, PORT), b"p").bytes();
    run.hold(&support::frame(Instant::from_millis(1_000), &packet));
    engine.look_ahead(&mut run);
    engine.tick(Instant::from_millis(1_000), &mut effects);
    engine.set_services(Arc::default());
    engine.tick(Instant::from_millis(1_000_000), &mut effects);
    assert_eq!(engine.run(&run, 0, &mut effects), 1);
    assert_eq!(engine.counts().unmatched, 1, "the service has been gone for a quarter of an hour");
}

#[test]
fn the_toy_plugin_notices_order() {
    let client = (Ipv4Addr::new(192, 0, 2, 1), 40_000);
    let packet = |payload: &str| support::udp(1_000, client, (SERVER, PORT), payload.as_bytes());
    let (ab, ..) = replay(&[packet("pa"), packet("pb")], 8, 64);
    let (ba, ..) = replay(&[packet("pb"), packet("pa")], 8, 64);
    assert_ne!(ab, ba, "else the property above would prove nothing");
}

/// FiveM's UDP follows a join over TCP: one plugin that judges both transports of a port has one note a source.
#[test]
fn both_transports_of_a_port_share_the_note_of_a_source() {
    let mut engine = engine(64, 64);
    let mut effects = Effects::default();
    let at = Instant::from_millis(1_000);
    let client = (Ipv4Addr::new(192, 0, 2, 1), 40_000);
    let server = (SERVER, PORT);
    support::step(
        &mut engine,
        at,
        &support::tcp(1_000, client, server, (support::SYN, 7, 0), b"").bytes(),
        &mut effects,
    );
    support::flush(&mut engine, &mut effects);
    support::step(&mut engine, at, &support::udp(1_000, client, server, b"p").bytes(), &mut effects);
    let plugin = engine.pending().expect("the packet waits for the toy plugin");
    assert_ne!(engine.batch(plugin).sources[0].note, 0);
    let other = (Ipv4Addr::new(192, 0, 2, 2), 40_000);
    support::step(&mut engine, at, &support::udp(1_000, other, server, b"p").bytes(), &mut effects);
    assert_eq!(engine.batch(plugin).sources[1].note, 0, "another source has its own");
}
