//! These packets at these times give these effects: standing, lanes, attacks and their measures.

mod support;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::Roster;
use ftagent_core::Standing;
use ftagent_core::connection::Connection;
use ftagent_core::effect::Effect;
use ftagent_core::effect::Effects;
use ftagent_core::effect::Notice;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Transport;
use ftagent_core::time::Instant;
use support::ACK;
use support::Made;
use support::PORT;
use support::PSH;
use support::RST;
use support::SERVER;
use support::SYN;

const CLIENT: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 40_000);
const SERVICE: (Ipv4Addr, u16) = (SERVER, PORT);

/// An engine, and what it asked for.
struct Stage {
    engine: Engine,
    effects: Effects,
}

impl Stage {
    fn new() -> Self {
        let roster = Arc::new(Roster::new(vec![Arc::new(support::manifest())]));
        let engine = Engine::new(EngineConfig::default(), roster, support::services());
        Self { engine, effects: Effects::default() }
    }

    fn send(&mut self, packet: &Made) {
        let at = Instant::from_millis(packet.at_ms);
        support::step(&mut self.engine, at, &packet.bytes(), &mut self.effects);
    }

    /// Everything is answered, and time has come to `at_ms`.
    fn rest(&mut self, at_ms: u64) {
        support::flush(&mut self.engine, &mut self.effects);
        self.engine.tick(Instant::from_millis(at_ms), &mut self.effects);
    }

    fn standing(&self, ip: Ipv4Addr) -> Standing {
        self.engine.explain(IpAddr::V4(ip)).standing
    }

    /// The kinds of effects, each once.
    fn kinds(&self) -> BTreeSet<&'static str> {
        self.effects.asked.iter().map(|(_, effect)| kind(effect)).collect()
    }

    /// The effects of one kind, with their times.
    fn of(&self, wanted: &str) -> Vec<(u64, &Effect)> {
        let asked = self.effects.asked.iter().filter(|(_, effect)| kind(effect) == wanted);
        asked.map(|(at, effect)| (at.as_micros() / 1_000, effect)).collect()
    }

    /// A TCP handshake of a client, all of it seen.
    fn handshake(&mut self, at_ms: u64, client: (Ipv4Addr, u16)) {
        self.send(&support::tcp(at_ms, client, SERVICE, (SYN, 100, 0), b""));
        self.send(&support::tcp(at_ms + 1, SERVICE, client, (SYN | ACK, 900, 101), b""));
        self.send(&support::tcp(at_ms + 2, client, SERVICE, (ACK, 101, 901), b""));
    }

    /// Packets of forged sources, one a millisecond.
    fn forged(&mut self, from_ms: u64, packets: u64, payload: &[u8]) {
        for number in 0..packets {
            let from = (Ipv4Addr::from_bits(0x0a00_0000 | number as u32), 1_234);
            self.send(&support::udp(from_ms + number, from, SERVICE, payload));
        }
    }
}

fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::Lease(_) => "lease",
        Effect::Lane(_) => "lane",
        Effect::CrowdLimit(_) => "crowd",
        Effect::ShapeDrop(_) => "shape",
        Effect::Notice(Notice::FirstHostile { .. }) => "first-hostile",
        Effect::SecondTry(_) => "second-try",
        Effect::BucketLimit(_) => "bucket",
        Effect::SynProxy(_) => "syn-proxy",
        Effect::Notice(Notice::IncidentOpened(_)) => "begins",
        Effect::Notice(Notice::IncidentChanged(_)) => "changed",
        Effect::Notice(Notice::IncidentClosed(_)) => "ends",
    }
}

