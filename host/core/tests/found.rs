//! Shapes that are found in an attack: at least two fields, first as a counter, never one that players have.

mod field;
mod support;

use field::Client;
use field::Dice;
use field::Field;
use field::Flood;
use field::Sent;
use field::datagram;
use field::segment;
use ftagent_core::effect::Effect;
use ftagent_core::effect::ShapeDrop;
use ftagent_core::service::Transport;
use support::SYN;

/// The found shapes that were asked for, with their times.
fn found(field: &Field) -> Vec<(u64, ShapeDrop)> {
    let drops = field.asked(|effect| matches!(effect, Effect::ShapeDrop(_))).into_iter();
    let found = drops.filter_map(|(at_ms, effect)| match effect {
        Effect::ShapeDrop(drop) if &*drop.reason == "host/found-shape" => Some((at_ms, drop.clone())),
        _ => None,
    });
    found.collect()
}

/// Players, then a flood from the 20th to the 28th second.
fn battle(players: u32, tcp: bool, make: impl FnMut(u32) -> Sent + 'static) -> Field {
    let mut field = Field::with_players(players, tcp);
    field.floods = vec![Flood::new(20_000, 28_000, 3, make)];
    field.clients.push(Client::new(200, tcp, 24_000));
    field.run(28_000);
    field
}

/// A shape was tried for 300 ms, then dropped most of the flood and no player; all of it is gone afterwards.
fn check_found(field: &mut Field, transport: Transport) {
    let steps = field.steps(transport).join("\n");
    let found = found(field);
    let first = |trial: bool| found.iter().find(|(_, drop)| drop.trial == trial).map(|(at_ms, _)| *at_ms);
    let (Some(tried), Some(dropped)) = (first(true), first(false)) else { panic!("none was found\n{steps}") };
    assert!(dropped >= tried + 300 && dropped <= 23_000, "tried at {tried}, dropped at {dropped}\n{steps}");
    let shape = &found[0].1.shape;
    let strong = shape.bytes.len()
        + usize::from(shape.payload_bytes.is_some())
        + usize::from(shape.tcp_flags.is_some())
        + usize::from(shape.without_options)
        + usize::from(shape.window.is_some());
    let weak = usize::from(shape.ttl.is_some()) + usize::from(shape.source_port.is_some());
    assert!(strong >= 1 && strong + weak >= 2, "{shape:?}");
    let (sent, lost) = field.players();
    assert!(lost * 1_000 <= sent, "{lost} of {sent}\n{steps}");
    let joined = field.clients.last().and_then(|newcomer| newcomer.joined_ms);
    assert!(joined.is_some_and(|at_ms| at_ms < 28_000), "{joined:?}\n{steps}");
    field.run(45_000);
    assert_eq!(field.wall.standing(field.now_ms), 0);
}

#[test]
fn syns_of_one_tool_from_sources_that_come_again() {
    // Twice from each source and port, so that a second try does not stop them.
    let mut field = battle(25, true, |number| {
        let from = (std::net::Ipv4Addr::from_bits(0x0a00_0000 | (number % 2_000)), 1_234);
        Sent { options: false, window: 512, ..segment(from, (SYN, number, 0), b"") }
    });
    check_found(&mut field, Transport::Tcp);
}

#[test]
fn reflected_answers_from_sources_that_come_again() {
    let mut dice = Dice(2);
    let mut field = battle(25, false, move |number| {
        let mut payload = dice.bytes(468);
        payload[..4].copy_from_slice(&[0xd7, 0, 3, 0x2a]);
        datagram((std::net::Ipv4Addr::from_bits(0x0a00_0000 | (number % 500)), 123), &payload)
    });
    check_found(&mut field, Transport::Udp);
}

#[test]
fn what_looks_like_players_is_refused() {
    let mut dice = Dice(3);
    let mut field = battle(25, false, move |number| {
        // Known sources, lengths and first words of players.
        let mut payload = b"play".to_vec();
        payload.extend(dice.bytes((number % 24) as usize));
        datagram(
            (std::net::Ipv4Addr::from_bits(0x0a00_0000 | (number % 500)), 40_000 + (number % 500) as u16),
            &payload,
        )
    });
    assert_eq!(found(&field), []);
    let steps = field.steps(Transport::Udp);
    assert!(steps.iter().any(|step| step.contains("found-shape passed")), "{steps:?}");
    let (sent, lost) = field.players();
    assert!(lost * 1_000 <= sent, "{lost} of {sent}");
    field.run(45_000);
    assert_eq!(field.wall.standing(field.now_ms), 0);
}

#[test]
fn with_little_retained_none_is_used() {
    let field = battle(2, false, |number| {
        datagram((std::net::Ipv4Addr::from_bits(0x0a00_0000 | (number % 500)), 123), &[7; 468])
    });
    assert_eq!(found(&field), []);
    let steps = field.steps(Transport::Udp);
    assert!(steps.iter().any(|step| step.contains("are needed")), "{steps:?}");
}

#[test]
fn who_trickles_the_later_payload_has_no_veto() {
    let mut field = Field::with_players(25, false);
    // Proven, but not playing: once a second what the flood is going to be.
    let trickler = (std::net::Ipv4Addr::new(192, 0, 2, 66), 6_666);
    field.send(&datagram(trickler, b"echo"));
    for second in 20..50u64 {
        field.run(second * 1_000);
        field.send(&datagram(trickler, &[7; 468]));
    }
    let make =
        |number: u32| datagram((std::net::Ipv4Addr::from_bits(0x0a00_0000 | (number % 500)), 123), &[7; 468]);
    field.floods = vec![Flood::new(50_000, 56_000, 3, make)];
    field.run(56_000);
    let steps = field.steps(Transport::Udp).join("\n");
    assert!(found(&field).iter().any(|(_, drop)| !drop.trial), "{steps}");
    let (sent, lost) = field.players();
    assert!(lost * 1_000 <= sent, "{lost} of {sent}\n{steps}");
}
