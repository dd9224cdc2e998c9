//! Nobody who plays is hit: measures are tried on what is retained of genuine packets, leases name proven hostile
//! sources only, and what hurts players is taken back. Numbers in front are those of the behaviour cases.

mod field;
mod support;

use std::net::IpAddr;
use std::net::Ipv4Addr;

use field::Client;
use field::Dice;
use field::End;
use field::Field;
use field::Flood;
use field::datagram;
use field::segment;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Lease;
use ftagent_core::effect::Scope;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Transport;
use support::ACK;
use support::PORT;
use support::PSH;
use support::SERVER;
use support::SYN;

fn service(transport: Transport) -> ServiceKey {
    ServiceKey { ip: IpAddr::V4(SERVER), port: PORT, transport }
}

/// A proven source that says what no client says, so many times a second.
fn bot(end: End, from_ms: u64) -> Client {
    Client { every_ms: 5, play: b"?junk", ..Client::at(end, true, from_ms) }
}

fn leases(field: &Field) -> Vec<(u64, Lease)> {
    let leases = field.leases().into_iter().filter_map(|(at_ms, effect)| match effect {
        Effect::Lease(lease) => Some((at_ms, lease.clone())),
        _ => None,
    });
    leases.collect()
}

/// Players lost nothing, and none of their addresses was leased.
fn unharmed(field: &Field, players: usize) {
    let (mut sent, mut lost) = (0, 0);
    for player in &field.clients[..players] {
        (sent, lost) = (sent + player.sent, lost + player.lost);
        let leased = leases(field).iter().any(|(_, lease)| lease.source == IpAddr::V4(player.end.0));
        assert!(!leased, "{:?} is a player", player.end);
    }
    let steps = field.steps(Transport::Tcp).join("\n") + &field.steps(Transport::Udp).join("\n");
    assert!(sent > 1_000 && lost * 1_000 <= sent, "{lost} of {sent} players' packets were lost\n{steps}");
}

#[test]
fn a_declared_shape_that_players_have_is_refused() {
    let mut field = Field::new();
    field.clients =
        (0..25).map(|number| Client { play: b"p", ..Client::new(number, false, 1_000) }).collect();
    field.run(15_000);
    let mut dice = Dice(1);
    field.floods = vec![Flood::new(15_000, 18_000, 3, move |_| datagram(dice.forged(), b"!"))];
    field.run(20_000);
    assert!(field.asked(|effect| matches!(effect, Effect::ShapeDrop(drop) if !drop.trial)).is_empty());
    let steps = field.steps(Transport::Udp);
    let refused = steps.iter().find(|step| step.contains("shape refused"));
    assert!(refused.is_some_and(|step| step.contains("retained play")), "{steps:?}");
    let told = field.incident();
    let because = told.measures.iter().flat_map(|taken| &taken.because);
    assert!(because.into_iter().any(|why| why.contains("would hit")), "the incident says so too: {told:?}");
    unharmed(&field, 25);
}

#[test]
fn a_measure_since_which_players_no_longer_come_through_is_taken_back() {
    let mut field = Field::with_players(25, true);
    let mut dice = Dice(2);
    field.floods =
        vec![Flood::new(20_000, 26_000, 3, move |number| segment(dice.forged(), (SYN, number, 0), b""))];
    while field.second_tries().is_empty() && field.now_ms < 22_000 {
        field.run(field.now_ms + 10);
    }
    field.wall.broken_lanes = true;
    let taken_ms = field.now_ms;
    field.run(taken_ms + 2_500);
    let steps = field.steps(Transport::Tcp);
    let withdrawn = steps.iter().find(|step| step.contains("second-try withdrawn"));
    assert!(withdrawn.is_some_and(|step| step.contains("players' packets fell")), "{steps:?}");
    let back = field.asked(|effect| matches!(effect, Effect::SecondTry(tries) if tries.for_ms == 0));
    assert!(back.iter().any(|(at_ms, _)| *at_ms <= taken_ms + 2_000), "{back:?}");
}

#[test]
fn players_who_leave_take_no_measure_with_them() {
    let mut field = Field::with_players(25, true);
    let mut dice = Dice(3);
    field.floods =
        vec![Flood::new(20_000, 26_000, 3, move |number| segment(dice.forged(), (SYN, number, 0), b""))];
    while field.second_tries().is_empty() && field.now_ms < 22_000 {
        field.run(field.now_ms + 10);
    }
    field.clients.clear();
    field.run(25_000);
    let steps = field.steps(Transport::Tcp);
    assert!(!steps.iter().any(|step| step.contains("withdrawn")), "{steps:?}");
}