#[test]
fn a_hostile_flood_begins_renews_and_ends() {
    let mut stage = Stage::new();
    stage.forged(1_000, 5_000, b"!");
    stage.rest(12_000);
    let expected = ["begins", "changed", "crowd", "ends", "first-hostile", "shape"];
    assert_eq!(stage.kinds(), BTreeSet::from(expected), "and nothing else: no forged source is leased");
    assert_eq!(stage.of("first-hostile").len(), 1);
    assert_eq!(stage.of("begins").len(), 1);
    let begins = stage.of("begins")[0].0;
    assert!(begins < 1_200, "within the first 200 ms, not at {begins} ms");
    let crowd: Vec<u64> = stage.of("crowd").iter().map(|(at_ms, _)| *at_ms).collect();
    assert!(crowd.windows(2).all(|pair| pair[1] - pair[0] <= 2_100), "renewed in time: {crowd:?}");
    let ends = stage.of("ends")[0].0;
    assert!((11_000..=11_400).contains(&ends), "5 s after the last packet at 6 s, not at {ends} ms");
    for (_, effect) in &stage.effects.asked {
        match effect {
            Effect::CrowdLimit(limit) => {
                assert!(limit.for_ms <= 10_000 && limit.packets_per_second >= 50 && limit.burst > 0);
            }
            Effect::ShapeDrop(drop) => {
                assert_eq!(&*drop.reason, "toy/impossible-toy");
                assert!(matches!(drop.for_ms, 0 | 10_000), "taken back at the end, and until then renewed");
            }
            _ => {}
        }
    }
}

#[test]
fn an_unproven_address_is_never_banned_by_name() {
    let mut stage = Stage::new();
    for number in 0..5_000 {
        stage.send(&support::udp(1_000 + number, CLIENT, SERVICE, b"!"));
    }
    stage.rest(7_000);
    assert!(stage.kinds().contains("begins"));
    assert_eq!(stage.of("lease"), []);
    assert_eq!(stage.standing(CLIENT.0), Standing::Stranger);
}

#[test]
fn a_proven_hostile_source_is_leased_while_the_attack_lasts() {
    let mut stage = Stage::new();
    stage.handshake(1_000, CLIENT);
    for number in 0..3_000u32 {
        let at_ms = 1_100 + u64::from(number);
        stage.send(&support::tcp(at_ms, CLIENT, SERVICE, (PSH | ACK, 101 + number, 901), b"?"));
    }
    stage.rest(5_000);
    let leases = stage.of("lease");
    assert!(!leases.is_empty());
    for (_, effect) in leases {
        let Effect::Lease(lease) = effect else { continue };
        assert_eq!((lease.source, &*lease.reason), (IpAddr::V4(CLIENT.0), "toy/unusual-toy"));
        assert!(lease.for_ms <= 10_000);
    }
}

#[test]
fn only_an_acknowledgement_of_what_the_server_sent_proves_a_client() {
    let mut stage = Stage::new();
    stage.send(&support::tcp(1_000, CLIENT, SERVICE, (SYN, 100, 0), b""));
    stage.send(&support::tcp(1_001, CLIENT, SERVICE, (ACK, 101, 901), b""));
    assert_eq!(stage.standing(CLIENT.0), Standing::Stranger, "the server has sent nothing");
    stage.send(&support::tcp(1_002, SERVICE, CLIENT, (SYN | ACK, 900, 101), b""));
    stage.send(&support::tcp(1_003, CLIENT, SERVICE, (ACK, 101, 902), b""));
    assert_eq!(stage.standing(CLIENT.0), Standing::Stranger, "it has not sent that much");
    assert_eq!(stage.of("lane"), []);
    stage.send(&support::tcp(1_004, CLIENT, SERVICE, (ACK, 101, 901), b""));
    assert_eq!(stage.standing(CLIENT.0), Standing::Proven);
    assert_eq!(lanes(&stage), (1, 0), "its own");
    stage.rest(12_000);
    let (own, of_address) = lanes(&stage);
    assert!(own > 1 && of_address > 0, "and later the smaller one of its address");
}

/// How many lanes of flows were asked for, and of addresses.
fn lanes(stage: &Stage) -> (usize, usize) {
    let lanes = stage.of("lane");
    let of = |own: bool| {
        let asked = |effect: &Effect| matches!(effect, Effect::Lane(lane) if lane.for_ms > 0 && lane.source_port.is_some() == own);
        lanes.iter().filter(|(_, effect)| asked(effect)).count()
    };
    (of(true), of(false))
}

