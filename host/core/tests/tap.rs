//! What a recorder is told of single packets.

mod support;

use std::net::Ipv4Addr;
use std::sync::Arc;

use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::Roster;
use ftagent_core::effect::Effects;
use ftagent_core::limits;
use ftagent_core::tap::Judged;
use ftagent_core::time::Instant;
use support::Made;
use support::PORT;
use support::SERVER;

const CLIENT: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 40_000);
const SERVICE: (Ipv4Addr, u16) = (SERVER, PORT);
const WRONG: (Ipv4Addr, u16) = (SERVER, PORT + 1);
const NOBODYS: (Ipv4Addr, u16) = (SERVER, 9);
const ELSEWHERE: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 51, 100, 1), 9);

fn engine() -> Engine {
    let roster = Arc::new(Roster::new(vec![Arc::new(support::manifest())]));
    Engine::new(EngineConfig::default(), roster, support::services())
}

fn shown(engine: &Engine, judged: &Judged) -> String {
    let reason = engine.reason_of(judged).map_or_else(|| "-".to_owned(), |reason| reason.to_string());
    format!("{} {} {} {}", judged.frame, judged.judgement(), reason, judged.standing.name())
}

/// After one packet: where it belongs (`-`, `node`, a port, `reply`), and after an answer what became of it.
fn check(made: &Made, placed: &str, becomes: &[&str]) {
    let mut engine = engine();
    engine.set_tap(true);
    let mut effects = Effects::default();
    support::step(&mut engine, Instant::from_millis(made.at_ms), &made.bytes(), &mut effects);
    let found = match engine.placed() {
        None => "-".to_owned(),
        Some(placed) if placed.reply => "reply".to_owned(),
        Some(placed) => {
            let service = engine.service_at(placed.site);
            service.map_or_else(|| "node".to_owned(), |service| service.key.port.to_string())
        }
    };
    assert_eq!(found, placed, "{made:?}");
    support::flush(&mut engine, &mut effects);
    let mut judged = Vec::new();
    engine.take_judged(&mut judged);
    let told: Vec<_> = judged.iter().map(|judged| shown(&engine, judged)).collect();
    assert_eq!(told, becomes, "{made:?}");
    engine.take_judged(&mut judged);
    assert_eq!(judged, [], "told once");
}

#[test]
fn every_packet_is_told_with_its_place_and_what_became_of_it() {
    let packet = |from, to, payload: &[u8]| support::udp(1_000, from, to, payload);
    check(&packet(CLIENT, SERVICE, b"!x"), "30000", &["1 hostile toy/impossible-toy stranger"]);
    check(&packet(CLIENT, SERVICE, b"p"), "30000", &["1 genuine - stranger"]);
    check(&packet(CLIENT, SERVICE, b"?"), "30000", &["1 hostile toy/unusual-toy stranger"]);
    check(&packet(CLIENT, WRONG, b"p"), "30001", &["1 hostile host/wrong-transport stranger"]);
    check(&packet(CLIENT, NOBODYS, b"p"), "node", &["1 unknown - stranger"]);
    check(&packet(SERVICE, CLIENT, b"p"), "reply", &[]);
    check(&packet(CLIENT, ELSEWHERE, b"p"), "-", &[]);
}

#[test]
fn without_a_recorder_nothing_is_kept_and_with_a_deaf_one_little() {
    let mut engine = engine();
    let mut effects = Effects::default();
    let mut judged = vec![];
    let bytes = support::udp(0, CLIENT, SERVICE, b"p").bytes();
    let mut send = |engine: &mut Engine, packets: u64| {
        for at in 0..packets {
            support::step(engine, Instant::from_micros(at), &bytes, &mut effects);
        }
        support::flush(engine, &mut effects);
    };
    send(&mut engine, 10);
    engine.take_judged(&mut judged);
    assert_eq!((judged.len(), engine.placed()), (0, None));
    engine.set_tap(true);
    send(&mut engine, 6_000);
    engine.take_judged(&mut judged);
    assert_eq!(judged.len(), limits::TAPPED);
}
