//! Reading packets: every cut of every header, any bytes at all, and agreement with `etherparse`. Tests that begin with
//! `r` and a number hold the behaviour case of that number; R5 is in `places.rs`.

mod support;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::sync::Arc;

use etherparse::LaxSlicedPacket;
use etherparse::TransportSlice;
use ftagent_core::Engine;
use ftagent_core::EngineConfig;
use ftagent_core::Report;
use ftagent_core::Roster;
use ftagent_core::effect::Effects;
use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;
use ftagent_core::time::Instant;
use ftagent_core::wire;
use ftagent_core::wire::Malformed;
use ftagent_core::wire::Packet;
use ftagent_core::wire::Upper;
use proptest::prelude::*;

const LINKS: [Link; 5] = [Link::Ethernet, Link::RawIp, Link::LinuxCooked, Link::LinuxCooked2, Link::Loopback];

fn frame(link: Link, bytes: &[u8], wire_bytes: usize) -> Frame<'_> {
    Frame {
        at: Instant::START,
        link,
        passage: Passage::Unknown,
        bytes,
        wire_bytes: wire_bytes as u32,
        sample_rate: 1,
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| (digit as char).to_digit(16).expect("a hex digit") as u8;
    digits.chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

const MACS: &str = "020000000001 020000000002";
const UDP4: &str = "45000024 00010000 40110000 c0000201 cb00710a  9c40 7530 0010 0000 68656c6c6f212121";
const TCP4: &str = "45000034 abcd4000 40060000 c0000201 cb00710a  9c40 7530 00000001 00000000 8002faf0 0000 0000 \
                    020405b4 0103030701010402";
const UDP6: &str = "60000000 0030 00 40 20010db8000000000000000000000001 20010db8000000000000000000000002 \
                    3c00 0104 00000000  2b00 0000 00000000  1100 0001 00000007 \
                    9c40 7530 0018 0000 00112233445566778899aabbccddeeff";

/// Frames of every link type and header kind.
fn samples() -> Vec<(Link, Vec<u8>)> {
    let cooked = "0000 0001 0006 020000000001 0000";
    let cooked2 = "0800 0000 00000002 0001 00 06 0200000000010000";
    vec![
        (Link::Ethernet, hex(&format!("{MACS} 0800 {UDP4}"))),
        (Link::Ethernet, hex(&format!("{MACS} 8100 0007 0800 {TCP4}"))),
        (Link::Ethernet, hex(&format!("{MACS} 88a8 0007 8100 0008 86dd {UDP6}"))),
        (Link::RawIp, hex(TCP4)),
        (Link::RawIp, hex(UDP6)),
        (Link::LinuxCooked, hex(&format!("{cooked} 0800 {UDP4}"))),
        (Link::LinuxCooked2, hex(&format!("{cooked2} {TCP4}"))),
        (Link::Loopback, hex(&format!("1e000000 {UDP6}"))),
    ]
}

fn read(link: Link, bytes: &[u8]) -> Packet<'_> {
    wire::read(&frame(link, bytes, bytes.len())).expect("it is sound").expect("it is IP")
}

#[test]
fn every_sample_is_read() {
    for (link, bytes) in samples() {
        let packet = read(link, &bytes);
        assert_eq!((packet.source_port, packet.destination_port), (40_000, 30_000), "{link:?}");
        assert!(matches!(packet.upper, Upper::Tcp(_) | Upper::Udp));
    }
}

#[test]
fn every_cut_of_every_header_is_told_or_read() {
    for (link, bytes) in samples() {
        for cut in 0..=bytes.len() {
            // The capture cut it: the wire length stays.
            let captured = wire::read(&frame(link, &bytes[..cut], bytes.len()));
            // The sender cut it.
            let sent = wire::read(&frame(link, &bytes[..cut], cut));
            for packet in [captured, sent].into_iter().flatten().flatten() {
                assert!(packet.payload.len() as u32 <= packet.payload_bytes, "{link:?} cut at {cut}");
            }
            if cut < bytes.len() {
                assert!(sent.is_err(), "{link:?} cut at {cut} by its sender is no sound packet");
            }
        }
    }
}

#[test]
fn options_become_bits() {
    let bytes = hex(TCP4);
    let Upper::Tcp(tcp) = read(Link::RawIp, &bytes).upper else { panic!("it is TCP") };
    assert_eq!((tcp.flags, tcp.window), (2, 0xfaf0));
    assert_eq!(tcp.options, 0b111, "MSS, window scale, SACK permitted");
    let mut broken = bytes.clone();
    broken[41] = 0;
    let Upper::Tcp(tcp) = read(Link::RawIp, &broken).upper else { panic!("it is TCP") };
    assert_eq!(tcp.options, 1 << 15 | 1, "an option of length 0");
}

