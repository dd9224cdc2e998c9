//! Keys of set elements as the kernel lays them out: each field in network order, filled up to four bytes.
//!
//! Source addresses of IPv6 stand for their /64 wherever a source is blocked: one customer owns it.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use ftagent_core::service::ServiceKey;
use ftagent_core::service::Transport;
use ipnet::IpNet;
use serde::Deserialize;
use serde::Serialize;

/// The longest key: a lane of IPv6.
const KEY_BYTES: usize = 44;

/// An address family; sets of both are apart because a key has one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The last letter of the names of its sets.
    pub fn digit(self) -> char {
        match self {
            Self::V4 => '4',
            Self::V6 => '6',
        }
    }

    /// `NFPROTO_IPV4` or `NFPROTO_IPV6` (linux/netfilter.h).
    pub fn nfproto(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }
}

/// The bytes of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    bytes: [u8; KEY_BYTES],
    len: u8,
}

impl Key {
    /// Fields one after the other, each filled up with zeros to a multiple of four bytes.
    fn fields(fields: &[&[u8]]) -> Self {
        let mut key = Self { bytes: [0; KEY_BYTES], len: 0 };
        for field in fields {
            let at = usize::from(key.len);
            key.bytes[at..at + field.len()].copy_from_slice(field);
            key.len += field.len().next_multiple_of(4) as u8;
        }
        key
    }

    /// A key that was read from the kernel; `None` if it is longer than any of ours.
    pub fn from_kernel(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > KEY_BYTES {
            return None;
        }
        let mut key = Self { bytes: [0; KEY_BYTES], len: bytes.len() as u8 };
        key.bytes[..bytes.len()].copy_from_slice(bytes);
        Some(key)
    }

    /// The whole node, one key a family. One byte, not filled up: it stands alone.
    pub fn node(family: Family) -> Self {
        let mut key = Self::fields(&[&[family.nfproto()]]);
        key.len = 1;
        key
    }

    /// One service.
    pub fn service(service: &ServiceKey) -> Self {
        let ip = Octets::of(service.ip);
        Self::fields(&[ip.as_ref(), &service.port.to_be_bytes(), &[service.transport.number()]])
    }

    /// One address.
    pub fn address(ip: IpAddr) -> Self {
        Self::fields(&[Octets::of(ip).as_ref()])
    }

    /// A source at a service.
    pub fn source_at(source: IpAddr, service: &ServiceKey) -> Self {
        let (from, to) = (Octets::of(source), Octets::of(service.ip));
        Self::fields(&[
            from.as_ref(),
            to.as_ref(),
            &service.port.to_be_bytes(),
            &[service.transport.number()],
        ])
    }

    /// A source and its port at a service.
    pub fn flow(source: IpAddr, source_port: u16, service: &ServiceKey) -> Self {
        let (from, to) = (Octets::of(source), Octets::of(service.ip));
        let (sport, dport) = (source_port.to_be_bytes(), service.port.to_be_bytes());
        Self::fields(&[from.as_ref(), &sport, to.as_ref(), &dport, &[service.transport.number()]])
    }

    /// What the kernel gets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The address that the key begins with.
    pub fn source(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => {
                let mut octets = [0; 4];
                octets.copy_from_slice(&self.bytes[..4]);
                Ipv4Addr::from(octets).into()
            }
            Family::V6 => {
                let mut octets = [0; 16];
                octets.copy_from_slice(&self.bytes[..16]);
                Ipv6Addr::from(octets).into()
            }
        }
    }

    /// The service that the key ends with; `None` where the protocol is neither TCP nor UDP.
    pub fn ending_service(&self, family: Family) -> Option<ServiceKey> {
        let address_bytes = if family == Family::V4 { 4 } else { 16 };
        let start = usize::from(self.len).checked_sub(address_bytes + 8)?;
        let tail = Self::from_kernel(&self.bytes[start..usize::from(self.len)])?;
        let port = u16::from_be_bytes([tail.bytes[address_bytes], tail.bytes[address_bytes + 1]]);
        let transport = match tail.bytes[address_bytes + 4] {
            6 => Transport::Tcp,
            17 => Transport::Udp,
            _ => return None,
        };
        Some(ServiceKey { ip: tail.source(family), port, transport })
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The octets of an address without an allocation.
struct Octets {
    bytes: [u8; 16],
    len: usize,
}

impl Octets {
    fn of(ip: IpAddr) -> Self {
        let mut octets = Self { bytes: [0; 16], len: 4 };
        match ip {
            IpAddr::V4(ip) => octets.bytes[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => {
                octets.bytes = ip.octets();
                octets.len = 16;
            }
        }
        octets
    }
}

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// How much of a leased address counts: one address of IPv4, a /64 of IPv6, and of merged leases a /24 and a /48.
pub fn lease_bits(family: Family, wide: bool) -> u8 {
    match (family, wide) {
        (Family::V4, false) => 32,
        (Family::V4, true) => 24,
        (Family::V6, false) => 64,
        (Family::V6, true) => 48,
    }
}

/// The network that a lease of so many bits blocks: those of this length or the next shorter one that there are
/// sets for. A shorter one than the shortest blocks less than was asked.
pub fn lease_of(source: IpAddr, prefix_bits: u8) -> IpNet {
    let family = Family::of(source);
    let bits = lease_bits(family, prefix_bits < lease_bits(family, false));
    IpNet::new(source, bits).expect("these are prefix lengths of the family").trunc()
}

/// The address that a block of this source is keyed by: IPv6 by its /64.
pub fn blocked_as(source: IpAddr) -> IpAddr {
    lease_of(source, 128).addr()
}

/// A name for objects of this service that `nft` can print and read again (no colons).
pub fn object_name(what: &str, service: &ServiceKey) -> String {
    let ip = service.ip.to_string().replace(':', ".");
    format!("{what}_{ip}_{}_{}", service.port, service.transport.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(ip: &str) -> ServiceKey {
        ServiceKey { ip: ip.parse().unwrap(), port: 25565, transport: Transport::Udp }
    }

    #[test]
    fn keys_are_laid_out_as_registers() {
        assert_eq!(format!("{:?}", Key::service(&service("203.0.113.10"))), "cb00710a63dd000011000000");
        let source = "192.0.2.7".parse().unwrap();
        assert_eq!(
            format!("{:?}", Key::flow(source, 40000, &service("203.0.113.10"))),
            "c00002079c400000cb00710a63dd000011000000"
        );
        assert_eq!(format!("{:?}", Key::node(Family::V6)), "0a");
        let long = Key::flow("2001:db8::1".parse().unwrap(), 1, &service("2001:db8::2"));
        assert_eq!(long.as_bytes().len(), KEY_BYTES);
    }

    #[test]
    fn keys_are_read_back() {
        for (source, own) in [("192.0.2.7", "203.0.113.10"), ("2001:db8::7", "2001:db8:1::10")] {
            let (source, service) = (source.parse().unwrap(), service(own));
            for key in [Key::source_at(source, &service), Key::flow(source, 7, &service)] {
                assert_eq!(key.source(Family::of(source)), source);
                assert_eq!(key.ending_service(Family::of(source)), Some(service));
            }
        }
    }
}
