//! Reading packets: every cut of every header, any bytes at all, and agreement with `etherparse`.

use etherparse::LaxSlicedPacket;
use etherparse::TransportSlice;
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
fn fragments_keep_their_bits_and_lose_their_ports() {
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