/// They prove themselves before anybody knows of an attack, and are gone when it is known; their next connections must not
/// find a lane that those left.
#[test]
fn an_address_that_only_just_proved_itself_brings_no_other_connection_along() {
    let mut stage = Stage::new();
    for number in 0..300u16 {
        let bot = (Ipv4Addr::new(198, 51, 100, (number % 250) as u8), 1_000 + number);
        stage.handshake(1_000 + u64::from(number), bot);
        stage.send(&support::tcp(1_002 + u64::from(number), bot, SERVICE, (RST | ACK, 101, 901), b""));
    }
    stage.rest(8_000);
    let (own, of_address) = lanes(&stage);
    assert!(own > 0);
    assert_eq!(of_address, 0);
}

#[test]
fn an_echo_proves_over_udp_only() {
    let mut stage = Stage::new();
    stage.send(&support::udp(1_000, CLIENT, SERVICE, b"e"));
    let other = (Ipv4Addr::new(192, 0, 2, 2), 40_000);
    stage.send(&support::tcp(1_001, other, SERVICE, (PSH | ACK, 5, 5), b"e"));
    stage.rest(1_100);
    assert_eq!(stage.standing(CLIENT.0), Standing::Proven);
    assert_eq!(stage.standing(other.0), Standing::Stranger);
}

#[test]
fn who_plays_becomes_a_player_and_keeps_its_lane() {
    let mut stage = Stage::new();
    stage.send(&support::udp(1_000, CLIENT, SERVICE, b"e"));
    for tick in 0..400 {
        stage.send(&support::udp(1_050 + tick * 50, CLIENT, SERVICE, b"p"));
    }
    stage.rest(22_000);
    assert_eq!(stage.standing(CLIENT.0), Standing::Player);
    let own: Vec<u64> = stage
        .of("lane")
        .iter()
        .filter(|(_, effect)| matches!(effect, Effect::Lane(lane) if lane.source_port.is_some()))
        .map(|(at_ms, _)| *at_ms)
        .collect();
    assert!(own.len() >= 4 && own.windows(2).all(|pair| pair[1] - pair[0] <= 5_100), "{own:?}");
}

/// A client that sends each `client_ms`, and a server that sends each `server_ms`, for so long.
fn converse(stage: &mut Stage, client_ms: u64, server_ms: u64, until_ms: u64) {
    converse_in(stage, b"x", client_ms, server_ms, until_ms);
}

fn converse_in(stage: &mut Stage, words: &[u8], client_ms: u64, server_ms: u64, until_ms: u64) {
    for at_ms in 1_000..until_ms {
        if at_ms % client_ms == 0 {
            stage.send(&support::udp(at_ms, CLIENT, SERVICE, words));
        }
        if at_ms % server_ms == 7 {
            stage.send(&support::udp(at_ms, SERVICE, CLIENT, b"y"));
        }
    }
}

#[test]
fn an_opaque_player_settles_after_half_a_minute() {
    let mut stage = Stage::new();
    converse(&mut stage, 50, 40, 30_000);
    assert_eq!(stage.standing(CLIENT.0), Standing::Stranger, "not before");
    converse(&mut stage, 50, 40, 35_000);
    assert_eq!(stage.standing(CLIENT.0), Standing::Settled);
}

#[test]
fn a_player_whom_a_plugin_knows_settles_within_seconds() {
    let mut stage = Stage::new();
    converse_in(&mut stage, b"p", 50, 40, 4_000);
    assert_eq!(stage.standing(CLIENT.0), Standing::Stranger, "not before");
    converse_in(&mut stage, b"p", 50, 40, 9_000);
    assert_eq!(stage.standing(CLIENT.0), Standing::Settled);
}

#[test]
fn what_looks_like_play_does_not_settle_without_a_server_that_speaks_unasked() {
    let mut stage = Stage::new();
    converse_in(&mut stage, b"p", 50, 50, 20_000);
    assert_eq!(stage.standing(CLIENT.0), Standing::Stranger);
}