#[test]
fn many_players_and_one_attacker_behind_one_address() {
    let nat = Ipv4Addr::new(198, 51, 100, 200);
    let mut field = Field::new();
    field.clients = (0..50).map(|number| Client::at((nat, 40_000 + number), true, 1_000)).collect();
    field.run(20_000);
    field.clients.push(bot((nat, 50_000), 20_000));
    field.run(30_000);
    assert_eq!(leases(&field), [], "an address that others play from is never leased");
    assert!(!field.engine.incidents().is_empty(), "the attacker is seen");
    unharmed(&field, 50);
}

#[test]
fn one_player_and_one_attacker_behind_one_address() {
    let nat = Ipv4Addr::new(198, 51, 100, 200);
    let mut field = Field::new();
    field.clients = vec![Client::at((nat, 40_000), true, 1_000)];
    field.run(20_000);
    field.clients.push(bot((nat, 50_000), 20_000));
    field.clients.push(bot((Ipv4Addr::new(203, 0, 113, 99), 50_000), 20_000));
    field.run(60_000);
    let sources: Vec<_> = leases(&field).into_iter().map(|(_, lease)| lease.source).collect();
    assert!(!sources.is_empty() && sources.iter().all(|source| *source != IpAddr::V4(nat)), "{sources:?}");
    unharmed(&field, 1);
}

#[test]
fn who_forges_a_players_address_without_its_port_hurts_nobody() {
    for tcp in [false, true] {
        let mut field = Field::with_players(25, tcp);
        let victim = field.clients[7].end.0;
        let mut dice = Dice(4);
        field.floods = vec![Flood::new(20_000, 30_000, 3, move |number| {
            let from = (victim, 1_024 + dice.roll(30_000) as u16);
            let hostile = number % 2 == 0;
            match (tcp, hostile) {
                (true, true) => segment(from, (PSH | ACK, number, number), b"?"),
                (true, false) => segment(from, (SYN, number, 0), b""),
                (false, true) => datagram(from, b"!"),
                (false, false) => datagram(from, b"?"),
            }
        })];
        field.run(32_000);
        assert_eq!(leases(&field), [], "tcp {tcp}");
        unharmed(&field, 25);
    }
}

#[test]
fn sources_that_were_forged_and_warmed_up_get_no_lane() {
    let mut field = Field::with_players(25, false);
    // A hundred forged sources, each at a steady pace for a minute; the server answers each of their packets.
    let forged = |number: u32| (Ipv4Addr::new(10, 9, 8, (number % 100) as u8), 9_000);
    for at_ms in 20_000u64..80_000 {
        field.run(at_ms + 1);
        if at_ms % 20 == 0 {
            let from = forged((at_ms / 20) as u32);
            if field.send(&datagram(from, b"opaque words")) {
                field.answer(&support::udp(at_ms, (SERVER, PORT), from, b"answer"));
            }
        }
    }
    field.floods =
        vec![Flood::new(80_000, 86_000, 3, move |number| datagram(forged(number), b"opaque words"))];
    field.run(86_000);
    let lanes = field.asked(|effect| {
        matches!(effect, Effect::Lane(lane) if matches!(lane.source, IpAddr::V4(ip) if ip.octets()[0] == 10))
    });
    assert_eq!((lanes.len(), leases(&field).len()), (0, 0));
    let flood = &field.floods[0];
    assert!(flood.arrived_late * 20 < flood.sent, "{} of {} arrived", flood.arrived_late, flood.sent);
    unharmed(&field, 25);
}

#[test]
fn who_trickles_for_ten_minutes_first_is_no_witness_for_his_flood() {
    let mut field = Field::new();
    field.clients = (0..20).map(|number| Client::new(number, false, 1_000)).collect();
    // Once every two seconds what he is going to flood with, from a source of his own that nothing proves.
    for at_ms in (2_000..602_000u64).step_by(2_000) {
        field.run(at_ms);
        field.send(&datagram((Ipv4Addr::new(192, 0, 2, 66), 6_666), b"the later payload"));
        if at_ms > 30_000 && at_ms < 590_000 {
            // Players' own packets are the same all the time: eleven minutes of them would only cost time here.
            field.now_ms = at_ms + 1_990;
        }
    }
    let mut dice = Dice(5);
    field.floods =
        vec![Flood::new(602_000, 612_000, 3, move |_| datagram(dice.forged(), b"the later payload"))];
    let from = field.clients.iter().map(|client| client.lost).sum::<u64>();
    field.run(612_000);
    assert_eq!(leases(&field), []);
    let flood = &field.floods[0];
    let steps = field.steps(Transport::Udp).join("\n");
    assert!(
        flood.arrived_late * 20 < flood.sent,
        "{} of {} arrived\n{steps}",
        flood.arrived_late,
        flood.sent
    );
    assert_eq!(field.clients.iter().map(|client| client.lost).sum::<u64>() - from, 0, "{steps}");
}

