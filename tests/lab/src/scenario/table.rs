//! All scenarios. A new one is one new entry.

use std::net::IpAddr;
use std::time::Duration;

use super::Aim;
use super::Before;
use super::Flood;
use super::Kind;
use super::People;
use super::Scenario;
use super::Seat;
use super::stage::newcomers;
use crate::address;
use crate::attack::Pattern;
use crate::attack::REFLECTORS;
use crate::attack::Reflector;
use crate::attack::Sources;
use crate::attack::Vector;

use Aim::At;
use Seat::Bedrock;
use Seat::Java;
use Seat::JavaV6;
use Seat::Source;
use Seat::SourceV6;
use Sources::Bots;
use Sources::Forged;
use Sources::Scattered;

/// Junk and reflection: in thousandths, what must be stopped of it.
const JUNK: u64 = 990;
/// Floods that the game's own clients could have sent.
const GAME_VALID: u64 = 950;

/// Every scenario of a full run, in its order. With `fast` the long ones are cut, and say so.
#[must_use]
pub fn all(fast: bool) -> Vec<Scenario> {
    let calm = peace(
        "calm",
        "nobody attacks; what is lost here is the lab's own",
        vec![Java, Bedrock, Source],
        Vec::new(),
    );
    [vec![calm], attacks(), special_attacks(fast), attacks_v6(), harmless(fast)].concat()
}

/// Those that take too long to run with the others: they are run when they are named.
#[must_use]
pub fn only_by_name(fast: bool) -> Vec<Scenario> {
    let says = "an ordinary hour at 50 servers: players come and go, lists ask, evenings are busy";
    let mut hour = peace("calm-hour", says, Seat::ALL.to_vec(), Vec::new());
    hour.monitored = vec![Java, Bedrock, Source];
    hour.further = 44;
    hour.lasting = Some(Duration::from_secs(if fast { 120 } else { 3_600 }));
    hour.cut = fast.then(|| "two minutes instead of an hour".to_owned());
    vec![hour]
}

/// The floods that are one line each.
fn attacks() -> Vec<Scenario> {
    let one = |name, says, stopped_min, vector, seat, sources, per_second| {
        attack(name, says, stopped_min, vec![Flood::new(vector, At(seat), sources, per_second)])
    };
    let reflected = |name, says, service| {
        one(name, says, JUNK, Vector::Reflection(reflector(service)), Bedrock, Forged, 20_000)
    };
    vec![
        one(
            "forged-udp-random",
            "random UDP payloads",
            JUNK,
            Vector::RandomUdp(512),
            Bedrock,
            Forged,
            50_000,
        ),
        one(
            "bots-junk",
            "200 real addresses open validly, then send junk",
            JUNK,
            Vector::RakNetJunk,
            Bedrock,
            Bots(200),
            10_000,
        ),
        one(
            "bots-junk-java",
            "200 real addresses log in, then send junk",
            JUNK,
            Vector::JavaJunk,
            Java,
            Bots(200),
            5_000,
        ),
        one("a2s-flood", "valid A2S info requests", GAME_VALID, Vector::A2sInfo, Source, Forged, 30_000),
        one(
            "raknet-ping",
            "valid unconnected pings",
            GAME_VALID,
            Vector::RakNetPing,
            Bedrock,
            Forged,
            30_000,
        ),
        one("raknet-open-1", "valid openings", GAME_VALID, Vector::RakNetOpen1, Bedrock, Forged, 20_000),
        one(
            "raknet-open-2",
            "half-open connections",
            GAME_VALID,
            Vector::RakNetOpen2,
            Bedrock,
            Forged,
            20_000,
        ),
        one("syn-no-options", "SYNs as captured on port 25565", JUNK, Vector::SynFlood, Java, Forged, 20_000),
        one("syn-ecn", "SYNs as captured on port 30120", JUNK, Vector::SynEcnFlood, Java, Forged, 20_000),
        one(
            "join-flood",
            "valid logins from 300 real addresses",
            GAME_VALID,
            Vector::JoinFlood,
            Java,
            Bots(300),
            600,
        ),
        one(
            "join-flood-scattered",
            "the same from 128 networks",
            GAME_VALID,
            Vector::JoinFlood,
            Java,
            Scattered(300),
            600,
        ),
        one("null-pings", "connections of empty frames", JUNK, Vector::NullPing, Java, Bots(200), 1_000),
        one(
            "bad-handshakes",
            "handshakes without a body",
            JUNK,
            Vector::BadHandshake,
            Java,
            Bots(200),
            1_000,
        ),
        one(
            "syn-ack-reflection",
            "web servers' SYN-ACKs",
            JUNK,
            Vector::SynAckReflection,
            Java,
            Forged,
            20_000,
        ),
        reflected("dns-reflection", "answers of open resolvers", "dns"),
        reflected("ntp-reflection", "answers of time servers", "ntp"),
        reflected("memcached-reflection", "answers of open caches", "memcached"),
        reflected("cldap-reflection", "answers of open directories", "cldap"),
        reflected("ssdp-reflection", "answers of home routers", "ssdp"),
        one("empty-udp", "datagrams without payload", JUNK, Vector::EmptyUdp, Bedrock, Forged, 50_000),
        one("fragments", "datagrams that are never whole", JUNK, Vector::Fragments, Bedrock, Forged, 30_000),
        one("icmp", "echo requests", JUNK, Vector::Icmp, Bedrock, Forged, 30_000),
        one("ack-flood", "segments of no connection", JUNK, Vector::AckFlood, Java, Forged, 30_000),
    ]
}