#[test]
fn an_echo_does_not_settle() {
    let mut stage = Stage::new();
    converse(&mut stage, 50, 50, 60_000);
    assert_eq!(stage.standing(CLIENT.0), Standing::Stranger);
}

#[test]
fn nobody_settles_during_an_attack() {
    let mut stage = Stage::new();
    for at_ms in 1_000..60_000 {
        if at_ms % 10 == 0 {
            stage.send(&support::udp(at_ms, (Ipv4Addr::new(192, 0, 2, 99), 9), SERVICE, b"!"));
        }
        if at_ms % 50 == 0 {
            stage.send(&support::udp(at_ms, CLIENT, SERVICE, b"x"));
        }
        if at_ms % 40 == 7 {
            stage.send(&support::udp(at_ms, SERVICE, CLIENT, b"y"));
        }
    }
    assert_eq!(stage.standing(CLIENT.0), Standing::Stranger);
}

#[test]
fn half_open_connections_are_an_attack_of_strangers() {
    let mut stage = Stage::new();
    for number in 0..1_000u32 {
        let from = (Ipv4Addr::from_bits(0x0a00_0000 | number), 1_234);
        stage.send(&support::tcp(1_000 + u64::from(number), from, SERVICE, (SYN, number, 0), b""));
    }
    stage.rest(2_100);
    let Some((_, Effect::Notice(Notice::IncidentOpened(incident)))) = stage.of("begins").first().copied()
    else {
        panic!("an attack begins")
    };
    assert_eq!(&*incident.reason, "host/too-many-syns");
    assert!(stage.kinds().contains("crowd") && stage.of("lease").is_empty());
}

#[test]
fn a_neighbour_on_another_service_is_not_touched() {
    let mut stage = Stage::new();
    stage.forged(1_000, 2_000, b"!");
    stage.rest(4_000);
    for (_, effect) in &stage.effects.asked {
        if let Effect::CrowdLimit(limit) = effect {
            assert_eq!(limit.service.port, PORT);
            assert_eq!(limit.service.transport.name(), "udp", "TCP of the same port is another service");
        }
    }
}

#[test]
fn peace_is_quiet() {
    let mut stage = Stage::new();
    for second in 1..120u64 {
        for client in 0..20u8 {
            let from = (Ipv4Addr::new(192, 0, 2, client), 40_000);
            stage.send(&support::udp(second * 1_000 + u64::from(client), from, SERVICE, b"p"));
        }
    }
    stage.rest(121_000);
    assert_eq!(stage.effects, Effects::default());
}

#[test]
fn a_jump_in_time_is_survived() {
    let mut stage = Stage::new();
    stage.forged(1_000, 200, b"!");
    stage.send(&support::udp(u64::MAX / 1_000, CLIENT, SERVICE, b"p"));
    stage.send(&support::udp(5, CLIENT, SERVICE, b"p"));
    stage.rest(u64::MAX);
    assert_eq!(stage.of("ends").len(), 1);
    assert_eq!(stage.engine.counts().waiting, 0);
}

#[test]
fn who_was_connected_before_we_began_has_a_lane_at_once() {
    let mut stage = Stage::new();
    let service = ServiceKey { ip: SERVER.into(), port: PORT, transport: Transport::Tcp };
    let connected = |number: u8, service| Connection {
        client: Ipv4Addr::new(192, 0, 2, number).into(),
        client_port: 40_000,
        service,
    };
    let nowhere = ServiceKey { port: 1, ..service };
    let connections = [connected(1, service), connected(2, service), connected(3, nowhere)];
    stage.engine.adopt(Instant::from_millis(1_000), &connections, &mut stage.effects);
    assert_eq!(stage.kinds(), BTreeSet::from(["lane"]));
    assert_eq!(stage.standing(Ipv4Addr::new(192, 0, 2, 1)), Standing::Settled);
    assert_eq!(stage.standing(Ipv4Addr::new(192, 0, 2, 3)), Standing::Stranger);
    let lanes = |stage: &Stage| stage.of("lane").len();
    let first = lanes(&stage);
    assert_eq!(first, 4, "one for each connection and one for each address");
    stage.rest(7_000);
    assert!(lanes(&stage) > first, "they are renewed while the client may still be there");
}

