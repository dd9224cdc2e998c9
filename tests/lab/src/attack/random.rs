//! Numbers that look random and are the same in every run: xorshift64*, seeded.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use super::Sources;

/// The state of the generator.
pub(crate) struct Random(u64);

impl Random {
    /// A generator of its own for each kind of attack.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound.max(1)
    }

    /// Fills bytes.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
    }

    /// An ephemeral port.
    pub(crate) fn port(&mut self) -> u16 {
        1024 + self.below(64_512) as u16
    }

    /// A port of those that attackers use where they share an address with players.
    pub(crate) fn misused_port(&mut self) -> u16 {
        1024 + self.below(43_976) as u16
    }

    /// The next source port of an attack from such sources; `source` is the packet's.
    pub(crate) fn source_port(&mut self, sources: Sources, source: IpAddr) -> u16 {
        match (sources, source) {
            (Sources::As(_), _) => self.misused_port(),
            (Sources::Pool(_), IpAddr::V4(v4)) => 20_000 + u16::from(v4.octets()[3]),
            (Sources::Pool(_), IpAddr::V6(v6)) => 20_000 + v6.segments()[7],
            _ => self.port(),
        }
    }

    /// The next source of an attack on `target`.
    pub(crate) fn source(&mut self, sources: Sources, target: &SocketAddr) -> IpAddr {
        let number = self.next() >> 8;
        if let Some(bot) = sources.bot(number, target.is_ipv6()) {
            return bot;
        }
        match (sources, target) {
            (Sources::As(address), _) => address,
            (Sources::Pool(count), SocketAddr::V4(_)) => {
                let number = (number % u64::from(count.max(1))) as u16;
                IpAddr::V4(Ipv4Addr::new(198, 18, 250 | (number >> 8) as u8 & 3, number as u8))
            }
            (Sources::Pool(count), SocketAddr::V6(_)) => {
                let number = (number % u64::from(count.max(1))) as u16;
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 3, 0xffff, 0, 0, 0, number))
            }
            (_, SocketAddr::V4(_)) => IpAddr::V4(Ipv4Addr::new(198, 18, (number >> 8) as u8, number as u8)),
            (_, SocketAddr::V6(_)) => {
                let [a, b] = [(number >> 16) as u16, number as u16];
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 3, a, b, 0, 0, 0x66))
            }
        }
    }
}
