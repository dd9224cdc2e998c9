//! Captures made here, replayed by the program: genuine conversations of each family stay genuine in any cut and any
//! container, and each flood is judged for what it is.

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use ftagent_core::frame::Link;
use serde_json::Value;
use support::number;
use support::packets::ACK;
use support::packets::Conversation;
use support::packets::FIN;
use support::packets::PSH;
use support::packets::Packet;
use support::packets::SYN;
use support::packets::flood;
use support::packets::forged;
use support::packets::gzip;
use support::packets::hex;
use support::packets::in_order;
use support::packets::pcap;
use support::packets::pcapng;
use support::packets::player;
use support::packets::server;
use support::replay;
use support::replay_with;

const MAGIC: &str = "00ffff00fefefefefdfdfdfd12345678";
const INFO: &str = "ffffffff54 536f7572636520456e67696e6520517565727900";

/// What each family protects.
const SERVICES: [&str; 9] = [
    "203.0.113.10:25565/tcp=minecraft-java",
    "203.0.113.10:19132/udp=minecraft-bedrock",
    "203.0.113.10:28015/udp=rust",
    "203.0.113.10:27015/udp=counter-strike-2",
    "203.0.113.10:27015/tcp=counter-strike-2",
    "203.0.113.10:30120/udp=fivem",
    "203.0.113.10:30120/tcp=fivem",
    "203.0.113.10:5154/udp=openarena",
    "203.0.113.10:5154/tcp=bzflag",
];

/// Bytes from hexadecimal with RakNet's magic and Valve's question spelled out.
fn bytes(text: &str) -> Vec<u8> {
    hex(&text.replace("MAGIC", MAGIC).replace("INFO", INFO))
}

/// A datagram conversation: `>` from the client, `<` from the server.
fn spoken(start: Conversation, lines: &[&str]) -> Conversation {
    lines.iter().fold(start, |all, line| {
        let payload = bytes(&line[1..]);
        if line.starts_with('>') { all.client(&payload) } else { all.server(&payload) }
    })
}

/// Minecraft Java's login to 1.20.4, measured.
const LOGIN: &str =
    "1000fd05093132372e302e302e3163dd02 1d000b5265616c506c6179657231 00112233445566778899aabbccddeeff";
/// A status poll of node-gamedig, measured, and the ping after it.
const STATUS: &str = "0f002f093132372e302e302e3163dd01 0100 0901 0000000000000001";

