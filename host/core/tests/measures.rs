//! The ladder of measures on a made battlefield: what is taken against which flood and when, that newcomers still
//! get in, that players lose nothing, and that everything is taken back.

mod field;
mod support;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use field::Client;
use field::Dice;
use field::Field;
use field::Flood;
use field::Sent;
use field::datagram;
use field::segment;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Grain;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;
use ftagent_core::service::Transport;
use support::ACK;
use support::PORT;
use support::SERVER;
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

/// Three hundred real addresses, so far from one another, that join again and again, and a newcomer among them.
fn join_flood(tcp: bool, apart: u32) -> Field {
    let mut field = Field::with_players(25, tcp);
    let bot = |number: u32| {
        let end = (Ipv4Addr::from_bits(0x0a01_0000 + number * apart), 2_000);
        let from_ms = 20_000 + u64::from(number % 100) * 10;
        Client { rejoins: true, ..Client::at(end, tcp, from_ms) }
    };
    field.clients.extend((0..300).map(bot));
    field.clients.push(Client::new(200, tcp, 24_000));
    field.run(36_000);
    field
}

#[test]
fn newcomers_get_in_during_a_join_flood() {
    // Next to one another, and each in a network of its own.
    for (tcp, apart) in [(false, 1), (true, 1), (false, 256), (true, 256)] {
        let mut field = join_flood(tcp, apart);
        let steps = field.steps(if tcp { Transport::Tcp } else { Transport::Udp }).join("\n");
        assert!(!field.engine.incidents().is_empty(), "it is an attack");
        let joined = field.clients.last().and_then(|newcomer| newcomer.joined_ms);
        assert!(joined.is_some_and(|at_ms| at_ms <= 34_000), "tcp {tcp}: {joined:?}\n{steps}");
        // Who joins now shares the crowd's limit until it has played for some seconds.
        field.clients.pop();
        let (sent, lost) = field.players();
        assert!(lost * 1_000 <= sent, "{lost} of {sent}\n{steps}");
    }
}

#[test]
fn bots_of_a_few_networks_meet_buckets_of_networks() {
    for (apart, grain) in [(1, Some(Grain::Network)), (256, None)] {
        let field = join_flood(true, apart);
        let steps = field.steps(Transport::Tcp).join("\n");
        let asked = field.asked(|effect| matches!(effect, Effect::BucketLimit(_)));
        let mut grains = asked.iter().filter_map(|(_, effect)| match effect {
            Effect::BucketLimit(limit) => Some(limit.grain),
            _ => None,
        });
        assert_eq!(grains.next_back(), grain, "{steps}");
        let joined = field.clients.last().and_then(|newcomer| newcomer.joined_ms);
        // A network of its own is a bucket of its own.
        let late_ms = if grain.is_some() { 26_000 } else { 34_000 };
        assert!(joined.is_some_and(|at_ms| at_ms <= late_ms), "{joined:?}\n{steps}");
    }
}

/// In the calm after an attack those who came with it are silent, and look like anybody who proved itself.
#[test]
fn bots_get_no_lanes_when_their_attack_is_over() {
    for tcp in [false, true] {
        let mut field = join_flood(tcp, 1);
        field.clients.retain(|client| !client.rejoins);
        field.run(70_000);
        assert!(field.incident().closed_at.is_some(), "it is over");
        let of_bots = |effect: &Effect| match effect {
            Effect::Lane(lane) => lane.for_ms > 0 && lane.source.to_string().starts_with("10.1."),
            _ => false,
        };
        let late = field.asked(of_bots).into_iter().filter(|(at_ms, _)| *at_ms > 38_000).count();
        assert_eq!(late, 0, "tcp {tcp}");
    }
}

#[test]
fn a_pulsing_flood_meets_its_measures_at_once() {
    let mut field = Field::with_players(25, false);
    let mut dice = Dice(7);
    let pulse = |from_ms: u64, mut dice: Dice| {
        Flood::new(from_ms, from_ms + 1_000, 5, move |_| datagram(dice.forged(), b"opening"))
    };
    field.floods = (0..5).map(|number| pulse(20_000 + number * 5_000, Dice(dice.roll(1 << 30)))).collect();
    field.run(45_000);
    let steps = field.steps(Transport::Udp).join("\n");
    for (number, flood) in field.floods.iter().enumerate().skip(1) {
        assert!(flood.arrived * 20 < flood.sent, "pulse {number}: {} arrived\n{steps}", flood.arrived);
    }
    let (sent, lost) = field.players();
    assert!(lost * 1_000 <= sent, "{lost} of {sent}\n{steps}");
}