#[test]
fn m05_two_services_lease_one_source_apart() {
    let source = (Ipv4Addr::new(192, 0, 2, 9), 5_000);
    let mut field = Field::new();
    field.clients = vec![bot(source, 1_000)];
    field.run(4_000);
    let udp = (source.0, 6_000);
    field.send(&datagram(udp, b"echo"));
    for _ in 0..1_000 {
        field.run(field.now_ms + 2);
        field.send(&datagram(udp, b"?junk"));
    }
    let (now_ms, scopes) = (field.now_ms, [service(Transport::Tcp), service(Transport::Udp)]);
    assert!(scopes.iter().all(|scope| field.wall.is_leased(source.0, *scope, now_ms)), "both hold");
    field.clients.clear();
    for _ in 0..6_000 {
        field.run(field.now_ms + 2);
        field.send(&datagram(udp, b"?junk"));
    }
    let held = scopes.map(|scope| field.wall.is_leased(source.0, scope, field.now_ms));
    assert_eq!(held, [false, true], "one has ended, the other stays");
}

#[test]
fn m09_m10_asking_again_renews_and_stacks_nothing() {
    let mut field = Field::new();
    field.clients = (0..3).map(|number| bot((Ipv4Addr::new(192, 0, 2, number), 5_000), 1_000)).collect();
    field.run(12_000);
    for number in 0..3 {
        let source = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number));
        let leases = leases(&field);
        let times: Vec<u64> =
            leases.iter().filter(|(_, lease)| lease.source == source).map(|(at, _)| *at).collect();
        assert!(times.len() >= 4, "{times:?}");
        assert!(times.windows(2).all(|pair| (2_000..=2_100).contains(&(pair[1] - pair[0]))), "{times:?}");
    }
    assert_eq!(field.wall.leases.len(), 3);
}

#[test]
fn m11_a_limit_says_its_rate_and_an_attack_does_not_move_it() {
    let mut field = Field::with_players(25, false);
    let mut dice = Dice(6);
    field.floods = vec![Flood::new(20_000, 30_000, 3, move |_| datagram(dice.forged(), b"opening"))];
    field.run(30_000);
    let limits = field.asked(|effect| matches!(effect, Effect::CrowdLimit(limit) if limit.for_ms > 0));
    let rates: Vec<_> = limits
        .iter()
        .map(|(_, effect)| match effect {
            Effect::CrowdLimit(limit) => (limit.packets_per_second, limit.burst),
            _ => (0, 0),
        })
        .collect();
    assert!(rates.len() >= 5 && rates.iter().all(|rate| *rate == rates[0] && rate.0 >= 50), "{rates:?}");
}

#[test]
fn m14_ten_minutes_of_forged_flood_put_no_player_into_any_set() {
    let mut field = Field::with_players(10, false);
    let mut dice = Dice(7);
    // Every tenth packet forges a player, port included now and then.
    let players: Vec<End> = field.clients.iter().map(|client| client.end).collect();
    for second in (20..620u64).step_by(3) {
        let players = players.clone();
        let seed = dice.roll(1 << 30);
        let mut dice = Dice(seed);
        let (from_ms, until_ms) = (second * 1_000, second * 1_000 + 100);
        field.floods = vec![Flood::new(from_ms, until_ms, 2, move |number| {
            let (ip, port) = players[dice.roll(10) as usize];
            match number % 10 {
                0 => datagram((ip, 1_024 + dice.roll(60_000) as u16), b"!"),
                1 if dice.roll(4) == 0 => datagram((ip, port), b"!"),
                _ => datagram(dice.forged(), b"!"),
            }
        })];
        field.run(until_ms);
        if second > 30 && second < 610 {
            field.now_ms = from_ms + 2_990;
        }
    }
    assert_eq!(leases(&field), []);
}

#[test]
fn m15_what_a_container_fetches_is_never_blocked() {
    let mut field = Field::with_players(10, true);
    let mirror = (Ipv4Addr::new(192, 0, 2, 80), 443);
    for number in 0..20_000u32 {
        field.run(field.now_ms + u64::from(number % 4 == 0));
        let ephemeral = (SERVER, 51_000);
        let made = if number % 8 == 0 {
            support::tcp(field.now_ms, ephemeral, mirror, (ACK, 1, number), b"")
        } else {
            support::tcp(field.now_ms, mirror, ephemeral, (ACK, number, 1), &[0; 1_400])
        };
        field.answer(&made);
    }
    field.run(30_000);
    let measures = field.asked(|effect| !matches!(effect, Effect::Lane(_) | Effect::Notice(_)));
    assert_eq!(measures, []);
    unharmed(&field, 10);
}

