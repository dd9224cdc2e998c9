//! Captures made by hand: conversations and floods as frames at times. Addresses are documentation ranges (RFC 5737)
//! and the benchmark range (RFC 2544).

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::path::Path;

use ftagent_capture::write::PcapWriter;
use ftagent_core::frame::Frame;
use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;
use ftagent_core::time::Instant;

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const PSH: u8 = 8;
pub const ACK: u8 = 16;

/// MSS, SACK permitted, time stamps, window scale: what Linux sends.
pub const OPTIONS: &[u8] = &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];

/// The protected address of every capture made here.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

/// The protected server at a port.
pub fn server(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(SERVER, port)
}

/// Player `n`.
pub fn player(n: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, n), 50_000 + u16::from(n))
}

/// Forged source `n` of 65,536.
pub fn forged(n: u32) -> SocketAddrV4 {
    let [.., high, low] = n.to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(198, 18, high, low), 1_024 + (n.wrapping_mul(7_919) % 60_000) as u16)
}

/// What follows the IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    Udp,
    Tcp { flags: u8, sequence: u32, acknowledged: u32, window: u16, options: &'static [u8] },
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub at_us: u64,
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
    pub carried: Carried,
    pub payload: Vec<u8>,
}

impl Packet {
    /// A datagram.
    pub fn udp(at_us: u64, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Self {
        Self { at_us, from, to, carried: Carried::Udp, payload: payload.to_vec() }
    }

    /// A segment without options.
    pub fn tcp(at_us: u64, from: SocketAddrV4, to: SocketAddrV4, flags: u8, payload: &[u8]) -> Self {
        let carried = Carried::Tcp { flags, sequence: 7, acknowledged: 0, window: 64_240, options: &[] };
        Self { at_us, from, to, carried, payload: payload.to_vec() }
    }

    /// The packet from its IP header on.
    pub fn ip(&self) -> Vec<u8> {
        let options = match &self.carried {
            Carried::Udp => &[][..],
            Carried::Tcp { options, .. } => options,
        };
        let header = if self.carried == Carried::Udp { 8 } else { 20 + options.len() };
        let total = (20 + header + self.payload.len()) as u16;
        let protocol = if self.carried == Carried::Udp { 17 } else { 6 };
        let mut bytes = vec![0x45, 0];
        bytes.extend(total.to_be_bytes());
        bytes.extend([0x12, 0x34, 0x40, 0, 57, protocol, 0, 0]);
        bytes.extend(self.from.ip().octets());
        bytes.extend(self.to.ip().octets());
        bytes.extend(self.from.port().to_be_bytes());
        bytes.extend(self.to.port().to_be_bytes());
        match &self.carried {
            Carried::Udp => {
                bytes.extend((8 + self.payload.len() as u16).to_be_bytes());
                bytes.extend([0, 0]);
            }
            Carried::Tcp { flags, sequence, acknowledged, window, options } => {
                bytes.extend(sequence.to_be_bytes());
                bytes.extend(acknowledged.to_be_bytes());
                bytes.extend([(header as u8 / 4) << 4, *flags]);
                bytes.extend(window.to_be_bytes());
                bytes.extend([0; 4]);
                bytes.extend(*options);
            }
        }
        bytes.extend(&self.payload);
        bytes
    }

    /// The frame on a link of that type.
    pub fn frame(&self, link: Link) -> Vec<u8> {
        let head: &[u8] = match link {
            Link::RawIp => &[],
            Link::Ethernet => &[2, 0, 0, 0, 0, 0x10, 2, 0, 0, 0, 0, 1, 8, 0],
            Link::LinuxCooked => &[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0],
            Link::LinuxCooked2 => &[8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0],
            Link::Loopback => &[2, 0, 0, 0],
        };
        [head, &self.ip()].concat()
    }
}

/// A conversation of one client with the server, first byte to last.
#[derive(Clone, Debug)]
pub struct Conversation {
    client: SocketAddrV4,
    server: SocketAddrV4,
    now_us: u64,
    /// What each side sends next, if it is TCP: client, server.
    next: Option<(u32, u32)>,
    pub packets: Vec<Packet>,
}

impl Conversation {
    /// Datagrams.
    pub fn udp(at_ms: u64, client: SocketAddrV4, port: u16) -> Self {
        Self { client, server: server(port), now_us: at_ms * 1_000, next: None, packets: Vec::new() }
    }

    /// A connection, with its handshake.
    pub fn tcp(at_ms: u64, client: SocketAddrV4, port: u16) -> Self {
        let mut all = Self { next: Some((1_000, 900_000)), ..Self::udp(at_ms, client, port) };
        all.segment(true, SYN, OPTIONS, b"");
        all.segment(false, SYN | ACK, OPTIONS, b"");
        all.segment(true, ACK, &[], b"");
        all
    }

    /// The client says something, in one packet.
    pub fn client(mut self, payload: &[u8]) -> Self {
        self.say(true, payload);
        self
    }

    /// The client says something in segments of so many bytes.
    pub fn client_split(mut self, payload: &[u8], bytes: usize) -> Self {
        payload.chunks(bytes.max(1)).for_each(|part| self.say(true, part));
        self
    }

    /// The server says something.
    pub fn server(mut self, payload: &[u8]) -> Self {
        self.say(false, payload);
        self
    }

