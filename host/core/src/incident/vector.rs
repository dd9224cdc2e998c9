//! What one packet looks like from its headers and first bytes: the grain of which vectors are made.
//!
//! A name never follows from a port alone: a reflection needs its source port and the mark of the reply
//! (`reference`: the public amplifier lists and the protocols' own specifications), QUIC its header form and version
//! (RFC 9000 17.2).

use crate::incident::Family;
use crate::incident::reflection;
use crate::manifest::Class;
use crate::wire::Packet;
use crate::wire::Tcp;
use crate::wire::Upper;

/// What a packet looks like. Reflections stand behind all others, one number for each protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Vector(u8);

/// Named vectors: how they are told, and to which family they belong.
const NAMED: [(&str, Family); 29] = [
    ("syn", Family::Syn),
    ("syn-ack-reflection", Family::Reflection),
    ("ack", Family::Tcp),
    ("rst", Family::Tcp),
    ("fin", Family::Tcp),
    ("xmas", Family::Tcp),
    ("null", Family::Tcp),
    ("psh-ack", Family::Tcp),
    ("tcp-other", Family::Tcp),
    ("udp-empty", Family::Udp),
    ("udp-small", Family::Udp),
    ("udp-volumetric", Family::Udp),
    ("udp-large", Family::Udp),
    ("udp-random", Family::Udp),
    ("quic", Family::Udp),
    ("query-flood", Family::Query),
    ("opening-flood", Family::Join),
    ("join-flood", Family::Join),
    ("play-flood", Family::Play),
    ("control-flood", Family::Play),
    ("dns-query-flood", Family::Query),
    ("fragments", Family::Fragment),
    ("fragmented-udp", Family::Udp),
    ("icmp-ping", Family::Icmp),
    ("icmp-large-ping", Family::Icmp),
    ("icmp-other", Family::Icmp),
    ("gre", Family::OtherProtocol),
    ("esp", Family::OtherProtocol),
    ("other-protocol", Family::OtherProtocol),
];

/// UDP payloads up to so many bytes are small.
const SMALL_BYTES: u32 = 100;
/// And from so many on large.
const LARGE_BYTES: u32 = 1_000;
/// An echo request of more than so many payload bytes is a large one.
const LARGE_PING_BYTES: u32 = 1_000;
/// A client's Initial is at least so large (RFC 9000 14.1); the UDP payload is meant.
const QUIC_INITIAL_BYTES: u32 = 1_200;

mod flag {
    pub(super) const FIN: u8 = 1;
    pub(super) const SYN: u8 = 2;
    pub(super) const RST: u8 = 4;
    pub(super) const PSH: u8 = 8;
    pub(super) const ACK: u8 = 16;
    pub(super) const URG: u8 = 32;
}

impl Vector {
    pub(crate) const SYN: Self = Self(0);
    pub(crate) const SYN_ACK: Self = Self(1);
    pub(crate) const ACK: Self = Self(2);
    pub(crate) const RST: Self = Self(3);
    pub(crate) const FIN: Self = Self(4);
    pub(crate) const XMAS: Self = Self(5);
    pub(crate) const NULL: Self = Self(6);
    pub(crate) const PSH_ACK: Self = Self(7);
    pub(crate) const TCP_OTHER: Self = Self(8);
    pub(crate) const UDP_EMPTY: Self = Self(9);
    pub(crate) const UDP_SMALL: Self = Self(10);
    pub(crate) const UDP_VOLUMETRIC: Self = Self(11);
    pub(crate) const UDP_LARGE: Self = Self(12);
    pub(crate) const UDP_RANDOM: Self = Self(13);
    pub(crate) const QUIC: Self = Self(14);
    pub(crate) const QUERY: Self = Self(15);
    pub(crate) const OPENING: Self = Self(16);
    pub(crate) const JOIN: Self = Self(17);
    pub(crate) const PLAY: Self = Self(18);
    pub(crate) const CONTROL: Self = Self(19);
    pub(crate) const DNS_QUERY: Self = Self(20);
    pub(crate) const FRAGMENTS: Self = Self(21);
    pub(crate) const FRAGMENTED_UDP: Self = Self(22);
    pub(crate) const PING: Self = Self(23);
    pub(crate) const LARGE_PING: Self = Self(24);
    pub(crate) const ICMP_OTHER: Self = Self(25);
    pub(crate) const GRE: Self = Self(26);
    pub(crate) const ESP: Self = Self(27);
    pub(crate) const OTHER_PROTOCOL: Self = Self(28);