#[test]
fn where_attackers_are_real_clients_a_handshake_alone_is_no_ticket() {
    let mut stage = Stage::new();
    for number in 0..500u32 {
        let from = (Ipv4Addr::from_bits(0x0a00_0000 | number), 1_234);
        stage.send(&support::tcp(1_000 + u64::from(number), from, SERVICE, (SYN, number, 0), b""));
    }
    let client = |number: u8| (Ipv4Addr::new(192, 0, 2, number), 40_000);
    let lanes_of = |stage: &Stage, number: u8| {
        let ip = IpAddr::from(client(number).0);
        let of = |effect: &Effect| match effect {
            Effect::Lane(lane) if lane.source == ip => Some((lane.source_port, lane.for_ms > 0)),
            _ => None,
        };
        stage.effects.asked.iter().filter_map(|(_, effect)| of(effect)).collect::<Vec<_>>()
    };
    stage.handshake(2_000, client(1));
    support::flush(&mut stage.engine, &mut stage.effects);
    assert_eq!(
        lanes_of(&stage, 1),
        [(Some(40_000), true)],
        "its own, and none for what else comes from there"
    );
    for number in 2..120 {
        stage.handshake(2_010 + 5 * u64::from(number), client(number));
    }
    stage.handshake(2_900, client(200));
    support::flush(&mut stage.engine, &mut stage.effects);
    assert!(lanes_of(&stage, 200).is_empty(), "too many in one second");
    let taken_back = [(Some(40_000), true), (Some(40_000), false), (None, false)];
    assert_eq!(lanes_of(&stage, 2), taken_back, "and those who came before it showed");
}

/// An attack by forged SYNs from the first second, and by so many clients that complete their handshakes in the next.
fn attacked_by_clients(stage: &mut Stage, clients: u8) {
    for number in 0..500u32 {
        let from = (Ipv4Addr::from_bits(0x0a00_0000 | number), 1_234);
        stage.send(&support::tcp(10_000 + u64::from(number), from, SERVICE, (SYN, number, 0), b""));
    }
    for number in 0..clients {
        let client = (Ipv4Addr::new(198, 51, 100, number), 40_000);
        stage.handshake(11_000 + 5 * u64::from(number), client);
    }
    support::flush(&mut stage.engine, &mut stage.effects);
}

/// Connections from [`CLIENT`]'s address, one each so many milliseconds; what is said in the first and in later ones.
fn connects(stage: &mut Stage, (times, every_ms): (u16, u64), first: &[u8], later: &[u8]) {
    for number in 0..times {
        let word = if number == 0 { first } else { later };
        let (client, at_ms) = ((CLIENT.0, 50_000 + number), 12_000 + u64::from(number) * every_ms);
        stage.handshake(at_ms, client);
        stage.send(&support::tcp(at_ms + 3, client, SERVICE, (PSH | ACK, 101, 901), word));
        support::flush(&mut stage.engine, &mut stage.effects);
    }
}

/// [`CLIENT`] connects and plays for so long from the first second.
fn plays(stage: &mut Stage, until_ms: u64) {
    stage.handshake(1_000, CLIENT);
    for at_ms in (1_050..until_ms).step_by(50) {
        let number = (at_ms / 50) as u32;
        stage.send(&support::tcp(at_ms, CLIENT, SERVICE, (PSH | ACK, 101 + number, 901), b"play"));
    }
    support::flush(&mut stage.engine, &mut stage.effects);
}

/// When [`CLIENT`] was leased.
fn leased(stage: &Stage) -> Vec<u64> {
    let its =
        |effect: &Effect| matches!(effect, Effect::Lease(lease) if lease.source == IpAddr::V4(CLIENT.0));
    stage.of("lease").into_iter().filter(|(_, effect)| its(effect)).map(|(at_ms, _)| at_ms).collect()
}