/// Those that need more than one line.
fn special_attacks(fast: bool) -> Vec<Scenario> {
    let random = Vector::RandomUdp(512);
    let nobodys = Aim::Ports(address::NODE.into(), 4_000, 1);
    let carpet = |address: IpAddr| Flood::new(random, Aim::Ports(address, 25_540, 64), Forged, 15_000);
    let pool = Sources::Pool(256);
    let pulses = Pattern::Pulses { on_ms: 1_000, every_ms: 5_000 };
    let mut warmed = attack(
        "prewarmed-forged",
        "256 forged sources that asked validly for two minutes before",
        GAME_VALID,
        vec![Flood::new(Vector::RakNetPing, At(Bedrock), pool, 20_000)],
    );
    let warm_up = vec![Flood::new(Vector::RakNetPing, At(Bedrock), pool, 50)];
    let warm_up_s = if fast { 10 } else { 120 };
    warmed.warm_up = Some((warm_up, Duration::from_secs(warm_up_s)));
    warmed.cut = fast.then(|| "warmed up for 10 s instead of two minutes".to_owned());
    let mut pulsed = attack(
        "pulses",
        "20,000 a second for 1 s of every 5 s",
        JUNK,
        vec![Flood::new(random, At(Bedrock), Forged, 20_000).pattern(pulses)],
    );
    pulsed.lasting = Some(Duration::from_secs(21));
    let mut ramp = attack(
        "ramp",
        "from nothing to 20,000 a second within 60 s",
        JUNK,
        vec![Flood::new(random, At(Bedrock), Forged, 20_000).pattern(Pattern::Ramp)],
    );
    ramp.lasting = Some(Duration::from_secs(if fast { 20 } else { 60 }));
    ramp.cut = fast.then(|| "20 s instead of 60 s".to_owned());
    let three = vec![
        Flood::new(Vector::SynFlood, At(Java), Forged, 10_000),
        Flood::new(random, At(Bedrock), Forged, 10_000),
        Flood::new(Vector::Reflection(reflector("dns")), At(Bedrock), Forged, 5_000),
    ];
    vec![
        attack(
            "nobodys-ports",
            "a port that no server owns",
            JUNK,
            vec![Flood::new(random, nobodys, Forged, 20_000)],
        ),
        attack(
            "carpet",
            "64 ports of two addresses, among them those of servers",
            JUNK,
            vec![carpet(address::NODE.into()), carpet(address::NEIGHBOUR.into())],
        ),
        warmed,
        pulsed,
        ramp,
        attack("three-vectors", "SYNs, random UDP and DNS answers at once", JUNK, three),
    ]
}

