//! After each packet, every counter that moved: an unstated change fails.

mod support;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::NoOpinion;
use ftagent_core::Report;
use ftagent_core::Roster;
use ftagent_core::effect::Effects;
use ftagent_core::service::Services;
use ftagent_core::time::Instant;
use support::ACK;
use support::Made;
use support::PORT;
use support::SERVER;
use support::SYN;

const CLIENT: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 40_000);
const SERVICE: (Ipv4Addr, u16) = (SERVER, PORT);

fn engine() -> Engine {
    let roster = Arc::new(Roster::new(vec![Arc::new(support::manifest())]));
    Engine::new(
        EngineConfig { flows: 64, sources: 64, ..EngineConfig::default() },
        roster,
        support::services(),
    )
}

/// All counters of a report by name.
fn counters(report: &Report) -> BTreeMap<String, u64> {
    let p = &report.packets;
    let packets = [
        ("total", p.total),
        ("malformed", p.malformed),
        ("unmatched", p.unmatched),
        ("replies", p.replies),
        ("genuine", p.genuine),
        ("hostile", p.hostile),
        ("unknown", p.unknown),
        ("waiting", p.waiting),
    ];
    let mut all: BTreeMap<String, u64> =
        packets.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    all.extend(report.malformed.iter().map(|(name, count)| (format!("malformed.{name}"), *count)));
    all.extend(report.losses.iter().map(|(name, count)| (format!("lost.{name}"), *count)));
    all.extend(report.reasons.iter().map(|(name, count)| (format!("reason.{name}"), *count)));
    all.insert("flows".to_owned(), report.flows.len() as u64);
    all
}

/// What moved between two reports, as `name+n`.
fn moved(before: &Report, after: &Report) -> String {
    let (before, after) = (counters(before), counters(after));
    let moved = after.iter().filter_map(|(name, count)| {
        let by = *count as i64 - before.get(name).copied().unwrap_or(0) as i64;
        (by != 0).then(|| format!("{name}{by:+}"))
    });
    moved.collect::<Vec<_>>().join(" ")
}

/// Hands in frames one by one and compares what each moved once it was answered.
fn check(steps: &[(Vec<u8>, &str)]) {
    let mut engine = engine();
    let mut effects = Effects::default();
    for (number, (bytes, expected)) in steps.iter().enumerate() {
        let before = engine.report();
        support::step(&mut engine, Instant::from_millis(1_000 + number as u64), bytes, &mut effects);
        support::flush(&mut engine, &mut effects);
        assert_eq!(moved(&before, &engine.report()), *expected, "packet {number}");
    }
}

fn with_protocol(mut packet: Vec<u8>, protocol: u8) -> Vec<u8> {
    packet[23] = protocol;
    packet
}

#[test]
fn every_counter_that_moves_is_named() {
    let udp = |from, to, payload: &[u8]| support::udp(0, from, to, payload).bytes();
    let nobody = (SERVER, 9);
    let elsewhere = (Ipv4Addr::new(198, 51, 100, 1), 9);
    let mut later = udp(CLIENT, nobody, b"xxxxxxxx");
    (later[20], later[21]) = (0, 5);
    let mut cut = udp(CLIENT, SERVICE, b"p");
    cut.truncate(40);
    let arp = [[0xff; 12].as_slice(), &[8, 6], &[0; 28]].concat();
    check(&[
        (udp(CLIENT, SERVICE, b"p"), "flows+1 genuine+1 total+1"),
        (udp(CLIENT, SERVICE, b"p"), "genuine+1 total+1"),
        (udp(CLIENT, SERVICE, b"x"), "total+1 unknown+1"),
        (udp(CLIENT, SERVICE, b"!"), "hostile+1 reason.toy/impossible-toy+1 total+1"),
        (udp(CLIENT, SERVICE, b"?"), "hostile+1 reason.toy/unusual-toy+1 total+1"),
        (udp(CLIENT, SERVICE, b"*"), "total+1 unknown+1"),
        (udp(SERVICE, CLIENT, b"answer"), "replies+1 total+1"),
        (udp(CLIENT, (SERVER, PORT + 1), b"x"), "flows+1 hostile+1 reason.host/wrong-transport+1 total+1"),
        (udp((SERVER, PORT + 1), CLIENT, b"something listens"), "replies+1 total+1"),
        (udp(CLIENT, (SERVER, PORT + 1), b"x"), "total+1 unknown+1"),
        (udp(CLIENT, nobody, b"x"), "total+1 unknown+1"),
        (later, "total+1 unknown+1"),
        (with_protocol(udp(CLIENT, nobody, b"x"), 1), "total+1 unknown+1"),
        (with_protocol(udp(CLIENT, nobody, b"x"), 47), "total+1 unknown+1"),
        (udp(CLIENT, elsewhere, b"x"), "total+1 unmatched+1"),
        (arp, "total+1 unmatched+1"),
        (cut, "malformed+1 malformed.ipv4-beyond-frame+1 total+1"),
        (
            udp((Ipv4Addr::new(127, 0, 0, 1), 5), SERVICE, b"p"),
            "hostile+1 reason.host/martian-source+1 total+1",
        ),
        (
            udp((Ipv4Addr::new(240, 0, 0, 1), 5), SERVICE, b"p"),
            "hostile+1 reason.host/martian-source+1 total+1",
        ),
    ]);
}