/// Conversations as real clients have them, from `wire-rules` and the plugins' own measured vectors. TCP streams are
/// cut into segments of at most `cut` bytes.
fn genuine(cut: usize) -> Vec<(&'static str, Vec<Packet>)> {
    let java = |n, at_ms, stream: &str| {
        Conversation::tcp(at_ms, player(n), 25_565).client_split(&bytes(stream), cut)
    };
    let raknet = [
        "> 01 1122334455667788 MAGIC 0000000000000000",
        "< 1c 1122334455667788 98c35028ca7815f8 MAGIC 0004 4d435045",
        "> 05 MAGIC 0b*1464",
        "< 06 MAGIC 98c35028ca7815f8 01 0a0b0c0d 0578",
        "> 07 MAGIC 0a0b0c0d 00 0480fffffe4abc 0578 98c35028ca7815f8",
        "< 08 MAGIC 98c35028ca7815f8 0480fffffe4abc 0578 00",
        "> 84 000000 40 0090 000000 09 0102030405060708 0102030405060708 00",
        "< c0 0001 01 000000",
        "> c0 0001 01 000000",
    ];
    let connect = "8fff50ad 82ff0001 0000ffff 00000578 00010000 00000002 00000000 00000000 00001388 00000002 \
                   00000002 039fcde2 11223344";
    let verify = "8000 50ad 83ff0001 0001 0000 00000578 00010000 00000002 00000000 00000000 00001388 00000002 \
                  00000002 039fcde2";
    let web = b"POST /client HTTP/1.1\r\nHost: play\r\nContent-Length: 2\r\n\r\nok";
    vec![
        ("java status", java(1, 100, STATUS).server(b"{}").ack().packets),
        ("java login", java(2, 150, LOGIN).server(&[3; 90]).ack().play(160, &[9; 30], &[7; 200]).packets),
        (
            "bedrock",
            spoken(Conversation::udp(200, player(3), 19_132), &raknet)
                .play(160, &bytes("84 010000 60 0010 010000 000000 00 fe00"), &bytes("c0 0001 01 010000"))
                .packets,
        ),
        (
            "rust",
            spoken(
                Conversation::udp(250, player(4), 28_015),
                &[
                    "> 20 0500 0d01020304*512",
                    "< 21 0d01020304 11 0102030405060708",
                    "> 22 0d01020304 11 0102030405060708*80",
                    "< 23 0d01020304 2d05060708",
                ],
            )
            .play(160, &bytes("80 05060708 0100 0102"), &[0x80; 60])
            .packets,
        ),
        (
            "source query",
            spoken(
                Conversation::udp(300, player(5), 27_015),
                &[
                    "> INFO",
                    "< ffffffff41 11223344",
                    "> INFO 11223344",
                    "< ffffffff49 11",
                    "> ffffffff55 11223344",
                    "< ffffffff44 00",
                ],
            )
            .packets,
        ),
        (
            "fivem web",
            Conversation::tcp(350, player(6), 30_120)
                .client_split(web, cut)
                .server(b"HTTP/1.1 200 OK")
                .ack()
                .packets,
        ),
        (
            "fivem",
            spoken(
                Conversation::udp(500, player(6), 30_120),
                &[
                    "> ffffffff \"getinfo xxx\" 00",
                    "< ffffffff \"infoResponse\" 0a",
                    &format!("> {connect}"),
                    &format!("< {verify}"),
                    "> 8000 50b0 01ff0001 0001 50ad",
                ],
            )
            .play(160, &bytes("8000 50b0 86000002 0002 aabb"), &bytes("0000 86000003 0002 aabb"))
            .packets,
        ),
        ("any udp", Conversation::udp(400, player(7), 5_154).play(160, &[0x66; 40], &[0x77; 120]).packets),
        (
            "any tcp",
            Conversation::tcp(450, player(8), 5_154)
                .client_split(b"BZFLAG\r\n\r\n", cut)
                .server(b"BZFS0221\xff")
                .play(160, &[1; 20], &[2; 60])
                .packets,
        ),
    ]
}

fn all_genuine(cut: usize) -> Vec<Packet> {
    in_order(genuine(cut).into_iter().map(|(_, packets)| packets))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.0.path().join(name);
        std::fs::write(&file, bytes).expect("a temporary folder can be written");
        file
    }

    fn capture(&self, name: &str, packets: &[Packet]) -> PathBuf {
        self.write(name, &pcap(Link::Ethernet, packets))
    }
}

/// Nothing in these packets is hostile, and nothing would be dropped or limited for it.
fn assert_clean(what: &str, packets: &[Packet]) -> Value {
    let folder = Folder::new();
    let report = replay(&folder.capture("clean.pcap", packets), &SERVICES);
    assert_eq!(number(&report, "packets.total"), packets.len() as u64, "{what}");
    assert_eq!(number(&report, "packets.hostile"), 0, "{what}: {:#}", report["reasons"]);
    assert_eq!(number(&report, "packets.malformed"), 0, "{what}: {:#}", report["malformed"]);
    assert_eq!(report["would_enforce"], Value::Array(Vec::new()), "{what}");
    report
}

/// What each packet was judged, by flow: everything that must not depend on how the packets came.
fn opinions(report: &Value) -> BTreeMap<String, [u64; 3]> {
    let flows = report["flows"].as_array().expect("a list");
    let opinion = |flow: &Value| ["genuine", "hostile", "unknown"].map(|name| number(flow, name));
    let name = |flow: &Value| format!("{}:{} {}", flow["source"], flow["source_port"], flow["server_port"]);
    flows.iter().map(|flow| (name(flow), opinion(flow))).collect()
}

