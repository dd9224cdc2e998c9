//! Published vectors, prefixes, and that nothing of an address stays.

use super::*;
use ftagent_core::frame::Passage;
use ftagent_core::time::Instant;
use proptest::prelude::*;

/// The key and the first lines of the sample trace that came with the authors' own program.
const KEY: [u8; 32] = [
    21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131, 121, 121, 101,
    39, 98, 87, 76, 45, 42, 132, 34, 2,
];

const PUBLISHED: [(&str, &str); 12] = [
    ("128.11.68.132", "135.242.180.132"),
    ("129.118.74.4", "134.136.186.123"),
    ("130.132.252.244", "133.68.164.234"),
    ("141.223.7.43", "141.167.8.160"),
    ("141.233.145.108", "141.129.237.235"),
    ("152.163.225.39", "151.140.114.167"),
    ("156.29.3.236", "147.225.12.42"),
    ("165.247.96.84", "162.9.99.234"),
    ("166.107.77.190", "160.132.178.185"),
    ("192.102.249.13", "252.138.62.131"),
    ("192.215.32.125", "252.43.47.189"),
    ("192.233.80.103", "252.25.108.8"),
];

#[test]
fn addresses_are_replaced_as_the_authors_program_does_it() {
    let anonymiser = Anonymiser::new(&KEY);
    for (original, replaced) in PUBLISHED {
        let original: IpAddr = original.parse().expect("an address");
        assert_eq!(anonymiser.address(original).to_string(), replaced, "{original}");
    }
}

fn common_prefix(a: u128, b: u128) -> u32 {
    (a ^ b).leading_zeros()
}

proptest! {
    // Each case encrypts 320 blocks, which takes a while without optimisation.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_same_prefix_length_comes_out_as_went_in(key: [u8; 32], a: u128, shared in 0_u32..=128, b: u128) {
        let anonymiser = Anonymiser::new(&key);
        let mask = u128::MAX.checked_shl(128 - shared).unwrap_or(0);
        let b = a & mask | b & !mask;
        prop_assert_eq!(common_prefix(anonymiser.bits(a, 128), anonymiser.bits(b, 128)), common_prefix(a, b));
        let (a, b) = (a >> 96 << 96, b >> 96 << 96);
        prop_assert_eq!(common_prefix(anonymiser.bits(a, 32), anonymiser.bits(b, 32)), common_prefix(a, b));
    }

    #[test]
    fn no_bytes_whatsoever_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kept in 0_usize..300) {
        let anonymiser = Anonymiser::new(&KEY);
        let mut into = Vec::new();
        for link in [Link::Ethernet, Link::RawIp, Link::LinuxCooked, Link::LinuxCooked2, Link::Loopback] {
            anonymiser.frame(&frame(&bytes, link), kept, &mut into);
            prop_assert!(into.len() <= bytes.len());
        }
    }
}

fn frame(bytes: &[u8], link: Link) -> Frame<'_> {
    let wire_bytes = bytes.len() as u32;
    Frame { at: Instant::START, link, passage: Passage::Unknown, bytes, wire_bytes, sample_rate: 1 }
}

fn ipv4(protocol: u8, options: &[u8], inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xef, 8, 0];
    bytes.extend([0x45 + (options.len() / 4) as u8, 0, 0, 60, 0, 7, 0, 0, 64, protocol, 0x12, 0x34]);
    bytes.extend([192, 0, 2, 1, 203, 0, 113, 10]);
    bytes.extend(options);
    bytes.extend(inner);
    bytes
}

fn ipv6(extension: &[u8], inner: &[u8]) -> Vec<u8> {
    let next = if extension.is_empty() { 17 } else { 43 };
    let mut bytes = vec![0x60, 0x0f, 0xff, 0xff, 0, 60, next, 64];
    bytes.extend("2001:db8::1".parse::<Ipv6Addr>().expect("an address").octets());
    bytes.extend("2001:db8::2".parse::<Ipv6Addr>().expect("an address").octets());
    bytes.extend(extension);
    bytes.extend(inner);
    bytes
}

const UDP: [u8; 16] =
    [0x9c, 0x40, 0x75, 0x30, 0, 16, 0xab, 0xcd, b'p', b'a', b'y', b'l', b'o', b'a', b'd', b'!'];

/// What may be given away of a frame, and that none of these bytes are in it.
fn check(bytes: &[u8], link: Link, kept: usize, length: Option<usize>, gone: &[&[u8]]) -> Vec<u8> {
    let mut into = Vec::new();
    let shown = Anonymiser::new(&KEY).frame(&frame(bytes, link), kept, &mut into);
    assert_eq!(shown.then_some(into.len()), length);
    for gone in gone {
        assert!(!into.windows(gone.len()).any(|window| window == *gone), "{gone:x?} is in {into:x?}");
    }
    into
}

#[test]
fn addresses_checksums_and_payload_go_and_ports_stay() {
    let addresses: [&[u8]; 2] = [&[192, 0, 2, 1], &[203, 0, 113, 10]];
    let hardware: &[u8] = &[0x02, 0xaa, 0xbb, 0xcc];
    let gone = [addresses[0], addresses[1], hardware, &[0xab, 0xcd], b"load"];
    let into = check(&ipv4(17, &[], &UDP), Link::Ethernet, 3, Some(14 + 20 + 8 + 3), &gone);
    assert_eq!(into[34..38], UDP[..4], "ports");
    assert_eq!(into[42..], *b"pay");
    let sum: u32 = into[14..34].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the header's checksum is right");
    // Record route holds addresses.
    let route = [7, 7, 8, 198, 51, 100, 9, 0];
    check(&ipv4(17, &route, &UDP), Link::Ethernet, 0, Some(14 + 28 + 8), &[addresses[0], &[198, 51, 100, 9]]);
    // ICMP quotes the packet that it is about.
    let mut icmp = vec![3, 3, 0x77, 0x78, 0, 0, 0, 0];
    icmp.extend(&ipv4(17, &[], &UDP)[14..]);
    check(&ipv4(1, &[], &icmp), Link::Ethernet, 100, Some(14 + 20 + 8), &[addresses[0], &[0x77, 0x78]]);
    // Another protocol may carry anything.
    check(&ipv4(47, &[], &UDP), Link::Ethernet, 100, Some(34), &[addresses[0], b"pay"]);
    check(&[0; 60], Link::Ethernet, 100, None, &[]);
}

#[test]
fn ipv6_loses_its_addresses_flow_label_and_what_extensions_hold() {
    let address: &[u8] = &[0x20, 0x01, 0x0d, 0xb8];
    let into = check(&ipv6(&[], &UDP), Link::RawIp, 0, Some(48), &[address, &[0xff, 0xff], &[0xab, 0xcd]]);
    assert_eq!(into[8..15], into[24..31], "what was one network stays one");
    let mut routing = vec![17, 2, 0, 1, 0, 0, 0, 0];
    routing.extend("2001:db8::3".parse::<Ipv6Addr>().expect("an address").octets());
    let into = check(&ipv6(&routing, &UDP), Link::RawIp, 0, Some(40 + 24 + 8), &[address]);
    assert_eq!(into[40..42], [17, 2], "its kind and length stay");
}
