//! The ladder of measures on a made battlefield: what is taken against which flood and when, that newcomers still
//! get in, that players lose nothing, and that everything is taken back.

mod field;
mod support;

use std::net::Ipv4Addr;

use field::Client;
use field::Dice;
use field::Field;
use field::Flood;
use field::Sent;
use field::datagram;
use field::segment;
use ftagent_core::effect::Effect;
use ftagent_core::service::Transport;
use support::ACK;
use support::SYN;

/// A flood of 5,000 packets a second from the 20th to the 30th second, a newcomer 2 s after its beginning, and
/// players all the time.
fn battle(tcp: bool, make: impl FnMut(u32) -> Sent + 'static) -> Field {
    let mut field = Field::with_players(25, tcp);
    field.floods = vec![Flood::new(20_000, 30_000, 3, make)];
    field.clients.push(Client::new(200, tcp, 22_000));
    field.run(30_000);
    field
}

/// What must be true of every battle.
fn check(field: &mut Field, transport: Transport) {
    let steps = field.steps(transport).join("\n");
    let (sent, lost) = field.players();
    assert!(sent > 5_000 && lost * 1_000 <= sent, "{lost} of {sent} players' packets were lost\n{steps}");
    let joined = field.clients.last().and_then(|newcomer| newcomer.joined_ms);
    assert!(joined.is_some_and(|at_ms| at_ms <= 32_000), "a newcomer joins within 10 s: {joined:?}\n{steps}");
    assert!(field.leases().is_empty(), "no source was proven hostile");
    let flood = &field.floods[0];
    let late = flood.arrived_late * 1_000 / (flood.sent * 8 / 10);
    assert!(late <= 50, "{late} per mille of the flood arrived\n{steps}");
    field.run(45_000);
    assert_eq!(field.wall.standing(field.now_ms), 0, "all measures are gone\n{steps}");
    assert!(field.engine.incidents().is_empty());
}

#[test]
fn forged_syns_meet_a_second_try_and_newcomers_pass_it() {
    let mut dice = Dice(1);
    let mut field = battle(true, move |number| segment(dice.forged(), (SYN, number, 0), b""));
    check(&mut field, Transport::Tcp);
    let tries = field.second_tries();
    let first = tries.first().expect("they are asked to come again").0;
    assert!((20_300..=20_900).contains(&first), "after the limits have shown what they do: {first}");
    let incident = field.incident();
    let names: Vec<&str> = incident.measures.iter().map(|taken| &*taken.measure).collect();
    assert!(names.contains(&"crowd-limit") && names.contains(&"second-try"), "{names:?}");
    assert!(incident.measures.iter().all(|taken| !taken.because.is_empty()), "{:?}", incident.measures);
}

#[test]
fn forged_openings_meet_a_second_try_over_udp_too() {
    let mut dice = Dice(2);
    let mut field = battle(false, move |_| datagram(dice.forged(), b"opening"));
    check(&mut field, Transport::Udp);
    assert!(!field.second_tries().is_empty());
}

#[test]
fn what_shapes_drop_does_not_eat_the_newcomers_budget() {
    let mut dice = Dice(3);
    let mut field = battle(false, move |_| datagram(dice.forged(), b"!"));
    check(&mut field, Transport::Udp);
    let joined = field.clients.last().and_then(|newcomer| newcomer.joined_ms);
    assert_eq!(joined.map(|at_ms| at_ms < 22_100), Some(true), "at once, without a second try");
    assert!(field.second_tries().is_empty(), "nothing stronger than the declared shape is needed");
}

#[test]
fn random_datagrams_that_nobody_understands_let_newcomers_in() {
    let mut dice = Dice(4);
    let mut field = battle(false, move |_| {
        let bytes = 1 + dice.roll(1_200) as usize;
        let mut payload = dice.bytes(bytes);
        payload[0] |= 0x80;
        datagram(dice.forged(), &payload)
    });
    check(&mut field, Transport::Udp);
}

#[test]
fn a_few_unproven_sources_that_come_again_meet_buckets() {
    let mut field = battle(false, move |number| {
        let from = (Ipv4Addr::new(192, 0, 2, (number % 4) as u8), 7_777);
        datagram(from, b"xxxxx")
    });
    check(&mut field, Transport::Udp);
    let buckets = field.asked(|effect| matches!(effect, Effect::BucketLimit(_)));
    assert!(!buckets.is_empty(), "{}", field.steps(Transport::Udp).join("\n"));
}

#[test]
fn a_flood_of_acknowledgements_lets_newcomers_in() {
    let mut dice = Dice(5);
    let mut field = battle(true, move |number| {
        let acks = segment(dice.forged(), (ACK, number, number), b"");
        Sent { window: 512, options: false, ttl: 240, ..acks }
    });
    check(&mut field, Transport::Tcp);
    assert!(field.second_tries().is_empty(), "it concerns SYNs only");
}
