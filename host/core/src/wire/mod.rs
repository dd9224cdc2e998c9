//! From bytes to a packet: link, IP, transport. One file a layer.
//!
//! Nothing here panics and nothing reads behind the end of what was captured. The reader is our own because three
//! things must come together: every fault has its own name, a packet that the capture cut behind its ports is
//! still a packet, and one costs a few nanoseconds. A test compares it with `etherparse`.
//!
//! The common path (Ethernet, IPv4, TCP or UDP) is inlined into one function: *measured*, handing half-read packets
//! from one function to the next through memory cost more than reading them.

mod ip;
mod link;
pub mod malformed;
mod quoted;
mod transport;

use std::net::IpAddr;
use std::net::Ipv6Addr;

pub use malformed::Malformed;
pub(crate) use quoted::flow_of_error;

use crate::frame::Frame;

/// TCP flag bits as in `tcp_flags` of the contract.
pub mod tcp_flag {
    /// The sender has no more to say.
    pub const FIN: u8 = 1;
    /// A connection is being opened.
    pub const SYN: u8 = 2;
    /// The connection is gone.
    pub const RST: u8 = 4;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 16;
}

/// An address of either family in 128 bits; IPv4 is mapped (`::ffff:a.b.c.d`, RFC 4291 2.5.5.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The upper 64 bits.
    pub high: u64,
    /// The lower 64 bits.
    pub low: u64,
}

impl Address {
    /// An IPv4 address from its 32 bits.
    pub const fn v4(bits: u32) -> Self {
        Self { high: 0, low: 0xffff << 32 | bits as u64 }
    }

    /// An IPv6 address from its 128 bits.
    pub const fn v6(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// Its 128 bits.
    pub const fn bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// Whether it is an IPv4 address.
    pub const fn is_v4(self) -> bool {
        self.high == 0 && self.low >> 32 == 0xffff
    }

    /// Its 32 bits, if it is an IPv4 address.
    pub const fn v4_bits(self) -> Option<u32> {
        if self.is_v4() { Some(self.low as u32) } else { None }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::v4(ip.to_bits()),
            IpAddr::V6(ip) => Self::v6(ip.to_bits()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        Ipv6Addr::from_bits(address.bits()).to_canonical()
    }
}

/// What stands above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upper {
    /// TCP, with its own fields.
    Tcp(Tcp),
    /// UDP.
    Udp,
    /// ICMP or ICMPv6.
    Icmp,
    /// A fragment that is not the first: no ports.
    LaterFragment,
    /// Another protocol.
    Other,
}

/// What TCP says besides its ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Position of the first payload byte.
    pub sequence: u32,
    /// The next byte that the sender expects.
    pub acknowledgement: u32,
    /// FIN in bit 0 to CWR in bit 7.
    pub flags: u8,
    /// As sent, unscaled.
    pub window: u16,
    /// The bits of `tcp-options` in the contract.
    pub options: u16,
}

/// A packet that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// From.
    pub source: Address,
    /// To.
    pub destination: Address,
    /// From this port; 0 where there is none.
    pub source_port: u16,
    /// To this port; 0 where there is none.
    pub destination_port: u16,
    /// IPv4 identification; 0 in IPv6.
    pub ip_id: u16,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Bit 0 don't-fragment, bit 1 more-fragments, bit 2 not the first fragment.
    pub fragment: u8,
    /// What stands above IP.
    pub upper: Upper,
    /// Its protocol number.
    pub protocol: u8,
    /// Type of an ICMP message; 0 where there is none.
    pub icmp_type: u8,
    /// Captured payload.
    pub payload: &'a [u8],
    /// Payload bytes on the wire.
    pub payload_bytes: u32,
}

impl Packet<'_> {
    /// Whether it is a piece of a larger packet, the first one included.
    pub const fn is_fragment(&self) -> bool {
        self.fragment & (ip::MORE | ip::LATER) != 0
    }
}

/// Reads a frame. `Ok(None)` is a sound frame that carries no IP.
#[inline(always)]
pub fn read<'a>(frame: &Frame<'a>) -> Result<Option<Packet<'a>>, Malformed> {
    let Some(inner) = link::read(frame)? else { return Ok(None) };
    let datagram = ip::read(&inner)?;
    transport::read(&datagram).map(Some)
}

/// Two bytes at `at`, most significant first; the caller has checked the length.
#[inline(always)]
fn be16(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(two) => u16::from_be_bytes([two[0], two[1]]),
        None => 0,
    }
}

/// Four bytes at `at`, most significant first; the caller has checked the length.
#[inline(always)]
fn be32(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at + 4) {
        Some(four) => u32::from_be_bytes([four[0], four[1], four[2], four[3]]),
        None => 0,
    }
}

/// Sixteen bytes at `at`, most significant first; the caller has checked the length.
fn be128(bytes: &[u8], at: usize) -> u128 {
    bytes.get(at..at + 16).and_then(|sixteen| sixteen.try_into().ok()).map_or(0, u128::from_be_bytes)
}