#[test]
fn genuine_conversations_stay_genuine() {
    for (family, packets) in genuine(usize::MAX) {
        let report = assert_clean(family, &packets);
        let from_client = packets.iter().filter(|packet| packet.from.port() >= 50_000).count() as u64;
        let (good, unsure) = (number(&report, "packets.genuine"), number(&report, "packets.unknown"));
        assert_eq!(good + unsure, from_client, "{family}: {report:#}");
        assert_eq!(number(&report, "packets.replies"), packets.len() as u64 - from_client, "{family}");
        assert_eq!(number(&report, "packets.unmatched"), 0, "{family}");
        assert!(good > 0, "{family}: {good} genuine, {unsure} unknown");
    }
    let together = assert_clean("all of them", &all_genuine(usize::MAX));
    assert_eq!(together["flows"].as_array().map(Vec::len), Some(9));
}

#[test]
fn who_plays_becomes_a_player() {
    for (family, packets) in genuine(usize::MAX) {
        let report = assert_clean(family, &packets);
        let standing = report["flows"][0]["standing"].as_str().expect("a word").to_owned();
        let expected: &[&str] = match family {
            "java login" | "bedrock" | "rust" | "any tcp" => &["player"],
            // Nothing in these datagrams proves who sends them, and eight seconds settle nobody.
            "fivem" | "any udp" => &["stranger"],
            _ => &["proven"],
        };
        assert!(expected.contains(&standing.as_str()), "{family}: {standing}");
    }
}

#[test]
fn split_segments_stay_genuine() {
    for cut in [7, 16, 64] {
        assert_clean(&format!("in segments of {cut}"), &all_genuine(cut));
    }
    // A thousand segments of a byte each second are many, and may be limited as a crowd; they are still no lie.
    let folder = Folder::new();
    for cut in [1, 2, 3] {
        let report = replay(&folder.capture("tiny.pcap", &all_genuine(cut)), &SERVICES);
        assert_eq!(number(&report, "packets.hostile"), 0, "in segments of {cut}: {:#}", report["reasons"]);
        let measures = report["would_enforce"].as_array().into_iter().flatten();
        let named: Vec<_> = measures.filter(|measure| !measure["source"].is_null()).collect();
        assert!(named.is_empty(), "in segments of {cut}: {named:?}");
    }
}

#[test]
fn one_in_ten_stays_genuine_wherever_it_begins() {
    for cut in [usize::MAX, 3] {
        let all = all_genuine(cut);
        for first in 0..10 {
            let kept: Vec<_> = all.iter().skip(first).step_by(10).cloned().collect();
            assert_clean(&format!("every tenth from {first}, cut at {cut}"), &kept);
        }
    }
}

/// Live, the two directions come from two rings: an answer may be seen some milliseconds before its question.
#[test]
fn the_order_of_two_rings_stays_genuine() {
    for early_us in [0, 3_000, 20_000] {
        let mut all = all_genuine(usize::MAX);
        let by_server = |packet: &Packet| packet.from.port() < 50_000;
        all.sort_by_key(
            |packet| if by_server(packet) { packet.at_us.saturating_sub(early_us) } else { packet.at_us },
        );
        assert_clean(&format!("answers {early_us} us early"), &all);
        all.sort_by_key(|packet| if by_server(packet) { packet.at_us + early_us } else { packet.at_us });
        assert_clean(&format!("answers {early_us} us late"), &all);
    }
}

/// Segments that are seen twice, or after those that follow them.
#[test]
fn repeated_and_late_segments_stay_genuine() {
    let all = all_genuine(7);
    let twice: Vec<_> = all.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect();
    let folder = Folder::new();
    let report = replay(&folder.capture("twice.pcap", &twice), &SERVICES);
    assert_eq!(number(&report, "packets.hostile"), 0, "{:#}", report["reasons"]);
    let mut late = all;
    for pair in late.chunks_exact_mut(2) {
        pair.swap(0, 1);
    }
    let report = replay(&folder.capture("late.pcap", &late), &SERVICES);
    assert_eq!(number(&report, "packets.hostile"), 0, "{:#}", report["reasons"]);
}