#[test]
fn the_syn_proxy_is_the_last_rung_and_opt_in() {
    for opted_in in [false, true] {
        let key = ServiceKey { ip: IpAddr::V4(SERVER), port: PORT, transport: Transport::Tcp };
        let services = (*support::services()).clone();
        let mut field = Field::with(services.with_syn_proxy(opted_in.then_some(key)));
        // A kernel without room for a limit: what comes again gets through.
        field.wall.no_crowd = true;
        let make = |number: u32| {
            let from = (Ipv4Addr::from_bits(0x0a00_0000 | (number % 1_000)), 1_234);
            segment(from, (SYN, number, 0), b"")
        };
        field.floods = vec![Flood::new(5_000, 12_000, 3, make)];
        field.run(12_000);
        let asked = field.asked(|effect| matches!(effect, Effect::SynProxy(proxy) if proxy.for_ms > 0));
        let steps = field.steps(Transport::Tcp).join("\n");
        assert_eq!(!asked.is_empty(), opted_in, "{steps}");
        if let Some((at_ms, _)) = asked.first() {
            assert!(*at_ms > field.second_tries()[0].0 + 300, "behind the second try\n{steps}");
        } else {
            assert!(steps.contains("syn-proxy passed: this service has not opted in"), "{steps}");
        }
    }
}

/// Bots that prove themselves and say what no client says, under a flood, and a newcomer among them.
fn bots_at(services: Services) -> Field {
    let mut field = Field::with(services);
    field.clients = (0..25).map(|number| Client::new(number, true, 1_000 + u64::from(number) * 20)).collect();
    field.run(20_000);
    let mut dice = Dice(9);
    field.floods =
        vec![Flood::new(20_000, 28_000, 3, move |number| segment(dice.forged(), (SYN, number, 0), b""))];
    let bots = (0..20).map(|host| {
        let end = (Ipv4Addr::new(192, 0, 2, host), 5_000);
        Client { every_ms: 10, play: b"?junk", ..Client::at(end, true, 20_000) }
    });
    field.clients.extend(bots);
    field.clients.push(Client::new(200, true, 22_000));
    field.run(28_000);
    field
}

#[test]
fn in_mode_limit_newcomers_get_in_and_nobody_is_leased_nor_said_to_be() {
    let key = ServiceKey { ip: IpAddr::V4(SERVER), port: PORT, transport: Transport::Tcp };
    for limited in [false, true] {
        let services = (*support::services()).clone();
        let field = bots_at(services.with_limited(limited.then_some(key)));
        let steps = field.steps(Transport::Tcp).join("\n");
        let joined = field.clients.last().and_then(|newcomer| newcomer.joined_ms);
        assert!(joined.is_some_and(|at_ms| at_ms < 28_000), "{steps}");
        let incident = field.incident();
        let recorded = |name: &str| incident.measures.iter().any(|taken| &*taken.measure == name);
        assert_eq!(recorded("leases"), !limited, "{:?}", incident.measures);
        assert_eq!(field.leases().is_empty(), limited, "{steps}");
        assert_eq!(steps.contains("leases taken"), !limited, "{steps}");
        assert_eq!(steps.contains("leases passed"), limited, "{steps}");
        let because: Vec<_> = incident.measures.iter().flat_map(|taken| &taken.because).collect();
        let told = because.iter().any(|why| why.contains("mode limit blocks no address"));
        assert_eq!(told, limited, "{because:?}");
    }
}

#[test]
fn in_mode_observe_the_record_says_that_nothing_is_done() {
    let key = ServiceKey { ip: IpAddr::V4(SERVER), port: PORT, transport: Transport::Tcp };
    for observed in [false, true] {
        let services = (*support::services()).clone();
        let incident = bots_at(services.with_observed(observed.then_some(key))).incident();
        let says = |why: &Arc<str>| why.contains("only counted: mode observe");
        assert!(!incident.measures.is_empty());
        for taken in &incident.measures {
            assert_eq!(taken.because.iter().any(says), observed, "{taken:?}");
        }
    }
}