#[test]
fn who_comes_again_and_again_only_to_join_is_leased() {
    // Who is there before; attackers that are real clients; how it connects, and says what.
    let check = |before: &dyn Fn(&mut Stage), clients, times, first: &[u8], later: &[u8]| {
        let mut stage = Stage::new();
        before(&mut stage);
        attacked_by_clients(&mut stage, clients);
        connects(&mut stage, times, first, later);
        stage.rest(22_000);
        leased(&stage).first().copied()
    };
    let nobody = |_: &mut Stage| ();
    assert_eq!(check(&nobody, 60, (6, 500), b"e", b"e"), Some(14_500), "with its sixth connection");
    assert_eq!(check(&nobody, 60, (5, 500), b"e", b"e"), None, "five are not enough");
    assert_eq!(check(&nobody, 60, (20, 90), b"e", b"e"), None, "a proxy begins many at once");
    assert_eq!(check(&nobody, 60, (6, 1_300), b"e", b"e"), None, "nor are six in seven seconds");
    assert_eq!(check(&nobody, 0, (6, 500), b"e", b"e"), None, "attackers are not known to be real clients");
    assert_eq!(check(&nobody, 60, (6, 500), b"x", b"x"), None, "nobody knows what it wants");
    assert_eq!(check(&nobody, 60, (6, 500), b"*", b"e"), None, "who queries may be a monitor");
    let played = |stage: &mut Stage| plays(stage, 3_000);
    assert_eq!(check(&played, 60, (6, 500), b"e", b"e"), None, "somebody played from there a while ago");
    let plays = |stage: &mut Stage| plays(stage, 10_500);
    assert_eq!(check(&plays, 60, (6, 500), b"e", b"e"), None, "somebody plays from there");
    let settled = |stage: &mut Stage| {
        let service = ServiceKey { ip: SERVER.into(), port: PORT, transport: Transport::Tcp };
        let connection = Connection { client: CLIENT.0.into(), client_port: CLIENT.1, service };
        stage.engine.adopt(Instant::from_millis(1_000), &[connection], &mut stage.effects);
    };
    assert_eq!(check(&settled, 60, (6, 500), b"e", b"e"), None, "somebody was connected before we began");
}

/// Those who play through a proxy come from one address, and when they come, nobody plays from there yet.
#[test]
fn an_address_from_which_one_of_many_gets_in_is_not_leased() {
    for talks in [false, true] {
        let mut stage = Stage::new();
        attacked_by_clients(&mut stage, 60);
        for number in 0..20u16 {
            let (client, at_ms) = ((CLIENT.0, 50_000 + number), 12_000 + u64::from(number) * 250);
            stage.handshake(at_ms, client);
            let rounds = if talks && number == 3 { 4 } else { 1 };
            for round in 0..rounds {
                let (said, heard) = (101 + round, 901 + round);
                let at_ms = at_ms + 3 + 2 * u64::from(round);
                stage.send(&support::tcp(at_ms, client, SERVICE, (PSH | ACK, said, heard), b"e"));
                stage.send(&support::tcp(at_ms + 1, SERVICE, client, (PSH | ACK, heard, said + 1), b"?"));
            }
            support::flush(&mut stage.engine, &mut stage.effects);
        }
        stage.rest(22_000);
        assert_eq!(leased(&stage).is_empty(), talks, "{:?}", leased(&stage));
    }
}

#[test]
fn a_lease_that_is_refused_for_a_player_holds_up_no_other() {
    let mut stage = Stage::new();
    plays(&mut stage, 3_000);
    attacked_by_clients(&mut stage, 60);
    connects(&mut stage, (6, 500), b"e", b"e");
    assert_eq!(leased(&stage), [], "somebody played from there");
    for number in 0..20 {
        let at_ms = 14_600 + u64::from(number);
        stage.send(&support::tcp(at_ms, (CLIENT.0, 50_005), SERVICE, (PSH | ACK, 102 + number, 901), b"?"));
    }
    support::flush(&mut stage.engine, &mut stage.effects);
    assert!(leased(&stage).first().is_some_and(|at_ms| *at_ms < 14_700), "{:?}", leased(&stage));
}