/// A flood of one kind: how it looks and what must be said of it.
struct Flood {
    name: &'static str,
    packets: Vec<Packet>,
    /// Why the attack on the service is one. A plugin's reason is what each hostile packet gets; where it is the
    /// host's, the shape is genuine and only the number is not.
    reason: &'static str,
    /// A measure that must be asked for.
    measure: &'static str,
}

const PACKETS: u32 = 3_000;

fn datagrams(port: u16, payload: &[u8]) -> Vec<Packet> {
    flood(1_000, PACKETS, 2_000, |n, at| Packet::udp(at, forged(n), server(port), payload))
}

/// Datagrams that reflectors send: from the service's own port.
fn reflected(port: u16, from_port: u16, payload: &[u8]) -> Vec<Packet> {
    flood(1_000, PACKETS, 2_000, |n, at| {
        let mut from = forged(n);
        from.set_port(from_port);
        Packet::udp(at, from, server(port), payload)
    })
}

fn segments(port: u16, flags: u8, payload: &[u8]) -> Vec<Packet> {
    flood(1_000, PACKETS, 2_000, |n, at| Packet::tcp(at, forged(n), server(port), flags, payload))
}

/// Real connections of ten bots, four hundred of them, that say this so many times each.
fn connections(port: u16, payload: &[u8], times: u32) -> Vec<Packet> {
    let all = (0..400_u32).map(|n| {
        let mut bot = forged(n % 10);
        bot.set_port(20_000 + n as u16);
        let connected = Conversation::tcp(1_000 + u64::from(n) * 5, bot, port);
        (0..times).fold(connected, |all, _| all.client(payload)).packets
    });
    in_order(all)
}

/// Floods of single packets from forged sources.
fn forged_floods() -> Vec<Flood> {
    let flood = |name, packets, reason, measure| Flood { name, packets, reason, measure };
    let dns = bytes("1a2b 8180 0001 0010 00000000*400");
    let ssdp = b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: upnp:rootdevice\r\n";
    let ping = bytes("01 1122334455667788 MAGIC 0000000000000000");
    let samp = bytes("53414d50 7f000001 28a0 69");
    let status = bytes("ffffffff \"getstatus\" 00");
    let (limit, shape) = ("crowd-limit", "shape-drop");
    vec![
        flood("syn without options", segments(25_565, SYN, b""), "minecraft-java/syn-without-options", limit),
        flood("syn and fin", segments(25_565, SYN | FIN, b""), "minecraft-java/bad-tcp-flags", limit),
        flood("no flags at all", segments(5_154, 0, b""), "generic/bad-tcp-flags", shape),
        flood("reflected syn-ack", segments(5_154, SYN | ACK, b""), "generic/stray-syn-ack", limit),
        flood("acks of no connection", segments(25_565, PSH | ACK, &[0x55; 40]), "host/too-much-play", limit),
        flood("raknet pings", datagrams(19_132, &ping), "host/too-many-queries", limit),
        flood(
            "raknet openings",
            datagrams(19_132, &bytes("05 MAGIC 0b*1464")),
            "host/too-many-openings",
            limit,
        ),
        flood("junk at raknet", datagrams(19_132, &bytes("9b77 51")), "minecraft-bedrock/odd-flags", limit),
        flood("empty at raknet", datagrams(19_132, b""), "minecraft-bedrock/empty", shape),
        flood("dns at raknet", reflected(19_132, 53, &dns), "minecraft-bedrock/not-raknet", limit),
        flood("a2s questions", datagrams(27_015, &bytes("INFO")), "host/too-many-queries", limit),
        flood(
            "server's answers",
            datagrams(27_015, &bytes("ffffffff49 11*90")),
            "source-query/server-answer",
            shape,
        ),
        flood("ssdp at source", reflected(27_015, 1_900, ssdp), "source-query/reflected", limit),
        flood("empty at rust", datagrams(28_015, b""), "rust/empty", shape),
        flood("samp at rust", datagrams(28_015, &samp), "rust/not-rust", limit),
        flood("getstatus at fivem", datagrams(30_120, &status), "host/too-many-queries", limit),
        flood("empty at any game", datagrams(5_154, b""), "generic/empty-datagram", shape),
        flood("dns at any game", reflected(5_154, 53, &dns), "generic/reflection", limit),
        flood("random at any game", datagrams(5_154, &[0x5a; 33]), "host/too-many-strangers", limit),
    ]
}