    /// The client acknowledges what it has got.
    pub fn ack(mut self) -> Self {
        self.segment(true, ACK, &[], b"");
        self
    }

    /// Time passes.
    pub fn wait_ms(mut self, milliseconds: u64) -> Self {
        self.now_us += milliseconds * 1_000;
        self
    }

    /// Both sides play for so many turns of 50 ms.
    pub fn play(mut self, turns: u32, client: &[u8], server: &[u8]) -> Self {
        for _ in 0..turns {
            self = self.wait_ms(48).client(client).server(server);
            if self.next.is_some() {
                self = self.ack();
            }
        }
        self
    }

    fn say(&mut self, by_client: bool, payload: &[u8]) {
        if self.next.is_some() {
            return self.segment(by_client, PSH | ACK, &[], payload);
        }
        self.now_us += 1_000;
        let (from, to) = if by_client { (self.client, self.server) } else { (self.server, self.client) };
        self.packets.push(Packet::udp(self.now_us, from, to, payload));
    }

    fn segment(&mut self, by_client: bool, flags: u8, options: &'static [u8], payload: &[u8]) {
        let (client, server) = self.next.expect("only connections have segments");
        self.now_us += 1_000;
        let (from, to) = if by_client { (self.client, self.server) } else { (self.server, self.client) };
        let (sequence, other) = if by_client { (client, server) } else { (server, client) };
        let acknowledged = if flags & ACK == 0 { 0 } else { other };
        let carried = Carried::Tcp { flags, sequence, acknowledged, window: 64_240, options };
        let sent = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.next = Some(if by_client { (client + sent, server) } else { (client, server + sent) });
        self.packets.push(Packet { at_us: self.now_us, from, to, carried, payload: payload.to_vec() });
    }
}

/// `count` packets, `per_second` of them a second, made from their number.
pub fn flood(at_ms: u64, count: u32, per_second: u64, make: impl Fn(u32, u64) -> Packet) -> Vec<Packet> {
    (0..count).map(|n| make(n, at_ms * 1_000 + u64::from(n) * 1_000_000 / per_second)).collect()
}

/// All packets in the order of their times.
pub fn in_order(parts: impl IntoIterator<Item = Vec<Packet>>) -> Vec<Packet> {
    let mut all: Vec<_> = parts.into_iter().flatten().collect();
    all.sort_by_key(|packet| packet.at_us);
    all
}

/// Writes a pcap file.
pub fn write_pcap(file: &Path, link: Link, packets: &[Packet]) {
    std::fs::write(file, pcap(link, packets)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

/// The bytes of a pcap file. Times begin in 2026, as real captures' do.
pub fn pcap(link: Link, packets: &[Packet]) -> Vec<u8> {
    let mut writer = PcapWriter::new(Vec::new(), link, u64::MAX).expect("memory takes everything");
    for packet in packets {
        let bytes = packet.frame(link);
        let frame = Frame {
            at: Instant::from_micros(BEGIN_US + packet.at_us),
            link,
            passage: Passage::Unknown,
            bytes: &bytes,
            wire_bytes: bytes.len() as u32,
            sample_rate: 1,
        };
        assert!(writer.frame(&frame).expect("memory takes everything"), "the frame fits");
    }
    writer.into_inner()
}

/// 2026-01-01.
const BEGIN_US: u64 = 1_767_225_600_000_000;

/// The bytes of a pcapng file with one interface and enhanced packet blocks.
pub fn pcapng(packets: &[Packet]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut block = |kind: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let total = (12 + padded) as u32;
        file.extend(kind.to_le_bytes());
        file.extend(total.to_le_bytes());
        file.extend(body);
        file.resize(file.len() + padded - body.len(), 0);
        file.extend(total.to_le_bytes());
    };
    let header = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    block(0x0a0d_0d0a, &header);
    block(1, &[1, 0, 0, 0, 0, 0, 4, 0]);
    for packet in packets {
        let (bytes, at) = (packet.frame(Link::Ethernet), BEGIN_US + packet.at_us);
        let mut body = Vec::new();
        for field in [0, (at >> 32) as u32, at as u32, bytes.len() as u32, bytes.len() as u32] {
            body.extend(field.to_le_bytes());
        }
        body.extend(&bytes);
        block(6, &body);
    }
    file
}

/// The same, compressed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// Bytes from hexadecimal; spaces do not matter, `"text"` stands for itself, `*n` at the end pads with zeros to n.
pub fn hex(text: &str) -> Vec<u8> {
    let (text, pad_to) = text.split_once('*').unwrap_or((text, "0"));
    let mut bytes = Vec::new();
    for (at, part) in text.split('"').enumerate() {
        if at % 2 == 1 {
            bytes.extend(part.as_bytes());
            continue;
        }
        let digits: Vec<char> = part.chars().filter(|letter| !letter.is_whitespace()).collect();
        bytes.extend(digits.chunks(2).map(|pair| {
            let pair: String = pair.iter().collect();
            u8::from_str_radix(&pair, 16).unwrap_or_else(|error| panic!("`{pair}` in {text}: {error}"))
        }));
    }
    bytes.resize(bytes.len().max(pad_to.parse().expect("a length")), 0);
    bytes
}