#[test]
fn a_rate_reason_counts_only_above_its_rate() {
    let packet = support::udp(0, CLIENT, SERVICE, b"*").bytes();
    let mut steps: Vec<_> = (0..10).map(|_| (packet.clone(), "total+1 unknown+1")).collect();
    steps[0].1 = "flows+1 total+1 unknown+1";
    steps.push((packet, "hostile+1 reason.toy/too-many-toys+1 total+1"));
    check(&steps);
}

#[test]
fn a_plugin_without_an_opinion_costs_its_opinion_only() {
    let causes = [
        (NoOpinion::Trapped, "plugin-trapped"),
        (NoOpinion::OutOfFuel, "plugin-out-of-fuel"),
        (NoOpinion::Lied, "plugin-lied"),
        (NoOpinion::Quarantined, "plugin-quarantined"),
        (NoOpinion::Missing, "plugin-missing"),
    ];
    for (why, name) in causes {
        let mut engine = engine();
        let mut effects = Effects::default();
        let bytes = support::udp(0, CLIENT, SERVICE, b"!").bytes();
        engine.frame(&support::frame(Instant::from_millis(1), &bytes), &mut effects);
        let plugin = engine.pending().expect("one row waits");
        engine.answer(plugin, Err(why), &mut effects);
        let report = engine.report();
        assert_eq!((report.packets.unknown, report.packets.waiting), (1, 0));
        assert_eq!(report.losses.get(name), Some(&1));
        assert_eq!(effects, Effects::default());
    }
}

#[test]
fn a_plugin_that_is_not_there_is_told() {
    let mut engine = Engine::new(EngineConfig::default(), Arc::default(), support::services());
    let mut effects = Effects::default();
    let bytes = support::udp(0, CLIENT, SERVICE, b"!").bytes();
    engine.frame(&support::frame(Instant::from_millis(1), &bytes), &mut effects);
    let report = engine.report();
    assert_eq!((report.packets.unknown, report.losses.get("plugin-missing")), (1, Some(&1)));
    assert!(report.services.iter().any(|service| service.plugin_missing));
}

#[test]
fn a_new_roster_answers_what_waits_with_nothing() {
    let mut engine = engine();
    let mut effects = Effects::default();
    let bytes = support::udp(0, CLIENT, SERVICE, b"!").bytes();
    engine.frame(&support::frame(Instant::from_millis(1), &bytes), &mut effects);
    engine.set_roster(Arc::new(Roster::new(vec![Arc::new(support::manifest())])));
    let report = engine.report();
    assert_eq!((report.packets.waiting, report.packets.unknown), (0, 1));
    assert_eq!(report.losses.get("plugin-exchanged"), Some(&1));
}

#[test]
fn a_full_batch_that_nobody_answers_loses_opinions_and_no_packet() {
    let mut engine = engine();
    let mut effects = Effects::default();
    let bytes = support::udp(0, CLIENT, SERVICE, b"p").bytes();
    for _ in 0..300 {
        engine.frame(&support::frame(Instant::from_millis(1), &bytes), &mut effects);
    }
    let report = engine.report();
    assert_eq!((report.packets.waiting, report.packets.unknown), (256, 44));
    assert_eq!(report.losses.get("batch-full"), Some(&44));
}

#[test]
fn the_tables_are_bounded_and_keep_who_is_proven() {
    let mut engine = engine();
    let mut effects = Effects::default();
    let mut send = |engine: &mut Engine, packet: Made| {
        support::step(engine, Instant::from_millis(packet.at_ms), &packet.bytes(), &mut effects)
    };
    let handshake: [Made; 3] = [
        support::tcp(10, CLIENT, SERVICE, (SYN, 100, 0), b""),
        support::tcp(11, SERVICE, CLIENT, (SYN | ACK, 900, 101), b""),
        support::tcp(12, CLIENT, SERVICE, (ACK, 101, 901), b""),
    ];
    for packet in handshake {
        send(&mut engine, packet);
    }
    for number in 0..20_000u32 {
        let forged = (Ipv4Addr::from_bits(0x0a00_0000 | number), 5);
        send(&mut engine, support::udp(200 + u64::from(number), forged, SERVICE, b"x"));
    }
    let report = engine.report();
    assert!(report.flows.len() <= 64, "{} flows", report.flows.len());
    assert!(report.flows_forgotten > 10_000);
    assert!(report.flows.iter().any(|flow| flow.source == IpAddr::V4(CLIENT.0)), "the proven flow is kept");
}

#[test]
fn a_service_is_followed_through_new_tables() {
    let mut engine = engine();
    let mut effects = Effects::default();
    let packet = support::udp(0, CLIENT, SERVICE, b"p").bytes();
    let mut send = |engine: &mut Engine, at_ms| {
        support::step(engine, Instant::from_millis(at_ms), &packet, &mut effects);
        support::flush(engine, &mut effects);
        engine.counts().genuine
    };
    assert_eq!(send(&mut engine, 1_000), 1);
    engine.set_services(Arc::new(Services::default()));
    assert_eq!(send(&mut engine, 2_000), 2, "it vanished and is still known");
    engine.set_services(support::services());
    assert_eq!(send(&mut engine, 3_000), 3, "it is back");
    assert_eq!(engine.report().flows[0].packets, 3, "as the same flow");
    engine.set_services(Arc::new(Services::default()));
    assert_eq!(send(&mut engine, 600_000), 4, "still known after nearly ten minutes");
    assert_eq!(send(&mut engine, 700_000), 4, "and forgotten after them");
}