/// Floods of real connections.
fn connected_floods() -> Vec<Flood> {
    let flood = |name, packets, reason, measure| Flood { name, packets, reason, measure };
    let bad = bytes("05002f0063dd");
    vec![
        flood("null pings", connections(25_565, &[0], 30), "minecraft-java/null-ping", "lease"),
        flood("bad handshakes", connections(25_565, &bad, 30), "minecraft-java/bad-handshake", "lease"),
        flood("ssh at fivem", connections(30_120, b"SSH-2.0-x\r\n", 30), "fivem/not-web", "lease"),
        // Each connection says only one thing, but the bots connect again and again.
        flood("null pings, once", connections(25_565, &[0], 1), "minecraft-java/null-ping", "lease"),
        flood("join flood", connections(25_565, &bytes(LOGIN), 1), "host/too-many-syns", "crowd-limit"),
    ]
}

fn floods() -> Vec<Flood> {
    forged_floods().into_iter().chain(connected_floods()).collect()
}

/// Reasons for which attacks began.
fn attacks(report: &Value) -> Vec<&str> {
    let notices = report["notices"].as_array().into_iter().flatten().map(|notice| &notice["notice"]);
    let begins = notices.filter(|notice| notice["what"] == "incident-opened");
    begins.filter_map(|notice| notice["reason"].as_str()).collect()
}

/// What is wrong with what the program says of a flood.
fn faults(flood: &Flood, report: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(format!("{}: {what}", flood.name));
    let reasons = report["reasons"].as_object().expect("an object");
    let expected = Some(flood.reason).filter(|reason| !reason.starts_with("host/"));
    if reasons.keys().any(|reason| Some(reason.as_str()) != expected) {
        fault(format!("other reasons: {reasons:?}"));
    }
    let least = if flood.packets.len() == PACKETS as usize { u64::from(PACKETS) } else { 400 };
    if expected.is_some() && number(report, "packets.hostile") < least {
        fault(format!("too few are hostile: {reasons:?}"));
    }
    if attacks(report) != [flood.reason] {
        fault(format!("not one attack for {}: {:?}", flood.reason, attacks(report)));
    }
    let measures = report["would_enforce"].as_array().into_iter().flatten();
    let measures: Vec<_> = measures.filter_map(|measure| measure["measure"].as_str()).collect();
    if !measures.contains(&flood.measure) {
        fault(format!("no {}: {measures:?}", flood.measure));
    }
    if flood.measure != "lease" && measures.contains(&"lease") {
        fault("an address is leased that has proven too little".to_owned());
    }
    faults
}