#[test]
fn r8_later_fragments_keep_their_bits_and_have_no_ports() {
    let mut first = hex(UDP4);
    first[6] = 0x20;
    let packet = read(Link::RawIp, &first);
    assert_eq!((packet.fragment, packet.source_port), (2, 40_000));
    let mut later = first.clone();
    (later[6], later[7]) = (0, 5);
    let packet = read(Link::RawIp, &later);
    assert_eq!((packet.fragment, packet.source_port, packet.upper), (4, 0, Upper::LaterFragment));
    let mut beyond = later;
    (beyond[6], beyond[7]) = (0x1f, 0xff);
    assert_eq!(wire::read(&frame(Link::RawIp, &beyond, beyond.len())), Err(Malformed::FragmentBeyondEnd));
}

#[test]
fn each_fault_has_its_name() {
    let fault = |bytes: Vec<u8>| wire::read(&frame(Link::RawIp, &bytes, bytes.len())).err();
    let with = |text: &str, at: usize, byte: u8| {
        let mut bytes = hex(text);
        bytes[at] = byte;
        bytes
    };
    let cases = [
        (with(UDP4, 0, 0x55), Malformed::IpVersion),
        (with(UDP4, 0, 0x44), Malformed::Ipv4HeaderLength),
        (with(UDP4, 3, 19), Malformed::Ipv4TotalLength),
        (with(UDP4, 3, 0xff), Malformed::Ipv4BeyondFrame),
        (with(UDP4, 25, 7), Malformed::UdpLength),
        (with(UDP4, 25, 0xff), Malformed::UdpLength),
        (with(TCP4, 32, 0x40), Malformed::TcpDataOffset),
        (with(TCP4, 32, 0xf0), Malformed::TcpDataOffset),
        (with(UDP6, 5, 0xff), Malformed::Ipv6BeyondFrame),
        (with(UDP6, 41, 0xff), Malformed::CutExtension),
        (Vec::new(), Malformed::CutIpv4),
    ];
    for (bytes, expected) in cases {
        assert_eq!(fault(bytes), Some(expected));
    }
    let tags = hex(&format!("{MACS} {}", "8100 0001".repeat(6)));
    let read = wire::read(&frame(Link::Ethernet, &tags, tags.len()));
    assert_eq!(read, Err(Malformed::TooManyTags));
}

#[test]
fn names_are_unique_and_counters_in_order() {
    let mut names: Vec<_> = Malformed::ALL.iter().map(|why| why.name()).collect();
    assert!(Malformed::ALL.iter().enumerate().all(|(at, why)| *why as usize == at));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Malformed::ALL.len());
}

/// What `etherparse` sees of an Ethernet frame, if it sees a whole TCP or UDP packet.
fn oracle(bytes: &[u8]) -> Option<(u16, u16, Vec<u8>)> {
    let sliced = LaxSlicedPacket::from_ethernet(bytes).ok()?;
    if sliced.stop_err.is_some() {
        return None;
    }
    match sliced.transport? {
        TransportSlice::Udp(udp) => Some((udp.source_port(), udp.destination_port(), udp.payload().to_vec())),
        TransportSlice::Tcp(tcp) => Some((tcp.source_port(), tcp.destination_port(), tcp.payload().to_vec())),
        _ => None,
    }
}

/// What an engine with one service counted of these Ethernet frames.
fn counted(frames: &[Vec<u8>], places: usize) -> Report {
    let config = EngineConfig { flows: places, sources: places, ..EngineConfig::default() };
    let roster = Arc::new(Roster::new(vec![Arc::new(support::manifest())]));
    let mut engine = Engine::new(config, roster, support::services());
    let mut effects = Effects::default();
    for (number, bytes) in frames.iter().enumerate() {
        support::step(&mut engine, Instant::from_millis(number as u64 * 200), bytes, &mut effects);
    }
    support::flush(&mut engine, &mut effects);
    let report = engine.report();
    assert_eq!(report, engine.report(), "r7: who reads the counters changes nothing");
    report
}

#[test]
fn r1_every_link_and_ip_version_is_counted_at_its_destination() {
    let outer = [
        MACS.to_owned() + "0800",
        MACS.to_owned() + "8100 0007 0800",
        MACS.to_owned() + "88a8 0007 8100 0008 0800",
    ];
    let frames: Vec<_> = outer.iter().map(|link| hex(&format!("{link} {UDP4}"))).collect();
    let report = counted(&frames, 64);
    let here =
        report.services.iter().find(|service| service.counts.packets > 0).expect("it is the service's");
    let key = here.service.as_ref().expect("not nobody's").key;
    assert_eq!((key.ip, key.port, here.counts.packets), (IpAddr::V4(support::SERVER), support::PORT, 3));
    let bytes = hex(&format!("{MACS} 86dd {UDP6}"));
    let packet = read(Link::Ethernet, &bytes);
    assert_eq!(packet.destination.bits(), 0x2001_0db8 << 96 | 2);
}