/// One of each family over IPv6.
fn attacks_v6() -> Vec<Scenario> {
    let one = |name, says, stopped_min, vector, seat, sources, per_second| {
        attack(name, says, stopped_min, vec![Flood::new(vector, At(seat), sources, per_second)])
    };
    let dns = Vector::Reflection(reflector("dns"));
    let junk = Vector::JavaJunk;
    vec![
        one("v6-random", "random UDP", JUNK, Vector::RandomUdp(512), SourceV6, Forged, 30_000),
        one("v6-a2s-flood", "valid A2S requests", GAME_VALID, Vector::A2sInfo, SourceV6, Forged, 20_000),
        one("v6-syn", "SYNs without options", JUNK, Vector::SynFlood, JavaV6, Forged, 20_000),
        one("v6-syn-ack-reflection", "SYN-ACKs", JUNK, Vector::SynAckReflection, JavaV6, Forged, 20_000),
        one("v6-ack-flood", "segments of no connection", JUNK, Vector::AckFlood, JavaV6, Forged, 20_000),
        one("v6-join-flood", "valid logins", GAME_VALID, Vector::JoinFlood, JavaV6, Bots(300), 600),
        one("v6-bots-junk", "logins, then junk", JUNK, junk, JavaV6, Bots(200), 5_000),
        one("v6-reflection", "DNS answers", JUNK, dns, SourceV6, Forged, 20_000),
        one("v6-empty-udp", "datagrams without payload", JUNK, Vector::EmptyUdp, SourceV6, Forged, 30_000),
        one("v6-fragments", "datagrams never whole", JUNK, Vector::Fragments, SourceV6, Forged, 20_000),
        one("v6-icmp", "echo requests", JUNK, Vector::Icmp, SourceV6, Forged, 20_000),
    ]
}

/// Those that must not hurt anyone.
fn harmless(fast: bool) -> Vec<Scenario> {
    let minute = if fast { 12 } else { 60 };
    let cut = |what: &str| fast.then(|| format!("{minute} s instead of a minute: {what}"));
    let lasting =
        |scenario: Scenario, seconds| Scenario { lasting: Some(Duration::from_secs(seconds)), ..scenario };

    let joining = |seat, count: u64, per_second| People {
        seat,
        from: newcomers(seat, count as u16),
        per_second,
        joining_per_second: count.div_ceil(minute),
    };
    let mut launch =
        lasting(peace("launch-day", "500 genuine joins in a minute", vec![Java], Vec::new()), minute);
    launch.people = vec![joining(Java, 500 * minute / 60, 5)];
    launch.cut = cut("100 joins at the same rate");

    let crowded = IpAddr::from(address::player(30));
    let mut shared = peace(
        "shared-address",
        "50 players and one attacker behind one address",
        vec![Java],
        vec![Flood::new(Vector::NullPing, At(Java), Sources::As(crowded), 50).beside_players()],
    );
    shared.people = vec![inside(Java, vec![crowded; 50], 10)];

    let player = address::player(100).into();
    let forged = Flood::new(Vector::RandomUdp(64), At(Bedrock), Sources::As(player), 5_000);

    let proxies = [address::player(31), address::player(32)].map(IpAddr::from);
    let mut behind = peace(
        "proxies",
        "300 players and 50 bots behind two addresses",
        vec![Java],
        proxies
            .map(|proxy| Flood::new(Vector::BadHandshake, At(Java), Sources::As(proxy), 25).beside_players())
            .to_vec(),
    );
    behind.people = vec![inside(Java, proxies.repeat(150), 3)];

    let all = [Java, Bedrock, Source];
    let returning = |name, says, floods| {
        let mut scenario = lasting(peace(name, says, all.to_vec(), floods), minute);
        scenario.before = Before::Reboot;
        scenario.people = all.map(|seat| joining(seat, 50 * minute / 60, 10)).to_vec();
        scenario.cut = cut("10 players a server return at the same rate");
        scenario
    };
    let syns = Flood::new(Vector::SynFlood, At(Java), Forged, 10_000);
    let pings = Flood::new(Vector::RakNetPing, At(Bedrock), Forged, 20_000);

    let mut first = attack(
        "first-start-under-fire",
        "first start while 50 people play on each server, flood 5 s later",
        JUNK,
        vec![Flood::new(Vector::RandomUdp(512), At(Bedrock), Forged, 30_000)],
    );
    first.before = Before::FirstStart(Duration::from_secs(5));

    let mut trickler = attack(
        "trickler",
        "a stranger trickles the payload of the flood for ten minutes before it",
        GAME_VALID,
        vec![Flood::new(Vector::A2sPlayer, At(Source), Forged, 20_000)],
    );
    let trickled = vec![Flood::new(Vector::A2sPlayer, At(Source), Bots(3), 3)];
    let trickled_s = if fast { 15 } else { 600 };
    trickler.warm_up = Some((trickled, Duration::from_secs(trickled_s)));
    trickler.cut = fast.then(|| "15 s of trickling instead of ten minutes".to_owned());

    vec![
        launch,
        shared,
        peace(
            "forged-player-address",
            "junk in the name of a playing player, whose port is not known",
            vec![Bedrock],
            vec![forged],
        ),
        monitored(),
        behind,
        returning("reboot", "all players return after a restart", Vec::new()),
        returning("reboot-under-fire", "the same while it is flooded", vec![syns, pings]),
        first,
        trickler,
    ]
}