#[test]
fn floods_are_judged_for_what_they_are() {
    let folder = Folder::new();
    let mut all = Vec::new();
    for (at, flood) in floods().iter().enumerate() {
        let report = replay(&folder.capture(&format!("{at}.pcap"), &flood.packets), &SERVICES);
        all.extend(faults(flood, &report));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// Players play on the same ports while all floods run; what is said of the players does not change, and none of the
/// measures names one of them.
#[test]
fn players_among_floods_stay_genuine() {
    let folder = Folder::new();
    let before = opinions(&replay(&folder.capture("before.pcap", &all_genuine(usize::MAX)), &SERVICES));
    let floods = floods().into_iter().map(|flood| flood.packets);
    let all = in_order(floods.chain([all_genuine(usize::MAX)]));
    let report = replay(&folder.capture("all.pcap", &all), &SERVICES);
    let after = opinions(&report);
    for (flow, opinion) in before {
        // Where the list of flows is full the noisy ones come first; players are never among those left out here.
        assert_eq!(after.get(&flow), Some(&opinion), "{flow}");
    }
    for measure in report["would_enforce"].as_array().into_iter().flatten() {
        let source = measure["source"].as_str().unwrap_or("");
        assert!(!source.starts_with("192.0.2."), "a player is leased: {measure}");
    }
}

#[test]
fn the_size_of_a_batch_changes_no_opinion() {
    let folder = Folder::new();
    let floods = floods().into_iter().map(|flood| flood.packets.into_iter().take(400).collect::<Vec<_>>());
    let file = folder.capture("all.pcap", &in_order(floods.chain([all_genuine(7)])));
    let report = |batch: &str| replay_with(&file, &SERVICES, &["--batch", batch]).json(0);
    let whole = report("256");
    for batch in ["1", "7"] {
        let other = report(batch);
        for part in ["packets", "reasons", "malformed"] {
            assert_eq!(other[part], whole[part], "{part} in batches of {batch}");
        }
        assert_eq!(opinions(&other), opinions(&whole), "in batches of {batch}");
    }
}

#[test]
fn the_container_of_a_capture_changes_nothing() {
    let folder = Folder::new();
    let some: Vec<_> = floods().into_iter().flat_map(|flood| flood.packets.into_iter().take(50)).collect();
    let packets = in_order([some, all_genuine(usize::MAX)]);
    let plain = pcap(Link::Ethernet, &packets);
    let expected = replay(&folder.write("plain.pcap", &plain), &SERVICES);
    assert!(number(&expected, "packets.hostile") > 100 && number(&expected, "packets.genuine") > 100);
    for (name, bytes) in [
        ("plain.pcap.gz", gzip(&plain)),
        ("next.pcapng", pcapng(&packets)),
        ("next.pcapng.gz", gzip(&pcapng(&packets))),
        ("raw", pcap(Link::RawIp, &packets)),
        ("cooked", pcap(Link::LinuxCooked, &packets)),
        ("cooked2", pcap(Link::LinuxCooked2, &packets)),
        ("loopback", pcap(Link::Loopback, &packets)),
    ] {
        let report = replay(&folder.write(name, &bytes), &SERVICES);
        for part in ["packets", "reasons", "flows", "would_enforce"] {
            assert_eq!(report[part], expected[part], "{part} of {name}");
        }
    }
}

#[test]
fn the_same_port_of_a_neighbour_is_nobodys_business() {
    let folder = Folder::new();
    let mut packets = datagrams(19_132, b"");
    for packet in &mut packets {
        packet.to.set_ip("203.0.113.11".parse().expect("an address"));
    }
    let file = folder.capture("neighbour.pcap", &packets);
    let report = replay(&file, &SERVICES);
    assert_eq!(number(&report, "packets.hostile"), 0);
    assert_eq!(number(&report, "packets.unmatched"), u64::from(PACKETS));
    assert_eq!(report["would_enforce"], Value::Array(Vec::new()));
}

#[test]
fn a_transport_that_a_port_does_not_use_is_said_so() {
    let folder = Folder::new();
    let file = folder.capture("udp.pcap", &datagrams(25_565, b"hello"));
    let report = replay(&file, &["25565/tcp=minecraft-java", "25565/udp=minecraft-java"]);
    assert_eq!(number(&report, "packets.genuine"), 0);
    assert_eq!(number(&report, "packets.hostile"), u64::from(PACKETS), "{:#}", report["reasons"]);
    assert!(report["reasons"].to_string().contains("wrong-transport"), "{:#}", report["reasons"]);
}