#[test]
fn r2_what_is_no_ip_is_ignored() {
    let arp = hex(&format!("{MACS} 0806 0001 0800 0604 0001 020000000002 c0000201 000000000000 cb00710a"));
    let lldp = hex("0180c200000e 020000000002 88cc 0207 04 020000000002 0000");
    let report = counted(&[arp, lldp], 64);
    assert_eq!((report.packets.total, report.packets.unmatched, report.packets.malformed), (2, 2, 0));
}

#[test]
fn r3_frames_that_end_too_early_are_counted_malformed() {
    let cut = |ether_type: &str| hex(&format!("{MACS} {ether_type}"));
    let report = counted(&[vec![2; 5], cut("0800"), cut("86dd")], 64);
    let expected = [("cut-ipv4", 1), ("cut-ipv6", 1), ("cut-link", 1)];
    assert_eq!(report.malformed.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(report.packets.malformed, 3);
}

/// The packets of a node are read where they reach it, so tunnels are not stripped: what counts is the outer
/// destination, whatever the inside is.
#[test]
fn r4_tunnels_keep_their_outer_addresses() {
    let inner = ["", "0000 0800", "8000 0800 0000 0000 45", &format!("0000 0800 {UDP4}"), "2000 ffff 00"];
    for inner in inner {
        let inner = hex(inner);
        let mut bytes = hex("4500 0000 0001 0000 40 2f 0000 c0000201 cb00710a");
        bytes[3] = (20 + inner.len()) as u8;
        bytes.extend(inner);
        let packet = read(Link::RawIp, &bytes);
        assert_eq!((packet.upper, packet.source_port, packet.destination_port), (Upper::Other, 0, 0));
        assert_eq!(packet.destination.v4_bits(), Some(support::SERVER.to_bits()));
    }
}

#[test]
fn r6_every_combination_of_tcp_flags_is_told_apart() {
    for flags in 0..=u8::MAX {
        let mut bytes = hex(TCP4);
        bytes[33] = flags;
        let Upper::Tcp(tcp) = read(Link::RawIp, &bytes).upper else { panic!("it is TCP") };
        assert_eq!(tcp.flags, flags);
    }
}

#[test]
fn r7_tables_are_bounded_and_who_made_room_is_counted() {
    let from = |number: u8| (Ipv4Addr::new(192, 0, 2, number), 40_000);
    let frames: Vec<_> = (0..200)
        .map(|number| support::udp(0, from(number), (support::SERVER, support::PORT), b"p").bytes())
        .collect();
    let report = counted(&frames, 64);
    assert!(report.flows.len() <= 64, "{} flows", report.flows.len());
    assert_eq!(report.flows.len() as u64 + report.flows_forgotten, 200);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), more in 0..100usize) {
        for link in LINKS {
            if let Ok(Some(packet)) = wire::read(&frame(link, &bytes, bytes.len() + more)) {
                prop_assert!(packet.payload.len() <= bytes.len());
                prop_assert!(packet.payload.len() as u32 <= packet.payload_bytes);
            }
        }
    }

    #[test]
    fn a_few_wrong_bytes_are_read_without_panic(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        sample in 0..8usize,
        cut in any::<prop::sample::Index>(),
    ) {
        let (link, mut bytes) = samples().swap_remove(sample);
        for (index, byte) in at {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let cut = cut.index(bytes.len() + 1);
        let _ = wire::read(&frame(link, &bytes[..cut], bytes.len()));
    }

    #[test]
    fn sound_packets_are_read_as_etherparse_reads_them(
        at in prop::collection::vec((20..50usize, any::<u8>()), 0..4),
        sample in 0..3usize,
    ) {
        let (link, mut bytes) = samples().swap_remove(sample);
        for (index, byte) in at {
            bytes[index] = byte;
        }
        let ours = wire::read(&frame(link, &bytes, bytes.len()));
        if let Ok(Some(packet)) = ours
            && matches!(packet.upper, Upper::Tcp(_) | Upper::Udp)
            && packet.fragment & 6 == 0
            && let Some((from, to, payload)) = oracle(&bytes)
        {
            prop_assert_eq!((packet.source_port, packet.destination_port), (from, to));
            prop_assert_eq!(packet.payload, payload.as_slice());
        }
    }
}