/// Public server lists ask every server four times a second, from one address and with their own clients.
fn monitored() -> Scenario {
    let all = vec![Java, Bedrock, Source];
    let says = "server lists ask every server four times a second from one address";
    let scenario = peace("busy-monitor", says, all.clone(), Vec::new());
    Scenario { monitored: all, ..scenario }
}

fn reflector(name: &str) -> Option<Reflector> {
    REFLECTORS.iter().find(|reflector| reflector.name == name).copied()
}

/// People who are there before it begins.
fn inside(seat: Seat, from: Vec<IpAddr>, per_second: u64) -> People {
    People { seat, from, per_second, joining_per_second: 0 }
}

/// What must hurt nobody.
fn peace(name: &'static str, says: &'static str, seats: Vec<Seat>, floods: Vec<Flood>) -> Scenario {
    Scenario { kind: Kind::Harmless, seats, ..attack(name, says, 0, floods) }
}

/// What a stranger's attacker is measured in: everybody plays, and it does what it does.
#[must_use]
pub fn stranger() -> Scenario {
    let mut scenario = attack("stranger", "the command of --attack-cmd", GAME_VALID, Vec::new());
    scenario.seats = vec![Java, Bedrock, Source];
    scenario
}

/// An attack on what it aims at.
fn attack(name: &'static str, says: &'static str, stopped_min: u64, floods: Vec<Flood>) -> Scenario {
    let mut seats: Vec<Seat> =
        floods.iter().filter_map(|flood| if let At(seat) = flood.aim { Some(seat) } else { None }).collect();
    seats.dedup();
    if seats.is_empty() {
        seats.push(Bedrock);
    }
    Scenario {
        name,
        says,
        kind: Kind::Attack { stopped_min },
        floods,
        warm_up: None,
        seats,
        people: Vec::new(),
        before: Before::Running,
        lasting: None,
        cut: None,
        monitored: Vec::new(),
        further: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::PACKETS_PER_SECOND_MAX;
    use super::*;

    #[test]
    fn every_scenario_has_a_name_of_its_own_and_bounds() {
        let all = [all(false), only_by_name(false)].concat();
        for (at, scenario) in all.iter().enumerate() {
            let name = scenario.name;
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{name}"
            );
            assert!(all[..at].iter().all(|other| other.name != name), "{name} is there twice");
            let rate: u64 = scenario.floods.iter().map(|flood| flood.per_second).sum();
            assert!(rate <= PACKETS_PER_SECOND_MAX, "{name}");
            assert!(!scenario.seats.is_empty(), "{name} has no players");
        }
    }
}
