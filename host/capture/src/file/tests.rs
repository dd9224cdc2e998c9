//! Whole, cut, damaged and hostile files, built byte by byte, and a second reader's opinion on them.

use std::io::Cursor;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use pcap_parser::PcapBlockOwned;
use pcap_parser::PcapError;
use proptest::prelude::*;

use super::*;
use crate::write::PcapWriter;

/// Writes numbers in one byte order.
#[derive(Clone, Copy)]
struct Pen(Order);

impl Pen {
    fn u16(self, value: u16) -> [u8; 2] {
        if self.0 == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.0 == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn u64(self, value: u64) -> [u8; 8] {
        if self.0 == Order::Little { value.to_le_bytes() } else { value.to_be_bytes() }
    }

    fn pcap(self, nanoseconds: bool, link_type: u32, packets: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
        let magic = if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let mut file = self.u32(magic).to_vec();
        file.extend([self.u16(2), self.u16(4)].concat());
        file.extend([[0; 4], [0; 4], self.u32(65_535), self.u32(link_type)].concat());
        for (seconds, fraction, bytes, wire_bytes) in packets {
            let fields = [*seconds, *fraction, bytes.len() as u32, *wire_bytes];
            file.extend(fields.map(|field| self.u32(field)).concat());
            file.extend_from_slice(bytes);
        }
        file
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = self.u32(padded as u32 + 12);
        let mut block = [self.u32(kind), length].concat();
        block.extend_from_slice(body);
        block.resize(8 + padded, 0);
        block.extend(length);
        block
    }

    fn section(self) -> Vec<u8> {
        let mut body = self.u32(0x1a2b_3c4d).to_vec();
        body.extend([self.u16(1), self.u16(0)].concat());
        body.extend([0xff; 8]);
        self.block(SECTION_TYPE, &body)
    }

    /// An interface; `tsresol` and `tsoffset` as options if given.
    fn interface(self, link_type: u16, snap: u32, tsresol: Option<u8>, tsoffset: Option<i64>) -> Vec<u8> {
        let mut body = [self.u16(link_type), [0; 2]].concat();
        body.extend(self.u32(snap));
        // A name first, with padding, to be stepped over.
        body.extend([self.u16(2), self.u16(5)].concat());
        body.extend(b"eth0x\0\0\0");
        if let Some(resolution) = tsresol {
            body.extend([self.u16(9), self.u16(1)].concat());
            body.extend([resolution, 0, 0, 0]);
        }
        if let Some(offset) = tsoffset {
            body.extend([self.u16(14), self.u16(8)].concat());
            body.extend(self.u64(offset.cast_unsigned()));
        }
        body.extend([0; 4]);
        self.block(1, &body)
    }

    fn packet(self, interface: u32, ticks: u64, bytes: &[u8]) -> Vec<u8> {
        let fields =
            [interface, (ticks >> 32) as u32, ticks as u32, bytes.len() as u32, bytes.len() as u32 + 7];
        let mut body = fields.map(|field| self.u32(field)).concat();
        body.extend_from_slice(bytes);
        self.block(6, &body)
    }
}

const SECTION_TYPE: u32 = 0x0a0d_0d0a;
const LITTLE: Pen = Pen(Order::Little);
const BIG: Pen = Pen(Order::Big);

type Seen = (u64, Link, Vec<u8>, u32);

fn open(bytes: &[u8]) -> Result<CaptureFile, CaptureError> {
    CaptureFile::from_reader("test.pcap", Cursor::new(bytes.to_vec()))
}

fn read(bytes: &[u8]) -> (Vec<Seen>, Ended) {
    let mut file = open(bytes).unwrap();
    let mut seen = Vec::new();
    while let Some(frame) = file.next_frame() {
        seen.push((frame.at.as_micros(), frame.link, frame.bytes.to_vec(), frame.wire_bytes));
    }
    assert_eq!(file.frames(), seen.len() as u64);
    assert!(file.next_frame().is_none(), "the end stays the end");
    (seen, file.ended().unwrap().clone())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Reads a file as it is and compressed; both must say the same.
#[track_caller]
fn check(bytes: &[u8], want: &[Seen], ended: Ended) {
    assert_eq!(read(bytes), (want.to_vec(), ended.clone()));
    assert_eq!(read(&gzip(bytes)), (want.to_vec(), ended), "compressed with gzip");
}

fn two_packets(pen: Pen, nanoseconds: bool) -> Vec<u8> {
    let fraction = if nanoseconds { 250_999 } else { 250 };
    pen.pcap(nanoseconds, 1, &[(1_700_000_000, fraction, b"first", 60), (1_600_000_000, 0, b"", 0)])
}

fn two_seen() -> [Seen; 2] {
    [
        (1_700_000_000_000_250, Link::Ethernet, b"first".to_vec(), 60),
        (1_600_000_000_000_000, Link::Ethernet, Vec::new(), 0),
    ]
}

#[test]
fn pcap_in_both_orders_and_resolutions() {
    for pen in [LITTLE, BIG] {
        for nanoseconds in [false, true] {
            check(&two_packets(pen, nanoseconds), &two_seen(), Ended::Clean);
        }
    }
}

#[test]
fn link_types() {
    for (link_type, want) in [
        (0, Link::Loopback),
        (108, Link::Loopback),
        (1, Link::Ethernet),
        (0x1400_0001, Link::Ethernet),
        (12, Link::RawIp),
        (14, Link::RawIp),
        (101, Link::RawIp),
        (228, Link::RawIp),
        (229, Link::RawIp),
        (113, Link::LinuxCooked),
        (276, Link::LinuxCooked2),
    ] {
        check(
            &BIG.pcap(false, link_type, &[(1, 2, b"x", 1)]),
            &[(1_000_002, want, b"x".to_vec(), 1)],
            Ended::Clean,
        );
    }
}

#[test]
fn what_is_no_capture_is_refused() {
    for (bytes, want) in [
        (Vec::new(), "`test.pcap` is not a capture: it has 0 bytes"),
        (b"hello world".to_vec(), "`test.pcap` is not a capture: it begins with the bytes [68, 65, 6c, 6c]"),
        (LITTLE.pcap(false, 1, &[])[..20].to_vec(), "`test.pcap` is not a capture: its header is cut off"),
        (
            gzip(b"\x1f\x8b\x08\x00"),
            "`test.pcap` is not a capture: it begins with the bytes [1f, 8b, 08, 00]",
        ),
    ] {
        assert_eq!(open(&bytes).unwrap_err().to_string(), want);
    }
    let wireless = open(&LITTLE.pcap(false, 105, &[])).unwrap_err().to_string();
    assert!(wireless.starts_with("`test.pcap` has link type 105; Ethernet (1)"), "{wireless}");
    let missing = CaptureFile::open("/nonexistent/x.pcap").unwrap_err().to_string();
    assert!(missing.starts_with("failed to open `/nonexistent/x.pcap`: "), "{missing}");
}

#[test]
fn pcapng_with_sections_interfaces_and_clocks() {
    let mut file = Vec::new();
    file.extend(LITTLE.section());
    file.extend(LITTLE.interface(1, 0, None, None));
    file.extend(LITTLE.interface(101, 3, Some(9), Some(1_000)));
    file.extend(LITTLE.interface(127, 0, None, None));
    // Names, of a size that is never held in memory.
    file.extend(LITTLE.block(4, &vec![0; 1_000_000]));
    file.extend(LITTLE.packet(0, 5_000_001, b"ether"));
    file.extend(LITTLE.packet(1, 2_500_000_999, b"ip"));
    file.extend(LITTLE.packet(2, 1, b"radio"));
    // A simple packet has neither interface nor time: the first one, and the time before.
    file.extend(LITTLE.block(3, &[LITTLE.u32(9).to_vec(), b"nine byte".to_vec()].concat()));
    file.extend(BIG.section());
    file.extend(BIG.interface(276, 0, Some(0x80 | 10), None));
    file.extend(BIG.packet(0, 3 * 1024 + 512, b"cooked"));
    let want = [
        (5_000_001, Link::Ethernet, b"ether".to_vec(), 12),
        (1_002_500_000, Link::RawIp, b"ip".to_vec(), 9),
        (1, Link::Ethernet, b"nine byte".to_vec(), 9),
        (3_500_000, Link::LinuxCooked2, b"cooked".to_vec(), 13),
    ];
    check(&file, &want, Ended::Clean);
    let mut again = open(&file).unwrap();
    while again.next_frame().is_some() {}
    assert_eq!(again.skipped(), 1, "the packet of the wireless interface");
}

#[test]
fn clocks_that_overflow_saturate() {
    for (tsresol, tsoffset, ticks, want) in [
        (Some(127), None, u64::MAX, 0),
        (Some(255), None, u64::MAX, 0),
        (Some(0), None, u64::MAX, u64::MAX),
        (Some(0x80), Some(i64::MAX), u64::MAX, u64::MAX),
        (None, Some(i64::MIN), 7, 0),
        (None, Some(-1), 1_000_007, 7),
    ] {
        let file =
            [LITTLE.section(), LITTLE.interface(1, 0, tsresol, tsoffset), LITTLE.packet(0, ticks, b"x")];
        assert_eq!(read(&file.concat()).0[0].0, want, "{tsresol:?} {tsoffset:?} {ticks}");
    }
}

#[test]
fn every_cut_of_a_file_keeps_what_was_before() {
    let whole = two_packets(LITTLE, false);
    for length in 24..whole.len() {
        let (seen, ended) = read(&whole[..length]);
        let (packets, offset, clean) = match length {
            24 => (0, 24, true),
            25..45 => (0, 24, false),
            45 => (1, 45, true),
            _ => (1, 45, false),
        };
        assert_eq!(seen, two_seen()[..packets]);
        let want = if clean { Ended::Clean } else { Ended::Truncated { offset } };
        assert_eq!(ended, want, "cut at {length}");
    }
}

#[test]
fn a_cut_gzip_stream_keeps_what_was_before() {
    let packets: Vec<_> =
        (0..5_000_u32).map(|n| (n, n.wrapping_mul(2_654_435_761) % 1_000_000, &b"abc"[..], 3)).collect();
    let whole = gzip(&LITTLE.pcap(false, 1, &packets));
    let (seen, ended) = read(&whole[..whole.len() / 2]);
    assert!(seen.len() > 1_000, "{} packets", seen.len());
    assert!(matches!(ended, Ended::Truncated { .. }), "{ended}");
    let mut damaged = whole;
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8].fill(0xff);
    let (seen, ended) = read(&damaged);
    assert!(seen.len() < 5_000);
    assert!(matches!(ended, Ended::Corrupt { .. } | Ended::Truncated { .. }), "{ended}");
}

#[test]
fn lying_lengths_end_the_file() {
    let corrupt = |offset, why| Ended::Corrupt { offset, why };
    let mut huge = two_packets(BIG, false);
    huge.extend([[0, 0, 0, 1], [0; 4], [0xff; 4], [0xff; 4]].concat());
    check(&huge, &two_seen(), corrupt(61, "a packet claims more than 256 KiB"));

    let start = [LITTLE.section(), LITTLE.interface(1, 0, None, None)].concat();
    let offset = start.len() as u64;
    let block = |kind: u32, length: u32| [kind.to_le_bytes(), length.to_le_bytes()].concat();
    let packet = LITTLE.packet(0, 1, b"abcd");
    let with = |at: usize, value: u32| {
        let mut packet = packet.clone();
        packet[at..at + 4].copy_from_slice(&value.to_le_bytes());
        packet
    };
    for (tail, why) in [
        (block(6, 0), "a block has an impossible length"),
        (block(6, 33), "a block has an impossible length"),
        (block(6, u32::MAX - 3), "a block claims more than 320 KiB"),
        (with(8, 5), "a packet names an interface that was not described"),
        (with(20, 5), "a packet is longer than its block"),
        (with(32, 40), "the two lengths of a block differ"),
        (LITTLE.block(6, b""), "a packet block is too short"),
        (LITTLE.block(1, b""), "an interface block is too short"),
        (LITTLE.block(SECTION_TYPE, &[0; 16]), "a section header has no byte-order magic"),
    ] {
        check(&[start.clone(), tail].concat(), &[], corrupt(offset, why));
    }
    // A block that nobody needs may claim any length; the file just ends within it.
    check(&[start, block(4, u32::MAX - 3)].concat(), &[], Ended::Truncated { offset: 0 }.at(offset));
}

impl Ended {
    fn at(self, place: u64) -> Self {
        match self {
            Self::Truncated { .. } => Self::Truncated { offset: place },
            other => other,
        }
    }
}

#[test]
fn interfaces_are_bounded() {
    let mut file = LITTLE.section();
    for _ in 0..4_097 {
        file.extend(LITTLE.interface(1, 0, None, None));
    }
    let (_, ended) = read(&file);
    assert!(
        matches!(ended, Ended::Corrupt { why: "a section has more than 4096 interfaces", .. }),
        "{ended}"
    );
}

#[test]
fn a_gzip_bomb_is_read_through_one_window() {
    // 64 MiB of zeros in 64 KiB: a million empty packets.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&LITTLE.pcap(false, 1, &[])).unwrap();
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let mut file = open(&encoder.finish().unwrap()).unwrap();
    while file.next_frame().is_some() {}
    assert_eq!((file.frames(), file.ended()), ((64 << 20) / 16, Some(&Ended::Clean)));
}

#[test]
fn what_is_written_is_read_back_and_bounded() {
    let mut writer = PcapWriter::new(Vec::new(), Link::RawIp, 24 + 2 * 20).unwrap();
    let frame = |micros, bytes| Frame {
        at: Instant::from_micros(micros),
        link: Link::RawIp,
        passage: Passage::Ingress,
        bytes,
        wire_bytes: 99,
        sample_rate: 4,
    };
    assert!(writer.frame(&frame(1_700_000_000_000_001, b"four")).unwrap());
    assert!(!writer.frame(&Frame { link: Link::Ethernet, ..frame(1, b"four") }).unwrap());
    assert!(writer.frame(&frame(2, b"more")).unwrap());
    assert!(!writer.frame(&frame(3, b"")).unwrap(), "the file is full");
    let file = writer.into_inner();
    let want = [(1_700_000_000_000_001, b"four"), (2, b"more")];
    check(&file, &want.map(|(at, bytes)| (at, Link::RawIp, bytes.to_vec(), 99)), Ended::Clean);
    assert_eq!(second_opinion(&file), [b"four".to_vec(), b"more".to_vec()]);
}

/// The packets as pcap-parser reads them, up to whatever stops it.
fn second_opinion(file: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = pcap_parser::create_reader(1 << 20, Cursor::new(file.to_vec())).unwrap();
    let mut packets = Vec::new();
    loop {
        let taken = match reader.next() {
            Ok((taken, PcapBlockOwned::Legacy(block))) => {
                packets.push(block.data.to_vec());
                taken
            }
            Ok((taken, PcapBlockOwned::NG(pcap_parser::Block::EnhancedPacket(block)))) => {
                packets.push(block.data[..block.caplen as usize].to_vec());
                taken
            }
            Ok((taken, _)) => taken,
            Err(PcapError::Incomplete(_)) => {
                reader.refill().unwrap();
                continue;
            }
            Err(_) => return packets,
        };
        reader.consume(taken);
    }
}

proptest! {
    #[test]
    fn any_packets_are_read_as_the_second_reader_reads_them(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        big: bool,
        ng: bool,
    ) {
        let pen = if big { BIG } else { LITTLE };
        let file = if ng {
            let mut file = [pen.section(), pen.interface(1, 0, None, None)].concat();
            packets.iter().for_each(|bytes| file.extend(pen.packet(0, 1, bytes)));
            file
        } else {
            let packets: Vec<_> = packets.iter().map(|bytes| (1, 1, &bytes[..], 9)).collect();
            pen.pcap(false, 1, &packets)
        };
        let (seen, ended) = read(&file);
        prop_assert_eq!(ended, Ended::Clean);
        let seen: Vec<Vec<u8>> = seen.into_iter().map(|(_, _, bytes, _)| bytes).collect();
        prop_assert_eq!(&seen, &packets);
        prop_assert_eq!(second_opinion(&file), packets);
    }

    #[test]
    fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0..4) {
        let start = match kind {
            0 => Vec::new(),
            1 => LITTLE.pcap(false, 1, &[]),
            2 => LITTLE.section(),
            _ => vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
        };
        let file = [start, bytes].concat();
        if let Ok(mut file) = open(&file) {
            while file.next_frame().is_some() {}
            prop_assert!(file.ended().is_some());
        }
    }

    #[test]
    fn any_damage_keeps_the_packets_before_it(at in 0_usize..400, value: u8) {
        let packets: Vec<Vec<u8>> = (0..6_u8).map(|n| vec![n; 20]).collect();
        let mut file = [BIG.section(), BIG.interface(1, 0, None, None)].concat();
        let ends: Vec<usize> = packets.iter().map(|bytes| {
            file.extend(BIG.packet(0, 1, bytes));
            file.len()
        }).collect();
        let at = at % file.len();
        file[at] = value;
        if let Ok(mut reader) = open(&file) {
            let mut seen = Vec::new();
            while let Some(frame) = reader.next_frame() {
                seen.push(frame.bytes.to_vec());
            }
            let untouched = if at < ends[0] - 52 { 0 } else { ends.iter().filter(|end| **end <= at).count() };
            prop_assert!(seen.len() >= untouched);
            prop_assert_eq!(&seen[..untouched], &packets[..untouched]);
        }
    }
}