    /// How many there are.
    pub(crate) const COUNT: usize = NAMED.len() + reflection::ALL.len();

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT as u8).map(Self)
    }

    /// The answer of a reflector of this number.
    const fn reflected(number: usize) -> Self {
        Self((NAMED.len() + number) as u8)
    }

    /// As an index.
    pub(crate) const fn get(self) -> usize {
        self.0 as usize
    }

    /// As people read it: kebab-case.
    pub(crate) fn name(self) -> &'static str {
        match self.get().checked_sub(NAMED.len()) {
            Some(number) => reflection::ALL[number].name,
            None => NAMED[self.get()].0,
        }
    }

    /// Its family.
    pub(crate) fn family(self) -> Family {
        NAMED.get(self.get()).map_or(Family::Reflection, |named| named.1)
    }

    /// Whether it is an answer that somebody was made to send over UDP.
    pub(crate) const fn is_reflected_udp(self) -> bool {
        self.get() >= NAMED.len()
    }

    /// Whether it is UDP of which only the size is known.
    pub(crate) fn is_plain_udp(self) -> bool {
        (Self::UDP_SMALL..=Self::UDP_LARGE).contains(&self)
    }

    /// What this packet looks like.
    pub(crate) fn of_packet(packet: &Packet<'_>) -> Self {
        match packet.upper {
            Upper::Udp => match Self::of_udp(packet) {
                // The first piece of a large answer still says what it is.
                vector if vector.is_reflected_udp() || !packet.is_fragment() => vector,
                _ => Self::FRAGMENTS,
            },
            _ if packet.is_fragment() => Self::FRAGMENTS,
            Upper::Tcp(tcp) => Self::of_tcp(&tcp),
            Upper::LaterFragment => Self::FRAGMENTS,
            Upper::Icmp => Self::of_icmp(packet),
            Upper::Other => match packet.protocol {
                47 => Self::GRE,
                50 => Self::ESP,
                _ => Self::OTHER_PROTOCOL,
            },
        }
    }

    fn of_tcp(tcp: &Tcp) -> Self {
        use flag::ACK;
        use flag::FIN;
        use flag::PSH;
        use flag::RST;
        use flag::SYN;
        use flag::URG;
        let flags = tcp.flags & (FIN | SYN | RST | PSH | ACK | URG);
        match flags {
            0 => Self::NULL,
            _ if flags & (SYN | RST | FIN) == SYN => {
                if flags & ACK == 0 {
                    Self::SYN
                } else {
                    Self::SYN_ACK
                }
            }
            _ if flags & (FIN | PSH | URG) == FIN | PSH | URG => Self::XMAS,
            _ if flags & RST != 0 && flags & SYN == 0 => Self::RST,
            _ if flags & FIN != 0 && flags & SYN == 0 => Self::FIN,
            _ if flags & (ACK | PSH) == ACK | PSH => Self::PSH_ACK,
            _ if flags & ACK != 0 && flags & SYN == 0 => Self::ACK,
            _ => Self::TCP_OTHER,
        }
    }

    fn of_udp(packet: &Packet<'_>) -> Self {
        if packet.payload_bytes == 0 {
            return Self::UDP_EMPTY;
        }
        if let Some(number) = reflection::find(packet.source_port, packet.payload) {
            return Self::reflected(number);
        }
        if packet.destination_port == 53 && is_dns_question(packet.payload) {
            return Self::DNS_QUERY;
        }
        if packet.destination_port == 443 && is_quic_initial(packet) {
            return Self::QUIC;
        }
        match packet.payload_bytes {
            ..=SMALL_BYTES => Self::UDP_SMALL,
            LARGE_BYTES.. => Self::UDP_LARGE,
            _ => Self::UDP_VOLUMETRIC,
        }
    }

    fn of_icmp(packet: &Packet<'_>) -> Self {
        let echo = packet.icmp_type == if packet.source.is_v4() { 8 } else { 128 };
        match packet.payload_bytes {
            _ if !echo => Self::ICMP_OTHER,
            LARGE_PING_BYTES.. => Self::LARGE_PING,
            _ => Self::PING,
        }
    }

    /// What it is by the plugin's word. What the headers alone say for sure stays.
    pub(crate) fn of_class(self, class: Class) -> Self {
        let open = self.is_plain_udp() || matches!(self, Self::ACK | Self::PSH_ACK | Self::UDP_EMPTY);
        match class {
            _ if !open => self,
            Class::None => self,
            Class::Opening => Self::OPENING,
            Class::Query => Self::QUERY,
            Class::Join => Self::JOIN,
            Class::Play => Self::PLAY,
            Class::Control => Self::CONTROL,
        }
    }
}

/// How a payload begins, in 6 bits: equal beginnings have equal ones.
pub(crate) fn start_of(payload: &[u8]) -> u8 {
    let Some(first) = payload.first_chunk::<4>() else { return payload.len() as u8 };
    (u32::from_le_bytes(*first).wrapping_mul(0x9e37_79b1) >> 26) as u8
}

/// A question (RFC 1035 4.1.1): not a response, one question, no answers.
fn is_dns_question(payload: &[u8]) -> bool {
    matches!(payload, [_, _, flags, _, 0, 1, 0, 0, ..] if flags & 0x80 == 0)
}

/// A long header of a known version that is a client's first.
fn is_quic_initial(packet: &Packet<'_>) -> bool {
    let [first, a, b, c, d, ..] = *packet.payload else { return false };
    let version = u32::from_be_bytes([a, b, c, d]);
    let kind = first >> 4 & 3;
    let initial = match version {
        1 => kind == 0,
        // RFC 9369: version 2 moved the types by one.
        0x6b33_43cf => kind == 1,
        _ => version >> 8 == 0x00ff_0000 && kind == 0,
    };
    first & 0xc0 == 0xc0 && initial && packet.payload_bytes >= QUIC_INITIAL_BYTES
}