#[test]
fn m19_many_of_one_network_become_one_lease() {
    let mut field = Field::with_players(25, true);
    let bots = (0..40).map(|host| bot((Ipv4Addr::new(192, 0, 2, host + 1), 5_000), 20_000));
    field.clients.extend(bots);
    field.run(30_000);
    let leases = leases(&field);
    let merged: Vec<_> = leases.iter().filter(|(_, lease)| lease.prefix_bits == 24).collect();
    let steps = field.steps(Transport::Tcp).join("\n");
    assert!(!merged.is_empty(), "{steps}");
    assert!(merged.iter().all(|(_, lease)| lease.source == IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0))));
    // Renewed one by one every 2 s they would be two hundred.
    assert!(leases.len() <= 80 + merged.len(), "{} leases, {} of them merged", leases.len(), merged.len());
    unharmed(&field, 25);
}

#[test]
fn m19_a_network_with_a_peaceful_player_is_not_merged() {
    let mut field = Field::with_players(25, true);
    field.clients.push(Client::at((Ipv4Addr::new(192, 0, 2, 200), 4_000), true, 20_000));
    field.run(30_000);
    let bots = (0..40).map(|host| bot((Ipv4Addr::new(192, 0, 2, host + 1), 5_000), 30_000));
    field.clients.extend(bots);
    field.run(34_000);
    let leases = leases(&field);
    assert!(
        leases.len() >= 40 && leases.iter().all(|(_, lease)| lease.prefix_bits == 32),
        "{}",
        leases.len()
    );
    let steps = field.steps(Transport::Tcp);
    assert!(steps.iter().any(|step| step.contains("192.0.2.200 in it is proven and peaceful")), "{steps:?}");
    unharmed(&field, 26);
}

#[test]
fn m20_the_leases_follow_the_sources() {
    let mut field = Field::new();
    let host = |host: u8| Ipv4Addr::new(192, 0, 2, host);
    field.clients = vec![bot((host(1), 5_000), 1_000)];
    field.run(6_000);
    field.clients = vec![bot((host(2), 5_000), 6_000)];
    field.run(18_000);
    let key = service(Transport::Tcp);
    let held = [1, 2].map(|number| field.wall.is_leased(host(number), key, field.now_ms));
    assert_eq!(held, [false, true]);
}

#[test]
fn m21_a_lease_is_for_the_one_service_that_was_attacked() {
    let source = Ipv4Addr::new(192, 0, 2, 1);
    let mut field = Field::new();
    field.clients = vec![bot((source, 5_000), 1_000), Client::at((source, 6_000), false, 1_000)];
    field.run(15_000);
    let leases = leases(&field);
    assert!(!leases.is_empty());
    assert!(leases.iter().all(|(_, lease)| lease.scope == Scope::Service(service(Transport::Tcp))));
    unharmed_elsewhere(&field.clients[1]);
}

fn unharmed_elsewhere(client: &Client) {
    assert!(client.sent > 200 && client.lost == 0, "{} of {}", client.lost, client.sent);
}

#[test]
fn u24_whoever_is_named_is_an_attacker_from_the_first_second_on() {
    let mut field = Field::with_players(25, true);
    let bots = (0..10).map(|host| bot((Ipv4Addr::new(192, 0, 2, host), 5_000), 20_000));
    field.clients.extend(bots);
    let mut dice = Dice(8);
    field.floods =
        vec![Flood::new(20_000, 26_000, 2, move |number| segment(dice.forged(), (SYN, number, 0), b""))];
    field.run(26_000);
    let leases = leases(&field);
    let attackers = leases
        .iter()
        .all(|(_, lease)| matches!(lease.source, IpAddr::V4(ip) if ip.octets()[..2] == [192, 0]));
    assert!(!leases.is_empty() && attackers, "{leases:?}");
    assert!(leases[0].0 < 21_000, "within the first second: {}", leases[0].0);
    unharmed(&field, 25);
}

/// What the engine says of players' packets that were dropped, and how many were.
fn players_dropped(field: &Field, since: (u64, u64)) -> (u64, u64) {
    let report = field.engine.report();
    let told = report.services.iter().map(|service| service.players_dropped_estimated).sum();
    (told, field.players().1 - since.1)
}

#[test]
fn players_packets_that_are_dropped_are_told() {
    let mut field = Field::with_players(25, true);
    let before = field.players();
    let mut dice = Dice(3);
    field.floods =
        vec![Flood::new(20_000, 26_000, 3, move |number| segment(dice.forged(), (SYN, number, 0), b""))];
    field.run(22_000);
    assert_eq!(players_dropped(&field, before), (0, 0), "they have lanes");
    field.wall.broken_lanes = true;
    field.run(24_000);
    let (told, lost) = players_dropped(&field, before);
    assert!(lost > 500 && told * 10 <= lost * 12 && told * 10 >= lost * 8, "{told} of {lost}");
    field.wall.broken_lanes = false;
    field.run(40_000);
    assert_eq!(players_dropped(&field, before).0, 0, "the attack is over");
}
