//! What an attack is made of and how it is named: the cases of classification by their numbers.

mod scene;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ftagent_core::frame::Passage;
use ftagent_core::incident::Family;
use ftagent_core::incident::Incident;
use ftagent_core::service::Transport;
use scene::PORT;
use scene::SERVER;
use scene::Scene;
use scene::forged;
use scene::ip;
use scene::junk;
use scene::opaque;
use scene::ping;
use scene::segment;
use scene::support;
use support::ACK;
use support::FIN;
use support::PSH;
use support::RST;
use support::SYN;

const URG: u8 = 32;
const GRE: u8 = 47;
const ESP: u8 = 50;

type Make = Box<dyn Fn(u32) -> Vec<u8>>;
type Shares = Vec<(u32, Make)>;

fn one_of(make: impl Fn(u32) -> Vec<u8> + 'static) -> Make {
    Box::new(make)
}

fn server() -> Scene {
    let ports = [Transport::Udp, Transport::Tcp].map(|transport| opaque(SERVER, PORT, transport, "one"));
    let mut scene = Scene::of(ports.to_vec());
    scene.play(1_000, 4_000, 5, 20, 1);
    scene
}

/// A flood of 10,000 packets a second with these shares; the record at its end. When it is over the same is told.
fn record(shares: Shares) -> Arc<Incident> {
    let mut scene = server();
    attack(&mut scene, 20_000, shares);
    let record = scene.record();
    scene.rest(40_000);
    let closed = scene.of_kind("closed");
    assert_eq!(
        (closed[0].1.family, names(&closed[0].1)),
        (record.family, names(&record)),
        "the end says the same"
    );
    record
}

fn attack(scene: &mut Scene, from_ms: u64, shares: Shares) {
    let sum: u32 = shares.iter().map(|share| share.0).sum();
    // A stride that has no divisor in common with the sum mixes them evenly.
    let stride = (sum / 3..sum).find(|step| gcd(*step, sum) == 1).unwrap_or(1);
    let make = |number: u32| {
        let mut place = number.wrapping_mul(stride) % sum;
        let share = shares.iter().find(|share| {
            let here = place < share.0;
            place = place.wrapping_sub(share.0);
            here
        });
        share.expect("the place is below the sum").1(number)
    };
    scene.flood(from_ms, 1_500, 10_000, 4, make);
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn names(record: &Incident) -> Vec<String> {
    let mut names: Vec<_> = record.vectors.iter().map(|share| share.vector.to_string()).collect();
    names.sort_unstable();
    names
}

fn shares(record: &Incident) -> BTreeMap<String, u8> {
    record.vectors.iter().map(|share| (share.vector.to_string(), share.share_percent)).collect()
}

fn main_vector(shares: Shares) -> String {
    record(shares).vectors[0].vector.to_string()
}

fn tcp(flags: u8) -> Make {
    one_of(move |n| segment(n, flags, b""))
}

fn datagram(bytes: usize) -> Make {
    one_of(move |n| junk(n, &vec![0x55; bytes]))
}

fn echo(bytes: usize) -> Make {
    one_of(move |n| ping(n, bytes))
}

/// From a reflector's port, with this payload.
fn reflected(port: u16, payload: &'static [u8]) -> Make {
    one_of(move |n| support::udp(0, (forged(n).0, port), (SERVER, PORT), payload).bytes())
}

fn family(shares: Shares) -> Family {
    record(shares).family
}

#[test]
fn k01_k02_k03_k09_the_largest_protocol_names_the_family() {
    assert_eq!(family(vec![(10, tcp(ACK)), (80, datagram(500)), (10, echo(64))]), Family::Udp);
    assert_eq!(family(vec![(56, tcp(SYN)), (14, tcp(ACK)), (10, datagram(500)), (5, echo(64))]), Family::Syn);
    assert_eq!(family(vec![(10, tcp(ACK)), (10, datagram(500)), (50, echo(64))]), Family::Icmp);
    assert_eq!(family(vec![(6, tcp(SYN)), (54, tcp(ACK)), (10, datagram(500)), (5, echo(64))]), Family::Tcp);
}

#[test]
fn k04_u19_dns_questions_are_a_query_flood_and_dns_answers_a_reflection() {
    let mut scene = Scene::of(vec![opaque(SERVER, 53, Transport::Udp, "resolver")]);
    scene.rest(1_000);
    let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01".to_vec();
    scene.flood(20_000, 1_500, 10_000, 4, move |n| {
        support::udp(0, forged(n), (SERVER, 53), &question).bytes()
    });
    let record = scene.record();
    assert_eq!((record.family, &*record.vectors[0].vector), (Family::Query, "dns-query-flood"));
    let answer = b"\x12\x34\x81\x80\0\x01\0\x20\0\0\0\0\x07example\x03com\0\0\xff\0\x01";
    assert_eq!(
        main_vector(vec![(80, reflected(53, answer)), (10, tcp(ACK)), (5, echo(64))]),
        "dns-reflection"
    );
}

#[test]
fn k05_k06_k12_k14_k15_several_protocols_are_several_vectors_with_their_shares() {
    let cases: [&[u32; 3]; 6] =
        [&[45, 45, 5], &[30, 30, 25], &[33, 33, 33], &[50, 50, 0], &[48, 46, 0], &[33, 32, 35]];
    for parts in cases {
        let made = vec![(parts[0], tcp(ACK)), (parts[1], datagram(500)), (parts[2], echo(64))];
        let record = record(made.into_iter().filter(|share| share.0 > 0).collect());
        assert_eq!(record.family, Family::MultiVector, "{parts:?}: {:?}", record.vectors);
        let told = shares(&record);
        let sum: u32 = parts.iter().sum();
        for (name, part) in ["ack", "udp-volumetric", "icmp-ping"].iter().zip(*parts) {
            let percent = (part * 100 / sum) as i32;
            let told = told.get(*name).map_or(0, |percent| i32::from(*percent));
            assert!((told - percent).abs() <= 6, "{parts:?}: {name} is told as {told} %, not {percent}");
        }
    }
}

#[test]
fn k07_u07_fragments_come_first_where_they_are_most_of_it() {
    let later = || one_of(|n| ip(n, 17, 0x2000 | 185, &[0x55; 400]));
    assert_eq!(family(vec![(65, later()), (35, datagram(500))]), Family::Fragment);
    let record = record(vec![(40, later()), (60, datagram(500))]);
    assert_eq!(record.family, Family::Udp);
    assert_eq!(names(&record), ["fragmented-udp", "udp-volumetric"]);
}

#[test]
fn k08_k17_k18_other_protocols_are_told_by_name_or_number() {
    let other = |protocol: u8| one_of(move |n| ip(n, protocol, 0, &[0x55; 60]));
    let told = record(vec![(50, other(89)), (25, datagram(500)), (20, tcp(ACK))]);
    assert_eq!(told.family, Family::OtherProtocol);
    assert!(told.vectors[0].evidence.contains("protocol 89"), "{:?}", told.vectors);
    assert_eq!(main_vector(vec![(1, other(ESP))]), "esp");
    assert_eq!(main_vector(vec![(1, other(GRE))]), "gre");
}

#[test]
fn k10_handshakes_that_do_not_complete_are_a_syn_flood() {
    for syns in [30, 29] {
        let shares = vec![(syns, tcp(SYN)), (60 - syns, tcp(ACK)), (10, datagram(500)), (5, echo(64))];
        assert_eq!(family(shares), Family::Syn);
    }
    let mut scene = server();
    // 100 handshakes that do complete are nobody's flood.
    for number in 0..100u32 {
        let (at_us, client) =
            (20_000_000 + u64::from(number) * 20_000, (Ipv4Addr::from_bits(0xc633_6400 + number), 999));
        let service = (SERVER, PORT);
        scene.frame(at_us, &support::tcp(0, client, service, (SYN, 1, 0), b"").bytes(), 1, Passage::Ingress);
        scene.frame(
            at_us + 9,
            &support::tcp(0, service, client, (SYN | ACK, 8, 2), b"").bytes(),
            1,
            Passage::Egress,
        );
        scene.frame(
            at_us + 99,
            &support::tcp(0, client, service, (ACK, 2, 9), b"").bytes(),
            1,
            Passage::Ingress,
        );
    }
    scene.is_quiet();
}

#[test]
fn k11_u14_nothing_is_no_incident_and_has_no_name() {
    let mut scene = server();
    scene.rest(60_000);
    scene.is_quiet();
    let record = record(vec![(100, datagram(500))]);
    assert!(record.vectors.iter().all(|share| share.family == Family::Udp), "{:?}", record.vectors);
}

#[test]
fn k13_impossible_shares_crash_nothing() {
    let mut scene = server();
    scene.flood(20_000, 10, 4_000_000_000, u32::MAX, |n| segment(n, SYN, b""));
    for number in 0..20 {
        scene.frame(20_100_000 + number, &segment(number as u32, SYN, b""), u32::MAX, Passage::Ingress);
    }
    scene.frame(20_200_000, &junk(1, b""), 0, Passage::Ingress);
    scene.rest(60_000);
    assert_eq!(scene.of_kind("closed").len(), 1);
}

#[test]
fn k16_a_busy_game_has_no_family() {
    let mut scene = server();
    scene.play(10_000, 10_000, 60, 50, 1);
    scene.is_quiet();
    // And it is no part of an attack that comes then.
    scene.flood(20_000, 1_500, 5_000, 4, |n| segment(n, SYN, b""));
    assert_eq!(names(&scene.record()), ["syn"]);
}

#[test]
fn u01_u21_reflections_need_the_port_and_the_mark() {
    const CASES: [(u16, &[u8], &str); 11] = [
        (53, b"\x12\x34\x81\x80\0\x01\0\x20\0\0\0\0\x07example\x03com\0\0\xff\0\x01", "dns-reflection"),
        (123, b"\xd7\0\x03\x2a\0\x06\0\x48", "ntp-reflection"),
        (1900, b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n", "ssdp-reflection"),
        (11_211, b"\0\0\0\0\0\x01\0\0VALUE a 0 1000\r\n", "memcached-reflection"),
        (389, b"\x30\x84\0\0\x0b\xb8\x02\x01\x07\x64\x84\0\0\x0b", "cldap-reflection"),
        (19, b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEF\r\n", "chargen-reflection"),
        (161, b"\x30\x82\x02\x01\x02\x01\x01\x04\x06public\xa2\x82", "snmp-reflection"),
        (3702, b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope>", "ws-discovery-reflection"),
        (5353, b"\0\0\x84\0\0\0\0\x01\0\0\0\0", "mdns-reflection"),
        (1194, b"\x40\x11\x22\x33\x44\x55\x66\x77\x88\0\0\0\0\0", "openvpn-reflection"),
        (
            3283,
            &[
                0, 1, 3, 0xee, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
            "ard-reflection",
        ),
    ];
    for (port, payload, name) in CASES {
        let told = record(vec![(1, reflected(port, payload))]);
        assert_eq!((told.family, &*told.vectors[0].vector), (Family::Reflection, name));
        let plain = record(vec![(1, reflected(port, b"\xee\xee\xee\xee\xee\xee"))]);
        assert_eq!(plain.family, Family::Udp, "port {port} alone is no reflection");
    }
}

#[test]
fn u02_a_flood_at_ones_own_dns_or_ntp_server_is_a_plain_one() {
    for (port, bytes) in [(53, 300), (123, 40)] {
        let mut scene = Scene::of(vec![opaque(SERVER, port, Transport::Udp, "own")]);
        scene.rest(1_000);
        let packet = move |n: u32| support::udp(0, forged(n), (SERVER, port), &vec![0x55; bytes]).bytes();
        scene.flood(20_000, 1_000, 10_000, 4, packet);
        assert_eq!(scene.record().family, Family::Udp);
    }
}

#[test]
fn u03_u04_quic_is_told_by_its_header_and_not_by_size() {
    let at_web = |payload: Vec<u8>| {
        let mut scene = Scene::of(vec![opaque(SERVER, 443, Transport::Udp, "web")]);
        scene.rest(1_000);
        scene.flood(20_000, 1_000, 10_000, 4, move |n| {
            support::udp(0, forged(n), (SERVER, 443), &payload).bytes()
        });
        scene.record().vectors[0].vector.to_string()
    };
    let mut initial = b"\xc3\0\0\0\x01\x08".to_vec();
    initial.resize(1_250, 0x77);
    assert_eq!(at_web(initial.clone()), "quic");
    initial.truncate(200);
    assert_eq!(at_web(initial), "udp-volumetric", "an Initial is never so small");
    assert_eq!(at_web(vec![0x55; 1_400]), "udp-large");
}

#[test]
fn u05_u06_sizes_of_plain_udp() {
    for (bytes, name) in [(50, "udp-small"), (500, "udp-volumetric"), (1_400, "udp-large"), (0, "udp-empty")]
    {
        assert_eq!(main_vector(vec![(1, datagram(bytes))]), name);
    }
    let random = one_of(|n| junk(n, &n.wrapping_mul(0x85eb_ca6b).to_le_bytes().repeat(20)));
    assert_eq!(main_vector(vec![(1, random)]), "udp-random");
}

#[test]
fn u08_to_u17_tcp_by_combinations_of_flags() {
    let cases: [(Shares, &[&str]); 10] = [
        (vec![(500, tcp(SYN | ACK))], &["syn-ack-reflection"]),
        (vec![(500, tcp(SYN)), (500, tcp(ACK))], &["ack", "syn"]),
        (vec![(900, tcp(ACK)), (10, tcp(SYN))], &["ack"]),
        (vec![(900, tcp(RST))], &["rst"]),
        (vec![(900, tcp(FIN))], &["fin"]),
        (vec![(300, tcp(FIN | PSH | URG))], &["xmas"]),
        (vec![(400, tcp(ACK)), (500, one_of(|n| segment(n, PSH | ACK, b"data")))], &["ack", "psh-ack"]),
        (vec![(900, tcp(0))], &["null"]),
        (vec![(900, tcp(URG))], &["tcp-other"]),
        (vec![(900, tcp(SYN))], &["syn"]),
    ];
    for (shares, expected) in cases {
        let record = record(shares);
        assert_eq!(names(&record), expected);
        assert_ne!(record.family, Family::Udp);
    }
    let pushed = vec![(400, tcp(ACK)), (500, one_of(|n| segment(n, PSH | ACK, b"data")))];
    assert_eq!(main_vector(pushed), "psh-ack");
}

#[test]
fn u18_pings_by_size() {
    assert_eq!(main_vector(vec![(1, echo(64))]), "icmp-ping");
    assert_eq!(main_vector(vec![(1, echo(1_400))]), "icmp-large-ping");
}

#[test]
fn u20_u22_a_syn_flood_is_one_at_open_update_and_end() {
    let mut scene = server();
    attack(&mut scene, 20_000, vec![(489, tcp(SYN)), (11, datagram(100))]);
    scene.rest(40_000);
    let told = scene.told();
    assert!(told.len() >= 2);
    for (what, _, record) in told {
        assert_eq!(record.family, Family::Syn, "{what}");
        assert!(record.says.starts_with("SYN flood of "), "{what}: {}", record.says);
    }
}

#[test]
fn u23_what_was_there_before_does_not_name_it() {
    let mut scene = server();
    scene.flood(10_000, 10_000, 600, 4, |n| segment(n % 40, ACK, b"old"));
    let before = scene.told().len();
    scene.flood(20_000, 2_000, 10_000, 4, |n| segment(n, SYN, b""));
    let told = scene.told();
    let (_, _, last) = told.last().expect("it was told");
    assert!(told.len() > before);
    assert_eq!(&*last.vectors[0].vector, "syn");
}

#[test]
fn u24_named_sources_are_attackers_from_the_first_second() {
    let mut scene = server();
    let bot = |n: u32| {
        support::udp(0, (Ipv4Addr::from_bits(0xc633_6401 + n % 5), 5), (SERVER, PORT), b"junk").bytes()
    };
    for second in 0..4u64 {
        scene.flood(20_000 + second * 1_000, 1_000, 4_000, 4, bot);
        scene.play(20_000 + second * 1_000 + 1_000, 0, 5, 20, 1);
        let record = scene.record();
        assert_eq!(record.top_sources.len(), 5, "{:?}", record.top_sources);
        let bots = record.top_sources.iter().all(|top| top.source.to_string().starts_with("198.51.100."));
        assert!(bots, "{:?}", record.top_sources);
    }
}

#[test]
fn u25_u26_sampling_goes_on_and_labels_change_only_with_evidence() {
    let mut scene = server();
    scene.flood(20_000, 10_000, 10_000, 4, |n| segment(n, SYN, b""));
    let before = scene.record();
    assert!(before.sources_estimated > 20_000, "all 25,000 were looked at: {}", before.sources_estimated);
    let mut last = before;
    scene.flood(30_000, 10_000, 30_000, 20, |n| junk(n, b"junk"));
    for (what, _, record) in scene.told() {
        if record.id == last.id && record.family != last.family {
            assert_eq!(what, "changed", "a new name is told at once, with its evidence");
            assert!(record.vectors.iter().all(|share| share.evidence.contains(" packets")));
        }
        last = record;
    }
    assert_eq!(last.family, Family::Udp, "{:?}", last.vectors);
    scene.rest(60_000);
    let (_, _, closed) = scene.told().pop().expect("it is over");
    assert_eq!((closed.family, names(&closed)), (last.family, names(&last)), "nothing is made up at the end");
}

#[test]
fn u27_a_payload_that_says_what_it_is_counts_for_more_than_the_port() {
    let monlist = b"\xd7\0\x03\x2a\0\x06\0\x48";
    assert_eq!(main_vector(vec![(1, reflected(53, monlist))]), "ntp-reflection");
    let memcached = b"\0\0\0\0\0\x01\0\0VALUE a 0 1000\r\n";
    assert_eq!(main_vector(vec![(1, reflected(1_900, memcached))]), "memcached-reflection");
}
